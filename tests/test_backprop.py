"""Backpropagation by hand is what jax.grad does, and the check of gradients tells right from wrong."""

import itertools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdjax import models
from gdjax.backprop import (
    backpropagate,
    check_gradients,
    cost_of,
    difference_quotients,
    fold_bias,
    product_gradients,
    table,
    with_ones,
)
from gdjax.backprop.by_hand import ACTIVATIONS, COSTS

HIDDEN = [name for name in ACTIVATIONS if name != "softmax"]
ENDS = [("quadratic", name) for name in ACTIVATIONS] + [
    ("cross_entropy", "softmax"),
    ("cross_entropy", "sigmoid"),
    ("binary_cross_entropy", "sigmoid"),
]


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def network(sizes, seed, rows):
    """Parameters, inputs and one-hot targets, from a NumPy seed."""
    rng = np.random.default_rng(seed)
    params = tuple(
        {"w": jnp.asarray(rng.normal(size=(a, b)) / np.sqrt(a)), "b": jnp.asarray(rng.normal(size=b) * 0.3)}
        for a, b in itertools.pairwise(sizes)
    )
    x = jnp.asarray(rng.normal(size=(rows, sizes[0])))
    return params, x, jnp.eye(sizes[-1])[rng.integers(0, sizes[-1], rows)]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from((1, 4)), min_size=2, max_size=5),  # few shapes: each is compiled anew
    st.lists(st.sampled_from(HIDDEN), min_size=3, max_size=3),
    st.sampled_from(ENDS),
    st.sampled_from((1, 3)),
    st.integers(0, 10_000),
)
def test_by_hand_is_jax_grad(sizes, hidden, end, rows, seed):
    cost, last = end
    with jax.enable_x64(True), jax.disable_jit():
        params, x, y = network(sizes, seed, rows)
        activations = [*hidden[: len(sizes) - 2], last]
        for given_x, given_y in ((x, y), (x[0], y[0])):
            found = backpropagate(params, given_x, given_y, activations, cost)
            expected = jax.grad(cost_of)(params, given_x, given_y, activations, cost)
            flat, right = (jax.flatten_util.ravel_pytree(g)[0] for g in (found.gradients, expected))
            np.testing.assert_allclose(flat, right, rtol=1e-12, atol=1e-12 * float(jnp.abs(right).max()))
            assert float(found.cost) == pytest.approx(float(cost_of(params, given_x, given_y, activations, cost)))


@pytest.mark.parametrize("name", HIDDEN)
def test_every_derivative_is_that_of_its_function(name):
    activation = ACTIVATIONS[name]
    z = jnp.linspace(-3, 3, 41) + 0.01
    np.testing.assert_allclose(
        activation.derivative(z, activation.function(z)), jax.vmap(jax.grad(activation.function))(z), rtol=1e-12
    )


@pytest.mark.parametrize("name", COSTS)
def test_every_cost_has_its_derivative(name):
    a, y = jnp.array([0.2, 0.5, 0.3]), jnp.array([0.0, 1.0, 0.0])
    np.testing.assert_allclose(COSTS[name].derivative(a, y), jax.grad(COSTS[name].function)(a, y), rtol=1e-12)


def test_a_batch_is_the_mean_of_its_instances_and_the_pass_is_whole():
    params, x, y = network((4, 5, 3), 0, 6)
    whole = backpropagate(params, x, y)
    each = [backpropagate(params, a, b).gradients for a, b in zip(x, y, strict=True)]
    mean = jax.tree.map(lambda *g: sum(g) / len(g), *each)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15), whole.gradients, mean)
    assert [z.shape for z in whole.z] == [(6, 5), (6, 3)] and [a.shape for a in whole.a] == [(6, 4), (6, 5), (6, 3)]
    assert [d.shape for d in whole.delta] == [(6, 5), (6, 3)]
    np.testing.assert_allclose(whole.delta[-1], whole.a[-1] - y)  # where softmax and cross-entropy cancel
    jitted = jax.jit(backpropagate, static_argnames=("activations", "cost"))(params, x, y, ("tanh", "softmax"))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15), jitted.gradients, whole.gradients
    )


def test_it_is_the_gradient_of_the_models_too():
    model = models.mlp((4, 5, 3), activation="sigmoid")
    params = model.init(jax.random.key(0))
    _, x, y = network((4, 3), 1, 7)
    loss = lambda params: jnp.mean(-jnp.sum(y * jax.nn.log_softmax(model.apply(params, x)), -1))  # noqa: E731
    found = backpropagate(params, x, y, ("sigmoid", "softmax")).gradients
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9), list(found), list(jax.grad(loss)(params))
    )


def test_large_logits_keep_their_cost():
    params = ({"w": jnp.eye(2) * 1000.0, "b": jnp.zeros(2)},)
    for cost, last in (("cross_entropy", "softmax"), ("binary_cross_entropy", "sigmoid")):
        found = backpropagate(params, jnp.array([1.0, -1.0]), jnp.array([0.0, 1.0]), last, cost)
        assert float(found.cost) == 2000 and jnp.isfinite(found.gradients[0]["w"]).all()


def test_matrix_forms_and_folded_biases():
    params, x, _ = network((4, 3), 2, 6)
    d_out = jax.random.normal(jax.random.key(0), (6, 3))
    loss = lambda x, w: jnp.sum(d_out * (x @ w))  # noqa: E731
    expected = jax.grad(loss, argnums=(0, 1))(x, params[0]["w"])
    for ours, theirs in zip(product_gradients(x, params[0]["w"], d_out), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(with_ones(x) @ fold_bias(params[0]), x @ params[0]["w"] + params[0]["b"], rtol=1e-12)


def test_the_table_shows_every_layer():
    params, x, y = network((4, 5, 3), 0, 1)
    text = table(params, x, y)
    found = backpropagate(params, x, y)
    assert [line.split()[0] for line in text.splitlines()] == ["layer", "input", "1", "2", "cost"]
    assert f"{float(found.delta[1][0, 0]):.4g}" in text and f"{float(found.cost):.6g}" in text
    with pytest.raises(ValueError, match="table: x must be one instance, got 2"):
        table(params, jnp.ones((2, 4)), jnp.ones((2, 3)))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"activations": ("tanh", "tan")}, "activations must name one for each of 2 layers"),
        ({"activations": ("softmax", "softmax")}, "softmax last"),
        ({"activations": ("tanh", "tanh", "softmax")}, "one for each of 2 layers"),
        ({"cost": "absolute"}, "cost must be one of quadratic"),
        ({"x": jnp.ones((1, 3))}, r"params\[0\]\['w'\] must have 3 rows"),
        ({"y": jnp.ones((1, 2))}, r"y must have shape \(1, 3\) as the outputs, got \(1, 2\)"),
    ],
)
def test_by_hand_refuses_what_does_not_fit(change, message):
    params, x, y = network((4, 5, 3), 0, 1)
    with pytest.raises(ValueError, match=message):
        backpropagate(**{"params": params, "x": x, "y": y, **change})


# The check.


def loss(params, x):
    return jnp.mean(jnp.sin(jnp.tanh(x @ params["w"] + params["b"]) ** 2))


def example(dtype=jnp.float32):
    params = {"w": jax.random.normal(jax.random.key(0), (3, 3)), "b": jnp.ones(3) * 0.3}
    return jax.tree.map(lambda p: p.astype(dtype), params), jax.random.normal(jax.random.key(1), (10, 3)).astype(dtype)


MISTAKES = {
    "sign flipped": (lambda g: jax.tree.map(jnp.negative, g), ["['b']", "['w']"]),
    "factor 2": (lambda g: jax.tree.map(lambda x: 2 * x, g), ["['b']", "['w']"]),
    "transposed": (lambda g: {**g, "w": g["w"].T}, ["['w']"]),
    "dropped term": (lambda g: {**g, "w": g["w"].at[0].set(0)}, ["['w']"]),
    "off by 1e-3": (lambda g: jax.tree.map(lambda x: 1.001 * x, g), ["['b']", "['w']"]),
    "one leaf": (lambda g: {**g, "b": 1.01 * g["b"]}, ["['b']"]),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float64])
def test_a_right_gradient_passes(dtype):
    params, x = example(dtype)
    found = check_gradients(loss, params, x)
    assert found.passed and found.worst.relative < 1e-6 and not found.wrong_leaves()
    assert {probe.leaf for probe in found.probes} == {"all", "['b']", "['w']"} and len(found.probes) == 4 + 2 * 5 - 1
    assert "right" in found.summary()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_is_found_and_its_leaf_named(mistake):
    change, leaves = MISTAKES[mistake]
    params, x = example()
    found = check_gradients(loss, params, x, gradient=lambda p, x: change(jax.grad(loss)(p, x)), entries=9)
    assert not found.passed and found.wrong_leaves() == leaves and "WRONG" in str(found)


def test_a_wrong_custom_derivative_is_caught_in_the_leaf_that_it_serves():
    @jax.custom_vjp
    def square(x):
        return x**2

    square.defvjp(lambda x: (x**2, x), lambda x, g: (g * x,))  # forgot the 2
    params = {"good": jnp.ones(3), "bad": jnp.arange(3.0) + 1}
    f = lambda p: jnp.sum(p["good"] ** 2) + jnp.sum(square(p["bad"]))  # noqa: E731
    assert check_gradients(f, params).wrong_leaves() == ["['bad']"]


def test_a_kink_is_no_error_and_an_error_is_no_kink():
    relu = lambda p: jnp.sum(jax.nn.relu(p))  # noqa: E731
    at_kink = check_gradients(relu, jnp.array([0.0, 1.0, -1.0]))
    assert (
        at_kink.passed
        and {p.direction: p.verdict for p in at_kink.probes}["[0]"] == "kink"
        and "at a kink" in at_kink.summary()
    )
    wrong = check_gradients(relu, jnp.array([0.0, 1.0, -1.0]), gradient=lambda p: jnp.array([1.5, 1.0, 0.0]))
    assert {p.direction: p.verdict for p in wrong.probes}["[0]"] == "WRONG"


def test_odd_leaves_losses_and_answers():
    def f(params, batch, key):
        return jnp.sum(params["w"] ** 2) * batch + jnp.sum(jnp.abs(params["z"]) ** 4), {"metric": 1}

    params = {"w": jnp.ones(2), "n": jnp.arange(3), "z": jnp.array([1 + 2j]), "empty": jnp.zeros((0, 2))}
    found = check_gradients(f, params, 2.0, jax.random.key(0))
    assert found.passed and {p.leaf for p in found.probes} == {"all", "['w']", "['z']"}
    low = lambda p: jnp.sum(jnp.sin(p.astype(jnp.float32)) * 100)  # noqa: E731 (rounds inside)
    assert check_gradients(low, jnp.arange(5.0)).passed
    with pytest.raises(ValueError, match=r"the loss must be one real number, got float64 of shape \(2,\)"):
        check_gradients(lambda p: p, jnp.ones(2))
    with pytest.raises(ValueError, match="must be finite at params"):
        check_gradients(lambda p: jnp.log(p), jnp.array(-1.0))
    with pytest.raises(ValueError, match="check_gradients: the gradient"):
        check_gradients(lambda p: jnp.sum(p), jnp.ones(2), gradient=lambda p: jnp.ones(3))


def test_difference_quotients_have_their_orders():
    found = difference_quotients(jnp.exp, 1.0)
    steps = found["step"]
    for name, order in (("one-sided", 1), ("central", 2)):
        error = np.abs(found[name] - found["derivative"])
        truncation = (steps <= 1e-1) & (steps >= (1e-6 if order == 1 else 1e-3))
        slope = np.polyfit(np.log(steps[truncation]), np.log(error[truncation]), 1)[0]
        assert slope == pytest.approx(order, abs=0.05)
        best = steps[np.argmin(error)]
        assert (1e-9 < best < 1e-6) if order == 1 else (1e-7 < best < 1e-4)
        assert error[-1] > 1e-2, "rounding wins in the end"
