"""Which leaves decay, or are projected, in the examples of all oracles."""

from __future__ import annotations

from typing import Any

import jax


def matrices(params: Any) -> Any:
    """A mask: what has two dimensions or more."""
    return jax.tree.map(lambda p: p.ndim >= 2, params)


def small(params: Any) -> Any:
    """A mask: the small leaves."""
    return {name: p.size < 100 for name, p in params.items()}
