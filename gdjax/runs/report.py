"""The report of a run: the numbers of result.json, the pictures, and the text printed at the end."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gdjax.losses import LOSSES
from gdjax.models import summary
from gdjax.plots import boundary, confusion, curves, layer_flow, style
from gdjax.programs import compile_once
from gdjax.runs.assessment._assess import Assessment
from gdjax.runs.config import RunConfig
from gdjax.runs.prediction import decide
from gdjax.text import counted, listing, table
from gdjax.training import Result

if TYPE_CHECKING:
    from gdjax.runs.work import Work

LARGE = 1e6  # from which on a score is written with a power of ten
MOST_REMARKS = 8
NOT_JUDGED = "There are no test rows: how good the run is on new rows is not known (--split or --test gives some)."
Scores = Mapping[str, Mapping[str, float]]  # part of the data -> metric -> value


def numbers(result: Result) -> dict[str, Any]:
    """What result.json holds of every run."""
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
    }


def score_table(config: RunConfig, scores: Scores, metric: str, digits: int = 4) -> str:
    """A line for each part of the data: the number of rows, the loss, the metric."""
    lines: list[tuple[str, ...]] = [("", "rows", "loss", metric)]
    for name, values in scores.items():
        lines.append((name, str(config.data.rows[name]), *(_fixed(values[each], digits) for each in ("loss", metric))))
    apart = ["rows count by the weights of their classes"] if config.class_weights else []
    apart += ["the likeliest class is taken, not that by the threshold"] if config.threshold is not None else []
    return textwrap.indent("\n".join([table(lines, right=(1, 2, 3)), *(f"({said})" for said in apart)]), "  ")


def _fixed(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if abs(value) < LARGE else f"{value:.{digits}e}"


def describe_run(
    work: Work,
    result: Result,
    scores: Scores,
    found: Assessment | None = None,
    held_out: Mapping[str, Any] | None = None,
    missing: str = "",
) -> str:
    """The text printed at the end.

    Args:
        found: None where there is nothing to judge the run by.
        held_out: the scores of training rows by models that were trained without their fold, where there are folds.
        missing: why there are no intervals.
    """
    job, understanding = work.job, work.problem.understanding
    gradient_flow = job.flow(result)
    lines = [
        f"target {understanding.target!r}: {understanding.task}, {understanding.reason}",
        *_said_of_table(work),
        str(work.problem.rows),
        f"{work.subject.name}: {job.objective.model}, {summary(result.params).total} parameters, {job.optimizer}",
        str(result),
        "",
        score_table(work.config, scores, job.objective.metric),
        *([] if held_out is None else [_cross_validated(held_out)]),
        "",
        *([] if len(work.parts.test[0]) else [_wrapped(NOT_JUDGED), ""]),
        *([] if found is None else [*(_wrapped(each) for each in (found.headline, *found.sentences())), ""]),
        *([_wrapped(missing), ""] if missing else []),
        *([] if gradient_flow is None else [str(gradient_flow), ""]),
    ]
    return "\n".join(lines)


def _said_of_table(work: Work) -> list[str]:
    """What has become of the columns and the cells, as lines: first the columns that are left out."""
    found = work.problem.understanding
    left = [f"{each.name!r} ({each.kind}{f': {each.reason}' if each.reason else ''})" for each in found.left_out]
    said = [f"left out: {listing(left, MOST_REMARKS)}"] if left else []
    said += [*found.notes, *work.encoding.remarks, *found.remarks]
    more = [f"and {counted(len(said) - MOST_REMARKS, 'more remark')} in the report"] if len(said) > MOST_REMARKS else []
    return [f"  - {each}" for each in (*said[:MOST_REMARKS], *more)]


def _cross_validated(held_out: Mapping[str, Any]) -> str:
    """The scores out of the folds, each with its standard error."""
    pairs = [(name, each) for name, each in held_out.items() if name != "folds"]
    said = [f"{name.replace('_', ' ')} {each['mean']:.4g} ± {each['standard_error']:.2g}" for name, each in pairs]
    return f"  {held_out['folds']} folds of the training rows, each held out: {', '.join(said)}"


def _wrapped(sentence: str) -> str:
    return textwrap.fill(sentence, 120, subsequent_indent="  ")


def pictures(work: Work, result: Result) -> dict[str, Any]:
    """The learning curves; for a classification the confusion matrix of the test rows; with two numbers the boundary."""
    job, subject, parts = work.job, work.subject, work.parts
    loss_name, metric, model = job.objective.loss_name, job.objective.metric, job.objective.model
    params = job.objective.params_of(result)
    unit = "nats" if "cross_entropy" in loss_name else "standardized units" if metric == "r2" else ""
    label = loss_name.replace("_", " ") + (f" ({unit})" if unit else "")
    best = result.best_evaluation if result.best_evaluation >= 0 and result.run_state.best else None
    made = {"curves.png": curves(result.history, best, f"{subject.name}: {job.optimizer}", metric, loss_label=label)}
    gradient_flow = job.flow(result)
    if gradient_flow is not None:
        title = f"{subject.name}: {model}, {style.shorten(job.optimizer, 40)}"
        made["flow.png"] = layer_flow(gradient_flow, title, result.history["epoch"])
    if subject.task == "classification" and len(parts.test[0]):
        labels, _ = decide(work.config, np.asarray(compile_once(job.objective.fitted.apply)(params, parts.test[0])))
        counts, y = np.zeros((len(subject.classes),) * 2), np.asarray(parts.test[1])
        np.add.at(counts, (y[y >= 0], labels[y >= 0]), 1)
        made["confusion.png"] = confusion(counts, subject.classes, f"{subject.name}: {(y >= 0).sum()} test rows")
    columns = work.problem.understanding.columns
    if subject.task == "classification" and [column.kind for column in columns] == ["number", "number"]:
        made["boundary.png"] = _decision(work, result)
    return made


def _decision(work: Work, result: Result) -> Any:
    """The picture of the decision over two numbers, in their own units."""
    from pandas import DataFrame

    shown = LOSSES[work.job.objective.loss_name].probabilities or (lambda scores: scores)
    objective, problem = work.job.objective, work.problem
    apply, params = compile_once(objective.fitted.apply), objective.params_of(result)
    names = [column.name for column in problem.understanding.columns]

    def predict(points: np.ndarray) -> np.ndarray:
        x = work.encoding.transform(DataFrame(points, columns=names)).astype(work.job.dtype)
        return np.asarray(shown(apply(params, x).astype(float)))

    def part(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return problem.table.frame.iloc[rows][names].to_numpy(float), problem.y[rows]

    title = f"{work.subject.name}: {work.job.objective.model}"
    train, test = part(problem.rows.train), part(problem.rows.test)
    return boundary(predict, *train, work.subject.classes, names, test, title)
