"""Spiking neurons against loops in NumPy, closed forms, and surrogate gradients by their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gdjax as gd
from gdjax import losses, metrics
from gdjax.models import SURROGATES, latency_code, lif, rate_code, spike, spiking

KEY = jax.random.key(0)


# surrogates

SLOPES = {  # v, k -> derivative, and the smooth step that it belongs to
    "fast_sigmoid": (
        lambda v, k: k / (1 + 2 * k * abs(v)) ** 2,
        lambda v, k: (1 + 2 * k * v / (1 + 2 * k * abs(v))) / 2,
    ),
    "arctan": (lambda v, k: k / (1 + (np.pi * k * v) ** 2), lambda v, k: 0.5 + np.arctan(np.pi * k * v) / np.pi),
    "triangular": (
        lambda v, k: k * max(0, 1 - k * abs(v)),
        lambda v, k: 0.5 + np.sign(v) * (min(k * abs(v), 1) - min(k * abs(v), 1) ** 2 / 2),
    ),
}
POINTS = np.array([-3.0, -0.51, -0.1, 0.0, 1e-3, 0.25, 0.49, 7.0])


@pytest.mark.parametrize("name", SURROGATES)
def test_a_spike_is_a_step_with_the_slope_of_its_surrogate(name):
    derivative, smooth = SLOPES[name]
    angles = (np.arange(20_000) + 0.5) / 20_000 * np.pi - np.pi / 2  # v = tan(angle)
    with jax.enable_x64(True):
        values, pull = jax.vjp(lambda v, k: spike(v, name, k), jnp.asarray(POINTS), jnp.asarray(2.0))
        by_v, by_slope = pull(jnp.ones_like(values))
        heights = {k: np.asarray(SURROGATES[name](jnp.tan(angles), k)) for k in (0.5, 2.0)}
    np.testing.assert_array_equal(values, POINTS >= 0)
    np.testing.assert_allclose(by_v, [derivative(v, 2.0) for v in POINTS], rtol=1e-14)
    assert float(by_slope) == 0
    for k, height in heights.items():
        assert np.pi * np.mean(height / np.cos(angles) ** 2) == pytest.approx(1, abs=1e-6)
        rise = [(smooth(v + 1e-6, k) - smooth(v - 1e-6, k)) / 2e-6 for v in POINTS]
        np.testing.assert_allclose(rise, [derivative(v, k) for v in POINTS], atol=1e-5)


# neurons


def loop(x, time_constant, threshold, reset):
    """(u, spikes) of neurons, step by step, for currents (time, n)."""
    decay, v, u, fired = np.exp(-1 / time_constant), np.zeros(x.shape[1:]), [], []
    for current in x:
        u.append(decay * v + current)
        fired.append(1.0 * (u[-1] >= threshold))
        v = u[-1] - threshold * fired[-1] if reset == "soft" else np.where(fired[-1] == 1, 0, u[-1])
    return np.array(u), np.array(fired)


def slopes_by_hand(x, weight, time_constant, threshold, reset, derivative):
    """The gradient of sum(weight * spikes) by the currents, backward through time, the resets taken as given."""
    (u, fired), decay = loop(x, time_constant, threshold, reset), np.exp(-1 / time_constant)
    after, gradient = np.zeros(x.shape[1:]), np.zeros_like(x)
    for t in reversed(range(len(x))):
        kept = 1 if reset == "soft" else 1 - fired[t]
        gradient[t] = weight[t] * np.vectorize(derivative)(u[t] - threshold, 1.0) + kept * decay * after
        after = gradient[t]
    return gradient


@pytest.mark.parametrize(("reset", "surrogate"), [("soft", "fast_sigmoid"), ("hard", "triangular")])
def test_neurons_and_their_gradients_are_those_of_a_loop(reset, surrogate):
    with jax.enable_x64(True):

        @jax.jit
        def run(time_constant, threshold, x, weight):
            neurons = lif(time_constant, threshold, reset, surrogate)
            fired, pull = jax.vjp(lambda x: neurons.apply((), x), x)
            return fired, pull(weight)[0]

        @settings(max_examples=10, deadline=None)
        @given(st.integers(0, 2**31), st.sampled_from([0.5, 3.0, 10.0, np.inf]), st.sampled_from([0.5, 1.0, 2.0]))
        def law(seed, time_constant, threshold):
            x, weight = np.random.default_rng(seed).normal(0.3, 1, (2, 9, 4))
            fired, gradient = run(time_constant, threshold, x, weight)
            np.testing.assert_array_equal(fired, loop(x, time_constant, threshold, reset)[1])
            by_hand = slopes_by_hand(x, weight, time_constant, threshold, reset, SLOPES[surrogate][0])
            np.testing.assert_allclose(gradient, by_hand, rtol=1e-12, atol=1e-13)

        law()


def test_the_rate_of_a_neuron_is_its_closed_form():
    x = np.array([0.05, 0.1, 0.2, 0.3, 0.7, 1.5], np.float32)  # the first stays below (1 - decay) threshold
    trains = np.asarray(lif(10.0, reset="hard").apply((), jnp.tile(x, (200, 1))))
    decay = np.exp(-0.1)
    for current, train in zip(x, trains.T, strict=True):
        above = current > 1 - decay
        period = np.ceil(np.log(1 - (1 - decay) / current) / np.log(decay)) if above else np.inf
        np.testing.assert_array_equal(np.flatnonzero(train), np.arange(period - 1, 200, period) if above else [])
    x = np.array([0.0, 0.125, 0.375, 0.625, 1.0], np.float32)  # exact in binary
    counts = np.asarray(lif(np.inf).apply((), jnp.tile(x, (201, 1)))).sum(axis=0)
    np.testing.assert_array_equal(counts, np.floor(201 * x))


# codes


def test_rate_and_latency_codes():
    x = jnp.array([-1.0, 0.0, 0.25, 0.9, 1.0, 3.0])
    spikes = np.asarray(rate_code(4000).apply((), x, KEY))
    assert set(np.unique(spikes)) == {0, 1}
    chance = np.clip(x, 0, 1)
    assert np.all(np.abs(spikes.mean(axis=0) - chance) <= 6 * np.sqrt(chance * (1 - chance) / 4000))
    lagged = np.corrcoef(spikes[:-1, 2], spikes[1:, 2])[0, 1]
    assert abs(lagged) < 6 / np.sqrt(4000)
    np.testing.assert_array_equal(rate_code(3).apply((), x), np.tile(chance, (3, 1)))
    first = np.asarray(latency_code(11).apply((), jnp.array([[0.0, 0.04], [0.5, 0.96], [1.0, 2.0]])))
    assert first.shape == (3, 11, 2)
    np.testing.assert_array_equal(first.sum(axis=1), [[0, 1], [1, 1], [1, 1]])
    np.testing.assert_array_equal(first.argmax(axis=1)[1:], [[5, 0], [0, 0]])
    assert first[0, 10, 1] == 1
    steps = latency_code(1000).apply((), jnp.linspace(0.004, 1, 250, dtype=jnp.bfloat16)[:, None])  # as coarse as 1/256
    np.testing.assert_array_equal(steps.sum(axis=1, dtype=jnp.float32), 1)


# the network


def network_by_steps(params, x, time_constant, readout):
    """All layers at each step in turn, for the input (time, n, in)."""
    decay = np.exp(-1 / time_constant)
    potentials = [np.zeros((x.shape[1], layer["b"].size)) for layer in params]
    seen = []
    for s in x:
        for i, layer in enumerate(params):
            potentials[i] = decay * potentials[i] + s @ np.asarray(layer["w"]) + np.asarray(layer["b"])
            s = potentials[i]
            if i < len(params) - 1 or readout == "counts":
                s = 1.0 * (potentials[i] >= 1)
                potentials[i] = potentials[i] - s
        seen.append(s)
    return np.sum(seen, axis=0) if readout == "counts" else np.mean(seen, axis=0)


@pytest.mark.parametrize(("code", "readout"), [("current", "membrane"), ("latency", "counts"), ("rate", "membrane")])
def test_a_network_is_that_of_a_loop_over_time(code, readout):
    model = spiking((3, 8, 6, 2), 12, code=code, readout=readout, time_constant=4.0)
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        params = jax.tree.map(lambda p: jnp.asarray(p + rng.normal(0, 0.5, p.shape)), model.init(KEY))
        x = rng.uniform(0, 1, (5, 3))
        layers = {"current": None, "latency": latency_code(12), "rate": rate_code(12)}
        key = KEY if code == "rate" else None
        coded = np.tile(x, (12, 1, 1)) if code == "current" else np.moveaxis(layers[code].apply((), x, key), 1, 0)
        expected = network_by_steps(params, np.asarray(coded), 4.0, readout)
        np.testing.assert_allclose(model.apply(params, x, key), expected, rtol=1e-12, atol=1e-13)
        assert np.ptp(expected) > 0


def test_its_numbers_are_leaves():
    assert jax.tree.leaves(spiking((3, 4, 2))) == [10.0, 1.0, 1.0]
    count = lambda threshold: spiking((1, 1), threshold=threshold, readout="counts", time_constant=jnp.inf)  # noqa: E731
    params = ({"w": jnp.ones((1, 1)), "b": jnp.zeros(1)},)
    counts = jax.vmap(lambda h: count(h).apply(params, jnp.ones(1)))(jnp.array([1.0, 2.0, 5.0]))
    np.testing.assert_array_equal(counts[:, 0], [25, 12, 5])


def test_a_spiking_network_reads_digits():
    data = gd.data.load("digits")
    train, test = gd.data.split((data.x, data.y), (0.8, 0.2), jax.random.key(0), stratify=data.y)
    scaling = gd.data.fit_scaling(train[0])
    train, test = ((gd.data.standardize(scaling, x), y) for x, y in (train, test))
    model = spiking((64, 64, 10))
    loss = gd.per_example(
        gd.supervised(model, losses.softmax_cross_entropy_with_integer_labels, {"accuracy": metrics.accuracy})
    )
    result = gd.fit(loss, model.init(KEY), gd.adam(3e-3), train, epochs=10, batch_size=32)
    right = np.argmax(model.apply(result.params, test[0]), axis=-1) == test[1]
    assert right.mean() >= 0.95


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: spiking((3,)), r"^spiking: sizes must be \(in, hidden..., out\), got \(3,\)$"),
        (lambda: spiking((3, 2), 0), "^spiking: time_steps must be a positive int, got 0$"),
        (lambda: spiking((3, 2), code="morse"), "^spiking: code must be one of current, rate, latency, got 'morse'$"),
        (lambda: spiking((3, 2), readout="last"), "^spiking: readout must be one of membrane, counts, got 'last'$"),
        (lambda: spiking((3, 2), threshold=0), r"^spiking: threshold must be in \(0, inf\), got 0$"),
        (lambda: lif(-1.0), r"^lif: time_constant must be in \(0, inf\], got -1$"),
        (lambda: lif(reset="none"), "^lif: reset must be one of soft, hard, got 'none'$"),
        (lambda: lif(surrogate="arctn"), r"^lif: no surrogate 'arctn': did you mean 'arctan'\?$"),
        (
            lambda: lif().apply((), jnp.ones(3)),
            r"^lif: x must be currents over time, \(..., time, n\), got shape \(3,\)$",
        ),
        (lambda: rate_code(2.5), "^rate_code: time_steps must be a positive int, got 2.5$"),
    ],
    ids=[
        "sizes",
        "steps",
        "code",
        "readout",
        "threshold",
        "time constant",
        "reset",
        "surrogate",
        "no time",
        "fraction",
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
