"""Backpropagation by hand is what jax.grad does, and the check of gradients tells right from wrong."""

import itertools

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
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


@settings(max_examples=11, deadline=None)
@given(
    st.lists(st.sampled_from((1, 4)), min_size=2, max_size=5),
    st.lists(st.sampled_from(HIDDEN), min_size=3, max_size=3),
    st.sampled_from(ENDS),
    st.sampled_from((0, 1, 3)),  # 0: one instance, without an axis of rows
    st.integers(0, 10_000),
)
@example([4, 4], ["tanh"] * 3, ("cross_entropy", "softmax"), 3, 1)  # targets that do not sum to 1
def test_by_hand_is_jax_grad(sizes, hidden, end, rows, seed):
    cost, last = end
    with jax.enable_x64(True):
        params, x, y = network([*sizes[:-1], 4 if last == "softmax" else sizes[-1]], seed, max(rows, 1))
        y = y * 0.7 + 0.2 if seed % 2 else y  # targets that do not sum to 1, or one-hot
        activations = [*hidden[: len(sizes) - 2], last]
        x, y = (x, y) if rows > 0 else (x[0], y[0])

        @jax.jit
        def both(params):
            found = backpropagate(params, x, y, activations, cost)
            return (found.cost, found.gradients), jax.value_and_grad(cost_of)(params, x, y, activations, cost)

        (found, gradients), (value, expected) = both(params)
        flat, right = (jax.flatten_util.ravel_pytree(g)[0] for g in (gradients, expected))
        np.testing.assert_allclose(flat, right, rtol=1e-12, atol=1e-12 * float(jnp.abs(right).max()))
        assert float(found) == pytest.approx(float(value))


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


MODELS = [  # (activation, output, sizes, cost, loss of the model's own outputs and the targets)
    ("tanh", "identity", (4, 5, 3), None, lambda out, y: -jnp.sum(y * jax.nn.log_softmax(out), -1)),
    (
        "sigmoid",
        "sigmoid",
        (4, 6, 1),
        "binary_cross_entropy",
        lambda a, y: -jnp.sum(y * jnp.log(a / (1 - a)) + jnp.log(1 - a), -1),
    ),
    pytest.param(
        *("gelu", "identity", (4, 3, 2), "quadratic", lambda out, y: jnp.sum((out - y) ** 2, -1) / 2),
        marks=pytest.mark.nightly,
    ),
    ("selu", "softplus", (4, 3, 4, 2), "quadratic", lambda out, y: jnp.sum((out - y) ** 2, -1) / 2),
    (
        "softsign",
        "identity",
        (4, 3, 1),
        "binary_cross_entropy",
        lambda z, y: jnp.sum(jnp.log1p(jnp.exp(z)) - y * z, -1),
    ),
    (lambda z: z**2, "identity", (4, 2, 2), None, lambda out, y: -jnp.sum(y * jax.nn.log_softmax(out), -1)),
]


@pytest.mark.parametrize("activation, output, sizes, cost, own", MODELS)
def test_the_model_says_what_is_differentiated(activation, output, sizes, cost, own):
    """Targets that sum to anything, inputs of whole numbers: the gradient is that of the model's own loss."""
    model = models.mlp(sizes, activation=activation, output=output)
    params = jax.tree.map(lambda p: p.astype(float), model.init(jax.random.key(3)))
    rng = np.random.default_rng(1)
    x, y = rng.integers(-2, 3, (5, 4)), rng.uniform(0.1, 0.8, (5, sizes[-1]))

    @jax.jit
    def all_of(params):
        by_hand = backpropagate(model, params, x, y, cost), backpropagate(params, x, y, cost=cost, model=model)
        right = jax.value_and_grad(lambda p: jnp.mean(own(model.apply(p, x * 1.0), y)))(params)
        return [(found.cost, found.gradients) for found in by_hand], right, cost_of(model, params, x, y, cost)

    by_hand, (value, slope), total = all_of(params)
    for found, gradients in by_hand:
        assert float(found) == pytest.approx(float(value), rel=1e-10)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), gradients, slope)
    assert float(total) == pytest.approx(float(value), rel=1e-10)


@pytest.mark.parametrize("x", [np.array([[1, 0], [0, 1]]), np.array([[True, False], [False, True]])])
def test_whole_numbers_and_truth_values_do_not_round_the_targets(x):
    with jax.enable_x64(False):
        params = ({"w": jnp.array([[0.3, -0.2], [0.1, 0.4]], jnp.bfloat16), "b": jnp.zeros(2, jnp.bfloat16)},)
        y = np.array([[0.6, 0.7], [0.1, 0.2]], np.float32)
        found = backpropagate(params, x, y, "softmax")
        exact = np.asarray(params[0]["w"], float)
        a = np.exp(exact) / np.exp(exact).sum(1, keepdims=True)
        np.testing.assert_allclose(found.delta[0], a * y.sum(1, keepdims=True) - y, atol=0.01)
        assert float(found.cost) == pytest.approx(-np.mean(np.sum(y * np.log(a), 1)), rel=0.01)
        assert found.gradients[0]["w"].dtype == jnp.bfloat16


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
        ({"params": {"w": 1.0}}, "params must be"),
        ({"x": jnp.ones((1, 4), complex)}, "x must be real"),
        ({"model": models.dense(4, 3)}, "model must be a models.mlp"),
        ({"model": models.mlp((4, 5, 1))}, "give cost='quadratic' or 'binary_cross_entropy'"),
        ({"model": models.mlp((4, 5, 3)), "activations": "tanh"}, "a model has its own activations"),
        ({"params": network((4, 5, 1), 0, 1)[0], "y": jnp.ones((1, 1))}, "softmax must have at least 2 outputs, got 1"),
        ({"x": jnp.ones((1, 3))}, r"params\[0\]\['w'\] must have 3 rows"),
        ({"y": jnp.ones((1, 2))}, r"y must have shape \(1, 3\) as the outputs, got \(1, 2\)"),
    ],
)
def test_by_hand_refuses_what_does_not_fit(change, message):
    params, x, y = network((4, 5, 3), 0, 1)
    with pytest.raises(ValueError, match=message):
        backpropagate(**{"params": params, "x": x, "y": y, **change})


@pytest.mark.parametrize(("cost", "end"), [("cross_entropy", "softmax"), ("binary_cross_entropy", "sigmoid")])
def test_cross_entropies_take_shares(cost, end):
    params, x, _ = network((4, 5, 3), 0, 2)
    given = params, x, jnp.array([[1.0, 0, 0], [0, 0, 1]]), ("tanh", end), cost
    found = backpropagate(*given)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(found.gradients))
    for factor, what in ((-1, "-1"), (1.5, "1.5"), (255, "255"), (np.nan, "nan")):
        wrong = given[0], given[1], factor * given[2], *given[3:]
        with pytest.raises(ValueError, match=rf"backpropagate: y must be in \[0, 1\], got {what}"):
            backpropagate(*wrong)
        with pytest.raises(ValueError, match=r"y must be in \[0, 1\]"):
            cost_of(*wrong)
    with pytest.raises(ValueError, match=r"of labels -1 and \+1 write \(labels \+ 1\) / 2"):
        backpropagate(*given[:2], 2 * given[2] - 1, *given[3:])
    traced = jax.jit(lambda y: backpropagate(*given[:2], y, *given[3:]).gradients)(-given[2])
    assert all(np.isnan(g).any() for g in jax.tree.leaves(traced))
    backpropagate(*given[:2], -given[2], ("tanh", "identity"), "quadratic")


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
    assert found and found.passed and found.worst.relative < 1e-6 and not found.wrong_leaves()
    assert {probe.leaf for probe in found.probes} == {"all", "['b']", "['w']"} and len(found.probes) == 4 + 2 * 5 - 1
    assert "right" in found.summary()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_is_found_and_its_leaf_named(mistake):
    change, leaves = MISTAKES[mistake]
    params, x = example()
    found = check_gradients(loss, params, x, gradient=lambda p, x: change(jax.grad(loss)(p, x)), entries=9)
    assert not found and not found.passed and found.wrong_leaves() == leaves and "WRONG" in str(found)


def test_a_wrong_custom_derivative_is_caught_in_the_leaf_that_it_serves():
    @jax.custom_vjp
    def square(x):
        return x**2

    square.defvjp(lambda x: (x**2, x), lambda x, g: (g * x,))  # forgot the 2
    params = {"good": jnp.ones(3), "bad": jnp.arange(3.0) + 1}
    f = lambda p: jnp.sum(p["good"] ** 2) + jnp.sum(square(p["bad"]))  # noqa: E731
    assert check_gradients(f, params).wrong_leaves() == ["['bad']"]


@pytest.mark.parametrize(
    "claimed, verdict", [(-0.1, "WRONG"), (0.0, "kink"), (0.3, "kink"), (1.0, "kink"), (1.1, "WRONG")]
)
def test_a_kink_is_no_error_and_an_error_is_no_kink(claimed, verdict):
    """Any slope between those of both sides will do, and no other."""
    relu = lambda p: jnp.sum(jax.nn.relu(p))  # noqa: E731
    found = check_gradients(
        relu, jnp.array([0.0, 1.0]), gradient=lambda p: jnp.array([claimed, 1.0]), directions=1, entries=2
    )
    assert [p.verdict for p in found.probes if p.direction != "random"] == [verdict, "right"]
    assert found.passed == (verdict == "kink") and ("2 at a kink" in found.summary() or not found.passed)


def of(probes, leaf):
    return {p.verdict for p in probes if p.leaf == leaf}


FUNCTIONS = [lambda u: jnp.sum(jnp.log(u)), lambda u: jnp.sum(jnp.sqrt(u)), lambda u: jnp.sum(jnp.sin(u) * u**2)]


@pytest.mark.parametrize(
    ("f", "scale"),
    [
        pytest.param(f, scale, marks=[pytest.mark.nightly] * (i != j))
        for i, f in enumerate(FUNCTIONS)
        for j, scale in enumerate((1e-30, 1e20, 3e7))
    ],
)
def test_steps_are_relative_to_the_parameters(f, scale):
    """The same function in other units has the same verdicts: right ones stay right, 0 and 1 % off are wrong."""
    x = np.array([1.3, 0.4, 2.0]) * scale
    loss = lambda x: f(x / scale)  # noqa: E731
    for factor, verdict in ((1, "right"), (0, "WRONG"), (1.01, "WRONG")):
        found = check_gradients(loss, x, gradient=lambda x, c=factor: c * jax.grad(loss)(x))
        assert of(found.probes, "the root") == {verdict} and found.passed == (factor == 1)


def test_a_zero_of_a_norm_and_a_tiny_beside_a_large_are_right():
    sums = lambda x: x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-8)  # noqa: E731
    norm = lambda x: jnp.sum(jnp.cos(jnp.arange(12.0).reshape(3, 4)) * sums(x))  # noqa: E731
    x = jax.random.normal(jax.random.key(0), (3, 4)).at[1].set(0)
    for loss, point in ((norm, x), (norm, 0 * x), (lambda x: jnp.sum(jnp.log(x)), np.array([2.0, 1e-17, 1e-6]))):
        found = check_gradients(loss, point, entries=12)
        assert of(found.probes, "the root") == {"right"}, str(found)


def test_what_the_rounding_hides_is_undecided_and_has_not_passed():
    loss = lambda p: jnp.sum(p["large"] ** 2) + jnp.sum(p["tiny"] ** 2)  # noqa: E731
    right = jax.grad(loss)
    for size, verdict in ((2.0, "WRONG"), (1e-7, "undecided")):
        params = {"large": np.full(2, 3e5), "tiny": np.full(3, size)}
        for change in (lambda g: -g, lambda g: 0 * g):
            wrong = lambda p, change=change: {**right(p), "tiny": change(right(p)["tiny"])}  # noqa: E731
            found = check_gradients(loss, params, gradient=wrong)
            assert of(found.probes, "['tiny']") == {verdict} and of(found.probes, "['large']") == {"right"}
            assert not found.passed
    assert "nothing is known of the gradient in ['tiny']" in found.summary() and "4 undecided" in found.summary()
    for params in (jnp.arange(3), jnp.zeros((0, 2))):
        nothing = check_gradients(lambda p: 1.0 * jnp.sum(p), params)
        assert not nothing.passed and "nothing is known" in nothing.summary()
    unused = check_gradients(lambda p: jnp.sum(p["used"] ** 2), {"used": jnp.ones(2), "unused": jnp.ones(2)})
    assert unused.passed and of(unused.probes, "['unused']") == {"right"}


ROWS = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)


@pytest.mark.parametrize(
    ("x", "verdict"), [([-50.0, 0.0], "undecided"), ([-80.0, 50.0], "undecided"), ([-9.0, 2.0], "WRONG")]
)
def test_an_entry_below_the_rounding_of_the_others_is_named(x, verdict):
    loss = lambda x: jnp.sum(jnp.exp(x))  # noqa: E731
    for factor in (1.0, 2.0, -3.0):
        found = check_gradients(loss, np.array(x), gradient=lambda x, c=factor: jnp.exp(x).at[0].multiply(c))
        expected = "right" if verdict == "WRONG" and factor == 1 else verdict
        assert [p.verdict for p in found.probes if p.direction == "[0]"] == [expected], str(found)
        assert found.passed == (expected != "WRONG")
        assert ("1 undecided ([0]): the loss's own rounding hides them" in found.summary()) == (expected == "undecided")


def test_at_the_lowest_point_slopes_of_rounding_are_right():
    with jax.enable_x64(True):
        a, b = np.random.default_rng(0).normal(size=(7, 3)), np.arange(7.0)
        lowest = np.linalg.lstsq(a, b)[0]
        found = check_gradients(lambda x: jnp.sum((a @ x - b) ** 2), lowest)
        assert 0 < max(abs(p.gradient) for p in found.probes) < 1e-12
        assert of(found.probes, "the root") == {"right"} and found.passed


@pytest.mark.parametrize(
    "loss",
    [
        lambda p: jnp.mean((ROWS @ p["w"] + p["b"] > 0) == (ROWS[:, 0] > 0.1)),
        lambda p: 1e3 + jnp.sum(jnp.floor(7 * p["w"])),
        lambda p: jnp.sum(jax.nn.relu(p["w"] - 5)),
    ],
    ids=["accuracy", "floor", "dead"],
)
def test_a_loss_that_is_constant_here_has_not_passed(loss):
    params = {"w": np.array([0.3, -1.2], np.float32), "b": np.float32(0.2)}
    found = check_gradients(loss, params, directions=2, entries=2)
    assert not found.passed and found.moves and {p.verdict for p in found.probes} == {"undecided"}
    assert "undecided: the loss is constant near the parameters" in found.summary()
    beside = check_gradients(lambda p: loss(p) + p["b"] ** 4, params, directions=2, entries=2)
    assert beside.passed  # the loss moves, and w is as still as its gradient says


def test_only_what_is_near_counts():
    """A fast sine has wrapped around many times, and a kink lies close by: the slope is that of here."""
    fast = lambda x: jnp.sum(jnp.sin(3e8 * x))  # noqa: E731
    x = np.array([0.3, 1.7])
    assert check_gradients(fast, x).passed
    assert of(check_gradients(fast, x, gradient=jnp.zeros_like).probes, "the root") == {"WRONG"}
    near = lambda x: jnp.sum(jnp.abs(x - 2e-9)) + 4  # noqa: E731
    for claimed, passed in ((-1.0, True), (1.0, False), (0.0, False)):
        found = check_gradients(near, np.zeros(1), gradient=lambda x, c=claimed: jnp.full(1, c))
        assert found.passed == passed
    jump = lambda x: jnp.sum(jnp.where(x < 0, x, x + 0.5))  # noqa: E731
    found = check_gradients(jump, np.zeros(1))
    assert of(found.probes, "the root") == {"undecided"} and not found.passed


def test_one_wrong_entry_among_many_and_what_would_have_been_seen():
    x = jnp.asarray(np.random.default_rng(0).normal(size=30_000))
    loss = lambda x: jnp.mean((x - 0.1) ** 4)  # noqa: E731
    found = check_gradients(loss, x)
    assert found.passed and (found.entries, found.total) == (4, 30_000) and found.visible < 1e-2
    assert "probed: 4 of 30000 entries alone" in found.summary()
    error = 3 * found.visible * np.max(np.abs(jax.grad(loss)(x)))
    for place in (17, 20_000):
        wrong = check_gradients(loss, x, gradient=lambda x, i=place: jax.grad(loss)(x).at[i].add(error))
        assert not wrong.passed


@pytest.mark.parametrize("dtype", [pytest.param(jnp.float32, marks=pytest.mark.nightly), jnp.bfloat16])
def test_a_loss_that_rounds_inside_is_not_accused(dtype):
    model = models.mlp((3, 6, 2), activation="tanh")
    params, x = model.init(jax.random.key(2)), jax.random.normal(jax.random.key(1), (20, 3))

    def loss(params):
        low = jax.tree.map(lambda p: p.astype(dtype), params)
        penalty = sum(jnp.sum(p**2) for p in jax.tree.leaves(params))
        return jnp.mean(model.apply(low, x.astype(dtype)) ** 2) + 0.01 * penalty

    verdicts = {p.verdict for p in check_gradients(loss, params).probes}
    assert verdicts <= {"right", "undecided"} and ("right" in verdicts or dtype == jnp.bfloat16)


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


def test_a_loss_that_stands_still_or_only_bends_has_not_passed():
    params = {"w": jnp.ones(3), "b": jnp.zeros(2)}
    for still in (lambda p: jnp.asarray(3.0), lambda p: 0 * p["w"].sum() + 1, lambda p: jnp.round(0 * p["b"].sum())):
        found = check_gradients(still, params, directions=1, entries=1)
        assert not found.passed and not found.moves and "the loss does not move" in found.summary()
    bends = check_gradients(lambda p: jnp.sum(jnp.abs(p)), jnp.zeros(2))
    assert of(bends.probes, "the root") == {"kink"} and not bends.passed
    assert "nothing is known of the gradient in any leaf: 0 directions are right, 6 at a kink" in bends.summary()
    bottom = check_gradients(lambda p: jnp.sum(p**2), jnp.zeros(2))
    assert bottom.passed


@pytest.mark.parametrize("directions", [1, 3, 8])
def test_one_leaf_has_as_many_directions_as_were_asked_for(directions):
    found = check_gradients(lambda p: jnp.sum(p["only"] ** 3), {"only": jnp.arange(1.0, 4)}, directions=directions)
    assert sum(p.direction == "random" for p in found.probes) == directions and found.passed
    assert f"in {directions} random directions" in found.summary()


@pytest.mark.parametrize("dtype", [jnp.float32, pytest.param(jnp.bfloat16, marks=pytest.mark.nightly)])
def test_a_gradient_that_is_not_finite_in_its_own_dtype_is_wrong(dtype):
    params = {"a": jnp.ones(2, dtype), "b": jnp.array([0.1, 0.7], dtype)}
    root = lambda p: jnp.sum(p["a"] ** 2 + jnp.sqrt(jnp.abs(p["b"] - jnp.asarray(0.1, p["b"].dtype))))  # noqa: E731
    found = check_gradients(root, params)
    assert not found.passed and found.wrong_leaves() == ["['b']"]
    words = f"WRONG in ['b']; in {jnp.dtype(dtype)}, which ['b'] has, 1 of 2 entries are not finite"
    assert words in found.summary()
    given = check_gradients(root, params, gradient=lambda p: jax.grad(root)(p))
    assert not given.passed and given.wrong_leaves() == ["['b']"]
    assert check_gradients(root, {**params, "b": jnp.array([0.3, 0.7], dtype)}).passed


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
