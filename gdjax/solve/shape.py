"""Bounds and convexity of an expression, derived from its form.

Bounds are those of interval arithmetic over all values of the variables. Convexity follows from rules of composition: sums
of convex functions are convex, nondecreasing convex functions of convex functions, and so on (Grant, Boyd & Ye 2006,
"Disciplined Convex Programming"). Both are conservative.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

INF = math.inf


class Shape(NamedTuple):
    """Bounds low <= f <= high where f is defined, and whether f is convex or concave."""

    low: float = -INF
    high: float = INF
    convex: bool = False
    concave: bool = False

    @property
    def constant(self) -> float | None:
        return self.low if self.low == self.high else None


def shape_of(node: ast.expr, constants: dict[str, float]) -> Shape:
    """The shape of a parsed expression."""
    if isinstance(node, ast.Constant):
        return _number(float(node.value))  # type: ignore[arg-type]
    if isinstance(node, ast.Name):
        return _number(constants[node.id]) if node.id in constants else Shape(convex=True, concave=True)
    if isinstance(node, ast.UnaryOp):
        inner = shape_of(node.operand, constants)
        return _negative(inner) if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.BinOp):
        return _operation(node, constants)
    assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return _shape_of_call(node.func.id, [shape_of(argument, constants) for argument in node.args])


def _number(x: float) -> Shape:
    return Shape(x, x, True, True)


def _negative(a: Shape) -> Shape:
    return Shape(-a.high, -a.low, a.concave, a.convex)


def _operation(node: ast.BinOp, constants: dict[str, float]) -> Shape:
    a, b = (shape_of(side, constants) for side in (node.left, node.right))
    if isinstance(node.op, ast.Add):
        return _sum(a, b)
    if isinstance(node.op, ast.Sub):
        return _sum(a, _negative(b))
    if isinstance(node.op, ast.Pow):
        return _power(a, b)
    if isinstance(node.op, ast.Div):
        return _scale(a, 1 / b.low) if b.constant else _product(a, _reciprocal(b))
    if ast.dump(node.left) == ast.dump(node.right):
        return _power(a, _number(2.0))
    for one, other in ((a, b), (b, a)):
        if one.constant is not None:
            return _scale(other, one.low)
    return _product(a, b)


def _sum(a: Shape, b: Shape) -> Shape:
    return Shape(a.low + b.low, a.high + b.high, a.convex and b.convex, a.concave and b.concave)


def _scale(a: Shape, c: float) -> Shape:
    low, high = sorted(_times(c, end) for end in (a.low, a.high))
    convex, concave = (a.convex, a.concave) if c >= 0 else (a.concave, a.convex)
    return Shape(low, high, convex or c == 0, concave or c == 0)


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b


def _product(a: Shape, b: Shape) -> Shape:
    ends = [_times(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
    return Shape(min(ends), max(ends))


def _reciprocal(a: Shape) -> Shape:
    if a.low > 0 or (a.low == 0 and a.high > 0):
        return Shape(1 / a.high, 1 / a.low if a.low else INF, convex=a.concave)
    return _negative(_reciprocal(_negative(a))) if a.high < 0 or (a.high == 0 and a.low < 0) else Shape()


def _power(a: Shape, b: Shape) -> Shape:
    """The shape of a^b, for a constant b or a constant a."""
    k, affine = b.constant, a.convex and a.concave
    if k is None:
        positive = a.constant is not None and a.low > 0
        return _shape_of_call("exp", [_scale(b, math.log(a.low))]) if positive else Shape()
    if k < 0:
        return _reciprocal(_power(a, _number(-k)))
    if k in (0, 1):
        return a if k else _number(1.0)
    if k % 2 == 0:
        ends = [_power_of(end, k) for end in (a.low, a.high)]
        low = 0.0 if a.low <= 0 <= a.high else min(ends)
        return Shape(low, max(ends), affine or (a.convex and a.low >= 0) or (a.concave and a.high <= 0))
    if k % 1 == 0:
        bent = a.convex and a.low >= 0, a.concave and a.high <= 0
        return Shape(_power_of(a.low, k), _power_of(a.high, k), *bent)
    low, high = (_power_of(max(end, 0.0), k) for end in (a.low, a.high))  # where a >= 0
    if k > 1:
        return Shape(low, high, affine or (a.convex and a.low >= 0))
    return Shape(low, high, concave=a.concave)


def _power_of(x: float, k: float) -> float:
    try:
        return x**k
    except OverflowError:
        return math.copysign(INF, x) if k % 2 else INF


RISING: dict[str, tuple[Callable[[float], float], str]] = {  # nondecreasing functions, with their curvature
    "exp": (np.exp, "convex"),
    "softplus": (lambda x: np.logaddexp(x, 0.0), "convex"),
    "relu": (lambda x: max(x, 0.0), "convex"),
    "log": (lambda x: np.log(max(x, 0.0)), "concave"),
    "ln": (lambda x: np.log(max(x, 0.0)), "concave"),
    "log10": (lambda x: np.log10(max(x, 0.0)), "concave"),
    "log2": (lambda x: np.log2(max(x, 0.0)), "concave"),
    "sqrt": (lambda x: np.sqrt(max(x, 0.0)), "concave"),
    "tanh": (np.tanh, ""),
    "sinh": (np.sinh, ""),
    "sigmoid": (lambda x: np.exp(-np.logaddexp(0.0, -x)), ""),
    "sigm": (lambda x: np.exp(-np.logaddexp(0.0, -x)), ""),
    "sign": (np.sign, ""),
    "arctan": (np.arctan, ""),
    "atan": (np.arctan, ""),
}
EVEN: dict[str, Callable[[float], float]] = {"abs": abs, "cosh": np.cosh}  # convex, least at 0


def _shape_of_call(name: str, arguments: list[Shape]) -> Shape:
    a = arguments[0]
    with np.errstate(all="ignore"):
        if name in RISING:
            at, curve = RISING[name]
            bent = curve == "convex" and a.convex, curve == "concave" and a.concave
            return Shape(float(at(a.low)), float(at(a.high)), *bent)
        if name in EVEN:
            ends = [float(EVEN[name](end)) for end in (a.low, a.high)]
            low = float(EVEN[name](0.0)) if a.low <= 0 <= a.high else min(ends)
            return Shape(low, max(ends), (a.convex and (a.concave or a.low >= 0)) or (a.concave and a.high <= 0))
    if name in ("max", "min"):
        b, pick = arguments[1], max if name == "max" else min
        bent = a.convex and b.convex and name == "max", a.concave and b.concave and name == "min"
        return Shape(pick(a.low, b.low), pick(a.high, b.high), *bent)
    return Shape(-1.0, 1.0) if name in ("sin", "cos") else Shape()
