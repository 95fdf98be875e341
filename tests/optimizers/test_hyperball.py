"""Matrices that turn and do not grow."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gdjax as gd

START = {"w": jnp.arange(6.0).reshape(2, 3) - 2, "b": jnp.ones(2), "zero": jnp.zeros((2, 2))}
GRADS = {"w": jnp.array([[3.0, -1, 2], [0.5, 4, -7]]), "b": jnp.array([1.0, -2]), "zero": jnp.ones((2, 2))}


@pytest.mark.parametrize("dtype, rtol", [("float32", 1e-5), ("bfloat16", 0.02)])
def test_a_matrix_keeps_its_length_and_other_leaves_go_as_the_inner_optimizer_says(dtype, rtol):
    params, grads = ({k: x.astype(dtype) for k, x in t.items()} for t in (START, GRADS))
    node, inner = gd.hyperball(gd.sgd(0.01, 0.9), 0.3), gd.sgd(0.01, 0.9)
    p, q, state, alone = params, params, node.init(params), inner.init(params)
    for _ in range(20):
        updates, state = node.update(grads, state, p)
        plain, alone = inner.update(grads, alone, q)
        p, q = optax.apply_updates(p, updates), optax.apply_updates(q, plain)
    assert float(jnp.linalg.norm(p["w"])) == pytest.approx(float(jnp.linalg.norm(params["w"])), rel=rtol)
    jax.tree.map(np.testing.assert_array_equal, (p["b"], p["zero"]), (q["b"], q["zero"]))


def test_a_step_has_the_angle_of_its_rate_whatever_the_length_of_the_update():
    """For an update across p the tangent of the angle is the rate; along p nothing turns."""
    p, across, along = (
        jnp.diag(jnp.array([3.0, 4.0])),
        jnp.diag(jnp.array([-4.0, 3.0])),
        jnp.diag(jnp.array([3.0, 4.0])),
    )
    for size in (1e-6, 1.0, 1e20):
        node = gd.hyperball(gd.sgd(1.0), 0.25)
        u, _ = node.update(-size * across, node.init(p), p)
        assert float(jnp.vdot(across, p + u) / jnp.vdot(p, p + u)) == pytest.approx(0.25, rel=1e-5)
        assert not jnp.any(jnp.abs(node.update(size * along, node.init(p), p)[0]) > 1e-6)


def test_the_rates_of_a_hyperball_are_its_own_on_matrices_and_the_inner_ones_elsewhere():
    node = gd.hyperball(gd.adam(gd.schedules.linear(0.1, 0.0, 10)), gd.schedules.linear(0.4, 0.2, 2))
    state = node.init(START)
    _, state = node.update(GRADS, state, START)
    np.testing.assert_allclose(node.learning_rates_at(state), [0.09, 0.3, 0.09], rtol=1e-6)  # b, w, zero


def test_a_hyperball_waits_where_the_inner_optimizer_does():
    node = gd.hyperball(gd.accumulate(gd.sgd(1.0), 2), 0.25)
    state = node.init(START)
    first, state = node.update(GRADS, state, START)
    second, state = node.update(GRADS, state, START)
    assert not jnp.any(first["w"]) and jnp.any(second["w"]) and int(state.count) == 1
