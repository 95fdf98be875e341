"""Descent on any function: from a start to a stop, as one compiled while-loop.

    minimize(f, params, optimizer)      f(params) -> (), a real number; params any pytree

Each turn of the loop evaluates value and gradient, asks the stopping rule, and takes a step. What a run is at each moment
is a `Descent`; what it hands back is a `Minimum`. An optimizer that searches along its step (L-BFGS, say) has found value
and gradient where it ended; the loop then takes them from its state and holds no evaluation of its own.
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
from gdjax.data import as_arrays
from gdjax.implicit import implicitly
from gdjax.nodes import Optimizer, Rule, as_optimizer
from gdjax.optimizers.line_search import value_and_grad_after
from gdjax.programs import bind, compiled
from gdjax.projections import as_set
from gdjax.trace import Trace, start_trace, trim, written
from gdjax.types import Observation, Params, Stop

GENTLE, WATCH = stopping.converged(), stopping.divergence()  # what holds where nothing else is said


class Point(NamedTuple):
    """Where a run stands, and one row of its path: (n, ...) each there."""

    step: jax.Array  # () int32
    params: Params
    value: jax.Array  # () float
    grad_norm: jax.Array  # () float; NaN where no gradient was asked for


class Minimum(NamedTuple):
    """Where a run ended, and why.

    `params`, `value` and `grad_norm` are the last that were finite; `steps` is the step at which the run stopped, `stop` the
    reason (a `Stop`, an int32 array under a transformation). `path` has a row for each step kept, None unless asked for.
    """

    params: Params
    value: jax.Array
    grad_norm: jax.Array
    steps: jax.Array
    stop: jax.Array
    path: Point | None = None

    def __str__(self) -> str:
        if jnp.ndim(self.stop) or isinstance(self.stop, Tracer):
            return repr(self)
        stop, end = Stop(int(self.stop)), f"value {float(self.value):.6g}"
        if np.isfinite(self.grad_norm):
            end += f", gradient norm {float(self.grad_norm):.2g}"
        if stop == Stop.DIVERGED:
            return f"DIVERGED at step {int(self.steps)} ({end}): the steps are too long"
        if stop == Stop.NON_FINITE:
            return f"NON_FINITE at step {int(self.steps)}; before it {end}"
        return f"{stop.name} after {int(self.steps)} steps: {end}"

    def _repr_html_(self) -> str:
        """As it prints, in a notebook."""
        return f"<pre>{html.escape(str(self))}</pre>"


def minimize(
    f: Callable[..., jax.Array],
    params: Params,
    optimizer: Any,
    *,
    stop: Rule | None = None,
    max_steps: int = 10_000,
    onto: Any = None,
    record: int | bool | None = None,
    args: tuple = (),
    derivative: str = "implicit",
) -> Minimum:
    """Descend on f from params until a rule stops it.

    Args:
        f: (params, *args) -> (), real.
        params: the start, any pytree of real or complex floating arrays.
        optimizer: ours or Optax's.
        stop: a rule of `gdjax.stopping`, asked at every step, the start included; None is converged(1e-5): the
            gradient norm, but for least squares. A value above a thousand times the first (or 1000) is DIVERGED unless the
            rule holds a `divergence` of its own, one that is not a number NON_FINITE; a search that twice in a row finds no
            better point is PATIENCE.
        max_steps: BUDGET after so many, at least 0.
        onto: a set of `gdjax.projections` (box(0, 1), say) that the parameters are kept in, the start included.
        record: rows of the path: True keeps every step; a number keeps at most so many, evenly spread, and the last. Under
            vmap every step copies the rows: keep them few there.
        args: further arguments of f: what changes from call to call without compiling, and can be differentiated.
        derivative: of the result. "implicit" differentiates the solution with respect to args (and onto) by the implicit
            function theorem, whatever the way that led there: at a minimum, not of a start or a rate. "unrolled"
            differentiates every step, in reverse mode too, in memory that grows with max_steps (a static number then).

    Returns: a `Minimum`. Called directly it is NumPy on the host with the path trimmed; under jit, vmap or grad it holds
        arrays, the path has -1 as `step` in rows not used, and errors of values (not of shapes) become stop codes.
    Raises: ValueError for an f that is not scalar, real and finite at the start, or for parameters that are not floating;
        the message names the leaf.

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
    rule = _guarded(stop or GENTLE).settle(on_host=True)
    minimizer = Minimizer(f, capacity, max_steps if derivative == "unrolled" else None)
    call = compiled(minimizer)
    if is_traced((params, optimizer, stop, max_steps, onto, args)) or call.captures_tracers:
        f, hoisted = jax.closure_convert(
            functools.partial(f), params, *args
        )  # what f captures can be differentiated too
        args, call = (*args, *hoisted), dataclasses.replace(minimizer, f=f)
    found = call(params, optimizer.settle(on_host=True), rule, max_steps, onto, args)
    return on_host("minimize", found, capacity)


def _guarded(rule: Rule) -> Rule:
    """The rule, on the watch for divergence if it is not already."""
    watches = any(each.recipe.name == "divergence" for each in rule.walk())
    return rule if watches else stopping.any_of(WATCH, rule)


class Descent(NamedTuple):
    """What the loop carries."""

    params: Params  # where to evaluate next
    opt_state: Any
    rule_state: Any
    found: Point  # the last point whose value and gradient were finite
    steps: jax.Array
    idle: jax.Array  # steps in a row that moved nothing
    stop: jax.Array
    trace: Trace | None


@dataclasses.dataclass(frozen=True)
class Minimizer:
    """The loop, equal by value: (params, optimizer, rule, max_steps, onto, args) -> Minimum."""

    f: Callable
    capacity: int | None  # rows of the path
    unrolled: int | None  # the steps of a loop that reverse mode can differentiate

    def __call__(self, params, optimizer, rule, max_steps, onto, args) -> Minimum:
        if self.unrolled is None:
            return implicitly(self._run, self._residual, self._value)(
                (params, optimizer, rule, max_steps), (onto, args)
            )
        return self._run((params, optimizer, rule, max_steps), (onto, args))

    def _residual(self, params: Params, given: Any) -> Any:
        """Zero at a solution: p - P(p - g)."""
        onto, args = given
        grad = tree.ascent(jax.grad(self.f)(params, *args))
        return _step_of_projection(params, grad, onto)

    def _value(self, params: Params, given: Any) -> jax.Array:
        return self.f(params, *given[1])

    def _run(self, start: Any, given: Any) -> Minimum:
        (params, optimizer, rule, max_steps), (onto, args) = start, given
        params = moved_onto("minimize", onto, params)
        body = functools.partial(self._turn, optimizer, rule, max_steps, onto, args)
        first = self._start(params, optimizer, rule, onto)
        if self.unrolled is None:
            end = jax.lax.while_loop(lambda c: c.stop == Stop.RUNNING, body, first)
        else:
            turn = lambda c, _: (jax.lax.cond(c.stop == Stop.RUNNING, body, lambda c: c, c), None)  # noqa: E731
            end, _ = jax.lax.scan(turn, first, length=self.unrolled + 2)
        found, path = end.found, None if end.trace is None else end.trace.rows
        return Minimum(found.params, found.value, found.grad_norm, jnp.maximum(end.steps, 0), end.stop, path)

    def _start(self, params: Params, optimizer: Optimizer, rule: Rule, onto: Any) -> Descent:
        zero, dtype = jnp.zeros((), jnp.int32), value_dtype(params)
        opt_state = optimizer.init(params)
        searches = onto is None and value_and_grad_after(opt_state) is not None  # its first update only looks around
        nowhere = Point(zero, params, jnp.full((), jnp.nan, dtype), jnp.full((), jnp.nan, dtype))
        trace = None if self.capacity is None else start_trace(nowhere, self.capacity)
        running = jnp.full((), Stop.RUNNING, jnp.int32)
        return Descent(params, opt_state, rule.init(), nowhere, zero - searches, zero, running, trace)

    def _turn(self, optimizer, rule, max_steps, onto, args, last: Descent) -> Descent:
        """Evaluate, judge, step."""
        f = scalar("minimize", self.f, args)
        known = value_and_grad_after(last.opt_state) if onto is None else None
        value, grad = jax.value_and_grad(f)(last.params) if known is None else known
        here, moved = self._look(last, value, grad, onto)
        judged = self._judge(rule, max_steps, last, here, moved, known is not None)
        judged = judged if known is None else _unless(last.steps < 0, last, judged)
        updates, opt_state = optimizer.update(
            tree.ascent(grad), last.opt_state, last.params, value=value, grad=grad, value_fn=f
        )
        tree.check_like("minimize", "the optimizer's updates", updates, "params", last.params)
        params: Any = optax.apply_updates(last.params, updates)
        params = moved_onto("minimize", onto, params)
        going = judged.stop == Stop.RUNNING
        return judged._replace(params=params, opt_state=opt_state, steps=judged.steps + going)

    def _look(self, last: Descent, value, grad, onto) -> tuple[Point, jax.Array]:
        """Where the run stands, and how far it has come in this step."""
        slope = tree.ascent(grad)
        norm = tree.global_norm(slope if onto is None else _step_of_projection(last.params, slope, onto))
        moved = tree.global_norm(jax.tree.map(lambda a, b: a - b, last.params, last.found.params))
        dtype = last.found.value.dtype
        here = Point(last.steps, last.params, value.astype(dtype), norm.astype(dtype))
        return here, jnp.where(last.steps > 0, moved, jnp.inf)

    def _judge(self, rule, max_steps, last: Descent, here: Point, moved, searches: bool) -> Descent:
        """The rule's verdict on the point, and what is kept of it."""
        rule_state, stop = rule.update(last.rule_state, observation(here, moved, last.opt_state))
        finite = jnp.isfinite(here.value) & jnp.isfinite(here.grad_norm)
        idle = jnp.where(moved == 0, last.idle + 1, 0)
        for reason, condition in (
            (Stop.NON_FINITE, ~finite),
            (Stop.PATIENCE, searches & (idle >= 2)),
            (Stop.BUDGET, last.steps >= max_steps),
        ):
            stop = jnp.where((stop == Stop.RUNNING) & condition, reason, stop)
        found = tree.select(finite, here, last.found)
        trace = None if last.trace is None else written(last.trace, here)
        stop = stop.astype(jnp.int32)
        return last._replace(rule_state=rule_state, found=found, idle=idle, stop=stop, trace=trace)


def observation(here: Point, moved: jax.Array, opt_state: Any = ()) -> Observation:
    """What a rule sees of a run on a function: an evaluation and an epoch are a step."""
    epoch, unknown = here.step.astype(here.value.dtype), jnp.full_like(here.value, jnp.nan)
    zero, converged = jnp.zeros_like(here.value), getattr(opt_state, "converged", None)
    seen = Observation(here.value, 1.0, here.value, unknown, here.step, epoch, zero, here.grad_norm, moved)
    return seen._replace(converged=converged)


def _unless(unknown: jax.Array, last: Descent, judged: Descent) -> Descent:
    """What was judged, or what was before: a search that has not looked yet knows no value."""
    kept = tree.select(unknown, last._replace(trace=None), judged._replace(trace=None))
    return kept._replace(trace=judged.trace)  # its row of step -1 counts as not written


def _step_of_projection(params: Params, ascent: Any, onto: Any) -> Any:
    """p - P(p - g), which is g where nothing is in its way."""
    if onto is None:
        return ascent
    return jax.tree.map(lambda p, q: p - q, params, onto(jax.tree.map(lambda p, g: p - g, params, ascent)))


def value_dtype(params: Params) -> Any:
    return jnp.finfo(tree.arithmetic_dtype(*jax.tree.leaves(params))).dtype


def checked_params(who: str, params: Params) -> Params:
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
            where = f"params{tree.path_string(path) if path else ''}"
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


def on_host(who: str, found: Minimum, capacity: int | None) -> Minimum:
    """The result of a direct call as NumPy, its path trimmed; an error where nothing could be evaluated."""
    if is_traced(found) or jnp.ndim(found.stop):
        return found
    found = jax.tree.map(np.asarray, found)
    if found.stop == Stop.NON_FINITE and found.steps == 0:
        _refuse_start(who, found)
    path = None if capacity is None else trim(found.path)
    return found._replace(steps=int(found.steps), stop=Stop(int(found.stop)), path=path)


def _refuse_start(who: str, found: Minimum) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(found.params):
        if not np.isfinite(leaf).all():
            where = f"params{tree.path_string(path) if path else ''}"
            raise ValueError(f"{who}: {where} must be finite at the start, got {leaf}")
    raise ValueError(f"{who}: f and its gradient must be finite at the start, got a value or a gradient that is not")
