"""A search as the last part of an optimizer: its state, what it asks `update` for, and the rate that it shows."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax.calls import WithRate, as_optimizer, rate_of
from gdjax.optimizers.linesearch.search import LineSearch, scale_direction
from gdjax.types import Params
from gdjax.vector import flat_dtype


class SearchInfo(NamedTuple):
    num_linesearch_steps: jax.Array  # () int32, evaluations of value and gradient by the last search
    failed: jax.Array  # () bool


class SearchState(NamedTuple):
    """What the last search found; `optax.value_and_grad_from_state` finds value and gradient here.

    Before the first search the value is infinite: an update that is given this value and gradient moves nothing and finds
    both, so that a loop which takes them from here holds a single evaluation of the loss.
    """

    learning_rate: jax.Array  # () float, the length found; 0 if none was
    value: jax.Array
    grad: Any
    guess: jax.Array  # () float, see `SearchResult`
    info: SearchInfo


def searcher(linesearch: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(init, update) that scales the updates it is given: from a `LineSearch`, a transformation of Optax's, or None.

    `update` takes value=, grad= and value_fn= (see `objective`), the last a function of the parameters alone.
    """
    if linesearch is None:
        return lambda params: (), lambda updates, state, params, **_: (updates, state)
    if not isinstance(linesearch, LineSearch):
        theirs = as_optimizer(linesearch)
        return theirs.init, theirs.update

    def init(params):
        dtype = flat_dtype(params)
        info = SearchInfo(jnp.zeros((), jnp.int32), jnp.zeros((), bool))
        one, unknown = jnp.ones((), dtype), jnp.full((), jnp.inf, dtype)
        return SearchState(one, unknown, jax.tree.map(jnp.zeros_like, params), one, info)

    def update(updates, state, params, *, value, grad, value_fn):
        if not jax.tree.leaves(params):
            return updates, state
        found = linesearch.search(value_fn, params, updates, value, grad, state.guess)
        info = SearchInfo(found.evaluations, found.failed)
        return scale_direction(updates, found.step), SearchState(found.step, found.value, found.grad, found.guess, info)

    return init, update


def with_rate(init: Callable[..., Any], update: Callable[..., Any], learning_rate: Any, linesearch: Any) -> WithRate:
    """(init, update) that shows its rate only where no search sets the length of the step."""
    rate = 1.0 if learning_rate is None and linesearch is None else learning_rate
    return WithRate(init, update, lambda state, _: rate_of(rate, state), exact=linesearch is None)


def objective(
    who: str, params: Any, needed: bool, value: Any = None, grad: Params = None, value_fn: Any = None, **extra_args: Any
) -> dict[str, Any]:
    """value, grad and value_fn at params for a search, from the keyword arguments of `update`; {} where none is needed.

    Arguments that value_fn names beside the parameters are passed on to it, as Optax does. grad is what jax.grad gives.

    Raises: ValueError if value_fn is needed and missing.
    """
    if not needed or not jax.tree.leaves(params):
        return dict.fromkeys(("value", "grad", "value_fn")) if needed else {}
    if params is None or value_fn is None:
        raise ValueError(
            f"{who}: update needs params and value_fn=, a function params -> value, to search along its step"
        )
    named = inspect.signature(value_fn).parameters
    rest = {name: x for name, x in extra_args.items() if name in named}

    def value_of(params):
        return value_fn(params, **rest)

    if value is None or jax.tree.structure(grad) != jax.tree.structure(params):  # optax.masked does not mask grad=
        value, grad = jax.value_and_grad(value_of)(params)
    return {"value": value, "grad": grad, "value_fn": value_of}


def value_and_grad_after(state: Any) -> tuple[jax.Array, Any] | None:
    """(value, grad) where the last update led, if the outermost optimizer is one that searched its way there.

    Before the first update the value is infinite; see `SearchState`.
    """
    found = getattr(state, "linesearch", None)
    return (found.value, found.grad) if isinstance(found, SearchState) else None
