"""Averaged parameters are evaluated and kept with the statistics that are theirs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdjax as gd

RNG = np.random.default_rng(4)
X = RNG.normal(1.0, 2.0, size=(24, 3)).astype(np.float32)
Y = (X @ np.array([1.0, -1.0, 0.5]) > 0).astype(np.float32)
START = {"w": np.array([0.1, 0.2, -0.1], np.float32), "scale": np.float32(1.0)}
STATE = {"mean": jnp.zeros(()), "var": jnp.ones(()), "batches": jnp.int32(0)}
MOMENTUM = 0.8


@gd.stateful
def normalized(params, seen, batch, key):
    """Batch norm of one unit: with a key by the rows' own statistics, without one by the running ones."""
    x, y = batch
    h = x @ params["w"]
    mean, var = (h.mean(), h.var()) if key is not None else (seen["mean"], seen["var"])
    error = params["scale"] * (h - mean) / jnp.sqrt(var + 1e-3) - y
    running = {name: MOMENTUM * seen[name] + (1 - MOMENTUM) * x for name, x in (("mean", mean), ("var", var))}
    return jnp.mean(error**2), {}, {**running, "batches": seen["batches"] + 1}


def value_by_numpy(params, mean, var):
    h = X.astype(float) @ np.asarray(params["w"], float)
    return np.mean((float(params["scale"]) * (h - mean) / np.sqrt(var + 1e-3) - Y) ** 2)


def fit(**options):
    optimizer = gd.average(gd.sgd(0.3), 0.9)
    options = {"epochs": 6, "batch_size": 24, "model_state": STATE, **options}
    return gd.fit(normalized, START, optimizer, (X, Y), (X, Y), **options)


def test_an_average_is_evaluated_and_kept_with_its_own_statistics():
    """Whole batches, so that the statistics of parameters are those of all rows; without the pass they are others'."""
    stale, fresh = fit(), fit(refresh=80)
    number = fresh.best_evaluation
    h = X.astype(float) @ np.asarray(fresh.params["w"], float)
    right = value_by_numpy(fresh.params, h.mean(), h.var())
    np.testing.assert_allclose([fresh.model_state["mean"], fresh.model_state["var"]], [h.mean(), h.var()], rtol=1e-4)
    np.testing.assert_allclose(fresh.history["validation_loss"][number], right, rtol=1e-4)
    np.testing.assert_allclose(
        gd.make_evaluate(normalized)(fresh.params, (X, Y), fresh.model_state)["loss"], right, rtol=1e-4
    )
    np.testing.assert_array_equal(fresh.last.params["w"], stale.last.params["w"])
    assert fresh.last.model_state["batches"] == 6, "training goes on with its own"
    assert abs(stale.history["validation_loss"][-1] - fresh.history["validation_loss"][-1]) > 0.01 * right


def test_the_pass_reads_so_many_whole_batches_and_a_loss_without_state_has_none():
    params, rows = START, (X[:10], Y[:10])
    options = {"batches": 7, "batch_size": 4, "key": 3}
    found = gd.training.refresh_model_state(normalized, params, STATE, rows, **options)
    assert found["batches"] == 7
    again = gd.training.refresh_model_state(normalized, params, STATE, rows, **{**options, "key": jax.random.key(3)})
    assert float(found["mean"]) == float(again["mean"])
    order = [gd.data.batch_indices("shuffle", jax.random.key(3), i, 10, 4)[0] for i in (0, 1, 3, 4, 6, 7, 9)]
    mean = 0.0
    for batch in order:  # the third of each epoch has two rows
        mean = MOMENTUM * mean + (1 - MOMENTUM) * float(np.mean(X[np.asarray(batch)] @ START["w"]))
    assert float(found["mean"]) == pytest.approx(mean, rel=1e-5)
    with pytest.raises(ValueError, match="refresh_model_state: the loss must have a model state"):
        gd.training.refresh_model_state(lambda w, rows: jnp.mean(w * rows), 1.0, (), X)
    with pytest.raises(ValueError, match="fit: refresh needs a loss with a model state"):
        gd.fit(lambda w, x, y: jnp.mean((x @ w - y) ** 2), np.zeros(3, np.float32), gd.sgd(0.1), (X, Y), refresh=3)
