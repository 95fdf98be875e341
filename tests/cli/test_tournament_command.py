"""`gdjax tournament`: what `gd.tournament` says of the runs that `gdjax train` would make, in a folder."""

import csv
import json

import jax
import jax.numpy as jnp
import matplotlib.image
import numpy as np
import pytest
from test_cli import gdjax

import gdjax as gd
from gdjax import runs
from gdjax.runs.job import step_of

WORDS = ["tournament", "wine", "--hidden", 4, "--epochs", 2, "--draws", 2, "--tunings", 2, "--fresh", 1, "--seed", 3]


NAMES = {"sgd(0.3)": gd.sgd(0.3), "adam": gd.adam(1e-3)}


def expected(step, **options):
    """The tournament of the runs that `gdjax train` would make."""
    given = {"hidden": (4,), "ensemble": 1, "tune": "none", "epochs": 2, "seed": 3, "optimizer": "adam"}
    work = runs.choose("wine", runs.TrainOptions(**given, **step), "")
    job, parts = work.job, work.parts
    where = {"epochs": 2, "batch_size": 32, "evaluate": job.objective.evaluate, "model_state": ()}
    sizes = {"draws": 2, "tunings": 2, "seeds": 1, "seed": 3}
    model = job.objective.model
    return gd.tournament(step_of(job), model, NAMES, parts.train, parts.validation, **where, **sizes, **options)


def test_the_tournament_is_that_of_the_runs_and_its_folder_has_its_numbers(place, monkeypatch):
    """What is run is told by the arguments; the numbers are those of a smaller one."""
    called = []
    target, x = jnp.array([1.0, -2.0]), jnp.linspace(-1.0, 1.0, 32)[:, None]
    few = {"sgd(0.3)": gd.sgd(0.3), "adam": gd.sgd(0.1)}  # of one program
    small = {"steps": 4, "batch_size": 16, "draws": 2, "tunings": 3, "seeds": 1}
    found = gd.tournament(lambda w, x: jnp.mean((w - target - x) ** 2), jnp.zeros(2), few, x, x, **small)

    def keep(*args, **options):
        called.append((args, {name: value for name, value in options.items() if name != "tell" and value is not None}))
        return found

    monkeypatch.setattr("gdjax.runs.sweeping.race.tournament", keep)
    monkeypatch.setattr(gd, "tournament", keep)
    step = "--microbatches", 2, "--remat", "--compute-dtype", "bfloat16"
    code, out, err = gdjax(*WORDS, "--optimizers", "sgd(0.3),adam", "--out", "T", *step)
    expected({"microbatches": 2, "remat": True, "compute_dtype": "bfloat16"}, level=0.05, order="shuffle")
    (own, options), (args, wanted) = called
    assert (code, err) == (0, "") and matplotlib.image.imread("T/standings.png").shape[1] == 1600
    assert options == wanted and own[0] == args[0] and own[2] == NAMES
    key = jax.random.key(5)
    mine, theirs = jax.tree.leaves((own[1](key), own[3:])), jax.tree.leaves((args[1].init(key), args[3:]))
    assert len(mine) == len(theirs) == 8 and all(map(np.array_equal, mine, theirs))
    check_folder(place / "T", found, out)
    assert gdjax(*WORDS, "--out", "T")[::2] == (2, "gdjax: T exists: choose another --out\n")

    def half(frame, path, **options):
        path.write_text("optimizer,val")
        raise OSError("no space left on the device")

    monkeypatch.setattr("pandas.DataFrame.to_csv", half)
    assert "no space left" in gdjax(*WORDS, "--optimizers", "sgd(0.3),adam", "--out", "full")[2]
    assert not any(path.name == "full" or path.name.startswith(".full") for path in place.iterdir())
    (place / "file").touch()  # which is told before the first run
    said = "gdjax: file/T must be in a folder that can be written\n"
    assert gdjax(*WORDS, "--optimizers", "sgd(0.3),adam", "--out", "file/T") == (2, "", said)


@pytest.mark.nightly
def test_the_standings_are_those_of_the_tournament_of_the_runs(place):
    code, out, err = gdjax(*WORDS, "--optimizers", "sgd(0.3),adam", "--out", "T")
    assert (code, err) == (0, "")
    check_folder(place / "T", expected({}), out)


def check_folder(folder, found, out):
    assert str(found) in out and f"the best, as it was tuned: {found.standings[0].optimizer}" in out
    with open(folder / "standings.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["optimizer"] for row in rows] == [each.name for each in found.standings]
    assert [float(row[found.monitor]) for row in rows] == [each.final for each in found.standings]
    said = json.loads((folder / "tournament.json").read_text())
    assert said["statement"] == found.statement and said["base"]["hidden"] == [4] and said["versions"]["jax"]
    assert [each["optimizer"] for each in said["standings"]] == [repr(each.optimizer) for each in found.standings]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("--learning-rate 0.1", "--learning-rate cannot be given: the optimizers are --optimizers, and each is tuned"),
        ("--optimizers sgd", "--optimizers must be at least two, each once, got 'sgd'"),
        ("--optimizers sgd,sgd", "--optimizers must be at least two, each once, got 'sgd,sgd'"),
        ("--optimizers sgd,adm", "did you mean 'adam'?"),
        ("--tunings 0", "--tunings must be at least 1, got 0"),
        (
            "--patience 1 --min-delta 5",
            "--patience cannot be given: every run goes to the end of its schedule, so that",
        ),
        (
            "--min-delta 5",
            "--min-delta cannot be given: every run goes to the end of its schedule, so that budgets are",
        ),
        ("--threshold 0.3", "--threshold cannot be given: optimizers are compared by the validation loss"),
        (
            "--schedule-unit epochs",
            "--schedule-unit cannot be given: the optimizers are --optimizers, and each is tuned",
        ),
        ("--level 2", "--level must be between 0 and 1, got 2"),
    ],
)
def test_a_mistake_costs_a_line_and_leaves_nothing(place, words, error):
    code, out, err = gdjax("tournament", "wine", *words.split(), "--out", "T")
    assert (code, out) == (2, "") and error in err and err.count("\n") == 1 and list(place.iterdir()) == []
