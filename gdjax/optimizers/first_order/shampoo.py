"""Kronecker-factored preconditioners: one matrix for each axis of a leaf, in place of one for all of its entries.

Each method is written for one leaf, as (init_leaf, step_leaf), and lifted by `_leaf_by_leaf`; unlike those of `leafwise`
its state may be any tree, here one matrix an axis. The costly refresh of a preconditioner is under `lax.cond`: it is paid
when due.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls.node import Key, as_key, optimizer
from gdjax.optimizers.leafwise import _refuse_integers
from gdjax.tree import abs_sq

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)", "weight_decay": "[0, inf)"}


class PreconditionedState(NamedTuple):
    count: jax.Array  # updates so far, () int32
    leaves: Any  # a tree like the parameters, at each leaf a dict by the equation's symbols


def _leaf_by_leaf(
    who: str, init_leaf: Callable, step_leaf: Callable, learning_rate: Any, weight_decay: Any, mask: Any, period: Any
):
    """(init, update) from init_leaf(p) -> state and step_leaf(g, count, i, state) -> (direction, state); leaf number i.

    period is how often the preconditioners are refreshed.
    """

    def init(params):
        _refuse_integers(who, params)
        tree.check_mask(mask, params)
        leaves = jax.tree.map(lambda p: init_leaf(p.astype(tree.arithmetic_dtype(p))), params)
        return PreconditionedState(jnp.zeros((), jnp.int32), leaves)

    def update(grads, state, params=None, **extra_args):
        del extra_args
        if params is None:
            raise ValueError(f"{who}: update needs params, got None")
        tree.check_like(who, "grads", grads, "params", params)
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        decay = weight_decay(state.count) if callable(weight_decay) else weight_decay
        structure = jax.tree.structure(params)
        numbers = structure.unflatten(range(structure.num_leaves))

        def of_leaf(g, p, i, decays, old):
            wide = tree.arithmetic_dtype(g, p)
            direction, new = step_leaf(g.astype(wide), state.count, i, old)
            step = rate * (direction + (decay * p if decays else 0))
            return (-step).astype(p.dtype), tree.cast_like(new, old)

        done = tree.leafmap(of_leaf, grads, params, numbers, tree.spread_mask(mask, params), state.leaves)
        leaves = structure.unflatten([new for _, new in done])
        return structure.unflatten([u for u, _ in done]), PreconditionedState(
            tree.increment(state.count, period=period), leaves
        )

    return init, update


def _along(matrix: jax.Array, x: jax.Array, axis: int) -> jax.Array:
    """The matrix applied to every fibre of x along an axis."""
    return jnp.moveaxis(jnp.tensordot(matrix, x, axes=(1, axis)), 0, axis)


def _gram(x: jax.Array, axis: int) -> jax.Array:
    """Sum over the fibres along an axis of their outer products, (d, d), Hermitian."""
    flat = jnp.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)
    return flat @ jnp.conj(flat.T)


def _adjoint(matrix: jax.Array) -> jax.Array:
    return jnp.conj(matrix.T)


@optimizer(static=("max_dim", "mask"), bounds={**_RATE, "momentum": "[0, 1)", "update_interval": "[1, inf)"})
def shampoo(
    learning_rate, momentum=0.9, eps=1e-4, update_interval: int = 1, max_dim=1024, weight_decay=0.0, mask: Any = None
):
    """Shampoo: the gradient whitened along each of its axes by the root of all it has been.

        H_i <- H_i + gram_i(g),  starting at eps I                     i over the k axes no longer than max_dim
        d = g times H_i^(-1/(2k)) along each axis i                    a matrix: L^(-1/4) g R^(-1/4)
        mu <- momentum mu + d,   u = -learning_rate (mu + weight_decay p)

    (The state holds H_i / unit², where unit is 1 unless gradients are so large that their squares would overflow.)
    gram_i(g) is the matrix of inner products of g's slices along axis i (g g^T and g^T g of a matrix).

    Args:
        learning_rate: parameter units per step; number, array or schedule.
        momentum: in [0, 1); of the preconditioned gradients.
        eps: > 0, gradient units squared; the preconditioners' start.
        update_interval: steps between two computations of the roots, each an eigendecomposition per axis.
        max_dim: longer axes are left alone.
        weight_decay: >= 0, decoupled, per step and unit of learning rate.
        mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree.

    Memory: 1 x params + 2 d² for each axis of length d.   Raises: ValueError outside these ranges.
    Reference: Gupta, Koren & Singer 2018, Algorithms 1 and 2, arXiv:1802.09568.
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
        H = tuple(shrunk * h + _gram(g / unit, axis) for h, axis in zip(state["H"], which, strict=True))
        power = -1 / (2 * max(len(which), 1))

        def fresh():
            return tuple(_power(h, power).astype(old.dtype) for h, old in zip(H, state["roots"], strict=True)), as_old

        roots, roots_unit = jax.lax.cond(
            count % update_interval == 0, fresh, lambda: (state["roots"], state["roots_unit"])
        )
        d = g / roots_unit
        for root, axis in zip(roots, which, strict=True):
            d = _along(root, d, axis)
        mu = momentum * state["mu"] + d
        return mu.reshape(shape), {"H": H, "roots": roots, "mu": mu, "unit": unit, "roots_unit": roots_unit}

    return _leaf_by_leaf("shampoo", init_leaf, step_leaf, learning_rate, weight_decay, mask, update_interval)


def _unit(g: jax.Array, unit: jax.Array) -> jax.Array:
    """The unit that squares of gradients are kept in: 1 until they would overflow, then a power of two that only grows."""
    largest = jnp.max(jnp.abs(g), initial=0)
    far = 2.0 ** (jnp.finfo(unit.dtype).maxexp // 4)
    return jnp.maximum(unit, jnp.where(largest > far, tree.power_of_two(largest), 1))


def _power(h: jax.Array, power: float) -> jax.Array:
    """A power of a positive matrix, by its eigenvectors; eigenvalues that are only rounding count as the largest such."""
    values, vectors = jnp.linalg.eigh(h)
    info = jnp.finfo(values.dtype)
    floor = jnp.maximum(len(values) * info.eps * jnp.max(values), info.tiny)
    return (vectors * jnp.maximum(values, floor) ** power) @ _adjoint(vectors)


@optimizer(
    static=("max_dim", "mask"),
    bounds={
        **_RATE,
        "b1": "[0, 1)",
        "b2": "[0, 1)",
        "precondition_frequency": "[1, inf)",
    },
)
def soap(
    learning_rate,
    b1=0.95,
    b2=0.95,
    eps=1e-8,
    precondition_frequency: int = 10,
    max_dim=10_000,
    weight_decay=0.01,
    mask: Any = None,
):
    """SOAP: Adam in the eigenbasis of Shampoo's preconditioners.

        L <- b2 L + (1 - b2) g g^T,   R <- b2 R + (1 - b2) g^T g         one such average for each axis
        mu <- b1 mu + (1 - b1) g,     nu <- b2 nu + (1 - b2) (Q_L^T g Q_R)²
        u = -learning_rate (Q_L (Q_L^T mu_hat Q_R / (sqrt(nu_hat) + eps)) Q_R^T + weight_decay p)
        every precondition_frequency steps   Q <- QR(L Q).Q              one power iteration towards the eigenvectors,
                                             the columns of Q, and nu with them, first sorted by q^T L q, falling

    The first step sets the averages and their eigenvectors and moves nothing but the decay. Leaves of fewer than two axes,
    and axes longer than max_dim, have no basis: there it is Adam. Where gradients span less than an axis, as behind pixels
    that are always 0, the eigenvectors of the rest are free: rounding chooses them, and with them the path (digits, hidden
    layer of 32, rate 1e-2: parameters that differ by 3e-16 are 0.4 apart after 20 steps; no step is longer than 5 rates).

    Args:
        learning_rate: parameter units per step; number, array or schedule.
        b1: in [0, 1), of the first moment.
        b2: in [0, 1), of the second moment and the preconditioners.
        eps: >= 0, gradient units.
        precondition_frequency: steps between two refreshes of the bases.
        max_dim: longer axes have no basis.
        weight_decay: >= 0, decoupled, per step and unit of learning rate.
        mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree.

    Memory: 2 x params + 2 d² for each axis of length d.   Raises: ValueError outside these ranges.
    Reference: Vyas et al. 2024, Algorithms 3 and 4, arXiv:2409.11321.
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
        L = tuple(keep * h + (1 - keep) * _gram(g, axis) for h, axis in zip(state["L"], which, strict=True))

        def into(x):
            for q, axis in zip(state["Q"], which, strict=True):
                x = _along(_adjoint(q), x, axis)
            return x

        mu = jnp.where(first, state["mu"], b1 * state["mu"] + (1 - b1) * g)
        nu = jnp.where(first, state["nu"], b2 * state["nu"] + (1 - b2) * abs_sq(into(g)))
        d = into(mu / (1 - b1**t)) / (jnp.sqrt(nu / (1 - b2**t)) + eps)
        for q, axis in zip(state["Q"], which, strict=True):
            d = _along(q, d, axis)

        def start():
            return tuple(jnp.linalg.eigh(h)[1][:, ::-1].astype(h.dtype) for h in L), nu

        def turn():
            turned, moved = [], nu
            for h, q, axis in zip(L, state["Q"], which, strict=True):
                order = jnp.argsort(-jnp.sum(jnp.conj(q) * (h @ q), axis=0).real)  # QR goes from the largest down
                moved = jnp.take(moved, order, axis=axis)
                turned.append(jnp.linalg.qr(h @ q[:, order])[0].astype(h.dtype))
            return tuple(turned), moved

        due = jnp.where(first, 0, jnp.where(count % precondition_frequency == 0, 1, 2))
        same = tuple(q.astype(h.dtype) for h, q in zip(L, state["Q"], strict=True))
        Q, nu = jax.lax.switch(due, [start, turn, lambda: (same, nu)])
        return jnp.where(first, 0, d), {"L": L, "Q": Q, "mu": mu, "nu": nu}

    return _leaf_by_leaf("soap", init_leaf, step_leaf, learning_rate, weight_decay, mask, precondition_frequency)


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
)
def kron(
    learning_rate,
    b1=0.9,
    precond_lr=0.1,
    update_interval: int = 1,
    max_rms=1.1,
    max_dim=8192,
    weight_decay=0.0,
    mask: Any = None,
    key: Key = 0,
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
        b1: in [0, 1), of the averaged gradient.
        precond_lr: in (0, 1], of the factors; relative.
        update_interval: steps between two updates of the factors.
        max_rms: the root mean square of a leaf's direction is cut to it.
        max_dim: longer axes have a diagonal factor.
        weight_decay: >= 0, decoupled, per step and unit of learning rate.
        mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree.
        key: a random key or a seed; of v.

    Memory: 1 x params + d² for each axis of length d.   Raises: ValueError outside these ranges.
    Differs from: the authors' program in the bound |M|, and in updating the factors at fixed steps, not at random ones.
    Reference: Li 2018, arXiv:1512.04202; Li 2024, section 4, arXiv:2402.11858.
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

    return _leaf_by_leaf("kron", init_leaf, step_leaf, learning_rate, weight_decay, mask, update_interval)


def _factor(q: jax.Array, x: jax.Array, axis: int, adjoint: bool = False) -> jax.Array:
    """A factor, a matrix or a diagonal, or its adjoint, along an axis."""
    if q.ndim == 2:
        return _along(_adjoint(q) if adjoint else q, x, axis)
    shape = [-1 if i == axis else 1 for i in range(x.ndim)]
    return (jnp.conj(q) if adjoint else q).reshape(shape) * x


def _whiten(Q: tuple, h: jax.Array, noise: jax.Array, precond_lr: Any) -> tuple:
    """One relative descent step of every factor; where the averaged gradient is zero they stay."""
    A, B = h, noise
    for axis, q in enumerate(Q):
        A = _factor(q, A, axis)
        B = _divide(q, B, axis)
    moves = jnp.any(h != 0)
    new = []
    for axis, q in enumerate(Q):
        if q.ndim == 2:
            S, T = _gram(A, axis), _gram(B, axis)
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
