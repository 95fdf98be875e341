"""What the oracles of methods that learn the curvature share: leaves as one real vector, and a path followed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from gdjax.certify.oracles.lift import Oracle, StepInput


def join(leaves: list[np.ndarray]) -> np.ndarray:
    """Leaves as one real vector, complex ones by their real, then their imaginary parts."""
    parts = [
        np.concatenate([np.real(x).ravel(), np.imag(x).ravel()]) if np.iscomplexobj(x) else x.ravel() for x in leaves
    ]
    return np.concatenate([np.zeros(0), *parts])


def part(vector: np.ndarray, like: list[np.ndarray]) -> list[np.ndarray]:
    out, start = [], 0
    for x in like:
        size = x.size * (2 if np.iscomplexobj(x) else 1)
        piece, start = vector[start : start + size], start + size
        out.append((piece[: x.size] + 1j * piece[x.size :] if np.iscomplexobj(x) else piece).reshape(x.shape))
    return out


def follow(
    oracle: Oracle,
    start: np.ndarray,
    value_and_grad: Callable[[np.ndarray], tuple[Any, np.ndarray]],
    steps: int,
    length: Callable[[np.ndarray, np.ndarray], Any] = lambda x, u: 1.0,
    **arguments: Any,
) -> np.ndarray:
    """The path (steps + 1, n) of an oracle from a vector, each update times length(x, update)."""
    generator, x = oracle([start], **arguments), np.asarray(start, float)
    next(generator)
    path = [x]
    for _ in range(steps):
        value, g = value_and_grad(x)
        (u,) = generator.send(StepInput([g], [x], value))
        x = x + length(x, u) * u
        path.append(x)
    return np.stack(path)


def bent(params: list[np.ndarray]) -> Any:
    """Residuals of the least-squares methods' examples: 0 at 0 and nowhere linear."""
    return jax.tree.map(lambda p: p + 0.1 * p * p, params)
