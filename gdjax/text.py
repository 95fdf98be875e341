"""Text utilities: tables in columns, and suggestions for a misspelled name."""

from __future__ import annotations

import difflib
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


def short(text: str, most: int = 60) -> str:
    """The text, its middle omitted if it has more than `most` characters."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-(most // 4) :]}"
