"""Errors of the command line: a user's mistake is one line on stderr and exit code 2; a bug keeps its traceback."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

LONGEST = 1000  # characters of a message


class UserError(Exception):
    """A mistake of the user; the message is one line with a correction."""

    code = 2  # with which the command ends


@contextlib.contextmanager
def user_mistakes(prefix: str = "") -> Iterator[None]:
    """A context for code that reads the user's input: its errors become a UserError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (ValueError, TypeError, OSError, ImportError, OverflowError) as error:
        raise UserError(prefix + one_line(error)) from error


@contextlib.contextmanager
def option_mistakes(names: set[str]) -> Iterator[None]:
    """As `user_mistakes`, but `batch_size` in a message becomes --batch-size, and `loss=hinge` becomes --loss hinge."""

    def spell(found: re.Match) -> str:
        name, value = found[1], found[2] or ""
        return f"--{name.replace('_', '-')}{' ' * bool(value)}{value[1:]}" if name in names else found[0]

    try:
        with user_mistakes():
            yield
    except UserError as error:
        raise UserError(re.sub(r"`(\w+)(=[^`]*)?`", spell, str(error))) from error


def one_line(error: BaseException) -> str:
    """The message of an error on one line, of limited length."""
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= LONGEST else f"{said[: LONGEST - 3]}..."
