"""Metrics that reduce rightly, over masked rows and over chunks.

A mean of chunk means is no mean, and no average of chunk areas is the area under a curve. So a metric is a
pair: `measure` keeps of one chunk what the answer needs (sums, moments, counts or the scores themselves), and
`result` makes the answer of the stacked stats of all. However the rows are split, it is that of the whole:

    result(stack(measure(chunk) for chunk in chunks)) = metric(prediction, target, weight)

Called, a metric does both for one array. A row of weight 0 has no influence, not even if it holds NaN; what
has no value (the mean of no rows, the area under the curve of one class) is NaN. Weights are at least 0 (a negative one is
NaN, and a ValueError where it is concrete); to all but counts only their ratios matter, whatever their size.

Predictions are scores: (n, C) of them with (n,) int classes, where the highest wins and the first of equals;
or (n,) with labels (n,) in {0, 1} or {-1, +1}, where a score > 0 means the positive class. A label that is none of these
makes the value NaN; called with concrete arrays, a metric raises a ValueError that says so. Further axes are averaged.
"""

from collections.abc import Callable
from typing import NamedTuple

from gdjax.metrics.classification import (
    accuracy,
    confusion_counts,
    correct,
    in_top_k,
    perplexity,
    precision,
    recall,
    roc_auc,
    top_k_accuracy,
    zero_one,
    zero_one_error,
)
from gdjax.metrics.metric import Metric, mean
from gdjax.metrics.regression import mean_absolute_error, mean_squared_error, r2

__all__ = [
    "METRICS",
    "Metric",
    "MetricEntry",
    "accuracy",
    "confusion_counts",
    "correct",
    "in_top_k",
    "mean",
    "mean_absolute_error",
    "mean_squared_error",
    "perplexity",
    "precision",
    "r2",
    "recall",
    "roc_auc",
    "top_k_accuracy",
    "zero_one",
    "zero_one_error",
]


class MetricEntry(NamedTuple):
    """A metric (a factory if it takes arguments), its task, and whether higher is better (None: neither)."""

    metric: Metric | Callable[..., Metric]
    task: str
    higher_is_better: bool | None


METRICS: dict[str, MetricEntry] = {
    "accuracy": MetricEntry(accuracy, "classification", True),
    "zero_one_error": MetricEntry(zero_one_error, "classification", False),
    "top_k_accuracy": MetricEntry(top_k_accuracy, "classification", True),
    "perplexity": MetricEntry(perplexity, "classification", False),
    "confusion_counts": MetricEntry(confusion_counts, "classification", None),
    "precision": MetricEntry(precision, "classification", True),
    "recall": MetricEntry(recall, "classification", True),
    "roc_auc": MetricEntry(roc_auc, "classification", True),
    "mean_squared_error": MetricEntry(mean_squared_error, "regression", False),
    "mean_absolute_error": MetricEntry(mean_absolute_error, "regression", False),
    "r2": MetricEntry(r2, "regression", True),
}
