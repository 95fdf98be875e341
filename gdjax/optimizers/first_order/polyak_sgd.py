"""Steps as long as the value says: Polyak's rule, and its descendants with momentum. They read `value=`."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import _refuse_integers

_TINY = float(np.finfo(np.float64).eps)  # a squared norm up to this is a gradient of zero, as in Optax


def _value(who: str, value: Any) -> jax.Array:
    if value is None:
        raise ValueError(f"{who}: update needs value=, the loss at params, as make_step passes it")
    return jnp.asarray(value, jnp.result_type(float))


def _at(x: Any, count: jax.Array) -> Any:
    return x(count) if callable(x) else x


def _wide(x: jax.Array) -> jax.Array:
    return x.astype(tree.arithmetic_dtype(x))


def _scaled(x: Any) -> tuple[jax.Array, jax.Array, Any]:
    """(s, |s x|², s x): s is 1, or 1/|x| where |x|² would leave the floats' range; 0 for x = 0."""
    size, scale = tree.norm(x)
    plain = scale == 1
    s = jnp.where(plain, 1, tree.ratio(scale, size))
    return s, jnp.where(plain, size * size, jnp.sign(size)), jax.tree.map(lambda leaf: s * _wide(leaf), x)


class PolyakState(NamedTuple):
    count: jax.Array | None  # updates so far, () int32; None unless a schedule asks


@optimizer(static=("variant",), bounds={"max_learning_rate": "(0, inf)", "scaling": "[0, inf)", "eps": "[0, inf)"})
def polyak_sgd(max_learning_rate=1.0, scaling=1.0, f_min=0.0, eps=0.0, variant="sps"):
    """Polyak's step: as far as a line with this slope takes to come down to the least value.

        u = -scaling min((value - f_min) / (|g|² + eps), max_learning_rate) g

    Args:
        max_learning_rate: > 0, the longest step, parameter units per gradient unit.
        scaling: factor of the step; number or schedule.
        f_min: the least value there is.
        eps: >= 0, gradient units squared.
        variant: "sps", or "sps+", which takes a value below f_min for f_min.

    A gradient with |g|² + eps up to 2.2e-16 counts as zero, as in Optax.

    Memory: 0 x params.   Raises: ValueError outside these ranges, or if update is called without `value=`.
    Differs from: Optax, which scales the gradient before it takes |g|²: there half the scaling doubles the step.
    Reference: Loizou et al. 2021, equation 2 (SPS_max), arXiv:2002.10542; Polyak 1969.
    """
    if variant not in ("sps", "sps+"):
        raise ValueError(f"polyak_sgd: variant must be 'sps' or 'sps+', got {variant!r}")

    def init(params):
        _refuse_integers("polyak_sgd", params)
        return PolyakState(jnp.zeros((), jnp.int32) if callable(scaling) else None)

    def update(grads, state, params=None, *, value=None, **extra_args):
        if params is not None:
            tree.check_like("polyak_sgd", "grads", grads, "params", params)
        s, squared, scaled = _scaled(grads)
        gap = _value("polyak_sgd", value) - f_min
        gap = jnp.maximum(gap, 0) if variant == "sps+" else gap
        squared = squared + eps * s * s
        rate = jnp.minimum(tree.ratio(gap, squared) * s, max_learning_rate / s)
        step = _at(scaling, state.count) * jnp.where(squared > _TINY * s * s, rate, 0)
        like = grads if params is None else params
        updates = jax.tree.map(lambda g, p: (-step * g).astype(p.dtype), scaled, like)
        return updates, PolyakState(None if state.count is None else tree.increment(state.count))

    return init, update
