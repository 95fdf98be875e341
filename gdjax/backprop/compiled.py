"""The first value of a compiled program that is not finite, although it is if its operation is evaluated by itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from gdjax.backprop.origins import Tracked, not_finite
from gdjax.backprop.row_axes import row_axis
from gdjax.backprop.walk import Path, Walk
from gdjax.jaxprs import apply_equation, called_jaxpr

# Operations of which a compiled program may compute another value, since their arguments are rounded in another way.
PARTIAL = (
    *("div", "pow", "integer_pow", "sqrt", "rsqrt"),
    *("exp", "exp2", "expm1", "log", "log1p", "sinh", "cosh"),
    *("tan", "asin", "acos", "acosh", "atanh"),
)


class Found(NamedTuple):
    """A value that is not finite."""

    path: Path  # its equation, last, inside of those that enclose it
    kind: str  # "nan" or "inf"
    rows: np.ndarray | None  # of the batch; None if the value has no axis of rows


def first_compiled(jaxpr: Any, inputs: Sequence[tuple[Any, int | None]], known: Collection[int]) -> Found | None:
    """The first operation in PARTIAL, outside of loops and branches, whose compiled value is not finite.

    Args:
        inputs: values, each with its axis of rows.
        known: the identities of the equations to pass over.
    """
    walk = _Compiled()

    def values(*args: Any) -> list[Any]:
        walk.walk(jaxpr, [Tracked(x, None, axis) for x, (_, axis) in zip(args, inputs, strict=True)])
        return walk.found

    for (path, axis), value in zip(walk.paths, jax.jit(values)(*(x for x, _ in inputs)), strict=True):
        wrong = not_finite(value)
        if wrong is not None and id(path[-1][0]) not in known:
            others = tuple(i for i in range(wrong.ndim) if i != axis)
            rows = None if axis is None else np.flatnonzero(wrong.any(axis=others))
            return Found(path, "nan" if np.isnan(np.asarray(value)).any() else "inf", rows)
    return None


class _Compiled(Walk):
    """The values of these operations, in one program."""

    def __init__(self) -> None:
        self.paths: list[tuple[Path, int | None]] = []
        self.found: list[Any] = []

    def constant(self, value: Any, path: Path) -> Tracked:
        return Tracked(value)

    def visit(self, equation: Any, values: list[Tracked], path: Path) -> list[Tracked]:
        if called_jaxpr(equation) is not None:
            return self.inside(equation, values, path) or []
        answers = apply_equation(equation, [x.value for x in values])
        axes = [row_axis(equation, [x.axis for x in values], np.shape(x)) for x in answers]
        if equation.primitive.name in PARTIAL:
            self.paths.append((path, axes[0]))
            self.found.append(answers[0])
        return [Tracked(x, None, axis) for x, axis in zip(answers, axes, strict=True)]
