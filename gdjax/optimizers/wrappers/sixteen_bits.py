"""Training in 16 bits without losing small steps: three ways to keep what rounding takes away.

An update of a bfloat16 parameter that is smaller than its last place, 2^-8 of it, is lost when the sum is rounded: late
in a run nothing moves any more. `master_weights` keeps float32 copies (exact, 4 bytes a parameter), `kahan` the lost part
(2 bytes), `stochastic_rounding` nothing at all, but rounds up or down by chance so that nothing is lost on average.

The caller makes  p <- (p + u), rounded to the dtype of p.  Which u makes that a given target? The difference of two
bfloat16 numbers need not be one: 0.01 - 1 has more digits. It is exact in bfloat16 within a factor of two of p, and in
float32 as long as |target| >= 2^-15 |p|. Therefore the updates of 16-bit leaves by `master_weights` and
`stochastic_rounding` are float32, alone in this house: with any other wrapper outside that scales or adds to them they
are no longer what they say, so put these two outermost. `kahan` needs no target and keeps the dtype of the parameters.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree


def nearest(x: jax.Array, dtype: Any) -> jax.Array:
    """x, float32, rounded to a 16-bit dtype, and float32 still; x itself for a wider one.

    Not a cast there and back, which a compiler may take for nothing.
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
    """x, float32, rounded to a 16-bit dtype at random with mean x, and float32 still.

    Random digits are added below the last one kept, and cut off: the carry comes with the right probability. The sign
    is apart from the digits, so that negative numbers round as their absolute values do.
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
    """The float32 step from a 16-bit p to a target of its dtype; none where it is there (from inf to inf is nan)."""
    wide = p.astype(jnp.float32)
    return jnp.where(target == wide, 0, target - wide)


def fine_updates(inner: Any, grads: Any, state: Any, params: Any, extra_args: dict[str, Any]) -> tuple[Any, Any]:
    """The updates before they are rounded to 16 bits: inner sees the parameters in float32, its state stays as it is."""
    updates, new = inner.update(grads, state, widen(params), **with_rounding(extra_args, params))
    return updates, tree.cast_like(new, state)


def with_rounding(extra_args: dict[str, Any], params: Any) -> dict[str, Any]:
    """The objective of the float32 parameters that inner sees is that of their rounding."""
    value_fn = extra_args.get("value_fn")
    if value_fn is None:
        return extra_args

    def value_at_rounding(p, **options):
        return value_fn(tree.cast_like(p, params), **options)

    value_at_rounding.fine = getattr(value_fn, "fine", value_fn)  # type: ignore[attr-defined]
    return {**extra_args, "value_fn": value_at_rounding}


def check_arguments(who: str, grads: Any, params: Any) -> None:
    if params is None:
        raise ValueError(f"{who}: update needs params to round them, got None")
    tree.check_like(who, "grads", grads, "params", params)
