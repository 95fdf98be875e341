"""`lift` turns a factory of Optax into a factory of call nodes, with every number a leaf."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import numbers
import operator
from collections.abc import Callable
from typing import Any, ParamSpec

import jax
import jax.numpy as jnp
import optax

from gdjax import tree
from gdjax.calls import Optimizer, Precise, WithRate, as_optimizer, is_number, optimizer
from gdjax.optimizers.linesearch.searcher import objective
from gdjax.optimizers.own_gradient import of_own_gradient
from gdjax.optimizers.wrappers.chain import Scaling

P = ParamSpec("P")
FACTORS = ("b1", "b2", "b3", "beta", "decay", "rho", "momentum")  # decay rates of moving averages


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Factor:
    """A traced number in [0, 1] that behaves as an array, except that one minus it is accurate to the last digit."""

    high: jax.Array
    low: jax.Array  # the rounding error of high, if it is float32

    def __jax_array__(self) -> jax.Array:
        return self.high

    def __rsub__(self, other: Any) -> jax.Array:
        rest = other - self.high
        exact = isinstance(other, numbers.Real) and self.high.dtype == jnp.float32
        return rest - jax.lax.stop_gradient(self.low) if exact else rest  # the derivative is that by high


def _as_array(name: str) -> None:
    """Define the operation of that name, and its reflection, on the array."""
    operation = getattr(operator, name)
    setattr(Factor, f"__{name}__", lambda self, *others: operation(self.high, *others))
    if name in ("add", "mul", "truediv", "pow"):
        setattr(Factor, f"__r{name}__", lambda self, other: operation(other, self.high))


for _name in ("add", "sub", "mul", "truediv", "pow", "neg", "lt", "le", "gt", "ge", "eq", "ne"):
    _as_array(_name)


def lift(
    factory: Callable[P, Any],
    example: str,
    static: tuple[str, ...] = (),
    around: tuple[str, ...] = (),
    ints: tuple[str, ...] = (),
    schedules: tuple[str, ...] = (),
    factor: Callable[..., Any] | None = None,
    searches: bool = False,
    own_gradient: bool = False,
    bare: bool = False,
    at: tuple[str, str] = ("jnp.ones(2)", "jnp.array([3.0, -4.0])"),
) -> Callable[P, Optimizer]:
    """A factory of Optax as a factory of call nodes, with its docstring and an example.

    Optax computes 1 - b2 from a Python float, in double precision. Here b2 is a leaf, usually in float32, where 1 - 0.999
    has four digits. Therefore the decay rates FACTORS are stored as two floats each, and 1 - b2 is as accurate as in Optax.

    Args:
        factory: a function that returns a transformation.
        example: "arguments -> update", of the gradient `at` some parameters; arguments of the update stand behind a "|".
        static: names of its arguments that are never leaves, such as lengths and masks.
        around: names of its arguments that are transformations of gdjax or Optax, or have a `gradient_transformation()`.
        ints: names of its arguments that are whole numbers.
        schedules: names of its arguments that may be schedules; all other numbers are constant.
        factor: (state, arguments) -> the factor of the updates, if they are only multiplied; see `Scaling`.
        searches: whether it is a line search; `value_fn=` then receives only the extra arguments that it names.
        own_gradient: whether it combines the gradient with `value=`, so that it must be the gradient of the loss itself.
        bare: whether its state is that of the transformation inside.
        at: parameters and gradient of the example.
    """
    signature = inspect.signature(factory)
    factors = tuple(name for name in FACTORS if name in signature.parameters and name not in static)

    @functools.wraps(factory)
    def body(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        for name, given in bound.arguments.items():
            bound.arguments[name] = Factor(given.high, given.low) if isinstance(given, Precise) else given
        for name in around:
            if bound.arguments.get(name) is not None:
                bound.arguments[name] = as_optimizer(bound.arguments[name])
        pair = with_dtypes(factory(*bound.args, **bound.kwargs), widens=not around and not searches)
        if searches:
            return _searching(factory.__name__, *pair)
        if factor is not None:
            return Scaling(*pair, functools.partial(factor, **bound.arguments))
        if bare:
            inner = bound.arguments[around[0]]
            return WithRate(*pair, lambda state, evaluation: inner.learning_rates_at(state, evaluation))
        return type(pair)(pair.init, of_own_gradient(pair.update, own_gradient))

    body.__module__, body.__qualname__ = "gdjax.optimizers.of_optax", factory.__name__
    body.__doc__ = "\n".join([inspect.getdoc(factory) or "", *_example_lines(factory.__name__, example, *at)])
    free = {name: p.default for name, p in signature.parameters.items() if name not in {*static, *around, *schedules}}
    constant = tuple(name for name, default in free.items() if is_number(default) or default is inspect.Parameter.empty)
    made = optimizer(static=static, ints=ints, constant=constant, precise=factors)(body)
    made.recipe.reads_nothing = True  # type: ignore[attr-defined]  (but for Optax's function, which does not change)
    return made


def _example_lines(name: str, example: str, params: str, grads: str) -> list[str]:
    """An example as the lines of a docstring."""
    call, _, update = example.partition(" -> ")
    arguments, _, extra = map(str.strip, call.partition("|"))
    return [
        "",
        f">>> opt, x, g = gd.{name}({arguments}), {params}, {grads}",
        f">>> print(opt.update(g, opt.init(x), x{', ' * bool(extra)}{extra})[0])",
        update,
    ]


def with_dtypes(built: optax.GradientTransformation, widens: bool = True) -> optax.GradientTransformation:
    """The transformation with outputs in the dtypes of its inputs; `widens`: computed in the default float."""
    inner, widen = optax.with_extra_args_support(built), _wide if widens else lambda x: x

    def init(params):
        state = inner.init(params)
        return tree.cast_like(state, state)  # not weakly typed, as the second state is not either

    def update(updates, state, params=None, **extra_args):
        changed, new = inner.update(widen(updates), widen(state), widen(params), **extra_args)
        return _like(changed, updates), _like(new, state)

    return optax.GradientTransformationExtraArgs(init, update)


def _searching(who: str, init: Callable[..., Any], update: Callable[..., Any]) -> tuple[Callable[..., Any], ...]:
    """A line search of Optax that ignores extra arguments that it does not know, as all other transformations do."""

    def search(updates, state, params=None, **extra_args):
        if not jax.tree.leaves(updates):
            return updates, state
        return update(updates, state, params, **objective(who, params, True, **extra_args))

    return init, search


def _wide(x: Any) -> Any:
    def widen(leaf: Any) -> Any:
        dtype, number = jnp.result_type(leaf), jnp.result_type(float)
        return leaf.astype(jnp.promote_types(dtype, number)) if jnp.issubdtype(dtype, jnp.inexact) else leaf

    return jax.tree.map(widen, x)


def _like(new: Any, old: Any) -> Any:
    return tree.cast_like(new, old) if jax.tree.structure(new) == jax.tree.structure(old) else new
