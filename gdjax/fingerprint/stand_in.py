"""Stand-ins for functions, which compare by what the function reads."""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.core import Tracer

from gdjax.fingerprint.changing import PLAIN
from gdjax.fingerprint.library import is_itself, is_library
from gdjax.fingerprint.reader import read
from gdjax.fingerprint.values import Same, is_named_tuple


class ByValue:
    """A function that is equal to others, and hashed, by what it reads at this moment; it stands in the function's place.

    In the structure of a pytree, say, which JAX compares to find its programs. Of a function that cannot be known, each is
    equal to itself alone.
    """

    function: Callable[..., Any]
    key: tuple[Any, ...] | None
    hash: int

    def __init__(self, function: Callable[..., Any]):
        functools.update_wrapper(self, function)
        reading = read(function, capture=False)
        self.function, self.key = function, None if reading.unknown else reading.key
        self.hash = hash(self.key)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self.function(*args, **keywords)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, ByValue) and self.key is not None and self.key == other.key)

    def __hash__(self) -> int:
        return self.hash

    def __repr__(self) -> str:
        return repr(self.function)

    def __reduce__(self) -> tuple[Any, ...]:
        return ByValue, (self.function,)

    def __reads__(self) -> tuple[Any, ...]:
        return (self.function,)


_unknown: weakref.WeakValueDictionary[Same, ByValue] = weakref.WeakValueDictionary()  # the last of each function


def _stand_in(function: Callable[..., Any]) -> ByValue:
    made = ByValue(function)
    if made.key is None:
        if isinstance(jnp.zeros(()), Tracer):  # within a program it is what it was outside
            return _unknown.get(Same(function), made)
        _unknown[Same(function)] = made
    return made


def by_value(x: Any) -> Any:
    """A function, or a tuple of them, made to compare by value; a library's function, and all else, as it is."""
    if type(x) in PLAIN:
        return x
    if is_named_tuple(x):
        return type(x)(*map(by_value, x))
    if isinstance(x, ByValue):
        return _stand_in(x.function)
    is_function = isinstance(x, (types.FunctionType, types.MethodType, functools.partial))
    is_own = callable(x) and not isinstance(x, type) and not is_library(type(x).__module__)
    return _stand_in(x) if (is_function or is_own) and not is_itself(x) else x


def itself(x: Any) -> Any:
    """What `by_value` was given."""
    return x.function if isinstance(x, ByValue) else x
