"""The style of all pictures: colors, sizes, fonts, grid lines, and saving.

Figures are 8 inches wide at 200 dots per inch; a font of 10 points is legible when they are shown 800 pixels wide. Colors
and sizes are passed to each artist, and matplotlib's global settings are not changed. Names and titles are drawn literally:
a `$` is a dollar sign, not mathematics.
"""

from __future__ import annotations

import io
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from gdjax.files import replacing

RGB: TypeAlias = tuple[float, float, float]

WIDTH = 8.0  # inches
DPI, SCREEN = 200, 100  # dots per inch, of a file and of what a notebook shows
SMALL, NORMAL, LARGE = 10.0, 11.0, 14.0  # points
INK, MUTED, FAINT, RULE, PAPER = "#1b1b1b", "#5f5f5f", "#8a8a8a", "#e4e4e4", "#ffffff"

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, YELLOW = "#E69F00", "#56B4E9", "#F0E442"
PALETTE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, YELLOW)


def palette(n: int) -> list[RGB]:
    """n colors: seven that color-blind readers can distinguish, then their dark and light shades; they repeat after 21.

    Reference: Okabe & Ito 2008, "Color Universal Design", https://jfly.uni-koeln.de/color/.
    """
    full = [to_rgb(color) for color in PALETTE]
    dark = [mix(color, "black", 0.5) for color in PALETTE]
    light = [mix(color, "white", 0.55) for color in PALETTE]
    shades = [*full, *dark, *light]
    return [shades[i % len(shades)] for i in range(n)]


def mix(color: str | RGB, other: str | RGB, share: float) -> RGB:
    """(1 - share) color + share other, each channel in [0, 1]."""
    r, g, b = ((1 - share) * a + share * o for a, o in zip(to_rgb(color), to_rgb(other), strict=True))
    return r, g, b


def luminance(color: str | RGB) -> float:
    """Relative luminance in [0, 1].

    Reference: WCAG 2.2, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance.
    """
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def ink_on(background: str | RGB) -> str:
    """Black or white, whichever has the higher contrast, which is at least 4.5 on any background."""
    return "black" if luminance(background) > 0.179 else "white"


class Picture(Figure):
    """A figure that a notebook shows, 800 pixels wide, although it is unknown to pyplot."""

    def _repr_png_(self) -> bytes:
        drawn = io.BytesIO()
        self.savefig(drawn, format="png", dpi=SCREEN, facecolor=self.get_facecolor())
        return drawn.getvalue()


def figure(height: float, title: str = "") -> Figure:
    """A figure of the common width with automatic layout: `height` inches, and above them the title, if any."""
    lines = textwrap.wrap(title, 68)
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    size = WIDTH, height + (0.1 + 0.24 * len(lines) if lines else 0)
    empty = Picture(figsize=size, dpi=DPI, layout=layout, facecolor=PAPER)
    if lines:
        look = {"fontsize": LARGE, "fontweight": "bold", "color": INK, "parse_math": False}
        empty.suptitle("\n".join(lines), x=0.012, horizontalalignment="left", **look)
    return empty


def dress(axes: Axes) -> None:
    """Style the axes: two thin spines, no grid, dark text."""
    axes.set_facecolor(PAPER)
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set(color=MUTED, linewidth=0.8)
    axes.tick_params(which="both", color=MUTED, labelcolor=INK, labelsize=SMALL, length=3)
    axes.grid(False)


def rule(axes: Axes) -> None:
    """Draw pale grid lines behind the data."""
    axes.set_axisbelow(True)
    axes.grid(True, color=RULE, linewidth=0.8, linestyle="-")


def legend(axes: Axes) -> None:
    """Draw a legend of the labeled artists, if there are any, with literal text."""
    if axes.get_legend_handles_labels()[0]:
        drawn = axes.legend(fontsize=SMALL, framealpha=0.92, edgecolor=RULE, labelcolor=INK)
        for text in drawn.get_texts():
            text.set_parse_math(False)


def shorten(name: object, limit: int) -> str:
    """A name on one line of at most `limit` characters; the middle of a longer one is omitted."""
    text = " ".join(str(name).split())
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 3
    return f"{text[: limit - 1 - tail].rstrip()}…{text[len(text) - tail :].lstrip()}"


def shorten_all(names: Sequence[object], limit: int) -> list[str]:
    """Names of at most `limit` characters, numbered where they would be alike."""
    short = [shorten(name, limit) for name in names]
    if len(set(short)) == len(short):
        return short
    return [shorten(f"{i} {name}", limit) for i, name in enumerate(names)]


def number(value: float, position: object = None) -> str:
    """A number to ten digits, as short as it reads well: 0.05, 2e−5, 12,500, 1e6; a tick formatter too."""
    plain = f"{value:,.10g}"
    if np.isfinite(value) and value != 0 and not 1e-4 <= abs(value) < 1e4:
        digits, _, power = f"{value:.9e}".partition("e")
        plain = min(plain, f"{digits.rstrip('0').rstrip('.')}e{int(power)}", key=len)
    return plain.replace("-", "−")


FORMATS = (".png", ".svg", ".pdf")  # of files


def save(picture: Figure, path: str | os.PathLike[str]) -> Path:
    """Write the figure, atomically: if it fails, `path` is unchanged.

    Args:
        path: ends in .png, .svg or .pdf; its folder exists.

    Returns: the path.   Raises: ValueError for another ending.
    """
    if not isinstance(picture, Figure):
        raise ValueError(f"save: picture must be a figure, as plots.curves(...) gives, got {type(picture).__name__}")
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise ValueError(f"save: path must end in .png, .svg or .pdf, got {str(path)!r}")
    with replacing(path) as draft:
        picture.savefig(draft, format=ending[1:], dpi="figure", facecolor=picture.get_facecolor())
    return path
