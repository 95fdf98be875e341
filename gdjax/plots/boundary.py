"""How a classifier divides a plane: its regions, its decision line, and the points it was right and wrong about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike

from gdjax.plots.style import (
    INK,
    NORMAL,
    PAPER,
    SMALL,
    dress,
    figure,
    mix,
    number,
    palette,
    shorten,
    title_figure,
)

SIDE = 300  # cells of the grid along each feature
PALE, FULL = 0.12, 0.45  # share of the class colour where the classifier is undecided, and where it is certain
MARKERS = {"training": "o", "test": "^"}


class Points(NamedTuple):
    """Labelled points of the plane; `lost` of them could not be drawn, because a feature is NaN or infinite."""

    x: np.ndarray  # (n, 2)
    y: np.ndarray  # (n,) int in [0, C)
    lost: int


def boundary(
    predict: Callable[[np.ndarray], ArrayLike],
    x: ArrayLike,
    y: ArrayLike,
    target_names: Sequence[str],
    feature_names: Sequence[str],
    test: tuple[ArrayLike, ArrayLike] | None = None,
    title: str = "",
) -> Figure:
    """The plane of two features, coloured by the class that a classifier gives to each place.

    Where `predict` returns probabilities the colour deepens with the confidence (p_max - 1/C) / (1 - 1/C). Wrongly
    classified points are ringed, and counted in the legend.

    Args:
        predict: (m, 2) array -> (m, C) probabilities or scores, the largest wins; or (m,), for two classes: the
            probability of the second one if all are in [0, 1], else a score that is positive for it. Called once.
        x: (n, 2); rows that are not finite are left out, and counted in the legend.
        y: (n,) int in [0, C).
        target_names: C >= 2 names.   feature_names: 2 names, with their units: "petal length (cm)".
        test: more points (x, y), drawn as triangles.

    Raises: ValueError for shapes or labels other than these, or if no point is finite.
    """
    if len(feature_names) != 2 or len(target_names) < 2:
        got = f"{len(feature_names)} and {len(target_names)}"
        raise ValueError(f"boundary: feature_names must be 2 and target_names at least 2, got {got}")
    groups = {"training": _points("x", x, y, len(target_names))}
    if test is not None:
        groups["test"] = _points("test", *test, len(target_names))
    places = np.concatenate([group.x for group in groups.values()])
    low, high = _frame(places)
    scores = _scores(predict, np.concatenate([_grid(low, high), places]), len(target_names))

    picture = figure(5.0 + 0.35 * bool(title))
    axes = picture.subplots()
    dress(axes, grid=False)
    _draw_regions(axes, scores[: SIDE * SIDE], low, high)
    handles = _draw_points(axes, groups, scores[SIDE * SIDE :])
    _label_axes(axes, feature_names)
    _draw_legend(picture, target_names, handles)
    title_figure(picture, title)
    return picture


def _points(name: str, x: ArrayLike, y: ArrayLike, classes: int) -> Points:
    x, y = np.ma.filled(np.ma.asarray(x).astype(float), np.nan), np.asarray(y)
    if x.ndim != 2 or x.shape[1] != 2 or y.shape != x.shape[:1]:
        raise ValueError(f"boundary: {name} must be (n, 2) with labels (n,), got {x.shape} and {y.shape}")
    if y.size and not (np.isin(y, np.arange(classes))).all():
        raise ValueError(f"boundary: the labels of {name} must be in [0, {classes}), got {np.unique(y)}")
    known = np.isfinite(x).all(axis=1)
    return Points(x[known], y[known].astype(int), int((~known).sum()))


def _frame(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The corners of a plane that holds all places, with a margin."""
    if not len(places):
        raise ValueError("boundary: x must have a finite row, got none")
    low, high = places.min(axis=0), places.max(axis=0)
    margin = np.where(high > low, 0.07 * (high - low), 0.5 * np.maximum(np.abs(high), 1))
    return low - margin, high + margin


def _grid(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The centres of SIDE x SIDE cells, (SIDE², 2), the first feature running fastest."""
    cells = (np.arange(SIDE) + 0.5) / SIDE
    first, second = np.meshgrid(*(low[i] + (high[i] - low[i]) * cells for i in range(2)))
    return np.stack([first.ravel(), second.ravel()], axis=1)


def _scores(predict: Callable[[np.ndarray], ArrayLike], places: np.ndarray, classes: int) -> np.ndarray:
    """(m, C), the largest wins; of a single score s, the pair (1 - s, s) if it is a probability, else (-s, s)."""
    scores = np.asarray(predict(places), float)
    if scores.size == len(places) and classes == 2:
        s = scores.reshape(-1)
        known = s[np.isfinite(s)]
        is_probability = known.size and known.min() >= 0 and known.max() <= 1
        scores = np.stack([1 - s if is_probability else -s, s], axis=1)
    if scores.shape != (len(places), classes):
        raise ValueError(f"boundary: predict must return ({len(places)}, {classes}), got {scores.shape}")
    return scores


def _confidence(scores: np.ndarray) -> np.ndarray:
    """In [0, 1]: 0 at equal probabilities, 1 at certainty; a half throughout where the scores are no probabilities."""
    known = scores[np.isfinite(scores).all(axis=1)]
    if not len(known) or known.min() < 0 or np.abs(known.sum(axis=1) - 1).max() > 1e-3:
        return np.full(len(scores), 0.5)
    chance = 1 / scores.shape[1]
    return (scores.max(axis=1) - chance) / (1 - chance)


def _draw_regions(axes: Axes, scores: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """The plane as an image, white where a score is NaN, and a line wherever the winner changes."""
    colours = np.array([to_rgb(colour) for colour in palette(scores.shape[1])])
    share = PALE + (FULL - PALE) * _confidence(scores)[:, None]
    known = ~np.isnan(scores).any(axis=1, keepdims=True)
    image = np.where(known, 1 - share * (1 - colours[scores.argmax(axis=1)]), 1.0).reshape(SIDE, SIDE, 3)
    extent = (low[0], high[0], low[1], high[1])
    axes.imshow(image, origin="lower", extent=extent, aspect="auto", interpolation="bilinear")
    for margin in _margins(np.where(known, np.clip(scores, -1e30, 1e30), np.nan)):
        plane = margin.reshape(SIDE, SIDE)
        axes.contour(plane, levels=[0.0], extent=extent, colors=INK, linewidths=1.4, zorder=2)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))


def _margins(scores: np.ndarray) -> list[np.ndarray]:
    """For each class its score less the best other one, where that changes sign; of two classes one says it all."""
    count = scores.shape[1]
    others = [np.delete(scores, i, axis=1).max(axis=1) for i in range(count)]
    margins = [scores[:, i] - others[i] for i in range(1 if count == 2 else 0, count)]
    return [np.ma.masked_invalid(m) for m in margins if (m < 0).any() and (m > 0).any()]


def _draw_points(axes: Axes, groups: dict[str, Points], scores: np.ndarray) -> list[Line2D]:
    """The points by group, the wrong ones ringed; return what the legend shows of them."""
    colours = palette(scores.shape[1])
    size = float(np.clip(7 - np.log10(len(scores) + 1), 2, 6))
    guess = np.where(np.isnan(scores).any(axis=1), -1, scores.argmax(axis=1))
    handles, start = [], 0
    for name, (x, y, lost) in groups.items():
        wrong = guess[start : start + len(x)] != y
        start += len(x)
        edge = {"linestyle": "", "marker": MARKERS[name], "markeredgecolor": PAPER, "markeredgewidth": 0.5}
        for label in np.unique(y):
            axes.plot(*x[y == label].T, color=colours[label], markersize=size, zorder=3, gid=name, **edge)
        ring = {"linestyle": "", "marker": "o", "markerfacecolor": "none", "markeredgecolor": INK}
        axes.plot(*x[wrong].T, markersize=size + 4.5, markeredgewidth=1.1, zorder=4, gid=f"{name} wrong", **ring)
        words = f"{name}: {len(x):,} points,\n{wrong.sum():,} wrong" + f", {lost:,} not finite" * bool(lost)
        handles.append(Line2D([], [], color=mix(INK, PAPER, 0.35), markersize=7, label=words, **edge))
    return [*handles, Line2D([], [], markersize=10, markeredgewidth=1.1, label="wrongly classified", **ring)]


def _label_axes(axes: Axes, feature_names: Sequence[str]) -> None:
    for axis, name in zip((axes.xaxis, axes.yaxis), feature_names, strict=True):
        axis.set_label_text(shorten(name, 50), fontsize=NORMAL, color=INK, parse_math=False)
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(FuncFormatter(number))


def _draw_legend(picture: Figure, target_names: Sequence[str], handles: list[Line2D]) -> None:
    """Classes, points and lines, to the right of the picture; of many classes the first twenty."""
    colours = palette(len(target_names))
    names = [shorten(name, 22) for name in target_names[:20]]
    patches = [Patch(color=colour, label=name) for colour, name in zip(colours, names, strict=False)]
    if len(target_names) > 20:
        patches.append(Patch(color=PAPER, label=f"and {len(target_names) - 20} more"))
    line = Line2D([], [], color=INK, linewidth=1.4, label="decision line")
    look = {"frameon": False, "fontsize": SMALL, "labelcolor": INK, "handlelength": 1.4, "labelspacing": 0.7}
    legend = picture.legend(handles=[*patches, *handles, line], loc="outside right upper", **look)
    for text in legend.get_texts():
        text.set_parse_math(False)
