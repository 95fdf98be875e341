"""What the five estimators have in common: their arguments, and what they accept as rows, labels and weights."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _check_sample_weight

from gdjax.calls import Optimizer, Schedule, as_optimizer
from gdjax.estimators.bases import BaseEstimator
from gdjax.tree import refuse_masked

# What scikit-learn's validation knows of the arguments of all five.
ARGUMENTS: dict[str, Any] = {
    "optimizer": "no_validation",  # by `as_optimizer`, whose message says what to write
    "schedule": [callable, None],
    "batch_size": [Interval(Integral, 1, None, closed="left"), None],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "random_state": ["random_state"],
}
BATCH = 200  # rows, where a descent is in batches and their size is not given


class Rows(NamedTuple):
    """The rows that weigh something."""

    x: np.ndarray  # (n, d)
    y: np.ndarray  # (n,) or (n, k)
    weights: np.ndarray  # (n,) float64 > 0


class Estimator(BaseEstimator):
    """The base of the five."""

    optimizer: Any
    schedule: Any
    batch_size: int | None
    max_iter: int
    tol: float
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    random_state: Any
    n_features_in_: int
    n_iter_: int
    loss_curve_: list[float]
    validation_loss_curve_: list[float] | None

    def _rows(self, x: Any, y: Any, sample_weight: Any, first: bool = True, **options: Any) -> Rows:
        """What was given, checked with scikit-learn's words."""
        x, y = validated(self, x, y, reset=first, **options)
        weights = _check_sample_weight(sample_weight, x, dtype=np.float64)
        if (weights < 0).any():
            raise ValueError("Negative values in data passed to `sample_weight`")
        counts = weights > 0
        if not counts.any():
            raise ValueError("Sample weights must contain at least one non-zero number.")
        return Rows(x, y, weights) if counts.all() else Rows(x[counts], y[counts], weights[counts])

    def _method(self, default: Callable[..., Optimizer], rate: float) -> Optimizer:
        """The optimizer, with the schedule as its learning rate.

        Args:
            default: the factory of what is used where no optimizer is given, and its learning rate where no schedule is.
        """
        if self.optimizer is None:
            return default(rate if self.schedule is None else self.schedule)
        name = type(self).__name__
        try:
            optimizer = as_optimizer(self.optimizer)
        except TypeError as error:
            raise TypeError(f"{name}: optimizer: {error}") from None
        if self.schedule is None:
            return optimizer
        if "learning_rate" not in optimizer.arguments:
            raise ValueError(
                f"{name}: schedule takes the place of the optimizer's own learning_rate, got {optimizer!r}, which has none; "
                "write the schedule where its rate is, and leave schedule out"
            )
        return optimizer.replace(learning_rate=self.schedule)

    def _seed(self) -> int:
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _keep_curves(self, found: Any) -> None:
        self.n_iter_, self.loss_curve_ = found.iterations, found.losses
        self.validation_loss_curve_ = found.validation_losses


def is_scheduled(optimizer: Optimizer) -> bool:
    """Whether the learning rate follows a schedule, so that a run is meant to last as long as it does."""
    return any(isinstance(node, Schedule) for node in optimizer.walk())


def validated(estimator: Any, *args: Any, **options: Any) -> Any:
    """scikit-learn's `validate_data`, a method before 1.6, for arrays without masked cells, whose mask it would lose."""
    for given in (*args, *options.values()):
        refuse_masked(type(estimator).__name__, (), given)
    try:
        from sklearn.utils.validation import validate_data
    except ImportError:
        return estimator._validate_data(*args, **options)
    return validate_data(estimator, *args, **options)
