"""Where the search for a curve starts: at what was given, around it, and at scales that the data have.

Parameters in which the curve is linear need no start: for given others, their best values solve a linear system.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.optimizers.second_order.least_squares import Model
from gdjax.programs import compile_once
from gdjax.solve.curve_solver import Rows
from gdjax.vector import dot

CANDIDATES = 2048  # points of which the best become starts
PROBES = 16  # rows on which linearity is tested, at twice as many points


@dataclasses.dataclass(frozen=True)
class Elimination:
    """(rows, points (m, p)) -> the points with their linear parameters solved for, and their values (m,)."""

    curve: Callable[..., Any]
    linear: tuple[int, ...]

    def __call__(self, rows: Rows, points: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.vmap(lambda point: self._of(rows, point))(points)

    def _of(self, rows: Rows, point: jax.Array) -> tuple[jax.Array, jax.Array]:
        index = jnp.array(self.linear, jnp.int32)

        def residuals(coefficients):
            return rows.weight * (self.curve(rows.columns, point.at[index].set(coefficients)) - rows.y)

        if self.linear:
            origin = jnp.zeros(len(self.linear), point.dtype)
            r, jacobian = residuals(origin), jax.jacfwd(residuals)(origin)
            norms = jnp.linalg.norm(jacobian, axis=0)
            scale = jnp.where(norms > 0, norms, 1)
            best = Model.of(jacobian, r, scale).step(jnp.asarray(1e-14, point.dtype)) / scale
            point = point.at[index].set(jnp.clip(best, rows.low[index], rows.high[index]))
        r = residuals(point[index])
        return point, 0.5 * dot(r, r)


@dataclasses.dataclass(frozen=True)
class SecondDerivatives:
    """(columns (n,), points (m, p)) -> those of the curve with respect to its parameters, (m, n, p, p)."""

    curve: Callable[..., Any]

    def __call__(self, columns: Sequence[jax.Array], points: jax.Array) -> jax.Array:
        return jax.vmap(jax.jacfwd(jax.jacfwd(lambda params: self.curve(columns, params))))(points)


def linear_parameters(curve: Callable[..., Any], rows: Rows, count: int, seed: int) -> tuple[int, ...]:
    """Indices of parameters in which, together, the curve is linear: where all their second derivatives are 0.

    They are tried at points of the data's scales; where rounding or overflow hides one, starts are worse, and no more.
    """
    some = np.linspace(0, len(rows.y) - 1, min(PROBES, len(rows.y))).astype(int)
    columns = tuple(np.asarray(column)[some] for column in rows.columns)
    points = _natural_points(np.random.default_rng(seed), rows, (2 * PROBES, count))
    bent = np.asarray(compile_once(SecondDerivatives(curve))(columns, points))
    crooked = (np.nan_to_num(bent, posinf=0, neginf=0) != 0).any(axis=(0, 1))
    found: list[int] = []
    for i in range(count):
        if not crooked[i, [*found, i]].any():
            found.append(i)
    return tuple(found)


def candidates(rows: Rows, first: np.ndarray, given: np.ndarray, seed: int) -> np.ndarray:
    """Points (m, p): the first, points around it that differ in size and sometimes in sign, and points at the data's scales.

    Args:
        first: (p,) the start, of which entries are `given` and the others are of no meaning.
    """
    rng, count = np.random.default_rng(seed), CANDIDATES - 1
    drawn = _natural_points(rng, rows, (count, len(first)))
    spread = 10 ** rng.choice([0.3, 1.0, 2.0], (count, 1))
    near = first * np.exp(np.log(spread) * rng.normal(size=drawn.shape)) * rng.choice([1, 1, 1, 1, -1], drawn.shape)
    near = np.where(first == 0, 0.1 * drawn, near)
    around = given & (np.arange(count)[:, None] % 2 == 0)
    points = np.where(around, near, drawn)
    low, high = np.asarray(rows.low), np.asarray(rows.high)
    inside = rng.uniform(np.where(np.isfinite(low), low, 0), np.where(np.isfinite(high), high, 1), points.shape)
    boxed = np.isfinite(low) & np.isfinite(high) & ~around
    points = np.where(boxed & (rng.random(points.shape) < 0.5), inside, points)
    return np.clip(np.concatenate([first[None], points]), low, high)


def _natural_points(rng: np.random.Generator, rows: Rows, shape: tuple[int, int]) -> np.ndarray:
    return np.stack([_natural(rng, rows, shape[0]) for _ in range(shape[1])], axis=1)


def _natural(rng: np.random.Generator, rows: Rows, count: int) -> np.ndarray:
    """Values (count,) of a parameter of unknown meaning: a place, a width, a rate of a column, a pure number, 1 / y."""
    x = np.asarray(rows.columns[rng.integers(len(rows.columns))]) if rows.columns else np.ones(1)
    low, high = float(x.min()), float(x.max())
    width = high - low or abs(high) or 1.0
    height = float(np.abs(rows.y).max()) or 1.0
    size = 10 ** rng.uniform(-2, 1.5, count)
    sign = rng.choice([1, 1, 1, -1], count)
    kinds = [
        rng.uniform(low - 0.2 * width, high + 0.2 * width, count),
        sign * width * size / 10,
        sign * size / width,
        sign * size,
        sign * size / width**2,
        sign * size / height,
        sign * size / (height * width),
    ]
    share = [0.2, 0.2, 0.25, 0.2, 0.05, 0.05, 0.05]
    return np.choose(rng.choice(len(kinds), count, p=share), kinds)
