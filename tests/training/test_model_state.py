"""A model with a state in the ladder: its statistics with ragged batches, in evaluation, by microbatches."""

import jax
import jax.numpy as jnp
import numpy as np
from all_kinds import ALL, NORMED, loss_of, rows, statistics

import gdjax as gd
from gdjax import metrics
from gdjax.training.objective import Objective

DATA, VALIDATION = rows(19), rows(7, seed=1)
PARAMS, STATE = NORMED.init(jax.random.key(0)), NORMED.init_state()
LOSS = loss_of(NORMED, penalty=gd.losses.l2(1e-3))


def cross_entropy(logits, y):
    logits = np.asarray(logits, float)
    return np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(len(y)), y])


def test_a_ragged_epoch_moves_the_statistics_and_evaluation_uses_them():
    """Batches of 8, 8 and 3 rows, of which the last is filled up and masked; evaluated in chunks of 4 and 3 rows."""
    evaluate = gd.make_evaluate(loss_of(NORMED), {"same hits": metrics.correct}, NORMED.apply, chunk_size=4)
    options = {"epochs": 1, "batch_size": 8, "order": "sequence", "model_state": STATE, "evaluate": evaluate}
    result = gd.fit(LOSS, PARAMS, gd.sgd(0.0), DATA, VALIDATION, **options)
    mean, var = np.zeros(4), np.ones(4)
    for begin in (0, 8, 16):
        m, v = statistics(PARAMS, DATA[0][begin : begin + 8])
        mean, var = 0.9 * mean + 0.1 * m, 0.9 * var + 0.1 * v
    state = result.model_state
    np.testing.assert_allclose([state[2]["mean"], state[2]["var"]], [mean, var], rtol=1e-5)
    logits, same = NORMED.apply_with_state(PARAMS, state, VALIDATION[0])
    jax.tree.map(np.testing.assert_array_equal, same, state)
    hits = np.mean(np.argmax(logits, 1) == VALIDATION[1])
    history = {name: values[0] for name, values in result.history.items()}
    np.testing.assert_allclose(history["validation_loss"], cross_entropy(logits, VALIDATION[1]), rtol=1e-5)
    np.testing.assert_allclose([history["validation_hits"], history["validation_same hits"]], hits, rtol=1e-6)


def test_microbatches_are_normalized_each_by_its_own_rows():
    """Against a loop over the parts of a masked batch: values, gradients and hits by weights, states handed on."""
    key, mask = jax.random.key(3), np.arange(19) % 5 != 1
    params, loss = ALL.init(jax.random.key(0)), loss_of(ALL, penalty=gd.losses.l2(1e-3))
    given = Objective(loss, jax.tree.map(jnp.asarray, DATA), jnp.asarray(mask), ALL.init_state(), key, microbatches=3)
    (value, (measured, state)), grads = jax.jit(given.value_and_grad)(params)
    of_part = jax.jit(jax.value_and_grad(lambda p, *rest: _aside(loss(p, *rest[:3], mask=rest[3])), has_aux=True))
    x, y, full = (np.concatenate([each, each[-1:], each[-1:]]) for each in (*DATA, mask))  # 21 rows, three parts
    full[19:] = False
    expected, seen = [], ALL.init_state()
    for j in range(3):
        part = slice(7 * j, 7 * j + 7)
        (v, (m, seen)), g = of_part(params, seen, (x[part], y[part]), jax.random.fold_in(key, j), full[part])
        expected.append((m["weight"], {"value": v, "hits": m["hits"], "grads": g}))
    weights, terms = zip(*expected, strict=True)
    mean = jax.tree.map(lambda *each: np.average(np.stack(each), axis=0, weights=weights), *terms)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)  # noqa: E731
    jax.tree.map(close, {"value": value, "hits": measured["hits"], "grads": grads}, mean)
    jax.tree.map(close, state, seen)
    assert float(measured["weight"]) == mask.sum()


def _aside(returned):
    value, measured, state = returned
    return value, (measured, state)
