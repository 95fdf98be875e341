"""The loop of a method without gradients: ask for candidates, evaluate them, tell the method their values."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import Condition
from gdjax.projections.sets import project_params
from gdjax.search._method import Values
from gdjax.solve.implicit import Equations, implicitly
from gdjax.solve.minimum import Minimum, Point, Start, observation
from gdjax.solve.path import Trace, place, room, roomier, start_trace
from gdjax.solve.problem import scalar, value_dtype
from gdjax.types import Params, Stop


class Search(NamedTuple):
    """The carry of the loop."""

    state: Any  # of the method
    condition_state: Any
    steps: jax.Array
    before: Params  # parameters one step before
    stop: jax.Array
    trace: Trace | None


@dataclasses.dataclass(frozen=True)
class Searcher:
    """The loop, compared by value."""

    f: Callable[..., Any]
    capacity: int | None
    roomy: bool  # whether there is a row for every step

    def __call__(
        self,
        params: Params,
        how: Any,
        condition: Condition,
        max_steps: Any,
        onto: Any,
        args: tuple[Any, ...],
        key: jax.Array,
    ) -> Minimum:
        return implicitly("minimize", self._run, Equations(self.f))(
            (params, how, condition, max_steps, key), (onto, args)
        )

    def _run(self, start: Any, given: Any) -> tuple[Minimum, None]:
        (params, how, condition, max_steps, key), (onto, args) = start, given
        params = project_params("minimize", onto, params)
        dtype, zero, inner = value_dtype(params), jnp.zeros((), jnp.int32), scalar("minimize", self.f, args)

        def f(params):
            value = inner(params).astype(dtype)
            return jnp.where(jnp.isnan(value), jnp.inf, value)

        values = Values(f, onto)
        value = f(params)
        state = how.build()[0](params, value, jax.random.fold_in(key, 0), values)
        trace = None if self.capacity is None else start_trace(_point(zero, state), self.capacity, self.roomy)
        stop = jnp.where(jnp.isfinite(value), Stop.RUNNING, Stop.NON_FINITE).astype(jnp.int32)
        first = Search(state, condition.init(), zero, params, stop, trace)
        turn = functools.partial(self._turn, values, how, condition, max_steps, key)
        first = self._judge(first, condition, max_steps)
        end = self._loop(turn, first)
        path, last = None if end.trace is None else end.trace.rows, _point(end.steps, end.state)
        start_value = Start(value, jnp.full_like(value, jnp.nan))
        return Minimum(*last[1:], end.steps, end.stop, path, end.steps, last, start_value), None

    def _loop(self, turn: Callable[[Search], Search], first: Search) -> Search:
        """Loop until the stop. Rows are thinned between two inner loops; inside one, every step would copy them."""
        going = lambda c: c.stop == Stop.RUNNING  # noqa: E731
        if first.trace is None or self.roomy:
            return jax.lax.while_loop(going, turn, first)

        def stretch(c):
            c = c._replace(trace=roomier(c.trace, c.steps))
            return jax.lax.while_loop(lambda c: going(c) & (c.steps < room(c.trace)), turn, c)

        return jax.lax.while_loop(going, stretch, first)

    def _turn(self, values: Values, how, condition, max_steps, key, last: Search) -> Search:
        """One step: ask, evaluate, tell, and test the condition."""
        _, ask, tell = how.build()
        candidates, state = ask(last.state, jax.random.fold_in(key, last.steps + 1), values)
        state = tree.cast_like(tell(state, *values.at(candidates)), last.state)
        changes = _distance(state.params, last.state.params) > 0
        ended = jnp.asarray(state.done).astype(jnp.int32) != Stop.RUNNING
        steps = last.steps + (changes | ~ended)  # a last round without a better neighbor is no step
        return self._judge(last._replace(state=state, before=last.state.params, steps=steps), condition, max_steps)

    def _judge(self, now: Search, condition: Condition, max_steps: Any) -> Search:
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
        trace = None if now.trace is None else place(now.trace, here)
        return now._replace(condition_state=condition_state, stop=stop, trace=trace)


def _distance(a: Params, b: Params) -> jax.Array:
    return tree.global_norm(jax.tree.map(lambda a, b: a - b, a, b))


def _point(step: jax.Array, state: Any) -> Point:
    return Point(step, state.params, state.value, jnp.full_like(state.value, jnp.nan))
