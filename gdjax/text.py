"""Text that several rooms say alike: tables in columns, and the name that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence


def near(name: str, known: Iterable[str]) -> str | None:
    """The known name that is nearest to this one, one of the same letters before all others; None if none is near."""
    known, name = list(known), str(name).lower()
    folded = {each.lower(): each for each in reversed(known)}
    close = difflib.get_close_matches(name, folded, n=5)
    swapped = [each for each in close if sorted(each) == sorted(name)]
    return next((folded[each] for each in swapped + close), None)


def did_you_mean(name: str, known: Iterable[str], beside: str = "") -> str:
    """A hint where a name is unknown: "did you mean 'age'?", or all there are.

    Args:
        beside: what would be right too, said after the names.
    """
    known = list(known)
    close = near(name, known)
    return f"did you mean {close!r}?" if close else f"one of {', '.join(known)}{beside}"


def table(rows: Iterable[Sequence[str]], right: Collection[int] = ()) -> str:
    """Rows in columns that are as wide as their widest cell, two spaces apart.

    Args:
        right: the columns, counted from 0, whose cells stand to the right, as numbers do.
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
    """A text, its middle left out where it is longer than most characters."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-(most // 4) :]}"
