"""Runs by two workers of a local cluster: one is lost, one fails, and a sweep."""

import contextlib
import json
import os
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import gdjax as gd
from gdjax.cli.main import main

pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("ignore::DeprecationWarning")]  # of Ray's own parts
ray = pytest.importorskip("ray")
pytest.importorskip("ray.train")

SIZES = {"hidden": (4,), "epochs": 8, "tune": "none", "quick": True, "checkpoint_every": "1steps"}
WORDS = ["--hidden", "4", "--epochs", "8", "--tune", "none", "--quick", "--checkpoint-every", "1steps"]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    fast = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    sizes = {"num_cpus": 2, "object_store_memory": 80 << 20}
    ray.init(include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": fast}, **sizes)
    yield
    ray.shutdown()


def run(*words):
    with pytest.raises(SystemExit) as stop:
        main([*words])
    return stop.value.code


def kill_when_saved(folder, killed):
    """Kill a worker as soon as the run has saved something."""
    import psutil  # comes with Ray

    last = time.monotonic() + 200
    while not [*(folder / "checkpoints").glob("[0-9]*")]:
        if time.monotonic() > last:
            return
        time.sleep(0.01)
    workers = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            workers += [process] if process.name().startswith("ray::RayTrain") else []
    if len(workers) == 2:
        killed.append(max(workers, key=lambda process: process.pid))
        killed[0].kill()


def test_a_run_that_loses_a_worker_is_the_run_that_did_not(tmp_path, capfd):
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        whole = gd.cluster.train("wine", out=tmp_path / "whole", workers=2, **SIZES)
    assert not [each for each in remarks if "lost" in str(each.message)]
    assert whole.config.processes == whole.config.devices == 2
    killed = []
    thread = threading.Thread(target=kill_when_saved, args=(tmp_path / "lost", killed), daemon=True)
    thread.start()
    capfd.readouterr()
    words = "train", "wine", *WORDS, "--out", str(tmp_path / "lost")
    assert run("launch", "--engine", "ray", "--workers", "2", "--", *words) == 0
    out, err = capfd.readouterr()
    assert killed and err.count(" was lost after ") == 1 and ": restart from step " in err
    assert f"{tmp_path / 'lost'}: " in out and "raylet" not in out + err and "Traceback" not in err
    assert json.loads((tmp_path / "lost" / "result.json").read_text())["resumed_at"]
    each = [np.load(tmp_path / name / "params.npz") for name in ("whole", "lost")]
    names = [name for name in each[0].files if "params" in name]
    assert names and all(each[0][name].tobytes() == each[1][name].tobytes() for name in names)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lost", "whole"], "nothing is left beside the runs"


def test_a_worker_that_fails_ends_the_job_with_its_error(tmp_path):
    def work(goes_on):
        from gdjax import processes

        with processes.one_fate():
            if processes.index() == 1:
                raise FloatingPointError("bad rows")
            processes.get("what nobody says")

    told = []
    job = gd.cluster.ClusterJob(work, Path(tmp_path / "run"), workers=2)
    outcome = gd.cluster.run_job(job, lambda kind, text: told.append(text))
    assert outcome.code == 1 and isinstance(outcome.error, FloatingPointError) and not told
    assert outcome.text.count("Traceback") == 1 and "[rank 1] FloatingPointError: bad rows" in outcome.text
    assert outcome.text.endswith(": nothing is saved") and "[rank 0]" not in outcome.text


def test_a_cluster_without_room_is_an_error_at_once(tmp_path):
    with pytest.raises(ValueError, match="train: 3 workers take 3 CPU, but the cluster has 2"):
        gd.cluster.train("wine", out=tmp_path / "run", workers=3)


def test_a_sweep_of_the_command_line_has_the_table_of_this_process(tmp_path):
    axes = ["--learning-rate", "0.01,0.1", "--epochs", "3", "--hidden", "4"]
    for engine in ("local", "ray"):
        assert run("sweep", "wine", *axes, "--engine", engine, "--out", str(tmp_path / engine)) == 0
    tables = [(tmp_path / engine / "sweep.csv").read_text() for engine in ("local", "ray")]
    assert tables[0] == tables[1] and tables[0].count("\n") > 2
