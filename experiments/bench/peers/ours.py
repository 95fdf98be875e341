"""gdjax: `fit`, the whole call: from the arrays to the result."""

from __future__ import annotations

import gdjax as gd

from ..training_case import TrainingCase

NAME, PACKAGES = "gdjax", ("gdjax", "jax")


def build(case: TrainingCase):
    train, validation = (gd.data.to_device(rows) for rows in case.rows())
    loss = gd.per_example(
        gd.supervised(
            gd.models.mlp(case.sizes),
            gd.losses.softmax_cross_entropy_with_integer_labels,
            {"accuracy": gd.metrics.correct},
        )
    )
    start = tuple(case.start())

    def call():
        optimizer = gd.adam(case.rate)
        result = gd.fit(loss, start, optimizer, train, validation, epochs=case.epochs, batch_size=case.batch)
        return result.history["validation_accuracy"]

    return call
