"""Certificates of methods with a line search, by the minimum that they reach in double precision.

A line search evaluates the function itself and cannot use recorded gradients. So each method runs on functions whose minimum
is known, and must come within 1e-8 of it; L-BFGS is also compared with that of Optax.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdjax import optimizers as o
from gdjax.calls import as_optimizer
from gdjax.certify.oracles.second_order import newton

LIMIT = 1e-8
ITERATIONS = 200


def rosenbrock_residuals(p: Any) -> jax.Array:
    return jnp.stack([10 * (p["y"] - p["x"] ** 2), 1 - p["x"]])


_TIMES = np.linspace(0, 2, 20)
_SEEN = 2.0 * np.exp(-1.5 * _TIMES) + 0.3


def decay_residuals(p: Any) -> jax.Array:
    """Residuals of an exponential decay with a floor, without noise, so that the minimum is 0."""
    return p["height"] * jnp.exp(-p["speed"] * _TIMES) + p["floor"] - _SEEN


def half_squares(residuals: Callable[..., Any]) -> Callable[..., Any]:
    return lambda p: 0.5 * jnp.sum(residuals(p) ** 2)


def bowl(p: Any) -> jax.Array:
    return 0.5 * jnp.sum(jnp.logspace(0, 3, 10) * (p["w"] - 1) ** 2)


_ROWS = np.random.default_rng(0).normal(size=(60, 5))
_SIDES = np.sign(_ROWS @ np.arange(1, 6) + np.random.default_rng(1).normal(size=60))


def logistic(p: Any) -> jax.Array:
    """Regularized logistic regression on 60 fixed rows."""
    return jnp.mean(jax.nn.softplus(-_SIDES * (_ROWS @ p["w"]))) + 0.005 * jnp.sum(p["w"] ** 2)


class Problem(NamedTuple):
    function: Callable[..., Any]
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
METHODS: dict[str, list[tuple[Callable[..., Any], str]]] = {
    "lbfgs": [(o.lbfgs, name) for name in EVERYWHERE],
    "bfgs": [(o.bfgs, name) for name in EVERYWHERE],
    "nonlinear_cg": [(o.nonlinear_cg, name) for name in EVERYWHERE],
    "newton": [(o.newton, name) for name in EVERYWHERE],
    "gauss_newton": [
        (lambda: o.gauss_newton(rosenbrock_residuals), "rosenbrock"),
        (lambda: o.gauss_newton(decay_residuals), "decay"),
    ],
    "line_search": [(lambda: o.line_search(o.lbfgs(linesearch=cast(Any, None))), name) for name in EVERYWHERE],
    "levenberg_marquardt": [
        (lambda: o.levenberg_marquardt(rosenbrock_residuals), "rosenbrock"),
        (lambda: o.levenberg_marquardt(decay_residuals), "decay"),
    ],
}


def final_value(optimizer: Any, problem: Problem, iterations: int = ITERATIONS) -> float:
    """The value at the end of so many iterations."""
    optimizer = as_optimizer(optimizer).canonicalize()
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
    gradient, hessian = (jax.jit(f(lambda w: logistic({"w": w}))) for f in (jax.grad, jax.hessian))
    path = newton.newton(np.zeros(5), gradient, hessian, 30)
    return float(logistic({"w": np.asarray(path[-1])}))


def rows(name: str) -> Iterator[tuple[str, str, float, str]]:
    """(call, reference, figure, description) of a method; every figure must be at most `LIMIT`."""
    for call, reference, distance in minima(name) if name in METHODS else ():
        note = "how far above the least value it ends" if reference == "minimum" else "between the values reached"
        yield call, reference, distance, note
    if name == "line_search":
        yield from conditions()


def lengths(optimizer: Any, steps: int = 30) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """(length, x before, direction) of a line search along steepest descent on Rosenbrock's function."""
    optimizer, params, seen = as_optimizer(optimizer).canonicalize(), jnp.asarray([-1.2, 1.0]), []
    step = jax.jit(lambda g, s, p, v: optimizer.update(g, s, p, value=v, grad=g, value_fn=banana))
    state = optimizer.init(params)
    for _ in range(steps):
        value, grad = jax.value_and_grad(banana)(params)
        updates, state = step(grad, state, params, value)
        seen.append((float(state.linesearch.learning_rate), np.asarray(params), -np.asarray(grad)))
        params = params + updates
    return seen


def banana(x: Any) -> Any:
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def _slope(x: np.ndarray, d: np.ndarray) -> float:
    inner = x[1] - x[0] ** 2
    return float(np.array([-400 * x[0] * inner - 2 * (1 - x[0]), 200 * inner]) @ d)


def conditions() -> Iterator[tuple[str, str, float, str]]:
    """The conditions of Nocedal & Wright 2006, equations 3.7 and Algorithm 3.1, for each length, in plain NumPy."""
    with jax.enable_x64(True):
        decrease, curvature, longest = 0.0, 0.0, 0.0
        for t, x, d in lengths(o.line_search(o.sgd(1.0))):
            slope, rise = _slope(x, d), banana(x + t * d) - banana(x)
            decrease = max(decrease, (rise - 1e-4 * t * slope) / banana(x))
            curvature = max(curvature, (abs(_slope(x + t * d, d)) - 0.9 * abs(slope)) / abs(slope))
        yield "line_search(sgd(1))", "Wolfe", decrease, "how far it is from sufficient decrease, relative to the value"
        yield "line_search(sgd(1))", "Wolfe", curvature, "how far it is from the curvature condition, in slopes"
        before = 1.0
        search = o.backtracking(slope_rtol=0.3, decrease_factor=0.5, increase_factor=3.0)
        for t, x, d in lengths(o.line_search(o.sgd(1.0), search)):
            wanted = min(3.0 * before, 1.0)
            while banana(x + wanted * d) - banana(x) > 0.3 * wanted * _slope(x, d):
                wanted *= 0.5
            longest, before = max(longest, abs(t - wanted) / wanted), t
        yield "line_search(sgd(1), backtracking(...))", "Armijo", longest, "from the first length that is short enough"


def minima(name: str) -> Iterator[tuple[str, str, float]]:
    """(call on problem, reference, how far above the least value) of a method, in float64."""
    for make, problem in METHODS[name]:
        with jax.enable_x64(True):
            least = minimum(problem)
            ours = final_value(make(), PROBLEMS[problem])
            yield f"{name} on {problem}", "minimum", ours - least
            if name == "lbfgs":
                yield f"{name} on {problem}", "optax", abs(ours - final_value(optax.lbfgs(), PROBLEMS[problem]))
