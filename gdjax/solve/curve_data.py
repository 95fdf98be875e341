"""The numbers of a fit from a table: columns in float64, rows without holes, weights, starts and bounds by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gdjax import expression
from gdjax.solve.curve_formula import Curve
from gdjax.solve.curve_solver import Rows
from gdjax.text import did_you_mean, listing

EXACT = 2.0**53  # whole numbers up to here are exact


@dataclasses.dataclass(frozen=True)
class Columns:
    """Named columns of a mapping, a data frame or a `Table`."""

    source: Any

    @classmethod
    def of(cls, data: Any) -> Columns:
        source = getattr(data, "frame", data)
        if not hasattr(source, "keys"):
            raise TypeError(f"fit_curve: data must be a mapping of columns or a table, got {type(data).__name__}")
        return cls(source)

    @property
    def names(self) -> list[str]:
        return [str(name) for name in self.source.keys()]  # noqa: SIM118 (a frame's iteration is over its columns too)

    def numbers(self, what: str, column: Any) -> np.ndarray:
        """A column by its name, an expression of columns, or an array, as (n,) float64; what is missing is NaN."""
        if not isinstance(column, str):
            return _as_numbers(what, column)
        if column in self.names:
            return _as_numbers(f"column {column!r}", self.source[column])
        named = {name: self.numbers(what, name) for name in self.used(what, column)}
        return np.asarray(expression.parse(column)(named), float)

    def used(self, what: str, column: Any) -> tuple[str, ...]:
        """The names of the columns that `numbers` would read."""
        if not isinstance(column, str) or column in self.names:
            return (column,) if isinstance(column, str) else ()
        try:
            names = expression.parse(column).variables
        except expression.ExpressionError:
            names = ()
        missing = [name for name in names if name not in self.names]
        if missing or not names:
            hint = did_you_mean(missing[0] if missing else column, self.names)
            raise ValueError(f"{what} must be a column, got {column!r}: {hint}")
        return names


def _as_numbers(what: str, values: Any) -> np.ndarray:
    kind = getattr(getattr(values, "dtype", None), "kind", "f")
    if kind in "mMc":
        raise ValueError(f"{what} must be numbers, got {'complex numbers' if kind == 'c' else 'dates'}")
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(np.ma.asarray(values, float), np.nan)
    try:
        numbers = np.asarray(values, float)
    except (TypeError, ValueError):
        words = [value for value in np.ravel(np.asarray(values, object)).tolist() if not _is_number(value)]
        raise ValueError(
            f"{what} must be numbers, got {str(words[0])!r}" if words else f"{what} must be numbers"
        ) from None
    if numbers.ndim != 1:
        raise ValueError(f"{what} must be a column (n,), got shape {numbers.shape}")
    if kind in "iu":
        given = np.asarray(values)
        for i in np.flatnonzero(np.abs(numbers) > EXACT).tolist():
            if int(numbers[i]) != (value := int(given[i])):
                raise ValueError(f"{what} must be numbers that a float holds, got {value}: take off a constant first")
    return numbers


def _is_number(value: Any) -> bool:
    try:
        return float(value) is not None
    except (TypeError, ValueError):
        return False


def gather(
    columns: Columns, curve: Curve, places: Mapping[str, str], y: Any, weights: Any, sigma: Any, bounds: Any
) -> tuple[Rows, np.ndarray, int]:
    """The rows of a fit, those without holes and of positive weight; their numbers in the table; how many are left out."""
    if weights is not None and sigma is not None:
        raise ValueError("fit_curve: give `weights` or `sigma`, not both")
    parts = {name: columns.numbers(f"`x={name}`", places[name]) for name in curve.columns}
    target = columns.numbers("`y`", y)
    weight = np.ones(len(target))
    if weights is not None:
        weight = np.sqrt(_nonnegative("`weights`", columns.numbers("`weights`", weights), zero=True))
    if sigma is not None:
        weight = 1 / _nonnegative("`sigma`", columns.numbers("`sigma`", sigma), zero=False)
    lengths = {len(each) for each in (*parts.values(), target, weight)}
    if len(lengths) != 1:
        raise ValueError(f"fit_curve: columns must be of one length, got {listing(sorted(map(str, lengths)))}")
    whole = np.isfinite(np.stack([*parts.values(), target, weight])).all(axis=0) & ~(weight == 0)
    numbers = np.flatnonzero(whole)
    low, high = read_bounds(curve.parameters, bounds)
    if len(numbers) < len(curve.parameters):
        few = f"{len(curve.parameters)} parameters need at least as many rows without holes"
        raise ValueError(f"fit_curve: {few}, got {len(numbers)}")
    used = tuple(part[whole] for part in parts.values())
    return Rows(used, target[whole], weight[whole], low, high), numbers, len(target) - len(numbers)


def _nonnegative(who: str, values: np.ndarray, zero: bool) -> np.ndarray:
    bad = values[(values < 0) | ((values == 0) & (not zero))]
    if bad.size:
        raise ValueError(f"{who} must be {'at least 0' if zero else 'positive'}, got {bad[0]:g}")
    return values


def read_start(names: Sequence[str], columns: Sequence[str], start: Mapping[str, Any] | None) -> np.ndarray:
    """(p,) the values given, NaN for the others."""
    start = dict(start or {})
    _check_names("start", start, names, columns)
    values = np.array([float(start.get(name, np.nan)) for name in names])
    for name in start:
        if not np.isfinite(float(start[name])):
            raise ValueError(f"`start={name}` must be a finite number, got {start[name]!r}")
    return values


def read_bounds(names: Sequence[str], bounds: Mapping[str, Any] | None) -> tuple[np.ndarray, np.ndarray]:
    """(p,) lower and upper bounds; those not given are infinite."""
    bounds = dict(bounds or {})
    _check_names("bounds", bounds, names, ())
    low, high = np.full(len(names), -np.inf), np.full(len(names), np.inf)
    for name, (least, most) in bounds.items():
        i = list(names).index(name)
        low[i] = -np.inf if least is None else float(least)
        high[i] = np.inf if most is None else float(most)
        if not low[i] < high[i]:
            raise ValueError(f"`bounds={name}` must be (low, high) with low < high, got ({least}, {most})")
    return low, high


def _check_names(option: str, given: Mapping[str, Any], names: Sequence[str], columns: Sequence[str]) -> None:
    for name in given:
        if name in names:
            continue
        if name in columns:
            raise ValueError(f"`{option}={name}`: {name!r} is a column of the table; give the parameter another name")
        if name in expression.CONSTANTS or name in expression.FUNCTIONS:
            raise ValueError(f"`{option}={name}`: {name!r} has a meaning of its own; give the parameter another name")
        raise ValueError(f"`{option}={name}`: no such parameter, {did_you_mean(name, names)}")
