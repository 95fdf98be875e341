"""Expressions as text: "(x-2)^2 + 10*y^2" becomes a function of its variables. It is parsed by a grammar, never evaluated.

    sum      = product {("+" | "-") product}
    product  = sign {("*" | "/") sign}
    sign     = {"+" | "-"} power
    power    = atom ["^" sign]                     also "**"
    atom     = number | constant | name | function "(" sum {"," sum} ")" | "(" sum ")"

The typographic signs − · × ÷ π and superscript digits (x²) are accepted too. Python's parser reads the text, and its syntax
tree is walked, so that nothing outside the grammar can run.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import keyword
import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.text import did_you_mean, short

FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {  # name -> (function, number of arguments)
    **{
        name: (getattr(jnp, name), 1)
        for name in (
            *("sin", "cos", "tan", "exp", "log", "sqrt", "abs", "sign", "tanh", "sinh", "cosh", "log10", "log2"),
            *("arcsin", "arccos", "arctan"),
        )
    },
    "ln": (jnp.log, 1),
    "asin": (jnp.arcsin, 1),
    "acos": (jnp.arccos, 1),
    "atan": (jnp.arctan, 1),
    "sigmoid": (jax.nn.sigmoid, 1),
    "sigm": (jax.nn.sigmoid, 1),
    "relu": (jax.nn.relu, 1),
    "softplus": (jax.nn.softplus, 1),
    "max": (jnp.maximum, 2),
    "min": (jnp.minimum, 2),
}
CONSTANTS = {"pi": np.pi, "e": np.e}
OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
LONGEST = 2000  # characters
DEEPEST = 100  # nested signs, powers, brackets and calls; a sum may have any number of terms
PRINTED = str.maketrans({"−": "-", "–": "-", "·": "*", "×": "*", "⋅": "*", "∗": "*", "÷": "/", "⁄": "/"})
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
NUMBER = r"(?<![\w.])(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
EXAMPLE = "write it as in (x-2)^2 + 10*y^2"


class ExpressionError(ValueError):
    """A text that is no expression; the message is one line and shows the place."""


@dataclasses.dataclass(frozen=True)
class Expression:
    """A function of named numbers, compared by its text: parse("x^2")({"x": 2.0}) -> ()."""

    text: str
    variables: tuple[str, ...]  # in alphabetical order

    def __call__(self, values: Mapping[str, Any]) -> jax.Array:
        missing = [name for name in self.variables if name not in values]
        if missing:
            raise ExpressionError(f"{self.text}: no value for {', '.join(missing)}")
        return jnp.asarray(_value(_parse(self.text), self.text, values))

    def __str__(self) -> str:
        return self.text

    @property
    def tree(self) -> ast.expr:
        """As Python's parser reads it."""
        return _parse(self.text)


@dataclasses.dataclass(frozen=True)
class OfVector:
    """An expression as a function of its variables in order, () for one variable and (n,) for more; compared by value."""

    expression: Expression

    def __call__(self, x: Any) -> jax.Array:
        names = self.expression.variables
        return self.expression({names[0]: x} if len(names) == 1 else {name: x[i] for i, name in enumerate(names)})


def parse(text: str) -> Expression:
    """The function that a text stands for.

    Raises: ExpressionError, in one line, for anything outside the grammar.
    """
    text = _normalize(text.strip())
    names = sorted({node.id for node in ast.walk(_parse(text)) if isinstance(node, ast.Name)} - set(FUNCTIONS))
    found = Expression(text, tuple(name for name in names if name not in CONSTANTS))
    _value(_parse(text), text, None)
    return found


def _normalize(text: str) -> str:
    """The text with typographic signs replaced by ASCII."""
    text = re.sub(r"(?<=\w)π|π(?=\w)", " pi ", text.translate(PRINTED)).replace("π", "pi")
    raised = "⁰¹²³⁴⁵⁶⁷⁸⁹"

    def power(found: re.Match) -> str:
        exponent = found[0].translate(RAISED)
        return f"^{exponent}" if exponent.isdigit() else f"^({exponent})"

    return re.sub(f"[⁺⁻]?[{raised}]+", power, text)


@functools.lru_cache(maxsize=64)
def _parse(text: str) -> ast.expr:
    if not text or len(text) > LONGEST:
        raise ExpressionError(f"an expression must have 1 to {LONGEST} characters, got {len(text)}")
    try:
        return ast.parse(_source(text), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"cannot read {short(text)!r}: {_hint(text) or EXAMPLE}") from error


def _source(text: str) -> str:
    return text.replace("^", "**")


def _hint(text: str) -> str:
    """The correct spelling of a common notation that the grammar lacks; "" if the text has none."""
    functions = "|".join(FUNCTIONS)
    equation = re.match(r"\s*\w+\s*(?:\([\w\s,]*\))?\s*==?\s*([^=]+)$", text)
    if equation:
        return f"write the function alone, {short(equation[1].strip())!r}"
    if "|" in text:
        return "write abs(x) for |x|"
    if found := re.search(r"(?<![\w.])(\d+),(\d+)", text):
        return f"write a decimal point, {found[1]}.{found[2]} for {found[0]}"
    if found := re.search(r"\b(?:np|jnp|math|numpy)\.(\w+)", text):
        return f"write {found[1]} for {found[0]}"
    if found := re.search(rf"\b({functions})\s*(\^|\*\*)\s*(\d+)\s*\(", text):
        return f"write {found[1]}(x)^{found[3]} for {found[1]}^{found[3]}(x)"
    if found := re.search(rf"\b({functions})\s+(\w+)", text):
        return f"write {found[1]}({found[2]}) for {found[0]}"
    found = re.search(rf"({NUMBER}|\))\s*(\(|[^\W\d]\w*|\d)", text) or re.search(r"(\w+)\s+(\w+)", text)
    if found and not any(map(keyword.iskeyword, found.groups())):
        first, second = ({"(": "(...)", ")": "(...)"}.get(part, part) for part in found.groups())
        return f"write a product with its sign, {first}*{second}"
    return "write sqrt(x) for √x" if "√" in text else ""


def _value(node: ast.expr, text: str, values: Mapping[str, Any] | None, depth: int = 0) -> Any:
    """The value of a node; without values only its grammar is checked."""
    if depth > DEEPEST:
        raise ExpressionError(f"an expression must be nested at most {DEEPEST} deep, {short(text)!r} is deeper")
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return _number(node, text)
    if isinstance(node, ast.Name) and node.id not in FUNCTIONS:
        if node.id in CONSTANTS:
            return CONSTANTS[node.id]
        return 1.0 if values is None else values[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        inner = _value(node.operand, text, values, depth + 1)
        return -inner if isinstance(node.op, ast.USub) else inner
    if _is_operation(node):
        return _operations(node, text, values, depth)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        function, arguments = _function(node, text)
        given = [_value(argument, text, values, depth + 1) for argument in arguments]
        return 1.0 if values is None else function(*given)
    hint = _hint(text) or f"numbers, names, + - * / ^, and {', '.join(FUNCTIONS)}"
    raise ExpressionError(f"cannot read {_place(node, text)!r} in {short(text)!r}: {hint}")


def _number(node: ast.Constant, text: str) -> float:
    try:
        number = float(node.value)  # type: ignore[arg-type]
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ExpressionError(f"a number must be at most 1.8e308, got {_place(node, text)} in {short(text)!r}")
    return number


def _is_operation(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and (type(node.op) in OPERATORS or isinstance(node.op, ast.Pow))


def _operations(node: Any, text: str, values: Mapping[str, Any] | None, depth: int) -> Any:
    """a + b - c ..., from the left, in a loop, so that long sums do not nest."""
    chain = []
    while _is_operation(node):
        chain.append(node)
        node = node.left
    left = _value(node, text, values, depth + 1)
    for each in reversed(chain):
        right = _value(each.right, text, values, depth + 1)
        if values is None:
            continue
        try:
            left = _power(left, right) if isinstance(each.op, ast.Pow) else OPERATORS[type(each.op)](left, right)
        except ArithmeticError as error:  # between two Python numbers
            raise ExpressionError(f"{_place(each, text)!r} in {short(text)!r}: {error}") from error
    return 1.0 if values is None else left


def _place(node: ast.expr, text: str) -> str:
    """The text of a node as it was written."""
    return short((ast.get_source_segment(_source(text), node) or text).replace("**", "^"))


def _function(call: ast.Call, text: str) -> tuple[Callable[..., Any], list[ast.expr]]:
    name = call.func.id  # type: ignore[attr-defined]
    if name not in FUNCTIONS:
        product = f"; for a product write {name}*(...)" if len(name) == 1 or name in CONSTANTS else ""
        raise ExpressionError(f"no function {name!r} in {short(text)!r}: {did_you_mean(name, FUNCTIONS)}{product}")
    function, number = FUNCTIONS[name]
    if len(call.args) != number:
        needed = f"{name} takes {number} argument{'s' * (number > 1)}"
        raise ExpressionError(f"{needed} in {short(text)!r}, got {len(call.args)}")
    return function, call.args


def _power(base: Any, exponent: Any) -> Any:
    """base^exponent; a whole exponent is an integer power, whose derivative is right for a base of any sign."""
    whole = isinstance(exponent, float) and exponent.is_integer() and abs(exponent) < 1024
    if isinstance(base, float) and isinstance(exponent, float):
        base = jnp.asarray(base)
    return base ** int(exponent) if whole else base**exponent
