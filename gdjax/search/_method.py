"""A method that needs no gradient: a call node of three pure functions.

    init(params, value, key, value_fn) -> state           state has the fields params, value and done
    ask(state, key, value_fn) -> (candidates, state)      a tree like params, (n, ...) each
    tell(state, candidates, values) -> state

`value_fn(params)` is the value at the nearest point of the set in which the search is kept; f is evaluated nowhere else.
`value_fn.at(points)`, for a first population (n, ...), returns the nearest points and their values; `value_fn.f` is f.
A NaN value is replaced by infinity, so that methods need not handle it. `done` is a bool (True: CONVERGED) or a `Stop`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import Decorator, Node, decorator, register
from gdjax.projections.sets import project_params
from gdjax.types import Params, Stop


class Method(Node):
    """A node of (init, ask, tell)."""


register(Method)
method: Decorator[Method] = decorator(
    Method,
    "A factory of search methods from a body that returns (init, ask, tell).",
    """
    >>> import collections
    >>> State = collections.namedtuple("State", "params value done")
    >>> @gd.search.method
    ... def downhill(step=1.0):
    ...     def ask(state, key, value_fn):
    ...         return jnp.stack([state.params - step, state.params + step]), state
    ...     def tell(state, candidates, values):
    ...         best = jnp.argmin(values)
    ...         better = values[best] < state.value
    ...         params = jnp.where(better, candidates[best], state.params)
    ...         return State(params, jnp.minimum(values[best], state.value), ~better)
    ...     return lambda params, value, key, value_fn: State(params, value, jnp.array(False)), ask, tell
    >>> print(gd.minimize(lambda x: (x - 3.0) ** 2, 0.0, downhill(1.0)).params)
    3.0
    """,
)


@dataclasses.dataclass(frozen=True)
class Values:
    """The function that a method evaluates, with points projected onto the set."""

    f: Callable[[Params], jax.Array]
    onto: Any

    def __call__(self, params: Params) -> jax.Array:
        return self.f(project_params("minimize", self.onto, params))

    def at(self, points: Params) -> tuple[Params, jax.Array]:
        """The nearest points (n, ...) of the set, and the values there (n,)."""
        if self.onto is not None:
            points = jax.vmap(lambda p: project_params("minimize", self.onto, p))(points)
        return points, jax.vmap(self.f)(points)


class FixedState(NamedTuple):
    """The state of a method with no further state than its point."""

    params: Params
    value: jax.Array
    done: jax.Array


def best_of(state: Any, candidates: Params, values: jax.Array) -> tuple[Params, jax.Array, jax.Array]:
    """(params, value, improved): the best candidate, or the present point if none is better."""
    best = jnp.argmin(values)
    improved = values[best] < state.value
    params = tree.select(improved, jax.tree.map(lambda x: x[best], candidates), state.params)
    return params, jnp.where(improved, values[best], state.value), improved


def stack(*trees: Any) -> Any:
    """Trees stacked into one, each leaf with a new leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def too_short(params: Params, step: Any) -> jax.Array:
    """Whether a step of this length is within the rounding of some entry."""
    lost = [jnp.any((x + jnp.asarray(step, x.dtype)) == x) for x in map(jnp.asarray, jax.tree.leaves(params))]
    return functools.reduce(jnp.logical_or, lost)


def stop_code(done: jax.Array, stalled: jax.Array) -> jax.Array:
    """The `Stop` of a method: RUNNING, CONVERGED, or STALLED if its steps became too short."""
    return jnp.where(done, jnp.where(stalled, Stop.STALLED, Stop.CONVERGED), Stop.RUNNING).astype(jnp.int32)


@method
def stay():
    """Stay at the start, which is where it ends: all that there is to do where there is no parameter."""

    def init(params, value, key, value_fn):
        return FixedState(params, value, jnp.array(True))

    def ask(state, key, value_fn):
        return jax.tree.map(lambda x: x[None], state.params), state

    def tell(state, candidates, values):
        return state

    return init, ask, tell
