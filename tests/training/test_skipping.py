"""What no update uses: batches whose gradient is not finite, and those that are too few at the end."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_loop import equal

import gdjax as gd
from gdjax import stopping

RNG = np.random.default_rng(8)
ROWS, SIZE, RATE = 30, 4, 0.1
X = RNG.normal(size=(ROWS, 2)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0]) + 0.1 * RNG.normal(size=ROWS)).astype(np.float32)
BAD = 9  # a row of the third batch of eight, of which the last has two rows
SKIPPING = {"skip": gd.skip_non_finite, "scale": gd.scale_loss, "both": lambda x: gd.skip_non_finite(gd.scale_loss(x))}


def rows(bad=(BAD,)):
    x = X.copy()
    x[list(bad)] = np.nan
    return x, Y


def squares(w, x, y):
    error = x @ w - y
    return jnp.mean(error**2), {"error": jnp.mean(jnp.abs(error))}


def fit(optimizer, data=None, loss=squares, **options):
    options = {"batch_size": SIZE, "order": "sequence", **options}
    return gd.fit(loss, np.zeros(2, np.float32), optimizer, rows() if data is None else data, **options)


def by_numpy(epochs, bad):
    """Descent without the batches of bad rows: the parameters, the mean loss of each epoch, the losses of all batches."""
    w, means, losses = np.zeros(2), [], []
    for _ in range(epochs):
        seen, weights = [], []
        for i in range(0, ROWS, SIZE):
            x, y = X[i : i + SIZE].astype(float), Y[i : i + SIZE].astype(float)
            error = x @ w - y
            skipped = any(i <= row < i + SIZE for row in bad)
            losses.append(np.nan if skipped else np.mean(error**2))
            if not skipped:
                seen, weights = [*seen, np.mean(error**2)], [*weights, len(x)]
                w = w - RATE * 2 * error @ x / len(x)
        means.append(np.average(seen, weights=weights) if seen else np.nan)
    return w, means, losses


@pytest.mark.parametrize("bad", [(BAD,), (0, 29), tuple(range(0, ROWS, SIZE))], ids=["one", "first and last", "all"])
@pytest.mark.parametrize("name", SKIPPING)
def test_a_run_goes_on_past_batches_that_are_skipped_and_leaves_them_out(name, bad):
    result = fit(SKIPPING[name](gd.sgd(RATE)), rows(bad), epochs=3)
    w, means, _ = by_numpy(3, bad)
    assert result.stop.name == "BUDGET" and int(result.last.batches) == 24
    np.testing.assert_allclose(result.last.params, w, rtol=1e-5)
    np.testing.assert_allclose(result.history["loss"], means, rtol=1e-5)
    assert np.isfinite(result.history["error"]).all() == np.isfinite(means).all()
    assert result.history["skipped"].tolist() == [len(bad), 2 * len(bad), 3 * len(bad)]
    assert result.steps == 24 - 3 * len(bad)
    assert f"{3 * len(bad)} updates were skipped: gradients were not finite" in result.remarks
    assert ("no evaluation was finite, the parameters are the first" in str(result)) == (len(bad) == 8)


def test_a_period_all_of_which_was_skipped_is_no_evaluation():
    """It neither ends a run nor counts as one without improvement, and what diverges is measured by the first known loss."""
    bad = (0, 9, 13)
    losses = np.array([np.mean(Y[i : i + SIZE] ** 2) for i in range(0, ROWS, SIZE)])
    losses[[row // SIZE for row in bad]] = np.nan
    losses, best, waited, length = np.tile(losses, 3), np.inf, 0, 0
    while waited < 3:
        if not np.isnan(value := losses[length]):
            best, waited = (value, 0) if value < best else (best, waited + 1)
        length += 1
    result = fit(gd.skip_non_finite(gd.sgd(0.0)), rows(bad), epochs=3, every=1, stop=stopping.patience(3))
    assert result.stop.name == "PATIENCE"
    np.testing.assert_allclose(result.history["loss"], losses[:length], rtol=1e-6)
    assert int(result.last.evaluation.count) == result.steps == np.isfinite(losses[:length]).sum() < length
    assert result.run_state.first_loss == pytest.approx(losses[1], rel=1e-6)
    assert fit(gd.skip_non_finite(gd.sgd(0.01)), (rows((0,))[0], 1e4 * Y), epochs=2).stop.name == "BUDGET"


def test_a_run_with_skipped_batches_is_cut_and_resumed_as_any_other():
    optimizer = gd.average(gd.skip_non_finite(gd.adam(0.1)), 0.9)
    whole, first = fit(optimizer, epochs=3), fit(optimizer, steps=10)
    again = fit(optimizer, epochs=3, resume=first)
    equal((again.last.params, again.last.opt_state), (whole.last.params, whole.last.opt_state))
    assert again.history["skipped"].tolist() == [1, 1, 2, 3]


def test_without_a_finite_loss_that_is_let_through_the_run_ends():
    data = rows(range(12, ROWS))
    first = fit(gd.sgd(RATE), data, epochs=3)
    assert (
        first.stop.name == "NON_FINITE"
        and "; data[0] is not finite in " in str(first)
        and ", the first at [12, " in str(first)
    )
    result = fit(gd.skip_non_finite(gd.sgd(RATE), max_consecutive=2), data, epochs=3)
    assert result.stop.name == "NON_FINITE" and int(result.last.batches) == 6
    parts = gd.partition({"a": gd.skip_non_finite(gd.sgd(RATE)), "b": gd.sgd(RATE)}, {"w": "a", "b": "b"})
    loss = lambda p, x, y: squares(p["w"] + p["b"], x, y)  # noqa: E731
    start = {"w": np.zeros(2, np.float32), "b": np.zeros(2, np.float32)}
    assert gd.fit(loss, start, parts, data, batch_size=SIZE, order="sequence", epochs=3).stop.name == "NON_FINITE"


def test_the_model_state_of_a_skipped_batch_is_the_one_before():
    def loss(w, seen, batch, key):
        x, y = batch
        return *squares(w, x, y), {
            "mean": 0.9 * seen["mean"] + 0.1 * jnp.mean(x, axis=0),
            "batches": seen["batches"] + 1,
        }

    state = {"mean": jnp.zeros(2), "batches": jnp.int32(0)}
    result = fit(gd.skip_non_finite(gd.sgd(RATE)), loss=gd.stateful(loss), model_state=state, epochs=1)
    mean = np.zeros(2)
    for i in range(0, ROWS, SIZE):
        if not i <= BAD < i + SIZE:
            mean = 0.9 * mean + 0.1 * X[i : i + SIZE].mean(axis=0)
    np.testing.assert_allclose(result.last.model_state["mean"], mean, rtol=1e-5)
    assert result.last.model_state["batches"] == 7


@pytest.mark.parametrize(
    ("every", "left", "steps"), [(3, "2 batches were", 2), (7, "1 batch was", 1), (20, "8 batches were", 0), (4, "", 2)]
)
def test_a_result_says_what_accumulation_has_left_over(every, left, steps):
    result = fit(gd.accumulate(gd.sgd(RATE), every), (X, Y), epochs=1)
    said = [remark for remark in result.remarks if "left over" in remark]
    assert said == ([f"{left} left over at the end: too few for an update"] if left else [])
    assert result.steps == steps and ("no update was made" in str(result)) == (steps == 0)


def test_a_run_may_keep_the_last_parameters_alone():
    run, best = (
        gd.make_run(gd.make_epoch(gd.make_step(squares), SIZE), gd.make_evaluate(squares), keep_best=keep)
        for keep in (False, True)
    )
    found = []
    for each in (run, best):
        state = gd.make_state(np.zeros(2, np.float32), gd.average(gd.sgd(RATE), 0.5))
        start = gd.start_run(each, state, stopping.never(), (X, Y), (X, Y))
        found.append(jax.jit(each)(start, (X, Y), (X, Y), 3))
    (last, kept), result = found, gd.training.summarize(run, found[0])
    assert last.best == () and len(jax.tree.leaves(kept.best)) == 1
    equal(last._replace(best=()), kept._replace(best=()))
    np.testing.assert_array_equal(result.params, gd.training.evaluation_params(last.state))
    assert str(result).endswith("the parameters are the last")
    with pytest.raises(ValueError, match="make_run: run_state must be of a run with keep_best=True"):
        best(last, (X, Y), (X, Y), 4)
    alone = fit(gd.sgd(RATE), (X, Y), epochs=2, keep_best=False)
    np.testing.assert_array_equal(alone.params, fit(gd.sgd(RATE), (X, Y), epochs=2).params)
    assert alone.run_state.best == ()


def test_iterate_may_donate_its_states():
    epoch, state = gd.make_epoch(gd.make_step(squares), SIZE), gd.make_state(np.zeros(2, np.float32), gd.adam(0.1))
    kept = [state for state, _ in gd.iterate(epoch, state, (X, Y), epochs=3)]
    donated = [state for state, _ in gd.iterate(epoch, kept[0], (X, Y), epochs=2, keep=False)]
    equal(donated[-1], kept[-1])
    assert donated[0].params.is_deleted() and kept[0].params.is_deleted() and not kept[1].params.is_deleted()


class Named(NamedTuple):
    """Parameters that have the names of what an optimizer says."""

    skipped: jax.Array
    waiting: jax.Array
    loss_scale: jax.Array


def test_parameters_may_have_any_name():
    """Their moments in the optimizer's state have it too, and say nothing."""
    losses = []
    for kind in (Named, lambda *x: dict(zip("abc", x, strict=True))):
        loss = lambda p, x, y: squares(sum(jax.tree.leaves(p)), x, y)  # noqa: E731
        result = gd.fit(loss, kind(*np.zeros((3, 2), np.float32)), gd.adam(0.1), (X, Y), batch_size=SIZE, epochs=2)
        losses.append(result.history["loss"])
        assert "skipped" not in result.history and result.remarks == ()
    np.testing.assert_array_equal(*losses)
