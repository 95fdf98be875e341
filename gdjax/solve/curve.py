"""`fit_curve`: the parameters of any formula, fitted to columns by least squares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from gdjax.domain import as_length
from gdjax.solve.curve_data import Columns, gather, read_start
from gdjax.solve.curve_errors import Uncertainty, t_quantile, uncertainty
from gdjax.solve.curve_fit import CurveFit
from gdjax.solve.curve_formula import read_curve, split_equation
from gdjax.solve.curve_refinement import Ending, refine
from gdjax.solve.curve_remarks import remarks
from gdjax.solve.curve_search import find_parameters
from gdjax.types import Stop


def fit_curve(
    formula: str | Callable[..., Any],
    data: Any,
    y: Any = None,
    *,
    x: str | Mapping[str, str] | None = None,
    start: Mapping[str, float] | None = None,
    bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
    weights: Any = None,
    sigma: Any = None,
    absolute_sigma: bool = False,
    level: float = 0.95,
    starts: int = 64,
    max_steps: int = 5000,
    seed: int = 0,
) -> CurveFit:
    """Fit a formula to columns: least sum w (y - formula)², by Levenberg-Marquardt in float64 from many starts.

    Names in the formula that are columns are columns; all others are parameters. The name x is a column always.

    Args:
        formula: a text such as "a*exp(-b*x) + c", or "y = a*exp(-b*x) + c" without `y`; or a function of JAX with columns
            and parameters as named arguments, of arrays (n,) and numbers, to (n,).
        data: columns of numbers (n,) by name: a mapping, a data frame, a `Table`. Rows with a hole are left out.
        y: what is fitted: a column, an expression of columns such as "log(y)", or an array (n,).
        x: the column that the formula calls x; or name in the formula -> column, for several.
        start: parameter -> where to start; any may be missing. The start is tried as it is, before all others.
        bounds: parameter -> (low, high), None for no bound on that side.
        weights: a column or an array (n,) of weights w >= 0, such as 1 / variance.
        sigma: instead, standard deviations of y; w = 1 / sigma².
        absolute_sigma: whether the weights are in units of 1 / y². If not, only their ratios count, and the errors are
            scaled by the residuals.
        level: of the intervals, in (0, 1).
        starts: how many, at least 1: the first is `start` (1 for what it lacks), the others are drawn around it and at
            scales of the data. They are run in one program, on at most 512 rows, and the best are refined on all.
        max_steps: of each start.
        seed: of the starts that are drawn.

    Returns: a `CurveFit`, which prints as a table. Errors come from the Jacobian at the end, by its singular values;
        parameters that the data do not determine have none and are named in its remarks. Of several minima the least counts.
    Raises: ValueError or TypeError, in one line, if columns, parameters and rows do not fit together.
    Reference: Moré 1978; Nielsen 1999 (damping); Bates & Watts 1988 (inference).

    >>> fit = gd.fit_curve("a*x + b", {"x": jnp.arange(4.0), "y": jnp.array([1.0, 3.0, 5.0, 8.0])}, "y")
    >>> print(f"{fit.params['a']:.6f} +- {fit.errors['a']:.6f}, {fit.stop.name}")
    2.300000 +- 0.173205, CONVERGED
    """
    starts = as_length("fit_curve", "starts", starts, least=1)
    if not 0 < level < 1:
        raise ValueError(f"fit_curve: `level` must be in (0, 1), got {level}")
    columns = Columns.of(data)
    left, formula = split_equation(formula)
    if (y is None) == (left is None):
        raise ValueError(f"fit_curve: say what is fitted, `y=COLUMN`{' or in the formula, not both' if left else ''}")
    y = left if y is None else y
    curve, places = read_curve(formula, columns.names, columns.used("`y`", y), x)
    with jax.enable_x64(True):
        rows, used, holes = gather(columns, curve, places, y, weights, sigma, bounds)
        first = read_start(curve.parameters, columns.names, start)
        given = np.isfinite(first)
        found = find_parameters(curve, rows, np.where(given, first, 1.0), given, starts, max_steps, seed)
        if not np.isfinite(found.value):
            raise ValueError(f"fit_curve: {curve} is not finite at any start that was tried; give `start`")
        end = refine(curve, rows, found.params)
    known = uncertainty(end.here.jacobian, end.here.free)
    return CurveFit(
        formula=str(curve),
        target=y if isinstance(y, str) else "y",
        stop=Stop.CONVERGED if end.sure else Stop.STALLED if found.stop == Stop.CONVERGED else found.stop,
        steps=found.steps,
        rows=used,
        remarks=tuple(remarks(end, known, found, holes, asked=bool(given.any()))),
        level=level,
        absolute=absolute_sigma,
        curve=curve,
        places=places,
        columns=dict(zip(curve.columns, rows.columns, strict=True)),
        **_numbers(end, known, absolute_sigma, level),
    )


def _numbers(end: Ending, known: Uncertainty, absolute: bool, level: float) -> dict[str, Any]:
    """The fields of a `CurveFit` that are numbers."""
    rows, params, here = end.rows, end.params, end.here
    names, total, weight = end.curve.parameters, 2 * here.value, rows.weight**2
    freedom = len(rows.y) - known.rank
    residual_sd = float(np.sqrt(total / freedom)) if freedom else float("nan")
    covariance = known.covariance * (1.0 if absolute else residual_sd**2)
    errors = np.sqrt(np.diag(covariance))
    reach = t_quantile(level, np.inf if absolute else freedom) * errors
    spread = float(np.sum(weight * (rows.y - np.average(rows.y, weights=weight)) ** 2))
    return {
        "params": dict(zip(names, params.tolist(), strict=True)),
        "errors": dict(zip(names, errors.tolist(), strict=True)),
        "intervals": {name: (float(p - d), float(p + d)) for name, p, d in zip(names, params, reach, strict=True)},
        "covariance": covariance,
        "sum_of_squares": total,
        "residual_sd": residual_sd,
        "freedom": freedom,
        "r2": 1 - total / spread if spread > 0 else float("nan"),
        "fitted": rows.y + here.residuals / rows.weight,
        "residuals": -here.residuals / rows.weight,
    }
