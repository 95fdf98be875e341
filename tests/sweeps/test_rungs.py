"""Successive halving over lanes: those that go on are the runs that they would have been, and nothing is trained twice."""

import collections

import jax
import numpy as np
import pytest

import gdjax as gd
from gdjax.sweeps.rungs import Between
from gdjax.sweeps.store import Store

RATES = [1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 1e30, 3e-3]
OPTIMIZERS = [gd.sgd(0.1, momentum=0.9, nesterov=nesterov) for nesterov in (False, True)]  # two programs
AXES = {"optimizer": OPTIMIZERS, "learning_rate": RATES}
SEEDS, EPOCHS, RUNGS, PER_EPOCH = [3, 5], 12, [2, 6], 3


@pytest.fixture(autouse=True, scope="module")
def wide():
    """Double precision, and lanes in turn, which takes one program for each shape of a block."""
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr("gdjax.sweeps.ways.SMALL", 0)
        yield


def swept(**options):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(60, 4))
    y = x @ draw.normal(size=4) + draw.normal(size=60)
    loss = gd.per_example(gd.supervised(gd.models.linear_regression(4), gd.squared_error))
    data = (x[:30], y[:30]), (x[30:], y[30:])
    model = gd.models.linear_regression(4)
    length = {"epochs": EPOCHS, "batch_size": 10}
    return gd.sweep(loss, model, gd.sgd(0.1), *data, axes=AXES, seeds=SEEDS, width=2, **length, **options)


@pytest.fixture(scope="module")
def tables():
    """Of all whole runs, and with rungs."""
    return swept(), swept(rungs=RUNGS)


def test_the_best_of_each_rung_go_on_as_the_runs_they_were(tables):
    whole, halved = tables
    assert len(halved) == len(whole) == 36 and halved.seed.tolist() == whole.seed.tolist()
    values = np.array([history["validation_loss"][:EPOCHS] if len(history["epoch"]) == EPOCHS else [np.inf] * EPOCHS
                       for history in whole.histories]).reshape(18, 2, EPOCHS)  # fmt: skip
    best = np.minimum.accumulate(values, axis=2).mean(1)
    to_second = np.argsort(best[:, RUNGS[0] - 1], kind="stable")[:6]
    to_last = to_second[np.argsort(best[to_second, RUNGS[1] - 1], kind="stable")[:3]]
    reached = np.full(18, RUNGS[0])
    reached[to_second], reached[to_last] = RUNGS[1], EPOCHS
    sound = np.isfinite(best[:, 0])
    assert 0 < (~sound).sum() < 18
    np.testing.assert_array_equal(halved.epochs.reshape(18, 2)[sound], np.stack([reached[sound]] * 2, 1))
    assert halved.steps[np.repeat(sound, 2)].sum() == 2 * PER_EPOCH * reached[sound].sum()
    for one, other in zip(halved.histories, whole.histories, strict=True):
        length = len(one["epoch"])
        for name in one:
            np.testing.assert_allclose(one[name], other[name][:length], rtol=1e-10, err_msg=name)
    assert halved.best() == halved.configurations[to_last[np.argmin(best[to_last, -1])]]


@pytest.fixture
def begun(monkeypatch):
    """Rung -> the evaluations that its blocks had when they began."""
    found, begin = collections.defaultdict(set), Between.begin

    def noting(between, study, block, *start):
        running = begin(between, study, block, *start)
        found[block.rung].add(running.done)
        return running

    monkeypatch.setattr(Between, "begin", noting)
    return found


def test_nothing_is_trained_twice(begun):
    swept(rungs=RUNGS)
    assert begun == {0: {0}, 1: {RUNGS[0]}, 2: {RUNGS[1]}}


def bits(table):
    return [x.tobytes() for history in table.histories for x in history.values()], table.best_value.tobytes()


@pytest.mark.parametrize("seconds", [0.0, 1e9])  # between checkpoints: at every segment, or at the end of a rung
def test_halving_that_was_interrupted_goes_on_to_the_same_bits(tables, begun, seconds, tmp_path, monkeypatch):
    monkeypatch.setattr("gdjax.sweeps.store.SECONDS", seconds)
    told = []

    def tell(progress):
        told.append(1 in begun)
        if sum(told) == 5:  # of at least three segments of each of six blocks
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        swept(rungs=RUNGS, out=tmp_path / "sweep", tell=tell)
    assert max(begun) == 1
    begun.clear()
    with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):  # and once more at the very end
        patch.setattr(Store, "finish", refuse_the_15th(Store.finish))
        swept(rungs=RUNGS, out=tmp_path / "sweep", resume=True)
    assert begun[0] == {RUNGS[0]}  # the first rung was not trained again
    table = swept(rungs=RUNGS, out=tmp_path / "sweep", resume=True)
    assert bits(table) == bits(tables[1])
    assert {each.suffix for each in (tmp_path / "sweep" / "blocks").iterdir()} == {".npz"}
    with pytest.raises(gd.CheckpointError, match="of another sweep: rungs"):
        swept(rungs=[3], out=tmp_path / "sweep", resume=True)


def refuse_the_15th(finish):
    calls = []

    def refuse(*args):
        calls.append(args)
        if len(calls) == 15:
            raise OSError("the disk is full")
        finish(*args)

    return refuse


@pytest.mark.parametrize("rungs", [[0], [4, 4], [13], [1.5]])
def test_rungs_that_do_not_increase_are_turned_down(rungs):
    with pytest.raises(ValueError, match="sweep: rungs must be whole numbers that increase from 1 to at most 12"):
        swept(rungs=rungs)
    with pytest.raises(ValueError, match="sweep: rungs need engine='local', where their states are, got 'ray'"):
        swept(rungs=RUNGS, engine="ray")
