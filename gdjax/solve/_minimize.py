"""Descent on any function: from a start to a stop, as one compiled while-loop.

    minimize(f, params, optimizer)      f(params) -> (), a real number; params any pytree

Each turn of the loop evaluates value and gradient, asks the stopping condition, and takes a step. What a run is at each
moment is a `Descent`; what it hands back is a `Minimum`. An optimizer that searches along its step (L-BFGS, say) has found
value and gradient where it ended; the loop then takes them from its state and holds no evaluation of its own.
"""

from __future__ import annotations

import dataclasses
import functools
import html
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from gdjax import stopping, tree
from gdjax.calls import Condition, Optimizer, as_optimizer
from gdjax.data import as_arrays
from gdjax.losses.domain import overhear
from gdjax.optimizers.linesearch.searcher import value_and_grad_after
from gdjax.programs import anew, bind, compiled
from gdjax.projections import as_set
from gdjax.solve.implicit import Equations, implicitly, step_of_projection
from gdjax.solve.stationary import kind_of_point
from gdjax.trace import Trace, placed, room, roomier, start_trace, trim
from gdjax.types import Observation, Params, Stop

STILL = 101  # steps after which a run must be elsewhere; a prime, which no short circle divides
DEEP = 1e15  # times the first value: how far a run may fall that does not flatten out
NOTHING_DONE = (
    "the gradient is within the tolerance at the start (1e-05 by default), so that nothing was done: to go on, divide f by "
    "its size or give a smaller stop=gradient_norm(...)"
)
MAYBE_NONE = "it falls, no less steeply than at the start: there may be no minimum"
GENTLE, WATCH = stopping.converged(), stopping.divergence()  # what holds where nothing else is said


class Point(NamedTuple):
    """Where a run stands, and one row of its path: (n, ...) each there."""

    step: jax.Array  # () int32
    params: Params
    value: jax.Array  # () float
    grad_norm: jax.Array  # () float; NaN where no gradient was asked for


class Start(NamedTuple):
    """What a run began with."""

    value: jax.Array
    grad_norm: jax.Array


class Minimum(NamedTuple):
    """The best point of a run, where the run ended, and why.

    A run that settled (CONVERGED, STALLED) gives the point where it did, unless it has seen one so much lower that no convex
    function would have it: f(best) < f(last) - |g| |best - last|. Any other gives the finite point of the lowest value seen.
    """

    params: Params
    value: jax.Array
    grad_norm: jax.Array  # NaN where no gradient was asked for
    steps: jax.Array  # at which the run stopped
    stop: jax.Array  # the reason: a `Stop`, an int32 array under a transformation
    path: Point | None = None  # a row for each step kept; None unless asked for
    best_step: Any = None  # at which the run stood at params
    last: Point | None = None  # where the run stood when it stopped, finite or not
    first: Start | None = None

    def __str__(self) -> str:
        if jnp.ndim(self.stop) or isinstance(self.stop, Tracer):
            return repr(self)
        return told(self)

    def _repr_html_(self) -> str:
        """As it prints, in a notebook."""
        return f"<pre>{html.escape(str(self))}</pre>"


class Found(Minimum):
    """A `Minimum` on the host that can say what kind of point it found: see `gdjax.solve.stationary`."""

    look: Callable[[Minimum], str] | None = None  # asked when it is printed, not before
    within: bool | None = None  # whether the run was kept in a set

    def __reduce__(self) -> tuple:
        return Minimum, tuple(self)


def told(found: Minimum) -> str:
    """A result in one line: why it ended, what it found, and what there is to know of it."""
    stop, steps, end = Stop(int(found.stop)), int(found.steps), f"value {float(found.value):.6g}"
    if np.isfinite(found.grad_norm):
        end += f", gradient norm {float(found.grad_norm):.2g}"
    if found.last is not None and int(found.best_step) != steps:
        end += f" at step {int(found.best_step)}"
        if stop not in (Stop.DIVERGED, Stop.NON_FINITE):
            end += f", the best seen; it ended at {float(found.last.value):.6g}"
    if stop == Stop.DIVERGED:
        return f"DIVERGED at step {steps} ({end}): {remark(found)}"
    if stop == Stop.NON_FINITE:
        return f"NON_FINITE at step {steps}; the best before it: {end}"
    said = remark(found)
    return f"{stop.name} after {steps} steps: {end}{f'; {said}' if said else ''}"


def falls(found: Minimum) -> bool:
    """Whether a run that diverged did so downwards."""
    return found.last is not None and float(found.last.value) <= float(found.value)


def remark(found: Minimum) -> str:
    """What there is to know of a result beyond its numbers and the reason of its end; often nothing."""
    stop = Stop(int(found.stop))
    if stop == Stop.DIVERGED:
        return "the values fall without end" if falls(found) else "the steps are too long"
    if stop == Stop.STALLED:
        return _still(found)
    if stop == Stop.CONVERGED:
        return _converged(found)
    return MAYBE_NONE if stop == Stop.BUDGET and _falls_on(found) else ""


def _still(found: Minimum) -> str:
    within = getattr(found, "within", None)
    if within and np.isfinite(found.grad_norm):
        return (
            "it stands still where the gradient leads on within the set: this optimizer's step and the set lead back to "
            "the same point; an optimizer that follows the gradient alone, such as sgd or adam, goes on"
        )
    if within is None and np.isfinite(found.grad_norm):
        return "it stands still"
    narrow = any(np.finfo(dtype).bits < 64 for dtype in map(_dtype, jax.tree.leaves(found.params)))
    finer = "; in double precision it may go on" if narrow else ""
    return f"it stands still: its steps are too short to change the parameters{finer}"


def _converged(found: Minimum) -> str:
    look = getattr(found, "look", None)
    kind = "" if look is None else look(found)
    said = [NOTHING_DONE] if found.steps == 0 and found.grad_norm > 0 else []
    return "; ".join(said + ([kind] if kind not in ("", "a minimum") else []))


def _falls_on(found: Minimum) -> bool:
    """Whether a run that no set holds was at its lowest when it ended, and no less steep than at the start."""
    first, last = found.first, found.last
    if first is None or last is None or getattr(found, "within", None) is not False:
        return False
    lowest = int(found.best_step) == int(found.steps) and last.value < first.value
    return bool(lowest and last.grad_norm >= first.grad_norm)


def _dtype(x: Any) -> Any:
    return np.result_type(x) if np.result_type(x).kind in "fc" else np.dtype(np.float32)  # NumPy knows no bfloat16


def minimize(
    f: Callable[..., jax.Array],
    params: Params,
    optimizer: Any,
    *,
    stop: Condition | None = None,
    max_steps: int = 10_000,
    onto: Any = None,
    record: int | bool | None = None,
    args: tuple = (),
    derivative: str = "implicit",
) -> Minimum:
    """Descend on f from params until a condition stops it.

    Args:
        f: (params, *args) -> (), real.
        params: the start, any pytree of real or complex floating arrays.
        optimizer: ours or Optax's.
        stop: a condition of `gdjax.stopping`, asked at every step, the start included; None is converged(1e-5): the
            gradient norm, but for least squares. A value above a thousand times the first (or 1000) is DIVERGED unless the
            condition holds a `divergence` of its own; so is one of minus infinity, or below -1e15 times the first (or -1e15)
            where it is no less steep than at the start. One that is not a number is NON_FINITE; a search that twice in a
            row finds no better point is PATIENCE; a run that stands after a hundred steps where it stood before is STALLED.
        max_steps: BUDGET after so many, at least 0.
        onto: a set of `gdjax.projections` (box(0, 1), say) that the parameters are kept in, the start included.
        record: rows of the path: True keeps every step; a number keeps at most so many, evenly spread, and the last; of a
            thousand or more a quarter holds the first steps one by one. Under vmap every step copies the rows: keep them
            few there.
        args: further arguments of f: what changes from call to call without compiling, and can be differentiated.
        derivative: of params and value. "implicit" differentiates the solution with respect to args (and onto) by the
            implicit function theorem, whatever the way that led there (see `solve.implicit`): where the gradient is zero, or
            where the optimizer's own step leads nowhere else (a projection, a decay, frozen leaves); not of a start or a
            rate. "unrolled" differentiates every step, in reverse mode too, in memory that grows with max_steps (a static
            number then).

    Returns: a `Minimum`. Called directly it is NumPy on the host with the path trimmed; under jit, vmap or grad it holds
        arrays, the path has -1 as `step` in rows not used, and errors of values (not of shapes) become stop codes.
    Raises: ValueError for an f that is not scalar, real and finite at the start, or for parameters that are not floating;
        the message names the leaf. Where the run ends NON_FINITE because one of our losses was given what it is not defined
        for, that loss says so. An implicit derivative where the run has not come to a fixed point raises ValueError, under a
        transformation it is NaN.

    >>> minimize(lambda x: (x - 2.0) ** 2, 16.5, sgd(0.1)).params         # 2.0
    """
    optimizer, params, f = as_optimizer(optimizer), checked_params("minimize", params), bind(f)
    if derivative not in ("implicit", "unrolled"):
        raise ValueError(f"minimize: derivative must be 'implicit' or 'unrolled', got {derivative!r}")
    if not isinstance(max_steps, Tracer) and max_steps < 0:
        raise ValueError(f"minimize: max_steps must be at least 0, got {max_steps}")
    capacity = checked_record("minimize", record, max_steps)
    args = as_arrays("minimize", tuple(args))
    onto = None if onto is None else as_set(onto).settle(on_host=True)
    condition = _guarded(stop or GENTLE).settle(on_host=True)
    minimizer = Minimizer(f, capacity, record is True, max_steps if derivative == "unrolled" else None)
    given, call = args, compiled(Packed(minimizer))
    if is_traced((params, optimizer, stop, max_steps, onto, args)) or call.captures_tracers:
        f, args = with_captured(f, params, args)
        call = dataclasses.replace(minimizer, f=f)
    found = call(params, optimizer.settle(on_host=True), condition, max_steps, onto, args)
    found = on_host("minimize", found, capacity, onto, f, args)
    if isinstance(found, Found) and onto is None:
        found.look = functools.partial(kind_of_point, f, given)
    return found


def _guarded(condition: Condition) -> Condition:
    """The condition, on the watch for divergence if it is not already."""
    watches = any(each.recipe.name == "divergence" for each in condition.walk())
    return condition if watches else stopping.any_of(WATCH, condition)


class Descent(NamedTuple):
    """What the loop carries."""

    params: Params  # where to evaluate next
    opt_state: Any
    condition_state: Any
    seen: Point  # where it was evaluated last
    moved: jax.Array | None  # length of the last step, infinite before the first; None where nothing asks for it
    best: Point  # the finite one of the lowest value
    first: Start
    verdict: jax.Array  # of `looped`, which has seen more than a step: it ends the run at the next
    steps: jax.Array
    idle: jax.Array | None  # steps in a row that moved nothing
    stop: jax.Array
    trace: Trace | None


@dataclasses.dataclass(frozen=True)
class Minimizer:
    """The loop, equal by value: (params, optimizer, condition, max_steps, onto, args) -> Minimum."""

    f: Callable
    capacity: int | None  # rows of the path
    roomy: bool  # the rows are enough for every step
    unrolled: int | None  # the steps of a loop that reverse mode can differentiate

    def __call__(self, params, optimizer, condition, max_steps, onto, args) -> Minimum:
        if self.unrolled is None:
            return implicitly("minimize", self._run, Equations(self.f))(
                (params, optimizer, condition, max_steps), (onto, args)
            )
        return self._run((params, optimizer, condition, max_steps), (onto, args))[0]

    def _run(self, start: Any, given: Any) -> tuple[Minimum, Any]:
        """The answer, and (params, state of the optimizer) after the last step."""
        (params, optimizer, condition, max_steps), (onto, args) = start, given
        params = moved_onto("minimize", onto, params)
        body = functools.partial(self._turn, optimizer, condition, max_steps, onto, args)
        first = self._start(params, optimizer, condition, onto)
        if self.unrolled is None:
            end = looped(body, first)
        else:
            turn = lambda c: body(c._replace(trace=roomier(c.trace, c.steps)))  # noqa: E731
            each = lambda c, _: (jax.lax.cond(c.stop == Stop.RUNNING, turn, lambda c: c, c), None)  # noqa: E731
            end, _ = jax.lax.scan(each, first, length=self.unrolled + 2)
        return answer(end), (end.params, end.opt_state)

    def _start(self, params: Params, optimizer: Optimizer, condition: Condition, onto: Any) -> Descent:
        zero, dtype = jnp.zeros((), jnp.int32), value_dtype(params)
        opt_state = optimizer.init(params)
        searches = onto is None and value_and_grad_after(opt_state) is not None  # its first update only looks around
        unknown, far = jnp.full((), jnp.nan, dtype), jnp.full((), jnp.inf, dtype)
        seen = Start(unknown, unknown)
        nowhere = Point(zero, params, *seen)
        trace = None if self.capacity is None else start_trace(nowhere, self.capacity, self.roomy)
        running = jnp.full((), Stop.RUNNING, jnp.int32)
        moved = far if searches or asks_for_moves(condition, nowhere) else None
        idle, best = zero if searches else None, nowhere
        return Descent(
            params,
            opt_state,
            condition.init(),
            nowhere,
            moved,
            best,
            seen,
            running,
            zero - searches,
            idle,
            running,
            trace,
        )

    def _turn(self, optimizer, condition, max_steps, onto, args, last: Descent) -> Descent:
        """Evaluate, judge, step."""
        f = scalar("minimize", self.f, args)
        known = value_and_grad_after(last.opt_state) if onto is None else None
        value, grad = jax.value_and_grad(f)(last.params) if known is None else known
        here = self._look(last, value, grad, onto)
        judged = self._judge(condition, max_steps, last, here, known is not None)
        judged = judged if known is None else _unless(last.steps < 0, last, judged)
        updates, opt_state = optimizer.update(
            tree.ascent(grad), last.opt_state, last.params, value=value, grad=grad, value_fn=f
        )
        tree.check_like("minimize", "the optimizer's updates", updates, "params", last.params)
        params: Any = moved_onto("minimize", onto, optax.apply_updates(last.params, updates))
        going = judged.stop == Stop.RUNNING
        steps = judged.steps + going
        judged = judged._replace(params=params, opt_state=opt_state, steps=steps)
        if last.moved is None:
            return judged
        moved = tree.global_norm(jax.tree.map(lambda a, b: a - b, params, last.params)).astype(last.moved.dtype)
        return judged._replace(moved=jnp.where(steps > 0, moved, jnp.inf))

    def _look(self, last: Descent, value, grad, onto) -> Point:
        """Where the run stands."""
        norm = tree.global_norm(step_of_projection(last.params, tree.ascent(grad), onto))
        dtype = last.best.value.dtype
        return Point(last.steps, last.params, value.astype(dtype), norm.astype(dtype))

    def _judge(self, condition, max_steps, last: Descent, here: Point, searches: bool) -> Descent:
        """The condition's verdict on the point, and what is kept of it."""
        condition_state, stop = condition.update(last.condition_state, observation(here, last.moved, last.opt_state))
        finite = jnp.isfinite(here.value) & jnp.isfinite(here.grad_norm)
        idle = None if last.idle is None else jnp.where(last.moved == 0, last.idle + 1, 0)
        gone = jnp.where(_deep(here.value, last.first.value), Stop.DIVERGED, Stop.NON_FINITE)
        stop = jnp.where(jnp.isfinite(here.value) | (stop == Stop.DIVERGED), stop, gone)  # whatever its slope
        for reason, holds in (
            (gone, ~finite),
            (Stop.PATIENCE, idle is not None and idle >= 2),
            (last.verdict, last.verdict != Stop.RUNNING),
            (Stop.BUDGET, last.steps >= max_steps),
        ):
            stop = jnp.where((stop == Stop.RUNNING) & holds, reason, stop)
        better = finite & ~(here.value >= last.best.value)
        best = tree.select(better, here, last.best)
        trace = None if last.trace is None else placed(last.trace, here)
        stop = stop.astype(jnp.int32)
        return last._replace(condition_state=condition_state, seen=here, best=best, idle=idle, stop=stop, trace=trace)


def looped(body: Callable[[Descent], Descent], start: Descent) -> Descent:
    """The turns of a run, in stretches: what need not be known at every step is looked at between them.

    That is whether the run stands still or falls without end, and whether there is room for more rows (a branch within the
    inner loop would copy them at every step). The first stretch is the first step.
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
        first = tree.select(starts, Start(c.seen.value, c.seen.grad_norm), c.first)
        due = c.steps >= since + STILL
        still = due & functools.reduce(jnp.logical_and, tree.leafmap(lambda a, b: jnp.all(a == b), c.params, anchor))
        falls = _deep(c.seen.value, first.value) & (c.seen.grad_norm >= first.grad_norm)
        verdict = jnp.where(still, Stop.STALLED, jnp.where(falls, Stop.DIVERGED, Stop.RUNNING))
        c = c._replace(first=first, verdict=verdict.astype(jnp.int32))
        return c, tree.select(due, c.params, anchor), jnp.where(due, c.steps, since)

    return jax.lax.while_loop(
        lambda carry: going(carry[0]), stretch, (start, start.params, jnp.zeros_like(start.steps))
    )[0]


def answer(end: Descent) -> Minimum:
    """What a run hands back; see `Minimum`."""
    steps = jnp.maximum(end.steps, 0)
    best, last = end.best, end.seen._replace(step=steps)
    gap = tree.global_norm(jax.tree.map(lambda a, b: a - b, best.params, last.params))
    rounding = 16 * jnp.finfo(last.value.dtype).eps * jnp.abs(last.value)
    settled = (end.stop == Stop.CONVERGED) | (end.stop == Stop.STALLED)
    there = settled & jnp.isfinite(last.value) & ~(best.value < last.value - last.grad_norm * gap - rounding)
    point = tree.select(there, last, best)
    path = None if end.trace is None else end.trace.rows
    return Minimum(point.params, point.value, point.grad_norm, steps, end.stop, path, point.step, last, end.first)


def _deep(value: jax.Array, first: jax.Array) -> jax.Array:
    """Whether a value lies so far below the first that it is on its way to minus infinity."""
    return (value == -jnp.inf) | (value < -DEEP * jnp.maximum(jnp.abs(first), 1))


def asks_for_moves(condition: Condition, row: Point) -> bool:
    """Whether the condition reads how far the last step went, which costs a pass over the parameters."""
    judge = jax.make_jaxpr(lambda moved: condition.update(condition.init(), observation(row, moved)))(row.value).jaxpr
    read = [*judge.outvars, *(x for equation in judge.eqns for x in equation.invars)]
    return any(x is judge.invars[0] for x in read)


def observation(here: Point, moved: jax.Array | None, opt_state: Any = ()) -> Observation:
    """What a condition sees of a run on a function: an evaluation and an epoch are a step."""
    epoch, unknown = here.step.astype(here.value.dtype), jnp.full_like(here.value, jnp.nan)
    zero, converged = jnp.zeros_like(here.value), getattr(opt_state, "converged", None)
    seen = Observation(here.value, 1.0, here.value, unknown, here.step, epoch, zero, here.grad_norm, moved)
    return seen._replace(converged=converged)


def _unless(unknown: jax.Array, last: Descent, judged: Descent) -> Descent:
    """What was judged, or what was before: a search that has not looked yet knows no value."""
    kept = tree.select(unknown, last._replace(trace=None), judged._replace(trace=None))
    return kept._replace(trace=judged.trace)  # its row of step -1 counts as not written


def value_dtype(params: Params) -> Any:
    return jnp.finfo(tree.arithmetic_dtype(*jax.tree.leaves(params))).dtype


def checked_params(who: str, params: Params) -> Params:
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
            where = tree.named("params", path)
            raise ValueError(f"{who}: {where} must be floating to descend, got {jnp.result_type(leaf)}")
    if not jax.tree.leaves(params):
        raise ValueError(f"{who}: params must have at least one array, got {params!r}")
    return jax.tree.map(lambda x: x if isinstance(x, jax.Array) else np.asarray(x, jnp.result_type(x)), params)


def scalar(who: str, f: Callable, args: tuple) -> Callable[[Params], jax.Array]:
    """f as a function of the parameters alone; ValueError when it is traced and does not give one real floating number."""

    def of_params(params: Params) -> jax.Array:
        value = f(params, *args)
        shape, dtype = getattr(value, "shape", ()), getattr(value, "dtype", type(value))
        if not isinstance(value, (jax.Array, np.ndarray, np.generic, float)):
            raise ValueError(f"{who}: f must return one real floating number, got a {type(value).__name__}")
        if shape != () or not jnp.issubdtype(dtype, jnp.floating):
            raise ValueError(f"{who}: f must return one real floating number, got {dtype} of shape {shape}")
        return jnp.asarray(value)

    return of_params


def with_captured(f: Callable, params: Params, args: tuple) -> tuple[Callable, tuple]:
    """f and its arguments, among them the tracers that f captured, so that these can be differentiated too."""
    f, captured = jax.closure_convert(functools.partial(f), params, *args)
    return f, (*args, *captured)


def moved_onto(who: str, onto: Any, params: Params) -> Params:
    """The nearest point of the set, in the shapes and dtypes of params."""
    if onto is None:
        return params
    nearest = onto(params)
    tree.check_like(who, "onto's answer", nearest, "params", params)
    return tree.cast_like(nearest, params)


def checked_record(who: str, record: int | bool | None, max_steps: Any) -> int | None:
    """Rows of the path."""
    if record is None or record is False:
        return None
    if record is True:
        if isinstance(max_steps, Tracer):
            raise ValueError(f"{who}: record=True needs a static max_steps to make room for; give a number of rows")
        return int(max_steps) + 1
    if record < 2:
        raise ValueError(f"{who}: record must be True or at least 2 rows, got {record}")
    return int(record)


def is_traced(x: Any) -> bool:
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(x))


@dataclasses.dataclass(frozen=True)
class Packed:
    """A run whose numbers come in two arrays: each array that leaves a compiled program costs some microseconds."""

    run: Callable[..., Minimum]

    def __call__(self, *args: Any) -> Minimum:
        found = self.run(*args)
        last, first = found.last, found.first
        assert last is not None and first is not None
        numbers = jnp.stack([found.value, found.grad_norm, last.value, last.grad_norm, *first])
        counts = jnp.stack([found.steps, found.stop, found.best_step])
        return Minimum(found.params, numbers, None, counts, None, found.path, None, last.params)  # type: ignore[arg-type]


def _unpacked(packed: Minimum) -> Minimum:
    params, numbers, _, counts, _, path, _, last, _ = packed
    value, grad_norm, last_value, last_norm, *first = (numbers[i, ...] for i in range(6))
    steps, stop, best_step = (counts[i, ...] for i in range(3))
    last = Point(steps, last, last_value, last_norm)
    return Minimum(params, value, grad_norm, steps, stop, path, best_step, last, Start(*first))


def on_host(who: str, found: Minimum, capacity: int | None, onto: Any, f: Callable, args: tuple) -> Minimum:
    """The result of a direct call as NumPy, its path trimmed; an error where nothing could be evaluated."""
    if found.stop is not None:
        return found
    if is_traced(found):
        return _unpacked(found)
    found = Found(*_unpacked(jax.tree.map(np.asarray, found)))
    found = found._replace(steps=int(found.steps), stop=Stop(int(found.stop)), best_step=int(found.best_step))
    if found.stop == Stop.NON_FINITE:
        with overhear():  # losses say what they were given, in any function not yet traced
            jax.block_until_ready(anew(f)(found.last.params, *args))
    if found.stop == Stop.NON_FINITE and found.steps == 0:
        _refuse_start(who, found)
    found = found if capacity is None else found._replace(path=trim(found.path))
    found.within = onto is not None
    return found


def _refuse_start(who: str, found: Minimum) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(found.params):
        if not np.isfinite(leaf).all():
            where = tree.named("params", path)
            raise ValueError(f"{who}: {where} must be finite at the start, got {leaf}")
    raise ValueError(f"{who}: f and its gradient must be finite at the start, got a value or a gradient that is not")
