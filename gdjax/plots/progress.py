"""Values over steps: those of several runs on a logarithmic scale, and schedules."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from gdjax.plots import reading, style
from gdjax.plots._landscape import MARKERS, PATHS
from gdjax.plots.style import INK, NORMAL

LARGEST = 1e100


def descent(
    values: Any,
    minimum: Any = None,
    title: str = "",
    label: str | None = None,
    steps: str = "step",
) -> Figure:
    """The value over the steps, on a logarithmic scale, on which a constant factor per step is a straight line.

    Args:
        values: (n,) values at steps 0, 1, 2, ..., or (steps, values), a `Minimum` with a path, a `Result` or its history
            (the loss); a list of such, or a dict by name.
        minimum: subtracted from the values if given, a number, or a `Minimum` or a `Problem`, which know it; what is level
            with it is not drawn.
        label, steps: words for the axes; (default: "loss" of fits, "value" of anything else).
    """
    minimum = getattr(minimum, "value", minimum)
    lowest = 0.0 if minimum is None else float(minimum)
    label = label or ("loss" if reading.are_fits(values) else "value")
    picture = style.figure(4.4, title)
    axes = picture.subplots()
    style.dress(axes)
    style.rule(axes)
    for i, (name, (x, y)) in enumerate(reading.read_series("descent", values).items()):
        y = y - lowest
        y = np.where((y > 0) & (y < LARGEST), y, np.nan)
        look = {"color": PATHS[i % len(PATHS)], "marker": MARKERS[i % len(MARKERS)], "markersize": 6}
        axes.plot(x, y, linewidth=1.6, markevery=0.12, label=style.shorten(name, 48), **look)
    axes.set_yscale("log")
    axes.set_xlabel(steps, fontsize=NORMAL, color=INK)
    axes.set_ylabel(f"{label} − minimum" if lowest else label, fontsize=NORMAL, color=INK)
    style.legend(axes)
    return picture


def rates(schedules: Any, steps: int | None = None, title: str = "", label: str = "learning rate") -> Figure:
    """Schedules over their steps.

    Args:
        schedules: a function step -> number, a number, a text such as "cosine(0.1, 100)", an optimizer (its learning rate),
            or a `Result` or its history, whose rates were taken; a list of such, or a dict by name.
        steps: how many to show (default: the longest whole number in the calls, or 100).
    """
    picture = style.figure(4.0, title)
    axes = picture.subplots()
    style.dress(axes)
    style.rule(axes)
    for i, (name, (x, y)) in enumerate(reading.read_rates("rates", schedules, steps).items()):
        axes.plot(x, y, color=PATHS[i % len(PATHS)], linewidth=1.8, label=style.shorten(name, 48))
    axes.yaxis.set_major_formatter(FuncFormatter(style.number))
    axes.set_xlabel("step", fontsize=NORMAL, color=INK)
    axes.set_ylabel(label, fontsize=NORMAL, color=INK)
    style.legend(axes)
    return picture
