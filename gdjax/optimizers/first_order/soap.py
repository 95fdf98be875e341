"""Adam in the eigenbasis of Shampoo's preconditioner."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdjax.calls import optimizer
from gdjax.optimizers.first_order.preconditioned import adjoint_of, along, gram, leaf_by_leaf
from gdjax.tree import abs_sq
from gdjax.types import ArrayLike, ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)", "weight_decay": "[0, inf)"}


@optimizer(
    static=("max_dim", "mask"),
    bounds={
        **_RATE,
        "b1": "[0, 1)",
        "b2": "[0, 1)",
        "precondition_frequency": "[1, inf)",
    },
    ints=("precondition_frequency",),
    constant=("b1", "b2", "eps", "precondition_frequency"),
)
def soap(
    learning_rate: ScalarOrSchedule,
    b1: ArrayLike = 0.95,
    b2: ArrayLike = 0.95,
    eps: ArrayLike = 1e-8,
    precondition_frequency: int = 10,
    max_dim=10_000,
    weight_decay: ScalarOrSchedule = 0.01,
    mask: Any = None,
):
    """SOAP: Adam in the eigenbasis of Shampoo's preconditioners.

        L <- b2 L + (1 - b2) g g^T,   R <- b2 R + (1 - b2) g^T g         one such average for each axis
        mu <- b1 mu + (1 - b1) g,     nu <- b2 nu + (1 - b2) (Q_L^T g Q_R)²
        u = -learning_rate (Q_L (Q_L^T mu_hat Q_R / (sqrt(nu_hat) + eps)) Q_R^T + weight_decay p)
        every precondition_frequency steps   Q <- QR(L Q).Q              one power iteration toward the eigenvectors,
                                             the columns of Q, and nu with them, first sorted by q^T L q, falling

    The first step sets the averages and their eigenvectors and moves nothing but the decay. Leaves of fewer than two axes,
    and axes longer than max_dim, have no basis: there it is Adam. Where gradients span less than an axis, as behind pixels
    that are always 0, the eigenvectors of the rest are free: rounding chooses them, and with them the path (digits, hidden
    layer of 32, rate 1e-2: parameters that differ by 3e-16 are 0.4 apart after 20 steps; no step is longer than 5 rates).

    Args:
        learning_rate: parameter units per step; number, array or schedule.
        b1: in [0, 1), decay rate of the first moment.
        b2: in [0, 1), decay rate of the second moment and of the preconditioners.
        eps: >= 0, gradient units.
        precondition_frequency: steps between two refreshes of the bases.
        max_dim: longer axes have no basis.
        weight_decay: >= 0, decoupled, per step and unit of learning rate.
        mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree.

    Memory: 2 x params + 2 d² for each axis of length d.   Raises: ValueError outside these ranges.
    Reference: Vyas et al. 2024, Algorithms 3 and 4, arXiv:2409.11321.

    >>> opt, x, g = gd.soap(0.1, weight_decay=0.0), jnp.ones((2, 2)), jnp.array([[3.0, 0.0], [0.0, 4.0]])
    >>> update = jax.jit(opt.update)
    >>> updates, state = update(g, opt.init(x), x)
    >>> print(updates, update(g, state, x + updates)[0])
    [[-0. -0.]
     [-0. -0.]] [[-0.1 -0.]
     [-0. -0.1]]
    """

    def axes(p):
        return [i for i in range(p.ndim) if p.ndim > 1 and p.size and p.shape[i] <= max_dim]

    def init_leaf(p):
        zeros = tuple(jnp.zeros((p.shape[i], p.shape[i]), p.dtype) for i in axes(p))
        return {"L": zeros, "Q": zeros, "mu": jnp.zeros_like(p), "nu": jnp.zeros(p.shape, jnp.finfo(p.dtype).dtype)}

    def step_leaf(g, count, i, state):
        which, first = axes(g), count == 0
        t = jnp.maximum(count, 1).astype(jnp.finfo(g.dtype).dtype)  # the first step is not one of Adam's
        keep = jnp.where(first, 0, b2)
        L = tuple(keep * h + (1 - keep) * gram(g, axis) for h, axis in zip(state["L"], which, strict=True))

        def into(x):
            for q, axis in zip(state["Q"], which, strict=True):
                x = along(adjoint_of(q), x, axis)
            return x

        mu = jnp.where(first, state["mu"], b1 * state["mu"] + (1 - b1) * g)
        nu = jnp.where(first, state["nu"], b2 * state["nu"] + (1 - b2) * abs_sq(into(g)))
        d = into(mu / (1 - b1**t)) / (jnp.sqrt(nu / (1 - b2**t)) + eps)
        for q, axis in zip(state["Q"], which, strict=True):
            d = along(q, d, axis)

        def start():
            return tuple(jnp.linalg.eigh(h)[1][:, ::-1].astype(h.dtype) for h in L), nu

        def turn():
            turned, new_nu = [], nu
            for h, q, axis in zip(L, state["Q"], which, strict=True):
                order = jnp.argsort(-jnp.sum(jnp.conj(q) * (h @ q), axis=0).real)  # QR goes from the largest down
                new_nu = jnp.take(new_nu, order, axis=axis)
                turned.append(jnp.linalg.qr(h @ q[:, order])[0].astype(h.dtype))
            return tuple(turned), new_nu

        due = jnp.where(first, 0, jnp.where(count % precondition_frequency == 0, 1, 2))
        same = tuple(q.astype(h.dtype) for h, q in zip(L, state["Q"], strict=True))
        Q, nu = jax.lax.switch(due, [start, turn, lambda: (same, nu)])
        return jnp.where(first, 0, d), {"L": L, "Q": Q, "mu": mu, "nu": nu}

    return leaf_by_leaf("soap", init_leaf, step_leaf, learning_rate, weight_decay, mask, precondition_frequency)
