"""The first step of a run with which it goes wrong, found again from a good state, and explained."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdjax as gd
from gdjax.backprop import replay
from gdjax.stopping import never, non_finite
from gdjax.types import Stop

ROWS, SIZE, BAD = 43, 5, 29  # nine batches an epoch, the last one ragged


@gd.per_example
def error(w, x, y):
    return (jnp.dot(w, x) - y) ** 2 + 0.0 * jnp.log(x[0])


@gd.per_example
def distance(w, x, y):
    return jnp.sqrt(jnp.abs(w[0]) * x[0]) + y * w[1]


def table(value):
    """Rows that are harmless, but for the first entry of row BAD."""
    x = 1 + np.random.default_rng(1).random((ROWS, 2)).astype(np.float32)
    x[BAD, 0] = value
    return x, np.ones(ROWS, np.float32)


class Stored:
    """The rows as data that are not in memory."""

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return ROWS

    def rows(self, indices):
        return jax.tree.map(lambda x: x[indices], self.data)


def begin(loss, data, condition):
    run = gd.make_run(gd.make_epoch(gd.make_step(loss), batch_size=SIZE))
    state = gd.make_state(jnp.array([1.0, 0.5]), gd.sgd(0.01, momentum=0.5), key=3)
    return run, gd.start_run(run, state, condition, data, None, steps=9)


def is_bad(run_state):
    return int(run_state.stop) == Stop.NON_FINITE or not np.isfinite(run_state.state.params).all()


@pytest.mark.parametrize(("loss", "value", "phase"), [(error, -1.0, "forward"), (distance, 0.0, "backward")])
def test_the_first_bad_step_is_found_and_explained(loss, value, phase):
    """It is that of a run cut after every batch, with the same bits before it, from wherever the search begins."""
    data = table(value)
    run, start = begin(loss, data, non_finite() if phase == "forward" else never())  # `never` goes on with NaN
    states = [start, *gd.segments(run, start, data, until=3, batches=1, seconds=0)]
    number = next(i for i, each in enumerate(states) if is_bad(each)) - 1
    assert number > 1 and int(states[-1].stop) == (Stop.NON_FINITE if phase == "forward" else Stop.RUNNING)
    for good in (states[0], states[number // 2], states[number]):
        failure = gd.find_failure(run, good, data, batches=int(states[-1].state.batches))
        for a, b in zip(jax.tree.leaves(failure.state), jax.tree.leaves(states[number].state), strict=True):
            assert np.array_equal(*(jax.random.key_data(x) if x.dtype == start.state.key.dtype else x for x in (a, b)))
        assert BAD in failure.rows and int(failure.state.batches) == number
        assert np.isfinite(failure.after[1]["loss"]) == (phase == "backward")
    for good in (start, states[number]):
        assert gd.find_failure(run, good, data, batches=int(good.state.batches)) is None
    stored = gd.find_failure(run, states[number], Stored(data), batches=number + 1)
    for a, b in zip(jax.tree.leaves(stored[1:]), jax.tree.leaves(failure[1:]), strict=True):
        assert a.dtype == start.state.key.dtype or np.array_equal(a, b, equal_nan=True)
    birth = replay(run.period.epoch.step, failure.state, failure.batch, failure.mask, failure.after)
    assert (birth.step, birth.phase) == (number, phase), str(birth)
    assert [int(failure.rows[i]) for i in birth.rows] == [BAD], str(birth)
    assert failure.leaves == (("loss",) if phase == "forward" else ("params",))
    assert gd.find_failure(run, start, data, batches=number) is None
    with pytest.raises(ValueError, match="find_failure: run_state must be finite, and at most"):
        gd.find_failure(run, states[-1], data, batches=50)


def test_a_batch_that_was_skipped_is_not_to_blame():
    """Of four bad batches in a row the first three are skipped, whose evaluations are NaN; the fourth is let through."""
    x, y = (np.ones((40, 2), np.float32), np.ones(40, np.float32))
    x[10:30] = np.nan
    optimizer = gd.skip_non_finite(gd.sgd(0.01), max_consecutive=3)
    run = gd.make_run(gd.make_epoch(gd.make_step(error), SIZE, order="sequence"))
    start = gd.start_run(run, gd.make_state(jnp.ones(2), optimizer), non_finite(), (x, y), None, steps=1)
    *_, end = gd.segments(run, start, (x, y), until=9, every=1)
    assert (int(end.stop), int(end.state.batches)) == (Stop.NON_FINITE, 6) and np.isnan(end.history["loss"][2:]).all()
    failure = gd.find_failure(run, start, (x, y), batches=6, every=1)
    assert int(failure.state.batches) == 5 and failure.rows.tolist() == [25, 26, 27, 28, 29]
    assert "loss" in failure.leaves


@pytest.fixture
def optimized():
    """Programs as users compile them, so that a product and a difference are rounded once."""
    was = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", was)


def spread(w, a, b, c):
    return jnp.mean((w - a) ** 2) + jnp.mean(jnp.sqrt(a * b - c))  # here


def test_a_run_that_goes_wrong_only_compiled(optimized, tmp_path):
    """c is a b as rounded: a b - c is 0 in two operations, and the rounding error where the two are one."""
    a, b = np.random.default_rng(2).normal(size=(2, 400)).astype(np.float32)
    exact = a.astype(np.float64) * b  # of two numbers of 24 bits: 48 bits
    below = np.flatnonzero(exact < (a * b).astype(np.float64))
    bad = below[5:8]
    data = a, b, np.where(np.isin(np.arange(400), bad), a * b, a * b - 1)
    if not np.isnan(np.asarray(jax.jit(spread)(0.5, *(x[bad] for x in data)))):
        pytest.skip("this processor rounds a product before it is subtracted from")
    options = {"epochs": 3, "batch_size": 4, "key": 0, "stop": non_finite()}
    result = gd.fit(spread, 0.5, gd.adam(0.01), data, **options)
    assert result.stop == Stop.NON_FINITE

    run = gd.make_run(gd.make_epoch(gd.make_step(spread), batch_size=4))
    start = gd.start_run(run, gd.make_state(0.5, gd.adam(0.01)), non_finite(), data, None, steps=100)
    failure = gd.find_failure(run, start, data, batches=int(result.run_state.state.batches))
    gd.save_run(tmp_path / "good", failure.run_state)
    good = gd.load_run(tmp_path / "good", start).state
    for after in (failure.after, None):
        birth = replay(run.period.epoch.step, good, failure.batch, failure.mask, after)
        assert birth.only_compiled and (birth.phase, birth.operation, birth.leaves[0]) == ("forward", "sqrt", "loss")
        assert birth.where.file == __file__ and birth.where.line == inspect.getsourcelines(spread)[1] + 1
        rows = np.asarray(failure.rows)
        assert set(rows[list(birth.rows)]) == {*rows} & {*bad} != set() and birth.step == int(good.batches)
        assert "It is so only in the compiled program" in str(birth)
