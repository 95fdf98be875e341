"""`treewise` lifts a rule for all leaves together, as one vector, to any pytree.

A rule is written as its equation, with `Vector`s, which have elementwise arithmetic, and scalars:

    rule(g, p, t, value, <slots>, *, <hyperparameters>) -> (direction, {slot: new value})

with the gradient g, the parameters p, t = step + 1 and the loss `value` at p, of which it names those that it needs. A slot
declared as `Slot` is a `Vector`, and one declared as `Scalar` a number. Then  p <- p - learning_rate * direction or, for a
rule that returns the whole step, p <- p - step.

As in `leafwise`, the lift provides schedules for any number, arithmetic in at least float32 with a cast back, complex
leaves, leaves that are None, the empty tree, decay and masks, and errors that name the path.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import WithRate, rate_of
from gdjax.calls.factory import argument_names
from gdjax.optimizers.leafwise import Slot, at_count, check_returns, check_trees, refuse_integers
from gdjax.optimizers.own_gradient import of_own_gradient


@jax.tree_util.register_pytree_node_class
class Vector:
    """A tree of arrays as one vector: + - * / act elementwise, with another vector or a scalar."""

    def __init__(self, leaves: Any):
        self.leaves = leaves

    def tree_flatten(self) -> tuple[tuple[Any], None]:
        return (self.leaves,), None

    @classmethod
    def tree_unflatten(cls, aux: None, children: tuple[Any]) -> Vector:
        del aux
        return cls(*children)

    def map(self, function: Callable[..., Any], *others: Any) -> Vector:
        """The function applied to each leaf, with the corresponding leaves of other vectors, or numbers."""
        vectors = [x.leaves if isinstance(x, Vector) else jax.tree.map(lambda _, x=x: x, self.leaves) for x in others]
        return Vector(jax.tree.map(function, self.leaves, *vectors))

    def __add__(self, other: Any) -> Vector:
        return self.map(operator.add, other)

    def __sub__(self, other: Any) -> Vector:
        return self.map(operator.sub, other)

    def __mul__(self, other: Any) -> Vector:
        return self.map(operator.mul, other)

    def __truediv__(self, other: Any) -> Vector:
        return self.map(operator.truediv, other)

    def __neg__(self) -> Vector:
        return self.map(operator.neg)

    __array_ufunc__ = None  # so that a NumPy number on the left defers to this class

    def __radd__(self, other: Any) -> Vector:
        return self + other

    def __rmul__(self, other: Any) -> Vector:
        return self * other

    def over(self, other: Any) -> Vector:
        """self / other for a number other > 0, else 0."""
        return self.map(tree.ratio, other)

    def dot(self, other: Vector) -> jax.Array:
        """The real inner product, ()."""
        parts = tree.leafmap(lambda x, y: jnp.sum((jnp.conj(x) * y).real), self.leaves, other.leaves)
        return sum(parts, start=jnp.zeros((), jnp.result_type(float)))

    def norm(self) -> jax.Array:
        """The Euclidean norm, (), without intermediate overflow."""
        return tree.global_norm(self.leaves)

    def l1_norm(self) -> jax.Array:
        """The sum of the moduli of all entries, ()."""
        parts = (jnp.sum(jnp.abs(x)) for x in jax.tree.leaves(self.leaves))
        return sum(parts, start=jnp.zeros((), jnp.result_type(float)))


class Scalar(NamedTuple):
    """One number of state for all leaves: its initial value, or a function of the parameters that computes it."""

    value: Any = 0.0

    def init(self, params: Any) -> jax.Array:
        return jnp.asarray(self.value(params) if callable(self.value) else self.value, jnp.result_type(float))


class TreewiseState(NamedTuple):
    """`slots` maps symbols of the equation to trees like the parameters, and `scalars` others to numbers."""

    count: jax.Array | None  # updates so far, () int32; None where neither the rule nor a schedule reads it
    slots: dict[str, Any]
    scalars: dict[str, jax.Array]


VectorDirection: TypeAlias = tuple[Vector, dict[str, Any]]  # the step, and each slot's new value
Rule: TypeAlias = Callable[..., VectorDirection]


def treewise(
    rule: Rule,
    learning_rate: Any,
    *,
    slots: Mapping[str, Slot | Scalar] | None = None,
    returns: Literal["direction", "step"] = "direction",
    weight_decay: Any = None,
    mask: Any = None,
    static: Mapping[str, Any] | None = None,
    **hyperparameters: Any,
) -> WithRate:
    """The (init, update) of a rule that sees all leaves together, as one vector.

        rule(g, p, t, value, <slots>, *, <hyperparameters>) -> (direction, {slot: new value})
        p <- p - learning_rate direction

    with g the gradient, p the parameters, t = step + 1 and value the loss at p; the rule names those that it needs. Vectors
    add, scale and multiply entry by entry; `g.norm()`, `g.dot(p)` and `g.l1_norm()` are numbers.

    Args:
        rule: a module-level function.
        learning_rate: parameter units per step; number, array or schedule; None means 1.
        slots: name -> `Slot` (a vector) or `Scalar`; a rule need not return those that it does not change.
        returns: "direction", which is multiplied by the learning rate, or "step", the whole step to subtract; then the rule
            may name `learning_rate`.
        weight_decay: applied by the rule if it names it, else coupled, g + weight_decay p in place of g (default: none).
        mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree; None means all.
        static: arguments of the rule that are no numbers; hashable and compared by value.
        hyperparameters: numbers, arrays or schedules.

    Raises: TypeError for an integer leaf, ValueError for trees that differ, both naming the path, and for an update
        without the value that the rule names.

    >>> @gd.optimizer
    ... def unit_descent(learning_rate):
    ...     return gd.treewise(lambda g: (g / g.norm(), {}), learning_rate)
    >>> opt, x = unit_descent(0.1), jnp.ones(2)
    >>> print(opt.update(jnp.array([3.0, -4.0]), opt.init(x), x)[0])
    [-0.06 0.08]
    """
    slots, static = slots or {}, static or {}
    check_returns(rule, returns)
    who = rule.__name__.removesuffix("_rule")
    names = argument_names(rule)
    numbers = {**hyperparameters, "learning_rate": 1.0 if learning_rate is None else learning_rate}
    if weight_decay is not None:
        numbers["weight_decay"] = weight_decay
    is_coupled = weight_decay is not None and "weight_decay" not in names
    counts = "t" in names or any(map(callable, numbers.values()))

    vectors = {name: slot for name, slot in slots.items() if isinstance(slot, Slot)}
    others = {name: slot for name, slot in slots.items() if isinstance(slot, Scalar)}

    def init(params: Any) -> TreewiseState:
        refuse_integers(who, params)
        tree.check_mask(mask, params)
        filled = {name: jax.tree.map(slot.init, params) for name, slot in vectors.items()}
        scalars = {name: slot.init(params) for name, slot in others.items()}
        return TreewiseState(jnp.zeros((), jnp.int32) if counts else None, filled, scalars)

    def update(grads: Any, state: TreewiseState, params: Any = None, *, value: Any = None, **extra_args: Any):
        del extra_args
        check_trees(who, grads, params, needs_params="p" in names or is_coupled)
        if "value" in names and value is None:
            raise ValueError(f"{who}: update needs value=, the loss at params, as make_step passes it")
        count = None if state.count is None else tree.increment(state.count)
        now = {name: at_count(state.count, x) for name, x in numbers.items()}
        arguments = {"g": Vector(tree.wide(grads)), "p": Vector(tree.wide(params)), "t": count, **now, **static}
        if "value" in names:
            arguments["value"] = jnp.asarray(value, jnp.result_type(float))
        if is_coupled:
            chosen = Vector(tree.spread_mask(mask, params))
            arguments["g"] = arguments["g"].map(
                lambda g, p, c: g + now["weight_decay"] * p if c else g, arguments["p"], chosen
            )
        state_values = {**{name: Vector(tree.wide(x)) for name, x in state.slots.items()}, **state.scalars}
        result, new = rule(**{name: x for name, x in arguments.items() if name in names}, **state_values)
        step = now["learning_rate"] * result if returns == "direction" else result
        like = grads if params is None else params
        updates = jax.tree.map(lambda u, p: (-u).astype(p.dtype), step.leaves, like)
        kept = {name: new[name].leaves if name in new else x for name, x in state.slots.items()}
        scalars = {name: new.get(name, x) for name, x in state.scalars.items()}
        return updates, TreewiseState(count, tree.cast_like(kept, state.slots), tree.cast_like(scalars, state.scalars))

    return WithRate(
        init,
        of_own_gradient(update, "value" in names),
        lambda state, _: rate_of(numbers["learning_rate"], state),
    )
