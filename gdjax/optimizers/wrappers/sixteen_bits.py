"""Training with 16-bit parameters without losing small updates: three ways to handle rounding.

An update of a bfloat16 parameter that is below its resolution, 2^-8 of it, is lost when the sum is rounded, so that late in
a run nothing changes any more. `master_weights` keeps float32 copies (exact, 4 bytes a parameter), `kahan` the rounding
error (2 bytes), and `stochastic_rounding` nothing: it rounds up or down at random so that nothing is lost on average.

The caller computes p <- (p + u), rounded to the dtype of p. For which u is this a given target? The difference of two
bfloat16 numbers need not be a bfloat16 number: 0.01 - 1 has more digits. It is exact in bfloat16 if the target is within a
factor of two of p, and in float32 if |target| >= 2^-15 |p|. Therefore the updates of 16-bit leaves by `master_weights` and
`stochastic_rounding` are float32, unlike those of all other optimizers. A wrapper outside that scales them or adds to them
would make them wrong, so put these two outermost. `kahan` needs no target and keeps the dtype of the parameters.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree


def nearest(x: jax.Array, dtype: Any) -> jax.Array:
    """x, float32, rounded to the values of a 16-bit dtype but still float32; x itself for a wider dtype.

    This is not a cast there and back, which a compiler may remove.
    """
    info = jnp.finfo(dtype)
    if info.bits >= 32:
        return x
    rounded = jax.lax.reduce_precision(x, info.nexp, info.nmant)
    if info.nexp >= 8:  # bfloat16 reaches as far as float32
        return rounded
    least = float(info.smallest_subnormal)  # below its normal numbers float16 is a grid, which reduce_precision skips
    return jnp.where(jnp.abs(x) < float(info.smallest_normal), jnp.round(x / least) * least, rounded)


def by_chance(x: jax.Array, dtype: Any, key: jax.Array) -> jax.Array:
    """x, float32, rounded at random, with mean x, to the values of a 16-bit dtype but still float32.

    Random digits are added below the last digit that is kept, and truncated, so that the carry has the right probability.
    The sign is separate from the digits, so that negative numbers are rounded like their absolute values.
    """
    info = jnp.finfo(dtype)
    cut = jnp.finfo(jnp.float32).nmant - info.nmant
    below = jnp.uint32(2**cut - 1)
    noise = jax.random.bits(key, x.shape, jnp.uint32) & below
    digits = jax.lax.bitcast_convert_type(x, jnp.uint32)
    rounded = jax.lax.bitcast_convert_type((digits + noise) & ~below, jnp.float32)
    if info.nexp < 8:
        least = float(info.smallest_subnormal)
        on_grid = jnp.sign(x) * jnp.floor(jnp.abs(x) / least + noise.astype(jnp.float32) / 2**cut) * least
        rounded = jnp.where(jnp.abs(x) < float(info.smallest_normal), on_grid, rounded)
    return jnp.where(jnp.isfinite(x), rounded, x)


def is_short(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating) and jnp.finfo(x.dtype).bits < 32


def widen(params: Any) -> Any:
    return jax.tree.map(lambda p: p.astype(jnp.float32) if is_short(p) else p, params)


def step_to(p: jax.Array, target: jax.Array) -> jax.Array:
    """The float32 step from a 16-bit p to a target of its dtype; 0 if they are equal (inf - inf would be NaN)."""
    wide = p.astype(jnp.float32)
    return jnp.where(target == wide, 0, target - wide)


def fine_updates(inner: Any, grads: Any, state: Any, params: Any, extra_args: dict[str, Any]) -> tuple[Any, Any]:
    """The updates before rounding to 16 bits: the inner optimizer receives float32 parameters, its state is unchanged."""
    updates, new = inner.update(grads, state, widen(params), **with_rounding(extra_args, params))
    return updates, tree.cast_like(new, state)


def with_rounding(extra_args: dict[str, Any], params: Any) -> dict[str, Any]:
    """The extra arguments with an objective that rounds the float32 parameters of the inner optimizer first."""
    value_fn = extra_args.get("value_fn")
    if value_fn is None:
        return extra_args

    def value_at_rounding(p, **options):
        return value_fn(tree.cast_like(p, params), **options)

    value_at_rounding.fine = getattr(value_fn, "fine", value_fn)  # type: ignore[attr-defined]
    return {**extra_args, "value_fn": value_at_rounding}


def check_arguments(who: str, grads: Any, params: Any) -> None:
    tree.need_params(who, params, "round them")
    tree.check_like(who, "grads", grads, "params", params)
