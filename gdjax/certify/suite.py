"""The stress suite: recorded sequences of parameters, gradients and values on which any two optimizers can be compared.

All cases have the same tree, so that one compiled program runs them all. A recording follows its own path (small bounded
steps along the gradient), not that of an optimizer under test, so that rounding does not feed back into the data.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

SHAPES: dict[str, tuple[int, ...]] = {
    "empty": (0, 3),
    "large": (28, 28),
    "matrix": (6, 4),
    "scalar": (),
    "vector": (5,),
}
STEPS = 1000


class Recording(NamedTuple):
    """Trees whose leaves are (cases, steps, ...), float64 NumPy arrays, and the values (cases, steps)."""

    params: Any
    grads: Any
    values: np.ndarray

    def cast(self, dtype: Any) -> Recording:
        """The recording rounded to a dtype; the values stay real."""
        real = jnp.finfo(dtype).dtype
        params, grads = (jax.tree.map(lambda x: x.astype(dtype), t) for t in self[:2])
        return Recording(params, grads, self.values.astype(real))

    def few(self, number: int) -> Recording:
        """The recording with at most so many entries of each leaf along each axis."""
        cut = lambda x: x[(..., *[slice(number)] * (x.ndim - 2))]  # noqa: E731
        return self._replace(params=jax.tree.map(cut, self.params), grads=jax.tree.map(cut, self.grads))

    def per_example(self, number: int) -> Recording:
        """Gradients of several examples at each step, (cases, steps, number, ...): those of this and of earlier steps."""
        lags = range(number)
        return self._replace(
            grads=jax.tree.map(lambda g: np.stack([np.roll(g, k, axis=1) for k in lags], axis=2), self.grads)
        )


def _spectrum(x: Any) -> Any:
    """Curvatures from 1 to 1e4, in arbitrary order."""
    return 10.0 ** (4 * jnp.asarray(np.random.default_rng(3).permutation(x.size) / max(x.size - 1, 1)).reshape(x.shape))


def bowl(p: dict[Any, Any]) -> Any:
    return sum(0.5 * jnp.sum(x**2) for x in p.values())


def ravine(p: dict[Any, Any]) -> Any:
    return sum(0.5 * jnp.sum(_spectrum(x) * x**2) for x in p.values())


def rosenbrock(p: dict[Any, Any]) -> Any:
    x = jnp.concatenate([jnp.ravel(leaf) for leaf in p.values()])
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2) / x.size


def network(p: dict[Any, Any]) -> Any:
    """A small tanh network on fixed data: matrix, vector and scalar are its layers; `large` only decays."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(16, 6)), rng.normal(size=16)
    out = jnp.tanh(x @ p["matrix"]) @ p["vector"][:4] + p["vector"][4] * p["scalar"]
    return jnp.mean((out - y) ** 2) + 0.005 * jnp.sum(p["large"] ** 2)


# of the recorded gradients, (steps, ...) each
Change = Callable[[np.random.Generator, dict[Any, Any]], dict[Any, Any]]


def _plain(rng, grads):
    return grads


def _scale(factor: float) -> Change:
    return lambda rng, grads: {name: factor * g for name, g in grads.items()}


def _zeros(rng, grads):
    """Gradients that are zero at the first and every fifth step, and half zero at the others."""

    def thin(g):
        kept = rng.random(g.shape) < 0.5
        kept[::5] = False
        return g * kept

    return {name: thin(g) for name, g in grads.items()}


def _noisy(rng, grads):
    return {name: g + rng.normal(size=g.shape) for name, g in grads.items()}


def _non_finite(rng, grads):
    """Gradients of which one leaf is not finite at one step, two thirds of the way."""
    vector = grads["vector"].copy()
    vector[2 * len(vector) // 3] = np.inf
    return {**grads, "vector": vector}


CASES: dict[str, tuple[Callable[..., Any], Change]] = {
    "bowl": (bowl, _plain),
    "ravine": (ravine, _plain),
    "rosenbrock": (rosenbrock, _plain),
    "network": (network, _plain),
    "noise": (bowl, _noisy),
    "zeros": (bowl, _zeros),
    "tiny": (bowl, _scale(1e-12)),
    "huge": (bowl, _scale(1e12)),
    "non_finite": (bowl, _non_finite),
}


@functools.lru_cache(maxsize=4)
def record(steps: int = STEPS, is_complex: bool = False) -> Recording:
    """All cases, recorded once. The imaginary part of complex ones is the case before, where that is finite."""
    with jax.enable_x64(True):
        runs = [_run(function, change, seed, steps) for seed, (function, change) in enumerate(CASES.values())]
    real = jax.tree.map(lambda *x: np.stack(x), *runs)
    if not is_complex:
        return real

    def pair(x: np.ndarray) -> np.ndarray:
        before = np.roll(x, 1, axis=0)
        return x + 1j * np.where(np.isfinite(before), before, 0)

    params, grads = (jax.tree.map(pair, t) for t in real[:2])
    return Recording(params, grads, real.values)


def _run(function: Callable[..., Any], change: Change, seed: int, steps: int) -> Recording:
    rng = np.random.default_rng(seed)
    start = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
    path: Recording = jax.tree.map(np.asarray, _path(function, start, steps))
    return path._replace(grads=change(rng, path.grads))


@functools.partial(jax.jit, static_argnums=(0, 2))
def _path(function: Callable[..., Any], start: dict[Any, Any], steps: int) -> Recording:
    def body(params, _):
        value, grads = jax.value_and_grad(function)(params)
        after = jax.tree.map(lambda p, g: p - 0.01 * g / (jnp.abs(g) + jnp.mean(jnp.abs(g)) + 1e-300), params, grads)
        return after, Recording(params, grads, value)

    return jax.lax.scan(body, start, length=steps)[1]
