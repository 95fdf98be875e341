"""Statistical tests of stochastic rounding: results are neighboring numbers, and their mean is right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import Optimizer
from gdjax.certify.row import Row

DRAWS = 200
ERRORS = 5.0  # standard errors; by chance beyond them once in two million


def rows(optimizer: Optimizer) -> Iterator[Row]:
    """Figures in the column of relative differences: in last places, then in standard errors."""
    target, landed = draws(optimizer)
    down, up = _neighbors(target)
    outside = np.maximum(down - landed, landed - up).max(initial=0) / (up - down).min()
    yield Row(
        repr(optimizer), "chance", "bfloat16", float(outside), float("nan"), None, 0.0, "last places from a neighbor"
    )
    worst = float(max(map(abs, biases(target, landed))))
    note = f"standard errors of the mean of {landed.size} roundings, also by sign and by the part that is rounded"
    yield Row(repr(optimizer), "chance", "bfloat16", worst, float("nan"), None, ERRORS, note)


def draws(optimizer: Optimizer) -> tuple[np.ndarray, np.ndarray]:
    """p + u before rounding, (entries,), and after, (draws, entries): one step again and again."""
    rng = np.random.default_rng(0)
    start = jnp.asarray(rng.normal(size=500), jnp.bfloat16)
    grads = jnp.asarray(rng.normal(size=500), jnp.bfloat16)
    canonical = optimizer.canonicalize()

    @jax.jit
    def of(optimizer: Any) -> Any:
        def body(state, _):
            updates, state = optimizer.update(grads, state, start)
            return state, (start + updates).astype(jnp.bfloat16)

        return jax.lax.scan(body, optimizer.init(start), length=DRAWS)[1]

    rate = np.float64(np.float32(canonical.arguments["inner"].arguments["learning_rate"]))
    wide = lambda x: np.asarray(x, np.float64)  # noqa: E731
    target = wide(np.float32(wide(start)) + np.float32(-rate * wide(grads)))
    return target, wide(of(canonical))


def biases(target: np.ndarray, landed: np.ndarray) -> list[float]:
    """Mean rounding errors in standard errors: of all draws, weighted by the sign, and by the rounded part less 1/2."""
    down, up = _neighbors(target)
    part = (target - down) / (up - down)
    error = (landed - target) / (up - down)
    spread = part * (1 - part)
    weights = (np.ones_like(part), np.sign(target), part - 0.5, np.sign(target) * (part - 0.5))
    return [float((w * error).sum() / np.sqrt(len(landed) * (w**2 * spread).sum())) for w in weights]


def _neighbors(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bfloat16 numbers below and above: multiples of the last place of x."""
    place = 2.0 ** (np.floor(np.log2(np.abs(x))) - 7)
    down = np.floor(x / place) * place
    return down, down + place
