"""Problems: a function, a start, and the known facts about its minimum."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """A function to minimize, f(params, *args) -> (), real, with the known facts about it.

    `minimize(problem.f, problem.start, optimizer, args=problem.args)`; problem(params) is the value.
    """

    name: str
    f: Callable[..., jax.Array]
    start: Any
    args: tuple[Any, ...] = ()
    minima: tuple[Any, ...] = ()  # the global minima, each like start; empty if there is none or it is unknown
    value: float | None = None  # the value there
    stationary: tuple[Any, ...] = ()  # other points of zero gradient: local minima, saddles
    bounds: tuple[Any, ...] = ()  # for pictures: (low, high) of one or two coordinates
    lipschitz: float | None = None  # Lipschitz constant of the gradient: descent converges at rates below 2 / lipschitz
    condition: float | None = None  # ratio of the largest and smallest curvature of a quadratic
    residuals: Callable[..., jax.Array] | None = None  # for least squares, f = 1/2 sum residuals(params, *args)²

    def __call__(self, params: Any) -> jax.Array:
        return self.f(params, *self.args)

    def distance(self, params: Any) -> float:
        """The distance from the nearest known minimum; NaN if none is known."""
        flat = lambda x: np.concatenate([np.ravel(np.asarray(leaf, float)) for leaf in jax.tree.leaves(x)])  # noqa: E731
        gaps = [float(np.linalg.norm(flat(params) - flat(minimum))) for minimum in self.minima]
        return min(gaps, default=float("nan"))
