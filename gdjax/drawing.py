"""The way up to `gdjax.plots` from what lies below it: the room is opened when a picture is wanted, not before."""

from __future__ import annotations

import importlib
from typing import Any


def load_plots() -> Any:
    """`gdjax.plots`.   Raises: ImportError that says what to install, where matplotlib is missing."""
    return importlib.import_module("gdjax.plots")
