"""The report of a run: the numbers of result.json, the pictures, and the text printed at the end."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gdjax import metrics
from gdjax.data import Dataset, standardize, unstandardize
from gdjax.losses import LOSSES
from gdjax.models import summary
from gdjax.plots import boundary, confusion, curves, layer_flow, style
from gdjax.programs import compile_once
from gdjax.runs.job import Job
from gdjax.tasks import Parts
from gdjax.text import table
from gdjax.training import Result

Scores = Mapping[str, Mapping[str, float]]  # part of the data -> metric -> value


def numbers(result: Result, scores: Scores) -> dict[str, Any]:
    """The content of result.json."""
    best = result.best_evaluation
    return {
        "stop": result.stop.name,
        "epochs": result.epochs,
        "steps": result.steps,
        "seconds": result.seconds,
        "compile_seconds": result.compile_seconds,
        "monitor": result.monitor,
        "best_value": result.best_value,
        "best_epoch": None if best < 0 else float(result.history["epoch"][best]),
        "parameters": summary(result.params).total,
        **scores,
    }


def score_table(rows: Mapping[str, int], scores: Scores, metric: str, digits: int = 4) -> str:
    """A line for each part of the data: the number of rows, the loss, the metric."""
    lines: list[tuple[str, ...]] = [("", "rows", "loss", metric)]
    for name, values in scores.items():
        lines.append((name, str(rows[name]), *(f"{values[each]:.{digits}f}" for each in ("loss", metric))))
    return textwrap.indent(table(lines, right=(1, 2, 3)), "  ")


def describe_run(folder: Path, job: Job, dataset: Dataset, parts: Parts, result: Result, scores: Scores) -> str:
    """The text printed at the end."""
    gradient_flow = job.flow(result)
    lines = [
        f"{dataset.name}: {job.objective.model}, {summary(result.params).total} parameters, {job.optimizer}",
        str(result),
        "",
        score_table(parts.rows(), scores, job.objective.metric),
        "",
        *([] if gradient_flow is None else [str(gradient_flow), ""]),
        f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}",
    ]
    return "\n".join(lines)


def pictures(job: Job, dataset: Dataset, parts: Parts, result: Result) -> dict[str, Any]:
    """The learning curves; for a classification the confusion matrix of the test rows; with two features the boundary."""
    loss_name, metric, model = job.objective.loss_name, job.objective.metric, job.objective.model
    unit = "nats" if "cross_entropy" in loss_name else "standardized units" if metric == "r2" else ""
    label = loss_name.replace("_", " ") + (f" ({unit})" if unit else "")
    best = result.best_evaluation if result.best_evaluation >= 0 else None
    made = {"curves.png": curves(result.history, best, f"{dataset.name}: {job.optimizer}", metric, loss_label=label)}
    gradient_flow = job.flow(result)
    if gradient_flow is not None:
        title = f"{dataset.name}: {model}, {style.shorten(job.optimizer, 40)}"
        made["flow.png"] = layer_flow(gradient_flow, title, result.history["epoch"])
    if dataset.task == "classification":
        x, y = parts.test
        counts = metrics.confusion_counts(len(dataset.target_names))(compile_once(model.apply)(result.params, x), y)
        title = f"{dataset.name}: {len(y)} test rows"
        made["confusion.png"] = confusion(np.asarray(counts), dataset.target_names, title)
    if dataset.task == "classification" and dataset.x.shape[1] == 2:
        made["boundary.png"] = _decision(job, dataset, parts, result)
    return made


def _decision(job: Job, dataset: Dataset, parts: Parts, result: Result) -> Any:
    """The picture of the decision over two features, in their own units."""
    inputs = parts.scalings["inputs"]
    shown = LOSSES[job.objective.loss_name].probabilities or (lambda scores: scores)
    apply = compile_once(job.objective.model.apply)

    def predict(points: np.ndarray) -> np.ndarray:
        x = standardize(inputs, points).astype(parts.train[0].dtype)
        return np.asarray(shown(apply(result.params, x).astype(float)))

    def in_own_units(x: jax.Array, y: jax.Array) -> tuple[np.ndarray, np.ndarray]:
        return unstandardize(inputs, x), np.asarray(y)

    train, test = in_own_units(*parts.train), in_own_units(*parts.test)
    title = f"{dataset.name}: {job.objective.model}"
    return boundary(predict, *train, dataset.target_names, dataset.feature_names, test, title)
