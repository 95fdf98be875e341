"""Arrays in one file of the safetensors format, which the tools of every framework read.

    8 bytes    n, the length of the header, little-endian
    n bytes    the header, JSON: name -> {dtype, shape, data_offsets}, with spaces up to a multiple of 8
    the rest   the entries of the arrays, little-endian, without gaps

What the format does not know is stored as a view: a complex array as pairs of real numbers, the narrow types as bytes.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

TYPES = {
    "bool": "BOOL",
    **{f"{kind}{bits}": f"{kind[0].upper()}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"F{bits}" for bits in (16, 32, 64)},
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
}
PAIRS = {"complex64": "F32", "complex128": "F64"}


def write_container(path: Path, arrays: Mapping[str, np.ndarray]) -> tuple[bytes, int]:
    """Write the arrays, widest entries first, so that all are aligned; return the header and the size of the file.

    Raises: OSError.
    """
    names = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    fields, end = {}, 0
    for name in names:
        kind, shape = _stored(arrays[name])
        begin, end = end, end + arrays[name].nbytes
        fields[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(fields, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    header = len(text).to_bytes(8, "little") + text
    with open(path, "wb") as file:
        file.write(header)
        for name in names:
            file.write(entries_of(arrays[name]))
    return header, len(header) + end


def _stored(x: np.ndarray) -> tuple[str, list[int]]:
    """The type and the shape under which the format holds an array."""
    if x.dtype.name in PAIRS:
        return PAIRS[x.dtype.name], [*x.shape, 2]
    return TYPES.get(x.dtype.name, "U8"), [*x.shape]


def entries_of(x: np.ndarray) -> np.ndarray:
    """The bytes of the entries in C order, a view where they lie so."""
    return x.reshape(-1).view(np.uint8)


def read_container(path: Path, mapped: bool = False) -> tuple[bytes, memoryview]:
    """The header with its length, and the rest of the file.   Raises: OSError; ValueError if the header is not whole.

    Args:
        mapped: whether the rest is read where it is used.
    """
    data = memoryview(_map(path) if mapped else path.read_bytes())
    end = 8 + int.from_bytes(data[:8], "little")
    if not 8 < end <= len(data):
        raise ValueError(f"{path.name} is cut short in its header")
    return bytes(data[:end]), data[end:]


def _map(path: Path) -> mmap.mmap:
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def find_entries(header: bytes, rest: memoryview) -> dict[str, memoryview]:
    """The bytes of each array, from a header that is known to be right."""
    fields: dict[str, Any] = json.loads(header[8:])
    return {name: rest[slice(*field["data_offsets"])] for name, field in fields.items()}
