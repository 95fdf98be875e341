"""The pictures of the page: other models, predictions, residuals, calibration, columns, the fitted line; as inline SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from gdjax.plots import style
from gdjax.plots.style import BLUE, FAINT, INK, MUTED, NORMAL, PAPER, RULE, SMALL, VERMILLION
from gdjax.runs.assessment.calibration import Reliability
from gdjax.runs.assessment.comparison import HIGHER, Standing
from gdjax.runs.assessment.importance import Importance
from gdjax.runs.assessment.resampling import Estimate
from gdjax.runs.assessment.wording import measure_words

HALF = 4.6  # inches
DOTS = 3000  # rows that are drawn, at most
MANY = 500  # of them, which are one image
MOST_COLUMNS = 20
THEME = {
    INK: "ink",
    MUTED: "muted",
    FAINT: "faint",
    RULE: "rule",
    PAPER: "paper",
    BLUE: "blue",
    VERMILLION: "red",
}


def svg(picture: Figure, themed: bool = True) -> str:
    """The picture as an element of HTML, its texts drawn, so that it looks alike everywhere.

    Args:
        themed: whether its inks are those of the page, light or dark.
    """
    drawn = io.StringIO()
    with rc_context({"svg.fonttype": "path", "svg.hashsalt": "gdjax"}):
        picture.savefig(drawn, format="svg", facecolor=picture.get_facecolor(), dpi=style.DPI, metadata={"Date": None})
    text = drawn.getvalue()
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    for color, name in THEME.items() if themed else ():
        text = re.sub(color, f"var(--{name})", text, flags=re.IGNORECASE)
    return re.sub(r"\n\s*", "\n", text)


def _half(height: float) -> tuple[Figure, Axes]:
    picture = style.figure(height)
    picture.set_size_inches(HALF, height)
    axes = picture.subplots()
    style.dress(axes)
    style.rule(axes)
    return picture, axes


def _label(axes: Axes, x: str, y: str = "") -> None:
    axes.set_xlabel(style.shorten(x, 48), fontsize=NORMAL, color=INK, parse_math=False)
    axes.set_ylabel(style.shorten(y, 40), fontsize=NORMAL, color=INK, parse_math=False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(style.number))
        axis.set_major_locator(MaxNLocator(5))


def standings(found: Sequence[Standing]) -> Figure:
    """The first score of each model, with its interval."""
    score = next(iter(found[0].scores))
    estimates = [each.scores[score] for each in found]
    colors = [BLUE, *[MUTED] * (len(found) - 1)]
    better = "higher is better" if score in HIGHER else "lower is better"
    return _forest([each.name for each in found], estimates, colors, f"{measure_words(score)} ({better})")


def importances(found: Importance) -> Figure:
    """What the most important columns are worth."""
    shown = found.columns[:MOST_COLUMNS]
    what = {"error": "share of wrong classes", "rmse": "RMSE", "log_loss": "log loss"}[found.score]
    picture = _forest(
        [name for name, _ in shown], [each for _, each in shown], [BLUE] * len(shown), f"increase of {what}"
    )
    picture.axes[0].axvline(0, color=MUTED, linewidth=0.8, zorder=0)
    return picture


def _forest(names: Sequence[str], estimates: Sequence[Estimate], colors: Sequence[str], label: str) -> Figure:
    """Values with their intervals, one below the other."""
    picture, axes = _half(0.75 + 0.27 * len(names))
    for i, (each, color) in enumerate(zip(estimates, colors, strict=True)):
        if np.isfinite(each.low + each.high):
            axes.plot([each.low, each.high], [i, i], color=color, linewidth=2.2, solid_capstyle="round")
        axes.plot([each.value], [i], "o", color=color, markersize=6)
    _label(axes, label)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), style.shorten_all(names, 26), fontsize=SMALL)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    return picture


def _drawn(rows: int) -> np.ndarray:
    """At most DOTS of the rows."""
    return np.random.default_rng(0).permutation(rows)[:DOTS]


def predictions(y: np.ndarray, predicted: np.ndarray, low: np.ndarray, high: np.ndarray, target: str) -> Figure:
    """Predicted against true, with the intervals, if there are any."""
    picture, axes = _half(3.7)
    rows = _drawn(len(y))
    ends = np.array([min(y.min(), predicted.min()), max(y.max(), predicted.max())])
    axes.plot(ends, ends, color=MUTED, linewidth=1.0, zorder=1)
    if len(low):
        order = rows[np.argsort(predicted[rows])]
        _band(axes, predicted[order], low[order], high[order])
    _dots(axes, predicted[rows], y[rows], BLUE)
    _label(axes, f"predicted {target}", f"true {target}")
    return picture


def _dots(axes: Axes, x: np.ndarray, y: np.ndarray, color: str) -> None:
    """Dots that are pale where they are many."""
    many = len(x) > MANY
    axes.plot(x, y, "o", color=color, markersize=3.5, markeredgewidth=0, alpha=0.25 if many else 0.55, rasterized=many)


def _band(axes: Axes, x: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    known = np.isfinite(low) & np.isfinite(high)
    axes.fill_between(x[known], low[known], high[known], color=BLUE, alpha=0.12, linewidth=0)


def residuals(y: np.ndarray, predicted: np.ndarray, target: str) -> Figure:
    """How the errors are distributed."""
    picture, axes = _half(3.7)
    error = y - predicted
    low, high = np.quantile(error, [0.005, 0.995])
    bins = int(np.clip(np.sqrt(len(error)) * 1.5, 8, 50))
    axes.hist(np.clip(error, low, high), bins, color=BLUE, alpha=0.75)
    axes.axvline(0, color=MUTED, linewidth=1.0)
    _label(axes, f"true - predicted {target}".replace("-", "−", 1), "test rows")
    return picture


def calibration(found: Reliability) -> Figure:
    """The share for which it is so, against the probability that was said."""
    picture, axes = _half(3.7)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1.0)
    for said, each in zip(found.said, found.found, strict=True):
        axes.plot([said, said], [each.low, each.high], color=BLUE, linewidth=1.6, alpha=0.6)
    axes.plot(found.said, [each.value for each in found.found], "o-", color=BLUE, markersize=5, linewidth=1.2)
    _label(axes, f"probability given to {found.of}", "share for which it is so")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return picture


def line(x: np.ndarray, y: np.ndarray, curve: Any, names: tuple[str, str]) -> Figure:
    """The fitted line of one number, with the 95 % band of its place.

    Args:
        x, y: training rows.
        curve: x (m,) -> (line, low, high), (m,) each.
        names: of x and y.
    """
    picture, axes = _half(3.7)
    rows = _drawn(len(x))
    grid = np.linspace(np.nanmin(x), np.nanmax(x), 200)
    middle, low, high = curve(grid)
    _dots(axes, x[rows], y[rows], FAINT)
    axes.plot(grid, middle, color=VERMILLION, linewidth=2)
    known = np.isfinite(low)
    axes.fill_between(grid[known], low[known], high[known], color=VERMILLION, alpha=0.18, linewidth=0)
    _label(axes, *names)
    return picture
