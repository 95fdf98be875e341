"""The scores of a run that was read back: on its own rows, or on those of another table."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from gdjax import tasks
from gdjax.runs.folder import LoadedRun
from gdjax.runs.intervals import level_of
from gdjax.runs.options import TrainOptions
from gdjax.runs.prediction import predictions, rounded, rows_to_predict
from gdjax.runs.problem import pose, targets
from gdjax.runs.report import score_table
from gdjax.runs.scores import coverage, score
from gdjax.runs.topology import on_devices
from gdjax.tables.pixels import described
from gdjax.text import counted, listing, table


def reevaluation(run: LoadedRun) -> str:
    """A table of the scores of each part of the run's own data, which are read and split again.

    Raises: ValueError if the data have changed, or were no file.
    """
    data, config = run.config.data, run.config
    if data.source in ("a data frame", "-"):
        raise ValueError(f"{run.folder} was not trained on a file that is still there: give one to evaluate it on")
    said: dict[str, Any] = {name: tuple(x) if isinstance(x, list) else x for name, x in data.reading.items()}
    said |= {"split": data.split, "split_seed": config.split_seed, "cv": config.folds or None}
    said |= {"numbers": data.numbers}  # which says whether rows are read as pixels
    said |= {"resume": True}  # its options are not judged again
    problem = pose(data.source, TrainOptions(**said))
    if problem.hash() != data.hash:
        raise ValueError(f"{data.source} has changed since {run.folder} was trained on it")
    _, parts = problem.arrays(run.encoding, run.target, config.dtype)
    objective = tasks.make_objective(run.model, config.loss, data.task, 1, config.class_weights)
    scores = {name: objective.scores(run.params, rows) for name, rows in parts.by_name().items()}
    return score_table(config, scores, objective.metric, digits=6)


def evaluate_on(run: LoadedRun, data: Any, level: float | None = None) -> str:
    """The scores on the rows of a table that has the target, in the units of the file.

    Raises: ValueError if no row has a target that the run knows, or a column is absent.
    """
    held = level_of(run.config, run.intervals, level, str(run.result.get("stop", "")))
    rows, config = rows_to_predict(run, data, keep_text=(run.config.data.target,)), run.config
    y = targets(rows, config.data.target, config.data.target_names)
    x = run.encoding.transform(rows.inputs(), dtype="float32")
    known = y >= 0 if config.data.target_names else np.isfinite(y)
    good = known & np.isfinite(x).all(axis=1)
    if not good.any():
        raise ValueError(f"{rows.origin}: no row has a target {config.data.target!r} that the run knows")
    outputs, y = run.outputs(x[good]), y[good]
    lines = [("rows", f"{len(y):,}"), *((name, f"{value:.6g}") for name, value in score(config, outputs, y).items())]
    if run.intervals is not None and held is not None:
        found = coverage(*run.intervals.bounds(outputs, lambda: run.outputs_of_folds(x[good]), held), y)
        low, high = found["interval"]
        lines.append((f"inside {held:.0%} intervals", f"{found['share']:.1%} ({low:.1%} to {high:.1%})"))
    left = {"without a known target": (~known).sum(), "with a spoiled cell": (known & ~good).sum()}
    said = [f"{counted(int(rows), 'row')} {why}" for why, rows in left.items() if rows]
    lines += [("left out", listing(said))] if said else []
    return "\n".join([table(lines, right=(1,)), *filter(None, [run.without_intervals if held is None else ""])])


def predicted_file(
    run: LoadedRun, path: str | os.PathLike[str], keep: list[str], level: float | None = None
) -> tuple[str, int]:
    """The predictions for a file as CSV, with columns of the file before them; and the number of rows.

    Raises: ValueError for a column that is not there.
    """
    import pandas

    rows = rows_to_predict(run, os.fspath(path), keep_text=tuple(keep))
    absent = [name for name in keep if name not in rows.frame.columns]
    if absent:
        raise ValueError(
            f"`keep={absent[0]}`: there is no such column in {path}; there are {listing(list(rows.frame.columns))}"
        )
    found = predictions(run, rows, level)
    if taken := [name for name in keep if name in found.columns]:
        raise ValueError(f"`keep={taken[0]}`: the predictions have a column of that name")
    spread = 1.0 if run.target is None else float(np.asarray(run.target.scale))
    kept = pandas.DataFrame({name: rows.text.get(name, rows.frame[name]) for name in keep}, index=found.index)
    whole = pandas.concat([kept, rounded(found, spread)], axis=1)
    return whole.to_csv(index=False, lineterminator="\n"), len(found)


def shown(run: LoadedRun) -> str:
    """What a run has learned and how good it is, as its folder says."""
    config, result = run.config, run.result
    data = config.data
    scores = {name: result[name] for name in data.rows if isinstance(result.get(name), dict)}
    metric = "r2" if data.task == "regression" else "accuracy"
    return "\n".join(
        [
            f"{run.folder}: {data.task} of {data.target!r} in {data.name}, started {config.started}",
            f"{config.model}, {result['parameters']} parameters, {config.optimizer}",
            described(data.shape)
            if data.shape
            else f"{data.numbers.replace('_', '-')} numbers of {len(data.columns)} columns: {', '.join(data.columns)}",
            f"ended {result['stop']} after {result['epochs']:g} epochs{on_devices(config)}",
            score_table(config, scores, metric),
            *(_judged(found) if isinstance(found := result.get("assessment"), dict) else []),
            f"repeat it: {config.command}",
        ]
    )


def _judged(assessment: dict[str, Any]) -> list[str]:
    """How good a run is, whether that is no better than no model, and what to bear in mind."""
    said = [assessment.get("headline"), assessment.get("alarm")]
    caveats = assessment.get("caveats")
    return [*(str(each) for each in said if each), *(f"  - {each}" for each in caveats or ())]
