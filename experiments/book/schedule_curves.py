"""The curves of the schedules: each is drawn as the example of its docstring calls it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import gdjax as gd
from gdjax.plots import style

from .descents import QUICK, Descent, png

LENGTHS = {
    "cyclic": 60,
    "sgdr_schedule": 120,
}  # steps shown, where the example's numbers do not say how many are worth seeing


def curves(factories: Mapping[str, Callable[..., Any]]) -> dict[str, Descent]:
    """The picture of each schedule, by its name, with the call that it shows."""
    figure = Figure(figsize=(8, 2.4), dpi=100, layout="constrained", facecolor=style.PAPER)
    axes = figure.subplots()
    found = {}
    for name, factory in factories.items():
        call, schedule, length = example(name, inspect.getdoc(factory) or "")
        steps = np.arange(length + 1)
        axes.clear()
        style.dress(axes)
        style.rule(axes)
        values = jax.jit(jax.vmap(schedule), compiler_options=QUICK)(jnp.asarray(steps))
        axes.plot(steps, values, ".-", color=style.BLUE, linewidth=1.5, markersize=2.5)
        axes.set_xlabel("step", fontsize=style.SMALL, color=style.INK)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        found[name] = Descent(png(figure), f"`{call}`")
    return found


def example(name: str, doc: str) -> tuple[str, Callable[..., Any], int]:
    """The call in a docstring's example, the schedule that it makes, and the steps that show it."""
    *before, last = [line.removeprefix(">>> ") for line in doc.splitlines() if line.startswith(">>> ")]
    printed = ast.parse(last, mode="eval").body
    assert isinstance(printed, ast.Call) and isinstance(printed.args[0], ast.Call)
    made, at = printed.args[0].func, ast.literal_eval(printed.args[0].args[0])
    names: dict[str, Any] = {"gd": gd, "jnp": jnp}
    exec("\n".join(before), names)
    numbers = [node.value for node in ast.walk(made) if isinstance(node, ast.Constant) and isinstance(node.value, int)]
    length = LENGTHS.get(name, int(max(2.5 * at, 1.25 * max(numbers, default=0))))
    return "; ".join([*before, ast.unparse(made)]), eval(ast.unparse(made), names), length
