"""A curve fitted to data: the points, the curve with its confidence band, and the residuals below."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gdjax.plots import style
from gdjax.plots.style import BLUE, INK, MUTED, NORMAL, VERMILLION
from gdjax.solve import CurveFit

POINTS = 500  # of the curve
MANY = 2000  # rows from which points are drawn small


def fitted_curve(fit: CurveFit, title: str = "") -> Figure:
    """The picture of a `CurveFit`, as `fit_curve` gives it.

    Over one column, the data with the curve, the band of its confidence and that of further observations; over several,
    observed against fitted values. Below them the residuals.

    Args:
        title: (default: the formula, shortened).
    """
    if not isinstance(fit, CurveFit):
        raise ValueError(f"fitted_curve: fit must be a CurveFit, as fit_curve gives, got {type(fit).__name__}")
    picture = style.figure(5.6, title or style.shorten(f"{fit.target} = {fit.formula}", 100))
    above, below = picture.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    for axes in (above, below):
        style.dress(axes)
    names = list(fit.columns)
    if len(names) == 1:
        across, label = np.asarray(fit.columns[names[0]]), fit.places[names[0]]
        _draw_band(above, fit, label, across)
        _draw_points(above, across, fit.fitted + fit.residuals)
    else:
        across, label = fit.fitted, f"{fit.target}, fitted"
        _draw_points(above, across, fit.fitted + fit.residuals)
        ends = np.array([across.min(), across.max()])
        above.plot(ends, ends, color=VERMILLION, linewidth=1.6, label="observed = fitted")
    _draw_points(below, across, fit.residuals)
    below.axhline(0, color=MUTED, linewidth=0.8)
    above.set_ylabel(fit.target, fontsize=NORMAL, color=INK, parse_math=False)
    below.set_ylabel("residual", fontsize=NORMAL, color=INK)
    below.set_xlabel(label, fontsize=NORMAL, color=INK, parse_math=False)
    style.legend(above)
    return picture


def _draw_points(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    size = 22 if len(x) < MANY else 4
    axes.scatter(x, y, s=size, color=BLUE, linewidths=0, alpha=0.8 if len(x) < MANY else 0.4, zorder=3)


def _draw_band(axes: Axes, fit: CurveFit, column: str, x: np.ndarray) -> None:
    grid = np.linspace(x.min(), x.max(), POINTS)
    band = fit.predict({column: grid})
    level = f"{100 * fit.level:g} %"
    look: dict[str, Any] = {"color": VERMILLION, "linewidth": 0}
    if np.isfinite(band.low).all():
        axes.fill_between(
            grid, band.low_new, band.high_new, alpha=0.1, label=f"{level} of further observations", **look
        )
        axes.fill_between(grid, band.low, band.high, alpha=0.3, label=f"{level} confidence of the curve", **look)
    axes.plot(grid, band.value, color=VERMILLION, linewidth=1.6, label="fitted")
