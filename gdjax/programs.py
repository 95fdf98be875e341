"""Compiled programs, each kept once and in a bounded number, looked up by value.

`compiled(f)` is `jax.jit(f)` kept under the *value* of f. What gdjax's makers return (`make_step(...)`,
`per_example(...)`, `mlp(...)`) compares by value, so building the same loop twice compiles it once. Bound methods and
`functools.partial` compare by identity in Python; `bind` gives them a value too. The least recently used programs
are dropped; `clear_programs()` drops all.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import inspect
import types
from collections.abc import Callable
from typing import Any

import jax

CAPACITY = 64

_programs: collections.OrderedDict[Any, Any] = collections.OrderedDict()


def compiled(function: Callable, donate: tuple[int, ...] = ()) -> Any:
    """The jitted function, the same object for equal functions."""
    key = bind(function), donate
    if key not in _programs:
        _programs[key] = jax.jit(key[0], donate_argnums=donate)
        while len(_programs) > CAPACITY:
            _programs.popitem(last=False)
    _programs.move_to_end(key)
    return _programs[key]


def clear_programs() -> None:
    """Forget every compiled program that gdjax keeps."""
    _programs.clear()


@dataclasses.dataclass(frozen=True)
class Bound:
    """A function with some arguments given, compared by value; made by `bind`."""

    function: Callable
    args: tuple
    keywords: tuple[tuple[str, Any], ...]

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self.function(*self.args, *args, **{**dict(self.keywords), **keywords})

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(functools.partial(self.function, *self.args, **dict(self.keywords)))


def bind(function: Any, *args: Any, **keywords: Any) -> Any:
    """`functools.partial` that compares by value: `bind(huber, delta=0.5)`.

    A partial or a bound method given alone comes back comparing by value; any other function as it is.
    """
    if isinstance(function, types.MethodType):
        function, args = function.__func__, (function.__self__, *args)
    partial = functools.partial(function, *args, **keywords)
    if not (partial.args or partial.keywords):
        return function
    return Bound(partial.func, partial.args, tuple(sorted(partial.keywords.items())))
