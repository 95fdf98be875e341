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
from gdjax.fingerprint.values import ByIdentity, is_named_tuple


class ByValue:
    """A stand-in for a function that is compared and hashed by what the function reads at this moment.

    It is used in the structure of pytrees, for example, which JAX compares to find programs. A stand-in for an unknown
    function equals only itself.
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


# Function -> its latest stand-in.
_unknown: weakref.WeakValueDictionary[ByIdentity, ByValue] = weakref.WeakValueDictionary()


def _stand_in(function: Callable[..., Any]) -> ByValue:
    made = ByValue(function)
    if made.key is None:
        if isinstance(jnp.zeros(()), Tracer):  # inside a program use the stand-in made outside
            return _unknown.get(ByIdentity(function), made)
        _unknown[ByIdentity(function)] = made
    return made


def by_value(x: Any) -> Any:
    """A function, or a tuple of functions, that compares by value; library functions and other objects are unchanged."""
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
    """The inverse of `by_value`."""
    return x.function if isinstance(x, ByValue) else x
