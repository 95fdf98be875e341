"""Masks and labels by the paths of leaves, such as "layers.0.w"."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import jax
import optax

from gdjax.tree import check_patterns, dotted_path, paths_of


@dataclasses.dataclass(frozen=True, repr=False)
class ByPath:
    """The result of `by_path`, compared by value."""

    rule: Any

    def __call__(self, params: Any) -> Any:
        if not any(map(_is_missing, jax.tree.leaves(params, is_leaf=_is_missing))):  # of a part, others look
            self.check_use("by_path", paths_of(params))
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
        check_patterns(who, patterns, paths)

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

    >>> print(gd.by_path("w$")({"layer": {"w": jnp.ones(2), "b": jnp.ones(1)}}))
    {'layer': {'b': False, 'w': True}}
    """
    return ByPath(rule)


def _is_missing(x: Any) -> bool:
    return x is None or isinstance(x, optax.MaskedNode)
