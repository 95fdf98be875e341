"""`gdjax train` of several processes: one run, which process 0 decides and writes, whose end is the end of all."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from test_cli import gdjax

import gdjax as gd
from gdjax import clusters, processes, runs
from gdjax.training import together

MODEL = ["train", "table.csv", "--dtype", "float64", "--hidden", 8, "--ensemble", 1, "--cv", 0, "--quick"]
MODEL += ["--batch-size", 50]
WORDS = [*MODEL, "--steps", 3000, "--every", 20, "--checkpoint-every", 0.2]  # by the clock, as segments are
STEPWISE = [*MODEL, "--every", 1, "--optimizer", "adam", "--learning-rate", 0.01, "--patience", 100]
STEPWISE += ["--checkpoint-every", "5steps"]


@pytest.fixture
def table(place, monkeypatch):
    monkeypatch.setattr("gdjax.runs.ending.pictures", lambda *_: {})
    rng = np.random.default_rng(0)
    x = rng.normal(size=(203, 3))  # 142 rows are trained on: neither they nor the last batch divide by 4 devices
    np.savetxt(
        "table.csv", np.c_[x, x @ [1, 2, -1] + rng.normal(size=203)], delimiter=",", header="a,b,c,y", comments=""
    )
    return place


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def ranks(*numbers, words=(*WORDS, "--shard", "fsdp", "--out", "run"), count=2, devices=2, seconds=120):
    """Processes with these numbers, of so many with so many devices each; none outlives the block."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | {
        "PYTHONPATH": str(Path(gd.__file__).parents[1]),
        "JAX_COMPILATION_CACHE_DIR": os.path.abspath("cache"),
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "GDJAX_COORDINATOR": f"127.0.0.1:{free_port()}",
        "GDJAX_PROCESSES": str(count),
        "GDJAX_JOIN_SECONDS": str(seconds),
    }
    words = [sys.executable, "-m", "gdjax", *map(str, words)]
    started = [
        subprocess.Popen(words, env=environment | {"GDJAX_PROCESS": str(i)}, stdout=-1, stderr=-1, text=True)
        for i in numbers
    ]
    try:
        yield started
    finally:
        for each in started:
            each.kill()
            each.communicate()


def evaluations(folder):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return np.array([[row[name] for name in ("step", "loss", "validation_loss")] for row in rows])


def same_run(one, other):
    """Equal evaluations, and equal parameters at the end, to 1e-10."""
    np.testing.assert_allclose(*(evaluations(Path(each)) for each in (one, other)), rtol=1e-10)
    with np.load(Path(one) / "params.npz") as found, np.load(Path(other) / "params.npz") as expected:
        for name in [name for name in expected if not name.startswith("sha256")]:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-10, atol=1e-10)


def test_a_pair_is_one_run_which_a_signal_to_either_ends_and_one_process_goes_on_with(table):
    folder = Path("run")
    with ranks(0, seconds=1) as (alone,):
        with ranks(0, 1) as both:
            end = time.monotonic() + 150
            while not list(folder.glob("checkpoints/[0-9]*")) and not any(each.poll() for each in both):
                assert time.monotonic() < end, "no checkpoint"
                time.sleep(0.02)
            both[1].send_signal(signal.SIGTERM)
            said = [each.communicate(timeout=100) for each in both]
        assert alone.wait(100) == 1, "nobody else came"
        assert alone.stderr.read().count("\n") == 1
    assert [each.returncode for each in both] == [143, 143], said
    assert said[1] == ("", "") and "INTERRUPTED, step" in said[0][1], said
    assert sorted(path.name for path in table.iterdir()) == ["cache", "run", "table.csv"]

    config, saved = runs.read_config(folder), sorted(int(path.name) for path in folder.glob("checkpoints/*"))
    assert (config.devices, config.processes, config.shard) == (4, 2, "fsdp")
    assert 0 < saved[-1] < 3000, "it was interrupted"
    written = {path.name for path in (folder / "checkpoints" / str(saved[-1])).iterdir()}
    assert written == {"manifest.json", "arrays.safetensors", "arrays-1.safetensors"}

    code, _, remark = gdjax("train", "--resume", "--out", folder, "--quiet")
    assert (code, remark.count("\n")) == (0, 1)
    assert "the run goes on with 1 device, after 4 devices of 2 processes with fsdp" in remark
    assert json.loads((folder / "result.json").read_text())["resumed_at"] == [saved[-1]]
    assert gdjax(*WORDS, "--quiet", "--out", "alone")[0] == 0
    same_run(folder, "alone")


@pytest.mark.nightly
@pytest.mark.parametrize("shard", [(), ("--shard", "fsdp")], ids=["replicated", "fsdp"])
def test_a_run_goes_from_8_devices_to_4_to_2_processes_of_4_to_1(table, shard):
    """The loss of each step is that of one device, and so are its rows."""
    for part, (count, devices) in enumerate([(1, 8), (1, 4), (2, 4), (1, 1)]):
        words = [*STEPWISE, "--steps", 10 * (part + 1), "--devices", devices, *shard, "--out", "run"]
        words += ["--resume"] if part else []
        with ranks(*range(count), words=words, count=count, devices=devices) as started:
            said = [each.communicate(timeout=200) for each in started]
        assert [each.returncode for each in started] == [0] * count, said
        assert ("the run goes on with" in said[0][1]) == bool(part), said
    assert gdjax(*STEPWISE, "--steps", 40, "--out", "alone")[0] == 0
    assert evaluations(Path("run"))[:, 0].tolist() == [*range(1, 41)]
    same_run("run", "alone")


def test_parameters_are_not_split_over_one_device_which_is_said_before_any_work(place, monkeypatch):
    monkeypatch.setattr("gdjax.runs._train.begin", None)
    code, out, err = gdjax("train", "digits", "--devices", 1, "--shard", "fsdp")
    assert (code, out, err.count("\n")) == (2, "", 1) and "--shard fsdp" in err
    assert not [*place.iterdir()]


def test_a_port_that_is_taken_is_one_line(table, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for name, value in (("COORDINATOR", f"127.0.0.1:{port}"), ("PROCESSES", "2"), ("PROCESS", "0")):
            monkeypatch.setenv(f"GDJAX_{name}", value)
        code, out, err = gdjax(*WORDS, "--out", "run")
    assert (code, out, err.count("\n")) == (1, "", 1) and f"cannot listen at 127.0.0.1:{port}" in err
    assert [path.name for path in table.iterdir()] == ["table.csv"]


def test_sigterm_is_left_to_the_command_also_while_processes_join(monkeypatch):
    """JAX's service for preemptions would catch it; the others wait meanwhile."""
    seen = []
    off = lambda *_, **__: seen.append(jax.config.jax_enable_preemption_service)  # noqa: E731
    monkeypatch.setattr(jax.distributed, "initialize", off)
    monkeypatch.setattr(processes, "_check_versions", lambda: None)
    for name, value in (("COORDINATOR", f"127.0.0.1:{free_port()}"), ("PROCESSES", "2"), ("PROCESS", "0")):
        monkeypatch.setenv(f"GDJAX_{name}", value)
    before = jax.config.jax_enable_preemption_service
    jax.config.update("jax_enable_preemption_service", True)
    try:
        processes.join()
    finally:
        jax.config.update("jax_enable_preemption_service", before)
    assert seen == [False]


class Store:
    """That of JAX, in which process 0 tells of its error when it is asked for the third time."""

    looks = 0

    def key_value_set(self, key, value):
        assert key.endswith("/0/1"), "only process 1 says something here"

    def blocking_key_value_get(self, key, milliseconds):
        self.looks += 1
        raise jax.errors.JaxRuntimeError("DEADLINE_EXCEEDED")

    def key_value_try_get(self, key):
        if self.looks < 3:
            raise jax.errors.JaxRuntimeError("NOT_FOUND")
        return json.dumps({"process": 0, "message": "labels", "code": 2})


def test_what_process_0_works_on_is_waited_for_until_it_tells_of_its_error(monkeypatch):
    """However long that takes: the other exchanges end after WAIT seconds."""
    state = SimpleNamespace(process_id=1, num_processes=2, client=Store())
    monkeypatch.setattr(processes, "_state", lambda: state)
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(together, "WAIT", -1)
    with pytest.raises(processes.ProcessError, match="process 0 has failed: labels") as caught:
        together.Together().tell(lambda: None)
    assert caught.value.code == 2
    state.client = Store()
    with pytest.raises(gd.CheckpointError, match="process 0 did not answer"):
        together.Together().lead(lambda: None)


STEP = {"SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "node[03-04]", "SLURM_PROCID": "1", "SLURM_LOCALID": "0"}
MPI = {"OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.0.0.9:34911", "OMPI_COMM_WORLD_SIZE": "2"}
MPI |= {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_LOCAL_RANK": "1", "JAX_COORDINATOR_PORT": "4711"}
ENVIRONMENTS = {
    "alone": ({}, None),
    "launched": (
        {"GDJAX_COORDINATOR": "10.0.0.1:99", "GDJAX_PROCESSES": "3", "GDJAX_PROCESS": "2"},
        ("10.0.0.1:99", 3, 2, None),
    ),
    "slurm": (STEP | {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2"}, ("node03:61447", 2, 1, [0])),
    "a shell in an allocation of slurm": (STEP | {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "1"}, None),
    "mpirun in such a shell": (
        STEP | {"SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "1"} | MPI,
        ("10.0.0.9:4711", 2, 1, [1]),
    ),
    "a run of its own in slurm": (
        STEP | {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2", "GDJAX_PROCESSES": "1"},
        None,
    ),
}


@pytest.mark.parametrize(("said", "place"), ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_who_there_is_stands_in_the_environment(monkeypatch, said, place):
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert clusters.find_place(1) == place


@pytest.mark.parametrize(
    "said",
    [
        {"PROCESSES": "2"},
        *({"COORDINATOR": at, "PROCESSES": "2", "PROCESS": "1"} for at in (":1", "a:0", "a:65536")),
        {"COORDINATOR": "a:1", "PROCESSES": "2", "PROCESS": "2"},
    ],
    ids=str,
)
def test_an_environment_that_says_half_is_refused(monkeypatch, said):
    for name, value in said.items():
        monkeypatch.setenv(f"GDJAX_{name}", value)
    with pytest.raises(gd.processes.ProcessError, match="the environment must give host:port"):
        clusters.find_place(1)


def test_what_else_cannot_be_of_an_environment_is_said(monkeypatch):
    """Seconds that are no number; MPI without mpi4py; another number of processes than was said."""
    monkeypatch.setenv("GDJAX_JOIN_SECONDS", "abc")
    with pytest.raises(gd.processes.ProcessError, match=r"GDJAX_JOIN_SECONDS must be a number .*, got abc") as caught:
        gd.processes.join()
    assert caught.value.code == 2
    monkeypatch.setattr(clusters, "find_spec", lambda name: None)
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(gd.processes.ProcessError, match="install it, or set GDJAX_COORDINATOR"):
        clusters.find_place(1)
    for name, value in (STEP | {"SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "2"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(gd.processes.ProcessError, match="SLURM_STEP_NUM_TASKS=2, but JAX finds 8 processes of slurm"):
        clusters.find_place(1)
