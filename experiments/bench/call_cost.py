"""What does it cost to look up a compiled program by what a function reads? `python -m experiments.bench.call_cost`.

    reading    computing the key of a run on 1,500 digits as in the README, and of a loss of two lines; microseconds
    fit        the same call again: the time besides its steps (here 3 compiled steps); milliseconds
    minimize   the same call again, a new function with other captured arrays, and an edited global; milliseconds

Medians of interleaved rounds. Expected: at most 50 us for reading, 5 ms besides the steps of a fit, and the same time for a
new function as for the same one. About 20 seconds on 2 cores.
"""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax.fingerprint import read

from .recording import arguments, write
from .timing import interleave

target = 0.0


def two_lines(params, batch, key):
    x, y = batch
    return jnp.mean((x @ params[0]["w"] - jax.nn.one_hot(y, 10)) ** 2), {}


def readings() -> dict[str, float]:
    model = gd.models.mlp([64, 32, 10])
    loss = gd.per_example(
        gd.supervised(model, gd.losses.softmax_cross_entropy_with_integer_labels, {"accuracy": gd.metrics.correct})
    )
    runs = {
        name: gd.make_run(gd.make_epoch(gd.make_step(f)), gd.make_evaluate(f))
        for name, f in (("README", loss), ("two lines", two_lines))
    }
    seconds = interleave({name: lambda run=run: len(read(run).key) for name, run in runs.items()}, 1000)
    return {f"reading, {name} (us)": 1e6 * float(np.median(x)) for name, x in seconds.items()}


def calls(repeats: int) -> dict[str, float]:
    x, y = np.ones((1500, 64), np.float32), np.arange(1500) % 10
    start, numbers = [{"w": jnp.zeros((64, 10))}], itertools.count()

    def fresh(array):
        return lambda p: jnp.sum((p - array) ** 2)

    def reading_a_global(p):
        return jnp.sum((p - target) ** 2)

    def edit():
        globals()["target"] = float(next(numbers))
        return gd.minimize(reading_a_global, jnp.zeros(2), gd.sgd(0.1), max_steps=3).params

    same = fresh(jnp.zeros(2))
    candidates = {
        "fit (ms)": lambda: gd.fit(two_lines, start, gd.sgd(0.1), (x, y), epochs=1, batch_size=500).params,
        "minimize, the same (ms)": lambda: gd.minimize(same, jnp.zeros(2), gd.sgd(0.1), max_steps=3).params,
        "minimize, fresh (ms)": lambda: gd.minimize(fresh(np.zeros(2)), jnp.zeros(2), gd.sgd(0.1), max_steps=3).params,
        "minimize, edited (ms)": edit,
    }
    return {name: 1e3 * float(np.median(x)) for name, x in interleave(candidates, repeats).items()}


def main() -> None:
    given = arguments(__doc__, repeats=15).parse_args()
    figures = {**readings(), **calls(given.repeats)}
    for name, value in figures.items():
        print(f"{name:<28}{value:8.2f}")
    write(given.json, figures)


if __name__ == "__main__":
    main()
