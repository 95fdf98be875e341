"""Factories: what makes call nodes of a body, and what its signature says of each argument."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast, overload

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls.leaves import Precise, Static, is_concrete, is_number
from gdjax.calls.node import Node
from gdjax.calls.spec import render
from gdjax.fingerprint import by_value, is_itself

P = ParamSpec("P")
N = TypeVar("N", bound=Node)


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

    def make(self, arguments: dict[str, Any]) -> Node:
        """The node of these arguments, checked."""
        arguments = self.fit(arguments)
        self.check(arguments)
        self.call(arguments)  # the body's own checks speak now, not at the first use
        return self.kind._make(self, self.hide(arguments))

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
        raise ValueError(f"{who}: {name} must be in {interval}, got {render(value)}")


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
        return recipe.make(dict(bound.arguments))

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
