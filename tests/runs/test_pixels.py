"""Runs on images and series: their rows stay whole from the file to the prediction."""

import jax
import numpy as np
import pandas as pd
import pytest

import gdjax as gd
from gdjax import runs
from gdjax.data import Table
from gdjax.runs import TrainOptions
from gdjax.runs.sweeping.options import SweepOptions, space_of
from gdjax.runs.sweeping.plans import Planning

ROWS, SHAPE = 90, (5, 5, 1)
TINY = {"model": "cnn", "channels": (2,), "epochs": 3, "learning_rate": 0.05, "dropout": 0.0}


def images():
    """A bright bar on the left, on the right or in the middle."""
    labels = np.arange(ROWS) % 3
    x = np.random.default_rng(0).integers(0, 60, (ROWS, 5, 5))
    x[np.arange(ROWS), :, labels] += 150
    return x.astype(np.uint8), labels


def options(**given):
    return TrainOptions(**{**TINY, **given})


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    x, labels = images()
    path = tmp_path_factory.mktemp("images") / "bars.npz"
    np.savez(path, x=x, who=np.arange(ROWS), kind=np.array(["left", "middle", "right"])[labels], other=np.zeros(3))
    return path


@pytest.fixture(scope="module")
def run(file):
    return runs.train(file, "kind", file.parent / "run", augment=("noise=0.1",), **TINY)


def test_a_run_on_images_predicts_any_form_of_them_and_is_evaluated_again(run, file):
    x, labels = images()
    found = run.predict(file)
    assert (found["prediction"] == np.array(["left", "middle", "right"])[labels]).mean() > 0.6
    frame = pd.DataFrame(x.reshape(ROWS, -1)).add_prefix("any ")
    for given in (
        x,
        x[..., None],
        x.reshape(ROWS, 25),
        frame,
        frame.assign(kind="left"),
        runs.problem.read(file, TrainOptions())[0],
    ):
        pd.testing.assert_frame_equal(run.predict(given), found)
    bad = x.astype(float)
    bad[3, 1, 1] = np.nan
    spoiled = run.predict(bad)
    assert spoiled["remark"][3] == "'pixels' cannot be read" and spoiled["prediction"].isna().sum() == 1
    pd.testing.assert_frame_equal(spoiled.drop(3), found.drop(3))
    again = runs.reevaluation(run)
    for part in ("train", "validation", "test"):
        assert f"{run.result[part]['loss']:.6f}" in again
    assert "100.0%" not in runs.evaluate_on(run, file) and "accuracy" in runs.evaluate_on(run, file)
    other = Table(frame[[]], "t", "these rows", pixels=np.zeros((ROWS, 2, 8, 1)))
    for given, said in (
        (x[:, :3], r"rows must have shape \(n, 5, 5, 1\), got \(90, 3, 5\)"),
        (frame.iloc[:, :6], "`shape=5 5 1`: rows of 25 numbers are needed, got 6 columns"),
        (other, "trained on images of 5 x 5 pixels, these rows are images of 2 x 8"),
    ):
        with pytest.raises(ValueError, match=said):
            run.predict(given)


def test_what_is_told_of_images_knows_no_columns(run):
    assert run.config.data.shape == SHAPE and run.config.data.columns == () and run.config.data.numbers == "pixels"
    assessment = run.result["assessment"]
    assert "importance" not in assessment and {each["name"] for each in assessment["models"]} >= {"the linear model"}
    page = (run.folder / "report.html").read_text()
    assert "from images of 5 x 5 pixels of" in page and "What each column is worth" not in page
    assert "images of 5 x 5 pixels" in runs.shown(run)


def test_rows_are_changed_in_training_alone(run, file):
    work = runs.choose(file, options(target="kind", augment=("shift=1", "noise=0.5")), "")
    objective, batch = work.job.objective, jax.tree.map(lambda x: x[:8], work.parts.train)

    @jax.jit
    def losses(key):
        params = objective.model.init(key)
        found = objective.loss(params, batch), objective.loss(params, batch, key), objective.evaluate(params, batch)
        return found[0][0], found[1][0], found[2]["loss"]

    plain, training, evaluation = map(float, losses(jax.random.key(0)))
    assert abs(training - plain) > 0.01 and abs(evaluation - plain) < 1e-5
    inner = run.model.models[3]  # behind unflatten, augment, flatten
    x = run.encoding.transform(images()[0], "float32")
    np.testing.assert_allclose(run.outputs(x), inner.apply(run.params[3], x), rtol=1e-5)


def test_columns_are_given_a_shape_and_test_rows_are_those_of_the_data(file, tmp_path):
    x, labels = images()
    work = runs.choose(file, options(target="kind"), "")
    names = [f"p{i}" for i in range(25)]
    table = pd.DataFrame(x.reshape(ROWS, -1), columns=names).assign(kind=np.array(["left", "middle", "right"])[labels])
    table.to_csv(tmp_path / "bars.csv", index=False)
    of_columns = runs.choose(tmp_path / "bars.csv", options(target="kind", shape=SHAPE), "")
    for part, rows in work.parts.by_name().items():
        for ours, theirs in zip(rows, of_columns.parts.by_name()[part], strict=True):
            assert np.array_equal(ours, theirs)
    flat = x.reshape(ROWS, 25).astype(np.float32)
    about = "classification", tuple(names), ("a", "b", "c"), "", SHAPE, 30
    standard = gd.data.Dataset("bars", flat, labels.astype(np.int32), *about)
    assert runs.choose(standard, options(), "").problem.rows.test.tolist() == list(range(60, 90))


def test_of_several_models_in_a_sweep_all_see_the_rows_whole():
    data = gd.data.load("digits")
    planning = Planning.of(data, space_of(SweepOptions(model="mlp,cnn", epochs="2")))
    (mlp, job), (cnn, other) = (planning.plan({"model": name}) for name in ("mlp", "cnn"))
    assert mlp.subject.shape == cnn.subject.shape == (8, 8, 1) and mlp.subject.features == 64
    assert np.array_equal(mlp.parts.train[0], cnn.parts.train[0]) and job.objective.model != other.objective.model


@pytest.mark.parametrize(
    ("data", "given", "said"),
    [
        ("wine", {}, "`model=cnn` reads images or series, the rows here have 13 columns without a shape"),
        (
            "wine",
            {"shape": (4, 4, 1)},
            "`shape=4 4 1`: rows of 16 numbers are needed, got 13 columns beside the target",
        ),
        ("wine", {"model": "mlp", "channels": None, "numbers": "pixels"}, "`numbers=pixels` is of images or series"),
        ("wine", {"model": "mlp", "channels": None, "augment": ("flip",)}, "`augment` reads images or series"),
        (
            "digits",
            {"numbers": "standardized"},
            "`numbers=standardized` is of columns, and .* are images of 8 x 8 pixels",
        ),
        ("digits", {"model": "mlp"}, "`channels` is of the model cnn, `model=mlp` has none"),
        ("digits", {"heads": 2}, "`heads` is of the model transformer, `model=cnn` has none"),
        ("digits", {"augment": ("shif=1",)}, "`augment=shif=1`: did you mean 'shift'"),
        ("digits", {"augment": ("shift=x",)}, "`augment=shift=x`: write shift=2"),
        ("digits", {"only": ("a",)}, "`only=a`: there is no such column"),
        ("digits", {"model": "transformer", "channels": None}, "`model=transformer` reads text"),
    ],
)
def test_what_does_not_fit_rows_of_a_shape_is_said(data, given, said):
    with pytest.raises(ValueError, match=said):
        runs.choose(data, options(**given), "")
