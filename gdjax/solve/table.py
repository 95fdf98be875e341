"""Tables of several minima, and of the steps of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.flatten_util
import numpy as np

from gdjax.problems import Problem
from gdjax.solve.minimum import Minimum, remark
from gdjax.text import table
from gdjax.types import Stop


def has_failed(found: Minimum) -> bool:
    """Whether a run ended as DIVERGED or NON_FINITE."""
    return int(found.stop) in (Stop.DIVERGED, Stop.NON_FINITE)


def failure(found: Minimum) -> str:
    """ " (DIVERGED)" or " (NON_FINITE)"; "" for any other stop."""
    return f" ({Stop(int(found.stop)).name})" if has_failed(found) else ""


def compare(problem: Problem, runs: Mapping[str, tuple[Minimum, float]]) -> str:
    """A line for each method, with the seconds per step, then a line for each remark."""
    rows: list[tuple[str, ...]] = [("optimizer", "value", "distance", "|gradient|", "steps", "us/step", "stop")]
    for name, (found, seconds) in runs.items():
        distance = problem.distance(found.params)
        sizes = (f"{x:.2g}" if np.isfinite(x) else "" for x in (distance, found.grad_norm))
        end = (str(found.steps), f"{1e6 * seconds:.2f}", Stop(int(found.stop)).name)
        rows.append((name, f"{found.value:.6g}", *sizes, *end))
    remarks = {name: remark(found) for name, (found, _) in runs.items()}
    return "\n".join([table(rows, right=range(1, 6)), *(f"{name}: {said}" for name, said in remarks.items() if said)])


def trace(f: Callable[..., Any], args: tuple[Any, ...], names: Sequence[str], found: Minimum) -> str:
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
