"""The table of a sweep: its columns, its order, its intervals as SciPy has them, its file as pandas reads it."""

import csv
import dataclasses
import types

import numpy as np
import pandas
import pytest
import scipy.stats

import gdjax as gd
from gdjax.sweeps import SweepTable, grid
from gdjax.sweeps.table import table_of

OPTIMIZERS = [gd.sgd(0.1, momentum=0.9), gd.adam(gd.schedules.cosine(0.1, 100))]
CONFIGURATIONS = grid({"optimizer": OPTIMIZERS, "loss.penalty.strength": [1 / 3, 1e-7], "loss.model.sizes": [(4, 2)]})
VALUES = np.array([[0.5, 0.7, 0.6], [0.1, np.nan, 0.2], [0.4, 0.5, 0.3], [0.0, 0.0, 0.0]])  # configurations x seeds
STOPS = np.array([["PATIENCE"] * 3, ["BUDGET"] * 3, ["BUDGET", "PATIENCE", "BUDGET"], ["DIVERGED"] * 3])


def build(values=VALUES, stops=STOPS, direction="min", seeds=(5, 7, 9)):
    outcomes = [
        types.SimpleNamespace(
            configuration=i,
            seed=seed,
            stop=str(stops[i, j]),
            best_value=values[i, j],
            best_evaluation=-1 if np.isnan(values[i, j]) else 1,
            epochs=4.0 + j,
            steps=40,
            history={"epoch": np.arange(1.0, 5.0)},
            params=None,
            model_state=None,
        )
        for i in range(len(values))
        for j, seed in enumerate(seeds)
    ]
    return table_of(outcomes, CONFIGURATIONS, "validation loss", direction)


def test_a_row_is_a_run():
    table, rows = build(), build().rows()
    assert len(table) == len(rows) == 12
    assert rows[4]["optimizer"] == OPTIMIZERS[0] and rows[4]["loss.penalty.strength"] == 1e-7
    own = {"seed": 7, "stop": "BUDGET", "epochs": 5.0, "steps": 40}
    assert {name: rows[4][name] for name in own} == own and np.isnan(
        [rows[4]["best_value"], rows[4]["best_epoch"]]
    ).all()
    assert rows[0]["best_epoch"] == 2 and rows[0]["loss.model.sizes"] == (4, 2)
    assert table.columns["loss.penalty.strength"].dtype == float
    assert np.flatnonzero(table.wrong).tolist() == [4, 9, 10, 11]


def test_configurations_are_judged_by_the_mean_over_seeds_and_those_that_went_wrong_are_last():
    table = build()
    assert [each.number for each in table.top()] == [2, 0, 1, 3] and table.best() == CONFIGURATIONS[2]
    assert [each.number for each in build(direction="max").top(2)] == [0, 2]
    np.testing.assert_allclose(table.means, [0.6, np.nan, 0.4, np.nan])
    for each, values in zip(table.by_configuration(), VALUES[:, :], strict=True):
        sound = values[np.isfinite(values)] if each.number < 3 else []
        assert each.seeds == 3 and each.wrong * 3 == pytest.approx(3 - len(sound)) and each.epochs == 5
        if len(sound):
            np.testing.assert_allclose([each.mean, each.standard_error], [np.mean(sound), scipy.stats.sem(sound)])
            interval = scipy.stats.t.interval(0.95, len(sound) - 1, np.mean(sound), scipy.stats.sem(sound))
            np.testing.assert_allclose([each.low, each.high], np.maximum(interval, 0))  # which is no loss below 0
        else:
            assert np.isnan([each.mean, each.low, each.high]).all()


def test_a_table_says_what_is_best_and_what_went_wrong():
    lines = repr(build()).splitlines()
    assert lines[0] == "12 runs: 4 configurations, 3 seeds; validation loss, smaller is better"
    assert lines[1].split() == [
        "optimizer",
        "strength",
        "sizes",
        "validation",
        "loss",
        "95%",
        "interval",
        "epochs",
        "stop",
    ]
    assert lines[2].startswith("adam(cosine(0.1, 100))") and " 0.33333 " in lines[2]
    assert (
        lines[2].endswith("2 BUDGET and 1 PATIENCE")
        and lines[-1] == "4 of 12 runs went wrong (1 without a finite value and 3 DIVERGED)"
    )
    one = repr(build(VALUES[:, :1], seeds=(5,)))
    assert "interval" not in one and one.splitlines()[2].split()[-4:] == ["2)", "0.1", "4", "BUDGET"]
    assert "<td>adam(cosine(0.1, 100))</td>" in build()._repr_html_()


def test_no_configuration_is_crowned_if_all_went_wrong():
    table = build(stops=np.full((4, 3), "NON_FINITE"))
    assert repr(table).splitlines() == [
        "12 runs: 4 configurations, 3 seeds; validation loss, smaller is better",
        "every one of 12 runs went wrong (12 NON_FINITE)",
    ]
    with pytest.raises(ValueError, match="no configuration is the best: every one of 12 runs went wrong"):
        table.best()
    with pytest.raises(ValueError, match="direction must be 'min' or 'max', got 'least'"):
        dataclasses.replace(table, direction="least")


def test_the_file_holds_the_numbers_to_the_last_bit(tmp_path, monkeypatch):
    values = np.random.default_rng(0).random((4, 3))
    table = build(values)
    table.to_csv(tmp_path / "table.csv")
    with open(tmp_path / "table.csv", newline="") as file:
        read = list(csv.DictReader(file))
    assert [*read[0]] == [*table.columns] and [float(row["best_value"]) for row in read] == values.ravel().tolist()
    assert [float(row["loss.penalty.strength"]) for row in read] == table.columns["loss.penalty.strength"].tolist()
    assert [row["optimizer"] for row in read] == ["sgd(0.1, momentum=0.9)"] * 6 + ["adam(cosine(0.1, 100))"] * 6
    assert [row["loss.model.sizes"] for row in read] == ["(4, 2)"] * 12
    monkeypatch.setattr(pandas.DataFrame, "to_csv", lambda frame, path, **_: path.write_text("half") and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        table.to_csv(tmp_path / "table.csv")
    assert [each.name for each in tmp_path.iterdir()] == ["table.csv"]
    assert len(pandas.read_csv(tmp_path / "table.csv")) == 12


def test_the_intervals_hold_the_mean_as_often_as_they_say():
    rng = np.random.default_rng(0)
    configuration, seed = np.repeat(np.arange(2000), 4), np.tile(np.arange(4), 2000)
    values = 3 + rng.standard_normal(8000)
    ones = np.ones(8000)
    table = SweepTable(({},) * 2000, configuration, seed, np.full(8000, "BUDGET"), values, ones, ones, ones, "loss")
    held = np.mean([each.low <= 3 <= each.high for each in table.by_configuration()])
    assert abs(held - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 2000)


def test_an_interval_has_nothing_that_no_mean_can_be():
    """Of values in [0, 1], greater is better, as of an accuracy; of losses alone; of values below 0, which may go on."""
    high = build(np.array([[0.9, 1.0, 1.0], [0.0, 0.1, 0.0], [0.5, 0.5, 0.5], [9.0] * 3]), direction="max").top(3)
    assert high[0].high == 1 and high[2].low == 0 and 0 < high[2].high < 0.5
    loss, below = (build(np.array([[0.1, 3.0, 0.2], [x] * 3, [1.0, 1.0, 1.0], [9.0] * 3])).top() for x in (5.0, -1.0))
    assert loss[-3].low == 0 and loss[-3].high > 4 and below[-2].low < -2


def test_a_best_at_the_end_of_an_axis_is_told():
    """With the direction to widen; not of two values, 0, the lengths of runs, nor where the axis makes no difference."""
    axes = {
        "optimizer.learning_rate": [0.01, 0.1, 1.0],
        "decay": [0.0, 0.5, 1.0],
        "b1": [0.5, 0.9],
        "epochs": [1, 2, 4],
    }
    told = {}
    for number, name in enumerate(axes):
        configurations = [dict(zip(axes, (0.1, 0.5, 0.5, 2), strict=True)) | {name: x} for x in axes[name]]
        for best, order in (("first", 1), ("last", -1), ("all", 0)):
            count = len(configurations)
            value, ones = order * np.arange(count) + 5.0, np.ones(count)
            runs = np.arange(count), np.zeros(count, int), np.full(count, "BUDGET"), value
            said = repr(SweepTable(tuple(configurations), *runs, ones, ones, ones, "loss")).splitlines()
            told |= dict.fromkeys([(number, best)] * ("was tried" in said[-1]), said[-1])
    assert told == {
        (0, "first"): "the best learning_rate, 0.01, is the least that was tried: smaller ones may be better",
        (0, "last"): "the best learning_rate, 1, is the greatest that was tried: greater ones may be better",
        (1, "last"): "the best decay, 1, is the greatest that was tried: greater ones may be better",
    }
