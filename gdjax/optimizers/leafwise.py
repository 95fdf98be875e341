"""`leafwise` lifts the rule of an optimizer for one array to any pytree.

A *rule* computes one step for one leaf:

    rule(g, p, t, <slots>, *, <hyperparameters>) -> (direction, {slot: new value})

with the gradient g, the parameter p and t = step + 1, of which it names those that it needs. Then  p <- p - learning_rate *
direction. The names of the slots are the symbols of the equation, and their names in the state: `OptState.slots["mu"]` is a
tree like the parameters.

With decay, p <- p - learning_rate * (direction + weight_decay * p), decoupled (Loshchilov & Hutter 2019), unless the rule
has an argument `weight_decay` and applies it itself (coupled decay). With `returns="step"` a rule returns the whole step to
subtract in place of a direction (for momentum after the rate, for example); only such a rule may name `learning_rate`.

The lift provides what all optimizers have in common: hyperparameters that are numbers, arrays or schedules of the step
count; arithmetic in at least float32 with a cast back; slots in the parameter's dtype or their own; complex leaves; leaves
that are None (frozen); the empty tree; errors that name the path, for integer leaves among others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import WithRate, rate_of
from gdjax.calls.factory import argument_names
from gdjax.types import OptState

Direction: TypeAlias = tuple[jax.Array, dict[str, jax.Array]]  # the step, and each slot's new value
Rule: TypeAlias = Callable[..., Direction]


class Slot(NamedTuple):
    """One array of state per leaf: its initial value, its dtype (default: the parameter's), and whether it is real.

    The value fills an array of the parameter's shape; a function of the parameter may return an array of any shape.
    """

    value: Any = 0.0
    dtype: Any = None
    real: bool = False
    wide: bool = False  # at least float32, for slots in which small changes must not be lost

    def init(self, p: jax.Array) -> jax.Array:
        own = tree.arithmetic_dtype(p) if self.wide else p.dtype
        dtype = own if self.dtype is None else jnp.dtype(self.dtype)
        if self.real:
            dtype = jnp.finfo(dtype).dtype
        elif jnp.iscomplexobj(p) and not jnp.issubdtype(dtype, jnp.complexfloating):
            dtype = p.dtype  # a real dtype would drop the imaginary part
        if callable(self.value):
            return jnp.array(self.value(p), dtype=dtype)
        return jnp.full_like(p, self.value, dtype=dtype)


def leafwise(
    rule: Rule,
    learning_rate: Any,
    *,
    slots: Mapping[str, Slot] | None = None,
    returns: Literal["direction", "step"] = "direction",
    mask: Any = None,
    masks: Mapping[str, Any] | None = None,
    static: Mapping[str, Any] | None = None,
    **hyperparameters: Any,
) -> LiftedRule:
    """The (init, update) of a rule that sees one leaf at one step.

        rule(g, p, t, <slots>, *, <hyperparameters>) -> (direction, {slot: new value})
        p <- p - learning_rate (direction + weight_decay p)                         weight_decay if there is one

    with g the gradient, p the parameters and t = step + 1; the rule names those that it needs, and the slots by the
    symbols of its equation. A rule that names `weight_decay` applies it itself; one that returns the whole step may name
    `learning_rate`.

    Args:
        rule: a module-level function, which is the key of the trace cache.
        learning_rate: parameter units per step; number, array or schedule; None means 1.
        slots: name -> `Slot`, an array of state for each leaf.
        returns: "direction", which is multiplied by the learning rate, or "step", the whole step to subtract.
        mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree; None means all.
        masks: hyperparameter -> a mask like `mask`; the hyperparameter is 0 on the leaves that are masked out.
        static: arguments of the rule that are no numbers (iteration counts, functions); hashable and compared by value.
        hyperparameters: numbers, arrays or schedules; a bool is static.

    Raises: TypeError for an integer leaf, ValueError for trees that differ, both naming the path.

    >>> @gd.optimizer
    ... def sign_descent(learning_rate):
    ...     return gd.leafwise(lambda g: (jnp.sign(g), {}), learning_rate)
    >>> opt, x = sign_descent(0.1), jnp.ones(2)
    >>> print(opt.update(jnp.array([1.0, -2.0]), opt.init(x), x)[0])
    [-0.1 0.1]
    """
    slots = dict(slots or {})
    check_returns(rule, returns)
    like_params = [name for name, slot in slots.items() if not callable(slot.value)]
    who, names = rule.__name__.removesuffix("_rule"), argument_names(rule)
    flags = tuple((k, v) for k, v in hyperparameters.items() if isinstance(v, bool)) + tuple((static or {}).items())
    numbers = {k: v for k, v in hyperparameters.items() if not isinstance(v, bool)}
    numbers["learning_rate"] = 1.0 if learning_rate is None else learning_rate
    lift = _Lift(rule, flags, _COMMON & set(names), returns == "step")
    choices = {"weight_decay": mask, **(masks or {})}
    counts = "t" in names or any(map(callable, numbers.values()))  # otherwise no counter is needed

    def init(params: Any) -> OptState:
        refuse_integers(who, params)
        for given in choices.values():
            tree.check_mask(given, params)
        filled = {name: jax.tree.map(slot.init, params) for name, slot in slots.items()}
        return OptState(count=jnp.zeros((), jnp.int32) if counts else None, slots=filled)

    def update(grads: Any, state: OptState, params: Any = None, **extra_args: Any) -> tuple[Any, OptState]:
        del extra_args  # the protocol's keyword arguments; a leafwise rule needs none
        check_trees(who, grads, params, needs_params="p" in names or "weight_decay" in numbers)
        for name in like_params:
            tree.check_like(who, "grads", grads, f"the state's {name}", state.slots[name])
        count = None if state.count is None else tree.increment(state.count)
        now = {name: at_count(state.count, value) for name, value in numbers.items()}
        now |= {"minus_rate": -now["learning_rate"]}  # negated once, not for each leaf
        step = _step if slots else _short_step  # a rule without a slot is so short that a call would cost more

        def leaf_step(g, p, chosen, *slot_leaves):
            numbers = now if all(chosen.values()) else {k: v if chosen.get(k, True) else 0.0 for k, v in now.items()}
            p, own = None if params is None else p, dict(zip(slots, slot_leaves, strict=True))
            return step(lift, g, p, count, own, numbers)

        like = grads if params is None else params
        structure = jax.tree.structure(grads)
        chosen = jax.tree.structure(like).unflatten(choices_of_leaves(choices, like))
        done = tree.leafmap(leaf_step, grads, like, chosen, *(state.slots[name] for name in slots))
        new_slots = {name: structure.unflatten([new[name] for _, new in done]) for name in slots}
        return structure.unflatten([u for u, _ in done]), OptState(count=count, slots=new_slots)

    lifted = LiftedRule(init, update, lambda state, _: rate_of(numbers["learning_rate"], state))
    again = functools.partial(leafwise, rule, learning_rate, slots=slots, returns=returns, static=static)
    lifted.masks, lifted.with_masks = choices, lambda given: again(**_masks_of(given, masks), **hyperparameters)
    if "weight_decay" in numbers and returns == "direction" and not {"p", "weight_decay", "learning_rate"} & set(names):
        rest = {name: value for name, value in hyperparameters.items() if name != "weight_decay"}
        lifted.undecayed = lambda given: again(**_masks_of(given, masks), **rest)
        rate, decay = numbers["learning_rate"], numbers["weight_decay"]
        lifted.decay = lambda count: at_count(count, rate) * at_count(count, decay)
    return lifted


def _masks_of(given: Mapping[str, Any], names: Any) -> dict[str, Any]:
    """The arguments `mask` and `masks` of `leafwise`, from all masks by name; what is not given applies to all."""
    return {"mask": given.get("weight_decay"), "masks": {name: given.get(name) for name in names or ()}}


def choices_of_leaves(masks: Mapping[str, Any], like: Any) -> list[dict[str, bool]]:
    """For each leaf, name -> bool, whether it has this masked hyperparameter."""
    leaves = [jax.tree.leaves(tree.spread_mask(given, like)) for given in masks.values()]
    return [dict(zip(masks, leaf, strict=True)) for leaf in zip(*leaves, strict=True)]


def at_count(count: Any, number: Any) -> Any:
    """A number, or a schedule's value at a count of steps."""
    return number(count) if callable(number) else number


class LiftedRule(WithRate):
    """The (init, update) of a rule; a pair of this class is known to treat each leaf independently of the others."""

    masks: Mapping[str, Any]  # masked hyperparameter -> its mask
    with_masks: Callable[[Mapping[str, Any]], LiftedRule]  # the same rule with other masks
    # count -> the share of p that a step subtracts; None without decay, or if the rule reads p itself
    decay: Callable[[Any], Any] | None = None
    undecayed: Callable[[Mapping[str, Any]], LiftedRule]  # the same rule without decay, with other masks


_COMMON = frozenset({"g", "p", "t", "learning_rate", "weight_decay"})


class _Lift(NamedTuple):
    """A rule with its flags and the common arguments that it names, as a function of one leaf."""

    rule: Rule
    flags: tuple[tuple[str, Any], ...]
    named: frozenset[str]
    whole_step: bool


def _short_step(lift: _Lift, g, p, t, slots, numbers):
    out_dtype = g.dtype if p is None else p.dtype
    dtype, real = _arithmetic(g.dtype, out_dtype)
    values: dict[str, Any] = {name: _as(value, real) for name, value in numbers.items()}
    values |= {"g": _as(g, dtype), "p": None if p is None else _as(p, dtype), "t": None if t is None else _as(t, real)}
    wide = {name: _as(x, dtype if jnp.iscomplexobj(x) else real) for name, x in slots.items()}
    common = _COMMON - lift.named
    wanted = {name: value for name, value in values.items() if name not in common and name != "minus_rate"}
    direction, new = lift.rule(**wanted, **wide, **dict(lift.flags))
    if "weight_decay" in common & set(values) and p is not None:
        direction = direction + values["weight_decay"] * values["p"]
    step = -direction if lift.whole_step else values["minus_rate"] * direction
    return _as(step, out_dtype), {name: _as(new[name], x.dtype) for name, x in slots.items()}


_step = jax.jit(_short_step, static_argnums=0)  # traced once per leaf shape, not once per leaf


@functools.lru_cache(maxsize=64)
def _arithmetic(*dtypes: Any) -> tuple[Any, Any]:
    """The dtype to compute in, and the corresponding real dtype."""
    dtype = tree.arithmetic_dtype(*dtypes)
    return dtype, jnp.finfo(dtype).dtype


def _as(x: Any, dtype: Any) -> jax.Array:
    """x in a dtype; an unnecessary cast is not traced, since for each leaf it would cost more than the rule itself."""
    return x if isinstance(x, jax.Array) and x.dtype == dtype and not x.weak_type else jnp.asarray(x, dtype)


def refuse_integers(who: str, params: Any) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        dtype = jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, jnp.inexact):
            raise TypeError(
                f"{who}: {tree.leaf_name('params', path)} must be floating or complex to be trained, got {dtype}; "
                "make it floating (0.0 for 0), keep it out of the parameters, or put None in its place"
            )


def check_returns(rule: Callable[..., Any], returns: str) -> None:
    """Raise ValueError if a rule that names learning_rate does not return the whole step."""
    if returns not in ("direction", "step"):
        raise ValueError(f"{rule.__name__}: returns must be 'direction' or 'step', got {returns!r}")
    if returns == "direction" and "learning_rate" in argument_names(rule):
        raise ValueError(f"{rule.__name__}: it names learning_rate, so it must return the whole step: returns='step'")


def check_trees(who: str, grads: Any, params: Any, needs_params: bool) -> None:
    if needs_params:
        tree.need_params(who, params)
    if params is not None:
        tree.check_like(who, "grads", grads, "params", params)
