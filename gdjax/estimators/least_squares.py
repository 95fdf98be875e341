"""Least squares: LinearRegression and Ridge."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from gdjax.estimators.bases import MultiOutputMixin, RegressorMixin
from gdjax.estimators.columns import Columns
from gdjax.estimators.descent import Descent, Problem, SquaredNorm, descend, descend_in_batches
from gdjax.estimators.estimator import ARGUMENTS, BATCH, Estimator, Rows, validated
from gdjax.estimators.solution import shortest
from gdjax.losses import half_squared_error
from gdjax.models import dense, zeros
from gdjax.optimizers import adam
from gdjax.types import Stop

RATE = 0.01  # of adam


class LeastSquares(MultiOutputMixin, RegressorMixin, Estimator):
    """The base of both, which differ in the penalty."""

    fit_intercept: bool
    coef_: np.ndarray  # (d,), or (k, d) of k targets
    intercept_: Any  # (), or (k,)
    _penalty: float  # alpha

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Fit to X (n, d) and y (n,) or (n, k), with weights (n,)."""
        self._validate_params()
        rows = self._rows(X, y, sample_weight, dtype=np.float64, y_numeric=True, multi_output=True)
        several, y = rows.y.ndim > 1, np.asarray(rows.y, np.float64).reshape(len(rows.y), -1)
        targets = Columns.of(y, rows.weights, self.fit_intercept)
        inputs = Columns.of(rows.x, rows.weights, self.fit_intercept).stretched(self._penalty / rows.weights.sum())
        rows = Rows(inputs.apply(rows.x), targets.apply(y), rows.weights)
        whole = self.optimizer is None and self.batch_size is None and not self.early_stopping
        with jax.enable_x64(True):
            found = self._solve(rows, inputs.scale) if whole else self._descend(rows, inputs.scale)
        coef = targets.scale[:, None] * found.params["w"].T / inputs.scale
        intercept = targets.center + targets.scale * found.params.get("b", 0) - coef @ inputs.center
        self.coef_, self.intercept_ = (coef, intercept) if several else (coef[0], intercept[0])
        self._keep_curves(found)
        return self

    def _solve(self, rows: Rows, scale: np.ndarray) -> Descent:
        """By Gauss-Newton, to which a sum of squares is one step."""
        w, steps, losses = shortest(rows, scale, self._penalty, self.tol if self._penalty == 0 else 0.0)
        return Descent({"w": w}, int(steps.max()), Stop.CONVERGED, losses.tolist())

    def _descend(self, rows: Rows, scale: np.ndarray) -> Descent:
        """By the optimizer, whole or in batches."""
        d, k = rows.x.shape[1], rows.y.shape[1]
        strength = (np.sqrt(self._penalty / (2 * k * rows.weights.sum())) / scale[:, None]) ** 2
        model, optimizer = dense(d, k, zeros(), bias=self.fit_intercept), self._method(adam, RATE)
        problem = Problem(model, half_squared_error, SquaredNorm(jnp.asarray(strength)), optimizer)
        if self.batch_size is None and not self.early_stopping:
            return descend(self, problem, rows)
        seed = self._seed()
        start = model.init(jax.random.key(seed))
        return descend_in_batches(self, problem, start, rows, self.batch_size or BATCH, seed)

    def predict(self, X: Any) -> np.ndarray:
        """The predictions (n,) or (n, k) for X (n, d)."""
        check_is_fitted(self)
        X = validated(self, X, reset=False, dtype=np.float64)
        return X @ self.coef_.T + self.intercept_


class LinearRegression(LeastSquares):
    """Linear regression without a penalty: least squares.

        y = x coef + intercept,    least sum_i weight_i |y_i - x_i coef - intercept|²

    Where the columns do not determine the coefficients (duplicates, more columns than rows), they are the shortest, as in
    scikit-learn.

    Args:
        fit_intercept: whether there is an intercept, else it is 0.
        optimizer: any optimizer of gdjax or Optax. None is one step of `gdjax.gauss_newton` on all rows, or in batches
            `gdjax.adam` with a learning rate of 0.01.
        schedule: a schedule for the learning rate, in place of the optimizer's.
        batch_size: rows of a step, at least 1; None takes all (200 with early_stopping).
        max_iter: maximal number of steps on all rows, or of epochs.
        tol: singular values of the standardized columns up to tol times the largest count as zero. With an optimizer on all
            rows, the norm of the gradient at which it has converged; in batches, the least improvement of the loss.
        early_stopping: whether to hold rows out, and to keep the coefficients that are best on them.
        validation_fraction: the share of these rows, in (0, 1).
        n_iter_no_change: epochs without improvement after which a run in batches ends.
        random_state: of the order of the rows and of those held out: a seed, a `RandomState`, or None.

    Attributes: coef_ (d,) or (k, d), intercept_, n_iter_, loss_curve_ and validation_loss_curve_ (of targets of unit
        variance), n_features_in_, feature_names_in_.
    Differs from: scikit-learn 1.9, whose tol compares the columns in their units, so that one that is a millionth of another
        is lost.

    >>> from gdjax.estimators import LinearRegression
    >>> line = LinearRegression().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
    >>> print(line.coef_, line.intercept_, line.predict([[3.0]]))
    [2.] 1.0 [7.]
    """

    _penalty = 0.0
    _parameter_constraints: ClassVar[dict[str, Any]] = {"fit_intercept": ["boolean"], **ARGUMENTS}

    def __init__(
        self,
        *,
        fit_intercept: bool = True,
        optimizer: Any = None,
        schedule: Any = None,
        batch_size: int | None = None,
        max_iter: int = 1000,
        tol: float = 1e-6,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: Any = None,
    ):
        self.fit_intercept = fit_intercept
        self.optimizer = optimizer
        self.schedule = schedule
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state


class Ridge(LeastSquares):
    """Linear regression with a penalty on the squares of the coefficients.

        y = x coef + intercept,    least sum_i weight_i |y_i - x_i coef - intercept|² + alpha |coef|²

    Args:
        alpha: >= 0, the penalty of scikit-learn's Ridge. 0 is `LinearRegression`.
        fit_intercept, optimizer, schedule, batch_size, max_iter, tol, early_stopping, validation_fraction,
        n_iter_no_change, random_state: as for `LinearRegression`.

    Attributes: those of `LinearRegression`.

    >>> from gdjax.estimators import Ridge
    >>> print(Ridge(alpha=2.0).fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]).coef_)
    [1.]
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "alpha": [Interval(Real, 0, None, closed="left")],
        **LinearRegression._parameter_constraints,
    }

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        optimizer: Any = None,
        schedule: Any = None,
        batch_size: int | None = None,
        max_iter: int = 1000,
        tol: float = 1e-6,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: Any = None,
    ):
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.optimizer = optimizer
        self.schedule = schedule
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state

    @property
    def _penalty(self) -> float:  # type: ignore[override]
        return float(self.alpha)
