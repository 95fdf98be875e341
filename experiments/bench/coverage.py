"""Do intervals cover what they say?

    python -m experiments.bench.coverage [--part curve|intervals] [--json FILE] [--simulations 1000] [--seed 0]

curve   Four formulas with known parameters, each fitted to 1,000 simulated tables of 40 rows with normal noise, all in one
        vmapped program. Shown is how many of the 95 % intervals of each parameter (value +- t standard errors, as
        `fit_curve` gives them) contain the true value, and how the mean standard error compares with the spread of the
        fitted values.

intervals   Ten models of `gdjax train` on four tables; see interval_coverage.py.

Expected: of curves between 93 and 97 % for each parameter (the standard error of a share of 1,000 is 0.7 %), a ratio within
10 % of 1; of predictions 88 to 92 % for each model. Ten seconds and two minutes on 2 cores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from gdjax.solve.curve_errors import t_quantile, uncertainty
from gdjax.solve.curve_formula import Curve, read_curve
from gdjax.solve.curve_refinement import Expanded, Expansion
from gdjax.solve.curve_solver import Rows, Solver

from .interval_coverage import show_intervals
from .recording import arguments, write

LEVEL, ROWS = 0.95, 40


class Law(NamedTuple):
    formula: str
    x: tuple[float, float]  # the first and the last
    true: dict[str, float]
    noise: float


LAWS = {
    "decay": Law("a*exp(-b*x) + c", (0, 4), {"a": 5.0, "b": 1.3, "c": 0.5}, 0.1),
    "saturation": Law("v*x/(k + x)", (0.05, 5), {"v": 2.0, "k": 0.7}, 0.05),
    "growth": Law("m/(1 + exp(-r*(x - t)))", (0, 10), {"m": 3.0, "r": 1.1, "t": 4.5}, 0.1),
    "peak": Law("h*exp(-0.5*((x - m)/s)^2) + b", (-5, 5), {"h": 2.0, "m": 0.4, "s": 1.2, "b": 0.3}, 0.1),
}


def curve_coverage(simulations: int, seed: int) -> list[tuple[str, str, float, float]]:
    """(law, parameter, share of intervals that contain the truth, mean standard error / spread) of each."""
    found = []
    for name, law in LAWS.items():
        curve, _ = read_curve(law.formula, ["x"], (), None)
        true = np.array([law.true[each] for each in curve.parameters])
        params, errors = simulate(curve, law, true, simulations, seed)
        reach = t_quantile(LEVEL, ROWS - len(true)) * errors
        covered = np.mean(np.abs(params - true) <= reach, axis=0)
        ratio = errors.mean(0) / params.std(0)
        found += [(name, *row) for row in zip(curve.parameters, covered, ratio, strict=True)]
    return found


def simulate(curve: Curve, law: Law, true: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Parameters and standard errors (count, p) of fits to simulated tables, all of them in one program."""
    with jax.enable_x64(True):
        x = np.linspace(*law.x, ROWS)
        exact = np.asarray(curve((x,), true))
        y = exact + law.noise * np.random.default_rng(seed).normal(size=(count, ROWS))
        free = np.full(len(true), np.inf)

        def fit(y: Any) -> tuple[Any, Expanded]:
            rows = Rows((x,), y, np.ones(ROWS), -free, free)
            end = Solver(curve).solve(rows, 1.5 * true, 200)
            return end.params, Expansion(curve)(rows, end.params)

        params, at = jax.tree.map(np.asarray, jax.jit(jax.vmap(fit))(y))
    variances = np.sum(at.residuals**2, axis=1) / (ROWS - len(true))
    known = [uncertainty(jacobian, free) for jacobian, free in zip(at.jacobian, at.free, strict=True)]
    return params, np.sqrt([v * np.diag(each.covariance) for v, each in zip(variances, known, strict=True)])


def show_curve(simulations: int, seed: int) -> dict[str, float]:
    print(f"{'law':12}{'parameter':>10}{'covered':>10}{'error / spread':>16}")
    figures = {}
    for law, name, covered, ratio in curve_coverage(simulations, seed):
        print(f"{law:12}{name:>10}{covered:>9.1%}{ratio:>16.3f}")
        figures[f"curve: {law}, {name}"] = float(covered)
    return figures


PARTS: dict[str, Callable[[int, int], dict[str, float]]] = {"curve": show_curve, "intervals": show_intervals}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--part", choices=tuple(PARTS), help="one of them (default: all)")
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    parts = PARTS if given.part is None else {given.part: PARTS[given.part]}
    figures = {name: x for show in parts.values() for name, x in show(given.simulations, given.seed).items()}
    write(given.json, figures)


if __name__ == "__main__":
    main()
