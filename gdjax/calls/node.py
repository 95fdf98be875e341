"""Call nodes: a call that is a value.

`adam(1e-3, b1=0.95)` does not hide its numbers in a closure. It is a *node*: a pytree whose leaves are the numbers
of the call and whose structure is everything else (the factory's name, flags, functions, dtypes). From that alone
follow: a jitted function takes an optimizer as an argument and a new learning rate compiles nothing; `vmap` over a
stacked optimizer is a sweep; `grad` with respect to one is a hypergradient; printing gives the call back; pickling
and comparing are those of the call.

Four kinds of node are here, each made by the decorator of its name: `Optimizer` (init, update), `Schedule`
(step -> value), `Condition` (init, update) and `Model` (init, apply); `register` and `decorator` make more (initializers are
one). The decorated function is the *body*: it receives
the arguments and returns plain functions, and it runs again whenever the node is used, so it must be cheap.
"""

from __future__ import annotations

import functools
import inspect
import numbers
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, ParamSpec, TypeAlias, TypeVar, cast, overload

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from gdjax.fingerprint import by_value, is_itself

P = ParamSpec("P")
N = TypeVar("N", bound="Node")


@jax.tree_util.register_static
class Static:
    """A value inside a pytree that contributes no leaf: part of the structure, compared by value."""

    def __init__(self, value: Any):
        self.value = value

    def settled(self) -> Static:
        """With its functions at their present value."""
        value = by_value(self.value)
        return self if value is self.value else Static(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and (self.value is other.value or _same(self.value, other.value))

    def __hash__(self) -> int:
        try:
            return hash(self.value)
        except TypeError:  # a dict or an array: equality decides
            return hash(type(self.value))

    def __repr__(self) -> str:
        return f"Static({self.value!r})"


def is_number(x: Any) -> bool:
    """Whether x can be a leaf: a Python number, an array, a tracer or a shape (a bool is a flag, not a number)."""
    if isinstance(x, (bool, np.bool_)):
        return False
    return isinstance(x, (numbers.Number, np.ndarray, np.generic, jax.Array, jax.ShapeDtypeStruct))


def is_concrete(x: Any) -> bool:
    return is_number(x) and not isinstance(x, (Tracer, jax.ShapeDtypeStruct))


class Precise(NamedTuple):
    """A number as two floats: float32(high) + low is right to about 14 digits, also where all arrays are float32."""

    high: Any
    low: Any

    @classmethod
    def of(cls, x: float) -> Precise:
        return cls(x, float(str(np.float32(x - float(np.float32(x))))))

    def joined(self) -> Any:
        """The number in double precision; itself while it is traced."""
        if isinstance(self.high, float) or not (is_concrete(self.high) and is_concrete(self.low)):
            return self.high if isinstance(self.high, float) else self
        number = np.asarray(self.high, np.float32).astype(np.float64) + np.asarray(self.low, np.float64)
        return number if number.ndim else float(f"{number:.13g}")


Key: TypeAlias = Any  # annotates a random key as an argument: a key, or the integer it is made from


def as_key(x: Any) -> jax.Array:
    """A random key from a key (of either style) or an integer seed."""
    if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return x
    return jax.random.wrap_key_data(jnp.asarray(x)) if np.ndim(x) else jax.random.key(x)


class Recipe:
    """What a factory knows: its kind of node, its body, and what its signature says of each argument.

    `static` names the arguments that are never leaves; `bounds` the interval that each number must lie in, written as
    in mathematics: `{"b1": "[0, 1)"}`.
    """

    def __init__(
        self,
        kind: type[Node],
        body: Callable,
        static: tuple[str, ...],
        bounds: dict[str, str],
        precise: tuple[str, ...] = (),
    ):
        self.kind, self.body, self.static, self.bounds, self.precise = kind, body, frozenset(static), bounds, precise
        self.name, self.reads_nothing = body.__name__, is_itself(body)
        self.signature = inspect.signature(body)
        unknown = (set(static) | set(bounds)) - set(self.signature.parameters)
        if unknown:
            raise TypeError(f"{self.name}: no argument named {', '.join(sorted(unknown))}")

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Recipe) and self._identity() == other._identity())

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple:
        return self.kind, self.body, self.static

    def __reduce__(self):
        """By reference to the public factory where there is one, else by its parts."""
        home = sys.modules.get(self.body.__module__)
        public = functools.reduce(
            lambda place, name: getattr(place, name, None), self.body.__qualname__.split("."), home
        )
        if getattr(getattr(public, "recipe", None), "body", None) is getattr(self.body, "function", self.body):
            return getattr, (public, "recipe")
        return Recipe, (self.kind, self.body, tuple(self.static), self.bounds, self.precise)

    def __reads__(self) -> tuple:
        return self.kind, self.body, self.static

    def settled(self) -> Recipe:
        """With the body at its present value."""
        if self.reads_nothing:
            return self
        return Recipe(self.kind, by_value(self.body), tuple(self.static), self.bounds)

    def call(self, arguments: dict[str, Any]) -> Any:
        bound = inspect.BoundArguments(self.signature, cast(Any, arguments))
        return self.body(*bound.args, **bound.kwargs)

    def fit(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments with whole numbers beyond int32, which no array of JAX holds by default, as floats.

        Raises: ValueError for one where a count is meant.
        """

        def fit_leaf(name: str, x: Any) -> Any:
            if not isinstance(x, (int, np.integer)) or -(2**31) <= x < 2**31:
                return x
            kind = _kind_of(self.signature.parameters[name].annotation)
            if kind is np.int32:
                raise ValueError(f"{self.name}: {name} must be below 2**31 = {2**31}, got {x}")
            return x if kind is None else float(x)

        def fit_argument(name: str, value: Any) -> Any:
            if isinstance(value, int):
                return fit_leaf(name, value)
            if not isinstance(value, (tuple, list, dict)) or name in self.static:
                return value
            return jax.tree.map(functools.partial(fit_leaf, name), value, is_leaf=lambda x: isinstance(x, Node))

        return {name: fit_argument(name, value) for name, value in arguments.items()}

    def hide(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments as children: numbers stay leaves, all else becomes structure."""

        def hide_leaf(x):
            return x if is_number(x) else Static(x)

        return {
            name: Static(value)
            if name in self.static
            else Precise.of(float(value))
            if name in self.precise and isinstance(value, float)
            else jax.tree.map(hide_leaf, value)
            for name, value in arguments.items()
        }

    def check(self, arguments: dict[str, Any]) -> None:
        """Raise on a number outside its bounds, or on what is no number where one belongs.

        A rate of None is one only where it is the default: Optax's `adam(None)` leaves out the rate and its sign.
        """
        rate = self.signature.parameters.get("learning_rate")
        if rate is not None and arguments["learning_rate"] is None is not rate.default:
            raise TypeError(f"{self.name}: learning_rate must be a number, an array or a schedule, got None")
        for name, interval in self.bounds.items():
            default = self.signature.parameters[name].default
            for value in jax.tree.leaves(arguments[name], is_leaf=callable):
                if not (is_number(value) or callable(value) or value is default):
                    raise TypeError(f"{self.name}: {name} must be a number, an array or a schedule, got {value!r}")
                check_interval(self.name, name, value, interval)

    def dtype(self, name: str) -> jnp.dtype | None:
        """int32 for an argument annotated as int (or a container of int), its own for a Key, else the default float."""
        kind = _kind_of(self.signature.parameters[name].annotation)
        return None if kind is None else jax.dtypes.canonicalize_dtype(kind)


@functools.lru_cache(maxsize=1024)
def _kind_of(annotation: Any) -> Any:
    """np.int32, float, or None for a Key."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    if text == "Key":
        return None
    return np.int32 if text == "int" or "[int" in text or text.startswith("int |") else float


def check_interval(who: str, name: str, value: Any, interval: str) -> None:
    """Raise ValueError unless every concrete number in value lies in the interval, e.g. "[0, 1)"."""
    if not is_concrete(value):
        return
    low, high = (float(end) for end in interval[1:-1].split(","))
    array = np.asarray(value)
    above = array >= low if interval[0] == "[" else array > low
    below = array <= high if interval[-1] == "]" else array < high
    if not np.all(above & below):
        raise ValueError(f"{who}: {name} must be in {interval}, got {_render(value)}")


class Node:
    """A call as a value; see the module's docstring. `arguments` maps names to values, in the signature's order."""

    recipe: Recipe
    _children: dict[str, Any]

    @classmethod
    def _make(cls: type[N], recipe: Recipe, children: dict[str, Any]) -> N:
        node = cls.__new__(cls)
        node.recipe, node._children = recipe, children
        return node

    @property
    def arguments(self) -> dict[str, Any]:
        return {name: _show(child) for name, child in self._children.items()}

    def build(self) -> Any:
        """What the body returns for these arguments: the plain functions."""
        return self.recipe.call(self.arguments)

    def replace(self: N, **arguments: Any) -> N:
        """The same call with some arguments changed, checked like a new one."""
        unknown = set(arguments) - set(self._children)
        if unknown:
            raise TypeError(f"{self.recipe.name}: no argument named {', '.join(sorted(unknown))}")
        return cast(N, _call(self.recipe, {**self.arguments, **arguments}))

    def settle(self: N, on_host: bool = False) -> N:
        """Numbers become arrays whose dtype follows from the signature, never from what was typed.

        So `adam(1)`, `adam(1.0)` and `adam(np.float64(1))` run in one compiled program. `on_host` leaves what is on the
        host there, as NumPy: enough for an argument of a compiled program, and a tenth of the time. Functions are taken at
        their present value, so that one made anew is the same, and one whose global was changed is another.
        """

        def settle_child(name: str, child: Any) -> Any:
            def settle_leaf(x: Any) -> Any:
                if isinstance(x, Node):
                    return x.settle(on_host)
                if isinstance(x, Static):
                    return x.settled()
                dtype = self.recipe.dtype(name)
                if dtype is None:
                    return as_key(x)
                return np.asarray(x, dtype) if on_host and not isinstance(x, jax.Array) else jnp.array(x, dtype=dtype)

            if isinstance(child, (int, float, Node, Static)):  # most are; a tree map costs ten times as much
                return settle_leaf(child)
            return jax.tree.map(settle_leaf, child, is_leaf=lambda x: isinstance(x, (Node, Static)))

        return self._make(
            self.recipe.settled(), {name: settle_child(name, child) for name, child in self._children.items()}
        )

    def walk(self) -> Iterator[Node]:
        """This node and all nodes among its arguments, outermost first."""
        yield self
        for child in self._children.values():
            for inner in jax.tree.leaves(child, is_leaf=lambda x: isinstance(x, Node)):
                if isinstance(inner, Node):
                    yield from inner.walk()

    def __repr__(self) -> str:
        return f"{self.recipe.name}({', '.join(_render_arguments(self.recipe.signature, self.arguments))})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        mine, my_tree = jax.tree.flatten(self)
        theirs, their_tree = jax.tree.flatten(other)
        return my_tree == their_tree and all(_same(a, b) for a, b in zip(mine, theirs, strict=True))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(jax.tree.structure(self))

    def __reduce__(self):
        return type(self)._make, (self.recipe, self._children)


class Optimizer(Node, optax.GradientTransformationExtraArgs):
    """A node that is an `optax.GradientTransformationExtraArgs`: `init(params)`, `update(grads, state, params, **extra)`."""

    @classmethod
    def _make(cls, recipe: Recipe, children: dict[str, Any]) -> Optimizer:
        def functions() -> optax.GradientTransformationExtraArgs:
            built = node.build()
            if not isinstance(built, optax.GradientTransformation):
                built = optax.GradientTransformationExtraArgs(*built)
            return optax.with_extra_args_support(built)

        def init(params):
            return _apart(functions().init(params), (params, node))

        def update(updates, state, params=None, **extra_args):
            return functions().update(updates, state, params, **extra_args)

        node = tuple.__new__(cls, (init, update))
        node.recipe, node._children = recipe, children
        return node

    def learning_rate_at(self, state: Any, evaluation: Any = None) -> Any:
        """The learning rate of the next update, (); None if there is none to show, NaN where the leaves' rates differ.

        Args:
            state: of this optimizer, in whose parts each schedule finds its own count; or a step, in the place of all.
            evaluation: as in a TrainState, for what scales the rate after an evaluation.
        """
        built = (node.build() for node in self.walk() if isinstance(node, Optimizer))
        if any(isinstance(pair, Rated) and not pair.exact for pair in built):
            return None
        return one_rate(self.learning_rates_at(state, evaluation))

    def learning_rates_at(self, state: Any, evaluation: Any = None) -> Any:
        """What a decay goes by: as `learning_rate_at`, but also where the step is no multiple of it (the scale is learned,
        say); a list where leaves have rates of their own, one for each, None for a frozen one."""
        built, rate = self.build(), self.arguments.get("learning_rate")
        if isinstance(built, Rated):
            return built.rate_at(state, evaluation)
        if rate is not None:
            return rate_of(rate, state)
        around = [x for x in self.arguments.values() if isinstance(x, Optimizer)]
        if len(around) != 1:
            return None
        keeps_nothing = built[0] is around[0].init  # then the state is that of the inner optimizer
        return around[0].learning_rates_at(state if keeps_nothing else inner_state(state), evaluation)


class Rated(tuple[Callable, Callable]):
    """(init, update) of an optimizer whose rate is not simply its argument `learning_rate` at the count in its state.

    `rate_at(state, evaluation)` gives it, as `Optimizer.learning_rates_at` does; it is not `exact` where none may be shown,
    since the steps follow none.
    """

    rate_at: Callable[[Any, Any], Any]
    exact: bool

    def __new__(cls, init: Callable, update: Callable, rate_at: Callable[[Any, Any], Any], exact: bool = True):
        pair = super().__new__(cls, (init, update))
        pair.rate_at, pair.exact = rate_at, exact
        return pair


def rate_of(rate: Any, state: Any) -> Any:
    """A number, or a schedule at the count in a state of ours or of Optax's; None if no count is there."""
    if not callable(rate) or is_number(state):
        return rate(state) if callable(rate) else rate
    fields = getattr(state, "_fields", ())
    for name in ("count", "step_count"):
        if name in fields and getattr(state, name) is not None:
            return rate(getattr(state, name))
    is_scheduled = lambda x: isinstance(x, optax.ScaleByScheduleState)  # noqa: E731
    scheduled = [x for x in jax.tree.leaves(state, is_leaf=is_scheduled) if is_scheduled(x)]
    return rate(scheduled[0].count) if len(scheduled) == 1 else None


def scaled_rates(rates: Any, scale: Any) -> Any:
    """What `learning_rates_at` gave, times a scale."""
    if rates is None:
        return None
    return [r if r is None else r * scale for r in rates] if isinstance(rates, list) else rates * scale


def inner_state(state: Any) -> Any:
    """The state of the optimizer that a wrapper is around (of a step, the step); None if none is there."""
    if is_number(state):
        return state
    names = [name for name in ("inner", "inner_opt_state", "base_optimizer_state") if hasattr(state, name)]
    return getattr(state, names[0]) if names else None


def one_rate(rates: Any) -> Any:
    """The one number that the rates of all leaves are, NaN if they differ; None if there is none."""
    if rates is None:
        return None
    distinct = {id(x): x for x in (rates if isinstance(rates, list) else [rates]) if x is not None}
    if not distinct:
        return None
    entries = jnp.concatenate([jnp.ravel(jnp.asarray(x)) for x in distinct.values()])
    if entries.size == 0:
        return None
    return jnp.where(jnp.all(entries == entries[0]), entries[0], jnp.nan) if entries.size > 1 else entries[0]


class Schedule(Node):
    """A node called with a step, () int32, that gives a number, () float."""

    def __call__(self, step: Any) -> jax.Array:
        return self.build()(step)


class Condition(Node):
    """A stopping condition: `init() -> state`, `update(state, observation) -> (state, stop)`; see `gdjax.stopping`."""

    def init(self) -> Any:
        return self.build()[0]()

    def update(self, state: Any, observation: Any) -> tuple[Any, jax.Array]:
        return self.build()[1](state, observation)


class Model(Node):
    """A model: `init(key) -> params`, `apply(params, x, key=None) -> y` (random only if a key is given)."""

    def init(self, key: jax.Array) -> Any:
        return self.build()[0](key)

    def apply(self, params: Any, x: Any, key: jax.Array | None = None) -> Any:
        return self.build()[1](params, x, key)


def register(kind: type[Node]) -> None:
    """Make a kind of node a pytree, with paths such as `.inner.learning_rate`."""

    def flatten_with_keys(node: Node):
        keyed = tuple((jax.tree_util.GetAttrKey(name), child) for name, child in node._children.items())
        return keyed, (node.recipe, tuple(node._children))

    def flatten(node: Node):
        return tuple(node._children.values()), (node.recipe, tuple(node._children))

    def unflatten(aux, children):
        recipe, names = aux
        return kind._make(recipe, dict(zip(names, children, strict=True)))

    jax.tree_util.register_pytree_with_keys(kind, flatten_with_keys, unflatten, flatten)


for _kind in (Optimizer, Schedule, Condition, Model):
    register(_kind)


def _apart(state: Any, others: Any) -> Any:
    """A state whose every leaf is in a buffer of its own, none that of another tree, so that it may be donated."""
    taken = {_buffer(x) for x in jax.tree.leaves(others) if _holds(x)}

    def own(x: Any) -> Any:
        if not _holds(x):
            return x
        if _buffer(x) in taken:
            x = jnp.array(x, copy=True)  # while a program is traced that is no array yet, and has no buffer
        if _holds(x):
            taken.add(_buffer(x))
        return x

    return jax.tree.map(own, state)


def _holds(x: Any) -> bool:
    return isinstance(x, jax.Array) and not isinstance(x, Tracer) and x.size > 0


def _buffer(x: jax.Array) -> int:
    """What tells buffers apart: the address; of an array on many devices the object."""
    if len(x.devices()) > 1:
        return id(x)
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        with jax.ensure_compile_time_eval():
            x = jax.random.key_data(x)
    return x.unsafe_buffer_pointer()


def _call(recipe: Recipe, arguments: dict[str, Any]) -> Node:
    arguments = recipe.fit(arguments)
    recipe.check(arguments)
    recipe.call(arguments)  # the body's own checks speak now, not at the first use
    return recipe.kind._make(recipe, recipe.hide(arguments))


def _factory(
    kind: type[Node],
    body: Callable | None,
    static: tuple[str, ...],
    bounds: dict[str, str] | None,
    precise: tuple[str, ...] = (),
) -> Any:
    if body is None:
        return lambda body: _factory(kind, body, static, bounds, precise)
    recipe = Recipe(kind, body, static, bounds or {}, precise)

    @functools.wraps(body)
    def make(*args, **kwargs):
        bound = recipe.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return _call(recipe, dict(bound.arguments))

    make.recipe = recipe  # type: ignore[attr-defined]
    return make


def decorator(kind: type[N], doc: str):
    """The decorator that makes factories of a kind of node out of bodies."""

    @overload
    def decorate(body: Callable[P, Any], /) -> Callable[P, N]: ...
    @overload
    def decorate(
        *, static: tuple[str, ...] = ..., bounds: dict[str, str] | None = ..., precise: tuple[str, ...] = ...
    ) -> Callable[[Callable[P, Any]], Callable[P, N]]: ...
    def decorate(body=None, /, *, static=(), bounds=None, precise=()) -> Any:
        return _factory(kind, body, static, bounds, precise)

    decorate.__doc__ = doc
    return decorate


optimizer = decorator(Optimizer, "A factory of optimizers from a body that returns (init, update).")
schedule = decorator(Schedule, "A factory of schedules from a body that returns a function of the step.")
condition = decorator(Condition, "A factory of stopping conditions from a body that returns (init, update).")
model = decorator(Model, "A factory of models from a body that returns (init, apply).")


@optimizer
def from_optax(transformation: optax.GradientTransformation):
    """A raw Optax transformation as a node. Its numbers stay where Optax put them, inside its closures.

    To make them leaves too, lift the factory instead of the result: `optimizer(optax.adamw)`, once.
    """
    return optax.with_extra_args_support(transformation)


def as_optimizer(x: Any) -> Optimizer:
    """Ours as it is, a raw Optax transformation wrapped; TypeError for anything else."""
    if isinstance(x, Optimizer):
        return x
    if isinstance(x, optax.GradientTransformation):
        return from_optax(x)
    raise TypeError(f"expected an optimizer of gdjax or an Optax transformation, got {x!r}")


def _show(child: Any) -> Any:
    """The inverse of `Recipe.hide`."""

    def show_leaf(x: Any) -> Any:
        return x.value if isinstance(x, Static) else x.joined() if isinstance(x, Precise) else x

    return jax.tree.map(show_leaf, child, is_leaf=lambda x: isinstance(x, (Node, Static, Precise)))


def _same(a: Any, b: Any) -> bool:
    if is_number(a) and is_number(b):
        if not (is_concrete(a) and is_concrete(b)):
            return a is b
        if np.ndim(a) or np.ndim(b):
            return np.array_equal(np.asarray(a), np.asarray(b))
        return _render(a) == _render(b)
    return type(a) is type(b) and bool(np.all(a == b))


def _render_arguments(signature: inspect.Signature, arguments: dict[str, Any]) -> Iterator[str]:
    for name, parameter in signature.parameters.items():
        value = arguments[name]
        if parameter.kind is parameter.VAR_POSITIONAL:
            yield from map(_render, value)
        elif parameter.default is parameter.empty and parameter.kind is not parameter.KEYWORD_ONLY:
            yield _render(value)
        elif _render(value) != _render(parameter.default):
            yield f"{name}={_render(value)}"


def _render(value: Any) -> str:
    """Text that reads back as the value: float32 0.95 prints 0.95, not 0.94999998."""
    if isinstance(value, (Tracer, jax.ShapeDtypeStruct)):
        return str(value)
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        array = np.asarray(value)
        return f"[{', '.join(map(_render, array))}]" if array.ndim else _render_scalar(array[()])
    if isinstance(value, numbers.Number) and not isinstance(value, bool):
        return _render_scalar(value)
    if isinstance(value, tuple) and type(value) is tuple:
        return f"({', '.join(map(_render, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(map(_render, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_render(k)}: {_render(v)}' for k, v in value.items())}}}"
    if callable(value) and not isinstance(value, Node):
        return getattr(value, "__qualname__", None) or getattr(value, "__name__", repr(value))
    return repr(value)


def _render_scalar(value: Any) -> str:
    text = str(value)  # the shortest digits that give this value back in its own dtype
    if isinstance(value, (float, np.inexact)) and not np.iscomplexobj(value):
        text = repr(float(text))
    return text.removesuffix(".0")
