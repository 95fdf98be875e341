"""What is true of every optimizer and every wrapper. Forgetting the table, or the example of a wrapper, is a red test."""

import inspect
import itertools
import pickle

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gdjax as gd
from gdjax import optimizers
from gdjax.nodes import Node
from gdjax.optimizers import adaptive, descent, wrappers
from gdjax.optimizers.catalogue import entry
from gdjax.types import Evaluation

WRAPPED = {
    "chain": lambda: gd.chain(optax.clip_by_global_norm(2.0), gd.sgd(0.1)),
    "clip_by_global_norm": lambda: gd.clip_by_global_norm(gd.adam(0.01), 0.5),
    "decay_weights": lambda: gd.decay_weights(gd.rmsprop(0.01), 0.1),
    "reduce_on_plateau": lambda: gd.reduce_on_plateau(gd.adam(0.01), factor=0.5, patience=1),
}
VARIANTS = {
    "sgd(momentum)": lambda: gd.sgd(0.01, momentum=0.9),
    "sgd(nesterov)": lambda: gd.sgd(0.01, momentum=0.9, nesterov=True),
    "rmsprop(centered, momentum)": lambda: gd.rmsprop(0.01, centered=True, momentum=0.9),
    "adam(mu_dtype)": lambda: gd.adam(0.01, mu_dtype=jnp.bfloat16),
    "adamw(schedules)": lambda: gd.adamw(
        gd.schedules.cosine(0.01, 100),
        b1=gd.schedules.linear(0.5, 0.9, 50),
        weight_decay=gd.schedules.constant(0.1),
    ),
    "from optax": lambda: gd.as_optimizer(optax.adam(0.01)),
}
PLAIN = {name: (lambda factory=factory: factory(0.01)) for name, factory in gd.OPTIMIZERS.items()}
ALL = {**PLAIN, **VARIANTS, **WRAPPED}
DECAYING = {
    "adamw",
    "adamw(schedules)",
    "decay_weights",
}  # not zero at a zero gradient: they shrink the parameters

every = pytest.mark.parametrize("name", ALL)
plain = pytest.mark.parametrize("name", PLAIN)


def params_like(dtype=jnp.float32):
    x = jnp.arange(1.0, 7.0)
    return {
        "w": (x.reshape(3, 2) / 3).astype(dtype),
        "b": [-x[:2].astype(dtype), jnp.asarray(0.5, dtype)],
        "none": None,
    }


def grads_at(params, i=0):
    return jax.tree.map(lambda p: jnp.sin(3 * p + i) + 0.1, params)


def evaluation(i=0):
    return Evaluation(jnp.asarray(1.0), jnp.asarray(i, jnp.int32))


def step(node, params, state, grads, i=0):
    updates, state = node.update(grads, state, params, evaluation=evaluation(i))
    return optax.apply_updates(params, updates), state


def steps(node, params, number=5):
    state = node.init(params)
    for i in range(number):
        params, state = step(node, params, state, grads_at(params, i), i)
    return params, state


def test_every_factory_is_in_its_table():
    for modules, table in (((adaptive, descent), gd.OPTIMIZERS), ((wrappers,), gd.WRAPPERS)):
        factories = {
            name: value
            for module in modules
            for name, value in vars(module).items()
            if hasattr(value, "recipe") and value.__module__ == module.__name__
        }
        assert factories == table
    assert set(WRAPPED) == set(gd.WRAPPERS)
    assert all(getattr(gd, name) is factory for name, factory in {**gd.OPTIMIZERS, **gd.WRAPPERS}.items())


@pytest.mark.parametrize("name", [*gd.OPTIMIZERS, *gd.WRAPPERS])
def test_every_docstring_has_its_lines(name):
    factory = {**gd.OPTIMIZERS, **gd.WRAPPERS}[name]
    about = entry(factory)
    assert about.memory and about.reference and about.summary.endswith(".")
    doc = inspect.getdoc(factory)
    assert "<-" in doc or "u =" in doc or "u_inner" in doc or name == "chain", "no equation"
    described = doc + (inspect.getdoc(gd.adam) or "" if "as `adam`" in doc else "")
    for argument in inspect.signature(factory).parameters:
        assert argument in described or name == "chain", f"{argument} is not explained"


REAL, COMPLEX = (jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64), (jnp.complex64, jnp.complex128)
PAIRS = [*itertools.product(REAL, REAL), *itertools.product(COMPLEX, COMPLEX)]


@every
def test_state_is_a_fixed_point_of_update_for_every_pair_of_dtypes(name):
    node = ALL[name]()
    with jax.enable_x64(True):
        for param_dtype, grad_dtype in PAIRS if name not in ("from optax", "chain") else [(jnp.float32, jnp.float32)]:
            params, grads = params_like(param_dtype), params_like(grad_dtype)
            state = jax.eval_shape(node.init, params)
            updates, new_state = jax.eval_shape(
                lambda g, s, p: node.update(g, s, p, evaluation=evaluation()), grads, state, params
            )
            chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)
            chex.assert_trees_all_equal_shapes_and_dtypes(new_state, state)
            assert jax.tree.structure(new_state) == jax.tree.structure(state)


@every
@pytest.mark.parametrize("dtypes", [(jnp.bfloat16, jnp.float32), (jnp.complex64, jnp.complex64)])
def test_a_legal_carry_of_scan(name, dtypes):
    if name in ("from optax", "chain"):
        pytest.skip("Optax's own states change dtype: the reason for ours")
    node, params = ALL[name](), params_like(dtypes[0])
    grads = params_like(dtypes[1])

    def body(carry, i):
        return step(node, *carry, grads, i), None

    (new, _), _ = jax.jit(lambda: jax.lax.scan(body, (params, node.init(params)), jnp.arange(3)))()
    assert all(np.isfinite(np.asarray(x, np.complex64)).all() for x in jax.tree.leaves(new))


@every
def test_compiled_is_eager(name):
    node, params = ALL[name](), params_like()
    compiled = jax.jit(lambda *args: step(*args))
    state = node.init(params)
    eager = (params, state)
    for i in range(3):
        grads = grads_at(params, i)
        eager = step(node, *eager, grads, i)
        params, state = compiled(node, params, state, grads, i)
    chex.assert_trees_all_close((params, state), eager, rtol=2e-6, atol=1e-7)
    assert compiled._cache_size() <= 2  # the typed number, then none


@plain
def test_vmap_over_stacked_optimizers_is_a_loop(name):
    rates = [0.001, 0.01, 0.1]
    nodes = [gd.OPTIMIZERS[name](rate).settle() for rate in rates]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *nodes)
    params = params_like()
    together, _ = jax.vmap(lambda node: steps(node, params, 3))(stacked)
    for i, node in enumerate(nodes):
        chex.assert_trees_all_close(jax.tree.map(lambda x, i=i: x[i], together), steps(node, params, 3)[0], rtol=1e-5)


@plain
def test_updates_are_linear_in_the_rate(name):
    params = params_like()
    grads = grads_at(params)

    def second_update(rate):
        node = gd.OPTIMIZERS[name](rate)
        _, state = node.update(grads, node.init(params), params)
        return node.update(grads, state, params)[0]

    once, thrice = second_update(0.01), second_update(0.03)
    chex.assert_trees_all_close(thrice, jax.tree.map(lambda u: 3 * u, once), rtol=1e-5)
    assert all(np.all(np.asarray(u) != 0) for u in jax.tree.leaves(once))


@every
def test_a_zero_gradient_moves_nothing(name):
    node, params = ALL[name](), params_like()
    zero = jax.tree.map(jnp.zeros_like, params)
    updates, _ = node.update(zero, node.init(params), params, evaluation=evaluation())
    moved = any(np.any(np.asarray(u) != 0) for u in jax.tree.leaves(updates))
    assert moved == (name in DECAYING)


@every
def test_the_order_of_leaves_does_not_matter(name):
    node = ALL[name]()
    params = {"a": jnp.ones(3), "b": jnp.arange(2.0), "c": jnp.asarray(2.0)}
    renamed = {"a": params["c"], "b": params["a"], "c": params["b"]}
    one, _ = steps(node, params, 3)
    other, _ = steps(node, renamed, 3)
    chex.assert_trees_all_close((one["a"], one["b"], one["c"]), (other["b"], other["c"], other["a"]), rtol=1e-6)


@every
def test_the_first_step_descends(name):
    node, params = ALL[name](), params_like()
    grads = grads_at(params)
    new, _ = step(node, params, node.init(params), grads)
    slope = sum(jnp.vdot(g, n - p) for g, n, p in zip(*map(jax.tree.leaves, (grads, new, params)), strict=True))
    assert slope < 0


@plain
def test_the_best_of_thirteen_rates_converges(name):
    """On a bowl of condition number 10 some rate of a factor-of-three grid comes within 1 % of the start."""
    curvature = jnp.array([1.0, 3.0, 10.0])
    start = jnp.array([1.0, -1.0, 1.0])

    def final_value(rate):
        node = gd.OPTIMIZERS[name](rate)

        def body(carry, _):
            params, state = carry
            return step(node, params, state, curvature * params), None

        (params, _), _ = jax.lax.scan(body, (start, node.init(start)), length=300)
        return jnp.sum(curvature * params**2)

    values = jax.jit(jax.vmap(final_value))(10.0 ** jnp.linspace(-4, 2, 13))
    assert np.nanmin(np.asarray(values)) < 0.01 * float(jnp.sum(curvature))


OPTAX = [
    (gd.sgd, optax.sgd, {}),
    (gd.sgd, optax.sgd, {"momentum": 0.9}),
    (gd.sgd, optax.sgd, {"momentum": 0.9, "nesterov": True}),
    (gd.adagrad, optax.adagrad, {"initial_accumulator_value": 0.3, "eps": 1e-5}),
    (gd.rmsprop, optax.rmsprop, {}),
    (gd.rmsprop, optax.rmsprop, {"centered": True, "momentum": 0.9, "initial_scale": 1.0}),
    (
        gd.rmsprop,
        optax.rmsprop,
        {"eps_in_sqrt": False, "momentum": 0.5, "nesterov": True, "bias_correction": True},
    ),
    (
        gd.adadelta,
        optax.adadelta,
        {"rho": 0.95, "weight_decay": 0.1, "weight_decay_mask": {"w": True, "b": False}},
    ),
    (gd.adam, optax.adam, {"b1": 0.8, "eps": 1e-4, "eps_root": 1e-6}),
    (gd.adam, optax.adam, {"nesterov": True}),
    (gd.nadam, optax.nadam, {}),
    (gd.adamw, optax.adamw, {"weight_decay": 0.1, "mask": lambda params: {"w": True, "b": False}}),
]


@pytest.mark.parametrize(("ours", "theirs", "arguments"), OPTAX)
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_equal_to_optax_in_double_precision_on_the_same_gradients(ours, theirs, arguments, dtype):
    if theirs is optax.adadelta and dtype == np.complex128:
        pytest.skip("Optax averages g² instead of |g|² here; ours is checked against real pairs below")
    rng = np.random.default_rng(0)

    def draw(*shape):
        x = rng.normal(size=shape)
        return x + 1j * rng.normal(size=shape) if dtype == np.complex128 else x

    with jax.enable_x64(True):
        params = {"w": jnp.asarray(draw(3, 2)), "b": jnp.asarray(draw(2))}
        mine, reference = ours(0.03, **arguments), theirs(0.03, **arguments)
        my_state, state = mine.init(params), reference.init(params)
        for i in range(100):
            grads = {"w": jnp.asarray(draw(3, 2)), "b": jnp.asarray(draw(2) * (i % 7 > 0))}
            my_updates, my_state = mine.update(grads, my_state, params)
            updates, state = reference.update(grads, state, params)
            chex.assert_trees_all_close(my_updates, updates, rtol=1e-12, atol=1e-300)
            params = optax.apply_updates(params, updates)


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


@every
def test_a_state_saved_and_restored_goes_on_with_the_same_bits(name):
    node, params = ALL[name]().settle(), params_like()
    compiled = jax.jit(lambda *args: step(*args))
    state = node.init(params)
    for i in range(2):
        params, state = compiled(node, params, state, grads_at(params, i), i)
    traces = compiled._cache_size()
    if name in ("from optax", "chain"):  # Optax's closures do not pickle: the node stays, the state travels
        kept = (node, *pickle.loads(pickle.dumps((params, state))))
    else:
        kept = pickle.loads(pickle.dumps((node, params, state)))
    for i in range(2, 4):
        grads = grads_at(params, i)
        params, state = compiled(node, params, state, grads, i)
        kept = (kept[0], *compiled(*kept, grads, i))
    chex.assert_trees_all_equal((params, state), kept[1:])
    assert compiled._cache_size() == traces


@plain
@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=5, deadline=None)
def test_a_new_value_of_any_number_compiles_nothing(name, data):
    node = gd.OPTIMIZERS[name](0.01).settle()
    leaves, structure = jax.tree.flatten(node)
    values = data.draw(st.lists(st.floats(0.01, 0.9), min_size=len(leaves), max_size=len(leaves)))
    other = structure.unflatten([jnp.asarray(v, x.dtype) for v, x in zip(values, leaves, strict=True)])
    assert isinstance(other, Node) and isinstance(other, gd.Optimizer)
    params = {"w": jnp.ones(2)}
    SHARED_STEP(node, params, node.init(params), params)
    before = SHARED_STEP._cache_size()
    SHARED_STEP(other, params, other.init(params), params)
    assert SHARED_STEP._cache_size() == before


SHARED_STEP = jax.jit(lambda *args: step(*args))


@every
def test_extra_arguments_are_ignored_and_the_empty_tree_is_no_trouble(name):
    node = ALL[name]()
    extra = {"value": 1.0, "value_fn": None, "weight": 3, "evaluation": evaluation()}
    params = params_like()
    given, _ = node.update(params, node.init(params), params, **extra)
    bare, _ = node.update(params, node.init(params), params, evaluation=evaluation())
    chex.assert_trees_all_equal(given, bare)
    assert jax.tree.leaves(node.update({}, node.init({}), {}, evaluation=evaluation())[0]) == []


@plain
def test_works_inside_optax(name):
    node, params = gd.OPTIMIZERS[name](0.01), {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    labels = {"w": "ours", "b": "frozen"}
    around = [
        optax.chain(optax.clip(1.0), node),
        optax.masked(node, {"w": True, "b": False}),
        optax.multi_transform({"ours": node, "frozen": optax.set_to_zero()}, labels),
        optax.apply_if_finite(node, 3),
        optax.MultiSteps(node, 2),
        optax.inject_hyperparams(gd.OPTIMIZERS[name])(learning_rate=0.01),
    ]
    for transformation in around:
        updates, state = jax.jit(transformation.update)(params, transformation.init(params), params)
        chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)
        jax.tree.map(lambda x: x, state)
    state = node.init(params)
    for slot, tree in state.slots.items():
        chex.assert_trees_all_equal(optax.tree.get(state, slot), tree)
    doubled = optax.tree.map_params(node, lambda x: 2 * x, state)
    chex.assert_trees_all_equal(doubled.slots, jax.tree.map(lambda x: 2 * x, state.slots))


@pytest.mark.parametrize("name", gd.OPTIMIZERS)
def test_trees_that_do_not_fit_are_refused_with_their_path(name):
    node, params = gd.OPTIMIZERS[name](0.01), {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    state = node.init(params)
    with pytest.raises(ValueError, match=r"it lacks \['b'\]"):
        node.update({"w": params["w"]}, state, params)
    with pytest.raises(ValueError, match=r"grads\['w'\] must have shape \(2, 2\) as in params, got \(4,\)"):
        node.update({**params, "w": jnp.ones(4)}, state, params)
    with pytest.raises(TypeError, match=r"params\['n'\] must be floating or complex to be trained, got int32"):
        node.init({"n": jnp.arange(3)})


def test_clipping_shortens_to_the_norm_and_never_makes_nan():
    node, params = gd.clip_by_global_norm(gd.sgd(1.0), 1.0), {"a": jnp.zeros(2), "b": jnp.zeros(2)}

    def clipped(a, max_norm=1.0):
        grads = {"a": jnp.asarray(a), "b": jnp.zeros(2)}
        clip = node.replace(max_norm=max_norm)
        return np.asarray(clip.update(grads, clip.init(params), params)[0]["a"])

    np.testing.assert_allclose(clipped([3.0, 4.0]), [-0.6, -0.8], rtol=1e-6)
    np.testing.assert_allclose(clipped([0.3, 0.4]), [-0.3, -0.4], rtol=1e-6)
    np.testing.assert_array_equal(clipped([0.0, 0.0], 0.0), [0, 0])
    np.testing.assert_array_equal(clipped([3.0, 4.0], 0.0), [0, 0])
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
