"""`gdjax book`: the documentation, as a static site."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
import time
from pathlib import Path

from gdjax.cli.errors import UserError, one_line
from gdjax.cli.laboratory import module_of

NEEDS = ("sphinx", "furo", "myst_parser", "latex2mathml", "chex", "hypothesis")  # all rooms are imported


@dataclasses.dataclass(frozen=True)
class Book:
    """Write the book: tutorial, cookbook, every name, every experiment, as a site that is read from disk.

    `gdjax lab --out lab && gdjax book --lab lab --out site`
    """

    out: Path = Path("site")
    """The folder of the site: new, empty, or an older book, which is replaced."""
    lab: Path | None = None
    """What `gdjax lab --out` wrote. Without it, all experiments are run first, which takes minutes."""

    def run(self, argv: list[str]) -> int:
        if missing := [name for name in NEEDS if importlib.util.find_spec(name) is None]:
            raise UserError(f"the book needs {', '.join(missing)}: pip install 'gdjax[book]'")
        book, began = importlib.import_module(module_of("book.build")), time.perf_counter()
        try:
            pages = book.build(self.out, self.lab)
        except OSError as error:
            raise UserError(one_line(error)) from error
        except book.BookError as error:
            print(f"gdjax: {error}", file=sys.stderr)
            return 1
        print(f"{pages} pages in {time.perf_counter() - began:.0f} s: {self.out / 'index.html'}")
        return 0
