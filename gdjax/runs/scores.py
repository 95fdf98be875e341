"""How good predictions are, in the units of the file: of numbers RMSE, MAE and r2, of classes log loss and accuracy."""

from __future__ import annotations

from typing import Any

import numpy as np

from gdjax.runs.config import RunConfig
from gdjax.runs.prediction import decide

SMALLEST = 1e-15  # probability in a log loss, which is finite


def score(config: RunConfig, outputs: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The scores of a model's outputs.

    Args:
        outputs: (n,) predictions in the units of the file, or scores of classes.
        y: (n,) numbers in these units, or labels.
    """
    if not len(config.data.target_names):
        return of_numbers(outputs, y)
    labels, table = decide(config, outputs)
    found = {"accuracy": float(np.mean(labels == y))}
    return {"log_loss": log_loss(table, y), **found} if table.shape[1] else found


def of_numbers(predictions: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """RMSE sqrt(mean e²), MAE mean |e|, and r2 = 1 - sum e² / sum (y - mean y)²; r2 is NaN where y does not vary."""
    errors, spread = predictions - y, np.sum((y - y.mean()) ** 2)
    r2 = 1 - np.sum(errors**2) / spread if spread else np.nan
    return {"rmse": float(np.sqrt(np.mean(errors**2))), "mae": float(np.mean(np.abs(errors))), "r2": float(r2)}


def log_loss(table: np.ndarray, y: np.ndarray) -> float:
    """The mean of -log p of the true class, (n, C) probabilities."""
    return float(-np.mean(np.log(np.maximum(table[np.arange(len(y)), y], SMALLEST))))


def coverage(low: np.ndarray, high: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """The share of rows inside their interval, with a 95 % interval of its own (Clopper & Pearson 1934), and its width."""
    from scipy.stats import binomtest

    inside = int(((low <= y) & (y <= high)).sum())
    share = binomtest(inside, len(y)).proportion_ci(0.95)
    width = float(np.mean(high - low))
    return {"share": inside / len(y), "interval": (float(share.low), float(share.high)), "mean_width": width}
