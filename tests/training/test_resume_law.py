"""The law of resuming: run(0 .. n) = resume(run(0 .. k), k .. n) to the last bit, through the disk, cut within an epoch.

It is asked of every optimizer, wrapper and transform, of every schedule and condition, and of a model with batch norm,
dropout, attention and recurrence. What goes by the clock is outside of it.
"""

import sys
import zlib
from pathlib import Path

import all_kinds
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_loop import equal

import gdjax as gd
from gdjax import stopping

sys.path += [str(Path(__file__).parents[1] / name) for name in ("laws", "schedules")]
from test_optimizer_laws import ALL
from test_schedules import CASES as SCHEDULES

RNG = np.random.default_rng(5)
X = RNG.normal(size=(19, 3)).astype(np.float32)
DATA = X, (X @ np.array([[1.0, -2.0], [0.5, 1.0], [0.0, 1.0]]) + 0.1).astype(np.float32)
PARAMS = {"m": np.full((3, 2), 0.1, np.float32), "v": np.zeros(2, np.float32)}
LAST = 3  # evaluations, one every five batches
NO_RUN = (
    "gauss_newton",
    "levenberg_marquardt",
    "dpsgd",
)  # take residuals, or a gradient per example: no run gives them
TESTED = (  # in the suite, each for a kind of state; all others nightly
    *("lbfgs", "average", "looksam", "accumulate", "reduce_on_plateau"),
    "stochastic_rounding",  # its key is one of its numbers, as that of add_noise is
)


def squares(params, x, y, key):
    noise = 0.0 if key is None else 0.1 * jax.random.normal(key, y.shape)
    return jnp.mean((x @ params["m"] + params["v"] - y + noise) ** 2)


def check_resuming(folder, loss, params, optimizer, stop=None, model_state=(), last=LAST, data=DATA):
    validation = jax.tree.map(lambda x: x[:7], data)
    run = gd.make_run(gd.make_epoch(gd.make_step(loss, batch_change=True), 4), gd.make_evaluate(loss))

    def start(key):
        state = gd.make_state(params, optimizer, key, model_state)
        return gd.start_run(run, state, stop or stopping.never(), data, validation, steps=np.int32(5))

    def go_on(run_state, **options):
        return gd.segments(run, run_state, data, validation, last, seconds=0, **options)

    *_, whole = go_on(start(3), batches=1000)
    number = zlib.crc32(repr(optimizer).encode())
    cut = 5 * (1 + number % (int(whole.state.batches) // 5 - 1)) + 2 + number % 3  # some batches after an evaluation
    kept = next(go_on(start(3), batches=cut))
    gd.save_run(folder / "cut", kept)
    *_, on = [kept, *go_on(gd.load_run(folder / "cut", like=start(8)), batches=1000)]
    assert int(kept.state.batches) == cut
    equal(on, whole)


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=() if x in TESTED else pytest.mark.nightly) for x in ALL if x not in NO_RUN]
)
def test_every_optimizer_goes_on_as_if_it_had_never_stopped(name, tmp_path):
    check_resuming(tmp_path, squares, PARAMS, ALL[name]())


@pytest.mark.parametrize(
    "schedule",
    [pytest.param(x, marks=() if i == 1 else pytest.mark.nightly) for i, x in enumerate(SCHEDULES)],
    ids=repr,
)
def test_every_schedule_goes_on(schedule, tmp_path):
    check_resuming(tmp_path, squares, PARAMS, gd.sgd(schedule, momentum=0.5))


ENDS = {  # conditions that wait for something, so that their states are in the middle of it where the run is cut
    "patience": (stopping.patience(2), gd.sgd(0.0)),
    "change": (stopping.change(1e-3), gd.sgd(0.3)),
    "change over a batch": (stopping.change(0.1, "batch"), gd.sgd(0.1)),
    "target": (stopping.target(0.5), gd.sgd(0.1)),
    "budget": (stopping.budget(epochs=2, steps=12), gd.sgd(0.1)),
    "divergence": (stopping.any_of(stopping.non_finite(), stopping.divergence(1e6)), gd.sgd(0.1)),
}


@pytest.mark.parametrize("name", [pytest.param(x, marks=[pytest.mark.nightly] * (x != "patience")) for x in ENDS])
def test_every_condition_goes_on(name, tmp_path):
    stop, optimizer = ENDS[name]
    check_resuming(tmp_path, squares, PARAMS, optimizer, stop, last=8)


def test_a_network_of_all_kinds_goes_on(tmp_path):
    """Batch norm, dropout, attention and recurrence, whose key, state and order all matter."""
    model, data = all_kinds.ALL, all_kinds.rows(19)
    start, model_state = model.init(jax.random.key(0)), model.init_state()
    check_resuming(tmp_path, all_kinds.loss_of(model), start, gd.adam(0.05), model_state=model_state, data=data)
