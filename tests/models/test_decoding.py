"""Decoding with a cache equals the forward pass, and draws what the probabilities say."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gdjax.models import decode, generate, gru, prefill, transformer

MODEL = transformer(5, 8, width=6, layers=2, heads=2)
RNG = np.random.default_rng(9)
PARAMS = jax.tree.map(
    lambda p: jnp.asarray(RNG.normal(size=p.shape), jnp.float32), jax.eval_shape(MODEL.init, jax.random.key(0))
)
TOKENS = jnp.asarray(np.random.default_rng(0).integers(0, 5, size=(2, 8)), jnp.int32)
FORWARD = jax.jit(MODEL.apply)


def test_prefill_and_steps_equal_the_forward_pass():
    expected = FORWARD(PARAMS, TOKENS)
    logits, cache = jax.jit(functools.partial(prefill, MODEL))(PARAMS, TOKENS[:, :3])
    chex.assert_trees_all_close(logits, expected[:, :3], atol=1e-5, rtol=1e-5)
    step = jax.jit(functools.partial(decode, MODEL))
    for t in range(3, 8):
        assert cache.length == t
        logits, cache = step(PARAMS, cache, TOKENS[:, t])
        chex.assert_trees_all_close(logits, expected[:, t], atol=1e-5, rtol=1e-5)
    assert np.isnan(step(PARAMS, cache, TOKENS[:, 0])[0]).all()  # the context is full


DRAW = functools.partial(generate, MODEL, PARAMS, TOKENS[:, :3], 12)


def test_greedy_tokens_are_those_of_the_forward_pass_also_where_the_window_slides():
    """Each is the likeliest given the last 8 tokens."""
    found, text = DRAW(temperature=0.0), np.asarray(TOKENS[:, :3])
    for i in range(12):
        window = np.zeros((2, 8), np.int32)
        last = text[:, -8:]
        window[:, : last.shape[1]] = last  # causal: what follows is not seen
        expected = np.argmax(FORWARD(PARAMS, window)[:, last.shape[1] - 1], -1)
        np.testing.assert_array_equal(found[:, i], expected)
        text = np.concatenate([text, expected[:, None]], 1)
    assert len(np.unique(found)) > 2


def test_the_key_decides():
    found = [DRAW(key=key, temperature=3.0) for key in (1, jax.random.key(1), 2)]
    np.testing.assert_array_equal(found[0], found[1])
    assert np.any(found[0] != found[2])


def test_drawn_tokens_follow_the_probabilities_of_the_prompts_end():
    """20,000 prompts at once, longer than the context: shares within 5 standard deviations, at two temperatures."""
    logits = np.asarray(FORWARD(PARAMS, TOKENS)[0, -1], np.float64)
    prompts = jnp.broadcast_to(jnp.concatenate([jnp.zeros(4, jnp.int32), TOKENS[0]]), (20_000, 12))
    for temperature in (4.0, 8.0):
        tokens = generate(MODEL, PARAMS, prompts, 1, key=1, temperature=temperature)
        p = np.exp(logits / temperature)
        p /= p.sum()
        shares = np.bincount(np.asarray(tokens[:, 0]), minlength=5) / 20_000
        assert np.all(np.abs(shares - p) <= 5 * np.sqrt(p * (1 - p) / 20_000))


def test_bad_input_is_one_sentence():
    with pytest.raises(TypeError, match=r"^generate: model must be a transformer, got gru\(6, 3, 2\)$"):
        generate(gru(6, 3, 2), (), TOKENS, 1)
    with pytest.raises(
        ValueError, match=r"^generate: a prompt must be \(..., time\) with at least one token, got shape \(0,\)$"
    ):
        generate(MODEL, PARAMS, jnp.zeros(0, jnp.int32), 1)
    with pytest.raises(ValueError, match=r"^generate: tokens must be in \[0, 5\), got 77$"):
        generate(MODEL, PARAMS, jnp.array([1, 77, *[0] * 8]), 1)  # also before the window that is read
    with pytest.raises(ValueError, match=r"^transformer: params must have 2 blocks, got 1"):
        generate(MODEL, PARAMS | {"blocks": PARAMS["blocks"][:1]}, TOKENS, 1)
    with pytest.raises(ValueError, match=r"^generate: temperature must be in \[0, inf\), got -1"):
        generate(MODEL, PARAMS, TOKENS, 1, temperature=-1.0)
    with pytest.raises(ValueError, match=r"^generate: number must be at least 1, got 0$"):
        generate(MODEL, PARAMS, TOKENS, 0)
    with pytest.raises(ValueError, match=r"^prefill: a prompt must have at most 8 tokens, got 16$"):
        prefill(MODEL, PARAMS, jnp.zeros(16, jnp.int32))
