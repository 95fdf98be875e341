"""The standings of a tournament: final values and times to the target, with their intervals, the best on top."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from gdjax.plots import style
from gdjax.plots.style import BLUE, FAINT, INK, MUTED, NORMAL, SMALL
from gdjax.sweeps import Tournament

LOGARITHMIC = 10.0  # the ratio of values from which on their scale is
LARGEST = 1e100


def standings(tournament: Tournament, title: str = "") -> Figure:
    """A row for each competitor: the final value, and the number of steps to the target, with 95 % intervals.

    The best is blue, and so is each that is not significantly worse; the others are gray. What went wrong or never reached
    the target is said in words.
    """
    if not isinstance(tournament, Tournament):
        got = type(tournament).__name__
        raise ValueError(f"standings: tournament must be what gd.tournament returns, got {got}")
    rows = tournament.standings
    picture = style.figure(1.3 + 0.36 * len(rows), title)
    left, right = picture.subplots(1, 2, sharey=True, width_ratios=(1.2, 1))
    colors = [BLUE if each.name in _not_worse(tournament) else FAINT for each in rows]
    for axes in (left, right):
        style.dress(axes)
        style.rule(axes)
        axes.grid(False, axis="y")
    _draw(left, [x.final for x in rows], [x.final_interval for x in rows], colors, "went wrong")
    _draw(right, [x.time for x in rows], [x.time_interval for x in rows], colors, "never")
    left.set_yticks(range(len(rows)), [style.shorten(each.name, 24) for each in rows], fontsize=NORMAL)
    right.set(xscale="linear", xlim=(0, 1.06 * tournament.batches))
    left.set_ylim(len(rows) - 0.4, -0.6)
    left.set_xlabel(f"{tournament.monitor} after {tournament.batches:,} steps", fontsize=NORMAL, color=INK)
    right.set_xlabel(f"steps to {style.number(float(f'{tournament.target:.3g}'))}", fontsize=NORMAL, color=INK)
    for text in left.get_yticklabels():
        text.set_parse_math(False)
    many = f"{tournament.tunings} tunings of each"
    words = f"Blue: the best, and what is not significantly worse.  Bars: 95 % intervals over {many}."
    picture.supxlabel(words, fontsize=SMALL, color=MUTED)
    return picture


def _not_worse(tournament: Tournament) -> set[str]:
    """The names of the best and of all that are not significantly worse."""
    best = tournament.standings[0].name
    worse = {x.worse for x in tournament.comparisons if x.significant and x.better == best}
    return {each.name for each in tournament.standings} - worse


def _draw(
    axes: Axes, values: Sequence[float], intervals: Sequence[tuple[float, float]], colors: Sequence[str], instead: str
) -> None:
    """Draw a dot in its interval on each row, or words in their place."""
    ends = np.array([*values, *np.ravel(intervals)])
    known = ends[np.isfinite(ends) & (np.abs(ends) < LARGEST)]
    low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
    logarithmic = low > 0 and high > LOGARITHMIC * low
    if logarithmic:
        axes.set_xscale("log")
        pad = (high / low) ** 0.06
        axes.set_xlim(low / pad, high * pad)
    else:
        pad = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
        axes.set_xlim(low - pad, high + pad)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(style.number))
    for row, (value, (first, last), color) in enumerate(zip(values, intervals, colors, strict=True)):
        if not (np.isfinite(value) and abs(value) < LARGEST):
            place = {"xy": (0.98, row), "xycoords": axes.get_yaxis_transform(), "ha": "right", "va": "center"}
            axes.annotate(instead, color=MUTED, fontsize=SMALL, backgroundcolor=style.PAPER, **place)
            continue
        end = min(last, LARGEST)  # beyond the edge, if it is infinite
        axes.plot([first, end], [row, row], color=style.mix(color, "white", 0.45), linewidth=5, gid="interval")
        axes.plot([value], [row], "o", color=color, markersize=8, gid="final" if instead != "never" else "time")
