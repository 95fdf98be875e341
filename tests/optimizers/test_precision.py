"""Wrappers for 16-bit parameters, accumulation and stacks: what is exact is tested to the bit."""

import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gdjax as gd
from gdjax.optimizers.wrappers.sixteen_bits import by_chance, nearest
from gdjax.types import OptState

SHORT = pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
BY_CHANCE = pytest.mark.parametrize("dtype", [jnp.bfloat16, pytest.param(jnp.float16, marks=pytest.mark.nightly)])


def params_of(dtype, number=300, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "w": jnp.asarray(rng.normal(size=(number, 3)), dtype),
        "b": jnp.asarray(rng.normal(size=()), dtype),
        "n": None,
    }


def grads_of(params, i):
    """Of sizes from 1e-6 to 1e3."""
    rng = np.random.default_rng(i)
    return jax.tree.map(
        lambda p: jnp.asarray(rng.normal(size=p.shape) * 10.0 ** rng.uniform(-6, 3, p.shape), p.dtype), params
    )


def advance(node, params, number, dtype=None, state=None):
    """Steps whose gradients do not depend on the parameters."""
    state = node.init(params) if state is None else state
    update = jax.jit(node.update)
    for i in range(number):
        grads = grads_of(params, i) if dtype is None else jax.tree.map(lambda g: g.astype(dtype), grads_of(params, i))
        updates, state = update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def every_short(dtype):
    """All numbers of a dtype that are finite and not denormal in float32."""
    x = jnp.arange(2**16, dtype=jnp.uint16).view(dtype)
    wide = np.asarray(x.astype(jnp.float32))
    return x[np.isfinite(wide) & ((wide == 0) | (np.abs(wide) > 1e-37))]


@SHORT
def test_rounding_is_that_of_the_hardware_at_and_between_all_numbers(dtype):
    x = np.unique(np.asarray(every_short(dtype)).astype(np.float32))
    points = np.concatenate([x, x[1:] / 2 + x[:-1] / 2, x * np.float32(0.999)])
    expected = jnp.asarray(points).astype(dtype).astype(jnp.float32)
    np.testing.assert_array_equal(jax.jit(nearest, static_argnums=1)(points, dtype), expected)
    odd = jnp.array([jnp.inf, -jnp.inf, jnp.nan])
    np.testing.assert_array_equal(nearest(odd, jnp.dtype(dtype)), odd)


@SHORT
def test_masters_are_float32_training_rounded_to_the_bit(dtype):
    """Operation by operation: what a compiler fuses, it may round once less."""
    node, short = gd.adamw(0.01, weight_decay=0.1), params_of(dtype)
    wide = jax.tree.map(lambda p: p.astype(jnp.float32), short)
    around = gd.master_weights(node)
    state, wide_state = around.init(short), node.init(wide)
    for i in range(8):
        grads = grads_of(short, i)
        updates, state = around.update(grads, state, short)
        short = optax.apply_updates(short, updates)
        updates, wide_state = node.update(jax.tree.map(lambda g: g.astype(jnp.float32), grads), wide_state, wide)
        wide = optax.apply_updates(wide, updates)
        chex.assert_trees_all_equal(state.master, wide)
        chex.assert_trees_all_equal(state.inner, wide_state)
        chex.assert_trees_all_equal(short, jax.tree.map(lambda x: x.astype(dtype), wide))


@SHORT
def test_compiled_the_parameters_are_their_masters_rounded(dtype):
    params, state = advance(gd.master_weights(gd.adamw(0.01, weight_decay=0.1)), params_of(dtype), 25)
    chex.assert_trees_all_equal(params, jax.tree.map(lambda x: x.astype(dtype), state.master))
    assert params["w"].dtype == dtype


def test_an_update_in_float32_reaches_every_target_that_is_not_far_smaller():
    """And one in bfloat16 does not: the difference of two bfloat16 numbers need not be one."""
    rng = np.random.default_rng(0)
    p = jnp.asarray(rng.normal(size=100_000), jnp.bfloat16)
    factor = np.sign(rng.normal(size=p.shape)) * 2.0 ** rng.uniform(-14.9, 15, p.shape)
    target = (p.astype(jnp.float32) * factor).astype(jnp.bfloat16)
    node = gd.master_weights(gd.sgd(1.0))
    updates, state = node.update((p.astype(jnp.float32) - target.astype(jnp.float32)), node.init(p), p)
    assert updates.dtype == jnp.float32
    np.testing.assert_array_equal(optax.apply_updates(p, updates), state.master.astype(jnp.bfloat16))
    short = optax.apply_updates(p, updates.astype(jnp.bfloat16))
    assert np.mean(np.asarray(short != state.master.astype(jnp.bfloat16))) > 0.1


def test_masters_follow_parameters_changed_from_outside_and_only_those_entries():
    node = gd.master_weights(gd.sgd(1e-4))
    params, state = advance(node, params_of(jnp.bfloat16), 3)
    before = state.master["w"]
    changed = {**params, "w": params["w"].at[0].set(7.0)}
    zero = jax.tree.map(jnp.zeros_like, params)
    updates, state = node.update(zero, state, changed)
    np.testing.assert_array_equal(state.master["w"], before.at[0].set(7.0))
    chex.assert_trees_all_equal(optax.apply_updates(changed, updates), changed)


def test_wide_leaves_are_their_own_masters():
    params = {"w": jnp.ones(3), "z": jnp.ones(2, jnp.complex64)}
    state = gd.master_weights(gd.adam(0.1)).init(params)
    assert jax.tree.leaves(state.master) == []
    for wrap in (gd.master_weights, gd.stochastic_rounding):
        chex.assert_trees_all_equal(advance(wrap(gd.adam(0.1)), params, 3)[0], advance(gd.adam(0.1), params, 3)[0])


@SHORT
def test_kahan_loses_nothing_but_the_last_place_of_the_compensation(dtype):
    """p - compensation moves by the update; alone, bfloat16 stands still."""
    params, number = {"w": jnp.full(5, 1.0, dtype)}, 400
    rates = 1e-5 * jnp.arange(1.0, 6.0)
    grads = {"w": rates.astype(dtype)}
    expected = 1 - number * np.asarray(grads["w"], np.float64)

    def run(node):
        def body(carry, _):
            p, state = carry
            updates, state = node.update(grads, state, p)
            assert updates["w"].dtype == dtype
            return (optax.apply_updates(p, updates), state), None

        return jax.jit(lambda: jax.lax.scan(body, (params, node.init(params)), length=number)[0])()

    (kept, state), (alone, _) = run(gd.kahan(gd.sgd(1.0))), run(gd.sgd(1.0))
    exact = np.asarray(kept["w"], np.float64) - np.asarray(state.compensation["w"], np.float64)
    last = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(exact, expected, atol=number * last**2 / 2)
    np.testing.assert_allclose(np.asarray(kept["w"], np.float64), expected, atol=last)
    assert np.abs(np.asarray(alone["w"], np.float64) - expected).max() > 2e-3


@BY_CHANCE
def test_rounding_by_chance_has_the_right_mean_and_only_the_two_neighbors(dtype):
    """Over 4,000 draws the mean is within five standard deviations, for both signs and below the normal numbers."""
    rng = np.random.default_rng(1)
    sizes = [1.0, 1e-3, 200.0, *([1e-6, 3e-5] if dtype == jnp.float16 else [1e-30])]
    x = np.concatenate([rng.normal(size=40) * size for size in sizes]).astype(np.float32)
    draws = jax.vmap(lambda key: by_chance(jnp.asarray(x), jnp.dtype(dtype), key))(
        jax.random.split(jax.random.key(0), 4000)
    )
    draws = np.asarray(draws, np.float64)
    assert np.array_equal(draws, np.asarray(jnp.asarray(draws, jnp.float32).astype(dtype).astype(jnp.float32)))
    low, high = draws.min(axis=0), draws.max(axis=0)
    assert np.all((low <= x) & (x <= high))
    info = jnp.finfo(dtype)
    place = np.maximum(2.0 ** np.floor(np.log2(np.abs(x))) * float(info.eps), float(info.smallest_subnormal))
    assert np.all(high - low <= place * 1.000001)
    assert np.all(np.abs(draws.mean(axis=0) - x) <= 5 * place * 0.5 / np.sqrt(4000))


@BY_CHANCE
def test_rounding_by_chance_leaves_numbers_of_the_dtype_and_what_is_not_finite(dtype):
    x = jnp.concatenate([every_short(dtype).astype(jnp.float32), jnp.array([jnp.inf, -jnp.inf, jnp.nan, -jnp.nan])])
    x = x.at[-1].set(jax.lax.bitcast_convert_type(jnp.uint32(0x7F800001), jnp.float32))  # a NaN that looks like inf
    np.testing.assert_array_equal(by_chance(x, jnp.dtype(dtype), jax.random.key(0)), x)


def test_stochastic_rounding_moves_on_average_where_rounding_stands_still():
    params = {"w": jnp.ones(20_000, jnp.bfloat16), "v": -jnp.ones(20_000, jnp.bfloat16)}
    params["beside w"] = params["w"]
    grads = jax.tree.map(lambda p: jnp.full_like(p, 1e-4), params)

    def run(node, number=20):
        state, p = node.init(params), params
        for _ in range(number):
            updates, state = jax.jit(node.update)(grads, state, p)
            p = optax.apply_updates(p, updates)
        return p

    rounded = run(gd.stochastic_rounding(gd.sgd(1.0), 3))
    for name, start in (("w", 1.0), ("v", -1.0)):
        mean = np.asarray(rounded[name], np.float64).mean()
        np.testing.assert_allclose(mean, start - 20 * float(jnp.bfloat16(1e-4)), atol=1.5e-4)  # 3 standard deviations
    chex.assert_trees_all_equal(run(gd.sgd(1.0)), params)
    chex.assert_trees_all_equal(rounded, run(gd.stochastic_rounding(gd.sgd(1.0), 3)))
    other = run(gd.stochastic_rounding(gd.sgd(1.0), 4))
    assert np.any(np.asarray(rounded["w"] != other["w"]))
    assert np.any(np.asarray(rounded["w"] != rounded["beside w"]))  # leaves draw apart


@pytest.mark.parametrize("wrap", [gd.kahan, gd.stochastic_rounding, gd.master_weights])
def test_a_state_keeps_its_dtypes_around_an_optax_optimizer_too(wrap):
    params = params_of(jnp.bfloat16)
    node = wrap(optax.adam(0.1))
    state = node.init(params)
    grads = jax.tree.map(lambda p: jnp.ones(p.shape, jnp.float32), params)
    _, new = node.update(grads, state, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(new, state)


def test_the_objective_of_the_masters_is_that_of_the_parameters():
    seen = []

    def spy(params):
        def update(grads, state, params, value_fn, **_):
            seen.append(jax.tree.map(lambda x: x.dtype, params))
            value_fn(params)
            return grads, state

        return optax.GradientTransformationExtraArgs(lambda params: (), update)

    params = {"w": jnp.ones(2, jnp.bfloat16)}
    node = gd.master_weights(spy(params))
    node.update(params, node.init(params), params, value_fn=lambda p: seen.append(jax.tree.map(lambda x: x.dtype, p)))
    assert seen == [{"w": jnp.float32}, {"w": jnp.bfloat16}]


def test_accumulation_is_one_large_batch_and_optax_multi_steps():
    with jax.enable_x64(True):
        params = params_of(jnp.float64, 20)
        node, theirs = (
            gd.accumulate(gd.adam(0.01), 3),
            optax.MultiSteps(gd.adam(0.01), 3, accumulator_dtype=jnp.float64),
        )
        state, their_state, inner = node.init(params), theirs.init(params), gd.adam(0.01).init(params)
        update, their_update = jax.jit(node.update), jax.jit(theirs.update)
        for step in range(4):
            grads = [jax.tree.map(lambda p, k=10 * step + i: jnp.sin(3 * p + k), params) for i in range(3)]
            for i in range(3):
                updates, state = update(grads[i], state, params)
                expected, their_state = their_update(grads[i], their_state, params)
                chex.assert_trees_all_close(updates, expected, rtol=1e-12, atol=1e-300)
                if i < 2:
                    assert all(not np.any(np.asarray(u)) for u in jax.tree.leaves(updates))
            mean = jax.tree.map(lambda *g: sum(g) / 3, *grads)
            expected, inner = gd.adam(0.01).update(mean, inner, params)
            chex.assert_trees_all_close(updates, expected, rtol=1e-12)
            assert (int(state.mini_step), int(state.gradient_step)) == (0, step + 1)


@pytest.mark.parametrize("size", [3, 5])
def test_accumulated_batches_of_unequal_weight_are_the_batch_of_all_their_rows(size):
    """Eight rows: the last batch is smaller, and what the rows weigh differs."""
    rng = np.random.default_rng(2)
    x, y, w = rng.normal(size=(8, 3)), rng.normal(size=8), rng.uniform(0.1, 4.0, 8)
    start = np.array([0.3, -1.0, 2.0])
    for weighted in (False, True):
        weight = (lambda row: row[2]) if weighted else None
        loss = gd.per_example(lambda params, row: (row[0] @ params - row[1]) ** 2, weight)
        share = w / w.sum() if weighted else np.full(8, 1 / 8)
        with jax.enable_x64(True):
            optimizer = gd.accumulate(gd.sgd(0.1), every=-(-8 // size))
            epoch = gd.make_epoch(gd.make_step(loss), size, order="sequence")
            state, _ = jax.device_get(jax.jit(epoch)(gd.make_state(start, optimizer, jax.random.PRNGKey(0)), (x, y, w)))
        expected = start - 0.1 * 2 * (share * (x @ start - y)) @ x
        np.testing.assert_allclose(state.params, expected, rtol=1e-12)
        assert state.step == 1 and state.opt_state.acc_weight == 0


def test_a_gradient_of_no_weight_has_no_part_in_the_mean_and_weights_add_up():

    def show(grads, state, params=None, *, grad, weight):
        return {"mean": grads, "grad": grad, "weight": weight}, state

    node = gd.accumulate(optax.GradientTransformationExtraArgs(lambda params: (), show), 3)
    for weights, wanted in (((0.0, 2.0, 6.0), 4.5), ((0.0, 0.0, 0.0), 3.0), ((1.0, 0.0, 0.0), 1.0)):
        state = node.init(jnp.zeros(()))
        for g, weight in zip((1.0, 3.0, 5.0), weights, strict=True):
            g = jnp.nan if weight == 0 and sum(weights) else g
            updates, state = node.update(jnp.float32(g), state, grad=jnp.float32(g), weight=jnp.float32(weight))
        assert updates == {"mean": wanted, "grad": wanted, "weight": sum(weights)}
        assert (state.acc_grads, state.acc_weight, state.mini_step) == (0, 0, 0)


def test_accumulation_in_bfloat16_sums_in_float32_and_a_new_number_compiles_nothing():
    params = {"w": jnp.zeros(3, jnp.bfloat16)}
    update = jax.jit(lambda node, g, s, p: node.update(g, s, p))
    for every in (1, 100, 300):
        node = gd.accumulate(gd.sgd(1.0), every).canonicalize()
        state = node.init(params)
        for i in range(every):
            grads = {"w": jnp.array([1.0, 1 / 256 if i else 1.0, -1.0], jnp.bfloat16)}
            updates, state = update(node, grads, state, params)
            assert bool(jnp.any(updates["w"] != 0)) == (i == every - 1)
        expected = -jnp.array([1.0, (1 + (every - 1) / 256) / every, -1.0]).astype(jnp.bfloat16)
        np.testing.assert_array_equal(updates["w"], expected)
        chex.assert_trees_all_equal_shapes_and_dtypes(state, node.init(params))
    assert update._cache_size() == 1


def test_accumulation_pays_for_inner_once_and_takes_a_schedule():
    calls = []

    def count(grads, state, params=None, **extra):
        jax.debug.callback(lambda: calls.append(1))
        return extra["grad"], state

    inner = optax.GradientTransformationExtraArgs(lambda params: (), count)
    node = gd.accumulate(inner, gd.schedules.constant(4))
    params, state = jnp.zeros(2), None
    state = node.init(params)
    for i in range(8):
        grads = jnp.full(2, float(i))
        updates, state = jax.jit(node.update)(grads, state, params, grad=grads)
        np.testing.assert_allclose(updates, {3: 1.5, 7: 5.5}.get(i, 0.0))
    jax.effects_barrier()
    assert len(calls) == 2


def many(dtype=jnp.float32):
    rng = np.random.default_rng(0)

    def leaf(*shape):
        return jnp.asarray(rng.normal(size=shape), dtype)

    return {
        "layers": [{"w": leaf(4, 3), "b": leaf(3)} for _ in range(40)],
        "head": leaf(4, 3).astype(jnp.bfloat16),
        "scale": leaf(),
        "empty": leaf(0, 3),
        "none": None,
    }


def matrices(params):
    return jax.tree.map(lambda p: p.ndim >= 2, params)


@pytest.mark.parametrize(
    "inner",
    [
        pytest.param(gd.sgd(0.1), marks=pytest.mark.nightly),
        pytest.param(gd.adam(gd.schedules.cosine(0.1, 10)), marks=pytest.mark.nightly),
        gd.adamw(gd.schedules.cosine(0.1, 10), weight_decay=0.3, mask=matrices),
        pytest.param(
            gd.adamw(
                0.1,
                weight_decay=gd.schedules.constant(0.3),
                mask={"layers": True, "head": False, "scale": False, "empty": True, "none": None},
            ),
            marks=pytest.mark.nightly,
        ),
        pytest.param(gd.rmsprop(0.1, momentum=0.9, centered=True), marks=pytest.mark.nightly),
    ],
    ids=repr,
)
def test_stacked_is_inner(inner, monkeypatch):
    monkeypatch.setattr(sys.modules[gd.stacked.__module__], "WIDTH", 16)
    params = many()
    stacked, state = advance(gd.stacked(inner), params, 4)
    chex.assert_trees_all_close(stacked, advance(inner, params, 4)[0], rtol=2e-6, atol=1e-7)
    assert isinstance(state, OptState)
    for stacks in state.slots.values():
        assert sorted(x.shape[0] for x in stacks) == [1, 1, 1, 8, 8, 16, 16, 16, 16]


@pytest.mark.parametrize(
    "make",
    [
        lambda mask: gd.lars(0.1, trust_coefficient=0.5, trust_ratio_mask=mask),
        lambda mask: gd.lars(0.1, 0.3, weight_decay_mask=mask, trust_ratio_mask=jax.tree.map(lambda x: not x, mask)),
        lambda mask: gd.adafactor(0.1, weight_decay_rate=0.2, weight_decay_mask=mask),
        lambda mask: gd.adafactor(0.1, weight_decay_rate=0.2, weight_decay_mask=gd.by_path(lambda path: path == "b")),
    ],
)
def test_every_mask_of_a_stacked_rule_is_of_the_leaves(make):
    """Of two equal leaves, whose updates differ by the masks alone."""
    params, mask = {"a": jnp.array([3.0, 4.0]), "b": jnp.array([3.0, 4.0])}, {"a": False, "b": True}
    grads, inner = {"a": jnp.ones(2), "b": jnp.ones(2)}, make(mask)
    wanted, _ = inner.update(grads, inner.init(params), params)
    assert not np.allclose(wanted["a"], wanted["b"])
    updates, _ = gd.stacked(inner).update(grads, gd.stacked(inner).init(params), params)
    chex.assert_trees_all_close(updates, wanted, rtol=1e-6)


def test_stacked_sees_leaves_one_by_one():
    """A rule that looks at a whole leaf must not see its neighbors in the stack."""

    def unit_rule(g):
        return g / jnp.sqrt(jnp.sum(g * g) + 1e-30), {}

    @gd.optimizer
    def unit(learning_rate):
        return gd.leafwise(unit_rule, learning_rate)

    params = many()
    chex.assert_trees_all_close(
        advance(gd.stacked(unit(0.1)), params, 2)[0], advance(unit(0.1), params, 2)[0], rtol=2e-6, atol=1e-7
    )


@pytest.mark.parametrize(
    "inner",
    [
        gd.chain(gd.clip_by_global_norm(1.0), gd.adam(0.1)),
        gd.decay_weights(gd.adam(0.1), 0.1),
        gd.chain(gd.adam(0.1)),
        optax.adam(0.1),
    ],
    ids=lambda x: getattr(getattr(x, "recipe", None), "name", "optax"),
)
def test_stacked_refuses_what_may_see_all_leaves(inner):
    with pytest.raises(TypeError, match="stacked: inner must be lifted by leafwise"):
        gd.stacked(inner)


def test_wrappers_refuse_missing_params():
    for wrap in (gd.kahan, gd.master_weights, gd.stochastic_rounding):
        node, params = wrap(gd.sgd(0.1)), jnp.ones(2)
        with pytest.raises(ValueError, match=f"{node.recipe.name}: update needs params"):
            node.update(params, node.init(params))
