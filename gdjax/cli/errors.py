"""A user's mistake is one line on stderr and exit code 2; anything else is a bug and keeps its traceback."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

LONGEST = 1000  # characters of a message


class UserError(Exception):
    """What was asked cannot be done; the message is one line that says what would be right."""


@contextlib.contextmanager
def user_mistakes(prefix: str = "") -> Iterator[None]:
    """Around code that reads what the user gave: its errors are the user's."""
    try:
        yield
    except (ValueError, TypeError, OSError, ImportError, OverflowError) as error:
        raise UserError(prefix + one_line(error)) from error


@contextlib.contextmanager
def option_mistakes(names: set[str]) -> Iterator[None]:
    """As `user_mistakes`, where these are options: `batch_size` is told as --batch-size, `loss=hinge` as --loss hinge."""

    def spell(found: re.Match) -> str:
        name, value = found[1], found[2] or ""
        return f"--{name.replace('_', '-')}{' ' * bool(value)}{value[1:]}" if name in names else found[0]

    try:
        with user_mistakes():
            yield
    except UserError as error:
        raise UserError(re.sub(r"`(\w+)(=[^`]*)?`", spell, str(error))) from error


def one_line(error: BaseException) -> str:
    """What an error says, on one line and not for ever."""
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= LONGEST else f"{said[: LONGEST - 3]}..."
