"""The end of a search for a curve made sure of, by second derivatives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.programs import compile_once
from gdjax.solve.curve_formula import Curve
from gdjax.solve.curve_solver import Array, Rows, Solver, is_held, noise_of

STEPS = 6  # of Newton, at most
SURE = 1e-5  # relative error of a parameter up to which a fit is called CONVERGED
LEAST_CURVATURE = 1e-10  # of the Hessian in the scale of the Jacobian's columns; below it, rounding decides its sign
EPS = np.finfo(float).eps


@dataclasses.dataclass(frozen=True)
class Expansion:
    """(rows, params) -> `Expanded`."""

    curve: Callable[..., Any]

    def __call__(self, rows: Rows, params: jax.Array) -> Expanded:
        residuals = Solver(self.curve).residuals(rows)
        r, jacobian = residuals(params), jax.jacfwd(residuals)(params)
        gradient = jax.grad(lambda params: 0.5 * jnp.sum(residuals(params) ** 2))
        held = is_held(rows, params, gradient(params))
        return Expanded(r, jacobian, jax.jacfwd(gradient)(params), gradient(params), ~held)


class Expanded(NamedTuple):
    """A curve near a point, with n rows and p parameters."""

    residuals: Array  # (n,) weighted, formula - y
    jacobian: Array  # (n, p)
    hessian: Array  # (p, p) of 1/2 the sum of squares
    gradient: Array  # (p,)
    free: Array  # (p,) bool: not held at a bound

    @property
    def value(self) -> float:
        """1/2 the sum of squares."""
        return 0.5 * float(self.residuals @ self.residuals)

    @property
    def scale(self) -> np.ndarray:
        """(p,) the norms of the Jacobian's columns, 1 for a norm of 0."""
        norms = np.linalg.norm(self.jacobian, axis=0)
        return np.where(norms > 0, norms, 1)


class Ending(NamedTuple):
    """Where a fit has ended."""

    curve: Curve
    rows: Rows
    params: np.ndarray  # (p,)
    error: float  # relative, that is left in the worst of them; infinite where no minimum is near
    here: Expanded  # the curve there

    @property
    def sure(self) -> bool:
        """Whether the parameters are right."""
        return self.error <= SURE


def refine(curve: Curve, rows: Rows, params: np.ndarray) -> Ending:
    """The ending after a few of Newton's steps.

    Second derivatives tell a minimum even where the Jacobian is singular, and show the end of the slow convergence of
    large residuals. Steps are taken as long as they shrink; the error is the step that is not taken any more, and infinite
    where there is no minimum near. An error of a tenth of a millionth of the residuals' reach counts as none.
    """
    expand = compile_once(Expansion(curve))
    here = Expanded(*map(np.asarray, expand(rows, params)))
    error, length = np.inf, np.inf
    for _ in range(STEPS):
        step = newton_step(here)
        if not np.linalg.norm(here.scale * step) < length:
            break
        error, length = _relative_error(rows, params, step, here), np.linalg.norm(here.scale * step)
        new = np.clip(params + step, rows.low, rows.high)
        there = Expanded(*map(np.asarray, expand(rows, new)))
        rounding = 16 * EPS * np.linalg.norm(rows.weight * rows.y) * np.linalg.norm(here.residuals)
        if error < 4 * EPS or not there.value <= here.value + rounding + noise_of(rows):
            break
        params, here = new, there
    return Ending(curve, rows, params, float(error), here)


def newton_step(here: Expanded) -> np.ndarray:
    """Newton's step of the free parameters; Gauss's where rounding hides the curvature; NaN where no minimum is near."""
    step, free, scale = np.zeros(len(here.free)), here.free, here.scale[here.free]
    if not (np.isfinite(here.hessian).all() and np.isfinite(here.jacobian).all()):
        return np.full(len(step), np.nan)
    curved = here.hessian[np.ix_(free, free)] / np.outer(scale, scale)
    if free.any() and np.linalg.eigvalsh(curved)[0] > LEAST_CURVATURE:
        step[free] = -np.linalg.solve(curved, here.gradient[free] / scale) / scale
    elif free.any():
        rows = here.jacobian[:, free] / scale
        short, _, rank, _ = np.linalg.lstsq(rows, -here.residuals, rcond=rank_tolerance(rows))
        step[free] = short / scale if rank == free.sum() else np.nan
    return step


def _relative_error(rows: Rows, params: np.ndarray, step: np.ndarray, here: Expanded) -> float:
    """The largest part of a parameter that a step changes, where the change of the curve is more than rounding."""
    reach = 0.1 * np.linalg.norm(here.residuals) / (np.sqrt(len(rows.y)) * here.scale)
    part = np.abs(step) / np.maximum(np.maximum(np.abs(params), reach), np.finfo(float).tiny)
    rounding = 64 * EPS * np.linalg.norm(rows.weight * rows.y)
    return float(np.max(np.where(here.scale * np.abs(step) <= rounding, np.minimum(part, EPS), part)))


def rank_tolerance(jacobian: np.ndarray) -> float:
    """Singular values below this, relative to the largest, of a Jacobian with columns of norm 1, are rounding."""
    return 64 * jacobian.shape[1] * EPS
