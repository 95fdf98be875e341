"""A problem as a text: the name of one of ours with its arguments, or an expression; and a function as a problem.

Error messages name an argument as `argument=value`, in backquotes, so that the command line can rewrite it as an option.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np

from gdjax import expression
from gdjax.calls import parse
from gdjax.expression import FUNCTIONS, OfVector
from gdjax.problems import PROBLEMS, Problem
from gdjax.text import did_you_mean, near, short


@dataclasses.dataclass(frozen=True)
class Target:
    """A problem and what its coordinates are called."""

    problem: Problem
    names: tuple[str, ...]


def read_problem(text: str, start: Sequence[str]) -> Target:
    """The problem that a text means: "rosenbrock", "bowl(100)", "x^2 + 10*y^2".

    Args:
        start: the coordinates to start from, "-1.2 1" or "x=-1.2 y=1" in words; () where the problem has its own.

    Raises: ValueError, in one line.
    """
    target = read_function(text)
    problem, names = target.problem, target.names
    if isinstance(problem.f, OfVector) and not start:
        raise ValueError(f"{text!r}: say where to start, `start={' '.join(f'{name}=1' for name in names)}`")
    return _with_start(problem, names, start)


def read_function(text: str) -> Target:
    """The problem that a text means, wherever it starts; an expression has no start of its own, and here that is 0.

    Raises: ValueError, in one line.
    """
    name = text.partition("(")[0].strip()
    if name in PROBLEMS:
        problem = parse(text, PROBLEMS)
        return Target(problem, _names_of(problem.start))
    close = near(name, PROBLEMS)
    if name not in FUNCTIONS and (re.fullmatch(r"\w{2,}", text) or (close and re.fullmatch(r"\w+\([^()]*\)", text))):
        raise ValueError(f"no problem {name!r}: {did_you_mean(name, PROBLEMS, ', or an expression')}")
    read = expression.parse(text)
    if not read.variables:
        raise ValueError(f"{text!r} has no variable to minimize over")
    return Target(Problem(read.text, OfVector(read), _zeros(len(read.variables))), read.variables)


def of_function(name: str, function: Callable[..., Any], start: Sequence[str]) -> Target:
    """The problem of a function of one number, or of a vector of as many as the start has."""
    if not callable(function):
        raise ValueError(f"{name} must be a function, got {function!r}")
    if not start:
        raise ValueError(f"{name}: say where to start, `start=1.0 -2.0`")
    return _with_start(Problem(name, function, _zeros(len(start))), _variable_names(len(start)), start)


def _zeros(count: int) -> np.ndarray:
    return np.zeros(() if count == 1 else count)


def _with_start(problem: Problem, names: tuple[str, ...], start: Sequence[str]) -> Target:
    if not start:
        return Target(problem, names)
    if not isinstance(problem.start, (np.ndarray, float)):
        raise ValueError(f"{problem.name}: `start` is for points, this one's parameters are a tree; leave it out")
    values = coordinates("`start`", names, start)
    return Target(dataclasses.replace(problem, start=np.reshape(values, np.shape(problem.start))), names)


def coordinates(who: str, names: Sequence[str], words: Sequence[str]) -> list[float]:
    """Numbers for names, from "-2 5" in their order or "y=5 x=-2" in any."""
    words = [word.replace("−", "-") for word in words]
    by_name = any("=" in word for word in words)
    given = (
        dict(word.split("=", 1) for word in words if "=" in word) if by_name else dict(zip(names, words, strict=False))
    )
    if set(given) != set(names) or len(words) != len(names):
        wanted = " ".join(f"{name}=..." for name in names)
        raise ValueError(f"{who} must give {wanted}, got {' '.join(words) or 'nothing'}")
    try:
        numbers = [float(given[name]) for name in names]
    except ValueError as error:
        raise ValueError(f"{who} must be numbers, got {short(' '.join(words))}") from error
    if not np.isfinite(numbers).all():
        raise ValueError(f"{who} must be finite numbers, got {short(' '.join(words))}")
    return numbers


def _names_of(start: Any) -> tuple[str, ...]:
    size = sum(np.size(leaf) for leaf in jax.tree.leaves(start))
    return ("x", "y")[:size] if size <= 2 else _variable_names(size)


def _variable_names(count: int) -> tuple[str, ...]:
    return ("x", "y")[:count] if count <= 2 else tuple(f"x{i + 1}" for i in range(count))


def steepest_curvature(problem: Problem) -> float:
    """The largest curvature at the start: a rate of 1 over it is safe there."""
    if problem.lipschitz is not None:
        return problem.lipschitz
    flat, unravel = jax.flatten_util.ravel_pytree(jax.tree.map(jnp.asarray, problem.start))
    hessian = np.asarray(jax.hessian(lambda x: problem(unravel(x)))(flat))
    return float(np.abs(np.linalg.eigvalsh(hessian)).max()) if np.isfinite(hessian).all() else 0.0


def read_window(numbers: Sequence[float], names: Sequence[str]) -> list[tuple[float, float]] | None:
    """A pair for each variable from low and high of each, one after the other; None of none.

    Raises: ValueError if they are not two for each variable, the first of them lower.
    """
    pairs = list(zip(numbers[::2], numbers[1::2], strict=False))
    if numbers and (len(numbers) != 2 * len(names) or not all(low < high for low, high in pairs)):
        given = " ".join(f"{number:g}" for number in numbers)
        raise ValueError(f"`window` must be low and high of {', '.join(names)}, low < high, got {given}")
    return pairs or None
