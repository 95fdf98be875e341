"""gdjax's landscapes, update rules and elementary derivatives as one JavaScript file: `script()`.

A landscape is its value and `jax.grad` of it; an optimizer is one step (parameters, state, gradient, hyperparameters) ->
(parameters, state) by its own `update`; an operation of a graph is its value and its partial derivatives by `jax.grad`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd

from .emitter import emit

LANDSCAPES: dict[str, tuple[str, Callable[[], Any]]] = {  # "name: equation" for people, and the problem
    "bowl1": ("Round bowl: x² + y²", lambda: gd.problems.bowl(1.0)),
    "bowl10": ("Bowl: 10x² + y²", lambda: gd.problems.bowl(10.0)),
    "bowl100": ("Steep bowl: 100x² + y²", lambda: gd.problems.bowl(100.0)),
    "quadratic": ("Turned bowl: of curvatures 1 and 100", gd.problems.quadratic),
    "rosenbrock": ("Rosenbrock's valley: (1 - x)² + 100 (y - x²)²", gd.problems.rosenbrock),
    "himmelblau": ("Himmelblau's four minima: (x² + y - 11)² + (x + y² - 7)²", gd.problems.himmelblau),
    "beale": ("Beale's corners: (1.5 - x + xy)² + (2.25 - x + xy²)² + (2.625 - x + xy³)²", gd.problems.beale),
    "saddle": ("Saddle: x² - y²", gd.problems.saddle),
    "plateau": ("Hole in a plain: 1 - exp(-x² - y²)", gd.problems.plateau),
    "double_well": ("Double well: (x² - 4)² / 16", gd.problems.double_well),
    "tilted_well": ("Tilted well: x⁴/4 - x³/3 - 2x²", gd.problems.tilted_well),
    "waves": ("Waves: x²/20 - cos 2x", gd.problems.waves),
}


@dataclasses.dataclass(frozen=True)
class Rule:
    """An optimizer of the explorer: its factory takes the learning rate and these hyperparameters, by position."""

    label: str
    factory: Callable[..., Any]
    numbers: dict[str, float]


OPTIMIZERS = {
    "sgd": Rule("SGD: plain gradient descent", gd.sgd, {}),
    "momentum": Rule("Momentum", lambda rate, decay: gd.momentum(rate, decay=decay), {"decay": 0.9}),
    "nesterov": Rule("Momentum, Nesterov's", lambda rate, decay: gd.momentum(rate, decay, True), {"decay": 0.9}),
    "rmsprop": Rule("RMSProp", lambda rate, decay: gd.rmsprop(rate, decay=decay), {"decay": 0.9}),
    "adam": Rule("Adam", lambda rate, b1, b2: gd.adam(rate, b1=b1, b2=b2), {"b1": 0.9, "b2": 0.999}),
}
OPERATIONS: dict[str, tuple[int, Callable[..., Any]]] = {  # with the number of their inputs
    "add": (2, lambda a, b: a + b),
    "sub": (2, lambda a, b: a - b),
    "mul": (2, lambda a, b: a * b),
    "div": (2, lambda a, b: a / b),
    "pow": (2, jnp.power),
    "max": (2, jnp.maximum),
    "neg": (1, lambda a: -a),
    "exp": (1, jnp.exp),
    "log": (1, jnp.log),
    "sin": (1, jnp.sin),
    "cos": (1, jnp.cos),
    "tanh": (1, jnp.tanh),
    "sigmoid": (1, jax.nn.sigmoid),
    "relu": (1, jax.nn.relu),
}


def landscape(name: str) -> dict[str, Any]:
    """What the page knows of a landscape; the values under `value` and `slope` are JavaScript."""
    label, factory = LANDSCAPES[name]
    problem = factory()
    start = np.asarray(problem.start, float)
    points = lambda found: [np.ravel(point).tolist() for point in found]  # noqa: E731
    return {
        "label": label.partition(": ")[0],
        "equation": label.partition(": ")[2],
        "start": np.ravel(start).tolist(),
        "bounds": np.asarray(problem.bounds, float).tolist(),
        "lowest": problem.value,
        "minima": points(problem.minima),
        "stationary": points(problem.stationary),
        "lipschitz": problem.lipschitz,
        "value": emit(problem, start),
        "slope": emit(jax.value_and_grad(problem), start),
    }


def optimizer(name: str) -> dict[str, Any]:
    """What the page knows of an optimizer; `steps[n]` is the JavaScript of one step in n variables."""
    rule = OPTIMIZERS[name]
    numbers = [{"name": each, "start": start} for each, start in rule.numbers.items()]
    return {
        "label": rule.label,
        "numbers": numbers,
        "states": {n: initial_state(rule, shape) for n, shape in ((1, ()), (2, (2,)))},
        "steps": {n: step(rule, shape) for n, shape in ((1, ()), (2, (2,)))},
    }


def initial_state(rule: Rule, shape: tuple[int, ...]) -> list[float]:
    """The numbers of a new state, which do not depend on the start."""
    with jax.enable_x64(True):
        states = [rule.factory(0.1, *rule.numbers.values()).init(jnp.full(shape, x)) for x in (0.0, 1.0)]
    first, second = ([x for leaf in jax.tree.leaves(s) for x in np.ravel(leaf).tolist()] for s in states)
    if first != second:
        raise ValueError(f"{rule.label}: its first state depends on the parameters, which the page does not compute")
    return first


def step(rule: Rule, shape: tuple[int, ...]) -> str:
    """(parameters, state, gradient, learning rate, hyperparameters) -> (parameters, state) as JavaScript."""
    with jax.enable_x64(True):
        params = jnp.zeros(shape)
        leaves, tree = jax.tree.flatten(rule.factory(0.1, *rule.numbers.values()).init(params))

    def one_step(params, leaves, gradient, numbers):
        updates, state = rule.factory(*numbers).update(gradient, jax.tree.unflatten(tree, leaves), params)
        return gd.apply_updates(params, updates), jax.tree.leaves(state)

    numbers = tuple(np.float64(x) for x in (0.1, *rule.numbers.values()))
    return emit(one_step, np.zeros(shape), leaves, np.zeros(shape), numbers)


def operation(name: str) -> dict[str, Any]:
    """An operation of a graph: its value and its partial derivatives, one after the other, as JavaScript."""
    count, function = OPERATIONS[name]
    both = jax.value_and_grad(function, argnums=tuple(range(count)))
    return {"inputs": count, "derivatives": emit(both, *[np.float64(1.5)] * count)}


def script() -> str:
    """The file of all rules."""
    parts = {
        "landscapes": {name: landscape(name) for name in LANDSCAPES},
        "optimizers": {name: optimizer(name) for name in OPTIMIZERS},
        "operations": {name: operation(name) for name in OPERATIONS},
    }
    text = "".join(f"gdjax.{name} = {_object(part, '')};\n\n" for name, part in parts.items())
    head = f"// Written from gdjax {gd.__version__} by jax.make_jaxpr: do not edit."
    return f"{head}\n'use strict';\nconst gdjax = {{}};\n{text}"


def _object(value: Any, indent: str) -> str:
    """JSON, except that functions stand as they are."""
    if isinstance(value, str) and value.startswith("(v, out) =>"):
        return value.replace("\n", "\n" + indent)
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    inner = indent + "  "
    lines = "".join(f"{inner}{json.dumps(str(key))}: {_object(each, inner)},\n" for key, each in value.items())
    return "{\n" + lines + indent + "}"
