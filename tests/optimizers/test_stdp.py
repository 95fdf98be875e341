"""Spike-timing dependent plasticity against sums over pairs of spikes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gdjax as gd

STEPS, SIZES = 13, {"a": (4, 3), "b": (2, 5)}


def trains(seed):
    """The spikes of each matrix, pre (STEPS, in) and post (STEPS, out)."""
    rng = np.random.default_rng(seed)
    return {name: gd.Spikes(*(rng.random((STEPS, n)) < 0.4 for n in shape)) for name, shape in SIZES.items()}


def learn(rule, w, spikes):
    def step(carry, now):
        w, state = carry
        updates, state = rule.update(now, state, w)
        return (optax.apply_updates(w, updates), state), None

    return jax.lax.scan(step, (w, rule.init(w)), spikes)[0][0]


def learn_by_pairs(w, spikes, rate, depression, time_constant, dependence):
    """Equation (1), each pair counted when its later spike comes, with the weight as it is then."""
    pre, post = spikes
    for t in range(STEPS):
        new = w.copy()
        for i, j in np.ndindex(*w.shape):
            for s in range(t + 1):
                size = rate(t) * np.exp(-(t - s) / time_constant)
                if pre[s, i] and post[t, j]:
                    new[i, j] += size * (1 - w[i, j]) ** dependence
                if pre[t, i] and post[s, j] and s < t:
                    new[i, j] -= size * depression * w[i, j] ** dependence
        w = new
    return w


def test_every_pair_of_spikes_counts_by_its_order_and_its_distance():
    with jax.enable_x64(True):
        compiled = jax.jit(learn)

        @settings(max_examples=6, deadline=None)
        @given(st.integers(0, 2**31), st.sampled_from([1.0, 8.0]), st.sampled_from([0.0, 1.0, 0.5]))
        def law(seed, time_constant, dependence):
            rng, spikes = np.random.default_rng(seed), trains(seed)
            w = {name: rng.uniform(0.2, 0.8, shape) for name, shape in SIZES.items()}
            rule = gd.stdp(gd.schedules.linear(0.02, 0.0, 20), 0.7, time_constant, dependence)
            learned = compiled(rule.canonicalize(), jax.tree.map(jnp.asarray, w), spikes)
            for name in SIZES:
                rate = lambda t: 0.02 * (1 - t / 20)  # noqa: E731
                expected = learn_by_pairs(w[name], spikes[name], rate, 0.7, time_constant, dependence)
                np.testing.assert_allclose(learned[name], expected, rtol=1e-12)

        law()


def test_it_is_an_optimizer_as_any_other():
    w = {"a": jnp.full((4, 3), 0.5), "bias": None}
    spikes = {"a": gd.Spikes(jnp.ones(4, bool), jnp.ones(3, bool)), "bias": None}
    rule = gd.project(gd.stdp(1.0), gd.projections.box(0.0, 1.0))
    updates, state = jax.jit(rule.update)(spikes, rule.init(w), w)
    np.testing.assert_array_equal(optax.apply_updates(w, updates)["a"], 1)
    assert updates["bias"] is None and rule.learning_rate_at(state) == 1
    many = jax.tree.map(lambda x: jnp.stack([x, 0 * x]), spikes)
    updates = jax.vmap(lambda each: gd.stdp(1.0).update(each, gd.stdp(1.0).init(w), w)[0])(many)
    np.testing.assert_array_equal(updates["a"], [np.ones((4, 3)), np.zeros((4, 3))])
    half = {"a": w["a"].astype(jnp.bfloat16)}
    updates, state = gd.stdp(1e-3).update({"a": spikes["a"]}, gd.stdp(1e-3).init(half), half)
    assert updates["a"].dtype == jnp.bfloat16 and state.slots["x"]["a"].dtype == jnp.float32


W = jnp.full((4, 3), 0.5)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: gd.stdp(0.1, time_constant=0), ValueError, r"^stdp: time_constant must be in \(0, inf\), got 0$"),
        (
            lambda: gd.stdp(0.1).init({"b": jnp.ones(3)}),
            ValueError,
            r"^stdp: params\['b'\] must be a matrix \(in, out\), got shape \(3,\); put None in its place$",
        ),
        (
            lambda: gd.fit(lambda w, x: jnp.sum(x @ w), W, gd.stdp(0.1), jnp.ones((8, 4)), epochs=1),
            TypeError,
            r"stdp: updates must be Spikes\(pre, post\) .* got an array of shape \(4, 3\); it takes no gradient",
        ),
        (
            lambda: gd.stdp(0.1).update(gd.Spikes(jnp.ones(3), jnp.ones(4)), gd.stdp(0.1).init(W), W),
            ValueError,
            r"^stdp: updates must have pre \(4,\) and post \(3,\), got \(3,\) and \(4,\)",
        ),
        (
            lambda: gd.stdp(0.1).update({"w": W}, gd.stdp(0.1).init({"v": W}), {"v": W}),
            TypeError,
            "^stdp: updates must be .* got a tree of another structure",
        ),
    ],
    ids=["bounds", "vector", "gradient", "shape", "structure"],
)
def test_what_is_refused(make, kind, message):
    with pytest.raises(kind, match=message):
        make()
