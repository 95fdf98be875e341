"""Laws of models: pairs of pure functions, values, one draw."""

import copy
import functools
import itertools
import math
import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from gdjax import laws
from gdjax.calls import model, parse
from gdjax.models import (
    ACTIVATIONS,
    INITIALIZERS,
    MODELS,
    Init,
    Parameter,
    activation,
    attention,
    augment,
    batch_norm,
    cnn,
    conv,
    dense,
    dropout,
    embedding,
    ensemble,
    flatten,
    global_mean_pool,
    gru,
    gru_layer,
    he_normal,
    initializer,
    latency_code,
    layer_norm,
    lecun_normal,
    lif,
    linear_regression,
    linear_svm,
    logistic_regression,
    lstm_layer,
    max_pool,
    mean_pool,
    mlp,
    normal,
    orthogonal,
    perceptron,
    rate_code,
    residual,
    rms_norm,
    serial,
    softmax_regression,
    spiking,
    summary,
    transformer,
    unflatten,
    xavier_normal,
)
from gdjax.models._mlp import default_weights
from gdjax.models.initializers import fans
from gdjax.models.layers import activation_function

KEY = jax.random.key(0)
OF_SEQUENCES = {"embedding", "positions", "attention", "transformer", "gru_layer", "lstm_layer", "gru"}  # cases there

# model, shape of an example, shape of its output, shapes of the parameters
CASES = [
    (linear_regression(3), (3,), (), {"w": (3, 1), "b": (1,)}),
    (linear_regression(3, 2), (3,), (2,), {"w": (3, 2), "b": (2,)}),
    (logistic_regression(3), (3,), (), {"w": (3, 1), "b": (1,)}),
    (softmax_regression(3, 4), (3,), (4,), {"w": (3, 4), "b": (4,)}),
    (linear_svm(3), (3,), (), {"w": (3, 1), "b": (1,)}),
    (perceptron(3), (3,), (), {"w": (3, 1), "b": (1,)}),
    (mlp((3, 4, 2)), (3,), (2,), ({"w": (3, 4), "b": (4,)}, {"w": (4, 2), "b": (2,)})),
    (
        mlp((3, 4, None), "tanh", "sigmoid", weights=orthogonal(0.5), dropout=0.25),
        (3,),
        (),
        ({"w": (3, 4), "b": (4,)}, {"w": (4, 1), "b": (1,)}),
    ),
    (dense(3, 2, weights=normal(0.1), bias=False), (3,), (2,), {"w": (3, 2)}),
    (dense(3, None), (3,), (), {"w": (3, 1), "b": (1,)}),
    (activation("gelu"), (3,), (3,), ()),
    (dropout(0.5), (3,), (3,), ()),
    (flatten((2, 3)), (2, 3), (6,), ()),
    (unflatten((2, 3)), (6,), (2, 3), ()),
    (augment((3, 2), flip=True, shift=1, crop=0.5, noise=0.1), (3, 2), (3, 2), ()),
    (conv(2, 3, (2,), bias=False), (4, 2), (4, 3), {"w": (2, 2, 3)}),
    (
        conv(2, 4, (2, 1), stride=(1, 2), padding=((2, 0), (0, 1)), dilation=2, groups=2, weights=normal(0.1)),
        (3, 4, 2),
        (3, 3, 4),
        {"w": (2, 1, 1, 4), "b": (4,)},
    ),
    (max_pool((2, 1)), (5, 3, 2), (2, 3, 2), ()),
    (mean_pool((3,), 2, "SAME"), (4, 2), (2, 2), ()),
    (global_mean_pool(), (3, 4, 2), (2,), ()),
    (
        cnn((3, 1), None, (2,), (2,), kernel=2, dropout=0.25),
        (3, 1),
        (),
        ({"w": (2, 1, 2), "b": (2,)}, (), (), (), (), {"w": (4, 2), "b": (2,)}, (), (), {"w": (2, 1), "b": (1,)}),
    ),
    (
        serial(flatten((2, 2)), dense(4, 3), activation("relu"), dropout(0.1), mlp((3, 3, 2))),
        (2, 2),
        (2,),
        ((), {"w": (4, 3), "b": (3,)}, (), (), ({"w": (3, 3), "b": (3,)}, {"w": (3, 2), "b": (2,)})),
    ),
    (serial(), (3,), (3,), ()),
    (lif(5.0, reset="hard", surrogate="arctan"), (4, 3), (4, 3), ()),
    (rate_code(4), (3,), (4, 3), ()),
    (latency_code(4), (3,), (4, 3), ()),
    (
        spiking((3, 4, None), time_steps=5, code="rate", time_constant=3.0),
        (3,),
        (),
        ({"w": (3, 4), "b": (4,)}, {"w": (4, 1), "b": (1,)}),
    ),
    (layer_norm(3), (3,), (3,), {"scale": (3,), "b": (3,)}),
    (rms_norm(3), (3,), (3,), {"scale": (3,)}),
    (batch_norm(3), (3,), (3,), {"scale": (3,), "b": (3,)}),
    (residual(serial(dense(3, 3), batch_norm(3))), (3,), (3,), ({"w": (3, 3), "b": (3,)}, {"scale": (3,), "b": (3,)})),
    (
        ensemble(mlp((3, 4, 2), dropout=0.25), 2, "softmax"),
        (3,),
        (2,),
        ({"w": (2, 3, 4), "b": (2, 4)}, {"w": (2, 4, 2), "b": (2, 2)}),
    ),
]
MODEL_IDS = [repr(case[0]) for case in CASES]
over_cases = pytest.mark.parametrize(("case", "x_shape", "y_shape", "shapes"), CASES, ids=MODEL_IDS)
NESTED = next(case for case, *_ in CASES if repr(case).startswith("serial(flatten"))
over_indices = pytest.mark.parametrize("i", range(len(CASES)), ids=MODEL_IDS)
over_models = pytest.mark.parametrize("case", [case[0] for case in CASES], ids=MODEL_IDS)


def random_like(tree, seed=1):
    """A tree of the same shapes, drawn with NumPy: zero weights would hide much."""
    generator = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(generator.normal(size=x.shape), x.dtype), tree)


def run(case, params, x, key=None):
    return np.asarray(jax.jit(case.apply)(params, x, key))


def output(case, params, x, key=None):
    """The outputs of a batch, where a model with a state has its initial one."""
    return case.apply_with_state(params, case.init_state(), x, key)[0]


def test_every_model_and_initializer_is_a_case():
    assert {case[0].recipe.name for case in CASES} | OF_SEQUENCES == set(MODELS)
    assert {name for name, _, _ in INITIALIZER_CASES} == set(INITIALIZERS)
    assert set(REFERENCES) == set(ACTIVATIONS)


# init and apply are pure functions


@functools.cache
def compiled_inits():
    """The parameters of each case by KEY, and those by another, from one program."""
    init = jax.jit(lambda key: [case[0].init(key) for case in CASES])
    return jax.device_get([init(key) for key in (KEY, jax.random.key(1))])


@over_indices
def test_init_gives_what_is_declared(i):
    case, _, _, shapes = CASES[i]
    params = case.init(KEY)
    is_shape = lambda x: isinstance(x, tuple) and all(isinstance(size, int) for size in x) and x != ()  # noqa: E731
    declared = jax.tree.map(lambda shape: jax.ShapeDtypeStruct(shape, jnp.float32), shapes, is_leaf=is_shape)
    chex.assert_trees_all_equal_shapes_and_dtypes(params, declared)
    chex.assert_tree_all_finite(params)
    chex.assert_trees_all_equal(params, compiled_inits()[0][i])


CONVEX = ("linear_regression", "logistic_regression", "softmax_regression", "linear_svm", "perceptron")


@over_indices
def test_another_key_draws_other_weights(i):
    drawn = [jax.tree_util.tree_leaves_with_path(found[i]) for found in compiled_inits()]
    for (path, one), (_, other) in zip(*drawn, strict=True):
        if CASES[i][0].recipe.name in CONVEX or path[-1].key in ("b", "scale"):
            assert np.all(one == (path[-1].key == "scale"))
            assert np.all(other == one)
        else:
            assert not np.any(one == other)


@over_cases
def test_the_laws_of_models_hold(case, x_shape, y_shape, shapes):
    laws.check_model(case, jnp.ones(x_shape))
    x = jax.ShapeDtypeStruct((4, 5, *x_shape), jnp.float32)
    y = jax.eval_shape(functools.partial(output, case), jax.eval_shape(case.init, KEY), x)
    assert (y.shape, y.dtype) == ((4, 5, *y_shape), jnp.float32)


@over_cases
def test_double_precision_goes_through(case, x_shape, y_shape, shapes):
    with jax.enable_x64(True):
        params = jax.eval_shape(case.init, KEY)
        assert {x.dtype for x in jax.tree.leaves(params)} <= {jnp.dtype("float64")}
        for dtype in (jnp.float32, jnp.float64):
            params = jax.tree.map(lambda p, dtype=dtype: jax.ShapeDtypeStruct(p.shape, dtype), params)
            x = jax.ShapeDtypeStruct((5, *x_shape), dtype)
            assert jax.eval_shape(functools.partial(output, case.canonicalize()), params, x, KEY).dtype == dtype


def test_old_and_new_keys_draw_the_same():
    chex.assert_trees_all_equal(mlp((3, 4, 2)).init(jax.random.PRNGKey(0)), mlp((3, 4, 2)).init(jax.random.key(0)))


# a model is a value


@over_models
def test_a_model_is_its_call(case):
    again = parse(repr(case), {**MODELS, **INITIALIZERS})
    for twin in (again, pickle.loads(pickle.dumps(case)), copy.deepcopy(case), case.canonicalize()):
        assert twin == case
        assert hash(twin) == hash(case)
        assert repr(twin) == repr(case)
    assert len(set(map(repr, [case[0] for case in CASES]))) == len(CASES)
    assert sum(case == other[0] for other in CASES) == 1


@over_cases
def test_a_model_may_be_an_argument_for_its_sizes_are_static(case, x_shape, y_shape, shapes):
    y = jax.eval_shape(
        lambda model, x: output(model, model.init(KEY), x, KEY), case, jax.ShapeDtypeStruct((5, *x_shape), jnp.float32)
    )
    assert y.shape == (5, *y_shape)


def test_an_equal_model_is_one_static_argument():
    traces = []

    def output(model, params, x):
        traces.append(model)
        return model.apply(params, x)

    function = jax.jit(output, static_argnums=0)
    for rate in (0.1, 0.1, 0.2):
        each = mlp((3, 4, 2), dropout=rate)
        function(each, each.init(KEY), jnp.ones(3))
    assert len(traces) == 2


def test_numbers_are_leaves_so_a_new_one_compiles_nothing():
    traces = []

    @initializer
    def count(scale):
        def weights(noise):
            traces.append(scale)
            return scale * noise

        return weights

    assert jax.tree.leaves(mlp((3, 4, 2), weights=count(0.5), dropout=0.25)) == [0.5, 0.25]
    drawn = [dense(3, 2, weights=count(scale)).init(KEY)["w"] for scale in (1.0, 2.0, 3.0)]
    assert len(traces) == 1
    chex.assert_trees_all_close(drawn[2], 3 * drawn[0])


def test_a_stack_of_models_is_a_sweep():
    gains = jnp.array([0.5, 1.0, 2.0])
    sweep = jax.vmap(lambda gain: mlp((3, 4, 2), weights=he_normal(gain)).init(KEY))(gains)
    one = mlp((3, 4, 2), weights=he_normal(2.0)).init(KEY)
    chex.assert_trees_all_close(jax.tree.map(lambda x: x[2], sweep), one)
    chex.assert_trees_all_close(sweep[0]["w"][2], 4 * sweep[0]["w"][0], rtol=1e-6)


def test_a_network_draws_all_its_weights_by_the_initializers_that_are_given():
    def draw(w, u):
        networks = cnn((3, 1), 2, (2,), (3,), weights=normal(w)), gru(2, 3, 2, weights=normal(w), recurrent=normal(u))
        return [network.init(KEY) for network in networks]

    ones, scaled = jax.jit(lambda: (draw(1.0, 1.0), draw(2.0, 3.0)))()
    factors = {"w": 2, "u": 3, "b": 0, "c": 0}
    expected = jax.tree.map_with_path(lambda path, x: factors[path[-1].key] * x, ones)
    chex.assert_trees_all_close(scaled, expected, rtol=1e-6)
    assert min(float(jnp.ptp(x)) for x in jax.tree.leaves(ones) if x.ndim > 1) > 0


# one draw


def draws(jaxpr) -> int:
    """Calls of the random generator in a program and in those that it calls."""
    inner = [value.jaxpr for eqn in jaxpr.eqns for value in eqn.params.values() if hasattr(value, "jaxpr")]
    return sum(eqn.primitive.name == "random_bits" for eqn in jaxpr.eqns) + sum(map(draws, inner))


@model
def scale(start):
    """A model whose init is a plain function."""

    def init(key):
        return {"scale": start + jax.random.normal(key)}

    return init, lambda params, x, key=None: params["scale"] * x


@pytest.mark.parametrize("case", [mlp((3, 4, 4, 4, 2)), NESTED], ids=["mlp", "nested serial"])
def test_a_whole_model_draws_once(case):
    assert draws(jax.make_jaxpr(case.init)(KEY)) == 1


def test_each_part_of_a_mixed_model_has_its_own_key():
    mixed = serial(scale(1.0), dense(3, 3), scale(1.0), dense(3, 3))
    params = mixed.init(KEY)
    assert draws(jax.make_jaxpr(mixed.init)(KEY)) == 4
    leaves = [np.ravel(leaf) for leaf in jax.tree.leaves(params) if np.any(leaf)]
    values = np.concatenate(leaves)
    assert values.size == 20
    assert np.unique(values).size == 20
    x = jnp.arange(3.0)
    expected = (params[0]["scale"] * x) @ params[1]["w"] * params[2]["scale"] @ params[3]["w"]
    chex.assert_trees_all_close(mixed.apply(params, x), expected, rtol=1e-5)


def test_the_parts_of_a_draw_are_disjoint_and_in_order():
    identity = initializer(lambda: lambda noise: noise)
    shapes = [(2, 3), (), (4,), (2, 2)]
    params = Init([Parameter(shape, identity()) for shape in shapes])(KEY)
    flat = jnp.concatenate([jnp.ravel(x) for x in params])
    chex.assert_trees_all_close(flat, jax.random.normal(KEY, (15,)), rtol=1e-6)


def test_a_new_initializer_is_a_function_of_the_noise():
    @initializer(bounds={"width": "[0, inf)"})
    def cauchy(width):
        return lambda noise: width * jnp.tan(noise)

    layer = dense(3, 2, weights=cauchy(2.0))
    assert repr(layer) == "dense(3, 2, weights=cauchy(2))"
    assert layer.init(KEY)["w"].shape == (3, 2)
    with pytest.raises(ValueError, match=r"^cauchy: width must be in \[0, inf\), got -1$"):
        cauchy(-1)
    bad = initializer(lambda: lambda noise: noise[:1])
    with pytest.raises(ValueError, match=r"weights must have the noise's shape \(3, 2\), got \(1, 2\)"):
        dense(3, 2, weights=bad()).init(KEY)


# initializers: name, distribution, variance at (fan_in, fan_out)

INITIALIZER_CASES = [
    ("zeros", None, lambda i, o: 0.0),
    ("ones", "constant", lambda i, o: 1.0),
    ("normal", "normal", lambda i, o: 0.01**2),
    ("uniform", "uniform", lambda i, o: 0.05**2 / 3),
    ("lecun_normal", "normal", lambda i, o: 1 / i),
    ("lecun_uniform", "uniform", lambda i, o: 1 / i),
    ("he_normal", "normal", lambda i, o: 2 / i),
    ("he_uniform", "uniform", lambda i, o: 2 / i),
    ("xavier_normal", "normal", lambda i, o: 2 / (i + o)),
    ("xavier_uniform", "uniform", lambda i, o: 2 / (i + o)),
    ("orthogonal", None, lambda i, o: 1 / max(i, o)),
]


@pytest.mark.parametrize(("name", "law", "variance"), INITIALIZER_CASES)
def test_weights_follow_their_law(name, law, variance):
    w = np.asarray(INITIALIZERS[name]()(NOISE), np.float64)
    expected = variance(*w.shape)
    assert np.mean(w**2) == pytest.approx(expected, rel=0.03)
    assert law == "constant" or abs(np.mean(w)) <= 5 * math.sqrt(expected / w.size)
    if law == "normal":
        assert scipy.stats.kstest(w.ravel() / math.sqrt(expected), "norm").pvalue > 1e-3
    if law == "uniform":
        unit = w.ravel() / math.sqrt(3 * expected)
        assert np.max(np.abs(unit)) <= 1 + 1e-6
        assert scipy.stats.kstest(unit, scipy.stats.uniform(-1, 2).cdf).pvalue > 1e-3


NOISE = jax.random.normal(jax.random.key(7), (300, 200))


@pytest.mark.parametrize("name", [name for name in INITIALIZERS if name not in ("zeros", "ones")])
def test_the_number_of_an_initializer_scales_it(name):
    factory = INITIALIZERS[name]
    noise = NOISE[:20, :10]
    argument = next(iter(factory.recipe.signature.parameters))
    chex.assert_trees_all_close(factory(**{argument: 3.0})(noise), 3 * factory(**{argument: 1.0})(noise), rtol=1e-5)
    with pytest.raises(ValueError, match=rf"^{name}: {argument} must be in \[0, inf\), got -1$"):
        factory(-1)


@functools.cache
def orthogonal_weights():
    shapes = [(6, 4), (4, 6), (5, 5), (2, 3, 4), (3,)]
    return Init([Parameter(shape, orthogonal(2.0)) for shape in shapes])(KEY)


@pytest.mark.parametrize("i", range(5))
def test_orthogonal_weights_are_orthogonal(i):
    w = np.asarray(orthogonal_weights()[i])
    w = w.reshape(-1, w.shape[-1] if w.ndim > 1 else 1)
    gram = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(gram, 4 * np.eye(min(w.shape)), atol=1e-5)


def test_orthogonal_weights_in_16_bits_are_orthogonal_to_rounding():
    for dtype in (jnp.bfloat16, jnp.float16):
        w = orthogonal(2.0)(jnp.asarray(NOISE[:6, :4], dtype))
        assert w.dtype == dtype
        w = np.asarray(w.astype(jnp.float32))
        np.testing.assert_allclose(w.T @ w, 4 * np.eye(4), atol=0.1)


def test_orthogonal_weights_prefer_no_direction():
    w = jax.jit(jax.vmap(orthogonal()))(NOISE[:40].reshape(-1, 2, 2))
    angle = np.arctan2(w[:, 1, 0], w[:, 0, 0])
    assert scipy.stats.kstest(angle, scipy.stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3
    assert np.mean(np.linalg.det(w) > 0) == pytest.approx(0.5, abs=0.05)


def test_fans():
    assert [fans(shape) for shape in ((), (3,), (3, 4), (5, 5, 3, 4))] == [(1, 1), (3, 1), (3, 4), (75, 100)]


def test_every_layer_is_drawn_by_its_own_fans():
    """The variances of jax.nn.initializers: parts of one matrix (queries, gates) as if alone, tables as Flax's Embed."""
    layers = {
        "dense": ((60, 40), lambda w: dense(60, 40, w), lambda p: p["w"]),
        "conv": ((3, 3, 8, 64), lambda w: conv(16, 64, (3, 3), groups=2, weights=w), lambda p: p["w"]),
        "conv of series": ((5, 16, 48), lambda w: conv(16, 48, (5,), weights=w), lambda p: p["w"]),
        "values": ((48, 48), lambda w: attention(48, 4, weights=w), lambda p: p["qkv"]["w"][:, 96:]),
        "gate": ((48, 64), lambda w: gru_layer(48, 64, w), lambda p: p["w"][:, 64:128]),
        "state": ((64, 64), lambda w: lstm_layer(8, 64, recurrent=w), lambda p: p["u"][:, :64]),
        "table": ((150, 24), lambda w: embedding(150, 24, w), lambda p: p["w"]),
        "tokens": ((150, 24), lambda w: transformer(150, 4, 24, 1, 2, weights=w), lambda p: p["tokens"]),
    }
    theirs = {"fan_in": lecun_normal(), "fan_avg": xavier_normal()}

    @jax.jit
    def variances(key):
        found = []
        for (name, (shape, layer, part)), (mode, weights) in itertools.product(layers.items(), theirs.items()):
            table = {"out_axis": 0} if name in ("table", "tokens") and mode == "fan_in" else {}
            reference = jax.nn.initializers.variance_scaling(1.0, mode, "normal", **table)(key, shape)
            found.append((jnp.var(part(layer(weights).init(key))), jnp.var(reference)))
        return jnp.array(found).T

    ours, expected = variances(KEY)
    np.testing.assert_allclose(ours, expected, rtol=0.2)
    parts = attention(12, 2, weights=orthogonal()).init(KEY)["qkv"]["w"]
    for part in np.split(np.asarray(parts), 3, axis=1):
        np.testing.assert_allclose(part.T @ part, np.eye(12), atol=1e-5)


@pytest.mark.parametrize(("weights", "function"), [(he_normal(), "relu"), (lecun_normal(), "selu")])
def test_ten_layers_keep_the_size_of_activations(weights, function):
    x = np.asarray(NOISE)
    for key in jax.random.split(KEY, 10):
        w = dense(200, 200, weights=weights).init(key)["w"]
        x = np.asarray(ACTIVATIONS[function](x @ np.asarray(w)))
    assert np.mean(np.square(x)) == pytest.approx(1, rel=0.5)


def test_the_default_weights_go_by_the_function_that_follows():
    rectifiers = {"relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "softplus"}
    expected = {name: he_normal() if name in rectifiers else xavier_normal() for name in ACTIVATIONS}
    expected["selu"] = lecun_normal()
    assert {name: default_weights(f) for name, f in ACTIVATIONS.items()} == expected
    hidden, last = mlp((400, 300, 200), "relu", "identity").init(KEY)
    assert np.var(hidden["w"]) == pytest.approx(2 / 400, rel=0.03)
    assert np.var(last["w"]) == pytest.approx(2 / 500, rel=0.03)


# activations

REFERENCES = {
    "identity": lambda x: x,
    "step": lambda x: np.where(x >= 0, 1.0, 0.0),
    "sign": lambda x: np.where(x >= 0, 1.0, -1.0),
    "sigmoid": scipy.special.expit,
    "tanh": np.tanh,
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "sin": np.sin,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: x * scipy.special.ndtr(x),
    "silu": lambda x: x * scipy.special.expit(x),
    "softplus": lambda x: np.logaddexp(0, x),
}


POINTS = np.concatenate([np.linspace(-10, 10, 41), [-1e4, 1e4, np.nan]]).astype(np.float32)


@functools.cache
def values_and_slopes():
    """name -> (values, slopes) at POINTS, in one program."""

    def both(x):
        return {name: (f(x), jax.vmap(jax.grad(f))(x)) for name, f in ACTIVATIONS.items()}

    return jax.jit(both)(POINTS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_its_formula(name):
    x, (y, slope) = POINTS.astype(float), values_and_slopes()[name]
    np.testing.assert_allclose(y[:-1], REFERENCES[name](x[:-1]), rtol=3e-6, atol=2e-7)
    assert np.isnan(y[-1])
    chex.assert_tree_all_finite(slope[:-1])
    corners = (0, *{"hard_tanh": (-1, 1), "relu6": (0, 6)}.get(name, ()))
    is_smooth = (np.abs(x) < 100) & np.all([np.abs(x - corner) > 1e-3 for corner in corners], axis=0)
    x, h = x[is_smooth], 1e-6
    differences = (REFERENCES[name](x + h) - REFERENCES[name](x - h)) / (2 * h)
    np.testing.assert_allclose(slope[is_smooth], differences, rtol=1e-4, atol=1e-5)
    half = jax.ShapeDtypeStruct((2,), jnp.bfloat16)
    assert jax.eval_shape(activation(name).apply, (), half) == half


def test_tanh_is_a_stretched_sigmoid():
    x = jnp.linspace(-3, 3, 50)
    tanh, sigmoid = activation("tanh").apply((), x), activation("sigmoid").apply((), 2 * x)
    chex.assert_trees_all_close(tanh, 2 * sigmoid - 1, atol=1e-6)  # S3


def test_a_function_is_an_activation():
    assert activation(np.square).apply((), jnp.float32(3)) == 9
    assert activation(np.square) == pickle.loads(pickle.dumps(activation(np.square)))
    assert default_weights(activation_function("", jax.nn.relu)) == he_normal()


# layers


def test_a_lectures_layer_is_a_dense_layer_of_the_transposed_matrix():
    w = np.array([[1, 2, -1, -2], [3, 4, -3, 4]])  # S3, example of a linear output
    params = {"w": jnp.asarray(w.T, jnp.float32), "b": jnp.array([5.0, 6.0])}
    assert dense(4, 2).apply(params, [1, 2, 3, 4]).tolist() == [-1, 24]


def test_layers_without_activations_are_one_linear_map():
    deep = mlp((3, 5, 4, 2), "identity")
    params = random_like(jax.eval_shape(deep.init, KEY))
    (w1, b1), (w2, b2), (w3, b3) = ((np.array(layer["w"]), np.array(layer["b"])) for layer in params)
    one = {"w": w1 @ w2 @ w3, "b": (b1 @ w2 + b2) @ w3 + b3}
    x = np.asarray(NOISE[:7, :3])
    np.testing.assert_allclose(run(deep, params, x), run(dense(3, 2), one, x), rtol=1e-4, atol=1e-4)


def test_an_mlp_is_dense_layers_in_series():
    layers = serial(dense(3, 4), activation("tanh"), dense(4, 2), activation("sigmoid"))
    first, second = params = random_like(jax.eval_shape(mlp((3, 4, 2)).init, KEY))
    x = np.asarray(NOISE[:7, :3])
    y = run(mlp((3, 4, 2), "tanh", "sigmoid"), params, x)
    np.testing.assert_allclose(y, run(layers, (first, (), second, ()), x), rtol=1e-6)
    hidden = np.tanh(x @ np.asarray(first["w"]) + np.asarray(first["b"]))
    expected = scipy.special.expit(hidden @ np.asarray(second["w"]) + np.asarray(second["b"]))
    np.testing.assert_allclose(y, expected, rtol=1e-4)


def test_one_number_per_example_has_no_axis():
    params = {"w": jnp.ones((3, 1)), "b": jnp.ones(1)}
    for each in (linear_regression(3), logistic_regression(3), linear_svm(3), perceptron(3), dense(3, None)):
        assert each.apply(params, jnp.ones((5, 3))).tolist() == [4.0] * 5
        assert each.apply(params, jnp.ones(3)).shape == ()


@pytest.mark.parametrize(("rate", "dtype"), [(0.25, jnp.float32), (0.001, jnp.bfloat16)])
def test_dropout_keeps_the_mean_and_silences_its_share(rate, dtype):
    y = run(dropout(rate), (), jnp.ones(100_000, dtype), KEY)
    assert y.dtype == dtype
    assert np.mean(y == 0) == pytest.approx(rate, rel=0.3)
    assert np.mean(y, dtype=np.float64) == pytest.approx(1, abs=0.01)
    assert len(np.unique(y.astype(np.float32))) == 2


def test_dropout_is_off_without_a_key_and_at_rate_0():
    x = jnp.arange(5.0)
    assert dropout(0.9).apply((), x) is x
    assert dropout(0.0).apply((), x, KEY) is x
    assert dropout(jnp.zeros(())).apply((), x, KEY) is x


def test_dropout_of_integers_is_floating():
    y = dropout(jnp.array(0.5)).apply((), jnp.arange(100), KEY)
    assert y.dtype == jnp.float32
    assert set(np.unique(y)) < set(np.arange(0.0, 200, 2))


def test_the_rate_of_dropout_may_be_traced():
    x, rates = jnp.ones(1000), np.array([0.0, 0.1, 0.5])
    swept = jax.jit(jax.vmap(lambda layer: layer.apply((), x, KEY)))(dropout(rates))
    for rate, y in zip(rates, swept, strict=True):
        np.testing.assert_allclose(y, dropout(float(rate)).apply((), x, KEY), rtol=1e-6)


def test_every_layer_has_its_own_key():
    twice = run(serial(dropout(0.5), dropout(0.5)), ((), ()), jnp.ones(4000), KEY)
    assert np.mean(twice == 0) == pytest.approx(0.75, abs=0.04)
    deep = mlp((100, 100, 100, 100), "identity", dropout=0.5)
    eye = tuple({"w": np.eye(100), "b": np.zeros(100)} for _ in range(3))
    y = run(deep, eye, np.ones((40, 100)), KEY)
    assert np.mean(y == 0) == pytest.approx(0.75, abs=0.04)
    assert set(np.unique(y)) == {0, 4}  # the output is not dropped


def test_an_ensemble_of_what_has_nothing_to_learn():
    """Without a leaf the number of members is that of the call."""
    case = ensemble(dropout(0.5), 3)
    assert case.init(KEY) == () and np.array_equal(case.apply((), jnp.ones(4)), np.ones(4))
    assert set(np.round(3 * np.asarray(case.apply((), jnp.ones(1000), KEY)))) == {0, 2, 4, 6}


def test_serial_wants_as_many_parameters_as_layers():
    with pytest.raises(ValueError, match="zip"):
        serial(activation("relu"), activation("relu")).apply(((),), jnp.ones(3))


ERRORS = [
    (lambda: dense(64, 3).apply(None, jnp.ones((3, 5))), r"dense: x must have 64 features, got shape (3, 5)"),
    (lambda: dense(64, 3).apply(None, 1.0), r"dense: x must have 64 features, got shape ()"),
    (lambda: mlp((64, 3)).apply((None,), jnp.ones(5)), "mlp: x must have 64 features, got shape (5,)"),
    (lambda: perceptron(2).apply(None, jnp.ones(5)), "perceptron: x must have 2 features, got shape (5,)"),
    (
        lambda: flatten((8, 8)).apply((), jnp.ones((3, 64))),
        "flatten: x must end in the axes (8, 8), got shape (3, 64)",
    ),
    (
        lambda: flatten((8, 8)).apply((), jnp.ones(8)),
        "flatten: x must end in the axes (8, 8), got shape (8,)",
    ),
    (lambda: flatten(64), "flatten: shape must be a tuple of positive ints, got 64"),
    (
        lambda: unflatten((8, 8)).apply((), jnp.ones((3, 63))),
        "unflatten: x must end in 64 features, got shape (3, 63)",
    ),
    (lambda: conv(0, 3, (3, 3)), "conv: in_channels must be a positive int, got 0"),
    (lambda: conv(1, 3, 3), "conv: kernel must be (length,) for series or (height, width) for images, got 3"),
    (lambda: conv(1, 3, (3, 0)), "conv: every size in kernel must be a positive int, got 0"),
    (
        lambda: conv(1, 3, (3,), stride=(1, 2)),
        "conv: stride must be an int or 1 of them, one for each axis, got (1, 2)",
    ),
    (lambda: conv(1, 3, (3,), dilation=0), "conv: dilation must be a positive int, got 0"),
    (
        lambda: conv(1, 3, (3,), padding="same"),
        "conv: padding must be 'SAME', 'VALID' or 1 (before, after), one for each axis, got 'same'",
    ),
    (
        lambda: conv(1, 3, (3,), padding=np.array([[1, 1]])),
        "conv: padding must be 'SAME', 'VALID' or 1 (before, after), one for each axis, got array([[1, 1]])",
    ),
    (lambda: conv(2, 3, (3,), groups=2), "conv: groups must divide 2 and 3 channels, got 2"),
    (
        lambda: conv(2, 3, (3, 3)).apply(None, jnp.ones((8, 8))),
        "conv: x must be (..., height, width, channels) with 2 channels, got shape (8, 8)",
    ),
    (
        lambda: conv(1, 3, (3,), padding="VALID", dilation=2).apply({"w": jnp.ones((3, 1, 3))}, jnp.ones((4, 1))),
        "conv: x must be at least as large as the window (5,), got shape (4, 1)",
    ),
    (lambda: max_pool(2), "max_pool: window must be (length,) for series or (height, width) for images, got 2"),
    (lambda: mean_pool((2,)).apply((), jnp.ones(4)), "mean_pool: x must have 1 axes and channels, got shape (4,)"),
    (
        lambda: cnn((8, 8, 8, 1), 2),
        "cnn: shape must be (height, width, channels) or (length, channels), got (8, 8, 8, 1)",
    ),
    (lambda: cnn((8, 8, 1), 2, ()), "cnn: channels must be a tuple of at least 1 positive ints, got ()"),
    (lambda: cnn((8, 8, 1), 2, norm="instance"), "cnn: norm must be 'layer', 'batch' or None, got 'instance'"),
    (lambda: cnn((8, 8, 1), 0), "cnn: out must be a positive int, got 0"),
    (lambda: flatten((8, 0)), "flatten: every size must be a positive int, got 0"),
    (lambda: dense(0, 3), "dense: in_size must be a positive int, got 0"),
    (lambda: dense(3, 2.0), "dense: out_size must be a positive int, got 2.0"),
    (lambda: linear_regression(True), "linear_regression: in_size must be a positive int, got True"),
    (lambda: softmax_regression(3, None), "softmax_regression: num_classes must be a positive int, got None"),
    (lambda: mlp((3,)), "mlp: sizes must be (in, hidden..., out), got (3,)"),
    (lambda: mlp(3), "mlp: sizes must be (in, hidden..., out), got 3"),
    (lambda: mlp((3, None, 2)), "mlp: every size must be a positive int, got None"),
    (lambda: mlp((3, 2), "rellu"), "mlp: no activation 'rellu': did you mean 'relu'?"),
    (lambda: mlp((3, 2), output="xyz"), "mlp: no activation 'xyz': one of identity, step"),
    (lambda: activation("sigmod"), "activation: no activation 'sigmod': did you mean 'sigmoid'?"),
    (lambda: dropout(1.0), "dropout: rate must be in [0, 1), got 1"),
    (lambda: mlp((3, 2), dropout=-0.5), "mlp: dropout must be in [0, 1), got -0.5"),
]


@pytest.mark.parametrize(("call", "message"), ERRORS, ids=[message for _, message in ERRORS])
def test_errors_say_who_what_and_what_came(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value).startswith(message)


def test_serial_takes_models_only():
    with pytest.raises(TypeError, match=r"^serial: layer 1 must be a model, got .*tanh.*"):
        serial(dense(3, 2), jnp.tanh)


# summary


def test_the_lectures_network_has_20_weights_6_biases_26_parameters():
    table = summary(mlp((3, 4, 2)).init(KEY))
    assert (table.weights, table.biases, table.total, table.bytes) == (20, 6, 26, 104)
    assert str(table).splitlines() == [
        "path      shape   dtype    count  bytes",
        "[0]['b']  (4,)    float32      4     16",
        "[0]['w']  (3, 4)  float32     12     48",
        "[1]['b']  (2,)    float32      2      8",
        "[1]['w']  (4, 2)  float32      8     32",
        "total                         26    104",
        "matrices 20, biases 6, total 26",
    ]


def test_a_summary_needs_no_draw_and_takes_foreign_parameters():
    assert summary(jax.eval_shape(mlp((3, 4, 2)).init, KEY)).total == 26
    eqx = pytest.importorskip("equinox")
    foreign = eqx.filter_eval_shape(eqx.nn.MLP, 3, 2, 4, 1, key=KEY)  # holds functions and numbers too
    assert (summary(foreign).weights, summary(foreign).biases) == (20, 6)
    assert summary({"a": "text", "b": None, "c": 1.0}).total == 0


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 5), max_size=3),
            st.sampled_from(["float16", "float32", "int8", "complex64"]),
        ),
        max_size=5,
    )
)
def test_a_summary_counts_every_array(kinds):
    arrays = [np.zeros(shape, dtype) for shape, dtype in kinds]
    table = summary({"params": arrays})
    assert table.total == sum(x.size for x in arrays)
    assert table.bytes == sum(x.nbytes for x in arrays)
    assert table.weights == sum(x.size for x in arrays if x.ndim > 1)
    assert len(str(table).splitlines()) == len(arrays) + 3
    assert len({len(line) for line in str(table).splitlines()[:-1]}) == 1
