"""Images from a folder: PNG files in sub-folders, whose names are the classes."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gdjax.data.errors import DataError
from gdjax.data.readers.images import Images
from gdjax.text import listing

SHOWN = 3  # files that are named at once
GRAY, COLOR = ("1", "L", "LA", "I;16", "I;16B", "I"), "RGB"


class Picture(NamedTuple):
    """An image as it stands in its file, (height, width) or (height, width, 3)."""

    file: str
    pixels: np.ndarray
    has_alpha: bool


def read_folder(path: Path) -> Images:
    """The PNG images of a folder: those of each sub-folder are a class of its name; those beside them have none.

    Raises: DataError that names the files which are damaged, or differ in size or depth; ImportError without Pillow.
    """
    folders = sorted(each for each in path.iterdir() if each.is_dir() and not each.name.startswith((".", "__MACOSX")))
    files = {each.name: _pictures(each) for each in folders}
    classes = {name: found for name, found in files.items() if found}
    if not classes:
        alone = _pictures(path)
        if not alone:
            raise DataError(f"{path}: a folder, not a file with a table, nor one of PNG images")
        return _together(path, alone, None, ("no classes: its images are in no sub-folder",))
    empty = [name for name in files if name not in classes]
    notes = (f"{listing([repr(name) for name in empty])} has no PNG image and is left out",) if empty else ()
    names = [name for name, found in classes.items() for _ in found]
    return _together(path, [file for found in classes.values() for file in found], names, notes)


def _pictures(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.suffix.lower() == ".png" and each.name[0] != ".")


def _together(path: Path, files: Sequence[Path], classes: list[str] | None, notes: tuple[str, ...]) -> Images:
    read, damaged = [], []
    for file in files:
        try:
            read.append(_read(path, file))
        except DataError as error:
            damaged.append(str(error))
    if damaged:
        raise DataError(f"{path}: {len(damaged)} of {len(files)} images cannot be read: {listing(damaged, SHOWN)}")
    for what, of in (("size", lambda x: x.shape[1::-1]), ("depth", lambda x: x.dtype)):
        _check_alike(path, what, {each.file: of(each.pixels) for each in read})
    colored = [each.pixels.ndim == 3 for each in read]
    if any(colored) and not all(colored):
        gray = [each.file for each in read if each.pixels.ndim == 2]
        notes += (f"gray images are read as colored ones: {listing(gray, SHOWN)}",)
    if any(each.has_alpha for each in read):
        notes += ("transparency is left out",)
    pixels = np.stack([_channels(each.pixels, any(colored)) for each in read])
    columns = {"file": np.array([each.file for each in read])}
    return Images(pixels, columns | ({} if classes is None else {"class": np.array(classes)}), notes=notes)


def _read(folder: Path, file: Path) -> Picture:
    image, name = _pillow(), os.fspath(file.relative_to(folder))
    try:
        with image.open(file, formats=["PNG"]) as opened:
            has_alpha = opened.mode in ("LA", "RGBA") or "transparency" in opened.info
            mode = opened.mode if opened.mode in ("I;16", "L") else "I;16" if opened.mode in ("I", "I;16B") else None
            mode = mode or ("L" if opened.mode in GRAY else COLOR)
            return Picture(name, np.asarray(opened if opened.mode == mode else opened.convert(mode)), has_alpha)
    except (OSError, SyntaxError, ValueError, EOFError, image.DecompressionBombError) as error:
        said = "no PNG image" if isinstance(error, image.UnidentifiedImageError) else str(error)
        raise DataError(f"{name} ({said})") from None


def _pillow() -> Any:
    try:
        return importlib.import_module("PIL.Image")
    except ImportError as error:
        raise ImportError("a folder of images needs Pillow: pip install 'gdjax[data]'") from error


def _check_alike(path: Path, what: str, found: dict[str, Any]) -> None:
    """Raise DataError if not all images have the same size, or depth."""
    first, *others = found
    other = next((name for name in others if found[name] != found[first]), None)
    if other is not None:
        a, b = (" x ".join(map(str, x)) if isinstance(x, tuple) else str(x) for x in (found[first], found[other]))
        raise DataError(f"{path}: all images must have one {what}, got {a} of {first} and {b} of {other}")


def _channels(pixels: np.ndarray, colored: bool) -> np.ndarray:
    """(height, width, 1 or 3)."""
    if pixels.ndim == 3:
        return pixels
    return np.repeat(pixels[..., None], 3, axis=2) if colored else pixels[..., None]
