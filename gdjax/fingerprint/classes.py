"""Reading of classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    *(
        "__abstractmethods__",
        "_abc_impl",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__match_args__",
        "__slots__",
    ),
    *("__orig_bases__", "__repr__", "__eq__", "__hash__", "__replace__"),
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
            reader.key.append(type)
            _definitions(reader, each)


def _definitions(reader: Reader, x: type) -> None:
    for name, value in vars(x).items():
        if name not in UNREAD:
            reader.key.append(name)
            if isinstance(value, property):
                value = value.fget
            reader.in_place(getattr(value, "__func__", value))
