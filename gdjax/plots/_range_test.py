"""Range tests of the learning rate: loss against rate, with the seeds' band, the suggestion and its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from gdjax.plots import style
from gdjax.plots.style import BLUE, INK, MUTED, NORMAL, SMALL, VERMILLION
from gdjax.sweeps import RangeTest

ROOM = 0.25  # of the fall, above the first loss


def range_test(tests: Any, title: str = "") -> Figure:
    """Loss against rate: the median of the seeds, the band of all, the suggestion and its interval over seeds.

    Args:
        tests: a `RangeTest`, or a dict of them by name: a panel of each, over a common axis of rates.
    """
    named = tests if isinstance(tests, Mapping) else {"": tests}
    if not named or not all(isinstance(test, RangeTest) for test in named.values()):
        raise ValueError(f"range_test: tests must be what find_learning_rate returns, got {type(tests).__name__}")
    height = 3.6 if len(named) == 1 else 1.7
    picture = style.figure(0.5 + height * len(named), title)
    stack = picture.subplots(len(named), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, test) in zip(stack, named.items(), strict=True):
        _draw(axes, name, test)
    stack[-1].set_xlabel("learning rate, growing from step to step", fontsize=NORMAL, color=INK)
    picture.align_ylabels()
    return picture


def _draw(axes: Axes, name: str, test: RangeTest) -> None:
    style.dress(axes)
    style.rule(axes)
    curves = np.stack([reading.smooth for reading in test.readings])
    alive = np.isfinite(curves).all(axis=0)  # a seed that has diverged takes the median with it
    rates, curves = test.rates[alive], curves[:, alive]
    axes.set_xscale("log")
    axes.set_xlim(test.rates[0], test.rates[-1])
    axes.yaxis.set_major_formatter(FuncFormatter(style.number))
    axes.set_ylabel(f"{name}\nloss of a batch" if name else "loss of a batch", fontsize=NORMAL, color=INK)
    if alive.any():
        first, lowest = float(curves[:, 0].max()), float(curves.min())
        middle = np.median(curves, axis=0)
        axes.fill_between(rates, curves.min(axis=0), curves.max(axis=0), color=style.mix(BLUE, "white", 0.75), lw=0)
        axes.plot(rates, middle, color=BLUE, linewidth=1.8)
        room = max(first - lowest, 0.1 * abs(first)) or 1.0
        axes.set_ylim(lowest - 0.05 * room, first + ROOM * room)
    _mark(axes, test)


def _mark(axes: Axes, test: RangeTest) -> None:
    """Draw the suggestion as a line through its interval, with words above the panel."""
    if test.rate is None or test.interval is None:
        words = "no rate is suggested: the loss never fell"
    else:
        low, high = test.interval
        axes.axvspan(low, high, color=style.mix(VERMILLION, "white", 0.75), linewidth=0, zorder=0.5, gid="interval")
        axes.axvline(test.rate, color=VERMILLION, linewidth=1.6, gid="suggestion")
        words = f"suggested {test.rate:.2g}; the seeds' own from {low:.2g} to {high:.2g}"
    at = test.rates[0] if test.rate is None else test.rate
    left, right = np.log(test.rates[[0, -1]])
    side = ("left", "center", "right")[int(np.clip(3 * (np.log(at) - left) / (right - left), 0, 2))]
    axes.annotate(
        words,
        (at, 1),
        xycoords=axes.get_xaxis_transform(),
        xytext=(0, 4),
        textcoords="offset points",
        ha=side,
        va="bottom",
        color=INK if test.rate is not None else MUTED,
        fontsize=SMALL,
    )
