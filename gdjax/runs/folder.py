"""The run folder: the configuration and the results of a run, written atomically, and read back.

config.json     the RunConfig, which is enough to repeat the run
metrics.jsonl   one line per evaluation
result.json     the reason of the stop, the duration, the scores on each part of the data
params.npz      the best parameters by path, the scalings of inputs and targets, and the hashes of the three files above
*.png           pictures

    with new_folder(path) as place:
        write_run(place, config, history, result, params, scalings)
    run = load_run(path)
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import Model, parse
from gdjax.data import Scaling, standardize, unstandardize
from gdjax.losses import LOSSES
from gdjax.models import INITIALIZERS, MODELS
from gdjax.runs.arrays import LARGEST, NAME, read_arrays, write_arrays
from gdjax.runs.config import ConfigError, RunConfig


class RecordError(ValueError):
    """A folder that is no run folder, or cannot be written as one; the message is one line."""


@contextlib.contextmanager
def new_folder(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """A folder to write into, which appears at `path` when the block succeeds and is removed when it fails.

    Raises: RecordError before the block if the path exists or cannot be written.
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
    """Move draft to path; a folder that was at path is removed afterwards."""
    if not path.exists():
        draft.rename(path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.absolute().parent))
    path.rename(old / "run")
    draft.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def write_run(
    place: Path,
    config: RunConfig,
    history: Mapping[str, np.ndarray],
    result: Mapping[str, Any],
    params: Any,
    scalings: Mapping[str, Scaling],
) -> None:
    """Write the files of a run into an existing folder."""
    write_json(place / "config.json", config.to_json())
    write_history(place / "metrics.jsonl", history)
    write_json(place / "result.json", result)
    write_arrays(place / NAME, params, scalings)


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


@dataclasses.dataclass(frozen=True)
class LoadedRun:
    """A run that was read back: `predict(x)` takes rows in the units of the original table."""

    folder: Path
    config: RunConfig
    result: dict[str, Any]
    history: list[dict[str, Any]]
    model: Model
    params: Any
    scalings: dict[str, Scaling]

    def predict(self, x: Any) -> Any:
        """The model's output: scores per class, one score for two classes, or the target in its own units (float64)."""
        y = self.model.apply(self.params, standardize(self.scalings["inputs"], x).astype(self.config.dtype))
        y = y.astype(jnp.result_type(float))
        if "target" not in self.scalings:
            return y
        return unstandardize(self.scalings["target"], y)


def read_config(folder: str | Path) -> RunConfig:
    """The config of a run folder.   Raises: RecordError with a message of one line."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise RecordError(f"{folder} must be the folder of a run (with a config.json)")
    with _damage(path):
        fields = _json(_text(path))
    with _damage(Path(folder)):  # a ConfigError says what is wrong
        return RunConfig.from_json(fields)


def load_run(folder: str | Path) -> LoadedRun:
    """Read a run folder.

    Raises: RecordError with a message of one line, if it is missing or damaged, or needs float64 without jax_enable_x64.
    """
    folder, config = Path(folder), read_config(folder)
    if config.dtype == "float64" and not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise RecordError(f"{folder} holds float64 parameters: set jax_enable_x64 first")
    with _damage(folder):
        result = _json(_text(folder / "result.json"))
        history = [_json(line) for line in _text(folder / "metrics.jsonl").splitlines()]
        if config.loss not in LOSSES:
            raise ValueError(f"no loss {config.loss[:40]!r}")
        model = parse(config.model, {**MODELS, **INITIALIZERS})
        params, scalings = read_arrays(folder, model, config.data.task, config.dtype)
    return LoadedRun(folder, config, result, history, model, params, scalings)


@contextlib.contextmanager
def _damage(place: Path) -> Iterator[None]:
    """A context that turns any error into a RecordError, since the files may contain anything."""
    try:
        yield
    except Exception as error:
        said = (" ".join(str(error).split()) or type(error).__name__)[:300]
        how = "" if isinstance(error, ConfigError) else " is damaged"
        raise RecordError(f"{place}{how}: {said}") from error


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
