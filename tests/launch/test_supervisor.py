"""The supervisor with ranks that do what a plan says: see rank_by_plan.py. They take no JAX, and little time."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import rank_by_plan
import rank_that_fails as failing

from gdjax import launch
from gdjax.launch import watching
from gdjax.lifeline import LIFELINE

PROGRAM = (sys.executable, rank_by_plan.__file__)
WAIT = "wait 60"  # until it is ended


class Ran:
    """What became of a job: its exit code, what was said, and the words and processes of each attempt."""

    def __init__(self, place, capsys, *plan, signals=(), words=(), later=(), **options):
        folder = place / "run"
        options = {"processes": 2, "grace": 5.0, "max_restarts": 1} | options
        words = (json.dumps(plan), "--out", str(folder), *words)
        self.supervisor = launch.Supervisor(launch.Job(words, folder, program=PROGRAM, **options))
        self.signals = list(signals)
        for there, do in later:
            threading.Thread(target=self._do_later, args=(place / there, do), daemon=True).start()
        begun = time.monotonic()
        self.code = self.supervisor.run(self.signals)
        self.seconds = time.monotonic() - begun
        self.out, self.error = capsys.readouterr()
        starts = [path.read_text().splitlines() for path in sorted(place.glob("starts-*"))]
        self.words = [[line.partition(" ")[2] for line in each] for each in starts]
        self.pids = [int(line.split()[0]) for each in starts for line in each]
        assert not [pid for pid in self.pids if is_alive(pid)], "every rank has ended"

    def _do_later(self, there, do):
        while not there.exists():
            time.sleep(0.01)
        do(self)


def is_alive(pid):
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
    return bool(found.strip()) and not found.startswith("Z")


@pytest.fixture
def ran(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(watching, "SETTLING", 0.5)
    return lambda *plan, **options: Ran(tmp_path, capsys, *plan, **options)


def test_what_rank_0_says_is_shown(ran, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    first = ["say hello", "complain gdjax: a remark", "terminal", "complain Traceback (most recent call last):"]
    job = ran([[*first, "complain it went on", "save 1", "finish BUDGET"], ["say no", "complain no"]])
    assert (job.code, job.out) == (0, "hello\n")
    assert job.error == "gdjax: a remark\na terminal\nTraceback (most recent call last):\nit went on\n"


def test_a_job_goes_on_from_its_newest_checkpoint(ran, tmp_path):
    """A folder that is to be overwritten is, once; what a killed rank leaves before the folder appears is removed."""
    (tmp_path / "run" / "checkpoints" / "90").mkdir(parents=True)
    for name in ("config.json", "metrics.jsonl", "result.json"):
        (tmp_path / "run" / name).write_text('{"stop": "BUDGET"}')
    job = ran(
        [["draft abcd_123", WAIT], ["for .run-abcd_123", "send SIGTERM"]],
        [["replace", "save 3", "save 12", WAIT], ["for run/checkpoints/12", "send SIGKILL"]],
        [["finish BUDGET"], []],
        words=["--overwrite"],
        max_restarts=3,
    )
    assert job.code == 0 and job.words == [["--overwrite", "--overwrite", "--resume"]] * 2
    assert re.fullmatch(
        r"gdjax: rank 1 ended with exit code 143 after \d+ s: restart from the start\n"
        r"gdjax: rank 1 was ended by SIGKILL after \d+ s: restart from step 12\n",
        job.error,
    )
    assert not list(tmp_path.glob(".run-*"))


def test_an_error_that_comes_again_ends_with_the_first_traceback(ran):
    """Also where rank 0, which has lost the other, is the first to end."""
    lost = ["complain gdjax: this machine cannot do it: Gloo all-reduce failed", "mark lost", "exit 1"]
    job = ran(
        [["save 3", *lost], ["for lost", "raise the first"]], [[WAIT], ["raise the second"]], [[WAIT], ["raise no"]]
    )
    restarted, *traceback, last = job.error.splitlines()
    assert job.code == 1 and len(job.pids) == 4
    assert re.fullmatch("gdjax: rank 1 ended with exit code 1 after .* s: restart from step 3", restarted)
    assert traceback[0] == "[rank 1] Traceback (most recent call last):" and len(traceback) < 10
    assert traceback[-1] == "[rank 1] ValueError: the first"
    assert re.fullmatch("gdjax: rank 1 .* and 1 restart brought nothing newer: step 3 is saved .*", last)


def test_a_mistake_is_one_line_and_not_tried_again(ran):
    job = ran([["mistake no such file"], ["mistake no such file"]])
    assert (job.code, job.error, len(job.pids)) == (2, "gdjax: no such file\n", 2)


def test_a_run_that_has_ended_badly_is_not_tried_again(ran):
    """Nor does it wait for a child that a rank has left behind: it is ended."""
    job = ran([["leave", "save 3", "finish NON_FINITE", "complain gdjax: it ended NON_FINITE", "exit 1"], [WAIT]])
    assert (job.code, job.error, len(job.pids)) == (1, "gdjax: it ended NON_FINITE\n", 3) and job.seconds < 30


def test_a_rank_that_is_stopped_is_replaced_and_one_that_ignores_its_end_is_killed(ran, monkeypatch):
    monkeypatch.setattr(watching, "SILENCE", 3.0)
    deaf = ["ignore SIGTERM", "save 3", WAIT]
    job = ran([deaf, ["for run/checkpoints/3", "wait 1", "send SIGSTOP"]], [["finish BUDGET"], []], grace=0.5)
    assert job.code == 0
    assert re.fullmatch(r"gdjax: rank 1 was not heard for \d+ s after \d+ s: restart from step 3\n", job.error)


def test_a_rank_that_is_never_heard_is_given_up(ran, monkeypatch):
    monkeypatch.setattr(watching, "START", -1.0)
    job = ran([[WAIT], [WAIT]], max_restarts=0)
    assert job.code == 1
    assert re.fullmatch(r"gdjax: rank . was not heard for 0 s after \d+ s: nothing is saved\n", job.error)


INTERRUPT = ("run/checkpoints/3", lambda ran: ran.signals.append(signal.SIGINT))


def test_a_signal_ends_all_ranks_once(ran):
    job = ran([["for ready", "save 3", WAIT], ["mark ready", WAIT]], later=[INTERRUPT])
    assert (job.code, job.error, len(job.pids)) == (130, "gdjax: INTERRUPTED, as it was asked\n", 2)


def test_ranks_that_ignore_a_signal_are_killed_at_the_second(ran):
    said = []
    again = ("heard", lambda ran: said.append(ran.supervisor.abandon()))
    deaf = ["note SIGINT heard", "ignore SIGTERM"]
    job = ran([[*deaf, "for ready", "save 3", WAIT], [*deaf, "mark ready", WAIT]], later=[INTERRUPT, again])
    assert job.code == 130 and job.seconds < 30 and len(job.pids) == 2
    assert re.fullmatch(r"killed, step 3 is saved in .*run, --resume goes on", said[0])


def test_a_rank_ends_with_its_launcher(tmp_path):
    """The socket of a launcher that is killed is closed by the operating system."""
    ours, theirs = socket.socketpair()
    environment = {**os.environ, "GDJAX_PROCESS": "0", LIFELINE: str(theirs.fileno())}
    command = [*PROGRAM, json.dumps([[["say ready", WAIT]]]), "--out", str(tmp_path / "run")]
    with subprocess.Popen(command, env=environment, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE) as rank:
        theirs.close()
        assert rank.stdout.readline() == b"ready\n"
        ours.settimeout(10)
        assert ours.recv(1) and rank.poll() is None, "it beats"
        ours.close()
        assert rank.wait(10) == -signal.SIGKILL


def test_a_port_that_is_taken_is_known():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not launch.is_free(port)
    assert launch.is_free(port)


@pytest.mark.nightly
def test_a_training_that_fails_ends_with_the_traceback_of_the_rank_that_failed(tmp_path, capsys):
    """One of two processes raises an error; both go on from the checkpoint, and it is killed: see rank_that_fails.py."""
    words = ("train", "wine", "--hidden", "4", "--tune", "none", "--ensemble", "1", "--optimizer", "adam", "--quiet")
    words += ("--steps", "10000", "--checkpoint-every", "1steps", "--out", str(tmp_path / "run"))
    job = launch.Job(
        words, tmp_path / "run", 2, 1, grace=1.0, max_restarts=1, program=(sys.executable, failing.__file__)
    )
    code = launch.Supervisor(job).run([])
    restart, *middle, last = capsys.readouterr().err.splitlines()
    step = re.fullmatch(r"gdjax: rank 1 ended with exit code 1 after \d+ s: restart from step (\d+)", restart)[1]
    assert middle[0] == f"rank 0 has gone on at [{step}]"
    assert (
        middle[1] == "[rank 1] Traceback (most recent call last):" and middle[-1] == "[rank 1] ArithmeticError: no good"
    )
    assert re.fullmatch(
        rf"gdjax: rank 1 ended with exit code 1 .* brought nothing newer: step {step} is saved in .*", last
    )
    assert code == 1 and not list(tmp_path.glob(".*"))
