"""scikit-learn: `MLPClassifier`, which keeps as many rows to validate and the best weights, from a start of its own."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.neural_network import MLPClassifier

from ..training_case import TrainingCase

NAME, PACKAGES = "scikit-learn, MLPClassifier", ("sklearn",)


def build(case: TrainingCase):
    train, validation = case.rows()
    x, y = (np.concatenate(parts) for parts in zip(train, validation, strict=True))

    def call():
        network = MLPClassifier(
            case.sizes[1:-1],
            alpha=0.0,
            batch_size=case.batch,
            learning_rate_init=case.rate,
            max_iter=case.epochs,
            random_state=2,
            tol=0.0,
            early_stopping=True,
            validation_fraction=len(validation[0]) / len(x),
            n_iter_no_change=case.epochs,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return network.fit(x, y).validation_scores_

    return call
