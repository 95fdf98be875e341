"""Factories: functions that make call nodes from a body, and the declarations of their arguments."""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import numbers
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar, cast, overload

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import docstrings, mistakes
from gdjax.calls.leaves import Precise, Static, is_concrete, is_number
from gdjax.calls.node import Node
from gdjax.fingerprint import by_value, is_itself

P = ParamSpec("P")
N = TypeVar("N", bound=Node)
N_co = TypeVar("N_co", bound=Node, covariant=True)


class Declaration(NamedTuple):
    """Properties of a factory's arguments that are declared by name; annotations are not read."""

    static: tuple[str, ...] = ()  # arguments that are structure, never leaves
    # Interval of a number, "[0, 1)" or "[0, 1) or None"; of several numbers, "[0, 1), ...".
    bounds: Mapping[str, str] = {}
    ints: tuple[str, ...] = ()  # whole numbers, int32 as arrays
    constant: tuple[str, ...] = ()  # numbers of an optimizer that are no schedules; of other kinds none are
    keys: tuple[str, ...] = ()  # random keys, or integer seeds
    precise: tuple[str, ...] = ()  # numbers kept in double precision, even if arrays are float32
    reads: Mapping[str, Callable[[Any], Any]] = {}  # functions that convert an argument, so that its numbers are leaves


class Recipe:
    """The definition of a factory: its kind of node, its body and the declarations of its arguments."""

    kind: type[Node]
    body: Callable[..., Any]
    declared: Declaration
    static: frozenset[str]
    name: str
    names: Sequence[str]  # of the arguments
    reads_nothing: bool

    def __init__(self, kind: type[Node], body: Callable[..., Any], declared: Declaration):
        self.kind, self.body, self.declared, self.static = kind, body, declared, frozenset(declared.static)
        self.name, self.reads_nothing = body.__name__, is_itself(body)
        self.names = names = argument_names(body)
        for name in itertools.chain(*declared):
            if name not in names:
                raise TypeError(mistakes.unknown(self.name, name, names))
        for name in names:
            if hasattr(kind, name) or name in Node.__annotations__:
                raise TypeError(f"{self.name}: an argument must not be called {name!r}, which is {kind.__name__}'s own")

    @functools.cached_property  # most factories of a program are imported and never called
    def signature(self) -> inspect.Signature:
        return inspect.signature(self.body)

    @functools.cached_property
    def intervals(self) -> dict[str, str]:
        return {**_numbers(self.signature, self.declared), **self.declared.bounds}

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Recipe) and self._identity() == other._identity())

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[Any, ...]:
        return self.kind, self.body, self.static

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by reference to the public factory if there is one, else by the parts."""
        home = sys.modules.get(self.body.__module__)
        public = functools.reduce(
            lambda place, name: getattr(place, name, None), self.body.__qualname__.split("."), home
        )
        if getattr(getattr(public, "recipe", None), "body", None) is getattr(self.body, "function", self.body):
            return getattr, (public, "recipe")
        return Recipe, (self.kind, self.body, self.declared)

    def __reads__(self) -> tuple[Any, ...]:
        return self.kind, self.body, self.static

    def canonicalize(self) -> Recipe:
        """The recipe with its body compared by its present value."""
        if self.reads_nothing:
            return self
        return Recipe(self.kind, by_value(self.body), self.declared)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """All arguments by name, in the order of the signature. Raises: TypeError with one sentence."""
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError:
            raise TypeError(mistakes.misbound(self.name, self.signature, args, kwargs)) from None
        bound.apply_defaults()
        return dict(bound.arguments)

    def make(self, arguments: dict[str, Any]) -> Node:
        """The node of these arguments, after checking them."""
        if self.declared.reads:
            with self._speaking():
                arguments = {**arguments, **{name: read(arguments[name]) for name, read in self.declared.reads.items()}}
        arguments = self.fit(arguments)
        self.check(arguments)
        with self._speaking():
            self.call(arguments)  # so that the body's own checks raise now and not at the first use
        return self.kind._make(self, self.hide(arguments))

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """A context that adds the factory's name to errors."""
        try:
            yield
        except (TypeError, ValueError) as error:
            if type(error) not in (TypeError, ValueError) or self.name in str(error):
                raise
            raise type(error)(f"{self.name}: {error}") from error

    def call(self, arguments: dict[str, Any]) -> Any:
        bound = inspect.BoundArguments(self.signature, cast(Any, arguments))
        return self.body(*bound.args, **bound.kwargs)

    def fit(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments, with integers outside int32 (the default of JAX) converted to floats.

        Raises: ValueError for such an integer if a count is expected, or if it is too large for a float.
        """

        def fit_leaf(name: str, x: Any) -> Any:
            if not isinstance(x, (int, np.integer)) or -(2**31) <= x < 2**31:
                return x
            if name in self.declared.ints or (name in self.declared.keys and abs(x) >= 2**63):
                limit = "2**31" if name in self.declared.ints else "2**63"
                raise ValueError(f"{self.name}: {name} must be below {limit}, got {mistakes.brief(x)}")
            if abs(x) > sys.float_info.max:
                raise ValueError(f"{self.name}: {name} must be a number that a float holds, got {mistakes.brief(x)}")
            return x if name in self.declared.keys else float(x)

        def fit_argument(name: str, value: Any) -> Any:
            if name in self.declared.keys and isinstance(value, (tuple, list)):
                return np.asarray(value, np.uint32)  # a key as it is printed
            if isinstance(value, int) and (name not in self.static or name in self.declared.ints):
                return fit_leaf(name, value)
            if not isinstance(value, (tuple, list, dict)) or name in self.static:
                return value
            return jax.tree.map(functools.partial(fit_leaf, name), value, is_leaf=lambda x: isinstance(x, Node))

        return {name: fit_argument(name, value) for name, value in arguments.items()}

    def hide(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments as children of the node: numbers are leaves, everything else becomes structure."""

        def hide_leaf(x):
            if hasattr(x, "gradient_transformation"):  # Optax's `MultiSteps` and ours
                return jax.tree.map(hide_leaf, x.gradient_transformation())
            return x if is_number(x) else Static(x)

        def hide_argument(name: str, value: Any) -> Any:
            if name in self.static or isinstance(value, (bool, str)):
                return Static(value)
            if name in self.declared.precise and isinstance(value, numbers.Real):
                return Precise.of(float(value))
            if value is None or isinstance(value, (int, float, Node)):  # a tree map takes ten times as long
                return value
            return jax.tree.map(hide_leaf, value)

        return {name: hide_argument(name, value) for name, value in arguments.items()}

    def check(self, arguments: dict[str, Any]) -> None:
        """Raise for a number outside its bounds, or for an argument that must be a number and is none.

        A learning rate of None is allowed only as the default: Optax's `adam(None)` omits the rate and its sign.
        """
        for name, value in arguments.items():
            for each in value if isinstance(value, (tuple, list)) else (value,):
                if is_factory(each):
                    raise TypeError(f"{self.name}: {name} is a factory, call it: {each.recipe.name}(...)")
        rate = self.signature.parameters.get("learning_rate")
        if rate is not None and arguments["learning_rate"] is None is not rate.default:
            raise TypeError(f"{self.name}: learning_rate must be a number, an array or a schedule, got None")
        for name, interval in self.intervals.items():
            if arguments[name] is not None or not interval.endswith(" or None"):
                self._check_number(name, arguments[name], interval.removesuffix(" or None"))

    def _check_number(self, name: str, given: Any, interval: str) -> None:
        default = self.signature.parameters[name].default
        several = interval.endswith(", ...") or isinstance(default, (tuple, list))
        varies = self.kind.takes_schedules and name not in self.declared.constant
        for value in jax.tree.leaves(given, is_leaf=callable) if several else [given]:
            known = is_number(value) or isinstance(value, Precise) or (varies and callable(value))
            if not (known or value is default):
                kind = (
                    "numbers" if several else "a number, an array or a schedule" if varies else "a number or an array"
                )
                raise TypeError(f"{self.name}: {name} must be {kind}, got {mistakes.brief(value)}")
            check_interval(self.name, name, value, interval.removesuffix(", ..."))
            if name in self.declared.ints:
                check_whole(self.name, name, value)

    def dtype(self, name: str) -> jnp.dtype | None:
        """The dtype of an argument as an array: int32 for a whole number, None for a random key, else the default float."""
        if name in self.declared.keys:
            return None
        return jax.dtypes.canonicalize_dtype(np.int32 if name in self.declared.ints else float)


def argument_names(body: Callable[..., Any]) -> Sequence[str]:
    """The names of a function's arguments, for a plain function without the cost of its signature."""
    if not inspect.isfunction(body) or hasattr(body, "__wrapped__") or hasattr(body, "__signature__"):
        return tuple(inspect.signature(body).parameters)
    code = body.__code__
    stars = bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + stars]


def _numbers(signature: inspect.Signature, declared: Declaration) -> dict[str, str]:
    """An unbounded interval for each argument that must be a number: those declared so, and those with a numeric default."""
    free = {name for name, p in signature.parameters.items() if is_number(p.default)} - {
        *declared.static,
        *declared.keys,
    }
    free |= {*declared.ints, *declared.constant}
    return {name: "[-inf, inf]" for name in signature.parameters if name in free}


def check_interval(who: str, name: str, value: Any, interval: str) -> None:
    """Raise ValueError unless every concrete number in value lies in the interval, e.g. "[0, 1)"."""
    if not is_concrete(value):
        return
    low, high = _ends(interval)
    # NumPy takes ten times as long for a number.
    array = value if isinstance(value, (int, float)) else np.asarray(value)
    if isinstance(array, np.ndarray) and np.iscomplexobj(array):
        raise TypeError(f"{who}: {name} must be real, got {mistakes.brief(value)}")
    above = array >= low if interval[0] == "[" else array > low
    below = array <= high if interval[-1] == "]" else array < high
    inside = above & below
    if not (inside if isinstance(inside, bool) else np.all(inside)):
        raise ValueError(f"{who}: {name} must be in {interval}, got {mistakes.brief(value)}")


@functools.lru_cache
def _ends(interval: str) -> tuple[float, float]:
    low, high = interval[1:-1].split(",")
    return float(low), float(high)


def check_whole(who: str, name: str, value: Any) -> None:
    """Raise ValueError unless every concrete number in value is whole and fits into int32."""
    if not is_concrete(value):
        return
    array = np.asarray(value)
    if np.iscomplexobj(array) or not np.all(array == np.round(array)):
        raise ValueError(f"{who}: {name} must be a whole number, got {mistakes.brief(value)}")
    if not np.all(np.abs(array) < 2**31):
        raise ValueError(f"{who}: {name} must be below 2**31, got {mistakes.brief(value)}")


def is_factory(x: Any) -> bool:
    """Whether x is a factory of nodes."""
    return inspect.isfunction(x) and isinstance(getattr(x, "recipe", None), Recipe)


def _factory(kind: type[Node], body: Callable[..., Any], declared: Declaration, like: Callable[..., Any] | None) -> Any:
    recipe = Recipe(kind, body, declared)

    @functools.wraps(body)
    def make(*args, **kwargs):
        return recipe.make(recipe.bind(args, kwargs))

    make.recipe = recipe  # type: ignore[attr-defined]
    make.__doc__ = docstrings.whole(body.__doc__, recipe.names, like and like.__doc__)
    return make


class Decorator(Protocol[N_co]):
    """A decorator that makes a factory from a body: the factory has the body's arguments and returns the node."""

    @overload
    def __call__(self, body: Callable[P, Any], /, **declared: Any) -> Callable[P, N_co]: ...
    @overload
    def __call__(
        self,
        *,
        static: tuple[str, ...] = ...,
        bounds: Mapping[str, str] = ...,
        ints: tuple[str, ...] = ...,
        constant: tuple[str, ...] = ...,
        keys: tuple[str, ...] = ...,
        precise: tuple[str, ...] = ...,
        reads: Mapping[str, Callable[[Any], Any]] = ...,
        like: Callable[..., Any] | None = ...,
    ) -> Callable[[Callable[P, Any]], Callable[P, N_co]]: ...


ARGUMENTS = """
Args:
    body: the function whose signature and docstring the factory has.
    static: names of the arguments that are never leaves, whatever they are.
    bounds: name -> the interval of a number, "[0, 1)"; of several numbers, "[0, 1), ..."; "[0, 1) or None".
    ints: names of whole numbers, int32 as arrays.
    constant: names of numbers of an optimizer for which no schedule can stand; other kinds of node take none.
    keys: names of random keys, or of the integers that they are made from.
    precise: names of numbers kept in double precision, also where arrays are float32.
    reads: name -> a function from what is given to what is kept, so that its numbers are leaves.
    like: another factory, whose docstring describes the arguments that the body's does not.

Raises: TypeError for a name that is no argument of the body.
"""


def decorator(kind: type[N], summary: str, example: str = "") -> Decorator[N]:
    """The decorator that makes factories of a kind of node out of bodies.

    Args:
        kind: the class of the nodes.
        summary: the first line of the decorator's docstring.
        example: the last lines.

    Its keywords are the fields of `Declaration`, and `like`, another factory.
    """

    def decorate(body: Any = None, /, *, like: Any = None, **declared: Any) -> Any:
        if body is None:
            return functools.partial(decorate, like=like, **declared)
        return _factory(kind, body, Declaration(**declared), like)

    decorate.__doc__ = "\n".join([summary, ARGUMENTS, inspect.cleandoc(example)])
    return cast(Any, decorate)
