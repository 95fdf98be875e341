"""A line search as the last part of an optimizer: its state, its arguments, and its learning rate."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax.calls import Optimizer, WithRate, as_optimizer, rate_of
from gdjax.optimizers.linesearch.search import LineSearch, scale_direction
from gdjax.types import Params
from gdjax.vector import flat_dtype


class SearchInfo(NamedTuple):
    num_linesearch_steps: jax.Array  # () int32, evaluations of value and gradient by the last search
    failed: jax.Array  # () bool


class SearchState(NamedTuple):
    """The result of the last search; `optax.value_and_grad_from_state` reads value and gradient from it.

    Before the first search the value is infinite: an update with this value and gradient evaluates both and changes no
    parameter, so that a loop that takes them from here contains a single evaluation of the loss.
    """

    learning_rate: jax.Array  # () float, the accepted length; 0 if none was
    value: jax.Array
    grad: Any
    guess: jax.Array  # () float, see `SearchResult`
    info: SearchInfo


def searcher(linesearch: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(init, update) that scales given updates: from a `LineSearch`, a transformation of Optax, or None.

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


class Searching(WithRate):
    """(init, update) whose step ends at a point where its line search, if any, has evaluated value and gradient."""


def with_rate(init: Callable[..., Any], update: Callable[..., Any], learning_rate: Any, linesearch: Any) -> Searching:
    """(init, update) that reports a learning rate only if no search sets the length of the step."""
    rate = 1.0 if learning_rate is None and linesearch is None else learning_rate
    return Searching(init, update, lambda state, _: rate_of(rate, state), exact=linesearch is None)


def objective(
    who: str, params: Any, needed: bool, value: Any = None, grad: Params = None, value_fn: Any = None, **extra_args: Any
) -> dict[str, Any]:
    """value, grad and value_fn at params for a search, from the keyword arguments of `update`; {} if none is needed.

    Arguments that value_fn has besides the parameters are passed on to it, as in Optax. grad is the result of jax.grad.

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


def value_and_grad_after(optimizer: Optimizer, state: Any) -> tuple[jax.Array, Any] | None:
    """(value, grad) at the parameters after the last update, if the optimizer has a line search.

    None for a wrapper of such an optimizer, even if its state is that of the inner one, since it may change the step. Before
    the first update the value is infinite; see `SearchState`.
    """
    found = getattr(state, "linesearch", None) if isinstance(optimizer.build(), Searching) else None
    return (found.value, found.grad) if isinstance(found, SearchState) else None
