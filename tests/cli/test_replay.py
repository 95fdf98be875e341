"""`gdjax replay`: the step with which a run has gone wrong, found, saved, repeated and explained."""

import inspect
import json
import re
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_cli import gdjax

from gdjax import runs
from gdjax.cli import main as entry
from gdjax.losses import LOSSES

WORDS = ["train", "table.csv", "--target", "y", "--model", "linear_regression", "--optimizer", "sgd", "--batch-size", 8]
WORDS += ["--learning-rate", 30, "--epochs", 20, "--every", 100, "--quiet"]


@pytest.fixture(scope="module", autouse=True)
def no_pictures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gdjax.runs.ending.pictures", lambda *_: {})
        patch.setattr(entry, "_use_compilation_cache", lambda: None)
        yield


@pytest.fixture
def table(place):
    x = np.random.default_rng(0).normal(size=(60, 2))
    rows = [f"{a:.4f},{b:.4f},{a - b:.4f}" for a, b in x]
    (place / "table.csv").write_text("\n".join(["a,b,y", *rows]) + "\n")
    return place / "table.csv"


def train(folder, *words):
    """The record and the saved state of a run that goes wrong."""
    code, said, error = gdjax(*WORDS, "--out", folder, *words)
    record = json.loads((folder / "failure.json").read_text())
    assert (code, said) == (1, "") and f"gdjax replay {folder} shows what went wrong in step {record['step']}" in error
    return record, (folder / "failure/arrays.safetensors").read_bytes()


def test_a_run_that_has_gone_wrong_is_explained(table, monkeypatch):
    record, state = train(Path("plain"), "--checkpoint-every", 0)
    assert record["step"] > 6 and record["leaves"] == ["loss"] and record["learning_rate"] == 30
    assert len(set(record["rows"])) == 8 and set(record["rows"]) < set(range(42))
    assert train(Path("saved"), "--checkpoint-every", "3steps") == (record, state)  # found from a checkpoint
    code, said, error = gdjax("replay", "plain")
    assert (code, error) == (0, "") and gdjax("replay", "plain")[1] == said
    step = record["step"]
    assert said.startswith(
        f"Step {step} was repeated from the saved state, at learning rate 30, and goes wrong again.\n"
    )
    found = re.search(
        r"After step (\d+) the loss is not finite. It was born in the forward pass: (\S+) \* (\S+) = inf, at ", said
    )
    assert int(found[1]) == step and found[2] == found[3] and float(found[2]) ** 2 > float(np.finfo(np.float32).max)
    assert re.search(r"gdjax/[\w/]+\.py:\d+ \(\w+\)", said), "the line of a library, where the user wrote none"

    record, _ = train(Path("in_order"), "--checkpoint-every", 0, "--order", "sequence")
    assert list(record["rows"]) == list(range(42))[record["step"] % 6 * 8 :][:8]  # six batches of the 42 rows
    assert gdjax("replay", "in_order")[0] == 0
    monkeypatch.setattr("gdjax.runs.failure.find_failure", lambda *_, **__: None)
    said = f"gdjax: step {step} of plain is finite here, with these versions and cores\n"
    assert gdjax("replay", "plain") == (1, "", said)
    check_refusals(table, Path("saved"), record)


def check_refusals(table, folder, record):
    """What cannot be replayed is said in one line."""
    for change, status, said in (
        (lambda: table.write_text(table.read_text() + "1,2,3\n"), 1, "data.hash"),
        (lambda: shutil.rmtree(folder / "failure"), 1, "failure: it cannot be read"),
        (
            lambda: (folder / "failure.json").write_text(json.dumps({**record, "rows": ["x"]})),
            2,
            "failure.json is damaged",
        ),
        (lambda: (folder / "failure.json").unlink(), 2, "must be the folder of a run that has gone wrong"),
    ):
        change()
        code, out, error = gdjax("replay", folder)
        assert (code, out, error.count("\n")) == (status, "", 1) and said in error, error


def critical(y, bad, fine=1.0):
    """A number that is bad in the row of the largest target only."""
    return jnp.where(y > 5, bad, fine)


def log_of_a_negative(p, y):
    return jnp.log(critical(y, -2.0) * jnp.exp(p))  # here


def log_of_0(p, y):
    return p * jnp.log(critical(y, 0.0))  # here


def root_at_0(p, y):
    return jnp.sqrt(critical(y, 0.0) * (p + 3) ** 2)  # here


def quotient_behind_where(p, y):
    x = critical(y, 0.0) * (p + 3)
    return jnp.where(x == 0, 1.0, jnp.sin(x) / x)  # here


def overflow_of_exp(p, y):
    return (p + jnp.exp(critical(y, 100.0))) ** 2  # here


def constant(p, y):
    return jnp.where(y > 5, -jnp.inf, p)  # here


def constant_in_softmax(p, y):
    scores = jnp.where(jnp.array([True, True]) & (y > 5), -jnp.inf, p * jnp.arange(2.0))
    return jax.nn.logsumexp(scores) - jax.nn.softmax(scores)[0]  # here


def in_a_scan(p, y):
    def body(total, part):
        return jnp.log(total - part), None  # here

    return p**2 + jax.lax.scan(body, 9.0, jnp.array([1.0, critical(y, 8.0), 0.01]))[0]


def custom_derivative(p, y):
    @jax.custom_jvp
    def same(x, y):
        return x

    @same.defjvp
    def rule(primals, tangents):
        return primals[0], tangents[0] / critical(primals[1], 0.0)  # here

    return (same(p, y) + 3) ** 2


def norm_at_0(p, y):
    return jnp.linalg.norm(critical(y, 0.0) * jnp.stack([p + 3, 2 * p]))  # here


def narrow(p, y):
    return (critical(y, 1e6) + p).astype(jnp.float16).astype(jnp.float32)  # here


POISONS = {
    log_of_a_negative: ("forward", "log(", ["loss"]),
    log_of_0: ("forward", "log(0) = -inf", ["loss", "params['b']", "params['w']"]),
    root_at_0: ("backward", "in the derivative of a sqrt, 0.5 / 0 = inf", ["params['b']", "params['w']"]),
    quotient_behind_where: ("backward", " / 0 = nan", ["params['b']", "params['w']"]),
    overflow_of_exp: ("forward", "exp(100) = inf", ["loss", "params['b']", "params['w']"]),
    constant: ("constant", "a constant -inf of the code", ["loss"]),
    constant_in_softmax: ("forward", "-inf - -inf = nan", ["loss"]),
    in_a_scan: ("forward", "in iteration 1 of a scan", ["loss"]),
    custom_derivative: ("backward", " / 0 = ", ["params['b']", "params['w']"]),
    norm_at_0: ("backward", "in the derivative of a sqrt, 0.5 / 0 = inf", ["params['b']", "params['w']"]),
    narrow: ("forward", "a conversion to another dtype of 1e+06 = inf", ["loss"]),
}


@pytest.fixture
def outlier(table):
    """The number of the training row with a target far from the others, which is one of the table's rows."""
    lines = table.read_text().splitlines()
    for i in range(1, len(lines)):
        changed = [*lines[:i], lines[i].rsplit(",", 1)[0] + ",1000", *lines[i + 1 :]]
        table.write_text("\n".join(changed) + "\n")
        problem = runs.pose("table.csv", runs.TrainOptions(target="y"))
        targets = problem.encode("standardized", network=False).parts.train[1]
        if targets.max() > 5:
            return int(targets.argmax())


@pytest.mark.nightly  # in tests/backprop/test_birth.py such steps are replayed without a run
@pytest.mark.parametrize("poison", POISONS, ids=lambda poison: poison.__name__)
def test_poisoned_runs(outlier, monkeypatch, poison):
    """The step is the one whose batch has the row of the outlier; the line is the one with the comment."""
    phase, told, leaves = POISONS[poison]
    monkeypatch.setitem(LOSSES, "squared_error", LOSSES["squared_error"]._replace(function=poison))
    record, _ = train(Path("run"), "--learning-rate", 0.01)
    assert outlier in record["rows"] and record["step"] < 6, "in the first pass, each row is in one batch"
    code, said, error = gdjax("replay", "run")
    assert (code, error) == (0, "") and (f"born in the {phase} pass" in said or phase == "constant")
    assert record["leaves"] == leaves and told in said, said
    assert said.endswith(f"In the training data: row {outlier}.\n"), said
    assert f"at {__file__}:{marked_line(poison)} " in said, said


def marked_line(function):
    lines, first = inspect.getsourcelines(function)
    return first + next(i for i, line in enumerate(lines) if line.endswith("# here\n"))
