"""What a problem says of itself is true."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gdjax as gd
from gdjax import problems
from gdjax.problems import PROBLEMS, normal_equations
from gdjax.tree import global_norm


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def floats(tree):
    return jax.tree.map(lambda x: jnp.asarray(x, float) if np.asarray(x).dtype.kind == "f" else jnp.asarray(x), tree)


@pytest.mark.parametrize("name", PROBLEMS)
def test_known_points_have_zero_gradient_and_minima_the_value(name):
    problem = PROBLEMS[name]()
    value_and_grad = jax.jit(jax.value_and_grad(problem))  # one program for all points
    for point in (*problem.minima, *problem.stationary):
        assert float(global_norm(value_and_grad(floats(point))[1])) < 1e-11
    for minimum in problem.minima:
        assert float(value_and_grad(floats(minimum))[0]) == pytest.approx(problem.value, abs=1e-12)
        assert problem.distance(minimum) == 0
        near = jax.tree.map(lambda x: x + 0.01 * np.random.default_rng(0).normal(size=np.shape(x)), minimum)
        assert float(value_and_grad(floats(near))[0]) > problem.value
    value, slope = value_and_grad(floats(problem.start))
    assert jnp.isfinite(value) and float(global_norm(slope)) > 0, "a start is no stationary point"


@pytest.mark.parametrize("name", [name for name in PROBLEMS if PROBLEMS[name]().lipschitz is not None])
def test_no_curvature_is_above_the_stated_one(name):
    problem = PROBLEMS[name]()
    flat, unravel = jax.flatten_util.ravel_pytree(floats(problem.start))
    points = flat + 2 * jax.random.normal(jax.random.key(0), (200, flat.size))
    curvatures = np.linalg.eigvalsh(jax.jit(jax.vmap(jax.hessian(lambda x: problem(unravel(x)))))(points))
    assert np.abs(curvatures).max() <= problem.lipschitz * (1 + 1e-9)
    if problem.condition is not None:
        assert curvatures.max() / curvatures.min() == pytest.approx(problem.condition, rel=1e-9)
        assert curvatures.max() == pytest.approx(problem.lipschitz, rel=1e-9)


@settings(max_examples=4, deadline=None)
@given(st.lists(st.floats(0.1, 100), min_size=2, max_size=5), st.integers(0, 1000))
def test_a_quadratic_has_the_spectrum_that_was_asked_for(spectrum, seed):
    problem = problems.quadratic(tuple(spectrum), seed)
    with jax.enable_x64(True):
        hessian = jax.hessian(problem)(jnp.asarray(problem.start))
    np.testing.assert_allclose(np.linalg.eigvalsh(hessian), np.sort(spectrum), rtol=1e-9)


@pytest.mark.parametrize(
    "name",
    ["exponential_decay", *(pytest.param(x, marks=pytest.mark.nightly) for x in ("least_squares", "ridge", "softmax"))],
)
def test_fits_can_be_fitted(name):
    """The logistic one beside scikit-learn's, below."""
    problem = PROBLEMS[name]()
    found = gd.minimize(problem.f, problem.start, gd.lbfgs(), args=problem.args, stop=gd.stopping.gradient_norm(1e-8))
    assert found.stop == gd.Stop.CONVERGED
    assert not problem.minima or problem.distance(found.params) < 1e-6


def test_residuals_make_up_the_value():
    problem = problems.exponential_decay()
    residuals = problem.residuals(floats(problem.start), *problem.args)
    assert 0.5 * jnp.sum(residuals**2) == pytest.approx(float(problem(floats(problem.start))))


def test_logistic_has_the_objective_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    problem = problems.logistic(c=0.7)
    x, y, _ = problem.args
    theirs = LogisticRegression(C=0.7, tol=1e-12).fit(x, y)
    found = gd.minimize(problem.f, problem.start, gd.lbfgs(), args=problem.args, stop=gd.stopping.gradient_norm(1e-9))
    np.testing.assert_allclose(found.params["w"], theirs.coef_[0], rtol=1e-5)
    assert found.params["b"] == pytest.approx(theirs.intercept_[0], rel=1e-4, abs=1e-6)


def test_the_three_hinges_are_one():
    n, c, rng = 200, 4.0, np.random.default_rng(0)
    half, whole, mean = (
        problems.hinge(c=x, form=form) for x, form in ((c, "half"), (2 * c, "whole"), (1 / (2 * c), "mean"))
    )
    for _ in range(5):
        params = {"w": jnp.asarray(rng.normal(size=2)), "b": jnp.asarray(rng.normal())}
        assert float(whole(params)) == pytest.approx(2 * float(half(params)))
        assert c * float(mean(params)) == pytest.approx(float(half(params)))
    assert len(half.args[0]) == n


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("penalty", [0.0, 0.3])
def test_normal_equations_against_least_squares(bias, penalty):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(50, 4)) + 2, rng.normal(size=50) + 5
    found = normal_equations(x, y, penalty, bias)
    design = np.column_stack([x, np.ones(50)]) if bias else x
    shrink = np.sqrt(50 * penalty) * np.eye(4, design.shape[1])
    expected = np.linalg.lstsq(np.vstack([design, shrink]), np.concatenate([y, np.zeros(4)]), rcond=None)[0]
    np.testing.assert_allclose(found["w"], expected[:4], rtol=1e-9)
    assert float(found["b"]) == pytest.approx(expected[4] if bias else 0.0, rel=1e-9)


def of_condition(condition, n=60, d=3, seed=0):
    """x whose columns, less their means, have this condition; y of w = 1, 2, ..., d without noise: float64."""
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.normal(size=(n, d)) - 0)[0]
    q = np.linalg.qr(q - q.mean(axis=0))[0]
    x = q * np.geomspace(1, 1 / condition, d) @ np.linalg.qr(rng.normal(size=(d, d)))[0] * np.sqrt(n)
    return x, x @ np.arange(1.0, d + 1)


traced = jax.jit(normal_equations)


@pytest.mark.parametrize("condition", [3.0, 700.0, 4e3])
def test_normal_equations_do_not_square_the_condition(condition):
    with jax.enable_x64(False):
        x, y = of_condition(condition)
        x32, y32 = x.astype(np.float32), (x.astype(np.float32).astype(float) @ [1, 2, 3] + 2).astype(np.float32)
        for found in (normal_equations(x, y), traced(x32, y32)):
            assert found["w"].dtype == jnp.float32
            np.testing.assert_allclose(found["w"], [1, 2, 3], rtol=0, atol=1e-6 * condition + 1e-5)


def test_normal_equations_of_columns_in_other_units():
    with jax.enable_x64(False):
        rng = np.random.default_rng(3)
        unit, mean = np.array([1e-20, 1e22, 50.0]), np.array([0, 3e22, 1.7e9])
        z = rng.normal(size=(60, 3))
        x, y = mean + z * unit, z @ [1, -2, 3] + 5
        np.testing.assert_allclose(normal_equations(x, y)["w"] * unit, [1, -2, 3], rtol=1e-5)


def test_normal_equations_of_dependent_columns_are_nan():
    for seed in range(3):
        rng = np.random.default_rng(seed)
        a, b, c = rng.normal(size=(3, 60)).astype(np.float32) + np.float32([[0], [7], [-2]])
        one = np.full(60, np.float32(0.1))
        with jax.enable_x64(False):
            for columns in ([a, 3 * a, c], [a, b, a + b], [b, 0.3 * a - b, a], [a, one, b], [a, 0 * a, c]):
                x = np.stack(columns, axis=1)
                for solve in (normal_equations, traced):
                    assert np.all(np.isnan(solve(x, b)["w"])), columns
                    assert np.all(np.isfinite(solve(x, b, 0.1)["w"]))
    with jax.enable_x64(False):
        assert np.all(np.isnan(traced(x[:2], b[:2])["w"])), "more columns than rows"


def test_normal_equations_can_be_differentiated():
    x, y = of_condition(20.0)
    y = y + np.sin(np.arange(len(y)))

    @jax.jit
    def value(x, y, penalty):
        found = normal_equations(x, y, penalty)
        return found["w"] @ jnp.array([0.3, -1.0, 2.0]) + found["b"]

    slopes = jax.jit(jax.grad(value, (0, 1, 2)))
    rng, h = np.random.default_rng(0), 1e-6
    for penalty in (0.0, 0.2):
        dx, dy = rng.normal(size=x.shape), rng.normal(size=y.shape)
        g = slopes(x, y, penalty)
        ahead, behind = (value(x + s * dx, y + s * dy, penalty) for s in (h, -h))
        np.testing.assert_allclose(np.vdot(g[0], dx) + np.vdot(g[1], dy), (ahead - behind) / (2 * h), rtol=1e-5)
        forward = (4 * value(x, y, penalty + h) - value(x, y, penalty + 2 * h) - 3 * value(x, y, penalty)) / (2 * h)
        np.testing.assert_allclose(g[2], forward, rtol=1e-4)


def test_bad_input_is_told():
    with pytest.raises(ValueError, match="bowl: steepness must be above 0, got -1"):
        problems.bowl(-1)
    with pytest.raises(ValueError, match="hinge: form must be one of half, whole, mean"):
        problems.hinge(form="full")
    with pytest.raises(ValueError, match="logistic: y must be -1 or 1"):
        problems.logistic(np.ones((3, 2)), np.arange(3))
    with pytest.raises(ValueError, match=r"least_squares: x must be \(n, d\) and y \(n,\), got \(3,\) and \(3,\)"):
        problems.least_squares(np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="normal_equations: x must be"):
        normal_equations(np.ones(3), np.ones(3))
