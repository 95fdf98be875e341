"""Transfer of a result from the device to the host."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.domain import overhear
from gdjax.programs import retrace
from gdjax.solve.minimum import HostMinimum, Minimum, Point, Start
from gdjax.solve.path import trim
from gdjax.solve.problem import is_traced
from gdjax.types import Stop


@dataclasses.dataclass(frozen=True)
class PackedRun:
    """A run that returns its numbers packed in two arrays, since each output of a compiled program costs microseconds."""

    run: Callable[..., Minimum]

    def __call__(self, *args: Any) -> Minimum:
        found = self.run(*args)
        last, first = found.last, found.first
        assert last is not None and first is not None
        numbers = jnp.stack([found.value, found.grad_norm, last.value, last.grad_norm, *first])
        counts = jnp.stack([found.steps, found.stop, found.best_step])
        return Minimum(found.params, numbers, None, counts, None, found.path, None, last.params)  # type: ignore[arg-type]


def _unpack(packed: Minimum) -> Minimum:
    params, numbers, _, counts, _, path, _, last, _ = packed
    value, grad_norm, last_value, last_norm, *first = (numbers[i, ...] for i in range(6))
    steps, stop, best_step = (counts[i, ...] for i in range(3))
    last = Point(steps, last, last_value, last_norm)
    return Minimum(params, value, grad_norm, steps, stop, path, best_step, last, Start(*first))


def on_host(
    who: str, found: Minimum, capacity: int | None, onto: Any, f: Callable[..., Any], args: tuple[Any, ...]
) -> Minimum:
    """The result of a direct call as NumPy, its path trimmed. Raises: ValueError if f is not finite at the start."""
    if found.stop is not None:
        return found
    if is_traced(found):
        return _unpack(found)
    found = HostMinimum(*_unpack(jax.tree.map(np.asarray, found)))
    found = found._replace(steps=int(found.steps), stop=Stop(int(found.stop)), best_step=int(found.best_step))
    if found.stop == Stop.NON_FINITE:
        with overhear():  # losses raise for arguments outside their domain, in any function not yet traced
            jax.block_until_ready(retrace(f)(found.last.params, *args))
    if found.stop == Stop.NON_FINITE and found.steps == 0:
        _refuse_start(who, found)
    found = found if capacity is None else found._replace(path=trim(found.path))
    found.within = onto is not None
    return found


def _refuse_start(who: str, found: Minimum) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(found.params):
        if not np.isfinite(leaf).all():
            where = tree.leaf_name("params", path)
            raise ValueError(f"{who}: {where} must be finite at the start, got {leaf}")
    raise ValueError(f"{who}: f and its gradient must be finite at the start, got a value or a gradient that is not")
