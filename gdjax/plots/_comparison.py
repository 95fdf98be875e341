"""One picture, or one animation, of runs that differ in one thing: the start, the rate, the batch size."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from gdjax.plots import style
from gdjax.plots._curves import curves
from gdjax.plots._landscape import landscape
from gdjax.plots.animation import animate
from gdjax.plots.progress import descent
from gdjax.solve import Minimum
from gdjax.solve.table import failure
from gdjax.training import Result


def compare(
    run: Callable[[Any], Any],
    values: Iterable[Any],
    f: Any = None,
    bounds: Any = None,
    name: str = "",
    title: str = "",
    gif: str | os.PathLike[str] | None = None,
) -> Any:
    """Run something for each value, and draw the runs together.

    Args:
        run: value -> a `Minimum` with its path (`record=True`) or a `Result`; the values are starts, rates, batch sizes.
        values: at least one.
        f: of one or two variables, on which paths are drawn (a function, a problem, its name, an expression); None: the
            values of each run, step by step, or of a `Result` its curves.
        bounds: of that picture; None shows what the paths need.
        name: of what differs, for the legend: "rate" makes "rate 0.1".
        title: of the picture.
        gif: a file for an animation of the paths over f instead of a picture.

    Returns: the figure, or the path of the GIF.
    Raises: ValueError for no values, a run that is neither, or a GIF without f.

    >>> run = lambda rate: gd.minimize(lambda x: x**2, 3.0, gd.sgd(rate), record=True)
    >>> print(gd.plots.compare(run, [0.1, 0.9], "x^2", name="rate").axes[0].get_legend().get_texts()[0].get_text())
    rate 0.1
    """
    found = {_label(name, value): run(value) for value in values}
    if not found:
        raise ValueError("compare: there must be at least one value, got none")
    if all(isinstance(each, Result) for each in found.values()) and f is None:
        return curves(found, title=title)
    for label, each in found.items():
        if not isinstance(each, Minimum):
            kind = type(each).__name__
            raise ValueError(f"compare: run must give a Minimum with its path, or a Result, got {kind} for {label}")
    found = {f"{label}{failure(each)}": each for label, each in found.items()}
    if gif is not None and f is None:
        raise ValueError("compare: a GIF needs f, over which the paths move")
    if gif is not None:
        return animate(f, bounds, found, gif, title)
    return descent(found, title=title) if f is None else landscape(f, bounds, found, title=title)


def _label(name: str, value: Any) -> str:
    numbers = np.ravel(value) if isinstance(value, (int, float, list, tuple, np.ndarray, np.number)) else None
    if numbers is None or not np.issubdtype(np.asarray(numbers).dtype, np.number):
        said = str(value)
    else:
        said = ", ".join(style.number(float(number)) for number in numbers)
        said = f"({said})" if np.ndim(value) else said
    return f"{name} {said}".strip()
