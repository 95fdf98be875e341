"""What jaxprs are made of."""

from __future__ import annotations

from typing import Any


def is_literal(atom: Any) -> bool:
    """Whether an input of an equation is a number written in it, and not a variable."""
    return hasattr(atom, "val")  # jax.extend.core.Literal imports Pallas, which takes 25 ms


def inner_jaxprs(parameters: dict[str, Any]) -> list[Any]:
    """The jaxprs among the parameters of an equation, such as the body of a loop."""
    values = [each for x in parameters.values() for each in (x if isinstance(x, (tuple, list)) else [x])]
    return [each for each in values if hasattr(each, "eqns")]
