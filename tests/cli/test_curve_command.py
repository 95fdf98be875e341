"""`gdjax curve`: a table of parameters, files, and mistakes in one line."""

import json

import matplotlib.image
import numpy as np
import pytest
from test_cli import gdjax

X = np.linspace(0, 4, 30)
TRUE = {"a": 5.0, "b": 1.3, "c": 0.5}


@pytest.fixture
def decay(place):
    """A file with its own habits: semicolons, a unit in a name, a cell that is missing."""
    y = TRUE["a"] * np.exp(-TRUE["b"] * X) + TRUE["c"] + 0.02 * np.random.default_rng(3).normal(size=len(X))
    lines = ["time (h);counts", *(f"{a:.6f};{b:.9f}" for a, b in zip(X, y, strict=True)), "4.5;"]
    (place / "decay.csv").write_text("\n".join(lines) + "\n")
    (place / "own.py").write_text(
        "import jax.numpy as jnp\n\ndef law(x, a, b, c):\n    return a * jnp.exp(-b * x) + c\n"
    )
    return place


def test_a_table_a_picture_and_a_folder(decay):
    words = ["curve", "a*exp(-b*x) + c", "decay.csv", "--y", "counts", "--x", "time (h)", "--start", "a=4", "b=1"]
    code, out, err = gdjax(*words, "--bounds", "c=0:", "--plot", "p.png", "--out", "fit")
    assert (code, err) == (0, ""), err
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    numbers = json.loads((decay / "fit" / "curve.json").read_text())["parameters"]
    for name, value in TRUE.items():
        shown, error = float(rows[name][1]), float(rows[name][2])
        assert abs(shown - value) < 5 * error and shown == pytest.approx(numbers[name]["value"], rel=1e-10)
    assert "CONVERGED" in out and "1 of 31 rows are left out" in out and "the delimiter is ';'" in out
    assert matplotlib.image.imread(decay / "p.png").shape[1] >= 800
    assert (decay / "fit" / "rows.csv").read_text().count("\n") == 31
    code, own, _ = gdjax("curve", "own.py:law", "decay.csv", "--y", "counts", "--x", "time (h)", "--starts", 1)
    found = {
        line.split()[0]: float(line.split()[1]) for line in own.splitlines() if line[:1] in TRUE and line[1] == " "
    }
    assert code == 0 and found == pytest.approx({name: numbers[name]["value"] for name in TRUE}, rel=1e-8)
    code, _, err = gdjax(*words, "--out", "fit")
    assert code == 2 and "--overwrite replaces it" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "words, said",
    [
        (["a*x", "none.csv", "--y", "y"], "none.csv"),
        (["a*x", "decay.csv", "--y", "count"], "--y must be a column, got 'count': did you mean 'counts'?"),
        (["a*x", "decay.csv"], "say what is fitted, --y COLUMN"),
        (["a*x", "decay.csv", "--y", "counts", "--start", "a"], "--start must be written as NAME=VALUE, got a"),
        (["a*x", "decay.csv", "--y", "counts", "--start", "a=one"], "--start must be numbers, got 'one'"),
        (
            ["a*x", "decay.csv", "--y", "counts", "--start", "a=1", "a=2"],
            "--start must give each name once, got a=1 a=2",
        ),
        (["a*x", "decay.csv", "--y", "counts", "--start", "q=1"], "--start q: no such parameter"),
        (["a*x", "decay.csv", "--y", "counts", "--bounds", "a=1"], "--bounds must be written as a=LOW:HIGH"),
        (["a*x", "decay.csv", "--y", "counts", "--bounds", "a=2:1"], "low < high"),
        (["a*x", "decay.csv", "--y", "counts", "--plot", "p.txt"], "--plot must end in .png"),
        (["a*(x", "decay.csv", "--y", "counts"], "cannot read 'a*(x'"),
        (["own.py:none", "decay.csv", "--y", "counts"], "own.py has no 'none'"),
    ],
)
def test_a_mistake_costs_one_line_and_leaves_nothing(decay, words, said):
    before = {path.name for path in decay.iterdir()}
    code, out, err = gdjax("curve", *words)
    assert code == 2 and out == "" and err.count("\n") == 1 and said in err, err
    assert {path.name for path in decay.iterdir()} - {"__pycache__"} == before


def test_a_fit_that_is_not_sure_says_so(decay):
    code, out, err = gdjax("curve", "a*exp(-b*x) + c + d", "decay.csv", "--y", "counts", "--starts", "1")
    assert code == 1 and "c and d are not determined one by one" in out and "the fit ended STALLED" in err
