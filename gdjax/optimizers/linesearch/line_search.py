"""An optimizer followed by a line search."""

from __future__ import annotations

from typing import Any, NamedTuple

from gdjax.calls import as_optimizer, inner_state, optimizer
from gdjax.optimizers.linesearch.searcher import Searching, objective, searcher
from gdjax.optimizers.linesearch.zoom import zoom
from gdjax.types import Transformation


class LineSearchState(NamedTuple):
    inner: Any
    linesearch: Any


@optimizer
def line_search(inner: Transformation, linesearch=zoom(initial_guess_strategy="keep")):  # noqa: B008 (a node is a value)
    """A line search behind any optimizer: its update gives the direction, the search the length.

        u = t u_inner,       t such that f(p + t u_inner) has decreased enough

    Args:
        inner: the optimizer whose updates, which should descend, are scaled; a direction that does not is not followed.
        linesearch: `zoom(...)`, `backtracking(...)` or a line search of Optax's.

    Memory: 1 + inner.   Raises: ValueError if update is called without `value_fn=`.
    Reference: Nocedal & Wright 2006, chapter 3.

    >>> opt, x = gd.line_search(gd.sgd(1.0), gd.backtracking(decrease_factor=0.5)), jnp.array(2.0)
    >>> print(opt.update(2 * x, opt.init(x), x, value_fn=lambda x: x**2)[0])
    -2.0
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

    return Searching(init, update, rate_at, exact=linesearch is None)
