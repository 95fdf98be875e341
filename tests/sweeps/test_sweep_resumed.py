"""A sweep that is killed goes on to the same bits; its folder is of one sweep."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import killed_sweep as program
import numpy as np
import pytest

import gdjax as gd


def killed(folder, segments):
    """What is in the folder of a process that was killed after so many segments."""
    root, optimizations = Path(gd.__file__).parents[1], os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    done = subprocess.run(
        [sys.executable, program.__file__, str(folder), str(segments)],
        env={
            **os.environ,
            "PYTHONPATH": str(root),
            "JAX_DISABLE_MOST_OPTIMIZATIONS": optimizations,  # as in this process
            "JAX_COMPILATION_CACHE_DIR": str(folder.with_name("compiled")),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*.*") if path.suffix in (".npz", ".safetensors")
    )


def bits(table):
    """All that a sweep has found, as bytes."""
    columns = [column.tobytes() for column in table.columns.values()]
    histories = [{name: x.tobytes() for name, x in history.items()} for history in table.histories]
    return columns, histories, [[np.asarray(x).tobytes() for x in jax.tree.leaves(each)] for each in table.params]


def test_a_sweep_that_is_killed_twice_equals_one_that_was_not(tmp_path):
    first = killed(tmp_path / "sweep", 10)  # two saves wait at most, of each block
    assert first
    second = killed(tmp_path / "sweep", 8)
    assert second != first
    resumed, segments = program.sweep(tmp_path / "sweep", resume=True), []
    whole = program.sweep(tmp_path / "whole", tell=segments.append)
    assert bits(resumed) == bits(whole)
    assert len(segments) > 12 and len(set(whole.epochs)) > 3
    again = []
    assert bits(program.sweep(tmp_path / "sweep", tell=again.append, resume=True)) == bits(whole)
    assert len(again) == 4  # one for each block: nothing is run again


def test_a_folder_is_of_one_sweep(tmp_path):
    program.sweep(tmp_path / "sweep")
    with pytest.raises(gd.CheckpointError, match="holds a sweep already: choose another folder, or resume it"):
        program.sweep(tmp_path / "sweep")
    place = tmp_path / "sweep" / "sweep.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), "seeds": [0, 7]}))
    with pytest.raises(gd.CheckpointError, match=r"is of another sweep: seeds is \[0, 7\], here \[0, 1\]"):
        program.sweep(tmp_path / "sweep", resume=True)
    place.write_text(json.dumps({**json.loads(place.read_text()), "seeds": [0, 1]}))
    block = next((tmp_path / "sweep" / "blocks").glob("*.npz"))
    block.write_bytes(block.read_bytes()[:-50])
    with pytest.raises(gd.CheckpointError, match=rf"{block.name} is damaged"):
        program.sweep(tmp_path / "sweep", resume=True)


def test_a_sweep_goes_on_with_the_same_problem_alone(tmp_path):
    """Other code under the same name, other numbers in it, and other dtypes and entries are other sweeps."""

    def problem(power, start):
        return lambda w, rows: jnp.mean((w - rows) ** power), start

    rows = np.arange(8.0, dtype=np.float32)

    def swept(name, power=2, start=1.0, data=rows, **how):
        loss, params = problem(power, start)
        axes, how = {"learning_rate": [0.01, 0.1]}, {"epochs": 2, "batch_size": 4, "out": tmp_path / name, **how}
        return gd.sweep(loss, params, gd.sgd(0.1), data, axes=axes, **how)

    first = swept("one")
    assert swept("one", resume=True).best_value.tobytes() == first.best_value.tobytes()
    whole = np.arange(8, dtype=np.int32)
    for other in (
        {"power": 4},
        {"start": 5.0},
        {"data": whole.view(np.float32)},
        {"data": np.arange(1.0, 9.0, dtype=np.float32)},
    ):
        with pytest.raises(gd.CheckpointError, match=r"is of another sweep: (programs|start|data)"):
            swept("one", **other, resume=True)
    with jax.enable_x64(True), pytest.raises(gd.CheckpointError, match="is of another sweep"):
        swept("one", resume=True)
    with pytest.raises(gd.CheckpointError, match="holds no sweep to go on with"):
        swept("two", resume=True)
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "note.txt").touch()
    with pytest.raises(gd.CheckpointError, match="is there already, and no sweep"):
        swept("three")


def test_sixteen_bits_come_back_as_they_were(tmp_path):
    data = jnp.arange(8, dtype=jnp.bfloat16)
    loss, params = (lambda w, rows: jnp.mean((w["w"] - rows) ** 2)), {"w": jnp.asarray(1.0, jnp.bfloat16)}
    how = {
        "axes": {"learning_rate": [0.01, 0.1]},
        "epochs": 2,
        "batch_size": 4,
        "keep_params": True,
        "out": tmp_path / "s",
    }
    tables = [gd.sweep(loss, params, gd.sgd(0.1), data, **how, resume=resume) for resume in (False, True)]
    assert bits(tables[0]) == bits(tables[1])
    assert [table.histories[0]["loss"].dtype for table in tables] == [jnp.bfloat16] * 2
    assert tables[1].params[0]["w"].dtype == jnp.bfloat16
