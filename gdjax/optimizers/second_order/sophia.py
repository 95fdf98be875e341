"""Descent divided by an estimate of the Hessian's diagonal."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from gdjax import tree
from gdjax.calls import as_optimizer, optimizer
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.optimizers.second_order.hutchinson import hutchinson
from gdjax.types import DTypeLike, OptState, ScalarOrSchedule


class SophiaState(NamedTuple):
    count: Array  # () int32
    mu: Any  # mean of gradients
    nu: Any  # mean of estimated curvatures, real
    hessian_fn_state: Any


@optimizer(
    static=("weight_decay_mask", "mu_dtype", "verbose"),
    bounds={
        "learning_rate": "[0, inf)",
        "b1": "[0, 1)",
        "b2": "[0, 1)",
        "eps": "(0, inf)",
        "weight_decay": "[0, inf)",
        "gamma": "[0, inf)",
        "clip_threshold": "(0, inf] or None",
        "update_interval": "[1, inf)",
        "print_win_rate_every_n_steps": "[0, inf)",
    },
    ints=("update_interval", "print_win_rate_every_n_steps"),
    constant=("update_interval", "print_win_rate_every_n_steps"),
)
def sophia(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.965,
    b2: ScalarOrSchedule = 0.99,
    eps: ScalarOrSchedule = 1e-8,
    weight_decay: ScalarOrSchedule = 1e-4,
    weight_decay_mask: Any = None,
    gamma: ScalarOrSchedule = 0.01,
    clip_threshold: ScalarOrSchedule | None = 1.0,
    update_interval: int = 10,
    hessian_diagonal_fn: Any = None,
    mu_dtype: DTypeLike | None = None,
    verbose: bool = False,
    print_win_rate_every_n_steps: int = 0,
):
    """Sophia: momentum divided by the curvature, and clipped where the curvature is too small to be trusted.

        mu <- b1 mu + (1 - b1) g,       mu_hat = mu/(1 - b1^t)
        u = -learning_rate (clip(mu_hat / max(gamma nu, eps), +-clip_threshold) + weight_decay p)
        nu <- b2 nu + (1 - b2) h        after the step, at every `update_interval`-th; h estimates the Hessian's diagonal

    Where nu is 0 or negative, as before the first estimate, the step is the sign of mu: the clipping is the safeguard.

    Args:
        learning_rate: parameter units per step; number, array or schedule.
        b1: in [0, 1); memory of about 1/(1 - b1) steps.
        b2: in [0, 1); memory of about 1/(1 - b2) estimates.
        eps: > 0, curvature units times gamma.
        weight_decay: >= 0, per step and unit of learning rate; decoupled.
        weight_decay_mask: a tree of bools (or a prefix of one), or params -> such a tree.
        gamma: >= 0; larger steps along steep directions are clipped less often with a larger one.
        clip_threshold: > 0, the largest step in units of the learning rate; None does not clip.
        update_interval: steps from one estimate to the next, at least 1.
        hessian_diagonal_fn: an estimator such as `hutchinson()`, ours or Optax's; None is that one, which
            needs value_fn= (what a loop passes) or obj_fn=.
        mu_dtype: dtype of mu (default: that of the parameter).
        verbose: print the win rate, the share of coordinates that are not clipped; the authors want 0.1 to 0.5 and raise
            gamma if it is less. Printing calls the host from the compiled step.
        print_win_rate_every_n_steps: how often; 0 never.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Differs from: Optax in that value_fn= serves as obj_fn=, that the default estimator is equal by value, and that complex
        parameters are clipped by their modulus. As there, the signs are Rademacher's, where the paper's are normal.
    Reference: Liu et al. 2023, Algorithm 3, arXiv:2305.14342.

    >>> opt, x, g = gd.sophia(0.1), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(opt.update(g, opt.init(x), x, value_fn=lambda x: x @ x)[0])
    [-0.10001 0.09999]
    """
    estimate = as_optimizer(hutchinson() if hessian_diagonal_fn is None else hessian_diagonal_fn)
    clip = jnp.inf if clip_threshold is None else clip_threshold
    slots = {"mu": Slot(dtype=mu_dtype), "nu": Slot(real=True)}
    decay = {"weight_decay": weight_decay, "mask": weight_decay_mask}
    begin, descend = leafwise(sophia_rule, learning_rate, slots=slots, b1=b1, eps=eps, gamma=gamma, clip=clip, **decay)

    def init(params):
        count, slots = begin(params)
        return SophiaState(count, **slots, hessian_fn_state=estimate.init(params))

    def update(grads, state, params=None, **extra_args):
        slots = {"mu": state.mu, "nu": state.nu}
        updates, (count, new) = descend(grads, OptState(state.count, slots), params)
        numbers = {"b1": b1, "b2": b2, "eps": eps, "gamma": gamma, "clip": clip}
        numbers = {"b1": b1, "b2": b2, "eps": eps, "gamma": gamma, "clip": clip}
        now = {name: x(state.count) if callable(x) else x for name, x in numbers.items()}
        if verbose:
            _print_win_rate(new["mu"], state.nu, count, print_win_rate_every_n_steps, now)

        def renew(nu, hessian_fn_state):
            h, new_state = estimate.update(grads, hessian_fn_state, params, **extra_args)
            nu = jax.tree.map(lambda n, x: _mean(n, x, now["b2"]), nu, h)
            return nu, tree.cast_like(new_state, hessian_fn_state)

        due = state.count % update_interval == 0
        nu, kept = jax.lax.cond(due, renew, lambda *old: old, state.nu, state.hessian_fn_state)
        count = tree.increment(state.count, period=update_interval)
        return updates, SophiaState(count, new["mu"], nu, kept)

    return init, update


def sophia_rule(
    g: Array, t: Array, mu: Array, nu: Array, *, b1: Array, eps: Array, gamma: Array, clip: Array
) -> Direction:
    mu = b1 * mu + (1 - b1) * g
    ratio = mu / (1 - b1**t) / jnp.maximum(gamma * nu, eps)
    if jnp.iscomplexobj(ratio):
        return tree.shorten_entries(ratio, clip), {"mu": mu, "nu": nu}
    return jnp.clip(ratio, -clip, clip), {"mu": mu, "nu": nu}


def _mean(nu, h, b2):
    dtype = tree.arithmetic_dtype(nu)
    b2 = jnp.asarray(b2, dtype)
    return (b2 * nu.astype(dtype) + (1 - b2) * h.real.astype(dtype)).astype(nu.dtype)


def _print_win_rate(mu, nu, count, every, now):
    """Share of coordinates whose step is within the clipping."""

    def within(m, n):
        correction = 1 - now["b1"] ** count.astype(jnp.float32)
        return jnp.sum(jnp.abs(m) / correction < now["clip"] * jnp.maximum(now["gamma"] * n, now["eps"]))

    rate = sum(tree.leafmap(within, mu, nu)) / max(sum(x.size for x in jax.tree.leaves(mu)), 1)
    due = (jnp.asarray(every) > 0) & (count % jnp.maximum(every, 1) == 0)
    jax.lax.cond(due, lambda: jax.debug.print("sophia: win rate {}", rate), lambda: None)
