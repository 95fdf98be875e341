"""Facts about code objects: their value, and the names in them."""

from __future__ import annotations

import dis
import types
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

from gdjax.fingerprint.changing import BY_TEXT, FRAMES, Verdict


class Code:
    """A code object, compared without line numbers."""

    __slots__ = ("code", "hash")
    code: types.CodeType
    hash: int

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
    """Facts about a code object, including the code nested in it."""

    value: Code
    globals: tuple[str, ...]
    imports: tuple[str, ...]
    attributes: tuple[str, ...]
    chains: dict[str, tuple[tuple[str, ...], ...]]  # name -> chains of attributes taken from it
    reason: str | None  # why the code is unknown
    by_text: bool  # whether it looks up attributes by names made at run time
    writes: bool  # whether it writes globals
    verdicts: dict[str, tuple[types.ModuleType, Verdict]]  # name -> the library module found under it, and the verdict


_facts: dict[int, tuple[weakref.ref[Any], Facts]] = {}


def facts_of(code: types.CodeType) -> Facts:
    known = _facts.get(id(code))
    if known is None:
        known = _facts[id(code)] = forgetful(code, _facts), _look_up(code)
    return known[1]


def forgetful(x: Any, table: dict[Any, Any]) -> weakref.ref[Any]:
    """A weak reference that removes x from the table when x dies."""
    key = id(x)
    return weakref.ref(x, lambda _: table.pop(key, None))


NAMES = {
    **dict.fromkeys(("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"), "globals"),
    **dict.fromkeys(("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"), "cells"),
    **dict.fromkeys(("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "IMPORT_FROM"), "attributes"),
    "IMPORT_NAME": "imports",
    "STORE_GLOBAL": "written",
    "DELETE_GLOBAL": "written",
}
# Instructions that may be between a name and its attributes or its call.
BETWEEN = {
    "EXTENDED_ARG",
    "CACHE",
    "PUSH_NULL",
}


def _look_up(code: types.CodeType) -> Facts:
    names: dict[str, set] = {kind: set() for kind in NAMES.values()}
    chains: dict[str, set] = {}
    for each in _with_inner(code):
        for instruction in dis.get_instructions(each):
            if instruction.opname in NAMES:
                names[NAMES[instruction.opname]].add(instruction.argval)
        for root, chain in _chains(each):
            chains.setdefault(root, set()).add(chain)
    asked = names["globals"] | names["attributes"]
    return Facts(
        Code(code),
        *(tuple(sorted(names[kind])) for kind in ("globals", "imports", "attributes")),
        chains={root: tuple(sorted(found)) for root, found in chains.items()},
        reason=min(FRAMES & asked, default=None),
        by_text=bool(BY_TEXT & asked),
        writes=bool(names["written"]),
        verdicts={},
    )


def _chains(code: types.CodeType) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(name, attribute, ...) for each chain of attributes in the code, with "()" for a direct call of a name."""
    root, chain = None, []
    for instruction in dis.get_instructions(code):
        kind = NAMES.get(instruction.opname)
        if kind == "attributes" and root is not None:
            chain.append(instruction.argval)
        elif instruction.opname not in BETWEEN:
            if root is not None:
                is_bare_call = instruction.opname in ("CALL", "PRECALL") and instruction.arg == 0
                yield root, (*chain, "()") if is_bare_call else tuple(chain)
            root, chain = (instruction.argval if kind in ("globals", "cells") else None), []


def _with_inner(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _with_inner(constant)
