"""What a user names in a file or a module of their own: `FILE.py:name` or `package.module:name`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def load_object(place: str) -> Any:
    """The object of that name.

    Raises: ValueError if there is no such file, module or name, or the file itself fails.
    """
    origin, _, name = place.rpartition(":")
    if not origin or not name:
        raise ValueError(f"{place}: a name must follow, FILE.py:name or module:name")
    module = _from_file(Path(origin)) if origin.endswith(".py") else _from_module(origin)
    if not hasattr(module, name):
        raise ValueError(f"{place}: {origin} has no {name!r}")
    return getattr(module, name)


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ValueError(f"no file {path}")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{path} fails when read: {type(error).__name__}: {error}") from error
    return module


def _from_module(name: str) -> ModuleType:
    if str(Path.cwd()) not in sys.path:  # as `python -m` would look
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise ValueError(f"cannot import {name!r}: {type(error).__name__}: {error}") from error
