"""Curves: parameters and errors against SciPy, starts near and far, bounds, what is not determined, and wrong input."""

import csv
import dataclasses
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fits import FITS
from scipy import optimize, stats
from test_least_squares import polish, residuals_of

import gdjax as gd
from experiments.bench.coverage import curve_coverage
from gdjax.expression import parse
from gdjax.solve.curve_formula import read_curve
from gdjax.solve.curve_solver import Rows, Solver

X = np.linspace(0, 4, 40)
DECAY = {"x": X, "y": 5 * np.exp(-1.3 * X) + 0.5 + 0.05 * np.random.default_rng(0).normal(size=40)}


def decay(x, a, b, c):
    return a * jnp.exp(-b * x) + c


def scipy_of(fit, start, **options):
    """SciPy's parameters and standard errors, its Jacobian given."""
    formula, names = parse(fit.formula), list(fit.start)
    curve = lambda p: formula({**fit.columns, **{name: p[i] for i, name in enumerate(names)}}) + 0.0 * fit.y  # noqa: E731
    with jax.enable_x64(True):
        value, slopes = jax.jit(curve), jax.jit(jax.jacfwd(curve))
        options |= {"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15, "jac": lambda _, *p: np.array(slopes(np.array(p)))}
        found, covariance = optimize.curve_fit(
            lambda _, *p: np.array(value(np.array(p))), None, fit.y, start, **options
        )
    return found, np.sqrt(np.diag(covariance))


SUITE = ("kowalik_osborne", "jennrich_sampson", "osborne_1")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.nightly) if name not in SUITE else name for name in FITS]
)
def test_from_the_standard_start_a_curve_is_right_and_equals_scipy(name):
    """To 1e-6, standard errors too, where there is a residual and the Jacobian has full rank at the minimum."""
    fit = FITS[name]
    found = gd.fit_curve(fit.formula, {**fit.columns, "y": fit.y}, "y", start=fit.start, starts=1)
    assert found.stop == gd.Stop.CONVERGED, found
    np.testing.assert_allclose(found.sum_of_squares, fit.least, rtol=1e-9, atol=1e-20)
    if fit.best:
        right = [fit.best, {**fit.best, "p1": 4, "p3": 3, "p5": 1, "p6": 1}] if name == "biggs" else [fit.best]
        assert any(found.params == pytest.approx(best, rel=1e-8) for best in right), found  # two terms may be exchanged
        return
    params, errors = scipy_of(fit, list(fit.start.values()), maxfev=20_000)
    if name == "jennrich_sampson":  # where SciPy creeps
        assert np.isnan(list(found.errors.values())).all() and "only together" in str(found)
        np.testing.assert_allclose([found.params[each] for each in fit.start], params, rtol=1e-4)
        return
    np.testing.assert_allclose([found.params[each] for each in fit.start], params, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose([found.errors[each] for each in fit.start], errors, rtol=1e-6)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.nightly) if name != "meyer" else name for name in FITS]
)
def test_converged_means_four_digits_from_any_start(name):
    """Of one start alone, ten and a hundred times as far as the standard one: where it says so, a minimum is within 1e-4."""
    fit = FITS[name]
    with jax.enable_x64(True):
        for times in (10, 100):
            start = {key: times * value for key, value in fit.start.items()}
            try:
                found = gd.fit_curve(fit.formula, {**fit.columns, "y": fit.y}, "y", start=start, starts=1)
            except ValueError as error:
                assert "is not finite at any start" in str(error)
                continue
            params = np.array([found.params[each] for each in fit.start])
            if found.stop == gd.Stop.CONVERGED:
                exact = polish(residuals_of(fit), params)
                np.testing.assert_allclose(params, exact, rtol=1e-4, atol=1e-9)
            else:
                assert "fewer than four digits" in str(found) or "not determined" in str(found)


def test_other_starts_find_what_the_one_given_does_not():
    """A rate too fast by far: alone it ends nowhere, and says so; of 64 starts most come to the minimum."""
    data = {"t": np.arange(1.0, 8.0), "y": np.array([83.0, 122, 160, 170, 187, 188, 195])}
    options = {"x": {"x": "t"}, "start": {"a": 1.0, "b": 1.0}}
    alone = gd.fit_curve("a*(1 - exp(-b*x))", data, "y", **options, starts=1)
    assert alone.stop == gd.Stop.STALLED and "fewer than four digits" in str(alone)
    found = gd.fit_curve("y = a*(1 - exp(-b*x))", data, **options)
    assert found.stop == gd.Stop.CONVERGED and "the start given led to" in str(found)
    right, _ = optimize.curve_fit(
        lambda x, a, b: a * (1 - np.exp(-b * x)), data["t"], data["y"], [200, 0.5], xtol=1e-12
    )
    np.testing.assert_allclose(list(found.params.values()), right, rtol=1e-6)


@pytest.mark.nightly
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_of_equal_minima_the_one_that_the_start_leads_to_counts(noise):
    """Terms of a sum may be exchanged: 64 starts do not leave the order that the start given leads to, either way round."""
    data = {"x": X, "y": 5 * np.exp(-2 * X) + 2 * np.exp(-0.3 * X) + noise * np.random.default_rng(4).normal(size=40)}
    for seed, (b, d) in itertools.product(range(4), ((1.0, 0.5), (0.5, 1.0))):
        options = {"start": {"a": 3.0, "b": b, "c": 3.0, "d": d}, "seed": seed}
        found, alone = (
            gd.fit_curve("a*exp(-b*x) + c*exp(-d*x)", data, "y", **options, starts=count) for count in (64, 1)
        )
        assert (found.params["b"] > found.params["d"]) == (b > d)
        np.testing.assert_allclose(list(found.params.values()), list(alone.params.values()), rtol=1e-8)


def test_a_peak_is_found_without_any_start():
    x = np.linspace(400, 500, 60)
    y = 3 + 40 * np.exp(-0.5 * ((x - 451) / 4) ** 2) + np.random.default_rng(1).normal(size=60)
    found = gd.fit_curve("h*exp(-0.5*((x - m)/s)^2) + b", {"wavelength": x, "y": y}, "y")
    assert found.stop == gd.Stop.CONVERGED and found.places == {"x": "wavelength"}
    for name, value in {"h": 40, "m": 451, "s": 4, "b": 3}.items():
        at = abs(found.params[name]) if name == "s" else found.params[name]  # the sign of a width is free
        assert abs(at - value) < 5 * found.errors[name], found


@pytest.fixture(scope="module")
def weighted():
    sigma = 0.02 + 0.05 * np.random.default_rng(1).random(40)
    data = {**DECAY, "s": sigma}
    text = "a*exp(-b*x) + c"
    fits = [gd.fit_curve(text, data, "y", sigma="s", absolute_sigma=absolute) for absolute in (False, True)]
    return data, [*fits, gd.fit_curve(decay, data, "y", weights=sigma**-2.0, starts=1)]


def test_weights_and_standard_deviations_are_those_of_scipy(weighted):
    data, (relative, absolute, by_weights) = weighted
    for found, options in ((relative, {}), (absolute, {"absolute_sigma": True}), (by_weights, {})):
        right, covariance = optimize.curve_fit(
            lambda x, a, b, c: a * np.exp(-b * x) + c,
            X,
            data["y"],
            [5, 1, 0],
            sigma=data["s"],
            jac=lambda x, a, b, c: np.stack([np.exp(-b * x), -a * x * np.exp(-b * x), np.ones_like(x)], axis=1),
            **{"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15, **options},
        )
        np.testing.assert_allclose(list(found.params.values()), right, rtol=1e-6)
        np.testing.assert_allclose(found.covariance, covariance, rtol=1e-6)
    low, high = relative.intervals["a"]
    np.testing.assert_allclose((high - low) / 2, stats.t.ppf(0.975, 37) * relative.errors["a"], rtol=1e-9)
    low, high = absolute.intervals["a"]
    np.testing.assert_allclose((high - low) / 2, stats.norm.ppf(0.975) * absolute.errors["a"], rtol=1e-9)


def test_bands_and_residuals_are_what_they_say(weighted):
    data, (found, *_) = weighted
    a, b, c = found.params.values()
    at = np.array([0.0, 1.0, 10.0])
    slopes = np.stack([np.exp(-b * at), -a * at * np.exp(-b * at), np.ones(3)], axis=1)
    band, wide = found.predict({"x": at}, level=0.8), stats.t.ppf(0.9, 37)
    np.testing.assert_allclose(band.value, a * np.exp(-b * at) + c, rtol=1e-12)
    np.testing.assert_allclose((band.high - band.value) ** 2, wide**2 * np.sum(slopes @ found.covariance * slopes, 1))
    of_curve, of_new = band.high - band.value, band.high_new - band.value
    np.testing.assert_allclose(of_new**2 - of_curve**2, (wide * found.residual_sd) ** 2)
    np.testing.assert_allclose(found.fitted + found.residuals, data["y"], rtol=1e-12)
    weight = data["s"] ** -2.0
    np.testing.assert_allclose(found.sum_of_squares, np.sum(weight * found.residuals**2), rtol=1e-12)
    spread = np.sum(weight * (data["y"] - np.average(data["y"], weights=weight)) ** 2)
    np.testing.assert_allclose(found.r2, 1 - found.sum_of_squares / spread, rtol=1e-12)
    assert "s" not in found.columns and "<table>" in found._repr_html_() and str(found) == repr(found)


def test_bounds_are_kept_and_what_they_hold_is_said():
    bounds = {"c": (0.6, None), "a": (0, 10)}
    found = gd.fit_curve("a*exp(-b*x) + c", DECAY, "y", bounds=bounds)
    right = optimize.curve_fit(
        lambda x, a, b, c: a * np.exp(-b * x) + c,
        *DECAY.values(),
        [5, 1, 1],
        bounds=([0, -9, 0.6], [10, 9, 9]),
        xtol=1e-15,
    )[0]
    np.testing.assert_allclose(list(found.params.values()), right, rtol=1e-6)
    assert found.params["c"] == 0.6 and found.stop == gd.Stop.CONVERGED and "c is held at its bound 0.6" in str(found)
    given = optimize.curve_fit(lambda x, a, b: a * np.exp(-b * x) + 0.6, *DECAY.values(), [5, 1])
    np.testing.assert_allclose([found.errors["a"], found.errors["b"]], np.sqrt(np.diag(given[1])), rtol=1e-5)
    assert np.isnan(found.errors["c"])


def test_the_solver_alone_ends_at_bounds():
    """In few steps, and without what is made sure of afterwards; the bounds hold back two of three parameters."""
    curve, _ = read_curve("a*exp(-b*x) + c", ["x"], (), None)
    with jax.enable_x64(True):
        rows = Rows((X,), DECAY["y"], np.ones(40), np.array([-np.inf, 1.5, -1]), np.array([np.inf, 9, 0.4]))
        end = jax.jit(Solver(curve).solve)(rows, np.array([1.0, 5.0, 0.0]), 100)
    slope = np.exp(-1.5 * X)
    assert end.stop == gd.Stop.CONVERGED and end.steps < 20, end
    np.testing.assert_allclose(end.params, [slope @ (DECAY["y"] - 0.4) / (slope @ slope), 1.5, 0.4], rtol=1e-12)


def test_what_data_do_not_determine_is_named_and_has_no_error():
    """Two constants for one; the others keep the errors that they have with one constant."""
    one = gd.fit_curve("a*exp(-b*x) + c", DECAY, "y")
    two = gd.fit_curve("a*exp(-b*x) + c + d", DECAY, "y", starts=1)
    assert two.stop != gd.Stop.CONVERGED and "c and d are not determined one by one" in str(two)
    np.testing.assert_allclose([two.errors["a"], two.errors["b"]], [one.errors["a"], one.errors["b"]], rtol=1e-6)
    assert np.isnan([two.errors["c"], two.errors["d"]]).all() and two.freedom == one.freedom == 37
    np.testing.assert_allclose(two.params["c"] + two.params["d"], one.params["c"], rtol=1e-7)


def test_many_rows_are_all_counted():
    """More than the starts are tried on: a line is that of NumPy on all of them; rows with holes are left out."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=5000)
    y = 2 * x - 1 + rng.normal(size=5000)
    y[7] = np.nan
    found = gd.fit_curve("a*x + b", {"x": x, "y": y}, "y")
    right, covariance = np.polyfit(np.delete(x, 7), np.delete(y, 7), 1, cov=True)
    np.testing.assert_allclose(list(found.params.values()), right, rtol=1e-10)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-8)
    assert 7 not in found.rows and len(found.rows) == 4999 and "1 of 5000 rows are left out" in str(found)


def test_a_folder_holds_the_numbers_and_the_rows(tmp_path):
    found = gd.fit_curve("a*exp(-b*x) + c", {"x": X, "log y": np.log(DECAY["y"])}, "log y")
    found.save(tmp_path / "fit")
    numbers = json.loads((tmp_path / "fit" / "curve.json").read_text())
    assert numbers["parameters"]["a"]["value"] == found.params["a"] and numbers["stop"] == "CONVERGED"
    rows = list(csv.DictReader((tmp_path / "fit" / "rows.csv").read_text().splitlines()))
    assert len(rows) == 40 and rows[0]["row"] == "1"
    np.testing.assert_array_equal([float(row["residual"]) for row in rows], found.residuals)
    with pytest.raises(FileExistsError, match="is there already"):
        found.save(tmp_path / "fit")
    dataclasses.replace(found, level=0.5).save(tmp_path / "fit", overwrite=True)
    assert json.loads((tmp_path / "fit" / "curve.json").read_text())["level"] == 0.5


@pytest.mark.parametrize(
    "formula, options, said",
    [
        ("a*exp(-b*t)", {}, "uses no column: the columns are time, x and y"),
        ("a*x", {"y": "z"}, "`y` must be a column, got 'z'"),
        ("a*x", {"y": None}, "say what is fitted, `y=COLUMN`"),
        ("y = a*x", {}, "or in the formula, not both"),
        ("a*y", {}, "uses 'y', the column that it is to predict"),
        ("2*x", {}, "has no parameter"),
        ("a*x", {"start": {"q": 1}}, "`start=q`: no such parameter"),
        ("a*x", {"start": {"x": 1}}, "'x' is a column of the table"),
        ("a*x + e", {"start": {"e": 1}}, "'e' has a meaning of its own"),
        ("a*x", {"start": {"a": np.nan}}, "must be a finite number"),
        ("a*x", {"bounds": {"a": (3, 2)}}, "low < high"),
        ("a*x", {"x": "tme"}, "did you mean 'time'"),
        ("a*time", {"x": "x"}, "has no 'x' for the column 'x': it has a and time"),
        ("a*x", {"sigma": np.zeros(3)}, "`sigma` must be positive, got 0"),
        ("a*x", {"weights": -np.ones(3)}, "`weights` must be at least 0, got -1"),
        ("a*x", {"weights": np.ones(4)}, "columns must be of one length, got 3 and 4"),
        ("a*x + b + c + d", {}, "4 parameters need at least as many rows"),
        ("a*word", {}, "column 'word' must be numbers, got 'two'"),
        ("a*x", {"y": 2**62 + np.arange(3)}, "must be numbers that a float holds, got 4611686018427387905: take off a"),
        (
            "a*x + b + c",
            {"y": np.ma.masked_greater(np.arange(3), 1)},
            "3 parameters need at least as many rows without",
        ),
        ("a*x", {"level": 1.0}, "`level` must be in (0, 1)"),
        ("a*x", {"starts": 0}, "starts must be"),
        ("a*x +", {}, "cannot read"),
    ],
)
def test_wrong_input_is_said_in_one_line(formula, options, said):
    data = {"time": np.arange(3.0), "x": np.arange(3.0), "y": np.arange(3.0)}
    data |= {"word": np.array(["1", "two", "3"], object)} if "word" in formula else {}
    with pytest.raises(ValueError) as error:
        gd.fit_curve(formula, data, **{"y": "y", **options})
    assert said in str(error.value) and "\n" not in str(error.value)


def test_x_must_be_said_where_it_could_be_another():
    data = {"time": X, "mass": X, "y": X}
    with pytest.raises(ValueError, match="which column is x"):
        gd.fit_curve("a*x", data, "y")
    with pytest.raises(ValueError, match="is not finite at any start"):
        gd.fit_curve("a*log(x - 9)", DECAY, "y", starts=1)
    with pytest.raises(ValueError, match=r"must return a number for each row, \(40,\), got shape \(3,\)"):
        gd.fit_curve(lambda x, a: a * x[:3], DECAY, "y", starts=1)
    with pytest.raises(TypeError, match="named arguments"):
        gd.fit_curve(lambda *columns: columns[0], DECAY, "y")


@pytest.mark.nightly
def test_standard_errors_cover_the_truth():
    """Of a thousand simulations; the standard error of a share is 0.7 %."""
    for law, name, covered, ratio in curve_coverage(1000, 1):
        assert 0.93 <= covered <= 0.97 and abs(ratio - 1) < 0.1, (law, name, covered, ratio)
