"""Adam with one second moment per column or per leaf."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.first_order.adam import adamw
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.tree import abs_sq
from gdjax.types import ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)", "weight_decay": "[0, inf)"}


_ADAM = {**_RATE, "b1": "[0, 1)", "b2": "[0, 1)"}


@optimizer(static=("by", "mask"), bounds=_ADAM, like=adamw)
def adam_mini(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
    by: Any = "column",
):
    """Adam-mini: Adam with one second moment for a whole block, the inputs of one unit, instead of one for each weight.

        mu <- b1 mu + (1 - b1) g        nu <- b2 nu + (1 - b2) mean(g² over the block)
        u = -learning_rate (mu_hat / (sqrt(nu_hat) + eps) + weight_decay p)                    mu_hat, nu_hat as `adam`

    A block is what one output sees, all of a leaf but its last axis; a vector or a number is one block.

    Args: as `adamw`, and
        by: "column", as said, or "leaf": each leaf is one block.

    Memory: 1 x params + one number a block.   Raises: ValueError outside these ranges, or if by is another word.
    Differs from: the paper, which also keeps the heads of attention apart and the embedding as in Adam.
    Reference: Zhang et al. 2024, Algorithm 1, arXiv:2406.16793.

    >>> opt, x, g = gd.adam_mini(0.1), jnp.ones(2), jnp.array([3.0, -4.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.084853 0.11314]
    """
    if by not in ("column", "leaf"):
        raise ValueError(f"adam_mini: by must be 'column' or 'leaf', got {by!r}")
    blocks = (lambda p: p.shape[-1:] if p.ndim > 1 else ()) if by == "column" else (lambda p: ())
    slots: dict[str, Any] = {"mu": Slot(), "nu": Slot(lambda p: jnp.zeros(blocks(p)), real=True)}
    options: dict[str, Any] = {"b1": b1, "b2": b2, "eps": eps, "weight_decay": weight_decay}
    return leafwise(adam_mini_rule, learning_rate, slots=slots, mask=mask, **options)


def adam_mini_rule(g: Array, t: Array, mu: Array, nu: Array, *, b1: Array, b2: Array, eps: Array) -> Direction:
    mu = b1 * mu + (1 - b1) * g
    squares = jnp.sum(abs_sq(g), axis=tuple(range(g.ndim - nu.ndim)))
    nu = b2 * nu + (1 - b2) * squares * nu.size / max(g.size, 1)
    return mu / (1 - b1**t) / (jnp.sqrt(nu / (1 - b2**t)) + eps), {"mu": mu, "nu": nu}
