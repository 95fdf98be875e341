"""Objects in a user's own file or module: `FILE.py:name` or `package.module:name`."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jax

from gdjax.cli.errors import UserError


def is_place(text: str) -> bool:
    """Whether a text is of the form FILE.py:name or module:name."""
    return re.fullmatch(r"(.+\.py|[\w.]+):\w+", text.strip()) is not None


def load_object(place: str) -> Any:
    """The object of a place FILE.py:name or module:name.

    Raises: ValueError if there is no such file, module or name, or if the file itself fails.
    """
    origin, _, name = place.strip().rpartition(":")
    if not origin or not name:
        raise ValueError(f"{place}: a name must follow, FILE.py:name or module:name")
    return object_of(load_module(origin), origin, name)


@contextlib.contextmanager
def own_mistakes(place: str, function: Any) -> Iterator[None]:
    """A context for calls of a user's function: its errors become a UserError that names the line."""
    try:
        yield
    except (UserError, MemoryError, jax.errors.JaxRuntimeError):
        raise
    except Exception as error:
        file = getattr(getattr(inspect.unwrap(function), "__code__", None), "co_filename", None)
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        if isinstance(error, ValueError) and not own:
            raise
        where = f" at line {own[-1].lineno}" if own else ""
        said = str(error).strip().partition("\n")[0]
        raise UserError(f"{place} raised {type(error).__name__}{where}: {said}") from error


def object_of(module: ModuleType, origin: str, name: str) -> Any:
    """The object with this name in a module.   Raises: ValueError if there is none."""
    if not hasattr(module, name):
        raise ValueError(f"{origin}:{name}: {origin} has no {name!r}")
    return getattr(module, name)


def load_module(origin: str) -> ModuleType:
    """The module of a FILE.py, or with a module name.   Raises: ValueError if there is none, or if it fails."""
    return _from_file(Path(origin)) if origin.endswith(".py") else _from_module(origin)


def _from_file(path: Path) -> ModuleType:
    """Run a file as a module, registered under its name; it can import files of the same folder, as a script can."""
    if not path.is_file():
        raise ValueError(f"no file {path}")
    taken = getattr(sys.modules.get(path.stem), "__file__", "") if path.stem in sys.modules else str(path)
    name = path.stem if taken and Path(taken).resolve() == path.resolve() else f"_own_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module  # where dataclasses and pickle look it up
    _look_in(path.resolve().parent)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name) if before is None else sys.modules.update({name: before})
        raise ValueError(f"{path} fails when read: {type(error).__name__}: {error}") from error
    return module


def _from_module(name: str) -> ModuleType:
    _look_in(Path.cwd())  # as `python -m` would
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise ValueError(f"cannot import {name!r}: {type(error).__name__}: {error}") from error


def _look_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
