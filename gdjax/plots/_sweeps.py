"""Pictures of a sweep: the values of its configurations against one axis, two, or many."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from gdjax.calls import Node, is_number
from gdjax.plots import style
from gdjax.plots.style import BLUE, FAINT, INK, MUTED, NORMAL, ORANGE, RGB, SMALL, VERMILLION
from gdjax.sweeps import Summary, SweepTable
from gdjax.text import counted

SHADES = LinearSegmentedColormap.from_list(
    "values", [style.mix(BLUE, "black", 0.55), BLUE, style.mix(BLUE, "white", 0.9)]
)
GONE = "#dcdcdc"  # of a cell in which every run went wrong
FAR = 8  # ratio from which on positive values are shown on a logarithmic scale
FAR_APART = 30  # likewise, of the values of an axis, which are often drawn evenly
MOST_TICKS = 16
BUNDLE = 0.03  # height of the lines of one value, as a share of that of the picture
MOST_TEXTS = 120  # cells of a heat map that have their number in them


def sweep_values(table: SweepTable, title: str = "") -> Figure:
    """The values of a sweep: against its axis; of two axes as a heat map, of more as parallel coordinates.

    Args:
        table: of `gd.sweep`. An axis of one value alone is left out.

    Raises: ValueError for a sweep without an axis.
    """
    table = _named(table)
    axes = [path for path in table.axes if len({_word(each.get(path)) for each in table.configurations}) > 1]
    if not axes:
        raise ValueError("sweep_values: the sweep must have an axis of several values, got none")
    draw = {1: _against_one, 2: _against_two}.get(len(axes), _parallel)
    return draw(table, axes, title)


def _named(table: SweepTable) -> SweepTable:
    """The table with its calls by their names alone where these and the other axes tell all configurations apart.

    A call that another axis leads into differs in each of its values: it would be a category of its own.
    """
    given = table.configurations
    short = tuple({path: x.recipe.name if isinstance(x, Node) else x for path, x in each.items()} for each in given)
    if len({repr(each) for each in short}) < len(given):
        return table
    return dataclasses.replace(table, configurations=short) if any(len(each) > 1 for each in given) else table


def _against_one(table: SweepTable, axes: Sequence[str], title: str) -> Figure:
    """The mean over the seeds with its interval, each run as a dot, and the runs that went wrong as crosses on top."""
    found = sorted(table.by_configuration(), key=lambda each: _key(each.configuration.get(axes[0])))
    places, names = _places([each.configuration.get(axes[0]) for each in found])
    picture = style.figure(4.6, title)
    drawn = picture.subplots()
    style.dress(drawn)
    style.rule(drawn)
    at = {each.number: place for each, place in zip(found, places, strict=True)}
    good = ~table.wrong
    x = np.array([at[number] for number in table.configuration.tolist()], float)
    if several := len(table) > len(found):
        drawn.plot(x[good], table.best_value[good], ".", color=FAINT, markersize=4, label="a run")
    line = "o-" if names is None else "o"
    drawn.plot(
        places,
        [each.mean for each in found],
        line,
        color=BLUE,
        linewidth=1.6,
        markersize=4,
        zorder=3,
        label="mean over the seeds" if several else "a run",
    )
    _scale(drawn, table.best_value[good])
    _draw_intervals(drawn, places, found, names is None)
    wrong = [at[each.number] for each in found if each.wrong]
    if wrong:
        look = {"color": VERMILLION, "markersize": 7, "transform": drawn.get_xaxis_transform(), "clip_on": False}
        drawn.plot(wrong, np.ones(len(wrong)), "x", label="some runs went wrong", **look)
    if not table.wrong.all():
        best = table.top(1)[0]
        look = {"markersize": 12, "markerfacecolor": "none", "color": INK}
        drawn.plot(at[best.number], best.mean, "o", label=f"best: {_word(best.configuration[axes[0]])}", **look)
    _name_places(drawn, places, names, axes[0])
    drawn.set_ylabel(_words(table.monitor), fontsize=NORMAL, color=INK)
    _legend(picture, drawn)
    return picture


def _draw_intervals(drawn: Axes, places: np.ndarray, found: list[Summary], as_band: bool) -> None:
    """The intervals of the means, within what is drawn already, so that a wide one does not press the others flat."""
    low, high = (np.array([getattr(each, name) for each in found]) for name in ("low", "high"))
    if not np.isfinite(low).any():
        return
    ends = drawn.get_ylim()
    low, high, pale = np.clip(low, *ends), np.clip(high, *ends), style.mix(BLUE, "white", 0.7)
    if as_band:
        drawn.fill_between(places, low, high, color=pale, linewidth=0, label="95 % interval of the mean")
    else:
        drawn.vlines(places, low, high, color=pale, linewidth=8, zorder=1, label="95 % interval of the mean")
    drawn.set_ylim(ends)


def _against_two(table: SweepTable, axes: Sequence[str], title: str) -> Figure:
    """The mean over the seeds by color: cells of a grid, else dots."""
    found = table.by_configuration()
    pairs = [tuple(each.configuration.get(path) for path in axes) for each in found]
    across, up = (sorted({pair[i] for pair in pairs}, key=_key) for i in (0, 1))
    picture = style.figure(5.2, title)
    drawn = picture.subplots()
    style.dress(drawn)
    shade = _shading([each.mean for each in found], table.direction)
    if len(pairs) < len(across) * len(up):
        _draw_dots(drawn, table, found, pairs, shade)
    else:
        _draw_cells(drawn, table, found, [(across.index(a), up.index(b)) for a, b in pairs], (across, up), shade)
    for name, label in ((axes[0], drawn.set_xlabel), (axes[1], drawn.set_ylabel)):
        label(_words(name), fontsize=NORMAL, color=INK)
    _color_bar(picture, drawn, shade, table)
    _legend(picture, drawn)
    return picture


def _draw_cells(
    drawn: Axes, table: SweepTable, found: list[Summary], cells: list[tuple[int, int]], sides: Any, shade: Any
) -> None:
    across, up = sides
    texts = len(cells) <= MOST_TEXTS and len(across) <= 12
    for each, (i, j) in zip(found, cells, strict=True):
        color = GONE if np.isnan(each.mean) else _color(shade, each.mean)
        drawn.add_patch(Rectangle((i - 0.5, j - 0.5), 1, 1, facecolor=color, edgecolor="white", linewidth=0.5))
        if texts and not np.isnan(each.mean):
            look = {"ha": "center", "va": "center", "fontsize": SMALL - 1, "color": style.ink_on(color)}
            drawn.text(i, j, f"{each.mean:.3g}", **look)
    wrong = [(i, j) for each, (i, j) in zip(found, cells, strict=True) if each.wrong]
    if wrong:
        places = np.array(wrong) + np.array([0.38, 0.36])  # in the corner, beside the number
        drawn.plot(*places.T, "x", color=VERMILLION, markersize=6, label="some runs went wrong")
    if not table.wrong.all():
        best = next(cell for each, cell in zip(found, cells, strict=True) if each.number == table.top(1)[0].number)
        drawn.add_patch(
            Rectangle(
                (best[0] - 0.5, best[1] - 0.5),
                1,
                1,
                fill=False,
                edgecolor=ORANGE,
                linewidth=2.5,
                label="best",
                zorder=3,
            )
        )
    drawn.set(xlim=(-0.5, len(across) - 0.5), ylim=(-0.5, len(up) - 0.5))
    for values, ticks, slant in ((across, drawn.set_xticks, 30 if len(across) > 8 else 0), (up, drawn.set_yticks, 0)):
        every = -(-len(values) // MOST_TICKS)
        names = [_word(value) for value in values[::every]]
        ticks(range(0, len(values), every), names, rotation=slant, fontsize=SMALL)


def _draw_dots(drawn: Axes, table: SweepTable, found: list[Summary], pairs: list[Any], shade: Any) -> None:
    style.rule(drawn)
    sides = [_places([pair[i] for pair in pairs]) for i in (0, 1)]
    (x, names_x), (y, names_y) = sides
    mean = np.array([each.mean for each in found])
    order = np.argsort(np.nan_to_num(mean if table.direction == "min" else -mean, nan=np.inf))[::-1]  # the best on top
    good = [i for i in order if np.isfinite(mean[i])]
    drawn.scatter(
        x[good],
        y[good],
        c=[_color(shade, mean[i]) for i in good],
        s=60,
        edgecolors=MUTED,
        linewidths=0.5,
        label="a configuration",
    )
    wrong = [i for i, each in enumerate(found) if each.wrong]
    if wrong:
        drawn.plot(x[wrong], y[wrong], "x", color=VERMILLION, markersize=12, label="some runs went wrong")
    if not table.wrong.all():
        best = next(i for i, each in enumerate(found) if each.number == table.top(1)[0].number)
        drawn.plot(
            x[best], y[best], "o", markersize=14, markerfacecolor="none", color=ORANGE, markeredgewidth=2, label="best"
        )
    for places, names, set_scale, axis in ((x, names_x, drawn.set_xscale, "x"), (y, names_y, drawn.set_yscale, "y")):
        if names is None and _spans(places):
            set_scale("log")
        if names is not None:
            (drawn.set_xticks if axis == "x" else drawn.set_yticks)(range(len(names)), names)


def _parallel(table: SweepTable, axes: Sequence[str], title: str) -> Figure:
    """A line for each configuration across its values, colored by its mean; the best is drawn over the others."""
    found = [each for each in table.top(len(table.configurations)) if np.isfinite(each.mean)][::-1]
    picture = style.figure(5.0, title)
    drawn = picture.subplots()
    style.dress(drawn)
    shade = _shading([each.mean for each in found], table.direction)
    columns = [_column([each.configuration.get(path) for each in found]) for path in axes]
    columns.append(_column([each.mean for each in found]))
    heights = np.stack([heights for heights, _ in columns], axis=1)
    heights[:, :-1] += (
        BUNDLE * np.linspace(-0.5, 0.5, len(found))[:, None]
    )  # lines of one value side by side, the best on top
    for each, line in zip(found, heights, strict=True):
        best = each is found[-1]
        look = {
            "color": ORANGE if best else _color(shade, each.mean),
            "linewidth": 3 if best else 1.1,
            "zorder": 3 if best else 2,
        }
        drawn.plot(range(len(columns)), line, label="best" if best else None, **look)
    for i, (_, ticks) in enumerate(columns):
        drawn.axvline(i, color=MUTED, linewidth=0.8, zorder=1)
        last = i == len(columns) - 1
        for height, text in ticks:
            look = {"fontsize": SMALL - 1, "color": INK, "va": "center", "ha": "left" if last else "right", "zorder": 4}
            around = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1}
            drawn.text(i + (0.03 if last else -0.03), height, text, bbox=around, parse_math=False, **look)
    drawn.set(xlim=(-0.35, len(columns) - 0.65), ylim=(-0.04, 1.04), yticks=[])
    drawn.set_xticks(range(len(columns)), [_words(name) for name in (*axes, table.monitor)], fontsize=SMALL)
    drawn.spines[:].set_visible(False)
    drawn.tick_params(length=0)
    if lost := sum(each.wrong == 1 for each in table.by_configuration()):
        drawn.plot(
            [],
            [],
            "x",
            color=VERMILLION,
            label=f"not drawn: {counted(lost, 'configuration')}, of which every run went wrong",
        )
    _legend(picture, drawn)
    return picture


def _column(values: list[Any]) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """The heights in [0, 1] of the values of an axis, and its ticks."""
    places, names = _places(values)
    scaled = np.log(places) if names is None and _spans(places) else places
    low, high = float(scaled.min()), float(scaled.max())
    heights = (scaled - low) / (high - low) if high > low else np.full(len(scaled), 0.5)
    if names is not None:
        return heights, [((i - low) / (high - low) if high > low else 0.5, name) for i, name in enumerate(names)]
    shown = np.unique(scaled)
    shown = shown if len(shown) <= 8 else np.linspace(low, high, 5)
    back = np.exp(shown) if scaled is not places else shown
    return heights, [
        ((s - low) / (high - low) if high > low else 0.5, _word(float(x))) for s, x in zip(shown, back, strict=True)
    ]


def _places(values: Sequence[Any]) -> tuple[np.ndarray, list[str] | None]:
    """The values as numbers; those of an axis that has others too by their place, with the names of the places."""
    if all(is_number(value) and np.isfinite(value) for value in values):
        return np.array(values, float), None
    names = list(dict.fromkeys(_word(value) for value in sorted(values, key=_key)))
    return np.array([names.index(_word(value)) for value in values], float), names


def _name_places(drawn: Axes, places: np.ndarray, names: list[str] | None, axis: str) -> None:
    drawn.set_xlabel(_words(axis), fontsize=NORMAL, color=INK)
    if names is not None:
        slant = 20 if max(map(len, names)) > 60 // len(names) else 0
        drawn.set_xticks(range(len(names)), [style.shorten(name, 30) for name in names], rotation=slant)
        drawn.set_xlim(-0.5, len(names) - 0.5)
    elif _spans(places):
        drawn.set_xscale("log")


def _scale(drawn: Axes, values: np.ndarray) -> None:
    if len(values) and _spans(values, FAR):
        drawn.set_yscale("log")
        drawn.yaxis.set_minor_formatter(FuncFormatter(lambda x, _: style.number(x) if f"{x:e}"[0] in "25" else ""))
    drawn.yaxis.set_major_formatter(FuncFormatter(style.number))


def _spans(values: np.ndarray, ratio: float = FAR_APART) -> bool:
    """Whether values are positive, and so far apart that only their logarithms show them all."""
    return bool(values.min() > 0 and values.max() >= ratio * values.min())


def _shading(values: Sequence[float], direction: str) -> ScalarMappable:
    """The color of each value, dark for a good one."""
    finite = np.array([value for value in values if np.isfinite(value)] or [0.0, 1.0])
    scale = (LogNorm if _spans(finite, FAR) else Normalize)(finite.min(), finite.max())
    return ScalarMappable(scale, SHADES if direction == "min" else SHADES.reversed())


def _color(shade: ScalarMappable, value: Any) -> RGB:
    red, green, blue, _ = shade.cmap(shade.norm(value))
    return red, green, blue


def _color_bar(picture: Figure, drawn: Axes, shade: ScalarMappable, table: SweepTable) -> None:
    mean = "mean " if len(np.unique(table.seed)) > 1 else ""
    bar = picture.colorbar(shade, ax=drawn, fraction=0.05, pad=0.02)
    bar.set_label(f"{mean}{_words(table.monitor)}", fontsize=NORMAL, color=INK)
    if isinstance(shade.norm, LogNorm):
        ticks = np.geomspace(*shade.get_clim(), 5).tolist()
        bar.set_ticks(ticks, labels=[_word(x) for x in ticks])
        bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=SMALL, color=MUTED, labelcolor=INK)
    bar.outline.set_visible(False)  # type: ignore[operator]


def _legend(picture: Figure, drawn: Axes) -> None:
    """The legend below the axes, where it hides nothing."""
    handles, labels = drawn.get_legend_handles_labels()
    if handles:
        below = picture.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=4 if len(labels) < 5 else 3,
            fontsize=SMALL,
            frameon=False,
        )
        for text in below.get_texts():
            text.set(color=INK, parse_math=False)


def _words(name: str) -> str:
    return name.rpartition(".")[2].replace("_", " ")


def _word(value: Any) -> str:
    return style.number(float(f"{value:.3g}")) if is_number(value) and not isinstance(value, bool) else str(value)


def _key(value: Any) -> tuple[bool, float, str]:
    """Numbers by their size, then all else by its name."""
    return (False, float(value), "") if is_number(value) else (True, 0.0, str(value))
