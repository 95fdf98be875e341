"""A batch read by microbatches is the batch: gradient, metrics, and the path of every optimizer."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_loop import equal

import gdjax as gd
from gdjax.certify.examples import example_calls
from gdjax.training.objective import Objective
from gdjax.types import Sampled

RNG = np.random.default_rng(5)
ROWS, KEY = 13, jax.random.key(7)
X, Y = RNG.normal(size=(31, 3)), RNG.normal(size=31)
WEIGHTS = np.where(np.arange(31) % 5 == 3, 0.0, RNG.uniform(0.1, 3.0, 31))
MASK = np.arange(ROWS) % 4 != 2
START = np.array([0.5, -1.0, 2.0])
BATCH = X[:ROWS], Y[:ROWS], WEIGHTS[:ROWS]


def squares(params, x, y, w):
    error = x @ params - y
    return error**2, {"error": jnp.abs(error), "large": (jnp.abs(error) > 1).astype(jnp.int32)}


WEIGHTED = gd.per_example(
    lambda params, row: squares(params, *row), weight=lambda row: row[2], penalty=lambda params: 0.1 * params @ params
)


def plain(params, x, y, w):
    """A mean over the rows that knows no mask."""
    values, metrics = squares(params, x, y, w)
    return jnp.mean(values), jax.tree.map(jnp.mean, metrics)


def counting(params, seen, batch, key):
    """With a model state, which only the next batch reads."""
    value, metrics = plain(params, *batch)
    return value, metrics, {"sum": 0.5 * seen["sum"] + jnp.sum(batch[1]), "batches": seen["batches"] + 1}


def objective(loss, number, batch=BATCH, mask=None, model_state=()):
    loss = loss if hasattr(loss, "takes_mask") else gd.types.as_loss("test", loss)
    return Objective(loss, jax.tree.map(jnp.asarray, batch), mask, model_state, KEY, number)


def by_numpy(weights, penalty):
    """Value, gradient and mean absolute error of the rows, in float64."""
    x, y, _ = BATCH
    error, share = x @ START - y, weights / weights.sum()
    grad = 2 * (share * error) @ x + 2 * penalty * START
    return share @ error**2 + penalty * START @ START, grad, share @ np.abs(error)


@pytest.mark.parametrize("number", range(1, 9))
def test_the_gradient_is_that_of_the_batch_with_weights_and_masks(number):
    """Thirteen rows, masked and of unequal weight; what is masked is not finite."""
    with jax.enable_x64(True):
        batch = (np.where(MASK[:, None], BATCH[0], np.nan), *BATCH[1:])
        (loss, (metrics, _)), grads = jax.jit(objective(WEIGHTED, number, batch, jnp.asarray(MASK)).value_and_grad)(
            START
        )
    value, grad, error = by_numpy(WEIGHTS[:ROWS] * MASK, 0.1)
    np.testing.assert_allclose(grads, grad, rtol=1e-12)
    np.testing.assert_allclose([loss, metrics["error"], metrics["weight"]], [value, error, BATCH[2] @ MASK], rtol=1e-12)


@pytest.mark.parametrize("number", [3, 4, 8])
@pytest.mark.parametrize("loss", [plain, gd.stateful(counting)], ids=["plain", "stateful"])
def test_the_gradient_is_that_of_the_batch_where_a_loss_takes_no_mask(loss, number):
    with jax.enable_x64(True):
        seen = {"sum": jnp.ones(()), "batches": jnp.zeros((), jnp.int32)} if loss is not plain else ()
        given = objective(loss, number, model_state=seen)
        (loss_value, (metrics, seen)), grads = jax.jit(given.value_and_grad)(START)
        again = jax.jit(jax.grad(lambda params: given(params)[0]))(START)
    value, grad, error = by_numpy(np.ones(ROWS), 0)
    np.testing.assert_allclose(grads, grad, rtol=1e-12)
    np.testing.assert_allclose(again, grad, rtol=1e-12)
    np.testing.assert_allclose([loss_value, metrics["error"]], [value, error], rtol=1e-12)
    np.testing.assert_allclose(metrics["large"], np.mean(np.abs(BATCH[0] @ START - BATCH[1]) > 1), rtol=1e-6)
    assert metrics["weight"] == ROWS
    if seen:
        size, total = -(-ROWS // number), 1.0
        for i in range(0, ROWS, size):
            total = 0.5 * total + BATCH[1][i : i + size].sum()
        np.testing.assert_allclose(seen["sum"], total, rtol=1e-12)
        assert seen["batches"] == -(-ROWS // size)


def test_where_all_weigh_nothing_the_penalty_remains():
    none = gd.per_example(lambda params, row: squares(params, *row), penalty=lambda params: params @ params)
    (loss, (metrics, _)), grads = jax.jit(objective(none, 4, mask=jnp.zeros(ROWS, bool)).value_and_grad)(START)
    np.testing.assert_allclose(grads, 2 * START, rtol=1e-6)
    np.testing.assert_allclose([loss, metrics["weight"]], [START @ START, 0], rtol=1e-6)


def test_each_microbatch_has_its_own_key_and_one_alone_that_of_the_step():
    def noise(params, rows, key):
        draw = jax.random.normal(key)
        return params * draw, {"seen": Sampled(jnp.where(draw > 0, draw, 0), (draw > 0).astype(jnp.float32))}

    rows = jnp.arange(6.0)
    draws = np.array([jax.random.normal(jax.random.fold_in(KEY, j)) for j in range(3)])
    loss, (metrics, _) = objective(noise, 3, rows)(1.0)
    np.testing.assert_allclose(loss, draws.mean(), rtol=1e-6)
    np.testing.assert_allclose(metrics["seen"].value, draws[draws > 0].mean(), rtol=1e-6)
    assert metrics["seen"].taken == 1 and 0 < (draws > 0).sum() < 3
    np.testing.assert_allclose(objective(noise, 1, rows)(1.0)[0], jax.random.normal(KEY), rtol=1e-6)


def test_what_has_no_mean_over_rows_is_refused():
    each = lambda params, x, y, w: (jnp.mean(params * y), {"y": y})  # noqa: E731
    with pytest.raises(ValueError, match=r"make_step: a metric must have one shape .* got 'y'"):
        gd.make_step(each, microbatches=3)(gd.make_state(1.0, gd.sgd(0.1)), BATCH)
    with pytest.raises(ValueError, match="make_step: microbatches must be at least 1, got 0"):
        gd.make_step(each, microbatches=0)


MODEL = gd.models.mlp((3, 4, None), activation="tanh")


def ten_steps(optimizer, predict, params, number, order=1):
    """The parameters and metrics after ten steps, every third of them with a ragged batch of 5 rows."""
    loss = gd.per_example(lambda params, row: (predict(params, row[0]) - row[1]) ** 2, weight=lambda row: row[2])

    def in_order(params, batch, key=None, *, mask=None):
        return loss(params, jax.tree.map(lambda x: x[::order], batch), mask=None if mask is None else mask[::order])

    with jax.enable_x64(True):
        params = jax.tree.map(lambda p: np.asarray(p, float), params)
        epoch = gd.make_epoch(gd.make_step(in_order, microbatches=number), ROWS, steps=10)
        state, metrics = jax.jit(epoch)(gd.make_state(params, optimizer), (X, Y, WEIGHTS))
        return jax.device_get((state.params, metrics))


def check_ten_steps(optimizer, predict, params, numbers):
    whole = ten_steps(optimizer, predict, params, 1)
    for number in numbers:
        chex.assert_trees_all_close(ten_steps(optimizer, predict, params, number), whole, rtol=1e-9, atol=1e-12)


SOME = [gd.adam(0.01), gd.lbfgs(0.1), gd.sam(gd.sgd(0.1), 0.05), gd.accumulate(gd.sgd(0.1), 2)]


@pytest.mark.parametrize("optimizer", SOME, ids=lambda x: x.recipe.name)
def test_ten_steps_by_microbatches_are_those_of_whole_batches(optimizer):
    check_ten_steps(optimizer, lambda params, x: jnp.tanh(x @ params), START, [5])


CHAOTIC = {
    "newton": "a Hessian that is not positive, or of as few rows as parameters, makes any rounding large",
    "soap": "eigenvectors of equal eigenvalues may be any",
}


@pytest.mark.nightly
@pytest.mark.parametrize(
    "name", [name for name in gd.OPTIMIZERS if name != "dpsgd"]
)  # takes gradients of single examples
def test_ten_steps_of_every_optimizer_are_those_of_whole_batches(name):
    """Of thirteen rows, five or six parts have three each, and seven or eight have two."""
    task = example_calls(name)[0], MODEL.apply, MODEL.init(jax.random.key(1))
    if name not in CHAOTIC:
        check_ten_steps(*task, [2, 3, 4, 5, 7])
        return
    (params, _), (others, _) = ten_steps(*task, 1), ten_steps(*task, 1, order=-1)
    apart = max(np.abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, (params, others)), strict=True))
    assert apart > 1e-6, "the order of the rows changes as much"


def test_a_run_of_microbatches_is_cut_and_resumed_as_any_other():
    step = gd.make_step(WEIGHTED, microbatches=3)
    run = lambda **options: gd.fit(  # noqa: E731
        step,
        START.astype(np.float32),
        gd.adam(0.1),
        tuple(map(np.float32, (X, Y, WEIGHTS))),
        batch_size=ROWS,
        **options,
    )
    equal(run(epochs=3).run_state, run(epochs=3, resume=run(epochs=1)).run_state)
