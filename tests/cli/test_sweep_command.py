"""`gdjax sweep`: a table of runs, each of which `gdjax train` repeats; a folder that goes on; mistakes that cost a line."""

import csv
import json
import os
import signal

import jax
import matplotlib.image
import numpy as np
import pytest
from test_cli import gdjax
from test_resume import contents

from gdjax import runs
from gdjax.cli.train import Train
from gdjax.cli.words import parse_command
from gdjax.runs.job import run_through

WORDS = ["sweep", "wine", "--hidden", 4, "--learning-rate", "0.001,0.05", "--epochs", 3]


@pytest.fixture(autouse=True)
def heeds_interrupts():
    """SIGINT as at a terminal: a shell's background jobs, such as a suite started with &, ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def rows(folder):
    with open(folder / "sweep.csv", newline="") as file:
        return list(csv.DictReader(file))


def again(command):
    """The result of the run that a row names."""
    options = parse_command(Train, command)
    work = runs.choose(options.data, options.without_data(), command)
    return run_through(work.job, work.parts)


@pytest.mark.parametrize("optimizers", ["adam(b1=0.8)", pytest.param("sgd,lion", marks=pytest.mark.nightly)])
def test_every_row_is_the_run_of_its_command(place, optimizers):
    """In float64 to the last evaluation, although lanes stop at different epochs."""
    axes = ["--optimizer", optimizers, "--learning-rate", "0.01,0.3", "--set", "evaluations=1,4"]
    words = ["--seeds", "5,2", "--epochs", 12, "--patience", 2, "--min-delta", 0.002, "--dtype", "float64"]
    code, out, err = gdjax("sweep", "wine", "--hidden", 4, *axes, *words, "--out", "S")
    assert (code, err) == (0, "") and jax.config.jax_enable_x64
    found, stops, values = rows(place / "S"), set(), {}
    number = 4 * len(optimizers.split(","))
    assert len(found) == 2 * number and [int(row["seed"]) for row in found[:2]] == [5, 2]
    for i, row in enumerate(found):
        assert row["command"].startswith("gdjax train wine --hidden 4 --ensemble 1 --tune none --optimizer ")
        assert "--epochs 12" in row["command"] and f"--seed {row['seed']} --split-seed 5" in row["command"]
        stops.add(row["epochs"])
        values.setdefault((row["learning_rate"], row["evaluations"], row.get("optimizer")), []).append(
            float(row["best_value"])
        )
        if i % 3 != 1:
            check(row, again(row["command"]))
    assert len(stops) > 2
    least = min(values, key=lambda each: np.mean(values[each]))
    said = json.loads((place / "S" / "sweep.json").read_text())
    best = said["best"]["configuration"]
    assert (str(best["learning_rate"]), str(best["evaluations"]), best.get("optimizer")) == least
    assert said["seeds"] == [5, 2] and said["ways"] and len(said["configurations"]) == number and "versions" in said
    assert f"validation loss {np.mean(values[least]):.4g} (" in out and f"learning rate {least[0]}" in out
    assert matplotlib.image.imread("S/sweep.png").shape[1] == 1600
    (best,) = [
        line.removeprefix("its best run again: ") for line in out.splitlines() if line.startswith("its best run")
    ]
    assert best in {row["command"] for row in found}


def check(row, result):
    """That a row is what came of its run."""
    best = result.best_evaluation
    assert (row["stop"], float(row["epochs"])) == (result.stop.name, result.epochs)
    assert float(row["best_value"]) == pytest.approx(result.best_value, rel=1e-10)
    accuracy = result.history["validation_accuracy"][best]
    assert (float(row["best_epoch"]), float(row["accuracy"])) == (result.history["epoch"][best], accuracy)


@pytest.mark.parametrize(
    ("number", "code", "how"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_sweep_that_is_interrupted_goes_on(place, monkeypatch, number, code, how):
    words = [*WORDS, "--seeds", 3, "--lanes", 1]
    if number == signal.SIGINT:
        assert gdjax(*words, "--out", "whole")[::2] == (0, "")
    sent = []

    def interrupt(bar, now):
        if now.done > 1 and not sent:
            sent.append(os.kill(os.getpid(), number))

    with monkeypatch.context() as patch:
        patch.setattr("gdjax.cli.sweep.show", interrupt)
        said = f"gdjax: {how}, what was found is kept; gdjax sweep --resume --out S goes on\n"
        assert gdjax(*words, "--out", "S") == (code, "", said)
    assert list((place / "S" / "lanes").glob("0/0/blocks/*.npz")) and not (place / "S" / "sweep.csv").exists()
    if number == signal.SIGINT:
        before = contents(place / "S")
        for more, error in (
            (["--seeds", 4], "seeds is [0, 1, 2], here [0, 1, 2, 3]"),
            (["--patience", 3], "base.patience is 10, here 3"),
            (["--lanes", 2], "method.lanes is 1, here 2"),
        ):
            kept = [word for i, word in enumerate(words) if more[0] not in words[max(0, i - 1) : i + 1]]
            refused = gdjax(*kept, *more, "--out", "S", "--resume")
            assert refused[0] == 2 and f"S is another sweep: {error}" in refused[2] and contents(place / "S") == before
        assert "S exists: choose another --out; --resume goes on with the sweep there" in gdjax(*words, "--out", "S")[2]
    for _ in range(2):  # a sweep that has ended is left as it is
        assert gdjax("sweep", "--resume", "--out", "S", "--quiet") == (0, "", "")
    if number == signal.SIGINT:
        assert (place / "S" / "sweep.csv").read_bytes() == (place / "whole" / "sweep.csv").read_bytes()


def test_configurations_are_drawn_proposed_and_halved(place):
    """Whatever chose them, rows are the runs of their commands; a rung trains the better fourth for four times as long."""
    words = ["sweep", "wine", "--hidden", 4, "--learning-rate", "log:1e-3:0.3", "--lanes", 1, "--quiet"]
    assert gdjax(*words, "--latin", 8, "--halving", "--epochs", 4, "--out", "halved") == (0, "", "")
    found = rows(place / "halved")
    assert [row["epochs"] for row in found] == ["1.0"] * 8 + ["4.0"] * 2
    first = sorted(found[:8], key=lambda row: float(row["best_value"]))[:2]
    assert {row["learning_rate"] for row in first} == {row["learning_rate"] for row in found[8:]}
    assert again(found[8]["command"]).best_value == pytest.approx(float(found[8]["best_value"]), rel=1e-5)
    pytest.importorskip("optuna")
    assert gdjax(*words, "--sampler", "tpe", "--trials", 3, "--epochs", 1, "--out", "proposed") == (0, "", "")
    rates = [float(row["learning_rate"]) for row in rows(place / "proposed")]
    assert len(set(rates)) == 3 and 1e-3 <= min(rates) < max(rates) <= 0.3


def test_a_sweep_all_of_whose_runs_went_wrong_is_a_bad_one(place):
    words = ["--learning-rate", "1e20,1e25", "--epochs", 2, "--lanes", 1]
    code, out, err = gdjax(*WORDS[:4], *words, "--out", "S")
    assert (code, err) == (1, "gdjax: every run went wrong: try smaller learning rates, or --clip 1\n")
    assert "every one of 2 runs went wrong" in out and [row["stop"] for row in rows(place / "S")] == ["NON_FINITE"] * 2


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (
            "--learning-rate log:1e-3:1",
            "--learning-rate is an interval to draw from: say how often by --random, --latin or",
        ),
        ("--learning-rate log:1:1e-3:4", "--learning-rate: low must be below high, got 1 and 0.001"),
        ("--learning-rate fast", "--learning-rate must be a number, got 'fast'"),
        ("--batch-size 10,9999", "--batch-size must be between 1 and the 124 training rows, got 9999"),
        ("--batch-size 1.5", "--batch-size must be a whole number, got 1.5"),
        ("--hidden 8,a", "--hidden must be sizes such as 128 64, or several: 128x64,64x32,32; got '8,a'"),
        ("--seeds 2,2", "--seeds must be a number of seeds, or different whole numbers such as 3,5,8; got '2,2'"),
        ("--learning-rate 0.1,0.2 --trials 3", "--trials is of a --sampler; of draws give their number"),
        ("--learning-rate 0.1,0.2 --seed 7", "--seed is of the draws of configurations, and a grid has none: give"),
        ("--set optimizer.b1=0.8,0.9 --set optimizer.b2=0.9,0.99", "--set is given more than once: give it once"),
        ("--random 3 --latin 3", "give one of --random, --latin and --sampler, not 2 of them"),
        ("--loss hinj", "--loss hinj: did you mean 'hinge'?"),
        ("--set b9=1,2", "--set: no argument 'b9'"),
        (
            "--optimizer sgd --schedule constant --learning-rate 0.01,0.1 --set optimizer.learning_rate=0.5,0.6",
            "--learning-rate changes no run: a path given by --set leads to the same number",
        ),
        ("--optimizer adam --clip log:1:9 --random 4 --set max_norm=2", "--clip changes no run: a path given by --set"),
        (
            "--optimizer adam --set b1=0.8,0.9 optimizer.b1=0.7,0.6",
            "--set b1 changes no run: a path given by --set leads to the same number",
        ),
        ("--optimizer adam(b1=0.8),adam(b1=0.9) --set b1=0.7", "--optimizer changes no run: a path given by --set"),
        ("--optimizer sgd,adm", "no 'adm' here: did you mean 'adam'?"),
        ("--halving --steps 9", "--halving raises the epochs itself"),
        ("--resume", "S holds no sweep to go on with: leave out --resume to begin one"),
        ("--lanes 0", "--lanes must be at least 1, got 0"),
    ],
)
def test_a_mistake_costs_a_line_and_leaves_nothing(place, words, error):
    code, out, err = gdjax("sweep", "wine", *words.split(), "--out", "S")
    assert (code, out) == (2, "") and err.startswith("gdjax: ") and error in err and err.count("\n") == 1, err
    assert list(place.iterdir()) == []


def test_what_an_option_means_is_an_axis_or_one_value():
    options = runs.SweepOptions(hidden=("8x4,16",), learning_rate="lin:0:1:3", optimizer="sgd(0.1),adam(b1=0.8, b2=0.9)",
                                patience="5,None", set=("b1=0.8", "eps=1e-8,1e-6"), seeds="3")  # fmt: skip
    space = runs.sweeping.options.space_of(options)
    assert space.seeds == (0, 1, 2) and space.base.set == ("b1=0.8",) and space.base.split_seed == 0
    assert space.axes == {
        "hidden": [(8, 4), (16,)],
        "learning_rate": [0.0, 0.5, 1.0],
        "patience": [5, None],
        "optimizer": ["sgd(0.1)", "adam(b1=0.8, b2=0.9)"],
        "eps": [1e-8, 1e-6],
    }
    made = space.options({"hidden": (16,), "eps": 1e-6, "learning_rate": 0.5}, seed=2)
    assert (made.hidden, made.learning_rate, made.set, made.seed) == ((16,), 0.5, ("b1=0.8", "eps=1e-06"), 2)
