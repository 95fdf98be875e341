"""Does successive halving find what a whole grid finds, for a quarter of its steps?

    python -m experiments.bench.halving [--json FILE]

Adam on digits (mlp 64-32-10, batches of 64, 64 epochs): a grid of 32 rates from 1e-4 to 0.1, run whole for each of ten
seeds, and halved: all rates for 4 epochs, the best 16 for 8, 8 for 16, 4 for 32 and 2 for 64. Runs that go on do so from
where they are. "above" is how far the best validation loss of the halved grid is above that of the whole one; "random" the
same for as many rates drawn from the grid as can be run whole with these steps, in the mean over all draws.

Expected: at most a quarter of the steps, and at most 1 % above in the median of the seeds (on a CPU 0.19 and 0.0 %; three
seeds are 6 to 11 % above, whose best rates are slow in the beginning; at random 17 %). 35 s of CPU.
"""

from __future__ import annotations

import math
import sys

import numpy as np

import gdjax as gd

from .find_lr import BATCH, Task, task_of
from .recording import arguments, write

RATES, EPOCHS, SEEDS = np.geomspace(1e-4, 0.1, 32), 64, range(10)
RUNGS = gd.sweeps.rung_budgets(4, EPOCHS, factor=2)


def swept(task: Task, seed: int, rungs: list[int]) -> gd.SweepTable:
    """The grid of a seed."""
    return gd.sweep(
        task.loss,
        task.model,
        gd.adam(1e-3),
        task.train,
        task.validation,
        axes={"learning_rate": RATES},
        seeds=[seed],
        epochs=EPOCHS,
        batch_size=BATCH,
        rungs=rungs,
    )


def least_of(values: np.ndarray, number: int) -> float:
    """The mean of the least of so many values, over all ways to draw them."""
    ways = [math.comb(len(values) - i - 1, number - 1) for i in range(len(values) - number + 1)]
    return float(np.sort(values)[: len(ways)] @ ways) / math.comb(len(values), number)


def main() -> None:
    given = arguments(__doc__).parse_args()
    task = task_of("digits")
    print(f"{'seed':>4}{'rate':>9}{'loss':>9}{'halved: rate':>14}{'loss':>9}{'above':>8}{'steps':>8}{'random':>9}")
    found = []
    for seed in SEEDS:
        whole, halved = swept(task, seed, []), swept(task, seed, RUNGS)
        best, kept = whole.top(1)[0], halved.top(1)[0]
        share = float(halved.steps.sum() / whole.steps.sum())
        random = least_of(np.where(whole.wrong, np.inf, whole.best_value), int(share * len(RATES)))
        found.append((kept.mean / best.mean - 1, share, random / best.mean - 1))
        rates = [each.configuration["learning_rate"] for each in (best, kept)]
        row = f"{seed:4}{rates[0]:9.2g}{best.mean:9.4f}{rates[1]:14.2g}{kept.mean:9.4f}"
        print(f"{row}{found[-1][0]:8.1%}{share:8.3f}{found[-1][2]:9.1%}", flush=True)
    above, shares, randoms = np.array(found).T
    median, share = float(np.median(above)), float(shares.max())
    worst, random = float(above.max()), float(np.median(randoms))
    print(
        f"in the median {median:.2%} above, at most {worst:.1%}, with {share:.3f} of the steps; at random {random:.1%}"
    )
    write(given.json, {"above": above.tolist(), "steps": shares.tolist(), "random": randoms.tolist()})
    sys.exit(not (median <= 0.01 and share <= 0.25))


if __name__ == "__main__":
    main()
