"""The predictions of a run as CSV, a line for each input row."""

from __future__ import annotations

import csv
import io
import math

import jax.numpy as jnp
import numpy as np

from gdjax.losses import LOSSES
from gdjax.runs.folder import LoadedRun


def predictions(run: LoadedRun, x: np.ndarray) -> str:
    """One line per row of x: the prediction and, for classes, their probabilities if the loss defines them."""
    outputs, names = np.asarray(run.predict(x)), run.config.data.target_names
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if not names:
        writer.writerow(["prediction"])
        digits = _digits(run, outputs)
        writer.writerows([f"{value:.{digits}g}"] for value in outputs)
        return text.getvalue()
    scores = np.stack([-outputs, outputs], -1) if outputs.ndim == 1 else outputs
    table = _probabilities(run.config.loss, outputs)
    writer.writerow(["prediction", *(f"probability_{name}" for name in names if table is not None)])
    for i, label in enumerate(scores.argmax(-1)):
        writer.writerow([names[label], *(f"{p:.6f}" for p in (table[i] if table is not None else ()))])
    return text.getvalue()


def _digits(run: LoadedRun, outputs: np.ndarray) -> int:
    """The number of digits that shows 7 digits of the variation: a small spread about a large mean needs more."""
    spread = float(run.scalings["target"].scale) if "target" in run.scalings else 1.0
    largest = float(np.abs(outputs).max(initial=spread))
    return min(17, 7 + max(0, math.ceil(math.log10(largest / spread)))) if math.isfinite(largest) else 7


def _probabilities(loss: str, outputs: np.ndarray) -> np.ndarray | None:
    entry = LOSSES[loss]
    return None if entry.probabilities is None else np.asarray(entry.probabilities(jnp.asarray(outputs)))
