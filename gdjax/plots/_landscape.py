"""Functions with paths: a curve over one variable, contours or a surface over two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from gdjax.planes import Plane
from gdjax.plots import style
from gdjax.plots.reading import describe_kind, read_params
from gdjax.plots.scene import Scene, read_scene
from gdjax.plots.style import BLUE, GREEN, INK, MUTED, NORMAL, ORANGE, PAPER, PURPLE, SKY, SMALL, VERMILLION
from gdjax.programs import compile_once

Bounds = Sequence[tuple[float, float]]
Paths = Mapping[str, np.ndarray]  # name -> (n, 2), the point at each step

GROUND = LinearSegmentedColormap.from_list("ground", ["#f7fafc", "#d3dee8", "#a9bccd"])
PATHS = (VERMILLION, BLUE, GREEN, PURPLE, ORANGE, SKY, "#000000")
MARKERS = "osD^vP*"
LEVELS = 22


def landscape(
    f: Any,
    bounds: Any = None,
    paths: Any = None,
    minima: Any = None,
    title: str = "",
    names: Sequence[str] | None = None,
) -> Figure:
    """The picture that fits: `curve` over one variable, `contour` over two; arguments as `contour`."""
    scene = read_scene("landscape", f, bounds, paths, minima, names)
    return (_draw_curve if len(scene.bounds) == 1 else _draw_contour)(scene, title)


def contour(
    f: Any,
    bounds: Any = None,
    paths: Any = None,
    minima: Any = None,
    title: str = "",
    names: Sequence[str] | None = None,
) -> Figure:
    """Contour lines over two variables, with paths.

    The values of the lines, above the lowest value, grow by a constant factor from one line to the next.

    Args:
        f: of JAX: f(point) of a point (2,), f(x, y), a `Problem`, its name, or an expression such as "x^2 + 10*y^2".
        bounds: (low, high) for both axes or a pair for each (default: what the problem has, or what the paths need).
        paths: points (n, 2), a `Minimum` (its path, or its point where it has none), or several in a list, or by name in a
            dict; each is drawn from a small dot to a large mark, or to an arrow where it leaves the picture for good.
        minima: points marked by a cross (default: those of the problem).
        names: of the two variables.

    Raises: ValueError that names what must hold and what came.
    """
    return _draw_contour(read_scene("contour", f, bounds, paths, minima, names, 2), title)


def _draw_contour(scene: Scene, title: str) -> Figure:
    picture = style.figure(6.2, title)
    axes = picture.subplots()
    draw_ground(picture, axes, scene.f, scene.bounds, scene.names)
    _draw_paths(axes, scene.paths, scene.bounds)
    if len(scene.minima):
        look = {"color": INK, "markersize": 10, "markeredgewidth": 2, "label": "minimum", "zorder": 6, "linestyle": ""}
        axes.plot(*scene.minima.T, "x", **look)
    style.legend(axes)
    return picture


def loss_surface(
    loss: Callable[..., Any],
    plane: Plane,
    path: Any = None,
    reach: float | None = None,
    title: str = "",
    three_d: bool = False,
) -> Figure:
    """A loss over a plane in the space of parameters (`gdjax.planes`), with the projection of a path.

    Args:
        loss: params -> ().
        plane: a `Plane`.
        path: parameters with a leading axis of steps, a `Minimum`, a `Result` (its point), a list or dict of such, or None.
        reach: the picture goes from -reach to reach in both directions (default: 1, or what the path needs).
        three_d: a surface instead of contours.
    """
    if not isinstance(plane, Plane):
        raise ValueError(
            f"loss_surface: plane must be a Plane, as gd.random_plane(params) gives, got {describe_kind(plane)}"
        )
    walked = {
        name: np.atleast_2d(plane.coordinates(params))
        for name, params in read_params("loss_surface", path, plane.center).items()
    }
    reach = reach or 1.25 * max((float(np.abs(points).max()) for points in walked.values()), default=0.0) or 1.0
    draw = surface if three_d else contour
    names = ("along the first direction", "along the second direction")
    return draw(lambda at: loss(plane(at)), ((-reach, reach),) * 2, walked, title=title, names=names)


def curve(
    f: Any,
    bounds: Any = None,
    paths: Any = None,
    minima: Any = None,
    title: str = "",
    names: Sequence[str] | None = None,
) -> Figure:
    """The graph of a function of one variable, with the points that each path stood on, (n,); arguments as `contour`."""
    return _draw_curve(read_scene("curve", f, bounds, paths, minima, names, 1), title)


def _draw_curve(scene: Scene, title: str) -> Figure:
    f, ((low, high),) = scene.f, scene.bounds
    picture = style.figure(4.2, title)
    axes = picture.subplots()
    draw_graph(axes, scene)
    window = (low, high), axes.get_ylim()
    axes.set_ylim(window[1])
    for i, (name, points) in enumerate(scene.paths.items()):
        seen = points[(points >= low) & (points <= high)]
        heights = np.asarray(jax.vmap(f)(jnp.asarray(seen)))
        color, marker = PATHS[i % len(PATHS)], MARKERS[i % len(MARKERS)]
        walk = walk_within(on_graph(f, points), window)
        axes.plot(*walk.points.T, color=color, linewidth=1, alpha=0.5, zorder=3)
        axes.scatter(seen, heights, s=14, color=color, marker=marker, zorder=4, label=style.shorten(name, 40))
        if len(seen) and seen[-1] == points[-1]:
            axes.scatter(seen[-1:], heights[-1:], s=90, color=color, marker=marker, edgecolor=PAPER, zorder=5)
        draw_exit(axes, walk, color)
    for i, minimum in enumerate(scene.minima[:, 0]):
        axes.axvline(minimum, color=INK, linewidth=0.8, linestyle=":", label="minimum" if i == 0 else None)
    style.legend(axes)
    return picture


def draw_graph(axes: Axes, scene: Scene) -> None:
    """The graph of the function of one variable, with the names of its axes."""
    style.dress(axes)
    style.rule(axes)
    ((low, high),) = scene.bounds
    x = np.linspace(low, high, 801)
    axes.plot(x, np.asarray(compile_once(jax.vmap(scene.f))(jnp.asarray(x))), color=MUTED, linewidth=1.8, zorder=2)
    axes.set_xlim(low, high)
    axes.set_xlabel(scene.names[0], fontsize=NORMAL, color=INK)
    axes.set_ylabel(f"f({scene.names[0]})", fontsize=NORMAL, color=INK)


def field(f: Any, bounds: Any = None, title: str = "", arrows: int = 17, names: Sequence[str] | None = None) -> Figure:
    """The gradient beside its negative, as arrows whose length is proportional to the square root of the slope.

    Arguments as `contour`.
    """
    scene = read_scene("field", f, bounds, names=names, count=2)
    f, bounds, names = scene.f, scene.bounds, scene.names
    picture = style.figure(4.2, title)
    x, y = (np.linspace(low, high, arrows + 2)[1:-1] for low, high in scene.bounds)
    points = np.stack(np.meshgrid(x, y), axis=-1)
    slopes = np.asarray(compile_once(jax.vmap(jax.vmap(jax.grad(f))))(jnp.asarray(points)), float)
    size = np.linalg.norm(slopes, axis=-1, keepdims=True)
    arrows_up = slopes / np.maximum(size, 1e-300) * np.sqrt(size / max(size.max(), 1e-300))
    sides = (("gradient: uphill", 1, VERMILLION), ("negative gradient: downhill", -1, BLUE))
    for axes, (words, sign, color) in zip(picture.subplots(1, 2, sharey=True), sides, strict=True):
        draw_ground(None, axes, f, bounds, names)
        axes.quiver(
            *np.moveaxis(points, -1, 0), *np.moveaxis(sign * arrows_up, -1, 0), color=color, pivot="mid", width=0.006
        )
        axes.set_title(words, fontsize=NORMAL, color=color, loc="left")
    axes.set_ylabel("")
    return picture


def surface(
    f: Any, bounds: Any = None, paths: Any = None, title: str = "", names: Sequence[str] | None = None
) -> Figure:
    """The function as a surface in three dimensions, with paths on it; arguments as `contour`.

    Where values span a factor of more than 1000 above the lowest, the height is log10(1 + value - lowest), and says so.
    """
    scene = read_scene("surface", f, bounds, paths, names=names, count=2)
    f, bounds, names = scene.f, scene.bounds, scene.names
    x, y, z = grid(f, bounds, 120)
    lowest = np.nanmin(z)
    span = z - lowest
    logs = np.nanmax(span) > 1000 * max(np.nanmedian(span), 1e-300) or np.nanmax(span) > 1000
    height = (lambda v: np.log10(1 + np.maximum(v - lowest, 0))) if logs else (lambda v: v)
    picture = style.figure(6.0, title)
    axes: Any = picture.add_subplot(projection="3d", computed_zorder=False)
    axes.plot_surface(
        *np.meshgrid(x, y), height(z), cmap=GROUND, rcount=80, ccount=80, linewidth=0, alpha=0.9, zorder=1
    )
    for i, (name, path) in enumerate(scene.paths.items()):
        points = inside(path, bounds)
        heights = height(np.asarray(jax.vmap(f)(jnp.asarray(np.nan_to_num(points)))))
        color = PATHS[i % len(PATHS)]
        axes.plot(*points.T, heights, color=color, linewidth=1.8, zorder=3, label=style.shorten(name, 40))
        axes.scatter(*points[-1:].T, heights[-1:], color=color, marker=MARKERS[i % len(MARKERS)], s=50, zorder=4)
    axes.set_xlabel(names[0], fontsize=NORMAL)
    axes.set_ylabel(names[1], fontsize=NORMAL)
    axes.set_zlabel("log₁₀(1 + value − lowest)" if logs else "value", fontsize=NORMAL)
    axes.tick_params(labelsize=SMALL)
    axes.view_init(32, -125)
    if scene.paths:
        axes.legend(fontsize=SMALL, loc="upper right", frameon=False)
    return picture


def grid(f: Callable[..., Any], bounds: Bounds, points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(points,), (points,) and the values (points, points) over them, rows by the second variable; NaN where not finite."""
    x, y = (np.linspace(*ends, points) for ends in bounds)
    of_point = jax.vmap(jax.vmap(lambda x, y: f(jnp.stack([x, y])), in_axes=(0, None)), in_axes=(None, 0))
    z = np.asarray(compile_once(of_point)(jnp.asarray(x), jnp.asarray(y)), float)
    return x, y, np.where(np.isfinite(z), z, np.nan)


def draw_ground(
    picture: Figure | None, axes: Axes, f: Callable[..., Any], bounds: Bounds, names: Sequence[str]
) -> None:
    style.dress(axes)
    x, y, z = grid(f, bounds, 241)
    lowest, span = np.nanmin(z), np.nanmax(z) - np.nanmin(z)
    if not span > 0:
        raise ValueError(f"contour: f must vary over {bounds}, got {lowest} everywhere")
    steps = np.geomspace(1e-4, 1, LEVELS) if np.nanmedian(z - lowest) < 0.3 * span else np.linspace(0.02, 1, LEVELS)
    levels = np.concatenate([[lowest], lowest + span * steps])
    ranks = np.interp(z, levels, np.arange(len(levels)))  # colors by contour line, so that valleys are visible
    axes.contourf(x, y, ranks, levels=np.arange(len(levels)), cmap=GROUND)
    axes.contour(x, y, z, levels=levels[1:-1], colors="#6b8096", linewidths=0.5)
    axes.set_xlim(*bounds[0])
    axes.set_ylim(*bounds[1])
    axes.set_xlabel(names[0], fontsize=NORMAL, color=INK)
    axes.set_ylabel(names[1], fontsize=NORMAL, color=INK)


def _draw_paths(axes: Axes, paths: Paths, bounds: Bounds) -> None:
    for i, (name, path) in enumerate(paths.items()):
        walk = walk_within(path, bounds)
        points, color, marker = walk.points, PATHS[i % len(PATHS)], MARKERS[i % len(MARKERS)]
        width = 1.6 + 0.9 * min(len(paths) - 1 - i, 4)  # the earlier, the wider, so that none is covered by a later one
        axes.plot(*points.T, color=PAPER, linewidth=width + 1.6, alpha=0.9, zorder=3)
        line = {"color": color, "linewidth": width, "zorder": 4}
        end = {"marker": marker, "markevery": [-1] if walk.frame is None else [], "markersize": 9}
        (shown,) = axes.plot(*points.T, label=style.shorten(name, 48), **end, **line)
        shown.set_markeredgecolor(PAPER)
        if len(points) <= 60:
            axes.plot(*points.T, ".", color=color, markersize=4, zorder=5)
        axes.plot(*points[:1].T, "o", color=INK, markersize=5, zorder=6)
        draw_exit(axes, walk, color, width)


def inside(path: np.ndarray, bounds: Bounds) -> np.ndarray:
    """A path, cut where it is far outside the picture, so that a divergent path does not fill it with lines."""
    low, high = np.array(bounds, float).T
    margin = 3 * (high - low)
    inside = np.isfinite(path).all(axis=1) & (path >= low - margin).all(axis=1) & (path <= high + margin).all(axis=1)
    return np.where(inside[:, None], path, np.nan)


class Walk(NamedTuple):
    """What a picture shows of a path: its points, NaN far outside, and where the next step leaves it for good."""

    points: np.ndarray  # (n, 2)
    frame: np.ndarray | None  # (2,), on the frame; None of a path that ends inside, or was never inside


def walk_within(path: np.ndarray, bounds: Bounds) -> Walk:
    """A path (n, 2), up to the step by which it leaves the picture for good."""
    low, high = np.array(bounds, float).T
    with np.errstate(invalid="ignore"):
        seen = np.flatnonzero(((path >= low) & (path <= high)).all(axis=1))
    last = seen[-1] if len(seen) else len(path) - 1
    if last + 1 >= len(path) or not np.isfinite(path[last + 1]).all():
        return Walk(inside(path, bounds), None)
    move = path[last + 1] - path[last]
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(move > 0, high - path[last], low - path[last]) / move  # of the step, until it meets each side
    part = np.nanmin(np.where(move == 0, np.inf, parts))
    return Walk(inside(path[: last + 1], bounds), path[last] + part * move)


def draw_exit(axes: Axes, walk: Walk, color: str, width: float = 1.8, **options: Any) -> Annotation | None:
    """Draw the step by which a path leaves the picture as an arrow to its frame."""
    if walk.frame is None:
        return None
    size = {"linewidth": width, "mutation_scale": 14 + 4 * width, "shrinkA": 0, "shrinkB": 0}
    where = {"xy": walk.frame, "xytext": walk.points[-1], "annotation_clip": False}
    return axes.annotate("", **where, arrowprops={"arrowstyle": "-|>", "color": color, **size}, zorder=6, **options)


def on_graph(f: Callable[[Any], jax.Array], x: np.ndarray) -> np.ndarray:
    """Points of the graph of a function of one variable, (n, 2)."""
    return np.stack([x, np.asarray(jax.vmap(f)(jnp.asarray(x)), float)], axis=-1)
