"""Methods that search: what counts is the minimum they reach, from one start, in double precision.

A recorded gradient cannot feed a line search, which asks for values of its own. So each method runs on functions whose
minimum is known, and must come to within 1e-8 of it; L-BFGS beside Optax's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdjax import optimizers as o
from gdjax.certify.oracles import newton
from gdjax.nodes import as_optimizer

LIMIT = 1e-8
ITERATIONS = 200


def rosenbrock_residuals(p: Any) -> jax.Array:
    return jnp.stack([10 * (p["y"] - p["x"] ** 2), 1 - p["x"]])


_TIMES = np.linspace(0, 2, 20)
_SEEN = 2.0 * np.exp(-1.5 * _TIMES) + 0.3


def decay_residuals(p: Any) -> jax.Array:
    """An exponential decay and its floor, seen without noise: the least value is 0."""
    return p["height"] * jnp.exp(-p["speed"] * _TIMES) + p["floor"] - _SEEN


def half_squares(residuals: Callable) -> Callable:
    return lambda p: 0.5 * jnp.sum(residuals(p) ** 2)


def bowl(p: Any) -> jax.Array:
    return 0.5 * jnp.sum(jnp.logspace(0, 3, 10) * (p["w"] - 1) ** 2)


_ROWS = np.random.default_rng(0).normal(size=(60, 5))
_SIDES = np.sign(_ROWS @ np.arange(1, 6) + np.random.default_rng(1).normal(size=60))


def logistic(p: Any) -> jax.Array:
    """Regularised logistic regression on 60 fixed rows."""
    return jnp.mean(jax.nn.softplus(-_SIDES * (_ROWS @ p["w"]))) + 0.005 * jnp.sum(p["w"] ** 2)


class Problem(NamedTuple):
    function: Callable
    start: dict[str, Any]


_CORNER = {"x": -1.2, "y": 1.0}
_GUESS = {"height": 1.0, "speed": 1.0, "floor": 0.0}
PROBLEMS = {
    "bowl": Problem(bowl, {"w": np.zeros(10)}),
    "rosenbrock": Problem(half_squares(rosenbrock_residuals), _CORNER),
    "logistic": Problem(logistic, {"w": np.zeros(5)}),
    "decay": Problem(half_squares(decay_residuals), _GUESS),
}
EVERYWHERE = ("bowl", "rosenbrock", "logistic")
METHODS: dict[str, list[tuple[Callable, str]]] = {
    "lbfgs": [(o.lbfgs, name) for name in EVERYWHERE],
    "bfgs": [(o.bfgs, name) for name in EVERYWHERE],
    "nonlinear_cg": [(o.nonlinear_cg, name) for name in EVERYWHERE],
    "newton": [(o.newton, name) for name in EVERYWHERE],
    "gauss_newton": [
        (lambda: o.gauss_newton(rosenbrock_residuals), "rosenbrock"),
        (lambda: o.gauss_newton(decay_residuals), "decay"),
    ],
    "levenberg_marquardt": [
        (lambda: o.levenberg_marquardt(rosenbrock_residuals), "rosenbrock"),
        (lambda: o.levenberg_marquardt(decay_residuals), "decay"),
    ],
}


def reached(optimizer: Any, problem: Problem, iterations: int = ITERATIONS) -> float:
    """The value at the end of so many iterations."""
    optimizer = as_optimizer(optimizer).settle()
    params = jax.tree.map(jnp.asarray, problem.start)

    def value_fn(p, evaluation=None, weight=None):
        return problem.function(p)

    def body(carry, _):
        params, state = carry
        value, grad = jax.value_and_grad(problem.function)(params)
        updates, state = optimizer.update(grad, state, params, value=value, grad=grad, value_fn=value_fn)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(body, (params, optimizer.init(params)), length=iterations)
    return float(problem.function(params))


def minimum(name: str) -> float:
    """The least value of a problem: 0, or for the regression that of Newton's method in NumPy."""
    if name != "logistic":
        return 0.0
    gradient = jax.grad(lambda w: logistic({"w": w}))
    path = newton.newton(np.zeros(5), gradient, jax.hessian(lambda w: logistic({"w": w})), 30)
    return float(logistic({"w": np.asarray(path[-1])}))


def minima(name: str) -> Iterator[tuple[str, str, float]]:
    """(call on problem, reference, how far above the least value) of a method, in float64."""
    for make, problem in METHODS[name]:
        with jax.enable_x64(True):
            least = minimum(problem)
            yield f"{name} on {problem}", "minimum", reached(make(), PROBLEMS[problem]) - least
            if name == "lbfgs":
                theirs = reached(optax.lbfgs(), PROBLEMS[problem])
                yield f"{name} on {problem}", "optax", abs(reached(make(), PROBLEMS[problem]) - theirs)
