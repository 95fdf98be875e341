"""Linear classifiers: LogisticRegression, whose loss may be that of a support vector machine or of the perceptron."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from gdjax.calls import Optimizer
from gdjax.estimators.classifier import CLASS_WEIGHT, Classifier
from gdjax.estimators.columns import Columns, room_for_columns, widen
from gdjax.estimators.descent import Descent, Problem, SquaredNorm, descend, descend_in_batches
from gdjax.estimators.estimator import ARGUMENTS, BATCH, Rows, validated
from gdjax.estimators.solution import shortest
from gdjax.losses import LOSSES
from gdjax.models import dense, zeros
from gdjax.optimizers import adam, newton, sgd, soap
from gdjax.schedules import cosine

RATE = 0.01  # of adam
LONGEST = 500  # columns for which SOAP keeps a basis


class Loss(NamedTuple):
    """A loss by its names in the catalogue, and the descent that suits it."""

    of_two: str
    of_several: str | None
    optimizer: Callable[[int], Optimizer]  # of the number of steps
    batch_size: int | None = None  # None takes all rows

    def name(self, classes: int) -> str:
        name = self.of_two if classes == 2 else self.of_several
        if name is None:
            raise ValueError(f"LogisticRegression: loss={self.of_two!r} is for two classes, got {classes} classes")
        return name


def _newton(steps: int) -> Optimizer:
    return newton()


def _soap(steps: int) -> Optimizer:
    return soap(cosine(0.1, steps), max_dim=LONGEST, weight_decay=0.0)


def _rosenblatt(steps: int) -> Optimizer:
    return sgd(1.0)


NAMES = {
    "log_loss": Loss("binary_cross_entropy_from_logits", "softmax_cross_entropy_with_integer_labels", _newton),
    "squared_hinge": Loss("squared_hinge", None, _newton),
    "hinge": Loss("hinge", "multiclass_hinge", _soap),
    "perceptron": Loss("perceptron", "multiclass_perceptron_loss", _rosenblatt, batch_size=1),
}


def _centered(x: np.ndarray) -> np.ndarray:
    """What is of several classes, around the mean of all, which no loss of them sees."""
    return x - x.mean(-1, keepdims=True) if x.shape[-1] > 1 else x


class LogisticRegression(Classifier):
    """Linear classification: a score for each class, x coef + intercept.

        two classes:  least C sum_i weight_i loss(x_i coef + intercept, y_i) + |coef|² / 2,   one score, that of the second
        more:         the same with scores (C,), one for each

    Args:
        C: > 0, as in scikit-learn; inf is no penalty, and of several solutions the shortest coefficients are taken.
        fit_intercept: whether there is an intercept, else it is 0.
        loss: "log_loss", the logarithm of the probability, by Newton's method; "hinge", that of the linear support vector
            machine, by `gdjax.soap`; "squared_hinge", of two classes, by Newton's method; or "perceptron", by Rosenblatt's
            rule, a row at a time (take C=inf: coefficients of zero have its least loss, and a penalty leads there). Only
            "log_loss" has probabilities.
        class_weight: a dict from labels to weights, "balanced" for classes that weigh the same together, or None.
        optimizer: any optimizer of gdjax or Optax. None is that of the loss; in batches, or with a schedule, `gdjax.adam`
            with a learning rate of 0.01.
        tol: the norm of the gradient of the mean loss, for standardized columns, at which a descent on all rows has
            converged; in batches, the least improvement of the loss.
        schedule, batch_size, max_iter, early_stopping, validation_fraction, n_iter_no_change, random_state: as for
            `LinearRegression`.

    Attributes: classes_, coef_ (1, d) or (C, d), intercept_ (1,) or (C,), n_iter_, loss_curve_ (of more than 100 steps on
        all rows, so many or fewer of them), validation_loss_curve_, n_features_in_, feature_names_in_.

    >>> from gdjax.estimators import LogisticRegression
    >>> machine = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], ["cold", "cold", "hot", "hot"])
    >>> print(machine.predict([[0.4], [2.6]]), machine.coef_, machine.predict_proba([[1.5]]))
    ['cold' 'hot'] [[0.95829]] [[0.5 0.5]]
    """

    C: float
    fit_intercept: bool
    loss: str
    coef_: np.ndarray  # (1, d) of two classes, else (C, d)
    intercept_: np.ndarray  # (1,) or (C,)
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "C": [Interval(Real, 0, None, closed="right")],
        "fit_intercept": ["boolean"],
        "loss": [StrOptions(set(NAMES))],
        "class_weight": CLASS_WEIGHT,
        **ARGUMENTS,
    }

    def __init__(
        self,
        C: float = 1.0,
        *,
        fit_intercept: bool = True,
        loss: str = "log_loss",
        class_weight: Any = None,
        optimizer: Any = None,
        schedule: Any = None,
        batch_size: int | None = None,
        max_iter: int = 1000,
        tol: float = 1e-9,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: Any = None,
    ):
        self.C = C
        self.fit_intercept = fit_intercept
        self.loss = loss
        self.class_weight = class_weight
        self.optimizer = optimizer
        self.schedule = schedule
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Fit to X (n, d) and labels y (n,), with weights (n,)."""
        self._validate_params()
        rows = self._encode(self._rows(X, y, sample_weight, dtype=np.float64))
        penalty = 1 / (self.C * rows.weights.sum())
        inputs = Columns.of(rows.x, rows.weights, self.fit_intercept).stretched(penalty)
        rows = rows._replace(x=inputs.apply(rows.x))
        with jax.enable_x64(True):
            found = self._descend(rows, (np.sqrt(penalty / 2) / inputs.scale[:, None]) ** 2)
            w = _centered(found.params["w"][: rows.x.shape[1]])
            if penalty == 0:
                w, *_ = shortest(rows._replace(y=rows.x @ w), inputs.scale)
        self.coef_ = w.T / inputs.scale
        self.intercept_ = _centered(found.params.get("b", np.zeros(w.shape[1]))) - self.coef_ @ inputs.center
        self._keep_curves(found)
        return self

    def _descend(self, rows: Rows, strength: np.ndarray) -> Descent:
        loss, k, d = NAMES[self.loss], len(self.classes_), rows.x.shape[1]
        entry, ours = LOSSES[loss.name(k)], self.optimizer is None and self.schedule is None
        if entry.labels == "sign":
            rows = rows._replace(y=2.0 * rows.y - 1)
        batch_size = self.batch_size or (loss.batch_size if ours else None)
        whole = batch_size is None and not self.early_stopping
        if ours and whole:  # these optimizers do not mind columns of zeros, and fewer shapes are compiled
            size = room_for_columns(d)
            rows, strength = rows._replace(x=widen(rows.x, size)), widen(strength.T, size).T
        model = dense(rows.x.shape[1], None if k == 2 else k, zeros(), bias=self.fit_intercept)
        own = ours and (whole or loss.batch_size is not None)
        optimizer = loss.optimizer(self.max_iter) if own else self._method(adam, RATE)
        problem = Problem(model, entry.function, SquaredNorm(jnp.asarray(strength)), optimizer)
        if whole:
            return descend(self, problem, rows)
        seed = self._seed()
        start = model.init(jax.random.key(seed))
        return descend_in_batches(self, problem, start, rows, batch_size or BATCH, seed)

    def _scores(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        scores = validated(self, X, reset=False, dtype=np.float64) @ self.coef_.T + self.intercept_
        return scores[:, 0] if len(self.classes_) == 2 else scores
