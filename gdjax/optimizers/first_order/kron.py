"""A Kronecker-factored preconditioner that is learned by descent, without roots or eigenvectors."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import as_key, optimizer
from gdjax.optimizers.first_order.preconditioned import adjoint_of, along, gram, leaf_by_leaf
from gdjax.tree import abs_sq
from gdjax.types import ArrayLike, PRNGKey, ScalarOrSchedule


@optimizer(
    static=("max_dim", "mask"),
    bounds={
        "learning_rate": "[0, inf)",
        "b1": "[0, 1)",
        "precond_lr": "(0, 1]",
        "update_interval": "[1, inf)",
        "max_rms": "(0, inf)",
        "weight_decay": "[0, inf)",
    },
    ints=("update_interval",),
    keys=("key",),
    constant=("precond_lr", "max_rms", "b1", "update_interval"),
)
def kron(
    learning_rate: ScalarOrSchedule,
    b1: ArrayLike = 0.9,
    precond_lr: ArrayLike = 0.1,
    update_interval: int = 1,
    max_rms: ArrayLike = 1.1,
    max_dim=8192,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
    key: PRNGKey = 0,
):
    """PSGD Kron: triangular factors learned by descent so that the preconditioned gradient is white.

        mu <- b1 mu + (1 - b1) g,     h = mu/(1 - b1^t)
        A = Q_1 h Q_2^T,   B = Q_1^(-T) v Q_2^(-1),   v ~ N(0, 1)             likewise for any number of axes
        Q_i <- Q_i - precond_lr / |S + T| triu(S - T) Q_i,    S = gram_i(A),  T = gram_i(B)      every update_interval steps
        d = Q_1^T Q_1 h Q_2^T Q_2,    d <- d min(1, max_rms / rms(d)),        u = -learning_rate (d + weight_decay p)

    |M| is the largest sum of a row of |M_ij|, a bound of the largest eigenvalue. An axis of more than max_dim entries, and
    the one axis of a vector, has a diagonal factor.

    Args:
        learning_rate: parameter units per step; number, array or schedule. About a third of Adam's.
        b1: in [0, 1), decay rate of the mean of the gradients.
        precond_lr: in (0, 1], relative learning rate of the factors.
        update_interval: steps between two updates of the factors.
        max_rms: the root mean square of a leaf's direction is cut to it.
        max_dim: longer axes have a diagonal factor.
        weight_decay: >= 0, decoupled, per step and unit of learning rate.
        mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree.
        key: a random key or a seed, from which v is drawn.

    Memory: 1 x params + d² for each axis of length d.   Raises: ValueError outside these ranges.
    Differs from: the authors' program in the bound |M|, and in updating the factors at fixed steps, not at random ones.
    Reference: Li 2018, arXiv:1512.04202; Li 2024, section 4, arXiv:2402.11858.

    >>> opt, x, g = gd.kron(0.1), jnp.ones((2, 2)), jnp.array([[3.0, 0.0], [0.0, 4.0]])
    >>> print(jax.jit(opt.update)(g, opt.init(x), x)[0])
    [[-0.14165 -0.00061628]
     [-0.00019537 -0.16833]]
    """

    def is_dense(p, axis):
        return p.ndim > 1 and p.shape[axis] <= max_dim

    def init_leaf(p):
        p = jnp.atleast_1d(p)
        Q = tuple(
            jnp.eye(p.shape[i], dtype=p.dtype) if is_dense(p, i) else jnp.ones(p.shape[i], p.dtype)
            for i in range(p.ndim)
        )
        return {"Q": Q, "mu": jnp.zeros_like(p)}

    def step_leaf(g, count, i, state):
        shape, g = g.shape, jnp.atleast_1d(g)
        if not g.size:
            return g.reshape(shape), state
        t = count.astype(jnp.finfo(g.dtype).dtype) + 1
        mu = b1 * state["mu"] + (1 - b1) * g
        h = mu / (1 - b1**t)
        noise = jax.random.normal(jax.random.fold_in(jax.random.fold_in(as_key(key), count), i), g.shape, g.dtype)
        wide = tuple(q.astype(g.dtype) for q in state["Q"])
        Q = jax.lax.cond(count % update_interval == 0, lambda: _whiten(wide, h, noise, precond_lr), lambda: wide)
        d = h
        for axis, q in enumerate(Q):
            d = _factor(q, _factor(q, d, axis), axis, adjoint=True)
        d = tree.shorten(d, max_rms * d.size**0.5)
        return d.reshape(shape), {"Q": Q, "mu": mu}

    return leaf_by_leaf("kron", init_leaf, step_leaf, learning_rate, weight_decay, mask, update_interval)


def _factor(q: jax.Array, x: jax.Array, axis: int, adjoint: bool = False) -> jax.Array:
    """A factor, a matrix or a diagonal, or its adjoint, along an axis."""
    if q.ndim == 2:
        return along(adjoint_of(q) if adjoint else q, x, axis)
    shape = [-1 if i == axis else 1 for i in range(x.ndim)]
    return (jnp.conj(q) if adjoint else q).reshape(shape) * x


def _whiten(Q: tuple[Any, ...], h: jax.Array, noise: jax.Array, precond_lr: Any) -> tuple[Any, ...]:
    """One relative descent step of every factor; where the averaged gradient is zero they stay."""
    A, B = h, noise
    for axis, q in enumerate(Q):
        A = _factor(q, A, axis)
        B = _divide(q, B, axis)
    moves = jnp.any(h != 0)
    new = []
    for axis, q in enumerate(Q):
        if q.ndim == 2:
            S, T = gram(A, axis), gram(B, axis)
            bound = jnp.max(jnp.sum(jnp.abs(S + T), axis=1))
            step = jnp.triu(S - T) @ q
        else:
            others = tuple(i for i in range(A.ndim) if i != axis)
            S, T = jnp.sum(abs_sq(A), axis=others), jnp.sum(abs_sq(B), axis=others)
            bound = jnp.max(S + T)
            step = (S - T) * q
        new.append(jnp.where(moves, q - precond_lr / bound * step, q))
    return tuple(new)


def _divide(q: jax.Array, x: jax.Array, axis: int) -> jax.Array:
    """The inverse of the factor's adjoint along an axis."""
    if q.ndim == 1:
        return _factor(1 / jnp.conj(q), x, axis)
    front = jnp.moveaxis(x, axis, 0)
    solved = jax.scipy.linalg.solve_triangular(q, front.reshape(q.shape[0], -1), trans="C")
    return jnp.moveaxis(solved.reshape(front.shape), 0, axis)
