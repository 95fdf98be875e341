"""`gdjax evaluate RUN` and `gdjax predict RUN FILE`: a run folder put to use."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import tyro

from gdjax.cli.device import use_device
from gdjax.cli.errors import UserError, user_mistakes
from gdjax.cli.options import Options
from gdjax.cli.plan import deal, objective
from gdjax.data import hash_of, load, read_features
from gdjax.files import write_whole
from gdjax.losses import LOSSES
from gdjax.programs import compiled
from gdjax.runs.folder import LoadedRun, load_run, read_config


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Load a run, deal its data again from its seed, and print the scores of each part."""

    folder: tyro.conf.Positional[Path]
    """A run folder, written by `gdjax train`."""

    def run(self, argv: list[str]) -> int:
        run, options = open_run(self.folder)
        with user_mistakes():
            dataset = load(options.data, **_file_options(options))
            if hash_of(dataset) != run.config["data"]["hash"]:
                raise UserError(f"{options.data} has changed since {self.folder} was trained on it")
        parts = deal(dataset, options.split, options.seed, options.dtype)
        *_, evaluate, metric = objective(options, dataset)
        print(f"  {'':<12}{'rows':>7}{'loss':>12}{metric:>12}")
        for name, data in parts.named().items():
            scores = compiled(evaluate)(run.params, data)
            print(f"  {name:<12}{len(data[0]):>7}{float(scores['loss']):>12.6f}{float(scores[metric]):>12.6f}")
        return 0


@dataclasses.dataclass(frozen=True)
class Predict:
    """Predict the target of every row of a file; CSV to the screen or to --out."""

    folder: tyro.conf.Positional[Path]
    """A run folder, written by `gdjax train`."""
    file: tyro.conf.Positional[Path]
    """A .csv or .npz file with the features of the training table; other columns are not looked at."""
    out: Path | None = None
    """A CSV file to write instead of the screen."""
    overwrite: bool = False
    """Replace that file if it is there; never one of the run, or the one that is read."""

    def run(self, argv: list[str]) -> int:
        self._check_out()
        run, _ = open_run(self.folder)
        with user_mistakes():
            x = read_features(self.file, run.config["data"]["feature_names"])
        text = _table(run, np.asarray(run.predict(x)))
        if self.out is None:
            sys.stdout.write(text)
            return 0
        with user_mistakes(f"--out {self.out}: "):
            write_whole(self.out, text)
        print(f"{self.out}: {len(x)} rows")
        return 0

    def _check_out(self) -> None:
        """Raise a UserError where --out would replace what it must not."""
        if self.out is None or not self.out.exists():
            return
        if any(kept.exists() and self.out.samefile(kept) for kept in (*self.folder.glob("*"), self.file)):
            raise UserError(f"{self.out} belongs to the run, or is the file to read: choose another --out")
        if not self.overwrite:
            raise UserError(f"{self.out} exists: choose another --out, or --overwrite it")


def open_run(folder: Path) -> tuple[LoadedRun, Options]:
    """The run and the options it was trained with, JAX set up for its dtype."""
    with user_mistakes():
        config = read_config(folder)
        try:
            fields = {field.name for field in dataclasses.fields(Options)}
            given = {name: value for name, value in config["options"].items() if name in fields}
            lists = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
            options = Options(**{**given, **lists})
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{folder} is a damaged run: its options cannot be read") from error
        use_device(None, options.dtype)
        return load_run(folder), options


def _file_options(options: Options) -> dict[str, str]:
    given = {"target": options.target, "task": options.task}
    return {name: value for name, value in given.items() if value is not None}


def _table(run: LoadedRun, outputs: np.ndarray) -> str:
    """One row per input: the prediction, and for classes the probability of each where the loss gives one."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = run.config["data"]["target_names"]
    if not names:
        writer.writerow(["prediction"])
        digits = _digits(run, outputs)
        writer.writerows([f"{value:.{digits}g}"] for value in outputs)
        return text.getvalue()
    scores = np.stack([-outputs, outputs], -1) if outputs.ndim == 1 else outputs
    table = _probabilities(run.config["loss"], outputs)
    writer.writerow(["prediction", *(f"probability_{name}" for name in names if table is not None)])
    for i, label in enumerate(scores.argmax(-1)):
        writer.writerow([names[label], *(f"{p:.6f}" for p in (table[i] if table is not None else ()))])
    return text.getvalue()


def _digits(run: LoadedRun, outputs: np.ndarray) -> int:
    """As many as show 7 digits of what varies: a small spread about a large mean takes more."""
    spread = float(run.scalings["target"].scale) if "target" in run.scalings else 1.0
    largest = float(np.abs(outputs).max(initial=spread))
    return min(17, 7 + max(0, math.ceil(math.log10(largest / spread)))) if math.isfinite(largest) else 7


def _probabilities(loss: str, outputs: np.ndarray) -> np.ndarray | None:
    entry = LOSSES[loss]
    return None if entry.probabilities is None else np.asarray(entry.probabilities(jnp.asarray(outputs)))
