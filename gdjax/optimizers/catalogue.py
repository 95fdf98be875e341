"""Facts about an optimizer, read from its docstring, for the table of optimizers and `gdjax optimizers`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, NamedTuple


class Entry(NamedTuple):
    name: str
    signature: str
    summary: str
    memory: str
    reference: str


def entry(factory: Callable[..., Any]) -> Entry:
    """A factory's entry.

    Raises: ValueError if its docstring lacks a `Memory:` or `Reference:` line.
    """
    name, doc = getattr(factory, "__name__", repr(factory)), inspect.getdoc(factory) or ""
    memory = re.search(r"^Memory:\s*(.+?)\.(?:\s{2,}|$)", doc, re.MULTILINE)
    reference = re.search(r"^Reference:\s*(.+?)\.?$(?=\n\n|\n\S|\Z)", doc, re.MULTILINE | re.DOTALL)
    if memory is None or reference is None:
        raise ValueError(f"{name}: the docstring must have lines 'Memory: ...' and 'Reference: ...'")
    parameters = inspect.signature(factory).parameters.values()
    plain = inspect.Signature([p.replace(annotation=inspect.Parameter.empty) for p in parameters])
    return Entry(name, str(plain), doc.partition("\n")[0], memory[1], " ".join(reference[1].split()))
