"""Adam on a low-rank projection of each matrix's gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import as_optimizer, optimizer
from gdjax.optimizers.first_order.adam import adam_rule
from gdjax.optimizers.first_order.muon import as_matrices, as_pair, dimension_numbers
from gdjax.optimizers.first_order.sgd import sgd_rule
from gdjax.optimizers.leafwise import Slot
from gdjax.types import ArrayLike, ScalarOrSchedule, Transformation


class GaLoreState(NamedTuple):
    count: jax.Array  # updates so far, () int32
    base_optimizer_state: Any
    projector: Any  # per matrix the directions its gradient is seen through, (larger side, rank); else an empty array


@optimizer(
    static=("rank", "mask", "weight_dimension_numbers"),
    bounds={"learning_rate": "[0, inf)", "update_proj_gap": "[1, inf)", "weight_decay": "[0, inf)"},
    ints=("rank", "update_proj_gap"),
    constant=("rank", "update_proj_gap", "scale"),
)
def galore(
    learning_rate: ScalarOrSchedule,
    rank: int = 128,
    update_proj_gap: int = 200,
    scale: ArrayLike = 1.0,
    base_optimizer: Transformation | None = None,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: Any = None,
    weight_dimension_numbers: Any = None,
):
    """GaLore: each matrix's gradient seen through its leading singular directions, which needs less memory.

        P = the first `rank` left singular vectors of g (right ones if g is wide), recomputed every update_proj_gap steps
        u = -learning_rate (scale P base(P^T g) + weight_decay p)               base(g) for what is no matrix

    Args:
        learning_rate: parameter units per step; number, array or schedule.
        rank: at least 1, directions kept.
        update_proj_gap: steps between two singular value decompositions.
        scale: factor of the projected step.
        base_optimizer: gives directions, not turned and not multiplied by a rate, as `optax.scale_by_adam()`, which is what
            None means.
        weight_decay: >= 0, decoupled, per step and unit of learning rate.
        mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree.
        weight_dimension_numbers: which leaves are matrices, and how; see `muon`.

    Memory: (2 + 1) rank / smaller side x params.   Raises: ValueError outside these ranges or if rank is below 1.
    Differs from: Optax at complex parameters, which it has not.
    Reference: Zhao et al. 2024, Algorithm 2, arXiv:2403.03507.

    >>> opt, x, g = gd.galore(0.1, rank=1), jnp.ones((2, 2)), jnp.array([[3.0, 0.0], [0.0, 4.0]])
    >>> print(jax.jit(opt.update)(g, opt.init(x), x)[0])
    [[-0. -0.]
     [-0. -0.1]]
    """
    if not isinstance(rank, int) or rank < 1:
        raise ValueError(f"galore: rank must be an integer of at least 1, got {rank!r}")
    slots = {"mu": Slot(), "nu": Slot(real=True)}
    default = as_pair(adam_rule, -1.0, slots=slots, b1=0.9, b2=0.999, eps=1e-8, eps_root=0.0, nesterov=False)
    base = as_optimizer(default if base_optimizer is None else base_optimizer)
    finish = as_pair(sgd_rule, learning_rate, mask=mask, weight_decay=weight_decay)

    def matrices(params):
        dims = dimension_numbers(weight_dimension_numbers, params)
        return [None if d is None or p.size == 0 else d for p, d in zip(jax.tree.leaves(params), dims, strict=True)]

    def init(params):
        finish.init(params)  # refuses what cannot be trained
        leaves, structure = jax.tree.flatten(params)
        begun = [_initial(p, dims, rank) for p, dims in zip(leaves, matrices(params), strict=True)]
        projectors, small = (structure.unflatten(x[i] for x in begun) for i in (0, 1))
        return GaLoreState(jnp.zeros((), jnp.int32), base.init(small), projectors)

    def update(grads: Any, state: GaLoreState, params: Any = None, **extra_args: Any):
        del extra_args
        tree.need_params("galore", params, "decay them")
        tree.check_like("galore", "grads", grads, "params", params)
        due, (leaves, structure) = state.count % update_proj_gap == 0, jax.tree.flatten(grads)
        kept = list(zip(leaves, jax.tree.leaves(state.projector), matrices(params), strict=True))
        projected = [(g, P) if dims is None else _project(g, P, dims, due) for g, P, dims in kept]
        seen, projectors = (structure.unflatten(x[i] for x in projected) for i in (0, 1))
        small, base_state = base.update(seen, state.base_optimizer_state, None)
        steps = zip(jax.tree.leaves(small), jax.tree.leaves(projectors), kept, strict=True)
        full = [s if dims is None else scale * _unproject(s, P, g, dims) for s, P, (g, _, dims) in steps]
        fresh: Any = finish.init(params)  # no slots; its count, where a schedule asks for it, is ours
        now = fresh if fresh.count is None else fresh._replace(count=state.count)
        updates, _ = finish.update(structure.unflatten(full), now, params)
        return updates, GaLoreState(tree.increment(state.count, period=update_proj_gap), base_state, projectors)

    return init, update


def _initial(p: jax.Array, dims: Any, rank: int) -> tuple[jax.Array, jax.Array]:
    """(projector, parameters of the base optimizer) before the first step."""
    if dims is None:
        return jnp.zeros((0, 0), p.dtype), p
    rows, columns = as_matrices(p, dims)[0].shape[1:]
    kept = min(rank, rows, columns)
    small = jnp.zeros((kept, columns) if rows >= columns else (rows, kept), p.dtype)
    return jnp.zeros((max(rows, columns), kept), p.dtype), small


def _project(g: jax.Array, P: jax.Array, dims: Any, due: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(the projected gradient, the directions), which are recomputed if that is due."""
    x = as_matrices(g.astype(tree.arithmetic_dtype(g)), dims)[0][0]
    P = jax.lax.cond(due, lambda: _leading(x, P.shape[1]).astype(P.dtype), lambda: P)
    return (jnp.conj(P.T) @ x if x.shape[0] >= x.shape[1] else x @ P).astype(P.dtype), P


def _unproject(small: jax.Array, P: jax.Array, g: jax.Array, dims: Any) -> jax.Array:
    """A step in the projected space, mapped back to the shape of g."""
    x, back = as_matrices(g, dims)
    return back((P @ small if x.shape[1] >= x.shape[2] else small @ jnp.conj(P.T))[None])


def _leading(x: jax.Array, rank: int) -> jax.Array:
    """The first singular vectors of the longer side, in single precision, which is enough for directions."""
    u, _, vh = jnp.linalg.svd(x.astype(jnp.complex64 if jnp.iscomplexobj(x) else jnp.float32), full_matrices=False)
    return u[:, :rank] if x.shape[0] >= x.shape[1] else jnp.conj(vh[:rank].T)
