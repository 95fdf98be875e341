"""The runs of a tournament: each competitor is tuned several times, and what was chosen is trained with fresh seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gdjax.sweeps.arguments import Arguments
from gdjax.sweeps.blocks import Block, Outcome
from gdjax.sweeps.engine import Progress, run_locally
from gdjax.sweeps.grouping import studies_of
from gdjax.sweeps.store import Nowhere
from gdjax.sweeps.study import Study
from gdjax.sweeps.table import WRONG
from gdjax.sweeps.ways import Way


class Entrant(NamedTuple):
    """A competitor before the race."""

    name: str
    optimizer: Any
    tunables: Mapping[str, Any]  # path -> distribution


class Seeds(NamedTuple):
    """The seeds of each tuning, all different and the same for all competitors."""

    tuning: tuple[int, ...]  # (tunings,)
    fresh: tuple[tuple[int, ...], ...]  # (tunings, seeds)


class Ended(NamedTuple):
    """What became of a run, as a number of which less is better."""

    value: float  # at the end of the full schedule; inf if the run went wrong
    values: np.ndarray  # at all evaluations
    batches: np.ndarray  # read before each
    taken: int  # batches in all


class Raced(NamedTuple):
    """A competitor after the race."""

    entrant: Entrant
    chosen: tuple[dict[str, Any], ...]  # the configuration of each tuning
    tuned: np.ndarray  # (tunings,), the value by which it was chosen
    runs: tuple[tuple[Ended, ...], ...]  # (tunings, seeds), with fresh seeds
    granted: int  # batches
    taken: int  # fewer where runs ended early because they went wrong


class Race(NamedTuple):
    """All that came of it; values are signed so that less is better."""

    raced: list[Raced]
    target: float
    monitor: str
    sign: float  # by which a value is the monitored one


def seeds_of_race(seed: int, tunings: int, seeds: int) -> Seeds:
    """Different seeds, drawn by one."""
    drawn = np.random.default_rng(seed).choice(2**31 - 1, (tunings, 1 + seeds), replace=False).tolist()
    return Seeds(tuple(row[0] for row in drawn), tuple(tuple(row[1:]) for row in drawn))


def draw(entrant: Entrant, number: int, seed: Sequence[int]) -> list[dict[str, Any]]:
    """Configurations that are drawn independently; of what has nothing to tune, one."""
    shares = np.random.default_rng(list(seed)).uniform(size=(number, len(entrant.tunables)))
    drawn = [
        {path: x.quantile(u) for (path, x), u in zip(entrant.tunables.items(), row, strict=True)} for row in shares
    ]
    return drawn if entrant.tunables else drawn[:1]


def race(
    given: Arguments,
    entrants: Sequence[Entrant],
    draws: int,
    seeds: Seeds,
    seed: int,
    tell: Callable[[Progress], None],
) -> Race:
    """Tune all competitors, fix the target, and train what was chosen with fresh seeds."""
    tried = [
        [draw(entrant, draws, (seed, i, r)) for r in range(len(seeds.tuning))] for i, entrant in enumerate(entrants)
    ]
    first, study = _run(given, entrants, tried, [(one,) for one in seeds.tuning], tell)
    best = [[int(np.argmin([run[0].value for run in runs])) for runs in each] for each in first]
    tuned = [np.array([each[r][k][0].value for r, k in enumerate(ks)]) for ks, each in zip(best, first, strict=True)]
    chosen = [[each[r][k] for r, k in enumerate(ks)] for ks, each in zip(best, tried, strict=True)]
    target = _quantile([_quantile(values, 0.75) for values in tuned], 0.5)  # the median competitor's, in 3 of 4 tunings
    second, _ = _run(given, entrants, [[[one] for one in each] for each in chosen], seeds.fresh, tell)
    raced = []
    for i, entrant in enumerate(entrants):
        runs = [run for tuning in (*first[i], *second[i]) for lanes in tuning for run in lanes]
        granted = len(runs) * given.length.batches(study.fitting.per_epoch)
        fresh = tuple(tuple(tuning[0]) for tuning in second[i])
        taken = sum(run.taken for run in runs)
        raced.append(Raced(entrant, tuple(chosen[i]), tuned[i], fresh, granted, taken))
    return Race(raced, target, study.monitor[0].replace("_", " ", 1), study.sign)


def _quantile(values: Sequence[float] | np.ndarray, share: float) -> float:
    """The least of the values that this share of them does not exceed, so that others may be infinite."""
    return float(np.quantile(np.asarray(values), share, method="inverted_cdf"))


def _run(
    given: Arguments,
    entrants: Sequence[Entrant],
    configurations: Sequence[Sequence[Sequence[dict[str, Any]]]],
    seeds: Sequence[tuple[int, ...]],
    tell: Callable[[Progress], None],
) -> tuple[list[list[list[list[Ended]]]], Study]:
    """The runs of competitor i, tuning r, configuration k and seed s of that tuning, as [i][r][k][s]; a study."""
    tasks, owners = [], []
    for i, (entrant, own) in enumerate(zip(entrants, configurations, strict=True)):
        arguments = dataclasses.replace(given, optimizer=entrant.optimizer)
        for study in studies_of(arguments, [one for each in own for one in each], seeds[0]):
            blocks = _blocks(study, len(own[0]), seeds)
            tasks += [(dataclasses.replace(study, way=way), block) for way, block in blocks]
            owners += [(i, len(own[0]))] * len(blocks)
    outcomes = iter(run_locally(tasks, Nowhere(), tell))
    found: list[Any] = [[[[] for _ in each] for each in own] for own in configurations]
    for (study, block), (i, size) in zip(tasks, owners, strict=True):
        for number, _ in block.lanes:
            found[i][number // size][number % size].append(_ended(study, next(outcomes)))
    return found, tasks[0][0]


def _blocks(study: Study, size: int, seeds: Sequence[tuple[int, ...]]) -> list[tuple[Way, Block]]:
    """The lanes of all tunings of so many configurations; those of the study run with the seeds of their tuning only."""
    numbers: list[list[int]] = [[] for _ in seeds]
    for number in study.settings.number.tolist():
        numbers[number // size].append(number)
    lanes = study.way.groups * study.way.width  # as many as may run at a time
    groups = min(len(seeds[0]), lanes)
    width = min(max(map(len, numbers)), max(1, lanes // groups))
    way = study.way._replace(groups=groups, width=width)
    return [
        (way, Block(tuple(own[k : k + width]), few[s : s + groups]))
        for own, few in zip(numbers, seeds, strict=True)
        for k in range(0, len(own), width)
        for s in range(0, len(few), groups)
    ]


def _ended(study: Study, outcome: Outcome) -> Ended:
    per_epoch, (name, _) = study.fitting.per_epoch, study.monitor
    values = study.sign * np.asarray(outcome.history[name], float)
    batches = np.rint(np.asarray(outcome.history["epoch"], float) * per_epoch).astype(int)
    whole = len(values) and batches[-1] >= study.fitting.length.batches(per_epoch)
    sound = whole and outcome.stop not in WRONG and np.isfinite(values[-1])
    return Ended(float(values[-1]) if sound else np.inf, values, batches, int(batches[-1]) if len(batches) else 0)
