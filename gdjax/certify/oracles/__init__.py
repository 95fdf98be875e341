"""NumPy float64 oracles: simple reference implementations of the optimizers, written from the papers.

The oracle of an optimizer has the optimizer's name and is in a file of the same name (`gdjax.optimizers.first_order.adam`,
`gdjax.certify.oracles.first_order.adam`); the tables are collected from all files. A file may also have

    EXAMPLES           name -> the certified calls, the simplest first; without an entry, the defaults with rate 0.01
    LIMITS             the beginning of a call -> its own limit in double precision, and why it cannot be nearer
    PARTS_FROM_OPTAX   the beginning of a call, alone or with a dtype, whose twin in Optax 0.2.8 is wrong -> how
    LEFT_OUT           name, alone or with a reference -> cases and leaves not defined to the last digits, and why
    UNSCHEDULED        name -> arguments that are a number in Optax
    BY_PARAMETERS      name -> why what counts is where the parameters go, not the updates
    REAL_ONLY          name -> why it has real parameters only
    FED                name -> a function of the recording, to what the optimizer is fed

Methods that choose their points themselves (newton and those after it) cannot follow a recording;
`gdjax.certify.closed_loop` runs them to their end.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from gdjax.certify.oracles.lift import Oracle
from gdjax.optimizers import OPTIMIZERS

FILES = {
    name: importlib.import_module(factory.__module__.replace("gdjax.optimizers", "gdjax.certify.oracles"))
    for name, factory in OPTIMIZERS.items()
}
ORACLES: dict[str, Oracle] = {
    name: getattr(file, name) for name, file in FILES.items() if inspect.isgeneratorfunction(getattr(file, name))
}


def gather(table: str) -> dict[Any, Any]:
    """The entries of the tables of this name in all files."""
    return {key: value for file in FILES.values() for key, value in getattr(file, table, {}).items()}
