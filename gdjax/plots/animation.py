"""Several optimizers on their way, as a GIF: the ground is drawn once, the paths again in each frame."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from gdjax.plots import style
from gdjax.plots.landscape import MARKERS, PATHS, Bounds, Paths, draw_ground, inside
from gdjax.plots.style import INK, PAPER, SMALL


def animate(
    f: Callable,
    bounds: Bounds,
    paths: Paths,
    path: str | os.PathLike[str],
    title: str = "",
    frames: int = 60,
    seconds: float = 6.0,
    names: Sequence[str] = ("x", "y"),
) -> Path:
    """Write a GIF of paths growing over the contours of f; whole or not at all.

    All paths run at the same number of steps per frame and wait where they end. Arguments as `contour`, and

    Args:
        path: ends in .gif; its folder exists.
        frames: at most; the last one stays for two seconds.
        seconds: of the whole, without the wait.
    """
    from PIL import Image

    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise ValueError(f"animate: path must end in .gif, got {str(path)!r}")
    picture = style.figure(6.0, title)
    picture.set_dpi(100)
    canvas, axes = FigureCanvasAgg(picture), picture.subplots()
    draw_ground(picture, axes, f, bounds, names)
    tracks = {name: inside(np.asarray(points, float), bounds) for name, points in paths.items()}
    longest = max((len(track) for track in tracks.values()), default=1)
    lines = []
    for i, name in enumerate(tracks):
        colour = PATHS[i % len(PATHS)]
        (line,) = axes.plot([], [], color=colour, linewidth=1.8, label=style.shorten(name, 48), animated=True)
        (head,) = axes.plot(
            [], [], MARKERS[i % len(MARKERS)], color=colour, markersize=9, markeredgecolor=PAPER, animated=True
        )
        lines.append((line, head))
    words = axes.text(
        0.99, 0.01, "", transform=axes.transAxes, ha="right", va="bottom", fontsize=SMALL, color=INK, animated=True
    )
    axes.legend(fontsize=SMALL, framealpha=0.92, edgecolor=style.RULE, loc="upper left")
    canvas.draw()
    ground = canvas.copy_from_bbox(picture.bbox)
    shots = []
    for last in np.unique(np.linspace(0, longest - 1, frames).round().astype(int)):
        canvas.restore_region(ground)
        for track, (line, head) in zip(tracks.values(), lines, strict=True):
            line.set_data(*track[: last + 1].T)
            head.set_data(*track[min(last, len(track) - 1)][:, None])
            axes.draw_artist(line)
            axes.draw_artist(head)
        words.set_text(f"step {last}")
        axes.draw_artist(words)
        shots.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()).quantize(128))
    waits = [round(1000 * seconds / len(shots))] * len(shots)
    waits[-1] += 2000
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        shots[0].save(draft, format="GIF", save_all=True, append_images=shots[1:], duration=waits, loop=0)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return path
