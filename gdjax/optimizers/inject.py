"""Hyperparameters kept in the state, where they can be read and written between updates."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import Optimizer, WithRate, is_number, optimizer


class InjectState(NamedTuple):
    count: jax.Array  # () int32, updates so far
    hyperparams: dict[str, Any]  # values at the last update; those without a schedule may be written
    inner: Any

    @property
    def inner_state(self) -> Any:
        """Optax's name for the inner state."""
        return self.inner


@optimizer(static=("static_args", "hyperparam_dtype"))
def injected(inner, static_args: Iterable[str] = (), hyperparam_dtype: Any = None, schedules: Any = None):
    """An optimizer whose hyperparameters lie in its state: what `inject_hyperparams(factory)(...)` returns.

        u = u_inner with the numbers of state.hyperparams in the place of its own;  schedules are read at the count

    Args:
        inner: the call whose arguments are put into the state: all that are numbers or schedules.
        static_args: names of arguments that are functions but no schedules.
        hyperparam_dtype: of the numbers (default: the widest of the parameters, at least float32).
        schedules: name -> schedule, for numbers of which inner itself takes no schedule.

    Memory: 0 + inner.
    Reference: optax.inject_hyperparams.
    """
    fixed = {*static_args, *inner.recipe.static}
    free = {name: x for name, x in inner.arguments.items() if name not in fixed and not isinstance(x, type)}
    schedules = {**{name: x for name, x in free.items() if callable(x)}, **(schedules or {})}
    numbers = {name: x for name, x in free.items() if is_number(x)}

    bounded = {*inner.recipe.declared.bounds} - {*inner.recipe.declared.ints}

    def convert(name: str, x: Any, params: Any) -> jax.Array:
        x = jnp.asarray(x)
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return x
        if not (jnp.issubdtype(x.dtype, jnp.floating) or (name in bounded and jnp.issubdtype(x.dtype, jnp.integer))):
            return x.astype(x.dtype)  # not weakly typed, as it is not either after an update
        widest = jnp.result_type(*(jnp.finfo(p.dtype).dtype for p in jax.tree.leaves(params)), jnp.float32)
        return x.astype(widest if hyperparam_dtype is None else hyperparam_dtype)

    def at(count: Any, hyperparams: dict[str, Any], params: Any) -> dict[str, Any]:
        now = {**hyperparams, **{k: schedule(count) for k, schedule in schedules.items()}}
        return {k: convert(k, x, params) for k, x in now.items()}

    def init(params):
        count = jnp.zeros((), jnp.int32)
        now = at(count, numbers, params)
        return InjectState(count, now, inner.replace(**now).init(params))

    def update(grads, state, params=None, **extra_args):
        like = grads if params is None else params
        now = at(state.count, state.hyperparams, like)
        updates, inner_state = inner.replace(**now).update(grads, state.inner, params, **extra_args)
        new = InjectState(tree.increment(state.count), now, inner_state)
        return tree.cast_like(updates, like), tree.cast_like(new, state)

    def rate_at(state: Any, evaluation: Any) -> Any:
        if is_number(state):
            return inner.learning_rates_at(state, evaluation)
        now = {k: schedule(state.count) for k, schedule in schedules.items()}
        return inner.replace(**{**state.hyperparams, **now}).learning_rates_at(state.inner, evaluation)

    return WithRate(init, update, rate_at)


def inject_hyperparams(
    inner_factory: Callable[..., Any], static_args: str | Iterable[str] = (), hyperparam_dtype: Any = None
) -> Callable[..., Optimizer]:
    """A factory whose optimizers keep their hyperparameters in the state, as `state.hyperparams["learning_rate"]`.

        tx = inject_hyperparams(adamw)(learning_rate=cosine(1e-3, 1000), weight_decay=1e-3)

    A number there may be replaced between updates; values of schedules are computed at every update.

    Args:
        inner_factory: one of gdjax, of Optax, or any function that returns a transformation.
        static_args: names of its arguments that are functions, but no schedules.
        hyperparam_dtype: of the numbers (default: the widest of the parameters, at least float32).

    Reference: optax.inject_hyperparams.

    >>> opt = gd.inject_hyperparams(gd.sgd)(learning_rate=0.1)
    >>> print(opt.init(jnp.ones(2)).hyperparams["learning_rate"])
    0.1
    """
    named = (static_args,) if isinstance(static_args, str) else tuple(sorted(static_args))
    unknown = set(named) - set(inspect.signature(inner_factory).parameters)
    if unknown:
        raise ValueError(
            f"inject_hyperparams: static_args must name arguments of {inner_factory.__name__}, got {unknown}"
        )
    lifted = inner_factory if hasattr(inner_factory, "recipe") else optimizer(static=named)(inner_factory)

    def make(*args: Any, **kwargs: Any) -> Optimizer:
        args, kwargs, schedules = _start(lifted, named, args, kwargs)
        return injected(lifted(*args, **kwargs), named, hyperparam_dtype, schedules or None)

    return make


def _start(factory: Any, static_args: Iterable[str], args: Any, kwargs: Any) -> tuple[Any, Any, dict[str, Any]]:
    """The arguments of a call, with the first value in the place of each schedule that the factory refuses; and these."""
    try:
        bound = inspect.signature(factory).bind(*args, **kwargs)
    except TypeError:  # which the factory says in its own words
        return args, kwargs, {}
    constant = {*factory.recipe.declared.constant} - {*static_args}
    schedules = {name: x for name, x in bound.arguments.items() if name in constant and callable(x)}
    bound.arguments |= {name: schedule(jnp.zeros((), jnp.int32)) for name, schedule in schedules.items()}
    return bound.args, bound.kwargs, schedules
