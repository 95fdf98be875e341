"""How far along a direction: searches for a step length, as parts that any descent direction can use.

Along d from p the value is a function of one number, phi(t) = f(p + t d). A *search* is a plain function

    search(value_fn, params, direction, value, grad, step) -> SearchResult

with value and grad those at params and `step` the first length to try. It tries lengths in one compiled loop that holds
a single evaluation of the value and its gradient (most of what a search costs to compile) and carries, beside the
gradient at the last trial, only scalars: the interval known to hold a good length, and the best so far. Value and
gradient at the end are handed back, so that the next iteration need not compute them.

Near a minimum phi changes by less than the rounding of f, while its slope is still exact. There a trial that is level
with phi(0) is judged by its slope alone, the approximate Wolfe condition of Hager & Zhang 2005. A search that fails
takes the best length that it has seen, which may be 0; it never goes up and never makes NaN.

`zoom(...)` and `backtracking(...)` are searches as call nodes, `line_search(inner, zoom())` puts one behind any optimizer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gdjax import tree
from gdjax.nodes import Node, as_optimizer, decorator, optimizer, register
from gdjax.optimizers.flat import flat_dtype, ravel

SMALL = 1 << 14  # numbers; below it one sum over all leaves is cheaper to compile than a sum for each, and as quick


class SearchResult(NamedTuple):
    step: jax.Array  # () float, the length found; 0 if none makes the value less
    value: jax.Array  # () float, at params + step direction
    grad: Any  # the gradient there, as jax.grad gives it
    evaluations: jax.Array  # () int32, of value and gradient
    failed: jax.Array  # () bool: the conditions do not hold
    guess: jax.Array  # () float, where a search that starts from the last one's length may start


class LineSearch(Node):
    """A node of (first, search): `first(previous step) -> step`, and a search as in the module's docstring."""

    def search(self, value_fn, params, direction, value, grad, previous=1.0) -> SearchResult:
        first, search = self.build()
        return search(value_fn, params, direction, value, grad, first(jnp.asarray(previous)))


register(LineSearch)
line_searcher = decorator(LineSearch, "A factory of line searches from a body that returns (first, search).")


class _Line:
    """phi: the value, its gradient and its slope at a length; and phi(0)."""

    def __init__(self, value_fn, params, direction, value, grad):
        self.dtype = flat_dtype(params)
        self.value_and_grad = jax.value_and_grad(value_fn)
        self.params, self.direction = params, direction
        self.value0 = jnp.asarray(value, self.dtype)
        self.grad0 = tree.cast_like(grad, params)
        self.slope0 = self.slope(grad)

    def slope(self, grad) -> jax.Array:
        """real(g d) summed: JAX's gradient of a real function is the conjugate of the direction of ascent."""
        ascent = jax.tree.map(jnp.conj, grad)
        leaves = [ascent], [self.direction]
        if sum(map(jnp.size, jax.tree.leaves(ascent))) > SMALL:
            leaves = jax.tree.leaves(ascent), jax.tree.leaves(self.direction)
        parts = [jnp.sum(ravel(g, self.dtype) * ravel(d, self.dtype)) for g, d in zip(*leaves, strict=True)]
        return sum(parts, start=jnp.zeros((), self.dtype))

    def at(self, step) -> tuple[jax.Array, Any, jax.Array]:
        """Exactly where `optax.apply_updates` will go."""
        value, grad = self.value_and_grad(optax.apply_updates(self.params, scaled(self.direction, step)))
        return value.astype(self.dtype), tree.cast_like(grad, self.params), self.slope(grad)


def scaled(direction: Any, step: jax.Array) -> Any:
    return jax.tree.map(lambda d: (step * d.astype(jnp.result_type(d, step))).astype(d.dtype), direction)


LOW, HIGH, BEST = range(3)
SEARCHING, LAST, ACCEPTED, GIVEN_UP = range(4)  # LAST: the trial to come is the best seen, for its gradient


class _Zoom(NamedTuple):
    """Small arrays instead of many scalars: on a CPU every output of a loop's body is a kernel to compile."""

    step: jax.Array  # to try next; at the end, the one tried last
    value: jax.Array
    grad: Any
    evaluations: jax.Array
    points: jax.Array  # (3, 3): LOW, HIGH and BEST by step, value and slope; HIGH is at infinity until one is seen
    status: jax.Array


def strong_wolfe(
    value_fn: Callable[[Any], jax.Array],
    params: Any,
    direction: Any,
    value: Any,
    grad: Any,
    step: Any,
    *,
    slope_rtol: Any = 1e-4,
    curv_rtol: Any = 0.9,
    noise_rtol: Any = 1e-6,
    max_step: Any = jnp.inf,
    max_evaluations: Any = 20,
    precision: Any = 1e-5,
) -> SearchResult:
    """A length at which the value has decreased enough and the slope has flattened enough.

        phi(t) <= phi(0) + slope_rtol t phi'(0)     and     |phi'(t)| <= curv_rtol |phi'(0)|

    An interval [low, high] that must hold such a length is kept: low lies below the line of sufficient decrease and still
    goes down, high lies above it or goes up. The next trial is the minimum of the cubic through both (through both slopes
    alone where their values are level), kept off the ends, halfway if the interval does not shrink; while there is no
    high, it is an extrapolation of the slope.

    Args: as `zoom` names them.
    """
    line = _Line(value_fn, params, direction, value, grad)
    dtype, value0, slope0 = line.dtype, line.value0, line.slope0

    def body(c: _Zoom) -> _Zoom:
        value, grad, slope = line.at(c.step)
        noise = noise_rtol * jnp.abs(value0)
        rise, promised = value - value0, slope_rtol * c.step * slope0
        decreased = rise <= promised
        flat = jnp.abs(slope) <= -curv_rtol * slope0
        level = (jnp.abs(rise) <= noise) & (slope >= curv_rtol * slope0) & (slope <= (2 * slope_rtol - 1) * slope0)
        at_the_end = (c.step >= max_step) & (slope < 0)
        accepted = level | (decreased & (flat | at_the_end))
        low = (rise <= promised + noise) & (slope < 0)  # false for NaN
        kinds = jnp.stack([low, ~low, decreased & (value < c.points[BEST, 1])])
        points = jnp.where(kinds[:, None], jnp.stack([c.step, value, slope]), c.points)
        width = points[HIGH, 0] - points[LOW, 0]
        narrow = jnp.isfinite(width) & (width <= precision * points[HIGH, 0])
        still = (rise == 0) & (slope == slope0)  # too short a step to move the parameters
        last = (c.evaluations + 1 >= max_evaluations) | narrow | still
        over = (c.status == LAST) | (last & (points[BEST, 0] == c.step))
        status = jnp.where(accepted, ACCEPTED, jnp.where(over, GIVEN_UP, jnp.where(last, LAST, SEARCHING)))
        trial = jnp.minimum(_next_trial(c.points, points, noise), max_step)
        step = jnp.where(accepted | over, c.step, jnp.where(last, points[BEST, 0], trial))
        return _Zoom(step.astype(dtype), value, grad, c.evaluations + 1, points, status.astype(jnp.int32))

    descends = (slope0 < 0) & jnp.isfinite(value0)
    here = jnp.stack([jnp.zeros((), dtype), value0, slope0])
    begin = jnp.where(descends, SEARCHING, jnp.where(slope0 == 0, ACCEPTED, GIVEN_UP))
    state = _Zoom(
        step=jnp.where(descends, jnp.minimum(jnp.asarray(step, dtype), max_step), 0).astype(dtype),
        value=value0,
        grad=line.grad0,
        evaluations=jnp.zeros((), jnp.int32),
        points=jnp.stack([here, jnp.full(3, jnp.inf, dtype), here]),
        status=begin.astype(jnp.int32),
    )
    end = jax.lax.while_loop(lambda c: c.status < ACCEPTED, body, state)
    guess = jnp.where(end.step > 0, end.step, jnp.minimum(end.points[HIGH, 0], 1))
    return SearchResult(end.step, end.value, end.grad, end.evaluations, end.status == GIVEN_UP, guess)


def _next_trial(before: jax.Array, points: jax.Array, noise: jax.Array) -> jax.Array:
    (low, low_value, low_slope), (high, high_value, high_slope), _ = points
    width = high - low
    d1 = low_slope + high_slope - 3 * (high_value - low_value) / width
    d2 = jnp.sqrt(jnp.maximum(d1 * d1 - low_slope * high_slope, 0))
    cubic = 1 - (high_slope + d2 - d1) / (high_slope - low_slope + 2 * d2)
    secant = low_slope / (low_slope - high_slope)
    share = jnp.where((jnp.abs(high_value - low_value) <= noise) & (high_slope > 0), secant, cubic)
    share = jnp.where(jnp.isfinite(share), jnp.clip(share, 0.1, 0.9), 0.1)  # not finite: far too long a step
    shrinks = width <= 0.66 * (before[HIGH, 0] - before[LOW, 0])  # true for the first interval: from infinity
    stretch = low_slope / (before[LOW, 2] - low_slope)
    stretch = jnp.where(stretch > 0, jnp.clip(stretch, 0.1, 9), 4)  # where the slope steepens it tells nothing
    inside = low + width * jnp.where(shrinks, share, 0.5)
    return jnp.where(jnp.isfinite(high), inside, low + stretch * (low - before[LOW, 0]))


class _Backtrack(NamedTuple):
    step: jax.Array
    value: jax.Array
    grad: Any
    evaluations: jax.Array
    accepted: jax.Array


def armijo(
    value_fn: Callable[[Any], jax.Array],
    params: Any,
    direction: Any,
    value: Any,
    grad: Any,
    step: Any,
    *,
    slope_rtol: Any = 1e-4,
    decrease_factor: Any = 0.8,
    noise_rtol: Any = 1e-6,
    atol: Any = 0.0,
    rtol: Any = 0.0,
    max_evaluations: Any = 20,
) -> SearchResult:
    """The first of step, step decrease_factor, step decrease_factor², ... at which the value has decreased enough.

        phi(t) <= phi(0) + slope_rtol t phi'(0) + rtol |phi(0)| + atol

    Args: as `backtracking` names them.
    """
    line = _Line(value_fn, params, direction, value, grad)
    noise, slack = noise_rtol * jnp.abs(line.value0), rtol * jnp.abs(line.value0) + atol
    descends = (line.slope0 < 0) & jnp.isfinite(line.value0)

    def body(c: _Backtrack) -> _Backtrack:
        step = jnp.where(c.evaluations > 0, decrease_factor * c.step, c.step).astype(line.dtype)
        value, grad, slope = line.at(step)
        rise = value - line.value0
        level = (rise <= noise) & (slope <= (2 * slope_rtol - 1) * line.slope0)
        return _Backtrack(
            step, value, grad, c.evaluations + 1, (rise <= slope_rtol * step * line.slope0 + slack) | level
        )

    start = _Backtrack(
        step=jnp.asarray(step, line.dtype),
        value=line.value0,
        grad=line.grad0,
        evaluations=jnp.zeros((), jnp.int32),
        accepted=~descends,
    )
    end = jax.lax.while_loop(lambda c: ~c.accepted & (c.evaluations < max_evaluations), body, start)
    found = end.accepted & descends
    value, grad = tree.select(found, (end.value, end.grad), (line.value0, line.grad0))
    step = jnp.where(found, end.step, 0).astype(line.dtype)
    return SearchResult(step, value, grad, end.evaluations, ~found & (line.slope0 != 0), end.step)


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
    """What the last search found; `optax.value_and_grad_from_state` finds value and gradient here."""

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
        return tuple(as_optimizer(linesearch))

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


def objective(who: str, params: Any, needed: bool, value=None, grad=None, value_fn=None, **extra_args) -> dict[str, Any]:
    """value, grad and value_fn at params for a search, from the keyword arguments of `update`; {} where none is needed.

    Arguments that value_fn names beside the parameters are passed on to it, as Optax does. grad is what jax.grad gives.

    Raises: ValueError if value_fn is needed and missing.
    """
    if not needed or not jax.tree.leaves(params):
        return dict.fromkeys(("value", "grad", "value_fn")) if needed else {}
    if params is None or value_fn is None:
        raise ValueError(f"{who}: update needs params and value_fn=, a function params -> value, to search along its step")
    named = inspect.signature(value_fn).parameters
    rest = {name: x for name, x in extra_args.items() if name in named}

    def value_of(params):
        return value_fn(params, **rest)

    if value is None or grad is None:
        value, grad = jax.value_and_grad(value_of)(params)
    return {"value": value, "grad": grad, "value_fn": value_of}


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

    return init, update
