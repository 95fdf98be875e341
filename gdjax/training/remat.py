"""Rematerialization of any function: activations are computed again in the backward pass instead of being kept.

The operations of the traced function are cut into about sqrt(n) pieces whose results have as many bytes. Only what passes
from piece to piece is kept, and the backward pass computes the inside of one piece at a time again.

Reference: Chen, Xu, Zhang & Guestrin 2016, section 4.1, arXiv:1604.06174.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import eval_jaxpr

from gdjax.jaxprs import is_literal


def rematerialize(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose gradient takes one forward pass more and the memory of about sqrt(n) of its n operations."""

    def call(*args: Any) -> Any:
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
        jaxpr: Any = closed.jaxpr
        values: dict[Any, Any] = dict(zip(jaxpr.constvars, closed.consts, strict=True))
        values |= zip(jaxpr.invars, jax.tree.leaves(args), strict=True)
        for piece in _pieces(jaxpr):
            found = jax.checkpoint(piece.function(jaxpr))(*(values[x] for x in piece.read))
            values |= zip(piece.left, found, strict=True)
        results = [x.val if is_literal(x) else values[x] for x in jaxpr.outvars]
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return call


class _Piece(NamedTuple):
    """Consecutive operations, the variables that they read, and those of their results that are used after them."""

    operations: list[Any]
    read: list[Any]
    left: list[Any]

    def function(self, jaxpr: Any) -> Callable[..., list[Any]]:
        part = jaxpr.replace(constvars=[], invars=self.read, outvars=self.left, eqns=self.operations)
        return lambda *values: eval_jaxpr(part, [], *values)


def _pieces(jaxpr: Any) -> list[_Piece]:
    pieces: list[_Piece] = []
    used = {x for x in jaxpr.outvars if not is_literal(x)}  # by what comes after the piece
    for operations in reversed(_cut(jaxpr.eqns)):
        made = [x for each in operations for x in each.outvars]
        inside = set(made)
        read = [x for each in operations for x in each.invars if not is_literal(x) and x not in inside]
        pieces.append(_Piece(operations, list(dict.fromkeys(read)), [x for x in made if x in used]))
        used = (used - inside) | set(read)
    return pieces[::-1]


def _cut(operations: Any) -> list[list[Any]]:
    """The operations in at most sqrt(n) parts, whose results have about as many bytes."""
    number = max(1, round(math.sqrt(len(operations))))
    sizes = np.cumsum([sum(map(_size, each.outvars)) for each in operations])
    parts: list[list[Any]] = [[] for _ in range(number)]
    for each, size in zip(operations, sizes, strict=True):
        parts[max(0, int(number * (size - 1) // max(sizes[-1], 1)))].append(each)
    return [part for part in parts if part]


def _size(variable: Any) -> int:
    """Bytes of a variable; of a key, about."""
    return math.prod(variable.aval.shape) * getattr(variable.aval.dtype, "itemsize", 4)
