"""The result of a tournament: a table, a statement in words, a picture."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, NamedTuple

import numpy as np

from gdjax.calls import Optimizer
from gdjax.drawing import load_plots
from gdjax.sweeps.statistics import least_p
from gdjax.text import counted, html_table, listing, table


class Standing(NamedTuple):
    """What a competitor has reached; intervals are of 95 %, by bootstrap over the tunings."""

    name: str
    optimizer: Optimizer  # of the tuning whose score is the median
    tuned: tuple[str, ...]  # the paths that were
    configurations: tuple[dict[str, Any], ...]  # the chosen one of each tuning
    tuning_values: np.ndarray  # (tunings,), the final value by which it was chosen, of a run with another seed
    finals: np.ndarray  # (tunings, seeds), the final values of the fresh runs; inf or -inf of one that went wrong
    scores: np.ndarray  # (tunings,), their means
    final: float  # their median
    final_interval: tuple[float, float]
    times: (
        np.ndarray
    )  # (tunings,), the median number of batches to the target over fresh seeds; inf if it was not reached
    time: float  # their median
    time_interval: tuple[float, float]
    wrong: float  # the share of the fresh runs that went wrong
    granted: int  # batches, of tuning and fresh runs
    taken: int  # of these; fewer where runs went wrong and ended early


class Comparison(NamedTuple):
    """Two competitors, the better one by the test first; as they were named where it has no direction, and p is 1."""

    better: str
    worse: str
    difference: float  # of their scores, by Hodges and Lehmann
    p: float  # of the signed-rank test over the tunings
    corrected: float  # for all pairs, by Holm
    significant: bool


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Tournament:
    """What `tournament` found. `str()` is a table with the statement, `plot()` draws it."""

    standings: tuple[Standing, ...]  # the best first
    comparisons: tuple[Comparison, ...]  # all pairs, the most significant first
    monitor: str
    target: float  # value to reach, fixed before the fresh runs
    batches: int  # of the full schedule
    draws: int
    tunings: int
    seeds: int
    level: float

    @property
    def statement(self) -> str:
        """What is significant and what is not, in words."""
        number = len(self.comparisons)
        level = f"{100 * self.level:g}% over all {counted(number, 'pair')} (Holm)"
        test = f"signed-rank test over {self.tunings} tunings, {level}"
        if least_p(self.tunings) * number > self.level:
            enough = next(n for n in itertools.count(2) if least_p(n) * number <= self.level)
            return f"No difference can be significant with {self.tunings} tunings; write tunings={enough} ({test})."
        sure = [
            f"{x.better} is better than {x.worse} (p = {x.corrected:.2g})" for x in self.comparisons if x.significant
        ]
        left = [f"{x.better} and {x.worse} (p = {x.corrected:.2g})" for x in self.comparisons if not x.significant]
        said = [f"Significant: {listing(sure, most=99)}."] if sure else []
        said += [f"Not significant: {listing(left, most=3).replace(' more', ' other pairs')}."] if left else []
        return " ".join((*said, f"Test fixed before: {test}."))

    def rows(self) -> list[dict[str, Any]]:
        """The table as dicts, the best competitor first."""
        return [self._row(x) for x in self.standings]

    def _row(self, x: Standing) -> dict[str, Any]:
        (low, high), (steps_low, steps_high) = x.final_interval, x.time_interval
        values = {"optimizer": x.name, self.monitor: x.final, "low": low, "high": high}
        times = {"steps_to_target": x.time, "steps_low": steps_low, "steps_high": steps_high}
        return {**values, **times, "wrong": x.wrong, "granted": x.granted, "taken": x.taken}

    def _cells(self) -> list[list[str]]:
        head = ["optimizer", self.monitor, "95% interval", f"steps to {self.target:.4g}", "95% interval", "went wrong"]
        return [head, *map(self._cells_of, self.standings)]

    def _cells_of(self, x: Standing) -> list[str]:
        final = [f"{x.final:.4g}", _span(x.final_interval, ".4g")]
        return [x.name, *final, _steps(x.time), _span(x.time_interval), f"{x.wrong:.0%}"]

    def _budget(self) -> str:
        tuned = f"each tuned {self.tunings} times over {counted(self.draws, 'draw')}"
        granted = {x.granted for x in self.standings}
        each = f"{max(granted):,} batches each" if len(granted) == 1 else f"at most {max(granted):,} batches each"
        short = [f"{x.name} took {x.taken:,}" for x in self.standings if x.taken < x.granted]
        early = f"; as runs went wrong, {listing(short)}" if short else ""
        return f"{self.batches:,} steps a run; {tuned}, then {counted(self.seeds, 'fresh seed')}; {each}{early}"

    def __str__(self) -> str:
        return "\n".join((self._budget(), table(self._cells(), right=range(1, 6)), self.statement))

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return html_table(self._cells(), right=range(1, 6), below="\n".join((self._budget(), self.statement)))

    def plot(self, **options: Any) -> Any:
        """Final values and times to the target, with their intervals.

        Args:
            options: of `gdjax.plots.standings` (title).

        Raises: ImportError that says what to install, where matplotlib is missing.
        """
        return load_plots().standings(self, **options)


def _steps(number: float) -> str:
    return f"{number:,.0f}" if np.isfinite(number) else "never"


def _span(interval: tuple[float, float], form: str = "") -> str:
    low, high = (f"{x:{form}}" if form else _steps(x) for x in interval)
    return f"{low} to {high}"
