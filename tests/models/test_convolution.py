"""Convolution and pooling: values of Flax and torch, and what a convolutional network is made of."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gdjax.models import cnn, conv, dense, flatten, layer_norm, max_pool, mean_pool, serial, unflatten

KEY = jax.random.key(0)
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


def numbers(seed, shape, dtype="float64"):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def observe(apply, params, x, weights):
    """The outputs and the gradients of their weighted sum by parameters and inputs."""
    total = lambda params, x: jnp.sum(apply(params, x) * weights)  # noqa: E731
    return apply(params, x), *jax.grad(total, (0, 1))(params, x)


def agree(ours, theirs, params, x, dtype):
    """Outputs and gradients are equal to rounding."""
    weights = numbers(3, jax.eval_shape(theirs, params, x).shape, dtype)
    found, expected = jax.jit(lambda *args: [observe(way, *args, weights) for way in (ours, theirs)])(params, x)
    scale = 1 + jax.tree.reduce(max, jax.tree.map(lambda leaf: float(jnp.abs(leaf).max(initial=0)), expected))
    chex.assert_trees_all_equal_shapes_and_dtypes(found, expected)
    chex.assert_trees_all_close(found, expected, rtol=0, atol=scale * TOLERANCE[dtype])


@st.composite
def geometries(draw, pools=False):
    """The window, stride, padding and dilation of a layer, and the axes of what it sees."""
    axes = draw(st.integers(1, 2))
    each = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(axes))  # noqa: E731
    window, stride, dilation = each(1, 4 - axes // 2), each(1, 3), (1,) * axes if pools else each(1, 2)
    padding = draw(st.sampled_from(["SAME", "VALID", "pairs"]))
    if padding == "pairs":  # Flax wants no window of a pool that is outside of x
        most = [k - 1 if pools else 2 for k in window]
        padding = tuple((draw(st.integers(0, m)), draw(st.integers(0, m))) for m in most)
    space = tuple(d * (k - 1) + 1 + more for d, k, more in zip(dilation, window, each(0, 4), strict=True))
    return window, stride, padding, dilation, space


@settings(max_examples=5, deadline=None)
@given(geometries(), st.sampled_from([1, 1, 2, 3]), st.integers(1, 2), st.integers(1, 2), st.booleans(), st.booleans())
@example(((2, 2), (1, 1), "SAME", (1, 1), (2, 3)), 1, 1, 1, True, True)  # one zero more at the end than before
def test_convolution_is_that_of_flax(geometry, groups, inputs, outputs, bias, double):
    linen = pytest.importorskip("flax.linen")
    window, stride, padding, dilation, space = geometry
    dtype = "float64" if double else "float32"
    with jax.enable_x64(double):
        layer = conv(groups * inputs, groups * outputs, window, stride, padding, dilation, groups, bias=bias)
        params = jax.tree.map(lambda x: numbers(1, x.shape, dtype), jax.eval_shape(layer.init, KEY))
        options = {"kernel_dilation": dilation, "feature_group_count": groups, "use_bias": bias, "param_dtype": dtype}
        theirs = linen.Conv(groups * outputs, window, stride, padding, **options)
        names = {"w": "kernel", "b": "bias"}
        flax = lambda params, x: theirs.apply({"params": {names[k]: v for k, v in params.items()}}, x)  # noqa: E731
        agree(layer.apply, flax, params, numbers(2, (2, *space, groups * inputs), dtype), dtype)


@settings(max_examples=6, deadline=None)
@given(geometries(pools=True), st.sampled_from([max_pool, mean_pool]), st.booleans())
def test_pooling_is_that_of_flax(geometry, pool, double):
    linen = pytest.importorskip("flax.linen")
    window, stride, padding, _, space = geometry
    dtype = "float64" if double else "float32"
    theirs = {max_pool: linen.max_pool, mean_pool: linen.avg_pool}[pool]
    with jax.enable_x64(double):
        flax = lambda params, x: theirs(x, window, stride, padding)  # noqa: E731
        agree(pool(window, stride, padding).apply, flax, (), numbers(2, (2, *space, 2), dtype), dtype)


def test_the_largest_of_equals_is_the_first_and_not_a_number_stays_one():
    linen = pytest.importorskip("flax.linen")
    x = jnp.asarray(np.random.default_rng(0).integers(0, 2, (3, 6, 6, 2)), jnp.float32)
    slope = lambda pool: jax.grad(lambda x: jnp.sum(pool(x)))(x)  # noqa: E731
    np.testing.assert_array_equal(
        slope(lambda x: max_pool((2, 3)).apply((), x)), slope(lambda x: linen.max_pool(x, (2, 3), (2, 3)))
    )
    spoiled = max_pool((2, 2)).apply((), x.at[0, 0, 1, 0].set(jnp.nan).at[1, 0, 0, 1].set(jnp.nan))
    assert np.argwhere(np.isnan(spoiled)).tolist() == [[0, 0, 0, 0], [1, 0, 0, 1]]
    assert max_pool((2,)).apply((), jnp.array([[3], [-2]])).tolist() == [[3]]


@pytest.mark.peers
@pytest.mark.parametrize("axes", [1, 2])
def test_layers_are_those_of_torch(axes):
    torch = pytest.importorskip("torch")
    window, stride, dilation, padding, groups = (3, 2)[:axes], (2, 1)[:axes], (1, 2)[:axes], (1, 2)[:axes], 2
    with jax.enable_x64(True):
        layer = conv(4, 6, window, stride, [(p, p) for p in padding], dilation, groups)
        params = jax.tree.map(lambda x: numbers(1, x.shape), jax.eval_shape(layer.init, KEY))
        x = numbers(2, (2, *(9, 8)[:axes], 4))
        model = serial(layer, max_pool((2,) * axes), mean_pool((2,) * axes, 1))
        params = (params, (), ())
        weights = numbers(3, jax.eval_shape(model.apply, params, x).shape)
        y, by_params, by_x = observe(model.apply, params, x, weights)
    last = lambda x: torch.tensor(np.asarray(x)).movedim(-1, 1)  # noqa: E731
    w = torch.tensor(np.asarray(params[0]["w"])).permute(axes + 1, axes, *range(axes)).requires_grad_()
    b, seen = torch.tensor(np.asarray(params[0]["b"])).requires_grad_(), last(x).requires_grad_()
    f, name = torch.nn.functional, f"{axes}d"
    z = getattr(f, f"conv{name}")(seen, w, b, stride, padding, dilation, groups)
    z = getattr(f, f"avg_pool{name}")(getattr(f, f"max_pool{name}")(z, 2), 2, 1)
    (z * last(weights)).sum().backward()
    back = lambda x: x.detach().numpy()  # noqa: E731
    for ours, theirs in (
        (y, back(z.movedim(1, -1))),
        (by_x, back(seen.grad.movedim(1, -1))),
        (by_params[0]["w"], back(w.grad.permute(*range(2, axes + 2), 1, 0))),
        (by_params[0]["b"], back(b.grad)),
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * (1 + np.abs(theirs).max()))


# the network


def test_a_network_is_its_layers_in_series():
    model = cnn((5, 4, 1), None, (2,), (3,), kernel=(3, 2), activation="tanh", norm="layer", dropout=0.5)
    params = jax.tree.map(lambda x: numbers(x.size, x.shape, "float32"), jax.eval_shape(model.init, KEY))
    x = numbers(1, (7, 5, 4, 1), "float32")
    first, normalize, halve = conv(1, 2, (3, 2)), layer_norm(2), max_pool((2, 2), padding="SAME")

    @jax.jit
    def both(params, x):
        h = halve.apply((), jnp.tanh(normalize.apply(params[1], first.apply(params[0], x))))
        h = jnp.tanh(dense(12, 3).apply(params[6], h.reshape(7, 12)))
        return model.apply(params, x), dense(3, None).apply(params[9], h), model.apply(params, x, KEY)

    found, expected, silenced = both(params, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert np.std(silenced - found) > 0, "with a key units are silenced"


def test_a_network_with_batch_norm_has_a_state():
    model = cnn((4, 2), 3, (2, 5), norm="batch")
    state = model.init_state()
    assert [x["mean"].shape for x in state if x] == [(2,), (5,)]
    of = lambda params, x: model.apply_with_state(params, state, x, KEY)  # noqa: E731
    y, after = jax.eval_shape(of, jax.eval_shape(model.init, KEY), jax.ShapeDtypeStruct((6, 4, 2), jnp.float32))
    assert y.shape == (6, 3) and jax.tree.structure(after) == jax.tree.structure(state)
    assert not cnn((4, 2), 3, norm="layer").has_state


def test_pixels_in_a_row_are_an_image_again():
    x = numbers(1, (3, 24), "float32")
    there = unflatten((2, 4, 3)).apply((), x)
    np.testing.assert_array_equal(there, np.reshape(x, (3, 2, 4, 3)))
    np.testing.assert_array_equal(flatten((2, 4, 3)).apply((), there), x)
