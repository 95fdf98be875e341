"""One of two processes that train and save together: what test_spread.py starts, with its number, the port and a folder.

Each prints what it has seen, one line of JSON, and ends with 0 if all of it holds here.
"""

import contextlib
import itertools
import json
import os
import re
import resource
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import rows_over_hosts
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import gdjax as gd
from gdjax.training import checkpoint, together

W = np.arange(32, dtype=np.float32).reshape(8, 4) / 32


def begin(put=lambda x, *spec: jnp.asarray(x), scale=1.0):
    """(run, its first state, data), with the arrays where `put` puts them."""
    rows = put(np.random.default_rng(0).normal(size=(32, 8)).astype(np.float32), "a")
    params = {"w": put(scale * W, "a", "b"), "b": put(np.ones(4, np.float32), "b")}
    loss = lambda p, rows: jnp.mean((rows @ p["w"] - p["b"]) ** 2)  # noqa: E731
    run = gd.make_run(gd.make_epoch(gd.make_step(loss), batch_size=8))
    state = gd.make_state(params, gd.adam(0.01))
    return run, gd.start_run(run, state, gd.stopping.never(), rows, None), rows


def shards_of(x):
    """Where -> the bytes of what this process has of an array."""
    if not isinstance(x, jax.Array):
        return {"": np.asarray(x).tobytes()}
    data = jax.random.key_data if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else lambda x: x
    return {str(each.index): np.asarray(data(each.data)).tobytes() for each in x.addressable_shards}


def bits(tree):
    return {jax.tree_util.keystr(path): shards_of(x) for path, x in jax.tree_util.tree_leaves_with_path(tree)}


def same(a, b):
    a, b = bits(a), bits(b)
    assert a == b, {name: (a.get(name), b.get(name)) for name in a.keys() | b.keys() if a.get(name) != b.get(name)}


def failing(do):
    """(what a CheckpointError said, seconds)."""
    begun = time.monotonic()
    try:
        do()
    except gd.CheckpointError as error:
        return str(error), time.monotonic() - begun
    raise AssertionError("nothing was raised")


@contextlib.contextmanager
def small_files(here):
    """Files of more than 100 bytes cannot be written here."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100 if here else limits[0], limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def swap(data, entry, other):
    """The bytes of a file, with those of two entries exchanged."""
    end = 8 + int.from_bytes(data[:8], "little")
    fields, swapped = json.loads(data[8:end]), bytearray(data)
    a, b = (slice(*(end + at for at in fields[name]["data_offsets"])) for name in (entry, other))
    swapped[a], swapped[b] = data[b], data[a]
    return bytes(swapped)


def check(index, folder):
    mesh = jax.make_mesh((2, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)

    def put(x, *spec):
        return jax.make_array_from_callback(x.shape, NamedSharding(mesh, PartitionSpec(*spec)), lambda where: x[where])

    seen = {}
    run, start, rows = begin(put)

    def to(state, batches):
        loop = gd.segments(run, state, rows, until=9, batches=1, seconds=0)  # 0: the clocks of two processes differ
        return next(state for state in loop if int(state.state.batches) == batches)

    # From one process to two; and whatever lies otherwise, there and here.
    turned = begin(lambda x, *spec: put(x, *spec[::-1]), scale=0.0)[1]
    for like in (start, turned):
        loaded = gd.load_run(folder / "one", like)
        w = loaded.state.params["w"]
        assert w.sharding == like.state.params["w"].sharding
        for shard in w.addressable_shards:
            np.testing.assert_array_equal(shard.data, 3 * W[shard.index])

    # A run that is cut, within an epoch, saved and loaded, is the run that is not.
    whole, cut = to(start, 10), to(start, 6)
    gd.save_run(folder / "two", cut)
    loaded = gd.load_run(folder / "two", cut)
    same(loaded, cut)
    assert bits(cut) != bits(whole)
    same(to(loaded, 10), whole)
    weak = start._replace(first_loss=jax.device_put(2.5, NamedSharding(mesh, PartitionSpec())))
    gd.save_run(folder / "weak", weak)
    same(gd.load_run(folder / "weak", weak), weak)
    assert gd.load_run(folder / "weak", weak).first_loss.weak_type
    np.savez(
        folder / f"shards-{index}.npz",
        **{str(i): x.data for i, x in enumerate(cut.state.params["w"].addressable_shards)},
    )

    # The newest step that verifies: a bit, two blocks exchanged, a file of an older step.
    states = list(itertools.islice(gd.segments(run, start, rows, until=9, batches=1, seconds=0), 4))
    with gd.Checkpoints(folder / "steps", keep_last=4) as checkpoints:
        for state in states:
            checkpoints.save(state, extra={"note": int(state.state.batches)})
    assert checkpoints.steps == [1, 2, 3, 4]
    place = lambda step, name: folder / "steps" / str(step) / name  # noqa: E731
    if index == 0:
        data = bytearray(place(4, "arrays-1.safetensors").read_bytes())
        data[-1] ^= 1
        place(4, "arrays-1.safetensors").write_bytes(data)
        data = place(3, "arrays.safetensors").read_bytes()
        w = ".state.params['w']"
        place(3, "arrays.safetensors").write_bytes(swap(data, f"{w}@0,0", f"{w}@0,2"))
        place(2, "arrays-1.safetensors").write_bytes(place(1, "arrays-1.safetensors").read_bytes())
    together.Together().agree(lambda: None)
    with warnings.catch_warnings(record=True) as warned, gd.Checkpoints(folder / "steps") as checkpoints:
        warnings.simplefilter("always")
        restored, extra = checkpoints.restore(states[0])
        same(restored, states[0])
        assert extra == {"note": 1}
        (seen["warned"],) = [str(each.message) for each in warned]
        checkpoints.save(states[3])  # in the place of the damaged one
    with gd.Checkpoints(folder / "steps") as checkpoints:
        same(checkpoints.restore(states[0])[0], states[3])

    # An error in one process is one in all, at once, and leaves nothing.
    before = sorted(path.name for path in folder.iterdir())
    with small_files(here=index == 1):
        seen["full"], seconds = failing(lambda: gd.save_run(folder / "full", start))
        with gd.Checkpoints(folder / "steps") as checkpoints:
            checkpoints.restore(states[0])
            checkpoints.save(whole)
            seen["late"], late = failing(lambda: checkpoints.save(whole))
            checkpoints.wait()
        assert max(seconds, late) < 60, (seconds, late)
    differing = start._replace(history=start.history | {"loss": np.full(3, index, np.float32)})
    seen["differs"], _ = failing(lambda: gd.save_run(folder / "differs", differing))
    if index == 1:
        checkpoint.sync = lambda file: file.unlink()  # as on a disk of its own
    seen["own disk"], _ = failing(lambda: gd.save_run(folder / "own", start))
    if index == 0:  # which removes what was begun
        assert sorted(path.name for path in folder.iterdir()) == before
        assert not [path for path in (folder / "steps").iterdir() if not re.fullmatch(r"\d+", path.name)]

    rows_over_hosts.check(index)

    # A process that stays away is not waited for without end.
    if index == 1:
        together.Together()
        return seen
    together.WAIT = 1
    said, _ = failing(lambda: gd.save_run(folder / "away", start))
    assert "process 1 did not answer in 1 seconds" in said, said
    assert not (folder / "away").exists()
    together.WAIT = 120
    return seen


if __name__ == "__main__":
    number, port, place = sys.argv[1:]
    try:
        jax.distributed.initialize(f"localhost:{port}", 2, int(number), initialization_timeout=120)
        print(json.dumps(check(int(number), Path(place))), flush=True)
        together.Together().agree(lambda: None)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # without waiting for the other
