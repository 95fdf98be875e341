"""Reading of classes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from gdjax.fingerprint.changing import ASKED
from gdjax.fingerprint.library import is_library

if TYPE_CHECKING:
    from gdjax.fingerprint.reader import Reader

UNREAD = {  # attributes of a class that influence no result
    *("__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__firstlineno__", "__static_attributes__"),
    *(
        "__annotations__",
        "__annotate__",
        "__annotations_cache__",
        "__annotate_func__",
        "__type_params__",
        "__parameters__",
    ),
    *("__abstractmethods__", "_abc_impl", "__dataclass_params__", "__slots__", "__orig_bases__"),
}


def named_class(reader: Reader, x: type) -> None:
    """Read a class that is itself a value, and not the class of an object."""
    reader.note_changing(x)
    a_class(reader, x)


def a_class(reader: Reader, x: type) -> None:
    """Read a class: a user's class by the definitions of it and its bases."""
    if is_library(x.__module__):
        if x.__module__ in ASKED:
            reader.asked += (x.__module__,)
        return reader.key.append(x)
    if reader.again(x):
        return
    if not is_library(type(x).__module__):
        a_class(reader, type(x))
    for each in x.__mro__:
        if is_library(each.__module__):
            reader.key.append(each)
        else:
            reader.key += (type, each.__qualname__)
            _definitions(reader, each)


def _definitions(reader: Reader, x: type) -> None:
    for name, value in [*vars(x).items()]:  # another thread may add to them
        if name not in UNREAD:
            reader.key.append(name)
            if name == "__dataclass_fields__":
                reader.in_place(*map(_field, value.values()))
            elif isinstance(value, property):
                reader.in_place(value.fget, value.fset, value.fdel)
            else:
                reader.in_place(getattr(value, "__func__", value))


def _field(x: dataclasses.Field[Any]) -> tuple[Any, ...]:
    """A field of a dataclass without its annotation."""
    flags = x.init, x.repr, x.hash, x.compare, x.kw_only
    return x.name, x.default, x.default_factory, x.metadata, flags
