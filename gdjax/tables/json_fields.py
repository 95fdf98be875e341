"""Dataclasses of plain values to JSON and back, checked field by field: a file decides values, never types."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any


def plain(value: Any) -> Any:
    """A dataclass as dicts, lists and numbers."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return list(value) if isinstance(value, tuple) else value


def restored(kind: type[Any], entry: Any) -> Any:
    """The value of a type that `plain` wrote.

    Raises: ValueError that names the first field which is missing, unknown or of another type.
    """
    if not isinstance(entry, dict):
        raise ValueError(f"encoding: the fields of {kind.__name__} are needed, got {entry!r}")
    hints = typing.get_type_hints(kind)
    wrong = set(hints) ^ set(entry)
    if wrong:
        raise ValueError(
            f"encoding: {kind.__name__} has the fields {', '.join(hints)}, got {', '.join(map(str, entry))}"
        )
    return kind(**{name: _value(hint, entry[name], f"{kind.__name__}.{name}") for name, hint in hints.items()})


def _value(hint: Any, found: Any, where: str) -> Any:
    if isinstance(hint, types.UnionType):  # of a dataclass and None
        return None if found is None else _value(typing.get_args(hint)[0], found, where)
    if dataclasses.is_dataclass(hint):
        return restored(typing.cast(type, hint), found)
    if typing.get_origin(hint) is tuple and isinstance(found, list):
        return tuple(_value(typing.get_args(hint)[0], each, where) for each in found)
    if hint is float and type(found) in (int, float) and abs(found) < float("inf"):
        return float(found)
    if hint in (int, str, bool) and type(found) is hint:
        return found
    raise ValueError(f"encoding: {where} must be {getattr(hint, '__name__', hint)}, got {str(found)[:60]!r}")
