"""Numbers and scores as people read them."""

from __future__ import annotations

import math

from gdjax.runs.assessment.resampling import Estimate

WORDS = {"log_loss": "log loss", "accuracy": "accuracy", "rmse": "RMSE", "mae": "MAE", "r2": "r²", "auc": "AUC"}
PERCENT = ("accuracy", "share", "precision", "recall", "f1")


def measure_words(score: str) -> str:
    return WORDS.get(score, score.replace("_", " "))


def brief(estimate: Estimate, score: str = "") -> str:
    """A value and its interval: "54.2 (48.0 to 60.1)", with digits enough to tell the interval's ends apart."""
    times, unit = (100, " %") if score in PERCENT else (1, "")
    value, low, high = (times * each for each in estimate)
    if not math.isfinite(low + high):
        return f"{rounded(value, abs(value) / 100)}{unit}"
    value, low, high = (rounded(each, (high - low) / 2 or abs(value) / 100) for each in (value, low, high))
    return f"{value}{unit} ({low} to {high}{unit})"


def rounded(value: float, uncertainty: float) -> str:
    """A value with two digits of its uncertainty, "1,234.6" or "1.2346e-20"."""
    if not math.isfinite(value):
        return "–"
    if not (uncertainty > 0 and math.isfinite(uncertainty)):
        return f"{value:.4g}"
    last = math.floor(math.log10(uncertainty)) - 1  # power of ten of the last digit
    size = math.floor(math.log10(abs(value))) if value else last
    if last >= -9 and -5 < max(size, last) < 8:
        return f"{round(value, -last):,.{max(0, -last)}f}".replace("-", "−")
    return f"{value:.{max(0, size - last)}e}".replace("-", "−")


def percent(share: float, digits: int = 1) -> str:
    """A share in percent; never 100 for less than all, nor 0 for more than none."""
    if not math.isfinite(share):
        return "–"
    least = 10.0**-digits
    shown = 100 * share if share in (0.0, 1.0) else min(max(100 * share, least), 100 - least)
    return f"{shown:.{digits}f} %".replace("100.0 %", "100 %")
