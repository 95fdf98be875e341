"""The result of a run on a function, and its description in words."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gdjax.types import Observation, Params, Stop

NOTHING_DONE = (
    "the gradient is within the tolerance at the start (1e-05 by default), so that nothing was done: to go on, divide f by "
    "its size or give a smaller stop=gradient_norm(...)"
)
MAYBE_NONE = "it falls, no less steeply than at the start: there may be no minimum"


class Point(NamedTuple):
    """A point of a run; as the path of a run, (n, ...) each."""

    step: jax.Array  # () int32
    params: Params
    value: jax.Array  # () float
    grad_norm: jax.Array  # () float; NaN if no gradient was computed


class Start(NamedTuple):
    """The value and the gradient norm at the start."""

    value: jax.Array
    grad_norm: jax.Array


class Minimum(NamedTuple):
    """The best point of a run, the last point, and the reason of the stop.

    If the run ended as CONVERGED or STALLED, the best point is the last one, unless the lowest value is below what any
    convex function allows: f(best) < f(last) - |g| |best - last|. Otherwise it is the finite point of lowest value.
    """

    params: Params
    value: jax.Array
    grad_norm: jax.Array  # NaN if no gradient was computed
    steps: jax.Array  # number of steps
    stop: jax.Array  # the reason: a `Stop`, an int32 array under a transformation
    path: Point | None = None  # recorded steps, a row each; None without record=
    best_step: Any = None  # the step of params
    last: Point | None = None  # the last point, finite or not
    first: Start | None = None

    def __str__(self) -> str:
        if jnp.ndim(self.stop) or isinstance(self.stop, Tracer):
            return repr(self)
        return describe(self)

    def _repr_html_(self) -> str:
        """As it prints, in a notebook."""
        return f"<pre>{html.escape(str(self))}</pre>"


class HostMinimum(Minimum):
    """A `Minimum` on the host that prints which kind of point it is; see `gdjax.solve.stationary`."""

    look: Callable[[Minimum], str] | None = None  # determines the kind of point; called only when it is printed
    within: bool | None = None  # whether the run was kept in a set

    def __reduce__(self) -> tuple[Any, ...]:
        return Minimum, tuple(self)


def describe(found: Minimum) -> str:
    """A result in one line: the reason of the stop, the point, and a remark."""
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
    """Whether the values of a diverged run decreased."""
    return found.last is not None and float(found.last.value) <= float(found.value)


def remark(found: Minimum) -> str:
    """A remark about a result, such as a warning; often empty."""
    stop = Stop(int(found.stop))
    if stop == Stop.DIVERGED:
        return "the values fall without end" if falls(found) else "the steps are too long"
    if stop == Stop.STALLED:
        return _still(found)
    if stop == Stop.CONVERGED:
        return _describe_point(found)
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


def _describe_point(found: Minimum) -> str:
    look = getattr(found, "look", None)
    kind = "" if look is None else look(found)
    said = [NOTHING_DONE] if found.steps == 0 and found.grad_norm > 0 else []
    return "; ".join(said + ([kind] if kind not in ("", "a minimum") else []))


def _falls_on(found: Minimum) -> bool:
    """Whether a run without a set ended at its lowest value, where f was no less steep than at the start."""
    first, last = found.first, found.last
    if first is None or last is None or getattr(found, "within", None) is not False:
        return False
    lowest = int(found.best_step) == int(found.steps) and last.value < first.value
    return bool(lowest and last.grad_norm >= first.grad_norm)


def _dtype(x: Any) -> Any:
    return np.result_type(x) if np.result_type(x).kind in "fc" else np.dtype(np.float32)  # NumPy knows no bfloat16


def observation(here: Point, step_norm: jax.Array | None, opt_state: Any = ()) -> Observation:
    """The input of a stopping condition in a run on a function, in which every step is an evaluation and an epoch."""
    epoch, unknown = here.step.astype(here.value.dtype), jnp.full_like(here.value, jnp.nan)
    zero, converged = jnp.zeros_like(here.value), getattr(opt_state, "converged", None)
    seen = Observation(here.value, 1.0, here.value, unknown, here.step, epoch, zero, here.grad_norm, step_norm)
    return seen._replace(converged=converged)
