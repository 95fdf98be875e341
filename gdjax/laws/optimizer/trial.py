"""An optimizer under test: one compiled update that all laws share, on one tree of parameters."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from gdjax.calls.node import Node
from gdjax.tree import ascent
from gdjax.types import Evaluation

REFUSED = (TypeError, ValueError, NotImplementedError)  # errors of an optimizer that does not support a dtype
TRACES = [0]  # number of traces of the program below, to count compilations


@dataclasses.dataclass
class Trial:
    """An optimizer with parameters, and the computations that the laws share.

    with_rate: learning rate (a number or a schedule) -> the same method with it; None if there is no rate.
    per_example: whether its gradients are those of single examples, (n, ...) for each leaf.
    examples: number of random trees and gradients that the laws draw.
    """

    optimizer: Any
    params: Any
    with_rate: Callable[[Any], Any] | None = None
    per_example: bool = False
    examples: int = 10

    def update(self, grads: Any, state: Any, params: Any, i: Any = 0, height: Any = 1.0, optimizer: Any = None) -> Any:
        """(updates, state) of step i without compilation, on the objective multiplied by `height`."""
        optimizer = self.optimizer if optimizer is None else optimizer
        return advance(optimizer, grads, state, params, i, height, self.per_example)[::2]

    def compiled_update(
        self, grads: Any, state: Any, params: Any, i: Any = 0, height: Any = 1.0, optimizer: Any = None
    ) -> Any:
        """(updates, state) by one compiled program, whose arguments are the numbers of a node."""
        updates, _, state = self._program(grads, state, params, i, height, optimizer)
        return updates, state

    def step(self, params: Any, state: Any, grads: Any, i: Any = 0, optimizer: Any = None) -> Any:
        """(params, state) by the same program."""
        return self._program(grads, state, params, i, 1.0, optimizer)[1:]

    def _program(self, grads: Any, state: Any, params: Any, i: Any, height: Any, optimizer: Any) -> Any:
        optimizer = self.optimizer if optimizer is None else optimizer
        static, node = (None, optimizer) if isinstance(optimizer, Node) else (optimizer, None)
        return _program(static, self.per_example, node, grads, state, params, i, height)

    @functools.cached_property
    def first(self) -> Any:
        """(params, state, gradients) after one compiled step."""
        params, state = self.step(self.params, self.optimizer.init(self.params), gradients(self.params), 0)
        return params, state, gradients(params, 1)

    @functools.cached_property
    def eager(self) -> Any:
        """(the result of the second update without compilation, its arguments before, and after it)."""
        params, state, grads = (copy_containers(x) for x in self.first)
        before = copy_containers((grads, state, params))
        given = self.update(grads, state, params, 1)
        return given, before, (grads, state, params)

    def at_rate(self, rate: Any) -> Any:
        """The method with another rate, its numbers as arrays."""
        assert self.with_rate is not None
        return canonicalize(self.with_rate(rate))


def canonicalize(optimizer: Any) -> Any:
    return optimizer.canonicalize() if isinstance(optimizer, Node) else optimizer


def advance(optimizer: Any, grads: Any, state: Any, params: Any, i: Any, height: Any, per_example: bool = False) -> Any:
    """(updates, new parameters, new state) of one step, with all extra arguments that an optimizer may need."""

    def value_fn(params: Any, evaluation: Any = None, weight: Any = None) -> Any:
        return height * objective(params, i)

    given = jax.tree.map(lambda g: jnp.stack([g, g]), grads) if per_example else grads
    evaluation = Evaluation(jnp.asarray(1.0), jnp.asarray(i, jnp.int32))
    extra = {"value": value_fn(params), "grad": ascent(grads), "value_fn": value_fn, "evaluation": evaluation}
    updates, state = optax.with_extra_args_support(optimizer).update(given, state, params, **extra)
    return updates, optax.apply_updates(params, updates), state


@functools.partial(jax.jit, static_argnums=(0, 1))
def _program(
    static: Any, per_example: bool, node: Any, grads: Any, state: Any, params: Any, i: Any, height: Any
) -> Any:
    TRACES[0] += 1
    return advance(node if static is None else static, grads, state, params, i, height, per_example)


def objective(params: Any, i: Any = 0) -> Any:
    """sum of x/10 - cos(3 x + i) / 3 over all entries."""
    return sum(jnp.sum(jnp.real(0.1 * p - jnp.cos(3 * p + i) / 3)) for p in jax.tree.leaves(params))


def gradients(params: Any, i: Any = 0) -> Any:
    """The gradients of the objective."""
    return jax.tree.map(lambda p: jnp.sin(3 * p + i) + jnp.asarray(0.1, p.dtype), params)


def parameters() -> dict[str, Any]:
    """Name -> tree of parameters for the tests, the smallest first."""
    x = jnp.arange(1.0, 7.0)
    matrix = x.reshape(3, 2) / 3
    return {
        "a scalar": jnp.float32(0.5),
        "a vector of 2": -x[:2],
        "a matrix of (3, 2)": matrix,
        "a tree of a matrix, a vector and a scalar": {"w": matrix, "b": [-x[:2], jnp.float32(0.5)]},
    }


def copy_containers(tree: Any) -> Any:
    """The same leaves in containers of their own."""
    leaves, structure = jax.tree.flatten(tree)
    return copy.copy(structure.unflatten(leaves))


def comparable(tree: Any) -> Any:
    """The tree with random keys replaced by their data, so that it can be compared."""
    return jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, tree)


def is_key(x: Any) -> bool:
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def shapes(tree: Any) -> str:
    """A tree in words: its structure with the dtype and shape of every leaf."""
    return str(jax.tree.map(_Shape, tree))


class _Shape:
    def __init__(self, x: Any):
        self.text = f"{x.dtype}{list(x.shape)}" if hasattr(x, "dtype") else repr(x)

    def __repr__(self) -> str:
        return self.text
