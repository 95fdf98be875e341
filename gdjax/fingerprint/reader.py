"""The reader, which traverses everything that a function reads, and the table of types."""

from __future__ import annotations

import contextvars
import functools
import threading
import types
import weakref
from collections.abc import Callable, MappingView
from typing import Any, NamedTuple

import jax
import numpy as np

from gdjax.fingerprint import classes, functions, values
from gdjax.fingerprint.changing import PLAIN, is_changing
from gdjax.fingerprint.library import is_library

# equal by value
VALUES: tuple[type[Any], ...] = (
    np.dtype,
    jax.tree_util.PyTreeDef,
    jax.Device,
    jax.sharding.Sharding,
    jax.sharding.Mesh,
)
JIT: Any = type(jax.jit(abs))
SERIALS = {"flax.ids.FlaxId"}  # serial numbers of objects, on which no result depends
CACHED: Any = type(functools.cache(abs))


class Reading(NamedTuple):
    """The result of reading. Functions with equal keys have the same program, with the captured arrays as arguments."""

    key: tuple[Any, ...] | None  # None if a tracer cannot be replaced
    arrays: tuple[Any, ...]  # captured, in the order in which they were met
    moving: tuple[Any, ...] = ()  # the states of random number generators, iterators and streams
    unknown: str | None = None  # the name of something whose results cannot be read


def read(x: Any, capture: bool = True) -> Reading:
    """The value of a function or any other object; with capture=False it includes the entries of arrays."""
    reader = Reader(capture)
    try:
        reader.read(x)
        functions.read_modules(reader)
    except RecursionError:  # too deeply nested to be read
        return Reading((values.ByIdentity(x),), (), unknown="what is nested too deep")
    key = None if reader.stuck else tuple(reader.key)
    return Reading(key, tuple(reader.arrays), reader.moving, reader.unknown)


class Reader:
    """Traverses everything that is read, once, and builds the key."""

    __slots__ = (
        *("arrays", "asked", "attributes", "by_text", "fixed", "fixed_met", "handed", "kept", "key", "met", "modules"),
        *("moving", "stuck", "unknown"),
    )

    def __init__(self, capture: bool):
        self.key: list[Any] = []
        self.arrays: list[Any] = []
        self.met: dict[int, int] = {}  # id -> first position of an object that may be part of a cycle
        self.fixed: bool = not capture  # whether arrays are not captured at present
        self.fixed_met: dict[int, int] = {}  # like `met`, for objects read while `fixed`
        self.kept: list[Any] = []  # temporary objects, kept alive so that no `id` is used twice
        self.modules: set[Any] = set()  # (module, attributes) read so far
        self.handed: list[Any] = []  # modules found without a name: in a cell, a list, an attribute
        self.attributes: set[Any] = set()  # attribute names in the functions read, as tuples
        self.by_text: bool = False  # whether one of them looks up attributes by names made at run time
        self.asked: tuple[Any, ...] = ()  # modules with a class whose results change
        self.moving: tuple[Any, ...] = ()  # states that advance with use
        self.stuck: bool = False
        self.unknown: str | None = None

    def read(self, x: Any) -> None:
        kind = type(x)
        if kind in PLAIN:
            self.key += (kind, x)
        else:
            (_readers.get(kind) or _reader_of(x))(self, x)

    def note_changing(self, x: Any) -> None:
        """Record a library's function whose results change."""
        if is_changing(x):
            self.unknown = self.unknown or f"{x.__module__}.{x.__name__}"

    def separate_key(self, x: Any) -> tuple[Any, ...] | None:
        """The key of x alone, with the entries of its arrays."""
        reading = read(x, capture=False)
        self.stuck |= reading.key is None
        self.moving += reading.moving
        self.unknown = self.unknown or reading.unknown
        return reading.key

    def again(self, x: Any) -> bool:
        """Whether x was met before; if so, a reference to its first position is added to the key."""
        number = self.met.get(id(x))
        if number is None:
            self.met[id(x)] = len(self.met)
            return False
        self.key += (Reader, number)
        return True

    def in_place(self, *parts: Any) -> None:
        """Read objects that cannot be rebuilt with other arrays, so that none is captured."""
        fixed, met = self.fixed, self.met
        self.fixed, self.met = True, met if fixed else self.fixed_met
        for part in parts:
            self.read(part)
        self.fixed, self.met = fixed, met


_readers: dict[type, Callable[[Reader, Any], None]] = {
    float: values.number,
    complex: values.number,
    tuple: values.sequence,
    list: values.a_list,
    dict: values.a_dict,
    set: values.a_set,
    frozenset: values.a_set,
    slice: values.a_slice,
    np.ndarray: values.numpy_array,
    types.FunctionType: functions.a_function,
    types.MethodType: functions.method,
    types.BuiltinFunctionType: values.builtin,
    types.ModuleType: functions.read_unnamed_module,
    types.CodeType: values.by_equality,
    np.ufunc: values.by_equality,
    type: classes.named_class,
    object: values.by_identity,
    JIT: functions.wrapping,
    CACHED: functions.wrapping,
    types.MappingProxyType: values.view,
    memoryview: values.a_memoryview,
    jax.custom_jvp: functions.with_rule,
    jax.custom_vjp: functions.with_rule,
}
_readers_of_own: weakref.WeakKeyDictionary[type, Callable[[Reader, Any], None]] = weakref.WeakKeyDictionary()


def _reader_of(x: Any) -> Callable[[Reader, Any], None]:
    """The function that reads objects of this class, determined once per class."""
    kind = type(x)
    reader = _readers_of_own.get(kind)
    if reader is None:
        reader = _find_reader(x)
        (_readers if is_library(kind.__module__) else _readers_of_own)[kind] = reader
    return reader


def _find_reader(x: Any) -> Callable[[Reader, Any], None]:
    kind = type(x)
    for is_so, reader in (
        (isinstance(x, type), classes.named_class),
        (isinstance(x, jax.Array), values.jax_array),
        (isinstance(x, np.generic), values.numpy_scalar),
        (isinstance(x, functools.partial), values.partial),
        (isinstance(x, weakref.ref), values.referent),
        (isinstance(x, contextvars.ContextVar), values.context),
        (isinstance(x, threading.local), values.of_thread),
        (isinstance(x, MappingView), values.view),
        (isinstance(x, VALUES), values.by_equality),
        (f"{kind.__module__}.{kind.__qualname__}" in SERIALS, values.serial),
        (hasattr(kind, "__reads__"), values.self_described),
        (values.is_named_tuple(x), values.named_tuple),
        (values.is_plain(x), values.with_slots if values.slots_of(kind) else values.plain),
    ):
        if is_so:
            return reader
    return values.copyable
