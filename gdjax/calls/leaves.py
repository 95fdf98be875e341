"""The leaves of a call, which are its numbers, and its structure."""

from __future__ import annotations

import numbers
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gdjax.calls.spec import data_of, is_key, render
from gdjax.fingerprint import by_value


def is_number(x: Any) -> bool:
    """Whether x is a leaf: a Python number, an array, a tracer or a ShapeDtypeStruct. A bool is a flag and no number."""
    if isinstance(x, (bool, np.bool_)):
        return False
    return isinstance(x, (numbers.Number, np.ndarray, np.generic, jax.Array, jax.ShapeDtypeStruct))


def is_concrete(x: Any) -> bool:
    return is_number(x) and not isinstance(x, (Tracer, jax.ShapeDtypeStruct))


@jax.tree_util.register_static
class Static:
    """A value in a pytree that is part of the structure and no leaf; compared by value."""

    def __init__(self, value: Any):
        self.value = value

    def canonicalize(self) -> Static:
        """The value with its functions compared by their present value."""
        value = by_value(self.value)
        return self if value is self.value else Static(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and (self.value is other.value or same(self.value, other.value))

    def __hash__(self) -> int:
        try:
            return hash(self.value)
        except TypeError:  # a dict or an array: equality decides
            return hash(type(self.value))

    def __repr__(self) -> str:
        return f"Static({self.value!r})"


def same(a: Any, b: Any) -> bool:
    if is_number(a) and is_number(b):
        if not (is_concrete(a) and is_concrete(b)):
            return a is b
        a, b = data_of(a), data_of(b)
        if np.ndim(a) or np.ndim(b):
            return np.array_equal(np.asarray(a), np.asarray(b))
        return render(a) == render(b)
    return type(a) is type(b) and bool(np.all(a == b))


class Precise(NamedTuple):
    """A number as a sum of two floats, accurate to about 14 digits even if all arrays are float32."""

    high: Any
    low: Any

    @classmethod
    def of(cls, x: float) -> Precise:
        return cls(x, float(str(np.float32(x - float(np.float32(x))))))

    def join(self) -> Any:
        """The number in double precision; the pair itself while it is traced."""
        if isinstance(self.high, float) or not (is_concrete(self.high) and is_concrete(self.low)):
            return self.high if isinstance(self.high, float) else self
        number = np.asarray(self.high, np.float32).astype(np.float64) + np.asarray(self.low, np.float64)
        return number if number.ndim else float(f"{number:.13g}")


def as_key(x: Any) -> jax.Array:
    """A typed random key, from a key of either style, its data as integers, or an integer seed."""
    if is_key(x):
        return x
    return jax.random.wrap_key_data(jnp.asarray(x, jnp.uint32)) if np.ndim(x) else jax.random.key(x)
