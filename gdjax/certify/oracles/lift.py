"""The oracle of a per-leaf method is written for one array, and run once for each leaf.

An *oracle* is a generator in plain NumPy float64, written from the paper with the arguments of our factory:

    def sgd(p, learning_rate):              p: the leaf at the start
        u = None
        for t in itertools.count(1):        t = step + 1
            g, p, value = yield u           what this step sees, for the update that the last one made
            u = -at(learning_rate, t) * g

`per_leaf` converts it to a generator over lists of leaves, the form of the oracles of methods that combine all leaves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeAlias

import numpy as np


class StepInput(NamedTuple):
    """The input of one step: a gradient, a parameter (an array each, or a list of them) and the value."""

    grads: Any
    params: Any
    value: float


class PerLeaf(list[Any]):
    """An argument that differs between leaves, such as a mask."""


Path: TypeAlias = Generator[Any, StepInput, None]
Oracle: TypeAlias = Callable[..., Path]


def per_leaf(oracle: Oracle) -> Oracle:
    """An oracle over lists of leaves, from an oracle for a single leaf."""

    @functools.wraps(oracle)
    def tree_path(params: list[np.ndarray], **arguments: Any) -> Path:
        def of_leaf(i: int) -> dict[str, Any]:
            return {name: x[i] if isinstance(x, PerLeaf) else x for name, x in arguments.items()}

        alone = [oracle(p, **of_leaf(i)) for i, p in enumerate(params)]
        updates = [next(generator) for generator in alone]
        while True:
            grads, params, value = yield updates
            updates = [
                generator.send(StepInput(g, p, value)) for generator, g, p in zip(alone, grads, params, strict=True)
            ]

    return tree_path


def at(x: Any, t: int) -> Any:
    """The value of a number or a schedule at step t - 1."""
    return x(t - 1) if callable(x) else x


def abs_sq(x: Any) -> Any:
    return x.real**2 + x.imag**2
