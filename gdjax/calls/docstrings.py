"""Completes docstrings: the entries of arguments that another factory describes are copied in, so that `help` is whole.

An `Args:` section is a list of entries, "name: text" or "name, name: text", indented by four columns; continuation lines are
indented further. The text after `Args:` says where the other entries are described ("as `adam`, and"); it is removed from
the completed docstring.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterable

SECTION = re.compile(r"^Args:(?P<beside>.*)\n(?P<entries>(?: {4}.*\n|\n(?= {4}))*)", re.MULTILINE)
ENTRY = re.compile(r"^ {4}(?P<names>\w+(?:, \w+)*): (?P<text>.*\n(?: {5,}.*\n)*)", re.MULTILINE)
POINTER = re.compile(r"as (?:in|for) `(?P<who>\w+)`")


def entries(doc: str | None) -> dict[str, str]:
    """Name -> text of each argument that a docstring describes."""
    section = SECTION.search(inspect.cleandoc(doc or "") + "\n")
    found = ENTRY.finditer(section["entries"]) if section else ()
    return {name: entry["text"] for entry in found for name in entry["names"].split(", ")}


def whole(doc: str | None, names: Iterable[str], like: str | None) -> str | None:
    """The docstring, with the arguments of `names` that it lacks taken from the docstring of another factory.

    An entry that begins "as in `lbfgs`" continues the entry of the same argument there.
    """
    if doc is None or like is None:
        return doc
    clean = inspect.cleandoc(doc) + "\n"
    own, theirs = entries(doc), entries(like)
    pages: dict[str, list[str]] = {}  # text -> the arguments it is about
    for name in names:
        text = own.get(name, theirs.get(name))
        if text is None:
            continue
        if name in own and name in theirs and POINTER.match(text):
            text = theirs[name].rstrip(".\n") + POINTER.sub("", text, count=1)
            text = textwrap.fill(" ".join(text.split()), 100, subsequent_indent=8 * " ") + "\n"
        pages.setdefault(text, []).append(name)
    page = "".join(f"    {', '.join(about)}: {text}" for text, about in pages.items())
    return SECTION.sub(lambda _: f"Args:\n{page}", clean, count=1).rstrip("\n")
