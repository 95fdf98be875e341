"""How good are the networks on MNIST-1D, and a convolutional one on digits?

    python -m experiments.bench.mnist1d [--seeds 3] [--only cnn gru] [--json FILE]

The 4,000 standard training rows, judged by the 1,000 standard test rows after the last epoch; nothing is chosen by them.

cnn          three blocks of 64 channels, windows of 3, dropout of 0.5
plain cnn    two blocks of 16 and 32 channels, no dropout
gru          64 units, one step of a series after the other
mlp          hidden layers of 128 and 64
shuffled     the cnn, the 40 steps of all rows in one random order: neighbors say nothing any more
digits       `gdjax train digits --model cnn --seed S` for ten seeds, each with its own split, judged by its test rows

Expected (medians): cnn and gru at least 0.95 (0.97, 0.98), shuffled at most 0.65 (0.63), digits at least 0.985 (0.989); the
plain cnn has 0.88, the mlp 0.60. Four minutes of CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

import gdjax as gd
from gdjax.data import Dataset
from gdjax.models import cnn, gru, mlp, serial, unflatten
from gdjax.runs.job import run_through

from .recording import arguments, write

SHAPE = (40, 1)
DIGIT_SEEDS = 10


class Case(NamedTuple):
    """A network on flat rows, and how it is trained: AdamW under a cosine, in batches of 100."""

    model: gd.Model
    epochs: int
    rate: float
    decay: float
    least: float = 0.0  # test accuracy that is expected
    most: float = 1.0
    shuffled: bool = False


def of_shape(model: gd.Model) -> gd.Model:
    return serial(unflatten(SHAPE), model)


WIDE = of_shape(cnn(SHAPE, 10, (64, 64, 64), dropout=0.5))
CASES = {
    "cnn": Case(WIDE, 40, 3e-3, 0.05, least=0.95),
    "plain cnn": Case(of_shape(cnn(SHAPE, 10, (16, 32))), 40, 3e-3, 0.05),
    "gru": Case(of_shape(gru(1, 64, 10)), 50, 1e-2, 0.01, least=0.95),
    "mlp": Case(mlp((40, 128, 64, 10)), 40, 2e-3, 0.3),
    "shuffled": Case(WIDE, 40, 3e-3, 0.05, most=0.65, shuffled=True),
}
BATCH = 100


def accuracy(case: Case, data: Dataset, seed: int) -> float:
    """The share of test rows that are right after the last epoch."""
    order = np.random.default_rng(0).permutation(SHAPE[0]) if case.shuffled else np.arange(SHAPE[0])
    x, rows = data.x[:, order].astype(np.float32), len(data.y) - data.test_rows
    train, test = (x[:rows], data.y[:rows]), (x[rows:], data.y[rows:])
    loss = gd.per_example(gd.supervised(case.model, gd.losses.softmax_cross_entropy_with_integer_labels))
    steps = case.epochs * (rows // BATCH)
    optimizer = gd.adamw(gd.schedules.cosine(case.rate, steps), weight_decay=case.decay)
    of_params, of_order = jax.random.split(jax.random.key(seed))
    length = {"epochs": case.epochs, "every": steps, "batch_size": BATCH}
    result = gd.fit(loss, case.model.init(of_params), optimizer, train, key=of_order, **length)
    scores = jax.jit(case.model.apply)(result.params, test[0])
    return float(np.mean(np.argmax(scores, -1) == test[1]))


def digits(seed: int) -> float:
    """The test accuracy of `gdjax train digits --model cnn`."""
    work = gd.runs.choose("digits", gd.runs.TrainOptions(model="cnn", seed=seed), "")
    result = run_through(work.job, work.parts)
    return work.job.objective.scores(result.params, work.parts.test)["accuracy"]


def measure(name: str, run: Callable[[int], float], seeds: int, least: float, most: float) -> dict[str, Any]:
    """The figures of a case over its seeds, which are printed."""
    before = time.process_time()
    found = [run(seed) for seed in range(seeds)]
    median, seconds = float(np.median(found)), time.process_time() - before
    good = least <= median <= most
    wanted = f"at least {least:g}" if least else f"at most {most:g}" if most < 1 else ""
    said = ", ".join(f"{each:.4f}" for each in found)
    print(f"{name:10} {median:.4f} {wanted:14} {'' if good else 'MISSED '}({said}) {seconds:.0f} s of CPU", flush=True)
    return {"median": median, "accuracies": found, "seconds_of_cpu": seconds, "good": good}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="of MNIST-1D")
    parser.add_argument("--only", nargs="+", choices=[*CASES, "digits"], help="the cases to measure")
    options = parser.parse_args()
    data, chosen = gd.data.load("mnist1d"), options.only or [*CASES, "digits"]
    figures = {}
    for name, case in CASES.items():
        if name in chosen:
            run = lambda seed, case=case: accuracy(case, data, seed)  # noqa: E731
            figures[name] = measure(name, run, options.seeds, case.least, case.most)
    if "digits" in chosen:
        figures["digits"] = measure("digits", digits, DIGIT_SEEDS, 0.985, 1.0)
    write(options.json, figures)
    if not all(each["good"] for each in figures.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
