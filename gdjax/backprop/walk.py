"""Evaluates a jaxpr equation by equation, inside of functions, branches and loops too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.jaxprs import called_jaxpr, is_literal, open_jaxpr, scan_inputs

Path = tuple[
    tuple[Any, int | None], ...
]  # the equations around one, outermost first, each with its iteration if a loop


class Walk:
    """An evaluation of jaxprs, whose values may be of any kind: a subclass says what an equation makes of them."""

    def visit(self, equation: Any, values: list[Any], path: Path) -> list[Any]:
        """The results of an equation; `path` ends with the equation."""
        raise NotImplementedError

    def constant(self, value: Any, path: Path) -> Any:
        """A constant of the computation, as the inputs are; `path` ends with the equation that it is written in."""
        raise NotImplementedError

    def number(self, value: Any) -> Any:
        """A value as an array."""
        raise NotImplementedError

    def rebuild(self, function: Callable[..., Any], values: Sequence[Any]) -> Any:
        """A function that only moves entries, applied to values: one element, or a stack of them."""
        raise NotImplementedError

    def walk(self, jaxpr: Any, args: Sequence[Any], path: Path = ()) -> list[Any]:
        """The results of a jaxpr for these inputs."""
        jaxpr, consts = open_jaxpr(jaxpr)
        first = {v: equation for equation in reversed(jaxpr.eqns) for v in equation.invars if not is_literal(v)}
        users = [(*path, (first[v], None)) if v in first else path for v in jaxpr.constvars]
        given = [*(self.constant(x, user) for x, user in zip(consts, users, strict=True)), *args]
        found: dict[Any, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], given, strict=True))
        last = _last_uses(jaxpr)
        for equation in jaxpr.eqns:
            here = (*path, (equation, None))
            read = lambda v: self.constant(v.val, here) if is_literal(v) else found[v]  # noqa: B023, E731
            found.update(zip(equation.outvars, self.visit(equation, [*map(read, equation.invars)], here), strict=True))
            for variable in last.get(id(equation), ()):
                found.pop(variable, None)
        return [self.constant(v.val, path) if is_literal(v) else found[v] for v in jaxpr.outvars]

    def inside(self, equation: Any, values: list[Any], path: Path) -> list[Any] | None:
        """The results of an equation from those of the equations inside it; None if it has none to be seen."""
        name, parameters = equation.primitive.name, equation.params
        if (called := called_jaxpr(equation)) is not None:
            return self.walk(called, values, path)
        if name == "cond":
            which = np.clip(int(self.number(values[0])), 0, len(parameters["branches"]) - 1)
            return self.walk(parameters["branches"][which], values[1:], path)
        if name == "while":
            return self._while(parameters, values, path)
        return self._scan(parameters, values, path) if name == "scan" and parameters["length"] else None

    def _while(self, parameters: dict[str, Any], values: list[Any], path: Path) -> list[Any]:
        a, b = parameters["cond_nconsts"], parameters["body_nconsts"]
        of_condition, of_body, carry = values[:a], values[a : a + b], values[a + b :]
        iteration = 0
        while True:
            here = (*path[:-1], (path[-1][0], iteration))
            (goes_on,) = self.walk(parameters["cond_jaxpr"], [*of_condition, *carry], here)
            if not bool(self.number(goes_on)):
                return carry
            carry = self.walk(parameters["body_jaxpr"], [*of_body, *carry], here)
            iteration += 1

    def _scan(self, parameters: dict[str, Any], values: list[Any], path: Path) -> list[Any]:
        consts, carry, xs = scan_inputs(parameters, values)
        length, count = parameters["length"], len(carry)
        order = range(length - 1, -1, -1) if parameters["reverse"] else range(length)
        rows: list[Any] = [None] * length
        for i in order:
            here = (*path[:-1], (path[-1][0], i))
            given = self.walk(parameters["jaxpr"], [*consts, *carry, *(self._element(x, i) for x in xs)], here)
            carry, rows[i] = given[:count], given[count:]
        return [*carry, *(self.rebuild(lambda *each: jnp.stack(each), column) for column in zip(*rows, strict=True))]

    def _element(self, stacked: Any, i: int) -> Any:
        return self.rebuild(lambda x: jax.lax.dynamic_index_in_dim(x, np.int32(i), keepdims=False), [stacked])


def _last_uses(jaxpr: Any) -> dict[int, list[Any]]:
    """For the equation of each identity the variables that nothing after it reads."""
    kept, last = {v for v in jaxpr.outvars if not is_literal(v)}, {}
    for equation in jaxpr.eqns:
        last |= {v: id(equation) for v in (*equation.invars, *equation.outvars) if not is_literal(v)}
    uses: dict[int, list[Any]] = {}
    for variable, where in last.items():
        if variable not in kept:
            uses.setdefault(where, []).append(variable)
    return uses
