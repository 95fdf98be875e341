"""What is wrong with a run folder, in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from gdjax.runs.config import ConfigError


class RecordError(ValueError):
    """A folder that is no run folder, or cannot be written as one; the message is one line."""


@contextlib.contextmanager
def reading(place: Path) -> Iterator[None]:
    """A context that turns any error into a RecordError, since the files may contain anything."""
    try:
        yield
    except RecordError:
        raise
    except Exception as error:
        said = (" ".join(str(error).split()) or type(error).__name__)[:300]
        how = "" if isinstance(error, ConfigError) else " is damaged"
        raise RecordError(f"{place}{how}: {said}") from error
