"""A user's mistake is one line on stderr and exit code 2; anything else is a bug and keeps its traceback."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class UserError(Exception):
    """What was asked cannot be done; the message is one line that says what would be right."""


@contextlib.contextmanager
def user_mistakes(prefix: str = "") -> Iterator[None]:
    """Around code that reads what the user gave: its errors are the user's."""
    try:
        yield
    except (ValueError, TypeError, OSError, ImportError) as error:
        raise UserError(prefix + " ".join(str(error).split())) from error
