"""Different optimizers, or none, for different leaves, selected by their paths, such as "layers.0.w".

Each inner optimizer receives None in place of the leaves of the others, so that these take no state and enter no norm. A
gradient that no optimizer reads is never computed: XLA eliminates the backward pass of frozen leaves.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gdjax import answers, tree
from gdjax.calls import Optimizer, Static, WithRate, as_optimizer, inner_state, is_number, optimizer
from gdjax.optimizers.wrappers.two_forms import print_as, two_forms
from gdjax.types import Transformation


@dataclasses.dataclass(frozen=True, repr=False)
class ByPath:
    """The result of `by_path`, compared by value."""

    rule: Any

    def __call__(self, params: Any) -> Any:
        if not any(map(_is_missing, jax.tree.leaves(params, is_leaf=_is_missing))):  # of a part, others look
            self.check_use("by_path", _paths(params))
        return jax.tree_util.tree_map_with_path(lambda path, _: self.at(dotted_path(path)), params)

    def at(self, path: str) -> Any:
        if callable(self.rule):
            return self.rule(path)
        if isinstance(self.rule, str):
            return re.search(self.rule, path) is not None
        for pattern, label in self.rule.items():
            if re.search(pattern, path):
                return label
        raise ValueError(f"by_path: a pattern must match {path!r}, got {', '.join(map(repr, self.rule))}")

    def check_use(self, who: str, paths: list[str]) -> None:
        """Raise ValueError for a pattern that matches none of the paths."""
        patterns = [self.rule] if isinstance(self.rule, str) else list(self.rule) if isinstance(self.rule, dict) else []
        for pattern in patterns:
            if paths and not any(re.search(pattern, path) for path in paths):
                raise ValueError(f"{who}: {pattern!r} must be found in one of the paths {_list_paths(paths)}")

    def __repr__(self) -> str:
        return f"by_path({getattr(self.rule, '__qualname__', None) or repr(self.rule)})"


def by_path(rule: str | dict[str, Any] | Callable[[str], Any]) -> ByPath:
    """A mask or labels by the paths of leaves: a function params -> tree, for whatever argument takes such a function.

        adamw(1e-3, mask=by_path(r"\\.w$"))     freeze(adam(1e-3), by_path(lambda path: path.startswith("layers.0.")))

    Args:
        rule: of a path such as "layers.0.w": a regular expression to be found in it, which gives a bool; a dict of
            regular expressions, which gives the value of the first that is found; or a function, which gives anything.

    Raises: ValueError, when called, for a path that no pattern of a dict matches, and for a pattern that is found in none;
        not where leaves are None, as those are of which another optimizer has charge: the rule may be one for all.
    """
    return ByPath(rule)


def _is_missing(x: Any) -> bool:
    return x is None or isinstance(x, optax.MaskedNode)


def dotted_path(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _paths(params: Any) -> list[str]:
    return [dotted_path(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]


def _list_paths(paths: list[str]) -> str:
    more = f" and {len(paths) - 10} more" if len(paths) > 10 else ""
    return ", ".join(map(repr, paths[:10])) + more


@jax.tree_util.register_static
class Labels(Static):
    """One value per leaf, as structure. Empty labels equal any others, since `optax.tree.map_params` compares the state of a
    tree without leaves with that of the parameters."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Labels) and (not self.value or not other.value or self.value == other.value)

    def __hash__(self) -> int:
        return hash(Labels)


class FreezeState(NamedTuple):
    trained: Labels  # one bool per leaf; part of the structure
    inner: Any

    @property
    def inner_state(self) -> Any:
        """Optax's name for it."""
        return self.inner

    def route(self, ask: Callable[..., Any], params: Any) -> list[Any]:
        trained = self.trained.value
        return answers.spread(ask(self.inner, _part(params, trained)), trained)


@optimizer(static=("mask",))
@print_as("freeze")
def _freeze_mask(mask: Any):
    """Optax's transform of the name: 0 where the mask is true."""
    frozen = by_path(mask) if isinstance(mask, str) else mask

    def init(params):
        _spread("freeze", frozen, params)
        return optax.EmptyState()

    def update(grads, state, params=None, **extra_args):
        del extra_args
        flags = _spread("freeze", frozen, grads if params is None else params)
        return _merge([(tuple(not flag for flag in flags), grads)], grads), state

    return init, update


@optimizer(static=("frozen",))
@print_as("freeze")
def _freeze_around(inner: Transformation, frozen: Any):
    """Leave some leaves as they are and train the others.

        u = u_inner on the trained leaves, 0 on the frozen ones

    Without an optimizer, `freeze(mask)` is Optax's transform: gradients are 0 where the mask is true, and what stands behind
    it in a chain sees these zeros. There the backward pass of the frozen leaves is computed if anything looks at all leaves,
    and a decay behind it moves them.

    XLA deletes the backward pass of the frozen ones, provided nothing else (say the norm of all gradients) asks for it.

    Args:
        inner: the optimizer of the trained leaves. It sees None for the others, in `grad` and `value_fn` too.
        frozen, mask: a regular expression to be found in the path, as in "layers.0.w"; `by_path(function)`; a tree of bools
            or a prefix of one; or params -> such a tree.

    Memory: 0 + inner, on the trained leaves only.   Raises: ValueError for a pattern that is found in no path, or in all.
    Reference: optax.freeze and optax.selective_transform.
    """
    inner = as_optimizer(inner)

    mask = by_path(frozen) if isinstance(frozen, str) else frozen

    def init(params):
        paths = _paths(params)
        if isinstance(mask, ByPath):
            mask.check_use("freeze", paths)
        trained = tuple(not flag for flag in _spread("freeze", mask, params))
        if isinstance(mask, ByPath) and paths and not any(trained):
            raise ValueError(f"freeze: {mask!r} must leave one of the paths to train, got all: {_list_paths(paths)}")
        return FreezeState(Labels(trained), inner.init(_part(params, trained)))

    def update(grads, state, params=None, **extra_args):
        trained = state.trained.value
        _check("freeze", grads, params, len(trained))
        updates, inner_state = _update(inner, grads, state.inner, params, trained, extra_args)
        return _merge([(trained, updates)], grads if params is None else params), FreezeState(
            state.trained, inner_state
        )

    def rate_at(state: Any, evaluation: Any) -> Any:
        rates = inner.learning_rates_at(inner_state(state), evaluation)
        if rates is None or is_number(state):
            return rates
        trained = state.trained.value
        return answers.spread(rates if isinstance(rates, list) else [rates] * sum(trained), trained)

    return WithRate(init, update, rate_at)


freeze: Final = two_forms(_freeze_around, _freeze_mask)


class PartitionState(NamedTuple):
    labels: Labels  # one per leaf; part of the structure
    inner_states: dict[str, Any]

    @property
    def trained(self) -> Static:
        """As for `freeze`: the leaves of an optimizer that is None are not trained."""
        return Static(tuple(not _is_frozen(self.inner_states[label]) for label in self.labels.value))

    def route(self, ask: Callable[..., Any], params: Any) -> list[Any]:
        whole: list[Any] = [None] * len(self.labels.value)
        for name, state in self.inner_states.items():
            mine = [label == name for label in self.labels.value]
            own = answers.spread(ask(state, _part(params, mine)), mine)
            whole = [x if keep else y for x, keep, y in zip(own, mine, whole, strict=True)]
        return whole

    def updated(self) -> Any:
        """Whether one of the parts that have leaves has made an update."""
        names = set(self.labels.value)
        states = [state for name, state in self.inner_states.items() if name in names and not _is_frozen(state)]
        flags = [answers.updated(state) for state in states]
        return True if not flags or any(flag is True for flag in flags) else jnp.any(jnp.stack(flags))


def _is_frozen(state: Any) -> bool:
    """Whether this is the state of an optimizer that is None."""
    return type(state) is tuple and not state


@optimizer(static=("param_labels",))
def partition(transforms: dict[Any, Any], param_labels: Any = None, *, mask_compatible_extra_args=False):
    """Each leaf to the optimizer of its label.

        u = u_name on the leaves labelled `name`, for every name of `transforms`

    Args:
        transforms: name -> optimizer, or None to freeze its leaves. Each sees None for the leaves of the others, in
            `grad` and `value_fn` too.
        param_labels: a tree of names, or a prefix of one; params -> such a tree, for example `by_path({"bias": "slow", "":
            "fast"})`; None: the names are themselves regular expressions, and exactly one must be found in each path.
        mask_compatible_extra_args: cut down every extra argument that is a tree like the gradients, as `grad` is anyway.

    Memory: the sum of the parts, each on its own leaves.   Raises: ValueError for a leaf without optimizer and for a
        pattern without a leaf, with the paths.
    Differs from: Optax's partition, which says which labels are unknown but not where, and shows value_fn all leaves.
    Reference: optax.partition.
    """
    inner = {name: None if part is None else as_optimizer(part) for name, part in transforms.items()}
    if not inner:
        raise ValueError("partition: transforms must have at least one entry, got {}")

    def init(params):
        paths = _paths(params)
        if isinstance(param_labels, ByPath):
            param_labels.check_use("partition", paths)
        names = _spread("partition", by_path(_only_match(inner)) if param_labels is None else param_labels, params)
        for name, path in zip(names, paths, strict=True):
            if name not in inner:
                known = ", ".join(map(repr, inner))
                raise ValueError(f"partition: the label of {path!r} must be one of {known}, got {name!r}")
        if param_labels is None:
            ByPath(inner).check_use("partition", paths)
        states = {
            name: () if part is None else part.init(_part(params, [label == name for label in names]))
            for name, part in inner.items()
        }
        return PartitionState(Labels(names), states)

    def update(grads, state, params=None, **extra_args):
        names = state.labels.value
        _check("partition", grads, params, len(names))
        alike = _alike(grads, extra_args) if mask_compatible_extra_args else ()
        parts, states = [], {}
        for name, part in inner.items():
            states[name] = state.inner_states[name]
            if part is not None:
                mine = [label == name for label in names]
                updates, states[name] = _update(part, grads, states[name], params, mine, extra_args, alike)
                parts.append((mine, updates))
        return _merge(parts, grads if params is None else params), PartitionState(state.labels, states)

    def rate_at(state: Any, evaluation: Any) -> Any:
        names = list(inner) if is_number(state) else state.labels.value
        own = {name: state if is_number(state) else state.inner_states[name] for name in names}
        rates = {
            name: part.learning_rates_at(own[name], evaluation) for name in own if (part := inner[name]) is not None
        }
        if any(rate is None for rate in rates.values()):
            return None
        left = {name: iter(rate) if isinstance(rate, list) else itertools.repeat(rate) for name, rate in rates.items()}
        return [next(left[name]) if name in left else None for name in names]

    return WithRate(init, update, rate_at)


def _only_match(patterns: dict[str, Optimizer | None]) -> Callable[[str], str]:
    def match(path: str) -> str:
        found = [pattern for pattern in patterns if re.search(pattern, path)]
        if len(found) != 1:
            got = " and ".join(map(repr, found)) or f"none of {', '.join(map(repr, patterns))}"
            raise ValueError(f"partition: exactly one name must match the path {path!r}, got {got}")
        return found[0]

    return match


def _spread(who: str, labels: Any, params: Any) -> tuple[Any, ...]:
    """One label per leaf of params, from a tree of them, a prefix, or a function that gives one."""
    leaves, structure = jax.tree.flatten(labels(params) if callable(labels) else labels)
    try:
        branches = structure.flatten_up_to(params)
    except ValueError as error:
        raise ValueError(f"{who}: the labels must be a tree like params or a prefix of one; {error}") from error
    return tuple(label for label, branch in zip(leaves, branches, strict=True) for _ in jax.tree.leaves(branch))


def _check(who: str, grads: Any, params: Any, number: int) -> None:
    """Check the number of leaves only, since per-example gradients have other shapes."""
    if params is not None:
        flat = lambda t: jax.tree.map(lambda _: 0, t)  # noqa: E731
        tree.check_like(who, "grads", flat(grads), "params", flat(params))
    if len(jax.tree.leaves(grads)) != number:
        raise ValueError(f"{who}: grads must have {number} leaves as in init, got {len(jax.tree.leaves(grads))}")


def _part(whole: Any, mine: Sequence[bool]) -> Any:
    """The tree with None in place of the leaves of the other parts."""
    leaves, structure = jax.tree.flatten(whole)
    return structure.unflatten([x if keep else None for x, keep in zip(leaves, mine, strict=True)])


def _merge(parts: list[tuple[Sequence[bool], Any]], like: Any) -> Any:
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


def _alike(grads: Any, extra_args: dict[str, Any]) -> list[str]:
    """The names of the extra arguments that are trees like the gradients."""
    structure = jax.tree.structure(grads)
    return [name for name, x in extra_args.items() if name != "grad" and jax.tree.structure(x) == structure]


def _update(
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
    if not any(mine) and _part(grads, mine) is None:
        return None, state
    own = {name: _part(x, mine) if name in alike else x for name, x in extra_args.items()}
    if own.get("grad") is not None and len(jax.tree.leaves(own["grad"])) == len(mine):
        own["grad"] = _part(own["grad"], mine)
    if params is not None and own.get("value_fn") is not None:
        own["value_fn"] = _of_part(own["value_fn"], params, mine)
    return inner.update(_part(grads, mine), state, None if params is None else _part(params, mine), **own)


def _of_part(value_fn: Callable[..., Any], params: Any, mine: Sequence[bool]) -> Callable[..., Any]:
    def value_of(part, *args, **kwargs):
        return value_fn(_fill(params, part, mine), *args, **kwargs)

    value_of.__signature__ = inspect.signature(value_fn)  # type: ignore[attr-defined]  (searches read its names)
    if hasattr(value_fn, "fine"):
        value_of.fine = _of_part(value_fn.fine, params, mine)  # type: ignore[attr-defined]
    return value_of
