"""Sharpness-aware minimization: the gradient is evaluated at the point of the neighborhood where the loss is largest.

    sam       the gradient at p + rho g / |g| in place of g
    gsam      sam, less the component of g orthogonal to it: also reduces the difference of the two losses
    looksam   sam every few steps; in between, its component that g lacks is added from memory

All need `value_fn=`, which a step of gdjax passes: the loss of the same batch, as a function of the parameters. Here a
gradient is the direction of ascent, which for complex parameters is the conjugate of that of `jax.grad`.

The perturbed point is in at least float32: rho is often less than the spacing of 16-bit numbers, so that most parameters
would not change. A loss that rejects float32 parameters (as `lax.conv` does with 16-bit data) receives the rounded point,
with a warning.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
from optax import contrib

from gdjax import tree
from gdjax.calls import as_optimizer, optimizer
from gdjax.optimizers.wrappers.two_forms import is_optimizer, print_as, two_forms
from gdjax.types import ArrayLike, ScalarOrSchedule, Transformation


@optimizer(static=("sync_period", "batch_axis_name"), bounds={"sync_period": "[1, inf)"}, ints=("sync_period",))
@print_as("sam")
def _sam_in_turns(
    optimizer: Transformation,
    adv_optimizer: Transformation,
    sync_period: int = 2,
    reset_state: bool = True,
    opaque_mode: bool = False,
    batch_axis_name: str | None = None,
):
    """Optax's transformation of the name: ascent and descent in turns, each an update."""
    descent, ascent = as_optimizer(optimizer), as_optimizer(adv_optimizer)
    theirs = contrib.sam(descent, ascent, sync_period, reset_state, opaque_mode, batch_axis_name)

    def update(grads, state, params=None, *, grad_fn=None, **extra_args):
        del extra_args
        updates, new = theirs.update(grads, state, params, grad_fn=grad_fn)
        return tree.cast_like(updates, grads), tree.cast_like(new, state)

    return theirs.init, update


@optimizer(static=("adaptive", "steps"), bounds={"rho": "[0, inf)", "eta": "[0, inf)"}, ints=("steps",))
@print_as("sam")
def _sam_at_once(
    inner: Transformation,
    rho: ScalarOrSchedule = 0.05,
    *,
    adaptive: bool = False,
    eta: ScalarOrSchedule = 0.01,
    steps: int = 1,
):
    """SAM: the inner optimizer descends along the gradient at the worst point nearby.

        g <- grad of the loss at p + rho g / |g|                    |g| over all leaves together
        adaptive (ASAM): at p + rho s² g / |s g|,      s = |p| + eta, entry by entry

    With a second optimizer, `sam(optimizer, adv_optimizer, sync_period=2, reset_state=True, opaque_mode=False,
    batch_axis_name=None)` is Optax's transformation: sync_period - 1 updates climb by adv_optimizer, the next one takes the
    step of optimizer from where the climb began; opaque_mode does both in one update, with a `grad_fn=`.

    Args:
        inner: the optimizer to feed; `optimizer` is another name for it.
        rho: >= 0, parameter units (without unit if adaptive, where 0.5 to 2 is usual); how far uphill.
        adaptive: measure the neighbourhood relative to each parameter's size.
        eta: >= 0, parameter units; keeps s from 0. Of no effect unless adaptive.
        steps: steps uphill, each of length rho and with a gradient of its own.

    Memory: 0 + inner, and one gradient more a step.   Raises: ValueError if update is called without `value_fn=`.
    Differs from: Optax's contrib.sam, which takes a gradient function or spreads the steps over several updates; with
        its normalize as ascent a zero gradient gives NaN, here it stays zero.
    Reference: Foret, Kleiner, Mobahi & Neyshabur 2021, Algorithm 1, arXiv:2010.01412; Kwon et al. 2021,
        arXiv:2102.11600 (adaptive).
    """
    inner = as_optimizer(inner)
    if steps < 1:
        raise ValueError(f"sam: steps must be at least 1, got {steps}")

    def update(grads, state, params=None, **extra_args):
        gradient, point = _gradient("sam", params, **extra_args), params
        for _ in range(steps):
            point = _uphill(point, grads, rho, eta if adaptive else None)
            grads = tree.cast_like(gradient(point), grads)
        return inner.update(grads, state, params, **extra_args)

    return inner.init, update


def _is_at_once(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return "adv_optimizer" not in kwargs and not (len(args) > 1 and is_optimizer(args[1]))


sam: Final = two_forms(_sam_at_once, _sam_in_turns, _is_at_once)


@optimizer(bounds={"rho": "[0, inf)", "alpha": "[0, inf)"})
def gsam(inner: Transformation, rho: ScalarOrSchedule = 0.05, alpha: ArrayLike = 0.4):
    """GSAM: SAM that also lowers the surrogate gap, the loss uphill less the loss here.

        h = grad of the loss at p + rho g / |g|
        g <- h - alpha (g - h <g, h> / |h|²)                        over all leaves together

    Args:
        inner: the optimizer to feed.
        rho: >= 0, parameter units; how far uphill.
        alpha: >= 0; weight of the gap, 0 gives `sam`.

    Memory: 0 + inner, and one gradient more a step.   Raises: ValueError if update is called without `value_fn=`.
    Differs from: the paper in that rho does not follow the learning rate.
    Reference: Zhuang et al. 2022, Algorithm 1, arXiv:2203.08065.
    """
    inner = as_optimizer(inner)

    def update(grads, state, params=None, **extra_args):
        above = _gradient("gsam", params, **extra_args)(_uphill(params, grads, rho))
        fed = jax.tree.map(lambda h, across: h - alpha * across, above, _across(grads, above))
        return inner.update(tree.cast_like(fed, grads), state, params, **extra_args)

    return inner.init, update


class LookSamState(NamedTuple):
    count: jax.Array  # updates so far, () int32
    across: Any  # what of the last gradient uphill was orthogonal to the gradient, like the parameters
    inner: Any


@optimizer(bounds={"rho": "[0, inf)", "alpha": "[0, inf)", "period": "[1, inf)"}, ints=("period",))
def looksam(inner: Transformation, rho: ScalarOrSchedule = 0.05, alpha: ArrayLike = 0.7, period: int = 5):
    """LookSAM: SAM at every `period`-th step, its effect remembered in between.

        every period steps:    h = grad of the loss at p + rho g / |g|,   v <- h - g <h, g> / |g|²,   g <- h
        else:                  g <- g + alpha |g| / |v| v                  over all leaves together

    Args:
        inner: the optimizer to feed.
        rho: >= 0, parameter units; how far uphill.
        alpha: >= 0; weight of the remembered direction.
        period: steps, at least 1; 1 gives `sam`. Under vmap the gradient uphill is computed at every step.

    Memory: 1 x params + inner, and one gradient more every period steps.
        Raises: ValueError if update is called without `value_fn=`.
    Reference: Liu et al. 2022, Algorithm 1, arXiv:2203.02714.
    """
    inner = as_optimizer(inner)

    def init(params):
        return LookSamState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params), inner.init(params))

    def update(grads, state, params=None, **extra_args):
        gradient = _gradient("looksam", params, **extra_args)

        def look(grads, across):
            above = gradient(_uphill(params, grads, rho))
            return tree.cast_like(above, grads), tree.cast_like(_across(above, grads), across)

        def recall(grads, across):
            length = alpha * tree.global_norm(grads)
            fed = jax.tree.map(lambda g, v: g + length * v, grads, tree.direction(across))
            return tree.cast_like(fed, grads), across

        fed, across = jax.lax.cond(state.count % period == 0, look, recall, grads, state.across)
        updates, inner_state = inner.update(fed, state.inner, params, **extra_args)
        return updates, LookSamState(tree.increment(state.count, period=period), across, inner_state)

    return init, update


def _gradient(
    who: str, params: Any, value_fn: Callable[..., Any] | None = None, **extra_args: Any
) -> Callable[[Any], Any]:
    """params -> direction of ascent. Arguments that value_fn has besides the parameters are passed on to it."""
    if params is None or value_fn is None:
        raise ValueError(f"{who}: update needs params and value_fn=, a function params -> value, to look uphill")
    loss: Any = getattr(value_fn, "fine", value_fn)  # that of the parameters as they come, not of their rounding
    named = inspect.signature(loss).parameters
    given = {name: x for name, x in extra_args.items() if name in named}
    gradient = jax.grad(lambda params: loss(params, **given))

    def at(point: Any) -> Any:
        try:
            jax.eval_shape(gradient, point)
        except TypeError:
            rounded = tree.cast_like(point, params)
            if jax.tree.map(jnp.result_type, rounded) == jax.tree.map(jnp.result_type, point):
                raise
            warnings.warn(f"{who}: the loss refuses float32 parameters, the point uphill is rounded", stacklevel=2)
            point = rounded
        return jax.tree.map(jnp.conj, gradient(point))

    return at


def _uphill(params: Any, grads: Any, rho: Any, eta: Any = None) -> Any:
    """p + rho g / |g|, in at least float32; p itself at a zero gradient. With eta, adaptive."""
    scales = jax.tree.map(lambda p: 1 if eta is None else tree.absolute(p) + eta, params)
    unit = tree.direction(jax.tree.map(lambda s, g: s * g, scales, grads))
    return jax.tree.map(lambda p, s, u: p + rho * (s * u), params, scales, unit)


def _across(x: Any, along: Any) -> Any:
    """The component of x that is orthogonal to another tree, in at least float32."""
    wide = lambda t: jax.tree.map(lambda x: jnp.asarray(x, tree.arithmetic_dtype(x)), t)  # noqa: E731
    x, along = wide(x), wide(along)
    unit = tree.direction(along)
    products = tree.leafmap(lambda a, b: jnp.sum(jnp.real(jnp.conj(a) * b)), unit, x)
    length = sum(products, start=jnp.zeros((), jnp.float32))
    return jax.tree.map(lambda x, a: x - length * a, x, unit)
