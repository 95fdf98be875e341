"""JSON as a run folder holds it: objects with finite numbers; NaN and infinities are written as null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

LARGEST = 2**28  # maximal size in bytes of a text file


def to_line(value: Mapping[str, Any]) -> str:
    """The object on one line."""
    return json.dumps(_plain(value), allow_nan=False)


def to_text(value: Mapping[str, Any]) -> str:
    """The object on several lines, as people read it."""
    return json.dumps(_plain(value), indent=2, allow_nan=False) + "\n"


def _plain(x: Any) -> Any:
    """x in the types of JSON."""
    if isinstance(x, Mapping):
        return {str(key): _plain(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        return [_plain(value) for value in x]
    if isinstance(x, (np.ndarray, np.generic, jax.Array)):
        return _plain(np.asarray(x).tolist())
    if isinstance(x, float) and not math.isfinite(x):
        return None
    return x if isinstance(x, (bool, int, float, str, type(None))) else str(x)


def from_text(text: str | bytes) -> dict[str, Any]:
    """The object.   Raises: ValueError if it is no object, or has a number that is not finite."""

    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"numbers must be finite, got {text[:40]}")
        return value

    value = json.loads(text, parse_float=number, parse_constant=number)
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object is needed, got {type(value).__name__}")
    return value


def read_bytes(path: Path) -> bytes:
    """The content of a file.   Raises: ValueError if it is too large to be one of a run."""
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path.name} must have at most {LARGEST} bytes, got {path.stat().st_size}")
    return path.read_bytes()
