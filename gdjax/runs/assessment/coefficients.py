"""The coefficients of a linear model in the units of the file, with their standard errors.

    regression    target   = intercept + sum_j coefficient_j value_j         covariance: s² (Z^T Z)^-1, s² = RSS / (n - p)
    logistic      log odds = intercept + sum_j coefficient_j value_j         covariance: (Z^T W Z)^-1, W = diag(p (1 - p))

Of a category the coefficient of a level is its difference from the most frequent level, which has none: a feature for every
level would be one too many. The model is fitted to standardized features; they are turned back here.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdjax.tables import Encoding
from gdjax.tables.encoders import Dates, Levels, YesNo

if TYPE_CHECKING:
    from gdjax.runs.options import TrainOptions
    from gdjax.runs.work import Work

FAR = 0.1  # standard errors from the minimum, beyond which the errors do not hold
SMALLEST = 1e-10  # eigenvalue, as a share of the largest, of a direction that the rows do not determine
UNKNOWN = "not determined by the rows: it goes with others"
BLOCK = 1 << 16  # rows that are summed at a time


@dataclasses.dataclass(frozen=True)
class Coefficient:
    """A coefficient with its standard error, NaN where there is none.

    Args:
        name: of the feature, or "intercept".
        value, error: in the units of the target over those of the column.
        low, high: its 95 % interval.
        note: what a unit is, where it is not that of the file, or that the rows do not determine it.
    """

    name: str
    value: float
    error: float
    low: float
    high: float
    note: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Coefficients:
    """The coefficients of a linear model, the intercept first.

    Args:
        of: what they add up to.
        rows: to which they are fitted.
        why_not: why there are no standard errors; "" where there are.
        covariance: of the coefficients, in their order; NaN where there are no errors.
    """

    of: str
    rows: int
    coefficients: tuple[Coefficient, ...]
    references: tuple[str, ...]
    why_not: str
    covariance: np.ndarray

    def to_json(self) -> dict[str, Any]:
        said = {"of": self.of, "rows": self.rows, "references": self.references, "no_errors_because": self.why_not}
        return said | {"coefficients": [vars(each) for each in self.coefficients]}


class Fit(NamedTuple):
    """What a linear model was fitted to, in the units of training.

    Args:
        x, y: (n, d) features, (n,) targets or labels.
        w, b: the parameters, (d,) and a number.
        mean, scale: of the target, whose units are those of training times `scale`; 0 and 1 of labels.
        is_logistic: else least squares.
    """

    x: np.ndarray
    y: np.ndarray
    w: np.ndarray
    b: float
    mean: float
    scale: float
    is_logistic: bool


def coefficients_of(work: Work, options: TrainOptions, params: Any) -> Coefficients | None:
    """The coefficients of a run of linear_regression or logistic_regression; None of any other."""
    model, config = options.model, work.config
    one = isinstance(params, dict) and set(params) == {"w", "b"} and np.ndim(params["w"]) == 2
    if model not in ("linear_regression", "logistic_regression") or not one or config.data.numbers != "standardized":
        return None
    assert isinstance(work.encoding, Encoding)
    target, logistic = work.parts.target, model == "logistic_regression"
    mean, scale = (0.0, 1.0) if target is None else (float(np.asarray(each)) for each in target)
    w, b = (np.asarray(params[name], np.float64).ravel() for name in ("w", "b"))
    x, y = (np.asarray(each) for each in work.parts.train)
    fit = Fit(x, y.astype(np.float64), w, float(b[0]), mean, scale, logistic)
    of = f"log odds of {work.subject.classes[1]!r}" if logistic else config.data.target
    return in_units(fit, work.encoding, of, _why_not(work, logistic))


def _why_not(work: Work, logistic: bool) -> str:
    config = work.config
    if config.weight_decay:
        return f"weights are decayed ({config.weight_decay:g}), which biases them towards 0"
    if config.class_weights:
        return "the classes are weighted"
    if config.loss != ("binary_cross_entropy_from_logits" if logistic else "squared_error"):
        return f"the loss is {config.loss.replace('_', ' ')}"
    return ""


def in_units(fit: Fit, encoding: Encoding, of: str, why_not: str = "") -> Coefficients:
    """The coefficients of a fit in the units of the file.

    Args:
        why_not: a reason why there can be no standard errors.
    """
    names, reference = encoding.feature_names, _references(encoding)
    kept = np.array([i for i in range(len(names)) if i not in reference.values()], int)
    w, b = fit.w.copy(), fit.b
    for features, level in reference.items():
        b += fit.w[level]
        w[list(features)] -= fit.w[level]
    center, scale = encoding.affine()
    encoded = ~np.isfinite(center + scale)
    center, scale = (np.where(encoded, value, each)[kept] for value, each in ((0.0, center), (1.0, scale)))
    # (intercept, coefficients) = turn @ (b, w) + (mean, 0)
    turn = fit.scale * np.diag(np.concatenate([[1.0], 1 / scale]))
    turn[0, 1:] = -fit.scale * center / scale
    values = turn @ np.concatenate([[b], w[kept]])
    values[0] += fit.mean
    covariance, known, why_not, quantile = _covariance(fit, kept, why_not)
    covariance = turn @ covariance @ turn.T
    errors = np.sqrt(np.where(known, np.diag(covariance), np.nan))
    labels = ["intercept", *(names[i] for i in kept)]
    notes = ["", *_notes(encoding, names, kept, encoded)]
    notes = [note if determined else UNKNOWN for note, determined in zip(notes, known, strict=True)]
    found = tuple(
        Coefficient(name, float(value), float(error), *_interval(float(value), quantile * float(error)), note)
        for name, value, error, note in zip(labels, values, errors, notes, strict=True)
    )
    levels = tuple(names[level] for level in reference.values())
    return Coefficients(of, len(fit.x), found, levels, why_not, covariance)


def _interval(value: float, half: float) -> tuple[float, float]:
    return value - half, value + half


def _references(encoding: Encoding) -> dict[tuple[int, ...], int]:
    """The features of which exactly one is 1 in each row, and the one of them with which the others are compared."""
    found = {}
    for encoder in encoding.encoders:
        start = encoding.spans[encoder.name].start
        names = encoder.names
        if isinstance(encoder, Levels):
            group = range(start, start + len(names) - (encoder.order is not None))
        elif isinstance(encoder, Dates) and "weekday" in encoder.parts:
            first = start + names.index(f"{encoder.name} Mon")
            group = range(first, first + 7)
        else:
            continue
        found[tuple(group)] = group[0]
    return found


def _notes(encoding: Encoding, names: tuple[str, ...], kept: np.ndarray, encoded: np.ndarray) -> list[str]:
    yes = {name for each in encoding.encoders if isinstance(each, YesNo) for name in each.names}
    return ["of the encoding" if encoded[i] else "yes against no" if names[i] in yes else "" for i in kept]


def _covariance(fit: Fit, kept: np.ndarray, why_not: str) -> tuple[np.ndarray, np.ndarray, str, float]:
    """The covariance of (b, w) in the units of training, which of them the rows determine, why not, and the quantile."""
    from scipy.stats import norm, t

    size = len(kept) + 1
    none = np.full((size, size), np.nan), np.ones(size, bool)
    if why_not or len(fit.x) <= size:
        return *none, why_not or f"{size} coefficients need more than {len(fit.x)} training rows", np.nan
    gram, gradient, squares = _sums(fit, kept)
    inverse, known, rank = _inverse(gram)
    free = len(fit.x) - rank
    phi = 1.0 if fit.is_logistic else squares / free
    covariance = phi * inverse
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.abs(inverse @ gradient) / np.sqrt(np.diag(covariance))
    if phi > 0 and (distance := float(np.nanmax(np.where(known, away, 0.0)))) > FAR:
        said = f"training stopped {distance:.2g} standard errors from the minimum of the loss on the training rows"
        return *none, said, np.nan
    return covariance, known, "", float(norm.ppf(0.975) if fit.is_logistic else t.ppf(0.975, free))


def _sums(fit: Fit, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Z^T W Z, Z^T (y - prediction) and the sum of the squared errors, over the rows, where Z has a first column of ones."""
    size = len(kept) + 1
    gram, gradient, squares = np.zeros((size, size)), np.zeros(size), 0.0
    for i in range(0, len(fit.x), BLOCK):
        x, y = fit.x[i : i + BLOCK].astype(np.float64), fit.y[i : i + BLOCK]
        output = x @ fit.w + fit.b
        predicted = 1 / (1 + np.exp(-output)) if fit.is_logistic else output
        z = np.concatenate([np.ones((len(x), 1)), x[:, kept]], axis=1)
        weight = predicted * (1 - predicted) if fit.is_logistic else np.ones(len(x))
        gram += z.T @ (weight[:, None] * z)
        gradient += z.T @ (y - predicted)
        squares += float(np.sum((y - predicted) ** 2))
    return gram, gradient, squares


def _inverse(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """The inverse where the matrix has one, else the pseudoinverse; which coordinates are determined; and the rank."""
    scale = np.sqrt(np.maximum(np.diag(gram), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(gram / np.outer(scale, scale))
    there = values > SMALLEST * values.max()
    known = (vectors[:, ~there] ** 2).sum(axis=1) < 1e-6
    kept = vectors[:, there] / np.sqrt(values[there])
    return kept @ kept.T / np.outer(scale, scale), known, int(there.sum())
