"""`python -m experiments.book --out site/ [--lab lab/]`: the book, as a static site."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import tyro

from .build import BookError, build


def main(out: Path = Path("site"), lab: Path | None = None) -> None:
    """Make the book: a static site that is read from disk.

    Args:
        out: The folder of the site: new, empty, or an older book, which is replaced.
        lab: What `python -m experiments --out lab/` wrote. Without it, all experiments are run first.
    """
    began = time.perf_counter()
    try:
        pages = build(out, lab)
    except OSError as error:
        sys.exit(_say(error, 2))
    except BookError as error:
        sys.exit(_say(error, 1))
    except KeyboardInterrupt:
        sys.exit(_say("interrupted, nothing written", 130))
    print(f"{pages} pages in {time.perf_counter() - began:.0f} s: {out / 'index.html'}")


def _say(error: object, code: int) -> int:
    print(f"book: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    tyro.cli(main)
