"""Oracles of the wrappers, each around the oracle of what it wraps; one file for each file of `gdjax.optimizers.wrappers`.

Each is the function of the wrapper's own name: the table builds itself, and a wrapper without one is seen by its absence.
`line_search` has none: it chooses its points itself, and is held to what it promises in `gdjax.certify.closed_loop`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from gdjax.optimizers import WRAPPERS

FILES = {name: factory.__module__.rsplit(".", 1)[-1] for name, factory in WRAPPERS.items()}
WRAPPER_ORACLES: dict[str, Callable[..., Any]] = {
    name: getattr(importlib.import_module(f"{__name__}.{file}"), name)
    for name, file in FILES.items()
    if name != "line_search"
}
