"""The oracle of `gdjax.optimizers.second_order.sophia`, with the estimator that needs nothing but the gradient."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf
from gdjax.certify.oracles.masks import matrices
from gdjax.certify.oracles.reasons import NO_COMPLEX


@per_leaf
def sophia(
    p,
    learning_rate,
    b1,
    b2,
    eps,
    weight_decay,
    weight_decay_mask,
    gamma,
    clip_threshold,
    update_interval,
    hessian_diagonal_fn,
    mu_dtype,
    verbose,
    print_win_rate_every_n_steps,
):
    """hessian_diagonal_fn must be `empirical_fisher()`."""
    m, h, u = 0, np.zeros(p.shape), None
    for t in itertools.count(1):
        g, p, _ = yield u
        c1, c2, bound = at(b1, t), at(b2, t), np.inf if clip_threshold is None else at(clip_threshold, t)
        m = c1 * m + (1 - c1) * g
        step = m / (1 - c1**t) / np.maximum(at(gamma, t) * h, at(eps, t))
        size = np.abs(step)
        step = np.where(size > bound, step / np.where(size > 0, size, 1) * bound, step)
        if np.isrealobj(g):  # where a quotient overflows, its sign is what is left
            step = np.where(np.isinf(size), np.sign(m) * bound, step)
        u = -at(learning_rate, t) * (step + (at(weight_decay, t) * p if weight_decay_mask else 0))
        if (t - 1) % update_interval == 0:
            h = c2 * h + (1 - c2) * abs_sq(g)


EXAMPLES = {
    "sophia": lambda: [
        o.sophia(0.01, hessian_diagonal_fn=o.empirical_fisher()),
        o.sophia(
            0.01, 0.9, 0.95, gamma=1.0, clip_threshold=None, update_interval=3, hessian_diagonal_fn=o.empirical_fisher()
        ),
        o.sophia(
            schedules.cosine(0.01, 1000),
            weight_decay=0.1,
            weight_decay_mask=matrices,
            gamma=0.5,
            clip_threshold=0.3,
            update_interval=1,
            hessian_diagonal_fn=o.empirical_fisher(),
        ),
    ],
}

LIMITS = {
    "sophia(0.01, hessian_diagonal_fn": (
        1e-10,
        "where a mean gradient cancels, division by gamma nu magnifies the rounding left of it, 1e4 times at g = 1",
    ),
}

PARTS_FROM_OPTAX = {
    ("sophia(", "complex128"): NO_COMPLEX,
}
