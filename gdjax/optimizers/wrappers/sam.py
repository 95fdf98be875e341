"""Sharpness-aware minimization: the gradient at the point of the neighborhood where the loss is largest."""

from __future__ import annotations

from typing import Any, Final

from optax import contrib

from gdjax import tree
from gdjax.calls import as_optimizer, optimizer
from gdjax.optimizers.own_gradient import check_own_gradient, of_own_gradient
from gdjax.optimizers.wrappers.two_forms import is_optimizer, print_as, two_forms
from gdjax.optimizers.wrappers.uphill import gradient_at, uphill
from gdjax.types import ArrayLike, Transformation


@optimizer(
    static=("sync_period", "batch_axis_name"),
    bounds={"sync_period": "[1, inf)"},
    ints=("sync_period",),
    constant=("sync_period",),
)
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
    check_own_gradient("sam", descent, "that uphill")
    theirs = contrib.sam(descent, ascent, sync_period, reset_state, opaque_mode, batch_axis_name)

    def update(grads, state, params=None, *, grad_fn=None, **extra_args):
        del extra_args
        updates, new = theirs.update(grads, state, params, grad_fn=grad_fn)
        return tree.cast_like(updates, grads), tree.cast_like(new, state)

    return theirs.init, update


@optimizer(
    static=("adaptive", "steps"),
    bounds={"rho": "[0, inf)", "eta": "[0, inf)"},
    ints=("steps",),
    constant=("rho", "eta", "steps"),
)
@print_as("sam")
def _sam_at_once(
    inner: Transformation,
    rho: ArrayLike = 0.05,
    *,
    adaptive: bool = False,
    eta: ArrayLike = 0.01,
    steps: int = 1,
):
    """SAM: the inner optimizer descends along the gradient at the worst point nearby.

        g <- grad of the loss at p + rho g / |g|                    |g| over all leaves together
        adaptive (ASAM): at p + rho s² g / |s g|,      s = |p| + eta, entry by entry

    With a second optimizer, `sam(optimizer, adv_optimizer, sync_period=2, reset_state=True, opaque_mode=False,
    batch_axis_name=None)` is Optax's transformation: sync_period - 1 updates climb by adv_optimizer, the next one takes the
    step of optimizer from where the climb began.

    Args:
        inner: the optimizer to feed; `optimizer` is another name for it.
        rho: >= 0, parameter units (without unit if adaptive, where 0.5 to 2 is usual); how far uphill.
        adaptive: measure the neighborhood relative to each parameter's size.
        eta: >= 0, parameter units; keeps s from 0. Of no effect unless adaptive.
        steps: steps uphill, each of length rho and with a gradient of its own.
        optimizer, adv_optimizer: of Optax's transformation, as the arguments below; they descend and climb.
        sync_period: at least 1; updates from one step of the optimizer to the next.
        reset_state: whether adv_optimizer starts anew after each of them.
        opaque_mode: whether one update does both, with a `grad_fn=`.
        batch_axis_name: axis of a `pmap` or `vmap` over which the climbs of opaque mode are averaged.

    Memory: 0 + inner, and one gradient more a step.   Raises: ValueError if update is called without `value_fn=`.
    Differs from: Optax's contrib.sam, which takes a gradient function or spreads the steps over several updates; with
        its normalize as ascent a zero gradient gives NaN, here it stays zero.
    Reference: Foret, Kleiner, Mobahi & Neyshabur 2021, Algorithm 1, arXiv:2010.01412; Kwon et al. 2021,
        arXiv:2102.11600 (adaptive).

    >>> f, opt, x = lambda x: x @ x, gd.sam(gd.sgd(0.1), rho=0.5), jnp.array([3.0, 4.0])
    >>> print(opt.update(jax.grad(f)(x), opt.init(x), x, value_fn=f)[0])
    [-0.66 -0.88]
    """
    inner = as_optimizer(inner)
    check_own_gradient("sam", inner, "that uphill")
    if steps < 1:
        raise ValueError(f"sam: steps must be at least 1, got {steps}")

    def update(grads, state, params=None, **extra_args):
        gradient, point = gradient_at("sam", params, **extra_args), params
        for _ in range(steps):
            point = uphill(point, grads, rho, eta if adaptive else None)
            grads = tree.cast_like(gradient(point), grads)
        return inner.update(grads, state, params, **extra_args)

    return inner.init, of_own_gradient(update)


def _is_at_once(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return "adv_optimizer" not in kwargs and not (len(args) > 1 and is_optimizer(args[1]))


sam: Final = two_forms(_sam_at_once, _sam_in_turns, _is_at_once)
