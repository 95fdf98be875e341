"""Problems: a function, a start, and the known facts about its minimum."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """A function to minimize, f(params, *args) -> (), real, and the truth about it.

    `minimize(problem.f, problem.start, optimizer, args=problem.args)`; problem(params) is the value.
    """

    name: str
    f: Callable[..., jax.Array]
    start: Any
    args: tuple[Any, ...] = ()
    minima: tuple[
        Any, ...
    ] = ()  # the points where f is least, each like start; empty if there is none or it is not known
    value: float | None = None  # there
    stationary: tuple[Any, ...] = ()  # other points of zero gradient: local minima, saddles
    bounds: tuple[Any, ...] = ()  # of a picture: (low, high) for each of one or two coordinates
    lipschitz: float | None = None  # of the gradient, everywhere: descent converges at rates below 2 / lipschitz
    condition: float | None = None  # largest over smallest curvature, of a quadratic
    residuals: Callable[..., jax.Array] | None = None  # f = 1/2 sum residuals(params, *args)², of least squares

    def __call__(self, params: Any) -> jax.Array:
        return self.f(params, *self.args)

    def distance(self, params: Any) -> float:
        """From the nearest known minimum; NaN if none is known."""
        flat = lambda x: np.concatenate([np.ravel(np.asarray(leaf, float)) for leaf in jax.tree.leaves(x)])  # noqa: E731
        gaps = [float(np.linalg.norm(flat(params) - flat(minimum))) for minimum in self.minima]
        return min(gaps, default=float("nan"))
