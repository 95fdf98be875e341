"""params.npz: the arrays of a run, which are checked when they are read; those of equal runs have equal bytes."""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import Model
from gdjax.data import Scaling
from gdjax.files import replacing
from gdjax.models._fitted import Fitted, parts_of
from gdjax.programs import bind
from gdjax.runs.config import RunConfig
from gdjax.runs.intervals import Calibration, Folds
from gdjax.runs.json_text import LARGEST
from gdjax.runs.sums import check_sums
from gdjax.tree import path_string

# The dtypes of parameters, and those in which they are stored.
DTYPES: dict[str, Any] = {
    "float32": np.float32,
    "bfloat16": np.float32,
    "float64": np.float64,
}
NAME = "params.npz"
# The files whose hashes a run of an earlier version holds here, each as sha256.NAME.
OF_EARLIER = ("config.json", "metrics.jsonl", "result.json", "encoding.json")


class Kept(NamedTuple):
    """The arrays of a run."""

    params: Any
    target: Scaling | None  # of a regression
    intervals: Calibration | Folds | None


def write_arrays(path: Path, kept: Kept) -> None:
    """Write arrays by path; bfloat16 is stored exactly as float32."""
    arrays = {name: x for part, of_part in parts_of(kept.params).items() for name, x in _by_path(part, of_part).items()}
    if kept.target is not None:
        arrays |= {"target.mean": kept.target.mean, "target.scale": kept.target.scale}
    if kept.intervals is not None:
        arrays |= _by_path("intervals", kept.intervals.arrays())

    def portable(x: jax.Array) -> np.ndarray:
        return np.asarray(x, np.float32) if x.dtype == jnp.bfloat16 else np.asarray(x)

    with replacing(path) as draft, draft.open("wb") as file:
        np.savez(file, **{name: portable(x) for name, x in arrays.items()})  # type: ignore[arg-type]


def _by_path(name: str, tree: Any) -> dict[str, Any]:
    return {f"{name}{path_string(place)}": x for place, x in jax.tree_util.tree_leaves_with_path(tree)}


def read_arrays(folder: Path, model: Model, config: RunConfig, rows: jax.ShapeDtypeStruct) -> Kept:
    """The arrays of a run folder.

    Args:
        rows: the shape and dtype of what the model reads, (1, ...).

    Raises: ValueError if they do not fit this model and configuration, or differ from what was written.
    """
    template = jax.eval_shape(model.init, jax.random.key(0))
    with zipfile.ZipFile(folder / NAME) as archive:
        read = _Members(archive)
        params = _restore("{}", template, read, config.dtype)
        target = _scaling(read, "target") if config.data.task == "regression" else None
        if target is None and "target.mean" in read:
            raise ValueError("a classification must have no scaling of its target")
        _check_fit(model, template, config, rows, target)
        intervals = _intervals(read, template, config)
        _check_sums(read, folder)
    return Kept(params, target, intervals)


def _intervals(read: _Members, template: Any, config: RunConfig) -> Calibration | Folds | None:
    if config.data.task != "regression" or "intervals['distances']" not in read:  # as of a run that went wrong
        return None
    number = np.dtype(np.float64)
    if not config.folds:
        rows = config.data.rows.get("calibration", 0)
        return Calibration(read("intervals['distances']", (rows,), (number,))) if rows else None
    rows = config.data.rows["train"]
    fold = read("intervals['fold']", (rows,), (np.dtype(np.int32),))
    if not ((fold >= -1) & (fold < config.folds)).all():
        raise ValueError(f"params.npz must hold folds from -1 to {config.folds - 1}")
    stacked = jax.tree.map(lambda like: jax.ShapeDtypeStruct((config.folds, *like.shape), like.dtype), template)
    params = _restore("intervals['{}']", stacked, read, config.dtype)
    return Folds(read("intervals['distances']", (rows,), (number,)), fold, params)


class _Members:
    """The arrays of an .npz file as written by np.savez; an array is read only if it has the expected size."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.infos = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if len(self.infos) != len(archive.infolist()):
            raise ValueError("params.npz must hold each name once")

    def __contains__(self, name: str) -> bool:
        return name in self.infos

    def __call__(self, name: str, shape: tuple[int, ...] | None, dtypes: tuple[Any, ...]) -> np.ndarray:
        """The array of a name, with this shape (None: any of at most one axis) and one of these dtypes."""
        if name not in self.infos:
            raise ValueError(f"params.npz must hold {name}, got {', '.join(self.infos)}")
        info = self.infos[name]
        most = LARGEST if shape is None else math.prod(shape) * max(np.dtype(d).itemsize for d in dtypes) + 2**14
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > most:
            raise ValueError(f"params.npz must hold {name} uncompressed, of at most {most} bytes, got {info.file_size}")
        data = self.archive.read(info)
        buffer = io.BytesIO(data)
        version = np.lib.format.read_magic(buffer)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        got, by_columns, dtype = header(buffer)
        if dtype not in dtypes or (len(got) > 1 if shape is None else got != shape):
            raise ValueError(f"params.npz must hold {name} of shape {shape} and {dtypes[0]}, got {got} and {dtype}")
        if len(data) - buffer.tell() != math.prod(got) * dtype.itemsize:
            raise ValueError(f"params.npz must hold all of {name}, got {len(data)} bytes")
        return np.frombuffer(data, dtype, offset=buffer.tell()).reshape(got, order="F" if by_columns else "C")


def _restore(name: str, template: Any, read: _Members, dtype: str) -> Any:
    """The parameters in the model's structure, with checked shapes and dtypes; a model state has dtypes of its own.

    Args:
        name: of an array, in which {} stands for the part.
    """

    def restore(part: str, path: Any, like: Any) -> jax.Array:
        own = dtype if part == "params" else str(like.dtype)
        return jnp.asarray(read(name.format(part) + path_string(path), like.shape, (np.dtype(DTYPES[own]),)), own)

    def restored(part: str, of_part: Any) -> Any:
        return jax.tree_util.tree_map_with_path(bind(restore, part), of_part)

    found = {part: restored(part, of_part) for part, of_part in parts_of(template).items()}
    return Fitted(**found) if isinstance(template, Fitted) else found["params"]


def _check_fit(
    model: Model, template: Any, config: RunConfig, rows: jax.ShapeDtypeStruct, target: Scaling | None
) -> None:
    """Raise ValueError if the model does not take rows of this encoding, or the target's scaling is not of its outputs."""
    params = jax.tree.map(lambda like: jax.ShapeDtypeStruct(like.shape, config.dtype), template)
    outputs = jax.eval_shape(model.apply, params, rows).shape[1:]
    if target is not None and np.broadcast_shapes(outputs, target.mean.shape) != outputs:
        raise ValueError(f"the scaling of the target must have shape {outputs}, got {target.mean.shape}")


def _scaling(read: _Members, name: str) -> Scaling:
    floats = (np.dtype(np.float32), np.dtype(np.float64))
    mean, scale = (read(f"{name}.{part}", None, floats) for part in Scaling._fields)
    if mean.shape != scale.shape or not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
        raise ValueError(f"the scaling of {name} must be finite means and as many positive scales")
    wide = mean.dtype == np.float64 and not jax.config.jax_enable_x64  # type: ignore[attr-defined]
    return Scaling(mean, scale) if wide else Scaling(jnp.asarray(mean), jnp.asarray(scale))  # type: ignore[arg-type]


def check_files(folder: Path) -> None:
    """Raise ValueError if the arrays cannot be unpacked, or another file differs from what was written with them."""
    with zipfile.ZipFile(folder / NAME) as archive:
        if (name := archive.testzip()) is not None:
            raise ValueError(f"params.npz must hold {name} as it was written")
        _check_sums(_Members(archive), folder)


def _check_sums(read: _Members, folder: Path) -> None:
    """Raise ValueError if a file is not what was written."""
    if not any(f"sha256.{name}" in read for name in OF_EARLIER):
        return check_sums(folder)
    for name in OF_EARLIER:
        written = read(f"sha256.{name}", (32,), (np.dtype(np.uint8),))
        if written.tobytes() != hashlib.sha256((folder / name).read_bytes()).digest():
            raise ValueError(f"{name} must be what was written with the parameters, got another content")
    return None
