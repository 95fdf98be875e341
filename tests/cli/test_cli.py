"""The command line as a user meets it: run folders that are whole, mistakes that cost one line."""

import functools
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import matplotlib.image
import numpy as np
import pytest

from gdjax.cli import main as entry
from gdjax.cli.errors import UserError
from gdjax.cli.objects import load_object
from gdjax.cli.train import Train
from gdjax.cli.words import parse_command
from gdjax.data import load
from gdjax.losses import LOSSES
from gdjax.metrics import METRICS
from gdjax.models import MODELS
from gdjax.optimizers import OPTIMIZERS, TRANSFORMS, WRAPPERS
from gdjax.optimizers.request import DEFAULT_RATES, default_rate
from gdjax.problems import PROBLEMS
from gdjax.runs.folder import RecordError, next_folder
from gdjax.runs.folder import load as load_run_folder
from gdjax.runs.records import read_records
from gdjax.schedules import SCHEDULES
from gdjax.training import explanation
from gdjax.version import __version__

FEW = ["--epochs", "3", "--quiet"]
QUICK = [*FEW, "--hidden", "8"]


def nightly(*case):
    """One more case of a kind that the others have."""
    return pytest.param(*case, marks=pytest.mark.nightly)


def gdjax(*words):
    """(exit code, stdout, stderr) of a command, run in this process."""
    import contextlib
    import io

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as stop:
        entry.main([str(word) for word in words])
    return stop.value.code or 0, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def wine(tmp_path_factory):
    """One trained run, to be read and copied, and what training it printed."""
    folder = tmp_path_factory.mktemp("runs") / "wine"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entry, "_use_compilation_cache", lambda: None)
        assert gdjax("train", "wine", *QUICK, "--out", folder) == (0, "", "")
    return folder


def test_train_evaluate_predict(place):
    code, out, err = gdjax("train", "iris", "--epochs", 40, "--hidden", 16, "--learning-rate", 0.01, "--out", "run")
    assert (code, err) == (0, "")
    files = {
        "config.json",
        "metrics.jsonl",
        "result.json",
        "encoding.json",
        "params.npz",
        "SHA256SUMS",
        "curves.png",
        "confusion.png",
        "report.html",
    }
    assert {path.name for path in (place / "run").iterdir()} == files
    assert [path.name for path in place.iterdir()] == ["run"]
    result = json.loads((place / "run" / "result.json").read_text())
    for part in ("train", "validation", "test"):
        assert result[part]["loss"] > 0 and 0.8 < result[part]["accuracy"] <= 1
        assert f"{result[part]['accuracy']:.4f}" in out
    assert {"stop", "epochs", "steps", "seconds", "compile_seconds"} <= set(result)
    assert result["assessment"]["disagreement"]["members"] == 4 and "Its 4 members disagree on the class of " in out
    assert '<span class="name">4 members differ</span>' in (place / "run" / "report.html").read_text()
    rows = [json.loads(line) for line in (place / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == result["epochs"] and rows[-1]["step"] == result["steps"]
    assert min(row["validation_loss"] for row in rows) == pytest.approx(result["best_value"], rel=1e-6)
    config = json.loads((place / "run" / "config.json").read_text())
    assert config["optimizer"] == "decay_weights(adam(cosine(0.01, 160)), 3, mask=weights)"
    assert config["model"] == "ensemble(mlp((4, 16, 3)), 4, average='softmax')"
    assert config["versions"]["jax"] == jax.__version__ and len(config["data"]["hash"]) == 16
    assert matplotlib.image.imread(place / "run" / "curves.png").shape[1] >= 800

    code, out, _ = gdjax("evaluate", "run")
    assert code == 0 and all(f"{result[part]['loss']:.6f}" in out for part in ("train", "validation", "test"))

    iris = load("iris")
    np.savez("rows.npz", x=iris.x)
    code, out, _ = gdjax("predict", "run", "rows.npz")
    lines = out.splitlines()
    names = ",".join(f"probability_{name}" for name in iris.target_names)
    assert code == 0 and lines[0] == f"prediction,{names},remark"
    predicted = np.array([line.split(",")[0] for line in lines[1:]])
    assert np.mean(predicted == np.array(iris.target_names)[iris.y]) > 0.85
    np.testing.assert_allclose([sum(map(float, line.split(",")[1:4])) for line in lines[1:]], 1, atol=1e-5)
    assert gdjax("predict", "run", "rows.npz", "--out", "out.csv")[0] == 0
    (place / "out.csv").write_text("of another")
    assert gdjax("predict", "run", "rows.npz", "--out", "out.csv")[0] == 2
    assert (place / "out.csv").read_text() == "of another"
    assert gdjax("predict", "run", "rows.npz", "--out", "out.csv", "--overwrite")[0] == 0
    assert (place / "out.csv").read_text() == out


def unknown(words, *_):
    raise NotImplementedError(words)


def test_the_memory_of_a_run_is_that_of_its_program(place, monkeypatch):
    said, analysis = [], jax.stages.Compiled.memory_analysis
    monkeypatch.setattr(jax.stages.Compiled, "memory_analysis", lambda self: said.append(analysis(self)) or said[-1])
    monkeypatch.setattr(explanation, "find_collectives", functools.partial(unknown, "not known here"))
    words = ["iris", *FEW, "--hidden", 256, 128, "--optimizer", "adam", "--ensemble", 1, "--memory", "--out", "run"]
    code, out, err = gdjax("train", *words, "--quick", "--explain")
    assert (code, err, len(said)) == (0, "gdjax: not known here\n", 1), "what the backend does not tell ends no run"
    found = {
        name: float(number) for *names, number in map(str.split, out.splitlines()[1:]) for name in [" ".join(names)]
    }
    total = found.pop("at most")
    taken = said[0].argument_size_in_bytes + said[0].output_size_in_bytes - said[0].alias_size_in_bytes
    assert total == pytest.approx((taken + said[0].temp_size_in_bytes) / 1e6, rel=0.1)
    assert sum(found.values()) == pytest.approx(total, rel=0.1)
    number = 5 * 256 + 257 * 128 + 129 * 3
    assert found["parameters"] == found["best"] == pytest.approx(4e-6 * number, rel=0.05)
    assert found["optimizer"] == pytest.approx(8e-6 * number, rel=0.05)


def test_a_run_in_fewer_bits_and_less_memory_is_noted_and_resumed_as_itself(place):
    words = ["iris", "--epochs", 20, "--hidden", 8, "--quiet", "--out", "run", "--optimizer", "scale_loss(adam(0.03))"]
    less = ["--compute-dtype", "float16", "--microbatches", 3, "--remat"]
    assert gdjax("train", *words, *less)[::2] == (0, "")
    config, record = (json.loads((place / "run" / name).read_text()) for name in ("config.json", "result.json"))
    assert (config["compute_dtype"], config["microbatches"], config["remat"]) == ("float16", 3, True)
    assert record["test"]["accuracy"] > 0.8
    assert all("skipped" in json.loads(row) for row in (place / "run" / "metrics.jsonl").read_text().splitlines())
    code, _, err = gdjax("train", *words, *less[:2], "--microbatches", 2, "--remat", "--resume")
    assert code == 2 and "microbatches" in err
    code, _, err = gdjax("train", "iris", "--out", "other", "--microbatches", 0)
    assert code == 2 and "--microbatches must be at least 1, got 0" in err


def test_the_flow_of_a_run(place):
    words = ["--epochs", 3, "--hidden", 6, 5, "--activation", "sigmoid", "--every", 4, "--batch-size", 64]
    code, out, err = gdjax("train", "iris", *words, "--flow", "--explain", "--quick", "--out", "run")
    assert code == 0 and (place / "run" / "flow.png").exists()
    assert "\noptimizer " in out and "no collectives in a step" in out and "at most" in out, "explained, then trained"
    assert not err.removeprefix("gdjax: NO BETTER THAN CHANCE").count("gdjax")  # of three epochs, that may be
    table = [line.split() for line in out.splitlines() if "sigmoid  " in line]
    assert [row[:3] for row in table] == [["1", "[0]", "sigmoid"], ["2", "[1]", "sigmoid"]]
    assert "layer 1" in out or "gradients reach all layers" in out
    seen = load_run_folder(place / "run").history
    assert len(seen) == 2 and all(
        len(row["flow_gradient_norm"]) == 3 and min(row["flow_gradient_norm"]) > 0 for row in seen
    )
    assert seen[0]["flow_dead"] == [None] * 3


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.nightly)])
def test_a_run_reads_back_to_the_same_numbers(wine, dtype):
    if dtype != "float32":
        assert gdjax("train", "wine", *QUICK, "--dtype", dtype, "--out", dtype)[0] == 0
    folder = wine if dtype == "float32" else dtype
    run = load_run_folder(folder)
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(run.params))
    code, out, _ = gdjax("evaluate", folder)
    assert code == 0 and f"{run.result['test']['loss']:.6f}" in out


def test_float64_runs_in_float64(place):
    assert gdjax("train", "wine", *QUICK, "--dtype", "float64", "--optimizer", "sgd", "--out", "run")[0] == 0
    with np.load(place / "run" / "params.npz") as arrays:
        assert arrays["params[0]['w']"].dtype == np.float64
    code, out, _ = gdjax("evaluate", "run")
    assert code == 0 and f"{load_run_folder('run').result['test']['loss']:.6f}" in out
    jax.config.update("jax_enable_x64", False)
    with pytest.raises(RecordError, match="jax_enable_x64"):
        load_run_folder("run")


def untimed(folder):
    """The evaluations of a run, without the seconds."""
    return [{**row, "seconds": None} for row in read_records(folder / "metrics.jsonl")]


def test_the_same_command_gives_the_same_bits(place, wine):
    for out, seed in (("two", 0), ("other", 1)):
        assert gdjax("train", "wine", *QUICK, "--seed", seed, "--out", out)[0] == 0
    one, two, other = (untimed(folder) for folder in (wine, place / "two", place / "other"))
    assert one == two and one != other


def test_regression_reports_in_the_targets_units(place):
    assert gdjax("train", "diabetes", "--model", "linear_regression", "--epochs", 60, "--quiet", "--out", "run")[0] == 0
    result = json.loads((place / "run" / "result.json").read_text())
    assert result["test"]["r2"] > 0.2
    np.savez("rows.npz", x=load("diabetes").x)
    lines = [line.split(",") for line in gdjax("predict", "run", "rows.npz")[1].splitlines()]
    assert lines[0] == ["prediction", "low", "high", "remark"]
    values, low, high = np.array([line[:3] for line in lines[1:]], float).T
    assert (
        (low < values).all()
        and (values < high).all()
        and np.mean((low <= load("diabetes").y) & (high >= load("diabetes").y)) > 0.8
    )
    assert 100 < values.mean() < 200 and "confusion.png" not in {path.name for path in (place / "run").iterdir()}


def test_a_table_in_units_that_float32_loses(place):
    """Seconds of an epoch and a column around 1e-22, a target of identifiers: from the file to the prediction."""
    z = np.random.default_rng(5).normal(size=(60, 2))
    x = np.array([1.7e9, 0]) + z * [30, 4e-22]
    y = 20240000000 + 50 * (z[:, 0] - 2 * z[:, 1])
    lines = ["at,size,number", *(f"{a!r},{b!r},{c!r}" for (a, b), c in zip(x.tolist(), y.tolist(), strict=True))]
    (place / "t.csv").write_text("\n".join(lines))
    words = ["--model", "linear_regression", "--quiet", "--out", "run", "--cv", 0]
    assert gdjax("train", "t.csv", *words) == (0, "", "")
    assert load_run_folder("run").result["test"]["r2"] > 0.9999
    code, out, _ = gdjax("evaluate", "run")
    assert code == 0 and f"{load_run_folder('run').result['test']['loss']:.6f}" in out
    predicted = np.array([line.split(",")[0] for line in gdjax("predict", "run", "t.csv")[1].splitlines()[1:]], float)
    np.testing.assert_allclose(predicted - 20240000000, y - 20240000000, atol=0.5)


@pytest.mark.parametrize(
    "model",
    [
        "logistic_regression",  # of one score, with probabilities
        nightly("perceptron"),  # and without
        nightly("linear_svm"),
        nightly("softmax_regression"),
    ],
)
def test_two_classes_with_every_linear_model(place, model):
    assert gdjax("train", "moons", "--model", model, "--epochs", 20, "--quiet", "--out", "run")[0] == 0
    assert json.loads((place / "run" / "result.json").read_text())["test"]["accuracy"] > 0.7
    assert (place / "run" / "boundary.png").exists()


def test_a_table_with_words_for_classes(place, monkeypatch):
    rows = ["a,b,kind"] + [f"{i % 7},{i % 5},{'cat' if i % 7 > 3 else 'dog'}" for i in range(70)]
    (place / "pets.csv").write_text("\n".join(rows))
    options = ("--target", "kind", "--epochs", 30, "--hidden", 8, "--learning-rate", 0.03)
    code, out, _ = gdjax("train", "pets.csv", *options)
    assert code == 0 and "runs/pets-1" in out and "  - 35 of 70 rows are copies of others" in out
    (place / "new.csv").write_text("kind,b,a\n?,1,6\n?,1,0\n")
    with open("new.csv") as piped:
        monkeypatch.setattr("sys.stdin", piped)
        for name in ("new.csv", "-"):  # the standard input
            lines = gdjax("predict", "runs/pets-1", name)[1].splitlines()[1:]
            assert [line.split(",")[0] for line in lines] == ["cat", "dog"]
    said = gdjax("predict", "runs/pets-1", "new.csv", "--out", "nowhere/p.csv")
    assert said == (2, "", "gdjax: --out must be in a folder that exists, got nowhere/p.csv\n")
    assert next_folder("pets.csv") == Path("runs/pets-2")


@pytest.mark.parametrize(
    ("words", "optimizer"),
    [
        (["--optimizer", "sgd(momentum=0.9)"], "sgd(0.1, momentum=0.9)"),
        (["--optimizer", "sgd(0.5)"], "sgd(0.5)"),
        (
            ["--learning-rate", "0.2", "--clip", "1", "--optimizer", "momentum"],
            "chain(clip_by_global_norm(1), momentum(0.2))",
        ),
        (["--weight-decay", "0.1", "--device", "cpu"], "decay_weights(adam(cosine(0.001, 24)), 0.1, mask=weights)"),
        (
            ["--weight-decay", "0.3", "--optimizer", "average(adamw)"],
            "decay_weights(average(adamw(0.001, weight_decay=0)), 0.3, mask=weights)",
        ),
        nightly(
            ["--weight-decay", "0.3", "--optimizer", "lion"],
            "decay_weights(lion(0.001, weight_decay=0), 0.3, mask=weights)",
        ),
        (
            ["--weight-decay", "0.3", "--optimizer", "mechanize(sgd)"],
            "decay_weights(mechanize(sgd(0.1)), 0.3, mask=weights)",
        ),
        (["--schedule", "cosine", "--learning-rate", "0.2"], "decay_weights(adam(cosine(0.2, 24)), 3, mask=weights)"),
        (
            ["--schedule", "cosine", "--schedule-unit", "epochs"],
            "decay_weights(adam(in_epochs(cosine(0.001, 3), 8)), 3, mask=weights)",
        ),
        nightly(
            ["--schedule", "cyclic(0.0001, step_size=4)"],
            "decay_weights(adam(cyclic(0.0001, 0.001, 4)), 3, mask=weights)",
        ),
        (["--optimizer", "accumulate(adam, 4)", "--schedule", "cosine"], "accumulate(adam(cosine(0.001, 6)), 4)"),
        (["--optimizer", "reduce_on_plateau(adam, patience=3)"], "reduce_on_plateau(adam(0.001), patience=3)"),
    ],
)
def test_specs_take_the_rate_and_the_length_they_leave_out(monkeypatch, words, optimizer):
    """What is printed and kept of the optimizer is its call; nothing need be trained to see it."""

    def plan(training, *_):
        raise UserError(repr(training.work.job.optimizer))

    monkeypatch.setattr("gdjax.cli.train.execute", plan)
    assert gdjax("train", "wine", *QUICK, "--batch-size", 16, *words, "--out", "run") == (
        2,
        "",
        f"gdjax: {optimizer}\n",
    )


MISTAKES = [
    (["trian"], "no command 'trian': did you mean 'train'?"),
    (["train", "nosuch"], "there is no file and no data set 'nosuch'"),
    (["train", "digit"], "did you mean"),
    (["train", "wine", "--optimizer", "adamm"], "no 'adamm' here: did you mean 'adam'?"),
    (["train", "wine", "--optimizer", "adam(b1=2)"], "adam: b1 must be in [0, 1), got 2"),
    (["train", "wine", "--optimizer", "adam(b1=0.9"], "cannot read 'adam(b1=0.9'"),
    (["train", "wine", "--optimizer", "adam(0.1)", "--learning-rate", "0.1"], "the rate is given twice"),
    (["train", "wine", "--optimizer", "adam(0.1)", "--schedule", "cosine"], "the rate is given twice"),
    (["train", "wine", "--schedule", "cosine(0.1)", "--learning-rate", "0.1"], "the rate is given twice"),
    (["train", "wine", "--optimizer", "adamw(weight_decay=0.2)", "--weight-decay", "0.1"], "the decay is given twice"),
    (["train", "wine", "--optimizer", "decay_weights(adam, 0.2)", "--weight-decay", "0.1"], "the decay is given twice"),
    (["train", "wine", "--schedule", "cosin"], "did you mean 'cosine'?"),
    (["train", "wine", "--schedule", "adam(0.1)"], "no 'adam' here"),
    (["train", "wine", "--learning-rate", "-1"], "--learning-rate must be at least 0, got -1"),
    (["train", "wine", "--learning-rate", "fast"], "could not convert string to float: 'fast'"),
    (["train", "wine", "--batch-size", "0"], "--batch-size must be between 1 and the 124 training rows, got 0"),
    (["train", "wine", "--batch-size", "10000"], "--batch-size must be between 1 and the 124 training rows, got 10000"),
    (["train", "wine", "--device", "tpu"], "--device tpu is not available here"),
    (["train", "wine", "--epochs", "0"], "--epochs must be above 0, got 0"),
    (["train", "wine", "--steps", "-3"], "--steps must be above 0, got -3"),
    (["train", "wine", "--epochs", "3", "--steps", "3"], "give --epochs or --steps, not both"),
    (["train", "wine", "--hidden", "0"], "mlp: every size must be"),
    (["train", "wine", "--patience", "0"], "--patience must be at least 1, got 0"),
    (["train", "wine", "--split", "0.5", "0.2", "0.2"], "split: "),
    (["train", "wine", "--loss", "squared_error"], "--loss squared_error is for regression"),
    (["train", "wine", "--loss", "hinge", "--model", "mlp"], "--loss hinge is for two classes, wine has 3"),
    (["train", "wine", "--model", "logistic_regression"], "--model logistic_regression is for two classes, wine has 3"),
    (
        ["train", "diabetes", "--model", "linear_svm"],
        "--model linear_svm is for classification, the target of diabetes",
    ),
    (["train", "wine", "--model", "linear_regression"], "; --model mlp or logistic_regression or linear_svm"),
    (["train", "iris", "--model", "softmax_regression", "--loss", "focal"], "--loss focal is for two classes"),
    (
        ["train", "moons", "--model", "perceptron", "--loss", "softmax_cross_entropy_with_integer_labels"],
        "which takes scores per class",
    ),
    (["train", "wine", "--model", "nosuch"], "nosuch"),
    (["train", "wine", "--optimizer", "adamw(mask=by_path('W'))"], "by_path: 'W' must be found in one of the paths"),
    (["train", "wine", "--optimizer", "freeze(sgd, 'W')"], "freeze: 'W' must be found in one of the paths"),
    (["train", "one.csv"], "the target 'y' has one value, '1', in all of its 20 cells"),
    (["train", "one.csv", "--target", "a"], "the target 'a' has one value, '2', in all of its 20 cells"),
    (["train", "header.csv"], "header.csv: empty: there is a header and no row below it"),
    (["train", "row.csv"], "the target 'y' has one value, '0', in all of its 1 cells"),
    (["train", "three.csv"], "split: every part must get a row, got none of 3"),
    (["train", "wine", "--clip", "-1"], "--clip must be at least 0, got -1"),
    (["train", "wine", "--seed", "-1"], "--seed must be at least 0, got -1"),
    (["train", "wine", "--out", "/proc/nothing/here"], "must be in a folder that can be written"),
    (["train", "wine", "--out", "taken"], "taken exists: choose another --out\n"),
    (["train", "wine", "--out", "taken", "--overwrite"], "taken is not the folder of a run"),
    (["train", "wine", "--out", "table.csv", "--overwrite"], "table.csv is not the folder of a run"),
    (["train", "wine", "--out", "foreign"], "foreign exists: choose another --out\n"),
    (["train", "wine", "--out", "foreign", "--overwrite"], "foreign is not the folder of a run"),
    (["compare", "nowhere", "taken"], "gdjax: nowhere must be the folder of a run"),
    (["train", "table.csv", "--target", "price"], "price"),
    (["train", "words.csv", "--target", "y"], "blue"),
    (["train", "hole.csv"], "got none of 3"),
    (["train", "damaged.npz"], "damaged.npz"),
    (["train", "missing.csv"], "missing.csv"),
    (["train"], "data"),
    (["trane", "wine"], "trane"),
    (["train", "wine", "--bacth-size", "3"], "--batch-size"),
    (["evaluate", "taken"], "taken must be the folder of a run"),
    (["evaluate", "nowhere"], "nowhere must be the folder of a run"),
    (["predict", "nowhere", "table.csv"], "nowhere must be the folder of a run"),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES, ids=lambda x: " ".join(x)[:60] if isinstance(x, list) else "")
def test_a_mistake_costs_one_line_and_leaves_nothing(place, words, message):
    (place / "taken").mkdir()
    (place / "taken" / "precious.txt").write_text("keep me")
    (place / "foreign").mkdir()
    (place / "foreign" / "config.json").write_text('{"model_type": "bert"}')
    (place / "table.csv").write_text("a,b\n1,2\n3,4\n")
    (place / "words.csv").write_text("x,y\n" + "1,0\n2.5,1\n" * 30 + "blue,1\n")
    (place / "hole.csv").write_text("x,y\n1,0\n,1\n2,0\n")
    (place / "one.csv").write_text("a,y\n" + "2,1\n" * 20)
    (place / "header.csv").write_text("x,y\n")
    (place / "row.csv").write_text("x,y\n1,0\n")
    (place / "three.csv").write_text("x,y\n1,0\n5,1\n2,0\n")
    (place / "damaged.npz").write_bytes(b"PK\x03\x04 not quite")
    before = sorted(path.relative_to(place) for path in place.rglob("*"))
    code, _, err = gdjax(*words)
    assert code == 2 and message in err, err
    assert err.startswith("gdjax: ") and err.count("\n") == 1 and err.endswith("\n"), err
    assert sorted(path.relative_to(place) for path in place.rglob("*")) == before


def test_the_command_that_a_run_notes_is_read_as_it_was_written():
    words = "gdjax train 'my table.csv' --clip 1 --optimizer 'sgd(-0.1)'"
    assert (found := parse_command(Train, words)).data == "my table.csv" and (found.clip, found.seed) == (1.0, 0)
    for other in ("", "gdjax", "gdjax minimize x", "train wine", "gdjax train 'wine", "gdjax trainwine"):
        with pytest.raises(
            UserError, match=f"must hold its command, gdjax train \\.\\.\\., got {re.escape(repr(other))}"
        ):
            parse_command(Train, other)
    with pytest.raises(UserError, match="these are no options of `gdjax train`"):
        parse_command(Train, "gdjax train wine --nosuch 3")


def test_predictions_replace_no_file_of_the_run(place, wine):
    shutil.copytree(wine, place / "run")
    (place / "rows.csv").write_text("alcohol\n1\n")
    (place / "link.npz").symlink_to(place / "run" / "params.npz")
    held = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    for out in ("run/params.npz", "run/../run/config.json", "link.npz", place / "run" / "curves.png", "rows.csv"):
        for words in ([], ["--overwrite"]):
            code, _, err = gdjax("predict", "run", "rows.csv", "--out", out, *words)
            assert code == 2 and "belongs to the run, or is the file to read: choose another --out" in err
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == held


def test_a_damaged_run_is_said_to_be_so(place, wine):
    shutil.copytree(wine, place / "run")
    whole = (place / "run" / "params.npz").read_bytes()
    for name, damage in (("params.npz", whole[:200]), ("result.json", b"{"), ("config.json", b"[]")):
        kept = (place / "run" / name).read_bytes()
        (place / "run" / name).write_bytes(damage)
        code, _, err = gdjax("evaluate", "run")
        assert code == 2 and "damaged" in err and err.count("\n") == 1
        (place / "run" / name).write_bytes(kept)
    (place / "run" / "params.npz").unlink()
    assert gdjax("evaluate", "run")[0] == 2
    (place / "run" / "result.json").unlink()
    said = "gdjax: run holds an unfinished run: gdjax train --resume --out run goes on with it\n"
    assert gdjax("evaluate", "run") == (2, "", said)


def test_runs_are_listed_and_two_are_compared(place, wine):
    shutil.copytree(wine, place / "runs" / "one")
    words = ["train", "wine", *QUICK, "--seed", 4, "--learning-rate", 0.002, "--out", "runs/two", "--tensorboard"]
    assert gdjax(*words) == (0, "", "")  # the program of the first
    assert [path.name.startswith("events.out") for path in (place / "runs" / "two" / "tensorboard").iterdir()] == [True]
    (place / "runs" / "two" / "params.npz").write_bytes(b"PK")
    code, out, err = gdjax("runs")
    head, one, two = (line.split() for line in out.splitlines())
    result = json.loads((wine / "result.json").read_text())
    assert (code, err) == (0, "") and head == ["run", "status", "epochs", "best", "seconds", "optimizer"]
    assert one[:6] == ["runs/one", "BUDGET", "3", "validation", "loss", f"{result['best_value']:.4g}"]
    assert two[:2] == ["runs/two", "damaged:"]
    assert gdjax("compare", "runs/one", "runs/two")[::2] == (2, f"gdjax: runs/two is {' '.join(two[1:])}\n")
    (place / "runs" / "two" / "params.npz").unlink()
    (place / "runs" / "two" / "result.json").unlink()
    code, out, err = gdjax("compare", wine, "runs/two", "--out", "both.png")
    assert (code, err) == (0, "") and matplotlib.image.imread("both.png").shape[2] == 4
    lines = dict(re.split(r"  +", line.strip(), maxsplit=1) for line in out.splitlines()[1:-1])
    assert [name for name in lines if name != "git_revision"] == [
        "optimizer",
        "seed",
        "split_seed",
        "status",
        "best",
        "epochs",
        "seconds",
    ]
    assert re.split(" {2,}", lines["optimizer"]) == [
        f"decay_weights(adam(cosine({rate}, 12)), 3, mask=weights)" for rate in (0.001, 0.002)
    ]
    assert re.split(" {2,}", lines["status"]) == ["BUDGET", "unfinished: no checkpoint"]
    assert gdjax("runs", "nowhere") == (2, "", "gdjax: no run in nowhere or below it\n")


def test_a_run_that_diverges_says_so_and_keeps_what_it_found(place):
    code, out, err = gdjax("train", "wine", "--optimizer", "sgd(1e20)", "--epochs", 5, "--hidden", 8, "--out", "run")
    assert code == 1 and "NON_FINITE" in err and "NON_FINITE" in out
    assert json.loads((place / "run" / "result.json").read_text())["stop"] == "NON_FINITE"
    np.savez("rows.npz", x=load("wine").x)
    said = "gdjax: run ended NON_FINITE: its predictions are worth nothing\n"
    assert gdjax("predict", "run", "rows.npz")[::2] == (0, said)


def test_overwrite_replaces_a_run(place):
    for epochs in (1, 2):
        code, *_ = gdjax("train", "wine", "--epochs", epochs, "--hidden", 8, "--quiet", "--out", "run", "--overwrite")
        assert code == 0 and json.loads((place / "run" / "result.json").read_text())["epochs"] == epochs
    assert [path.name for path in place.iterdir()] == ["run"]


def test_an_error_before_the_first_step_leaves_nothing_and_a_later_one_what_was_recorded(place, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("gdjax.runs.folder.write_arrays", fail)
    with pytest.raises(RuntimeError, match="the disk is full"):
        entry.main(["train", "wine", *QUICK, "--out", "deep/down/run"])
    assert sorted(path.name for path in (place / "deep" / "down").iterdir()) == ["run"]
    files = sorted(path.name for path in (place / "deep" / "down" / "run").iterdir())
    assert files == ["config.json", "encoding.json", "metrics.jsonl"]
    assert len(read_records(place / "deep" / "down" / "run" / "metrics.jsonl")) == 3
    monkeypatch.setattr("gdjax.runs.recording.Records", fail)
    with pytest.raises(RuntimeError, match="the disk is full"):
        entry.main(["train", "wine", *QUICK, "--out", "other/run"])
    assert not (place / "other").exists()


def test_the_catalogues():
    code, out, _ = gdjax("optimizers")
    assert code == 0 and all(f"  {name}(" in out for name in OPTIMIZERS) and "arXiv:1412.6980" in out
    assert set(DEFAULT_RATES) <= set(OPTIMIZERS)
    rates = [default_rate(name) for name in ("sgd", "adam", "adadelta", "polyak_sgd")]
    assert rates == [0.1, 1e-3, 1.0, None] and out.count("memory: ") == len(OPTIMIZERS) + len(WRAPPERS) + len(
        TRANSFORMS
    )
    code, out, _ = gdjax("data", "--shapes")
    assert code == 0 and "1797 rows, 64 features, 10 classes" in out


def test_help_is_help():
    assert gdjax("--help")[0] == 0 and gdjax("--version") == (0, f"gdjax {__version__}\n", "")
    code, out, _ = gdjax("train", "--help")
    assert (
        code == 0 and "--learning-rate" in out and "the optimizer's own default if not given" in " ".join(out.split())
    )


@pytest.mark.parametrize(
    "command", ["train", "evaluate", "predict", "minimize", "backprop", "check", "certify", "data"]
)
def test_help_is_written_for_people(command):
    """No comment of the code and no type of Python's stands among the sentences."""
    code, out, _ = gdjax(command, "--help")
    assert code == 0 and not re.search(r"type: |noqa|<class|typing\.", out)
    assert command != "train" or "with the loss that goes with its name" in " ".join(out.split())


@pytest.mark.parametrize("module", ["gdjax", "gdjax.cli.main"])
def test_it_runs_as_a_module(module, monkeypatch):
    monkeypatch.setattr("sys.argv", ["gdjax", "predikt"])
    monkeypatch.delitem(sys.modules, "gdjax.cli.main", raising=False)
    with pytest.raises(SystemExit) as stop:
        runpy.run_module(module, run_name="__main__")
    assert stop.value.code == 2


def test_import_gdjax_is_light():
    heavy = ("matplotlib", "sklearn", "orbax", "tyro", "tqdm", "scipy.stats", "pandas", "torch", "flax")
    program = f"import sys, gdjax; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


class TestMinimize:
    """`gdjax minimize`."""

    def test_a_table_a_trace_a_picture_and_an_animation(self, place):
        words = ["minimize", "bowl(4)", "--optimizer", "sgd", "--optimizer", "lbfgs", "--optimizer", "nelder_mead"]
        code, out, err = gdjax(*words, "--plot", "p.png", "--animate", "a.gif", "--max-steps", 60)
        assert (code, err) == (0, "")
        assert {path.name for path in place.iterdir()} == {"p.png", "a.gif"}
        assert matplotlib.image.imread(place / "p.png").shape[1] >= 800
        rows = {line.split("(")[0]: line.split() for line in out.splitlines()[:4]}
        assert rows["sgd"][0] == "sgd(0.12)", "1 / the largest curvature"
        assert {rows[name][-1] for name in ("sgd", "lbfgs", "nelder_mead")} <= {"CONVERGED", "BUDGET"}
        assert float(rows["lbfgs"][2]) < 1e-5, "the distance to the known minimum"

    def test_the_lectures_table(self):
        words = [
            "minimize",
            "(x-2)^2",
            "--start",
            "16.5",
            "--optimizer",
            "sgd(0.01)",
            "--stop",
            "gradient_norm(0.0001)",
        ]
        code, out, err = gdjax(*words, "--trace")
        lines = [line.split() for line in out.splitlines()]
        assert (code, err) == (0, "") and lines[1] == ["t", "x", "f", "df/dx"]
        assert lines[2] == ["0", "16.5", "210.25", "29"] and lines[3] == ["1", "16.21", "201.9241", "28.42"]
        assert lines[2 + 623][0] == "623" and lines[3 + 623] == []
        assert lines[-1][-3] == "623" and lines[-1][-1] == "CONVERGED"

    @pytest.mark.parametrize(
        "f, start, optimizer, said",
        [
            ("x^2-3*y^2", ["1", "0"], "sgd(0.1)", "this is a saddle point"),
            ("1-x^2", ["0.5"], "sgd(0.1)", "the values fall without end"),
            nightly("0.000000000001*(x-2)^2", ["5"], "lbfgs()", "nothing was done"),
        ],
    )
    def test_a_remark_stands_under_the_table(self, f, start, optimizer, said):
        _, out, _ = gdjax("minimize", f, "--start", *start, "--optimizer", optimizer)
        assert any(line.startswith(f"{optimizer}: ") and said in line for line in out.splitlines()[2:])

    @pytest.mark.parametrize(
        "words, columns, found",
        [
            (["2*(x-2)^2 + (y+1)^2", "3", "0"], ["distance", "|gradient|", "x", "y"], [None, None, 2.0, -1.0]),
            nightly(["x^2 + 3*sin(2*x)", "-1"], ["|gradient|", "x"], [None, -0.6723755]),
            (["bowl(3)", "1", "2"], ["distance", "|gradient|", "x", "y"], [None, None, 0.0, 0.0]),
        ],
    )
    def test_the_table_says_at_which_point_and_has_no_empty_column(self, words, columns, found):
        code, out, err = gdjax("minimize", words[0], "--start", *words[1:])
        head, line = (each.split() for each in out.splitlines()[:2])
        assert (code, err) == (0, "") and head == ["optimizer", "value", *columns, "steps", "us/step", "stop"]
        for name, cell, right in zip(columns, line[2:], found, strict=False):
            assert float(cell) < 1e-4 if right is None else float(cell) == pytest.approx(right, abs=1e-4), name

    def test_a_function_of_ones_own(self, place):
        (place / "two_variables.py").write_text("def f(p):\n    return (p[0] - 1) ** 2 + p[1] ** 4\n")
        for name in ("two_variables:f", "two_variables.py:f"):
            code, out, err = gdjax("minimize", name, "--start", "3", "-2", "--plot", "p.png")
            assert (code, err) == (0, "") and "CONVERGED" in out

    def test_a_search_runs_with_the_part_of_a_stop_that_it_can_answer(self):
        words = ["minimize", "(x-1)^2", "--start", "3", "--optimizer", "fixed_step(0.01)", "--optimizer", "sgd(0.25)"]
        code, out, err = gdjax(*words, "--stop", "any_of(gradient_norm(0.001), target(0.5))")
        rows = {line.split()[0]: line.split()[-1] for line in out.splitlines()}
        assert (code, err) == (0, "") and rows["fixed_step(0.01)"] == rows["sgd(0.25)"] == "TARGET"
        code, out, err = gdjax("minimize", "x^2", "--start", "-4", "--start", "4")
        assert code == 2 and "--start is given 2 times" in err

    def test_a_diverged_run_is_named_and_leaves_the_window_to_the_others(self, place, monkeypatch):
        drawn = []
        monkeypatch.setattr("gdjax.plots.paths.landscape", lambda f, bounds, paths, *a: drawn.append((bounds, paths)))
        monkeypatch.setattr("gdjax.plots.paths.save", lambda picture, path: path)
        words = ["minimize", "50*x^2+y^2", "--start", "1", "1", "--optimizer", "sgd(0.05)", "--optimizer", "lbfgs"]
        assert gdjax(*words, "--plot", "p.png")[0] == 0
        ((bounds, paths),) = drawn
        assert list(paths) == ["sgd(0.05) (DIVERGED)", "lbfgs()"] and np.abs(bounds).max() < 3

    def test_a_rate_too_large_is_told_by_table_and_exit_code(self):
        code, out, err = gdjax("minimize", "x^4", "--start", "16.5", "--optimizer", "sgd(1.0)")
        assert (code, err) == (1, "") and out.splitlines()[1].split()[-1] == "DIVERGED" and out.endswith("too long\n")

    @pytest.mark.parametrize(
        "words, message",
        [
            (["rosenbrok"], "did you mean 'rosenbrock'"),
            (["x^2 + y"], "say where to start, --start x=1 y=1"),
            (["x^2 + y", "--start", "x=1"], "--start must give x=... y=..."),
            (["x^2", "--start", "one"], "--start must be numbers"),
            (["x^2 + foo(x)", "--start", "1"], "no function 'foo'"),
            (["2 + 3", "--start", "1"], "no variable"),
            (["log(x)", "--start", "-1"], "must be finite at the start"),
            (["nothing:f", "--start", "1"], "cannot import 'nothing'"),
            (["missing.py:f", "--start", "1"], "no file missing.py"),
            (["rosenbrock", "--optimizer", "adamm"], "did you mean"),
            (["rosenbrock", "--optimizer", "cosine(0.1, 10)"], "must be an optimizer or a search"),
            (["rosenbrock", "--stop", "soon"], "no 'soon' here"),
            (["rosenbrock", "--plot", "p.jpg"], "--plot must end in .png"),
            (["rosenbrock", "--plot", "nowhere/p.png"], "no folder"),
            (["rosenbrock", "--plot", "."], "--plot must end in .png"),
            (["x^2+y^2+z^2", "--start", "1", "1", "1", "--animate", "a.gif"], "--animate is for one or two variables"),
            (["waves", "--plot", "p.png", "--window", "3", "-3"], "--window must be low and high of x, low < high"),
            (["rosenbrock", "--max-steps", "-1"], "--max-steps must be at least 0"),
            (["least_squares", "--start", "1"], "leave it out"),
        ],
    )
    def test_a_mistake_costs_one_line(self, place, words, message):
        code, out, err = gdjax("minimize", *words)
        assert code == 2 and out == "" and err.count("\n") == 1 and message in err, err
        assert list(place.iterdir()) == []


class TestBackprop:
    """`gdjax backprop` and `gdjax check`."""

    def test_the_lectures_expression(self, place):
        code, out, err = gdjax("backprop", "(x + y) * z", "x=-2", "y=5", "z=-4", "--plot", "g.svg")
        assert (code, err) == (0, "")
        rows = [line.split() for line in out.splitlines()]
        assert rows[1:4] == [["x", "input", "-2", "-4"], ["y", "input", "5", "-4"], ["z", "input", "-4", "3"]]
        assert rows[4][:6] == ["q", "x", "+", "y", "3", "-4"] and rows[5][:6] == ["f", "q", "*", "z", "-12", "1"]
        assert "<svg" in (place / "g.svg").read_text() and [path.name for path in place.iterdir()] == ["g.svg"]
        gdjax("backprop", "x^2", "3", "--plot", "g.dot")
        gdjax("backprop", "x^2", "3", "--plot", "g.png")
        assert {path.name for path in place.iterdir()} == {"g.svg", "g.dot", "g.png"}

    def test_a_check_of_ones_own_loss(self, place):
        text = "import jax.numpy as jnp\nparams = {'w': jnp.ones(3) * 0.5}\n"
        text += "def batch():\n    return jnp.arange(6.0).reshape(2, 3)\n"
        text += "def loss(params, batch, scale=2.0):\n    return scale * jnp.mean(jnp.tanh(batch @ params['w']))\n"
        text += "import jax\n@jax.custom_vjp\ndef square(x):\n    return x**2\n"
        text += "square.defvjp(lambda x: (x**2, x), lambda x, g: (g * x,))\n"
        text += "def wrong(params):\n    return jnp.sum(square(params['w']))\n"
        (place / "mine.py").write_text(text)
        code, out, err = gdjax("check", "mine.py:loss")
        assert (code, err) == (0, "") and "the gradient is right" in out
        code, out, err = gdjax("check", "mine.py:wrong")
        assert (code, err) == (1, "") and "WRONG in ['w']" in out
        (place / "mine.py").write_text("params = {'w': 1.0}\ndef loss(params, y):\n    return params['z']\n")
        code, out, err = gdjax("check", "mine.py:loss")
        assert (code, out) == (2, "") and "needs 'y' of the same file" in err and err.count("\n") == 1
        (place / "mine.py").write_text("params = {'w': 1.0}\ndef loss(params):\n    return params['z']\n")
        code, out, err = gdjax("check", "mine.py:loss")
        assert (code, out, err) == (2, "", "gdjax: mine.py:loss raised KeyError at line 3: 'z'\n")

    @pytest.mark.parametrize(
        "words, message",
        [
            (["backprop", "(x + y) * z", "x=1"], "must give x=... y=... z=..."),
            (
                ["backprop", "x^2", "x=1", "--plot", "none/g.png"],
                "--plot must be in a folder that exists, got none/g.png",
            ),
            (["backprop", "foo(x)", "x=1"], "no function 'foo'"),
            (["backprop", "1 + 1"], "no variable"),
            (["backprop", "x^2", "3", "--plot", "g.jpg"], "--plot must end in .svg, .png or .dot"),
            (["check", "missing.py:loss"], "no file missing.py"),
            (["check", "mine.py"], "a name must follow, FILE.py:name or module:name"),
            (["check", "math:sqrt"], "math has no 'params'"),
        ],
    )
    def test_a_mistake_costs_one_line(self, place, words, message):
        code, out, err = gdjax(*words)
        assert code == 2 and out == "" and err.count("\n") == 1 and message in err, err
        assert list(place.iterdir()) == []


class TestWords:
    """What a person types is read as meant, or told in one line."""

    def test_a_leading_minus_is_the_sign_of_an_expression(self, place):
        code, out, err = gdjax("minimize", "-exp(-(x-3)^2)", "--start", "2.5", "--optimizer", "sgd(0.3)")
        assert (code, err) == (0, "") and float(out.splitlines()[1].split()[1]) == pytest.approx(-1)
        code, out, err = gdjax("backprop", "-x * -y", "x=-2", "y=7", "--plot", "g.svg")
        assert (code, err) == (0, "") and any("-14" in line.split() for line in out.splitlines())
        assert gdjax("backprop", "-x", "-3")[0] == gdjax("backprop", "−x", "−3")[0] == 0
        code, _, err = gdjax("minimize", "x^2", "-o", "3")
        assert code == 2 and "-o" in err and "\ufeff" not in err

    @pytest.mark.parametrize(
        "words, message",
        [
            (["minimize", "-2x", "--start", "1"], "cannot read '-2x': write a product with its sign, 2*x"),
            (["minimize", "x^2", "--start", "1" * 400], "--start must be finite numbers"),
            (["minimize", "x^2", "--start", "1", "--optimizer", "sgd(0,3)"], "Write a decimal point, 0.3"),
            (["minimize", "x^2", "--start", "1", "--optimizer", f"sgd({'-' * 900}1)"], "nested at most 50 deep"),
            (["minimize", "x^2", "--start", "1", "--optimizer", f"sgd({'7' * 400})"], "sgd: learning_rate must be"),
            (["minimize", "x^2", "--start", "1", "--max-steps", "3000000000"], "--max-steps must be below 2^31"),
            (["minimize", "x^2", "--start", "1", "--plot", "d.png"], "--plot must be a file, got the folder d.png"),
            (["backprop", "x^2", "3", "--plot", "d.png"], "--plot must be a file, got the folder d.png"),
            (["train", "iris", "--every", "9" * 90], "--every must be below 2^31, got 999999999999999 ..."),
            (["train", "iris", "--hidden", "5", "9" * 400], "--hidden must be below 2^31"),
            (["train", "iris", "--hidden", "2000000000", "2000000000"], "the model must have at most 1e+11 parameters"),
            (["train", "iris", "--epochs", "inf"], "--epochs must be above 0 and finite, got inf"),
            (["train", "iris", "--optimizer", f"adam({'[' * 80}{']' * 80})"], "nested at most 50 deep"),
            (["optimizers", "adm"], "no optimizer 'adm': did you mean 'adam'?"),
            (["problems", "rosenbrok"], "no problem 'rosenbrok': did you mean 'rosenbrock'?"),
        ],
    )
    def test_a_mistake_costs_one_line(self, place, words, message):
        (place / "d.png").mkdir()
        code, out, err = gdjax(*words)
        assert code == 2 and out == "" and err.count("\n") == 1 and message in err and len(err) < 1100, err
        assert [path.name for path in place.iterdir()] == ["d.png"]

    @pytest.mark.parametrize(
        "command, table",
        [
            ("schedules", SCHEDULES),
            ("losses", LOSSES),
            ("metrics", METRICS),
            ("models", MODELS),
            ("problems", PROBLEMS),
        ],
    )
    def test_every_catalogue_lists_and_shows(self, command, table):
        code, out, err = gdjax(command)
        assert (code, err) == (0, "") and all(f"  {name}(" in out for name in table)
        name = next(iter(table))
        code, out, err = gdjax(command, name)
        assert (code, err) == (0, "") and out.startswith(f"{name}(") and len(out.splitlines()) > 2
        assert gdjax("optimizers", "adam", "sam")[1].count("Reference: ") == 2

    @pytest.fixture
    def heeds_interrupts(self):
        """SIGINT as at a terminal: a shell's background jobs, such as a suite started with &, ignore it."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)

    @pytest.mark.usefixtures("heeds_interrupts")
    def test_a_terminated_command_leaves_nothing(self, place, monkeypatch):
        for number, code, word in ((signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")):
            monkeypatch.setattr("gdjax.cli.train.execute", lambda *_, number=number: os.kill(os.getpid(), number))
            before = signal.getsignal(signal.SIGTERM)
            assert gdjax("train", "wine", *QUICK, "--out", "deep/run") == (
                code,
                "",
                f"gdjax: {word}, nothing written\n",
            )
            assert list(place.iterdir()) == [] and signal.getsignal(signal.SIGTERM) is before

    def test_what_the_machine_cannot_do_is_a_failed_run(self, place, monkeypatch):
        def fail(*_):
            raise MemoryError("no room\nat all")

        monkeypatch.setattr("gdjax.cli.train.execute", fail)
        said = (1, "", "gdjax: this machine cannot do it: no room at all\n")
        assert gdjax("train", "wine", *QUICK, "--out", "run") == said and list(place.iterdir()) == []


class TestOwnFiles:
    """FILE.py:name, whatever a file of one's own holds."""

    def test_dataclasses_neighbors_and_spaces(self, place):
        folder = place / "my work"
        folder.mkdir()
        (folder / "shapes of mine.py").write_text(
            "from __future__ import annotations\nimport dataclasses\nimport typing\nimport its_neighbor\n"
            "@dataclasses.dataclass\nclass Place:\n    x: float = 2.5\n    kind: typing.ClassVar[int] = 3\n"
            "def f(p):\n    return its_neighbor.square(p - Place().x)\n"
        )
        (folder / "its_neighbor.py").write_text("def square(x):\n    return x * x\n")
        code, out, err = gdjax(
            "minimize", "my work/shapes of mine.py:f", "--start", "7", "--trace", "--optimizer", "sgd(0.3)"
        )
        assert (code, err) == (0, "") and out.splitlines()[2].split()[:3] == ["0", "7", "20.25"]

    @pytest.mark.parametrize(
        "text, said",
        [
            ("raise SystemExit(3)", "mine.py fails when read: SystemExit: 3"),
            ("import no_such_thing", "fails when read: ModuleNotFoundError"),
            ("def f(p):\n    return {}['a'] * p", "mine.py:f raised KeyError at line 2: 'a'"),
            ("def f(p):\n\n    return p if p > 0 else -p", "mine.py:3: return p if p > 0 else -p; write jnp.where"),
            ("def f(p):\n    return p.shapes", "mine.py:f raised AttributeError at line 2: "),
        ],
    )
    def test_what_goes_wrong_in_them_is_told_in_one_line(self, place, text, said):
        (place / "mine.py").write_text(text + "\n")
        code, out, err = gdjax("minimize", "mine.py:f", "--start", "1")
        assert (code, out) == (2, "") and said in err and err.count("\n") == 1
        assert gdjax("check", "mine.py:f")[0] == 2

    def test_a_file_named_like_a_module_takes_nothing_from_it(self, place):
        (place / "json.py").write_text("def f(p):\n    return (p - 1) ** 2\n")
        assert load_object("json.py:f")(1.5) == 0.25
        assert json.loads(json.dumps({"a": 1})) == {"a": 1} and sys.modules["json"] is json

    @pytest.mark.parametrize(
        "signature, body, code, said",
        [
            ("params, *, scale, power=2", "scale * jnp.sum(params['w'] ** power)", 0, "the gradient is right"),
            ("params, *rest", "jnp.sum(params['w'] ** 2)", 0, "the gradient is right"),
            ("params, y, *rest, scale, **more", "y * scale * jnp.sum(params['w'] ** 2)", 0, "the gradient is right"),
            ("params", "[jnp.sum(params['w'] ** 2), {'seen': 1}]", 0, "the gradient is right"),
            ("params", "{'loss': params['w'][0] ** 2}", 2, "a pair whose first is one, got a dict of loss"),
            ("params", "None", 2, "the loss must be one real number"),
            ("params", "[]", 2, "the loss must be one real number"),
            ("*params", "1.0", 2, "must take the parameters as its first argument, got (*params)"),
            ("params, *, missing", "1.0", 2, "needs 'missing' of the same file"),
        ],
    )
    def test_a_check_takes_any_signature(self, place, signature, body, code, said):
        text = "import jax.numpy as jnp\nparams = {'w': jnp.ones(2) * 0.7}\ny = 1.5\ndef scale():\n    return 3.0\n"
        (place / "mine.py").write_text(f"{text}def loss({signature}):\n    return {body}\n")
        got, out, err = gdjax("check", "mine.py:loss", "--directions", "1", "--entries", "1")
        assert got == code and said in out + err and err.count("\n") == (code == 2), err

    @pytest.mark.parametrize(
        "words", [["--directions", "-1"], ["--entries", "-2"], ["--directions", "0", "--entries", "0"]]
    )
    def test_a_check_of_nothing_is_refused(self, place, words):
        code, _, err = gdjax("check", "math:sqrt", *words)
        assert (code == 2 and "above 0" in err) or f"{words[0]} must be at least 0, got {words[1]}" in err
