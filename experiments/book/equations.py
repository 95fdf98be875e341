"""The equations of docstrings as HTML: `mu <- b1 mu + (1 - b1) g` is typeset, with the names that the code has.

Two columns or more separate statements, and words beside a statement are its comment; `notation` reads one statement.
"""

from __future__ import annotations

import contextlib
import html
import itertools
import re
from collections.abc import Callable, Collection
from typing import NamedTuple

from .notation import RELATIONS, Parser, Token, is_word, mathml, tokens


class Piece(NamedTuple):
    """A part of a line: a statement, or the words beside one."""

    text: str
    is_statement: bool


def names_in(block: str, arguments: Collection[str]) -> set[str]:
    """The arguments of a call and what its equations define; other words of two letters or more are English."""
    defined = re.findall(r"((?:[A-Za-z]\w*, ?)*[A-Za-z]\w*) (?:<-|=) ", block.replace("²", ""))
    return {*arguments, *(name for some in defined for name in some.replace(",", " ").split())}


def lines_of(block: str, known: Collection[str]) -> list[list[Piece]]:
    """The pieces of every line of a block of equations."""
    lines = (re.split(r"\s{2,}", line.strip()) for line in block.splitlines() if line.strip())
    return [[Piece(text, is_statement(text, known)) for text in line] for line in lines]


def is_statement(piece: str, known: Collection[str]) -> bool:
    """Whether a piece of a line states something by itself: it has a relation outside brackets, and begins with no word."""
    depth, items = 0, tokens(piece)
    if not items or items[0].kind == "code" or is_word(items, 0, known):
        return False
    for item in items:
        depth += (item.text in ("(", "[")) - (item.text in (")", "]"))
        if depth == 0 and item.text in ("<-", "=", "->", "<=>", "~"):
            return True
    return False


def display(block: str, arguments: Collection[str], link: Callable[[str], str]) -> str:
    """A block of equations as HTML, line by line.

    Args:
        arguments: names of the call's arguments.
        link: HTML of a name in backquotes.
    """
    known = names_in(block, arguments)
    rows = []
    for line in lines_of(block, known):
        pieces = (equation(text, known) if it_is else remark(text, known, link) for text, it_is in line)
        rows.append(f'<div class="statement">{"".join(pieces)}</div>')
    return '<div class="equations">\n' + "\n".join(rows) + "\n</div>\n"


def equation(text: str, known: Collection[str]) -> str:
    """A statement as MathML, with its plain text for those who cannot see it."""
    plain, row = html.escape(text, quote=True), mathml(text.rstrip(" ,;"), known)
    return f'<math displaystyle="true" alttext="{plain}"><mrow>{row}</mrow></math>'


def remark(text: str, known: Collection[str], link: Callable[[str], str]) -> str:
    """Words beside a statement, in which the names are set as in it."""
    items = tokens(text.strip(" ,;"))
    for signs in (",;:", ",;:'", ",;:'()"):  # the second where a bracket has words in it
        with contextlib.suppress(ValueError):
            return f"<span>{runs(items, known, link, signs)}</span>"
    return f"<span>{words(items, link)}</span>"


def runs(items: list[Token], known: Collection[str], link: Callable[[str], str], signs: str) -> str:
    """Words as text and what is between them as mathematics; the signs are words."""
    made: list[str] = []
    for word, group in itertools.groupby(
        range(len(items)), lambda i: items[i].kind == "code" or items[i].text in signs or is_word(items, i, known)
    ):
        run = [items[i] for i in group]
        made.append(" " * (not run[0].tight) + (words(run, link) if word else inline(run, known)))
    return "".join(made).strip()


def words(items: list[Token], link: Callable[[str], str]) -> str:
    """Tokens as text, with names in backquotes linked."""
    shown = (
        ("" if item.tight else " ")
        + (
            linked(item.text, link)
            if item.kind == "code"
            else (RELATIONS | {"-": "−"}).get(item.text, html.escape(item.text))
        )
        for item in items
    )
    return "".join(shown).strip()


def linked(code: str, link: Callable[[str], str]) -> str:
    """What links a name in backquotes, with the ending of `every`-th."""
    _, name, ending = code.split("`")
    return link(name) + ending


def inline(items: list[Token], known: Collection[str]) -> str:
    return f'<math displaystyle="true"><mrow>{Parser(items, known).row(())}</mrow></math>'
