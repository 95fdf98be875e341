"""Oracles of wrappers and transforms; one file for each file of the optimizers, found as those of optimizers are.

A wrapper's is around the oracle of what it wraps. Each is the function of the wrapper's own name, and a wrapper without one
is seen by its absence. `line_search` has none: it chooses its points itself, and is held to what it promises in
`gdjax.certify.closed_loop`. Beside the oracle stand

    EXAMPLES        name -> the calls that are certified, around an optimizer so plain that what is seen is the wrapper's
    LIMITS          "name: reference" -> its own limit, and why it cannot be nearer
    LEFT_OUT        name, alone, with a reference or with a dtype -> the cases that are left out, and why
    SHORT           name -> over how many steps it is compared, and why not over more
    UNJUDGED        name -> why it is not judged below double precision
    BY_PARAMETERS   name -> why what counts is where the parameters go, not the updates

each only where there is something to say.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from gdjax.optimizers import TRANSFORMS, WRAPPERS

FILES = {
    name: importlib.import_module(factory.__module__.replace("gdjax.optimizers", "gdjax.certify.oracles"))
    for name, factory in {**WRAPPERS, **TRANSFORMS}.items()
    if name != "line_search"
}
WRAPPER_ORACLES: dict[str, Callable[..., Any]] = {name: getattr(file, name) for name, file in FILES.items()}


def gather(table: str) -> dict[str, Any]:
    """The entries that the tables of this name hold in all files."""
    return {key: value for file in FILES.values() for key, value in getattr(file, table, {}).items()}
