"""The formula of a curve: its text or its function, and which of its names are columns and which parameters."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gdjax import expression
from gdjax.expression import Expression
from gdjax.text import did_you_mean, listing


@dataclasses.dataclass(frozen=True)
class Curve:
    """A formula as a function (columns, params (p,)) -> (n,), compared by value."""

    formula: Callable[..., Any]  # an expression, or a function of arrays by name
    columns: tuple[str, ...]
    parameters: tuple[str, ...]

    def __call__(self, columns: Sequence[Any], params: Any) -> jax.Array:
        named = dict(zip(self.columns, columns, strict=True))
        named |= {name: params[i] for i, name in enumerate(self.parameters)}
        value = self.formula(named) if isinstance(self.formula, Expression) else self.formula(**named)
        shape = jnp.shape(columns[0])
        if jnp.shape(value) not in ((), shape):
            raise ValueError(f"{self} must return a number for each row, {shape}, got shape {jnp.shape(value)}")
        return jnp.broadcast_to(jnp.asarray(value, params.dtype), shape)

    def __str__(self) -> str:
        return str(self.formula) if isinstance(self.formula, Expression) else self.formula.__name__


def split_equation(formula: Any) -> tuple[str | None, Any]:
    """("y", "a*x") of "y = a*x"; (None, formula) of any other."""
    if isinstance(formula, str) and formula.count("=") == 1:
        left, right = formula.split("=")
        return left.strip(), right.strip()
    return None, formula


def read_curve(
    formula: Any, names: Sequence[str], y: Sequence[str], x: str | Mapping[str, str] | None
) -> tuple[Curve, dict[str, str]]:
    """The curve of a formula, and the column of the table for each of its own.

    A name of the formula is a column if the table has it or `x` says so, and a parameter otherwise. The name x is never a
    parameter: where the table has no such column, it is the only one beside y, or must be said.

    Args:
        names: the columns of the table.
        y: the columns of which what is fitted is made.
        x: a column that the formula calls x, or name in the formula -> column.

    Raises: ValueError, in one line.
    """
    read = expression.parse(formula) if isinstance(formula, str) else formula
    used = _as_they_come(read) if isinstance(read, Expression) else _arguments(read)
    places = {name: name for name in used if name in names} | _said(read, used, names, x)
    if "x" in used and "x" not in places:
        places["x"] = _only([name for name in names if name not in y])
    for name in sorted(set(y) & set(places.values())):
        raise ValueError(f"{_shown(read)} uses {name!r}, the column that it is to predict")
    parameters = tuple(name for name in used if name not in places)
    if not parameters:
        raise ValueError(f"{_shown(read)} has no parameter: all of its names are columns")
    if not places:
        raise ValueError(f"{_shown(read)} uses no column: the columns are {listing(list(names), 12)}")
    return Curve(read, tuple(places), parameters), places


def _said(formula: Any, used: Sequence[str], names: Sequence[str], x: str | Mapping[str, str] | None) -> dict[str, str]:
    """Name in the formula -> column, as the caller says; a column alone is x, unless the formula has its own name."""
    if isinstance(x, str):
        x = {x if x in used and "x" not in used else "x": x}
    for name, column in (x or {}).items():
        if column not in names:
            raise ValueError(f"`x` must be a column, got {column!r}: {did_you_mean(column, names)}")
        if name not in used:
            raise ValueError(f"{_shown(formula)} has no {name!r} for the column {column!r}: it has {listing(used, 12)}")
    return dict(x or {})


def _only(columns: Sequence[str]) -> str:
    """The one column that x can be."""
    if len(columns) != 1:
        near = columns[0] if columns else "COLUMN"
        raise ValueError(f"which column is x? write `x={near!r}`, one of {listing(columns, 12)}")
    return columns[0]


def _as_they_come(formula: Expression) -> tuple[str, ...]:
    """The names of a formula, in the order in which they first stand in it."""
    names = [node for node in ast.walk(formula.tree) if isinstance(node, ast.Name) and node.id in formula.variables]
    return tuple(dict.fromkeys(node.id for node in sorted(names, key=lambda node: (node.lineno, node.col_offset))))


def _arguments(function: Callable[..., Any]) -> tuple[str, ...]:
    if not callable(function):
        raise TypeError(f"fit_curve: formula must be a text or a function, got {type(function).__name__}")
    arguments = inspect.signature(function).parameters.values()
    if any(argument.kind is not argument.POSITIONAL_OR_KEYWORD for argument in arguments):
        raise TypeError("fit_curve: a function must have its columns and parameters as named arguments, f(x, a, b)")
    return tuple(argument.name for argument in arguments)


def _shown(formula: Any) -> str:
    return repr(str(formula)) if isinstance(formula, Expression) else f"{formula.__name__}(...)"
