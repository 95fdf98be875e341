"""The parameters that a user hands in, at the door of a run: what JAX cannot take apart, or would not see, is refused."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from gdjax.tree import leaf_name, refuse_masked

ARRAYS = (jax.Array, np.ndarray)


def check_parameters(who: str, params: Any) -> None:
    """Raise TypeError for parameters that JAX cannot take apart, and for arrays that it does not see, or sees too much of.

    >>> from gdjax.params import check_parameters
    >>> check_parameters("my_function", {"w": np.zeros(3), "activation": "relu"})
    """
    try:
        leaves = jax.tree_util.tree_leaves_with_path(params)
    except ValueError as error:  # JAX sorts the keys of a dict
        raise TypeError(f"{who}: the keys of a dict of parameters must be of one kind, got several: {error}") from None
    for path, leaf in leaves:
        place, kind = leaf_name("params", path), type(leaf).__name__
        refuse_masked(who, path, leaf)
        configures = any(isinstance(key, jax.tree_util.GetAttrKey) for key in path)  # an attribute of a module
        hidden = () if configures or isinstance(leaf, ARRAYS) else getattr(leaf, "__dict__", {}).values()
        if any(isinstance(x, ARRAYS) for x in hidden):
            raise TypeError(
                f"{who}: {place} must be an array or a pytree of arrays, got a {kind}, whose arrays JAX does not see and no "
                "step would train; write @jax.tree_util.register_dataclass above a dataclass, or hand in vars(object)"
            )
