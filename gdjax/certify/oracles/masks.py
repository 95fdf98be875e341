"""Masks of the leaves that decay or are projected, in the examples of all oracles."""

from __future__ import annotations

from typing import Any

import jax


def matrices(params: Any) -> Any:
    """The mask of the leaves with two axes or more."""
    return jax.tree.map(lambda p: p.ndim >= 2, params)


def small(params: Any) -> Any:
    """The mask of the small leaves."""
    return {name: p.size < 100 for name, p in params.items()}
