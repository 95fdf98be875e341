"""What jaxprs are made of, by `jax.extend.core`: imported where used, since it imports Pallas, which takes 25 ms."""

from __future__ import annotations

from typing import Any


def is_literal(atom: Any) -> bool:
    """Whether an input of an equation is a number written in it, and not a variable."""
    from jax.extend.core import Literal

    return isinstance(atom, Literal)


def inner_jaxprs(parameters: dict[str, Any]) -> list[Any]:
    """The jaxprs among the parameters of an equation, such as the body of a loop."""
    from jax.extend.core import jaxprs_in_params

    return list(jaxprs_in_params(parameters))
