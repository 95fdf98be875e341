"""The result of a run on a function, and its description in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer

from gdjax.drawing import load_plots
from gdjax.text import html_table
from gdjax.types import Observation, Params, Stop

NOTHING_DONE = (
    "the gradient is within the tolerance at the start (1e-05 by default), so that nothing was done: to go on, divide f by "
    "its size or give a smaller stop=gradient_norm(...)"
)
FEW = 6  # numbers that are printed, and arrays whose shapes are
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
        return describe(self) if _is_one(self) else repr(self)

    def __repr__(self) -> str:
        fields = self._asdict()
        if _is_one(self):
            numbers = (f"{float(x):.6g}" for x in (self.value, self.grad_norm))
            shown = (describe_point(self.params), *numbers, str(int(self.steps)), Stop(int(self.stop)).name)
            fields = dict(zip(self._fields, shown, strict=False))
        return f"Minimum({', '.join(f'{name}={_one_line(value)}' for name, value in fields.items())})"

    def _repr_html_(self) -> str | None:
        """In a notebook: its numbers as a table, and what there is to know of it."""
        if not _is_one(self):
            return None
        size = f"{float(self.grad_norm):.2g}" if np.isfinite(self.grad_norm) else ""
        stop, value = Stop(int(self.stop)).name, f"{float(self.value):.6g}"
        row = [stop, str(int(self.steps)), value, describe_point(self.params), size]
        return html_table([["stop", "steps", "value", "at", "|gradient|"], row], below=describe(self))

    def plot(self, bounds: Any = None, f: Callable[..., Any] | None = None, **options: Any) -> Any:
        """The picture: the path over the function of one or two variables, else the values, step by step.

        Args:
            bounds: of one or two variables, (low, high) for all of them or a pair for each; None shows what the path needs.
            f: the function, where it has been lost under a transformation.
            options: of `gdjax.plots.landscape` (minima, title, names) or `descent` (minimum, title, label).

        Raises: ImportError that says what to install, where matplotlib is missing; ValueError where there is no path.
        """
        return load_plots().picture(self, bounds=bounds, f=f, **options)


class HostMinimum(Minimum):
    """A `Minimum` on the host that prints which kind of point it is; see `gdjax.solve.stationary`."""

    look: Callable[[Minimum], str] | None = None  # determines the kind of point; called only when it is printed
    within: bool | None = None  # whether the run was kept in a set
    f: Callable[[Params], Any] | None = None  # what was minimized

    def __reduce__(self) -> tuple[Any, ...]:
        return Minimum, tuple(self)


def _is_one(found: Minimum) -> bool:
    """Whether it holds the numbers of one run: not traced, of no vmap, no shapes in their places."""
    numbers = (found.stop, found.steps, found.value, found.grad_norm)
    known = (isinstance(x, (int, float, np.ndarray, np.generic, jax.Array)) for x in numbers)
    return all(known) and not any(isinstance(x, Tracer) or np.ndim(x) for x in numbers)


def describe_point(params: Params) -> str:
    """A point in a few words: its numbers where there are few, else its shapes or how many there are, and its norm."""
    leaves = [(path, np.asarray(x)) for path, x in jax.tree_util.tree_leaves_with_path(params)]
    bare = len(leaves) == 1 and not leaves[0][0]
    if sum(x.size for _, x in leaves) <= FEW:
        parts = ", ".join(_numbers(x) if bare else f"{_name(path)}={_numbers(x)}" for path, x in leaves)
        return parts if bare else f"({parts})"
    sizes = np.concatenate([np.ravel(np.abs(x)).astype(float) for _, x in leaves])
    norm = (largest := max(sizes.max(), 1e-300)) * np.linalg.norm(sizes / largest)
    shapes = ", ".join(f"{'' if bare else _name(path)}{list(x.shape)}" for path, x in leaves)
    many = f"{len(leaves)} arrays of {sum(x.size for _, x in leaves):,} numbers"
    return f"{shapes if len(leaves) <= FEW else many} of norm {norm:.4g}"


def _one_line(value: Any) -> str:
    return " ".join(str(value).split())


def _name(path: tuple[Any, ...]) -> str:
    return ".".join(str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in path)


def _numbers(x: np.ndarray) -> str:
    """ "2", "(1, 1)"."""
    kind = complex if np.iscomplexobj(x) else float
    if x.ndim == 0:
        return f"{kind(x[()]) + 0:.6g}"
    return f"({', '.join(map(_numbers, x))}{',' * (len(x) == 1)})"


def describe(found: Minimum) -> str:
    """A result in one line: the reason of the stop, the point, and a remark."""
    stop, steps = Stop(int(found.stop)), int(found.steps)
    end = f"value {float(found.value):.6g} at {describe_point(found.params)}"
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
    if stop == Stop.BUDGET:
        return MAYBE_NONE if _falls_on(found) else _trend(found)
    return ""


def _trend(found: Minimum) -> str:
    """What a run did whose steps ran out: it falls, wavers, stands still or has risen."""
    first, last = found.first, found.last
    if first is None or last is None or not int(found.steps) or not np.isfinite([first.value, last.value]).all():
        return ""
    if last.value > first.value:
        return "it has risen: it ended above the start"
    if int(found.best_step) == int(found.steps):
        return "it still falls"
    return "its value stands still" if last.value == found.value else "it wavers: its lowest value came before the end"


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
    epoch, converged = here.step.astype(here.value.dtype), getattr(opt_state, "converged", None)
    seen = Observation(here.value, 1.0, here.value, None, here.step, epoch, None, here.grad_norm, step_norm)
    return seen._replace(converged=converged)
