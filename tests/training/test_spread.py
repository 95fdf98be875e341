"""The state of a run that is spread over two processes: saved, verified and restored by both, with one outcome."""

import itertools
import json
import os
import re
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import spread_over_hosts as program

import gdjax as gd
from gdjax.training.blocks import find_region
from gdjax.training.container import find_entries, read_container


def run_both(folder):
    """What the two processes print. The end of one is the end of the other."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, program.__file__]
    both = [
        subprocess.Popen([*command, str(i), str(port), str(folder)], env=environment, stdout=-1, stderr=-1, text=True)
        for i in range(2)
    ]
    end = time.monotonic() + 180
    while (
        any(each.poll() is None for each in both) and not any(each.poll() for each in both) and time.monotonic() < end
    ):
        time.sleep(0.05)
    for each in both:
        each.kill()
    outputs = [each.communicate() for each in both]
    assert [each.returncode for each in both] == [0, 0], "\n".join(error[-3000:] for _, error in outputs)
    return [json.loads(output.splitlines()[-1]) for output, _ in outputs]


def test_two_processes_save_and_restore_as_one(tmp_path):
    """See spread_over_hosts.py; here both say the same, and one process reads what two have written."""
    _, start, _ = program.begin(scale=3.0)
    gd.save_run(tmp_path / "one", start)
    first, second = run_both(tmp_path)
    assert first == second
    damaged = r"it is damaged: \S+ is not what was written \(process [01]\)"
    assert re.fullmatch(
        rf"step 1 is restored, not step 4: {damaged}; step 3: {damaged}; step 2: {damaged}", first["warned"]
    )
    assert "File too large (process 1)" in first["full"] and "File too large (process 1)" in first["late"]
    assert ".history['loss'] must be the same in all processes: it differs in process 1" in first["differs"]
    assert "all hosts must share the folder" in first["own disk"]

    files = [read_container(tmp_path / "two" / name) for name in ("arrays.safetensors", "arrays-1.safetensors")]
    names, others = (find_entries(*file).keys() for file in files)
    assert not names & others and ".state.params['b']@0" in names and ".state.params['w']@4,2" in others, "each once"
    loaded = gd.load_run(tmp_path / "two", start)
    parts = [dict(np.load(tmp_path / f"shards-{i}.npz")) for i in range(2)]
    expected = np.block([[each["0"], each["1"]] for each in parts])
    np.testing.assert_array_equal(loaded.state.params["w"], expected)
    assert int(loaded.state.batches) == 6 and set(jax.tree.leaves(loaded)[0].devices()) == {jax.devices()[0]}


@pytest.mark.parametrize("shape", [(), (7,), (6, 5), (3, 4, 5)])
def test_any_region_is_put_together_from_any_blocks(shape):
    """Against NumPy's own slices."""
    rng = np.random.default_rng(len(shape))
    x = rng.integers(0, 100, shape).astype(np.int16)
    cuts = [sorted({0, n, *rng.integers(0, n, 2)}) for n in shape]
    spans = [[slice(a, b) for a, b in itertools.pairwise(cut)] for cut in cuts]
    grid = [()]
    for axis in spans:
        grid = [(*each, span) for each in grid for span in axis]
    blocks = [([each.start for each in where], x[where].shape, "digest") for where in grid]
    entries = {
        f"x@{','.join(map(str, start))}": x[where].tobytes() for (start, *_), where in zip(blocks, grid, strict=True)
    }
    for _ in range(20):
        where = tuple(slice(*sorted(rng.integers(0, n + 1, 2))) for n in shape)
        np.testing.assert_array_equal(find_region("x", blocks, entries, x.dtype, x.shape, where), x[where])
    np.testing.assert_array_equal(find_region("x", blocks, entries, x.dtype, x.shape), x)
