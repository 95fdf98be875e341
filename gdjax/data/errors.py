"""What is wrong with a file of data, in one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gdjax.text import near

SHOWN = 5


class DataError(ValueError):
    """A file with wrong content; the message is one line."""


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint for an unknown name: "did you mean 'age'? there are age, sex"."""
    names = list(names)
    close = near(name, names)
    hint = f"did you mean {close!r}? " if close else ""
    return f"{hint}there {'is' if len(names) == 1 else 'are'} {', '.join(names) or 'none'}"


def in_one_line(origin: str, problems: Sequence[str], hint: str = "") -> DataError:
    """All problems of a file as one error: the first five of them, their number, and what else may help."""
    shown, more = problems[:SHOWN], len(problems) - SHOWN
    count = f"{len(problems)} problems: " if len(problems) > 1 else ""
    rest = f"; and {more} more" if more > 0 else ""
    return DataError(f"{origin}: " + " ".join(f"{count}{'; '.join(shown)}{rest}{hint}".split()))
