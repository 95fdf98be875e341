"""The table of kinds, and the reader that goes through all that is read."""

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
SERIALS = {"flax.ids.FlaxId"}  # numbers that a library gives to its objects, and that no answer depends on
CACHED: Any = type(functools.cache(abs))


class Reading(NamedTuple):
    """What was read. Equal keys: the same program, given the captured arrays."""

    key: tuple[Any, ...] | None  # None: a tracer stands where it cannot be replaced
    arrays: tuple[Any, ...]  # captured, in the order in which they were met
    moving: tuple[Any, ...] = ()  # the states of random number generators, iterators and streams
    unknown: str | None = None  # what was met whose answers depend on more than can be read


def read(x: Any, capture: bool = True) -> Reading:
    """What a function, or anything else, is by value; with capture=False the entries of its arrays are part of it."""
    reader = Reader(capture)
    try:
        reader.read(x)
        functions.read_modules(reader)
    except RecursionError:  # a list of a thousand lists in one another: like all that cannot be read
        return Reading((values.Same(x),), (), unknown="what is nested too deep")
    key = None if reader.stuck else tuple(reader.key)
    return Reading(key, tuple(reader.arrays), reader.moving, reader.unknown)


class Reader:
    """Goes through all that is read, once, writing the key down."""

    __slots__ = (
        *("arrays", "asked", "attributes", "by_text", "fixed", "fixed_met", "handed", "kept", "key", "met", "modules"),
        *("moving", "stuck", "unknown"),
    )

    def __init__(self, capture: bool):
        self.key: list[Any] = []
        self.arrays: list[Any] = []
        self.met: dict[int, int] = {}  # where an object that may stand in a cycle was met first
        self.fixed: bool = not capture  # whether arrays stay where they are
        self.fixed_met: dict[int, int] = {}  # like `met`, for what is reached by a way on which arrays stay
        self.kept: list[Any] = []  # what was made while reading, so that no `id` is used twice
        self.modules: set[Any] = set()  # that were met, each with the attributes that were read
        self.handed: list[Any] = []  # modules that were met under no name: in a cell, a list, an attribute
        self.attributes: set[Any] = set()  # what the functions that were read name as such, each as a tuple
        self.by_text: bool = False  # whether one of them looks attributes up by names that are made at run time
        self.asked: tuple[Any, ...] = ()  # modules with a class that was read and answers otherwise each time
        self.moving: tuple[Any, ...] = ()  # what goes on when it is asked
        self.stuck: bool = False
        self.unknown: str | None = None

    def read(self, x: Any) -> None:
        kind = type(x)
        if kind in PLAIN:
            self.key += (kind, x)
        else:
            (_readers.get(kind) or _reader_of(x))(self, x)

    def note_changing(self, x: Any) -> None:
        """Note where a library's function answers otherwise each time."""
        if is_changing(x):
            self.unknown = self.unknown or f"{x.__module__}.{x.__name__}"

    def separate_key(self, x: Any) -> tuple[Any, ...] | None:
        """The key of x alone, its arrays in place."""
        reading = read(x, capture=False)
        self.stuck |= reading.key is None
        self.moving += reading.moving
        self.unknown = self.unknown or reading.unknown
        return reading.key

    def again(self, x: Any) -> bool:
        """Whether x was met before, which is then all that has to be said of it."""
        number = self.met.get(id(x))
        if number is None:
            self.met[id(x)] = len(self.met)
            return False
        self.key += (Reader, number)
        return True

    def in_place(self, *parts: Any) -> None:
        """Read what cannot be taken apart and put together with other arrays in it."""
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
    types.CodeType: values.itself,
    np.ufunc: values.itself,
    type: classes.named_class,
    object: values.same,
    JIT: functions.wrapping,
    CACHED: functions.wrapping,
    types.MappingProxyType: values.view,
    memoryview: values.a_memoryview,
    jax.custom_jvp: functions.with_rule,
    jax.custom_vjp: functions.with_rule,
}
_readers_of_own: weakref.WeakKeyDictionary[type, Callable[[Reader, Any], None]] = weakref.WeakKeyDictionary()


def _reader_of(x: Any) -> Callable[[Reader, Any], None]:
    """How objects of this kind are read, found out once for each class."""
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
        (isinstance(x, VALUES), values.itself),
        (f"{kind.__module__}.{kind.__qualname__}" in SERIALS, values.serial),
        (hasattr(kind, "__reads__"), values.self_described),
        (values.is_named_tuple(x), values.named_tuple),
        (values.is_plain(x), values.with_slots if values.slots_of(kind) else values.plain),
    ):
        if is_so:
            return reader
    return values.copyable
