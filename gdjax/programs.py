"""Compiled programs, each kept once and in a bounded number, looked up by value.

`compiled(f)` is `jax.jit(f)` kept under the *value* of f. What gdjax's makers return (`make_step(...)`,
`per_example(...)`, `mlp(...)`) compares by value, so building the same loop twice compiles it once. Bound methods and
`functools.partial` compare by identity in Python; `by_value` gives them a value too. The least recently used programs
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
    key = by_value(function), donate
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


def bind(function: Callable, *args: Any, **keywords: Any) -> Bound:
    """function with some arguments given, equal to any other such call: `bind(huber, delta=0.5)`."""
    return Bound(function, args, tuple(sorted(keywords.items())))


def by_value(function: Any) -> Any:
    """The same function, comparing by value also where it is a `functools.partial` or a bound method."""
    if isinstance(function, functools.partial):
        return bind(by_value(function.func), *function.args, **function.keywords)
    if isinstance(function, types.MethodType):
        return bind(function.__func__, function.__self__)
    return function
