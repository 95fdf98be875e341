"""The run folder: all that a run was and found, written whole or not at all, and read back.

config.json     enough to repeat the run: the options, argv, versions, device, seed, data hash, git revision
metrics.jsonl   one line per evaluation
result.json     why it stopped, how long it took, the scores on each part of the data
params.npz      the best parameters by path, and the scaling of inputs and targets
*.png           pictures
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
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

from gdjax.data import Scaling, standardize
from gdjax.models import INITIALIZERS, MODELS
from gdjax.nodes import Model
from gdjax.spec import SpecError, parse
from gdjax.tree import path_string


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
    """Parameters by their paths, scalings by name; bfloat16 as float32, which holds it exactly."""
    arrays = {f"params{path_string(place)}": x for place, x in jax.tree_util.tree_leaves_with_path(params)}
    for name, scaling in scalings.items():
        arrays |= {f"{name}.mean": scaling.mean, f"{name}.scale": scaling.scale}

    def portable(x: jax.Array) -> np.ndarray:
        return np.asarray(x, np.float32) if x.dtype == jnp.bfloat16 else np.asarray(x)

    np.savez(path, **{name: portable(x) for name, x in arrays.items()})  # type: ignore[arg-type]


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

    def predict(self, x: Any) -> jax.Array:
        """The model's output: scores per class, one score for two classes, or the target in its own units."""
        y = self.model.apply(self.params, standardize(self.scalings["inputs"], x).astype(self.config["dtype"]))
        y = y.astype(jnp.result_type(float))
        if "target" not in self.scalings:
            return y
        return y * self.scalings["target"].scale + self.scalings["target"].mean


def read_config(folder: str | Path) -> dict[str, Any]:
    """The config.json of a run folder.   Raises: RecordError, in one line."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise RecordError(f"{folder} must be the folder of a run (with a config.json)")
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} is damaged: {error}") from error


def load_run(folder: str | Path) -> LoadedRun:
    """A run folder read back.

    Raises: RecordError, in one line, where it is missing or damaged, or needs float64 and JAX is not set up for it.
    """
    folder, config = Path(folder), read_config(folder)
    if config.get("dtype") == "float64" and not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise RecordError(f"{folder} holds float64 parameters: set jax_enable_x64 first")
    try:
        result = json.loads((folder / "result.json").read_text())
        history = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        model = parse(config["model"], {**MODELS, **INITIALIZERS})
        with (folder / "params.npz").open("rb") as file, np.load(file) as archive:
            arrays = dict(archive)
        params = _restore(model, arrays, config["dtype"])
        scalings = {
            name: Scaling(jnp.asarray(arrays[f"{name}.mean"]), jnp.asarray(arrays[f"{name}.scale"]))
            for name in ("inputs", "target")
            if f"{name}.mean" in arrays
        }
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, SpecError) as error:
        raise RecordError(f"{folder} is a damaged run: {' '.join(str(error).split())}") from error
    return LoadedRun(folder, config, result, history, model, params, scalings)


def _restore(model: Model, arrays: Mapping[str, np.ndarray], dtype: str) -> Any:
    """The parameters in the model's own structure, each checked against the shape it must have."""
    template = jax.eval_shape(model.init, jax.random.key(0))

    def restore(path, like):
        name = f"params{path_string(path)}"
        if name not in arrays or arrays[name].shape != like.shape:
            got = arrays[name].shape if name in arrays else "nothing"
            raise ValueError(f"params.npz must hold {name} of shape {like.shape}, got {got}")
        return jnp.asarray(arrays[name], dtype)

    return jax.tree_util.tree_map_with_path(restore, template)
