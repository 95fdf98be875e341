"""The walk over functions, and the modules that they name."""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gdjax.fingerprint.code import Facts, facts_of
from gdjax.fingerprint.library import is_itself, is_library, is_library_function
from gdjax.fingerprint.values import items, plain, sequence

if TYPE_CHECKING:
    from gdjax.fingerprint.reader import Reader


def _modules_named(name: str, namespace: dict[str, Any]) -> Iterator[types.ModuleType]:
    """What an import of the name inside a function may find: by itself, or seen from a package that the function is in."""
    package = namespace.get("__package__") or ""
    while package:
        relative = sys.modules.get(f"{package}.{name}".rstrip("."))
        if relative is not None:
            yield relative
        package = package.rpartition(".")[0]
    if name in sys.modules:
        yield sys.modules[name]


def a_function(reader: Reader, x: types.FunctionType) -> None:
    if is_itself(x):
        return reader.key.append(x)
    if reader.again(x):
        return
    facts = facts_of(x.__code__)
    reader.key.append(facts.value)
    for cell in x.__closure__ or ():
        try:
            reader.read(cell.cell_contents)
        except ValueError:  # not filled yet
            reader.key.append(types.CellType)
    if x.__defaults__:
        sequence(reader, x.__defaults__)
    if x.__kwdefaults__:
        items(reader, x.__kwdefaults__)
    if is_library_function(x):
        reader.key.append(x.__module__)
    else:
        _names(reader, x, facts)
        if x.__dict__:
            items(reader, x.__dict__)


def _names(reader: Reader, x: types.FunctionType, facts: Facts) -> None:
    namespace = x.__globals__
    reader.attributes.add(facts.attributes)
    for name in facts.globals:
        if name in namespace:
            reader.key.append(name)
            value = namespace[name]
            if type(value) is types.ModuleType:
                a_module(reader, value, facts.attributes)
            else:
                reader.read(value)
    for name in facts.imports:
        for module in _modules_named(name, namespace):
            a_module(reader, module, facts.attributes)


def handed_module(reader: Reader, x: types.ModuleType) -> None:
    """A module that the function does not find by name: whoever was read may ask it for an attribute."""
    reader.key.append(x)
    if not is_library(x.__name__):
        reader.handed.append(x)


def read_modules(reader: Reader) -> None:
    """Of the modules that were handed on, what any function that was read names as an attribute."""
    done: set = set()
    while todo := [pair for pair in itertools.product(reader.handed, reader.attributes) if pair not in done]:
        done.update(todo)
        for module, attributes in sorted(todo, key=lambda pair: (pair[0].__name__, pair[1])):
            a_module(reader, module, attributes)


def a_module(reader: Reader, x: types.ModuleType, attributes: tuple[str, ...]) -> None:
    """A module of the user's own: what the function that names it also names as attributes."""
    reader.key.append(x)
    if not attributes or is_library(x.__name__) or (x, attributes) in reader.modules:
        return
    reader.modules.add((x, attributes))
    for name in attributes:
        value = x.__dict__.get(name, reader)
        if type(value) is types.ModuleType:
            a_module(reader, value, attributes)
        elif value is not reader:
            reader.key.append(name)
            reader.in_place(value)


def wrapping(reader: Reader, x: Any) -> None:
    """A function that was jitted, or has a cache, is that function."""
    function = x.__wrapped__
    if is_itself(function):
        return reader.key.append(x)
    reader.key.append(type(x))
    reader.read(function)


def with_rule(reader: Reader, x: Any) -> None:
    """A function with a derivative of its own: a library's is itself."""
    if is_library(getattr(x, "__module__", None)):
        reader.key.append(x)
    else:
        plain(reader, x)


def method(reader: Reader, x: types.MethodType) -> None:
    reader.key.append(types.MethodType)
    reader.read(x.__func__)
    reader.read(x.__self__)
