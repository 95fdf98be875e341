"""Compiled programs, each kept once and in a bounded number.

`compiled(f)` is `jax.jit(f)` looked up by the *value* of f. What gdjax's makers return (`make_step(...)`,
`per_example(...)`, `mlp(...)`) compares by value, so building the same loop twice compiles it once. The least recently
used programs are dropped; `clear_programs()` drops all.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

import jax

CAPACITY = 64

_programs: collections.OrderedDict[Any, Any] = collections.OrderedDict()


def compiled(function: Callable, donate: tuple[int, ...] = ()) -> Any:
    """The jitted function, the same object for equal functions."""
    key = function, donate
    if key not in _programs:
        _programs[key] = jax.jit(function, donate_argnums=donate)
        while len(_programs) > CAPACITY:
            _programs.popitem(last=False)
    _programs.move_to_end(key)
    return _programs[key]


def clear_programs() -> None:
    """Forget every compiled program that gdjax keeps."""
    _programs.clear()
