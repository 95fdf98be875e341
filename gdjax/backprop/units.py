"""Which values of a computation are the outputs of units, told by what is computed and not by what it is called.

An elementwise function of one array, however it is written, is compared on a grid with the functions that units have: a
rectifier is one as `where`, as a clip, or as a product with (z > 0). A value that is put together again with what it was
made of, as the sigmoid in z * sigmoid(z), is a gate and no unit: the slope of the whole is not its own.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.backprop._graph import INLINED
from gdjax.jaxprs import is_literal

ARITHMETIC = ("add", "sub", "mul", "div", "neg", "pow", "integer_pow", "square", "sqrt", "rsqrt", "sign", "abs")
COMPARISONS = ("max", "min", "clamp", "select_n", "gt", "ge", "lt", "le", "eq", "ne", "and", "or", "not")
FUNCTIONS = ("exp", "exp2", "expm1", "log", "log1p", "tanh", "logistic", "erf", "erfc", "sin", "cos")
SHAPELESS = ("convert_element_type", "stop_gradient", "copy", "copy_p")
CALLS = (*INLINED, "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr")
GRID = np.linspace(-7.3, 7.3, 60, dtype=np.float32)
KNOWN: dict[str, Callable[..., Any]] = {
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "hard_tanh": jax.nn.hard_tanh,
    "soft_sign": jax.nn.soft_sign,
    "relu6": jax.nn.relu6,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "hard_silu": jax.nn.hard_silu,
}


class Units(NamedTuple):
    """Of one jaxpr."""

    gates: frozenset[Any]  # variables that are no units, whatever function gave them
    kinds: dict[Any, str]  # of variables that are units by their values


# A jaxpr holds the arrays it was traced with.
_found: weakref.WeakKeyDictionary[Any, Units] = weakref.WeakKeyDictionary()


def find_units(jaxpr: Any, named: frozenset[Any]) -> Units:
    """The units among the equations of a jaxpr, its calls taken whole; looked for once as long as it lives.

    Args:
        named: the variables that are known for units by the function that gives them.
    """
    if jaxpr not in _found:
        _found[jaxpr] = _find_units(jaxpr, named)
    return _found[jaxpr]


def _find_units(jaxpr: Any, named: frozenset[Any]) -> Units:
    regions = _Regions(jaxpr)
    gates = frozenset(v for v in named if regions.is_gate(v))
    kinds: dict[Any, str] = {}
    for root, members in regions.members.items():
        if not any(v in named - gates for v in members):
            found = _by_value(regions, root, members)
            kinds.update([found] if found else [])
    return Units(gates, kinds)


class _Regions:
    """Every variable that is an elementwise function of one other, and what was made of what, entry by entry."""

    def __init__(self, jaxpr: Any) -> None:
        self.equations = jaxpr.eqns
        self.root: dict[Any, Any] = {}
        self.members: dict[Any, list[Any]] = {}
        self.maker: dict[Any, Any] = {}
        self.ancestors: dict[Any, set[Any]] = {}
        self.constants: set[Any] = set()
        for equation in jaxpr.eqns:
            self._take(equation)

    def inputs(self, equation: Any) -> list[Any]:
        """The variables that it is made of, numbers left out."""
        return [v for v in equation.invars if not is_literal(v) and v not in self.constants]

    def _take(self, equation: Any) -> None:
        inputs = self.inputs(equation)
        if not inputs:
            self.constants.update(v for v in equation.outvars if _is_scalar(equation))
            return
        (out, *others) = equation.outvars
        if others or not _is_elementwise(equation):
            return
        alike = [v for v in inputs if v.aval.shape == out.aval.shape]
        self.ancestors[out] = set(alike).union(*(self.ancestors.get(v, ()) for v in alike))
        roots = {self.root.get(v, v) for v in inputs}
        if len(roots) == 1 and len(alike) == len(inputs):
            (self.root[out],) = roots
            self.members.setdefault(self.root[out], []).append(out)
            self.maker[out] = equation

    def is_gate(self, v: Any) -> bool:
        """Whether it, or what is made of it alone, is put together with what it was made of."""
        own, made_of = {v}, self.ancestors.get(v, set())
        for equation in self.equations:
            inputs = self.inputs(equation)
            if not own.intersection(inputs) or not _is_elementwise(equation):
                continue
            others = [w for w in inputs if w not in own]
            if any(w in made_of or made_of & self.ancestors.get(w, set()) for w in others):
                return True
            if not others:
                own.update(equation.outvars)
        return False

    def function(self, start: Any, end: Any) -> Callable[[Any], Any]:
        """end as a function of start; a KeyError when called, where start does not give all of it."""
        members = self.members[self.root[end]]

        def run(x: Any) -> Any:
            values = {start: x}
            for v in members[: members.index(end) + 1]:
                if v != start and all(w in values for w in self.inputs(self.maker[v])):
                    values[v] = _apply(self.maker[v], [self._read(atom, values) for atom in self.maker[v].invars])[0]
            return values[end]

        return run

    def _read(self, atom: Any, values: dict[Any, Any]) -> Any:
        if is_literal(atom):
            return atom.val
        return values[atom] if atom in values else self._number(atom)

    def _number(self, v: Any) -> Any:
        """A number that the computation makes of numbers."""
        equation = next(e for e in self.equations if v in e.outvars)
        given = [self._read(atom, {}) for atom in equation.invars]
        return _apply(equation, given)[list(equation.outvars).index(v)]


def _by_value(regions: _Regions, root: Any, members: list[Any]) -> tuple[Any, str] | None:
    """The first variable of a region that is a known function of the root, or of a variable before it."""
    operations = {name for v in members for name in _operations(regions.maker[v])}
    if not operations & {*COMPARISONS, *FUNCTIONS, "abs"} or not jnp.issubdtype(root.aval.dtype, jnp.floating):
        return None
    for k, v in enumerate(members):
        if regions.is_gate(v) or not jnp.issubdtype(v.aval.dtype, jnp.floating):
            continue
        for start in (root, *reversed(members[:k])):
            if not jnp.issubdtype(start.aval.dtype, jnp.floating):
                continue
            kind = _match_function(regions.function(start, v))
            if kind is not None:
                return v, kind
    return None


def _match_function(function: Callable[..., Any]) -> str | None:
    """The name of the function that gives these values on the grid, or on the grid turned around."""
    try:
        with jax.ensure_compile_time_eval():
            values = np.asarray(function(jnp.asarray(GRID)), float)
    except Exception:  # a function of more than that variable, or of another dtype
        return None
    if values.shape != GRID.shape:
        return None
    for name, expected in _table().items():
        if np.allclose(values, expected, rtol=1e-4, atol=1e-5) or np.allclose(
            values[::-1], expected, rtol=1e-4, atol=1e-5
        ):
            return name
    return None


@functools.cache
def _table() -> dict[str, np.ndarray]:
    with jax.ensure_compile_time_eval():
        return {name: np.asarray(f(GRID), float) for name, f in KNOWN.items()}


def _inner(equation: Any) -> Any:
    """The jaxpr of a call."""
    inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
    return getattr(inner, "jaxpr", inner)


def _operations(equation: Any) -> Iterator[str]:
    if equation.primitive.name in CALLS and _inner(equation) is not None:
        for each in _inner(equation).eqns:
            yield from _operations(each)
    else:
        yield equation.primitive.name


def _is_scalar(equation: Any) -> bool:
    """Whether a number comes out, alone or repeated."""
    return equation.primitive.name in ("broadcast_in_dim", *SHAPELESS, *ARITHMETIC, *FUNCTIONS, *COMPARISONS)


def _is_elementwise(equation: Any) -> bool:
    """Whether each entry of what comes out is made of the entries at its place, and of numbers."""
    name = equation.primitive.name
    if name == "broadcast_in_dim":
        return not equation.invars[0].aval.shape
    if name in CALLS:
        inner = _inner(equation)
        return inner is not None and not inner.constvars and all(map(_is_elementwise, inner.eqns))
    return name in (*ARITHMETIC, *COMPARISONS, *FUNCTIONS, *SHAPELESS)


def _apply(equation: Any, given: list[Any]) -> list[Any]:
    """An elementwise equation for arrays of any one shape; numbers are repeated to it."""
    name = equation.primitive.name
    if name == "broadcast_in_dim":
        return [given[0]]
    if name in CALLS:
        return _run(_inner(equation), given)
    shape = np.broadcast_shapes(*(np.shape(x) for x in given))
    arrays = [
        jnp.broadcast_to(jnp.asarray(x, v.aval.dtype), shape) for x, v in zip(given, equation.invars, strict=True)
    ]
    answer = equation.primitive.bind(*arrays, **equation.primitive.get_bind_params(equation.params))
    return list(answer) if equation.primitive.multiple_results else [answer]


def _run(jaxpr: Any, given: list[Any]) -> list[Any]:
    values = dict(zip(jaxpr.invars, given, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if is_literal(atom) else values[atom]

    for equation in jaxpr.eqns:
        values.update(zip(equation.outvars, _apply(equation, [read(x) for x in equation.invars]), strict=True))
    return [read(x) for x in jaxpr.outvars]
