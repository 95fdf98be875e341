"""Least squares by `minimize`: the right digits, the reason of the stop, units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fits import FITS

import gdjax as gd
from gdjax.expression import parse


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def residuals_of(fit):
    formula, names = parse(fit.formula), list(fit.start)
    return lambda p: formula({**fit.columns, **{name: p[i] for i, name in enumerate(names)}}) - fit.y


def solve(residuals, start, factory=gd.levenberg_marquardt, **options):
    return gd.minimize(
        lambda p: 0.5 * jnp.sum(residuals(p) ** 2), np.array(start, float), factory(residuals), **options
    )


SUITE = ("biggs",)  # a minimum of singular Jacobian
OTHER_MINIMA = {"biggs": 5.655649925e-3, "gulf": 3.363783881807e-3}  # their sums of squares


def polish(residuals, point):
    """The minimum near a point, by Newton's method in NumPy."""
    value = lambda p: 0.5 * jnp.sum(residuals(p) ** 2)  # noqa: E731
    slopes = jax.jit(lambda p: (jax.grad(value)(p), jax.hessian(value)(p)))
    for _ in range(6):
        gradient, hessian = map(np.asarray, slopes(point))
        scale = np.sqrt(np.abs(np.diag(hessian)))
        point = point - np.linalg.solve(hessian / np.outer(scale, scale), gradient / scale) / scale
    return point


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.nightly) if name not in SUITE else name for name in FITS]
)
def test_fits_converge_and_are_right(name):
    """From the standard starts, six digits by Levenberg-Marquardt and four at least by a searched Gauss-Newton."""
    fit = FITS[name]
    residuals = residuals_of(fit)
    for factory, tolerance in ((gd.levenberg_marquardt, 1e-6), (gd.gauss_newton, 1e-4)):
        found = solve(residuals, list(fit.start.values()), factory, max_steps=3000)
        assert found.stop == gd.Stop.CONVERGED, found
        others = OTHER_MINIMA.get(name, 0.0)
        least = fit.least if found.value < fit.least + others / 4 else others
        np.testing.assert_allclose(2 * found.value, least, rtol=1e-7, atol=1e-20)
        if (name, least) != ("biggs", others):  # there only the sum of two parameters is determined
            np.testing.assert_allclose(found.params, polish(residuals, found.params), rtol=tolerance, atol=1e-9)


def freudenstein_roth(x):
    return jnp.stack([x[0] - 13 + ((5 - x[1]) * x[1] - 2) * x[1], x[0] - 29 + ((x[1] + 1) * x[1] - 14) * x[1]])


@pytest.mark.parametrize("factory", [gd.levenberg_marquardt, gd.gauss_newton])
def test_a_minimum_at_which_the_jacobian_is_singular_is_reached(factory):
    """The local minimum of Freudenstein and Roth, in closed form: the two equations' difference is stationary in y."""
    found = solve(freudenstein_roth, [0.5, -2.0], factory, max_steps=300)
    y = (2 - 22**0.5) / 3
    x = 21 - (((5 - y) * y - 2) * y + ((y + 1) * y - 14) * y) / 2
    assert found.stop == gd.Stop.CONVERGED, found
    np.testing.assert_allclose(found.params, [x, y], rtol=1e-6)


def test_least_squares_do_not_depend_on_units():
    """Parameters in other units and residuals in others: the same steps, the same end."""
    fit, steps = FITS["meyer"], []
    residuals = residuals_of(fit)
    start = np.array(list(fit.start.values()))
    for unit, scale in ((np.ones(3), 1.0), (np.array([1e-8, 1e9, 1.0]), 1e-9)):
        found = solve(lambda p, unit=unit, scale=scale: scale * residuals(p / unit), unit * start, max_steps=300)
        assert found.stop == gd.Stop.CONVERGED
        np.testing.assert_allclose(2 * found.value / scale**2, fit.least, rtol=1e-10)
        steps.append(int(found.steps))
    assert max(steps) - min(steps) <= 1  # rounding may decide over the last


def test_a_parameter_that_has_lost_all_influence_is_never_called_right():
    """From a rate too fast by far, no step leads back: the run stands still, and says so."""
    x, y = np.arange(1.0, 8.0), np.array([83.0, 122, 160, 170, 187, 188, 195])
    found = solve(lambda p: p[0] * (1 - jnp.exp(-p[1] * x)) - y, [1.0, 1.0], max_steps=500)
    assert found.stop == gd.Stop.STALLED and found.params[1] > 30, found
