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


MODEL = gd.models.serial(gd.models.dense(3, 1, bias=False), gd.models.batch_norm(1))
LOSS = gd.per_example(gd.supervised(MODEL, lambda h, y: (h[..., 0] - y) ** 2))


def fit(**options):
    """Of a unit with batch norm; whole batches, so that the statistics of parameters are those of all rows."""
    start = {"w": np.array([[0.1], [0.2], [-0.1]], np.float32)}, {"scale": np.ones(1, np.float32), "b": np.zeros(1)}
    options = {"epochs": 6, "batch_size": 24, "model_state": MODEL.init_state(), **options}
    return gd.fit(LOSS, start, gd.average(gd.sgd(0.3), 0.9), (X, Y), (X, Y), **options)


def test_an_average_is_evaluated_and_kept_with_its_own_statistics():
    """Without the pass they are others'."""
    stale, fresh = fit(), fit(refresh=150)
    (weights, norm), number = fresh.params, fresh.best_evaluation
    h = X.astype(float) @ np.asarray(weights["w"], float)
    right = np.mean(((h - h.mean()) / np.sqrt(h.var() + 1e-5) * norm["scale"] + norm["b"] - Y[:, None]) ** 2)
    kept = fresh.model_state[1]
    np.testing.assert_allclose([kept["mean"][0], kept["var"][0]], [h.mean(), h.var()], rtol=1e-4)
    np.testing.assert_allclose(fresh.history["validation_loss"][number], right, rtol=1e-4)
    again = gd.make_evaluate(LOSS)(fresh.params, (X, Y), fresh.model_state)["loss"]
    np.testing.assert_allclose(again, right, rtol=1e-4)
    for one, other in ((fresh.last.params, stale.last.params), (fresh.last.model_state, stale.last.model_state)):
        jax.tree.map(np.testing.assert_array_equal, one, other)  # training goes on with its own
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
