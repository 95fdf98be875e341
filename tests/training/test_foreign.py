"""Models of other libraries, and Optax as it is, train in the ladder."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import load_iris

import gdjax as gd
from gdjax import metrics
from gdjax.losses import softmax_cross_entropy_with_integer_labels

X, Y = load_iris(return_X_y=True)
X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
ORDER = np.random.default_rng(0).permutation(len(X))
DATA = (jnp.asarray(X[ORDER[:110]]), jnp.asarray(Y[ORDER[:110]], jnp.int32))
VALIDATION = (jnp.asarray(X[ORDER[110:]]), jnp.asarray(Y[ORDER[110:]], jnp.int32))
SETTINGS = {"epochs": 15, "batch_size": 32, "order": "sequence", "monitor": ("accuracy", "max")}


def judge(logits, y):
    return jnp.mean(softmax_cross_entropy_with_integer_labels(logits, y)), {
        "accuracy": jnp.mean(metrics.correct(logits, y))
    }


def learns(result):
    """It has learned the task, and the parameters that came back are the best ones in the model's own structure."""
    assert result.best_value > 0.85, str(result)
    assert result.history["loss"][-1] < 0.5 * result.history["loss"][0]
    return result


@pytest.mark.nightly  # as with batch norm, below
def test_flax_linen():
    linen = pytest.importorskip("flax.linen")
    model = linen.Sequential([linen.Dense(16), linen.relu, linen.Dense(3)])
    loss = lambda params, batch, key: judge(model.apply(params, batch[0]), batch[1])  # noqa: E731
    params = model.init(jax.random.key(0), DATA[0][:1])
    result = learns(gd.fit(loss, params, gd.adam(0.02), DATA, VALIDATION, **SETTINGS))
    assert model.apply(result.params, X).shape == (150, 3)


def test_flax_nnx():
    nnx = pytest.importorskip("flax.nnx")
    rngs = nnx.Rngs(0)
    network = nnx.Sequential(nnx.Linear(4, 16, rngs=rngs), jax.nn.relu, nnx.Linear(16, 3, rngs=rngs))
    graph, params = nnx.split(network)

    def loss(params, batch, key):
        return judge(nnx.merge(graph, params)(batch[0]), batch[1])

    result = learns(gd.fit(loss, params, gd.adam(0.02), DATA, VALIDATION, **SETTINGS))
    assert nnx.merge(graph, result.params)(X).shape == (150, 3)


def test_equinox_with_its_functions_among_the_leaves():
    eqx = pytest.importorskip("equinox")
    network = eqx.nn.MLP(4, 3, 16, 1, key=jax.random.key(0))
    assert any(callable(leaf) for leaf in jax.tree.leaves(network)), "the point of this test"

    def loss(network, example):
        x, y = example
        logits = network(x)
        return softmax_cross_entropy_with_integer_labels(logits, y), {"accuracy": metrics.correct(logits, y)}

    result = learns(gd.fit(gd.per_example(loss), network, gd.adam(0.02), DATA, VALIDATION, **SETTINGS))
    assert isinstance(result.params, eqx.nn.MLP) and result.params.activation is network.activation
    assert result.params(X[0]).shape == (3,)


def test_equinox_dropout_keeps_its_rate_and_needs_its_key():
    eqx = pytest.importorskip("equinox")
    network = eqx.nn.Sequential(
        [eqx.nn.Linear(4, 16, key=jax.random.key(0)), eqx.nn.Dropout(0.3), eqx.nn.Linear(16, 3, key=jax.random.key(1))]
    )

    def loss(network, example, key):
        logits = network(example[0], key=key) if key is not None else eqx.nn.inference_mode(network)(example[0])
        return softmax_cross_entropy_with_integer_labels(logits, example[1]), {
            "accuracy": metrics.correct(logits, example[1])
        }

    result = learns(gd.fit(gd.per_example(loss), network, gd.adam(0.02), DATA, VALIDATION, **SETTINGS))
    assert result.params[1].p == 0.3, "a number that configures a module is no parameter"


@pytest.mark.nightly  # as Flax and Equinox
def test_haiku():
    hk = pytest.importorskip("haiku")
    network = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP([16, 3])(x)))
    loss = lambda params, batch, key: judge(network.apply(params, batch[0]), batch[1])  # noqa: E731
    params = network.init(jax.random.key(0), DATA[0][:1])
    learns(gd.fit(loss, params, gd.adam(0.02), DATA, VALIDATION, **SETTINGS))


def test_batch_norm_of_flax_carries_its_statistics():
    linen = pytest.importorskip("flax.linen")

    class Network(linen.Module):
        @linen.compact
        def __call__(self, x, train):
            x = linen.BatchNorm(use_running_average=not train, momentum=0.9)(linen.Dense(16)(x))
            return linen.Dense(3)(linen.relu(x))

    model = Network()
    variables = model.init(jax.random.key(0), DATA[0][:2], train=False)

    @gd.stateful
    def loss(params, statistics, batch, key):
        train = key is not None
        variables = {"params": params, "batch_stats": statistics}
        logits, updated = model.apply(variables, batch[0], train=train, mutable=["batch_stats"])
        return *judge(logits, batch[1]), updated["batch_stats"]

    start = variables["batch_stats"]
    result = learns(gd.fit(loss, variables["params"], gd.adam(0.02), DATA, VALIDATION, model_state=start, **SETTINGS))
    chex.assert_trees_all_equal_shapes_and_dtypes(result.model_state, start)
    again = model.apply({"params": result.params, "batch_stats": result.model_state}, VALIDATION[0], train=False)
    stale = {"params": result.params, "batch_stats": start}
    assert not np.allclose(model.apply(stale, VALIDATION[0], train=False), again), "they were updated"
    np.testing.assert_allclose(judge(again, VALIDATION[1])[1]["accuracy"], result.best_value, rtol=1e-6)


RAW = {
    "chain": optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_decay_schedule(0.05, 100))),
    "contrib": optax.contrib.prodigy(1.0),
    "lbfgs": optax.lbfgs(),
    "multi_transform": optax.multi_transform({"a": optax.adam(0.02), "b": gd.sgd(0.1)}, {"w": "a", "b": "b"}),
    "masked ours": gd.chain(optax.masked(gd.chain(gd.clip_by_global_norm(1.0), gd.adam(0.02)), {"w": True, "b": True})),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.nightly] * (n in ("contrib", "lbfgs"))) for n in RAW]
)
def test_raw_optax(name):
    @gd.per_example
    def loss(params, example):
        x, y = example
        logits = x @ params["w"] + params["b"]
        return softmax_cross_entropy_with_integer_labels(logits, y), {"accuracy": metrics.correct(logits, y)}

    params = {"w": jnp.zeros((4, 3)), "b": jnp.zeros(3)}
    result = gd.fit(loss, params, RAW[name], DATA, VALIDATION, **SETTINGS)
    assert result.best_value > 0.8, str(result)


def test_an_optax_factory_lifted_sweeps_without_compiling():
    lifted = gd.optimizer(optax.contrib.dog)
    assert len(jax.tree.leaves(lifted(1.0))) >= 1
    params = {"w": jnp.ones(3)}
    program = jax.jit(lambda node, params: node.update(params, node.init(params), params)[0])
    for rate in (1.0, 2.0):
        program(lifted(rate).canonicalize(), params)
    assert program._cache_size() == 1


def test_no_parameter_is_weakly_typed_so_that_a_run_is_compiled_once():
    state = gd.make_state({"a": 0.0, "b": jnp.array(1.0), "c": jnp.zeros(2)}, gd.sgd(0.1))
    assert not any(x.weak_type for x in jax.tree.leaves(state.params))


def test_parameters_are_strongly_typed_whatever_holds_them():
    """What is weakly typed would be compiled twice; keys and shapes, which states of models hold, stay what they are."""
    shape = jax.eval_shape(lambda: 1.0)
    parted = gd.tree.part(
        {"n": 1.0, "w": jnp.asarray(2.0), "s": shape, "k": jax.random.key(0), "a": np.ones(2), "e": None}
    )
    assert not any(getattr(x, "weak_type", False) for x in jax.tree.leaves(parted)) and shape.weak_type
    assert parted["k"].dtype == jax.random.key(0).dtype and parted["s"].shape == () and parted["e"] is None
