"""Optimizers of some of the leaves: labels, parts of trees, and trees put together from parts.

Each inner optimizer receives None in place of the leaves of the others, so that these take no state and enter no norm. A
gradient that no optimizer reads is never computed: XLA eliminates the backward pass of frozen leaves.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.calls import Optimizer, Static


@jax.tree_util.register_static
class Labels(Static):
    """One value per leaf, as structure. Empty labels equal any others, since `optax.tree.map_params` compares the state of a
    tree without leaves with that of the parameters."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Labels) and (not self.value or not other.value or self.value == other.value)

    def __hash__(self) -> int:
        return hash(Labels)


def spread_labels(who: str, labels: Any, params: Any) -> tuple[Any, ...]:
    """One label per leaf of params, from a tree of them, a prefix, or a function that gives one."""
    leaves, structure = jax.tree.flatten(labels(params) if callable(labels) else labels)
    try:
        branches = structure.flatten_up_to(params)
    except ValueError as error:
        raise ValueError(f"{who}: the labels must be a tree like params or a prefix of one; {error}") from error
    return tuple(label for label, branch in zip(leaves, branches, strict=True) for _ in jax.tree.leaves(branch))


def check_leaves(who: str, grads: Any, params: Any, number: int) -> None:
    """Check the number of leaves only, since per-example gradients have other shapes."""
    if params is not None:
        flat = lambda t: jax.tree.map(lambda _: 0, t)  # noqa: E731
        tree.check_like(who, "grads", flat(grads), "params", flat(params))
    if len(jax.tree.leaves(grads)) != number:
        raise ValueError(f"{who}: grads must have {number} leaves as in init, got {len(jax.tree.leaves(grads))}")


def part_of(whole: Any, mine: Sequence[bool]) -> Any:
    """The tree with None in place of the leaves of the other parts."""
    leaves, structure = jax.tree.flatten(whole)
    return structure.unflatten([x if keep else None for x, keep in zip(leaves, mine, strict=True)])


def merge(parts: list[tuple[Sequence[bool], Any]], like: Any) -> Any:
    """The updates of all parts in one tree; zeros, in the dtype of `like`, for leaves of no part."""
    merged = jax.tree.map(jnp.zeros_like, like)
    for mine, part in parts:
        merged = _fill(merged, part, mine)
    return merged


def _fill(whole: Any, part: Any, mine: Sequence[bool]) -> Any:
    """The whole tree, its leaves of this part replaced."""
    leaves, structure = jax.tree.flatten(whole)
    own = iter(jax.tree.leaves(part))
    return structure.unflatten([next(own) if keep else x for x, keep in zip(leaves, mine, strict=True)])


def alike_to(grads: Any, extra_args: dict[str, Any]) -> list[str]:
    """The names of the extra arguments that are trees like the gradients."""
    structure = jax.tree.structure(grads)
    return [name for name, x in extra_args.items() if name != "grad" and jax.tree.structure(x) == structure]


def update_part(
    inner: Optimizer,
    grads: Any,
    state: Any,
    params: Any,
    mine: Sequence[bool],
    extra_args: dict[str, Any],
    alike: Sequence[str] = (),
) -> tuple[Any, ...]:
    """The inner update on its own leaves; extra arguments named in `alike`, or about parameters, are restricted to them too.

    A bare array that is not one of its leaves would leave nothing, not even a tree.
    """
    if not any(mine) and part_of(grads, mine) is None:
        return None, state
    own = {name: part_of(x, mine) if name in alike else x for name, x in extra_args.items()}
    if own.get("grad") is not None and len(jax.tree.leaves(own["grad"])) == len(mine):
        own["grad"] = part_of(own["grad"], mine)
    if params is not None and own.get("value_fn") is not None:
        own["value_fn"] = _of_part(own["value_fn"], params, mine)
    return inner.update(part_of(grads, mine), state, None if params is None else part_of(params, mine), **own)


def _of_part(value_fn: Callable[..., Any], params: Any, mine: Sequence[bool]) -> Callable[..., Any]:
    def value_of(part, *args, **kwargs):
        return value_fn(_fill(params, part, mine), *args, **kwargs)

    value_of.__signature__ = inspect.signature(value_fn)  # type: ignore[attr-defined]  (searches read its names)
    if hasattr(value_fn, "fine"):
        value_of.fine = _of_part(value_fn.fine, params, mine)  # type: ignore[attr-defined]
    return value_of
