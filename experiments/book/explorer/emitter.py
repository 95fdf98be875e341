"""A function of JAX as JavaScript: its jaxpr, written out number by number.

`emit(function, *examples)` is the text of `(v, out) => {...}`, which reads all numbers of the arguments one after the other
from v and writes those of the results to out. An operation that only moves numbers (a slice, a stack, a pad) is done here,
on their names; what remains is arithmetic on scalars. An operation that is not known is an error.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from gdjax.jaxprs import apply_equation, called_jaxpr, is_literal, open_jaxpr

MOVES = {
    *(
        "slice",
        "squeeze",
        "broadcast_in_dim",
        "reshape",
        "concatenate",
        "stack",
        "unstack",
        "split",
        "pad",
        "transpose",
    ),
    *("rev", "copy", "copy_p", "expand_dims"),
}
TEMPLATES = {
    "add": "{} + {}",
    "add_any": "{} + {}",
    "sub": "{} - {}",
    "mul": "{} * {}",
    "div": "{} / {}",
    "neg": "-{}",
    "max": "Math.max({}, {})",
    "min": "Math.min({}, {})",
    "abs": "Math.abs({})",
    "sign": "Math.sign({})",
    "exp": "Math.exp({})",
    "exp2": "Math.pow(2, {})",
    "expm1": "Math.expm1({})",
    "log": "Math.log({})",
    "log1p": "Math.log1p({})",
    "sin": "Math.sin({})",
    "cos": "Math.cos({})",
    "tanh": "Math.tanh({})",
    "logistic": "1 / (1 + Math.exp(-{}))",
    "sqrt": "Math.sqrt({})",
    "rsqrt": "1 / Math.sqrt({})",
    "pow": "Math.pow({}, {})",
    "square": "{0} * {0}",
    "one_minus_square": "(1 - {0}) * (1 + {0})",
    "lt": "{} < {}",
    "le": "{} <= {}",
    "gt": "{} > {}",
    "ge": "{} >= {}",
    "eq": "{} === {}",
    "ne": "{} !== {}",
    "and": "{} && {}",
    "or": "{} || {}",
    "not": "!{}",
}
EXACT: dict[str, Callable[..., Any]] = {  # of two numbers that are known, the same bits here as in a browser
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda a: -a,
    "lt": lambda a, b: a < b,
}


def emit(function: Callable[..., Any], *examples: Any) -> str:
    """The JavaScript of a function, for arguments of these shapes, in double precision.

    Raises: NotImplementedError for an operation that is not known here.
    """
    with jax.enable_x64(True):
        jaxpr = jax.make_jaxpr(function)(*examples)
    emitter, place, arguments = Emitter(), 0, []
    for variable in open_jaxpr(jaxpr)[0].invars:
        size = math.prod(variable.aval.shape)
        names = [f"v[{place + i}]" for i in range(size)]
        arguments.append(_array([emitter.bind(name) for name in names], variable.aval.shape))
        place += size
    results = emitter.run(jaxpr, arguments)
    return emitter.text([each for result in results for each in np.ravel(result)])


class Emitter:
    """The scalars computed so far; each expression has one name, so that none is computed twice."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def bind(self, expression: str) -> str:
        """The name of an expression."""
        return self.names.setdefault(expression, f"t{len(self.names)}")

    def text(self, results: Sequence[Any]) -> str:
        """The function that writes these to out, without what they do not need."""
        needed, lines = {each for each in results if isinstance(each, str)}, []
        for expression, name in reversed(self.names.items()):
            if name in needed:
                lines.append(f"const {name} = {expression};")
                needed |= {word for word in _words(expression) if word in self.names.values()}
        lines = lines[::-1] + [f"out[{i}] = {_written(each)};" for i, each in enumerate(results)]
        return "(v, out) => {\n" + "".join(f"  {line}\n" for line in lines) + "}"

    def run(self, jaxpr: Any, arguments: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The results of a jaxpr, as arrays of names and numbers."""
        jaxpr, consts = open_jaxpr(jaxpr)
        values = dict(zip(jaxpr.constvars, map(_constant, consts), strict=True))
        values |= dict(zip(jaxpr.invars, arguments, strict=True))
        read = lambda atom: _constant(atom.val) if is_literal(atom) else values[atom]  # noqa: E731
        for equation in jaxpr.eqns:
            results = self.apply(equation, [read(atom) for atom in equation.invars])
            values |= dict(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def apply(self, equation: Any, values: list[np.ndarray]) -> list[np.ndarray]:
        """The results of one equation."""
        name, parameters = equation.primitive.name, equation.params
        inner = called_jaxpr(equation)
        if inner is not None:
            return self.run(inner, values)
        if name in MOVES:
            return _moved(equation, values)
        if name == "reduce_sum":
            return [self.total(values[0], parameters["axes"])]
        if name == "dot_general":
            return [self.dot(*values, parameters["dimension_numbers"])]
        if name == "convert_element_type":
            return [self.converted(values[0], equation)]
        if name == "integer_pow":
            return [self.each(functools.partial(self.power, parameters["y"]), *values)]
        if name == "select_n":
            return [self.each(self.choice, *values)]
        if name not in TEMPLATES:
            raise NotImplementedError(f"emit: the operation {name!r} has no JavaScript yet: {equation}")
        return [self.each(functools.partial(self.scalar, name), *values)]

    def each(self, function: Callable[..., Any], *values: np.ndarray) -> np.ndarray:
        """A function of scalars, over arrays."""
        return np.asarray(np.frompyfunc(function, len(values), 1)(*values), dtype=object)

    def scalar(self, name: str, *values: Any) -> Any:
        """One operation on scalars: computed here if that is exact, written otherwise."""
        if name in EXACT and not any(isinstance(each, str) for each in values):
            return EXACT[name](*values)
        if name == "mul" and 1 in values:  # times one
            return values[1] if values[0] == 1 else values[0]
        if name == "div" and values[1] == 1:
            return values[0]
        return self.bind(TEMPLATES[name].format(*map(_written, values)))

    def power(self, exponent: int, x: Any) -> Any:
        """x to a whole power, by multiplication."""
        if exponent < 0:
            return self.scalar("div", 1.0, self.power(-exponent, x))
        if exponent == 0:
            return 1.0
        half = self.power(exponent // 2, x)
        square = x if exponent == 1 else self.scalar("mul", half, half)
        return self.scalar("mul", square, x) if exponent % 2 and exponent > 1 else square

    def choice(self, which: Any, otherwise: Any, then: Any) -> Any:
        """The second case where `which` holds, the first elsewhere."""
        if not isinstance(which, str):
            return then if which else otherwise
        return self.bind(f"{which} ? {_written(then)} : {_written(otherwise)}")

    def converted(self, values: np.ndarray, equation: Any) -> np.ndarray:
        """Whole numbers become floating ones as they are."""
        old, new = equation.invars[0].aval.dtype, equation.params["new_dtype"]
        if np.issubdtype(old, np.bool_) and not np.issubdtype(new, np.bool_):
            return self.each(lambda x: self.bind(f"{x} ? 1 : 0") if isinstance(x, str) else float(x), values)
        if not np.issubdtype(new, np.floating) and not (
            np.issubdtype(old, np.integer) and np.issubdtype(new, np.integer)
        ):
            raise NotImplementedError(f"emit: no conversion of {old} to {new}")
        return values

    def total(self, values: np.ndarray, axes: Sequence[int]) -> np.ndarray:
        """The sum over axes."""
        kept = [axis for axis in range(values.ndim) if axis not in axes]
        rows = values.transpose([*axes, *kept]).reshape(-1, *(values.shape[axis] for axis in kept))
        return functools.reduce(functools.partial(self.each, functools.partial(self.scalar, "add")), rows)

    def dot(self, a: np.ndarray, b: np.ndarray, dimensions: Any) -> np.ndarray:
        """A product of arrays, without axes that both keep."""
        (of_a, of_b), (batch, _) = dimensions
        if batch:
            raise NotImplementedError("emit: no product with batch axes")
        free_a, free_b = ([i for i in range(x.ndim) if i not in of] for x, of in ((a, of_a), (b, of_b)))
        left = a.transpose([*of_a, *free_a]).reshape(-1, *(a.shape[i] for i in free_a), *[1] * len(free_b))
        right = b.transpose([*of_b, *free_b]).reshape(-1, *[1] * len(free_a), *(b.shape[i] for i in free_b))
        return self.total(self.each(functools.partial(self.scalar, "mul"), left, right), (0,))


def _moved(equation: Any, values: list[np.ndarray]) -> list[np.ndarray]:
    """An equation that only moves numbers, done on their places in a table."""
    table = np.concatenate([np.ravel(each) for each in values])
    ends = np.cumsum([each.size for each in values])
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        places = [
            jax.numpy.arange(end - each.size, end).reshape(each.shape).astype(atom.aval.dtype)
            for each, end, atom in zip(values, ends, equation.invars, strict=True)
        ]
        return [table[np.asarray(each).astype(int)] for each in apply_equation(equation, places)]


def _array(entries: Sequence[Any], shape: Sequence[int]) -> np.ndarray:
    array = np.empty(len(entries), dtype=object)
    array[:] = entries
    return array.reshape(shape)


def _constant(value: Any) -> np.ndarray:
    value = np.asarray(value)
    return _array(value.ravel().tolist(), value.shape)


def _written(value: Any) -> str:
    """A name, or a number as JavaScript writes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if math.isnan(value) or math.isinf(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "(-Infinity)"}[str(float(value))]
    return repr(value) if value >= 0 else f"({value!r})"


def _words(expression: str) -> list[str]:
    return "".join(c if c.isalnum() or c == "_" else " " for c in expression).split()
