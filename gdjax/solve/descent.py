"""The loop of an optimizer on a function: evaluate, test the condition, step, in one compiled while-loop.

The carry is a `Descent`. An optimizer with a line search (such as L-BFGS) has already computed the value and the gradient at
its new point; the loop then takes them from the optimizer's state and evaluates nothing itself.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gdjax import stopping, tree
from gdjax.calls import Condition, Optimizer
from gdjax.optimizers.linesearch.searcher import value_and_grad_after
from gdjax.projections.sets import project_params
from gdjax.solve.implicit import Equations, implicitly, step_of_projection
from gdjax.solve.minimum import Minimum, Point, Start, observation
from gdjax.solve.path import Trace, place, room, roomier, start_trace
from gdjax.solve.problem import scalar, value_dtype
from gdjax.types import Params, Stop

STILL = 101  # steps after which the parameters must have changed; a prime, so that short cycles are seen too
DEEP = 1e15  # times the first value: how far a run may fall without flattening out
GENTLE, WATCH = stopping.converged(), stopping.divergence()  # the defaults
_WATCHED = jax.tree.structure(stopping.any_of(WATCH, GENTLE), is_leaf=lambda x: x == GENTLE)


def watch_divergence(condition: Condition) -> Condition:
    """The condition with a test for divergence, unless it declares that it has one."""
    watches = condition is not GENTLE and Stop.DIVERGED in condition.declared("judges")
    # any_of(WATCH, condition), without checking arguments that are known to be conditions: this runs at every call.
    return condition if watches else jax.tree.unflatten(_WATCHED, [*jax.tree.leaves(WATCH), condition])


class Descent(NamedTuple):
    """The carry of the loop."""

    params: Params  # where f is evaluated next
    opt_state: Any
    condition_state: Any
    point: Point  # where f was evaluated last
    step_norm: jax.Array | None  # length of the last step; None if it is not needed
    best: Point  # the finite point of lowest value
    first: Start
    verdict: jax.Array  # a stop found by `loop` over several steps; it ends the run at the next step
    steps: jax.Array
    idle: jax.Array | None  # steps in a row that moved nothing; None if the optimizer does not search
    stop: jax.Array
    trace: Trace | None


@dataclasses.dataclass(frozen=True)
class Minimizer:
    """The loop, compared by value: (params, optimizer, condition, max_steps, onto, args) -> Minimum."""

    f: Callable[..., Any]
    capacity: int | None  # rows of the path
    roomy: bool  # whether there is a row for every step
    unrolled: int | None  # number of steps of a scan, which reverse mode can differentiate

    def __call__(
        self,
        params: Params,
        optimizer: Optimizer,
        condition: Condition,
        max_steps: Any,
        onto: Any,
        args: tuple[Any, ...],
    ) -> Minimum:
        if self.unrolled is None:
            return implicitly("minimize", self._run, Equations(self.f))(
                (params, optimizer, condition, max_steps), (onto, args)
            )
        return self._run((params, optimizer, condition, max_steps), (onto, args))[0]

    def _run(self, start: Any, given: Any) -> tuple[Minimum, Any]:
        """The result, and (params, optimizer state) after the last step."""
        (params, optimizer, condition, max_steps), (onto, args) = start, given
        params = project_params("minimize", onto, params)
        body = functools.partial(self._turn, optimizer, condition, max_steps, onto, args)
        first = self._start(params, optimizer, condition, onto)
        if self.unrolled is None:
            end = loop(body, first)
        else:
            turn = lambda c: body(c._replace(trace=roomier(c.trace, c.steps)))  # noqa: E731
            each = lambda c, _: (jax.lax.cond(c.stop == Stop.RUNNING, turn, lambda c: c, c), None)  # noqa: E731
            end, _ = jax.lax.scan(each, first, length=self.unrolled + 2)
        return answer(end), (end.params, end.opt_state)

    def _start(self, params: Params, optimizer: Optimizer, condition: Condition, onto: Any) -> Descent:
        zero, dtype = jnp.zeros((), jnp.int32), value_dtype(params)
        opt_state = optimizer.init(params)
        known = None if onto is not None else value_and_grad_after(optimizer, opt_state)
        searches = known is not None  # its first update only evaluates
        unknown, far = jnp.full((), jnp.nan, dtype), jnp.full((), jnp.inf, dtype)
        start = Start(unknown, unknown)
        nowhere = Point(zero, params, *start)
        trace = None if self.capacity is None else start_trace(nowhere, self.capacity, self.roomy)
        running = jnp.full((), Stop.RUNNING, jnp.int32)
        step_norm = far if asks_for_moves(condition, nowhere) else None
        idle, best = zero if searches else None, nowhere
        return Descent(
            params,
            opt_state,
            condition.init(),
            nowhere,
            step_norm,
            best,
            start,
            running,
            zero - searches,
            idle,
            running,
            trace,
        )

    def _turn(self, optimizer, condition, max_steps, onto, args, last: Descent) -> Descent:
        """One step: evaluate, test the condition, update."""
        f = scalar("minimize", self.f, args)
        known = value_and_grad_after(optimizer, last.opt_state) if onto is None else None
        value, grad = jax.value_and_grad(f)(last.params) if known is None else known
        here = self._look(last, value, grad, onto)
        judged = self._judge(condition, max_steps, last, here, known is not None)
        judged = judged if known is None else _unless(last.steps < 0, last, judged)
        updates, opt_state = optimizer.update(
            tree.ascent(grad), last.opt_state, last.params, value=value, grad=grad, value_fn=f
        )
        tree.check_like("minimize", "the optimizer's updates", updates, "params", last.params)
        params: Any = project_params("minimize", onto, optax.apply_updates(last.params, updates))
        going = judged.stop == Stop.RUNNING
        steps = judged.steps + going
        judged = judged._replace(params=params, opt_state=opt_state, steps=steps)
        if last.idle is not None:
            stands = (steps > 0) & tree.all_equal(params, last.params)
            judged = judged._replace(idle=jnp.where(stands, last.idle + 1, 0))
        if last.step_norm is not None:
            step_norm = tree.global_norm(jax.tree.map(lambda a, b: a - b, params, last.params))
            step_norm = jnp.where(steps > 0, step_norm.astype(last.step_norm.dtype), jnp.inf)
            judged = judged._replace(step_norm=step_norm)
        return judged

    def _look(self, last: Descent, value, grad, onto) -> Point:
        """The present point with its value and gradient norm."""
        norm = tree.global_norm(step_of_projection(last.params, tree.ascent(grad), onto))
        dtype = last.best.value.dtype
        return Point(last.steps, last.params, value.astype(dtype), norm.astype(dtype))

    def _judge(self, condition, max_steps, last: Descent, here: Point, searches: bool) -> Descent:
        """The carry after testing the condition at a point, with the best point and the trace updated."""
        condition_state, stop = condition.update(
            last.condition_state, observation(here, last.step_norm, last.opt_state)
        )
        finite = jnp.isfinite(here.value) & jnp.isfinite(here.grad_norm)
        gone = jnp.where(_deep(here.value, last.first.value), Stop.DIVERGED, Stop.NON_FINITE)
        stop = jnp.where(jnp.isfinite(here.value) | (stop == Stop.DIVERGED), stop, gone)  # whatever its slope
        for reason, holds in (
            (gone, ~finite),
            (Stop.PATIENCE, last.idle is not None and last.idle >= 2),
            (last.verdict, last.verdict != Stop.RUNNING),
            (Stop.BUDGET, last.steps >= max_steps),
        ):
            stop = jnp.where((stop == Stop.RUNNING) & holds, reason, stop)
        better = finite & ~(here.value >= last.best.value)
        best = tree.select(better, here, last.best)
        trace = None if last.trace is None else place(last.trace, here)
        stop = stop.astype(jnp.int32)
        return last._replace(condition_state=condition_state, point=here, best=best, stop=stop, trace=trace)


def loop(body: Callable[[Descent], Descent], start: Descent) -> Descent:
    """Loop over the steps in stretches, between which is tested what need not be known at every step.

    These are whether the run stands still or falls without end, and whether there is room for more rows (a branch inside the
    inner loop would copy the rows at every step). The first stretch is the first step.
    """
    going = lambda c: c.stop == Stop.RUNNING  # noqa: E731

    def stretch(carry):
        c, anchor, since = carry
        starts = c.steps < 1
        until = jnp.where(starts, 1, since + STILL)
        if c.trace is not None:
            c = c._replace(trace=roomier(c.trace, c.steps))
            until = jnp.minimum(until, room(c.trace))
        c = jax.lax.while_loop(lambda c: going(c) & (c.steps < until), body, c)
        first = tree.select(starts, Start(c.point.value, c.point.grad_norm), c.first)
        due = c.steps >= since + STILL
        still = due & tree.all_equal(c.params, anchor)
        falls = _deep(c.point.value, first.value) & (c.point.grad_norm >= first.grad_norm)
        verdict = jnp.where(still, Stop.STALLED, jnp.where(falls, Stop.DIVERGED, Stop.RUNNING))
        c = c._replace(first=first, verdict=verdict.astype(jnp.int32))
        return c, tree.select(due, c.params, anchor), jnp.where(due, c.steps, since)

    return jax.lax.while_loop(
        lambda carry: going(carry[0]), stretch, (start, start.params, jnp.zeros_like(start.steps))
    )[0]


def answer(end: Descent) -> Minimum:
    """The result of a run; see `Minimum`."""
    steps = jnp.maximum(end.steps, 0)
    best, last = end.best, end.point._replace(step=steps)
    gap = tree.global_norm(jax.tree.map(lambda a, b: a - b, best.params, last.params))
    rounding = 16 * jnp.finfo(last.value.dtype).eps * jnp.abs(last.value)
    at_rest = (end.stop == Stop.CONVERGED) | (end.stop == Stop.STALLED)
    there = at_rest & jnp.isfinite(last.value) & ~(best.value < last.value - last.grad_norm * gap - rounding)
    point = tree.select(there, last, best)
    path = None if end.trace is None else end.trace.rows
    return Minimum(point.params, point.value, point.grad_norm, steps, end.stop, path, point.step, last, end.first)


def _deep(value: jax.Array, first: jax.Array) -> jax.Array:
    """Whether a value is so far below the first that f is presumably unbounded below."""
    return (value == -jnp.inf) | (value < -DEEP * jnp.maximum(jnp.abs(first), 1))


def asks_for_moves(condition: Condition, row: Point) -> bool:
    """Whether the condition reads the length of the last step, which costs a pass over the parameters."""
    judge = jax.make_jaxpr(lambda step_norm: condition.update(condition.init(), observation(row, step_norm)))(
        row.value
    ).jaxpr
    read = [*judge.outvars, *(x for equation in judge.eqns for x in equation.invars)]
    return any(x is judge.invars[0] for x in read)


def _unless(unknown: jax.Array, last: Descent, judged: Descent) -> Descent:
    """The new carry, or the last one as long as a line search has not evaluated f yet."""
    kept = tree.select(unknown, last._replace(trace=None), judged._replace(trace=None))
    return kept._replace(trace=judged.trace)  # its row has step -1, which counts as unused
