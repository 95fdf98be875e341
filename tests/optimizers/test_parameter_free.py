"""Polyak's steps and the methods without a rate: closed forms, symmetries, and where Optax 0.2.8 goes wrong."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

import gdjax as gd

POLYAK = ("polyak_sgd", "momo", "momo_adam")
FREE = ("cocob", "dog", "dowg", "dadapt_adamw", "prodigy")
START = np.array([1.0, -2.0, 3.0])


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


@functools.partial(jax.jit, static_argnums=(1, 4))
def path_of(node, value_fn, params, factor=1.0, steps=30):
    """The parameters after each step, where the gradients are those of value_fn times a factor; and the last state."""

    def body(carry, _):
        params, state = carry
        value, grads = jax.value_and_grad(value_fn)(params)
        updates, state = node.update(factor * jnp.conj(grads), state, params, value=value)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    (_, state), path = jax.lax.scan(body, (params, node.init(params)), length=steps)
    return path, state


def bowl(x):
    return jnp.sum(jnp.abs(x - 3) ** 2)


def raise_bowl(x):
    return bowl(x) + 5


def first_update(factory, params, grads, **arguments):
    optimizer = factory()
    return jax.jit(lambda p, g: optimizer.update(g, optimizer.init(p), p, **arguments)[0])(params, grads)


@pytest.mark.parametrize("scaling", [0.5, 1.0, 2.0])
def test_polyak_scales_the_step_and_optax_its_inverse(double, scaling):
    value, grads = jax.value_and_grad(bowl)(START)
    ours, theirs = (
        first_update(lambda make=make: make(1e6, scaling), START, grads, value=value)
        for make in (gd.polyak_sgd, optax.polyak_sgd)
    )
    step = -value / jnp.sum(grads**2) * grads
    np.testing.assert_allclose(ours, scaling * step, rtol=1e-14)
    np.testing.assert_allclose(theirs, step / scaling, rtol=1e-14)


def test_polyak_takes_the_longest_step_at_most_and_below_f_min_turns_back_unless_told(double):
    value, grads = jax.value_and_grad(bowl)(START)

    def step(*arguments, **others):
        return first_update(lambda: gd.polyak_sgd(*arguments, **others), START, grads, value=value)

    np.testing.assert_allclose(step(0.01), -0.01 * grads, rtol=1e-14)
    np.testing.assert_allclose(step(1e6, eps=7.0), -value / (jnp.sum(grads**2) + 7) * grads, rtol=1e-14)
    assert jnp.vdot(step(f_min=1e3), grads) > 0
    assert not step(f_min=1e3, variant="sps+").any()


def test_momo_that_forgets_is_polyak(double):
    ours, polyak = (path_of(node, bowl, START)[0] for node in (gd.momo(1e6, 0.0), gd.polyak_sgd(1e6)))
    np.testing.assert_allclose(ours, polyak, rtol=1e-10)


def test_momo_learns_the_least_value_from_below(double):
    told, learns = (
        path_of(gd.momo(0.3, lower_bound=-10.0, adapt_lower_bound=adapt), raise_bowl, START, 1.0, 300)
        for adapt in (False, True)
    )
    assert optax.tree.get(told[1], "lb") == -10
    assert optax.tree.get(learns[1], "lb") == pytest.approx(5, abs=1e-3)


@pytest.mark.parametrize(
    "node",
    [
        gd.cocob(eps=1e-40),
        gd.dog(eps=0.0),
        gd.dowg(init_estim_sq_dist=1e-4, eps=1e-40),
        gd.dadapt_adamw(eps=1e-40),
        gd.prodigy(eps=1e-40),
    ],
    ids=lambda node: node.recipe.name,
)
def test_the_unit_of_the_loss_is_of_no_account(double, node):
    path, other = (path_of(node.canonicalize(), bowl, START, factor)[0] for factor in (1.0, 1e3))
    assert np.ptp(path, axis=0).max() > 0
    np.testing.assert_allclose(path - START, other - START, rtol=1e-9)


@pytest.mark.parametrize("node", [gd.cocob(), gd.dog(), gd.dowg(), gd.dadapt_adamw(), gd.prodigy()], ids=repr)
def test_what_has_no_rate_finds_the_minimum(double, node):
    path, _ = path_of(node, bowl, START, 1.0, 3000)
    assert bowl(path[-1]) < 1e-2 * bowl(START)


def bent(z, target):
    return jnp.sum(jnp.abs(z - target) ** 2) + 0.1 * jnp.abs(z[0] + 1j * z[1]) ** 4


COMPLEX, TARGET = np.array([1 + 2j, -3j]), np.array([2 - 1j, 1 + 1j])


def turn_error(node):
    """How far the path is from that after a turn of the plane, turned back."""
    turn = np.exp(0.7j)
    path, _ = path_of(node, lambda z: bent(z, TARGET), COMPLEX)
    other, _ = path_of(node, lambda z: bent(z, turn * TARGET), turn * COMPLEX)
    return np.abs(turn * path - other).max() / np.abs(path - COMPLEX).max()


ALIKE = ("momo", "dadapt_adamw", "dowg")  # to momo_adam, prodigy and dog


@pytest.mark.parametrize("name", [pytest.param(x, marks=[pytest.mark.nightly] * (x in ALIKE)) for x in POLYAK + FREE])
def test_a_turn_of_the_complex_plane_turns_the_path_and_not_always_optax(double, name):
    assert turn_error(getattr(gd, name)()) < 1e-8
    if name in ("momo_adam", "dadapt_adamw", "prodigy"):
        assert not turn_error(gd.as_optimizer(getattr(contrib, name)())) < 1e-3


@pytest.mark.parametrize(
    "node",
    [
        *(pytest.param(x, marks=pytest.mark.nightly) for x in (gd.polyak_sgd(), gd.dowg())),
        gd.momo(weight_decay=0.1),
        gd.dog(),
    ],
    ids=repr,
)
def test_a_complex_number_is_a_pair_where_only_inner_products_count(double, node):
    def difference(node):
        path, _ = path_of(node, lambda z: bent(z, TARGET), COMPLEX)
        pairs = np.stack([np.real(COMPLEX), np.imag(COMPLEX)])
        other, _ = path_of(node, lambda x: bent(x[0] + 1j * x[1], TARGET), pairs)
        return np.abs(path - (other[:, 0] + 1j * other[:, 1])).max() / np.abs(path - COMPLEX).max()

    assert difference(node.canonicalize()) < 1e-8
    if node.recipe.name == "momo":  # without decay the imaginary parts of Optax's products cancel
        assert not difference(gd.as_optimizer(contrib.momo(weight_decay=0.1))) < 1e-3


NOT_A_NUMBER = {("prodigy", "float32")}  # where Optax divides 0 by 0
NOT_A_NUMBER |= {(name, "float16") for name in ("momo_adam", "cocob", "dog", "dadapt_adamw", "prodigy")}


@pytest.mark.parametrize("dtype", ["float16", pytest.param("float32", marks=pytest.mark.nightly)])
@pytest.mark.parametrize("name", POLYAK + FREE)
def test_a_first_gradient_of_zero_moves_nothing(name, dtype):
    params = jnp.ones(3, dtype)
    value = {"value": jnp.float32(1)} if name in POLYAK else {}
    assert not first_update(getattr(gd, name), params, 0 * params, **value).any()
    theirs = getattr(contrib, name, None) or getattr(optax, name)
    assert jnp.isnan(first_update(theirs, params, 0 * params, **value)).any() == ((name, dtype) in NOT_A_NUMBER)


def test_a_zero_gradient_leaves_dadapt_its_estimate_and_optax_none():
    params = jnp.ones(3)
    ours, theirs = (
        f().update(0 * params, f().init(params), params)[1] for f in (gd.dadapt_adamw, contrib.dadapt_adamw)
    )
    d, their_d = (optax.tree.get(state, "estim_lr") for state in (ours, theirs))
    assert d == jnp.float32(1e-6) and jnp.isnan(their_d)


def test_the_sum_of_dog_goes_on_in_bfloat16_and_optaxs_stops():
    params = jnp.ones(3, jnp.bfloat16)

    def total(node):
        state, _ = jax.lax.scan(
            lambda state, _: (node.update(params, state, params)[1], None), node.init(params), length=2000
        )
        return state

    assert float(total(gd.dog()).scalars["norm_grads"]) == pytest.approx(6000**0.5, rel=1e-5)
    assert float(optax.tree.get(total(contrib.dog()), "sum_sq_norm_grads")) < 2000


@pytest.mark.parametrize("name", ["dadapt_adamw", "prodigy"])
def test_sixteen_bits_want_master_weights(name):
    params = jnp.ones(3, jnp.float16)
    bare, kept = (
        path_of(node, bowl, params, 1.0, 1000)[0][-1]
        for node in (getattr(gd, name)(), gd.master_weights(getattr(gd, name)()))
    )
    assert not bowl(bare) < bowl(params)
    assert bowl(kept) < 0.5 * bowl(params)


@pytest.mark.parametrize("name", POLYAK)
def test_the_value_is_asked_for(name):
    with pytest.raises(ValueError, match=f"{name}: update needs value="):
        first_update(getattr(gd, name), jnp.ones(3), jnp.ones(3))


@pytest.mark.parametrize("name", POLYAK + FREE)
def test_what_does_not_fit_is_named(name):
    factory = getattr(gd, name)
    with pytest.raises(ValueError, match=r"grads\['w'\] must have shape \(3,\) as in params, got \(2,\)"):
        first_update(factory, {"w": jnp.ones(3)}, {"w": jnp.ones(2)}, value=1.0)
    with pytest.raises(TypeError, match=r"params\['w'\] must be floating or complex"):
        factory().init({"w": jnp.arange(3)})


def test_words_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="'sps' or 'sps\\+'"):
        gd.polyak_sgd(variant="sps*").init(START)
    with pytest.raises(ValueError, match="'distance', 'heuristic' or 'learning_rate'"):
        gd.dog(init_step=("length", 1.0)).init(START)
