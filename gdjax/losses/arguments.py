"""Functions that the losses share: checks of arguments, joined axes, products and logarithms with their limits."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable
from typing import Any, ParamSpec, TypeAlias, cast

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gdjax import domain
from gdjax.data import as_arrays
from gdjax.domain import within
from gdjax.tree import widen

P = ParamSpec("P")
Axis: TypeAlias = int | tuple[int, ...] | None


def widen_arguments(loss: Callable[P, jax.Array]) -> Callable[P, jax.Array]:
    """The loss computed in at least float32, so that no square overflows; its value has the dtype of the arguments."""
    pair = tuple(inspect.signature(loss).parameters)[:2]

    @functools.wraps(loss)
    def compute(*args: P.args, **keywords: P.kwargs) -> jax.Array:
        given = {**dict(zip(pair, args, strict=False)), **{name: keywords[name] for name in pair if name in keywords}}
        wide = {name: widen(x) for name, x in given.items()}
        if all(wide[name] is x for name, x in given.items()):
            return loss(*args, **keywords)
        first = (wide[name] for name in pair[: len(args)])
        value = cast(Any, loss)(*first, *args[2:], **{name: wide.get(name, x) for name, x in keywords.items()})
        dtypes = [jnp.result_type(cast(Any, x)) for x in given.values() if x is not None]
        floats = [dtype for dtype in dtypes if jnp.issubdtype(dtype, jnp.inexact)]
        return value.astype(jnp.finfo(jnp.result_type(*floats)).dtype)

    return compute


def alike(
    who: str, a_name: str, a: ArrayLike, b_name: str, b: ArrayLike, real: bool = False
) -> tuple[jax.Array, jax.Array]:
    """Both arguments as floating arrays of one shape."""
    a, b = floating(who, a), floating(who, b)
    if a.shape != b.shape:
        raise ValueError(f"{who}: {a_name} and {b_name} must have one shape, got {a.shape} and {b.shape}")
    if real:
        check_real(who, a_name, a)
        check_real(who, b_name, b)
    return a, b


def floating(who: str, x: ArrayLike) -> jax.Array:
    x = jnp.asarray(as_arrays(who, x))
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(float)


def check_real(who: str, name: str, x: jax.Array) -> None:
    if jnp.iscomplexobj(x):
        raise TypeError(f"{who}: {name} must be real, got {x.dtype}")


def last(who: str, x: jax.Array, axis: Axis) -> jax.Array:
    """x with the given axis last; several axes (all if None) are joined into one."""
    if axis == -1 and x.ndim:
        return x
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    places = [operator.index(i) + x.ndim * (i < 0) for i in axes]
    if len({*places} & {*range(x.ndim)}) < len(places) or not x.ndim:
        raise ValueError(f"{who}: axis must be of the {x.ndim} axes of an array of shape {x.shape}, got {axis}")
    rest = [i for i in range(x.ndim) if i not in places]
    return x.transpose(rest + places).reshape([x.shape[i] for i in rest] + [-1])


def mask_of(who: str, name: str, x: jax.Array, axis: Axis, where: ArrayLike | None, rows: bool) -> jax.Array | None:
    """The mask in the shape of `last(x)`, or None.

    Args:
        rows: whether a mask of fewer axes than x has one entry per row, as in Optax's cross-entropies; else it is
            broadcast, as in all others of Optax's.
    """
    if where is None:
        return None
    mask = jnp.asarray(where).astype(bool)
    try:
        mask = jnp.expand_dims(mask, axis) if rows and axis is not None and mask.ndim != x.ndim else mask
        mask = jnp.broadcast_to(mask, x.shape)
    except ValueError as error:
        fits = f"the shape {x.shape} of {name}" + (
            ", or that of its rows" if rows else ", or one that broadcasts to it"
        )
        raise ValueError(f"{who}: where must have {fits}, got {jnp.shape(where)}") from error
    return last(who, mask, axis)


def select(x: jax.Array, mask: jax.Array | None, other: Any = 0) -> jax.Array:
    """x where the mask is true; else `other`, or 0 in a row that is masked out completely."""
    if mask is None:
        return x
    return jnp.where(mask, x, jnp.where(jnp.any(mask, axis=-1, keepdims=True), other, 0))


def nonempty_rows(mask: jax.Array | None) -> Any:
    """Which rows are not masked out completely."""
    return True if mask is None else jnp.any(mask, axis=-1)


def distributions(who: str, name: str, p: jax.Array, mask: jax.Array | None) -> jax.Array:
    """1 where the rows of p are distributions, either as a whole or in their unmasked part; else NaN."""
    if mask is None:
        return within(who, name, p, domain.DISTRIBUTIONS)
    whole = domain.DISTRIBUTIONS.holds(p)
    return within(who, name, jnp.where(whole[..., None], p, select(p, mask)), domain.DISTRIBUTIONS, nonempty_rows(mask))


def finite(x: jax.Array) -> jax.Array:
    """x with infinities replaced by the largest finite number, with derivative 0."""
    return jnp.where(jnp.isinf(x), jnp.sign(x) * jnp.finfo(x.dtype).max, x)


def product(p: float | jax.Array, x: jax.Array) -> jax.Array:
    """p x, where 0 times infinity is 0; its derivative with respect to p is x, also at p = 0."""
    return p * jnp.where(p == 0, finite(x), x)


@jax.custom_jvp
def log_softmax(logits: jax.Array) -> jax.Array:
    """log softmax over the last axis, with its limit at infinite logits: 0 for a single +inf, NaN for several."""
    most = jnp.max(logits, axis=-1, keepdims=True)
    shifted = jnp.where(logits == most, 0, logits - most)
    total = jnp.sum(jnp.exp(shifted), axis=-1, keepdims=True)  # where most is infinite: how many are
    return jnp.where(jnp.isfinite(most) | (total == 1), shifted - jnp.log(total), jnp.nan)


@log_softmax.defjvp
def _log_softmax_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
    (logits,), (change,) = primals, tangents
    log_p = log_softmax(logits)
    return log_p, change - jnp.sum(jnp.exp(log_p) * change, axis=-1, keepdims=True)
