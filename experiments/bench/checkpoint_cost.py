"""What does a checkpoint after every epoch cost? `python -m experiments.bench.checkpoint_cost [--repeats 10] [--epochs 3]`.

A network with 10 MB of parameters (784-1280-1100-128-10) under Adam, whose checkpoint holds 40 MB: the parameters, two
moments, and the best parameters. An epoch takes about `--seconds` of compiled steps. The same run is timed without
checkpoints and with one after every epoch, the wait for the last one included, in interleaved pairs; beside it stand the
time for which `save` holds up the loop, and the wait at the end.

Expected: in the median of the pairs, checkpoints cost less than 5 % of the wall time; else the exit status is 1. About five
minutes on 2 cores.
"""

from __future__ import annotations

import functools
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from experiments.bench.timing import arguments, interleave, ratio, write

SIZES, BATCH, LIMIT = (784, 1280, 1100, 128, 10), 64, 0.05

model = gd.models.mlp(SIZES)
loss = gd.per_example(gd.supervised(model, gd.losses.softmax_cross_entropy_with_integer_labels))
run = gd.make_run(gd.make_epoch(gd.make_step(loss), BATCH))


def rows(number: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(number, SIZES[0])).astype(np.float32), rng.integers(0, SIZES[-1], number)


def train(data, epochs: int, checkpoints: gd.Checkpoints | None, blocked: list[float]) -> None:
    """One run; the seconds that each save holds it up are appended to `blocked`."""
    state = gd.make_state(model.init(jax.random.key(1)), gd.adam(1e-3), 2)
    first = gd.start_run(run, state, gd.stopping.never(), data, None)
    for run_state in gd.segments(run, first, data, until=epochs, seconds=0, keep=False):
        before = time.perf_counter()
        if checkpoints is not None:
            checkpoints.save(run_state)
            blocked.append(time.perf_counter() - before)


def checkpointed(data, epochs: int, blocked: list[float], closing: list[float]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = gd.Checkpoints(Path(folder) / "checkpoints")
        train(data, epochs, checkpoints, blocked)
        before = time.perf_counter()
        checkpoints.close()
        closing.append(time.perf_counter() - before)


def steps_of(seconds: float) -> int:
    """The number of steps that take so long."""
    data = rows(20 * BATCH)
    train(data, 1, None, [])  # compiles
    before = time.perf_counter()
    train(data, 2, None, [])
    return max(1, round(40 * seconds / (time.perf_counter() - before)))


def main() -> None:
    parser = arguments(__doc__)
    parser.set_defaults(repeats=10)
    parser.add_argument("--epochs", type=int, default=3, help="checkpoints in each run")
    parser.add_argument("--seconds", type=float, default=4.0, help="of an epoch, at most 5")
    given = parser.parse_args()
    data = jax.tree.map(jnp.asarray, rows(steps_of(given.seconds) * BATCH))
    blocked: list[float] = []
    closing: list[float] = []
    candidates = {
        "without": functools.partial(train, data, given.epochs, None, blocked),
        "with": functools.partial(checkpointed, data, given.epochs, blocked, closing),
    }
    seconds = interleave(candidates, given.repeats)
    median, low, high = ratio(seconds["with"], seconds["without"])
    size = sum(x.size for x in jax.tree.leaves(jax.eval_shape(model.init, jax.random.key(0)))) * 4
    figures = {
        "parameters (MB)": size / 1e6,
        "an epoch (s)": float(np.median(seconds["without"])) / given.epochs,
        "save holds up the loop (ms)": 1e3 * float(np.median(blocked)),
        "the wait at the end (ms)": 1e3 * float(np.median(closing)),
        "cost of a checkpoint every epoch (%)": 100 * (median - 1),
        "its quartiles, low (%)": 100 * (low - 1),
        "its quartiles, high (%)": 100 * (high - 1),
    }
    for name, value in figures.items():
        print(f"{name:<40}{value:8.2f}")
    held = median - 1 < LIMIT
    print("held" if held else f"FAILED: at most {LIMIT:.0%} were expected")
    write(given.json, figures)
    sys.exit(not held)


if __name__ == "__main__":
    main()
