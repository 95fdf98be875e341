"""`python -m experiments.book --out site/ [--lab lab/]`: the book, as a static site. It is `gdjax book`."""

from __future__ import annotations

import sys

from gdjax.cli.main import main

if __name__ == "__main__":
    main(["book", *sys.argv[1:]])
