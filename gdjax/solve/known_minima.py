"""The minimum of an expression, if it can be determined.

A polynomial is decomposed into a sum over groups of variables that share no term: the minimum of a part in one variable is
among the roots of its derivative, and that of a quadratic part solves a linear system. For any other expression, Newton's
method is started where a run ended; its limit is a minimum if the expression is convex, or if no value can be lower (see
`shape`). Otherwise the minimum is unknown.
"""

from __future__ import annotations

import ast
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from gdjax.expression import CONSTANTS, OfVector
from gdjax.problems import Problem
from gdjax.solve.shape import shape_of

Terms = dict[tuple[int, ...], float]  # a polynomial: exponents of the variables -> coefficient
LARGEST_DEGREE, MOST_TERMS, MOST_MINIMA = 40, 500, 64


def with_known_minima(problem: Problem, ends: Iterable[Any]) -> Problem:
    """The problem with its minima and their value, if it is an expression for which they can be determined.

    Args:
        ends: the points where runs have ended.
    """
    if problem.minima or not isinstance(problem.f, OfVector):
        return problem
    points = _of_polynomial(problem.f)
    if points is None:
        points = _of_ends(problem.f, [np.reshape(np.asarray(end, float), np.shape(problem.start)) for end in ends])
    points = [np.reshape(point, np.shape(problem.start)) for point in points]
    if not points:
        return problem
    return dataclasses.replace(problem, minima=tuple(points), value=min(float(problem(point)) for point in points))


def _of_polynomial(f: OfVector) -> list[np.ndarray] | None:
    """All minima of a polynomial, [] if there is none or they cannot be determined; None for any other expression."""
    names = f.expression.variables
    terms = _terms(f.expression.tree, names)
    if terms is None:
        return None
    parts = []
    for group in _groups(terms, len(names)):
        own = {k: c for k, c in terms.items() if any(k[i] for i in group)}
        if len(group) > 1 and max(map(sum, own), default=0) > 2:
            return None
        parts.append(_of_one_variable(own, group[0]) if len(group) == 1 else _of_quadratic(own, group))
    if np.prod([len(part) for part in parts]) > MOST_MINIMA:
        return []
    order = np.argsort([i for group in _groups(terms, len(names)) for i in group])
    return [np.concatenate(each)[order] for each in itertools.product(*parts)]


def _terms(node: ast.expr, names: tuple[str, ...]) -> Terms | None:
    """The terms of a polynomial; None for any other expression."""
    if isinstance(node, ast.Constant):
        return {(0,) * len(names): float(node.value)}  # type: ignore[arg-type]
    if isinstance(node, ast.Name):
        if node.id in CONSTANTS:
            return {(0,) * len(names): CONSTANTS[node.id]}
        return {tuple(int(name == node.id) for name in names): 1.0}
    if isinstance(node, ast.UnaryOp):
        inner = _terms(node.operand, names)
        return _times(inner, -1.0 if isinstance(node.op, ast.USub) else 1.0)
    if not isinstance(node, ast.BinOp):
        return None
    left, right = _terms(node.left, names), _terms(node.right, names)
    if left is None or right is None:
        return None
    number = next(iter(right.values())) if not any(map(any, right)) else None
    if isinstance(node.op, ast.Add | ast.Sub):
        return _add(left, _times(right, 1.0 if isinstance(node.op, ast.Add) else -1.0))
    if isinstance(node.op, ast.Mult):
        return _multiply(left, right)
    if isinstance(node.op, ast.Div):
        return _times(left, 1 / number) if number else None
    if number is None or number % 1 or not 0 <= number <= LARGEST_DEGREE:
        return None
    power: Terms | None = {(0,) * len(names): 1.0}
    for _ in range(int(number)):
        power = _multiply(power, left)
    return power


def _times(terms: Terms | None, factor: float) -> Terms | None:
    return None if terms is None else {k: c * factor for k, c in terms.items()}


def _add(left: Terms | None, right: Terms | None) -> Terms | None:
    if left is None or right is None:
        return None
    total = dict(left)
    for k, c in right.items():
        total[k] = total.get(k, 0.0) + c
    return total


def _multiply(left: Terms | None, right: Terms | None) -> Terms | None:
    if left is None or right is None or len(left) * len(right) > MOST_TERMS:
        return None
    product: Terms = {}
    for (k, c), (l, d) in itertools.product(left.items(), right.items()):
        at = tuple(map(sum, zip(k, l, strict=True)))
        product[at] = product.get(at, 0.0) + c * d
    return product if max(map(sum, product)) <= LARGEST_DEGREE else None


def _groups(terms: Mapping[tuple[int, ...], float], count: int) -> list[list[int]]:
    """The groups of variables that share terms."""
    groups = [{i} for i in range(count)]
    for exponents, coefficient in terms.items():
        held = {i for i, k in enumerate(exponents) if k and coefficient}
        met = [group for group in groups if group & held]
        if met:
            groups = [group for group in groups if not group & held] + [set().union(*met)]
    return [sorted(group) for group in groups]


def _of_one_variable(terms: Terms, i: int) -> list[np.ndarray]:
    """All minima of a polynomial in one variable, up to rounding; [] if it is unbounded below or constant."""
    coefficients = np.zeros(1 + max((k[i] for k in terms), default=0))
    for k, c in terms.items():
        coefficients[k[i]] += c
    p = np.polynomial.Polynomial(np.trim_zeros(coefficients, "b"))
    if len(p.coef) < 3 or len(p.coef) % 2 == 0 or p.coef[-1] < 0:
        return []
    roots = sorted(p.deriv().roots(), key=lambda r: r.real)
    near = lambda a, b: abs(a - b) <= 1e-3 * max(abs(a), abs(b), 1e-300)  # noqa: E731
    clusters: list[list[Any]] = []  # a multiple root is computed as several nearby roots
    for root in roots:
        joined = next((each for each in clusters if near(np.mean(each), root)), None)
        clusters.append([root]) if joined is None else joined.append(root)
    means = np.array([np.mean(each) for each in clusters])
    real = means.real[np.abs(means.imag) <= 1e-9 * np.maximum(np.abs(means), 1e-300)]
    real = np.array([_polish(p, x) for x in real])
    if not real.size:
        return []
    values = p(real)
    scale = np.polynomial.Polynomial(np.abs(p.coef))(np.abs(real))
    return [np.array([x]) for x in real[values <= values.min() + 1e-12 * scale.max()]]


def _polish(p: np.polynomial.Polynomial, x: float) -> float:
    """A root of the derivative, refined by Newton's method if it is simple."""
    slope, bend = p.deriv(), p.deriv(2)
    for _ in range(3):
        x = x - slope(x) / bend(x) if abs(bend(x)) > 1e-6 * np.abs(p.coef).max() else x
    return x


def _of_quadratic(terms: Terms, group: list[int]) -> list[np.ndarray]:
    """The minimum of a quadratic part; none if it is constant along a direction or unbounded below."""
    hessian, slope = np.zeros((len(group),) * 2), np.zeros(len(group))
    for k, c in terms.items():
        held = [group.index(i) for i in group for _ in range(k[i])]
        if len(held) == 1:
            slope[held[0]] += c
        elif held:
            a, b = held
            hessian[a, b] += c
            hessian[b, a] += c
    curved = np.linalg.eigvalsh(hessian)
    return [np.linalg.solve(hessian, -slope)] if curved[0] > 1e-12 * np.abs(curved).max() else []


def _of_ends(f: OfVector, ends: list[np.ndarray]) -> list[np.ndarray]:
    """The limits of Newton's method, started at the ends, that are certainly minima; each once."""
    shape = shape_of(f.expression.tree, CONSTANTS)
    if not (shape.convex or np.isfinite(shape.low)):
        return []
    found: list[np.ndarray] = []
    slopes = jax.jit(jax.grad(f)), jax.jit(jax.hessian(f))
    for end in ends:
        point = _rest(*slopes, end)
        if point is None or any(np.allclose(point, other, rtol=1e-6, atol=1e-9) for other in found):
            continue
        if shape.convex or float(f(point)) - shape.low <= 1e-12 * max(abs(shape.low), 1e-6):
            found.append(point)
    return found


def _rest(grad: Callable[..., Any], hessian: Callable[..., Any], start: np.ndarray) -> np.ndarray | None:
    """The limit of Newton's method from a start, if the Hessian is positive definite there."""
    shape, n = start.shape, start.size
    x = np.ravel(start)
    for _ in range(20):
        at = np.reshape(x, shape)
        slope, bend = np.reshape(grad(at), n), np.reshape(hessian(at), (n, n))
        if not (np.isfinite(slope).all() and np.isfinite(bend).all()):
            return None
        curved = np.linalg.eigvalsh(bend)
        if not curved[0] > 1e-10 * np.abs(curved).max():
            return None
        step = np.linalg.solve(bend, slope)
        x = x - step
        if np.linalg.norm(step) <= 1e-12 * np.linalg.norm(x) + 1e-14:
            return np.reshape(x, shape)
    return None
