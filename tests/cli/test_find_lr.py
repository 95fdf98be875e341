"""`gdjax find-lr`: what `gd.find_learning_rate` says of the run of `gdjax train`, and the command that takes the rate."""

import matplotlib.image
import pytest
from test_cli import gdjax

import gdjax as gd
from gdjax import runs
from gdjax.cli.train import Train
from gdjax.cli.words import parse_command

WORDS = ["find-lr", "wine", "--hidden", 4, "--ramp", 40, "--seeds", "3,1"]


def test_the_rate_is_that_of_the_range_test_of_the_run(place):
    code, out, err = gdjax(*WORDS, "--optimizer", "adam,adam(b1=0.8)", "--lowest", 1e-5, "--plot", "lr.png")
    one, of_one, other, of_other, drawn = out.splitlines()
    assert (
        (code, err) == (0, "") and drawn == "lr.png: adam, adam(b1=0.8)" and matplotlib.image.imread("lr.png").ndim == 3
    )
    for name, said, command in (("adam", one, of_one), ("adam(b1=0.8)", other, of_other)):
        options = parse_command(Train, command.strip())
        work = runs.choose(options.data, options.without_data(), command)
        assert options.optimizer == name and options.split_seed == 3 and options.ensemble == 1
        test = gd.find_learning_rate(
            work.job.objective.loss,
            work.job.objective.model,
            work.job.optimizer,
            work.parts.train,
            lowest=1e-5,
            steps=40,
            batch_size=32,
            seeds=[3, 1],
        )
        assert said == f"{name}:{str(test).partition(':')[2]}" and options.learning_rate == float(f"{test.rate:.2g}")
    assert [path.name for path in place.iterdir()] == ["lr.png"]


def test_without_an_optimizer_it_is_that_of_train_with_a_rate(place):
    code, out, _ = gdjax("find-lr", "diabetes", "--model", "linear_regression", "--seeds", 1, "--ramp", 30)
    assert code == 0 and out.startswith("the optimizer of gdjax train: learning rate ") and "--optimizer" not in out
    options = parse_command(Train, out.splitlines()[1].strip())
    assert runs.choose(options.data, options.without_data(), "").job.optimizer.recipe.name == "adam"
    assert options.learning_rate > 1e-3  # and not at the lowest rate, as of lbfgs, which searches
    code, out, err = gdjax(*WORDS, "--optimizer", "sgd", "--lowest", 1e6, "--highest", 1e7)
    assert code == 1 and "no rate" in out and err == "gdjax: no rate is suggested: see above\n"


def test_the_step_is_that_of_train(place, monkeypatch):
    taken = []
    monkeypatch.setattr("gdjax.runs.sweeping.range_test.find_learning_rate", lambda step, *_, **__: taken.append(step))
    gdjax(*WORDS, "--microbatches", 2, "--remat", "--compute-dtype", "bfloat16")  # which ends with no rate
    assert (taken[0].microbatches, taken[0].remat, taken[0].compute_dtype) == (2, True, "bfloat16")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("--learning-rate 0.1", "--learning-rate cannot be given: find-lr finds the rate of a constant one"),
        ("--lowest 1 --highest 0.1", "--lowest must be above 0, and below 0.1, got 1"),
        ("--ramp 3", "--ramp must be at least 10, got 3"),
        ("--optimizer sgd,adm", "did you mean 'adam'?"),
        ("--optimizer sgd(0.1) --plot lr.pdf", "--plot"),
    ],
)
def test_a_mistake_costs_a_line(place, words, error):
    code, out, err = gdjax("find-lr", "wine", *words.split())
    assert (code, out) == (2, "") and error in err and err.count("\n") == 1 and list(place.iterdir()) == []
