"""Which class was taken for which: the table of truth against prediction, with recall and precision at its margins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from gdjax.plots.style import (
    BLUE,
    INK,
    MUTED,
    NORMAL,
    SMALL,
    VERMILLION,
    dress,
    figure,
    ink_on,
    number,
    shorten,
    title_figure,
)

WIDE, HIGH = 5.6, 4.2  # inches that the table takes, about
SMALLEST = 6.5  # points: numbers that would have to be smaller are left out
MOST_NAMES = 45  # of more classes only every second, third, ... is named
STRIP = "#f0f0f0"


def confusion(counts: ArrayLike, target_names: Sequence[str], title: str = "") -> Figure:
    """The confusion table: in cell (i, j) how many of class i were taken for class j.

        recall_i = counts_ii / sum_j counts_ij        precision_j = counts_jj / sum_i counts_ij

    A cell is coloured by its share of its row, blue on the diagonal and red beside it; the depth goes with the root of
    the share, so that rare errors show. Where there are too many classes for legible numbers the colours remain.

    Args:
        counts: (C, C), finite and >= 0; rows are the truth, columns the prediction.
        target_names: C names, long ones shortened.

    Raises: ValueError for other shapes or values.
    """
    counts = np.asarray(counts, float)
    classes = len(target_names)
    if classes < 1 or counts.shape != (classes, classes):
        raise ValueError(f"confusion: counts must be ({classes}, {classes}) as target_names, got {counts.shape}")
    if not (np.isfinite(counts).all() and (counts >= 0).all()):
        raise ValueError(f"confusion: counts must be finite and >= 0, got {counts.min()} to {counts.max()}")
    picture = figure(6.4 + 0.35 * bool(title))
    axes = picture.subplots()
    dress(axes, grid=False)
    _draw_cells(axes, counts)
    _draw_margins(axes, counts)
    _name_classes(axes, target_names)
    picture.supxlabel(_caption(counts), fontsize=SMALL, color=MUTED, linespacing=1.5)
    title_figure(picture, title)
    return picture


def cell_colours(counts: np.ndarray) -> np.ndarray:
    """Colours (C, C, 3) in [0, 1]: white to blue on the diagonal, white to vermillion elsewhere; an empty row is white."""
    depth = np.sqrt(_share(counts, counts.sum(axis=1, keepdims=True), empty=0.0))[..., None]
    diagonal = np.eye(len(counts), dtype=bool)[..., None]
    full = np.where(diagonal, to_rgb(BLUE), to_rgb(VERMILLION))
    return 1 - depth * (1 - full)


def _share(part: np.ndarray, whole: np.ndarray, empty: float) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(part), empty), where=np.broadcast_to(whole, part.shape) > 0)


def _draw_cells(axes: Axes, counts: np.ndarray) -> None:
    classes = len(counts)
    colours = cell_colours(counts)
    axes.imshow(colours, interpolation="nearest", aspect="auto")
    texts = [[_count(value) for value in row] for row in counts]
    size = _type_size(classes, max(len(text) for row in texts for text in row))
    if size < SMALLEST:
        return
    for i, j in np.ndindex(classes, classes):
        faint = counts[i, j] == 0
        colour = MUTED if faint else ink_on(colours[i, j])
        axes.text(j, i, texts[i][j], ha="center", va="center", color=colour, fontsize=size, gid="count")


def _count(value: float) -> str:
    """A count in at most about five signs: 45, 12,345, 1.2e6; weighted counts to three digits."""
    if value == round(value) and value < 1e5:
        return f"{value:,.0f}"
    return number(float(f"{value:.3g}" if value < 1e5 else f"{value:.1e}"))


def _type_size(classes: int, length: int) -> float:
    """Points of type, at most 15, for `length` signs in one cell of the table."""
    return min(15.0, 72 * HIGH / classes * 0.6, 72 * WIDE / classes * 0.85 / (0.62 * length))


def _draw_margins(axes: Axes, counts: np.ndarray) -> None:
    """Recall in a strip on the right, precision in one below, in per cent; a dash where there is nothing to divide by."""
    classes = len(counts)
    edge, thick = classes - 0.5 + 0.02 * classes, 0.11 * classes
    axes.add_patch(Rectangle((edge, -0.5), thick, classes, color=STRIP, linewidth=0))
    axes.add_patch(Rectangle((-0.5, edge), classes, thick, color=STRIP, linewidth=0))
    axes.set(xlim=(-0.5, edge + thick), ylim=(edge + thick, -0.5))
    recall = _share(counts.diagonal(), counts.sum(axis=1), empty=np.nan)
    precision = _share(counts.diagonal(), counts.sum(axis=0), empty=np.nan)
    look = {"ha": "center", "va": "center", "color": INK, "fontsize": min(12.0, _type_size(classes, 3))}
    if look["fontsize"] < SMALLEST:
        return
    for k in range(classes):
        axes.text(edge + thick / 2, k, _percent(recall[k], classes), gid="recall", **look)
        axes.text(k, edge + thick / 2, _percent(precision[k], classes), gid="precision", **look)


def _percent(share: float, classes: int) -> str:
    """97.4, or 97 in a table of many; never 100 for less than all."""
    if np.isnan(share):
        return "–"
    digits = 1 if classes <= 12 else 0
    return f"{min(100 * share, 100 if share == 1 else 100 - 10.0**-digits):.{digits}f}"


def _caption(counts: np.ndarray) -> str:
    right, total = counts.trace(), counts.sum()
    accuracy = f"{_count(right)} of {_count(total)} right: accuracy {100 * right / total:.1f} %" if total else "no examples"
    return (
        f"{accuracy}.  Blue: right, red: wrong; the deeper, the larger the share of its row.\n"
        "Recall: right among all of the row.  Precision: right among all of the column."
    )


def _name_classes(axes: Axes, target_names: Sequence[str]) -> None:
    """Names on the left and on top, upright, aslant or on end as there is room."""
    classes = len(target_names)
    every = -(-classes // MOST_NAMES)
    size = float(np.clip(72 * HIGH / classes * every * 0.75, SMALLEST, SMALL))
    names = [shorten(name, 18) for name in target_names][::every]
    places = [*range(0, classes, every), classes - 0.5 + 0.075 * classes]
    room = 72 * WIDE / classes
    fits = 0.65 * size * max(len(name) for name in names) < room
    turn = {} if fits else {"rotation": 45 if room > 20 else 90, "ha": "left", "va": "center"}
    axes.xaxis.tick_top()
    axes.set_xticks(places, [*names, "recall (%)"], fontsize=size, rotation_mode="anchor", **turn)
    axes.set_yticks(places, [*names, "precision (%)"], fontsize=size)
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        text.set_parse_math(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylabel("true class", fontsize=NORMAL, color=INK)
    axes.set_xlabel("predicted class", fontsize=NORMAL, color=INK)
    axes.xaxis.set_label_position("top")
