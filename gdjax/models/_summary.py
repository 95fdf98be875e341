"""Tables of a model: its parameters, and the shapes, the operations and the memory of its work."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, overload

import jax

from gdjax.calls import Model
from gdjax.models._network_summary import NetworkSummary, network_summary
from gdjax.text import html_table, table
from gdjax.tree import path_string
from gdjax.types import Params

NUMBERS = (3, 4)  # columns of the table that hold numbers


@dataclass(frozen=True)
class Leaf:
    """One array of a tree."""

    path: str
    shape: tuple[int, ...]
    dtype: str
    count: int
    bytes: int


@dataclass(frozen=True)
class Summary:
    """The leaves of a parameter tree, in order. It prints as a table."""

    leaves: tuple[Leaf, ...]

    @property
    def weights(self) -> int:
        """The number of entries in leaves of two axes or more: the edges of the network."""
        return sum(leaf.count for leaf in self.leaves if len(leaf.shape) >= 2)

    @property
    def biases(self) -> int:
        """The number of all other entries: biases, and the scales of normalization layers."""
        return self.total - self.weights

    @property
    def total(self) -> int:
        return sum(leaf.count for leaf in self.leaves)

    @property
    def bytes(self) -> int:
        return sum(leaf.bytes for leaf in self.leaves)

    def __str__(self) -> str:
        return f"{table(self._rows(), right=NUMBERS)}\n{self._totals()}"

    def _repr_html_(self) -> str:
        """As it prints, in a notebook."""
        return html_table(self._rows(), NUMBERS, self._totals())

    def _rows(self) -> list[tuple[str, ...]]:
        rows = [("path", "shape", "dtype", "count", "bytes")]
        rows += [(x.path, str(x.shape), x.dtype, f"{x.count:,}", f"{x.bytes:,}") for x in self.leaves]
        return [*rows, ("total", "", "", f"{self.total:,}", f"{self.bytes:,}")]

    def _totals(self) -> str:
        return f"matrices {self.weights:,}, biases {self.biases:,}, total {self.total:,}"


@overload
def summary(params: Model, x: Any, optimizer: Any = None) -> NetworkSummary: ...
@overload
def summary(params: Params) -> Summary: ...
def summary(params: Any, x: Any = None, optimizer: Any = None) -> Summary | NetworkSummary:
    """A table of the arrays of any parameter tree, with their sizes; or, of a model and its input, of all that it does.

    For a model and x it lists layer by layer the shape of what comes out and the operations of the outputs, counted by
    formulas: 2 m n k for a product, 1 for every other number that is computed. A layer begins where its parameters are
    used, and what follows (activations, pooling) belongs to it. Below stand the operations and the memory of a step of
    training, with the mean of the squared outputs as its loss: its program is compiled, but nothing is computed.

    Args:
        params: a pytree of arrays or of shapes, ours or another library's; other leaves are omitted.
            `jax.eval_shape(model.init, key)` gives the shapes and draws nothing. Or a model.
        x: for a model, a batch of inputs, or of their shapes.
        optimizer: for a model, of the step (default: plain descent, which keeps nothing).

    Raises: TypeError for a model without x, or x without a model.

    >>> print(gd.summary({"w": jnp.ones((2, 3)), "b": jnp.ones(3)}))
    path   shape   dtype    count  bytes
    ['b']  (3,)    float32 3 12
    ['w']  (2, 3)  float32 6 24
    total                       9 36
    matrices 6, biases 3, total 9
    >>> found = gd.summary(gd.models.mlp((2, 3, 1)), jnp.ones((100, 2)), gd.adam(1e-3))
    >>> print(found.layers[0].path, found.layers[0].shape, found.layers[0].operations, found.memory.parameters)
    [0] (100, 3) 1800 52
    """
    if isinstance(params, Model) and x is not None:
        return network_summary(params, x, optimizer)
    if isinstance(params, Model) or x is not None:
        raise TypeError(
            "summary: write summary(model, x) with a batch of inputs, or summary(params) for the sizes of parameters alone, "
            f"got {params!r}{'' if x is None else ' and x'}"
        )
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return Summary(tuple(_leaf(path, x) for path, x in leaves if hasattr(x, "shape") and hasattr(x, "dtype")))


def _leaf(path: tuple[Any, ...], x: Any) -> Leaf:
    count = math.prod(x.shape)
    return Leaf(path_string(path), tuple(x.shape), str(x.dtype), count, count * x.dtype.itemsize)
