"""gdjax: the compiled run alone, as `make_run` returns it, with a state that is made for each call."""

from __future__ import annotations

import jax
import numpy as np

import gdjax as gd
from gdjax.programs import compile_once

from ..training_case import TrainingCase

NAME, PACKAGES = "gdjax, compiled run", ("gdjax", "jax")


def build(case: TrainingCase):
    train, validation = (gd.data.to_device(rows) for rows in case.rows())
    cross_entropy = gd.losses.softmax_cross_entropy_with_integer_labels
    loss = gd.per_example(gd.supervised(gd.models.mlp(case.sizes), cross_entropy, {"accuracy": gd.metrics.correct}))
    run = gd.make_run(gd.make_epoch(gd.make_step(loss), case.batch), gd.make_evaluate(loss))
    program, start = compile_once(run), tuple(case.start())
    steps = np.int32(case.steps // case.epochs)  # a number, as `fit` gives it

    def call():
        state = gd.make_state(start, gd.adam(case.rate), key=2)
        first = gd.start_run(run, state, gd.stopping.patience(case.epochs), train, validation, case.epochs)
        last = jax.block_until_ready(program(first, train, validation, case.epochs, 0.0, steps))
        return last.history["validation_accuracy"]

    return call
