"""What does it cost to train on data that stay on disk? `python -m experiments.bench.streaming [--gb 2]`.

    time      a step of the network 64-128-128-10 at batch 64 on a memory-mapped set, against one on the same set in memory
    memory    anonymous memory (RssAnon) at its highest while it trains from disk, above the process before

The set is made in a temporary folder, of --gb gigabytes; both runs take the same batches, so their losses must be equal.
Medians of interleaved rounds. Expected: at most 1.1 of the time and 300 MB. About two minutes on 2 cores.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd

from .recording import arguments, write
from .timing import interleave, ratio

WIDTH, CLASSES, STEPS, PART = 64, 10, 10_000, 1 << 16
MODEL = gd.models.mlp([WIDTH, 128, 128, CLASSES])
LOSS = gd.per_example(gd.supervised(MODEL, gd.losses.softmax_cross_entropy_with_integer_labels))


def parts(rows: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of noise whose labels are a linear rule's."""
    rng = np.random.default_rng(0)
    rule = rng.normal(size=(WIDTH, CLASSES)).astype(np.float32)
    for start in range(0, rows, PART):
        x = rng.standard_normal((min(PART, rows - start), WIDTH), np.float32)
        yield x, np.argmax(x @ rule, axis=1).astype(np.int32)


def anonymous() -> float:
    """Anonymous memory of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1e3


class Peak:
    """The highest anonymous memory inside the block."""

    def __enter__(self) -> Peak:
        self.value, self._over = anonymous(), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._over.wait(0.005):
            self.value = max(self.value, anonymous())

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        self._thread.join()


def train(data: Any, params: Any) -> Any:
    return gd.fit(LOSS, params, gd.adam(1e-3), data, steps=STEPS, every=STEPS, batch_size=64)


def main() -> None:
    parser = arguments(__doc__, repeats=7)
    parser.add_argument("--gb", type=float, default=2.0, help="gigabytes of the set")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = gd.data.write_rows(Path(folder) / "rows", parts(int(given.gb * 1e9 / (4 * WIDTH + 4))))
        params = MODEL.init(jax.random.key(0))
        jax.block_until_ready(jnp.zeros(1) + 1)
        idle = anonymous()
        with Peak() as peak:
            streamed = train(source, params)
        in_memory = jax.tree.map(jnp.asarray, source.rows(np.arange(len(source))))
        assert train(in_memory, params).history["loss"] == streamed.history["loss"], "the runs must be the same"
        runs = {"disk": lambda: train(source, params).params, "memory": lambda: train(in_memory, params).params}
        seconds = interleave(runs, given.repeats)
    middle, low, high = ratio(seconds["disk"], seconds["memory"])
    figures = {f"a step, from {name} (us)": 1e6 * float(np.median(x)) / STEPS for name, x in seconds.items()}
    figures |= {"disk / memory": middle, "anonymous memory above idle (MB)": peak.value - idle}
    for name, value in figures.items():
        print(f"{name:<36}{value:9.2f}")
    print(f"half of the {given.repeats} rounds are in {low:.2f} ... {high:.2f}; {len(source):,} rows")
    write(given.json, figures)


if __name__ == "__main__":
    main()
