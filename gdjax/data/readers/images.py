"""Images and series from arrays: rows of a shape beside their labels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gdjax.data.errors import DataError

CHANNELS = 4  # at most; a last axis of more is the width of an image
LABELS = ("y", "label", "labels", "target", "targets", "class", "classes")
SPLIT = (("x_train", "x_test"), ("y_train", "y_test"))  # names by which Keras keeps both parts in one file


class Images(NamedTuple):
    """Rows of a shape, (n, height, width, channels) or (n, length, channels), and what else is known of each, by name.

    Args:
        test_rows: how many of the rows, the last ones, are test rows.
        notes: what was recognized, each a phrase.
    """

    pixels: np.ndarray
    columns: dict[str, np.ndarray]
    test_rows: int = 0
    notes: tuple[str, ...] = ()


def images_of(name: str, arrays: Mapping[str, np.ndarray], shape: tuple[int, ...] = ()) -> Images | None:
    """The images or series among arrays: the one with three or more axes, x_train and x_test together; None without one.

    The other arrays of as many rows, (n,) or (n, 1), are columns; that of the labels is the last.

    Args:
        name: of the file, for messages.
        shape: of a row where it is known: of (n, a, b) it says whether the rows are images or series.

    Raises: DataError for several such arrays, or what holds no finite numbers.
    """
    large = [each for each, array in arrays.items() if array.ndim > 2]
    if not large:
        return None
    test_rows = 0
    if set(large) == set(SPLIT[0]) and all(each in arrays for each in SPLIT[1]):
        test_rows = len(arrays["x_test"])
        arrays = {
            each[0]: _together(name, *(arrays[part] for part in pair)) for each, pair in zip("xy", SPLIT, strict=True)
        }
        large = ["x"]
    if len(large) > 1:
        raise DataError(f"{name}: one array of images or series is needed, got {', '.join(large)}")
    given = arrays[large[0]]
    pixels = given.reshape(len(given), *row_shape(name, large[0], given.shape[1:], shape))
    check_numbers(name, large[0], pixels)
    others = {each: array for each, array in arrays.items() if each != large[0]}
    columns = {
        each: array.reshape(-1) for each, array in others.items() if array.shape in ((len(given),), (len(given), 1))
    }
    notes = [
        f"array {each!r} of shape {array.shape} is left out" for each, array in others.items() if each not in columns
    ]
    notes += _told(large[0], given.shape[1:], pixels.shape[1:])
    known = next((each for each in LABELS if each in columns), None)
    columns |= {known: columns.pop(known)} if known else {}
    return Images(pixels, columns, test_rows, tuple(notes))


def _told(array: str, axes: tuple[int, ...], shape: tuple[int, ...]) -> list[str]:
    """How two axes were read that may be an image of one channel or a series of several numbers."""
    if len(axes) != 2 or not 1 < axes[1] <= CHANNELS:
        return []
    a, b = axes
    read, other = (f"series of {a} steps", f"{a} {b} 1") if shape == axes else (f"images of {a} x {b}", f"{a} {b}")
    return [f"array {array!r} is read as {read}, not so with --shape {other}"]


def _together(name: str, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    if first.shape[1:] != second.shape[1:]:
        raise DataError(f"{name}: training and test rows must be alike, got {first.shape} and {second.shape}")
    return np.concatenate([first, second])


def row_shape(name: str, array: str, axes: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a row: of three axes an image, of two an image of one channel or, if the last is small, a series."""
    if len(axes) not in (2, 3) or 0 in axes:
        raise DataError(
            f"{name}: {array} must hold images (n, h, w, c) or series (n, length, c), got {axes} for each row"
        )
    possible = (axes,) if len(axes) == 3 else (axes, (*axes, 1))
    if shape and shape not in possible:
        raise DataError(f"{name}: rows of {array} must have shape {shape}, got {axes}")
    is_whole = len(axes) == 3 or axes[-1] <= CHANNELS
    return shape or possible[0 if is_whole else 1]


def check_numbers(name: str, array: str, pixels: np.ndarray) -> None:
    """Raise DataError for an array that holds no numbers, or for the first that is not finite."""
    if pixels.dtype.kind not in "biuf":
        raise DataError(f"{name}: {array} must hold numbers, got {pixels.dtype}")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels.sum(dtype=np.float64)):
        places = np.argwhere(~np.isfinite(pixels))
        if len(places):
            place = ", ".join(map(str, places[0]))
            raise DataError(f"{name}: {array}[{place}]: a finite number is needed, got {pixels[tuple(places[0])]}")


def table_name(path: str | os.PathLike[str]) -> str:
    """A short name for titles: that of the file without its endings."""
    name = Path(path).name
    return name.partition(".")[0] or name


def column(values: np.ndarray) -> Any:
    """The values of a column as pandas keeps them: words as `str`, numbers as they are."""
    import pandas

    values = values.astype(values.dtype.newbyteorder("="))
    return pandas.Series(values, dtype="str") if values.dtype.kind in "US" else pandas.Series(values)
