"""Adam with the second moment of the step before, which converges with any b2."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.tree import abs_sq
from gdjax.types import DTypeLike, ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)"}


_MOMENTS = {**_RATE, "b1": "[0, 1)", "b2": "[0, 1)"}


def fourth_root(x: Array) -> Array:
    return x**0.25


@optimizer(static=("mu_dtype", "nesterov", "use_clipping", "clip_value_fn"), bounds=_MOMENTS)
def adopt(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.9999,
    eps: ScalarOrSchedule = 1e-6,
    mu_dtype: DTypeLike | None = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_value_fn=fourth_root,
):
    """ADOPT: Adam that divides a gradient by the moment of those before it, and so converges for every b2.

        d = clip(g / max(sqrt(nu), eps), clip_value_fn(step))        nu <- b2 nu + (1 - b2) g²   (nu <- g² at step 0)
        mu <- b1 mu + (1 - b1) d  (0 at step 0)                      u = -learning_rate mu
        u = -learning_rate (b1 mu + (1 - b1) d)  with the new mu                                 nesterov

    The first step only fills nu and moves nothing.

    Args:
        learning_rate: parameter units per step; number, array or schedule.
        b1: in [0, 1), decay rate of the mean of the directions.
        b2: in [0, 1), decay rate of the mean of the squares.
        eps: > 0, gradient units.
        mu_dtype: dtype of mu (default: that of the parameter).
        nesterov: look one step ahead.
        use_clipping: clip the direction's entries.
        clip_value_fn: step (from 0) -> the largest entry let through.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Differs from: Optax, which has no complex parameters; here their modulus is clipped.
    Reference: Taniguchi et al. 2024, Algorithm 2, arXiv:2411.02853.

    >>> opt, x, g = gd.adopt(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> updates, state = opt.update(g, opt.init(x), x)
    >>> print(updates, opt.update(g, state, x + updates)[0])
    [-0. -0.] [-0.01 0.01]
    """
    slots: dict[str, Any] = {"mu": Slot(dtype=mu_dtype), "nu": Slot(real=True)}
    static = {"clip_value_fn": clip_value_fn}
    flags: dict[str, Any] = {"nesterov": nesterov, "use_clipping": use_clipping}
    return leafwise(adopt_rule, learning_rate, slots=slots, static=static, b1=b1, b2=b2, eps=eps, **flags)


def adopt_rule(
    g: Array,
    t: Array,
    mu: Array,
    nu: Array,
    *,
    b1: Array,
    b2: Array,
    eps: Array,
    nesterov: bool,
    use_clipping: bool,
    clip_value_fn: Any,
) -> Direction:
    first = t == 1
    d = g / jnp.maximum(jnp.sqrt(nu), eps)
    if use_clipping:
        d = _clip_entries(d, clip_value_fn(t - 1))
    keep = jnp.where(first, 1, b1)
    mu = keep * mu + (1 - keep) * d
    nu = jnp.where(first, abs_sq(g), b2 * nu + (1 - b2) * abs_sq(g))
    return (keep * mu + (1 - keep) * d if nesterov else mu), {"mu": mu, "nu": nu}


def _clip_entries(d, limit):
    return tree.shorten_entries(d, limit) if jnp.iscomplexobj(d) else jnp.clip(d, -limit, limit)
