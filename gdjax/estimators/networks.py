"""Multilayer perceptrons: MLPClassifier and MLPRegressor."""

from __future__ import annotations

import dataclasses
from numbers import Integral, Real
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from gdjax.calls import Model
from gdjax.estimators.bases import MultiOutputMixin, RegressorMixin
from gdjax.estimators.classifier import CLASS_WEIGHT, Classifier
from gdjax.estimators.columns import Columns, room_for_rows
from gdjax.estimators.descent import Descent, Problem, SquaredNorm, descend_in_batches, go_on
from gdjax.estimators.estimator import ARGUMENTS, BATCH, Estimator, Rows, validated
from gdjax.losses import LOSSES
from gdjax.models import ACTIVATIONS, mlp
from gdjax.optimizers import adam
from gdjax.programs import compile_once
from gdjax.types import Params, TrainState

RATE = 0.001  # of adam
CHUNK = 4096  # rows that are predicted at once
DTYPES: list[Any] = [np.float64, np.float32]  # the first for what is neither
REAL_LOSSES = {name for name, loss in LOSSES.items() if loss.labels == "real"}


class Network(Estimator):
    """The base of both: columns of mean 0 and variance 1, an mlp, and training in batches."""

    n_iter_: int
    loss_curve_: list[float]
    validation_loss_curve_: list[float] | None

    hidden_layer_sizes: Any
    activation: Any
    alpha: float
    _model: Model
    _params: Params  # of the model, for standardized columns
    _inputs: Columns
    _last: TrainState | None
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS)), callable],
        "alpha": [Interval(Real, 0, None, closed="left")],
        **ARGUMENTS,
    }

    def _train(self, rows: Rows, outputs: int | None, loss: str) -> Any:
        """From the start; y is what the loss takes."""
        self._begin(rows, outputs)
        with jax.enable_x64(rows.x.dtype == np.float64):
            seed = self._seed()
            start = self._model.init(jax.random.key(seed))
            problem, batch_size = self._problem(rows, loss), self.batch_size or BATCH
            found = descend_in_batches(self, problem, start, self._scaled(rows), batch_size, seed)
        self._keep_curves(found)
        return self._keep(found)

    def _train_on(self, rows: Rows, outputs: int | None, loss: str) -> Any:
        """For one more epoch, from where the last one ended."""
        if self.early_stopping:
            raise ValueError(f"{type(self).__name__}: partial_fit holds no rows out, leave early_stopping=True out")
        before = getattr(self, "_last", None)
        if before is None:
            self._begin(rows, outputs)
            self._inputs = dataclasses.replace(self._inputs, constant=np.zeros_like(self._inputs.constant))
            self.n_iter_, self.loss_curve_, self.validation_loss_curve_ = 0, [], None
        with jax.enable_x64(self._dtype == np.float64):
            seed = self._seed() if before is None else 0
            start = self._model.init(jax.random.key(seed)) if before is None else self._params
            problem, batch_size = self._problem(rows, loss), self.batch_size or BATCH
            found = go_on(self, problem, start, self._scaled(rows), batch_size, seed, before)
        self.n_iter_, self.loss_curve_ = self.n_iter_ + 1, [*self.loss_curve_, *found.losses]
        return self._keep(found)

    def _begin(self, rows: Rows, outputs: int | None) -> None:
        sizes = np.atleast_1d(self.hidden_layer_sizes).tolist()
        self._model = mlp((rows.x.shape[1], *sizes, outputs), activation=self.activation)
        self._inputs, self._dtype = Columns.of(rows.x, rows.weights), rows.x.dtype

    def _problem(self, rows: Rows, loss: str) -> Problem:
        in_batch = rows.weights.mean() * min(self.batch_size or BATCH, len(rows.weights))
        penalty = SquaredNorm(jnp.asarray(self.alpha / (2 * in_batch), self._dtype))
        return Problem(self._model, LOSSES[loss].function, penalty, self._method(adam, RATE))

    def _scaled(self, rows: Rows) -> Rows:
        return rows._replace(x=self._inputs.apply(rows.x).astype(self._dtype))

    def _keep(self, found: Descent) -> Any:
        self._params, self._last = found.params, found.last
        return self

    def _outputs(self, X: Any) -> np.ndarray:
        """What the model says of each row, float64."""
        check_is_fitted(self)
        x = self._inputs.apply(validated(self, X, reset=False, dtype=DTYPES)).astype(self._dtype)
        parts = [x[first : first + CHUNK] for first in range(0, len(x), CHUNK)]
        with jax.enable_x64(self._dtype == np.float64):
            program = compile_once(outputs_of)
            found = [np.asarray(program(self._model, self._params, _padded(part)))[: len(part)] for part in parts]
        return np.concatenate(found).astype(np.float64)

    @property
    def coefs_(self) -> list[np.ndarray]:
        """The weights of the layers, those of the first for the columns as they are."""
        first, *rest = (layer["w"] for layer in self._params)
        return [first / self._inputs.scale[:, None], *rest]

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """The biases of the layers, those of the first for the columns as they are."""
        first, *rest = (layer["b"] for layer in self._params)
        return [first - self._inputs.center @ self.coefs_[0], *rest]


def outputs_of(model: Model, params: Params, x: jax.Array) -> jax.Array:
    return model.apply(params, x)


def _padded(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.zeros((room_for_rows(len(x)) - len(x), x.shape[1]), x.dtype)])


class MLPClassifier(Classifier, Network):
    """A multilayer perceptron for classes: `gdjax.models.mlp` on standardized columns, trained in batches.

        least mean of weight_i loss(mlp(x_i), y_i) over the batch + alpha |weights|² / (2 batch)

    It computes in the dtype of X: float32 on request, else float64, as scikit-learn.

    Args:
        hidden_layer_sizes: the numbers of hidden units, or one.
        activation: of the hidden units, a name in `gdjax.models.ACTIVATIONS` or a function.
        alpha: >= 0, the penalty of scikit-learn.
        class_weight: a dict from labels to weights, "balanced" for classes that weigh the same together, or None.
        optimizer: any optimizer of gdjax or Optax. None is `gdjax.adam` with a learning rate of 0.001.
        schedule: a schedule for the learning rate, in place of the optimizer's.
        batch_size: rows of a step, at least 1; None takes 200, or all if there are fewer.
        max_iter: maximal number of epochs.
        tol: the least improvement of the loss.
        early_stopping: whether to hold rows out, and to keep the parameters of the least loss on them.
        validation_fraction: the share of these rows, in (0, 1).
        n_iter_no_change: epochs without improvement after which the run ends.
        random_state: of the parameters, the order of the rows and those held out: a seed, a `RandomState`, or None.

    Attributes: classes_, coefs_ and intercepts_ (a layer each, the first for the columns as they are), n_iter_,
        loss_curve_, validation_loss_curve_, n_features_in_, feature_names_in_.
    Differs from: scikit-learn, which does not standardize, and stops early on the accuracy.

    >>> from gdjax.estimators import MLPClassifier
    >>> X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 10), np.array(["same", "other", "other", "same"] * 10)
    >>> network = MLPClassifier(16, schedule=gd.schedules.cosine(0.1, 100), max_iter=100, random_state=0).fit(X, y)
    >>> print(network.predict([[0, 1], [1, 1]]))
    ['other' 'same']
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {"class_weight": CLASS_WEIGHT, **Network._parameter_constraints}

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        alpha: float = 1e-4,
        class_weight: Any = None,
        optimizer: Any = None,
        schedule: Any = None,
        batch_size: int | None = None,
        max_iter: int = 200,
        tol: float = 1e-4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: Any = None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.alpha = alpha
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
        """Fit to X (n, d) and labels y (n,), with weights (n,), from the start."""
        self._validate_params()
        rows = self._encode(self._rows(X, y, sample_weight, dtype=DTYPES))
        return self._train(rows, *self._shape())

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Any:
        """Train for one epoch more; the optimizer, its schedule and the order of rows go on.

        Args:
            classes: all labels there will be, needed at the first call if y lacks some.
        """
        self._validate_params()
        if self.class_weight == "balanced":
            raise ValueError(
                "MLPClassifier: partial_fit does not know all rows; give class_weight as a dict, not 'balanced'"
            )
        first = getattr(self, "_last", None) is None
        known = None if first and classes is None else np.unique(classes) if first else self.classes_
        if not first and classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"MLPClassifier: classes must be those of the first call, {self.classes_.tolist()}, got {classes}"
            )
        rows = self._encode(self._rows(X, y, sample_weight, first, dtype=DTYPES), known)
        return self._train_on(rows, *self._shape())

    def _shape(self) -> tuple[int | None, str]:
        """The outputs of the model and the loss, by the number of classes."""
        if len(self.classes_) == 2:
            return None, "binary_cross_entropy_from_logits"
        return len(self.classes_), "softmax_cross_entropy_with_integer_labels"

    def _scores(self, X: Any) -> np.ndarray:
        return self._outputs(X)


class MLPRegressor(MultiOutputMixin, RegressorMixin, Network):
    """A multilayer perceptron for numbers: `MLPClassifier` for targets, which are standardized too.

    Args:
        loss: "half_squared_error", that of scikit-learn, or another of `gdjax.losses` for numbers: "squared_error",
            "absolute_error", "huber", "log_cosh".
        hidden_layer_sizes, activation, alpha, optimizer, schedule, batch_size, max_iter, tol, early_stopping,
        validation_fraction, n_iter_no_change, random_state: as for `MLPClassifier`.

    Attributes: those of `MLPClassifier` but classes_; loss_curve_, coefs_ and intercepts_ are for targets of mean 0 and
        variance 1.

    >>> from gdjax.estimators import MLPRegressor
    >>> X = np.linspace(-2, 2, 50)[:, None]
    >>> network = MLPRegressor(32, "tanh", schedule=gd.schedules.cosine(0.1, 200), random_state=0).fit(X, X[:, 0] ** 2)
    >>> print(np.round(network.predict([[1.5]]), 1))
    [2.3]
    """

    loss: str
    _targets: Columns
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "loss": [StrOptions(REAL_LOSSES)],
        **Network._parameter_constraints,
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        loss: str = "half_squared_error",
        alpha: float = 1e-4,
        optimizer: Any = None,
        schedule: Any = None,
        batch_size: int | None = None,
        max_iter: int = 200,
        tol: float = 1e-4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: Any = None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
        self.alpha = alpha
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
        """Fit to X (n, d) and y (n,) or (n, k), with weights (n,), from the start."""
        self._validate_params()
        rows = self._checked(X, y, sample_weight, first=True)
        self._targets = Columns.of(_as_columns(rows.y), rows.weights)
        return self._train(*self._standardized(rows))

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train for one epoch more; the optimizer, its schedule and the order of rows go on."""
        self._validate_params()
        first = getattr(self, "_last", None) is None
        rows = self._checked(X, y, sample_weight, first)
        if first:
            self._targets = Columns.of(_as_columns(rows.y), rows.weights)
        return self._train_on(*self._standardized(rows))

    def predict(self, X: Any) -> np.ndarray:
        """The predictions (n,) or (n, k) for X (n, d)."""
        found = self._outputs(X)
        return self._targets.revert(_as_columns(found)).reshape(found.shape)

    def _checked(self, X: Any, y: Any, sample_weight: Any, first: bool) -> Rows:
        rows = self._rows(X, y, sample_weight, first, dtype=DTYPES, y_numeric=True, multi_output=True)
        return rows

    def _standardized(self, rows: Rows) -> tuple[Rows, int | None, str]:
        y = self._targets.apply(_as_columns(rows.y)).reshape(rows.y.shape).astype(rows.x.dtype)
        return rows._replace(y=y), rows.y.shape[1] if rows.y.ndim > 1 else None, self.loss


def _as_columns(y: np.ndarray) -> np.ndarray:
    return np.asarray(y, np.float64).reshape(len(y), -1)
