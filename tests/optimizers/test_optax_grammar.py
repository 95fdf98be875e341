"""Optax's grammar: shared names begin with the same arguments, programs copied from Optax run and are equal to it."""

import inspect
import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

import gdjax as gd

THEIRS = {name: x for room in (contrib, optax) for name, x in vars(room).items() if not name.startswith("_")}
CALLED = {
    name: x
    for name, x in THEIRS.items()
    if callable(x) and not isinstance(x, type) and x.__module__.startswith("optax")
}
# A shared name whose arguments are others, and why.
OTHERS: dict[str, str] = {
    "Schedule": "in Optax an annotation, here the kind of node that stands for it",
}
# Defaults where Optax asks for the argument, or has another object.
MORE_DEFAULTS = {
    ("lookahead", "sync_period"): "that of the paper",
    ("lookahead", "slow_step_size"): "that of the paper",
    ("partition", "param_labels"): "without them the names are patterns of paths",
}
# Names of `optax` and `optax.contrib` that are not here, and why.
UNNAMED: dict[str, str] = {
    **dict.fromkeys(
        [
            "bias_correction",
            "update_infinity_moment",
            "update_moment",
            "update_moment_per_elem_norm",
            "init_empty_state",
        ],
        "for writing transformations by hand: a rule and `leafwise`",
    ),
    **dict.fromkeys(["matrix_inverse_pth_root", "power_iteration", "nnls", "multi_normal"], "no optimizer"),
    "microbatch": "a step of gdjax accumulates by itself",
    "safe_int32_increment": "an older name of `safe_increment`",
}
LOSSES_AND_SCHEDULES = ("_loss", "_schedule", "_divergence", "_entropy", "_labels", "_cosh", "_error", "_distance")
BELONGS_ELSEWHERE = {
    "cosine_similarity",
    "exponential_decay",
    "join_schedules",
    "ntxent",
    "ctc_loss_with_forward_probs",
}


def of_optimizers(name):
    return not name.endswith(LOSSES_AND_SCHEDULES) and name not in BELONGS_ELSEWHERE and "entropy" not in name


@pytest.mark.parametrize("name", sorted(name for name in CALLED if of_optimizers(name)))
def test_a_name_of_optax_is_optax_s_call(name):
    """Same arguments, in the same order, with the same names and defaults; more only after them, or by keyword."""
    if name in UNNAMED or name in OTHERS:
        assert name in OTHERS or not hasattr(gd, name), "an exception that is no longer needed"
        return
    ours, theirs = (inspect.signature(f).parameters for f in (getattr(gd, name), CALLED[name]))
    positional = [p for p in theirs.values() if p.kind is not p.KEYWORD_ONLY]
    assert list(ours)[: len(positional)] == [p.name for p in positional] and set(theirs) <= set(ours)
    for other in theirs.values():
        mine = ours[other.name]
        assert mine.kind is other.kind, other.name
        if (name, other.name) in MORE_DEFAULTS:
            assert other.default is other.empty is not mine.default
        elif not callable(other.default) and not isinstance(other.default, optax.GradientTransformation):
            assert mine.default == other.default, other.name


def test_every_state_and_type_has_no_second_name():
    kinds = {name for name, x in THEIRS.items() if isinstance(x, type)}
    assert {name for name in kinds if getattr(gd, name, THEIRS[name]) is not THEIRS[name]} <= {"MultiSteps", "Schedule"}


PARAMS = {"w": np.sin(np.arange(6.0)).reshape(3, 2), "b": np.cos(np.arange(2.0))}
LIFTED = {
    "apply_every": (3,),
    "ema": (0.9,),
    "trace": (0.9,),
    "scale_by_rprop": (0.1,),
    "scale_by_madgrad": (0.1,),
    "scale_by_learning_rate": (0.1,),
    "scale": (-0.3,),
    "add_decayed_weights": (0.1, {"w": True, "b": False}),
    "scale_by_zoom_linesearch": (15,),
    "scale_by_backtracking_linesearch": (15,),
    **dict.fromkeys(
        ("scale_by_adam", "scale_by_lbfgs", "scale_by_sm3", "scale_by_novograd", "scale_by_trust_ratio"), ()
    ),
    **dict.fromkeys(
        ("scale_by_factored_rms", "scale_by_cocob", "keep_params_nonnegative", "zero_nans", "set_to_zero"), ()
    ),
    "differentially_private_aggregate": (1.0, 0.1, 3),
}


SECONDS = ("scale_by_zoom_linesearch", "scale_by_lbfgs")  # to compile


def value_fn(params):
    return sum(jnp.sum(jnp.cosh(p)) for p in jax.tree.leaves(params))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.nightly] * (i % 3 == 0 or name in SECONDS))  # one lift makes them all
        for i, name in enumerate(LIFTED)
    ],
)
def test_a_lifted_transformation_is_optax_s_and_its_numbers_are_leaves(name):
    extra = name in ("scale_by_zoom_linesearch", "scale_by_backtracking_linesearch")
    with jax.enable_x64(True):
        params = jax.tree.map(jnp.asarray, PARAMS)
        ours, theirs = getattr(gd, name)(*LIFTED[name]), optax.with_extra_args_support(CALLED[name](*LIFTED[name]))
        assert pickle.loads(pickle.dumps(ours)) == ours
        ours = ours.canonicalize()

        @jax.jit
        def mine(node, grads, state, params):
            given = {"value": value_fn(params), "grad": grads, "value_fn": value_fn} if extra else {}
            return node.update(grads, state, params, **given)

        state, others = ours.init(params), theirs.init(params)
        for i in range(3):
            grads = jax.tree.map(lambda p, i=i: jnp.sinh(p) + 0.1 * i, params)
            if name == "differentially_private_aggregate":
                grads = jax.tree.map(lambda g: jnp.stack([g, 2 * g]), grads)
            given = {"value": value_fn(params), "grad": grads, "value_fn": value_fn} if extra else {}
            updates, state = mine(ours, grads, state, params)
            wanted, others = theirs.update(grads, others, params, **given)
            chex.assert_trees_all_close(updates, wanted, rtol=1e-6)  # Optax takes roots of counts in float32
        other = jax.tree.map(lambda x: 0.9 * x if jnp.issubdtype(x.dtype, jnp.floating) else x, ours)
        mine(other, grads, state, params)
        assert mine._cache_size() == 1


@pytest.mark.parametrize("name", ["scale_by_adam", "scale_by_novograd", "trace", "scale"])
def test_sixteen_bits_stay_sixteen_bits_in_a_lifted_transformation(name):
    node, params = (
        getattr(gd, name)(*LIFTED[name]).canonicalize(),
        jax.tree.map(lambda p: jnp.asarray(p, jnp.bfloat16), PARAMS),
    )
    state = node.init(params)
    updates, new = jax.eval_shape(node.update, params, state, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(new, state)


FALL = gd.schedules.linear(0.4, 0.2, 10)
RATES = {
    "behind a clip": (lambda: gd.chain(gd.clip(1.0), gd.adam(FALL)), 0.34),
    "a scale behind": (lambda: gd.chain(gd.adam(FALL), gd.scale(0.5)), 0.17),
    "a scale before": (lambda: gd.chain(gd.scale(7.0), gd.adam(FALL)), 0.34),
    "by hand": (lambda: gd.chain(gd.scale_by_adam(), gd.scale_by_learning_rate(FALL)), 0.34),
    "by schedule": (lambda: gd.chain(gd.scale_by_adam(), gd.scale_by_schedule(FALL), gd.scale(-1.0)), 0.34),
    "named": (lambda: gd.named_chain(("a", gd.scale_by_adam()), ("b", gd.scale_by_learning_rate(FALL))), 0.34),
    "injected": (lambda: gd.inject_hyperparams(gd.adam)(FALL), 0.34),
    "a clip behind": (lambda: gd.chain(gd.adam(FALL), gd.clip(1.0)), None),
    "two rates": (lambda: gd.chain(gd.adam(FALL), gd.sgd(0.1)), None),
}


@pytest.mark.parametrize("name", RATES)
def test_the_rate_of_a_chain_is_what_its_last_parts_multiply_by(name):
    make, expected = RATES[name]
    node, params = make(), jnp.ones(2)
    state = node.init(params)
    for _ in range(3):
        _, state = node.update(params, state, params)
    shown = node.learning_rate_at(state)
    assert shown is None if expected is None else abs(float(shown) - expected) < 1e-6


def test_two_forms_are_told_apart_by_what_comes_first():
    params, mask = {"w": jnp.ones(2), "b": jnp.ones(1)}, {"w": True, "b": False}
    zeros = gd.freeze(mask).update(params, gd.freeze(mask).init(params), params)[0]
    chex.assert_trees_all_equal(zeros, optax.freeze(mask).update(params, optax.freeze(mask).init(params), params)[0])
    around = gd.freeze(gd.sgd(0.5), mask)
    state = around.init(params)
    assert state.inner_state is state.inner and float(around.update(params, state, params)[0]["b"][0]) == -0.5
    for node in (gd.freeze(mask), around, gd.reduce_on_plateau(0.5, 3), gd.reduce_on_plateau(gd.sgd(0.1), 0.5, 3)):
        assert pickle.loads(pickle.dumps(node)) == node and repr(node).startswith(node.recipe.name)
    assert gd.sam(gd.sgd(0.1), 0.2) == gd.sam(optimizer=gd.sgd(0.1), rho=0.2) != gd.sam(gd.sgd(0.1), gd.sgd(0.2))


WAVES = np.array([9.0, 8.0, 8.0, 8.0, 8.0, 7.9999, 8.0, 8.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0])


@pytest.mark.parametrize("values", [WAVES, np.full(14, -5.0)], ids=["as Optax", "below 0"])
def test_the_plateau_of_optax_falls_at_its_steps_and_below_zero_too(values):
    arguments = {"factor": 0.5, "patience": 2, "rtol": 1e-2, "cooldown": 1, "accumulation_size": 2}
    ours, theirs, g = gd.reduce_on_plateau(**arguments), contrib.reduce_on_plateau(**arguments), jnp.ones(2)
    mine, other, scales, wanted = ours.init(g), theirs.init(g), [], []
    step, their_step = jax.jit(ours.update), jax.jit(theirs.update)
    for value in jnp.asarray(values):
        (u, mine), (v, other) = step(g, mine, g, value=value), their_step(g, other, g, value=value)
        scales.append(float(u[0]))
        wanted.append(float(v[0]))
    if values[0] > 0:
        assert scales == wanted and min(scales) < 1
    else:  # there Optax's relative tolerance turns its sign, and a constant value is an improvement
        assert set(wanted) == {1.0} and scales == [1.0] * 5 + [0.5] * 6 + [0.25] * 3


def test_a_written_hyperparameter_is_used_and_a_schedule_is_not_written_over():
    node, params = gd.inject_hyperparams(gd.adamw)(learning_rate=0.1, weight_decay=FALL), jnp.ones(2)
    state = node.init(params)
    state.hyperparams["learning_rate"] = jnp.asarray(0.2)
    assert float(node.learning_rate_at(state)) == pytest.approx(0.2)
    wanted = gd.adamw(0.2, weight_decay=0.4).update(params, gd.adamw(0.2).init(params), params)[0]
    updates, state = node.update(params, state, params)
    np.testing.assert_allclose(updates, wanted, rtol=1e-6)
    assert float(state.hyperparams["weight_decay"]) == pytest.approx(0.4) and state.inner_state is state.inner


@pytest.mark.parametrize("name", ["clip_by_global_norm", "scale", "scale_by_adam"])
def test_every_number_may_be_a_schedule_where_it_is_injected(name):
    """Also those of transforms that keep no count, and so refuse a schedule themselves."""
    arguments = {"clip_by_global_norm": (FALL,), "scale": (FALL,), "scale_by_adam": (FALL, 0.9)}[name]
    ours, theirs = (each.inject_hyperparams(getattr(each, name))(*arguments) for each in (gd, optax))
    g = jnp.array([3.0, -4.0])
    mine, other = ours.init(g), theirs.init(g)
    for _ in range(3):
        (u, mine), (v, other) = ours.update(g, mine, g), theirs.update(g, other, g)
        np.testing.assert_allclose(u, v, rtol=2e-6)
    with pytest.raises(TypeError, match=f"{name}: .* must be a number or an array"):
        getattr(gd, name)(*arguments)


@pytest.mark.parametrize(
    "node",
    [
        gd.inject_hyperparams(gd.sgd)(learning_rate=1, momentum=0),
        gd.inject_hyperparams(gd.soap)(1e-2, precondition_frequency=3),
        gd.inject_hyperparams(optax.adam)(1, b1=0.5),
        gd.inject_hyperparams(gd.add_noise)(1, 0.5, key=jax.random.key(3)),
        gd.inject_hyperparams(optax.add_noise)(1, 0.5, 3),
    ],
    ids=repr,
)
def test_injected_numbers_have_one_dtype_from_the_start(node):
    """So that the second update runs the program of the first, and 0.5 can be written in the place of 1."""
    params = jnp.ones((2, 2))
    state = node.init(params)
    _, new = jax.eval_shape(node.update, params, state, params)
    assert jax.tree.map(kind, new) == jax.tree.map(kind, state)
    if "learning_rate" in state.hyperparams and node.inner.recipe.name != "adam":
        assert state.hyperparams["learning_rate"].dtype == jnp.float32


def kind(x):
    return x.dtype, getattr(x, "weak_type", False)


def test_lookahead_walks_alike_on_plain_parameters_and_on_pairs():
    node, theirs = gd.lookahead(gd.sgd(0.1), 2, 0.3), optax.lookahead(optax.sgd(0.1), 2, 0.3)
    plain = jnp.array([1.0, -2.0])
    pair = other = optax.LookaheadParams.init_synced(plain)
    alone, state, states = node.init(plain), node.init(pair), theirs.init(pair)
    for _ in range(5):
        updates, alone = node.update(jnp.sinh(plain), alone, plain)
        plain = plain + updates
        updates, state = node.update(jnp.sinh(pair.fast), state, pair)
        wanted, states = theirs.update(jnp.sinh(other.fast), states, other)
        pair, other = optax.apply_updates(pair, updates), optax.apply_updates(other, wanted)
        chex.assert_trees_all_close(pair, other, rtol=1e-6)
        np.testing.assert_allclose(pair.fast, plain, rtol=1e-6)
    found = gd.answers.evaluation_params(state, pair)
    np.testing.assert_allclose(found.fast, gd.answers.evaluation_params(alone, plain), rtol=1e-6)


def test_what_has_a_gradient_transformation_is_an_optimizer():
    params = jnp.ones(2)
    for steps in (gd.MultiSteps(gd.adam(0.1), 2), optax.MultiSteps(optax.adam(0.1), 2)):
        node = gd.chain(gd.clip(1.0), steps)
        state = node.init(params)
        first, state = node.update(params, state, params)
        second, state = node.update(params, state, params)
        assert not np.any(first) and np.all(second != 0) and bool(steps.has_updated(state[1]))
    assert len(jax.tree.leaves(gd.average(gd.MultiSteps(gd.adam(0.1), 2)))) == 7


MEMORIES = {  # a transformation of Optax's, by its factory, at a factor whose 1 - b has few digits in float32
    "scale_by_adam": {"b1": 0.97, "b2": 0.9973},
    "scale_by_belief": {"b2": 0.9991},
    "scale_by_radam": {"b2": 0.9977},
    "scale_by_rms": {"decay": 0.9987},
    "scale_by_adadelta": {"rho": 0.9983},
    "scale_by_lion": {"b2": 0.9979},
    "ema": {"decay": 0.9967},
}


@pytest.mark.parametrize("name", MEMORIES)
def test_a_number_that_is_a_leaf_keeps_the_digits_of_one_minus_it(name):
    """In float32 moments are Optax's, made from Python's double; another number compiles nothing."""
    factory, arguments = CALLED[name], MEMORIES[name]
    ours, theirs = getattr(gd, name)(**arguments).canonicalize(), factory(**arguments)
    params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float32), PARAMS)
    mine = jax.jit(lambda node, grads, state: node.update(grads, state, params))
    other = jax.jit(lambda grads, state: theirs.update(grads, state, params))
    state, wanted = ours.init(params), theirs.init(params)
    for i in range(3):
        grads = jax.tree.map(lambda p, i=i: jnp.sinh(p) + 0.1 * i, params)
        updates, state = mine(ours, grads, state)
        expected, wanted = other(grads, wanted)
        for found, right in zip(jax.tree.leaves((updates, state)), jax.tree.leaves((expected, wanted)), strict=True):
            np.testing.assert_allclose(found, right, rtol=2e-6, atol=1e-30)
    mine(ours.replace(**{min(arguments): 1.0 / 3}).canonicalize(), grads, state)
    assert mine._cache_size() == 1
    assert repr(ours) == repr(getattr(gd, name)(**arguments))


def test_a_derivative_by_a_factor_is_that_of_the_whole():
    """Of a mean from 0, (1 - decay) p."""
    p = jnp.asarray(PARAMS["w"], jnp.float32)
    slope = jax.grad(lambda node: jnp.sum(node.update(p, node.init(p))[0]))(gd.ema(0.97, debias=False).canonicalize())
    np.testing.assert_allclose(slope.decay, -np.sum(PARAMS["w"]), rtol=1e-6)


def test_muon_s_part_takes_matrices_without_being_told():
    dims = optax.contrib.MuonDimensionNumbers
    params = {"w": PARAMS["w"].astype(np.float32), "deep": [np.tan(np.arange(12.0)).reshape(3, 4).astype(np.float32)]}
    for given in (None, dims(), {"w": None, "deep": dims()}, lambda p: jax.tree.map(lambda _: dims(), p)):
        node = gd.chain(gd.scale_by_muon(ns_steps=1, beta=0.9, weight_dimension_numbers=given), gd.scale(-0.1))
        updates, _ = node.update(params, node.init(params), params)
        for found, leaf in zip(jax.tree.leaves(updates), jax.tree.leaves(params), strict=True):
            alone = optax.contrib.scale_by_muon(ns_steps=1, beta=0.9)
            np.testing.assert_allclose(found, -0.1 * alone.update(leaf, alone.init(leaf))[0], rtol=1e-5, atol=1e-6)
    turned = gd.scale_by_muon(ns_steps=1, weight_dimension_numbers=dims((0, 2), 1))
    theirs = optax.contrib.scale_by_muon(ns_steps=1, weight_dimension_numbers=dims((0, 2), 1))
    cube = jnp.sin(jnp.arange(24.0)).reshape(2, 3, 4)
    np.testing.assert_allclose(
        turned.update({"c": cube}, turned.init({"c": cube}))[0]["c"],
        theirs.update(cube, theirs.init(cube))[0],
        rtol=1e-5,
        atol=1e-6,
    )
    with pytest.raises(ValueError, match=r"must be a matrix, got params\['b'\] of shape \(2,\); write masked\("):
        gd.scale_by_muon().update(PARAMS, gd.scale_by_muon().init(PARAMS))


@pytest.mark.parametrize(
    "search", [pytest.param("scale_by_backtracking_linesearch", marks=pytest.mark.nightly), "scale_by_zoom_linesearch"]
)
def test_a_line_search_of_optax_s_takes_what_a_loop_hands_over(search):
    """Alone it is Optax's own; in `make_step`, `fit` and `minimize`, and under what hands on more, it goes downhill."""
    tx = gd.chain(gd.sgd(1.0), getattr(gd, search)(12))
    theirs = optax.chain(optax.sgd(1.0), CALLED[search](12))
    center = jnp.array([3.0, -1.0])

    def loss(p, batch):
        return jnp.mean(jnp.sum(jnp.cosh(p - center) - 1, -1) * batch)

    params, batch = jnp.zeros(2), jnp.ones(8)
    value, grad = jax.value_and_grad(loss)(params, batch)
    expected, _ = theirs.update(
        grad, theirs.init(params), params, value=value, grad=grad, value_fn=lambda p: loss(p, batch)
    )
    state, _ = gd.make_step(loss)(gd.make_state(params, tx), batch)
    np.testing.assert_allclose(state.params, expected, rtol=1e-5)
    around = gd.partition({"a": gd.skip_non_finite(gd.average(tx, 0.5))}, "a")
    assert gd.fit(loss, params, around, batch, epochs=12).history["loss"][-1] < 0.05 * value
    found = gd.minimize(lambda p: loss(p, batch), params, tx, max_steps=60)
    np.testing.assert_allclose(found.params, center, atol=1e-2)
    given = {"value": value, "grad": grad, "value_fn": lambda p: loss(p, batch), "evaluation": 1, "other": "x"}
    np.testing.assert_allclose(tx.update(grad, tx.init(params), params, **given)[0], expected, rtol=1e-6)
    with pytest.raises(ValueError, match=f"{search}: update needs params and value_fn="):
        tx.update(grad, tx.init(params), params)
