"""Run all experiments: `python -m experiments --out lab/ [--only step_size momentum] [--jobs 2] [--full] [--resume]`.

Each runs in its own process, and leaves in the folder its pictures, its record, and what it printed; index.json sums up.
The exit code is 1 if a claim of any does not hold, and 130 after Ctrl-C.
"""

from __future__ import annotations

import sys

from gdjax.cli.laboratory import Everything

from .lab.everything import run_all
from .lab.options import read


def main() -> None:
    try:
        options = read(Everything(), "python -m experiments", __doc__, sys.argv[1:])
    except ValueError as error:
        print(f"experiments: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(run_all(options))


if __name__ == "__main__":
    main()
