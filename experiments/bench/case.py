"""A case of `experiments.bench.models`: one architecture, trained in several ways that do the same work."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Case(NamedTuple):
    title: str
    steps: int  # of training in one call
    # Name -> a call that trains so many steps from the same start; or a text, why there is none.
    ways: Mapping[str, Callable[[], Any] | str]
    bounds: tuple[tuple[str, str, float | None], ...] = ()  # (way, way, most that their ratio may be), of wall times


def if_found(library: str, make: Callable[[Any], Callable[[], Any]]) -> Callable[[], Any] | str:
    """What `make` makes of a library, or that there is none."""
    try:
        return make(importlib.import_module(library))
    except ImportError:
        return f"{library} is not installed: left out"
