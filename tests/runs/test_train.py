"""Training on tables: nothing leaks from the rows that judge, and intervals are those of the definition."""

import dataclasses
import functools
import io
import json

import jax
import numpy as np
import pandas as pd
import pytest

import gdjax as gd
from gdjax import runs

ROWS = 240


def houses(seed=0, rows=ROWS):
    """Numbers, levels, holes, yes and no; a price, and whether it is dear."""
    rng = np.random.default_rng(seed)
    area, city = rng.uniform(30, 200, rows), rng.choice(np.array(["Ulm", "Bonn", "Köln"], object), rows)
    price = 3 * area + 50 * (city == "Köln") + rng.normal(0, 20, rows)
    frame = pd.DataFrame({"area": area, "age": np.where(rng.random(rows) < 0.1, np.nan, rng.integers(0, 90, rows))})
    frame = frame.assign(city=city, garden=rng.choice(np.array(["yes", "no"], object), rows), price=price)
    return frame.astype({"city": "str", "garden": "str"})


def spoiled(frame, rows):
    """Garbage in these rows: numbers out of all bounds, holes, and levels that nobody has seen."""
    frame, half = frame.copy(), rows[::2]
    frame.loc[rows, "area"] = 1e30 * np.arange(1, len(rows) + 1)
    frame.loc[half, ["area", "age"]] = np.nan
    frame.loc[rows, "city"] = [f"nowhere {i % 4}" for i in range(len(rows))]
    frame.loc[half, "garden"] = np.nan
    return frame


def trained(frame, out, **options):
    """The training after its end: its last parameters, its encoding, its rows, its folder."""
    given = {"hidden": (6,), "epochs": 3, "quick": True, "out": out, "cv": 0, **options}
    training = runs.Training(frame, runs.TrainOptions.named("train", given), "gdjax train frame.csv")
    with training:
        for _ in training.segments():
            pass
        training.finish()
    return training


def bits(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


@pytest.mark.parametrize("target", ["price", pytest.param("dear", marks=pytest.mark.nightly)])
def test_no_row_that_judges_changes_a_bit_of_what_is_learned(tmp_path, target):
    """Garbage in the test rows changes the test scores alone; garbage in the validation rows not the last parameters."""
    frame = houses()
    frame["dear"] = np.where(frame.pop("price") > 400, "dear", "cheap") if target == "dear" else frame["price"]
    frame = frame.astype({"dear": "str"}) if target == "dear" else frame.drop(columns="dear")
    clean = trained(frame, tmp_path / "clean")
    kept = json.loads((tmp_path / "clean" / "encoding.json").read_text())
    for name in ("test", "validation"):
        rows = getattr(clean.work.problem.rows, name)
        other = trained(spoiled(frame, rows), tmp_path / name)
        for part in ("train", "validation", "test"):
            assert np.array_equal(getattr(other.work.problem.rows, part), getattr(clean.work.problem.rows, part))
        assert json.loads((tmp_path / name / "encoding.json").read_text()) == kept
        states = other.fitting.run_state.state, clean.fitting.run_state.state
        assert bits(states[0].params) == bits(states[1].params)
        found, expected = (json.loads((tmp_path / each / "result.json").read_text()) for each in (name, "clean"))
        assert (found[name] != expected[name] and found["train"] == expected["train"]) or name == "validation"
        if name == "test":
            assert bits(runs.load(tmp_path / name).params) == bits(runs.load(tmp_path / "clean").params)
            assert len({(tmp_path / each / "params.npz").read_bytes() for each in (name, "clean")}) == 1
            apart = [runs.compare.parameters_apart(*map(runs.compare.overview, (tmp_path / name, tmp_path / "clean")))]
            assert apart == ["equal to the last bit"]


def test_a_file_of_test_rows_judges_alone(tmp_path):
    frame, test = houses(), houses(1, 50)
    for number, each in enumerate((test, spoiled(test, np.arange(50)))):
        each.to_csv(tmp_path / f"test{number}.csv", index=False)
    one, two = (trained(frame, tmp_path / f"run{i}", test=str(tmp_path / f"test{i}.csv")) for i in (0, 1))
    assert one.config.data.rows["test"] == 50 and sum(one.config.data.rows.values()) == ROWS + 50
    assert bits(one.fitting.run_state.state.params) == bits(two.fitting.run_state.state.params)
    predicted = runs.load(tmp_path / "run0").predict(test)["prediction"]
    rmse = float(np.sqrt(np.mean((predicted - test["price"]) ** 2)))
    scale = float(one.work.parts.target.scale)
    result = json.loads((tmp_path / "run0" / "result.json").read_text())
    assert result["test"]["loss"] == pytest.approx((rmse / scale) ** 2, rel=1e-4)


def test_labels_of_the_last_column_keep_their_text_and_unknown_ones_do_not_judge(tmp_path, monkeypatch):
    frame = houses()[["area", "age"]].assign(zip=np.where(np.arange(ROWS) % 3, "01234", "98765"))
    frame.to_csv(tmp_path / "codes.csv", index=False)
    frame[:60].assign(zip=["01234", "00000"] * 30).to_csv(tmp_path / "test.csv", index=False)
    options = runs.TrainOptions(test=str(tmp_path / "test.csv"))
    problem = runs.pose(str(tmp_path / "codes.csv"), options)
    assert problem.understanding.classes == ("01234", "98765") and len(problem.rows.test) == 30
    assert f"30 rows of {options.test} without a target that training rows have are left out" in problem.rows.remarks
    frame.assign(zip=["1.0", "2.50"] * (ROWS // 2)).to_csv(tmp_path / "numbers.csv", index=False)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((tmp_path / "numbers.csv").read_bytes())))
    piped = runs.pose("-", runs.TrainOptions(task="classification"))  # which can be read once
    assert piped.understanding.classes == ("1.0", "2.50")
    frame[:60].assign(zip="5").to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(ValueError, match="no row has a target 'zip' that training rows have"):
        runs.pose(str(tmp_path / "codes.csv"), options)


def test_intervals_have_the_width_of_a_judge():
    """The half-width of MAPIE and of crepes, given the same predictions."""
    rng = np.random.default_rng(4)
    y, predicted = rng.normal(size=203), rng.normal(size=203)
    for level in (0.5, 0.8, 0.9, 0.95):
        own = runs.half_width(np.abs(y - predicted), level)
        ranked = np.sort(np.abs(y - predicted))[int(np.ceil(204 * level)) - 1]
        assert own == ranked
        crepes = pytest.importorskip("crepes")
        judge = crepes.ConformalRegressor().fit(residuals=y - predicted)
        low, high = judge.predict_int(y_hat=np.zeros(1), confidence=level)[0]
        assert (high - low) / 2 == pytest.approx(own, abs=1e-6)


def test_folds_are_held_out_of_the_model_that_measures_them(tmp_path):
    """Each fold's distances are those of its model, and this model is that of the other rows, to the last bit."""
    frame = houses(3, 120)
    training = trained(frame, tmp_path / "run", target="price", cv=4)
    work, folds = training.work, runs.load(tmp_path / "run").intervals
    assert sorted(np.bincount(folds.fold)) == [21, 21, 21, 21] and len(folds.fold) == len(work.parts.train[0])
    x, y = work.parts.train
    for k in range(4):
        params = jax.tree.map(lambda p, k=k: p[k], folds.params)
        outputs = work.job.objective.model.apply(params, x) - y
        distances = np.abs(np.asarray(outputs, float)) * float(work.parts.target.scale)
        np.testing.assert_allclose(folds.distances[folds.fold == k], distances[folds.fold == k], rtol=1e-3, atol=1e-3)
    held_out = json.loads((tmp_path / "run" / "result.json").read_text())["cross_validation"]
    of_folds = [np.sqrt(np.mean(folds.distances[folds.fold == k] ** 2)) for k in range(4)]
    assert held_out["folds"] == 4 and held_out["rmse"]["mean"] == pytest.approx(np.mean(of_folds), rel=1e-6)
    assert held_out["rmse"]["standard_error"] == pytest.approx(np.std(of_folds, ddof=1) / 2, rel=1e-6)
    rest = work.parts._replace(train=(x[folds.fold != 2], y[folds.fold != 2]))
    again = runs.job.run_through(work.job_of(rest), rest).params
    assert bits(again) == bits(jax.tree.map(lambda p: p[2], folds.params))


def test_classes_are_cross_validated_too(tmp_path, capsys):
    frame = houses(3, 120)
    frame["dear"] = np.where(frame.pop("price") > 400, "dear", "cheap")
    training = trained(frame.astype({"dear": "str"}), tmp_path / "run", cv=3, epochs=20, learning_rate=0.05, ensemble=1)
    said = json.loads((tmp_path / "run" / "result.json").read_text())["cross_validation"]
    assert said["folds"] == 3 and 0.8 < said["accuracy"]["mean"] <= 1 and 0 < said["log_loss"]["mean"] < 0.5
    assert "3 folds of the training rows, each held out: log loss " in training.words
    assert runs.load(tmp_path / "run").intervals is None


def test_a_fold_that_goes_wrong_is_said_and_costs_the_intervals_alone(tmp_path, monkeypatch):
    inner = runs.intervals.run_side_by_side

    def second_diverges(jobs, parts):
        results = inner(jobs, parts)
        return [*results[:1], dataclasses.replace(results[1], stop=gd.Stop.DIVERGED), *results[2:]]

    monkeypatch.setattr("gdjax.runs.intervals.run_side_by_side", second_diverges)
    training = trained(houses(3, 120), tmp_path / "run", target="price", cv=4)
    run = runs.load(tmp_path / "run")
    assert training.alarm.startswith("a run without one of the folds went wrong")
    assert run.intervals is None and list(run.predict(houses()).columns) == ["prediction", "remark"]
    assert run.without_intervals in training.alarm
    diverged = dataclasses.replace(run, result={**run.result, "stop": "DIVERGED"})
    for judge in (diverged.predict, functools.partial(runs.evaluate_on, diverged)):
        with pytest.raises(ValueError, match=r"`level=0.8`: there are no intervals: the run ended DIVERGED"):
            judge(houses(), level=0.8)
    assert run.result["cross_validation"] is None


def test_folds_as_lanes_are_the_runs_that_cores_take(monkeypatch):
    """What an accelerator does: one program with a lane for each fold."""
    work = runs.choose(
        houses(3, 120), runs.TrainOptions(target="price", epochs=3, tune="none", hidden=(4,), ensemble=1), ""
    )
    x, y = work.parts.train
    rests = [work.parts._replace(train=(x[k::3], y[k::3])) for k in range(3)]
    jobs = [work.job_of(rest) for rest in rests]
    on_cores = runs.job.run_side_by_side(jobs, rests)
    monkeypatch.setattr("gdjax.sweeps.own_data.jax.default_backend", lambda: "gpu")
    as_lanes = runs.job.run_side_by_side(jobs, rests)
    for a, b in zip(on_cores, as_lanes, strict=True):
        assert a.stop == b.stop and a.steps == b.steps
        np.testing.assert_allclose(a.history["validation_loss"], b.history["validation_loss"], rtol=1e-4)
        jax.tree.map(lambda p, q: np.testing.assert_allclose(p, q, rtol=1e-2, atol=1e-4), a.params, b.params)
    assert on_cores[0].best_value != on_cores[1].best_value
    rests[2] = rests[2]._replace(train=(x[:50], y[:50]))  # of other shapes, which no program has as lanes
    assert runs.job.run_side_by_side(jobs, rests)[0].best_value == on_cores[0].best_value


def test_what_is_left_out_or_outside_is_said(tmp_path, monkeypatch):
    """Spoiled cells, groups beside a file of test rows, texts with an end of line, levels, another decay on resuming."""
    frame = houses(2, 120).assign(who=np.arange(120) % 12, note="two\nlines")
    frame.to_csv(tmp_path / "houses.csv", index=False)
    spoiled_cells = frame.astype({"area": object})
    spoiled_cells.loc[::7, "area"] = "bad"
    problem = runs.pose(spoiled_cells, runs.TrainOptions(target="price", drop=("note",))).encode("standardized").problem
    assert "18 rows with a cell that cannot be read are left out" in problem.rows.remarks
    given = {"target": "price", "group": "who", "test": str(tmp_path / "houses.csv"), "cv": None}
    grouped = trained(frame, tmp_path / "grouped", **given)
    who, fold = frame["who"].to_numpy()[grouped.work.problem.rows.train], runs.load(tmp_path / "grouped").intervals.fold
    assert all(len(set(fold[who == each])) == 1 for each in set(who)) and len(set(fold)) == 5
    assert "\n  - left out: 'who' (identifier: as asked (id)) and 'note' (constant: all cells are" in grouped.words
    run = runs.load(tmp_path / "grouped")
    text, rows = runs.predicted_file(run, tmp_path / "houses.csv", ["note", "who"], 0.9)
    assert rows == 120 and pd.read_csv(io.StringIO(text))["note"].tolist() == frame["note"].tolist()
    with pytest.raises(ValueError, match="`keep=remark`: the predictions have a column of that name"):
        runs.predicted_file(run, write(frame.assign(remark=1), tmp_path / "more.csv"), ["remark"], 0.9)
    for level, said in ((2.0, "between 0 and 1, got 2"), (0.999, "at most 0.9")):
        with pytest.raises(ValueError, match=said):
            runs.evaluate_on(run, tmp_path / "houses.csv", level)
    with pytest.raises(
        ValueError, match="the run has standardized numbers and a decay of 6, which these options exclude"
    ):
        trained(frame, tmp_path / "grouped", **given, weight_decay=5.0, resume=True)
    for options, said in (({"dtype": "float64"}, "jax_enable_x64"), ({"device": "cpu"}, "jax.default_device")):
        with pytest.raises(ValueError, match=said):
            runs.train(frame, "price", tmp_path / "python", **options)
    assert not (tmp_path / "python").exists()


def write(frame, path):
    frame.to_csv(path, index=False)
    return path


def test_a_choice_is_made_by_validation_loss_and_repeated_by_its_command(tmp_path, monkeypatch):
    monkeypatch.setattr("gdjax.runs.defaults.DECAYS", (0.01, 3.0))
    frame = houses()
    training = trained(frame, tmp_path / "run", tune="grid")
    trials = training.work.trials
    assert [(each.numbers, each.weight_decay) for each in trials] == [
        (numbers, decay) for numbers in ("standardized", "piecewise_linear") for decay in (0.01, 3.0)
    ]
    said = "with --cv 0 they need 200 validation rows, half of which set them, and there are 36; train without --cv 0"
    assert said in training.words.replace("\n  ", " ") and "intervals" not in training.alarm
    best = min(trials, key=lambda trial: trial.validation_loss)
    assert (training.config.data.numbers, training.config.weight_decay) == best[:2]
    assert training.fitting.result().best_value == pytest.approx(best.validation_loss, rel=1e-6)
    alone = trained(frame, tmp_path / "alone", numbers=best.numbers, weight_decay=best.weight_decay)
    assert bits(alone.fitting.run_state.state.params) == bits(training.fitting.run_state.state.params)


def test_options_of_python_are_those_of_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    houses().to_csv("houses.csv", index=False)
    with pytest.warns(UserWarning, match="^NO BETTER THAN THE MEAN"):  # after two epochs; cv=0 was asked for
        run = runs.train("houses.csv", "price", "one", hidden=(4,), epochs=2, quick=True, drop=("age",), cv=0)
    words = "gdjax train houses.csv --target price --drop age --cv 0 --hidden 4 --epochs 2 --out one --quick"
    assert run.config.command == words and run.config.data.columns == ("area", "city", "garden")
    with pytest.raises(TypeError, match="train: no option 'epoch': did you mean 'epochs'"):
        runs.train("houses.csv", "price", epoch=3)
    for options, said in (
        ({"target": "prize"}, "there is no such column"),
        ({"target": "price", "model": "ml"}, "`model=ml`: did you mean 'mlp'"),
        (
            {"target": "price", "model": "linear_regression", "hidden": (4,)},
            "`hidden` is of the model mlp",
        ),
        ({"target": "garden", "group": "garden"}, "`group=garden`: it is the target"),
    ):
        with pytest.raises(ValueError, match=said):
            runs.train("houses.csv", out="two", **options)
    assert not (tmp_path / "two").exists()
    monkeypatch.chdir(tmp_path.parent)
    moved = (tmp_path / "houses.csv").rename(tmp_path / "gone.csv")
    found = gd.runs.load(tmp_path / "one").predict(moved)
    assert len(found) == ROWS and list(found.columns) == ["prediction", "remark"]
    assert run.without_intervals in (tmp_path / "one" / "report.html").read_text().replace("There", "there")
    with pytest.raises(ValueError, match=r"`level=0.5`: there are no intervals: with --cv 0 they need"):
        run.predict(moved, level=0.5)
    some = houses().query("area > 100")
    again = run.predict(some)["prediction"]
    assert again.index.equals(some.index) and np.allclose(again, found["prediction"][some.index])
    more = some.assign(tags=[["a"]] * len(some), code=1j)  # columns that the run does not read
    assert run.predict(more)["prediction"].equals(again) and runs.evaluate_on(run, more) == runs.evaluate_on(run, some)
    with pytest.raises(ValueError, match="column 'area' must hold single values, got list"):
        run.predict(more.assign(area=more["tags"]))
    with pytest.raises(ValueError, match="there is no column 'area'; there are 'age', 'city', 'garden' and 'price'"):
        run.predict(some.drop(columns="area"))
    with pytest.raises(ValueError, match="the table has no row"):
        run.predict(some.head(0))


def test_a_frame_of_unusual_cells_is_taken_with_a_note_or_refused():
    """Durations, names that are numbers; lists, complex numbers; what is of files alone; numbers no float tells apart."""
    x, y = np.random.default_rng(0).normal(size=(2, 60))

    def pose(column=x, target="y", of_target=y, **options):
        frame = pd.DataFrame({"x": x, 3: column, "y": of_target})
        return runs.pose(frame, runs.TrainOptions.named("train", {"target": target, **options})).understanding

    assert [each.kind for each in pose(pd.to_timedelta(x**2, unit="h")).columns] == ["number", "number"]
    assert "column '3': durations are in seconds" in pose(pd.to_timedelta(x**2, unit="h")).notes
    large = np.uint64(2**63) + np.arange(60).astype(np.uint64) % 5
    assert "column '3' stays text, since no float holds '9223372036854775812'" in pose(large).notes
    assert pose(x.astype(np.float16)).columns[1].kind == "number"
    assert pose(target=3, drop=["x"]).target == "3"
    for column, kind in ((x + 1j, "complex"), ([[1.0]] * 60, "list"), ([{"a": 1}] * 60, "dict")):
        for given in ({"column": column}, {"target": "y", "of_target": column}):
            with pytest.raises(ValueError, match=f"a data frame: column '.' must hold single values, got {kind}"):
                pose(**given)
    with pytest.raises(ValueError, match="`missing` is of reading a file, and a DataFrame is none"):
        pose(missing=("-999",))
    assert pose(missing=[]).target == "y"  # which says nothing
    with pytest.raises(ValueError, match="fewer than two different numbers"):
        pose(of_target=["12345", "12345.0"] * 30)
