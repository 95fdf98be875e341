"""Tables of several minima, and of the steps of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.flatten_util
import numpy as np

from gdjax.problems import Problem
from gdjax.solve.minimum import FEW, Minimum, describe_point, remark
from gdjax.text import table
from gdjax.types import Stop


def has_failed(found: Minimum) -> bool:
    """Whether a run ended as DIVERGED or NON_FINITE."""
    return int(found.stop) in (Stop.DIVERGED, Stop.NON_FINITE)


def failure(found: Minimum) -> str:
    """ " (DIVERGED)" or " (NON_FINITE)"; "" for any other stop."""
    return f" ({Stop(int(found.stop)).name})" if has_failed(found) else ""


def compare(problem: Problem, names: Sequence[str], runs: Mapping[str, tuple[Minimum, float]]) -> str:
    """A line for each method, with the point that it found and the seconds of a step, then one for each remark.

    What is known of no method has no column: a distance where no minimum is known, a gradient where none was asked for.
    """
    points = names if len(names) <= FEW else ("at",)
    rows = [["optimizer", "value", "distance", "|gradient|", *points, "steps", "us/step", "stop"]]
    for name, (found, seconds) in runs.items():
        distance = problem.distance(found.params)
        sizes = (f"{x:.2g}" if np.isfinite(x) else "" for x in (distance, found.grad_norm))
        end = (str(found.steps), f"{1e6 * seconds:.2f}", Stop(int(found.stop)).name)
        rows.append([name, f"{found.value:.6g}", *sizes, *_coordinates(found.params, len(points)), *end])
    filled = [i for i, column in enumerate(zip(*rows, strict=True)) if any(column[1:])]
    rows = [[row[i] for i in filled] for row in rows]
    remarks = {name: remark(found) for name, (found, _) in runs.items()}
    lines = (f"{name}: {said}" for name, said in remarks.items() if said)
    return "\n".join([table(rows, right=range(1, len(filled) - 1)), *lines])


def _coordinates(params: Any, columns: int) -> list[str]:
    """The numbers of a point, or the point in words where there is one column for more of them."""
    flat = [x for leaf in jax.tree.leaves(params) for x in np.ravel(np.asarray(leaf, float))]
    return [f"{x + 0:.6g}" for x in flat] if len(flat) == columns else [describe_point(params)]


def step_by_step(f: Callable[..., Any], args: tuple[Any, ...], names: Sequence[str], found: Minimum) -> str:
    """A line for each step of the path: t, the parameters, the value and the gradient."""
    path = found.path
    assert path is not None
    slopes = jax.vmap(jax.grad(f), in_axes=(0, *(None for _ in args)))(path.params, *args)
    points, slopes = (
        np.asarray(jax.vmap(lambda x: jax.flatten_util.ravel_pytree(x)[0])(x)) for x in (path.params, slopes)
    )
    head = ["t", *names, "f", *(f"df/d{name}" for name in names)]
    rows = [
        [f"{t}", *(f"{x:.8g}" for x in (*p, v, *g))]
        for t, p, v, g in zip(path.step, points, path.value, slopes, strict=True)
    ]
    return table([head, *rows], right=range(len(head)))
