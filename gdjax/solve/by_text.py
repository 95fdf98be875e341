"""Methods and conditions of `minimize` by their texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from gdjax.calls import Condition, Optimizer, parse
from gdjax.optimizers.request import catalogue_at
from gdjax.problems import Problem
from gdjax.problems.reading import steepest_curvature
from gdjax.solve.minimum import Point, observation
from gdjax.stopping import CONDITIONS, any_of

BY_SLOPE = ("sgd", "momentum", "noisy_sgd", "optimistic_gradient_descent", "asgd", "schedule_free_sgd")
OTHERS_RATE = 0.1  # of optimizers whose steps do not grow with the slope


def read_methods(texts: Sequence[str], problem: Problem, searches: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    """The optimizers and searches that the texts stand for, by what they became.

    Args:
        searches: the methods without gradients, `gdjax.search.METHODS`.

    A step along the gradient without a rate gets 1 / (largest curvature at the start), any other 0.1.

    Raises: ValueError, in one line.
    """

    def rate(name: str) -> float:
        if name not in BY_SLOPE:
            return OTHERS_RATE
        steepest = steepest_curvature(problem)
        return float(f"{1 / steepest:.2g}") if steepest > 0 else OTHERS_RATE

    catalogue = {**catalogue_at(rate), **searches}
    methods = {}
    for text in texts:
        method = parse(text, catalogue)
        if not isinstance(method, Optimizer) and text.partition("(")[0] not in searches:
            raise ValueError(f"`optimizer` must be an optimizer or a search, got {text!r}")
        methods[_whole(method, text)] = method
    return methods


def _whole(method: Any, text: str) -> str:
    """What the method is called in a table: with every argument that was typed, and the rate if it was not."""
    typed = text.partition("(")[2]
    return text.strip() if typed.strip(" )") and len(repr(method)) <= len(text.strip()) else repr(method)


def read_condition(text: str) -> Condition:
    """The stopping condition that a text stands for.   Raises: ValueError, in one line."""
    condition = parse(text, CONDITIONS)
    if not isinstance(condition, Condition):
        raise ValueError(f"`stop` must be a call of one of {', '.join(CONDITIONS)}, got {text!r}")
    return condition


def without_gradient(condition: Condition) -> Condition | None:
    """The condition, or those of its parts, that a search can answer; None where there are none."""
    if condition.recipe.name == any_of.__name__:
        parts = [part for part in map(without_gradient, condition.arguments["conditions"]) if part is not None]
        return any_of(*parts) if parts else None
    number = jax.numpy.zeros(())
    seen = observation(Point(number.astype(int), number, number, number), number)._replace(grad_norm=None)
    try:
        jax.eval_shape(lambda: condition.update(condition.init(), seen))
    except ValueError:
        return None
    return condition
