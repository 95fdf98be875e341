"""When the workers of a cluster start again, and what is said where Ray is missing: without Ray."""

import math
import sys

import pytest

import gdjax as gd
from gdjax.cli.main import main
from gdjax.cluster.restarts import JobError, RankError, Restarts
from gdjax.launch.policy import End, how
from gdjax.launch.run_folder import RunFolder

LOST = type("ActorDiedError", (Exception,), {"__module__": "ray.exceptions"})
ECHO = RankError(End(0, 1, 5.0, text="Gloo", is_echo=True), None)


def save(folder, step):
    (folder / "checkpoints" / str(step)).mkdir(parents=True)
    (folder / "config.json").write_text("{}")


def test_workers_start_again_as_ranks_of_one_machine_do(tmp_path):
    told, folder = [], tmp_path / "run"
    restarts = Restarts(RunFolder(folder), 2, lambda kind, text: told.append((kind, text)))
    save(folder, 3)
    restarts.take({0: ECHO, 1: LOST()})
    assert told.pop() == ("err", "gdjax: rank 1 was lost after 0 s: restart from step 3\n")
    restarts.take({0: LOST()})
    assert "rank 0 was lost after 0 s: restart 2 of 2 without progress from step 3" in told[-1][1]
    save(folder, 4)
    restarts.take({0: LOST()})
    assert told[-1][1].endswith("restart from step 4\n")
    restarts.take({0: LOST()})
    with pytest.raises(JobError) as stop:
        restarts.take({0: LOST()})
    assert stop.value.past.failures == 3 and stop.value.end.rank == 0 and how(stop.value.end) == "was lost"
    (folder / "result.json").write_text('{"stop": "BUDGET"}')
    with pytest.raises(JobError) as stop:
        restarts.take({1: LOST()})
    assert stop.value.end is None, "the run is finished, whoever is lost now"


def test_an_error_before_anything_is_saved_is_that_of_the_job(tmp_path):
    restarts = Restarts(RunFolder(tmp_path / "run"), 2, print)
    own = RankError(End(1, 1, 6.0, text="FloatingPointError: bad rows"), FloatingPointError("bad rows"))
    with pytest.raises(JobError) as stop:
        restarts.take({0: ECHO, 1: own})
    assert stop.value.end.rank == 1 and isinstance(stop.value.error, FloatingPointError)
    with pytest.raises(JobError, match="NameError: name"):  # of no kind that a worker tells
        Restarts(RunFolder(tmp_path / "run"), 2, print).take({0: NameError("name")})


def test_what_ray_does_not_know_is_not_said():
    assert how(End(1, None, 3.0, math.inf)) == "was lost"


def test_without_ray_the_extra_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    sentence = r"needs Ray: pip install 'gdjax\[cluster\]'$"
    with pytest.raises(ImportError, match=f"cluster.train: engine='ray' {sentence}"):
        gd.cluster.train("wine", out=tmp_path / "run")
    with pytest.raises(SystemExit) as stop:
        main(["launch", "--engine", "ray", "--", "train", "wine", "--out", str(tmp_path / "run")])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said == "gdjax: launch: engine='ray' needs Ray: pip install 'gdjax[cluster]'\n"
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--resources", "CPU"), "--resources takes a name and a number, such as CPU=4, got 'CPU'"),
        (("--workers", "2", "--min-workers", "3"), "--min-workers must be from 1 to 2, got 3"),
        (("--workers", "0"), "--workers must be at least 1, got 0"),
    ],
)
def test_options_of_ray_are_checked_before_it_starts(words, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["launch", "--engine", "ray", *words, "--", "train", "wine", "--out", str(tmp_path / "run")])
    assert capsys.readouterr().err == f"gdjax: {message}\n"
