"""What there is to know of a fit of a curve, in sentences."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import numpy as np

from gdjax.expression import CONSTANTS, Expression
from gdjax.solve.curve_errors import Uncertainty
from gdjax.solve.curve_formula import Curve
from gdjax.solve.curve_refinement import Ending
from gdjax.solve.curve_search import ALIKE, Found
from gdjax.text import listing

NEAR = 1.5  # other minima are told of up to this times the least sum of squares
PARALLEL = 0.9999  # correlations above this are told of


def remarks(end: Ending, known: Uncertainty, found: Found, holes: int, asked: bool) -> Iterator[str]:
    """The remarks on a fit, from what its parts have found.

    Args:
        known: what the data say of the parameters at the end.
        found: what the search has found.
        holes: how many rows were left out.
        asked: whether a start was given.
    """
    curve, rows = end.curve, end.rows
    names = curve.parameters
    if holes:
        yield f"{holes} of {holes + len(rows.y)} rows are left out: a cell is empty, no number, or of weight 0"
    if "e" in _constants(curve):
        yield f"e is Euler's number, {np.e:.6g}: a parameter needs another name"
    for i in np.flatnonzero(~end.here.free):
        yield f"{names[i]} is held at its bound {end.params[i]:g}: it has no standard error, the others' are given it"
    for group in known.undetermined:
        yield _undetermined([names[i] for i in group])
    if len(rows.y) == known.rank:
        yield "there are as many parameters as rows: the residuals say nothing, and there are no errors"
    yield from _parallel(names, known.covariance)
    if not end.sure and not known.undetermined:
        yield "the parameters may be right to fewer than four digits: give a nearer start, bounds, or fewer parameters"
    yield from _of_starts(names, found, asked)


def _constants(curve: Curve) -> set[str]:
    if not isinstance(curve.formula, Expression):
        return set()
    return {node.id for node in ast.walk(curve.formula.tree) if isinstance(node, ast.Name)} & set(CONSTANTS)


def _undetermined(names: list[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} is not determined by these data: where it is now, it changes nothing"
    return f"{listing(names)} are not determined one by one by these data, only together: the Jacobian is singular"


def _parallel(names: tuple[str, ...], covariance: np.ndarray) -> Iterator[str]:
    errors = np.sqrt(np.diag(covariance))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.triu(np.abs(covariance / np.outer(errors, errors)), 1)
    pairs = np.argwhere(correlation > PARALLEL)
    if len(pairs):
        said = [f"{names[i]} and {names[j]}" for i, j in pairs]
        yield f"hardly separable (correlation above {PARALLEL}): {listing(said, 4)}"


def _of_starts(names: tuple[str, ...], found: Found, asked: bool) -> Iterator[str]:
    if found.starts > 1:
        yield f"{found.agreeing} of {found.starts} starts came to this sum of squares"
    if asked and found.given_value > found.value * (1 + ALIKE) + found.noise:
        ended = (
            f"a sum of squares of {2 * found.given_value:.6g}" if np.isfinite(found.given_value) else "no finite sum"
        )
        yield f"the start given led to {ended}"
    near = [other for other in found.others if other[0] <= NEAR * found.value]
    for value, params in near[:3]:
        place = ", ".join(f"{name} = {x:.6g}" for name, x in zip(names, params, strict=True))
        yield f"another minimum: sum of squares {2 * value:.8g} at {place}"
