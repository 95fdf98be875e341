"""What the classifiers have in common: labels as numbers, the weights of classes, and predictions from scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets

from gdjax.estimators.bases import ClassifierMixin
from gdjax.estimators.estimator import Estimator, Rows

CLASS_WEIGHT: list[Any] = [dict, StrOptions({"balanced"}), None]


def _has_probabilities(estimator: Any) -> bool:
    if (loss := getattr(estimator, "loss", "log_loss")) != "log_loss":
        raise AttributeError(f"loss={loss!r} gives scores, and no probabilities")
    return True


class Classifier(ClassifierMixin, Estimator):
    """The base of both."""

    class_weight: Any
    classes_: np.ndarray

    def _scores(self, X: Any) -> np.ndarray:
        """(n,) of two classes, else (n, C)."""
        raise NotImplementedError

    def decision_function(self, X: Any) -> np.ndarray:
        """The score of the second of two classes (n,), or of each class (n, C)."""
        return self._scores(X)

    def predict(self, X: Any) -> np.ndarray:
        """The labels (n,) for X (n, d)."""
        scores = self._scores(X)
        return self.classes_[scores.argmax(1) if scores.ndim > 1 else (scores > 0).astype(int)]

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class (n, C)."""
        scores = self._scores(X)
        return softmax(scores, axis=1) if scores.ndim > 1 else np.stack([expit(-scores), expit(scores)], axis=1)

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithm of the probability of each class (n, C)."""
        scores = self._scores(X)
        if scores.ndim > 1:
            return log_softmax(scores, axis=1)
        return np.stack([log_expit(-scores), log_expit(scores)], axis=1)

    def _encode(self, rows: Rows, classes: np.ndarray | None = None) -> Rows:
        """The rows with the numbers of their classes as y, and their weights times those of their classes.

        Args:
            classes: those there are, sorted; None takes those of the rows.

        Raises: ValueError in scikit-learn's words if y holds no labels, for fewer than two classes, and for others.
        """
        name = type(self).__name__
        check_classification_targets(rows.y)
        found = np.unique(rows.y)
        classes = found if classes is None else classes
        if len(classes) < 2:
            raise ValueError(f"{name}: y must have at least two classes, got one class, {found[0]}, alone")
        if unknown := sorted(set(found.tolist()) - set(classes.tolist())):
            raise ValueError(f"{name}: y must have labels among the classes {classes.tolist()}, got {unknown[0]!r}")
        numbers = np.searchsorted(classes, rows.y)
        self.classes_ = classes
        return Rows(rows.x, numbers, rows.weights * self._class_weights(classes, numbers, rows.weights))

    def _class_weights(self, classes: np.ndarray, numbers: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The weight of each row's class."""
        if self.class_weight != "balanced":  # weighted, as in scikit-learn 1.8
            return compute_class_weight(self.class_weight, classes=classes, y=classes[numbers])[numbers]
        each = np.bincount(numbers, weights, len(classes))
        return (weights.sum() / (len(classes) * np.where(each > 0, each, 1)))[numbers]
