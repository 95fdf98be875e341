"""The pages of the explorers: their text and controls, and the scripts and styles that they share."""

from __future__ import annotations

from pathlib import Path

from .export import script

HERE = Path(__file__).parent
STATIC = "_static/explorer"
SCRIPTS = {  # in the order in which they use one another
    "descent": ("rules", "url", "axes", "descent", "ending", "regions", "landscape", "chart", "descent_page"),
    "backprop": ("rules", "url", "axes", "expression", "graph", "layout", "walk", "graph_picture", "backprop_page"),
}


def static_files() -> dict[str, str]:
    """The scripts and the style sheet by their paths in the site; the rules are written from gdjax here."""
    files = {
        f"{STATIC}/{path.name}": path.read_text() for kind in ("js", "css") for path in sorted(HERE.glob(f"*.{kind}"))
    }
    return {f"{STATIC}/rules.js": script(), **files}


def body(name: str) -> str:
    """The HTML of an explorer, for a page in a folder beside `_static`."""
    source = f"../{STATIC}"
    scripts = "".join(f'<script src="{source}/{each}.js"></script>\n' for each in SCRIPTS[name])
    return f'<link rel="stylesheet" href="{source}/explorer.css">\n{(HERE / f"{name}.html").read_text()}{scripts}'


def page(name: str) -> str:
    """The page of the book: its text, with the explorer where the text says so."""
    return (HERE / f"{name}.md").read_text().replace("EXPLORER\n", f"```{{raw}} html\n{body(name)}```\n")


def document(name: str) -> str:
    """An explorer as a page without the book around it."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{name}</title>'
    head += '<link rel="icon" href="data:,"><style>body { font-family: sans-serif; max-width: 46rem; margin: auto; }</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body(name)}</body></html>\n'
