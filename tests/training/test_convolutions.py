"""Convolutions of anyone's loss as products: the same numbers, in every kind of program, and none left in a loop."""

import functools
import math
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax import lax

import gdjax as gd
from gdjax import metrics, patches
from gdjax.jaxprs import inner_jaxprs, open_jaxpr
from gdjax.losses import softmax_cross_entropy_with_integer_labels
from gdjax.training import Fitting, Length
from gdjax.training.convolutions import call_with, convolved

IMAGES = ("NHWC", "HWIO", "NHWC")
by_products = functools.partial(convolved, "products")


def numbers(seed, shape, dtype="float64"):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def conv(x, w, *strides):
    return lax.conv_general_dilated(x, w, strides or (1, 1), "SAME", dimension_numbers=IMAGES)


def left(function, *args):
    """The convolutions of a program."""
    return str(jax.make_jaxpr(function)(*args)).count("conv_general_dilated[")


def observe(function, *args):
    """What it returns, and the gradients of a curved function of that by all arguments."""
    total = lambda *args: sum(jnp.sum(jnp.sin(y)) for y in jax.tree.leaves(function(*args)))  # noqa: E731
    return function(*args), jax.grad(total, tuple(range(len(args))))(*args)


def agree(function, *args, atol=1e-11):
    native, products = jax.jit(lambda *args: [observe(f, *args) for f in (function, by_products(function))])(*args)
    chex.assert_trees_all_equal_shapes_and_dtypes(products, native)
    chex.assert_trees_all_close(products, native, rtol=0, atol=atol)


@st.composite
def convolutions(draw):
    """A convolution with any order of axes, and shapes for it."""
    axes = draw(st.integers(1, 3))
    each = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(axes))  # noqa: E731
    kernel, strides, dilation, spread = each(1, 3), each(1, 3), each(1, 2), each(1, 2)
    padding = [(draw(st.integers(-1, 2)), draw(st.integers(0, 2))) for _ in range(axes)]
    groups, batches = draw(st.sampled_from([(1, 1), (2, 1), (3, 1), (1, 2)]))
    inputs, rows = groups * draw(st.integers(1, 2)), batches * draw(st.integers(1, 3))
    outputs = groups * batches * draw(st.integers(1, 2))
    space = [(k - 1) * d + 2 + more for k, d, more in zip(kernel, dilation, each(0, 3), strict=True)]
    orders = [tuple(draw(st.permutations(range(axes + 2)))) for _ in range(3)]
    shapes = [np.zeros(axes + 2, int), np.zeros(axes + 2, int)]
    shapes[0][list(orders[0])] = rows, inputs, *space
    shapes[1][list(orders[1])] = outputs, inputs // groups, *kernel
    options = strides, padding, spread, dilation, lax.ConvDimensionNumbers(*orders), groups, batches
    return options, tuple(map(tuple, shapes))


AS_IT_IS = lax.ConvDimensionNumbers((0, 2, 1), (2, 1, 0), (0, 2, 1))


@settings(max_examples=5, deadline=None)
@given(convolutions(), st.sampled_from([patches.PART, 100]))
@example((((1,), [(0, 0)], (1,), (1,), AS_IT_IS, 1, 1), ((5, 2, 2), (2, 2, 1))), 100)  # no equal parts: 3 rows and 2
def test_any_convolution_is_one_of_products(convolution, part):
    options, shapes = convolution
    function = lambda x, w: lax.conv_general_dilated(x, w, *options)  # noqa: E731
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(patches, "PART", part)  # few bytes: the rows are taken in parts
        x, w = (numbers(i, shape) for i, shape in enumerate(shapes))
        agree(function, x, w)
        assert left(by_products(function), x, w) == (0 in jax.eval_shape(function, x, w).shape)


def everywhere(x, w):
    """Convolutions in everything that a program is made of."""
    bent = lambda x, w: jnp.tanh(conv(x, w))  # noqa: E731
    total, _ = lax.scan(lambda a, _: (bent(a, w), None), x, None, length=2)
    branch = lax.cond(x[0, 0, 0, 0] > 0, bent, lambda x, w: conv(x, w[::-1]), x, w)
    again = jax.checkpoint(bent)(x, w)
    both = jax.vmap(bent)(jnp.stack([x, 2 * x]), jnp.stack([w, w + 1]))
    one = jax.vmap(bent, (None, 0))(x, jnp.stack([w, w + 1]))
    wider = lax.conv_transpose(x, w, (2, 2), "SAME", dimension_numbers=IMAGES)
    slope = jax.grad(lambda x: jnp.sum(bent(x, w)))(x)
    return total, branch, again, both, one, wider, slope, jax.nn.relu(jax.jit(bent)(x, w))


def test_they_are_replaced_in_loops_branches_and_maps():
    with jax.enable_x64(True):
        x, w = numbers(0, (2, 3, 4, 2)), numbers(1, (2, 2, 2, 2))
        agree(everywhere, x, w)
        assert left(everywhere, x, w) > 9 and left(by_products(everywhere), x, w) == 0
        search = lambda x: lax.while_loop(lambda a: jnp.sum(conv(a, w) ** 2) > 1e-2, lambda a: conv(a, w) / 9, x)  # noqa: E731
        np.testing.assert_allclose(*(jax.jit(f)(x) for f in (search, by_products(search))), atol=1e-12)
        assert (left(search, x), left(by_products(search), x)) == (2, 0)


def test_custom_derivatives_and_large_windows_stay_as_they_are():
    @jax.custom_jvp
    def own(x, w):
        return conv(x, w)

    own.defjvp(lambda given, moves: (own(*given), 2 * conv(moves[0], given[1])))
    function = lambda x, w: own(x, w) + conv(x, w) + conv(x, jnp.ones((9, 8, 1, 1)))  # noqa: E731
    x, w = numbers(0, (1, 3, 3, 1), "float32"), jnp.ones((2, 2, 1, 1))
    assert (left(function, x, w), left(by_products(function), x, w)) == (3, 2)
    slopes = [jax.grad(lambda x, f=f: jnp.sum(f(x, w)))(x) for f in (function, by_products(function))]
    chex.assert_trees_all_close(*slopes, rtol=1e-6)


def test_few_patches_are_in_memory_at_a_time():
    """Of a foreign convolution, of ours where each example is mapped by itself, and where no number divides the rows."""
    layer = gd.models.conv(8, 8, (3, 3), bias=False)
    ours = lambda x, w: jax.vmap(lambda x: layer.apply({"w": w}, x))(x)  # noqa: E731
    w = jax.ShapeDtypeStruct((3, 3, 8, 8), jnp.float32)
    for function, number in ((conv, 64), (ours, 64), (conv, 61)):
        x = jax.ShapeDtypeStruct((number, 32, 32, 8), jnp.float32)
        total = lambda x, w, f=function: jnp.sum(by_products(f)(x, w) ** 2)  # noqa: E731
        program = jax.jit(jax.grad(total, (0, 1))).lower(x, w).as_text()
        shapes = {tuple(map(int, shape.split("x"))) for shape in re.findall(r"tensor<([\dx]+)xf32>", program)}
        patches_of = [shape for shape in shapes if len(shape) == 4 and shape[-1] == 9 * 8]
        sizes = [4 * math.prod(shape) for shape in patches_of]
        assert patches_of and min(sizes) >= 1 << 20 and max(sizes) <= 2 << 20


def test_a_product_has_the_place_of_its_convolution_in_the_source():
    """And the function is traced once."""
    traced = []
    function = lambda *args: (traced.append(args), conv(*args))[1]  # noqa: E731
    x, w = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((2, 3, 4, 5), (2, 2, 5, 1)))
    text = jax.make_jaxpr(functools.partial(call_with, "products", function))(x, w).pretty_print(source_info=True)
    products = [line for line in text.splitlines() if "dot_general" in line]
    assert products and all("test_convolutions.py" in line for line in products) and len(traced) == 1


# in training


def batch(rows, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=(rows, 6, 6, 1)), jnp.float32), jnp.asarray(rng.integers(0, 3, rows), jnp.int32)


def flax_model():
    linen = pytest.importorskip("flax.linen")
    layers = [linen.Conv(4, (3, 3)), linen.relu, lambda x: linen.max_pool(x, (2, 2), (2, 2)), linen.Conv(3, (3, 3))]
    model = linen.Sequential([*layers, lambda x: x.mean((1, 2))])
    return model.init(jax.random.key(0), batch(1)[0]), model.apply


def equinox_model():
    eqx = pytest.importorskip("equinox")
    keys = jax.random.split(jax.random.key(0))
    first, last = eqx.nn.Conv2d(1, 4, 3, padding=1, key=keys[0]), eqx.nn.Conv2d(4, 3, 3, padding=1, key=keys[1])
    one = lambda net, x: net[1](jax.nn.relu(net[0](jnp.moveaxis(x, -1, 0)))).mean((1, 2))  # noqa: E731
    return (first, last), lambda net, x: jax.vmap(lambda x: one(net, x))(x)


def haiku_model():
    hk = pytest.importorskip("haiku")
    pool = lambda x: hk.max_pool(jax.nn.relu(x), (2, 2, 1), (2, 2, 1), "SAME")  # noqa: E731
    model = hk.without_apply_rng(hk.transform(lambda x: hk.Conv2D(3, 3)(pool(hk.Conv2D(4, 3)(x))).mean((1, 2))))
    return model.init(jax.random.key(0), batch(1)[0]), model.apply


def own_model():
    model = gd.models.cnn((6, 6, 1), 3, (4,))
    return model.init(jax.random.key(0)), model.apply


@pytest.mark.parametrize("make", [equinox_model, haiku_model])
def test_a_prediction_has_no_convolution_and_the_numbers_of_one(make):
    params, apply = make()
    x = batch(2)[0]
    assert (left(apply, params, x), left(by_products(apply), params, x)) == (2, 0)
    found, expected = jax.jit(lambda *args: [by_products(apply)(*args), apply(*args)])(params, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


NIGHTLY = [pytest.param(make, marks=pytest.mark.nightly) for make in (equinox_model, haiku_model)]


@pytest.mark.parametrize("make", [flax_model, own_model, *NIGHTLY])
def test_a_run_has_no_convolution_and_the_numbers_of_one(make):
    params, apply = make()

    def loss(params, batch):
        logits = apply(params, batch[0])
        each = softmax_cross_entropy_with_integer_labels(logits, batch[1])
        return jnp.mean(each), {"accuracy": jnp.mean(metrics.correct(logits, batch[1]))}

    state, data = gd.make_state(params, gd.sgd(0.1)), batch(8)
    found, programs = [], []
    for way in ("products", "native"):
        epoch = jax.jit(gd.make_epoch(gd.make_step(loss, convolutions=way), 4)).lower(state, data)
        programs.append(epoch.as_text().count("stablehlo.convolution"))
        after, measured = epoch.compile()(state, data)
        found.append(jax.tree.leaves((after.params, measured)))
    chex.assert_trees_all_close(*found, rtol=1e-5, atol=1e-5)
    assert programs[0] == 0
    assert programs[1] == (2 if make is own_model else 5)  # forward, by weights, and by inputs of the second layer
    for way, least in (("products", 0), ("native", 2)):  # of the loss, and of what is predicted
        evaluate = gd.make_evaluate(loss, {"right": metrics.correct}, apply, convolutions=way)
        scores = jax.jit(lambda *args, evaluate=evaluate: jax.lax.map(lambda _: evaluate(*args), jnp.arange(2)))
        assert least <= scores.lower(state.params, data).as_text().count("stablehlo.convolution") <= 2 * least


def test_a_way_of_convolutions_is_one_of_two():
    with pytest.raises(ValueError, match=r"^make_step: convolutions must be 'products' or 'native', got 'fast'$"):
        gd.make_step(lambda params, batch: jnp.mean(batch), convolutions="fast")


def count(jaxpr):
    """The convolutions of a jaxpr that are not one of two branches."""
    inner = [open_jaxpr(x)[0] for each in jaxpr.eqns for x in inner_jaxprs(each.params) if not is_choice(each)]
    return sum(each.primitive.name == "conv_general_dilated" for each in jaxpr.eqns) + sum(map(count, inner))


def is_choice(equation):
    return bool(equation.params.get("branches_platforms"))


@pytest.mark.parametrize(("way", "number"), [("products", 0), ("native", 4)])
def test_evaluations_and_refreshes_of_a_run_have_the_convolutions_of_its_step(way, number):
    """Forward, by weights, and once for each of these."""
    layers = gd.models.conv(1, 2, (3,)), gd.models.batch_norm(2), gd.models.flatten((4, 2)), gd.models.dense(8, 3)
    model = gd.models.serial(*layers)
    loss = gd.per_example(gd.supervised(model, softmax_cross_entropy_with_integer_labels))
    data = jnp.ones((2, 4, 1)), jnp.zeros(2, int)
    arguments = model.init(jax.random.key(0)), gd.sgd(0.1), data, data, Length(epochs=1)
    step = gd.make_step(loss, convolutions=way)
    fitting = Fitting(step, *arguments, model_state=model.init_state(), refresh=1)
    assert count(jax.make_jaxpr(fitting.run)(fitting.run_state, data, data, 1, 0.0, 1, 1).jaxpr) == number
