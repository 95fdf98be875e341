"""What falls over the steps: the value of several runs on a logarithmic scale, and schedules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from gdjax.plots import style
from gdjax.plots._landscape import MARKERS, PATHS
from gdjax.plots.style import INK, NORMAL

LARGEST = 1e100


def descent(
    values: Mapping[str, Any],
    minimum: float | None = None,
    title: str = "",
    label: str = "value",
    steps: str = "step",
) -> Figure:
    """Value against step, on a logarithmic scale: a straight line is descent by the same factor at each step.

    Args:
        values: name -> (n,) values at steps 0, 1, 2, ..., or (steps, values), or a `Minimum` with a path.
        minimum: subtracted from the values if given; what is level with it is not drawn.
        label, steps: words for the axes.
    """
    picture = style.figure(4.4, title)
    axes = picture.subplots()
    style.dress(axes)
    style.rule(axes)
    for i, (name, given) in enumerate(values.items()):
        x, y = _series(given)
        y = y - (minimum or 0.0)
        y = np.where((y > 0) & (y < LARGEST), y, np.nan)
        look = {"color": PATHS[i % len(PATHS)], "marker": MARKERS[i % len(MARKERS)], "markersize": 6}
        axes.plot(x, y, linewidth=1.6, markevery=0.12, label=style.shorten(name, 48), **look)
    axes.set_yscale("log")
    axes.set_xlabel(steps, fontsize=NORMAL, color=INK)
    axes.set_ylabel(f"{label} − minimum" if minimum else label, fontsize=NORMAL, color=INK)
    style.legend(axes)
    return picture


def schedules(
    given: Mapping[str, Callable[..., Any]], steps: int, title: str = "", label: str = "learning rate"
) -> Figure:
    """Schedules over their steps.

    Args:
        given: name -> a function step -> number.
        steps: how many to show.
    """
    picture = style.figure(4.0, title)
    axes = picture.subplots()
    style.dress(axes)
    style.rule(axes)
    for i, (name, schedule) in enumerate(given.items()):
        values = np.asarray(
            jax.vmap(lambda step, schedule=schedule: jnp.asarray(schedule(step)))(jnp.arange(steps + 1))
        )
        axes.plot(values, color=PATHS[i % len(PATHS)], linewidth=1.8, label=style.shorten(name, 48))
    axes.yaxis.set_major_formatter(FuncFormatter(style.number))
    axes.set_xlabel("step", fontsize=NORMAL, color=INK)
    axes.set_ylabel(label, fontsize=NORMAL, color=INK)
    style.legend(axes)
    return picture


def _series(given: Any) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values."""
    if hasattr(given, "path"):
        if given.path is None:
            raise ValueError("descent: a Minimum must have a path to be drawn: minimize(..., record=True)")
        return np.asarray(given.path.step), np.asarray(given.path.value, float)
    if isinstance(given, tuple):
        return np.asarray(given[0]), np.asarray(given[1], float)
    values = np.asarray(given, float)
    return np.arange(len(values)), values
