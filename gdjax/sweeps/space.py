"""What values an axis of a sweep takes, and configurations from several axes: a grid, random draws, a Latin hypercube.

An axis is a list of values (a NumPy array will do: np.geomspace(1e-4, 1e-1, 32)) or a distribution, `uniform`, `log_uniform`
or `choice`. A configuration is a dict, path -> value; see `gdjax.sweeps.paths`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from gdjax.calls import Node, is_number
from gdjax.calls.mistakes import brief
from gdjax.calls.spec import render

Configuration: TypeAlias = dict[str, Any]
LEADING_ZERO = re.compile(r"0\d+")


@dataclasses.dataclass(frozen=True, repr=False)
class Interval:
    """A uniform distribution over an interval, or over its logarithm; made by `uniform` and `log_uniform`."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def quantile(self, share: float) -> float:
        """The value below which this share of the distribution lies, for a share in [0, 1)."""
        margin = 0.5 if self.whole else 0.0  # a whole number stands for what is rounded to it
        ends = self.low - margin, self.high + margin
        low, high = map(math.log, ends) if self.log else ends
        value = low + share * (high - low)
        value = min(max(math.exp(value) if self.log else value, self.low), self.high)
        return round(value) if self.whole else value

    def __repr__(self) -> str:
        whole = ", whole=True" if self.whole else ""
        return f"{'log_' * self.log}uniform({render(self.low)}, {render(self.high)}{whole})"


@dataclasses.dataclass(frozen=True, repr=False)
class Choice:
    """A uniform distribution over some values; made by `choice`."""

    values: tuple[Any, ...]

    def quantile(self, share: float) -> Any:
        """The value below which this share of the distribution lies, for a share in [0, 1)."""
        return self.values[int(share * len(self.values))]

    def __repr__(self) -> str:
        return f"choice({render(list(self.values))})"


Distribution: TypeAlias = Interval | Choice
Axis: TypeAlias = Distribution | Sequence[Any] | np.ndarray


def uniform(low: float, high: float, whole: bool = False) -> Interval:
    """The uniform distribution over [low, high].

        p(x) = 1 / (high - low)

    Args:
        low: in the units of the argument.
        high: above low.
        whole: whether only whole numbers are drawn, each of low, ..., high equally often.

    Raises: ValueError for other ends.

    >>> print(gd.sweeps.uniform(0.0, 0.5).quantile(0.5), gd.sweeps.uniform(1, 10, whole=True).quantile(0.95))
    0.25 10
    """
    return _interval("uniform", low, high, False, whole)


def log_uniform(low: float, high: float, whole: bool = False) -> Interval:
    """The distribution over [low, high] of a number whose logarithm is uniform, so that every decade is as likely.

        p(x) = 1 / (x log(high / low))

    Args:
        low: above 0, in the units of the argument.
        high: above low.
        whole: whether only whole numbers are drawn: x uniform in its logarithm over [low - 1/2, high + 1/2], rounded.

    Raises: ValueError for other ends.
    Reference: Bergstra & Bengio 2012, JMLR 13.

    >>> print(gd.sweeps.log_uniform(1e-4, 1e-2).quantile(0.5))
    0.001
    """
    return _interval("log_uniform", low, high, True, whole)


def choice(values: Iterable[Any]) -> Choice:
    """The distribution over some values, each as likely. A list as an axis of a random search means the same.

    Args:
        values: at least one: numbers, names, optimizers, ...

    Raises: ValueError for none.

    >>> print(gd.sweeps.choice(["relu", "tanh"]).quantile(0.75))
    tanh
    """
    return Choice(tuple(values_of("choice", "values", list(values))))


def grid(axes: Mapping[str, Axis]) -> list[Configuration]:
    """All combinations of the values of some axes; the last axis varies fastest.

    Args:
        axes: path -> values.

    Raises: ValueError for an axis without values, or one that is a distribution.

    >>> print(gd.sweeps.grid({"learning_rate": [0.1, 0.2], "b1": [0.9]}))
    [{'learning_rate': 0.1, 'b1': 0.9}, {'learning_rate': 0.2, 'b1': 0.9}]
    """
    lists = [values_of("grid", path, axis) for path, axis in axes.items()]
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*lists)]


def random_configurations(space: Mapping[str, Axis], number: int, seed: int = 0) -> list[Configuration]:
    """Configurations drawn independently; the first of them are the same whatever their number.

    Args:
        space: path -> distribution, or values to choose from.
        number: at least 1.
        seed: at least 0.

    Raises: ValueError for fewer, or an axis without values.
    Reference: Bergstra & Bengio 2012, JMLR 13.

    >>> print(gd.sweeps.random_configurations({"learning_rate": gd.sweeps.log_uniform(1e-4, 1e-1)}, 2))
    [{'learning_rate': 0.00814489}, {'learning_rate': 0.00064470}]
    """
    return _at(space, np.random.default_rng(seed).random((_count("random_configurations", number), len(space))))


def latin_hypercube(space: Mapping[str, Axis], number: int, seed: int = 0) -> list[Configuration]:
    """Configurations of which each axis holds every n-th part of its distribution exactly once.

        x_ij = F_j^-1((pi_j(i) + u_ij) / n),   pi_j a random permutation of 0, ..., n - 1,   u_ij uniform in [0, 1)

    Args:
        space: path -> distribution F, or values to choose from.
        number: n, at least 1.
        seed: at least 0.

    Raises: ValueError for fewer, or an axis without values.
    Reference: McKay, Beckman & Conover 1979, Technometrics 21; the shares are drawn by `scipy.stats.qmc`.

    >>> found = gd.sweeps.latin_hypercube({"b1": gd.sweeps.uniform(0.0, 1.0)}, 4)
    >>> print(sorted(int(4 * each["b1"]) for each in found))
    [0, 1, 2, 3]
    """
    from scipy.stats import qmc

    number = _count("latin_hypercube", number)
    if not space:
        return [{} for _ in range(number)]
    return _at(space, qmc.LatinHypercube(len(space), rng=np.random.default_rng(seed)).random(number))


def parse_axis(name: str, text: str, whole: bool = False) -> Distribution | list[Any]:
    """The axis that a text describes.

        log:1e-4:1e-1:32    32 values, evenly spaced in their logarithm, with both ends        log:1e-4:1e-1   log_uniform
        lin:0:0.5:6         6 values, evenly spaced                                            lin:0:0.5       uniform
        0.1,0.2,relu        these values: numbers, True, False, None, names, calls

    Args:
        name: of the argument, for errors.
        whole: whether the argument is a whole number: spaced values are rounded, equal ones left out.

    Raises: ValueError in one sentence for any other text.

    >>> print(gd.sweeps.parse_axis("dropout", "lin:0:0.5:3"), gd.sweeps.parse_axis("b1", "0.9,0.99"))
    [0.0, 0.25, 0.5] [0.9, 0.99]
    """
    kind, *rest = text.strip().split(":")
    if kind not in ("log", "lin") or not rest:
        return [_item(name, each) for each in _split(name, text)]
    example = f"{kind}:low:high, or {kind}:low:high:number"
    try:
        low, high, *numbers = [float(end) for end in rest[:2]] + [int(number) for number in rest[2:]]
        if len(numbers) > 1:
            raise ValueError
    except ValueError:
        raise ValueError(f"{name}: an axis must be written as {example}, got {text!r}") from None
    interval = _interval(name, low, high, kind == "log", whole)
    return spaced(interval, _count(name, int(numbers[0]), 2)) if numbers else interval


def spaced(interval: Interval, number: int) -> list[Any]:
    """So many values from low to high, evenly spaced in themselves or in their logarithm; whole ones without repetition."""
    values = (np.geomspace if interval.log else np.linspace)(interval.low, interval.high, number).tolist()
    return list(dict.fromkeys(map(round, values))) if interval.whole else values


def values_of(who: str, path: str, axis: Axis) -> list[Any]:
    """The values of an axis that is no distribution, numbers as Python's; a value alone is an axis of one.

    Raises: ValueError for a distribution or no values.
    """
    if isinstance(axis, (Interval, Choice)):
        raise ValueError(
            f"{who}: {path} must be a list of values, got {axis!r}; from distributions draw random_configurations"
        )
    if isinstance(axis, (str, Node)) or not isinstance(axis, Iterable):
        axis = [axis]
    values = [np.asarray(x).item() if is_number(x) and np.ndim(x) == 0 else x for x in axis]
    if not values:
        raise ValueError(f"{who}: {path} must have at least one value, got none")
    return values


def distribution_of(who: str, path: str, axis: Axis) -> Distribution:
    """The distribution of an axis; of a list, the choice from it."""
    return axis if isinstance(axis, (Interval, Choice)) else Choice(tuple(values_of(who, path, axis)))


def _at(space: Mapping[str, Axis], shares: np.ndarray) -> list[Configuration]:
    """The configurations at these shares of the distributions, (n, axes)."""
    each = {path: distribution_of("space", path, axis) for path, axis in space.items()}
    return [
        {path: each[path].quantile(share) for path, share in zip(each, row, strict=True)} for row in shares.tolist()
    ]


def _interval(who: str, low: Any, high: Any, log: bool, whole: bool) -> Interval:
    for name, end in (("low", low), ("high", high)):
        if not (is_number(end) and np.isfinite(end)):
            raise ValueError(f"{who}: {name} must be a finite number, got {brief(end)}")
        if whole and end != round(end):
            raise ValueError(f"{who}: {name} must be a whole number, got {brief(end)}")
    if not low < high:
        raise ValueError(f"{who}: low must be below high, got {brief(low)} and {brief(high)}")
    if log and low <= 0:
        raise ValueError(f"{who}: low must be above 0 for a logarithm, got {brief(low)}")
    number = int if whole else float
    return Interval(number(low), number(high), log, whole)


def _count(who: str, number: Any, least: int = 1) -> int:
    if not isinstance(number, (int, np.integer)) or number < least:
        raise ValueError(f"{who}: number must be a whole number of at least {least}, got {brief(number)}")
    return int(number)


def _split(name: str, text: str) -> list[str]:
    """The parts between the commas that stand in no brackets."""
    depth, parts = 0, [""]
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    if depth or not all(map(str.strip, parts)):
        raise ValueError(f"{name}: an axis must be values between commas, as in 0.1,0.2, got {text!r}")
    return [part.strip() for part in parts]


def _item(name: str, text: str) -> Any:
    """A value as it is written: a number, True, False, None, or else the text."""
    if LEADING_ZERO.fullmatch(text):
        raise ValueError(
            f"{name}: a number must not start with 0, got {text!r}; is it a decimal? Write a point, 0.{text}"
        )
    if text in (words := {"True": True, "False": False, "None": None}):
        return words[text]
    for kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            continue
        if math.isnan(value):
            raise ValueError(f"{name}: a value must be a number, got {text!r}")
        return value
    return text
