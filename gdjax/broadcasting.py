"""Detection of accidental broadcasting: the difference of labels (n, 1) and predictions (n,) silently has the shape (n, n).

In the jaxpr it appears as a column that was not made from a vector (a leaf of the batch, a matrix product, a slice, or an
elementwise function of these) combined with a vector that was broadcast along the second axis. Intended pairs of rows,
y[:, None] - y, make their column themselves and are not reported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from gdjax.jaxprs import inner_jaxprs, is_literal

MEETINGS = ("sub", "mul")
SOURCES = ("dot_general", "conv_general_dilated", "slice", "dynamic_slice", "gather")
COLUMN, ROW = "column", "row"


def meets_crosswise(function: Callable[..., Any], batch: Any) -> bool:
    """Whether function(batch) combines a column of rows with a row of rows."""
    leaves = jax.tree.leaves(batch)
    rows = {x.shape[0] for x in leaves if getattr(x, "ndim", 0)} - {1}
    if not any(getattr(x, "ndim", 0) == 1 or getattr(x, "shape", ())[1:] == (1,) for x in leaves):
        return False  # no leaf can be broadcast like this
    numbers = lambda batch: [x for x in jax.tree.leaves(function(batch)) if isinstance(x, jax.Array)]  # noqa: E731
    traced = jax.make_jaxpr(numbers)(batch)
    kinds = [COLUMN if _is_column(v, rows) else None for v in traced.jaxpr.invars]
    return _walk(traced.jaxpr, kinds, rows)[0]


def _is_column(variable: Any, rows: set[int]) -> bool:
    shape = getattr(variable.aval, "shape", ())
    return len(shape) == 2 and shape[0] in rows and shape[1] == 1


def _walk(jaxpr: Any, kinds: list[str | None], rows: set[int]) -> tuple[bool, list[str | None]]:
    """Whether a column and a row are combined in the jaxpr, and the kinds of its outputs, given those of its inputs."""
    known = dict(zip(jaxpr.invars, kinds, strict=True))
    kind_of = lambda v: None if is_literal(v) else known.get(v)  # noqa: E731  (a literal has no kind)
    for equation in jaxpr.eqns:
        given = [kind_of(v) for v in equation.invars]
        inner = inner_jaxprs(equation.params)
        if len(inner) == 1 and len(inner[0].invars) == len(given) and len(inner[0].outvars) == len(equation.outvars):
            met, made = _walk(inner[0], given, rows)
        else:
            met = equation.primitive.name in MEETINGS and {COLUMN, ROW} <= set(given)
            made = [_kind(equation, given, v, rows) for v in equation.outvars]
        if met:
            return True, []
        known.update(zip(equation.outvars, made, strict=True))
    return False, [kind_of(v) for v in jaxpr.outvars]


def _kind(equation: Any, given: list[str | None], output: Any, rows: set[int]) -> str | None:
    name, shape = equation.primitive.name, getattr(output.aval, "shape", ())
    same = {kind for kind, v in zip(given, equation.invars, strict=True) if kind and v.aval.shape == shape}
    if same:
        return same.pop()
    if name in SOURCES and _is_column(output, rows):
        return COLUMN
    laid = name == "broadcast_in_dim" and len(shape) == 2 and shape[0] == 1 and shape[1] in rows
    return ROW if laid and equation.invars[0].aval.shape == shape[1:] else None
