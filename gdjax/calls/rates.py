"""The learning rate of an optimizer's next update: a number, or a schedule at the count in its state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
import optax

from gdjax.calls.leaves import is_number


class WithRate(tuple[Callable[..., Any], Callable[..., Any]]):
    """(init, update) of an optimizer whose rate is not simply its argument `learning_rate` at the count in its state.

    `rate_at(state, evaluation)` gives it, as `Optimizer.learning_rates_at` does; it is not `exact` where none may be shown,
    since the steps follow none.
    """

    rate_at: Callable[[Any, Any], Any]
    exact: bool

    def __new__(
        cls,
        init: Callable[..., Any],
        update: Callable[..., Any],
        rate_at: Callable[[Any, Any], Any],
        exact: bool = True,
    ) -> Self:
        pair = super().__new__(cls, (init, update))
        pair.rate_at, pair.exact = rate_at, exact
        return pair


def rate_of(rate: Any, state: Any) -> Any:
    """A number, or a schedule at the count in a state of ours or of Optax's; None if no count is there."""
    if not callable(rate) or is_number(state):
        return rate(state) if callable(rate) else rate
    fields = getattr(state, "_fields", ())
    for name in ("count", "step_count"):
        if name in fields and getattr(state, name) is not None:
            return rate(getattr(state, name))
    is_scheduled = lambda x: isinstance(x, optax.ScaleByScheduleState)  # noqa: E731
    scheduled = [x for x in jax.tree.leaves(state, is_leaf=is_scheduled) if is_scheduled(x)]
    return rate(scheduled[0].count) if len(scheduled) == 1 else None


def scale_rates(rates: Any, scale: Any) -> Any:
    """What `learning_rates_at` gave, times a scale."""
    if rates is None:
        return None
    return [r if r is None else r * scale for r in rates] if isinstance(rates, list) else rates * scale


def inner_state(state: Any) -> Any:
    """The state of the optimizer that a wrapper is around (of a step, the step); None if none is there."""
    if is_number(state):
        return state
    names = [name for name in ("inner", "inner_opt_state", "base_optimizer_state") if hasattr(state, name)]
    return getattr(state, names[0]) if names else None


def one_rate(rates: Any) -> Any:
    """The one number that the rates of all leaves are, NaN if they differ; None if there is none."""
    if rates is None:
        return None
    distinct = {id(x): x for x in (rates if isinstance(rates, list) else [rates]) if x is not None}
    if not distinct:
        return None
    entries = jnp.concatenate([jnp.ravel(jnp.asarray(x)) for x in distinct.values()])
    if entries.size == 0:
        return None
    return jnp.where(jnp.all(entries == entries[0]), entries[0], jnp.nan) if entries.size > 1 else entries[0]
