"""What `gdjax minimize` is asked to minimise: a problem by name, a function of the user's, or an expression."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Sequence
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

from gdjax.calls.spec import parse
from gdjax.cli.errors import UserError
from gdjax.cli.objects import load_object
from gdjax.expression import FUNCTIONS, Expression, expression
from gdjax.problems import PROBLEMS, Problem

REACH = 1.3  # a picture without bounds of its own shows this times what the paths need


@dataclasses.dataclass(frozen=True)
class OfVector:
    """An expression as a function of its variables in order: () for one of them, (n,) for more; equal by value."""

    expression: Expression

    def __call__(self, x: Any) -> jax.Array:
        names = self.expression.variables
        return self.expression({names[0]: x} if len(names) == 1 else {name: x[i] for i, name in enumerate(names)})


@dataclasses.dataclass(frozen=True)
class Target:
    """A problem and what its coordinates are called."""

    problem: Problem
    names: tuple[str, ...]


def read_target(text: str, start: Sequence[str]) -> Target:
    """The problem that the user means, starting where the user says.

    Raises: ValueError or UserError, in one line.
    """
    name = text.partition("(")[0].strip()
    if name in PROBLEMS:
        problem = parse(text, PROBLEMS)
        return _started(problem, _names_of(problem.start), start)
    if re.fullmatch(r"[\w./\\-]+:\w+", text):
        function: Any = load_object(text)
        if not callable(function):
            raise UserError(f"{text} must be a function, got {function!r}")
        if not start:
            raise UserError(f"{text}: say where to start, --start 1.0 -2.0")
        count = len(start)
        f: Any = function
        return _started(Problem(text, f, np.zeros(() if count == 1 else count)), _numbered(count), start)
    close = difflib.get_close_matches(name, PROBLEMS, n=1)
    if name not in FUNCTIONS and (re.fullmatch(r"\w{2,}", text) or (close and re.fullmatch(r"\w+\([^()]*\)", text))):
        hint = f"did you mean {close[0]!r}?" if close else f"one of {', '.join(PROBLEMS)}, or an expression"
        raise UserError(f"no problem {name!r}: {hint}")
    return _of_expression(text, start)


def _of_expression(text: str, start: Sequence[str]) -> Target:
    read = expression(text)
    if not read.variables:
        raise UserError(f"{text!r} has no variable to minimise over")
    if not start:
        raise UserError(f"{text!r}: say where to start, --start {' '.join(f'{name}=1' for name in read.variables)}")
    count = len(read.variables)
    return _started(Problem(text, OfVector(read), np.zeros(() if count == 1 else count)), read.variables, start)


def _started(problem: Problem, names: tuple[str, ...], start: Sequence[str]) -> Target:
    if not start:
        return Target(problem, names)
    if not isinstance(problem.start, (np.ndarray, float)):
        raise UserError(f"{problem.name}: --start is for points, this one's parameters are a tree; leave it out")
    values = coordinates("--start", names, start)
    return Target(dataclasses.replace(problem, start=np.reshape(values, np.shape(problem.start))), names)


def coordinates(who: str, names: Sequence[str], words: Sequence[str]) -> list[float]:
    """Numbers for names, from "-2 5" in their order or "y=5 x=-2" in any."""
    by_name = any("=" in word for word in words)
    given = (
        dict(word.split("=", 1) for word in words if "=" in word) if by_name else dict(zip(names, words, strict=False))
    )
    if set(given) != set(names) or len(words) != len(names):
        wanted = " ".join(f"{name}=..." for name in names)
        raise UserError(f"{who} must give {wanted}, got {' '.join(words) or 'nothing'}")
    try:
        return [float(given[name]) for name in names]
    except ValueError as error:
        raise UserError(f"{who} must be numbers, got {' '.join(words)}") from error


def _names_of(start: Any) -> tuple[str, ...]:
    size = sum(np.size(leaf) for leaf in jax.tree.leaves(start))
    return ("x", "y")[:size] if size <= 2 else _numbered(size)


def _numbered(count: int) -> tuple[str, ...]:
    return ("x", "y")[:count] if count <= 2 else tuple(f"x{i + 1}" for i in range(count))


def steepest_curvature(problem: Problem) -> float:
    """The largest curvature at the start: a rate of 1 over it is safe there."""
    if problem.lipschitz is not None:
        return problem.lipschitz
    flat, unravel = jax.flatten_util.ravel_pytree(jax.tree.map(jnp.asarray, problem.start))
    hessian = np.asarray(jax.hessian(lambda x: problem(unravel(x)))(flat))
    return float(np.abs(np.linalg.eigvalsh(hessian)).max()) if np.isfinite(hessian).all() else 0.0


def bounds_of(problem: Problem, paths: Sequence[np.ndarray]) -> tuple:
    """Of a picture over one or two variables: the problem's own, or what finite paths need."""
    if problem.bounds:
        return problem.bounds
    points = np.concatenate([np.reshape(path, (len(path), -1)) for path in paths])
    points = points[np.isfinite(points).all(axis=1)]
    start = np.ravel(problem.start)
    near = points[np.abs(points - start).max(axis=1) <= 20 * (1 + np.abs(start).max())]
    low, high = near.min(axis=0), near.max(axis=0)
    half = REACH * np.maximum(high - low, 0.25 * max((high - low).max(), 1.0)) / 2
    centre = (low + high) / 2
    return tuple((float(a), float(b)) for a, b in zip(centre - half, centre + half, strict=True))
