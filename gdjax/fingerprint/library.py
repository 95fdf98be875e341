"""Detection of installed libraries, which do not change while a program runs."""

from __future__ import annotations

import functools
import os
import site
import sys
import sysconfig
import types
from typing import Any

ROOT = __name__.partition(".")[0]
_known_modules: dict[str, bool] = {}


def is_library(module: str | None) -> bool:
    """Whether a module is installed, so that it does not change while the program runs."""
    known = _known_modules.get(module or "")
    if known is None:
        if module is None or module not in sys.modules:
            return False
        known = _known_modules[module] = module.partition(".")[0] == ROOT or _is_installed(sys.modules[module])
    return known


def _is_installed(module: types.ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if file is None:
        return (
            module.__name__ in sys.builtin_module_names or module.__name__.partition(".")[0] in sys.stdlib_module_names
        )
    return module.__name__ != "__main__" and os.path.abspath(file).startswith(_installed_folders())


@functools.cache
def _installed_folders() -> tuple[str, ...]:
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths |= {*site.getsitepackages(), site.getusersitepackages()}
    return tuple(os.path.join(os.path.abspath(path), "") for path in paths)


def is_library_function(function: types.FunctionType) -> bool:
    return is_library(function.__globals__.get("__name__"))


def is_itself(function: Any) -> bool:
    """Whether a function is compared by identity: a module-level function of a library."""
    return (
        isinstance(function, types.FunctionType)
        and function.__closure__ is None
        and is_library_function(function)
        and "<locals>" not in function.__qualname__  # a new object at each call of the outer function
    )
