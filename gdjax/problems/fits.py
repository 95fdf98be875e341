"""Fits: problems of data, with parameters {"w": (d,) or (d, k), "b": () or (k,)}.

x is (n, d); for y see each problem. Without data, each problem generates its own, so that a name alone is a problem.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.problems.problem import Problem

HINGES = {"half": "C/n sum hinge + 1/2 |w|²", "whole": "C/n sum hinge + |w|²", "mean": "1/n sum hinge + penalty |w|²"}


def _mean_square(params, x, y, penalty):
    return jnp.mean((x @ params["w"] + params["b"] - y) ** 2) + penalty * jnp.sum(params["w"] ** 2)


def least_squares(x: Any = None, y: Any = None) -> Problem:
    """Linear regression: the mean of (w·x + b - y)², y (n,).

    >>> problem = gd.problems.least_squares(jnp.array([[0.0], [1.0], [2.0]]), jnp.array([1.0, 3.0, 5.0]))
    >>> print(problem.minima[0])
    {'w': array([2.]), 'b': np.float64(1.0)}
    """
    return _ridge("least_squares", x, y, 0.0)


def ridge(x: Any = None, y: Any = None, penalty: float = 0.1) -> Problem:
    """Linear regression with a penalty: the mean of (w·x + b - y)², and penalty |w|².

    Args:
        penalty: >= 0; scikit-learn's Ridge takes n times as much.

    >>> problem = gd.problems.ridge(jnp.array([[0.0], [1.0], [2.0]]), jnp.array([1.0, 3.0, 5.0]), penalty=1.0)
    >>> print(problem({"w": jnp.array([2.0]), "b": jnp.array(1.0)}))
    4.0
    """
    return _ridge("ridge", x, y, penalty)


def _ridge(name: str, x: Any, y: Any, penalty: float) -> Problem:
    if x is None:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(200, 3)) * [1.0, 2.0, 0.5]
        y = x @ [2.0, -1.0, 0.5] + 3 + 0.1 * rng.normal(size=200)
    x, y = _table(name, x, y)
    n, d = x.shape
    design = np.column_stack([x, np.ones(n)])
    hessian = 2 * design.T @ design / n + 2 * penalty * np.diag([1.0] * d + [0.0])
    solution = np.linalg.solve(hessian, 2 * design.T @ y / n) if np.linalg.matrix_rank(hessian) > d else None
    curvatures = np.linalg.eigvalsh(hessian)
    best = None if solution is None else {"w": solution[:-1], "b": solution[-1]}
    return Problem(
        name=name,
        f=_mean_square,
        start={"w": np.zeros(d), "b": np.zeros(())},
        args=(x, y, float(penalty)),
        minima=() if best is None else (best,),
        value=None if solution is None else _mean_square_in_numpy(solution, design, y, penalty),
        lipschitz=float(curvatures[-1]),
        condition=None if solution is None else float(curvatures[-1] / curvatures[0]),
    )


def _mean_square_in_numpy(solution, design, y, penalty) -> float:
    return float(np.mean((design @ solution - y) ** 2) + penalty * np.sum(solution[:-1] ** 2))


def _logistic(params, x, y, c):
    margins = y * (x @ params["w"] + params["b"])
    return jnp.mean(jnp.logaddexp(0.0, -margins)) + 0.5 * jnp.sum(params["w"] ** 2) / (c * len(y))


def logistic(x: Any = None, y: Any = None, c: float = 1.0) -> Problem:
    """Logistic regression: the mean of log(1 + exp(-y (w·x + b))), y -1 or 1, and |w|² / (2 c n): nats.

    Args:
        c: > 0; scikit-learn's C. Its LogisticRegression has the same minimum.

    >>> problem = gd.problems.logistic(jnp.array([[0.0], [1.0]]), jnp.array([-1, 1]))
    >>> print(problem({"w": jnp.zeros(1), "b": jnp.zeros(())}))
    0.69315
    """
    x, y = _two_classes("logistic", x, y)
    design = np.column_stack([x, np.ones(len(x))])
    steepest = np.linalg.eigvalsh(design.T @ design / len(x))[-1] / 4 + 1 / (c * len(x))
    return Problem("logistic", _logistic, _origin(x), (x, y, float(c)), lipschitz=float(steepest))


def _hinge(params, x, y, of_loss, of_weights):
    margins = y * (x @ params["w"] + params["b"])
    return of_loss * jnp.mean(jnp.maximum(0, 1 - margins)) + of_weights * jnp.sum(params["w"] ** 2)


def hinge(x: Any = None, y: Any = None, c: float = 10.0, form: str = "half") -> Problem:
    """The linear support vector machine, y -1 or 1, in any of the lecture's three forms; hinge = max(0, 1 - y (w·x + b)).

        half    C/n sum hinge + 1/2 |w|²         scikit-learn: SVC(kernel="linear", C=C/n)
        whole   C/n sum hinge + |w|²             the half form at C/2, twice over
        mean    1/n sum hinge + c |w|²           the half form at C = 1/(2c), divided by it

    Args:
        c: > 0; C, or the penalty of the mean form.
        form: "half", "whole" or "mean".

    >>> problem = gd.problems.hinge(jnp.array([[0.0], [1.0]]), jnp.array([-1, 1]), c=10.0)
    >>> print(problem({"w": jnp.ones(1), "b": jnp.zeros(())}))
    5.5
    """
    if form not in HINGES:
        raise ValueError(f"hinge: form must be one of {', '.join(HINGES)}, got {form!r}")
    x, y = _two_classes("hinge", x, y)
    factors = {"half": (c, 0.5), "whole": (c, 1.0), "mean": (1.0, c)}[form]
    return Problem("hinge", _hinge, _origin(x), (x, y, *map(float, factors)))


def _softmax(params, x, y, penalty):
    logits = x @ params["w"] + params["b"]
    picked = jnp.take_along_axis(logits, y[:, None], axis=-1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - picked) + penalty * jnp.sum(params["w"] ** 2)


def softmax(x: Any = None, y: Any = None, penalty: float = 1e-3) -> Problem:
    """Softmax regression: the mean cross-entropy of softmax(w'x + b), y (n,) whole numbers from 0, and penalty |w|²: nats.

    Args:
        penalty: >= 0.

    >>> problem = gd.problems.softmax(jnp.array([[0.0], [1.0]]), jnp.array([0, 1]))
    >>> print(problem({"w": jnp.zeros((1, 2)), "b": jnp.zeros(2)}))
    0.69315
    """
    if x is None:
        rng = np.random.default_rng(2)
        y = rng.integers(0, 3, 300)
        x = rng.normal(size=(300, 2)) + np.array([[0.0, 2.0], [-2.0, -1.0], [2.0, -1.0]])[y]
    x, y = _table("softmax", x, y)
    classes = int(np.max(y)) + 1
    design = np.column_stack([x, np.ones(len(x))])
    steepest = np.linalg.eigvalsh(design.T @ design / len(x))[-1] / 2 + 2 * penalty
    start = {"w": np.zeros((x.shape[1], classes)), "b": np.zeros(classes)}
    return Problem("softmax", _softmax, start, (x, y.astype(np.int32), float(penalty)), lipschitz=float(steepest))


def decay_residuals(params: dict[str, jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
    """a exp(-rate x) + floor - y, (n,)."""
    return params["a"] * jnp.exp(-params["rate"] * x) + params["floor"] - y


def _decay(params, x, y):
    return 0.5 * jnp.sum(decay_residuals(params, x, y) ** 2)


def exponential_decay(x: Any = None, y: Any = None) -> Problem:
    """Nonlinear least squares: 1/2 sum (a exp(-rate x) + floor - y)², x and y (n,). Without data, made by a = 5, rate = 1.3,
    floor = 0.5 and free of noise, so that the minimum is known.

    >>> problem = gd.problems.exponential_decay()
    >>> print(problem.minima[0])
    {'a': array(5.), 'rate': array(1.3), 'floor': array(0.5)}
    """
    minima: tuple = ()
    if x is None:
        x = np.linspace(0, 4, 40)
        y = 5 * np.exp(-1.3 * x) + 0.5
        minima = ({"a": np.array(5.0), "rate": np.array(1.3), "floor": np.array(0.5)},)
    x, y = np.asarray(x, float), np.asarray(y, float)
    start = {"a": np.array(1.0), "rate": np.array(0.3), "floor": np.array(0.0)}
    value = 0.0 if minima else None
    return Problem("exponential_decay", _decay, start, (x, y), minima, value, residuals=decay_residuals)


def _two_classes(who: str, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    if x is None:
        rng = np.random.default_rng(1)
        y = np.where(np.arange(200) < 100, -1.0, 1.0)
        x = rng.normal(size=(200, 2)) + y[:, None] * [1.0, 0.7]
    x, y = _table(who, x, y)
    if not np.isin(y, (-1, 1)).all():
        raise ValueError(f"{who}: y must be -1 or 1, got {sorted(set(y.tolist()))[:4]}")
    return x, y.astype(float)


def _origin(x: np.ndarray) -> dict[str, np.ndarray]:
    return {"w": np.zeros(x.shape[1]), "b": np.zeros(())}


def _table(who: str, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x, float), np.asarray(y)
    if x.ndim != 2 or y.shape != x.shape[:1]:
        raise ValueError(f"{who}: x must be (n, d) and y (n,), got {x.shape} and {y.shape}")
    return x, y
