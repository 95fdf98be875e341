"""The default picture of an object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from gdjax.backprop import Flow, Graph
from gdjax.calls import Node
from gdjax.plots._computation import computation
from gdjax.plots._curves import curves
from gdjax.plots._fitted import fitted_curve
from gdjax.plots._landscape import landscape
from gdjax.plots._range_test import range_test
from gdjax.plots._standings import standings
from gdjax.plots._sweeps import sweep_values
from gdjax.plots.flow import layer_flow
from gdjax.plots.progress import descent, rates
from gdjax.plots.reading import describe_kind
from gdjax.solve import CurveFit, Minimum
from gdjax.sweeps import RangeTest, SweepTable, Tournament
from gdjax.training import Result
from gdjax.types import Stop

FITTING: tuple[tuple[type, Callable[..., Figure]], ...] = (
    (Result, curves),
    (Graph, computation),
    (Flow, layer_flow),
    (CurveFit, fitted_curve),
    (RangeTest, range_test),
    (SweepTable, sweep_values),
    (Tournament, standings),
    (Node, rates),
)


def picture(what: Any, **options: Any) -> Figure:
    """Of a `Result` its curves, of a `Minimum` its path, of a `CurveFit` its curve, of a `SweepTable`, a graph, a flow or a
    schedule theirs.

    A Minimum over one or two variables is shown on its function, any other by its values, step by step.

    Args:
        options: of the picture that it is; of a Minimum those of `landscape` or `descent`, and `f` where it has lost its
            function under a transformation.
    """
    if isinstance(what, Minimum):
        return _of_minimum(what, **options)
    for known, draw in FITTING:
        if isinstance(what, known):
            return draw(what, **options)
    kinds = "a Result, Minimum, CurveFit, SweepTable, Graph, Flow, schedule or optimizer"
    raise ValueError(f"picture: there must be {kinds}, got {describe_kind(what)}")


def _of_minimum(found: Minimum, bounds: Any = None, f: Any = None, **options: Any) -> Figure:
    f = getattr(found, "f", None) if f is None else f
    lanes = np.shape(found.stop)
    size = sum(np.size(x) for x in jax.tree.leaves(found.params)) // int(np.prod(lanes) or 1)
    if not lanes:
        ended = f"{Stop(int(found.stop)).name} after {int(found.steps)} steps: value {float(found.value):.6g}"
        options = {"title": ended, **options}
    if f is not None and size <= 2:
        return landscape(f, bounds, found, **options)
    if found.path is None:
        words = f"a Minimum of {size} numbers needs a path to be drawn: minimize(..., record=True)"
        raise ValueError(f"plot: {words}" if size > 2 else f"plot: {words}, or f=")
    if bounds is not None:
        raise ValueError(f"plot: bounds are for a function of one or two variables, got {size} without one")
    return descent(found, **options)
