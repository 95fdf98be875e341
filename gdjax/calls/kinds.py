"""The four kinds of node: optimizers, schedules, stopping conditions and models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from gdjax.calls.factory import Decorator, Recipe, decorator, is_factory
from gdjax.calls.node import Node, register
from gdjax.calls.rates import WithRate, inner_state, one_rate, rate_of
from gdjax.calls.spec import data_of


@runtime_checkable
class InitUpdate(Protocol):
    """(init, update): the protocol of Optax's transformations, for type checkers that do not see Optax's types."""

    def init(self, params: Any) -> Any: ...

    def update(self, updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any: ...


_Transformation = optax.GradientTransformationExtraArgs
assert issubclass(_Transformation, InitUpdate)


class Optimizer(Node, _Transformation):
    """A node that is an `optax.GradientTransformationExtraArgs`: `init(params)`, `update(grads, state, params, **extra)`."""

    takes_schedules = True

    @classmethod
    def _make(cls, recipe: Recipe, children: dict[str, Any]) -> Optimizer:
        def functions() -> optax.GradientTransformationExtraArgs:
            built = node.build()
            if not isinstance(built, optax.GradientTransformation):
                built = optax.GradientTransformationExtraArgs(*built)
            return optax.with_extra_args_support(built)

        def init(params):
            params = _with_arrays(params)
            return _own_buffers(functions().init(params), (params, node))

        def update(updates, state, params=None, **extra_args):
            return functions().update(updates, state, _with_arrays(params), **extra_args)

        node = tuple.__new__(cls, (init, update))
        node.recipe, node._children = recipe, children
        return node

    def learning_rate_at(self, state: Any, evaluation: Any = None) -> Any:
        """The learning rate of the next update, (); None if the optimizer has no rate, NaN if the rates of leaves differ.

        Args:
            state: state of this optimizer, in which each schedule finds its own count; or a step, used for all counts.
            evaluation: as in a TrainState, for wrappers that scale the rate after an evaluation.
        """
        built = (node.build() for node in self.walk() if isinstance(node, Optimizer))
        if any(isinstance(pair, WithRate) and not pair.exact for pair in built):
            return None
        return one_rate(self.learning_rates_at(state, evaluation))

    def learning_rates_at(self, state: Any, evaluation: Any = None) -> Any:
        """The rate that a decoupled decay multiplies: as `learning_rate_at`, but also if the step is no multiple of the rate
        (because its scale is learned, for example). A list, if leaves have their own rates; None for a frozen leaf."""
        built, rate = self.build(), self.arguments.get("learning_rate")
        if isinstance(built, WithRate):
            return built.rate_at(state, evaluation)
        if rate is not None:
            return rate_of(rate, state)
        around = [x for x in self.arguments.values() if isinstance(x, Optimizer)]
        if len(around) != 1:
            return None
        keeps_nothing = built[0] is around[0].init  # then the state is that of the inner optimizer
        return around[0].learning_rates_at(state if keeps_nothing else inner_state(state), evaluation)


class Schedule(Node):
    """A node that is called with a step, () int32, and returns a number, () float."""

    def __call__(self, step: Any) -> jax.Array:
        return self.build()(step)


class Condition(Node):
    """A stopping condition: `init() -> state`, `update(state, observation) -> (state, stop)`; see `gdjax.stopping`.

    An update may declare as attributes `needs = ("batch_change",)`, what a step must measure for it, and
    `judges = (Stop.DIVERGED,)`, the stops for which it replaces the test that `minimize` has itself.
    """

    def init(self) -> Any:
        return self.build()[0]()

    def update(self, state: Any, observation: Any) -> tuple[Any, jax.Array]:
        return self.build()[1](state, observation)

    def declared(self, name: str) -> set[Any]:
        """What the updates of this condition and of those among its arguments declare under a name."""
        updates = (each.build()[1] for each in self.walk() if isinstance(each, Condition))
        return {x for update in updates for x in getattr(update, name, ())}


class Model(Node):
    """A model: `init(key) -> params`, `apply(params, x, key=None) -> y`; it is random only if a key is given.

    A model with a state, such as the running statistics of batch norm, is one whose body returns a third function,
    `init_state() -> state`, and whose second is `apply(params, state, x, key=None, weight=None) -> (y, state)`. The state
    follows the key, as dropout does: with one (in training) the statistics are those of the batch, and the state moves
    on; without one the state is used and stays.
    """

    def init(self, key: jax.Array) -> Any:
        return self.build()[0](key)

    def apply(self, params: Any, x: Any, key: jax.Array | None = None) -> Any:
        """The outputs.

        Raises: ValueError for a model with a state, of which they depend; see `apply_with_state`.
        """
        if self.has_state:
            raise ValueError(
                f"{self.recipe.name}: a model with a state must be called by apply_with_state(params, state, x), which "
                "returns (y, state), got a call of apply; state is result.model_state after a run, and init_state() before; "
                "per_example(supervised(model, ...)) and make_evaluate(..., predict=model) do so by themselves"
            )
        return self.build()[1](params, x, key)

    @property
    def has_state(self) -> bool:
        return len(self.build()) == 3

    def init_state(self) -> Any:
        """The state before training; () of a model without."""
        return with_state(self.build())[2]()

    def apply_with_state(
        self, params: Any, state: Any, x: Any, key: jax.Array | None = None, weight: Any = None
    ) -> tuple[Any, Any]:
        """(outputs, state).

        Args:
            x: with a key and a state a batch, (B, ...); else its leading axes are free.
            key: whether this is training: with None the state is used, and returned as it came.
            weight: how much each row counts in statistics of the batch, (B,) float >= 0; None if all count alike. The
                outputs of a row of weight 0 are computed as those of any other.

        Raises: ValueError if the state is not like the initial one.
        """
        _, apply, init_state = with_state(self.build())
        first = jax.eval_shape(init_state)
        if jax.tree.structure(state) != jax.tree.structure(first) or _shapes(state) != _shapes(first):
            expected = f"that of init_state(), whose shapes are {jax.tree.map(np.shape, first)!r}"
            raise ValueError(
                f"{self.recipe.name}: state must be like {expected}, got {jax.tree.map(np.shape, state)!r}"
            )
        return apply(params, state, x, key, weight)


def _shapes(tree: Any) -> list[tuple[int, ...]]:
    return [np.shape(x) for x in jax.tree.leaves(tree)]


def with_state(built: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    """(init, apply, init_state) from what the body of a model returns; the state of a model that has none is ()."""
    if len(built) == 3:
        return built
    init, apply = built
    return init, lambda params, state, x, key=None, weight=None: (apply(params, x, key), ()), lambda: ()


def of_parts(parts: Sequence[tuple[Any, ...]], init: Any, apply: Any, init_state: Any) -> tuple[Any, ...]:
    """What the body of a model of several parts returns, from its functions with a state: (init, apply) if no part has one.

    Args:
        parts: what the bodies of the parts return.
    """
    if any(len(part) == 3 for part in parts):
        return init, apply, init_state
    return init, lambda params, x, key=None: apply(params, init_state(), x, key)[0]


for _kind in (Optimizer, Schedule, Condition, Model):
    register(_kind)


optimizer: Decorator[Optimizer] = decorator(
    Optimizer,
    "A factory of optimizers from a body that returns (init, update).",
    """
    >>> @gd.optimizer(bounds={"learning_rate": "[0, inf)"})
    ... def descent(learning_rate):
    ...     return lambda params: (), lambda grads, state, params=None: (-learning_rate * grads, state)
    >>> print(descent(0.1), descent(0.1).update(jnp.array([1.0, -2.0]), ())[0])
    descent(0.1) [-0.1 0.2]
    """,
)


schedule: Decorator[Schedule] = decorator(
    Schedule,
    "A factory of schedules from a body that returns a function of the step.",
    """
    >>> @gd.schedule
    ... def halving(init_value):
    ...     return lambda step: init_value * 0.5**step
    >>> print(halving(8.0), halving(8.0)(2))
    halving(8) 2.0
    """,
)


condition: Decorator[Condition] = decorator(
    Condition,
    "A factory of stopping conditions from a body that returns (init, update).",
    """
    >>> @gd.condition
    ... def below(value):
    ...     return lambda: (), lambda state, seen: (state, jnp.where(seen.value < value, gd.Stop.TARGET, gd.Stop.RUNNING))
    >>> print(gd.minimize(lambda x: x**2, 1.0, gd.sgd(0.1), stop=below(0.5)).stop.name)
    TARGET
    """,
)


model: Decorator[Model] = decorator(
    Model,
    "A factory of models from a body that returns (init, apply), or (init, apply, init_state) for one with a state.",
    """
    >>> @gd.model
    ... def line(slope):
    ...     return lambda key: jnp.zeros(()), lambda params, x, key=None: slope * x + params
    >>> print(line(2.0), line(2.0).apply(jnp.float32(1.0), 3.0))
    line(2) 7.0
    """,
)


@optimizer
def from_optax(transformation: optax.GradientTransformation):
    """A raw Optax transformation as a node. Its numbers stay where Optax put them, inside its closures.

    To make them leaves too, lift the factory instead of the result: `optimizer(optax.adamw)`, once.
    """
    return optax.with_extra_args_support(transformation)


def as_optimizer(x: Any) -> Optimizer:
    """An optimizer of gdjax as it is, or a transformation of Optax as a node (also from `gradient_transformation()`).

    Raises: TypeError for anything else.

    >>> print(gd.as_optimizer(gd.sgd(0.1)))
    sgd(0.1)
    """
    if isinstance(x, Optimizer):
        return x
    if hasattr(x, "gradient_transformation"):
        return as_optimizer(x.gradient_transformation())
    if isinstance(x, optax.GradientTransformation):
        return from_optax(x)
    name = getattr(x, "__qualname__", None)
    made_by_a_call = is_factory(x) or (getattr(x, "__module__", None) or "").startswith("optax")
    hint = f"; call it, {name}(...)" if made_by_a_call else "; a class is none, write gd.adam(1e-3)"
    hint = (
        hint
        if made_by_a_call or isinstance(x, type)
        else f"; write gd.{x if '(' in x else x + '(1e-3)'}"
        if isinstance(x, str)
        else ""
    )
    raise TypeError(f"expected an optimizer of gdjax or an Optax transformation, got {name or repr(x)}{hint}")


def _with_arrays(params: Any) -> Any:
    """The parameters with an array in place of each number of Python, which Optax's optimizers take too."""
    return jax.tree.map(lambda p: jnp.asarray(p) if isinstance(p, float | complex) else p, params)


def _own_buffers(state: Any, others: Any) -> Any:
    """The state with every leaf in its own buffer, which no other leaf (nor `others`) shares, so that it may be donated."""
    taken = {_buffer(x) for x in jax.tree.leaves(others) if _holds(x)}

    def own(x: Any) -> Any:
        if not _holds(x):
            return x
        if _buffer(x) in taken:
            x = jnp.array(x, copy=True)  # a tracer while a program is traced
        if _holds(x):
            taken.add(_buffer(x))
        return x

    return jax.tree.map(own, state)


def _holds(x: Any) -> bool:
    return isinstance(x, jax.Array) and not isinstance(x, Tracer) and x.size > 0


def _buffer(x: jax.Array) -> int:
    """The identity of an array's buffer: its address or, for an array on several devices, the object's id."""
    if len(x.devices()) > 1:
        return id(x)
    return data_of(x).unsafe_buffer_pointer()
