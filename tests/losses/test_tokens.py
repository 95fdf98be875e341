"""Losses and metrics per token against NumPy: every token that counts has the same weight, however long its sequence."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdjax as gd
from gdjax import losses, metrics
from gdjax.models import Padded, dense, embedding

B, T, C = 4, 5, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(B, T, C)).astype(np.float32)
Y = RNG.integers(0, C, size=(B, T)).astype(np.int32)
MASK = np.arange(T) < np.array([[5], [2], [1], [0]])
IGNORED = np.where(MASK, Y, -1)
CROSS_ENTROPY = gd.softmax_cross_entropy_with_integer_labels
W = {"w": RNG.normal(size=(C, C)).astype(np.float32), "b": np.zeros(C, np.float32)}


def numbers(weight=1.0):
    """(mean nats, share right, weight) of the tokens that count, in float64."""
    logits = X.astype(np.float64) @ W["w"]
    nats = np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, Y[..., None], -1)[..., 0]
    shares = MASK * np.broadcast_to(weight, (B,))[:, None]
    mean = lambda values: float((shares * values).sum() / shares.sum())  # noqa: E731
    return mean(nats), mean(logits.argmax(-1) == Y), float(shares.sum())


def lifted(ignore=-1, weight=None):
    measures = {"accuracy": metrics.per_token(metrics.accuracy, ignore), "bits": losses.per_token(metrics.bits, ignore)}
    return gd.per_example(gd.supervised(dense(C, C), losses.per_token(CROSS_ENTROPY, ignore), measures), weight)


NAN_X = np.where(MASK[..., None], X, np.nan)
WAYS = {
    "padded inputs": (lifted(None), (Padded(NAN_X, MASK), Y)),
    "both": (lifted(), (Padded(NAN_X, MASK), Padded(IGNORED, MASK))),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_mean_of_a_batch_is_one_of_tokens(way):
    loss, batch = WAYS[way]
    (value, found), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(W, batch)
    nats, right, weight = numbers()
    np.testing.assert_allclose(value, nats, rtol=1e-5)
    np.testing.assert_allclose(found["accuracy"], right, rtol=1e-5)
    np.testing.assert_allclose(found["bits"], nats / np.log(2), rtol=1e-5)
    assert found["weight"] == weight == 8
    logits = X.astype(np.float64) @ W["w"]
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    slopes = np.where(MASK[..., None], p - np.eye(C)[Y], 0) / 8
    np.testing.assert_allclose(grads["w"], np.einsum("btc,btd->cd", X, slopes), atol=1e-6)


def test_weights_and_masks_of_examples_multiply():
    """A row of mask 0 may hold anything; one of weight 2 counts as if it were there twice."""
    loss = lifted(weight=lambda example: 1.0 + (example[0][0, 0] == X[1, 0, 0]))
    x = np.concatenate([X, X[:1] * np.nan])
    y = np.concatenate([IGNORED, IGNORED[:1]])
    value, found = jax.jit(loss)(W, (x, y), mask=jnp.arange(B + 1) < B)
    nats, _, weight = numbers(np.array([1, 2, 1, 1]))
    np.testing.assert_allclose(value, nats, rtol=1e-5)
    assert found["weight"] == weight == 10


def test_windows_weigh_by_their_tokens_and_start_inside_the_sequence():
    sequence, starts, table = np.array([1, 0, 0, 2, 1, 2, 2, 0, 1, 2], np.uint8), np.array([0, 3, 5]), W["w"]
    loss = gd.per_example(
        losses.over_windows(gd.supervised(embedding(C, C), losses.per_token(CROSS_ENTROPY, 0)), sequence, 4)
    )
    evaluate = jax.jit(loss)
    value, found = evaluate({"w": table}, starts)
    pairs = [(sequence[i + t], sequence[i + t + 1]) for i in starts for t in range(4) if sequence[i + t + 1]]
    nats = np.log(np.exp(table.astype(np.float64)).sum(1))[:, None] - table
    np.testing.assert_allclose(value, np.mean([nats[pair] for pair in pairs]), rtol=1e-5)
    assert found["weight"] == len(pairs) == 8
    for start in (6, 1000, -3):
        assert np.isnan(evaluate({"w": table}, np.array([0, 1, start]))[0])
    with pytest.raises(ValueError, match=r"^over_windows: start must be in \[0, 5\], got -3$"):
        loss.loss({"w": table}, -3)


def test_without_tokens_the_loss_and_its_gradient_are_zero():
    loss, batch = lifted(), (X, np.full_like(Y, -1))
    (value, found), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(W, batch)
    assert value == 0 and found["weight"] == 0 and not np.any(grads["w"])
    one = jax.jit(jax.grad(losses.per_token(CROSS_ENTROPY, -1)))(X[0], batch[1][0])
    assert not np.any(one)


def test_metrics_of_all_rows_are_of_tokens():
    nats, right, _ = numbers(np.array([2, 1, 1, 1]))
    weight, logits = np.array([2.0, 1, 1, 1]), X @ W["w"]
    for ignore, target in ((-1, IGNORED), (None, Padded(Y, MASK))):
        three = [metrics.per_token(x, ignore) for x in (metrics.perplexity, metrics.bits_per_token, metrics.correct)]
        found = jax.jit(lambda *rows: [metric(*rows) for metric in three])(logits, target, weight)  # noqa: B023
        np.testing.assert_allclose(found, [np.exp(nats), nats / np.log(2), right], rtol=1e-5)
    counts = metrics.per_token(metrics.confusion_counts(C), -1)(logits, IGNORED)
    assert np.sum(counts) == 8 and np.trace(counts) == np.sum(MASK * (logits.argmax(-1) == Y))


def test_of_one_length_it_is_the_plain_mean():
    plain = gd.per_example(gd.supervised(dense(C, C), CROSS_ENTROPY))
    one, other = jax.jit(lambda batch: (lifted(None)(W, batch)[0], plain(W, batch)[0]))((X, Y))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_values_compare_and_know_their_direction():
    assert losses.per_token(CROSS_ENTROPY, -1) == losses.per_token(CROSS_ENTROPY, -1) != losses.per_token(CROSS_ENTROPY)
    assert hash(lifted()) == hash(lifted()) and lifted() == lifted()
    assert losses.better_directions(lifted()) == {"loss": "min", "accuracy": "max", "bits": "min"}
    assert losses.better_direction(metrics.per_token(metrics.perplexity)) == "min"


def test_a_whole_run_is_blind_to_padding():
    """What stands at padded positions, NaN included, is nowhere in the parameters."""
    loss, params = lifted(None), dense(C, C).init(jax.random.key(0))
    runs = [gd.fit(loss, params, gd.sgd(0.1), (Padded(x, MASK), Y), epochs=3, batch_size=2) for x in (X, NAN_X)]
    chex.assert_trees_all_equal(runs[0].params, runs[1].params)
    assert np.any(runs[0].params["w"] != params["w"])


def test_bad_input_is_one_sentence():
    loss = losses.per_token(gd.squared_error, ignore=-1)
    with pytest.raises(
        ValueError, match=r"per_token: of an example's targets \(time,\) one can be ignored, got shape \(5, 3\)"
    ):
        loss(X[0], X[0])
    with pytest.raises(
        ValueError, match=r"per_token: target must be \(time, ...\) as the mask \(5,\), got shape \(4,\)"
    ):
        loss(Padded(X[0], MASK[0]), Y[0, :4])
    for one_prediction in (  # such as a model gives that reads a sequence to its end
        lambda: losses.per_token(CROSS_ENTROPY)(X[0, :1], Y[0]),
        lambda: metrics.per_token(metrics.accuracy)(X[:1, :1], Y[:1]),
    ):
        with pytest.raises(
            ValueError, match=r"^per_token: prediction must be \(time, ...\) as the target \(5,\), got \(1, 3\)"
        ):
            one_prediction()
