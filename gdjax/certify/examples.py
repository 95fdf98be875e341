"""The calls that are certified and put under the laws: for each optimizer its defaults, then its other ways.

An optimizer without an entry is certified at its defaults with a learning rate of 0.01.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from gdjax import schedules
from gdjax.nodes import Optimizer
from gdjax.optimizers import OPTIMIZERS, adadelta, adagrad, adam, adamw, momentum, rmsprop, sgd


def matrices(params: Any) -> Any:
    """A mask: what has two dimensions or more."""
    return jax.tree.map(lambda p: p.ndim >= 2, params)


MASK = matrices

EXAMPLES: dict[str, Callable[[], list[Optimizer]]] = {
    "sgd": lambda: [
        sgd(0.01),
        sgd(0.01, momentum=0.9),
        sgd(schedules.cosine(0.01, 1000), momentum=0.9, nesterov=True),
    ],
    "momentum": lambda: [momentum(0.01), momentum(schedules.linear(0.1, 0.0, 1000), 0.8, nesterov=True)],
    "adagrad": lambda: [adagrad(0.01), adagrad(0.01, initial_accumulator_value=0.0, eps=1e-5)],
    "rmsprop": lambda: [
        rmsprop(0.01),
        rmsprop(0.01, centered=True, momentum=0.9, initial_scale=1.0),
        rmsprop(0.01, eps_in_sqrt=False, momentum=0.5, nesterov=True, bias_correction=True),
    ],
    "adadelta": lambda: [adadelta(1.0), adadelta(0.5, rho=0.95, weight_decay=0.1, weight_decay_mask=MASK)],
    "adam": lambda: [
        adam(0.01),
        adam(schedules.cosine(0.01, 1000), b1=0.8, eps=1e-4, eps_root=1e-6, nesterov=True),
    ],
    "adamw": lambda: [
        adamw(0.01),
        adamw(0.01, b1=schedules.linear(0.5, 0.9, 500), weight_decay=schedules.constant(0.1), mask=MASK),
    ],
}


def examples(name: str) -> list[Optimizer]:
    """The calls of an optimizer that are certified, its plainest first."""
    return EXAMPLES[name]() if name in EXAMPLES else [OPTIMIZERS[name](0.01)]
