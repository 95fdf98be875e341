"""Does a tournament find what is there, and nothing else?

    python -m experiments.bench.fairness [--tournaments 200] [--json FILE]

null     One optimizer under two names, each tuned 8 times over 8 draws of its own: how often is a difference "significant"?
         The signed-rank test over 8 tunings errs in 10 of 256, 3.9 %. Beside it what the usual way says of the same
         tournaments: a test over fresh seeds after one tuning, which is told apart by what was drawn, not by the optimizer.
capped   Adam against Adam whose rate is at most a tenth of the best rate of a sweep: how often is it found?

A tiny network (3-8-1, 64 rows, 40 steps of 16), new data with each tournament. The batches granted and taken are counted.

Expected: null at most 7 % (on a CPU 2.0 %), capped at least 90 % (97 %), equal budgets; the usual way in 44 %. 2.5 minutes
of CPU.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.stats

import gdjax as gd

from .recording import arguments, write

STEPS, BATCH, ROWS, LEVEL = 40, 16, 64, 0.05
DRAWS, TUNINGS, SEEDS = 8, 8, 2
MODEL = gd.models.mlp((3, 8, None))
LOSS = gd.per_example(gd.supervised(MODEL, gd.losses.squared_error))
CENTER = 0.03  # the rate that is given, near the best


class Tally(NamedTuple):
    significant: int
    tournaments: int
    granted: set[int]
    taken: set[int]

    @property
    def share(self) -> float:
        return self.significant / self.tournaments


def task(number: int) -> tuple[Any, Any]:
    """Training and validation rows of a smooth function with noise."""
    rng = np.random.default_rng([7, number])
    x = rng.normal(size=(2 * ROWS, 3)).astype(np.float32)
    y = (np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.3 * rng.normal(size=2 * ROWS)).astype(np.float32)
    return (jnp.asarray(x[:ROWS]), jnp.asarray(y[:ROWS])), (jnp.asarray(x[ROWS:]), jnp.asarray(y[ROWS:]))


def compete(number: int, tunables: Any = None, **options: Any) -> gd.Tournament:
    """A tournament of Adam against Adam."""
    train, validation = task(number)
    both = {"adam": gd.adam(CENTER), "also adam": gd.adam(CENTER)}
    sizes = {"draws": DRAWS, "tunings": TUNINGS, "seeds": SEEDS, **options}
    length = {"steps": STEPS, "every": STEPS // 2, "batch_size": BATCH}
    return gd.tournament(
        LOSS, MODEL, both, train, validation, tunables=tunables, seed=number, level=LEVEL, **length, **sizes
    )


def tally(count: int, first: int, tunables: Any = None) -> Tally:
    found = [compete(first + i, tunables) for i in range(count)]
    significant = sum(each.comparisons[0].significant for each in found)
    granted = {x.granted for each in found for x in each.standings}
    return Tally(significant, count, granted, {x.taken for each in found for x in each.standings})


def usual_way(count: int, first: int) -> float:
    """How often a paired t-test over 8 fresh seeds, after one tuning of each name, finds a difference between the names."""
    found = []
    for i in range(count):
        entrants = compete(first + i, tunings=1, seeds=TUNINGS).standings
        values = [np.asarray(x.finals[0]) for x in entrants]
        found.append(scipy.stats.ttest_rel(*values).pvalue <= LEVEL)
    return float(np.mean(found))


def best_rate() -> float:
    """The best of 25 rates over ten tasks of other numbers."""
    rates = np.geomspace(CENTER / 30, CENTER * 30, 25)
    optimizer, total = gd.adam(gd.schedules.cosine(CENTER, STEPS)), np.zeros(len(rates))
    axes = {"optimizer.learning_rate.init_value": [*map(float, rates)]}
    for number in range(10):
        train, validation = task(100_000 + number)
        table = gd.sweep(LOSS, MODEL, optimizer, train, validation, axes=axes, steps=STEPS, batch_size=BATCH)
        last = [x["validation_loss"][-1] for x in table.histories or ()]
        total += np.argsort(np.argsort(last))
    return float(rates[np.argmin(total)])


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--tournaments", type=int, default=200)
    given = parser.parse_args()
    count = given.tournaments
    null = tally(count, 0)
    print(f"null    significant in {null.significant} of {count}: {null.share:.1%}, at most 7 %", flush=True)
    usual = usual_way(count // 2, 0)
    print(f"        one tuning and a test over {TUNINGS} fresh seeds: {usual:.0%} of {count // 2}", flush=True)
    best = best_rate()
    cap = {"also adam": {"learning_rate": gd.sweeps.log_uniform(best / 300, best / 10)}}
    capped = tally(count // 2, 10_000, cap)
    print(f"capped  found in {capped.share:.1%} of {count // 2}, at least 90 %; its rate at most {best / 10:.2g}")
    batches = null.granted | capped.granted
    taken = null.taken | capped.taken
    equal = len(batches) == 1 and taken == batches
    print(f"budget  granted {batches} batches to every name of every tournament, taken {taken}")
    write(given.json, {"null": null.share, "usual": usual, "capped": capped.share, "batches": sorted(batches)})
    sys.exit(not (null.share <= 0.07 and capped.share >= 0.9 and equal))


if __name__ == "__main__":
    main()
