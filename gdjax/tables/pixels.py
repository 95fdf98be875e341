"""The encoding of rows that are images or series: one center and one scale for all of their numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gdjax.data.table import Table
from gdjax.tables.encoding import Encoding
from gdjax.tables.flags import Flags

VERSION = 1
BLOCK = 1 << 22  # numbers that are read at a time
LEAST_SPREAD, MOST_SPREAD = 0.05, 30.0  # of the numbers of a row, in standard deviations of all training numbers


@dataclasses.dataclass(frozen=True, repr=False)
class PixelEncoding:
    """Images or series -> features, (n, d): all numbers of a row less one center, over one scale; nothing is left out.

    Args:
        shape: of a row, (height, width, channels) or (length, channels).
        center, scale: mean and standard deviation of all numbers of the training rows.
        remarks: none.
    """

    shape: tuple[int, ...]
    center: float
    scale: float
    remarks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"encoding: {described(self.shape)}, all less {self.center:.6g} and over {self.scale:.6g}"

    @property
    def width(self) -> int:
        """The number of features."""
        return math.prod(self.shape)

    @property
    def spans(self) -> dict[str, slice]:
        """None: no pixel is a column of its own."""
        return {}

    def transform(self, pixels: Any, dtype: Any = np.float64) -> np.ndarray:
        """The features of rows, (n, d); all of a row are NaN if one of its numbers is not finite.

        Args:
            pixels: (n, *shape), (n, d), or without the axis of one channel; of any dtype of numbers.

        Raises: ValueError for rows of another shape.
        """
        pixels = with_shape(np.asarray(pixels), self.shape)
        features = np.empty((len(pixels), self.width), dtype)
        for rows in _blocks(features):
            features[rows] = (pixels[rows].reshape(-1, self.width) - np.float64(self.center)) / self.scale
        if features.size and not np.isfinite(features.sum(dtype=np.float64)):
            features[~np.isfinite(features).all(axis=1)] = np.nan
        return features

    def encode(self, pixels: Any, dtype: Any = np.float64) -> tuple[np.ndarray, Flags]:
        """What `transform` gives, and the rows that cannot be read, or are on another scale: 0 to 1 in place of 0 to 255."""
        features, flags = self.transform(pixels, dtype), Flags(len(pixels), {})
        spoiled = np.isnan(features[:, 0])
        spread = np.ptp(features, axis=1)  # 0 of an empty image, which is on any scale
        unlike = ((spread > 0) & (spread < LEAST_SPREAD)) | (np.abs(features).max(axis=1) > MOST_SPREAD)
        flags.add("pixels", {"spoiled": spoiled, "unlike": unlike & ~spoiled}, 0)
        return features, flags

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {"version": VERSION, "shape": list(self.shape), "center": self.center, "scale": self.scale}

    @staticmethod
    def from_json(entry: dict[str, Any]) -> PixelEncoding:
        """The encoding that `to_json` wrote.   Raises: ValueError for anything else."""
        shape, center, scale = (entry.get(name, ...) for name in ("shape", "center", "scale"))
        if entry.get("version") != VERSION or set(entry) != {"version", "shape", "center", "scale"}:
            raise ValueError(
                f"encoding: version {VERSION} with shape, center and scale is needed, got {', '.join(entry)}"
            )
        if not isinstance(shape, list) or len(shape) not in (2, 3) or not all(type(n) is int and n > 0 for n in shape):
            raise ValueError(f"encoding: shape must be two or three sizes, got {shape!r}")
        if not all(type(x) in (int, float) and abs(x) < math.inf for x in (center, scale)) or not scale > 0:
            raise ValueError(f"encoding: a center and a scale above 0 are needed, got {center!r} and {scale!r}")
        return PixelEncoding(tuple(shape), float(center), float(scale))


def fit_pixels(pixels: np.ndarray) -> PixelEncoding:
    """The mean and the standard deviation of all numbers of the training rows, in float64; a scale of 1 where all are equal.

    Args:
        pixels: (n, height, width, channels) or (n, length, channels); rows with a number that is not finite do not count.

    >>> from gdjax.tables import fit_pixels
    >>> print(fit_pixels(np.array([[[[0], [4]]], [[[0], [4]]]])))
    encoding: images of 1 x 2 pixels, all less 2 and over 2
    """
    count, total, squares = 0, 0.0, 0.0
    origin = _first_finite(pixels)  # near the mean, so that squares lose no digits
    for rows in _blocks(pixels):
        block = pixels[rows].reshape(len(pixels[rows]), -1).astype(np.float64) - origin
        block = block if np.isfinite(block.sum()) else block[np.isfinite(block).all(axis=1)]
        count, total, squares = count + block.size, total + float(block.sum()), squares + float((block**2).sum())
    mean = total / max(count, 1)
    scale = math.sqrt(max(0.0, squares / max(count, 1) - mean**2))
    return PixelEncoding(pixels.shape[1:], origin + mean, scale if scale > 0 else 1.0)


def _first_finite(pixels: np.ndarray) -> float:
    for rows in _blocks(pixels):
        block = pixels[rows].ravel()
        finite = block[np.isfinite(block)]
        if len(finite):
            return float(finite.astype(np.float64).mean())
    return 0.0


def _blocks(rows: np.ndarray) -> Iterator[slice]:
    step = max(1, BLOCK // max(1, math.prod(rows.shape[1:])))
    return (slice(start, start + step) for start in range(0, len(rows), step))


def described(shape: tuple[int, ...]) -> str:
    """A shape in words.

    >>> from gdjax.tables.pixels import described
    >>> print(described((28, 28, 1)), described((40, 2)), sep="; ")
    images of 28 x 28 pixels; series of 40 steps of 2 numbers
    """
    *sizes, channels = shape
    if len(sizes) == 1:
        return f"series of {sizes[0]} steps" + (f" of {channels} numbers" if channels > 1 else "")
    return f"images of {' x '.join(map(str, sizes))} pixels" + (f" of {channels} channels" if channels > 1 else "")


def with_shape(pixels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(n, *shape) of rows of this shape, of flat ones, or of such that lack the axis of one channel.

    Raises: ValueError for another shape, and what is no number.
    """
    forms = [shape, (math.prod(shape),), *([shape[:-1]] if shape[-1] == 1 else [])]
    if pixels.shape[1:] not in forms or not pixels.ndim:
        raise ValueError(f"rows must have shape (n, {', '.join(map(str, shape))}), got {pixels.shape}")
    if pixels.dtype.kind not in "biuf":
        raise ValueError(f"rows must hold numbers, got {pixels.dtype}")
    return pixels.reshape(len(pixels), *shape)


def shaped(table: Table, shape: tuple[int, ...], target: str | None) -> Table:
    """The columns of a table but the target, in their order, as rows of a shape.

    Raises: ValueError if they are not as many, or no numbers.
    """
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(f"`shape` must be height, width and channels, or length and channels, got {shape}")
    names = [name for name in table.frame.columns if name != target]
    if len(names) != math.prod(shape):
        raise ValueError(
            f"`shape={' '.join(map(str, shape))}`: rows of {math.prod(shape)} numbers are needed, got {len(names)} columns "
            f"beside the target {target!r}"
        )
    text = [name for name in names if table.frame.dtypes[name].kind not in "biuf"]
    if text:
        raise ValueError(f"`shape`: columns of numbers are needed, got text in {text[0]!r}")
    pixels = table.frame[names].to_numpy(np.float32).reshape(-1, *shape)
    return dataclasses.replace(table, frame=table.frame.drop(columns=names), pixels=pixels)


def read_encoding(entry: Any) -> Encoding | PixelEncoding:
    """The encoding of columns or of pixels that its `to_json` wrote.   Raises: ValueError for anything else."""
    is_of_pixels = isinstance(entry, dict) and "shape" in entry
    return PixelEncoding.from_json(entry) if is_of_pixels else Encoding.from_json(entry)
