"""Projections by the names of Optax: its values and derivatives, and what a set promises besides."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gdjax import projections

RNG = np.random.default_rng(3)
TREE = {"a": RNG.normal(size=(2, 3)), "b": [RNG.normal(size=4), RNG.normal()]}
NORMAL = jax.tree.map(lambda x: RNG.normal(size=np.shape(x)), TREE)
LOWER = jax.tree.map(lambda x: -np.abs(RNG.normal(size=np.shape(x))) / 2, TREE)
CALLS = [
    ("box", (LOWER, jax.tree.map(np.negative, LOWER)), {}),
    ("box", (), {"lower": jax.tree.map(np.zeros_like, TREE), "upper": jax.tree.map(np.ones_like, TREE)}),
    ("hypercube", (), {"scale": jax.tree.map(lambda x: np.full(np.shape(x), 0.4), TREE)}),
    ("non_negative", (), {}),
    ("simplex", (), {}),
    ("simplex", (2.5,), {}),
    ("l1_ball", (3.0,), {}),
    ("l1_ball", (300.0,), {}),
    ("l1_sphere", (2.0,), {}),
    ("l2_ball", (), {}),
    ("l2_ball", (), {"scale": 100.0}),
    ("l2_sphere", (0.3,), {}),
    ("l2_sphere", (30.0,), {}),
    ("linf_ball", (0.4,), {}),
    ("hyperplane", (NORMAL, 0.7), {}),
    ("halfspace", (NORMAL, -4.0), {}),
    ("halfspace", (), {"a": NORMAL, "b": 40.0}),
    ("vector", (NORMAL,), {}),
]


FIRST = {case[0]: i for i, case in reversed([*enumerate(CALLS)])}  # of each name; the others are nightly


@pytest.mark.parametrize(
    ("name", "arguments", "keywords"),
    [pytest.param(*x, marks=[pytest.mark.nightly] * (i not in FIRST.values())) for i, x in enumerate(CALLS)],
)
def test_optax_names_are_optax_projections(name, arguments, keywords):
    if name == "hypercube":
        keywords_of_optax = {"lower": jax.tree.map(np.zeros_like, TREE), "upper": keywords["scale"]}
        theirs = optax.projections.projection_box
    else:
        keywords_of_optax, theirs = keywords, getattr(optax.projections, f"projection_{name}")
    ours = getattr(projections, f"projection_{name}")
    with jax.enable_x64(True):
        arguments, keywords, keywords_of_optax, x, weights = jax.tree.map(
            jnp.asarray, (arguments, keywords, keywords_of_optax, TREE, NORMAL)
        )

        def both(function, keywords):
            def total(x):
                point = function(x, *arguments, **keywords)
                return optax.tree.vdot(jax.tree.map(jnp.sin, point), weights), point

            return jax.jit(jax.grad(total, has_aux=True))(x)

        for got, right in zip(
            *map(jax.tree.leaves, (both(ours, keywords), both(theirs, keywords_of_optax))), strict=True
        ):
            np.testing.assert_allclose(got, right, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_spheres_and_lines_hold_at_any_scale(size):
    x, a = np.array([3.0, -4.0, 12.0]), np.array([1.0, 2.0, -2.0])
    far = {"w": jnp.asarray(size * x, jnp.float32)}
    np.testing.assert_allclose(projections.projection_l2_sphere(far, 2.0)["w"], 2 * x / 13, rtol=1e-6)
    line = projections.projection_vector(far, {"w": jnp.asarray(a / size, jnp.float32)})
    np.testing.assert_allclose(line["w"], size * a * (a @ x) / 9, rtol=1e-6)
    sphere = projections.projection_l1_sphere({"w": jnp.asarray(x, jnp.float32)}, 10.0)["w"]
    np.testing.assert_allclose(sphere, [0, -1, 9], atol=1e-6)


def test_a_norm_that_is_no_float_has_a_sphere():
    np.testing.assert_allclose(projections.projection_l2_sphere(jnp.full(4, 3e38, jnp.float32), 2.0), 1, rtol=1e-6)


def test_what_has_no_nearest_point_is_loud():
    point = jnp.array([1.0, 2.0])
    with pytest.raises(ValueError, match="lower must be at most upper"):
        projections.projection_box(point, 2.0, 1.0)
    for name in ("l1_sphere", "l2_sphere"):
        with pytest.raises(ValueError, match=rf"projection_{name}: scale must be in \[0, inf\), got -1"):
            getattr(projections, f"projection_{name}")(point, -1.0)
        with pytest.raises(TypeError, match=f"projection_{name}: x must be floating or complex, got int32"):
            getattr(projections, f"projection_{name}")(jnp.array([1, 2]))
    with pytest.raises(ValueError, match="projection_vector: a must have the structure of x"):
        projections.projection_vector({"w": point}, point)
    assert np.all(np.isnan(projections.projection_l2_sphere(jnp.zeros(3))))
    np.testing.assert_array_equal(projections.projection_vector(point, jnp.zeros(2)), 0)


def test_16_bits_are_computed_wide():
    x = jnp.full(40_000, 2.0, jnp.bfloat16)  # whose sum of squares, one by one in bfloat16, stops at 1024
    point = projections.projection_l2_sphere(x, 200.0)
    assert point.dtype == jnp.bfloat16
    np.testing.assert_array_equal(point, 1)
