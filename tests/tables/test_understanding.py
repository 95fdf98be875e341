"""Kinds of columns, tasks of targets, and what is said of them."""

import re

import numpy as np
import pandas as pd
import pytest

import gdjax as gd
from gdjax.tables import understand
from gdjax.tables.target import labels

ROWS = 240
RNG = np.random.default_rng(0)
I = np.arange(ROWS)
Y = RNG.normal(size=ROWS).round(6)


def table(columns, text=None, **wanted):
    frame = pd.DataFrame(columns)
    frame = frame.astype({name: "str" for name in frame if frame[name].dtype == object})
    return gd.data.Table(frame, "t", f"{len(frame)} rows", text=text or {}, **wanted)


def pick(*values):
    return RNG.choice(np.array(values, object), ROWS)


KINDS = {  # (kind, cells)
    "number": ("number", RNG.normal(size=ROWS)),
    "whole": ("number", RNG.integers(0, 90, ROWS)),
    "binary": ("number", RNG.integers(0, 2, ROWS)),
    "tiny energy": ("number", 1e-20 * RNG.normal(size=ROWS)),
    "offset": ("number", 1e9 + 1e-3 * RNG.normal(size=ROWS)),
    "holes": ("number", np.where(I % 3, RNG.normal(size=ROWS), np.nan)),
    "time": ("number", I),  # counts the rows, as a measurement of time may
    "seconds": ("number", 1_700_000_000 + I),
    "year": ("number", RNG.integers(1990, 2020, ROWS)),
    "text numbers": ("number", np.array([f"{x:.2f}".replace(".", ",") for x in RNG.normal(size=ROWS)], object)),
    "mistyped": ("number", np.array([*map(str, RNG.normal(size=ROWS - 1)), "abc"], object)),
    "city": ("text with few levels", pick("Ulm", "Bonn", "Köln")),
    "range": ("text with few levels", pick("40-49", "50-59", "60-69")),
    "zip": ("text with few levels", pick("01234", "10115", "80331")),
    "one or none": ("text with few levels", pick("pool", None)),
    "dose": ("text with few levels", pick("1", "2", "high")),
    "tail number": ("category", np.array([f"N{i % 80}" for i in I], object)),
    "patient_id": ("category", I // 6 + 5000),
    "consent": ("yes/no", pick("Yes", "yes", "NO", "no", None)),
    "smoker": ("yes/no", RNG.integers(0, 2, ROWS).astype(bool)),
    "iso": ("date", pd.date_range("2020-01-01", periods=ROWS).strftime("%Y-%m-%d")),
    "iso time": ("date", pd.date_range("2020-01-01", periods=ROWS, freq="37min").strftime("%Y-%m-%dT%H:%M:%SZ")),
    "german": ("date", pd.date_range("2020-01-01", periods=ROWS).strftime("%d.%m.%Y")),
    "american": ("date", pd.date_range("2020-01-01", periods=ROWS).strftime("%m/%d/%Y %H:%M")),
    "named": ("date", pd.date_range("2020-01-01", periods=ROWS).strftime("%d %b %Y")),
    "months": ("date", np.array([f"{2000 + i // 12}-{i % 12 + 1:02d}" for i in I], object)),
    "compact": ("date", pd.date_range("2020-01-01", periods=ROWS).strftime("%Y%m%d").astype(int)),
    "clock": ("date", np.array([f"{i % 24:02d}:{i % 60:02d}" for i in I], object)),
    "stamp": ("date", pd.date_range("2020-01-01", periods=ROWS)),
    "customerID": ("identifier", 90000 - 7 * I),
    "serial": ("identifier", I + 1),
    "record": ("identifier", I),
    "name": ("identifier", np.array([f"person {i}" for i in I], object)),
    "empty": ("constant", np.full(ROWS, np.nan)),
    "unit": ("constant", np.full(ROWS, "kg", object)),
    "fahrenheit": ("copy of the target", 1.8 * Y + 32),
}


def test_kinds_of_columns():
    found = understand(table({**{name: cells for name, (_, cells) in KINDS.items()}, "y": Y}), "y")
    kinds = {column.name: column.kind for column in (*found.columns, *found.left_out)}
    assert kinds == {name: kind for name, (kind, _) in KINDS.items()}
    assert {column.name for column in found.left_out} == {
        name for name, (kind, _) in KINDS.items() if kind in ("identifier", "constant", "copy of the target")
    }
    by_name = {column.name: column for column in found.columns}
    assert by_name["holes"].missing == 80 and by_name["mistyped"].spoiled == 1
    assert by_name["german"].format == "%d.%m.%Y" and by_name["german"].span() == "2020-01-01 to 2020-08-27"
    assert by_name["clock"].span() == "00:00:00 to 23:59:00"
    spans = {"iso time": "2020-01-01 to 2020-01-07 03:23:00", "seconds": "1700000000 to 1700000239"}
    assert {name: by_name[name].span() for name in spans} == spans
    assert re.fullmatch(r"999999999\.99\d to 1000000000(\.\d+)?", by_name["offset"].span())
    assert by_name["whole"].low == KINDS["whole"][1].min() and by_name["whole"].high == KINDS["whole"][1].max()


def test_day_and_month_are_told_apart_by_the_cells_or_by_the_order_of_the_rows():
    days = pd.date_range("2020-01-01", "2020-06-30")
    days = days[days.day <= 12].repeat(3)
    shuffled = days[RNG.permutation(len(days))]
    y = RNG.normal(size=len(days))
    for cells, found in (
        (days.strftime("%d/%m/%Y"), "%d/%m/%Y"),  # in order, if so read
        (days.strftime("%m/%d/%Y"), "%m/%d/%Y"),
        (shuffled.strftime("%m/%d/%Y"), "%m/%d/%Y"),
        (pd.Index([*shuffled.strftime("%d/%m/%Y")[:-1], "31/01/2020"]), "%d/%m/%Y"),
        (days.strftime("%d.%m.%y"), "%d.%m.%y"),
    ):
        (column,) = understand(table({"when": cells, "y": y})).columns
        assert column.format == found


def test_a_copy_of_classes_under_other_names_and_with_holes():
    labels = I % 3
    columns = {
        "x": RNG.normal(size=ROWS),
        "names": np.array(["a", "b", "c"], object)[labels],
        "with holes": np.where(I % 5 == 0, np.nan, 7.0 - labels),
        "finer": labels * 2 + I % 2,
        "class": labels,
    }
    found = understand(table(columns))
    assert {column.name: column.kind for column in found.left_out} == dict.fromkeys(
        ("names", "with holes"), "copy of the target"
    )
    line = understand(
        table({"x": I / 7, "y": 3 * I / 7 + 1})
    )  # the only feature stays, though the target is linear in it
    assert [column.name for column in line.columns] == ["x"]
    assert [column.name for column in understand(table({"n": I, "y": Y})).columns] == ["n"]


def test_wishes_go_before_what_columns_look_like():
    columns = {"id": I + 5, "code": I % 4, "text": pick("1", "2", "x"), "unit": ["kg"] * ROWS, "x": I**0.5, "y": Y}
    found = understand(table(columns), "y", categorical=["code"], numeric=["text", "id"], drop=["unit"])
    assert {c.name: c.kind for c in found.columns} == {
        "id": "number",
        "code": "category",
        "text": "number",
        "x": "number",
    }
    assert [(c.name, c.reason) for c in found.left_out] == [("unit", "as asked (drop)")]
    assert found.columns[1].levels == ("0", "1", "2", "3")
    only = understand(table(columns), "y", only="id,x")
    assert [c.name for c in only.columns] == ["id", "x"] and {c.kind for c in only.left_out} == {"not used"}
    with pytest.raises(ValueError) as error:
        understand(table(columns), "z", drop=["units"], only=["Code", "y"], categorical=["x"], numeric=["x"])
    for said in ("`target=z`", "did you mean 'unit'", "did you mean 'code'", "`categorical=x` and `numeric=x` exclude"):
        assert said in str(error.value)
    with pytest.raises(
        ValueError, match=r"at least one feature beside the target 'y'.*'unit': constant, all cells are 'kg'"
    ):
        understand(table({"unit": columns["unit"], "y": Y}))
    twice = gd.data.Table(pd.DataFrame(np.ones((9, 4)), columns=list("abab")), "t", "t")
    with pytest.raises(ValueError, match="different names, got 'a' and 'b' more than once"):
        understand(twice)


def ones(*counts):
    return np.repeat(np.arange(len(counts)), counts)


TARGETS = [  # (task, name, cells)
    ("classification", "y", pick("a", "b")),
    ("classification", "y", RNG.integers(0, 2, ROWS).astype(bool)),
    ("classification", "y", pick("yes", "no")),
    ("classification", "y", pick("01234", "10115", "80331")),
    ("classification", "y", np.where(I % 9 == 0, -1, 1)),
    ("classification", "count", I % 2),  # two values
    ("classification", "target", ones(50, 50, 50)),  # iris
    ("classification", "cultivar", ones(59, 71, 48) + 1),  # wine
    ("classification", "y", I % 10),  # digits
    ("classification", "y", np.array([1, 2, 3, 5, 6, 7])[ones(70, 76, 17, 13, 9, 29)]),  # glass
    ("classification", "y", ones(2100, 2800, 357, 27, 95, 174, 205) + 1),  # cover types: imbalanced, but no counts
    ("classification", "y", np.array([10115, 80331, 60311])[I % 3]),  # zip codes
    ("classification", "zip_code", 10001 + 7 * (I % 40)),
    ("regression", "quality", np.arange(3, 10)[ones(30, 163, 1457, 2198, 880, 175, 5)]),  # wine quality
    ("regression", "y", np.arange(3, 10)[ones(30, 163, 1457, 2198, 880, 175, 5)]),
    ("regression", "age", RNG.integers(18, 90, ROWS)),
    ("regression", "age", I % 12),
    ("regression", "rating", I % 5 + 1),
    ("regression", "y", ones(120, 80, 30, 9, 1)),  # counts
    ("regression", "y", RNG.integers(2015, 2021, ROWS)),
    ("regression", "y", Y),
    ("regression", "price", RNG.integers(1, 10**6, ROWS)),
    ("regression", "y", np.where(I % 4 == 0, np.nan, np.round(Y, 2))),
]


def test_the_task_of_a_target_and_its_values():
    for task, name, cells in TARGETS:
        found = understand(table({"x": RNG.normal(size=len(cells)), name: cells}))
        assert (found.task, found.target) == (task, name), (found.reason, task, name)
        assert found.reason and found.task in repr(found) and found.reason in repr(found)
        there = ~pd.isna(cells)
        np.testing.assert_array_equal(found.rows, np.flatnonzero(there))
        if task == "regression":
            assert found.y.dtype == np.float64 and found.classes == ()
            np.testing.assert_array_equal(found.y, np.asarray(cells, float))
        else:
            assert found.y.dtype == np.int32 and set(found.classes) == set(map(str, cells))
            np.testing.assert_array_equal(np.array(found.classes)[found.y], [str(cell) for cell in cells])


def test_another_task_by_the_users_word():
    numbers, words = table({"x": Y, "y": I % 10}), table({"x": Y, "y": pick("a", "b")})
    assert understand(numbers, "y", task="regression").y.dtype == np.float64
    assert len(understand(table({"x": Y, "y": np.round(Y)}), "y", task="classification").classes) > 2
    for given, task, said in (
        (words, "regression", "row 1, column 'y': regression needs numbers, got '[ab]'"),
        (words, "ranking", "`task=ranking`: one of classification, regression"),
        (table({"x": Y, "y": Y}), "classification", "has 240 different values in 240 cells.*too many for classes"),
        (table({"x": Y, "y": [f"t{i}" for i in I]}), None, "240 different values in 240 cells, such as 't0' and 't1'"),
        (
            table({"x": Y, "y": ["a"] * ROWS}),
            None,
            "the target 'y' has one value, 'a', in all of its 240 cells: there is no",
        ),
        (table({"x": Y, "y": np.full(ROWS, np.nan)}), None, "the target 'y' is empty: there is nothing to predict"),
        (table({"x": Y, "y": KINDS["german"][1]}), None, "is a date, which is not predicted"),
    ):
        with pytest.raises(ValueError, match=said) as error:
            understand(given, "y", task=task)
        assert "\n" not in str(error.value)


def test_labels_keep_their_text_in_natural_order():
    written = pd.Series(np.array(["10", "2", "1", "9"], object)[I % 4], dtype="str")
    found = understand(table({"x": Y, "y": written.astype(int)}, text={"y": "class " + written}), task="classification")
    assert found.classes == ("class 1", "class 2", "class 9", "class 10") and found.y[:4].tolist() == [3, 1, 0, 2]
    twice = pd.Series(np.array(["1", "1.0", "2"], object)[I % 3], dtype="str")  # one number, written in two ways
    assert understand(table({"x": Y, "y": twice.astype(float)}, text={"y": twice})).classes == ("1", "2")
    holes = pd.Series(np.array(["b", "a", None], object)[I % 3], dtype="str")
    found = understand(table({"x": Y, "y": holes}))
    assert found.classes == ("a", "b") and found.y[:3].tolist() == [1, 0, -1]
    assert "the target 'y' is missing in 80 of 240 rows" in repr(found)


def test_yes_and_no_are_two_classes_however_they_are_spelled():
    written, copy = (
        pd.Series(np.array(texts, object)[I % 6], dtype="str")
        for texts in (["Yes", "no", "YES ", "Yes", "NO", "no"], ["yes", "No", "Yes", "YES", "no", "No"])
    )
    for task in (None, "classification"):
        found = understand(table({"x": Y, "copy": copy, "y": written}), task=task)
        assert found.classes == ("Yes", "no") and found.y.tolist() == np.array([0, 1, 0, 0, 1, 1])[I % 6].tolist()
        assert [column.kind for column in found.left_out] == ["copy of the target"]
    assert labels(pd.Series(["yes", " NO", "maybe", None], dtype="str"), ("Yes", "no")).tolist() == [0, 1, -1, -1]
    assert understand(table({"x": Y, "y": pick("ab", "AB", "c")})).classes == ("AB", "ab", "c")


SUSPICIOUS = [
    ({"x": np.where(I == 7, 1e9, Y)}, "row 8, column 'x': 1e\\+09: [\\d,]{9,} times the next largest"),
    ({"x": np.where(I % 4 == 0, -999, I / 10)}, "'x': -999 stands in 60 cells.*--missing=-999"),
    ({"x": np.where(I % 4 == 0, 9999, RNG.integers(0, 100, ROWS))}, "'x': 9999 stands in 60 cells"),
    ({"x": KINDS["mistyped"][1]}, "row 240, column 'x': a number is needed, got 'abc' \\(1 such cells\\)"),
    ({"x": Y, "when": KINDS["german"][1]}, "the rows stand in the order of 'when'.*--time when"),
    ({"x": Y, "when": KINDS["iso"][1][::-1]}, "the rows stand in the order of 'when'"),
    ({"x": Y, "timestamp": 1_700_000_000 + I // 2}, "the rows stand in the order of 'timestamp'"),
    ({"when": pick("01/02/2020", "03/04/2021")}, "'when': day and month could be exchanged"),
    (
        {"x": pick("red", "Red", "blue")},
        "levels of 'x' that differ in their spelling alone are kept apart: '[rR]ed' and",
    ),
    ({"x": pick("yes", "Yes", "no")}, "levels of 'x' that differ in their spelling alone are read as one"),
    ({"x": np.where(I % 10 == 0, Y, np.nan)}, "'x' is missing in 216 of 240 rows"),
    ({"x": I // 2, "y": I // 2 + 0.5}, "120 of 240 rows are copies of others"),
    (
        {"x": I % 2, "z": Y, "y": pick("Yes", "yes", "YES", "no")},
        "classes of 'y' that differ in their spelling alone are read as one",
    ),
    (
        {"x": I % 2, "z": Y, "y": pick("red", "Red", "blue", "green")},
        "classes of 'y' that differ in their spelling alone are kept apart",
    ),
    ({"x": Y, "y": np.where(I < 2, "rare", pick("a", "b"))}, "classes of fewer than 3 rows.*'rare'"),
    ({"x": I % 2, "y": pick("a", "b")}, "240 of 240 rows are equal to others, but the targets"),
]


def test_what_is_suspicious_is_said():
    for columns, said in SUSPICIOUS:
        (remark,) = understand(table({"y": Y} | columns), "y").remarks
        assert re.search(said, remark), (said, remark)
        if said.startswith("row "):
            (remark,) = understand(table({"y": Y} | columns, lines=I + 2), "y").remarks
            assert remark.startswith(f"line {int(re.findall('[0-9]+', said)[0]) + 1}, column 'x'")


def test_what_the_reader_has_noted_is_not_said_again():
    columns = {"y": Y, "x": np.where(I % 4 == 0, -999, I / 10), "z": pick("red", "Red", "blue")}
    notes = ("column 'x': -999 stands in 60 cells, far from all others", "column 'z': 'Red', 'red' differ in case only")
    assert len(understand(table(columns), "y").remarks) == 2
    assert understand(table(columns, notes=notes), "y").remarks == ()
    others = tuple(note.replace("'x'", "'w'").replace("'z'", "'v'") for note in notes)
    assert len(understand(table(columns, notes=others), "y").remarks) == 2


def test_an_ordinary_table_is_not_suspicious():
    columns = {
        "x": Y,
        "skewed": np.exp(2 * Y),
        "count": RNG.poisson(2, ROWS),
        "level": pick("low", "high"),
        "temp": I % 30 - 9,
    }
    assert understand(table({**columns, "y": RNG.normal(size=ROWS)})).remarks == ()
