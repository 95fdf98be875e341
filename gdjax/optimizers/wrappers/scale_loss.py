"""A loss scale that follows what float16 can hold."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import answers, tree
from gdjax.calls import as_optimizer, optimizer
from gdjax.optimizers.wrappers.skip_non_finite import update_if
from gdjax.types import ArrayLike, Transformation

LARGEST = 2.0**24  # the scale stays between this and its inverse, which float32 divides by without loss


class ScaleLossState(NamedTuple):
    loss_scale: jax.Array  # () float32, by which the next step multiplies the loss
    good_steps: jax.Array  # good gradients since the scale was last changed, () int32
    skipped: jax.Array  # updates skipped in all, () int32
    taken: jax.Array  # whether the last gradient was good, () bool
    inner: Any

    def updated(self) -> Any:
        return self.taken & answers.updated(self.inner)


@optimizer(
    bounds={
        "init_scale": "(0, inf)",
        "growth_factor": "[1, inf)",
        "backoff_factor": "(0, 1)",
        "growth_interval": "[1, inf)",
    },
    ints=("growth_interval",),
    constant=("init_scale", "growth_factor", "backoff_factor", "growth_interval"),
)
def scale_loss(
    inner: Transformation,
    init_scale: ArrayLike = 2.0**15,
    growth_factor: ArrayLike = 2.0,
    backoff_factor: ArrayLike = 0.5,
    growth_interval: int = 2000,
):
    """Dynamic loss scale: a step multiplies the loss by it, so that float16 gradients neither vanish nor overflow.

        g = grad(loss_scale loss) / loss_scale                in `make_step`, before any optimizer sees it
        if all entries of g are finite:
            u = u_inner(g);                                   loss_scale <- growth_factor loss_scale, once in growth_interval
        else:
            u = 0, the inner state is kept;                   loss_scale <- backoff_factor loss_scale

    The scale is part of the state, so a run that is resumed goes on with it. It belongs to float16, as in
    `make_step(loss, compute_dtype="float16")`; bfloat16 reaches as far as float32 and needs none. In a loop of your own,
    take the gradient of `state.loss_scale * loss` and divide it before the update. What limits single entries, such as
    `optax.clip`, belongs inside: in front it would hide an overflow. A skipped batch is treated as by
    `skip_non_finite`.

    Args:
        inner: the optimizer that sees the good gradients only.
        init_scale: > 0, the scale of the first step.
        growth_factor: at least 1.
        backoff_factor: in (0, 1).
        growth_interval: good steps until the scale grows, at least 1.

    Memory: 0 + inner.   Raises: ValueError outside these ranges.
    Differs from: torch.amp.GradScaler in that the scale stays between 2^-24 and 2^24, and starts at 2^15, a half of its
        65536, which float16 cannot hold.
    Reference: Micikevicius et al. 2018, section 3.2, arXiv:1710.03740; torch.amp.GradScaler.

    >>> opt, x, g = gd.scale_loss(gd.sgd(0.1)), jnp.ones(2), jnp.array([jnp.inf, -2.0])
    >>> updates, state = opt.update(g, opt.init(x), x)
    >>> print(updates, state.loss_scale, state.skipped)
    [0. 0.] 16384.0 1
    """
    inner = as_optimizer(inner)

    def init(params):
        zero = jnp.zeros((), jnp.int32)
        return ScaleLossState(_clip(init_scale), zero, zero, jnp.ones((), bool), inner.init(params))

    def update(grads, state, params=None, **extra_args):
        good = tree.all_finite(grads)
        updates, inner_state = update_if(good, inner, grads, state.inner, params, extra_args)
        number = jnp.where(good, tree.increment(state.good_steps), 0)
        grows = number >= growth_interval
        factor = jnp.where(good, jnp.where(grows, growth_factor, 1), backoff_factor)
        return updates, ScaleLossState(
            _clip(state.loss_scale * factor),
            jnp.where(grows, 0, number),
            tree.increment(state.skipped, ~good),
            good,
            inner_state,
        )

    return init, update


def _clip(scale: Any) -> jax.Array:
    return jnp.clip(jnp.asarray(scale, jnp.float32), 1 / LARGEST, LARGEST)
