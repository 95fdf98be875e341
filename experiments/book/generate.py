"""Write the pages that are generated from docstrings: `python -m experiments.book.generate`.

    pages/optimizers.md    every optimizer, transform and wrapper: what it does, its memory, its reference
    pages/house.md         every file of gdjax, with the first line of its docstring
    pages/experiments.md   every experiment, with the first line of its docstring
    pages/scaling.md       the plan for many accelerators, with tables computed from what the bench has counted

The other pages are written by hand. A test generates these pages again and compares them with the files.
"""

from __future__ import annotations

import ast
from pathlib import Path

import gdjax as gd
from gdjax.optimizers.catalogue import entry

from ..lab.record import HERE, names
from .scaling import scaling_page

ROOT = Path(__file__).parents[2]
PAGES = Path(__file__).parent / "pages"
NOTE = "Generated from the docstrings by `python -m experiments.book.generate`.\n"


def optimizers() -> str:
    """The tables of the catalogues."""
    text = f"# Optimizers, transforms and wrappers\n\n{NOTE}"
    for title, factories in (("Optimizer", gd.OPTIMIZERS), ("Wrapper", gd.WRAPPERS), ("Transform", gd.TRANSFORMS)):
        text += f"\n| {title} | what it does | memory | reference |\n|---|---|---|---|\n"
        for factory in factories.values():
            about = entry(factory)
            text += f"| `{about.name}` | {about.summary} | {about.memory} | {about.reference} |\n"
    return text


def file_map() -> str:
    """A line for each file, package by package."""
    text = f"# The files of gdjax\n\n{NOTE}"
    folders = sorted({path.parent for path in (ROOT / "gdjax").rglob("*.py")}, key=lambda path: path.parts)
    for folder in folders:
        text += f"\n## {folder.relative_to(ROOT)}/\n\n"
        about = first_line(folder / "__init__.py")
        text += f"{about}\n\n" if about else ""
        for path in sorted(folder.glob("*.py")):
            if path.name != "__init__.py" and (line := first_line(path)):
                text += f"- `{path.name}`: {line}\n"
    return text.replace("\n\n\n", "\n\n")


def experiments() -> str:
    """A line for each experiment."""
    text = "# Experiments\n\nEach asks one question, prints our figures beside the lectures', draws a picture, and exits 1\n"
    text += "if a claim of it does not hold: `python -m experiments.find_the_minimum --out pictures`.\n\n"
    for name in names():
        text += f"- `{name}`: {first_line(HERE / f'{name}.py')}\n"
    return text


def first_line(path: Path) -> str:
    """The first line of a file's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


GENERATED = {
    "optimizers.md": optimizers,
    "house.md": file_map,
    "experiments.md": experiments,
    "scaling.md": scaling_page,
}


if __name__ == "__main__":
    for name, page in GENERATED.items():
        (PAGES / name).write_text(page())
