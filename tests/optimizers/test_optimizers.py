"""What is particular to one optimizer: closed forms, the lectures' numbers, where Optax is wrong."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gdjax as gd
from gdjax import optimizers
from gdjax.certify import ORACLES
from gdjax.certify.oracles.lift import PerLeaf, StepInput
from gdjax.search import fixed_step
from gdjax.types import Evaluation


def params_like(dtype=jnp.float32):
    x = jnp.arange(1.0, 7.0)
    return {
        "w": (x.reshape(3, 2) / 3).astype(dtype),
        "b": [-x[:2].astype(dtype), jnp.asarray(0.5, dtype)],
        "none": None,
    }


def steps(node, params, number=5):
    state = node.init(params)
    for i in range(number):
        grads = jax.tree.map(lambda p, i=i: jnp.sin(3 * p + i) + 0.1, params)
        updates, state = node.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def test_a_bare_array_is_called_by_its_name_alone():
    x, ones = jnp.ones(3), jnp.ones(3, complex)
    wide = optax.GradientTransformation(lambda params: (), lambda grads, state, params=None: (jnp.ones(2), state))
    rows = gd.Rows(jnp.arange(2), jnp.ones((2, 5)))
    sparse, table, simplex = gd.sparse_adagrad(0.1), jnp.ones((3, 4)), gd.projections.simplex()
    for call, message in (
        (
            lambda: gd.sgd(0.1).update(jnp.ones(2), gd.sgd(0.1).init(x), x),
            "sgd: grads must have shape (3,) as in params",
        ),
        (lambda: gd.sgd(0.1).init(jnp.arange(3)), "sgd: params must be floating or complex"),
        (
            lambda: gd.minimize(lambda x: jnp.sum(x**2), x, wide),
            "minimize: the optimizer's updates must have shape (3,)",
        ),
        (lambda: gd.minimize(lambda x: 0.0, ones, fixed_step(0.1)), "minimize: params must be real"),
        (lambda: simplex(ones), "x must be real to be ordered"),
        (lambda: sparse.update(rows, sparse.init(table), table), "sparse_adagrad: grads must have indices (k,)"),
    ):
        with pytest.raises((ValueError, TypeError)) as error:
            call()
        assert message in str(error.value), str(error.value)


def test_adadelta_on_complex_parameters_is_adadelta_on_a_shared_modulus():
    """A complex parameter along one direction moves as the real one does; Optax's fails this (it averages g², not |g|²)."""
    direction = (3 + 4j) / 5
    real, complex_ = jnp.array([2.0]), jnp.array([2.0 * direction])
    mine, _ = quadratic_descent(gd.adadelta(1.0), real)
    turned, _ = quadratic_descent(gd.adadelta(1.0), complex_)
    np.testing.assert_allclose(turned, mine * direction, rtol=1e-4)
    wrong, _ = quadratic_descent(optax.adadelta(1.0), complex_)
    assert not np.allclose(wrong, mine * direction, rtol=1e-2)


def quadratic_descent(node, params, number=50):
    state = node.init(params)
    for _ in range(number):
        updates, state = node.update(params, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def test_velocity_and_trace_momentum_agree_at_a_constant_rate_and_only_there():
    params = params_like()
    chex.assert_trees_all_close(
        steps(gd.momentum(0.05, 0.8), params)[0], steps(gd.sgd(0.05, 0.8), params)[0], rtol=1e-5
    )
    falling = gd.schedules.linear(0.05, 0.0, 5)
    velocity, trace = steps(gd.momentum(falling, 0.8), params)[0], steps(gd.sgd(falling, 0.8), params)[0]
    assert not np.allclose(velocity["w"], trace["w"], rtol=1e-3)


def test_the_lectures_first_velocities():
    """v_0 = -rate g_0 and v_1 = -rate (a g_0 + g_1)."""
    node, params = gd.momentum(0.1, 0.9), jnp.zeros(2)
    first, state = node.update(jnp.array([1.0, 2.0]), node.init(params), params)
    second, _ = node.update(jnp.array([3.0, -1.0]), state, params)
    np.testing.assert_allclose(first, [-0.1, -0.2], rtol=1e-6)
    np.testing.assert_allclose(second, [-0.1 * (0.9 + 3), -0.1 * (1.8 - 1)], rtol=1e-6)


def test_clipping_shortens_to_the_norm_and_never_makes_nan():
    node, params = gd.clip_by_global_norm(1.0), {"a": jnp.zeros(2), "b": jnp.zeros(2)}

    def clip(a, max_norm=1.0):
        grads = {"a": jnp.asarray(a), "b": jnp.zeros(2)}
        clip = node.replace(max_norm=max_norm)
        return np.asarray(clip.update(grads, clip.init(params), params)[0]["a"])

    np.testing.assert_allclose(clip([3.0, 4.0]), [0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(clip([0.3, 0.4]), [0.3, 0.4], rtol=1e-6)
    np.testing.assert_array_equal(clip([0.0, 0.0], 0.0), [0, 0])
    np.testing.assert_array_equal(clip([3.0, 4.0], 0.0), [0, 0])
    assert np.isnan(np.asarray(optax.clip_by_global_norm(0.0).update(params, optax.EmptyState())[0]["a"])).all()


def test_decay_weights_around_adam_is_adamw():
    params = params_like()
    mask = {"w": True, "b": False, "none": None}
    around = steps(gd.decay_weights(gd.adam(0.01), 0.1, mask), params)[0]
    chex.assert_trees_all_close(around, steps(gd.adamw(0.01, weight_decay=0.1, mask=mask), params)[0], rtol=1e-5)
    with pytest.raises(ValueError, match="must have a learning rate"):
        gd.decay_weights(optax.sgd(0.1), 0.1)


def plateau_scales(values, **arguments):
    """The rate's scale after each of these evaluations, each seen by two steps."""
    node = gd.reduce_on_plateau(gd.sgd(1.0), **arguments)
    params, scales = jnp.zeros(()), []
    state = node.init(params)
    for i, value in enumerate(values):
        for _ in range(2):
            seen = Evaluation(jnp.asarray(value), jnp.asarray(i + 1))
            updates, state = node.update(jnp.ones(()), state, params, evaluation=seen)
        scales.append(round(-float(updates), 6))
    return scales


@pytest.mark.parametrize(
    ("values", "arguments", "expected"),
    [
        ([3, 2, 1, 1, 1, 0.5], {"patience": 2, "factor": 0.1}, [1, 1, 1, 1, 0.1, 0.1]),
        ([-1, -1, -1, -1], {"patience": 2, "factor": 0.5}, [1, 1, 0.5, 0.5]),  # Optax never drops here
        ([1, np.nan, np.nan, np.nan], {"patience": 2, "factor": 0.5}, [1, 1, 1, 1]),  # NaN counts as nothing
        ([1] * 6, {"patience": 1, "factor": 0.5, "cooldown": 2}, [1, 0.5, 0.5, 0.5, 0.25, 0.25]),
        ([1] * 5, {"patience": 1, "factor": 0.5, "min_scale": 0.3}, [1, 0.5, 0.3, 0.3, 0.3]),
        ([1, 0.95, 0.89], {"patience": 1, "factor": 0.5, "rtol": 0.1}, [1, 0.5, 0.5]),
        ([1, 0.95, 0.89], {"patience": 2, "factor": 0.5, "rtol": 0.0, "atol": 0.1}, [1, 1, 1]),
    ],
)
def test_the_rate_drops_on_a_plateau(values, arguments, expected):
    assert plateau_scales(values, **arguments) == expected


CHOSEN = [  # the calls whose flags choose another rule than the plainest call's
    gd.sgd(0.1, momentum=0.9, nesterov=True),
    gd.momentum(0.1, nesterov=True),
    gd.rmsprop(0.1, eps=0.1, momentum=0.9, nesterov=True),
    gd.rmsprop(0.1, eps=0.1, momentum=0.9, bias_correction=True, eps_in_sqrt=False),
    gd.rmsprop(0.1, eps=0.1, centered=True, bias_correction=True),
    gd.rmsprop(0.1, eps=0.1, centered=True, eps_in_sqrt=False),
    gd.adam(0.1, nesterov=True),
    gd.adamw(0.1, nesterov=True),
    gd.nadam(0.1, nesterov=False),
    gd.nadamw(0.1, nesterov=False),
    gd.amsgrad(0.1, bias_correction_mu=False),
    gd.amsgrad(0.1, bias_correction_nu=False),
    gd.adabelief(0.1, nesterov=True),
    gd.radam(0.1, threshold=4.0, nesterov=True),  # which the sixth step is past
    gd.optimistic_adam_v2(0.1, nesterov=False),
    gd.adopt(0.1, nesterov=True),
    gd.adopt(0.1, use_clipping=False),
    gd.lars(0.1, nesterov=True),
    gd.rprop(0.1, delayed=False),
    gd.adam_mini(0.1, by="leaf"),
    gd.adafactor(0.1, min_dim_size_to_factor=3, multiply_by_parameter_scale=False),
    gd.adafactor(0.1, min_dim_size_to_factor=3, factored=False),
    gd.muon(0.1, nesterov=False),
    gd.muon(0.1, adaptive=True),
    gd.momo(1.0, adapt_lower_bound=True),
    gd.momo_adam(1.0, adapt_lower_bound=True),
    gd.prodigy(1.0, safeguard_warmup=True),
]


@pytest.mark.parametrize("node", CHOSEN, ids=repr)
def test_a_flag_chooses_the_rule_it_names(node):
    """Eight steps beside the oracle in NumPy, to its float64."""
    params, grads = np.random.default_rng(4).normal(size=(2, 8, 4, 3))
    values = np.geomspace(2.0, 0.1, 8)
    arguments = {name: PerLeaf([True]) if name.endswith("mask") else x for name, x in node.arguments.items()}
    oracle = ORACLES[node.recipe.name]([params[0]], **arguments)
    next(oracle)
    with jax.enable_x64(True):
        node = node.canonicalize()
        state, update = node.init(params[0]), jax.jit(node.update)
        for p, g, value in zip(params, grads, values, strict=True):
            u, state = update(g, state, p, value=value)
            (expected,) = oracle.send(StepInput([g], [p], value))
            np.testing.assert_allclose(u, expected, rtol=1e-9, atol=1e-12)


def test_a_leaf_rule_of_the_users_own():
    """The README's example: a rule, a factory, and it has all the rest."""

    def softsign_rule(g, p, t, mu, *, decay):
        mu = decay * mu + (1 - decay) * g
        return mu / (1 + jnp.abs(mu)), {"mu": mu}

    @gd.optimizer(bounds={"decay": "[0, 1)"})
    def softsign(learning_rate, decay=0.9):
        return optimizers.leafwise(softsign_rule, learning_rate, slots={"mu": optimizers.Slot()}, decay=decay)

    params = params_like(jnp.bfloat16)
    new, state = jax.jit(lambda node: steps(node, params))(softsign(0.1))
    chex.assert_trees_all_equal_shapes_and_dtypes(new, params)
    assert repr(softsign(0.1, decay=0.5)) == "softsign(0.1, decay=0.5)"
    assert int(state.count) == 5


@pytest.mark.parametrize("name", ["sgd", "adam", "muon"])
def test_a_number_of_python_is_a_parameter_as_in_optax(name):
    params, gradient = {"w": jnp.ones(2), "b": 0.5}, {"w": jnp.ones(2), "b": jnp.array(1.0)}
    optimizer = getattr(gd, name)(0.1)
    updates, _ = optimizer.update(gradient, optimizer.init(params), params)
    assert updates["b"] < 0
