"""The run folder: all that a run was and found, written whole or not at all, and read back.

config.json     enough to repeat the run: the options, argv, versions, device, seed, data hash, git revision
metrics.jsonl   one line per evaluation
result.json     why it stopped, how long it took, the scores on each part of the data
params.npz      the best parameters by path, the scaling of inputs and targets, and the hashes of the three files above
*.png           pictures
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import io
import json
import math
import platform
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls.node import Model
from gdjax.calls.spec import parse
from gdjax.data import Scaling, standardize, unstandardize
from gdjax.models import INITIALIZERS, MODELS
from gdjax.tree import path_string

DTYPES = {
    "float32": np.float32,
    "bfloat16": np.float32,
    "float64": np.float64,
}  # of parameters, and how they are stored
FILES = ("config.json", "metrics.jsonl", "result.json")
LARGEST = 2**28  # bytes of a text file, or of a scaling, that are read


class RecordError(ValueError):
    """A folder that is no run, or cannot become one; the message is one line."""


@contextlib.contextmanager
def new_folder(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """A folder to write into that appears at `path` when the block ends well, and leaves nothing behind when it fails.

    Raises: RecordError before the block if the place is taken or cannot be written.
    """
    if path.exists() and not overwrite and (not path.is_dir() or any(path.iterdir())):
        raise RecordError(f"{path} exists: choose another --out, or --overwrite it")
    if path.exists() and overwrite and not (path / "config.json").exists() and any(path.iterdir()):
        raise RecordError(f"{path} is not the folder of a run: it will not be overwritten")
    made = [parent for parent in path.absolute().parents if not parent.exists()]
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.absolute().parent))
    except OSError as error:
        raise RecordError(f"{path} must be in a folder that can be written: {error.strerror}") from error
    try:
        yield draft
        draft.chmod(0o755)
        _move(draft, path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        for parent in made:  # innermost first
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise


def _move(draft: Path, path: Path) -> None:
    """draft becomes path; what was at path goes once the new folder is in place."""
    if not path.exists():
        draft.rename(path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.absolute().parent))
    path.rename(old / "run")
    draft.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(_plain(value), indent=2, allow_nan=False) + "\n")


def write_history(path: Path, history: Mapping[str, np.ndarray]) -> None:
    """One JSON object per evaluation; NaN and infinities become null."""
    length = len(next(iter(history.values()), []))
    rows = ({name: _plain(values[i]) for name, values in history.items()} for i in range(length))
    path.write_text("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))


def _plain(x: Any) -> Any:
    """x in the types of JSON."""
    if isinstance(x, Mapping):
        return {str(key): _plain(value) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        return [_plain(value) for value in x]
    if isinstance(x, (np.ndarray, np.generic, jax.Array)):
        return _plain(np.asarray(x).tolist())
    if isinstance(x, float) and not math.isfinite(x):
        return None
    return x if isinstance(x, (bool, int, float, str, type(None))) else str(x)


def environment() -> dict[str, Any]:
    """What else a result depends on: versions, machine, device, revision of the code at hand."""
    (device,) = jnp.zeros(()).devices()
    packages = ("gdjax", "jax", "jaxlib", "optax", "numpy")
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
        "platform": platform.platform(),
        "device": f"{device.platform}: {device.device_kind}",
        "git_revision": _git_revision(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    """The commit of the working folder, marked where it has changes; None outside a checkout."""
    try:
        command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def write_arrays(path: Path, params: Any, scalings: Mapping[str, Scaling]) -> None:
    """Parameters by their paths, scalings by name; bfloat16 as float32, which holds it exactly. Written last of the run."""
    arrays = {f"params{path_string(place)}": x for place, x in jax.tree_util.tree_leaves_with_path(params)}
    for name, scaling in scalings.items():
        arrays |= {f"{name}.mean": scaling.mean, f"{name}.scale": scaling.scale}

    def portable(x: jax.Array) -> np.ndarray:
        return np.asarray(x, np.float32) if x.dtype == jnp.bfloat16 else np.asarray(x)

    stored = {name: portable(x) for name, x in arrays.items()}
    hashes = {name: _hash((path.parent / name).read_bytes()) for name in FILES if (path.parent / name).exists()}
    hashes["arrays"] = _hash(*_described(stored))
    np.savez(path, **stored, **{f"sha256.{name}": x for name, x in hashes.items()})  # type: ignore[arg-type]


def _hash(*parts: bytes) -> np.ndarray:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return np.frombuffer(digest.digest(), np.uint8)


def _described(arrays: Mapping[str, np.ndarray]) -> Iterator[bytes]:
    """Each array with its name, in the order of the names."""
    for name, x in sorted(arrays.items()):
        yield f"{name} {x.dtype} {x.shape} ".encode()
        yield x.tobytes()


@dataclasses.dataclass(frozen=True)
class LoadedRun:
    """A run read back: `predict(x)` takes rows in the units of the original table."""

    folder: Path
    config: dict[str, Any]
    result: dict[str, Any]
    history: list[dict[str, Any]]
    model: Model
    params: Any
    scalings: dict[str, Scaling]

    def predict(self, x: Any) -> Any:
        """The model's output: scores per class, one score for two classes, or the target in its own units (float64)."""
        y = self.model.apply(self.params, standardize(self.scalings["inputs"], x).astype(self.config["dtype"]))
        y = y.astype(jnp.result_type(float))
        if "target" not in self.scalings:
            return y
        return unstandardize(self.scalings["target"], y)


def read_config(folder: str | Path) -> dict[str, Any]:
    """The config.json of a run folder.   Raises: RecordError, in one line."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise RecordError(f"{folder} must be the folder of a run (with a config.json)")
    with _damage(path):
        return _json(_text(path))


def load_run(folder: str | Path) -> LoadedRun:
    """A run folder read back.

    Raises: RecordError, in one line, where it is missing or damaged, or needs float64 and JAX is not set up for it.
    """
    folder, config = Path(folder), read_config(folder)
    if config.get("dtype") == "float64" and not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise RecordError(f"{folder} holds float64 parameters: set jax_enable_x64 first")
    with _damage(folder):
        result = _json(_text(folder / "result.json"))
        history = [_json(line) for line in _text(folder / "metrics.jsonl").splitlines()]
        dtype = config.get("dtype")
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
        model = parse(config["model"], {**MODELS, **INITIALIZERS})
        template = jax.eval_shape(model.init, jax.random.key(0))
        with zipfile.ZipFile(folder / "params.npz") as archive:
            read = _Members(archive)
            params = _restore(template, read, dtype)
            scalings = _scalings(read, model, template, config["data"]["task"], dtype)
            _check_hashes(read, folder)
    return LoadedRun(folder, config, result, history, model, params, scalings)


@contextlib.contextmanager
def _damage(place: Path) -> Iterator[None]:
    """Whatever goes wrong inside is a RecordError: the files of others can hold anything."""
    try:
        yield
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise RecordError(f"{place} is damaged: {said[:300]}") from error


def _text(path: Path) -> str:
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path.name} must have at most {LARGEST} bytes, got {path.stat().st_size}")
    return path.read_text()


def _json(text: str) -> dict[str, Any]:
    """An object of JSON, with finite numbers only."""

    def number(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"numbers must be finite, got {text[:40]}")
        return value

    value = json.loads(text, parse_float=number, parse_constant=number)
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object is needed, got {type(value).__name__}")
    return value


class _Members:
    """The arrays of an .npz as np.savez writes it, each read only if it is as large as it must be."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.taken: dict[str, np.ndarray] = {}
        self.infos = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if len(self.infos) != len(archive.infolist()):
            raise ValueError("params.npz must hold each name once")

    def __contains__(self, name: str) -> bool:
        return name in self.infos

    def __call__(self, name: str, shape: tuple[int, ...] | None, dtypes: tuple[Any, ...]) -> np.ndarray:
        """The array of a name, of this shape (None: any with one axis or none) and one of these dtypes."""
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
        x = np.frombuffer(data, dtype, offset=buffer.tell()).reshape(got, order="F" if by_columns else "C")
        if not name.startswith("sha256."):
            self.taken[name] = x
        return x


def _restore(template: Any, read: _Members, dtype: str) -> Any:
    """The parameters in the model's own structure, each checked against the shape and the dtype it must have."""

    def restore(path, like):
        return jnp.asarray(read(f"params{path_string(path)}", like.shape, (np.dtype(DTYPES[dtype]),)), dtype)

    return jax.tree_util.tree_map_with_path(restore, template)


def _scalings(read: _Members, model: Model, template: Any, task: Any, dtype: str) -> dict[str, Scaling]:
    """Of the inputs, and of the target where the task is a regression; they must fit what the model takes and gives."""
    if task not in ("classification", "regression"):
        raise ValueError(f"task must be classification or regression, got {task!r}")
    found = {name: _scaling(read, name) for name in ("inputs", *["target"] * (task == "regression"))}
    if task == "classification" and "target.mean" in read:
        raise ValueError("a classification must have no scaling of its target")
    row = jax.ShapeDtypeStruct((1, *found["inputs"].mean.shape), dtype)
    params = jax.tree.map(lambda like: jax.ShapeDtypeStruct(like.shape, dtype), template)
    outputs = jax.eval_shape(model.apply, params, row).shape[1:]
    if task == "regression" and np.broadcast_shapes(outputs, found["target"].mean.shape) != outputs:
        raise ValueError(f"the scaling of the target must have shape {outputs}, got {found['target'].mean.shape}")
    return found


def _scaling(read: _Members, name: str) -> Scaling:
    floats = (np.dtype(np.float32), np.dtype(np.float64))
    mean, scale = (read(f"{name}.{part}", None, floats) for part in Scaling._fields)
    if mean.shape != scale.shape or not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
        raise ValueError(f"the scaling of {name} must be finite means and as many positive scales")
    wide = mean.dtype == np.float64 and not jax.config.jax_enable_x64  # type: ignore[attr-defined]
    return Scaling(mean, scale) if wide else Scaling(jnp.asarray(mean), jnp.asarray(scale))  # type: ignore[arg-type]


def _check_hashes(read: _Members, folder: Path) -> None:
    """The arrays and the other files are those that were written; runs of earlier versions do not say."""
    for name in ("arrays", *FILES):
        if f"sha256.{name}" in read:
            written = read(f"sha256.{name}", (32,), (np.dtype(np.uint8),))
            found = _hash(*(_described(read.taken) if name == "arrays" else [(folder / name).read_bytes()]))
            if (found != written).any():
                raise ValueError(f"{name} must be what was written with the parameters, got another content")
