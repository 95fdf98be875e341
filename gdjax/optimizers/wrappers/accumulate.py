"""Gradient accumulation over several batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp

from gdjax import answers, tree
from gdjax.calls import Optimizer, as_optimizer, optimizer
from gdjax.optimizers.own_gradient import check_own_gradient
from gdjax.types import Transformation

F = TypeVar("F", bound=Callable[..., Any])


class AccumulateState(NamedTuple):
    mini_step: jax.Array  # () int32, gradients in the mean
    gradient_step: jax.Array  # () int32, updates made
    acc_grads: Any  # their mean, at least float32
    acc_weight: jax.Array  # () float, the sum of their weights
    inner_opt_state: Any

    def updated(self) -> Any:
        return (self.mini_step == 0) & answers.updated(self.inner_opt_state)

    def waiting(self) -> jax.Array:
        """Gradients that no update has used yet."""
        return self.mini_step


@optimizer(bounds={"every": "[1, inf)"}, ints=("every",))
def accumulate(inner: Transformation, every: Any):
    """Accumulation: the inner optimizer sees the weighted mean of `every` gradients; in between nothing moves.

        acc_weight <- acc_weight + w
        acc_grads <- acc_grads + w / acc_weight (g - acc_grads)
        u = u_inner(acc_grads),    acc_grads, acc_weight <- 0           at each `every`-th gradient
        u = 0                                                           at the others

    The weights w are the argument `weight=` of the update, by which a step passes that of its batch, or 1. So the batches
    give the step of all their rows in one batch. The inner optimizer is paid for once per mean (under vmap, where both
    branches of a condition run, each time), and its schedules count its own updates. Gradients at the end of a run that are
    too few for a mean are left over: `fit` says so. `make_step(loss, microbatches=every)` leaves none over.

    Args:
        inner: the optimizer that takes the mean, also as `grad=`, and the sum of the weights; other arguments are those of
            the last gradient.
        every: gradients per mean, at least 1; number, or schedule of the updates made.

    Memory: 1 x params (float32 at least) + inner.   Raises: ValueError if every is below 1, and for an
        inner optimizer that evaluates the loss (`lbfgs`, `momo`, `sam`), which would be that of the last batch alone.
    Differs from: optax.MultiSteps, which knows no weights, rounds the mean to the dtype of the gradients and computes the
        inner update at every gradient.
    Reference: optax.MultiSteps (the usual practice; no paper).

    >>> opt, x, g = gd.accumulate(gd.sgd(0.1), every=2), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> updates, state = opt.update(g, opt.init(x), x)
    >>> print(updates, opt.update(g, state, x + updates)[0])
    [0. 0.] [-0.1 0.2]
    """
    inner = as_optimizer(inner)
    check_own_gradient("accumulate", inner, "the mean of several batches")

    def init(params):
        zero = jnp.zeros((), jnp.int32)
        mean = jax.tree.map(lambda p: jnp.zeros_like(p, tree.arithmetic_dtype(p)), params)
        return AccumulateState(zero, zero, mean, jnp.zeros((), float), inner.init(params))

    def update(grads, state, params=None, *, weight=None, **extra_args):
        tree.check_like("accumulate", "grads", grads, "the state's acc_grads", state.acc_grads)
        number = tree.increment(state.mini_step)
        w = jnp.asarray(1 if weight is None else weight, state.acc_weight.dtype)
        total = state.acc_weight + w
        mean = tree.mix(state.acc_grads, grads, tree.share_of(w, total, number))
        extra_args |= {"grad": mean} if "grad" in extra_args else {}
        extra_args |= {} if weight is None else {"weight": total}

        def take(mean, inner_state):
            updates, new = inner.update(mean, inner_state, params, **extra_args)
            return updates, tree.cast_like(new, inner_state)

        def wait(mean, inner_state):
            shapes, _ = jax.eval_shape(take, mean, inner_state)
            return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes), inner_state

        due: Any = every(state.gradient_step) if callable(every) else every
        full = number >= due
        updates, inner_state = jax.lax.cond(full, take, wait, mean, state.inner_opt_state)
        made = tree.increment(state.gradient_step, full)
        left, total = jax.tree.map(lambda a: jnp.where(full, 0, a), (mean, total))
        return updates, AccumulateState(jnp.where(full, 0, number), made, left, total, inner_state)

    return init, of_several_batches(update, every)


def of_several_batches(update: F, number: Any) -> F:
    """The update, marked as one that takes a number of batches, or a schedule of them, to change the parameters."""
    update.batches = number  # type: ignore[attr-defined]
    return update


def batches_of(node: Optimizer) -> Any:
    """The number of batches of an update of this node, of those inside it aside; or a schedule of them."""
    return getattr(node.build()[1], "batches", 1)
