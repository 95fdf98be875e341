"""What the oracles of transforms share: the gradient made into another is the answer."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from gdjax.certify.oracles.wrappers.lift import Answer, Wrapped


def each_leaf(change: Callable[..., Any]) -> Wrapped:
    """The answer is change(g, p) of each leaf."""
    answer = None
    while True:
        seen = yield answer
        answer = Answer([change(g, p) for g, p in zip(seen.grads, seen.params, strict=True)])


def all_leaves(change: Callable[..., Any]) -> Wrapped:
    """The answer is change(grads, t) of all leaves together, t from 1."""
    answer = None
    for t in itertools.count(1):
        seen = yield answer
        answer = Answer(change(seen.grads, t))
