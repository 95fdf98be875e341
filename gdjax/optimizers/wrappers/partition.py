"""Different optimizers, or none, for different leaves."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from gdjax import answers
from gdjax.calls import Optimizer, Static, WithRate, as_optimizer, is_number, optimizer, spread_rates
from gdjax.optimizers.wrappers.by_path import ByPath, by_path
from gdjax.optimizers.wrappers.parts import Labels, alike_to, check_leaves, merge, part_of, spread_labels, update_part
from gdjax.tree import paths_of


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
            own = answers.spread(ask(state, part_of(params, mine)), mine)
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

        u = u_name on the leaves labeled `name`, for every name of `transforms`

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

    >>> opt, x = gd.partition({"b": gd.sgd(1.0), "w": gd.sgd(0.1)}), {"b": jnp.ones(1), "w": jnp.ones(2)}
    >>> print(opt.update({"b": jnp.ones(1), "w": jnp.array([1.0, -2.0])}, opt.init(x), x)[0])
    {'b': Array([-1.], dtype=float32), 'w': Array([-0.1,  0.2], dtype=float32)}
    """
    inner = {name: None if part is None else as_optimizer(part) for name, part in transforms.items()}
    if not inner:
        raise ValueError("partition: transforms must have at least one entry, got {}")

    def init(params):
        paths = paths_of(params)
        if isinstance(param_labels, ByPath):
            param_labels.check_use("partition", paths)
        names = spread_labels(
            "partition", by_path(_only_match(inner)) if param_labels is None else param_labels, params
        )
        for name, path in zip(names, paths, strict=True):
            if name not in inner:
                known = ", ".join(map(repr, inner))
                raise ValueError(f"partition: the label of {path!r} must be one of {known}, got {name!r}")
        if param_labels is None:
            ByPath(inner).check_use("partition", paths)
        states = {
            name: () if part is None else part.init(part_of(params, [label == name for label in names]))
            for name, part in inner.items()
        }
        return PartitionState(Labels(names), states)

    def update(grads, state, params=None, **extra_args):
        names = state.labels.value
        check_leaves("partition", grads, params, len(names))
        alike = alike_to(grads, extra_args) if mask_compatible_extra_args else ()
        parts, states = [], {}
        for name, part in inner.items():
            states[name] = state.inner_states[name]
            if part is not None:
                mine = [label == name for label in names]
                updates, states[name] = update_part(part, grads, states[name], params, mine, extra_args, alike)
                parts.append((mine, updates))
        return merge(parts, grads if params is None else params), PartitionState(state.labels, states)

    def rate_at(state: Any, evaluation: Any) -> Any:
        names = list(inner) if is_number(state) else state.labels.value
        own = {name: state if is_number(state) else state.inner_states[name] for name in names}
        rates = {
            name: part.learning_rates_at(own[name], evaluation) for name in own if (part := inner[name]) is not None
        }
        if any(rate is None for rate in rates.values()):
            return None
        left = {name: iter(spread_rates(rate, names.count(name))) for name, rate in rates.items()}
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
