"""The loop of a search: ask for candidates, evaluate them all, tell their values.

A method is a call node of three pure functions, whose state says where it stands:

    init(params, value, key, value_fn) -> state           state has the fields params, value and done
    ask(state, key, value_fn) -> (candidates, state)      a tree like params, (n, ...) each
    tell(state, candidates, values) -> state

`value_fn(params)` is the value at the nearest point of the set that the search is kept in: f is asked nowhere else.
`value_fn.at(points)`, for a first population (n, ...), gives those nearest points and their values; `value_fn.f` is f.
A value that is NaN is told as infinity, so that no method has to know of it. `done` is a bool (True: CONVERGED) or a `Stop`.
"""

from __future__ import annotations

import dataclasses
import functools
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import stopping, tree
from gdjax.calls import Condition, Node, decorator, register
from gdjax.data import as_arrays
from gdjax.programs import bind, compiled
from gdjax.projections import as_set
from gdjax.solve._minimize import (
    Minimum,
    Packed,
    Point,
    Start,
    checked_params,
    checked_record,
    is_traced,
    moved_onto,
    observation,
    on_host,
    scalar,
    value_dtype,
    with_captured,
)
from gdjax.solve.implicit import Equations, implicitly
from gdjax.trace import Trace, placed, room, roomier, start_trace
from gdjax.types import Params, Stop


class Method(Node):
    """A node of (init, ask, tell)."""


register(Method)
method = decorator(Method, "A factory of search methods from a body that returns (init, ask, tell).")


def search(
    f: Callable[..., jax.Array],
    params: Params,
    how: Method,
    *,
    stop: Condition | None = None,
    max_steps: int = 10_000,
    onto: Any = None,
    record: int | bool | None = None,
    args: tuple = (),
    key: jax.Array | int = 0,
) -> Minimum:
    """Look for a minimum of f by trying points: `minimize` for methods that have no gradient.

    Args:
        f: (params, *args) -> (), real. It is evaluated at all candidates of a step at once (a vmap).
        params: the start, any pytree of real floating arrays.
        how: a method of `gdjax.search`, e.g. fixed_step(0.01).
        stop: a condition of `gdjax.stopping`, which reads the value where the method stands; None leaves the end to the
            method (CONVERGED where it knows one) and to max_steps.
        max_steps: rounds of ask and tell; BUDGET after so many.
        onto: a set of `gdjax.projections` into which every point is moved before f is evaluated there.
        record, args: as for `minimize`.
        key: a JAX key or an int seed, for the methods that draw.

    Returns: a `Minimum`; its grad_norm is NaN, since none is asked for. DIVERGED at a value of minus infinity; STALLED where
        the steps are too short to change the parameters. It is differentiated with respect to args and onto as that of
        `minimize` is by default: by the implicit function theorem, whatever the method.
    Raises: ValueError as `minimize` does.
    """
    params, f = checked_params("search", params), bind(f)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if jnp.iscomplexobj(leaf):
            raise ValueError(f"search: {tree.named('params', path)} must be real, got {leaf.dtype}")
    if not isinstance(how, Method):
        raise TypeError(f"search: the method must be one of gdjax.search, such as fixed_step(0.01), got {how!r}")
    key = jax.random.key(int(key)) if isinstance(key, numbers.Integral) else key
    capacity = checked_record("search", record, max_steps)
    args = as_arrays("search", tuple(args))
    onto = None if onto is None else as_set(onto).settle(on_host=True)
    condition = (stop or stopping.never()).settle(on_host=True)
    searcher = Searcher(f, capacity, record is True)
    run = compiled(Packed(searcher))
    if is_traced((params, how, condition, max_steps, onto, args, key)) or run.captures_tracers:
        f, args = with_captured(f, params, args)
        run = dataclasses.replace(searcher, f=f)
    found = run(params, how.settle(on_host=True), condition, max_steps, onto, args, key)
    return on_host("search", found, capacity, onto, f, args)


class Quest(NamedTuple):
    """What the loop carries."""

    state: Any  # of the method
    condition_state: Any
    steps: jax.Array
    before: Params  # where the method stood a step ago
    stop: jax.Array
    trace: Trace | None


@dataclasses.dataclass(frozen=True)
class Searcher:
    """The loop, equal by value."""

    f: Callable
    capacity: int | None
    roomy: bool  # the rows are enough for every step

    def __call__(self, params, how, condition, max_steps, onto, args, key) -> Minimum:
        return implicitly("search", self._run, Equations(self.f))(
            (params, how, condition, max_steps, key), (onto, args)
        )

    def _run(self, start: Any, given: Any) -> tuple[Minimum, None]:
        (params, how, condition, max_steps, key), (onto, args) = start, given
        params = moved_onto("search", onto, params)
        dtype, zero, inner = value_dtype(params), jnp.zeros((), jnp.int32), scalar("search", self.f, args)

        def f(params):
            value = inner(params).astype(dtype)
            return jnp.where(jnp.isnan(value), jnp.inf, value)

        values = Values(f, onto)
        value = f(params)
        state = how.build()[0](params, value, jax.random.fold_in(key, 0), values)
        trace = None if self.capacity is None else start_trace(_point(zero, state), self.capacity, self.roomy)
        stop = jnp.where(jnp.isfinite(value), Stop.RUNNING, Stop.NON_FINITE).astype(jnp.int32)
        first = Quest(state, condition.init(), zero, params, stop, trace)
        turn = functools.partial(self._turn, values, how, condition, max_steps, key)
        first = self._judged(first, condition, max_steps)
        end = self._looped(turn, first)
        path, last = None if end.trace is None else end.trace.rows, _point(end.steps, end.state)
        start_value = Start(value, jnp.full_like(value, jnp.nan))
        return Minimum(*last[1:], end.steps, end.stop, path, end.steps, last, start_value), None

    def _looped(self, turn: Callable[[Quest], Quest], first: Quest) -> Quest:
        """Rows are thinned between two loops: within one they would be copied at every step."""
        going = lambda c: c.stop == Stop.RUNNING  # noqa: E731
        if first.trace is None or self.roomy:
            return jax.lax.while_loop(going, turn, first)

        def stretch(c):
            c = c._replace(trace=roomier(c.trace, c.steps))
            return jax.lax.while_loop(lambda c: going(c) & (c.steps < room(c.trace)), turn, c)

        return jax.lax.while_loop(going, stretch, first)

    def _turn(self, values: Values, how, condition, max_steps, key, last: Quest) -> Quest:
        """Ask, evaluate, tell, judge."""
        _, ask, tell = how.build()
        candidates, state = ask(last.state, jax.random.fold_in(key, last.steps + 1), values)
        state = tree.cast_like(tell(state, *values.at(candidates)), last.state)
        moved = _distance(state.params, last.state.params) > 0
        ended = jnp.asarray(state.done).astype(jnp.int32) != Stop.RUNNING
        steps = last.steps + (moved | ~ended)  # a round that finds no better neighbour is the end, and no step
        return self._judged(last._replace(state=state, before=last.state.params, steps=steps), condition, max_steps)

    def _judged(self, now: Quest, condition: Condition, max_steps: Any) -> Quest:
        here, step = _point(now.steps, now.state), _distance(now.state.params, now.before)
        seen = observation(here, jnp.where(now.steps > 0, step, jnp.inf))._replace(grad_norm=None)
        condition_state, stop = condition.update(now.condition_state, seen)
        done = jnp.asarray(now.state.done).astype(jnp.int32)
        for reason, holds in (
            (Stop.DIVERGED, here.value == -jnp.inf),
            (done, done != Stop.RUNNING),
            (Stop.BUDGET, now.steps >= max_steps),
        ):
            stop = jnp.where((stop == Stop.RUNNING) & holds, reason, stop)
        stop = jnp.where(now.stop == Stop.RUNNING, stop, now.stop).astype(jnp.int32)
        trace = None if now.trace is None else placed(now.trace, here)
        return now._replace(condition_state=condition_state, stop=stop, trace=trace)


@dataclasses.dataclass(frozen=True)
class Values:
    """The function as a method sees it: kept inside the set."""

    f: Callable[[Params], jax.Array]
    onto: Any

    def __call__(self, params: Params) -> jax.Array:
        return self.f(moved_onto("search", self.onto, params))

    def at(self, points: Params) -> tuple[Params, jax.Array]:
        """The nearest points (n, ...) of the set, and the values there (n,)."""
        if self.onto is not None:
            points = jax.vmap(lambda p: moved_onto("search", self.onto, p))(points)
        return points, jax.vmap(self.f)(points)


def too_short(params: Params, step: Any) -> jax.Array:
    """Whether a step of this length is lost in the rounding of some entry."""
    lost = [jnp.any((x + jnp.asarray(step, x.dtype)) == x) for x in map(jnp.asarray, jax.tree.leaves(params))]
    return functools.reduce(jnp.logical_or, lost)


def ended(done: jax.Array, stalled: jax.Array) -> jax.Array:
    """What a method says of itself: STALLED rather than CONVERGED where it could not try."""
    return jnp.where(done, jnp.where(stalled, Stop.STALLED, Stop.CONVERGED), Stop.RUNNING).astype(jnp.int32)


def _distance(a: Params, b: Params) -> jax.Array:
    return tree.global_norm(jax.tree.map(lambda a, b: a - b, a, b))


def _point(step: jax.Array, state: Any) -> Point:
    return Point(step, state.params, state.value, jnp.full_like(state.value, jnp.nan))


class Standing(NamedTuple):
    """The state of a method that has no more to remember."""

    params: Params
    value: jax.Array
    done: jax.Array


def best_of(state: Any, candidates: Params, values: jax.Array) -> tuple[Params, jax.Array, jax.Array]:
    """(params, value, improved): the best candidate, or where the state stands if none is better."""
    best = jnp.argmin(values)
    improved = values[best] < state.value
    params = tree.select(improved, jax.tree.map(lambda x: x[best], candidates), state.params)
    return params, jnp.where(improved, values[best], state.value), improved


def stacked(*trees: Any) -> Any:
    """Trees as one, each leaf with a new leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
