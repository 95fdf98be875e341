"""The run folder: the configuration, the records and the results of a run, and how a finished one is read back.

config.json     the RunConfig, which is enough to repeat the run; written first
metrics.jsonl   one line per evaluation, appended while the run goes on
encoding.json   how the columns become numbers, as fitted on the training rows
params.npz      the best parameters by path, the scaling of the target, and its intervals
SHA256SUMS      the hashes of the other files, but for the pictures and the report
*.png           pictures
report.html     how good the run is, on one page
result.json     the reason of the stop, the duration, the scores on each part of the data; written last

    with new_folder(path) as draft:
        write_whole(draft.place / "config.json", to_text(config.to_json()))
        ...
        finish_run(draft.place, result, kept, encoding)
    run = load(path)
"""

from __future__ import annotations

import contextlib
import dataclasses
import html
import itertools
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import Model, parse
from gdjax.data import Scaling, unstandardize
from gdjax.files import sync, write_whole
from gdjax.losses import LOSSES
from gdjax.models import INITIALIZERS, MODELS
from gdjax.models._ensemble import members_of
from gdjax.models._fitted import fitted
from gdjax.programs import compile_once
from gdjax.runs.arrays import NAME, Kept, read_arrays, write_arrays
from gdjax.runs.config import DataConfig, RunConfig
from gdjax.runs.damage import RecordError, reading
from gdjax.runs.intervals import Calibration, Folds, missing_intervals
from gdjax.runs.json_text import from_text, read_bytes, to_text
from gdjax.runs.records import is_being_written, read_records
from gdjax.runs.sums import write_sums
from gdjax.tables import Encoding, PixelEncoding
from gdjax.tables.pixels import read_encoding
from gdjax.tree import unstack
from gdjax.types import Stop

if TYPE_CHECKING:
    import pandas

    from gdjax.runs.language.loaded import LoadedText

PAGE = "report.html"
ROWS = 1 << 16  # that are predicted at once


class Draft:
    """A new run folder: `place` is what to write into, a hidden folder beside `path` until it appears there."""

    path: Path
    place: Path

    def __init__(self, path: Path, place: Path) -> None:
        self.path, self.place = path, place

    @property
    def has_appeared(self) -> bool:
        return self.place == self.path

    def appear(self) -> None:
        """Move the folder to its path; files that are open in it stay open."""
        if not self.has_appeared:
            self.place.chmod(0o755)
            _move(self.place, self.path)
            self.place = self.path
            sync(self.path.absolute().parent)

    def remove(self) -> None:
        """Remove the folder, unless it has appeared."""
        if not self.has_appeared:
            shutil.rmtree(self.place, ignore_errors=True)


def next_folder(data: str) -> Path:
    """The first folder runs/<data>-<n> that does not exist."""
    return next(path for n in itertools.count(1) if not (path := Path("runs") / f"{Path(data).stem}-{n}").exists())


def check_folder(path: Path, overwrite: bool = False, resume: bool = False) -> None:
    """Raise RecordError if `open_folder` would for what is, or is not, at the path."""
    if resume:
        if not (path / "config.json").is_file():
            raise RecordError(f"{path} holds no run to go on with: leave out `resume` to begin one")
        return
    if path.exists() and not overwrite and (not path.is_dir() or any(path.iterdir())):
        if _is_run(path) and end_of(path) is None:
            raise RecordError(f"{path} holds an unfinished run: `resume` it, `overwrite` it, or choose another `out`")
        raise RecordError(f"{path} exists: choose another `out`{', or `overwrite` it' * _is_run(path)}")
    if is_being_written(path / "metrics.jsonl"):
        raise RecordError(f"{path} is being trained by another process")
    if path.exists() and not _is_run(path) and (not path.is_dir() or any(path.iterdir())):
        raise RecordError(f"{path} is not the folder of a run: it will not be overwritten")


@contextlib.contextmanager
def new_folder(path: Path, overwrite: bool = False) -> Iterator[Draft]:
    """A folder that appears at `path` when it is told to or the block succeeds; if the block fails before, it is removed.

    Raises: RecordError before the block if the path exists or cannot be written.
    """
    check_folder(path, overwrite)
    made = [parent for parent in path.absolute().parents if not parent.exists()]
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
        draft = Draft(path, Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.absolute().parent)))
    except OSError as error:
        raise RecordError(f"{path} must be in a folder that can be written: {error.strerror}") from error
    try:
        yield draft
        draft.appear()
    except BaseException:
        if not draft.has_appeared:
            draft.remove()
            for parent in made:  # innermost first
                with contextlib.suppress(OSError):
                    parent.rmdir()
        raise


def _is_run(path: Path) -> bool:
    """Whether a path is the folder of a run, and not of another program that has a config.json too."""
    return all((path / name).is_file() for name in ("config.json", "metrics.jsonl"))


def open_folder(path: Path, overwrite: bool = False, resume: bool = False) -> contextlib.AbstractContextManager[Draft]:
    """A new folder, as `new_folder`; with `resume` that of a run which goes on.   Raises: RecordError if there is none."""
    if not resume:
        return new_folder(path, overwrite)
    check_folder(path, resume=True)
    return contextlib.nullcontext(Draft(path, path))


def end_of(folder: Path) -> str | None:
    """Why the run has ended; None if it is unfinished, or was interrupted.   Raises: RecordError if this cannot be read."""
    if not (folder / "result.json").exists():
        return None
    with reading(folder):
        stop = str(from_text(read_bytes(folder / "result.json"))["stop"])
    return None if stop == Stop.INTERRUPTED.name else stop


def _move(draft: Path, path: Path) -> None:
    """Move draft to path; a folder that was at path is removed afterwards."""
    if not path.exists():
        draft.rename(path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.absolute().parent))
    path.rename(old / "run")
    draft.rename(path)
    shutil.rmtree(old, ignore_errors=True)


class Encoded(Protocol):
    """How data became numbers, as encoding.json holds it."""

    def to_json(self) -> dict[str, Any]: ...


def finish_run(
    place: Path,
    result: Mapping[str, Any],
    kept: Kept,
    encoding: Encoded,
    pictures: Mapping[str, Any] | None = None,
    page: str | None = None,
) -> None:
    """Write what a run leaves at its end beside config.json and metrics.jsonl: each file whole, and result.json last."""
    text = to_text(result)
    write_whole(place / "encoding.json", to_text(encoding.to_json()))
    write_arrays(place / NAME, kept)
    write_sums(place, text)
    for name, picture in (pictures or {}).items():
        from gdjax.plots import save  # of the extra `lab`

        save(picture, place / name)
    if page is not None:
        write_whole(place / PAGE, page)
    write_whole(place / "result.json", text)


@dataclasses.dataclass(frozen=True, eq=False)
class LoadedRun:
    """A run that was read back: `predict(table)` takes rows as they stand in files."""

    folder: Path
    config: RunConfig
    result: dict[str, Any]
    history: list[dict[str, Any]]
    model: Model
    params: Any
    encoding: Encoding | PixelEncoding
    target: Scaling | None
    intervals: Calibration | Folds | None

    @property
    def without_intervals(self) -> str:
        """Why the predictions of a regression have no intervals, and what gives them; "" if they have."""
        return missing_intervals(self.config, self.intervals, str(self.result.get("stop", "")))

    def predict(self, data: Any, level: float | None = None) -> pandas.DataFrame:
        """Predict each row of a table.

        Args:
            data: a path, a data frame or a `Table`, whose columns have the names of the training table; or an array
                (n, d) of those columns. For a run on images or series: a file of them, or an array (n, *shape) or (n, d).
            level: the share of new rows that the interval of a regression covers; 0.9 if not given.

        Returns: the column `prediction`; `probability_<class>` for each class, if the loss defines them, or `low` and
            `high`, unless `without_intervals` says why there are none; and `remark`: what is outside of the training rows,
            or cannot be read. A row with a spoiled cell has no prediction.

        Raises: ValueError, in one line, for a table without the columns, or a level that the run has no intervals of.
        """
        from gdjax.runs.prediction import predictions

        return predictions(self, data, level)

    def _repr_html_(self) -> str:
        """In a notebook: its report, in a frame of its own, so that neither changes the other's style."""
        from gdjax.runs.evaluation import shown

        return framed(self.folder) or f"<pre>{html.escape(shown(self))}</pre>"

    def outputs(self, x: Any) -> np.ndarray:
        """The model's output for encoded rows: scores per class, one score for two classes, or the target in its units."""
        return outputs(self.model, self.params, self.target, jnp.asarray(x, self.config.dtype))

    def outputs_of_folds(self, x: Any) -> np.ndarray:
        """As `outputs`, of each model that was trained without a fold, (k, n)."""
        assert isinstance(self.intervals, Folds)
        x = jnp.asarray(x, self.config.dtype)
        each = unstack(self.intervals.params, self.config.folds)
        return np.stack([outputs(self.model, params, self.target, x) for params in each])

    def outputs_of_members(self, x: Any) -> np.ndarray:
        """As `outputs`, of each member of an ensemble, (k, n, ...); of another model its own alone."""
        x = jnp.asarray(x, self.config.dtype)
        each = members_of(self.model, self.params)
        return np.stack([outputs(model, params, self.target, x) for model, params in each])


def framed(folder: Path) -> str | None:
    """The report of a run in a frame, if it has one."""
    if not (folder / PAGE).is_file():
        return None
    page = html.escape((folder / PAGE).read_text("utf-8"))
    return f'<iframe srcdoc="{page}" sandbox style="width: 100%; height: 720px; border: 0"></iframe>'


def outputs(model: Model, params: Any, target: Scaling | None, x: jax.Array) -> np.ndarray:
    """The model's outputs in float64; those of a regression in the units of the file."""
    apply = compile_once(model.apply)
    y = np.concatenate([np.asarray(apply(params, x[i : i + ROWS]), np.float64) for i in range(0, len(x), ROWS)])
    return y if target is None else np.asarray(unstandardize(target, y))


def read_config(folder: str | Path) -> RunConfig:
    """The config of a run folder.   Raises: RecordError with a message of one line."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise RecordError(f"{folder} must be the folder of a run (with a config.json)")
    with reading(path):
        fields = from_text(read_bytes(path))
    with reading(Path(folder)):  # a ConfigError says what is wrong
        return RunConfig.from_json(fields)


class Finished(NamedTuple):
    """What the folder of a run on any data holds, but for the arrays."""

    config: RunConfig
    result: dict[str, Any]
    history: list[dict[str, Any]]
    model: Model
    encoding: dict[str, Any]


def load(folder: str | Path) -> LoadedRun | LoadedText:
    """Read a run folder.

    Raises: RecordError with a message of one line, if it is missing or damaged, or needs float64 without jax_enable_x64.
    """
    if isinstance(read_config(folder).data, DataConfig):
        return load_table(folder)
    from gdjax.runs.language.loaded import load_text

    return load_text(folder)


def load_table(folder: str | Path) -> LoadedRun:
    """As `load`, of a run on a table alone."""
    folder, found = Path(folder), read_finished(folder)
    config, model = found.config, fitted(found.model)
    if not isinstance(config.data, DataConfig):
        raise RecordError(
            f"{folder} is a run on a text: `gdjax sample` continues a text, and there are no rows to predict"
        )
    with reading(folder):
        encoding = read_encoding(found.encoding)
        row = jax.ShapeDtypeStruct((1, encoding.width), config.dtype)
        kept = read_arrays(folder, model, config, row)
    return LoadedRun(
        folder, config, found.result, found.history, model, kept.params, encoding, kept.target, kept.intervals
    )


def read_finished(folder: str | Path) -> Finished:
    """What the folder of a finished run holds.   Raises: RecordError as `load`."""
    folder, config = Path(folder), read_config(folder)
    if config.dtype == "float64" and not jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise RecordError(f"{folder} holds float64 parameters: set jax_enable_x64 first")
    if not (folder / "result.json").exists():
        how = f"gdjax train --resume --out {shlex.quote(str(folder))} goes on with it"
        raise RecordError(f"{folder} holds an unfinished run: {how}")
    with reading(folder):
        result = from_text(read_bytes(folder / "result.json"))
        history = read_records(folder / "metrics.jsonl")
        if config.loss not in LOSSES:
            raise ValueError(f"no loss {config.loss[:40]!r}")
        model = parse(config.model, {**MODELS, **INITIALIZERS})
        return Finished(config, result, history, model, from_text(read_bytes(folder / "encoding.json")))
