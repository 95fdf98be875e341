"""The paths of several methods over one function: a picture of them, an animation, or the values step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gdjax.plots._landscape import landscape
from gdjax.plots.animation import animate
from gdjax.plots.progress import descent
from gdjax.plots.style import save
from gdjax.problems import Problem

REACH = 1.3  # a picture without bounds of its own shows this times what the paths need
FIRST = 5  # points of failed runs that a picture makes room for, where no run has succeeded


def draw_paths(
    problem: Problem,
    names: Sequence[str],
    found: Mapping[str, Any],
    plot: Path | None,
    animation: Path | None,
    bounds: Sequence[tuple[float, float]] | None = None,
) -> list[Path]:
    """Draw the results of runs with their paths into files, and return the files' names.

    Args:
        names: of the coordinates; of more than two the values are drawn step by step.
        found: a `Minimum` with a path for each method; a name that ends in a bracket of its own, "sgd(1) (DIVERGED)", is one
            that failed.
        bounds: of the picture, a pair for each variable; None: those of the problem, or what the paths need.
    """
    if len(names) > 2:
        return (
            []
            if plot is None
            else [save(descent(found, problem.value, f"{problem.name}: the value, step by step"), plot)]
        )
    named = {name: result.path for name, result in found.items() if result.path is not None}
    if (plot is None and animation is None) or not named:
        return []
    paths = {name: np.asarray(path.params) for name, path in named.items()}
    good = [path for name, path in paths.items() if not name.endswith(("(DIVERGED)", "(NON_FINITE)"))]
    bounds = bounds or window(problem, good or [path[:FIRST] for path in paths.values()])
    made = []
    if plot is not None:
        start = ", ".join(f"{x:g}" for x in np.ravel(problem.start))
        title = f"{problem.name}: from ({start})"
        made.append(save(landscape(problem, bounds, paths, problem.minima, title, tuple(names)), plot))
    if animation is not None:
        steps = {name: path.step for name, path in named.items()}
        options = {"names": tuple(names), "minima": problem.minima, "steps": steps}
        made.append(animate(problem, bounds, paths, animation, problem.name, **options))
    return made


def window(problem: Problem, paths: Sequence[np.ndarray]) -> tuple[Any, ...]:
    """Of a picture over one or two variables: the problem's own, or what finite paths need."""
    if problem.bounds:
        return problem.bounds
    points = np.concatenate([np.reshape(path, (len(path), -1)) for path in paths])
    points = points[np.isfinite(points).all(axis=1)]
    start = np.ravel(problem.start)
    near = points[np.abs(points - start).max(axis=1) <= 20 * (1 + np.abs(start).max())]
    low, high = near.min(axis=0), near.max(axis=0)
    half = REACH * np.maximum(high - low, 0.25 * max((high - low).max(), 1.0)) / 2
    center = (low + high) / 2
    return tuple((float(a), float(b)) for a, b in zip(center - half, center + half, strict=True))
