"""Reading of functions, and of the modules that they name."""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gdjax.fingerprint.changing import ASKED, CHANGING, NOTHING, Verdict, verdict
from gdjax.fingerprint.code import Facts, facts_of
from gdjax.fingerprint.library import is_itself, is_library, is_library_function
from gdjax.fingerprint.values import items, plain, sequence

if TYPE_CHECKING:
    from gdjax.fingerprint.reader import Reader

BUILTINS = CHANGING["builtins"] or frozenset()


def _modules_by_name(name: str, namespace: dict[str, Any]) -> Iterator[types.ModuleType]:
    """The modules that an import of this name inside a function may find, absolutely or relative to its packages."""
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
        if x.__module__ in CHANGING:
            reader.note_changing(x)
        return reader.key.append(x)
    if reader.again(x):
        return
    facts = facts_of(x.__code__)
    reader.key.append(facts.value)
    is_own = not is_library_function(x)
    for index, cell in enumerate(x.__closure__ or ()):
        try:
            value = cell.cell_contents
        except ValueError:  # an empty cell
            reader.key.append(types.CellType)
            continue
        if is_own and type(value) is types.ModuleType:
            _read_module(reader, x.__code__.co_freevars[index], value, facts)
        else:
            reader.read(value)
    if x.__defaults__:
        sequence(reader, x.__defaults__)
    if x.__kwdefaults__:
        items(reader, x.__kwdefaults__)
    if is_own:
        _names(reader, x, facts)
        if x.__dict__:
            items(reader, x.__dict__)
    else:
        reader.key.append(x.__module__)


def _names(reader: Reader, x: types.FunctionType, facts: Facts) -> None:
    """Read the globals; arrays are not captured if the function writes globals, since a copy would write them elsewhere."""
    namespace = x.__globals__
    reader.attributes.add(facts.attributes)
    reader.by_text |= facts.by_text
    if facts.reason:
        reader.unknown = reader.unknown or facts.reason
    take = reader.in_place if facts.writes else reader.read
    for name in facts.globals:
        if name in namespace:
            value = namespace[name]
            reader.key.append(name)
            if type(value) is types.ModuleType:
                _read_module(reader, name, value, facts)
            else:
                take(value)
        elif name in BUILTINS:
            reader.unknown = reader.unknown or name
    for name in facts.imports:
        for module in _modules_by_name(name, namespace):
            a_module(reader, module, facts.attributes)
            if facts.by_text:
                reader.handed.append(module)


def _read_module(reader: Reader, name: str, module: types.ModuleType, facts: Facts) -> None:
    """Read a module that a function finds under a name; if it is passed on, any function read may use its attributes."""
    known = facts.verdicts.get(name)
    if known is not None and known[0] is module:
        reader.key.append(module)
        if known[1] is not NOTHING:
            _note_verdict(reader, known[1])
    elif is_library(module.__name__):
        facts.verdicts[name] = module, verdict(module, facts.chains.get(name, ((),)), facts.attributes)
        return _read_module(reader, name, module, facts)
    else:
        a_module(reader, module, facts.attributes)
        if any(chain[:1] in ((), ("__dict__",)) for chain in facts.chains.get(name, ((),))):
            reader.handed.append(module)


def _note_verdict(reader: Reader, found: Verdict) -> None:
    reader.unknown = reader.unknown or found.reason
    reader.handed += found.ends
    for module, name in found.reads:
        reader.key.append(name)
        reader.in_place(getattr(module, name))


def read_unnamed_module(reader: Reader, x: types.ModuleType) -> None:
    """Read a module that is not found by name: any function read may use its attributes."""
    reader.key.append(x)
    reader.handed.append(x)


def read_modules(reader: Reader) -> None:
    """Read the attributes of passed-on modules that any of the functions names."""
    done: set = set()
    while todo := [pair for pair in itertools.product(reader.handed, reader.attributes) if pair not in done]:
        done.update(todo)
        for module, attributes in sorted(todo, key=lambda pair: (pair[0].__name__, pair[1])):
            a_module(reader, module, attributes)
    if reader.asked:
        reader.unknown = reader.unknown or _changing_class(reader)
    if reader.by_text:
        found = {x.__name__ for x in reader.handed if not is_library(x.__name__) or x.__name__ in CHANGING}
        reader.unknown = reader.unknown or min(found, default=None)


def _changing_class(reader: Reader) -> str | None:
    """A class among those read of which a method with changing results is used; None if there is none."""
    names = set().union(*reader.attributes)
    return min((root for root in reader.asked if not names.isdisjoint(ASKED[root])), default=None)


def a_module(reader: Reader, x: types.ModuleType, attributes: tuple[str, ...]) -> None:
    """Read the named attributes of a module; of a library's module, those that can change."""
    reader.key.append(x)
    if not attributes or (x, attributes) in reader.modules:
        return
    reader.modules.add((x, attributes))
    if is_library(x.__name__):
        return _note_verdict(reader, verdict(x, ((),), attributes))
    for name in attributes:
        value = x.__dict__.get(name, reader)
        if type(value) is types.ModuleType:
            a_module(reader, value, attributes)
        elif value is not reader:
            reader.key.append(name)
            reader.in_place(value)


def wrapping(reader: Reader, x: Any) -> None:
    """Read the function that a jitted or cached function wraps."""
    function = x.__wrapped__
    if is_itself(function):
        return reader.key.append(x)
    reader.key.append(type(x))
    reader.read(function)


def with_rule(reader: Reader, x: Any) -> None:
    """Read a function with a custom derivative; a library's is compared by identity."""
    if is_library(getattr(x, "__module__", None)):
        reader.key.append(x)
    else:
        plain(reader, x)


def method(reader: Reader, x: types.MethodType) -> None:
    reader.key.append(types.MethodType)
    reader.attributes.add((getattr(x, "__name__", ""),))
    reader.read(x.__func__)
    reader.read(x.__self__)
