"""The confusion matrix: true and predicted classes, with recall and precision at the margins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from gdjax.plots import style
from gdjax.plots.reading import read_counts
from gdjax.plots.style import BLUE, FAINT, INK, MUTED, NORMAL, SMALL, VERMILLION

WIDE, HIGH = 5.6, 4.2  # approximate size of the cells in inches
SMALLEST = 6.5  # points; smaller numbers are omitted
MOST_NAMES = 45  # of more classes only every second, third, ... has its name
GAP, THICK = 0.02, 0.11  # size of the strips at the margins, as shares of the table
STRIP, BAR = "#f0f0f0", style.mix(BLUE, "white", 0.55)


def confusion(counts: ArrayLike, target_names: Any = None, title: str = "") -> Figure:
    """The confusion matrix: cell (i, j) is the number of examples of class i that are predicted as class j.

        recall_i = counts_ii / sum_j counts_ij        precision_j = counts_jj / sum_i counts_ij

    A cell is colored by its share of its row, blue on the diagonal and orange beside it; the depth goes with
    the root of the share, so that rare errors show. Where there are too many classes for legible numbers, the
    colors of the cells remain, and recall and precision are bars.

    Args:
        counts: (C, C), finite and >= 0; rows are the truth, columns the prediction. Or the true labels (n,), with the
            predicted ones in the place of the names: they are counted.
        target_names: C >= 1 names; long ones are shortened; None are 0 to C - 1.

    Raises: ValueError for other shapes or values.
    """
    counts, target_names = read_counts(counts, target_names)
    if counts.ndim != 2:
        words = "(C, C), or the true labels (n,) with the predicted ones"
        raise ValueError(f"confusion: counts must be {words}, got {counts.shape}")
    target_names = [str(i) for i in range(len(counts))] if target_names is None else target_names
    shape = len(target_names), len(target_names)
    if shape[0] < 1 or counts.shape != shape:
        raise ValueError(f"confusion: counts must be {shape} as there are target_names, got {counts.shape}")
    if not (np.isfinite(counts).all() and (counts >= 0).all()):
        raise ValueError(f"confusion: counts must be finite and >= 0, got {counts.min()} to {counts.max()}")
    picture = style.figure(6.4, title)
    axes = picture.subplots()
    style.dress(axes)
    _draw_cells(axes, counts)
    _draw_margins(axes, counts)
    _name_classes(axes, target_names)
    picture.supxlabel(_caption(counts), fontsize=SMALL, color=MUTED, linespacing=1.5)
    return picture


def cell_colors(counts: np.ndarray) -> np.ndarray:
    """(C, C, 3) in [0, 1]: white to blue on the diagonal, to orange beside it; an empty row is white."""
    depth = np.sqrt(_share(counts, counts.sum(axis=1, keepdims=True), empty=0.0))[..., None]
    diagonal = np.eye(len(counts), dtype=bool)[..., None]
    full = np.where(diagonal, to_rgb(BLUE), to_rgb(VERMILLION))
    return 1 - depth * (1 - full)


def _share(part: np.ndarray, whole: np.ndarray, empty: float) -> np.ndarray:
    some = np.broadcast_to(whole > 0, part.shape)
    return np.divide(part, whole, out=np.full(part.shape, empty), where=some)


def _draw_cells(axes: Axes, counts: np.ndarray) -> None:
    colors = cell_colors(counts)
    axes.imshow(colors, interpolation="nearest", aspect="auto")
    texts, size = _cell_texts(counts)
    if size < SMALLEST:
        return
    look = {"ha": "center", "va": "center_baseline", "fontsize": size, "gid": "count"}
    for (i, j), text in zip(np.ndindex(*counts.shape), texts, strict=True):
        color = style.ink_on(tuple(colors[i, j])) if counts[i, j] else FAINT
        axes.text(j, i, text, color=color, **look)


def _cell_texts(counts: np.ndarray) -> tuple[list[str], float]:
    """(texts of the counts, row by row, with three digits if full numbers do not fit; font size in points)."""
    full = [_full(value) for value in counts.ravel()]
    brief = [_brief(value) for value in counts.ravel()]
    size, brief_size = (_type_size(len(counts), max(map(len, texts))) for texts in (full, brief))
    return (full, size) if size >= SMALL - 1 else (brief, brief_size)


def _full(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) and value < 1e9 else _brief(value)


def _brief(value: float) -> str:
    """A count with three digits: 45, 1.23k, 12.3M."""
    for unit, name in ((1e12, ""), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if unit <= value < 1e12:
            return f"{value / unit:.3g}{name}"
    return style.number(float(f"{value:.3g}"))


def _type_size(classes: int, length: int) -> float:
    """The font size, at most 15 points, for `length` characters in a cell."""
    return min(15.0, 0.6 * 72 * HIGH / classes, 0.85 * 72 * WIDE / classes / (0.62 * length))


def _draw_margins(axes: Axes, counts: np.ndarray) -> None:
    """Draw recall in a strip on the right and precision in one below, as percentages or as bars."""
    classes = len(counts)
    edge, thick = (1 + GAP) * classes - 0.5, THICK * classes
    axes.add_patch(Rectangle((edge, -0.5), thick, classes, color=STRIP, linewidth=0))
    axes.add_patch(Rectangle((-0.5, edge), classes, thick, color=STRIP, linewidth=0))
    axes.set(xlim=(-0.5, edge + thick), ylim=(edge + thick, -0.5))
    recall = _share(counts.diagonal(), counts.sum(axis=1), empty=np.nan)
    precision = _share(counts.diagonal(), counts.sum(axis=0), empty=np.nan)
    size = _margin_type_size(classes)
    if size < SMALLEST:
        place = np.arange(classes)
        axes.barh(place, thick * recall, left=edge, height=0.8, color=BAR, gid="recall")
        axes.bar(place, -thick * precision, bottom=edge + thick, width=0.8, color=BAR, gid="precision")
        return
    look = {"ha": "center", "va": "center_baseline", "color": INK, "fontsize": size}
    for k in range(classes):
        axes.text(edge + thick / 2, k, _percent(recall[k], classes), gid="recall", **look)
        axes.text(k, edge + thick / 2, _percent(precision[k], classes), gid="precision", **look)


def _margin_type_size(classes: int) -> float:
    return min(12.0, _type_size(classes, 5 if classes <= 12 else 3))


def _percent(share: float, classes: int) -> str:
    """A share in percent: 97.4, or 97 for many classes; never 100 for less than all; a dash for 0 of 0."""
    if np.isnan(share):
        return "–"
    digits = 1 if classes <= 12 else 0
    below_all = 100 - 10.0**-digits
    return f"{100 * share if share == 1 else min(100 * share, below_all):.{digits}f}"


def _caption(counts: np.ndarray) -> str:
    right, total = counts.trace(), counts.sum()
    form = _full if total < 1e6 else _brief
    share = f"{_percent(right / total, 1)} % ({form(right)} of {form(total)})" if total else "–"
    bars = "  A full bar: 100 %." if _margin_type_size(len(counts)) < SMALLEST else ""
    return (
        f"Accuracy {share}.  Blue: right, orange: wrong; the deeper, the larger the share of its row.\n"
        f"Recall: share of a row that is right.  Precision: share of a column that is right.{bars}"
    )


def _name_classes(axes: Axes, target_names: Sequence[str]) -> None:
    """Write the names on the left and on top, horizontal, slanted or vertical, as there is room."""
    classes = len(target_names)
    every = -(-classes // MOST_NAMES)
    size = float(np.clip(0.75 * 72 * HIGH / classes * every, SMALLEST, SMALL))
    names = style.shorten_all(target_names, 18)[::every]
    places = [*range(0, classes, every), (1 + GAP + THICK / 2) * classes - 0.5]
    room = 72 * WIDE / classes
    level = 0.65 * size * max(len(name) for name in names) < room
    turn = {} if level else {"rotation": 45 if room > 20 else 90, "ha": "left", "va": "center"}
    axes.xaxis.tick_top()
    axes.set_xticks(places, [*names, "recall (%)"], fontsize=size, rotation_mode="anchor", **turn)
    axes.set_yticks(places, [*names, "precision (%)"], fontsize=size)
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        text.set_parse_math(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    middle = 0.5 / (1 + GAP + THICK)
    axes.set_xlabel("predicted class", x=middle, labelpad=8, fontsize=NORMAL, color=INK)
    axes.set_ylabel("true class", y=1 - middle, labelpad=8, fontsize=NORMAL, color=INK)
    axes.xaxis.set_label_position("top")
