"""Adagrad and Adam for parameters of which a step sees few rows: embeddings, and all that is looked up.

A gradient may come in two forms, and both give the same step. As an array like the parameter, most of whose rows (entries
of the leading axis) are zero; or as `Rows(indices, values)`, the rows alone, where time and memory are those of the rows
touched:

    looked_up = table[ids]
    grads = Rows(ids, jax.grad(loss_of_looked_up)(looked_up))
    updates, state = optimizer.update(grads, state, table)           updates are Rows too
    table = optax.apply_updates(table, updates)                      `array + Rows` adds row by row

A row whose gradient is zero is not touched: its parameters and its moments stay. Trees may mix both forms. Donate the
table and the state to the compiled step, or each is copied whole once.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.calls.node import optimizer
from gdjax.optimizers.first_order.adagrad import adagrad_rule
from gdjax.optimizers.first_order.adam import adam_rule
from gdjax.optimizers.leafwise import Slot, leafwise
from gdjax.types import OptState

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)"}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rows:
    """Some rows of an array: `indices` (k,) int, `values` (k, ...). An index may come twice; then its values add up.

    Indices outside the array are passed over. `array + rows` is the array with the values added.
    """

    indices: jax.Array
    values: jax.Array

    __array_ufunc__ = None  # NumPy leaves the sum to us

    def __radd__(self, array: Any) -> jax.Array:
        array = jnp.asarray(array)
        dtype = jnp.result_type(array, self.values)
        return array.astype(dtype).at[self.indices].add(self.values.astype(dtype), mode="drop")


@optimizer(bounds={**_RATE, "initial_accumulator_value": "[0, inf)"})
def sparse_adagrad(learning_rate, initial_accumulator_value=0.1, eps=1e-7):
    """Adagrad for gradients that are few rows: what `adagrad` does, at the price of the rows touched.

        sum_of_squares <- sum_of_squares + g²,     u = -learning_rate g / sqrt(sum_of_squares + eps)        rows with g != 0

    For gradients that are arrays it is `adagrad` to the last bit: there a zero gradient never moved anything.

    Args:
        learning_rate: parameter units per step; number, array or schedule.
        initial_accumulator_value: >= 0, gradient units squared.
        eps: >= 0, gradient units squared (inside the root).

    Memory: 1 x params.   Raises: ValueError outside these ranges.
    Reference: Duchi, Hazan & Singer 2011, section 1.2, jmlr.org/papers/v12/duchi11a.html.
    """
    slots = {"sum_of_squares": Slot(initial_accumulator_value, real=True)}
    return by_rows("sparse_adagrad", *leafwise(adagrad_rule, learning_rate, slots=slots, eps=eps))


@optimizer(bounds={**_RATE, "b1": "[0, 1)", "b2": "[0, 1)"})
def sparse_adam(learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    """Lazy Adam: Adam whose moments and parameters rest wherever the gradient of a row is zero.

        mu <- b1 mu + (1 - b1) g        nu <- b2 nu + (1 - b2) g²                                 rows with g != 0
        u = -learning_rate mu_hat / (sqrt(nu_hat) + eps),   mu_hat = mu/(1 - b1^t),  nu_hat = nu/(1 - b2^t)

    t counts steps, not visits of a row, as in torch: a row seen late starts with nearly uncorrected moments. With no zero
    row it is `adam` to the last bit.

    Args:
        learning_rate: parameter units per step; number, array or schedule.
        b1: in [0, 1); memory of about 1/(1 - b1) visits.
        b2: in [0, 1); the same for the squares.
        eps: >= 0, gradient units; bounds the step where nu_hat is near 0.

    Memory: 2 x params.   Raises: ValueError if b1 or b2 is outside [0, 1).
    Differs from: torch.optim.SparseAdam, which adds eps before the correction (its eps is ours times sqrt(1 - b2^t)) and
        touches a row that is listed with a zero gradient.
    Reference: Kingma & Ba 2015, arXiv:1412.6980; torch.optim.SparseAdam (the lazy variant; no paper).
    """
    slots = {"mu": Slot(), "nu": Slot(real=True)}
    return by_rows("sparse_adam", *leafwise(sparse_adam_rule, learning_rate, slots=slots, b1=b1, b2=b2, eps=eps))


def sparse_adam_rule(g, t, mu, nu, *, b1, b2, eps):
    direction, new = adam_rule(g=g, t=t, mu=mu, nu=nu, b1=b1, b2=b2, eps=eps, eps_root=0.0, nesterov=False)
    touched = jnp.any(g != 0, axis=tuple(range(1, g.ndim)), keepdims=True)
    rest = {name: jnp.where(touched, new[name], old) for name, old in (("mu", mu), ("nu", nu))}
    return jnp.where(touched, direction, 0), rest


def by_rows(who: str, init: Any, update: Any) -> tuple[Any, Any]:
    """A `leafwise` pair whose gradients may be `Rows`: the rows are taken out, updated, and put back."""

    def update_rows(grads: Any, state: OptState, params: Any = None, **extra_args: Any) -> tuple[Any, OptState]:
        if not any(map(_is_rows, jax.tree.leaves(grads, is_leaf=_is_rows))):
            return update(grads, state, params, **extra_args)
        like = next(iter(state.slots.values()))
        tree.check_like(who, "grads", _map(lambda *_: 0, grads), "the state", jax.tree.map(lambda _: 0, like))
        grads = _map(lambda path, g, x: _summed(who, path, g, x) if _is_rows(g) else g, grads, like)
        taken = OptState(state.count, {name: _take(grads, slot) for name, slot in state.slots.items()})
        rows = None if params is None else _take(grads, params)
        values = _map(lambda _, g: g.values if _is_rows(g) else g, grads)
        updates, new = update(values, taken, rows, **extra_args)
        updates = _map(lambda _, g, u: Rows(g.indices, u) if _is_rows(g) else u, grads, updates)
        slots = {name: _put(grads, slot, new.slots[name]) for name, slot in state.slots.items()}
        return updates, OptState(new.count, slots)

    return init, update_rows


def _is_rows(x: Any) -> bool:
    return isinstance(x, Rows)


def _map(function: Any, grads: Any, *rest: Any) -> Any:
    return jax.tree_util.tree_map_with_path(function, grads, *rest, is_leaf=_is_rows)


def _summed(who: str, path: tuple, g: Rows, x: jax.Array) -> Rows:
    """Each row once, in order; the places that are left over point behind the last row, and count as zero."""
    if np.shape(g.values) != (*np.shape(g.indices), *np.shape(x)[1:]) or np.ndim(g.indices) != 1:
        raise ValueError(
            f"{who}: {tree.named('grads', path)} must have indices (k,) and values (k, ...) for rows of shape "
            f"{np.shape(x)[1:]}, got {np.shape(g.indices)} and {np.shape(g.values)}"
        )
    (k,), number = g.indices.shape, x.shape[0]
    from_start = jnp.where(g.indices < 0, g.indices + number, g.indices)
    valid = jnp.where((from_start >= 0) & (from_start < number), from_start, number)
    indices, place = jnp.unique(valid, size=k, fill_value=number, return_inverse=True)
    values = jnp.asarray(g.values, tree.arithmetic_dtype(g.values))
    total = jax.ops.segment_sum(values, place.reshape(-1), num_segments=k)
    inside = (indices < number).reshape(-1, *(1,) * (x.ndim - 1))
    return Rows(indices, jnp.where(inside, total, 0).astype(g.values.dtype))


def _take(grads: Any, like: Any) -> Any:
    return _map(lambda _, g, x: x.at[g.indices].get(mode="clip") if _is_rows(g) else x, grads, like)


def _put(grads: Any, like: Any, new: Any) -> Any:
    return _map(lambda _, g, x, n: x.at[g.indices].set(n, mode="drop") if _is_rows(g) else n, grads, like, new)
