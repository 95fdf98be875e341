"""Transformations applied one after another, and the learning rate of the whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import optax

from gdjax.calls import Optimizer, WithRate, as_optimizer, is_number, optimizer, scale_rates
from gdjax.optimizers.own_gradient import check_own_gradient
from gdjax.types import Transformation


@optimizer
def chain(*args: Transformation):
    """One after the other: the updates of each are the gradients of the next.

    Like `optax.chain`, for ours and Optax's mixed, but a value: the numbers of ours stay leaves. Extra arguments go to each
    part as they came: `grad=` stays the gradient of the loss, which a line search behind a clipping needs for its slope.
    Methods that combine their gradient with values of the loss (`lbfgs`, `newton`, `momo`, `sam` and others) need the
    gradient of the loss itself; after a part that changes it they are an error. `sam(chain(clip(1.0), adam(1e-3)))` clips
    inside.

    The rate shown is that of the part that has one, times the scales behind it; of a chain without such a part, what its
    last scales multiply the direction by, as in `chain(scale_by_adam(), scale(-1e-3))`. None where a part behind the rate
    might change the step in any other way, or where two have rates.

    Args:
        args: optimizers and transforms, ours or Optax's.

    Memory: the sum of its parts.   Raises: ValueError for such a method after another part.
    Differs from: Optax, where L-BFGS after a clipping receives clipped gradients and values of the unclipped loss.
    Reference: optax.chain.

    >>> opt, x, g = gd.chain(gd.clip(1.0), gd.sgd(0.1)), jnp.ones(2), jnp.array([0.5, -2.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.05 0.1]
    """
    parts = [as_optimizer(part) for part in args]
    check_parts("chain", parts)
    init, update = optax.chain(*parts)

    def rate_at(state: Any, evaluation: Any) -> Any:
        states = [state] * len(parts) if is_number(state) else state
        return rate_of_parts(parts, states, evaluation)

    return WithRate(init, update, rate_at)


class Scaling(tuple[Callable[..., Any], Callable[..., Any]]):
    """(init, update) that multiplies updates by `factor_at(state)`, where the state may also be a step."""

    factor_at: Callable[[Any], Any]

    def __new__(cls, init: Callable[..., Any], update: Callable[..., Any], factor_at: Callable[[Any], Any]) -> Self:
        pair = super().__new__(cls, (init, update))
        pair.factor_at = factor_at
        return pair


def unit_factor(state: Any, **arguments: Any) -> float:
    """The factor of a part that changes nothing."""
    del state, arguments
    return 1.0


def _changes_nothing(pair: Any) -> bool:
    return isinstance(pair, Scaling) and getattr(pair.factor_at, "func", None) is unit_factor


def check_parts(who: str, parts: list[Optimizer]) -> None:
    """Raise ValueError for a part that needs the gradient of the loss itself after one that changes it."""
    changing = [i for i, part in enumerate(parts) if not _changes_nothing(part.build())]
    for part in parts[changing[0] + 1 :] if changing else ():
        check_own_gradient(who, part, lambda: f"what {parts[changing[0]]!r} makes of it")


def rate_of_parts(parts: list[Optimizer], states: Any, evaluation: Any) -> Any:
    """The learning rate of chained parts; see `chain`."""
    rates: Any = None  # of the part that has one, and of the scales behind it
    factor: Any = None  # of the scales that come last, where no part has a rate
    for part, state in zip(parts, states, strict=True):
        pair = part.build()
        if _changes_nothing(pair):
            continue
        if isinstance(pair, Scaling):
            scale = pair.factor_at(state)
            rates = scale_rates(rates, scale)
            factor = scale if factor is None else factor * scale
            continue
        own, factor = part.learning_rates_at(state, evaluation), None
        if rates is not None:
            return None
        rates = own
    return rates if rates is not None or factor is None else -factor
