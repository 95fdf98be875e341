"""Lanes equal the runs alone, stop one by one, keep their bits, and harm no other."""

import jax
import numpy as np
import pytest

import gdjax as gd
from gdjax import stopping
from gdjax.sweeps._sweep import Arguments, studies_of
from gdjax.sweeps.blocks import outcomes_of, run_block, start_block
from gdjax.training import Length

ROWS = 90
AXES = {"learning_rate": [1e-3, 0.05, 1e30], "dropout": [0.0, 0.2], "strength": [0.0, 1e-2]}


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


def arguments():
    """Two noisy classes, and a last batch that is shorter."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(ROWS + 30, 4))
    y = (x @ draw.normal(size=4) + draw.normal(size=len(x)) > 0).astype(np.int32)
    model = gd.models.mlp((4, 8, 2), dropout=0.1)
    losses = gd.supervised(model, gd.losses.softmax_cross_entropy_with_integer_labels)
    return Arguments(
        loss=gd.per_example(losses, penalty=gd.losses.l2(1e-3)),
        params=model,
        optimizer=gd.adam(gd.schedules.cosine(0.1, 60)),
        data=(x[:ROWS], y[:ROWS]),
        validation=(x[ROWS:], y[ROWS:]),
        length=Length(epochs=5.5),
        batch_size=40,
        order="shuffle",
        stop=stopping.patience(2),
        monitor="loss",
        evaluate=None,
        model_state=(),
    )


def run(study, block):
    """What became of the lanes of a block, and their states."""
    running = start_block(study, block)
    for after in run_block(study, block, running):
        running = after
    return outcomes_of(study, block, running), running.states


def test_lanes_equal_the_runs_alone(subtests):
    given = arguments()
    axes = {"optimizer.learning_rate.init_value": [1e-3, 0.05, 1e30], "dropout": [0.0, 0.2], "strength": [0.0, 1e-2]}
    configurations = gd.sweeps.grid(axes)
    (study,) = studies_of(given, configurations, [3, 4])
    print(study.way)
