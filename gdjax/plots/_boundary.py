"""The regions of a classifier in a plane: its decision boundary, and the points that it classifies correctly or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike

from gdjax.data import Dataset
from gdjax.plots import style
from gdjax.plots.reading import names_of, read_classes, read_labels, read_predict
from gdjax.plots.style import INK, MUTED, NORMAL, PAPER, SMALL

SIDE = 300  # cells of the grid along each feature
PALE, DEEP = 0.1, 0.36  # share of the class color at confidence 0 and 1
MOST_NAMES = 12  # classes that the legend names
MARKERS = {"training": "o", "test": "^"}


class Points(NamedTuple):
    """Labeled points of the plane; `lost` is the number of those that cannot be drawn, since a feature is not finite."""

    x: np.ndarray  # (n, 2)
    y: np.ndarray  # (n,) int in [0, C)
    lost: int


def boundary(
    predict: Any,
    x: Any,
    y: ArrayLike | None = None,
    target_names: Sequence[str] | None = None,
    feature_names: Sequence[str] | None = None,
    test: tuple[ArrayLike, ArrayLike] | None = None,
    title: str = "",
) -> Figure:
    """The plane of two features, colored by the class that a classifier predicts at each point.

    Where `predict` returns probabilities the color deepens with the confidence (p_max - 1/C) / (1 - 1/C).
    Points that are classified wrongly are ringed, and counted in the legend.

    Args:
        predict: (m, 2) -> (m, C) probabilities or scores, the largest wins; or, for two classes, (m,): the
            probability of the second if all are in [0, 1], else a score that is positive for it; or (m,) labels as in
            y. Called once. A fitted classifier with `predict_proba`, `decision_function` or `predict` will do too.
        x: (n, 2); rows that are not finite are left out, and counted in the legend. A `Dataset` is x, y and all names.
        y: (n,) int in [0, C); without `target_names` any labels, (n,) or (n, 1), or rows that are one at their class.
        target_names: C >= 2 names; None are the labels themselves.
        feature_names: 2 names, with their units: "petal length (cm)"; None are the columns of a table, or x and y.
        test: more points, (x, y), drawn as triangles.

    Raises: ValueError for other shapes or labels, or if no point is finite.
    """
    if isinstance(x, Dataset):
        x, y, target_names, feature_names = x.x, x.y, target_names or x.target_names, feature_names or x.feature_names
    feature_names = names_of(x) if feature_names is None else feature_names
    classes = np.arange(len(target_names)) if target_names is not None else read_classes("boundary", y)
    target_names = [str(each) for each in classes] if target_names is None else target_names
    if len(feature_names) != 2 or len(target_names) < 2:
        got = f"{len(feature_names)} and {len(target_names)}"
        raise ValueError(f"boundary: feature_names must be 2 and target_names at least 2, got {got}")
    groups = {"training": _points("x", x, y, classes)}
    if test is not None:
        groups["test"] = _points("test", *test, classes)
    places = np.concatenate([group.x for group in groups.values()])
    low, high = _frame(places)
    scores = _scores(read_predict("boundary", predict), np.concatenate([_grid(low, high), places]), classes)

    picture = style.figure(5.0, title)
    axes = picture.subplots()
    style.dress(axes)
    shaded = _draw_regions(axes, scores[: SIDE * SIDE], low, high)
    shown = _draw_points(axes, groups, scores[SIDE * SIDE :])
    _name_features(axes, feature_names)
    _draw_legend(axes, target_names, shown, shaded)
    return picture


def _points(name: str, x: Any, y: Any, classes: np.ndarray) -> Points:
    x, y = np.ma.filled(np.ma.asarray(x).astype(float), np.nan), read_labels(y)
    if x.ndim != 2 or x.shape[1] != 2 or y.shape != x.shape[:1]:
        raise ValueError(f"boundary: {name} must be (n, 2) with labels (n,), got {x.shape} and {y.shape}")
    if not np.isin(y, classes).all():
        numbered = np.array_equal(classes, np.arange(len(classes)))
        wanted = f"in [0, {len(classes)})" if numbered else f"one of {', '.join(map(str, classes))}"
        raise ValueError(f"boundary: labels of {name} must be {wanted}, got {np.unique(y)}")
    known = np.isfinite(x).all(axis=1)
    return Points(x[known], np.searchsorted(classes, y[known]), int((~known).sum()))


def _frame(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lower left and the upper right corner of a window that contains all points, with a margin."""
    if not len(places):
        raise ValueError("boundary: x must have a finite row, got none")
    low, high = places.min(axis=0), places.max(axis=0)
    margin = np.where(high > low, 0.07 * (high - low), 0.5 * np.maximum(np.abs(high), 1))
    return low - margin, high + margin


def _grid(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The centers of SIDE x SIDE cells, (SIDE², 2), the first feature running fastest."""
    cells = (np.arange(SIDE) + 0.5) / SIDE
    first, second = np.meshgrid(*(low[i] + (high[i] - low[i]) * cells for i in range(2)))
    return np.stack([first.ravel(), second.ravel()], axis=1)


def _scores(predict: Callable[[np.ndarray], ArrayLike], places: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The scores (m, C), whose largest is predicted; of one number s, (1 - s, s) if it is a probability, else (-s, s)."""
    given, classes = np.asarray(predict(places)), len(labels)
    of_labels = classes > 2 or not np.array_equal(labels, (0, 1))
    if given.size == len(places) and of_labels and np.isin(given, labels).all():
        given = np.where(given.reshape(-1, 1) == labels, 1.0, -1.0)  # labels: no probabilities
    scores = np.asarray(given, float)
    if scores.size == len(places) and classes == 2:
        s = scores.reshape(-1)
        known = s[np.isfinite(s)]
        is_probability = known.size and known.min() >= 0 and known.max() <= 1
        scores = np.stack([1 - s if is_probability else -s, s], axis=1)
    if scores.shape != (len(places), classes):
        raise ValueError(f"boundary: predict must return ({len(places)}, {classes}), got {scores.shape}")
    return np.clip(np.where(np.isnan(scores).any(axis=1, keepdims=True), np.nan, scores), -1e100, 1e100)


def _confidence(scores: np.ndarray) -> np.ndarray | None:
    """The confidence in [0, 1]: 0 for equal probabilities, 1 for certainty; None if the scores are no probabilities."""
    known = scores[np.isfinite(scores).all(axis=1)]
    if not len(known) or known.min() < 0 or np.abs(known.sum(axis=1) - 1).max() > 1e-3:
        return None
    chance = 1 / scores.shape[1]
    return np.maximum(scores.max(axis=1) - chance, 0) / (1 - chance)


def _draw_regions(axes: Axes, scores: np.ndarray, low: np.ndarray, high: np.ndarray) -> bool:
    """Draw the regions, white where a score is NaN, and the boundary; return whether the colors show confidence."""
    colors = np.array(style.palette(scores.shape[1]))
    confidence = _confidence(scores)
    share = PALE + (DEEP - PALE) * (np.full(len(scores), 0.7) if confidence is None else confidence)
    image = 1 - share[:, None] * (1 - colors[scores.argmax(axis=1)])
    image[np.isnan(scores[:, 0])] = 1.0
    extent = (low[0], high[0], low[1], high[1])
    grid = image.reshape(SIDE, SIDE, 3)
    axes.imshow(grid, origin="lower", extent=extent, aspect="auto", interpolation="bilinear")
    for margin in _margins(scores):
        plane = margin.reshape(SIDE, SIDE)
        axes.contour(plane, levels=[0.0], extent=extent, colors=INK, linewidths=1.4, zorder=2)
    axes.set(xlim=extent[:2], ylim=extent[2:])
    return confidence is not None


def _margins(scores: np.ndarray) -> list[np.ndarray]:
    """For each class, its score less the best other score, if that changes sign; for two classes, one of them."""
    count = scores.shape[1]
    second, best = np.partition(scores, -2, axis=1)[:, -2:].T
    others = np.where(np.arange(count)[:, None] == scores.argmax(axis=1), second, best)
    margins = (scores.T - others)[1 if count == 2 else 0 :]
    return [np.ma.masked_invalid(m) for m in margins if (m < 0).any() and (m > 0).any()]


def _draw_points(axes: Axes, groups: dict[str, Points], scores: np.ndarray) -> list[Line2D]:
    """Draw the points by group and class, with rings around misclassified ones; return their legend entries."""
    colors = style.palette(scores.shape[1])
    size = float(np.clip(8.5 - 1.25 * np.log10(len(scores)), 2, 6))
    guess = np.where(np.isnan(scores[:, 0]), -1, scores.argmax(axis=1))
    shown, start = [], 0
    for name, (x, y, lost) in groups.items():
        wrong = guess[start : start + len(x)] != y
        start += len(x)
        dot = {"linestyle": "", "marker": MARKERS[name], "markeredgecolor": PAPER, "markeredgewidth": 0.5}
        for label in np.unique(y):
            axes.plot(*x[y == label].T, color=colors[label], markersize=size, zorder=3, gid=name, **dot)
        axes.plot(*x[wrong].T, zorder=4, gid=f"{name} wrong", **_ring(size, int(wrong.sum())))
        words = f"{name}: {len(x):,} points,\n{wrong.sum():,} wrong" + f", {lost:,} not finite" * (lost > 0)
        shown.append(Line2D([], [], color=MUTED, markersize=7, label=words, **dot))
    return [*shown, Line2D([], [], label="wrongly classified", **_ring(5.0, 0))]


def _ring(size: float, count: int) -> dict[str, Any]:
    """The style of a ring around a point; rings are narrow if there are many, so that they do not overlap."""
    wide, thick = (4.5, 1.2) if count < 60 else (2.0, 0.7)
    look = {"linestyle": "", "marker": "o", "markerfacecolor": "none", "markeredgecolor": INK}
    return {**look, "markersize": size + wide, "markeredgewidth": thick}


def _name_features(axes: Axes, feature_names: Sequence[str]) -> None:
    for axis, name in zip((axes.xaxis, axes.yaxis), feature_names, strict=True):
        axis.set_label_text(style.shorten(name, 50), fontsize=NORMAL, color=INK, parse_math=False)
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(FuncFormatter(style.number))


def _draw_legend(axes: Axes, target_names: Sequence[str], shown: list[Line2D], shaded: bool) -> None:
    """Draw the legend to the right: classes, points, lines."""
    names = style.shorten_all(target_names, 22)[:MOST_NAMES]
    handles: list[Any] = [
        Patch(color=color, label=name) for color, name in zip(style.palette(len(names)), names, strict=True)
    ]
    if len(target_names) > MOST_NAMES:
        handles.append(Patch(color=PAPER, label=f"and {len(target_names) - MOST_NAMES} more"))
    handles += [*shown, Line2D([], [], color=INK, linewidth=1.4, label="decision line")]
    if shaded:
        handles.append(Patch(color=PAPER, label="paler: less certain"))
    look = {"frameon": False, "fontsize": SMALL, "labelcolor": INK, "handlelength": 1.4, "labelspacing": 0.7}
    legend = axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0, **look)
    for text in legend.get_texts():
        text.set_parse_math(False)
