"""Replaces the arrays that a function captured.

The objects that lead to a captured array (functions, partials, methods, containers, objects) are copied. The user's own
objects are not changed, and no tracer is left in them.
"""

from __future__ import annotations

import enum
import functools
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import jax
import numpy as np
from jax.core import ShapedArray, Tracer

from gdjax.fingerprint import JIT, digest, facts_of, is_library_function, is_named_tuple, is_plain, slots_of
from gdjax.jaxprs import inner_jaxprs, is_literal

MOVES = frozenset({"convert_element_type", "copy", "device_put"})  # a NumPy array is converted before it is traced
DATA = (int, float, complex, str, bytes, type(None), np.dtype, np.generic, enum.Enum)


def substitute(function: Any, captured: Sequence[Any], others: Sequence[Any]) -> Any:
    """The function with `others` in place of the `captured` arrays of `read(function)`.

    Changes that a call makes in a copy (to a counter beside an array, for example) are made in the original afterwards.
    """
    if not captured:
        return function
    copies = {id(array): other for array, other in zip(captured, others, strict=True)}
    copier = Copier(copies, _leading_to(function, set(copies)))
    copier.originals.update((id(other), array) for array, other in zip(captured, others, strict=True))
    copy = copier.copy(function)

    def call(*args: Any, **keywords: Any) -> Any:
        answer = copy(*args, **keywords)
        copier.give_back()
        return answer

    return call


def _leading_to(x: Any, goals: set[int]) -> set[int]:
    """The ids of the objects through which x reaches the goals."""
    reached: dict[int, tuple[Any, list]] = {}
    waiting = [x]
    while waiting:
        each = waiting.pop()
        if id(each) not in reached and id(each) not in goals:
            reached[id(each)] = each, parts_of(each)
            waiting += reached[id(each)][1]
    leading, found = set(goals), -1
    while len(leading) > found:
        found = len(leading)
        leading |= {key for key, (_, parts) in reached.items() if any(id(part) in leading for part in parts)}
    return leading


def parts_of(x: Any) -> list[Any]:
    """The parts of x that a copy may replace: those in which a `Reader` captures arrays."""
    if isinstance(x, types.FunctionType):
        return [
            *_cells(x),
            *(x.__defaults__ or ()),
            *(x.__kwdefaults__ or {}).values(),
            *_names(x).values(),
            *_own(x).values(),
        ]
    if isinstance(x, types.MethodType):
        return [x.__func__, x.__self__]
    if isinstance(x, functools.partial):
        return [x.func, *x.args, *x.keywords.values()]
    if type(x) is JIT:
        return [cast(Any, x).__wrapped__]
    if type(x) in (tuple, list) or is_named_tuple(x):
        return list(x)
    if type(x) is dict:
        return list(x.values())
    return list(_attributes(x).values())


def _cells(x: types.FunctionType) -> list[Any]:
    return [cell.cell_contents for cell in x.__closure__ or () if cell != types.CellType()]


def _names(x: types.FunctionType) -> dict[str, Any]:
    """The globals that a user's function names, except modules; none if it writes globals."""
    facts = facts_of(x.__code__)
    if is_library_function(x) or facts.writes:
        return {}
    found = {name: x.__globals__[name] for name in facts.globals if name in x.__globals__}
    return {name: value for name, value in found.items() if type(value) is not types.ModuleType}


def _own(x: types.FunctionType) -> dict[str, Any]:
    return {} if is_library_function(x) else x.__dict__


def _attributes(x: Any) -> dict[str, Any]:
    """The attributes of an object that consists of nothing else; {} for any other."""
    if isinstance(x, type) or hasattr(type(x), "__reads__") or not is_plain(x):
        return {}
    slots = {name: getattr(x, name) for name in slots_of(type(x)) if hasattr(x, name)}
    return {**getattr(x, "__dict__", {}), **slots}


class Overlay(dict[Any, Any]):
    """A live view of a function's globals, some of which are replaced."""

    live: dict[str, Any]
    replaced: dict[str, Any]

    def __init__(self, live: dict[str, Any]):
        super().__init__(live)
        self.live, self.replaced = live, {}

    def __getitem__(self, name: str) -> Any:
        return self.replaced[name] if name in self.replaced else self.live[name]


class Copier:
    """Copies the objects that lead to the arrays, each once, so that cycles and shared parts are preserved."""

    def __init__(self, copies: dict[int, Any], leading: set[int]):
        self.copies: dict[int, Any] = copies
        self.leading: set[int] = leading
        self.originals: dict[int, Any] = {}  # id of a copy -> its original
        self.filled: list[tuple[Any, Any]] = []  # (original, copy) of lists, dicts and objects

    def copy(self, x: Any) -> Any:
        if id(x) not in self.leading:
            return x
        if id(x) not in self.copies:
            self.copies[id(x)] = self._new_copy(x)
            self.originals[id(self.copies[id(x)])] = x
        return self.copies[id(x)]

    def all_of(self, x: dict[Any, Any]) -> dict[Any, Any]:
        return {name: self.copy(value) for name, value in x.items()}

    def _new_copy(self, x: Any) -> Any:
        if isinstance(x, types.FunctionType):
            return self._function(x)
        if isinstance(x, types.MethodType):
            return types.MethodType(self.copy(x.__func__), self.copy(x.__self__))
        if isinstance(x, functools.partial):
            return type(x)(self.copy(x.func), *map(self.copy, x.args), **self.all_of(x.keywords))
        if type(x) is JIT:  # inside a program the plain function is enough, and JAX keeps no older trace of it
            return self.copy(cast(Any, x).__wrapped__)
        if type(x) is tuple:
            return tuple(map(self.copy, x))
        if isinstance(x, tuple):
            return type(x)(*map(self.copy, x))
        return self._fill(x)

    def _function(self, x: types.FunctionType) -> types.FunctionType:
        names = {name: value for name, value in _names(x).items() if id(value) in self.leading}
        namespace = Overlay(x.__globals__) if names else x.__globals__
        cells = None if x.__closure__ is None else tuple(map(self._cell, x.__closure__))
        copy = self.copies[id(x)] = types.FunctionType(x.__code__, namespace, x.__name__, None, cells)
        for cell, new in zip(x.__closure__ or (), cells or (), strict=True):
            if new is not cell:
                new.cell_contents = self.copy(cell.cell_contents)
        copy.__defaults__ = x.__defaults__ and tuple(map(self.copy, x.__defaults__))
        copy.__kwdefaults__ = x.__kwdefaults__ and self.all_of(x.__kwdefaults__)
        copy.__qualname__, copy.__module__ = x.__qualname__, x.__module__
        copy.__dict__.update(self.all_of(x.__dict__))
        if isinstance(namespace, Overlay):
            namespace.replaced.update(self.all_of(names))
        return copy

    def _cell(self, cell: types.CellType) -> types.CellType:
        """The same cell, so that writes to it remain visible, unless an array in it is to be replaced."""
        return types.CellType() if cell != types.CellType() and id(cell.cell_contents) in self.leading else cell

    def _fill(self, x: Any) -> Any:
        """Copy a list, a dict or an object: first made and registered, then filled, since it may contain itself."""
        copy = self.copies[id(x)] = object.__new__(type(x)) if type(x) not in (list, dict) else type(x)()
        if isinstance(x, list):
            copy.extend(map(self.copy, x))
        elif isinstance(x, dict):
            copy.update(self.all_of(x))
        else:
            for name, value in self.all_of(_attributes(x)).items():
                object.__setattr__(copy, name, value)
        self.filled.append((x, copy))
        return copy

    def give_back(self) -> None:
        """Write the numbers, strings and arrays that a call wrote into the copies back into the originals."""
        for x, copy in self.filled:
            if isinstance(x, list):
                if list(map(id, copy)) != [id(self.copies.get(id(each), each)) for each in x]:
                    new = [self.originals.get(id(each), each) for each in copy]
                    known = set(map(id, self.originals.values()))
                    if all(id(each) in known or is_data(each) for each in new):
                        x[:] = new
                continue
            before, after = (x, copy) if isinstance(x, dict) else (_attributes(x), _attributes(copy))
            put = functools.partial(dict.__setitem__ if isinstance(x, dict) else object.__setattr__, x)
            for name, value in after.items():
                old, new = before.get(name, self), self.originals.get(id(value), value)
                if new is not old and (new is not value or is_data(new)):
                    put(name, new)


def is_data(x: Any) -> bool:
    """Whether all leaves of a tree are numbers, strings or arrays, and none is a tracer."""
    is_plain = lambda x: isinstance(x, (int, float, complex, str, bytes, np.generic, np.ndarray, jax.Array))  # noqa: E731
    return all(is_plain(leaf) and not isinstance(leaf, Tracer) for leaf in jax.tree.leaves(x))


def steps_of(
    function: Callable[..., Any], args: tuple[Any, ...], captured: Sequence[Any], others: Sequence[Any] = ()
) -> list[Any]:
    """What a function does, as it is traced: its operations with their parameters, inputs, shapes and dtypes.

    Two lists are equal only if the functions compute the same. What NumPy does with an array runs on the host and is missing
    from the trace; what is computed from its dtype, such as the size of an entry, is a number in it.

    Args:
        function: one that captured arrays, or a copy with others in their places.
        args: its arguments.
        captured: the arrays that it captured.
        others: tracers in their places; each counts as the array.
    """
    closed = jax.make_jaxpr(lambda *args: function(*args))(*args)  # JAX keeps what leads back to its key forever
    arrays = {id(other): array for other, array in zip(others, captured, strict=False)}
    found: list[Any] = []
    _add_steps(
        found, closed, closed.jaxpr.invars, [arrays.get(id(x), x) for x in closed.consts], set(map(id, captured))
    )
    return found


def _add_steps(
    found: list[Any], jaxpr: Any, given: Sequence[Any], constants: Sequence[Any], captured: set[int]
) -> None:
    """Add the steps of a jaxpr to those found before, with a name for each variable that does not depend on the trace.

    A NumPy array with axes is its own name, also inside a loop or a call; a loop variable that starts as one has its name.
    """
    position = len(found)
    names: dict[Any, Any] = {v: x for v, x in zip(jaxpr.invars, given, strict=True) if _is_on_host(x)}
    others = [v for v in (*jaxpr.invars, *jaxpr.constvars) if v not in names]
    names |= {v: (position, i) for i, v in enumerate(others)}
    names |= {v: _value(x, v.aval, captured) for v, x in zip(jaxpr.constvars, constants, strict=False)}
    name_of = lambda v: _value(v.val, v.aval, captured) if is_literal(v) else names[v]  # noqa: E731
    for equation in jaxpr.eqns:
        name, inputs = equation.primitive.name, list(map(name_of, equation.invars))
        if name in MOVES and all(isinstance(x, np.ndarray) for x in inputs):
            names |= {v: x.astype(v.aval.dtype) for v, x in zip(equation.outvars, inputs, strict=True)}
            continue
        results = [(len(found), "result", i) for i, _ in enumerate(equation.outvars)]
        names |= dict(zip(equation.outvars, results, strict=True))
        inner, typed, parameters = inner_jaxprs(equation.params), _typed(inputs, equation.invars), equation.params
        if inner:  # what is done with an array is seen inside; an array that is converted twice there is two inputs
            typed = [y for x, y in zip(inputs, typed, strict=True) if not _is_on_host(x)]
            parameters = {k: x for k, x in parameters.items() if "const" not in k and not isinstance(x, tuple)}
        found.append((name, typed, _typed(results, equation.outvars)))
        found.append(sorted((key, _parameter(value)) for key, value in parameters.items()))
        for each in inner:
            _add_steps(found, each, _inputs_of(each, equation, inputs), getattr(each, "consts", ()), captured)
    found.append(_typed(map(name_of, jaxpr.outvars), jaxpr.outvars))


def _inputs_of(inner: Any, equation: Any, inputs: list[Any]) -> list[Any]:
    """The inputs of an equation that an inner jaxpr takes: the last ones, except for the condition of a loop."""
    if inner is equation.params.get("cond_jaxpr"):
        count = equation.params["cond_nconsts"]
        inputs = inputs[:count] + inputs[count + equation.params["body_nconsts"] :]
    surplus = len(inputs) - len(inner.invars)
    return inputs[surplus:] if surplus >= 0 else inner.invars


def _is_on_host(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.ndim > 0


def _value(x: Any, aval: Any, captured: set[int]) -> Any:
    """A number or a NumPy array in its dtype on the device; another array by its entries, or by identity."""
    is_array = isinstance(x, jax.Array)
    if isinstance(x, Tracer) or (is_array and id(x) in captured) or not isinstance(aval, ShapedArray):
        return type(x), id(x)
    return digest(x) if is_array else np.asarray(x).astype(aval.dtype)


def _typed(names: Iterable[Any], variables: Sequence[Any]) -> list[Any]:
    """Names of variables, with shapes and dtypes."""
    types_of = [(getattr(v.aval, "shape", None), getattr(v.aval, "dtype", None)) for v in variables]
    return [(digest(x) if isinstance(x, np.ndarray) else x, *y) for x, y in zip(names, types_of, strict=True)]


def _parameter(x: Any) -> Any:
    """A parameter of an operation: numbers, names and dtypes by value, anything else by its type."""
    if isinstance(x, (tuple, list)):
        return [type(x), *map(_parameter, x)]
    if isinstance(x, np.ndarray):
        return digest(x), x.shape, x.dtype
    return type(x), repr(x) if isinstance(x, DATA) else None
