"""Mathematics as typed: "(x-2)^2 + 10*y^2" to a function of its variables. Parsed by a small grammar, never evaluated.

    sum      = product {("+" | "-") product}
    product  = sign {("*" | "/") sign}
    sign     = {"+" | "-"} power
    power    = atom ["^" sign]                     also "**"
    atom     = number | constant | name | function "(" sum {"," sum} ")" | "(" sum ")"

Python's own parser reads it, and what it read is walked: nothing but these can be reached.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

FUNCTIONS: dict[str, tuple[Callable, int]] = {  # and how many arguments each takes
    **{
        name: (getattr(jnp, name), 1)
        for name in ("sin", "cos", "tan", "exp", "log", "sqrt", "abs", "tanh", "sinh", "cosh")
    },
    "log10": (jnp.log10, 1),
    "log2": (jnp.log2, 1),
    "arctan": (jnp.arctan, 1),
    "sigmoid": (jax.nn.sigmoid, 1),
    "sigm": (jax.nn.sigmoid, 1),
    "relu": (jax.nn.relu, 1),
    "softplus": (jax.nn.softplus, 1),
    "max": (jnp.maximum, 2),
    "min": (jnp.minimum, 2),
}
CONSTANTS = {"pi": np.pi, "e": np.e}
OPERATORS: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
LONGEST = 2000  # characters


class ExpressionError(ValueError):
    """A text that is no expression; the message is one line and points at the place."""


@dataclasses.dataclass(frozen=True)
class Expression:
    """A function of named numbers, equal by its text: expression({"x": 2.0}) -> ()."""

    text: str
    variables: tuple[str, ...]  # in the order of the alphabet

    def __call__(self, values: Mapping[str, Any]) -> jax.Array:
        missing = [name for name in self.variables if name not in values]
        if missing:
            raise ExpressionError(f"{self.text}: no value for {', '.join(missing)}")
        return jnp.asarray(_value(_parsed(self.text), self.text, values))

    def __str__(self) -> str:
        return self.text


def expression(text: str) -> Expression:
    """The function that a text stands for.

    Raises: ExpressionError, in one line, for anything outside the grammar.
    """
    text = text.strip()
    names = sorted({node.id for node in ast.walk(_parsed(text)) if isinstance(node, ast.Name)} - set(FUNCTIONS))
    found = Expression(text, tuple(name for name in names if name not in CONSTANTS))
    _value(_parsed(text), text, None)
    return found


@functools.lru_cache(maxsize=64)
def _parsed(text: str) -> ast.expr:
    if not text or len(text) > LONGEST:
        raise ExpressionError(f"an expression must have 1 to {LONGEST} characters, got {len(text)}")
    try:
        return ast.parse(text.replace("^", "**"), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"cannot read {text!r}: write it as in (x-2)^2 + 10*y^2") from error


def _value(node: ast.expr, text: str, values: Mapping[str, Any] | None) -> Any:
    """What a node comes to; without values only its grammar is checked."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return float(node.value)
    if isinstance(node, ast.Name) and node.id not in FUNCTIONS:
        if node.id in CONSTANTS:
            return CONSTANTS[node.id]
        return 1.0 if values is None else values[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        inner = _value(node.operand, text, values)
        return -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.BinOp) and (type(node.op) in OPERATORS or isinstance(node.op, ast.Pow)):
        left, right = _value(node.left, text, values), _value(node.right, text, values)
        if values is None:
            return 1.0
        try:
            return _power(left, right) if isinstance(node.op, ast.Pow) else OPERATORS[type(node.op)](left, right)
        except ArithmeticError as error:  # of two numbers
            raise ExpressionError(f"{ast.unparse(node)!r} in {text!r}: {error}") from error
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        function, arguments = _function(node, text)
        given = [_value(argument, text, values) for argument in arguments]
        return 1.0 if values is None else function(*given)
    place = ast.unparse(node).replace("**", "^")
    raise ExpressionError(f"cannot read {place!r} in {text!r}: numbers, names, + - * / ^, and {', '.join(FUNCTIONS)}")


def _function(call: ast.Call, text: str) -> tuple[Callable, list[ast.expr]]:
    name = call.func.id  # type: ignore[attr-defined]
    if name not in FUNCTIONS:
        close = difflib.get_close_matches(name, FUNCTIONS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"one of {', '.join(FUNCTIONS)}"
        raise ExpressionError(f"no function {name!r} in {text!r}: {hint}")
    function, number = FUNCTIONS[name]
    if len(call.args) != number:
        raise ExpressionError(f"{name} takes {number} argument{'s' * (number > 1)} in {text!r}, got {len(call.args)}")
    return function, call.args


def _power(base: Any, exponent: Any) -> Any:
    """A whole exponent as repeated multiplication, whose derivative is right for a base of any sign."""
    whole = isinstance(exponent, float) and exponent.is_integer() and abs(exponent) < 1024
    if isinstance(base, float) and isinstance(exponent, float):
        base = jnp.asarray(base)
    return base ** int(exponent) if whole else base**exponent
