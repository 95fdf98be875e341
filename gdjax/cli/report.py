"""What is left of a run: the files of its folder, its pictures, and what a person reads at the end."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gdjax import metrics
from gdjax.cli.options import Options
from gdjax.cli.plan import Job, Parts
from gdjax.data import hash_of, standardize, unstandardize
from gdjax.losses import LOSSES
from gdjax.models import summary
from gdjax.plots import boundary, confusion, curves, layer_flow, save, style
from gdjax.programs import compiled
from gdjax.runs import folder as record
from gdjax.training import Result


def write(
    place: Path,
    options: Options,
    argv: list[str],
    job: Job,
    parts: Parts,
    result: Result,
    scores: dict[str, Any],
) -> None:
    """The files of the run folder."""
    dataset = parts.dataset
    record.write_json(
        place / "config.json",
        {
            "command": shlex.join(["gdjax", *argv]),
            "options": dataclasses.asdict(options),
            "data": {
                "name": dataset.name,
                "hash": hash_of(dataset),
                "task": dataset.task,
                "rows": {name: len(x) for name, (x, _) in parts.named().items()},
                "feature_names": dataset.feature_names,
                "target_names": dataset.target_names,
            },
            "model": repr(job.model),
            "loss": job.loss_name,
            "optimizer": repr(job.optimizer),
            "stop": repr(job.stop),
            "batch_size": job.batch_size,
            "seed": options.seed,
            "dtype": options.dtype,
            **record.environment(),
        },
    )
    record.write_history(place / "metrics.jsonl", result.history)
    record.write_json(
        place / "result.json",
        {
            "stop": result.stop.name,
            "epochs": result.epochs,
            "steps": result.steps,
            "seconds": result.seconds,
            "compile_seconds": result.compile_seconds,
            "monitor": result.monitor,
            "best_value": result.best_value,
            "best_epoch": best_epoch(result),
            "parameters": summary(result.params).total,
            **scores,
        },
    )
    record.write_arrays(place / "params.npz", result.params, parts.scalings)
    for name, picture in pictures(job, parts, result).items():
        save(picture, place / name)


def best_epoch(result: Result) -> float | None:
    return None if result.best_evaluation < 0 else float(result.history["epoch"][result.best_evaluation])


def pictures(job: Job, parts: Parts, result: Result) -> dict[str, Any]:
    """Curves always; for classes the confusion matrix of the test rows, and the boundary where there are two features."""
    dataset = parts.dataset
    unit = "nats" if "cross_entropy" in job.loss_name else "standardised units" if job.metric == "r2" else ""
    label = job.loss_name.replace("_", " ") + (f" ({unit})" if unit else "")
    best = result.best_evaluation if result.best_evaluation >= 0 else None
    made = {
        "curves.png": curves(result.history, best, f"{dataset.name}: {job.optimizer}", job.metric, loss_label=label)
    }
    seen = job.flow(result)
    if seen is not None:
        title = f"{dataset.name}: {job.model}, {style.shorten(job.optimizer, 40)}"
        made["flow.png"] = layer_flow(seen, title, result.history["epoch"])
    if dataset.task == "classification":
        x, y = parts.test
        counts = metrics.confusion_counts(len(dataset.target_names))(compiled(job.model.apply)(result.params, x), y)
        title = f"{dataset.name}: {len(y)} test rows"
        made["confusion.png"] = confusion(np.asarray(counts), dataset.target_names, title)
    if dataset.task == "classification" and dataset.x.shape[1] == 2:
        made["boundary.png"] = plane(job, parts, result)
    return made


def plane(job: Job, parts: Parts, result: Result) -> Any:
    """The picture of the decision over two features, in their own units."""
    dataset, inputs = parts.dataset, parts.scalings["inputs"]
    shown = LOSSES[job.loss_name].probabilities or (lambda scores: scores)
    apply = compiled(job.model.apply)

    def predict(points: np.ndarray) -> np.ndarray:
        x = standardize(inputs, points).astype(parts.train[0].dtype)
        return np.asarray(shown(apply(result.params, x).astype(float)))

    def in_own_units(x: jax.Array, y: jax.Array) -> tuple[np.ndarray, np.ndarray]:
        return unstandardize(inputs, x), np.asarray(y)

    train, test = in_own_units(*parts.train), in_own_units(*parts.test)
    title = f"{dataset.name}: {job.model}"
    return boundary(predict, *train, dataset.target_names, dataset.feature_names, test, title)


def report(folder: Path, job: Job, parts: Parts, result: Result, scores: dict[str, dict[str, float]]) -> str:
    """What a person wants to read at the end."""
    rows = {name: len(x) for name, (x, _) in parts.named().items()}
    seen = job.flow(result)
    lines = [
        f"{parts.dataset.name}: {job.model}, {summary(result.params).total} parameters, {job.optimizer}",
        str(result),
        "",
        f"  {'':<12}{'rows':>7}{'loss':>10}{job.metric:>10}",
        *(
            f"  {name:<12}{rows[name]:>7}{values['loss']:>10.4f}{values[job.metric]:>10.4f}"
            for name, values in scores.items()
        ),
        "",
        *([] if seen is None else [str(seen), ""]),
        f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}",
    ]
    return "\n".join(lines)
