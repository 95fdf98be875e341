"""Laws over the catalogue of schedules, parity with Optax, and what each schedule claims in its docstring."""

import math
import pickle
from fractions import Fraction

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gdjax as gd
from gdjax import laws, schedules
from gdjax.calls import Schedule, parse
from gdjax.schedules import (
    SCHEDULES,
    constant,
    cosine,
    cosine_restarts,
    cyclic,
    exponential,
    in_epochs,
    inverse_sqrt,
    inverse_time,
    join,
    linear,
    one_cycle,
    piecewise_constant,
    piecewise_interpolate,
    polynomial,
    step_decay,
    warmup,
    warmup_stable_decay,
)

CYCLE = {"init_value": 0.2, "peak_value": 1.0, "warmup_steps": 2, "decay_steps": 8, "end_value": 0.4}
CASES = [
    constant(0.3),
    linear(1.0, 0.1, 10),
    linear(0.2, 1.0, 8, transition_begin=4),
    polynomial(1.0, 0.1, 2.0, 10),
    polynomial(1.0, 0.1, 0.5, 10, transition_begin=3),
    piecewise_constant([4, 9.5], [1.0, 0.5, 0.2]),
    piecewise_interpolate((4, 10), (1.0, 0.2, 0.5)),
    piecewise_interpolate([4, 10], [1.0, 0.2, 0.5], "cosine"),
    step_decay(1.0, 0.5, 4),
    exponential(1.0, 5, 0.7),
    exponential(1.0, 5, 0.7, staircase=True, transition_begin=2),
    exponential(1.0, 5, 0.7, end_value=0.45),
    exponential(1.0, 5, 1.2, end_value=2.0),
    inverse_time(1.0, 4, 0.5),
    inverse_time(1.0, 4, 0.5, staircase=True),
    inverse_sqrt(1.0, 5),
    inverse_sqrt(1.0, 5, init_value=0.2),
    cosine(1.0, 10),
    cosine(1.0, 10, alpha=0.1, exponent=0.5),
    cosine_restarts(1.0, 6),
    cosine_restarts(1.0, 5, growth=2.0, decay=0.7, alpha=0.1),
    cyclic(0.1, 1.0, 4),
    cyclic(0.1, 1.0, 4, "triangular2", growth=1.5, decay=0.9),
    cyclic(0.1, 1.0, 4, "exp_range", 0.95, annealing=0.8),
    one_cycle(1.0, 20),
    one_cycle(1.0, 20, pct_start=0.4, div_factor=10.0, final_div_factor=100.0, anneal="linear"),
    warmup(cosine(1.0, 10), 4),
    warmup(0.5, 4, init_value=0.1),
    warmup_stable_decay(1.0, 4, 5, 6),
    warmup_stable_decay(1.0, 4, 5, 6, end_value=0.1, decay="cosine"),
    warmup_stable_decay(1.0, 4, 5, 6, decay="sqrt"),
    join([linear(0.0, 1.0, 4), cosine(1.0, 10), 0.6], [5, 12]),
    in_epochs(step_decay(1.0, 0.5, 2), 3),
    in_epochs(cosine(1.0, 4), 2.5),
    schedules.linear_schedule(1.0, 0.1, 10, 2),
    schedules.polynomial_schedule(1.0, 0.1, 2.0, 10, 2),
    schedules.exponential_decay(1.0, 5, 0.7, 2, True, 0.3),
    schedules.piecewise_constant_schedule(1.0, {9.5: 0.5, 4: 0.4}),
    schedules.piecewise_interpolate_schedule("cosine", 1.0, {4: 0.2, 10: 2.5}),
    schedules.warmup_constant_schedule(0.1, 1.0, 4),
    schedules.warmup_cosine_decay_schedule(0.2, 1.0, 4, 14, 0.1, 1.5),
    schedules.warmup_exponential_decay_schedule(0.2, 1.0, 4, 5, 0.7, 2, True, 0.3),
    schedules.linear_onecycle_schedule(20, 1.0, 0.33, 0.78, 10.0, 100.0),
    schedules.cosine_onecycle_schedule(20, 1.0, 0.33, 10.0, 100.0),
    schedules.sgdr_schedule([dict(CYCLE, decay_steps=n) for n in (6, 12)]),
    schedules.join_schedules([linear(0.0, 1.0, 4), cosine(1.0, 10), 0.6], [5, 12]),
]
STAIRS = {
    "piecewise_constant([4, 9.5], [1, 0.5, 0.2])",
    "step_decay(1, 0.5, 4)",
    "exponential(1, 5, 0.7, staircase=True, transition_begin=2)",
    "inverse_time(1, 4, 0.5, staircase=True)",
    "cosine_restarts(1, 6)",
    "cosine_restarts(1, 5, growth=2, decay=0.7, alpha=0.1)",
    "join([linear(0, 1, 4), cosine(1, 10), 0.6], [5, 12])",
    "in_epochs(step_decay(1, 0.5, 2), 3)",
    "exponential_decay(1, 5, 0.7, transition_begin=2, staircase=True, end_value=0.3)",
    "piecewise_constant_schedule(1, boundaries_and_scales=((4, 0.4), (9.5, 0.5)))",
    "warmup_exponential_decay_schedule(0.2, 1, 4, 5, 0.7, transition_begin=2, staircase=True, end_value=0.3)",
    "join_schedules([linear(0, 1, 4), cosine(1, 10), 0.6], [5, 12])",
    repr(schedules.sgdr_schedule([dict(CYCLE, decay_steps=n) for n in (6, 12)])),
}
FINE = 64  # evaluations per step
GRID = np.arange(24 * FINE + 1) / np.float32(FINE)
BETWEEN = np.float32([0.37, 2.61, 5.43, 7.17, 10.39, 13.23, 16.83, 21.71])  # no edge and no kink of any case near
LATE = np.float32([2**24, 2**24 + 2, 2**31])
STEPS = np.concatenate([GRID, BETWEEN, LATE])  # one array for all laws, so that they share programs
UNREAD = {("triangular", ".gamma"), ("triangular2", ".gamma")}  # refused unless 1

law = pytest.mark.parametrize("node", CASES, ids=repr)


def once_each():
    """The cases, nightly those of a factory that has had one, and Optax's names, which are compared with Optax below."""
    names = set(vars(optax.schedules))
    for node in CASES:
        yield pytest.param(node, marks=[pytest.mark.nightly] * (node.recipe.name in names))
        names.add(node.recipe.name)


each_kind = pytest.mark.parametrize("node", [*once_each()], ids=repr)


def once(function):
    """Compiled, but hardly optimized: these programs run a few times on a few numbers."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


values_at = once(lambda node, steps: jax.vmap(node)(steps))
sweep_at = once(lambda nodes, steps: jax.vmap(lambda node: jax.vmap(node)(steps))(nodes))
grads_at = once(lambda node, steps: jax.vmap(jax.grad(lambda n, s: n(s)), (None, 0))(node, steps))


def on_grid(node):
    return np.asarray(values_at(node.canonicalize(), jnp.asarray(STEPS, dtype=float)))[: len(GRID)]


def between(node):
    return np.asarray(values_at(node.canonicalize(), jnp.asarray(STEPS, dtype=float)))[len(GRID) :][: len(BETWEEN)]


def at(node, steps):
    return np.array([node(step) for step in steps])


def leaf_paths(node):
    return [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(node)]


def with_each_leaf(node, change):
    """For each leaf, the node with that one leaf changed, as one node stacked over the leaves."""
    leaves, tree = jax.tree.flatten(node)
    table = np.tile(np.array(leaves, dtype=jnp.result_type(float)), (len(leaves), 1))
    np.fill_diagonal(table, change(np.diag(table)))
    return jax.tree.unflatten(tree, list(table.T))


def row(nodes, i):
    return jax.tree.map(lambda column: column[i], nodes)


# The catalogue


def test_catalogue_is_complete():
    public = {k: v for k, v in vars(schedules).items() if getattr(v, "recipe", None) and not k.startswith("_")}
    assert {k: v for k, v in public.items() if v.recipe.kind is Schedule} == SCHEDULES
    assert {node.recipe.name for node in CASES} == {factory.recipe.name for factory in SCHEDULES.values()}


def test_every_argument_has_an_example_away_from_its_default():
    for name, factory in SCHEDULES.items():
        for argument, parameter in factory.recipe.signature.parameters.items():
            given = [node.arguments[argument] for node in CASES if node.recipe.name == factory.recipe.name]
            assert any(value is not parameter.default and value != parameter.default for value in given), name


# The laws


@each_kind
def test_the_laws_of_schedules_hold(node):
    """That numbers can be swept and differentiated is asked below, at more steps."""
    laws.check_schedule(node, steps=[0, 1, 4, 5, 9, 12, 23], only=["scalar", "pure", "traced", "finite"])


@law
def test_gives_a_float_scalar(node):
    step = jax.ShapeDtypeStruct((), jnp.int32)
    for x64, dtype in [(False, jnp.float32), (True, jnp.float64)]:
        with jax.enable_x64(x64):
            argument = jax.eval_shape(lambda n, s: n(s), node.canonicalize(), step)
            for value in (argument, jax.eval_shape(node, step)):
                assert (value.shape, value.dtype, value.weak_type) == ((), dtype, False)
    assert (node(3).dtype, node(3).weak_type) == (jnp.float32, False)


@each_kind
def test_every_argument_can_be_swept(node):
    nodes = with_each_leaf(node, lambda leaf: 1.1 * leaf + 0.02)
    swept = sweep_at(nodes, GRID)
    before = on_grid(node)
    for i, path in enumerate(leaf_paths(node)):
        alone = on_grid(row(nodes, i))
        np.testing.assert_allclose(swept[i], alone, rtol=1e-5, atol=1e-6, err_msg=path)
        if (node.arguments.get("mode"), path.removesuffix(".high").removesuffix(".low")) not in UNREAD:
            assert not np.array_equal(alone, before), f"{path} changes nothing"


@each_kind
def test_gradients_are_finite_and_right(node):
    """Finite everywhere, edges and late steps included; central differences between the edges."""
    grads = grads_at(node.canonicalize(), np.concatenate([np.arange(24, dtype=np.float32), LATE, BETWEEN]))
    chex.assert_tree_all_finite(grads)
    h = 1 / 128
    high, low = (with_each_leaf(node, lambda leaf, h=h: leaf + h) for h in (h, -h))
    for i, (path, grad) in enumerate(zip(leaf_paths(node), jax.tree.leaves(grads), strict=True)):
        difference = (between(row(high, i)) - between(row(low, i))) / (2 * h)
        np.testing.assert_allclose(grad[-len(BETWEEN) :], difference, rtol=0.01, atol=2e-3, err_msg=path)


@law
def test_a_new_value_compiles_nothing(node):
    values_at(node.canonicalize(), STEPS)
    programs = values_at._cache_size()
    leaves, tree = jax.tree.flatten(node)
    for i in range(len(leaves)):
        for value in (1.01 * leaves[i], np.float64(leaves[i]), int(leaves[i]) + 1):
            values_at(jax.tree.unflatten(tree, [*leaves[:i], value, *leaves[i + 1 :]]).canonicalize(), STEPS)
    values_at(pickle.loads(pickle.dumps(node.canonicalize())), STEPS)
    assert values_at._cache_size() == programs


@law
def test_text_and_pickle_give_the_call_back(node):
    assert parse(repr(node), SCHEDULES) == node
    assert repr(node.canonicalize()) == repr(node)
    assert pickle.loads(pickle.dumps(node)) == node


@pytest.mark.parametrize(
    ("name", "argument"),
    [(name, a) for name, f in SCHEDULES.items() if name == f.recipe.name for a in f.recipe.declared.bounds],
)
def test_out_of_bounds_is_refused(name, argument):
    node = next(node for node in CASES if node.recipe.name == name)
    interval = SCHEDULES[name].recipe.declared.bounds[argument].removesuffix(", ...")
    low, high = (float(end) for end in interval[1:-1].split(","))
    worse = low - 1 if interval[0] == "[" else low
    for bad in [worse, math.nan, *([high] if interval[-1] == ")" else [])]:
        old = node.arguments[argument]
        value = type(old)([bad, *old[1:]]) if isinstance(old, (list, tuple)) else bad
        with pytest.raises(ValueError) as error:
            node.replace(**{argument: value})
        shown = str(int(bad)) if math.isfinite(bad) else str(bad)
        assert str(error.value) == f"{name}: {argument} must be in {interval}, got {shown}"


def test_every_number_has_bounds():
    for name, factory in SCHEDULES.items():
        recipe = factory.recipe
        assert set(recipe.signature.parameters) - recipe.static - set(recipe.declared.bounds) <= {
            "inner",
            "schedules",
            "cosine_kwargs",
        }, name


def test_lengths_are_never_negative():
    lengths = [
        (factory, name)
        for alias, factory in SCHEDULES.items()
        for name in factory.recipe.declared.bounds
        if alias == factory.recipe.name
        and name.endswith(("steps", "step_size", "every", "begin", "boundaries", "steps_per_epoch"))
    ]
    assert len(lengths) == 36
    for factory, name in lengths:
        low = float(factory.recipe.declared.bounds[name][1:].split(",")[0])
        assert low == 0, f"{factory.recipe.name}: {name}"


def test_numbers_of_inner_schedules_are_leaves():
    assert leaf_paths(warmup(cosine(1.0, 10), 4))[:2] == [".inner.init_value", ".inner.decay_steps"]
    assert leaf_paths(in_epochs(constant(0.1), 4)) == [".inner.value", ".steps_per_epoch"]
    joined = leaf_paths(join([constant(0.1), 0.2], [4]))
    assert joined == [".schedules[0].value", ".schedules[1]", ".boundaries[0]"]


@law
def test_continuous_but_for_stairs(node):
    """Sixteen times finer steps: the largest difference shrinks, or it is a jump."""
    values = on_grid(node)
    fine, coarse = np.abs(np.diff(values)).max(), np.abs(np.diff(values[::16])).max()
    if repr(node) in STAIRS:
        assert fine > 0.5 * coarse > 0
    else:
        assert fine < 0.3 * coarse or coarse == 0 == fine  # a root at its end shrinks by 4 only


def test_stairs_are_cases():
    assert {repr(node) for node in CASES} >= STAIRS


@law
def test_lengths_scale_with_the_unit(node):
    """No length in steps hides in a formula: with epochs of 3 steps all is the same, three times slower."""
    steps = [1, 4, 7, 14]
    found = at(in_epochs(node, 3), [3 * step for step in steps])
    np.testing.assert_allclose(found, at(node, steps), rtol=2e-6, atol=1e-7)


# Optax

FACTORS = {6: 0.5, 14: 0.2}
PARITY = [
    (constant(0.3), optax.constant_schedule(0.3)),
    (linear(1.0, 0.1, 17), optax.linear_schedule(1.0, 0.1, 17)),
    (linear(0.1, 1.0, 17, 4), optax.linear_schedule(0.1, 1.0, 17, 4)),
    (polynomial(1.0, 0.1, 3.0, 18, 1), optax.polynomial_schedule(1.0, 0.1, 3.0, 18, 1)),
    (polynomial(1.0, 0.1, 0.5, 16), optax.polynomial_schedule(1.0, 0.1, 0.5, 16)),
    (piecewise_constant([6, 14], [0.8, 0.4, 0.08]), optax.piecewise_constant_schedule(0.8, FACTORS)),
    (
        piecewise_interpolate([6, 14], [0.8, 0.4, 0.08]),
        optax.piecewise_interpolate_schedule("linear", 0.8, FACTORS),
    ),
    (
        piecewise_interpolate([6, 14], [0.8, 0.4, 0.08], "cosine"),
        optax.piecewise_interpolate_schedule("cosine", 0.8, FACTORS),
    ),
    (step_decay(0.9, 0.7, 3), optax.exponential_decay(0.9, 3, 0.7, staircase=True)),
    (exponential(0.9, 8, 0.3), optax.exponential_decay(0.9, 8, 0.3)),
    (
        exponential(0.9, 2, 0.8, staircase=True, end_value=0.2, transition_begin=3),
        optax.exponential_decay(0.9, 2, 0.8, transition_begin=3, staircase=True, end_value=0.2),
    ),
    (exponential(0.1, 8, 2.0, end_value=0.5), optax.exponential_decay(0.1, 8, 2.0, end_value=0.5)),
    (cosine(0.9, 20), optax.cosine_decay_schedule(0.9, 20)),
    (cosine(0.9, 20, 0.1, 1.7), optax.cosine_decay_schedule(0.9, 20, 0.1, 1.7)),
    (
        cosine_restarts(0.9, 4, growth=2, decay=0.5, alpha=0.1),
        optax.sgdr_schedule(
            [
                {"init_value": p, "peak_value": p, "warmup_steps": 0, "decay_steps": n, "end_value": 0.1 * p}
                for p, n in [(0.9, 4), (0.45, 8), (0.225, 16)]
            ]
        ),
    ),
    (one_cycle(0.9, 20), optax.cosine_onecycle_schedule(20, 0.9)),
    (one_cycle(0.9, 24, 0.25, 10.0, 50.0), optax.cosine_onecycle_schedule(24, 0.9, 0.25, 10.0, 50.0)),
    (
        one_cycle(0.9, 20, 0.25, 10.0, 50.0, anneal="linear"),
        optax.piecewise_interpolate_schedule("linear", 0.09, {5: 10.0, 20: 1 / 500}),
    ),
    (warmup(0.9, 8, 0.1), optax.warmup_constant_schedule(0.1, 0.9, 8)),
    (
        warmup(cosine(0.9, 16, 0.1, 1.5), 4, 0.05),
        optax.warmup_cosine_decay_schedule(0.05, 0.9, 4, 20, 0.09, 1.5),
    ),
    (
        warmup(exponential(0.9, 6, 0.5), 4),
        optax.warmup_exponential_decay_schedule(0.0, 0.9, 4, 6, 0.5),
    ),
    (
        join([linear(0.0, 0.9, 4), cosine(0.9, 10), 0.1], [6, 18]),
        optax.join_schedules(
            [
                optax.linear_schedule(0.0, 0.9, 4),
                optax.cosine_decay_schedule(0.9, 10),
                optax.constant_schedule(0.1),
            ],
            [6, 18],
        ),
    ),
]


@pytest.mark.parametrize(("ours", "theirs"), PARITY, ids=lambda x: repr(x) if isinstance(x, Schedule) else "")
def test_equals_optax(ours, theirs):
    single = on_grid(ours)
    with jax.enable_x64(True):
        truth = once(jax.vmap(theirs))(np.float64(GRID))
        np.testing.assert_allclose(on_grid(ours), truth, rtol=0, atol=1e-12)
    np.testing.assert_allclose(single, truth, rtol=0, atol=1e-6)


def test_one_cycle_and_the_three_phases_of_optax():
    ours = on_grid(one_cycle(0.9, 20, anneal="linear"))
    theirs = once(jax.vmap(optax.linear_onecycle_schedule(20, 0.9)))(GRID)
    rise, end = 6 * FINE, 20 * FINE
    np.testing.assert_allclose(ours[: rise + 1], theirs[: rise + 1], rtol=1e-5)
    assert np.abs(ours[rise + 1 : end] - theirs[rise + 1 : end]).min() > 1e-5
    np.testing.assert_allclose(ours[end:], theirs[end:], rtol=1e-3)
    np.testing.assert_allclose(ours[end:], 0.9 / 25 / 1e4, rtol=1e-5)


def test_polynomial_is_no_nan_after_its_end():
    """Where Optax's, compiled, takes the root of a rounded zero (lengths 3, 5, 6, 7, 9, ... in float32)."""
    for length in (3, 10, 90):
        node = polynomial(1.0, 0.1, 0.5, length)
        assert jax.jit(node)(length) == np.float32(0.1)


# Optax's names: name, arguments, keywords.

WALK = [
    ("constant_schedule", (0.3,), {}),
    ("linear_schedule", (1.0, 0.1, 17), {}),
    ("linear_schedule", (0.1, 1.0), {"transition_steps": 170, "transition_begin": 4}),
    ("linear_schedule", (0.1, 1.0, 0), {}),
    ("polynomial_schedule", (1.0, 0.1, 3, 18, 1), {}),
    ("polynomial_schedule", (1.0, 0.1, 0.5, 150), {}),
    ("polynomial_schedule", (1.0, 0.1, 0, 150), {}),
    ("exponential_decay", (0.9, 8, 0.3), {}),
    ("exponential_decay", (0.9, 7, 0.8, 3, True, 0.2), {}),
    ("exponential_decay", (0.1, 80, 2.0), {"end_value": 0.15}),
    ("exponential_decay", (0.9, 7, 0), {}),
    ("exponential_decay", (0.9, 0, 0.5), {}),
    ("cosine_decay_schedule", (0.9, 120, 0.1, 1.7), {}),
    ("warmup_cosine_decay_schedule", (0.05, 0.9, 13, 120, 0.09, 1.5), {}),
    ("warmup_cosine_decay_schedule", (0.05, 0.9, 0, 120), {}),
    ("warmup_cosine_decay_schedule", (0.05, 0.0, 10, 120, 0.3), {}),
    ("warmup_exponential_decay_schedule", (0.0, 0.9, 14, 6, 0.5, 3, True, 0.1), {}),
    ("warmup_exponential_decay_schedule", (0.1, 0.9, 0, 60, 0.5), {}),
    ("warmup_constant_schedule", (0.1, 0.9, 8), {}),
    ("warmup_constant_schedule", (0.1, 0.9, 0), {}),
    ("piecewise_constant_schedule", (0.8, {60: 0.5, 14: 0.2}), {}),
    ("piecewise_constant_schedule", (0.8,), {}),
    ("piecewise_interpolate_schedule", ("linear", 0.8), {"boundaries_and_scales": {140: 2.0, 6: 0.5}}),
    ("piecewise_interpolate_schedule", ("cosine", 0.8, {0: 0.5, 140: 0.2}), {}),
    ("piecewise_interpolate_schedule", ("cosine", 0.8), {}),
    ("linear_onecycle_schedule", (100, 0.9), {}),
    ("linear_onecycle_schedule", (100, 0.9, 0.29, 0.57, 10.0, 50.0), {}),
    ("linear_onecycle_schedule", (7, 0.9, 0.1, 0.8), {}),
    ("cosine_onecycle_schedule", (100, 0.9, 0.29), {}),
    ("cosine_onecycle_schedule", (150, 0.9), {"pct_start": 0.25, "div_factor": 10.0, "final_div_factor": 50.0}),
    ("sgdr_schedule", ([dict(CYCLE, decay_steps=n, warmup_steps=w) for n, w in [(40, 3), (80, 0), (16, 5)]],), {}),
    ("join_schedules", ([optax.linear_schedule(0.0, 0.9, 4), lambda step: jnp.arange(300.0)[step]], [6]), {}),
    ("join_schedules", ([optax.constant_schedule(1.0), lambda step: step // 7, lambda step: 0.5], [20, 20]), {}),
]


LAST = {case[0]: i for i, case in enumerate(WALK)}  # of each name; the others are nightly


@pytest.mark.parametrize(
    ("name", "arguments", "keywords"),
    [pytest.param(*x, marks=[pytest.mark.nightly] * (i not in LAST.values())) for i, x in enumerate(WALK)],
)
def test_optax_names_give_the_numbers_of_optax(name, arguments, keywords):
    node, steps = getattr(gd.schedules, name)(*arguments, **keywords), np.arange(201)
    assert getattr(gd, name) is getattr(gd.schedules, name)
    with jax.enable_x64(True):
        theirs = once(jax.vmap(lambda step: jnp.asarray(getattr(optax, name)(*arguments, **keywords)(step), float)))
        np.testing.assert_allclose(values_at(node.canonicalize(), steps), theirs(steps), rtol=1e-12, atol=1e-15)


def test_optax_names_are_walked():
    assert {name for name, _, _ in WALK} == {
        name for name, value in vars(optax.schedules).items() if name in SCHEDULES and callable(value)
    }


def test_boundaries_are_leaves_whatever_they_came_in():
    node = schedules.piecewise_constant_schedule(1.0, {9: 0.5, 4: 0.4})
    assert leaf_paths(node) == [".init_value"] + [f".boundaries_and_scales[{i}][{j}]" for i in (0, 1) for j in (0, 1)]
    assert node == schedules.piecewise_constant_schedule(1.0, [(4, 0.4), (9, 0.5)])
    cycles = schedules.sgdr_schedule(dict(CYCLE, decay_steps=n) for n in (6, 12))
    assert len(leaf_paths(cycles)) == 10 and pickle.loads(pickle.dumps(cycles)) == cycles


def test_shares_of_steps_are_whole_in_float32_too():
    """Every hundredth of every length up to 300: the float32 step is that of the decimal fraction."""
    lengths, shares = np.arange(1, 301), np.arange(0, 101) / 100
    found = jax.jit(schedules.optax_phases._floor_steps)(shares[None], lengths[:, None])
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, np.arange(0, 101)[None] * lengths[:, None] // 100)


def test_optax_names_refuse_what_has_no_meaning():
    for call, message in [
        (lambda: schedules.warmup_cosine_decay_schedule(0, 1, 10, 10), "decay_steps must be above .*, got 10 and 10"),
        (lambda: schedules.linear_onecycle_schedule(9, 1.0, 0.5, 0.4), "pct_final must be .* got 0.4 and 0.5"),
        (lambda: schedules.sgdr_schedule([]), "at least one cycle"),
        (lambda: schedules.join_schedules([1.0, 2.0, 3.0], [5, 4]), r"must not decrease, got \[5, 4\]"),
        (lambda: schedules.join_schedules([1.0], [5]), "one more than boundaries, got 1 for 1"),
        (lambda: schedules.piecewise_interpolate_schedule("step", 1.0), "interpolate_type must be one of"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="join_schedules: a schedule must be a node, a function or a number"):
        schedules.join_schedules([1.0, "cosine"], [5])


# Edges

stairs_at = jax.jit(lambda length, steps: jax.vmap(inverse_time(1.0, length, 1.0, staircase=True))(steps))


def index_of(stairs):
    """Which stair 1 / (1 + k) is."""
    return np.rint(1 / np.asarray(stairs, np.float64) - 1).astype(int)


def near_edges(length, last=100_000):
    edges = np.unique(np.linspace(1, last / length, 1000).astype(int)) * Fraction(str(length))
    first = np.resize([math.ceil(edge) for edge in edges], 1000)
    steps = np.concatenate([first - 1, first, first + 1, np.arange(200)])
    return steps, np.array([math.floor(int(step) / Fraction(str(length))) for step in steps])


@pytest.mark.parametrize("length", [1, 3, 10, 49, 997, 2.5, 0.1, 0.7, 1.1, 3.3, 14.3, 33.3])
def test_stairs_are_exact(length):
    steps, expected = near_edges(length)
    np.testing.assert_array_equal(index_of(stairs_at(float(length), steps)), expected)
    node = inverse_time(1.0, length, 1.0, staircase=True)
    np.testing.assert_array_equal(index_of(jax.jit(jax.vmap(node))(steps)), expected)
    np.testing.assert_array_equal(index_of(at(node, steps[990:1010].tolist())), expected[990:1010])


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(length=st.integers(1, 100_000), data=st.data())
def test_whole_stairs_are_exact_up_to_two_to_the_24(length, data):
    k = data.draw(st.integers(1, min((2**24 - 2) // length, 2**20)))
    found = index_of(stairs_at(float(length), np.arange(-1, 2) + k * length))
    np.testing.assert_array_equal(found, np.arange(k * length - 1, k * length + 2) // length)


def test_stairs_in_epochs_are_exact():
    """Lengths that are whole steps, given as decimal fractions of an epoch."""
    units = [(n, every) for n in (3, 7, 10, 23, 30, 100, 390) for every in range(1, 2 * n)]
    cases = [(n, every, k * every - d) for n, every in units for k in (1, 2, 3, 7, 50, 99) for d in (0, 1)]
    steps_per_epoch, every, steps = np.array(cases).T

    @once
    @jax.vmap
    def value(steps_per_epoch, length, step):
        return in_epochs(inverse_time(1.0, length, 1.0, staircase=True), steps_per_epoch)(step)

    stairs = value(steps_per_epoch.astype(np.float32), (every / steps_per_epoch).astype(np.float32), steps)
    np.testing.assert_array_equal(index_of(stairs), steps // every)


@pytest.mark.parametrize(("steps_per_epoch", "boundary"), [(10, 0.7), (10, 1.7), (7, 5), (23, 29 / 23), (30, 47 / 30)])
def test_boundaries_in_epochs_are_exact(steps_per_epoch, boundary):
    edge = round(boundary * steps_per_epoch)
    for inner in (piecewise_constant([boundary], [1.0, 2.0]), join([1.0, 2.0], [boundary])):
        np.testing.assert_array_equal(at(in_epochs(inner, steps_per_epoch), [edge - 1, edge]), [1, 2])


def restarts(length, growth, last):
    """(cycle, phase) of each step, by walking, in exact numbers."""
    start, length, index, found = Fraction(0), Fraction(str(length)), 0, []
    for step in range(last):
        if step >= start + length:
            start, length, index = start + length, length * Fraction(str(growth)), index + 1
        found.append((index, float((step - start) / length)))
    return np.array(found).T


@pytest.mark.parametrize(
    ("length", "growth"), [(1, 1), (7, 1), (3.3, 1), (1, 2), (10, 2), (3, 3), (10, 1.5), (64, 1.25), (2.5, 2)]
)
def test_restarts_are_exact(length, growth):
    index, phase = restarts(length, growth, 4000)
    found = values_at(cosine_restarts(1.0, length, growth, decay=0.99).canonicalize(), np.arange(4000))
    np.testing.assert_allclose(found, 0.99**index * (1 + np.cos(np.pi * phase)) / 2, rtol=1e-3, atol=2e-6)


def test_restarts_with_hardly_any_growth_are_exact():
    """Where the power alone would cancel against 1."""
    index, phase = restarts(10, 1.0001, 300)
    found = values_at(cosine_restarts(1.0, 10, 1.0001, decay=0.99).canonicalize(), np.arange(300))
    np.testing.assert_allclose(found, 0.99**index * (1 + np.cos(np.pi * phase)) / 2, rtol=0, atol=5e-5)


def test_restarts_with_growth_one_are_exact_far_out():
    edges = 7 * np.arange(2_000_000, 2_396_000, 999)

    @once
    @jax.vmap
    def sweep(growth):
        return jax.vmap(cosine_restarts(1.0, 7, growth))(np.concatenate([edges, edges - 1]))

    found = sweep(jnp.array([1.0, 2.0]))[0]
    np.testing.assert_array_equal(found[: len(edges)], 1.0)
    assert found[len(edges) :].max() < 0.1


def test_growth_is_smooth_at_one():
    growth = jnp.array([1.0, 1 + 1e-6, 1.0001])
    nodes = jax.vmap(lambda growth: cosine_restarts(1.0, 10.0, growth).canonicalize())(growth)
    same, barely, more = sweep_at(nodes, np.arange(60) + np.float32(0.5))
    np.testing.assert_allclose(barely, same, atol=1e-4)
    np.testing.assert_allclose(more, same, atol=1e-2)
    assert np.abs(more - same).max() > 1e-5


# Each schedule's claims


@pytest.mark.parametrize(
    ("node", "values"),
    [
        (linear(1.0, 0.1, 10, 5), {0: 1.0, 5: 1.0, 10: 0.55, 15: 0.1, 99: 0.1}),
        (polynomial(1.0, 0.0, 2.0, 10), {0: 1.0, 5: 0.25, 10: 0.0, 99: 0.0}),
        (piecewise_constant([10, 20], [1.0, 0.5, 0.1]), {0: 1.0, 9: 1.0, 10: 0.5, 19: 0.5, 20: 0.1, 99: 0.1}),
        (piecewise_constant([], [0.7]), {0: 0.7, 9: 0.7}),
        (
            piecewise_interpolate([10, 20], [0.0, 1.0, 0.2]),
            {0: 0.0, 5: 0.5, 10: 1.0, 15: 0.6, 20: 0.2, 99: 0.2},
        ),
        (piecewise_interpolate([], [0.7]), {0: 0.7, 9: 0.7}),
        (step_decay(1.0, 0.1, 10), {0: 1.0, 9: 1.0, 10: 0.1, 19: 0.1, 20: 0.01}),
        (exponential(1.0, 10, 0.5, transition_begin=5), {0: 1.0, 5: 1.0, 15: 0.5, 25: 0.25}),
        (inverse_time(1.0, 10, 1.0), {0: 1.0, 10: 0.5, 30: 0.25}),
        (inverse_sqrt(0.4, 100), {0: 0.0, 50: 0.2, 100: 0.4, 400: 0.2, 1600: 0.1}),
        (inverse_sqrt(0.01, 10_000, init_value=0.01), {0: 0.01, 10_000: 0.01, 40_000: 0.005}),
        (cosine(1.0, 10, alpha=0.1), {0: 1.0, 5: 0.55, 10: 0.1, 99: 0.1}),
        (cosine_restarts(1.0, 10, decay=0.5), {0: 1.0, 5: 0.5, 10: 0.5, 15: 0.25, 20: 0.25}),
        (cyclic(0.1, 1.0, 5), {0: 0.1, 5: 1.0, 10: 0.1, 15: 1.0}),
        (cyclic(0.1, 1.1, 5, "triangular2"), {5: 1.1, 10: 0.1, 15: 0.6, 25: 0.35}),
        (cyclic(0.0, 1.0, 5, growth=2.0), {5: 1.0, 10: 0.0, 20: 1.0, 30: 0.0, 50: 1.0}),
        (cyclic(0.1, 1.1, 5, decay=0.9), {5: 1.1, 15: 1.0, 25: 0.91}),
        (cyclic(1.0, 3.0, 5, annealing=0.25), {0: 1.0, 5: 1.5, 10: 0.25, 15: 0.375, 20: 0.0625}),
        (one_cycle(1.0, 100), {0: 0.04, 30: 1.0, 65: (1 + 4e-6) / 2, 100: 4e-6, 999: 4e-6}),
        (one_cycle(1.0, 100, pct_start=0.0), {0: 1.0, 100: 4e-6}),
        (warmup(cosine(1.0, 10), 4), {0: 0.0, 1: 0.25, 4: 1.0, 9: 0.5, 14: 0.0}),
        (warmup(lambda step: 1 / (2 + step), 4, 0.1), {0: 0.1, 2: 0.3, 4: 0.5, 5: 1 / 3}),
        (warmup(cosine(1.0, 10), 0), {0: 1.0, 5: 0.5}),
        (
            warmup_stable_decay(1.0, 10, 20, 40, 0.2),
            {0: 0.0, 5: 0.5, 10: 1.0, 30: 1.0, 50: 0.6, 70: 0.2, 99: 0.2},
        ),
        (
            warmup_stable_decay(1.0, 10, 20, 40, decay="cosine"),
            {30: 1.0, 40: (1 + 0.5**0.5) / 2, 50: 0.5, 70: 0.0},
        ),
        (warmup_stable_decay(1.0, 10, 20, 40, decay="sqrt"), {30: 1.0, 40: 0.5, 70: 0.0}),
        (warmup_stable_decay(1.0, 0, 0, 0, 0.2), {0: 0.2, 5: 0.2}),
        (warmup(warmup_stable_decay(1.0, 0, 5, 5), 10, 0.1), {0: 0.1, 10: 1.0, 15: 1.0, 20: 0.0}),
        (join([linear(0.0, 1.0, 10), linear(5.0, 6.0, 10)], [4]), {0: 0.0, 3: 0.3, 4: 5.0, 14: 6.0}),
        (join([cosine(1.0, 10)], []), {0: 1.0, 5: 0.5}),
        (in_epochs(linear(0.0, 1.0, 2), 5), {0: 0.0, 5: 0.5, 7: 0.7, 10: 1.0}),
        (in_epochs(lambda epoch: epoch, 4), {0: 0.0, 3: 0.75, 10: 2.5}),
    ],
    ids=repr,
)
def test_values(node, values):
    np.testing.assert_allclose(at(node, list(values)), list(values.values()), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("interpolation", ["linear", "cosine"])
def test_ends_are_exact_however_far_apart(interpolation):
    node = piecewise_interpolate([10, 20], [1.0, 1e-6, 3e3], interpolation)
    np.testing.assert_array_equal(at(node, [0, 10, 20, 99]), np.float32([1.0, 1e-6, 3e3, 3e3]))
    np.testing.assert_array_equal(at(linear(3e3, 1e-6, 7), [0, 7]), np.float32([3e3, 1e-6]))


@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
def test_cyclic_is_smith_s(mode):
    low, high, half = 0.001, 0.006, 4
    gamma = 0.99 if mode == "exp_range" else 1.0
    steps = np.float64(GRID)
    cycle = np.floor(1 + steps / (2 * half))  # the paper's own lines, section 3.1
    x = np.abs(steps / half - 2 * cycle + 1)
    scale = {"triangular": 1.0, "triangular2": 1 / 2.0 ** (cycle - 1), "exp_range": gamma**steps}[mode]
    expected = low + (high - low) * np.maximum(0, 1 - x) * scale
    np.testing.assert_allclose(on_grid(cyclic(low, high, half, mode, gamma)), expected, rtol=1e-5)


def test_noam_one_step_earlier():
    d_model, ramp, t = 512, 5, np.float64(GRID[1:])
    noam = d_model**-0.5 * np.minimum(t**-0.5, t * ramp**-1.5)
    np.testing.assert_allclose(on_grid(inverse_sqrt((d_model * ramp) ** -0.5, ramp))[1:], noam, rtol=1e-5)


def test_warmup_can_begin_above_zero():
    """The way out of a first update that does nothing that the docstring gives."""
    peak, ramp = 0.3, 10
    found = at(warmup(peak, ramp - 1, init_value=peak / ramp), np.arange(12))
    np.testing.assert_allclose(found, peak * np.minimum((np.arange(12) + 1) / ramp, 1), rtol=1e-6)


def test_warmup_length_may_be_swept_through_zero():
    lengths = jnp.array([0.0, 2.0, 4.0])
    found = jax.jit(jax.vmap(lambda length: warmup(cosine(1.0, 10), length)(1)))(lengths)
    np.testing.assert_allclose(found, [float(cosine(1.0, 10)(1)), 0.5, 0.25], rtol=1e-6)
    grads = jax.jit(jax.vmap(jax.grad(lambda length: warmup(cosine(1.0, 10), length)(0))))(lengths)
    assert np.all(np.isfinite(grads))


def test_join_shields_its_gradient_from_pieces_out_of_their_time():
    explodes, late = exponential(1.0, 1, 2.0), lambda step: 1 / (1 - step / 100)
    node = join([explodes, 0.5, late], [10, 200]).canonicalize()
    chex.assert_tree_all_finite(grads_at(node, np.float32([9, 100, 199, 240])))


def test_wrapped_functions_see_only_their_own_steps():
    seen = []
    join([1.0, lambda step: seen.append(float(step)) or 2.0, 3.0], [4, 6])(9)
    warmup(lambda step: seen.append(float(step)) or 1.0, 5)(3)
    in_epochs(lambda step: seen.append(float(step)) or 1.0, 4)(6)
    assert seen == [2.0, 0.0, 1.5]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cosine(1.0, 0), "cosine: decay_steps must be in (0, inf), got 0"),
        (
            lambda: cyclic(0.1, 1.0, 4, "round"),
            "cyclic: mode must be one of 'triangular', 'triangular2', 'exp_range', got 'round'",
        ),
        (
            lambda: cyclic(0.1, 1.0, 4, gamma=0.9),
            "cyclic: gamma must be 1 unless mode is 'exp_range', got 0.9",
        ),
        (
            lambda: one_cycle(1.0, 10, anneal="sqrt"),
            "one_cycle: anneal must be one of 'linear', 'cosine', got 'sqrt'",
        ),
        (
            lambda: warmup_stable_decay(1.0, 1, 1, 1, decay="exp"),
            "warmup_stable_decay: decay must be one of 'linear', 'cosine', 'sqrt', got 'exp'",
        ),
        (
            lambda: piecewise_interpolate([1], [1.0, 2.0], "cubic"),
            "piecewise_interpolate: interpolation must be one of 'linear', 'cosine', got 'cubic'",
        ),
        (
            lambda: piecewise_constant([1, 2], [1.0, 2.0]),
            "piecewise_constant: values must be one more than boundaries, got 2 for 2 boundaries",
        ),
        (
            lambda: piecewise_constant([5, 2], [1.0, 2.0, 3.0]),
            "piecewise_constant: boundaries must increase, got [5, 2]",
        ),
        (
            lambda: piecewise_interpolate([5, 5], [1.0, 2.0, 3.0]),
            "piecewise_interpolate: boundaries must increase, got [5, 5]",
        ),
        (
            lambda: join([1.0, 2.0], []),
            "join: schedules must be one more than boundaries, got 2 for 0 boundaries",
        ),
        (lambda: join([1.0, 2.0, 3.0], [5, 4]), "join: boundaries must increase, got [5, 4]"),
    ],
)
def test_values_refused(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("wrap", [lambda x: warmup(x, 4), lambda x: join([1.0, x], [4]), lambda x: in_epochs(x, 4)])
@pytest.mark.parametrize("inner", ["cosine", None, True])
def test_types_refused(wrap, inner):
    with pytest.raises(TypeError, match="a schedule must be a node, a function or a number, got"):
        wrap(inner)


def test_works_as_optax_s():
    """An Optax optimizer takes the node for a schedule, inside a scan."""
    tx = optax.sgd(warmup(cosine(0.1, 10), 4))

    def step(carry, _):
        params, state = carry
        updates, state = tx.update(params, state)
        return (optax.apply_updates(params, updates), state), updates

    params = jnp.ones(2)
    _, updates = jax.lax.scan(step, (params, tx.init(params)), length=6)
    assert np.all(updates[0] == 0) and np.all(updates[1:] < 0)


FAR_POWERS = [  # a schedule whose power is no float where its value is, or whose factor is near 1; step, value
    (lambda: gd.schedules.exponential(1e-7, 1, 10.0), 45, 1e38),
    (lambda: gd.schedules.exponential(3e30, 2, 0.01), 60, 3e-30),
    (lambda: gd.schedules.exponential(1.0, 1, 0.999999), 4_600_000, 0.999999**4_600_000),
    (lambda: gd.schedules.exponential(3.0, 7, 1.000002), 9_000_000, 3 * 1.000002 ** (9_000_000 / 7)),
    (lambda: gd.schedules.step_decay(2.0, 0.99999, 3), 3_000_000, 2 * 0.99999**1_000_000),
    (lambda: gd.schedules.cyclic(0.0, 1.0, 100, "exp_range", 0.99999), 300_100, 0.99999**300_100),
    (lambda: gd.schedules.exponential(1.0, 1, 0.3), 5, 0.3**5),
    (lambda: gd.schedules.cosine(1000.0, int(1e10)), 2**31 - 1, 500 * (1 + np.cos(np.pi * (2**31 - 1) / 1e10))),
    (lambda: gd.schedules.linear(1.0, 0.0, 4 * 10**9), 2**31 - 1, 1 - (2**31 - 1) / 4e9),
]


@pytest.mark.parametrize("make, step, value", FAR_POWERS)
def test_powers_are_right_wherever_the_value_is_a_float(make, step, value):
    """As typed, settled as in a run, and compiled with the schedule as an argument."""
    node, at = make(), jax.jit(lambda node, step: node(step))
    for got in (node(step), node.canonicalize()(step), at(node, step), at(node.canonicalize(), step)):
        assert float(got) == pytest.approx(value, rel=2e-5)
    assert node == node.canonicalize() and repr(node) == repr(node.canonicalize())


def test_a_traced_factor_has_a_value_and_a_derivative():
    value = lambda rate: gd.schedules.exponential(1.0, 1, rate)(10)  # noqa: E731
    for rate in (0.3, 0.999, 1.0, 2.0):
        assert float(jax.jit(value)(rate)) == pytest.approx(rate**10, rel=1e-5)
        assert float(jax.jit(jax.grad(value))(rate)) == pytest.approx(10 * rate**9, rel=1e-5)


def test_a_count_beyond_int32_is_refused():
    with pytest.raises(ValueError, match=r"accumulate: every must be below 2\*\*31, got 4294967296"):
        gd.accumulate(gd.sgd(0.1), 2**32)
