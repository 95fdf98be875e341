"""A run of a model with a state keeps it, and whatever uses the run uses it: predictions, scores, members and folds."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from gdjax import models, runs
from gdjax.calls import parse
from gdjax.runs.evaluation import reevaluation


def series(rows=90):
    """Twelve numbers in a row, and one that is the height of their first half."""
    rng = np.random.default_rng(0)
    x = rng.normal(3.0, 2.0, (rows, 12))
    return pd.DataFrame(x, columns=[f"t{i:02}" for i in range(12)]).assign(height=x[:, :6].mean(1))


def outputs_of(model, arrays, prefix, x):
    """The model's outputs, from the arrays of params.npz alone."""

    def restore(name, path, like):
        return jnp.asarray(arrays[prefix.format(name) + jax.tree_util.keystr(path)])

    start = {"params": jax.eval_shape(model.init, jax.random.key(0)), "model_state": model.init_state()}
    kept = [jax.tree_util.tree_map_with_path(functools.partial(restore, name), like) for name, like in start.items()]
    return np.asarray(model.apply_with_state(*kept, x)[0], float)


@pytest.mark.filterwarnings("ignore:.*NO BETTER", "ignore:there are no intervals")
@pytest.mark.parametrize("folds", [0, pytest.param(2, marks=pytest.mark.nightly)])
def test_a_run_is_used_with_the_state_of_its_best_parameters(folds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = series()
    frame.to_csv("series.csv", index=False)
    options = {"shape": (12, 1), "model": "cnn", "norm": "batch", "channels": (3,), "ensemble": 2, "cv": folds}
    run = runs.train("series.csv", "height", "run", epochs=4, batch_size=16, tune="none", quick=True, **options)
    model = parse(run.config.model, {**models.MODELS, **models.INITIALIZERS})
    x = run.encoding.transform(frame.iloc[:, :12], dtype="float32")
    with np.load("run/params.npz") as file:
        arrays = dict(file)
    in_units = lambda y: float(arrays["target.mean"]) + float(arrays["target.scale"]) * y  # noqa: E731
    predicted = in_units(outputs_of(model, arrays, "{}", x))
    np.testing.assert_allclose(run.predict(frame)["prediction"], predicted, rtol=1e-5)
    np.testing.assert_allclose(run.outputs_of_members(x).mean(0), predicted, rtol=1e-5)
    for k in range(folds):
        of_fold = {name: x[k] for name, x in arrays.items() if name.startswith("intervals")}
        expected = in_units(outputs_of(model, of_fold, "intervals['{}']", x))
        np.testing.assert_allclose(run.outputs_of_folds(x)[k], expected, rtol=1e-5)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert f"{result['test']['loss']:.6f}" in reevaluation(run)
    best = min(
        row["validation_loss"] for row in run.history
    )  # measured while training, with the state of that evaluation
    np.testing.assert_allclose(result["validation"]["loss"], best, rtol=1e-5)
