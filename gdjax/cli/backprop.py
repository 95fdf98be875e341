"""`gdjax backprop`: the computational graph of an expression."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro

from gdjax import expression
from gdjax.backprop import graph
from gdjax.cli.errors import UserError, user_mistakes
from gdjax.cli.files import check_picture
from gdjax.files import write_whole
from gdjax.problems.reading import coordinates


@dataclasses.dataclass(frozen=True)
class Backprop:
    """Print the value and the adjoint of every node of an expression: `gdjax backprop "(x + y) * z" x=-2 y=5 z=-4`."""

    expression: tyro.conf.Positional[str]
    """Such as "(x + y) * z", with the grammar of `gdjax minimize`."""
    values: tyro.conf.Positional[tuple[str, ...]] = ()
    """Of its variables: x=-2 y=5 z=-4."""
    plot: Path | None = None
    """A picture of the graph, .svg or .png, or the graph itself as .dot."""

    def run(self, argv: list[str]) -> int:
        jax.config.update("jax_enable_x64", True)
        check_picture("--plot", self.plot, (".svg", ".png", ".dot"))
        with user_mistakes():
            read = expression.parse(self.expression)
            if not read.variables:
                raise UserError(f"{self.expression!r} has no variable to differentiate with respect to")
            numbers = coordinates("the values", read.variables, self.values)
            found = graph(read, dict(zip(read.variables, map(jnp.asarray, numbers), strict=True)))
            print(found)
            counts = found.counts()
            passes = f"{counts['forward']}, in a pass for each of {counts['scalar inputs']} inputs"
            print(f"\nreverse mode: {counts['reverse']} products in one pass; forward mode: {passes}")
            if self.plot is not None:
                self._draw(found, self.plot)
        return 0

    def _draw(self, found: Any, plot: Path) -> None:
        from gdjax.plots import computation, graph_svg, save

        if plot.suffix.lower() == ".png":
            save(computation(found, self.expression), plot)
        else:
            write_whole(plot, graph_svg(found) if plot.suffix.lower() == ".svg" else found.to_dot() + "\n")
        print(f"\n{plot}")
