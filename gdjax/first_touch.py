"""Names of a package that are imported when they are first touched, so that what a program does without costs it nothing.

The package imports them below `if TYPE_CHECKING:`, where type checkers read them, and so does this module: the block is the
one list of names and of their places.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any


def import_on_first_touch(package: str) -> dict[str, str]:
    """Give a package the functions `__getattr__` and `__dir__`, from its imports below `if TYPE_CHECKING:`.

    A module of the package that is not named there is imported on first touch too.

    Args:
        package: its `__name__`. From a package that is starred there, all of its `__all__` is offered, in that order.

    Returns:
        name -> the module that it comes from; a module is its own place.
    """
    module = sys.modules[package]
    places = dict(_places(module))

    def touch(name: str) -> Any:
        own = f"{package}.{name}"
        place = places.get(name, own)
        if place == own and (name.startswith("_") or not importlib.util.find_spec(own)):
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=module)
        found = importlib.import_module(place)
        value = found if place == own else getattr(found, name)
        setattr(module, name, value)
        return value

    vars(module).update(__getattr__=touch, __dir__=lambda: sorted({*vars(module), *places}))
    return places


def _places(module: ModuleType) -> Iterator[tuple[str, str]]:
    """Each name that the package imports for type checkers, and its place."""
    for statement in _imports(module):
        place = statement.module or ""
        for alias in statement.names:
            if alias.name == "*":
                yield from dict.fromkeys(importlib.import_module(place).__all__, place).items()
            else:
                yield alias.name, f"{place}.{alias.name}" if place == module.__name__ else place


def _imports(module: ModuleType) -> Iterator[ast.ImportFrom]:
    """The statements `from ... import ...` below `if TYPE_CHECKING:` in the package's source."""
    source = getattr(module.__loader__, "get_source", lambda name: None)(module.__name__)
    if source is None:
        raise ImportError(f"{module.__name__} needs its source, which names what it imports on first touch")
    for block in ast.parse(source).body:
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            yield from (x for x in block.body if isinstance(x, ast.ImportFrom))
