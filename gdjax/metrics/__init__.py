"""Metrics that are correct over masked rows and over chunks.

The mean of chunk means is not the mean, and the average of chunk areas is not the area under the curve. So a metric is a
pair: `measure` reduces one chunk to statistics (sums, moments, counts or the scores themselves), and `result` computes the
value from the stacked statistics of all chunks. The value does not depend on the chunks:

    result(stack(measure(chunk) for chunk in chunks)) = metric(prediction, target, weight)

A call of a metric does both for one array. A row of weight 0 has no influence, even if it contains NaN; an undefined value
(the mean of no rows, the area under the curve of one class) is NaN. Weights must be at least 0 (a negative one gives NaN,
and a ValueError if it is concrete); except for counts, only their ratios matter.

Predictions are scores: (n, C) with (n,) int classes, of which the highest is predicted, and the first of equal ones; or (n,)
with labels (n,) in {0, 1} or {-1, +1}, where a score > 0 predicts the positive class. Any other label makes the value NaN
and, if the arrays are concrete, raises ValueError. Further axes are averaged; `per_token` makes rows of positions.
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
from gdjax.metrics.tokens import bits, bits_per_token, per_token

__all__ = [
    "METRICS",
    "Metric",
    "MetricEntry",
    "accuracy",
    "bits",
    "bits_per_token",
    "confusion_counts",
    "correct",
    "in_top_k",
    "mean",
    "mean_absolute_error",
    "mean_squared_error",
    "per_token",
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
    "bits_per_token": MetricEntry(bits_per_token, "classification", False),
    "confusion_counts": MetricEntry(confusion_counts, "classification", None),
    "precision": MetricEntry(precision, "classification", True),
    "recall": MetricEntry(recall, "classification", True),
    "roc_auc": MetricEntry(roc_auc, "classification", True),
    "mean_squared_error": MetricEntry(mean_squared_error, "regression", False),
    "mean_absolute_error": MetricEntry(mean_absolute_error, "regression", False),
    "r2": MetricEntry(r2, "regression", True),
}
