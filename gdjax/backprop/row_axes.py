"""The axis along which a value has the rows of the batch, followed through the equations of a jaxpr."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

REDUCTIONS = ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod")


def row_axis(equation: Any, axes: Sequence[int | None], shape: tuple[int, ...]) -> int | None:
    """The axis of rows of a result of the given shape, from those of the inputs; None if it has none."""
    name, parameters = equation.primitive.name, equation.params
    if all(axis is None for axis in axes):
        return None
    if name in ("reduce_and", "reduce_or", "argmax", "argmin", "squeeze", *REDUCTIONS):
        return _after_removal(axes[0], parameters["dimensions" if name == "squeeze" else "axes"])
    if name == "broadcast_in_dim":
        return None if axes[0] is None else parameters["broadcast_dimensions"][axes[0]]
    if name == "transpose":
        return None if axes[0] is None else list(parameters["permutation"]).index(axes[0])
    if name in ("stack", "unstack"):
        own, new = next(axis for axis in axes if axis is not None), parameters["axis"]
        return own + (own >= new) if name == "stack" else _after_removal(own, (new,))
    if name == "dot_general":
        return _axis_of_product(equation, axes)
    return _default_axis(equation, axes, shape)


def _after_removal(axis: int | None, removed: Sequence[int]) -> int | None:
    return None if axis is None or axis in removed else axis - sum(i < axis for i in removed)


def _axis_of_product(equation: Any, axes: Sequence[int | None]) -> int | None:
    """Of a product of matrices: the axes of its result are shared ones, then those of the left, then those of the right."""
    contracted, shared = equation.params["dimension_numbers"]
    before = len(shared[0])
    for side, axis in enumerate(axes[:2]):
        own = (*contracted[side], *shared[side])
        if axis in shared[side]:
            return list(shared[side]).index(axis)
        if axis is not None and axis not in own:
            return before + axis - sum(i < axis for i in own)
        before += len(equation.invars[side].aval.shape) - len(own)
    return None


def _default_axis(equation: Any, axes: Sequence[int | None], shape: tuple[int, ...]) -> int | None:
    """The same axis as that of an input, if it has the same length."""
    for atom, axis in zip(equation.invars, axes, strict=True):
        if axis is not None and axis < len(shape) and atom.aval.shape[axis] == shape[axis]:
            return axis
    return None
