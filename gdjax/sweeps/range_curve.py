"""What a curve of a range test says: losses along a rate that grows geometrically, read by one rule for all optimizers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FALL = 0.9  # of the way from the first loss to the least one
STEPS = 28  # that the fall would take at the suggested rate; see `find_learning_rate`
SHARE = 20  # a twentieth of the curve on either side is averaged
NOISES = 6  # standard errors by which a loss that falls must have fallen


class CurveReading(NamedTuple):
    """The reading of one curve."""

    rate: float  # the suggestion; NaN where the loss never fell
    smooth: np.ndarray  # the averaged losses, NaN after the end
    fell: bool
    rose: bool  # again, before the range ended
    begun: bool  # whether the range began below the rates at which the loss falls


def read_curve(rates: np.ndarray, losses: np.ndarray) -> CurveReading:
    """The reading of one lane.

    Args:
        rates: (n,), growing.
        losses: (n,), of a batch before the step with each rate; NaN or infinite from where the lane ended.
    """
    width = max(1, len(rates) // SHARE)
    finite = np.isfinite(losses)
    number = len(losses) if finite.all() else int(np.argmin(finite))
    if number <= width:  # it diverged at once
        return CurveReading(np.nan, np.full(len(rates), np.nan), fell=False, rose=True, begun=False)
    known = losses[:number].astype(float)
    smooth, shrink = _average(known, width)
    first = float(known[: width + 1].mean())
    end = _risen(smooth, first)
    lowest = int(np.argmin(smooth[:end]))
    fall = first - smooth[lowest]
    noise = 1.4826 * float(np.median(np.abs(known - smooth)[: lowest + 1]))
    reached = int(np.argmax(smooth <= first - FALL * fall))
    rate = min(float(rates[:reached].sum()) / STEPS, float(rates[max(reached - 1, 0)]))
    fell = bool(fall > max(NOISES * shrink * noise, 1e-3 * abs(first)) and reached > 0)
    ended = end < len(rates)
    return CurveReading(
        rate=rate if fell else np.nan,
        smooth=np.pad(smooth, (0, len(rates) - number), constant_values=np.nan),
        fell=fell,
        rose=bool(ended or smooth[-1] > smooth[lowest] + (1 - FALL) * fall),
        begun=bool(reached > width and rate >= rates[0]),
    )


def _average(losses: np.ndarray, width: int) -> tuple[np.ndarray, float]:
    """The running mean with the weights of a Hann window, and the factor by which it shrinks independent noise."""
    kernel = np.hanning(2 * width + 3)[1:-1]
    kernel /= kernel.sum()
    padded = np.pad(losses, width, mode="edge")
    return np.convolve(padded, kernel, "valid"), float(np.sqrt(np.sum(kernel**2)))


def _risen(smooth: np.ndarray, first: float) -> int:
    """The index from which the loss is farther above the first than it had fallen below, and than the first's size."""
    fallen = first - np.minimum.accumulate(smooth)
    risen = smooth > first + np.maximum(fallen, abs(first))
    return max(1, int(np.argmax(risen))) if risen.any() else len(smooth)
