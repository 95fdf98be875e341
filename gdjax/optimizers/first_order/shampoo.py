"""A Kronecker-factored preconditioner: inverse roots of the gradients' second moments along each axis."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import optimizer
from gdjax.optimizers.first_order.preconditioned import adjoint_of, along, gram, leaf_by_leaf
from gdjax.types import ArrayLike, ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)", "weight_decay": "[0, inf)"}


@optimizer(
    static=("max_dim", "mask"),
    bounds={**_RATE, "momentum": "[0, 1)", "update_interval": "[1, inf)"},
    ints=("update_interval",),
    constant=("momentum", "eps", "update_interval"),
)
def shampoo(
    learning_rate: ScalarOrSchedule,
    momentum: ArrayLike = 0.9,
    eps: ArrayLike = 1e-4,
    update_interval: int = 1,
    max_dim=1024,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
):
    """Shampoo: the gradient whitened along each of its axes by the root of all it has been.

        H_i <- H_i + gram_i(g),  starting at eps I                     i over the k axes no longer than max_dim
        d = g times H_i^(-1/(2k)) along each axis i                    a matrix: L^(-1/4) g R^(-1/4)
        mu <- momentum mu + d,   u = -learning_rate (mu + weight_decay p)

    (The state holds H_i / unit², where unit is 1 unless gradients are so large that their squares would overflow.)
    gram_i(g) is the matrix of inner products of g's slices along axis i (g g^T and g^T g of a matrix).

    Args:
        learning_rate: parameter units per step; number, array or schedule.
        momentum: in [0, 1), decay rate of the sum of the preconditioned gradients.
        eps: > 0, gradient units squared; the preconditioners' start.
        update_interval: steps between two computations of the roots, each an eigendecomposition per axis.
        max_dim: longer axes are left alone.
        weight_decay: >= 0, decoupled, per step and unit of learning rate.
        mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree.

    Memory: 1 x params + 2 d² for each axis of length d.   Raises: ValueError outside these ranges.
    Reference: Gupta, Koren & Singer 2018, Algorithms 1 and 2, arXiv:1802.09568.

    >>> opt, x, g = gd.shampoo(0.1), jnp.ones((2, 2)), jnp.array([[3.0, 0.0], [0.0, 4.0]])
    >>> print(jax.jit(opt.update)(g, opt.init(x), x)[0])
    [[-0.099999 -0.]
     [-0. -0.1]]
    """

    def axes(p):
        return [i for i in range(p.ndim) if p.size and p.shape[i] <= max_dim]

    def init_leaf(p):
        p = jnp.atleast_1d(p)
        units = tuple(jnp.eye(p.shape[i], dtype=p.dtype) for i in axes(p))
        one = {name: jnp.ones((), jnp.finfo(p.dtype).dtype) for name in ("unit", "roots_unit")}
        return {"H": tuple(eps * unit for unit in units), "roots": units, "mu": jnp.zeros_like(p), **one}

    def step_leaf(g, count, i, state):
        shape, g = g.shape, jnp.atleast_1d(g)
        which = axes(g)
        unit = _unit(g, state["unit"]) if which else state["unit"]
        as_old = unit.astype(state["unit"].dtype)
        shrunk = (state["unit"] / unit) ** 2
        H = tuple(shrunk * h + gram(g / unit, axis) for h, axis in zip(state["H"], which, strict=True))
        power = -1 / (2 * max(len(which), 1))

        def fresh():
            return tuple(_power(h, power).astype(old.dtype) for h, old in zip(H, state["roots"], strict=True)), as_old

        roots, roots_unit = jax.lax.cond(
            count % update_interval == 0, fresh, lambda: (state["roots"], state["roots_unit"])
        )
        d = g / roots_unit
        for root, axis in zip(roots, which, strict=True):
            d = along(root, d, axis)
        mu = momentum * state["mu"] + d
        return mu.reshape(shape), {"H": H, "roots": roots, "mu": mu, "unit": unit, "roots_unit": roots_unit}

    return leaf_by_leaf("shampoo", init_leaf, step_leaf, learning_rate, weight_decay, mask, update_interval)


def _unit(g: jax.Array, unit: jax.Array) -> jax.Array:
    """The unit of the squared gradients: 1 until they would overflow, then an increasing power of two."""
    largest = jnp.max(jnp.abs(g), initial=0)
    far = 2.0 ** (jnp.finfo(unit.dtype).maxexp // 4)
    return jnp.maximum(unit, jnp.where(largest > far, tree.power_of_two(largest), 1))


def _power(h: jax.Array, power: float) -> jax.Array:
    """A power of a positive matrix by its eigenvectors; eigenvalues within rounding are raised to the rounding level."""
    values, vectors = jnp.linalg.eigh(h)
    info = jnp.finfo(values.dtype)
    floor = jnp.maximum(len(values) * info.eps * jnp.max(values), info.tiny)
    return (vectors * jnp.maximum(values, floor) ** power) @ adjoint_of(vectors)
