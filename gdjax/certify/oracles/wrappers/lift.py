"""The interface of wrapper oracles: generators like those of optimizers, around the oracle of the inner optimizer.

    def average(params, inner, decay, debias):     params: the leaves at the start; the other names are the factory's
        step, answer = inner.start(params), None
        while True:
            seen = yield answer                    seen.params, seen.grads, ... of this step, lists of leaves
            updates = step(seen)                   what the inner oracle does
            answer = Answer(updates, evaluated)    evaluated: the leaves to evaluate after this step, None for p + u

The parameters of a wrapper follow its updates, while the gradients are recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from gdjax import optimizers as o
from gdjax.calls import Optimizer
from gdjax.certify.oracles.lift import PerLeaf, StepInput, at


class WrapperInput(NamedTuple):
    """The input of one step: the recorded gradient, the wrapper's own parameters, and values that only some need."""

    grads: list[np.ndarray]
    params: list[np.ndarray]
    value: float
    evaluation: tuple[float, int]  # (value, how many there were)
    gradient: Callable[[list[np.ndarray]], list[np.ndarray]]  # the ascent of `value_fn` at any parameters


class Answer(NamedTuple):
    updates: list[np.ndarray]
    evaluated: list[np.ndarray] | None = None
    shown: dict[str, float] = {}  # noqa: RUF012  (never written to)


Wrapped: TypeAlias = Generator[Any, WrapperInput, None]


class Inner(NamedTuple):
    """The inner optimizer: an oracle and its arguments; `names` are those of the leaves."""

    oracle: Callable[..., Any]
    arguments: dict[str, Any]
    wraps: bool  # whether the oracle is itself that of a wrapper

    def start(self, params: list[np.ndarray]) -> Callable[..., list[np.ndarray]]:
        """(seen, grads, params) -> updates, from a fresh state; grads and params in the place of those seen."""
        answer = self.answering(params)
        return lambda seen, grads=None, params=None: answer(seen, grads, params).updates

    def answering(self, params: list[np.ndarray]) -> Callable[..., Answer]:
        """As `start`, but steps return an Answer with the parameters to evaluate."""
        generator = self.oracle(params, **self.arguments)
        next(generator)

        def step(seen: WrapperInput, grads: Any, params: Any) -> Answer:
            grads = seen.grads if grads is None else grads
            params = seen.params if params is None else params
            if self.wraps:
                return generator.send(seen._replace(grads=grads, params=params))
            return Answer(generator.send(StepInput(grads, params, seen.value)))

        return step

    def of_leaves(self, which: list[int]) -> Inner:
        """The inner optimizer for some of the leaves, with masks restricted to them."""
        cut = {
            name: PerLeaf(x[i] for i in which) if isinstance(x, PerLeaf) else x for name, x in self.arguments.items()
        }
        return self._replace(arguments=cut)

    def rate(self, t: int) -> Any:
        """The learning rate of step t, from 1."""
        if "learning_rate" in self.arguments:
            return at(self.arguments["learning_rate"], t)
        return next(x for x in self.arguments.values() if isinstance(x, Inner)).rate(t)


def norm(leaves: list[np.ndarray]) -> Any:
    """The Euclidean norm of all leaves together."""
    return np.sqrt(sum(np.sum(np.abs(x) ** 2) for x in leaves))


def inner_product(a: list[np.ndarray], b: list[np.ndarray]) -> Any:
    return sum(np.sum(np.real(x.conj() * y)) for x, y in zip(a, b, strict=True))


def over(x: Any, divisor: Any) -> Any:
    """x / divisor, 0 where the divisor is 0."""
    return 0 * x if divisor == 0 else x / divisor


def heavy() -> Optimizer:
    """Descent with momentum, an inner optimizer with a state for the examples."""
    return o.sgd(0.01, 0.9)
