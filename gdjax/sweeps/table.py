"""The result of a sweep: a row for each run, and what the seeds of a configuration say together."""

from __future__ import annotations

import collections
import dataclasses
import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdjax.calls import is_number
from gdjax.calls.spec import render
from gdjax.drawing import load_plots
from gdjax.files import replacing
from gdjax.text import counted, html_table, listing, table
from gdjax.types import Stop

if TYPE_CHECKING:
    import pandas

SHOWN = 10  # configurations of a printed table
WRONG = (Stop.DIVERGED.name, Stop.NON_FINITE.name)
LEVEL = 0.95  # of an interval
FEWEST = 3  # values of an axis whose ends are told from its middle
LENGTHS = ("epochs", "steps")  # paths of which the greatest is always the best, or nearly


class Summary(NamedTuple):
    """What the runs of one configuration say together; those that went wrong are counted, and in no mean.

    mean = sum_s v_s / n,   standard_error = sqrt(sum_s (v_s - mean)² / (n - 1) / n),   mean ± t_(n - 1) standard_error

    The interval is cut where it seems that no mean can be, which then leaves its coverage as it is: at 0 where no value of
    the sweep is below 0, as of most losses, and at 1 too where greater is better and all values lie between the two, as of
    an accuracy. Of a metric that can lie beyond and by chance never did, it is too short there.
    """

    number: int  # of the configuration
    configuration: dict[str, Any]
    seeds: int
    mean: float  # of the best values over seeds; NaN if all went wrong
    standard_error: float  # NaN of fewer than two
    low: float  # the ends of Student's interval, which covers the mean over all seeds in LEVEL of all sweeps
    high: float
    wrong: float  # the share of the seeds that went wrong
    epochs: float  # the mean of all runs
    stops: dict[str, int]  # why they ended -> how many


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SweepTable:
    """The runs of a sweep, one row each, configuration by configuration.

    A run has gone wrong if it diverged, became NaN or infinite, or has no finite value. Such a run counts as worst: a
    configuration comes behind all of which fewer seeds went wrong.
    """

    configurations: tuple[dict[str, Any], ...]
    configuration: np.ndarray  # (n,) int, the number of each run's
    seed: np.ndarray  # (n,) int
    stop: np.ndarray  # (n,) the names of `Stop`
    best_value: np.ndarray  # (n,) float, of the monitored metric
    best_epoch: np.ndarray  # (n,) float, NaN where there was none
    epochs: np.ndarray  # (n,) float
    steps: np.ndarray  # (n,) int
    monitor: str
    direction: str = "min"  # whether smaller values of it are better, or greater ones: "max"
    histories: tuple[dict[str, np.ndarray], ...] | None = None
    params: tuple[Any, ...] | None = None  # of the best evaluation of each run, where they were asked for
    model_states: tuple[Any, ...] | None = None  # likewise, of models with a state; () for one without
    remarks: tuple[str, ...] = ()  # on the data, as `fit` makes them

    def __post_init__(self) -> None:
        if self.direction not in ("min", "max"):
            raise ValueError(f"SweepTable: direction must be 'min' or 'max', got {self.direction!r}")

    def __len__(self) -> int:
        return len(self.seed)

    @property
    def axes(self) -> tuple[str, ...]:
        """The paths that the configurations give values to."""
        return tuple(dict.fromkeys(path for each in self.configurations for path in each))

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Name -> (n,): the axes, then seed, stop, best_value, best_epoch, epochs, steps."""
        own = ("seed", "stop", "best_value", "best_epoch", "epochs", "steps")
        return {path: self._axis(path) for path in self.axes} | {name: getattr(self, name) for name in own}

    def _axis(self, path: str) -> np.ndarray:
        """The values of an axis, (n,); of objects where they are not all numbers, names or flags."""
        values = [self.configurations[i].get(path) for i in self.configuration]
        kinds = {type(x) for x in values}
        if all(map(is_number, values)) or kinds in ({str}, {bool}):
            return np.array(values)
        column = np.empty(len(values), object)
        column[:] = values
        return column

    @property
    def wrong(self) -> np.ndarray:
        """(n,) bool, the runs that went wrong."""
        return np.isin(self.stop, WRONG) | ~np.isfinite(self.best_value)

    def rows(self) -> list[dict[str, Any]]:
        """The runs as dicts, column -> value."""
        columns = self.columns
        lists = [column.tolist() for column in columns.values()]
        return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]

    def by_configuration(self) -> list[Summary]:
        """What the seeds of each configuration say together, in the order of the configurations."""
        return list(self._summaries)

    @functools.cached_property
    def _summaries(self) -> tuple[Summary, ...]:
        places: dict[int, list[int]] = {}
        for place, number in enumerate(self.configuration.tolist()):
            places.setdefault(number, []).append(place)
        wrong = self.wrong
        return tuple(self._summary(number, np.array(places[number]), wrong) for number in sorted(places))

    def _summary(self, number: int, own: np.ndarray, wrong: np.ndarray) -> Summary:
        """Of the runs at some places, which have this configuration."""
        mean, error, low, high = student_interval(self.best_value[own[~wrong[own]]])
        least, greatest = self._range
        low, high = min(max(low, least), greatest), min(max(high, least), greatest)
        stops = dict(collections.Counter(self.stop[own].tolist()).most_common())
        share, epochs = float(wrong[own].mean()), float(self.epochs[own].mean())
        return Summary(number, self.configurations[number], len(own), mean, error, low, high, share, epochs, stops)

    @functools.cached_property
    def _range(self) -> tuple[float, float]:
        """Where a mean of the values can be, by the values of all runs that went well."""
        values = self.best_value[~self.wrong]
        low = 0.0 if (values >= 0).all() else -np.inf
        return low, 1.0 if self.direction == "max" and low == 0 and (values <= 1).all() else np.inf

    @property
    def means(self) -> np.ndarray:
        """(configurations,) float, the mean over the seeds of each, NaN where one went wrong: what a search is told."""
        return np.array([each.mean if each.wrong == 0 else np.nan for each in self.by_configuration()])

    def top(self, number: int = SHOWN) -> list[Summary]:
        """The best configurations, best first: of which the fewest seeds went wrong, then by the mean over the others."""
        sign = 1 if self.direction == "min" else -1
        return sorted(
            self.by_configuration(), key=lambda each: (each.wrong, sign * each.mean if each.wrong < 1 else 0)
        )[:number]

    def best(self) -> dict[str, Any]:
        """The configuration that is best in the mean over its seeds.

        Raises: ValueError if every run went wrong.
        """
        if self.wrong.all():
            raise ValueError(f"no configuration is the best: {self._went_wrong()}")
        return self.top(1)[0].configuration

    def _went_wrong(self) -> str:
        """A phrase that says how many runs went wrong, and how; "" if none did."""
        number = int(self.wrong.sum())
        if not number:
            return ""
        how = (stop if stop in WRONG else "without a finite value" for stop in self.stop[self.wrong].tolist())
        share = f"every one of {counted(len(self), 'run')}" if self.wrong.all() else f"{number:,} of {len(self):,} runs"
        return f"{share} went wrong ({_counts(collections.Counter(how))})"

    def to_pandas(self) -> pandas.DataFrame:
        """The columns as a frame; calls and other objects as text.

        Raises: ImportError, in one sentence, where pandas is missing.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("SweepTable: pandas is needed: pip install 'gdjax[lab]'") from error
        return pandas.DataFrame({name: _texts(column) for name, column in self.columns.items()})

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the columns to a file, whole or not at all; numbers read back are the same to the last bit.

        Raises: ImportError, in one sentence, where pandas is missing.
        """
        frame = self.to_pandas()
        with replacing(Path(path)) as draft:
            frame.to_csv(draft, index=False)

    def plot(self, **options: Any) -> Any:
        """The values against the axis; over two axes as a heat map, over more as parallel coordinates.

        Args:
            options: of `gdjax.plots.sweep_values` (title).

        Raises: ImportError that says what to install, where matplotlib is missing.
        """
        return load_plots().picture(self, **options)

    def _cells(self) -> list[list[str]]:
        """The printed table: the best configurations, with a head."""
        several = len(self) > len(self.by_configuration())
        head = [*_short(self.axes), self.monitor, *([f"{LEVEL:.0%} interval"] if several else []), "epochs", "stop"]
        return [head, *([*_values(each, self.axes), *_judged(each, several)] for each in self.top())]

    def _sentences(self) -> list[str]:
        better = "smaller" if self.direction == "min" else "greater"
        seeds = counted(len(np.unique(self.seed)), "seed")
        total = f"{counted(len(self), 'run')}: {counted(len(self.configurations), 'configuration')}, {seeds}"
        left = len(self.by_configuration()) - SHOWN
        more = [f"{counted(left, 'configuration')} more"] if left > 0 else []
        return [
            f"{total}; {self.monitor}, {better} is better",
            *more,
            *filter(None, [self._went_wrong()]),
            *self.remarks,
            *self._edges(),
        ]

    def _edges(self) -> list[str]:
        """Sentences on axes of numbers of which the best configuration has the least or the greatest that was tried."""
        if self.wrong.all():
            return []
        best, *others = self.top(len(self.configurations))
        alike = [best, *(each for each in others if (each.wrong, each.mean) == (best.wrong, best.mean))]
        said = []
        for path, name in zip(self.axes, _short(self.axes), strict=True):
            tried = sorted({x for each in self.configurations if (x := _number(each.get(path))) is not None})
            own = {_number(each.configuration.get(path)) for each in alike}
            if len(tried) < FEWEST or path in LENGTHS:
                continue
            for end, words in ((tried[0], ("least", "smaller")), (tried[-1], ("greatest", "greater"))):
                if own == {end} and end != 0:
                    said.append(
                        f"the best {name}, {_cell(end)}, is the {words[0]} that was tried: {words[1]} ones may be better"
                    )
        return said

    def __repr__(self) -> str:
        first, *rest = self._sentences()
        return "\n".join([first, *([table(self._cells())] if not self.wrong.all() else []), *rest])

    def _repr_html_(self) -> str:
        return html_table(self._cells(), below="\n".join(self._sentences()))


def student_interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float, float, float]:
    """(mean, standard error, low, high) of a sample, the ends by Student's t; NaN where there are too few values.

    Args:
        values: (n,).
        level: in (0, 1), the share of samples from a normal distribution whose interval holds its mean.
    """
    number = len(values)
    if number < 2:
        return (float(values[0]) if number else np.nan), np.nan, np.nan, np.nan
    mean, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(number))
    half = _student(0.5 + level / 2, number - 1) * error
    return mean, error, mean - half, mean + half


@functools.lru_cache
def _student(share: float, freedom: int) -> float:
    """The quantile of Student's t, which takes SciPy as long as the rest of a table."""
    from scipy.stats import t

    return float(t.ppf(share, freedom))


def table_of(
    outcomes: Sequence[Any],
    configurations: Sequence[dict[str, Any]],
    monitor: str,
    direction: str,
    remarks: tuple[str, ...] = (),
) -> SweepTable:
    """The table of what became of the runs, whose configurations are given by number."""

    def column(name: str, dtype: Any = None) -> np.ndarray:
        return np.array([getattr(each, name) for each in outcomes], dtype)

    return SweepTable(
        tuple(map(dict, configurations)),
        column("configuration", int),
        column("seed", int),
        column("stop", str),
        column("best_value", float),
        np.array([_epoch_of(each) for each in outcomes], float),
        column("epochs", float),
        column("steps", int),
        monitor,
        direction,
        tuple(each.history for each in outcomes),
        _if_kept(each.params for each in outcomes),
        _if_kept(each.model_state for each in outcomes),
        remarks,
    )


def _if_kept(trees: Iterable[Any]) -> tuple[Any, ...] | None:
    found = tuple(trees)
    return None if any(each is None for each in found) else found


def _epoch_of(outcome: Any) -> float:
    """The epoch of the best evaluation, NaN if there is none."""
    number = outcome.best_evaluation
    return float(outcome.history["epoch"][number]) if number >= 0 else np.nan


def _number(value: Any) -> Any:
    """One number as Python has it; None for anything else."""
    return np.asarray(value).item() if is_number(value) and np.ndim(value) == 0 else None


def text_of(value: Any) -> str:
    """A value of an axis as a cell: names as they are, calls and numbers as they are written."""
    return value if isinstance(value, str) else render(value)


def _texts(column: np.ndarray) -> Any:
    return [None if x is None else text_of(x) for x in column] if column.dtype == object else column


def _short(paths: Sequence[str]) -> list[str]:
    """The last names of paths; the whole of those that share one."""
    last = collections.Counter(path.rpartition(".")[2] for path in paths)
    return [name if last[name := path.rpartition(".")[2]] == 1 else path for path in paths]


def _values(each: Summary, axes: Sequence[str]) -> list[str]:
    return [_cell(each.configuration.get(path, "")) for path in axes]


def _cell(value: Any) -> str:
    """A value as it is shown: a number by five digits, of which the file and the commands have all."""
    return f"{float(value):.5g}" if is_number(value) and not isinstance(value, int) else text_of(value)


def _judged(each: Summary, several: bool) -> list[str]:
    interval = [f"{each.low:.5g} to {each.high:.5g}"] if several else []
    stop = _counts(each.stops) if several else next(iter(each.stops))
    return [f"{each.mean:.5g}", *interval, f"{each.epochs:.3g}", stop]


def _counts(stops: Mapping[str, int]) -> str:
    return listing([f"{number:,} {stop}" for stop, number in stops.items()])
