"""Distance over gradients: the rate is the distance from the start over the root of the summed squared gradients."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.leafwise import Slot
from gdjax.optimizers.treewise import Scalar, Vector, VectorDirection, treewise
from gdjax.types import ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)", "weight_decay": "[0, inf)"}


@optimizer(static=("mask",), bounds=_RATE)
def dog(
    learning_rate: ScalarOrSchedule = 1.0,
    init_step: Any = ("heuristic", 1e-6),
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule | None = None,
    mask: Any = None,
):
    """DoG, distance over gradients: the rate is how far one has come over how much gradient one has seen.

        max_dist <- max(max_dist, |p - p0|),     norm_grads² <- norm_grads² + |g|²
        u = -learning_rate max_dist / sqrt(norm_grads² + eps) g

    Its last iterate wants averaging: `tail_average(dog())`.

    Args:
        learning_rate: factor; number, array or schedule.
        init_step: the first max_dist: ("distance", d), ("heuristic", a) for a (1 + |p0|), or ("learning_rate", r), which
            makes r the first rate.
        eps: >= 0, gradient units squared.
        weight_decay: >= 0, coupled: added to the gradient (default: none).
        mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree.

    Memory: 1 x params.   Raises: ValueError outside these ranges, or for another kind of init_step.
    Differs from: Optax in bfloat16, where its sum of squares stops growing, as it has the parameters' dtype.
    Reference: Ivgi, Hinder & Carmon 2023, equation 1, arXiv:2302.12022.

    >>> opt, x, g = gd.dog(init_step=("distance", 0.1)), jnp.ones(2), jnp.array([3.0, -4.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.06 0.08]
    """
    kind, first = init_step
    if kind not in ("distance", "heuristic", "learning_rate"):
        raise ValueError(f"dog: init_step must begin with 'distance', 'heuristic' or 'learning_rate', got {kind!r}")
    starts = {
        "distance": first,
        "heuristic": lambda params: first * (1 + tree.global_norm(params)),
        "learning_rate": 0.0,
    }
    slots = {"init_params": Slot(lambda p: p), "max_dist": Scalar(starts[kind]), "norm_grads": Scalar()}
    options: dict[str, Any] = {"weight_decay": weight_decay, "mask": mask, "eps": eps, "first": first}
    return treewise(dog_rule, learning_rate, slots=slots, static={"is_rate": kind == "learning_rate"}, **options)


def dog_rule(
    g: Vector,
    p: Vector,
    t: Array,
    init_params: Vector,
    max_dist: Array,
    norm_grads: Array,
    *,
    eps: Any,
    first: Any,
    is_rate: bool,
) -> VectorDirection:
    max_dist = jnp.maximum(max_dist, (p - init_params).norm())
    norm_grads = jnp.hypot(norm_grads, g.norm())  # the root of Optax's sum_sq_norm_grads
    divisor = jnp.hypot(norm_grads, tree.root(eps))
    if is_rate:
        max_dist, divisor = jnp.where(t == 1, first, max_dist), jnp.where(t == 1, 1, divisor)
    return max_dist * g.over(divisor), {"max_dist": max_dist, "norm_grads": norm_grads}
