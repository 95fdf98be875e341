"""Methods that must receive the gradient of the loss itself, and the error for anything that would change it.

A method that combines its gradients with values of the loss (secant pairs, Newton systems, Polyak's step, the perturbed
point of sam) reads `value=` or `value_fn=`, which no transform before it can change. A clipped, decayed, noisy or averaged
gradient would be inconsistent with these values without any sign of it. `line_search` is no such method: its direction may
be any, and its slope is computed from `grad=`, the unchanged gradient of the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from gdjax.calls import Node, Optimizer

F = TypeVar("F", bound=Callable[..., Any])


def of_own_gradient(update: F, needed: bool = True) -> F:
    """The update, marked as one that must receive the gradient of the loss itself."""
    update.of_own_gradient = needed  # type: ignore[attr-defined]
    return update


def needs_own_gradient(node: Node) -> bool:
    return isinstance(node, Optimizer) and getattr(node.build()[1], "of_own_gradient", False)


def check_own_gradient(who: str, inner: Optimizer, given: str | Callable[[], str]) -> None:
    """Raise ValueError if an optimizer that receives the gradient `given` contains a method that needs that of the loss.

    `given` is in words, or a function that finds them if they are needed.
    """
    for node in inner.walk():
        if needs_own_gradient(node):
            wraps = isinstance(node.arguments.get("inner"), Optimizer)
            hint = f"put that inside {node.recipe.name}(...), around its inner optimizer" if wraps else "leave that out"
            raise ValueError(
                f"{who}: {node!r} evaluates the loss beside its gradient, so it must be given the loss's own gradient, got "
                f"{given() if callable(given) else given}; {hint}, or change the loss"
            )
