"""Where the values of a computation that are not finite come from.

A birth is an entry that is NaN where no input is NaN, or infinite where no input is infinite. Its number travels with the
entry and with all that it makes not finite, through the whole jaxpr, and with the predicates that are made of it. A value
that is thrown away (behind a `where`, by a maximum with -inf) takes its births with it: what is found for an output is what
has reached it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.backprop.row_axes import REDUCTIONS, row_axis
from gdjax.backprop.walk import Path, Walk
from gdjax.jaxprs import apply_equation

ELEMENTWISE = (
    *("add", "add_any", "neg", "sub", "mul", "div", "rem", "abs", "sign", "max", "min", "clamp"),
    *("square", "integer_pow", "pow", "sqrt", "rsqrt", "cbrt"),
    *("is_finite", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor", "not"),
    *("exp", "exp2", "expm1", "log", "log1p", "logistic", "erf", "erfc", "erf_inv", "lgamma", "digamma"),
    *("sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
    *("ceil", "floor", "round", "nextafter", "conj", "real", "imag", "convert_element_type", "reduce_precision"),
)
# Each entry of the result is an entry of one of the first inputs (all of them if the number is None).
MOVES: dict[str, int | None] = {
    **dict.fromkeys(("broadcast_in_dim", "copy", "copy_p", "expand_dims", "reshape", "rev", "slice", "squeeze"), 1),
    **dict.fromkeys(("dynamic_slice", "gather", "split", "tile", "unstack", "sharding_constraint", "transpose"), 1),
    **dict.fromkeys(("dynamic_update_slice", "pad"), 2),
    **dict.fromkeys(("concatenate", "select_n", "stack"), None),
}


class Tracked(NamedTuple):
    """A value, with the birth of each entry that is not finite and the axis along which it has the rows of the batch."""

    value: Any
    origin: np.ndarray | None = None  # the number of the birth, 0 where the entry is finite; None if all are
    axis: int | None = None


@dataclasses.dataclass(frozen=True)
class Event:
    """Entries of one kind that were born together, or came in with an input or a constant."""

    number: int  # from 1, in the order of evaluation
    kind: str  # "nan", "inf" or "-inf"
    source: str  # "equation", "input" or "constant"
    path: Path = ()  # the equation, last, inside of those that enclose it
    leaf: str = ""  # the path of an input
    values: tuple[float | complex, ...] = ()  # of the equation's inputs, at the first such entry
    rows: tuple[int, ...] | None = None  # of the batch; None if this value has no axis of rows
    cause: int = 0  # the number of the event that made an input of the equation infinite; 0 if all were finite

    @property
    def equation(self) -> Any:
        return self.path[-1][0] if self.path else None


class Origins(Walk):
    """An evaluation that records every birth."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def input(self, value: Any, leaf: str, axis: int | None = None) -> Tracked:
        """An input of the computation; entries that are not finite in it come from it."""
        wrong = not_finite(value)
        if wrong is None:
            return Tracked(value, None, axis)
        rows = _rows(wrong, axis)
        number = self._add(kind=_kind(value, wrong), source="input", leaf=leaf, rows=rows)
        return Tracked(value, np.where(wrong, number, 0).astype(np.int32), axis)

    def history(self, number: int) -> list[Event]:
        """The event of a number and those that caused it, first the one from which all came."""
        chain: list[Event] = []
        while number:
            chain.append(self.events[number - 1])
            number = chain[-1].cause
        return chain[::-1]

    def constant(self, value: Any, path: Path) -> Tracked:
        wrong = not_finite(value)
        if wrong is None:
            return Tracked(value)
        number = self._add(kind=_kind(value, wrong), source="constant", path=path)
        return Tracked(value, np.where(wrong, number, 0).astype(np.int32))

    def number(self, value: Tracked) -> np.ndarray:
        return np.asarray(value.value)

    def rebuild(self, function: Callable[..., Any], values: Sequence[Tracked]) -> Tracked:
        value, origin = function(*(x.value for x in values)), None
        if any(x.origin is not None for x in values):
            origin = np.asarray(function(*(_labels(x) for x in values)))
        moved = np.ndim(value) - np.ndim(values[0].value)  # 1 for a stack, -1 for an element
        axis = values[0].axis
        return Tracked(value, _if_any(origin), None if axis is None or axis + moved < 0 else axis + moved)

    def visit(self, equation: Any, values: list[Tracked], path: Path) -> list[Tracked]:
        if equation.primitive.name in ("scan", "while"):  # entered only where it goes wrong
            results = apply_equation(equation, [x.value for x in values])
            if all(not_finite(x) is None for x in results):
                return [Tracked(x, None, row_axis(equation, _axes(values), np.shape(x))) for x in results]
        found = self.inside(equation, values, path)
        if found is not None:
            return found
        results = apply_equation(equation, [x.value for x in values])
        return [self._observe(equation, values, x, i, path) for i, x in enumerate(results)]

    def _observe(self, equation: Any, values: list[Tracked], result: Any, which: int, path: Path) -> Tracked:
        """A result of an equation with its births, and with the origin of what it has from its inputs."""
        axis = row_axis(equation, _axes(values), np.shape(result))
        wrong = not_finite(result)
        if wrong is None:
            return Tracked(result, _influence(equation, values, result, which), axis)
        of_nan, of_infinity = (np.broadcast_to(x, wrong.shape) for x in self._carried(equation, values, which))
        is_nan = np.isnan(np.asarray(result))
        born = wrong & (of_nan == 0) & (is_nan | (of_infinity == 0))
        origin = np.where(wrong, np.where(is_nan & (of_nan > 0) | (of_infinity == 0), of_nan, of_infinity), 0)
        for nan in (True, False):
            new = born & (is_nan if nan else ~is_nan)
            for cause in np.unique(origin[new]):
                entries = new & (origin == cause)
                place = tuple(map(int, np.argwhere(entries)[0]))
                number = self._add(
                    kind=_kind(result, entries),
                    source="equation",
                    path=path,
                    values=_values_at(equation, values, wrong.shape, place),
                    rows=_rows(entries, axis),
                    cause=int(cause),
                )
                origin = np.where(entries, number, origin)
        return Tracked(result, origin.astype(np.int32), axis)

    def _carried(self, equation: Any, values: list[Tracked], which: int) -> tuple[Any, Any]:
        """For each entry of a result the earliest origin of NaN, and of infinities, in the entries that it is made of.

        A constant that is chosen by a predicate comes from where the predicate does, if that was made of other such entries.
        """
        name = equation.primitive.name
        if name == "optimization_barrier":
            return _labels(values[which]), _labels(values[which])
        if name in MOVES and (name != "gather" or values[0].origin is not None):
            moved = _moved(equation, values, which)
            if name == "select_n" and (chosen_by := values[0].origin) is not None:
                constants = [event.number for event in self.events if event.source == "constant"]
                moved = np.where(np.isin(moved, constants) & (chosen_by > 0), chosen_by, moved)
            return moved, moved
        nan = infinite = np.zeros((), np.int32)
        for x in values:
            if x.origin is not None and jnp.issubdtype(jnp.result_type(x.value), jnp.inexact):
                is_nan = np.isnan(np.asarray(x.value))
                nan = _earlier(nan, _gathered(equation, np.where(is_nan, x.origin, 0)))
                infinite = _earlier(infinite, _gathered(equation, np.where(is_nan, 0, x.origin)))
        return nan, infinite

    def _add(self, **fields: Any) -> int:
        self.events.append(Event(len(self.events) + 1, **fields))
        return len(self.events)


def not_finite(value: Any) -> np.ndarray | None:
    """Where an array is not finite; None if it is finite everywhere, or holds no floats."""
    if not jnp.issubdtype(jnp.result_type(value), jnp.inexact):
        return None
    wrong = ~np.isfinite(np.asarray(value))
    return wrong if wrong.any() else None


def _kind(value: Any, entries: np.ndarray) -> str:
    first = np.asarray(value)[entries].flat[0]
    return "nan" if np.isnan(first) else "-inf" if np.real(first) == -np.inf else "inf"


def _rows(entries: np.ndarray, axis: int | None) -> tuple[int, ...] | None:
    if axis is None:
        return None
    others = tuple(i for i in range(entries.ndim) if i != axis)
    return tuple(map(int, np.flatnonzero(entries.any(axis=others))))


def _axes(values: Sequence[Tracked]) -> list[int | None]:
    return [x.axis for x in values]


def _labels(x: Tracked) -> np.ndarray:
    return np.zeros(np.shape(x.value), np.int32) if x.origin is None else x.origin


def _if_any(origin: np.ndarray | None) -> np.ndarray | None:
    return None if origin is None or not origin.any() else origin


def _earliest(labels: np.ndarray, axes: tuple[int, ...] | None = None) -> np.ndarray:
    """The smallest number that is not 0 along some axes; 0 if there is none."""
    none = np.iinfo(np.int32).max
    least = np.min(np.where(labels == 0, none, labels), axis=axes, initial=none)
    return np.where(least == none, 0, least)


def _influence(equation: Any, values: list[Tracked], result: Any, which: int) -> np.ndarray | None:
    """For each entry of a result that is no float (a predicate) the earliest origin in the entries that it is made of."""
    dtype = jnp.result_type(result)
    if all(x.origin is None for x in values) or not jnp.issubdtype(dtype, np.bool_):
        return None
    origin = np.zeros((), np.int32)
    if equation.primitive.name in MOVES:
        origin = _moved(equation, values, which)
    else:
        for x in values:
            origin = _earlier(origin, _gathered(equation, _labels(x))) if x.origin is not None else origin
    return _if_any(np.broadcast_to(origin, np.shape(result)))


def _gathered(equation: Any, labels: np.ndarray) -> np.ndarray:
    """The earliest origin in all entries of an input of which an entry of the result is made."""
    if equation.primitive.name in ELEMENTWISE:
        return labels
    return _earliest(labels, tuple(equation.params["axes"]) if equation.primitive.name in REDUCTIONS else None)


def _earlier(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return _earliest(np.stack(np.broadcast_arrays(a, b)), (0,))


def _moved(equation: Any, values: list[Tracked], which: int) -> np.ndarray:
    """The origins of the entries of a result, moved as its entries are."""
    name = equation.primitive.name
    count, first = MOVES[name], 1 if name == "select_n" else 0
    moved = [_labels(x) if i >= first and (count is None or i < count) else x.value for i, x in enumerate(values)]
    return np.maximum(np.asarray(apply_equation(equation, moved)[which]), 0)


def _values_at(equation: Any, values: list[Tracked], shape: tuple[int, ...], place: tuple[int, ...]) -> tuple[Any, ...]:
    """The numbers from which an entry was born; of an input that is summed up, the largest."""

    def number(x: Any) -> Any:
        array = np.asarray(x)
        array = array.astype(complex if np.iscomplexobj(array) else float)
        if equation.primitive.name in ELEMENTWISE:
            return np.broadcast_to(array, shape)[place]
        return array.flat[np.argmax(np.where(np.isnan(array), np.inf, np.abs(array)))] if array.size else 0.0

    numeric = [x.value for x in values if not jnp.issubdtype(jnp.result_type(x.value), jax.dtypes.extended)]
    exponent = (float(equation.params["y"]),) if equation.primitive.name == "integer_pow" else ()
    return (*(number(x).item() for x in numeric), *exponent)
