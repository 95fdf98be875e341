"""Text utilities: tables in columns and as HTML, and suggestions for a misspelled name."""

from __future__ import annotations

import difflib
import html
from collections.abc import Collection, Iterable, Sequence


def near(name: str, known: Iterable[str]) -> str | None:
    """The known name that is closest to this one (first of all one with the same letters); None if none is close."""
    known, name = list(known), str(name).lower()
    folded = {each.lower(): each for each in reversed(known)}
    close = difflib.get_close_matches(name, folded, n=5)
    swapped = [each for each in close if sorted(each) == sorted(name)]
    return next((folded[each] for each in swapped + close), None)


def did_you_mean(name: str, known: Iterable[str], beside: str = "") -> str:
    """A hint for an unknown name: "did you mean 'age'?", or the list of all names.

    Args:
        beside: text that is appended to the list.
    """
    known = list(known)
    close = near(name, known)
    return f"did you mean {close!r}?" if close else f"one of {', '.join(known)}{beside}"


def table(rows: Iterable[Sequence[str]], right: Collection[int] = ()) -> str:
    """Rows as lines of text with aligned columns, two spaces apart.

    Args:
        right: the columns, counted from 0, that are aligned to the right.
    """
    rows = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        padded = (
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(padded).rstrip()

    return "\n".join(map(line, rows))


def html_table(rows: Iterable[Sequence[str]], right: Collection[int] = (), below: str = "") -> str:
    """The same rows as a table of HTML, the first of them its head; what stands below, line by line, as paragraphs."""

    def line(row: Sequence[str], tag: str) -> str:
        style = (' style="text-align: right"' if i in right else "" for i in range(len(row)))
        cells = (f"<{tag}{at}>{html.escape(cell)}</{tag}>" for at, cell in zip(style, row, strict=True))
        return f"<tr>{''.join(cells)}</tr>"

    head, *body = rows
    lines = "".join(line(row, "td") for row in body)
    said = "".join(f"<p>{html.escape(each)}</p>" for each in below.splitlines() if each)
    return f"<table><thead>{line(head, 'th')}</thead><tbody>{lines}</tbody></table>{said}"


class Rendered(str):
    """A text for people: shown as it prints, and by a notebook as its HTML or SVG."""

    _html: str | None
    _svg: str | None

    def __new__(cls, text: str, html: str | None = None, svg: str | None = None) -> Rendered:
        rendered = super().__new__(cls, text)
        rendered._html, rendered._svg = html, svg
        return rendered

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str | None:
        return self._html

    def _repr_svg_(self) -> str | None:
        return self._svg


def short(text: str, most: int = 60) -> str:
    """The text, its middle omitted if it has more than `most` characters."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-(most // 4) :]}"


def counted(number: int, noun: str) -> str:
    """ "1 row", "2,000 rows"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def listing(words: Sequence[str], most: int = 6) -> str:
    """Words as in a sentence: "a, b and c", the first `most` of them."""
    some = list(words) if len(words) <= most else [*words[:most], f"{len(words) - most} more"]
    return " and ".join([", ".join(some[:-1]), some[-1]] if len(some) > 1 else some)
