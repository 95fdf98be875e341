"""Gradients that are few rows, gradients of single examples, and curvature by estimate."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

import gdjax as gd
from gdjax.certify import suite
from gdjax.certify.examples import example_calls
from gdjax.certify.measure import difference, oracle_updates, updates_of
from gdjax.certify.oracles import ORACLES
from gdjax.certify.references import optax_reference

SPARSE = pytest.mark.parametrize("make", [gd.sparse_adagrad, gd.sparse_adam])
TABLE, WIDTH, TOUCHED = 12, 3, 5


def table(dtype=jnp.float32):
    return {
        "table": jnp.asarray(np.random.default_rng(0).normal(size=(TABLE, WIDTH)), dtype),
        "bias": jnp.ones(2, dtype),
    }


def rows_at(i, dtype=jnp.float32):
    """Five rows with duplicates, one of them outside, one all zero; and a bias that is an array."""
    rng = np.random.default_rng(i)
    indices = rng.integers(0, TABLE, TOUCHED)
    indices[1], indices[2] = indices[0], TABLE + 3
    values = rng.normal(size=(TOUCHED, WIDTH))
    values[4] = 0
    return {"table": gd.Rows(jnp.asarray(indices), jnp.asarray(values, dtype)), "bias": jnp.full(2, 0.5, dtype)}


def dense(grads, dtype=jnp.float32):
    return {**grads, "table": jnp.zeros((TABLE, WIDTH), dtype) + grads["table"]}


def descend(node, make_grads, params, number=20):
    state, update = node.init(params), jax.jit(node.update)
    for i in range(number):
        updates, state = update(make_grads(i), state, params)
        params = optax.apply_updates(params, updates)
    return params, state


@SPARSE
def test_rows_and_arrays_give_the_same_step(make):
    """The same bits but for duplicates, whose sum a scatter may take in another order."""
    params = table()
    by_rows, state = descend(make(0.1), rows_at, params)
    whole, whole_state = descend(make(0.1), lambda i: dense(rows_at(i)), params)
    for a, b in zip(jax.tree.leaves((by_rows, state)), jax.tree.leaves((whole, whole_state)), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-7)
    assert int(state.count or 20) == 20 if make is gd.sparse_adam else state.count is None


def test_sparse_adagrad_is_adagrad_and_sparse_adam_with_full_rows_is_adam_to_the_bit():
    params = table()
    one, _ = descend(gd.sparse_adagrad(0.1), lambda i: dense(rows_at(i)), params)
    other, _ = descend(gd.adagrad(0.1), lambda i: dense(rows_at(i)), params)
    np.testing.assert_array_equal(one["table"], other["table"])
    full = lambda i: jax.tree.map(lambda p: jnp.cos(p + i), params)  # noqa: E731
    one, other = (descend(make(0.1), full, params)[0] for make in (gd.sparse_adam, gd.adam))
    np.testing.assert_array_equal(one["table"], other["table"])


@SPARSE
def test_rows_without_gradient_rest(make):
    params = table()
    _, state = descend(make(0.1), lambda i: dense(rows_at(i)), params, 8)
    grads = dense(rows_at(8))
    untouched = ~np.any(np.asarray(grads["table"]) != 0, axis=1)
    assert 0 < untouched.sum() < TABLE
    updates, new = make(0.1).update(grads, state, params)
    assert not np.any(np.asarray(updates["table"])[untouched])
    assert np.all(np.any(np.asarray(updates["table"])[~untouched] != 0, axis=1))
    for name, slot in new.slots.items():
        np.testing.assert_array_equal(slot["table"][untouched], state.slots[name]["table"][untouched])


def test_adam_forgets_where_lazy_adam_rests():
    """The difference between the two: a row that is not seen again moves on under Adam."""
    start = table()
    once = lambda i: dense(rows_at(0)) if i == 0 else jax.tree.map(jnp.zeros_like, start)  # noqa: E731
    for make, moves in ((gd.adam, True), (gd.sparse_adam, False)):
        first, _ = descend(make(0.1), once, start, 1)
        later, _ = descend(make(0.1), once, start, 4)
        assert np.any(np.asarray(first["table"] != later["table"])) == moves


def test_sparse_adam_is_that_of_torch():
    """Whose eps enters before the correction: as a schedule, ours is the same."""
    torch = pytest.importorskip("torch")
    with jax.enable_x64(True):
        params = {"table": table(jnp.float64)["table"]}
        node = gd.sparse_adam(0.1, 0.8, 0.99, eps=lambda step: 1e-3 / jnp.sqrt(1 - 0.99 ** (step + 1)))
        x = torch.nn.Parameter(torch.tensor(np.asarray(params["table"])))
        theirs = torch.optim.SparseAdam([x], lr=0.1, betas=(0.8, 0.99), eps=1e-3)

        def grads(i):
            rng = np.random.default_rng(i)
            indices, values = rng.integers(0, TABLE, TOUCHED), rng.normal(size=(TOUCHED, WIDTH))
            return indices, values

        for i in range(20):
            indices, values = grads(i)
            x.grad = torch.sparse_coo_tensor(indices[None], values, (TABLE, WIDTH), check_invariants=True)
            theirs.step()
        ours, _ = descend(node, lambda i: {"table": gd.Rows(*map(jnp.asarray, grads(i)))}, params)
        np.testing.assert_allclose(ours["table"], x.detach().numpy(), rtol=1e-12)


def test_the_gradient_of_a_lookup_in_two_forms():
    params, ids = table(), jnp.array([3, 3, 0, 7])
    loss = lambda looked_up: jnp.sum(jnp.sin(looked_up) ** 2)  # noqa: E731
    whole = jax.grad(lambda x: loss(x[ids]))(params["table"])
    rows = gd.Rows(ids, jax.grad(loss)(params["table"][ids]))
    np.testing.assert_allclose(jnp.zeros((TABLE, WIDTH)) + rows, whole, rtol=1e-6)
    np.testing.assert_allclose(np.zeros((TABLE, WIDTH), np.float32) + rows, whole, rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, pytest.param(jnp.float32, marks=pytest.mark.nightly)])
@SPARSE
def test_rows_are_a_legal_carry_and_keep_dtypes(make, dtype):
    node, params = make(0.1), table(dtype)

    def body(carry, i):
        params, state = carry
        updates, state = node.update(rows_at(0, jnp.float32), state, params)
        assert updates["table"].values.dtype == dtype and updates["table"].values.shape == (TOUCHED, WIDTH)
        return (optax.apply_updates(params, updates), state), None

    jax.jit(lambda: jax.lax.scan(body, (params, node.init(params)), jnp.arange(3)))()


def test_the_cost_is_that_of_the_rows():
    """Nothing as large as the table is computed but the sums in place."""
    number = 100_000
    params = {"table": jnp.zeros((number, 4))}
    node = gd.sparse_adam(0.1)
    grads = {"table": gd.Rows(jnp.arange(5), jnp.ones((5, 4)))}

    def step(params, state, grads):
        updates, state = node.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    arguments = (params, node.init(params), grads)
    by_rows = jax.jit(step, donate_argnums=(0, 1)).lower(*arguments).compile().memory_analysis()
    assert by_rows.temp_size_in_bytes < number
    assert by_rows.alias_size_in_bytes >= 3 * 4 * 4 * number


@SPARSE
def test_rows_that_do_not_fit_are_refused_with_their_path(make):
    node, params = make(0.1), table()
    state = node.init(params)
    bad = {**rows_at(0), "table": gd.Rows(jnp.arange(3), jnp.ones((3, 4)))}
    with pytest.raises(ValueError, match=rf"{node.recipe.name}: grads\['table'\] must have indices \(k,\)"):
        node.update(bad, state, params)
    with pytest.raises(ValueError, match=rf"{node.recipe.name}: .* it lacks \['bias'\]"):
        node.update({"table": rows_at(0)["table"]}, state, params)


def per_example(recording, number=4):
    """The gradients of single examples: those of neighboring steps."""
    beside = jax.tree.map(lambda g: np.stack([np.roll(g, k, axis=1) for k in range(number)], axis=2), recording.grads)
    return recording._replace(grads=beside)


@pytest.mark.parametrize("index", [pytest.param(1, marks=pytest.mark.nightly), 2])
def test_dpsgd_is_that_of_optax_and_of_its_paper(index):
    """Noise included: the same seed gives the same numbers."""
    node, recording = example_calls("dpsgd")[index], per_example(suite.record(12))
    with jax.enable_x64(True):
        ours = updates_of(node, recording)
        for theirs in (
            updates_of(optax_reference(node), recording),
            oracle_updates(ORACLES["dpsgd"], node.arguments, recording),
        ):
            assert difference(ours, theirs, np.float64, 1e-12).parted is None


def test_dpsgd_no_example_counts_for_more_than_the_clip():
    params = {"a": jnp.zeros(2), "b": jnp.zeros(())}
    node = gd.dpsgd(1.0, 0.5, 0.0, seed=0)
    grads = {"a": jnp.array([[300.0, 0.0], [0.03, 0.0]]), "b": jnp.array([400.0, 0.04])}
    updates, _ = node.update(grads, node.init(params), params)
    np.testing.assert_allclose(updates["a"], [-(0.3 + 0.03) / 2, 0], rtol=1e-6)
    np.testing.assert_allclose(updates["b"], -(0.4 + 0.04) / 2, rtol=1e-6)


def test_dpsgd_noise_has_its_size_and_gradients_their_examples():
    params = {"a": jnp.zeros(20_000)}
    node = gd.dpsgd(1.0, 2.0, 3.0, seed=1)
    updates, state = node.update({"a": jnp.zeros((4, 20_000))}, node.init(params), params)
    np.testing.assert_allclose(np.std(updates["a"]), 2.0 * 3.0 / 4, rtol=0.03)
    again, _ = node.update({"a": jnp.zeros((4, 20_000))}, state, params)
    assert np.any(np.asarray(again["a"] != updates["a"]))
    with pytest.raises(ValueError, match=r"grads\['a'\] must have shape .* one row per example, got \(20000,\)"):
        node.update(params, node.init(params), params)


def quadratic(params):
    """Curvature 1, 4, 9 on `a`, 2 on `b`, no cross terms: every estimate is exact."""
    return 0.5 * jnp.sum(jnp.array([1.0, 4.0, 9.0]) * params["a"] ** 2) + params["b"] ** 2


def couple(params):
    return quadratic(params) + params["a"][0] * params["a"][1] + jnp.sin(params["a"][2] * params["b"])


@pytest.mark.parametrize("passed_as", ["obj_fn", "value_fn"])
def test_sophia_with_hutchinson_is_that_of_optax(passed_as):
    """The same seed gives the same signs."""
    with jax.enable_x64(True):
        params = {"a": jnp.array([1.0, -2.0, 0.5]), "b": jnp.asarray(0.3)}
        options = {"b2": 0.5, "gamma": 1.0, "clip_threshold": None, "update_interval": 3}
        ours = gd.sophia(0.01, **options)
        theirs = contrib.sophia(
            0.01,
            **options,
            hessian_diagonal_fn=contrib.hutchinson_estimator_diag_hessian(jax.random.key(0)),
        )

        def body(carry, _):
            params, state, their_state = carry
            grads = jax.grad(couple)(params)
            updates, state = ours.update(grads, state, params, **{passed_as: couple})
            expected, their_state = theirs.update(grads, their_state, params, obj_fn=couple)
            return (optax.apply_updates(params, updates), state, their_state), (updates, expected)

        start = (params, ours.init(params), theirs.init(params))
        _, (updates, expected) = jax.jit(lambda: jax.lax.scan(body, start, length=15))()
        for u, e in zip(jax.tree.leaves(updates), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(u, e, rtol=1e-12)


def test_estimators_fit_optax_and_those_of_optax_fit_here():
    params = {"a": jnp.ones(3), "b": jnp.ones(())}
    for node, fn in (
        (contrib.sophia(0.1, hessian_diagonal_fn=gd.hutchinson()), quadratic),
        (gd.sophia(0.1, hessian_diagonal_fn=contrib.hutchinson_estimator_diag_hessian()), quadratic),
    ):
        state = node.init(params)
        for _ in range(2):
            updates, state = jax.jit(lambda g, s, p, node=node, fn=fn: node.update(g, s, p, obj_fn=fn))(
                params, state, params
            )
        assert jax.tree.structure(updates) == jax.tree.structure(params)
    assert gd.sophia(0.1) == gd.sophia(0.1)


def test_hutchinson_is_exact_on_a_diagonal_and_right_on_average_elsewhere():
    params = {"a": jnp.array([1.0, -2.0, 0.5]), "b": jnp.asarray(0.3)}
    h, _ = gd.hutchinson(3).update(params, gd.hutchinson(3).init(params), params, value_fn=quadratic)
    np.testing.assert_allclose(h["a"], [1, 4, 9], rtol=1e-6)
    np.testing.assert_allclose(h["b"], 2, rtol=1e-6)

    def one(seed):
        node = gd.hutchinson(jax.random.key(seed))
        return node.update(params, node.init(params), params, value_fn=couple)[0]

    mean = jax.tree.map(lambda x: x.mean(axis=0), jax.jit(jax.vmap(one))(jnp.arange(1000)))
    exact = jax.hessian(couple)(params)
    np.testing.assert_allclose(mean["a"], jnp.diag(exact["a"]["a"]), atol=0.15)
    np.testing.assert_allclose(mean["b"], exact["b"]["b"], atol=0.15)


def test_hutchinson_of_a_complex_parameter_is_the_mean_curvature_of_its_parts():
    params = jnp.array([1 + 2j, 0.5 - 1j])
    fn = lambda z: jnp.sum(jnp.array([1.0, 3.0]) * z.real**2 + jnp.array([2.0, 5.0]) * z.imag**2)  # noqa: E731

    def one(seed):
        node = gd.hutchinson(jax.random.key(seed))
        return node.update(params, node.init(params), params, value_fn=fn)[0]

    np.testing.assert_allclose(jax.jit(jax.vmap(one))(jnp.arange(50)).mean(axis=0), [3, 8], rtol=1e-5)


def test_gauss_newton_bartlett_is_the_gauss_newton_diagonal_on_average():
    """Of logistic regression, where that is the Hessian's."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 3)), jnp.float32)
    params = jnp.array([0.3, -0.5, 1.0])

    def sample(params, key):
        logits = x @ params
        labels = jax.random.bernoulli(key, jax.nn.sigmoid(jax.lax.stop_gradient(logits))).astype(jnp.float32)
        return jnp.mean(optax.sigmoid_binary_cross_entropy(logits, labels))

    def one(seed):
        node = gd.gauss_newton_bartlett(8.0, jax.random.key(seed))
        return node.update(params, node.init(params), params, sampled_value_fn=sample)[0]

    estimate = jax.jit(jax.vmap(one))(jnp.arange(4000)).mean(axis=0)
    exact = jnp.diag(jax.hessian(lambda p: sample(p, jax.random.key(0)))(params))
    np.testing.assert_allclose(estimate, exact, rtol=0.1)


def test_sophia_steps_by_newton_where_it_trusts_and_by_sign_where_not():
    params = {"a": jnp.array([1e-4, 1.0, 1.0]), "b": jnp.asarray(0.0)}
    node = gd.sophia(1.0, b1=0.0, b2=0.0, weight_decay=0.0, gamma=2.0)
    state, grads = node.init(params), jax.grad(quadratic)(params)
    first, state = node.update(grads, state, params, value_fn=quadratic)
    np.testing.assert_allclose(first["a"], [-1, -1, -1])  # no curvature known yet
    second, state = node.update(grads, state, params, value_fn=quadratic)
    np.testing.assert_allclose(second["a"], [-0.5e-4, -0.5, -0.5], rtol=1e-5)
    np.testing.assert_allclose(state.nu["a"], [1, 4, 9], rtol=1e-6)


def test_sophia_in_a_run_needs_nothing_more_and_says_what_it_lacks(capfd):
    params = {"a": jnp.ones(3), "b": jnp.ones(())}
    node = gd.sophia(0.1, verbose=True, print_win_rate_every_n_steps=2)
    step = gd.make_step(lambda params, batch, key: (quadratic(params), {}))
    state = gd.make_state(params, node)
    for _ in range(4):
        state, metrics = jax.jit(step)(state, jnp.zeros((1, 1)))
    jax.effects_barrier()
    assert metrics["loss"] < quadratic(params)
    assert capfd.readouterr().out.count("sophia: win rate") == 2
    with pytest.raises(ValueError, match=r"hutchinson: update needs params and value_fn="):
        node.update(params, node.init(params), params)
