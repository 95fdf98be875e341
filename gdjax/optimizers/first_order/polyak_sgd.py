"""Polyak's rule, whose step depends on the value, and its variants with momentum. They read `value=`."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.treewise import Vector, VectorDirection, treewise
from gdjax.types import ScalarOrSchedule

TINY = float(np.finfo(np.float64).eps)  # a squared norm up to this is a gradient of zero, as in Optax


@optimizer(static=("variant",), bounds={"max_learning_rate": "(0, inf)", "scaling": "[0, inf)", "eps": "[0, inf)"})
def polyak_sgd(
    max_learning_rate: ScalarOrSchedule = 1.0,
    scaling: ScalarOrSchedule = 1.0,
    f_min: ScalarOrSchedule = 0.0,
    eps: ScalarOrSchedule = 0.0,
    variant="sps",
):
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

    >>> opt, x, g = gd.polyak_sgd(), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x, value=2.5)[0])
    [-0.5 1.]
    """
    if variant not in ("sps", "sps+"):
        raise ValueError(f"polyak_sgd: variant must be 'sps' or 'sps+', got {variant!r}")
    numbers: dict[str, Any] = {"f_min": f_min, "eps": eps, "longest": max_learning_rate}
    init, update = treewise(polyak_sgd_rule, scaling, static={"is_plus": variant == "sps+"}, **numbers)
    return init, update  # `scaling` is no rate


def polyak_sgd_rule(g: Vector, value: Array, *, f_min: Any, eps: Any, longest: Any, is_plus: bool) -> VectorDirection:
    s, squared, scaled = rescale(g)
    gap = jnp.maximum(value - f_min, 0) if is_plus else value - f_min
    squared = squared + eps * s * s
    rate = jnp.minimum(tree.ratio(gap, squared) * s, longest / s)
    return jnp.where(squared > TINY * s * s, rate, 0) * scaled, {}


def rescale(x: Vector) -> tuple[Array, Array, Vector]:
    """(s, |s x|², s x): s is 1, or 1/|x| where |x|² would leave the floats' range; 0 for x = 0."""
    size, scale = tree.norm(x.leaves)
    plain = scale == 1
    s = jnp.where(plain, 1, tree.ratio(scale, size))
    return s, jnp.where(plain, size * size, jnp.sign(size)), s * x
