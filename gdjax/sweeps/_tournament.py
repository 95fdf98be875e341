"""`tournament`: optimizers compared at equal budgets, each tuned as the others are, and what of it is significant."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gdjax.calls import Optimizer, as_optimizer, is_number
from gdjax.calls.mistakes import brief
from gdjax.data import as_rows, num_rows
from gdjax.domain import as_length
from gdjax.schedules import cosine
from gdjax.sweeps.arguments import Arguments
from gdjax.sweeps.engine import Progress
from gdjax.sweeps.paths import replace, resolve
from gdjax.sweeps.racing import Entrant, Raced, race, seeds_of_race
from gdjax.sweeps.ranking import Comparison, Standing, Tournament
from gdjax.sweeps.space import Choice, Interval
from gdjax.sweeps.statistics import adjusted_pairs, bootstrap_interval, signed_rank_shift
from gdjax.sweeps.tunables import OneMinus, as_competitor, tunables_of, with_schedule
from gdjax.text import listing
from gdjax.training import Length
from gdjax.types import Params

WHO = "tournament"


def tournament(
    loss: Any,
    params: Params,
    optimizers: Any,
    data: Any,
    validation: Any = None,
    *,
    epochs: float | None = None,
    steps: int | None = None,
    every: int | None = None,
    batch_size: int | None = None,
    order: str = "shuffle",
    monitor: str | tuple[str, str] = "loss",
    evaluate: Any = None,
    model_state: Any = (),
    schedule: Callable[[float, int], Any] | None = cosine,
    tunables: Mapping[str, Mapping[str, Any]] | None = None,
    draws: int = 16,
    tunings: int = 10,
    seeds: int = 3,
    seed: int = 0,
    level: float = 0.05,
    tell: Callable[[Progress], None] = lambda _: None,
) -> Tournament:
    """Compare optimizers at equal budgets, each tuned as the others are, and say which differences are significant.

    Each competitor is tuned several times, independently: so many draws of what it declares tunable (`sweeps.tunables`) are
    trained to the end of the full schedule with one seed, and the one with the best final value is trained again with fresh
    seeds. The mean over those is the score of the tuning. Budgets are equal, and counted in batches; what evaluates several
    gradients on a batch, as `sam` and line searches do, takes more time for it.

    The unit of the test is the tuning, not the seed. With one tuning each, two names of one optimizer get different
    configurations, and enough seeds find that difference significant. Here all that is random is drawn again with each
    tuning: draws, seeds of the tuning, fresh seeds. Seeds are common to the competitors, so that scores come in pairs, which
    are exchangeable if the optimizers are the same. Therefore the exact signed-rank test errs with at most its level, and
    Holm's correction keeps that over all pairs. The selection and the fresh runs are judged on the same validation rows.

    Args:
        loss, params, data, validation, epochs, steps, every, batch_size, order, monitor, evaluate, model_state: as for
            `sweep`; the length is the budget of each run.
        optimizers: by name, a dict: calls such as `gd.sgd(0.1)`, whose rate is the middle of the range that is drawn from,
            or names of the catalogue, for their usual rate; a list of names, or of calls of different factories.
        schedule: (rate, steps) -> the schedule of a rate that is a number (default: a cosine to 0); None keeps the number.
        tunables: name -> {path: distribution}, beside or in place of the declared ones.
        draws: configurations in each tuning.
        tunings: at least 6 for two competitors, 10 for seven.
        seeds: fresh seeds of each tuning.
        seed: determines all draws and seeds.
        level: in (0, 1), of the test over all pairs.
        tell: called with the `Progress` of the runs.

    Returns: a `Tournament`: standings, comparisons, statement, plot(). The time to the target is the number of batches
        before the first evaluation at or below it; it is what the median competitor reached in three of four tunings.

    Raises: ValueError for fewer than two optimizers, and for names that are not there; TypeError for other tunables.

    Reference: Wilcoxon 1945, Biometrics Bulletin 1(6); Holm 1979; Sivaprasad et al. 2020, arXiv:1910.11758.

    >>> rows = jnp.linspace(-1.0, 1.0, 32)
    >>> loss, race = lambda w, x: jnp.mean((w - 3 - x) ** 2), {"sgd": gd.sgd(0.1), "slow": gd.sgd(1e-5)}
    >>> found = gd.tournament(loss, 0.0, race, rows, rows, steps=4, draws=2, tunings=6, seeds=1)
    >>> print(found.statement.split(" (p")[0])
    Significant: sgd is better than slow
    """
    if not (is_number(level) and 0 < level < 1):
        raise ValueError(f"{WHO}: level must be between 0 and 1, got {level!r}")
    length = Length(epochs, steps, every)
    draws, tunings, seeds = (
        as_length(WHO, name, x) for name, x in (("draws", draws), ("tunings", tunings), ("seeds", seeds))
    )
    seed = as_length(WHO, "seed", seed, least=0)
    data = as_rows(WHO, data)
    rows = num_rows(data)
    size = min(64, rows) if batch_size is None else as_length(WHO, "batch_size", batch_size)
    batches = length.batches(-(-rows // size))
    named = {name: with_schedule(as_optimizer(x), batches, schedule) for name, x in _by_name(optimizers).items()}
    own = _checked(tunables or {}, [*named])
    entrants = [_entrant(name, optimizer, own.get(name, {})) for name, optimizer in named.items()]
    given = Arguments(loss, params, None, data, validation, length, size, order, None, monitor, evaluate, model_state)
    found = race(given, entrants, draws, seeds_of_race(seed, tunings, seeds), seed, tell)
    standings = [_standing(each, found.target, found.sign) for each in found.raced]
    return Tournament(
        standings=tuple(sorted(standings, key=lambda x: found.sign * x.final)),
        comparisons=_compare(standings, found.sign, level),
        monitor=found.monitor,
        target=found.sign * found.target,
        batches=batches,
        draws=draws,
        tunings=tunings,
        seeds=seeds,
        level=level,
    )


def _by_name(optimizers: Any) -> dict[str, Any]:
    """The competitors by name, from a dict or a list."""
    if isinstance(optimizers, Mapping):
        named = {str(name): as_competitor(each) for name, each in optimizers.items()}
    else:
        given = [*optimizers] if isinstance(optimizers, Sequence) and not isinstance(optimizers, str) else []
        calls = [as_competitor(each) for each in given]
        names = [x if isinstance(x, str) else as_optimizer(x).recipe.name for x in given]
        if len(set(names)) < len(names):
            raise ValueError(f"{WHO}: optimizers of one name need a dict, {{name: optimizer}}, got {listing(names)}")
        named = dict(zip(names, calls, strict=True))
    if len(named) < 2:
        raise ValueError(f"{WHO}: optimizers must be at least two, by name, got {optimizers!r}")
    return named


def _checked(tunables: Any, names: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """The tunables of these competitors, which are distributions by path."""
    if not isinstance(tunables, Mapping) or not all(isinstance(own, Mapping) for own in tunables.values()):
        raise TypeError(f"{WHO}: tunables must be a dict name -> {{path: distribution}}, got {brief(tunables)}")
    if unknown := sorted(tunables.keys() - set(names), key=str):
        raise ValueError(f"{WHO}: tunables must be of {listing(names)}, got {unknown[0]!r}")
    for name, own in tunables.items():
        for path, x in own.items():
            if not isinstance(x, (Interval, Choice, OneMinus)):
                raise TypeError(
                    f"{WHO}: {path!r} of {name} must be a distribution, such as sweeps.choice([0.1, 0.2]), got {brief(x)}"
                )
    return tunables


def _entrant(name: str, optimizer: Optimizer, own: Mapping[str, Any]) -> Entrant:
    known = tunables_of(optimizer)
    given = {_whole(path, known, optimizer): distribution for path, distribution in own.items()}
    return Entrant(name, optimizer, {**known, **given})


def _whole(path: str, known: Mapping[str, Any], optimizer: Optimizer) -> str:
    """The whole path; "learning_rate" is the number that scales the rate, also where a schedule stands for it."""
    inside = [each for each in known if f".{path}." in f".{each}."]
    return inside[0] if len(inside) == 1 else resolve(path, {"optimizer": optimizer}, WHO)


def _standing(raced: Raced, target: float, sign: float) -> Standing:
    values = np.array([[run.value for run in runs] for runs in raced.runs])
    times = np.array([[_time(run, target) for run in runs] for runs in raced.runs])
    scores, time = values.mean(axis=1), np.median(times, axis=1)
    typical = int(np.argsort(scores, kind="stable")[(len(scores) - 1) // 2])
    optimizer = replace({"optimizer": raced.entrant.optimizer}, raced.chosen[typical])["optimizer"]
    low, high = bootstrap_interval(scores)
    return Standing(
        name=raced.entrant.name,
        optimizer=optimizer,
        tuned=tuple(raced.entrant.tunables),
        configurations=raced.chosen,
        tuning_values=sign * raced.tuned,
        finals=sign * values,
        scores=sign * scores,
        final=sign * float(np.median(scores)),
        final_interval=(low, high) if sign > 0 else (-high, -low),
        times=time,
        time=float(np.median(time)),
        time_interval=bootstrap_interval(time),
        wrong=float(np.isinf(values).mean()),
        granted=raced.granted,
        taken=raced.taken,
    )


def _time(run: Any, target: float) -> float:
    """The batches before the first evaluation at or below the target."""
    reached = (run.values <= target) & np.isfinite(target)
    return float(run.batches[np.argmax(reached)]) if reached.any() else np.inf


def _compare(standings: Sequence[Standing], sign: float, level: float) -> tuple[Comparison, ...]:
    scores = [sign * x.scores for x in standings]
    found = []
    for (i, j), (p, corrected) in adjusted_pairs(scores).items():
        direction, difference = signed_rank_shift(scores[i], scores[j])
        first, second = (j, i) if direction > 0 else (i, j)
        names = standings[first].name, standings[second].name
        found.append(Comparison(*names, -sign * abs(difference), p, corrected, corrected <= level))
    return tuple(sorted(found, key=lambda x: x.corrected))
