"""Reading of values: numbers, arrays, containers and objects."""

from __future__ import annotations

import contextvars
import copyreg
import functools
import hashlib
import threading
import types
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.core import Tracer

from gdjax.fingerprint.changing import LOCKS, MOVING, PLAIN
from gdjax.fingerprint.classes import a_class
from gdjax.fingerprint.code import forgetful
from gdjax.fingerprint.library import is_library

if TYPE_CHECKING:
    from gdjax.fingerprint.reader import Reader


class ByIdentity:
    """An object that is compared by identity."""

    __slots__ = ("it",)

    def __init__(self, it: Any):
        self.it: Any = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByIdentity) and self.it is other.it

    def __hash__(self) -> int:
        return id(self.it)


_digests: dict[int, tuple[weakref.ref[Any], bytes]] = {}


def digest(array: Any) -> bytes:
    """A hash of 16 bytes of an array's entries; for a JAX array, which is immutable, it is computed once."""
    if not isinstance(array, jax.Array):
        return hashlib.blake2b(array.tobytes(), digest_size=16).digest()
    known = _digests.get(id(array))
    if known is None:
        is_key = jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key)
        entries = np.asarray(jax.random.key_data(array) if is_key else array)
        known = _digests[id(array)] = forgetful(array, _digests), digest(entries)
    return known[1]


def can_be_argument(array: np.ndarray) -> bool:
    """Whether a NumPy array can become an argument: not a single number, nor integers that JAX would truncate."""
    if not array.ndim:  # it is written into the operations that use it
        return False
    if array.dtype.kind in "iu":
        return jax.dtypes.canonicalize_dtype(array.dtype) == array.dtype
    return array.dtype.kind in "bfc"


def number(reader: Reader, x: Any) -> None:
    reader.key += (type(x), repr(x))  # by repr 0.0 and -0.0 differ, and nan equals nan


def numpy_scalar(reader: Reader, x: np.generic) -> None:
    reader.key += (type(x), x.dtype, x.tobytes())


def by_equality(reader: Reader, x: Any) -> None:
    reader.key.append(x)


def by_identity(reader: Reader, x: Any) -> None:
    reader.key.append(ByIdentity(x))


def builtin(reader: Reader, x: Any) -> None:
    owner = x.__self__
    if owner is None or isinstance(owner, types.ModuleType):
        reader.note_changing(x)
        return by_equality(reader, x)
    reader.attributes.add((x.__name__,))
    reader.key += (type(x), x.__name__)  # a method, like `table.get`
    reader.in_place(owner)


def jax_array(reader: Reader, x: jax.Array) -> None:
    if isinstance(x, Tracer):
        reader.stuck |= reader.fixed
    elif x.is_deleted():
        return by_identity(reader, x)
    if reader.again(x):
        return
    reader.key += (jax.Array, x.shape, x.dtype, getattr(x, "weak_type", False))
    if not reader.fixed:
        reader.arrays.append(x)
    elif not reader.stuck:
        reader.key.append(digest(x))


def numpy_array(reader: Reader, x: np.ndarray) -> None:
    if reader.again(x):
        return
    reader.key += (np.ndarray, x.shape, x.dtype)
    if x.dtype.hasobject:
        reader.kept.append(x.tolist())
        reader.in_place(reader.kept[-1])
    elif reader.fixed or not can_be_argument(x):
        reader.key.append(digest(x))
    else:
        reader.arrays.append(x)


def sequence(reader: Reader, x: Any) -> None:
    reader.key += (type(x), len(x))
    for each in x:
        reader.read(each)


def a_list(reader: Reader, x: list[Any]) -> None:
    if not reader.again(x):
        sequence(reader, x)


def items(reader: Reader, x: dict[Any, Any]) -> None:
    reader.key += (dict, len(x))
    for name, each in x.items():
        if type(name) is str:
            reader.key.append(name)
        else:
            reader.in_place(name)
        reader.read(each)


def a_dict(reader: Reader, x: dict[Any, Any]) -> None:
    if not reader.again(x):
        items(reader, x)


def a_set(reader: Reader, x: Any) -> None:
    reader.key += (
        type(x),
        frozenset([(type(each), each) if type(each) in PLAIN else reader.separate_key(each) for each in x]),
    )


def partial(reader: Reader, x: functools.partial[Any]) -> None:
    reader.key.append(type(x))
    reader.read(x.func)
    reader.read(x.args)
    items(reader, x.keywords)


def a_slice(reader: Reader, x: slice) -> None:
    reader.key.append(slice)
    sequence(reader, (x.start, x.stop, x.step))


def view(reader: Reader, x: types.MappingProxyType[Any, Any]) -> None:
    reader.key.append(type(x))
    reader.kept.append(dict(x) if isinstance(x, types.MappingProxyType) else list(x))
    reader.in_place(reader.kept[-1])


def a_memoryview(reader: Reader, x: memoryview) -> None:
    reader.key += (memoryview, x.format, x.shape, x.tobytes())


def of_thread(reader: Reader, x: threading.local) -> None:
    """Read the values of the present thread."""
    if not reader.again(x):
        a_class(reader, type(x))
        reader.in_place(x.__dict__)


def serial(reader: Reader, x: Any) -> None:
    reader.key.append(type(x))


def self_described(reader: Reader, x: Any) -> None:
    """Read an object by its method `__reads__()`."""
    if not reader.again(x):
        parts = x.__reads__()
        reader.kept.append(parts)
        a_class(reader, type(x))
        reader.in_place(*parts)


def referent(reader: Reader, x: weakref.ref[Any]) -> None:
    reader.key.append(type(x))
    reader.in_place(x())


def context(reader: Reader, x: contextvars.ContextVar[Any]) -> None:
    reader.key.append(x)
    try:
        value = x.get()
    except LookupError:
        return
    reader.in_place(value)


def copyable(reader: Reader, x: Any) -> None:
    """Read an object with its own copy method by the parts from which a copy would be made."""
    if reader.again(x):
        return
    start = len(reader.key)
    is_own = not is_library(type(x).__module__)
    if is_own:  # the parts of a copy may omit attributes
        reader.kept.append(dict(getattr(x, "__dict__", {})))
        reader.in_place(reader.kept[-1])
    made = _parts(x)
    if made is None and (
        isinstance(x, MOVING) or not (is_own or isinstance(x, LOCKS) or type(x).__module__[:3] == "jax")
    ):
        reader.unknown = reader.unknown or f"an object of type {type(x).__name__}"
    if not made or isinstance(made, str):
        return by_identity(reader, x)
    parts = [list(part) if isinstance(part, Iterator) else part for part in made]
    reader.kept.append(parts)
    a_class(reader, type(x))
    reader.in_place(*parts)
    if isinstance(x, MOVING):
        reader.moving += tuple(reader.key[start:])


def _parts(x: Any) -> tuple[Any, ...] | str | None:
    """The parts from which a copy of x would be made; None if there are none."""
    if type(x).__module__ == "itertools":  # copying is deprecated in Python
        return None
    try:
        return x.__reduce_ex__(4)
    except Exception:  # a foreign class may raise anything
        return None


def slots_of(kind: type) -> tuple[str, ...]:
    """The names of the slots of a class."""
    return tuple(copyreg._slotnames(kind) or ())  # type: ignore[attr-defined]


def plain(reader: Reader, x: Any) -> None:
    """Read an object by its class and its attributes."""
    if reader.again(x):
        return
    a_class(reader, type(x))
    attributes = getattr(x, "__dict__", None)
    if attributes is not None:
        items(reader, attributes)


def with_slots(reader: Reader, x: Any) -> None:
    if id(x) not in reader.met:
        plain(reader, x)
        for name in slots_of(type(x)):
            if hasattr(x, name):
                reader.key.append(name)
                reader.read(getattr(x, name))
    else:
        reader.again(x)


def named_tuple(reader: Reader, x: tuple[Any, ...]) -> None:
    a_class(reader, type(x))
    sequence(reader, tuple(x))


def is_named_tuple(x: Any) -> bool:
    return isinstance(x, tuple) and not hasattr(x, "__dict__") and hasattr(x, "_fields")


def is_plain(x: Any) -> bool:
    """Whether an object consists of its attributes: no C state, no own copy method."""
    kind = type(x)
    ways = ("__reduce_ex__", "__reduce__", "__getstate__")
    if any(getattr(kind, way) is not getattr(object, way) for way in ways):
        return False
    try:
        made = x.__reduce_ex__(4)
    except TypeError:
        return False
    return made[0] is copyreg.__newobj__ and made[1] == (kind,) and made[3] is None and made[4] is None  # type: ignore
