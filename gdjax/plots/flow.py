"""Pictures of the flow of gradients: for each layer at one time, or over a run."""

from __future__ import annotations

from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from gdjax.backprop import Flow
from gdjax.plots import style
from gdjax.plots.reading import describe_kind
from gdjax.plots.style import BLUE, INK, MUTED, NORMAL, SMALL

HEIGHT = 1.75  # inches of a panel
NAMED = 8  # layers that a legend names


class Panel(NamedTuple):
    """One measure of all layers."""

    name: str
    label: str
    scale: str  # "log", "linear" or "share"


PANELS = (
    Panel("gradient_norm", "|gradient|\n(loss per unit)", "log"),
    Panel("update_ratio", "|update| / |layer|\nof one step", "log"),
    Panel("activation_std", "activation\n(mean ± spread)", "linear"),
    Panel("saturated", "saturated\n(share of units)", "share"),
    Panel("dead", "dead\n(share of units)", "share"),
)


def layer_flow(flow: Flow, title: str = "", epoch: ArrayLike | None = None) -> Figure:
    """The flow through the layers: gradients, updates, activations, saturated and dead units; what is not there is left out.

    Args:
        flow: of one look, drawn over the layers; or of a run, drawn over its evaluations with a line for each layer.
        epoch: (evaluations,) of a run, for the axis; None counts evaluations.
    """
    if not isinstance(flow, Flow):
        words = "a Flow, as gd.backprop.flow(...) gives, or gd.backprop.watch(...).read(result.history)"
        raise ValueError(f"layer_flow: flow must be {words}, got {describe_kind(flow)}")
    over_run = flow.gradient_norm.ndim == 2
    panels = [panel for panel in PANELS if panel is PANELS[0] or not np.isnan(getattr(flow, panel.name)).all()]
    picture = style.figure(0.6 + HEIGHT * len(panels), title)
    stack = picture.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    x = np.arange(1, 1 + len(flow.gradient_norm)) if epoch is None or not over_run else np.asarray(epoch)
    for axes, panel in zip(stack, panels, strict=True):
        style.dress(axes)
        style.rule(axes)
        (_draw_run if over_run else _draw_look)(axes, flow, panel, x)
        _set_scale(axes, panel, getattr(flow, panel.name), over_run)
    words = ("evaluation" if epoch is None else "epoch") if over_run else "layer (1 is next to the data)"
    stack[-1].set_xlabel(words, fontsize=NORMAL, color=INK)
    stack[-1].xaxis.set_major_locator(MaxNLocator(12, integer=True))
    if over_run:
        lines, names = stack[0].get_legend_handles_labels()
        picture.legend(lines, names, loc="outside lower center", ncols=NAMED, fontsize=SMALL, frameon=False)
    picture.align_ylabels()
    return picture


def _set_scale(axes: Axes, panel: Panel, values: np.ndarray, over_run: bool) -> None:
    """Set labels and scale; a logarithmic scale spans at least two decades, so that constant values look constant."""
    label = panel.label.replace("(mean ± spread)", "(spread)") if over_run else panel.label
    axes.set_ylabel(label, fontsize=SMALL, color=INK)
    if panel.scale == "log":
        axes.set_yscale("log")
        drawn = values[np.isfinite(values) & (values > 0)]
        low, high = (drawn.min(), drawn.max()) if drawn.size else (1.0, 1.0)
        margin = max(1.3, 10 / (high / low) ** 0.5)
        axes.set_ylim(low / margin, high * margin)
    if panel.scale == "share":
        axes.set_ylim(-0.04, 1.04)
        if not np.any(values > 0):
            look = {"transform": axes.transAxes, "ha": "center", "color": MUTED, "fontsize": SMALL}
            axes.text(0.5, 0.5, "0 % in every layer", **look)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))


def _draw_look(axes: Axes, flow: Flow, panel: Panel, x: np.ndarray) -> None:
    values = getattr(flow, panel.name)
    if panel.name == "activation_std":
        look = {"fmt": "o", "capsize": 3, "markersize": 5, "linewidth": 1.2}
        axes.errorbar(x, flow.activation_mean, yerr=values, color=BLUE, **look)
    elif panel.scale == "share":
        axes.bar(x, values, width=0.6, color=BLUE)
    else:
        axes.plot(x, np.where(values > 0, values, np.nan), "o-", color=BLUE, linewidth=1.2, markersize=5)


def _draw_run(axes: Axes, flow: Flow, panel: Panel, x: np.ndarray) -> None:
    """Draw a line for each layer, from dark (next to the data) to light; the first and the last are always named."""
    values = getattr(flow, panel.name)
    count = values.shape[1]
    colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.88, count))
    named = set(np.linspace(0, count - 1, min(count, NAMED)).round().astype(int))
    for i in range(count):
        known = ~np.isnan(values[:, i]) & ((values[:, i] > 0) | (panel.scale != "log"))
        label = f"layer {i + 1}" if i in named else None
        mark = "." if known.sum() < 20 else ""
        axes.plot(x[known], values[known, i], color=colors[i], linewidth=1.4, label=label, marker=mark)
