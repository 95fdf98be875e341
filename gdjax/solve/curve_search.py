"""The search for the parameters of a curve: many starts in one program, of which the best go on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gdjax.programs import compile_once
from gdjax.solve.curve_formula import Curve
from gdjax.solve.curve_solver import Descent, Rows, Solver, noise_of
from gdjax.solve.curve_starts import Elimination, candidates, linear_parameters
from gdjax.types import Stop

FEW_ROWS = 512  # on which many starts are tried; the best are then refined on all rows
FIRST_STEPS, LANES = 300, 8  # steps of every start; how many go on,
MANY_ROWS, FEW_LANES = 20_000, 2  # on more rows than these, so few
ALIKE = 1e-6  # sums of squares that differ by less, relatively, are of one minimum,
PERFECT = 64**2  # as are perfect fits, of residuals up to 64 times what rounding makes


class Found(NamedTuple):
    """The best end of a search, and what the other starts found."""

    params: np.ndarray  # (p,)
    value: float  # 1/2 sum of squares
    noise: float  # what rounding can make of it
    stop: Stop
    steps: int
    starts: int  # how many were tried
    agreeing: int  # of these, how many came to this sum of squares
    given_value: float  # 1/2 sum of squares where the start given ended
    others: tuple[tuple[float, np.ndarray], ...]  # 1/2 sum of squares and parameters of further minima


def find_parameters(
    curve: Curve, rows: Rows, first: np.ndarray, given: np.ndarray, starts: int, max_steps: int, seed: int
) -> Found:
    """The least minimum that `starts` starts lead to, the first of which is the one given, as it is.

    Of minima that are alike, the one that the first start leads to counts, then the one nearest to it.
    """
    few = _thinned(rows)
    points = [first]
    if starts > 1:
        eliminate = compile_once(Elimination(curve, linear_parameters(curve, few, len(first), seed)))
        tried, values = map(np.asarray, eliminate(few, candidates(few, first, given, seed)))
        points = [first, tried[0], *_best_and_some(tried[1:], values[1:], starts - 2)][:starts]
    run = compile_once(Solver(curve))
    ends = _on_host(run(few, np.stack(points), min(FIRST_STEPS, max_steps)))
    lanes = LANES if len(rows.y) <= MANY_ROWS else FEW_LANES
    going = _going_on(ends, few is not rows)[:lanes]
    if few is not rows:
        last = _on_host(run(rows, np.stack([first, *ends.params[going]]), max_steps))
        return _choose(last, first, PERFECT * noise_of(rows))._replace(
            starts=len(points), agreeing=int(_alike(ends, PERFECT * noise_of(few)).sum())
        )
    if going.size:
        again = _on_host(run(rows, np.resize(ends.params[going], (min(lanes, starts), len(first))), max_steps))
        ends = _merge(ends, again, going)
    return _choose(ends, first, PERFECT * noise_of(rows))


def _thinned(rows: Rows) -> Rows:
    """At most so many of the rows, evenly spread in their order."""
    n = len(rows.y)
    if n <= FEW_ROWS:
        return rows
    some = np.unique(np.linspace(0, n - 1, FEW_ROWS).astype(int))
    columns = tuple(column[some] for column in rows.columns)
    return rows._replace(columns=columns, y=rows.y[some], weight=rows.weight[some])


def _best_and_some(points: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """So many of the points: three quarters the best, the others as they were drawn."""
    order = np.argsort(np.where(np.isfinite(values), values, np.inf), kind="stable")
    best = order[: count - count // 4]
    rest = np.setdiff1d(np.arange(len(points)), best)[: count // 4]
    return points[np.concatenate([best, rest]).astype(int)]


def _on_host(ends: Descent) -> Descent:
    return Descent(*map(np.asarray, ends))


def _going_on(ends: Descent, all_rows: bool) -> np.ndarray:
    """The lanes to go on with: the best of those that are not at their end, or, on all rows, of all."""
    value = _values(ends)
    done = ends.stop == Stop.CONVERGED
    least = value[done].min() if done.any() else np.inf
    open_lanes = np.isfinite(value) & (np.full(len(value), True) if all_rows else (ends.stop == Stop.BUDGET))
    if not all_rows:
        open_lanes &= (value < least) | (np.arange(len(value)) == 0) | ~done.any()
    order = np.argsort(value, kind="stable")
    return order[open_lanes[order]]


def _merge(ends: Descent, again: Descent, lanes: np.ndarray) -> Descent:
    """The ends, those of some lanes replaced by where they went on to."""
    merged = [np.array(old) for old in ends]
    for old, new in zip(merged, again, strict=True):
        old[lanes] = new[: len(lanes)]
    merged[Descent._fields.index("steps")][lanes] += ends.steps[lanes]
    return Descent(*merged)


def _values(ends: Descent) -> np.ndarray:
    return np.where(np.isfinite(ends.value), ends.value, np.inf)


def _alike(ends: Descent, noise: float) -> np.ndarray:
    """Which ends have the least value, but for rounding."""
    return _values(ends) <= _values(ends).min() * (1 + ALIKE) + noise


def _choose(ends: Descent, first: np.ndarray, noise: float) -> Found:
    value, alike = _values(ends), _alike(ends, noise)
    away = np.sum(((ends.params - first) / (np.abs(ends.params) + np.abs(first) + 1e-300)) ** 2, axis=1)
    rank = np.lexsort((away, ends.stop != Stop.CONVERGED, ~alike))
    best = 0 if alike[0] and ends.stop[0] == Stop.CONVERGED else int(rank[0])
    return Found(
        params=ends.params[best],
        value=float(value[best]),
        noise=noise,
        stop=Stop(int(ends.stop[best])),
        steps=int(ends.steps[best]),
        starts=len(value),
        agreeing=int(alike.sum()),
        given_value=float(value[0]),
        others=_others(ends, value, alike),
    )


def _others(ends: Descent, value: np.ndarray, alike: np.ndarray) -> tuple[tuple[float, np.ndarray], ...]:
    """Further minima of larger sums, each once, the least first."""
    found: list[tuple[float, np.ndarray]] = []
    for i in np.argsort(value, kind="stable"):
        if alike[i] or ends.stop[i] != Stop.CONVERGED:
            continue
        if not found or value[i] > found[-1][0] * (1 + 1e-4):
            found.append((float(value[i]), ends.params[i]))
    return tuple(found)
