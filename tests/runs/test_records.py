"""metrics.jsonl holds whole lines whatever happens while it is written; runs are listed and compared from their files."""

import dataclasses
import errno
import json
import os
import resource
import signal
import struct
import subprocess
import sys
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from test_folder import change, write

import gdjax as gd
from gdjax.runs import RecordError, Recording, TensorBoard, list_runs
from gdjax.runs.compare import differences
from gdjax.runs.config import RunConfig
from gdjax.runs.records import Records, as_history, is_being_written, read_records
from gdjax.runs.tensorboard import _tag
from gdjax.training.period import RANGE


def history(n):
    rng = np.random.default_rng(3)
    loss = rng.normal(size=50).astype(np.float32)
    loss[2] = np.nan
    return {"loss": loss[:n], "epoch": np.arange(1.0, n + 1), "flow": rng.normal(size=(50, 3))[:n]}


def test_what_is_appended_in_pieces_is_what_is_appended_at_once(tmp_path):
    with Records(tmp_path / "once") as records:
        assert records.append(history(50), 2.5) == (tmp_path / "once").stat().st_size
    with Records(tmp_path / "pieces") as records:
        for n in (0, 1, 1, 7, 33, 50):
            records.append(history(n), 2.5)
    assert (tmp_path / "once").read_bytes() == (tmp_path / "pieces").read_bytes()
    rows = read_records(tmp_path / "once")
    assert rows[2]["loss"] is None and rows[3]["flow"] == history(50)["flow"][3].tolist()
    for name in ("loss", "epoch"):
        np.testing.assert_array_equal(as_history(rows)[name].astype(history(50)[name].dtype), history(50)[name])


@pytest.mark.parametrize("cut", [1, 40, 10_000])
def test_a_resumed_run_goes_on_where_the_checkpoint_was(tmp_path, cut):
    """Whatever a kill has left after the size that the checkpoint knows: more lines, a torn one, nothing."""
    path = tmp_path / "metrics.jsonl"
    with Records(path) as records:
        kept, size = 20, records.append(history(20), 1.0)
        records.append(history(31), 1.0)
    whole = path.read_bytes()
    path.write_bytes(whole[: max(size, len(whole) - cut)])
    left = read_records(path)
    assert kept <= len(left) <= 30 + (cut == 0) and path.read_bytes().startswith(whole[:size])
    with Records(path, kept, size) as records:
        records.append(history(50), 1.0)
    assert [row["epoch"] for row in read_records(path)] == list(range(1, 51))
    path.write_bytes(whole[: size - 1])
    with pytest.raises(RecordError, match=f"must have the {size} bytes that it had at the checkpoint, got {size - 1}"):
        Records(path, kept, size)
    assert path.read_bytes() == whole[: size - 1]


def test_a_file_system_without_locks_does_not_stop_a_run(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", flock)
    with Records(tmp_path / "metrics.jsonl") as records:
        assert records.append(history(3), 1.0) > 0 and not is_being_written(tmp_path / "metrics.jsonl")


def test_no_step_is_said_to_be_saved_before_it_is_on_the_disk(tmp_path):
    recording = Recording.__new__(Recording)
    recording.draft, recording.checkpoints = SimpleNamespace(path=tmp_path), SimpleNamespace(steps=[14, 21, 35])
    for saved, said in ((28, "step 21"), (21, "step 21"), (7, "nothing"), (None, "nothing")):
        recording.saved = saved
        assert recording.last_words().startswith(f"INTERRUPTED, {said} is saved; ")


KILLED = """
import sys, numpy as np
from pathlib import Path
from gdjax.runs.records import Records
records, n = Records(Path(sys.argv[1])), 0
print("ready", flush=True)
while True:
    n += 1
    records.append({"step": np.arange(n), "wide": np.ones((n, 20_000))}, 0.0)
"""


def test_a_process_killed_while_it_writes_leaves_valid_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        while path.stat().st_size < 2_000_000:
            assert process.poll() is None
        assert is_being_written(path)
        with pytest.raises(RecordError, match="is being trained by another process"):
            Records(path)
        process.send_signal(signal.SIGKILL)
    assert not is_being_written(path)
    steps = [row["step"] for row in read_records(path)]
    assert len(steps) > 10 and steps == list(range(len(steps)))


def test_a_line_for_which_there_is_no_room_is_not_there_in_part(tmp_path):
    path, before = tmp_path / "metrics.jsonl", resource.getrlimit(resource.RLIMIT_FSIZE)
    heard = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with Records(path) as records:
            size = records.append(history(5), 0.0)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))
            with pytest.raises(OSError):
                records.append(history(6), 0.0)
            assert path.stat().st_size == size == records.size
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            records.append(history(6), 0.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, heard)
    assert [row["epoch"] for row in read_records(path)] == [1, 2, 3, 4, 5, 6]


def test_runs_are_listed_with_what_became_of_them(tmp_path):
    for name in ("a/whole", "b/damaged", "b/unfinished", "c/saved", "c/config"):
        (tmp_path / name).mkdir(parents=True)
        write(tmp_path / name)
    (tmp_path / "b" / "damaged" / "params.npz").write_bytes((tmp_path / "b/damaged/params.npz").read_bytes()[:-500])
    for name in ("b/unfinished", "c/saved"):
        (tmp_path / name / "result.json").unlink()
    for step in (8, 40, 120):
        (tmp_path / "c" / "saved" / "checkpoints" / str(step)).mkdir(parents=True)
    (tmp_path / "c" / "saved" / "checkpoints" / ".160.abcd.tmp").mkdir()
    config = tmp_path / "c" / "config" / "config.json"
    config.write_bytes(change(config.read_bytes(), dtype="int3"))
    (tmp_path / "nothing").mkdir()
    status = {str(each.folder.relative_to(tmp_path)): each.status for each in list_runs(tmp_path)}
    assert list(status) == ["a/whole", "b/damaged", "b/unfinished", "c/config", "c/saved"]
    assert status["a/whole"] == "BUDGET"
    assert status["b/damaged"].startswith("damaged: ") and "dtype must be one of" in status["c/config"]
    assert (status["b/unfinished"], status["c/saved"]) == ("unfinished: no checkpoint", "unfinished: step 120 is saved")
    (tmp_path / "a" / "whole" / "metrics.jsonl").write_text("")
    assert list_runs(tmp_path / "a")[0].status == (
        "damaged: metrics.jsonl must have the content that SHA256SUMS says, got another"
    )
    with Records(tmp_path / "b" / "unfinished" / "metrics.jsonl", 2):
        assert list_runs(tmp_path / "b")[1].status == "going on: no checkpoint"


def test_two_configurations_differ_in_the_fields_that_differ(tmp_path):
    write(tmp_path)
    one = RunConfig.from_json(json.loads((tmp_path / "config.json").read_text()))
    data = dataclasses.replace(one.data, hash="f" * 16)
    versions = {**one.versions, "jax": "9.9"}
    other = dataclasses.replace(one, seed=8, data=data, versions=versions, started="later", command="gdjax train u.csv")
    assert differences(one, one) == {}
    assert differences(one, other) == {
        "data.hash": (one.data.hash, "f" * 16),
        "seed": (one.seed, 8),
        "versions.jax": (one.versions["jax"], "9.9"),
    }


def events(path):
    """The events of a file, read by its format: length, its CRC, the event, its CRC."""
    from tensorboardX.proto.event_pb2 import Event

    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def test_the_file_for_tensorboard_reads_back(tmp_path):
    step = gd.make_step(lambda w, rows: (jnp.mean((w - rows) ** 2), {"mean": jnp.mean(rows)}))
    run, data = gd.make_run(gd.make_epoch(step, batch_size=1, order="sequence")), jnp.array([1.0, 3.0])
    state = gd.make_state(0.0, gd.sgd(gd.schedules.linear(0.25, 0.1, 20)))
    start = gd.start_run(run, state, gd.stopping.never(), data, None)
    with TensorBoard(tmp_path / "board") as board:
        for run_state in gd.segments(run, start, data, until=5, seconds=0):
            board.log(run_state)
    start = run_state
    with TensorBoard(tmp_path / "board", resumed_at=start) as board:
        for run_state in gd.segments(run, start, data, until=7):
            board.log(run_state)
    assert {_tag(name) for name in ("skipped", *RANGE)} == {"skipped", *RANGE}, "they belong to no part of the data"
    first, second = sorted((tmp_path / "board").iterdir(), key=lambda path: int(path.name.rpartition(".")[2]))
    found = {
        (event.step, value.tag): value.simple_value
        for path in (first, second)
        for event in events(path)
        for value in event.summary.value
    }
    names = {"loss": "loss/training", "mean": "mean/training", "epoch": "epoch"}
    names |= {name: name for name in ("learning_rate", "learning_rate_min", "learning_rate_max")}
    expected = {
        (2 * i + 2, tag): run_state.history[name][i].astype(np.float32) for name, tag in names.items() for i in range(7)
    }
    assert found == expected
    start = [event.step for event in events(second) if event.HasField("session_log")]
    assert start == [11] and not any(event.HasField("session_log") for event in events(first))


def test_without_tensorboardx_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"pip install 'gdjax\[track\]'"):
        TensorBoard(tmp_path / "board")
    assert os.listdir(tmp_path) == []
