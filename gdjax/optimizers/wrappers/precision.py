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

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gdjax import tree
from gdjax.calls.node import Key, as_key, as_optimizer, optimizer


class MasterState(NamedTuple):
    master: Any  # float32 copies of the 16-bit leaves, None in the place of all others
    inner: Any

    def route(self, ask: Callable, params: Any) -> list[Any]:
        """The inner state is asked about the copies, which it has seen."""
        found = ask(self.inner, jax.tree.map(_resynchronised, params, self.master))
        return [x if x is None else x.astype(p.dtype) for x, p in zip(found, jax.tree.leaves(params), strict=True)]


class KahanState(NamedTuple):
    compensation: Any  # what rounding has added to the parameters so far, in their dtype
    inner: Any


class RoundingState(NamedTuple):
    count: jax.Array  # () int32, updates so far
    inner: Any


@optimizer
def master_weights(inner):
    """Master weights: float32 copies are trained, the 16-bit parameters are their rounding.

        master <- master + u_inner(grads, master),      u = round(master) - p              p + u = round(master)

    After any number of steps the parameters are, bit for bit, the rounding of those that float32 training on the same
    gradients gives. Leaves of 32 bits and more are their own masters and cost nothing. An entry that is no longer the
    rounding of its master was changed from outside (restored, clipped, scaled): it becomes its own master.

    Args:
        inner: the optimizer of the copies; its state is float32 too.

    Memory: 2 x params (float32 copies of 16-bit ones) + inner in float32.
    Differs from: our other wrappers in that updates of 16-bit leaves are float32 (see the module). Where a step brings
        an entry below 2^-15 of its last size the difference is not exact: the entry is then within 2^-24 of that size.
    Reference: Micikevicius et al. 2018, section 3.1, arXiv:1710.03740.
    """
    inner = as_optimizer(inner)

    def init(params):
        master = jax.tree.map(lambda p: p.astype(jnp.float32) if _is_short(p) else None, params)
        return MasterState(master, inner.init(_widened(params)))

    def update(grads, state, params=None, **extra_args):
        _check("master_weights", grads, params)
        master = jax.tree.map(_resynchronised, params, state.master)
        wide = jax.tree.map(lambda g, p: g.astype(jnp.float32) if _is_short(p) else g, grads, params)
        updates, inner_state = inner.update(wide, state.inner, master, **_rounding(extra_args, params))
        moved: Any = optax.apply_updates(master, updates)
        updates = jax.tree.map(
            lambda p, u, m: _way(p, nearest(m, p.dtype)) if _is_short(p) else u, params, updates, moved
        )
        kept = jax.tree.map(lambda p, m: m if _is_short(p) else None, params, moved)
        return updates, MasterState(kept, inner_state)

    return init, update


@optimizer
def kahan(inner):
    """Kahan: what rounding adds to a parameter is remembered and taken off the next update.

        y = u_inner - compensation,    u = round(y)
        compensation <- (round(p + u) - p) - y                           all rounded to the dtype of p

    So p - compensation moves by u_inner at every step, and a bfloat16 parameter has 16 digits instead of 8. Parameters
    changed from outside need nothing: the compensation is at most half of the last place they had.

    Args:
        inner: the optimizer to follow; it computes in float32 and keeps its state in the dtype of the parameters.

    Memory: 1 x params + inner.
    Reference: Zamirai et al. 2020, Algorithm 3, arXiv:2010.06192; Kahan 1965.
    """
    inner = as_optimizer(inner)

    def init(params):
        return KahanState(jax.tree.map(jnp.zeros_like, params), inner.init(params))

    def update(grads, state, params=None, **extra_args):
        _check("kahan", grads, params)
        fine, inner_state = _fine_updates(inner, grads, state.inner, params, extra_args)
        pairs = tree.leafmap(_compensated, params, fine, state.compensation)
        structure = jax.tree.structure(params)
        updates, lost = (structure.unflatten([pair[i] for pair in pairs]) for i in (0, 1))
        return updates, KahanState(lost, inner_state)

    return init, update


@optimizer
def stochastic_rounding(inner, key: Key = 0):
    """Stochastic rounding: 16-bit sums are rounded up or down by chance, so that the mean is the sum.

        p + u = up with probability (s - down) / (up - down), else down;    s = p + u_inner,    u = that - p

    Steps far below the last place are taken now and then instead of never. Entries that are not finite stay as they are;
    leaves of 32 bits and more are left to ordinary rounding.

    Args:
        inner: the optimizer to follow; it computes in float32 and keeps its state in the dtype of the parameters.
        key: a key or seed; step i draws from fold_in(key, i), so that a run is reproducible and may be resumed.

    Memory: 0 + inner.
    Differs from: our other wrappers in that updates of 16-bit leaves are float32 (see the module).
    Reference: Gupta et al. 2015, section 3, arXiv:1502.02551; Zamirai et al. 2020, arXiv:2010.06192.
    """
    inner = as_optimizer(inner)

    def init(params):
        return RoundingState(jnp.zeros((), jnp.int32), inner.init(params))

    def update(grads, state, params=None, **extra_args):
        _check("stochastic_rounding", grads, params)
        fine, inner_state = _fine_updates(inner, grads, state.inner, params, extra_args)
        of_step = jax.random.fold_in(as_key(key), state.count)
        leaves, structure = jax.tree.flatten(params)
        updates = [
            _way(p, by_chance(p.astype(jnp.float32) + u.astype(jnp.float32), p.dtype, jax.random.fold_in(of_step, i)))
            if _is_short(p)
            else u
            for i, (p, u) in enumerate(zip(leaves, structure.flatten_up_to(fine), strict=True))
        ]
        return structure.unflatten(updates), RoundingState(tree.increment(state.count), inner_state)

    return init, update


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


def _is_short(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating) and jnp.finfo(x.dtype).bits < 32


def _widened(params: Any) -> Any:
    return jax.tree.map(lambda p: p.astype(jnp.float32) if _is_short(p) else p, params)


def _resynchronised(p: jax.Array, master: jax.Array | None) -> jax.Array:
    if master is None:
        return p
    wide = p.astype(jnp.float32)
    return jnp.where(nearest(master, p.dtype) == wide, master, wide)


def _way(p: jax.Array, target: jax.Array) -> jax.Array:
    """The float32 step from a 16-bit p to a target of its dtype; none where it is there (from inf to inf is nan)."""
    wide = p.astype(jnp.float32)
    return jnp.where(target == wide, 0, target - wide)


def _compensated(p: jax.Array, u: jax.Array, compensation: jax.Array) -> tuple[jax.Array, jax.Array]:
    dtype = tree.arithmetic_dtype(p)
    wide, y = p.astype(dtype), u.astype(dtype) - compensation.astype(dtype)
    step = nearest(y, p.dtype)
    lost = (nearest(wide + step, p.dtype) - wide) - y
    return step.astype(p.dtype), jnp.where(jnp.isfinite(lost), lost, 0).astype(p.dtype)


def _fine_updates(inner: Any, grads: Any, state: Any, params: Any, extra_args: dict[str, Any]) -> tuple[Any, Any]:
    """The updates before they are rounded to 16 bits: inner sees the parameters in float32, its state stays as it is."""
    updates, new = inner.update(grads, state, _widened(params), **_rounding(extra_args, params))
    return updates, tree.cast_like(new, state)


def _rounding(extra_args: dict[str, Any], params: Any) -> dict[str, Any]:
    """The objective of the float32 parameters that inner sees is that of their rounding."""
    value_fn = extra_args.get("value_fn")
    if value_fn is None:
        return extra_args

    def value_of_rounded(p, **options):
        return value_fn(tree.cast_like(p, params), **options)

    value_of_rounded.fine = getattr(value_fn, "fine", value_fn)  # type: ignore[attr-defined]
    return {**extra_args, "value_fn": value_of_rounded}


def _check(who: str, grads: Any, params: Any) -> None:
    if params is None:
        raise ValueError(f"{who}: update needs params to round them, got None")
    tree.check_like(who, "grads", grads, "params", params)
