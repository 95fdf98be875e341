"""Penalties: params -> scalar, over chosen leaves; `per_example(..., penalty=l2(1e-4))` adds one to a loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from gdjax.calls import check_interval
from gdjax.tree import abs_sq, absolute, arithmetic_dtype, path_string
from gdjax.types import Params


def is_weight(path: str, leaf: Any) -> bool:
    """Whether a leaf is a matrix or a kernel and no bias: ndim >= 2.

    Args:
        path: the path of the leaf, which is not looked at.
        leaf: an array.

    >>> print(gd.losses.is_weight("['w']", jnp.ones((2, 2))), gd.losses.is_weight("['b']", jnp.ones(2)))
    True False
    """
    return np.ndim(leaf) >= 2


@dataclasses.dataclass(frozen=True)
class Penalty:
    """strength sum (l1_ratio |w| + (1 - l1_ratio) |w|²) over some leaves; made by `l1`, `l2`, `elastic`."""

    strength: float
    l1_ratio: float
    where: Callable[[str, Any], bool] = is_weight

    def __post_init__(self) -> None:
        check_interval("penalty", "strength", self.strength, "[0, inf)")
        check_interval("penalty", "l1_ratio", self.l1_ratio, "[0, 1]")

    def __call__(self, params: Params) -> jax.Array:
        leaves = [(path_string(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(params)]
        terms = [self._of_leaf(leaf) for path, leaf in leaves if self.where(path, leaf)]
        if not terms:
            paths = ", ".join(path for path, _ in leaves)
            own = '; they are no matrices: write where=lambda path, leaf: "w" in path'
            raise ValueError(
                f"penalty: where must choose a leaf, got none of {paths}{own if self.where is is_weight else ''}"
            )
        return self.strength * sum(terms, start=jnp.zeros((), jnp.float32))

    def _of_leaf(self, leaf: ArrayLike) -> jax.Array:
        w = jnp.asarray(leaf, arithmetic_dtype(leaf))
        return jnp.sum(self.l1_ratio * absolute(w) + (1 - self.l1_ratio) * abs_sq(w))


def l1(strength: float, where: Callable[[str, Any], bool] = is_weight) -> Penalty:
    """The penalty strength sum |w|, with subgradient 0 at 0, which makes weights sparse.

    Args:
        strength: >= 0, loss units per parameter unit.
        where: (path, leaf) -> bool, the path as in "['w']": which leaves (default: those of ndim >= 2).

    Raises: ValueError outside this range or, when called, if no leaf is chosen: a linear model whose weights are a
        vector needs a `where` of its own.

    >>> print(gd.losses.l1(0.1)({"w": jnp.array([[1.0, -2.0]]), "b": jnp.ones(2)}))
    0.3
    """
    check_interval("l1", "strength", strength, "[0, inf)")
    return Penalty(strength, 1.0, where)


def l2(strength: float, where: Callable[[str, Any], bool] = is_weight) -> Penalty:
    """The penalty strength sum |w|², by gradient a weight decay of 2 strength.

    Args:
        strength: >= 0, loss units per parameter unit squared.
        where: (path, leaf) -> bool, the path as in "['w']": which leaves (default: those of ndim >= 2).

    Raises: ValueError outside this range or, when called, if no leaf is chosen: a linear model whose weights are a
        vector needs a `where` of its own.

    >>> print(gd.losses.l2(0.1)({"w": jnp.array([[1.0, -2.0]]), "b": jnp.ones(2)}))
    0.5
    """
    check_interval("l2", "strength", strength, "[0, inf)")
    return Penalty(strength, 0.0, where)


def elastic(strength: float, l1_ratio: float, where: Callable[[str, Any], bool] = is_weight) -> Penalty:
    """The penalty strength sum (l1_ratio |w| + (1 - l1_ratio) |w|²), between `l1` and `l2`.

    Args:
        strength: >= 0, loss units.
        l1_ratio: in [0, 1]; 1 is `l1`, 0 is `l2`.
        where: (path, leaf) -> bool, the path as in "['w']": which leaves (default: those of ndim >= 2).

    Raises: ValueError outside these ranges or, when called, if no leaf is chosen: a linear model whose weights are a
        vector needs a `where` of its own.
    Differs from: sklearn.linear_model.ElasticNet, which halves |w|².
    Reference: Zou & Hastie 2005, J. R. Statist. Soc. B 67.

    >>> print(gd.losses.elastic(0.1, 0.5)({"w": jnp.array([[1.0, -2.0]]), "b": jnp.ones(2)}))
    0.4
    """
    check_interval("elastic", "strength", strength, "[0, inf)")
    check_interval("elastic", "l1_ratio", l1_ratio, "[0, 1]")
    return Penalty(strength, l1_ratio, where)
