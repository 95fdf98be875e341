"""Paths of several optimizers as a GIF: curve or contours are drawn once, the paths again in each frame."""

from __future__ import annotations

import base64
import dataclasses
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from numpy.typing import ArrayLike

from gdjax.plots import style
from gdjax.plots._landscape import MARKERS, PATHS, Walk, draw_exit, draw_graph, draw_ground, on_graph, walk_within
from gdjax.plots.scene import Scene, read_scene
from gdjax.plots.style import INK, PAPER, SMALL


class Animation(type(Path())):  # type: ignore[misc]
    """The path of a GIF file, which a notebook plays."""

    def _repr_html_(self) -> str:
        return f'<img src="data:image/gif;base64,{base64.b64encode(self.read_bytes()).decode()}">'


def animate(
    f: Any,
    bounds: Any,
    paths: Any,
    path: str | os.PathLike[str],
    title: str = "",
    frames: int = 60,
    seconds: float = 6.0,
    names: Sequence[str] | None = None,
    minima: Any = None,
    steps: Mapping[str, ArrayLike] | None = None,
) -> Path:
    """Write a GIF of paths over the curve of f in one variable, or over its contours in two; whole or not at all.

    All paths are shown at the same step and wait where they end. Where there are more steps than frames, the frames follow
    one another by a growing number of steps, so that a path of ten is seen beside one of ten thousand. All frames have one
    palette, which holds the colors of the paths. Arguments as `contour`, and

    Args:
        path: ends in .gif; its folder exists.
        frames: at most; the last one stays for two seconds.
        seconds: of the whole, without the wait.
        steps: name -> (n,), the step of each point of its path where these do not follow one by one and it is no `Minimum`.

    Returns: the path, which a notebook shows as the animation.
    """

    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise ValueError(f"animate: path must end in .gif, got {str(path)!r}")
    scene = read_scene("animate", f, bounds, paths, minima, names)
    picture = style.figure(6.0 if len(scene.names) > 1 else 4.2, title)
    picture.set_dpi(100)
    canvas, axes = FigureCanvasAgg(picture), picture.subplots()
    tracks, marks = _draw_scene(picture, axes, scene)
    walked = {name: np.asarray((steps or {}).get(name, track.steps)) for name, track in scene.tracks.items()}
    longest = max((int(numbers[-1]) + 1 for numbers in walked.values() if len(numbers)), default=1)
    if len(marks):
        axes.plot(*marks.T, "x", color=INK, markersize=10, markeredgewidth=2, label="minimum", zorder=6, linestyle="")
    walkers = [_Walker.of(axes, i, name, points, walked[name]) for i, (name, points) in enumerate(tracks.items())]
    words = axes.text(
        0.99, 0.01, "", transform=axes.transAxes, ha="right", va="bottom", fontsize=SMALL, color=INK, animated=True
    )
    axes.legend(fontsize=SMALL, framealpha=0.92, edgecolor=style.RULE, loc="upper left")
    canvas.draw()
    ground = canvas.copy_from_bbox(picture.bbox)
    shots = []
    for last in shown_steps(longest, frames):
        canvas.restore_region(ground)
        for walker in walkers:
            walker.show(axes, last)
        words.set_text(f"step {last}")
        axes.draw_artist(words)
        shots.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    shots = in_one_palette(shots, [*PATHS[: len(tracks)], INK, PAPER])
    waits = [round(1000 * seconds / len(shots))] * len(shots)
    waits[-1] += 2000
    return _write(shots, waits, path)


@dataclasses.dataclass(frozen=True)
class _Walker:
    """A path on its way."""

    walk: Walk
    steps: np.ndarray  # (n,)
    line: Line2D
    head: Line2D
    exit: Annotation | None

    @classmethod
    def of(cls, axes: Axes, i: int, name: str, points: np.ndarray, steps: np.ndarray) -> _Walker:
        look = {"color": PATHS[i % len(PATHS)], "animated": True}
        (line,) = axes.plot([], [], linewidth=1.8, label=style.shorten(name, 48), **look)
        (head,) = axes.plot([], [], MARKERS[i % len(MARKERS)], markersize=9, markeredgecolor=PAPER, **look)
        walk = walk_within(points, (axes.get_xlim(), axes.get_ylim()))
        return cls(walk, steps, line, head, draw_exit(axes, walk, **look))

    def show(self, axes: Axes, last: int) -> None:
        """Draw it up to a step."""
        done = int(np.searchsorted(self.steps, last, side="right"))
        gone = [self.exit] if self.exit is not None and done > len(self.walk.points) else []
        self.line.set_data(*self.walk.points[:done].T)
        self.head.set_data(*self.walk.points[:done][-1 : -1 if gone else None].T)
        for artist in (self.line, self.head, *gone):
            axes.draw_artist(artist)


def _draw_scene(picture: Figure, axes: Axes, scene: Scene) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Draw what stays; the points (n, 2) of each path in the picture, and those of the minima."""
    if len(scene.names) > 1:
        draw_ground(picture, axes, scene.f, scene.bounds, scene.names)
        return scene.paths, scene.minima
    draw_graph(axes, scene)
    tracks = {name: on_graph(scene.f, points) for name, points in scene.paths.items()}
    return tracks, on_graph(scene.f, scene.minima[:, 0]) if len(scene.minima) else scene.minima


def _write(shots: Sequence[Any], waits: Sequence[int], path: Path) -> Animation:
    """Write the pictures as a GIF, each shown for the given number of milliseconds."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        shots[0].save(draft, format="GIF", save_all=True, append_images=shots[1:], duration=waits, loop=0)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return Animation(path)


def shown_steps(longest: int, frames: int) -> np.ndarray:
    """The step of each frame: all steps, or steps at growing distances from the first to the last."""
    if longest <= frames:
        return np.arange(longest)
    return np.unique(np.geomspace(1, longest, frames).round().astype(int)) - 1


def in_one_palette(shots: Sequence[np.ndarray], kept: Sequence[str]) -> list[Any]:
    """Pictures (h, w, 3) of bytes as images with one palette, which contains the given colors exactly."""
    from PIL import Image

    both = np.concatenate([shots[0], shots[-1]])
    few = Image.fromarray(both).quantize(240 - len(kept)).getpalette() or []
    exact = np.round(255 * np.array([to_rgb(color) for color in kept])).astype(np.uint8)
    palette = np.concatenate([exact, np.reshape(few, (-1, 3)).astype(np.uint8)])
    nearest = np.full(1 << 24, -1, np.int16)  # by color, as far as they have come up
    images = []
    for shot in shots:
        colors = shot.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
        new = np.unique(colors[nearest[colors] < 0])
        parts = np.stack([new >> 16, (new >> 8) & 255, new & 255], axis=-1)
        nearest[new] = ((parts[:, None] - palette.astype(np.int32)) ** 2).sum(-1).argmin(1)
        image = Image.fromarray(nearest[colors].astype(np.uint8), mode="P")
        image.putpalette(palette.tobytes())
        images.append(image)
    return images
