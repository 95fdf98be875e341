"""Learning curves: loss, metric and learning rate over the epochs, with a mark at the best evaluation."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from gdjax.plots import style
from gdjax.plots.progress import descent
from gdjax.plots.reading import read_histories
from gdjax.plots.style import BLUE, INK, MUTED, NORMAL, PAPER, PURPLE, SMALL, VERMILLION
from gdjax.training import Result

BUCKETS = 1000  # number of intervals to which a long history is reduced
LARGEST = 1e100  # larger values count as infinite, values below its inverse as 0, for the sake of the axis
UNITS = {"accuracy": "accuracy (share correct)", "r2": "R² (1 is perfect)"}


class Note(NamedTuple):
    """A text beside a panel."""

    height: float  # 0 at the panel's lower edge, 1 at its upper
    text: str
    color: str


class Panel(NamedTuple):
    """One of the stacked panels; its lines are `name` and `validation_name`, if the history has them."""

    name: str
    label: str
    height: float  # inches
    log_from: float  # the scale is logarithmic where max / min is above


class Line(NamedTuple):
    """One line of a panel, or the band that stands for it."""

    text: str  # at its right end
    color: str
    epoch: np.ndarray
    values: np.ndarray
    low: np.ndarray | None = None  # the smallest and the largest value since the epoch before
    high: np.ndarray | None = None


def curves(
    history: Any,
    best: int | None = None,
    title: str = "",
    metric: str | None = "accuracy",
    loss_label: str = "loss",
    monitor: str | None = None,
) -> Figure:
    """Training and validation loss, one metric and the learning rate, stacked over a common axis of epochs.

    Of several runs each panel holds a line of each, on validation data where it has such. Of a `Minimum` with a path its
    values are drawn, as by `descent`.

    The loss is drawn on a logarithmic scale where it spans a factor above 20, the learning rate above 10.
    What is NaN or infinite interrupts its line and is marked by a cross at the upper edge. Long histories are
    thinned to the smallest and the largest of each of 1000 stretches.

    Args:
        history: a `Result`, which knows its best and what it monitored; or a list of such, or a dict by name; or the history
            itself: name -> (n,), n >= 0 evaluations: "epoch" (finite) and "loss"; where they are there,
            "validation_loss", the metric, "validation_<metric>", "learning_rate", and "step", which tells how
            many updates make an epoch. With "learning_rate_min" and "learning_rate_max", of the steps since the last
            evaluation, this range is drawn instead of the rate. NaN or masked where unknown. Columns of another rank are
            not drawn.
        best: index of the evaluation whose parameters are kept, in [0, n); None or -1: there is none.
        metric: the name of the metric in the middle; None, or one that the history lacks: no such panel. Of a Result the
            one that it monitored, or its first, stands for one that it lacks.
        loss_label: words for the axis of the loss, with its unit if it has one: "cross-entropy (nats)".
        monitor: the curve that carries the mark of the best, "validation_accuracy" or as a Result says it,
            "validation accuracy"; None: the validation loss, or without one the loss.

    Raises: ValueError for a missing name, unequal lengths, an epoch that is not finite, or best out of range.
    """
    runs = read_histories(history)
    if not runs:
        return descent(history, title=title, label=None if loss_label == "loss" else loss_label)
    first = next(iter(runs.values()))
    if isinstance(first, Result):
        metric = metric and _metric_of(first, metric)
        best, monitor = first.best_evaluation if best is None else best, monitor or first.monitor
    columns = {name: _columns(getattr(run, "history", run)) for name, run in runs.items()}
    alone = columns[next(iter(columns))] if len(columns) == 1 else None
    best = None if alone is None else _check_best(best, len(alone["epoch"]))
    panels = _panels({name: x for each in columns.values() for name, x in each.items()}, metric, loss_label)
    picture = style.figure(0.9 + sum(panel.height for panel in panels), title)
    ratios = [panel.height for panel in panels]
    stack = picture.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    for axes, panel in zip(stack, panels, strict=True):
        if alone is not None:
            _draw_panel(axes, panel, _lines(panel, alone))
            continue
        on_validation = all(f"validation_{panel.name}" in each for each in columns.values())
        of_all = panel._replace(label=f"validation {panel.label}") if on_validation else panel
        _draw_panel(axes, of_all, _lines_of_all(panel, columns))
    epochs = np.concatenate([each["epoch"] for each in columns.values()])
    _draw_epochs(stack[-1], {"epoch": epochs} if alone is None else alone)
    if alone is not None and best is not None:
        _mark_best(stack, panels, alone, best, monitor)
    picture.align_ylabels()
    return picture


def _metric_of(result: Result, metric: str) -> str:
    """A metric that the result has."""
    monitored = result.monitor.partition(" ")[2]
    own = [name.removeprefix("validation_") for name, x in result.history.items() if np.ndim(x) == 1]
    own = [name for name in own if name not in ("epoch", "step", "loss") and not name.startswith("learning_rate")]
    return next((name for name in (metric, monitored, *own) if name in own), metric)


def _lines(panel: Panel, columns: Mapping[str, np.ndarray]) -> list[Line]:
    """The lines of one run: training and validation."""
    styles = {panel.name: ("training", BLUE), f"validation_{panel.name}": ("validation", VERMILLION)}
    if panel.name == "learning_rate":
        styles = {panel.name: ("", PURPLE)}
    return [_line(*look, columns, name) for name, look in styles.items() if name in columns]


def _line(text: str, color: str, columns: Mapping[str, np.ndarray], name: str) -> Line:
    """The line of a column, with its range if the history has it and it is one."""
    low, high = (columns.get(f"{name}_{end}") for end in ("min", "max"))
    line = Line(text, color, columns["epoch"], columns[name])
    return line if low is None or high is None or not (low < high).any() else line._replace(low=low, high=high)


def _lines_of_all(panel: Panel, runs: Mapping[str, Mapping[str, np.ndarray]]) -> list[Line]:
    """One line for each run, on validation data if it has them."""
    lines = []
    for i, (name, columns) in enumerate(runs.items()):
        kept = next((x for x in (f"validation_{panel.name}", panel.name) if x in columns), None)
        if kept is not None:
            color = style.PALETTE[i % len(style.PALETTE)]
            lines.append(_line(style.shorten(name, 24), color, columns, kept))
    return lines


def _columns(history: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    """The one-dimensional columns in float64, NaN where masked. Raises: ValueError if they do not fit each other."""
    for name in ("epoch", "loss"):
        if name not in history:
            raise ValueError(f"curves: history must have {name!r}, got {sorted(history)}")
    columns = {name: _as_floats(values) for name, values in history.items() if np.ndim(values) == 1}
    n = np.size(history["epoch"])
    for name in ("epoch", "loss", *columns):
        shape = np.shape(history[name])
        if shape != (n,):
            raise ValueError(f"curves: history[{name!r}] must have shape ({n},), got {shape}")
    if not np.isfinite(columns["epoch"]).all():
        raise ValueError(f"curves: history['epoch'] must be finite, got {columns['epoch']}")
    return columns


def _as_floats(values: ArrayLike) -> np.ndarray:
    floats = np.ma.filled(np.ma.asarray(values).astype(float), np.nan)
    floats = np.where(np.abs(floats) < LARGEST, floats, np.nan)
    return np.where(np.abs(floats) < 1 / LARGEST, 0.0, floats)


def _check_best(best: int | None, n: int) -> int | None:
    if best is None or best == -1:
        return None
    if not 0 <= best < n:
        raise ValueError(f"curves: best must be None, -1 or in [0, {n}), got {best}")
    return int(best)


def _panels(columns: Mapping[str, np.ndarray], metric: str | None, loss_label: str) -> list[Panel]:
    panels = [Panel("loss", loss_label, 2.5, 20.0)]
    if metric is not None and {metric, f"validation_{metric}"} & set(columns):
        panels.append(Panel(metric, UNITS.get(metric, metric.replace("_", " ")), 1.7, np.inf))
    if "learning_rate" in columns:
        panels.append(Panel("learning_rate", "learning rate", 1.0, 10.0))
    return panels


def _draw_panel(axes: Axes, panel: Panel, lines: list[Line]) -> None:
    """Draw the lines of a panel, each with its name at the right end, and set the scale."""
    style.dress(axes)
    style.rule(axes)
    axes.set_ylabel(_wrap(panel), fontsize=NORMAL, color=INK, parse_math=False)
    drawn = [x for line in lines for x in (line.values, line.low, line.high) if x is not None]
    notes = _scale(axes, np.concatenate(drawn), panel)
    for text, color, epoch, values, low, high in lines:
        if low is not None and high is not None:
            _draw_band(axes, epoch, low, high, color)
        else:
            _draw_line(axes, epoch, values, color, steps=panel.name == "learning_rate")
        known = values[np.isfinite(values)]
        if text and known.size:
            notes.append(Note(_height(axes, known[-1]), text, color))
    if any(np.isnan(line.values).any() for line in lines):
        notes.append(Note(0.96, "× not finite", MUTED))
    _write_notes(axes, notes, gap=0.19 / panel.height)


def _wrap(panel: Panel) -> str:
    """The label, broken into lines that fit the panel's height, with its unit on a separate line."""
    lines = panel.label.replace(" (", "\n(").splitlines()
    return "\n".join(textwrap.fill(line, int(11 * panel.height)) for line in lines)


def _scale(axes: Axes, values: np.ndarray, panel: Panel) -> list[Note]:
    """Set scale, limits and ticks; return a note if outliers are outside."""
    headroom = 0.2 if np.isnan(values).any() else 0.07
    values = values[np.isfinite(values)]
    axes.yaxis.set_major_formatter(FuncFormatter(style.number))
    if not values.size:
        axes.set(ylim=(0, 1), yticks=[])
        axes.text(0.5, 0.5, "nothing finite to show", transform=axes.transAxes, ha="center", color=MUTED)
        return []
    positive = values[values > 0]
    reaches = positive.size == values.size or (panel.name == "loss" and values.min() == 0 and positive.size)
    if reaches and positive.max() > panel.log_from * positive.min():
        _scale_log(axes, positive.min(), positive.max(), headroom, panel)
        return []
    return _scale_linear(axes, values, headroom, panel)


def _scale_log(axes: Axes, low: float, high: float, headroom: float, panel: Panel) -> None:
    decades = np.log10(high) - np.log10(low)
    axes.set_yscale("log")
    axes.set_ylim(low / 10 ** (0.07 * decades), high * 10 ** (headroom * decades))
    between = (1.0, 2.0, 5.0) if 3 * decades < 4 * panel.height else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=between))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(style.number))  # set_yscale has replaced it


def _scale_linear(axes: Axes, values: np.ndarray, headroom: float, panel: Panel) -> list[Note]:
    """Set a linear scale: from 0 for a learning rate; for a metric, without low outliers that would flatten the rest."""
    lowest, high = values.min(), values.max()
    low = min(0.0, lowest) if panel.name == "learning_rate" else lowest
    core = np.quantile(values, 0.1)
    outside = panel.log_from == np.inf and core - low > 4 * (high - core) > 0
    low = core if outside else low
    span = (high - low) or 0.5 * abs(high) or 1.0
    axes.set_ylim(low - 0.07 * span, high + headroom * span)
    axes.yaxis.set_major_locator(MaxNLocator(max(3, round(2.5 * panel.height)), steps=[1, 2, 2.5, 5, 10]))
    words = f"↓ down to {style.number(float(f'{lowest:.3g}'))}"
    return [Note(0.0, words, MUTED)] if outside else []


def _draw_line(axes: Axes, epoch: np.ndarray, values: np.ndarray, color: str, steps: bool) -> None:
    """Draw the line, with dots for few or isolated points, and crosses where it is not finite."""
    shown = thin(values)
    x, y = epoch[shown], values[shown]
    known = np.isfinite(y)
    beside = np.pad(known, 1)
    joined = beside[:-2] | beside[2:]
    dots = np.flatnonzero(known if known.sum() <= 25 else known & ~joined)
    dense = len(values) > BUCKETS
    look = {"color": color, "linewidth": 1.0 if dense else 1.8, "alpha": 0.6 if dense and not steps else 1.0}
    axes.plot(x, y, drawstyle="steps-post" if steps else "default", solid_joinstyle="round", **look)
    axes.plot(x[dots], y[dots], "o", color=color, markersize=3.5)
    edge = np.full((~known).sum(), 0.91 if color == VERMILLION else 0.96)
    cross = {"color": color, "markersize": 4, "transform": axes.get_xaxis_transform(), "gid": "not finite"}
    axes.plot(x[~known], edge, "x", **cross)


def _draw_band(axes: Axes, epoch: np.ndarray, low: np.ndarray, high: np.ndarray, color: str) -> None:
    """Draw the range of each interval between two evaluations, of several together where there are many."""
    starts = np.arange(0, len(epoch), -(-len(epoch) // BUCKETS))
    ends = epoch[np.append(starts[1:], len(epoch)) - 1]
    low, high = np.fmin.reduceat(low, starts), np.fmax.reduceat(high, starts)
    sides = (np.append(x[0], x) for x in (low, high))  # from epoch 0 on
    look = {"facecolor": (color, 0.3), "edgecolor": color, "linewidth": 1.0, "gid": "range"}
    axes.fill_between(np.append(min(0.0, ends[0]), ends), *sides, step="pre", **look)  # type: ignore[arg-type]


def thin(values: np.ndarray, buckets: int = BUCKETS) -> np.ndarray:
    """Indices that give the same picture: of each interval the smallest, the largest, and the first non-finite value.

    Shapes: values (n,) -> (at most 3 buckets + 2,) int, increasing; all n if n <= 4 buckets.
    """
    n = len(values)
    if n <= 4 * buckets:
        return np.arange(n)
    width = -(-n // buckets)
    padded = np.pad(values, (0, buckets * width - n), mode="edge").reshape(buckets, width)
    known = np.isfinite(padded)
    low = np.where(known, padded, np.inf).argmin(1)
    high = np.where(known, padded, -np.inf).argmax(1)
    inside = np.stack([low, high, known.argmin(1)]) + width * np.arange(buckets)
    return np.unique(np.append(np.minimum(inside, n - 1), [0, n - 1]))


def _height(axes: Axes, value: float) -> float:
    """The height of a value in its panel: 0 at the lower edge, 1 at the upper edge."""
    to_panel = axes.transData + axes.transAxes.inverted()
    return float(np.clip(to_panel.transform((axes.get_xlim()[0], value))[1], 0, 1))


def _write_notes(axes: Axes, notes: list[Note], gap: float) -> None:
    """Write the notes to the right of the panel, each near its height, with at least `gap` between them."""
    notes = sorted(notes)
    heights = np.array([note.height for note in notes])
    for _ in range(50):
        push = np.maximum(0, gap - np.diff(heights)) / 2
        heights[:-1] -= push
        heights[1:] += push
    for height, note in zip(heights, notes, strict=True):
        look = {"color": note.color, "fontsize": SMALL, "verticalalignment": "center"}
        axes.text(1.012, height, note.text, transform=axes.transAxes, **look)


def _draw_epochs(axes: Axes, columns: Mapping[str, np.ndarray]) -> None:
    """Set limits, ticks and label of the common axis."""
    epoch, step = columns["epoch"], columns.get("step", np.zeros(0))
    words = "epoch (passes over the training data)"
    if step.size and epoch[-1] > 0 and np.isfinite(step[-1]):
        words = f"epoch (one pass over the training data, {style.number(round(step[-1] / epoch[-1], 1))} steps)"
    axes.set_xlabel(words, fontsize=NORMAL, color=INK)
    low, high = (epoch.min(), epoch.max()) if epoch.size else (0.0, 1.0)
    low = min(low, 0.0) if "learning_rate_min" in columns else low  # the first range begins before the first evaluation
    pad = 0.02 * (high - low) or 0.5
    axes.set_xlim(low - pad, high + pad)
    whole = bool(high - low >= 3 or (high == low and high == round(high)))
    axes.xaxis.set_major_locator(MaxNLocator(9, steps=[1, 2, 5, 10], integer=whole, min_n_ticks=1))
    axes.xaxis.set_major_formatter(FuncFormatter(style.number))


def _mark_best(
    stack: np.ndarray, panels: list[Panel], columns: Mapping[str, np.ndarray], best: int, monitor: str | None
) -> None:
    """Draw a thin line through all panels, a label on top, and a dot on the monitored curve."""
    x = columns["epoch"][best]
    default = "validation_loss" if "validation_loss" in columns else "loss"
    name = (monitor or default).removeprefix("training ").replace(" ", "_")
    for axes, panel in zip(stack, panels, strict=True):
        axes.axvline(x, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1.5, gid="best line")
        if name in (panel.name, f"validation_{panel.name}") and name in columns:
            look = {"markeredgecolor": PAPER, "markeredgewidth": 1.5, "zorder": 5, "gid": "best"}
            axes.plot([x], [columns[name][best]], "o", color=INK, markersize=9, **look)
    left, right = stack[0].get_xlim()
    side = ("left", "center", "right")[int(np.clip(3 * (x - left) / (right - left), 0, 2))]
    stack[0].annotate(
        f"best, epoch {_epoch_text(x)}: its parameters are kept",
        (x, 1),
        xycoords=stack[0].get_xaxis_transform(),
        xytext=(0, 4),
        textcoords="offset points",
        ha=side,
        va="bottom",
        color=INK,
        fontsize=SMALL,
    )


def _epoch_text(epoch: float) -> str:
    return f"{epoch:.0f}" if epoch >= 100 or epoch == round(epoch) else f"{epoch:.3g}"
