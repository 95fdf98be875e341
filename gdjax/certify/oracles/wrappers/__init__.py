"""Oracles of wrappers and transforms; one file for each file of the optimizers.

A wrapper's is around the oracle of what it wraps. Each is the function of the wrapper's own name: the table builds itself,
and a wrapper without one is seen by its absence. `line_search` has none: it chooses its points itself, and is held to what
it promises in `gdjax.certify.closed_loop`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from gdjax.optimizers import TRANSFORMS, WRAPPERS

PLACES = {
    name: factory.__module__.replace("gdjax.optimizers", "gdjax.certify.oracles")
    for name, factory in {**WRAPPERS, **TRANSFORMS}.items()
}
WRAPPER_ORACLES: dict[str, Callable[..., Any]] = {
    name: getattr(importlib.import_module(place), name) for name, place in PLACES.items() if name != "line_search"
}
