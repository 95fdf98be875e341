"""Names of a package that are imported when they are first touched, so that what a program does without costs it nothing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any


def import_on_first_touch(package: str, places: Mapping[str, str]) -> None:
    """Give a package the functions `__getattr__` and `__dir__`; for a type checker it imports the names itself.

    Args:
        package: its `__name__`.
        places: name -> the module to import it from; a module is its own place.
    """
    module = sys.modules[package]

    def touch(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=module)
        found = importlib.import_module(places[name])
        value = found if places[name] == f"{package}.{name}" else getattr(found, name)
        setattr(module, name, value)
        return value

    vars(module).update(__getattr__=touch, __dir__=lambda: sorted({*vars(module), *places}))
