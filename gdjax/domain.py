"""Domains of the arguments of losses and metrics: concrete numbers outside raise ValueError, traced ones give NaN.

A label of another kind (-1/+1 in place of 0/1, classes counted from 1) would give a finite value, and a model that learns
something else. So every loss multiplies its value by `within(...)`: 1 inside its domain, NaN outside, in value and gradient,
also under `jit`, `vmap` and `grad`. Concrete numbers outside raise ValueError instead.

A traced function cannot raise. `overhear` runs one such that the arguments of its losses are checked nevertheless; the
training loop uses it when a run is not finite.
"""

from __future__ import annotations

import contextlib
import contextvars
import numbers
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gdjax.calls import is_concrete, is_number


class Domain(NamedTuple):
    """A set of numbers: its name, its test (elementwise, or over the last axis), and advice for numbers outside."""

    text: str
    holds: Callable[[Any], Any]
    advice: Callable[[np.ndarray], str] = lambda values: ""


class Heard(NamedTuple):
    """The names of the checked arguments, and the function that checks their values."""

    names: set[str]
    checks: list[Callable[[], None]]


_listener: contextvars.ContextVar[Heard | None] = contextvars.ContextVar("listener", default=None)


def within(who: str, name: str, x: Any, domain: Domain, counted: Any = True) -> jax.Array:
    """1 where x is in the domain, else NaN.

    Args:
        counted: where x matters; elsewhere the result is 1.

    Raises: ValueError for concrete numbers outside.
    """
    factor = jnp.where(domain.holds(whole_numbers(x)) | ~jnp.asarray(counted), 1, jnp.nan)
    if is_concrete(x) and (counted is True or is_concrete(counted)):
        _check(who, name, np.asarray(x), domain, np.asarray(counted))
        return factor
    listener = _listener.get()
    if listener is None:
        return factor
    listener.names.add(name)

    def tell(x: Any, counted: Any) -> np.ndarray:
        x, counted = np.asarray(x), np.asarray(counted)
        listener.checks.append(lambda: _check(who, name, x, domain, counted))
        return np.ones(np.shape(domain.holds(x)), factor.dtype)

    seen = jax.lax.stop_gradient((jnp.asarray(x), jnp.asarray(counted)))
    return factor * jax.pure_callback(tell, factor, *seen, vmap_method="broadcast_all")


def whole_numbers(x: Any) -> jax.Array:
    """Integers widened to at least 32 bits, so that they can be compared with any number of classes; others unchanged."""
    x = jnp.asarray(x)
    return x.astype(jnp.int32) if jnp.issubdtype(x.dtype, jnp.integer) and x.dtype.itemsize < 4 else x


def as_length(who: str, name: str, value: Any, least: int = 1) -> Any:
    """A number of steps, rows or evaluations as an int; a tracer as it is.

    Raises: ValueError unless it is a whole number that is at least `least`.
    """
    if isinstance(value, Tracer):
        return value
    if not is_number(value) or np.ndim(value) or np.iscomplexobj(value) or not value >= least:
        raise ValueError(f"{who}: {name} must be at least {least}, got {value!r}")
    if not value // 1 == value:  # infinity is none either
        raise ValueError(f"{who}: {name} must be a whole number, got {value!r}")
    return int(value)


def as_random_key(who: str, key: Any) -> Any:
    """A key of JAX as it is, and that of a whole number.

    Raises: TypeError for what is neither, ValueError for a number that no key holds.
    """
    if isinstance(key, numbers.Integral) and not isinstance(key, bool):
        if not -(2**63) <= (number := int(key)) < 2**63:
            raise ValueError(f"{who}: key must be a key of JAX or a whole number below 2^63, got {number}")
        return jax.random.key(number)
    if isinstance(key, (jax.Array, np.ndarray, jax.ShapeDtypeStruct)):
        if jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key) or (key.ndim and key.dtype == np.uint32):
            return key
        if not key.ndim and np.issubdtype(key.dtype, np.integer):
            return jax.random.key(key)  # type: ignore[arg-type]
    raise TypeError(f"{who}: key must be a key of JAX, as of jax.random.key(0), or a whole number, got {key!r}")


@contextlib.contextmanager
def overhear() -> Iterator[Heard]:
    """A context for calls of functions that are not traced yet, which checks the arguments of losses in traced code too.

    Raises: at the end, ValueError for the first loss with an argument outside its domain.
    """
    listener = Heard(set(), [])
    token = _listener.set(listener)
    try:
        yield listener
    finally:
        _listener.reset(token)
    for check in listener.checks:
        check()


def _check(who: str, name: str, values: np.ndarray, domain: Domain, counted: np.ndarray) -> None:
    wrong = ~np.asarray(domain.holds(values))
    counted = np.broadcast_to(counted.astype(bool), wrong.shape)
    if not np.any(wrong & counted):
        return
    advice = domain.advice(values[counted])
    raise ValueError(f"{who}: {name} must be in {domain.text}, got {_sample(values, wrong & counted)}{advice}")


def _sample(values: np.ndarray, wrong: np.ndarray) -> str:
    """A few of the numbers that are outside, e.g. "-1" or "3, 4, 5, ... 10"."""
    if values.ndim > wrong.ndim:
        return np.array2string(values[wrong][0], threshold=6, precision=4)
    outside = np.unique(values[wrong])
    some = ", ".join(f"{value:.6g}" for value in outside[:3].tolist())
    return some if len(outside) <= 3 else f"{some}, ... {outside[-1]:.6g}"


# The domains.


def _values(x: np.ndarray) -> set[Any]:
    return set(np.unique(x)[:3].tolist())


def _for_shares(values: np.ndarray) -> str:
    return "; of labels -1 and +1 write (labels + 1) / 2" if _values(values) <= {-1, 1} else ""


def _for_signs(values: np.ndarray) -> str:
    return "; of labels 0 and 1 write 2 * labels - 1" if _values(values) <= {0, 1} else ""


SHARES = Domain("[0, 1]", lambda y: (y >= 0) & (y <= 1), _for_shares)
SIGNS = Domain("{-1, +1}", lambda y: (y == 1) | (y == -1), _for_signs)


def _is_binary(y: Any) -> Any:
    both = isinstance(y, np.ndarray) and -1 in y and 0 in y
    return ((y == 0) | (abs(y) == 1)) & (not both)


BINARY = Domain("{0, 1} or {-1, +1}", _is_binary)


def classes(count: int) -> Domain:
    """0, 1, ..., count - 1."""

    def advice(values: np.ndarray) -> str:
        from_one = values.min() == 1 and values.max() == count
        return f"; {count} classes counted from 1: write labels - 1" if from_one else ""

    return Domain(f"[0, {count})", lambda y: (y >= 0) & (y < count), advice)


def _beyond(x: Any, low: float, high: float) -> Any:
    """Whether x is outside by more than rounding; false for NaN, which shows in the value anyway."""
    rounding = 4 * float(jnp.finfo(x.dtype).eps)
    return (x < low - rounding) | (x > high + rounding)


PROBABILITIES = Domain(
    "[0, 1]", lambda p: ~_beyond(p, 0, 1), lambda values: "; of scores take the loss that is named from_logits"
)
LOG_PROBABILITIES = Domain("(-inf, 0]", lambda x: ~_beyond(x, -np.inf, 0).any(-1), lambda values: "; take log_softmax")


def _is_distribution(p: Any) -> Any:
    return (p >= 0).all(-1) & (abs(p.sum(-1) - 1) <= 0.01)


def _are_summable(w: Any) -> Any:
    """Whether weights (..., n) are >= 0 and not all subnormal, since compiled code treats subnormal numbers as 0."""
    if not jnp.issubdtype(w.dtype, jnp.floating):
        return w >= 0
    info = jnp.finfo(w.dtype)
    bits = w.view(f"int{info.bits}")
    subnormal = (bits > 0) & (bits < 1 << info.nmant)
    matters = w.max(-1, keepdims=True) < float(info.tiny / info.eps)  # among larger ones nothing is lost
    return (w >= 0) & ~(subnormal & matters)


def _for_small(values: np.ndarray) -> str:
    return (
        "; numbers that small are 0 to compiled code: multiply all weights by one factor" if (values >= 0).all() else ""
    )


SUMMABLE = Domain("[0, inf)", _are_summable, _for_small)
WEIGHTS = Domain("[0, inf)", lambda w: w >= 0)
DISTRIBUTIONS = Domain("the distributions (entries of at least 0 and sum 1)", _is_distribution)
