"""Methods and conditions of `minimize` from texts."""

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
OTHERS_RATE = 0.1  # default rate of optimizers whose steps are not proportional to the gradient


def read_methods(texts: Sequence[str], problem: Problem, searches: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    """Call as text -> optimizer or search, for each of the texts.

    If no learning rate is given, it is 1 / (largest curvature at the start) for steps along the gradient, and 0.1 otherwise.

    Args:
        searches: the methods without gradients, `gdjax.search.METHODS`.

    Raises: ValueError with a message of one line.
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
    """The name of the method in a table: its call with every argument given, and the learning rate in any case."""
    typed = text.partition("(")[2]
    return text.strip() if typed.strip(" )") and len(repr(method)) <= len(text.strip()) else repr(method)


def read_condition(text: str) -> Condition:
    """The stopping condition of a text.   Raises: ValueError with a message of one line."""
    condition = parse(text, CONDITIONS)
    if not isinstance(condition, Condition):
        raise ValueError(f"`stop` must be a call of one of {', '.join(CONDITIONS)}, got {text!r}")
    return condition


def without_gradient(condition: Condition) -> Condition | None:
    """The condition, or the parts of it, that a search without gradients can test; None if there are none.

    Raises: ValueError for a condition that no run on a function can test.
    """
    if condition.recipe == any_of().recipe:
        parts = [part for part in map(without_gradient, condition.arguments["conditions"]) if part is not None]
        return any_of(*parts) if parts else None
    number = jax.numpy.zeros(())
    seen = observation(Point(number.astype(int), number, number, number), number)
    test = lambda seen: jax.eval_shape(lambda: condition.update(condition.init(), seen))  # noqa: E731
    test(seen)
    try:
        test(seen._replace(grad_norm=None))
    except ValueError:
        return None
    return condition
