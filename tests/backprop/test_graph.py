"""The computational graph: every value, every adjoint, and a picture of both."""

import operator
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gdjax import models
from gdjax.backprop import graph
from gdjax.expression import parse
from gdjax.plots import computation, graph_svg, save


def lecture():
    return graph(lambda x, y, z: (x + y) * z, -2.0, 5.0, -4.0)


def test_the_lectures_graph():
    found = lecture()
    shown = {node.name: (float(node.value), float(node.adjoint)) for node in found.nodes}
    assert shown == {"x": (-2, -4), "y": (5, -4), "z": (-4, 3), "q": (3, -4), "f": (-12, 1)}
    assert [found.formula(node) for node in found.nodes[-2:]] == ["x + y", "q * z"]
    assert [float(d) for d in found["f"].local] == [-4, 3] and found.output is found["f"]
    assert "df/dq = -4" in str(found)
    with pytest.raises(KeyError, match="no node 'w': one of x, y, z, q, f"):
        found["w"]


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["x*y + sin(x)", "(x + y)^2 / (1 + y^2)", "exp(x*y) - tanh(x + y)", "max(x, y) * sigm(x - y)"]),
    st.floats(-2, 2),
    st.floats(-2, 2),
)
def test_adjoints_are_gradients_and_the_chain_rule_holds(text, x, y):
    values = {"x": x, "y": y}
    found = graph(parse(text), values)
    for name, slope in jax.grad(parse(text))(values).items():
        np.testing.assert_allclose(found[name].adjoint, slope, rtol=1e-5, atol=1e-6)
        forward = found.tangents(name)["f"]  # the other mode, the same number
        np.testing.assert_allclose(forward, slope, rtol=1e-4, atol=1e-5)
    for node in found.nodes[:-1]:
        users = [
            (u, d)
            for u in found.nodes
            for i, d in zip(u.inputs, u.local, strict=True)
            if i == node.index and d is not None
        ]
        if users and node.adjoint is not None:
            np.testing.assert_allclose(node.adjoint, sum(u.adjoint * d for u, d in users), rtol=1e-4, atol=1e-5)


def network_loss():
    model = models.mlp((4, 5, 3))
    x, y = jax.random.normal(jax.random.key(1), (6, 4)), jnp.arange(6) % 3

    def loss(params):
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(model.apply(params, x)), y[:, None], 1))

    return loss, model.init(jax.random.key(0))


@pytest.mark.parametrize("fold", [pytest.param(False, marks=pytest.mark.nightly), True])
def test_a_network_with_respect_to_everything(fold):
    loss, params = network_loss()
    found = graph(loss, params, fold=fold)
    for node, slope in zip(found.inputs, jax.tree.leaves(jax.grad(loss)(params)), strict=True):
        np.testing.assert_allclose(node.adjoint, slope, atol=1e-6)
    hidden = next(node for node in found.nodes if node.op == "relu")

    def rest(h):
        logits = h @ params[1]["w"] + params[1]["b"]
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), (jnp.arange(6) % 3)[:, None], 1))

    np.testing.assert_allclose(hidden.adjoint, jax.grad(rest)(hidden.value), atol=1e-6)
    assert ("log_softmax" in {node.op for node in found.nodes}) == fold
    assert found.output.value == loss(params)


@jax.custom_vjp
def clipped(x):
    return jnp.clip(x, 0, 1)


clipped.defvjp(lambda x: (clipped(x), None), lambda _, g: (7 * g,))


def hard(x, n):
    s, _ = jax.lax.scan(lambda c, _: (jnp.sin(c) * x, None), x, length=3)
    w, _ = jax.lax.while_loop(lambda c: c[1] < 3, lambda c: (c[0] * 1.1, c[1] + 1), (jax.lax.stop_gradient(x), 0))
    branch = jax.lax.cond(x > 0, lambda x: x**2, lambda x: -x, x)
    inner = jnp.sum(jax.vmap(jax.jit(jnp.cos))(jnp.array([x, 2 * x])))
    return jax.jit(lambda t: t * t)(s) + branch + clipped(x) + inner + w * 0 + n * x


def test_loops_branches_and_custom_derivatives():
    found = graph(hard, 0.7, 3)
    assert float(found["x"].adjoint) == pytest.approx(float(jax.grad(hard)(0.7, 3)), rel=1e-6)
    assert found["n"].adjoint is None, "an integer has none"
    nodes = {node.op: node for node in found.nodes}
    assert {"scan", "while", "cond", "clipped"} <= set(nodes)
    assert all(nodes[op].inside is not None for op in ("scan", "cond", "while", "clipped"))
    assert float(nodes["clipped"].local[0]) == 7, "its own derivative, not that of what it does"
    assert found.tangents("x")["f"] == pytest.approx(float(found["x"].adjoint), rel=1e-5)


@pytest.mark.parametrize(
    "f, message",
    [
        (lambda x: x, r"f must give one real number, got float32 of shape \(3,\)"),
        (lambda x: (x[0], x[1]), "got 2 arrays"),
        (lambda x: jnp.argmax(x), "got int32"),
    ],
)
def test_other_outputs_are_refused(f, message):
    with pytest.raises(ValueError, match=message):
        graph(f, jnp.ones(3))


def test_counts_tell_why_reverse_wins_and_sharing_saves():
    counts = lecture().counts()
    assert counts == {"operations": 2, "edges": 4, "scalar inputs": 3, "forward": 12, "reverse": 4, "unshared": 2}

    def double(x):
        for _ in range(10):
            x = x + x
        return x

    sigmoid = graph(lambda t: 1 / (1 + jnp.exp(-t)), 0.5).counts()
    assert (sigmoid["operations"], sigmoid["edges"]) == (4, 4)  # numbers have no edge
    counts = graph(double, 1.0).counts()
    assert (counts["operations"], counts["unshared"]) == (10, 2**10 - 1)
    loss, params = network_loss()
    assert graph(loss, params).counts()["scalar inputs"] == 4 * 5 + 5 + 5 * 3 + 3


def test_renderings_name_every_node(tmp_path):
    found = lecture()
    dot = found.to_dot()
    assert dot.count("->") == 4 and all(f"n{i} [" in dot for i in range(5)) and dot.startswith("digraph {")
    svg = graph_svg(found)
    assert found._repr_html_().count("<tr>") == 6 and "<td>x + y</td>" in found._repr_html_()
    assert "<svg" in svg and len(re.findall('<g id="text_', svg)) >= 15
    loss, params = network_loss()
    image = np.asarray(Image.open(save(computation(graph(loss, params, fold=True), "A network"), tmp_path / "g.png")))
    assert image.shape[1] >= 1600
    words = {text.get_text() for text in computation(found, "f").axes[0].texts}
    assert {"x", "y", "z", "q = x + y", "f = q * z", "-12", "3"} <= words

    def long(x):
        for i in range(130):
            x = jnp.sin(x) + i
        return x

    with pytest.raises(ValueError, match="at most 120 nodes"):
        computation(graph(long, 1.0))


def test_a_long_graph_is_broken_into_lines():
    def chain(x):
        for _ in range(9):
            x = jnp.sin(x)
        return x

    found = graph(chain, 1.0)
    picture = computation(found)
    assert picture.get_size_inches()[0] < 7.5 * 1.75
    heights = {round(text.get_position()[1], 2) for text in picture.axes[0].texts if "sin(" in text.get_text()}
    assert len(heights) == 2  # ten columns in two lines
    alone = [text.get_text() for text in picture.axes[0].texts if text.get_text() == found.nodes[4].name]
    assert len(alone) == 1  # the name that the edge from the first line to the second ends in


def test_powers_keep_their_exponent_and_the_output_its_own_name():
    found = graph(lambda given: given["f"] ** 3 + given["q"], {"f": 2.0, "q": 1.0})
    cube = next(node for node in found.nodes if node.op == "^3")
    assert found.formula(cube) == "f^3" and found["f"].op == "input"
    assert found.output.name == "output" and float(found["f"].adjoint) == 12


def lecture_of_a_neuron(w, x, b):
    return jnp.tanh(w * x + b)


def add(*xs, scale=2.0):
    return scale * xs[0] * xs[1] + xs[2]


CALLS = {
    "a function": (lecture_of_a_neuron, (2.0, 3.0, -5.0), ["w", "x", "b"]),
    "jitted": (jax.jit(lecture_of_a_neuron), (2.0, 3.0, -5.0), ["w", "x", "b"]),
    "four": (lambda a, t, f, output: a * t + jnp.sin(f) * output, (1.0, 2.0, 3.0, 4.0), ["a", "t", "f", "output"]),
    "any number": (add, (1.0, 2.0, 3.0), ["xs[0]", "xs[1]", "xs[2]"]),
    "trees": (
        lambda params, y: params["w1"] * params["b4"] - y[0] * y[1],
        ({"w1": 2.0, "b4": 3.0}, (1.0, 4.0)),
        ["params['b4']", "params['w1']", "y[0]", "y[1]"],
    ),
    "keys": (
        lambda given: jnp.exp(given["w1"]) * given["a2"] + given["q"],
        ({"w1": 0.1, "a2": 2.0, "q": 1.0},),
        ["a2", "q", "w1"],
    ),
    "unused": (lambda u, unused, r: u * r, (2.0, 3.0, 4.0), ["u", "unused", "r"]),
    "of a library": (operator.truediv, (2.0, 3.0), ["a", "b"]),
}


@pytest.mark.parametrize("case", CALLS)
def test_inputs_are_named_as_the_function_names_them_and_nothing_else_is(case):
    f, args, names = CALLS[case]
    found = graph(f, *args)
    assert [node.name for node in found.inputs] == names
    slopes = jax.tree.leaves(jax.grad(f, argnums=tuple(range(len(args))))(*args))
    for node, slope in zip(found.inputs, slopes, strict=True):  # an unused one has 0
        np.testing.assert_allclose(node.adjoint, slope, rtol=1e-6)
    inner = [node.name for node in found.nodes if node.op not in ("input", "constant")]
    words = set().union(*(re.findall("[a-z]+", name) for name in names))
    assert len(set(inner)) == len(inner) and not words.intersection(re.findall("[a-z]+", " ".join(inner)))
    used = {i for node in found.nodes for i in node.inputs}
    assert found.counts()["scalar inputs"] == sum(node.index in used for node in found.inputs)
    assert len(computation(found).axes[0].texts) >= len(found.inputs)


def test_an_output_that_is_an_input():
    found = graph(lambda x, y: y, 1.0, 2.0)
    assert [(n.name, float(n.adjoint)) for n in found.nodes] == [("x", 0.0), ("y", 1.0)]
