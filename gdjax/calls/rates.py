"""The learning rate of an optimizer's next update: a number, or the value of a schedule at the count in its state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
import optax

from gdjax.calls.leaves import is_number


class WithRate(tuple[Callable[..., Any], Callable[..., Any]]):
    """(init, update) of an optimizer whose learning rate is not its argument `learning_rate` at the count in its state.

    `rate_at(state, evaluation)` returns the rate, as `Optimizer.learning_rates_at` does. `exact` is false if the steps are
    not proportional to it, so that none is reported.
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
    """The rate as a number, a schedule taken at the count in a state of gdjax or Optax; None if the state has no count."""
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
    """The result of `learning_rates_at`, multiplied by a scale."""
    if rates is None:
        return None
    return [r if r is None else r * scale for r in rates] if isinstance(rates, list) else rates * scale


def inner_state(state: Any) -> Any:
    """The state of the inner optimizer of a wrapper (a step is returned as it is); None if there is none."""
    if is_number(state):
        return state
    fields = ("inner", "inner_opt_state", "base_optimizer_state", "inner_state")
    names = [name for name in fields if hasattr(state, name)]
    return getattr(state, names[0]) if names else None


def spread_rates(rates: Any, number: int) -> list[Any]:
    """The result of `learning_rates_at` as a list: the common rate, if there is one, for each of a number of leaves."""
    return rates if isinstance(rates, list) else [rates] * number


def rates_of_leaves(who: str, inner: Any, state: Any, evaluation: Any, number: int) -> list[Any]:
    """For each of a number of leaves the rate of the next update of an inner optimizer; None for a frozen one.

    Raises: ValueError if the state shows no rate, or rates for another number of leaves.
    """
    rates = inner.learning_rates_at(state, evaluation)
    if rates is None:
        raise ValueError(f"{who}: inner must have a learning rate in each state, got none for that of {inner!r}")
    rates = spread_rates(rates, number)
    if len(rates) != number:
        raise ValueError(f"{who}: inner must have {number} learning rates, one for each leaf, got {len(rates)}")
    return rates


def one_rate(rates: Any) -> Any:
    """The common rate of all leaves, NaN if their rates differ; None if there is no rate."""
    if rates is None:
        return None
    distinct = {id(x): x for x in (rates if isinstance(rates, list) else [rates]) if x is not None}
    if not distinct:
        return None
    entries = jnp.concatenate([jnp.ravel(jnp.asarray(x)) for x in distinct.values()])
    if entries.size == 0:
        return None
    return jnp.where(jnp.all(entries == entries[0]), entries[0], jnp.nan) if entries.size > 1 else entries[0]
