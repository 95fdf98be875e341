"""`gdjax replay`: the step with which a run has gone wrong, found, saved, repeated and explained."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_cli import gdjax, place  # noqa: F401 (the fixture of each test)

from gdjax.cli import main as entry

WORDS = ["train", "table.csv", "--target", "y", "--model", "linear_regression", "--optimizer", "sgd", "--batch-size", 8]
WORDS += ["--learning-rate", 30, "--epochs", 20, "--every", 100, "--quiet"]


@pytest.fixture(scope="module", autouse=True)
def no_pictures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gdjax.cli.train.pictures", lambda *_: {})
        patch.setattr(entry, "_use_compilation_cache", lambda: None)
        yield


@pytest.fixture
def table(place):  # noqa: F811
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
    assert train(Path("saved"), "--checkpoint-every", "3steps") == (record, state), (
        "found from a checkpoint, it is the same"
    )
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

    monkeypatch.setattr("gdjax.runs.failure.find_failure", lambda *_, **__: None)
    assert gdjax("replay", "plain") == (
        1,
        "",
        f"gdjax: step {step} of plain is finite here, with these versions and cores\n",
    )


def test_what_cannot_be_replayed_is_said_in_one_line(table):
    record, _ = train(Path("run"))
    for change, status, said in (
        (lambda: table.write_text(table.read_text() + "1,2,3\n"), 1, "data.hash"),
        (lambda: shutil.rmtree("run/failure"), 1, "failure: it cannot be read"),
        (
            lambda: Path("run/failure.json").write_text(json.dumps({**record, "rows": ["x"]})),
            2,
            "failure.json is damaged",
        ),
        (lambda: Path("run/failure.json").unlink(), 2, "must be the folder of a run that has gone wrong"),
    ):
        change()
        code, out, error = gdjax("replay", "run")
        assert (code, out, error.count("\n")) == (status, "", 1) and said in error, error
