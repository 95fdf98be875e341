"""What jaxprs are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def is_literal(atom: Any) -> bool:
    """Whether an input of an equation is a number written in it, and not a variable."""
    return hasattr(atom, "val")  # jax.extend.core.Literal imports Pallas, which takes 25 ms


def inner_jaxprs(parameters: dict[str, Any]) -> list[Any]:
    """The jaxprs among the parameters of an equation, such as the body of a loop."""
    values = [each for x in parameters.values() for each in (x if isinstance(x, (tuple, list)) else [x])]
    return [each for each in values if hasattr(each, "eqns")]


def open_jaxpr(jaxpr: Any) -> tuple[Any, Sequence[Any]]:
    """A jaxpr without its constants, and these."""
    return getattr(jaxpr, "jaxpr", jaxpr), getattr(jaxpr, "consts", ())


def apply_equation(equation: Any, values: Sequence[Any]) -> list[Any]:
    """The results of an equation for the values of its inputs."""
    with equation.ctx.manager:
        answer = equation.primitive.bind(*values, **equation.primitive.get_bind_params(equation.params))
    return list(answer) if equation.primitive.multiple_results else [answer]


def scan_inputs(parameters: dict[str, Any], values: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """The inputs of a scan: constants, first carry, and what is scanned over."""
    if "ft_in" in parameters:  # since JAX 0.12
        consts, carry, xs = map(list, parameters["ft_in"].update(list(values)).unpack())
    else:
        carried = parameters["num_consts"] + parameters["num_carry"]
        consts, carry = list(values[: parameters["num_consts"]]), list(values[parameters["num_consts"] : carried])
        xs = list(values[carried:])
    return consts, carry, xs


CALLS = (  # equations that are a call of one jaxpr
    *("jit", "pjit", "closed_call", "core_call", "remat", "checkpoint", "remat2"),
    *("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
)


def called_jaxpr(equation: Any) -> Any:
    """The jaxpr that an equation calls; None if it is no call, or a loop or a branch."""
    parameters = equation.params
    return parameters.get("jaxpr", parameters.get("call_jaxpr")) if equation.primitive.name in CALLS else None


def equations_for(jaxpr: Any, wanted: Sequence[bool]) -> set[int]:
    """The identities of the equations on which the outputs marked in `wanted` depend, those inside of calls included."""
    jaxpr, _ = open_jaxpr(jaxpr)
    live = {v for v, is_wanted in zip(jaxpr.outvars, wanted, strict=True) if is_wanted and not is_literal(v)}
    found: set[int] = set()
    for equation in reversed(jaxpr.eqns):
        needed = [v in live for v in equation.outvars]
        if not any(needed):
            continue
        found.add(id(equation))
        live |= {v for v in equation.invars if not is_literal(v)}
        inner = called_jaxpr(equation)
        if inner is not None:
            found |= equations_for(inner, needed)
        else:
            for each in inner_jaxprs(equation.params):
                found |= equations_for(each, [True] * len(open_jaxpr(each)[0].outvars))
    return found
