"""`gdjax launch`: what is checked before anything starts, and what is started then."""

import socket
import sys

import pytest
from test_cli import gdjax

from gdjax import launch
from gdjax.runs import TrainOptions
from gdjax.runs.topology import placement_of

MISTAKES = [
    ("launch --processes 2", "what to run comes last: gdjax launch --processes 2 -- train digits"),
    ("launch -- sweep digits", "what to run comes last"),
    ("launch -- train digits --epocs 3", "Unrecognized options: --epocs, 3"),
    ("launch -- train digits --epochs 3 --epochs 4", "--epochs is given more than once"),
    ("launch -- train -", "several processes cannot read the standard input"),
    ("launch -- train digits --out taken", "taken exists: choose another --out"),
    ("launch -- train digits --out new --resume", "new holds no run to go on with: leave out --resume to begin one"),
    ("launch --processes 0 -- train digits", "--processes must be at least 1, got 0"),
    ("launch --grace nan -- train digits", "--grace must be at least 0, got nan"),
    ("launch --port 70000 -- train digits", "--port must be from 1 to 65535, got 70000"),
    ("launch --port TAKEN -- train digits", "is taken: leave it out for a free one"),
]


@pytest.fixture
def jobs(monkeypatch):
    """The jobs that would be run, each of which ends with exit code 3."""
    found = []
    monkeypatch.setattr(launch.Supervisor, "run", lambda self, signals: found.append(self.job) or 3)
    return found


@pytest.mark.parametrize(("words", "message"), MISTAKES, ids=lambda x: x[:50] if x.startswith("launch") else "")
def test_a_mistake_costs_one_line_and_starts_nothing(place, jobs, words, message):
    (place / "taken").mkdir()
    (place / "taken" / "precious.txt").write_text("keep me")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, err = gdjax(*words.replace("TAKEN", str(taken.getsockname()[1])).split())
    assert code == 2 and not jobs and [path.name for path in place.iterdir()] == ["taken"]
    assert err.startswith("gdjax: ") and message in err and err.count("\n") == 1


def test_a_job_has_one_folder_for_all_its_processes(place, jobs):
    (place / "runs" / "digits-1").mkdir(parents=True)
    words = ["launch", "--processes", 3, "--devices-per-process", 4, "--", "train", "digits", "--optimizer"]
    spec = "sgd(-exp(-1))"
    assert gdjax(*words, spec, "--hidden", 8, 8, "--no-header") == (3, "", "")
    assert gdjax(*words, spec, "--out", "mine", "--devices", 2) == (3, "", "")
    first, second = jobs
    assert first.words[:-1] == (
        "train",
        "digits",
        "--optimizer",
        spec,
        "--hidden",
        "8",
        "8",
        "--header",
        "False",
        "--devices",
        "4",
        "--out",
    )
    assert first.words[-1] == "runs/digits-2"
    assert second.words == ("train", "digits", "--optimizer", spec, "--out", "mine", "--devices", "2")
    assert [str(job.folder) for job in jobs] == ["runs/digits-2", "mine"]
    with pytest.raises(ValueError, match="`shard=fsdp` divides the parameters over devices: give several"):
        placement_of(TrainOptions(devices=1, shard="fsdp"))
    assert first.program == (sys.executable, "-m", "gdjax")
    assert first.environment(2, 4711) == {
        "GDJAX_COORDINATOR": "127.0.0.1:4711",
        "GDJAX_PROCESSES": "3",
        "GDJAX_PROCESS": "2",
        "JAX_NUM_CPU_DEVICES": "4",
        "JAX_LOCAL_DEVICE_IDS": "8,9,10,11",
    }
