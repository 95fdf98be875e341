"""Muon with a second moment per neuron, which equalizes the norms of rows."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.first_order.adam import adamw
from gdjax.optimizers.first_order.muon import as_matrices, as_pair, beside_adamw
from gdjax.optimizers.leafwise import Direction, Slot
from gdjax.optimizers.newton_schulz import newton_schulz
from gdjax.tree import abs_sq
from gdjax.types import ScalarOrSchedule


@optimizer(
    static=("ns_steps", "weight_decay_mask", "weight_dimension_numbers"),
    bounds={
        "learning_rate": "[0, inf)",
        "b1": "[0, 1)",
        "b2": "[0, 1)",
        "eps": "[0, inf)",
        "rms": "[0, inf)",
        "weight_decay": "[0, inf)",
        "adam_learning_rate": "[0, inf)",
    },
)
def normuon(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.95,
    b2: ScalarOrSchedule = 0.95,
    eps: ScalarOrSchedule = 1e-8,
    rms: ScalarOrSchedule = 0.2,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_decay_mask: Any = None,
    ns_steps: int = 5,
    adam_learning_rate: ScalarOrSchedule | None = None,
    weight_dimension_numbers: Any = None,
):
    """NorMuon: Muon whose orthogonal update is divided by the size that each neuron's part of it has had.

        m <- b1 m + (1 - b1) g,     O = the orthogonal matrix nearest to m
        nu <- b2 nu + (1 - b2) mean_neuron(O²)                             one number for each neuron
        D = O / (sqrt(nu) + eps),     u = -learning_rate (rms sqrt(size of p) D / |D| + weight_decay p)

    A neuron is what one output axis index stands for: a column of a matrix that is multiplied from the left, x @ W. Leaves
    that are no matrices are left to AdamW (b1 0.9, b2 0.95) without decay.

    Args:
        learning_rate: parameter units per step; number, array or schedule.
        b1: in [0, 1), memory of the gradient.
        b2: in [0, 1), memory of the neurons' sizes.
        eps: >= 0.
        rms: >= 0, root mean square of an update's entries, per unit of learning rate; 0.2 is that of AdamW.
        weight_decay: >= 0, decoupled, per step and unit of learning rate.
        weight_decay_mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree.
        ns_steps: Newton-Schulz steps, as `muon`.
        adam_learning_rate: for the other leaves; None means learning_rate.
        weight_dimension_numbers: which leaves are matrices, and how; see `muon`.

    Memory: 1 x matrices + 2 x the rest.   Raises: ValueError outside these ranges.
    Reference: Li et al. 2025, Algorithm 1, arXiv:2510.05491.

    >>> opt, x, g = gd.normuon(0.1), jnp.ones((2, 2)), jnp.array([[3.0, 0.0], [0.0, 4.0]])
    >>> print(jax.jit(opt.update)(g, opt.init(x), x)[0])
    [[-0.028284 -0.]
     [-0. -0.028284]]
    """

    def of_matrices(dims):
        slots = {"mu": Slot(), "nu": Slot(lambda p: jnp.zeros(as_matrices(p, dims)[0].shape[::2]), real=True)}
        static, numbers = {"ns_steps": ns_steps, "dims": dims}, {"b1": b1, "b2": b2, "eps": eps, "rms": rms}
        options: dict[str, Any] = {"mask": weight_decay_mask, "weight_decay": weight_decay, **numbers}
        return as_pair(normuon_rule, learning_rate, slots=slots, static=static, **options)

    adam_rate = learning_rate if adam_learning_rate is None else adam_learning_rate
    rest = adamw(adam_rate, 0.9, 0.95, weight_decay=0.0)
    return beside_adamw(of_matrices, learning_rate, rest, adam_rate, weight_dimension_numbers)


def normuon_rule(
    g: Array, mu: Array, nu: Array, *, b1: Array, b2: Array, eps: Array, rms: Array, ns_steps: int, dims: Any
) -> Direction:
    mu = b1 * mu + (1 - b1) * g
    matrices, back = as_matrices(mu, dims)
    if matrices.size == 0:
        return mu, {"mu": mu, "nu": nu}
    O = jax.vmap(lambda x: newton_schulz(x, steps=ns_steps))(matrices)
    nu = b2 * nu + (1 - b2) * jnp.mean(abs_sq(O), axis=1)
    D = tree.ratio(O, jnp.sqrt(nu)[:, None, :] + eps)
    length = tree.root(jnp.sum(abs_sq(D), axis=(1, 2), keepdims=True))
    _, rows, columns = matrices.shape
    return back(rms * math.sqrt(rows * columns) * tree.ratio(D, length)), {"mu": mu, "nu": nu}
