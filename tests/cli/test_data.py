"""`gdjax data FILE`: what a table is understood to hold, and what training would do with it."""

import re

import numpy as np
import pandas as pd
import pytest

from gdjax import runs
from gdjax.cli.main import main

ROWS = 400


@pytest.fixture
def gdjax(capsys):
    def call(*words):
        with pytest.raises(SystemExit) as stop:
            main(["data", *map(str, words)])
        said = capsys.readouterr()
        return stop.value.code, said.out, said.err

    return call


@pytest.fixture
def houses(place):
    rng = np.random.default_rng(0)
    lines = ["id;area;city;sold;price;euro"]
    for i in range(ROWS):
        price, city, area = int(rng.integers(100_000, 900_000)), ("Ulm", "Bonn", "Köln")[i % 3], rng.uniform(50, 150)
        cells = (
            i + 100,
            "" if i == 7 else f"{area:.2f}",
            city,
            f"{1 + i % 28:02d}-{1 + i % 12:02d}-2020",
            price,
            price * 1.5,
        )
        lines.append(";".join(map(str, cells)).replace(".", ","))
    (place / "houses.csv").write_text("\n".join(lines) + "\n")
    return "houses.csv"


def test_a_table_is_explained(gdjax, houses):
    code, out, err = gdjax(houses, "--target", "price")
    assert code == 0 and err == ""
    for said in (
        "houses: 400 rows of houses.csv, 3 features",
        "the delimiter is ';'",
        "target 'price': regression, (399|400) different whole numbers",
        "area +number +1  5\\d\\.\\d+ to 1[45]\\d",
        "city +text with few levels +Ulm, Bonn, Köln",
        "sold +date +2020-01-01 to 2020-12-28",
        "id +identifier +its name says id",
        "euro +copy of the target +the target is linear in it",
        "split: 280 training, 60 validation, 0 calibration, 60 test rows",
        "encoding: \\d+ features of 3 columns",
    ):
        assert re.search(said, out), (said, out)
    problem = runs.pose(houses, runs.TrainOptions(target="price", seed=0))
    assert repr(problem.understanding) in out and repr(problem.rows) in out
    _, out, _ = gdjax(houses, "--target", "price", "--drop", "sold,city", "--only", "area", "--split", 0.5, 0.25, 0.25)
    assert "1 feature\n" in out and "200 training, 100 validation, 0 calibration, 100 test rows" in out
    code, out, _ = gdjax(houses, "--target", "price", "--group", "city")  # of which there are three
    assert code == 0 and re.search(r"city +identifier +as asked \(id\)", out)
    code, out, _ = gdjax(houses, "--target", "city", "--group", "id")
    assert code == 0 and "classification, 3 different texts" in out and "all rows of one 'id' stand in one part" in out


def test_without_a_target_the_last_column_is_it_or_all_kinds_are_shown(gdjax, houses, place):
    code, out, _ = gdjax(houses)
    assert (
        code == 0
        and "target 'euro': regression" in out
        and out.endswith("without --target, the last column is predicted\n")
    )
    (place / "notes.csv").write_text("x,note\n" + "".join(f"{i},text {i}\n" for i in range(40)))
    code, out, _ = gdjax("notes.csv")
    assert (
        code == 0
        and re.search("note +identifier", out)
        and "the last column would be predicted, but the target 'note'" in out
    )


def test_a_straight_line_takes_far_values_as_they_are(place):
    x = np.linspace(0, 1, 100)
    frame = pd.DataFrame({"x": np.where(x == 1, 1e6, x), "y": x**2})
    problem = runs.pose(frame, runs.TrainOptions(target="y", seed=1))
    for network in (True, False):
        encoding = problem.encode("standardized", network).encoding
        assert bool(encoding.remarks) == np.isnan(encoding.affine()[0]).all() == network
        ends = encoding.transform(pd.DataFrame({"x": [1e6, 1e7]}))
        assert (ends[0] == ends[1]) == network


def test_a_delimiter_may_be_spoken(gdjax, place):
    (place / "t.txt").write_text("a b\tc\n" + "".join(f"{i % 3} x\t{i % 7}.5\n" for i in range(30)))
    for tab in ("tab", "\\t", "\t"):
        code, out, _ = gdjax("t.txt", "--sep", tab, "--target", "c")
        assert code == 0 and "t: 30 rows of t.txt, 1 feature" in out


def test_header_and_no_header_are_switches(gdjax, place):
    (place / "t.csv").write_text("1,2\n" + "".join(f"{i},{i * i % 7 + 0.5}\n" for i in range(30)))
    for switch, rows in (("--header", 30), ("--no-header", 31)):
        code, out, _ = gdjax("t.csv", switch)
        assert code == 0 and f"t: {rows} rows" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["houses.csv", "--target", "prise"], "--target prise: there is no such column; did you mean 'price'?"),
        (
            ["houses.csv", "--target", "price", "--target", "price", "--drop", "aera", "--numeric", "city,euros"],
            "did you mean 'area'?; --numeric euros:",
        ),
        (["houses.csv", "--target", "price", "--task", "classification"], "too many for classes"),
        (
            ["houses.csv", "--target", "price", "--group", "citty"],
            "--group citty: there is no such column; did you mean 'city'?",
        ),
        (
            ["houses.csv", "--target", "price", "--time", "city"],
            "--time city: dates in one format, or numbers, are needed",
        ),
        (["houses.csv", "--target", "price", "--split", "0.5", "0.5", "0.5"], "--split: three shares"),
        (["houses.csv", "--target", "price", "--dtype", "float32"], "data: --dtype does not belong to a table"),
        (["houses.csv", "one more"], "one table is needed, or convert IN OUT"),
        (["convert", "houses.csv", "out", "--drop", "id"], "data: --drop does not belong to a conversion"),
        (["--sep", ";"], "data: --sep does not belong to the list"),
        (["nothing.csv"], "nothing.csv: no such file"),
    ],
)
def test_mistakes_are_told_in_one_line(gdjax, houses, place, words, said):
    code, out, err = gdjax(*words)
    assert (code, out) == (2, "") and said in err and err.count("\n") == 1
    assert [path.name for path in place.iterdir()] == ["houses.csv"]
