"""How far along a direction: line searches as values, and a wrapper that puts one behind any optimizer.

A search (`gdjax.optimizers.linesearch.search`) is a call node: `lbfgs(linesearch=zoom(curv_rtol=0.1))`. It needs the loss as
a function of the parameters, which `update` takes as `value_fn=`, with `value=` and `grad=` at the present ones if they
are known; `make_step` passes all three.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax.calls.node import Node, Rated, as_optimizer, decorator, inner_state, optimizer, rate_of, register
from gdjax.optimizers.linesearch.search import SearchResult, armijo, scaled, strong_wolfe
from gdjax.vector import flat_dtype


class LineSearch(Node):
    """A node of (first, search): `first(previous step) -> step`, and a search as in `gdjax.optimizers.linesearch.search`."""

    def search(self, value_fn, params, direction, value, grad, previous=1.0) -> SearchResult:
        first, search = self.build()
        return search(value_fn, params, direction, value, grad, first(jnp.asarray(previous)))


register(LineSearch)
line_searcher = decorator(LineSearch, "A factory of line searches from a body that returns (first, search).")


@line_searcher(
    static=("initial_guess_strategy",),
    bounds={
        "max_linesearch_steps": "[1, inf)",
        "max_learning_rate": "(0, inf]",
        "slope_rtol": "(0, 1)",
        "curv_rtol": "(0, inf]",
        "approx_dec_rtol": "[0, inf)",
        "stepsize_precision": "[0, 1)",
    },
)
def zoom(
    max_linesearch_steps: int = 20,
    max_learning_rate=None,
    slope_rtol=1e-4,
    curv_rtol=0.9,
    approx_dec_rtol=1e-6,
    stepsize_precision=1e-5,
    initial_guess_strategy="one",
):
    """A length of sufficient decrease and small slope (the strong Wolfe conditions); see `strong_wolfe`.

    Args:
        max_linesearch_steps: evaluations of value and gradient, at least 1 (and one more if the search fails).
        max_learning_rate: > 0, the longest step; None has none.
        slope_rtol: in (0, 1); the share of the decrease promised by the slope that must be had.
        curv_rtol: > 0; the share of the slope that may remain: 0.9 for Newton-like directions, 0.1 for conjugate
            gradients; inf asks for decrease alone.
        approx_dec_rtol: >= 0; values that differ by this share of |value| (at least 16 ulp) are level; None: none are.
        stepsize_precision: in [0, 1); an interval this narrow, relative to its end, is searched no further.
        initial_guess_strategy: "one" starts at 1 (Newton-like directions), "keep" at the length found last.

    Reference: Nocedal & Wright 2006, Algorithms 3.5 and 3.6; Hager & Zhang 2005, section 4 (approximate Wolfe).
    """
    if initial_guess_strategy not in ("one", "keep"):
        raise ValueError(f"zoom: initial_guess_strategy must be 'one' or 'keep', got {initial_guess_strategy!r}")

    def first(previous):
        return jnp.ones_like(previous) if initial_guess_strategy == "one" else previous

    def search(value_fn, params, direction, value, grad, step):
        return strong_wolfe(
            value_fn,
            params,
            direction,
            value,
            grad,
            step,
            slope_rtol=slope_rtol,
            curv_rtol=curv_rtol,
            noise_rtol=_noise_rtol(approx_dec_rtol, params),
            max_step=jnp.inf if max_learning_rate is None else max_learning_rate,
            max_evaluations=max_linesearch_steps,
            precision=stepsize_precision,
        )

    return first, search


@line_searcher(
    bounds={
        "max_backtracking_steps": "[1, inf)",
        "slope_rtol": "(0, 1)",
        "decrease_factor": "(0, 1)",
        "increase_factor": "[1, inf]",
        "max_learning_rate": "(0, inf)",
        "atol": "[0, inf)",
        "rtol": "[0, inf)",
        "approx_dec_rtol": "[0, inf)",
    }
)
def backtracking(
    max_backtracking_steps: int = 20,
    slope_rtol=1e-4,
    decrease_factor=0.8,
    increase_factor=1.5,
    max_learning_rate=1.0,
    atol=0.0,
    rtol=0.0,
    *,
    approx_dec_rtol=1e-6,
):
    """A length of sufficient decrease (Armijo's condition), by shortening; see `armijo`.

    Args:
        max_backtracking_steps: evaluations of value and gradient, at least 1; after them the step is 0.
        slope_rtol: in (0, 1); the share of the decrease promised by the slope that must be had.
        decrease_factor: in (0, 1); what a failed length is multiplied by.
        increase_factor: >= 1; the first trial is this times the length found last; inf starts at max_learning_rate.
        max_learning_rate: > 0, the longest step.
        atol, rtol: >= 0; the rise that is forgiven, in units of the value and relative to it.
        approx_dec_rtol: as in `zoom`.

    Differs from: optax.scale_by_backtracking_linesearch, which shortens to 0 where the decrease is lost in rounding, and
        steps up by the last trial if all have failed.
    Reference: Armijo 1966; Nocedal & Wright 2006, Algorithm 3.1.
    """

    def first(previous):
        return jnp.minimum(increase_factor * previous, max_learning_rate).astype(previous.dtype)

    def search(value_fn, params, direction, value, grad, step):
        return armijo(
            value_fn,
            params,
            direction,
            value,
            grad,
            step,
            slope_rtol=slope_rtol,
            decrease_factor=decrease_factor,
            noise_rtol=_noise_rtol(approx_dec_rtol, params),
            atol=atol,
            rtol=rtol,
            max_evaluations=max_backtracking_steps,
        )

    return first, search


def _noise_rtol(approx_dec_rtol, params):
    return 0.0 if approx_dec_rtol is None else jnp.maximum(approx_dec_rtol, 16 * jnp.finfo(flat_dtype(params)).eps)


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


def searcher(linesearch: Any) -> tuple[Callable, Callable]:
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
        return scaled(updates, found.step), SearchState(found.step, found.value, found.grad, found.guess, info)

    return init, update


def with_rate(init: Callable, update: Callable, learning_rate: Any, linesearch: Any) -> Rated:
    """(init, update) that shows its rate only where no search sets the length of the step."""
    rate = 1.0 if learning_rate is None and linesearch is None else learning_rate
    return Rated(init, update, lambda state, _: rate_of(rate, state), exact=linesearch is None)


def objective(
    who: str, params: Any, needed: bool, value=None, grad=None, value_fn=None, **extra_args
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


class LineSearchState(NamedTuple):
    inner: Any
    linesearch: Any


@optimizer
def line_search(inner, linesearch=zoom(initial_guess_strategy="keep")):  # noqa: B008 (a node is a value)
    """A line search behind any optimizer: its update gives the direction, the search the length.

        u = t u_inner,       t such that f(p + t u_inner) has decreased enough

    Args:
        inner: the optimizer whose updates, which should descend, are scaled; a direction that does not is not followed.
        linesearch: `zoom(...)`, `backtracking(...)` or a line search of Optax's.

    Memory: 1 + inner.   Raises: ValueError if update is called without `value_fn=`.
    Reference: Nocedal & Wright 2006, chapter 3.
    """
    inner = as_optimizer(inner)
    init_search, search = searcher(linesearch)

    def init(params):
        return LineSearchState(inner.init(params), init_search(params))

    def update(grads, state, params=None, **extra_args):
        given = objective("line_search", params, linesearch is not None, **extra_args)
        updates, inner_state = inner.update(grads, state.inner, params, **extra_args)
        updates, search_state = search(updates, state.linesearch, params, **given)
        return updates, LineSearchState(inner_state, search_state)

    def rate_at(state: Any, evaluation: Any) -> Any:
        return inner.learning_rates_at(inner_state(state), evaluation)

    return Rated(init, update, rate_at, exact=linesearch is None)
