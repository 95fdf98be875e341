"""What code says of itself: its value, and the names in it."""

from __future__ import annotations

import dis
import types
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple


class Code:
    """A code object, equal to another that does the same on other lines."""

    __slots__ = ("code", "hash")

    def __init__(self, code: types.CodeType):
        self.code = _without_lines(code)
        self.hash = hash(self.code)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Code) and (self.code is other.code or self.code == other.code)

    def __hash__(self) -> int:
        return self.hash


def _without_lines(code: types.CodeType) -> types.CodeType:
    constants = tuple(_without_lines(x) if isinstance(x, types.CodeType) else x for x in code.co_consts)
    nowhere = {"co_filename": "", "co_name": "", "co_qualname": "", "co_firstlineno": 0, "co_linetable": b""}
    return code.replace(co_consts=constants, **nowhere)


class Facts(NamedTuple):
    """What a code object says of itself, the code inside it included."""

    value: Code
    globals: tuple[str, ...]
    imports: tuple[str, ...]
    attributes: tuple[str, ...]


_facts: dict[int, tuple[weakref.ref, Facts]] = {}


def facts_of(code: types.CodeType) -> Facts:
    known = _facts.get(id(code))
    if known is None:
        known = _facts[id(code)] = forgetful(code, _facts), _look_up(code)
    return known[1]


def forgetful(x: Any, table: dict) -> weakref.ref:
    """A reference that takes x out of the table when it dies."""
    key = id(x)
    return weakref.ref(x, lambda _: table.pop(key, None))


def _look_up(code: types.CodeType) -> Facts:
    names: dict[str, set] = {"GLOBAL": set(), "NAME": set(), "IMPORT_NAME": set(), "ATTR": set()}
    for each in _with_inner(code):
        for instruction in dis.get_instructions(each):
            match instruction.opname:
                case "LOAD_GLOBAL" | "LOAD_NAME" | "LOAD_FROM_DICT_OR_GLOBALS":
                    names["GLOBAL"].add(instruction.argval)
                case "LOAD_ATTR" | "LOAD_METHOD" | "LOAD_SUPER_ATTR" | "IMPORT_FROM":
                    names["ATTR"].add(instruction.argval)
                case "IMPORT_NAME":
                    names["IMPORT_NAME"].add(instruction.argval)
    return Facts(Code(code), *(tuple(sorted(names[kind])) for kind in ("GLOBAL", "IMPORT_NAME", "ATTR")))


def _with_inner(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _with_inner(constant)
