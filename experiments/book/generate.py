"""Write the pages that a reader of the repository sees without building the book: `python -m experiments.book.generate`.

    optimizers.md       every optimizer, transform and wrapper: what it does, its memory, its reference
    pages/scaling.md    the plan for many accelerators, with tables computed from what the bench has counted

A test generates them again and compares them with the files.
"""

from __future__ import annotations

from pathlib import Path

import gdjax as gd
from gdjax.optimizers.catalogue import entry

from .scaling import scaling_page

PLACE = Path(__file__).parent
NOTE = "Generated from the docstrings by `python -m experiments.book.generate`; the book has a page for each.\n"


def optimizers() -> str:
    """The tables of the catalogs."""
    text = f"# Optimizers, transforms and wrappers\n\n{NOTE}"
    for title, factories in (("Optimizer", gd.OPTIMIZERS), ("Wrapper", gd.WRAPPERS), ("Transform", gd.TRANSFORMS)):
        text += f"\n| {title} | what it does | memory | reference |\n|---|---|---|---|\n"
        for factory in factories.values():
            about = entry(factory)
            text += f"| `{about.name}` | {about.summary} | {about.memory} | {about.reference} |\n"
    return text


GENERATED = {"optimizers.md": optimizers, "pages/scaling.md": scaling_page}


if __name__ == "__main__":
    for name, page in GENERATED.items():
        (PLACE / name).write_text(page())
