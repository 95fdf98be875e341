"""Normalization, equal to Flax at random shapes, masks and dtypes, and the lift of a model with a state to a loss."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from hypothesis import given, settings
from hypothesis import strategies as st

import gdjax as gd
from gdjax import models

SHAPES = [(5, 3), (4, 2, 1), (3, 2, 2, 2)]  # rows, inner axes, features


@functools.cache
def norms_of(shape):
    """Ours and Flax's: (outputs, gradients, running statistics) of (x, scale, b, weights of outputs, mask), compiled."""
    size, inner = shape[-1], (1,) * (len(shape) - 1)
    ours = models.layer_norm(size, 0.1), models.rms_norm(size, 0.1), models.batch_norm(size, 0.8, 0.1)
    flax = (
        linen.LayerNorm(epsilon=0.1, use_fast_variance=False, dtype=None),
        linen.RMSNorm(epsilon=0.1, use_fast_variance=False, dtype=None),
    )
    batch = functools.partial(linen.BatchNorm, momentum=0.8, epsilon=0.1, use_fast_variance=False, dtype=None)

    def of_gdjax(x, scale, b, mask):
        params = {"scale": scale, "b": b}
        state = {"mean": b / 2, "var": scale**2}
        training, after = ours[2].apply_with_state(params, state, x, jax.random.key(0), mask)
        running, same = ours[2].apply_with_state(params, state, x)
        assert same is state
        outputs = [ours[0].apply(params, x), ours[1].apply({"scale": scale}, x), training, running]
        return outputs, (after["mean"], after["var"])

    def of_flax(x, scale, b, mask):
        params = {"scale": scale, "bias": b}
        stats = {"mean": b / 2, "var": scale**2}
        given = {"params": params, "batch_stats": stats}
        where = jnp.broadcast_to(mask.reshape(-1, *inner), x.shape)
        training, after = batch(use_running_average=False).apply(given, x, mask=where, mutable=["batch_stats"])
        running = batch(use_running_average=True).apply(given, x)
        outputs = [flax[0].apply({"params": params}, x), flax[1].apply({"params": {"scale": scale}}, x)]
        return [*outputs, training, running], (after["batch_stats"]["mean"], after["batch_stats"]["var"])

    def observe(function, *arguments):
        *arguments, cotangents = arguments

        def total(*arguments):
            outputs, after = function(*arguments)
            counted = [jnp.where(arguments[3].reshape(-1, *inner), y, 0) for y in outputs]
            return sum(jnp.sum(y * c) for y, c in zip(counted, cotangents, strict=True)), (counted, after)

        return jax.value_and_grad(total, (0, 1, 2), has_aux=True)(*arguments)

    return jax.jit(lambda *arguments: [observe(each, *arguments) for each in (of_gdjax, of_flax)])


@given(st.sampled_from(SHAPES), st.sampled_from([np.float32, np.float64]), st.integers(0, 2**32 - 1))
@settings(max_examples=12, deadline=None)
def test_outputs_gradients_and_statistics_are_those_of_flax(shape, dtype, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(shape[0]) < 0.7
    mask[rng.choice(shape[0], 2, replace=False)] = True
    x = rng.normal(rng.normal(), rng.uniform(0.5, 2), shape)
    scale, b = rng.normal(1, 0.5, (2, shape[-1]))
    cotangents = rng.normal(size=(4, *shape))
    with jax.enable_x64(True):
        given = [jnp.asarray(each, dtype) for each in (x, scale, b)] + [
            jnp.asarray(mask),
            jnp.asarray(cotangents, dtype),
        ]
        ours, flax = norms_of(shape)(*given)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(flax), strict=True):
        assert a.dtype == b.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1, np.abs(b).max()))


# The lift of a model with a state, over a program of one model with batch norm and dropout.

NORMED = models.serial(
    models.dense(3, 4), models.batch_norm(4), models.activation("relu"), models.dropout(0.5), models.dense(4, 2)
)
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(8, 3)).astype(np.float32), np.array([0, 1, 1, 0, 0, 1, 0, 1])
PARAMS, KEY = NORMED.init(jax.random.key(0)), jax.random.key(1)
STATE = jax.tree.map(lambda x: x + 0.5, NORMED.init_state())
cross_entropy = gd.softmax_cross_entropy_with_integer_labels
plain = gd.supervised(NORMED, cross_entropy, {"accuracy": gd.metrics.accuracy})
weighted = gd.per_example(plain, weight=lambda example: 1.0 + 2 * example[1], penalty=gd.losses.l2(0.1))


@jax.jit
def lifted(x, y, mask):
    """((value, (metrics, state)), gradient) of training and of evaluation."""

    def of(params, key):
        value, metrics, state = weighted(params, STATE, (x, y), key, mask=mask)
        return value, (metrics, state)

    return [jax.value_and_grad(of, has_aux=True)(PARAMS, key) for key in (KEY, None)]


def by_hand(x, y, keep):
    """The same of the rows that count, in NumPy: the statistics by rows, the loss by classes' weights."""
    dense, norm, _, _, last = (jax.tree.map(lambda p: np.asarray(p, np.float64), part) for part in PARAMS)
    hidden = x @ dense["w"] + dense["b"]
    mean, var = hidden[keep].mean(0), hidden[keep].var(0)
    dropped = np.asarray(jax.random.bernoulli(jax.random.split(KEY, 5)[3], 0.5, hidden.shape))
    outputs = []
    for m, v, factor in ((mean, var, 2 * dropped), (0.5, 1.5, 1)):
        a = np.maximum((hidden - m) / np.sqrt(v + 1e-5) * norm["scale"] + norm["b"], 0) * factor
        logits = a @ last["w"] + last["b"]
        ll = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(y)), y]
        penalty = 0.1 * sum((w**2).sum() for w in (dense["w"], last["w"]))
        outputs.append(np.average(ll[keep], weights=1.0 + 2 * y[keep]) + penalty)
    return outputs, 0.45 + 0.1 * mean, 1.35 + 0.1 * var


def test_the_lift_of_a_model_with_a_state():
    """Masked rows count nowhere (NaN or not), classes' weights not in the statistics; evaluation keeps the state."""
    keep = np.array([True, True, False, True, True, False, True, True])
    train, evaluation = lifted(X, Y, keep)
    values, mean, var = by_hand(X.astype(np.float64), Y, keep)
    for ((value, (metrics, _)), _), expected in zip((train, evaluation), values, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        assert metrics["weight"] == np.sum(1 + 2 * Y[keep]) and 0 <= metrics["accuracy"] <= 1
    np.testing.assert_allclose(train[0][1][1][1]["mean"], mean, rtol=1e-5)
    np.testing.assert_allclose(train[0][1][1][1]["var"], var, rtol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, evaluation[0][1][1], STATE)
    broken = X.copy()
    broken[~keep] = np.nan
    jax.tree.map(np.testing.assert_array_equal, lifted(broken, Y, keep), [train, evaluation])
    for counts in (np.zeros(8, bool), np.arange(8) == 0):  # no row, or one, which has no variance: nothing moves
        (value, (_, state)), gradient = lifted(broken, Y, counts)[0]
        jax.tree.map(np.testing.assert_array_equal, state, STATE)
        assert np.isfinite(value) and all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))
    norm, params, state = models.batch_norm(4), PARAMS[1], STATE[1]
    for x in (np.zeros((0, 4)), np.full((1, 4), 3.0), np.full((1, 1, 4), 3.0)):  # likewise without weights
        for weight in (None, np.ones(len(x))):
            y, after = norm.apply_with_state(params, state, x, KEY, weight)
            jax.tree.map(np.testing.assert_array_equal, (y, after), norm.apply_with_state(params, state, x))
    _, after = norm.apply_with_state(params, state, np.arange(8.0).reshape(1, 2, 4), KEY, np.ones(1))  # two positions
    np.testing.assert_allclose(after["var"], 0.9 * 1.5 + 0.1 * 4, rtol=1e-6)


def test_a_model_with_a_state_says_what_it_needs():
    loss = gd.per_example(plain)
    assert NORMED.has_state and not models.dense(2, 1).has_state and models.dense(2, 1).init_state() == ()
    for state in ((), STATE[1]):
        with pytest.raises(
            TypeError, match=r"per_example: the model has a state, .* got .*; write model_state=model.init_state"
        ):
            gd.fit(loss, PARAMS, gd.sgd(0.1), (X, Y), model_state=state)
    unsaid = gd.make_evaluate(loss, {"a": gd.metrics.accuracy}, predict=lambda params, x: NORMED.apply(params, x))
    for call in (NORMED.apply, jax.jit(NORMED.apply), lambda *given: unsaid(given[0], (X, Y), STATE)):
        with pytest.raises(
            ValueError, match=r"serial: a model with a state must be called by apply_with_state\(params, "
        ):
            call(PARAMS, X)
    with pytest.raises(ValueError, match="serial: a model with a state must be called by apply_with_state"):
        NORMED.apply(PARAMS, X, KEY)
    first, *_ = STATE
    narrow = (first, {"mean": np.zeros(1), "var": np.ones(1)}, *STATE[2:])  # would broadcast
    for state, got in (((), r"\(\)"), (narrow, r"\(\(\), {'mean': \(1,\), .*")):
        with pytest.raises(ValueError, match=rf"^serial: state must be like that of init_state\(\), .*, got {got}$"):
            NORMED.apply_with_state(PARAMS, state, X)
    norm = models.batch_norm(3)
    for x, weight, words in (
        (X[0], None, r"x must be a batch, \(B, ..., 3\)"),
        (X, np.ones(3), r"weight must have shape \(8,\)"),
    ):
        with pytest.raises(ValueError, match=f"batch_norm: .*{words}"):
            norm.apply_with_state(norm.init(KEY), norm.init_state(), x, KEY, weight)
    with pytest.raises(ValueError, match="residual: inner must keep the shape of x"):
        models.residual(models.dense(3, 1)).apply(PARAMS[0], X)


@pytest.mark.peers
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_outputs_gradients_and_statistics_are_those_of_torch(dtype):
    """Images with their channels last; torch's running variance is that of n - 1, its momentum is one less ours."""
    torch = pytest.importorskip("torch")
    rng, size, tolerance = np.random.default_rng(3), 3, 1e-12 if dtype == "float64" else 1e-5
    x, cotangent = rng.normal(0.5, 1.5, (2, 4, 5, 6, size)).astype(dtype)
    scale, b = rng.normal(1, 0.5, (2, size)).astype(dtype)
    layers = {
        "layer_norm": (models.layer_norm(size, 0.1), torch.nn.LayerNorm(size, 0.1)),
        "rms_norm": (models.rms_norm(size, 0.1), torch.nn.RMSNorm(size, 0.1)),
        "batch_norm": (models.batch_norm(size, 0.8, 0.1), torch.nn.BatchNorm2d(size, 0.1, 0.2)),
    }
    for name, (ours, theirs) in layers.items():
        with jax.enable_x64(dtype == "float64"):
            params = {"scale": jnp.asarray(scale), "b": jnp.asarray(b)}
            state = jax.tree.map(lambda s: s.astype(dtype), ours.init_state())

            def total(params, x, ours=ours, state=state):
                y, after = ours.apply_with_state(params, state, x, KEY)
                return jnp.sum(y * cotangent), (y, after)

            given = {"scale": params["scale"]} if name == "rms_norm" else params
            grads, (y, after) = jax.grad(total, (0, 1), has_aux=True)(given, jnp.asarray(x))
        theirs, images = theirs.to(getattr(torch, dtype)), name == "batch_norm"
        axes = (lambda t: t.movedim(-1, 1)) if images else lambda t: t
        with torch.no_grad():
            theirs.weight.copy_(torch.tensor(scale))
            if name != "rms_norm":
                theirs.bias.copy_(torch.tensor(b))
        leaf = torch.tensor(x, requires_grad=True)
        out = theirs(axes(leaf))
        (out * axes(torch.tensor(cotangent))).sum().backward()
        out = (out.movedim(1, -1) if images else out).detach().numpy()
        pairs = [(y, out), (grads[1], leaf.grad), (grads[0]["scale"], theirs.weight.grad)]
        pairs += [] if name == "rms_norm" else [(grads[0]["b"], theirs.bias.grad)]
        if images:
            n = x[..., 0].size
            var = 0.8 + (theirs.running_var.numpy() - 0.8) * (n - 1) / n
            pairs += [(after["mean"], theirs.running_mean), (after["var"], var)]
        for a, e in pairs:
            np.testing.assert_allclose(a, np.asarray(e), rtol=10 * tolerance, atol=10 * tolerance, err_msg=name)
