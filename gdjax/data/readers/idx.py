"""Images from IDX, the format of MNIST, whose labels stand in a file beside them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from gdjax.data.errors import DataError
from gdjax.data.readers.contents import Contents, contents_of
from gdjax.data.readers.images import Images, check_numbers, row_shape

# The third byte of a file -> the type of its numbers, the most significant byte first.
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(source: Contents, shape: tuple[int, ...] = ()) -> Images:
    """The images of a file, and their labels where the file of these stands beside it.

    Raises: DataError for a file that is cut off, one of labels alone, and labels that are not as many.
    """
    pixels = _array(source)
    if pixels.ndim == 1:
        raise DataError(f"{source.name}: it holds labels alone; name the file of the images, which finds them")
    pixels = pixels.reshape(len(pixels), *row_shape(source.name, "it", pixels.shape[1:], shape))
    check_numbers(source.name, "image", pixels)
    places = _places(Path(source.name))
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        return Images(pixels, {}, notes=(f"no labels: there is no {places[0].name} beside it",))
    with contents_of(found) as beside:
        if beside.format != "idx":
            raise DataError(f"{found}: labels in IDX are needed, got {beside.format}")
        labels = _array(beside)
    if labels.ndim != 1 or len(labels) != len(pixels):
        wanted = f"as many labels as {source.name} has images are needed, {len(pixels):,}"
        raise DataError(f"{found}: {wanted}, got {len(labels):,}")
    return Images(pixels, {"label": labels}, notes=(f"the labels are those of {found.name}",))


def _array(source: Contents) -> np.ndarray:
    with source.open() as stream:
        _, _, kind, axes = stream.read(4)
        sizes = np.frombuffer(stream.read(4 * axes), ">i4")
        shape = tuple(map(int, sizes))
        wanted = math.prod(shape) * np.dtype(TYPES[kind]).itemsize if len(shape) == axes and min(shape) >= 0 else -1
        content = stream.read()
    if len(content) != wanted:
        raise DataError(
            f"{source.name}: damaged: {wanted:,} bytes of numbers {shape} are announced, got {len(content):,}"
        )
    return np.frombuffer(content, TYPES[kind]).reshape(shape).astype(TYPES[kind].replace(">", "="), copy=False)


def _places(path: Path) -> list[Path]:
    """Where the labels of a file of images may stand, by the names of MNIST: packed or not, with a dot or a dash."""
    name = path.name.replace("images", "labels").replace("idx3", "idx1")
    plain = name.removesuffix(".gz")
    spelled = [plain, plain.replace("-idx", ".idx"), plain.replace(".idx", "-idx")]
    ends = [".gz", ""] if name.endswith(".gz") else ["", ".gz"]
    return [path.with_name(each + end) for each in dict.fromkeys(spelled) for end in ends if each + end != path.name]
