"""`gdjax train --resume`: a run that is killed or interrupted anywhere and goes on is the run that never stopped."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from test_cli import gdjax, untimed

from experiments.bench.kill_and_resume import digests, kill_once, newest
from gdjax import files, runs
from gdjax.cli import main as entry
from gdjax.cli.signals import Termination, noting, terminating

WORDS = ["train", "wine", "--hidden", 8, "--batch-size", 16, "--quiet", "--patience", 50, "--epochs", 6]
WORDS += ["--schedule", "cosine", "--optimizer", "adam", "--clip", 0.5, "--checkpoint-every", "3steps"]
PER_EPOCH = 8  # 124 rows
PLAIN = ["train", "wine", "--hidden", 8, "--batch-size", 64, "--quiet", "--optimizer", "sgd(0.9)"]
PLAIN += ["--checkpoint-every", "5steps", "--order", "replacement"]


def but(words, *changes):
    """The words of a command with other values: an option may be given once."""
    words = list(words)
    for name, value in zip(changes[::2], changes[1::2], strict=True):
        if name in words:
            del words[words.index(name) : words.index(name) + 2]
        words += [name, value]
    return words


class Killed(BaseException):
    """As by kill -9: nobody catches it."""


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr("gdjax.runs.ending.pictures", lambda *_: {})


@pytest.fixture(autouse=True)
def heeds_interrupts():
    """SIGINT as at a terminal: a shell's background jobs, such as a suite started with &, ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def train(folder, *words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entry, "_use_compilation_cache", lambda: None)
        patch.setattr("gdjax.runs.ending.pictures", lambda *_: {})
        assert gdjax(*WORDS, *words, "--out", folder) == (0, "", "")
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that never stopped."""
    return train(tmp_path_factory.mktemp("runs") / "whole")


def what_it_found(folder):
    """The bytes of the last state, the evaluations without seconds, the parameters, the results without seconds."""
    last = max(folder.glob("checkpoints/*"), key=lambda path: int(path.name))
    with np.load(folder / "params.npz") as kept:
        params = {name: x.tobytes() for name, x in kept.items() if not name.startswith("sha256")}
    result = json.loads((folder / "result.json").read_text())
    kept = {name: x for name, x in result.items() if "seconds" not in name and name != "resumed_at"}
    return int(last.name), (last / "arrays.safetensors").read_bytes(), untimed(folder), params, kept


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def killing(monkeypatch, at):
    """Kill the run at the first segment that ends at or after a step, or in one of the calls after the last segment."""

    def kill(*_, **__):
        raise Killed

    if isinstance(at, str):
        monkeypatch.setattr(at, kill)
        return
    inner = runs.Recording.take
    take = lambda self, run_state: inner(self, run_state) if int(run_state.state.batches) < at else kill()  # noqa: E731
    monkeypatch.setattr(runs.Recording, "take", take)


def killed(folder, *words, at):
    """Leave an unfinished run in cut, in this folder."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killing(patch, at)
        entry.main([str(word) for word in (*words, "--out", "cut")])
    return folder / "cut"


LATER = pytest.param(6 * PER_EPOCH, marks=pytest.mark.nightly)
MOMENTS = [10, 2 * PER_EPOCH, LATER, "gdjax.runs.Recording.end", "gdjax.runs._train.finish_run"]


@pytest.mark.parametrize("at", MOMENTS)
def test_a_killed_run_goes_on_to_the_last_bit(place, whole, at):
    """Within an epoch, at its end, before the last step is saved, after the last step, before the results are written."""
    cut = killed(place, *WORDS, at=at)
    assert not (cut / "result.json").exists() and (cut / "config.json").exists()
    assert runs.list_runs(cut)[0].status.startswith("unfinished: step ")
    assert gdjax(*WORDS, "--out", "cut") == (
        2,
        "",
        "gdjax: cut holds an unfinished run: --resume it, --overwrite it, or choose another --out\n",
    )
    killed(place, *WORDS, "--resume", at=at if isinstance(at, str) else min(at + 7, 48))
    assert gdjax("train", "--resume", "--out", "cut", "--quiet", "--checkpoint-every", "7steps") == (0, "", "")
    assert what_it_found(cut) == what_it_found(whole)
    before = contents(cut)
    said = "cut is finished, it ended BUDGET: it is left as it is\n"
    assert gdjax(*WORDS, "--out", "cut", "--resume") == (0, said, "") and contents(cut) == before


def test_a_process_under_kill_9_goes_on_to_the_last_bit(place, monkeypatch):
    """The short version of `python -m experiments.bench.kill_and_resume`."""
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS", "1"))
    words = but(WORDS, "--epochs", 80, "--checkpoint-every", "20steps")
    assert gdjax(*words, "--out", "whole") == (0, "", "")
    assert kill_once(place / "cut", [str(word) for word in words[1:]], after_commit=True, delay=0.0)
    assert not (place / "cut" / "result.json").exists() and newest(place / "cut") % 20 == 0
    assert gdjax(*words, "--out", "cut", "--resume") == (0, "", "")
    assert digests(place / "cut") == digests(place / "whole")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_run_is_kept_whole_and_goes_on(place, whole, monkeypatch, number, code):
    """A signal within the first epoch, before there is any evaluation; the results so far are written as those of a run."""
    inner, sent = runs.Recording.take, []

    def take(self, run_state):
        inner(self, run_state)
        if not sent:  # a second SIGINT would end the process at once
            sent.append(os.kill(os.getpid(), number))

    with monkeypatch.context() as patch:
        patch.setattr(runs.Recording, "take", take)
        said = "gdjax: INTERRUPTED, step 6 is saved; gdjax train --resume --out cut goes on\n"
        assert gdjax(*WORDS, "--out", "cut") == (code, "", said)
    assert runs.load("cut").result["stop"] == "INTERRUPTED" and untimed(place / "cut") == []
    assert runs.list_runs("cut")[0].status == "interrupted: step 6 is saved"
    assert gdjax(*WORDS, "--out", "cut")[0] == 2
    assert gdjax(*shlex.split(said.split("gdjax ")[1])[:-2], "--quiet") == (0, "", "")
    assert what_it_found(place / "cut") == what_it_found(whole)
    assert json.loads((place / "cut" / "result.json").read_text())["resumed_at"] == [6]


def test_a_signal_whose_exception_is_lost_still_ends_the_run(place):
    """As one that comes in a callback of the garbage collector, which prints exceptions and goes on."""
    with terminating():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        with noting(str) as received:
            assert received == [signal.SIGINT]


def test_a_signal_whose_exception_is_lost_comes_again(capsys):
    class Lost:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)

    began = time.perf_counter()
    with pytest.raises(Termination), terminating():
        Lost()
        time.sleep(10)
    assert time.perf_counter() - began < 5 and capsys.readouterr().err == ""


def test_a_second_signal_does_not_disturb_what_the_first_removes(tmp_path, monkeypatch):
    remove = shutil.rmtree

    def impatient(*args, **options):
        os.kill(os.getpid(), signal.SIGINT)
        remove(*args, **options)

    monkeypatch.setattr(shutil, "rmtree", impatient)
    with pytest.raises(KeyboardInterrupt), terminating(), files.commit_folder(tmp_path / "site") as draft:
        (draft / "half.html").write_text("")
        os.kill(os.getpid(), signal.SIGINT)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_patience_has_ended_is_finished(place):
    words = [*PLAIN, "--patience", 2]
    assert gdjax(*words, "--out", "whole")[0] == 0
    assert json.loads((place / "whole" / "result.json").read_text())["stop"] == "PATIENCE"
    steps = what_it_found(place / "whole")[0]
    for at in (steps - 3, "gdjax.runs._train.finish_run"):
        cut = killed(place, *words, "--overwrite", at=at)
        assert gdjax(*words, "--out", "cut", "--resume")[0] == 0 and what_it_found(cut) == what_it_found(
            place / "whole"
        )
    before = contents(cut)
    for more in ([], ["--epochs", 500]):
        code, out, err = gdjax(*words, *more, "--out", "cut", "--resume")
        assert (code, out, err) == (0, "cut is finished, it ended PATIENCE: it is left as it is\n", "")
    assert contents(cut) == before


def test_another_run_is_refused_by_name(place, monkeypatch):
    cut = killed(place, *WORDS, at=7)
    config = json.loads((cut / "config.json").read_text())

    def refused(*said, more=(), flag=(), **changes):
        (cut / "config.json").write_text(json.dumps({**config, **changes}))
        before = contents(cut)
        code, out, err = gdjax(*but(WORDS, *more), *flag, "--out", "cut", "--resume")
        assert (code, out) == (2, "") and all(each in err for each in said) and err.count("\n") == 1, err
        assert contents(cut) == before

    refused("seed is 0 there and 1 here", more=["--seed", 1])
    refused("split_seed is 0 there and 2 here", more=["--split-seed", 2])
    refused("order is shuffle there and sequence here", more=["--order", "sequence"])
    refused("batch_size is 16 there and 7 here", more=["--batch-size", 7])
    refused("optimizer is chain(", more=["--clip", 0.25])
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=")
    refused("deterministic is False there and True here", flag=["--deterministic"])
    assert os.environ["XLA_FLAGS"] == "--xla_dump_to= --xla_gpu_deterministic_ops=true"
    refused("data.hash is 0123 there and ", data={**config["data"], "hash": "0123"})
    for name, value in (("gdjax", "9.9"), ("jax", "0.0.1")):
        allow = "--allow-versions goes on, but the bits may differ"
        refused(f"versions.{name} is {value} there", allow, versions={**config["versions"], name: value})
    refused("cores is 77 there and ", cores=77)
    assert gdjax(*WORDS, "--out", "cut", "--resume", "--allow-versions") == (0, "", "")
    assert runs.load("cut").result["stop"] == "BUDGET" and runs.read_config("cut").cores == config["cores"]
    refused_here = [
        (
            ["train", "wine", "--out", "new", "--resume"],
            "new holds no run to go on with: leave out --resume to begin one",
        ),
        (["train", "wine", "--resume"], "--resume needs the folder of the run"),
        (["train", "--out", "cut"], "data is missing"),
        (["train", "--out", "cut", "--resume", "--seed", 3], "give all of them, or leave out --seed"),
        (["train", "wine", "--checkpoint-every", "often"], "--checkpoint-every must be seconds, such as 5, or steps"),
    ]
    for each, said in refused_here:
        code, out, err = gdjax(*each)
        assert (code, out) == (2, "") and said in err and err.count("\n") == 1
    assert sorted(os.listdir(place)) == ["cut"]


def test_damaged_checkpoints_are_passed_over_and_told(place, whole):
    cut = killed(place, *WORDS, at=31)
    steps = sorted(int(path.name) for path in (cut / "checkpoints").iterdir())
    newest = cut / "checkpoints" / str(steps[-1]) / "arrays.safetensors"
    data = bytearray(newest.read_bytes())
    data[-100] ^= 1
    newest.write_bytes(data)
    shutil.copytree(cut, place / "all")
    code, out, err = gdjax(*WORDS, "--out", "cut", "--resume")
    assert (code, out) == (0, "") and err.startswith(f"gdjax: step {steps[-2]} is restored, not step {steps[-1]}: ")
    assert err.count("\n") == 1 and what_it_found(cut) == what_it_found(whole)
    for step in steps:
        (place / "all" / "checkpoints" / str(step) / "manifest.json").unlink()
    before = contents(place / "all")
    code, out, err = gdjax(*WORDS, "--out", "all", "--resume")
    assert (code, out) == (1, "") and err.count("\n") == 1 and "no step" in err and contents(place / "all") == before
    shutil.rmtree(place / "all" / "checkpoints")
    code, out, err = gdjax(*WORDS, "--out", "all", "--resume")
    assert (code, out, err) == (0, "", "gdjax: no checkpoint is in all: the run begins at step 0\n")
    assert what_it_found(place / "all") == what_it_found(whole)


def test_more_epochs_only_where_no_schedule_derives_from_them(place, whole):
    shutil.copytree(whole, place / "cut")
    code, out, err = gdjax(*but(WORDS, "--epochs", 9), "--out", "cut", "--resume")
    assert (code, out) == (2, "") and "cut cannot go on for another length, from which its schedule derives" in err
    for folder, epochs in (("short", 3), ("long", 7)):
        assert gdjax(*PLAIN, "--epochs", epochs, "--out", folder) == (0, "", "")
    before = contents(place / "short")
    code, out, err = gdjax(*PLAIN, "--epochs", 2, "--out", "short", "--resume")
    assert (code, out) == (2, "") and "a run of 6 steps, which may go on for more, not for fewer; got 4" in err
    assert contents(place / "short") == before
    assert gdjax(*PLAIN, "--epochs", 7, "--out", "short", "--resume") == (0, "", "")
    assert what_it_found(place / "short") == what_it_found(place / "long")
    assert runs.read_config("short").epochs == 7 and runs.load("short").result["resumed_at"] == [6]


def test_what_cannot_be_saved_is_a_failed_run_that_can_go_on(place, whole, monkeypatch):
    from gdjax.training import checkpoints

    inner = checkpoints.write_checkpoint

    def fail(path, *args, **kwargs):
        if int(path.name) > 12:
            raise OSError(28, "No space left on device")
        return inner(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_checkpoint", fail)
        code, out, err = gdjax(*WORDS, "--out", "cut")
    assert (code, out) == (1, "") and "No space left on device" in err and err.count("\n") == 1
    assert runs.list_runs("cut")[0].status == "unfinished: step 12 is saved"
    with monkeypatch.context() as patch:
        patch.setattr("gdjax.runs.records.Records.append", lambda *_, **__: fail(place / "13"))
        said = (1, "", "gdjax: this machine cannot do it: [Errno 28] No space left on device\n")
        assert gdjax(*WORDS, "--out", "cut", "--resume") == said
    assert gdjax(*WORDS, "--out", "cut", "--resume") == (0, "", "")
    assert what_it_found(place / "cut") == what_it_found(whole)


def test_a_second_interrupt_ends_a_run_in_the_middle_of_compiled_code(place):
    """The first segment takes minutes: the second SIGINT does not wait for it."""
    words = [
        "train",
        "digits",
        "--hidden",
        "1024",
        "1024",
        "--steps",
        "100000",
        "--every",
        "100000",
        "--tune",
        "none",
        "--out",
        "deep/run",
    ]
    words += ["--checkpoint-every", "100000steps"]
    command = [sys.executable, "-m", "gdjax", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not list(place.glob("deep/.run-*/metrics.jsonl")):
                assert process.poll() is None
                time.sleep(0.05)
            time.sleep(1)
            for _ in range(2):
                process.send_signal(signal.SIGINT)
                time.sleep(0.2)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, out, err) == (130, "", "gdjax: interrupted, nothing written\n")
    assert list(place.glob("deep/*")) == []
