"""`gdjax backprop`: the computational graph of an expression. `gdjax check`: a gradient held against differences."""

from __future__ import annotations

import dataclasses
import inspect
import traceback
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import tyro

from gdjax.backprop import check_gradients, graph
from gdjax.cli.errors import UserError, user_mistakes
from gdjax.cli.objects import load_object
from gdjax.cli.target import coordinates
from gdjax.expression import expression
from gdjax.files import write_whole
from gdjax.plots import computation, graph_svg, save


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
        if self.plot is not None and self.plot.suffix.lower() not in (".svg", ".png", ".dot"):
            raise UserError(f"--plot must end in .svg, .png or .dot, got {self.plot}")
        if self.plot is not None and not self.plot.absolute().parent.is_dir():
            raise UserError(f"--plot must be in a folder that exists, got {self.plot}")
        with user_mistakes():
            read = expression(self.expression)
            if not read.variables:
                raise UserError(f"{self.expression!r} has no variable to differentiate by")
            numbers = coordinates("the values", read.variables, self.values)
            found = graph(read, dict(zip(read.variables, map(jnp.asarray, numbers), strict=True)))
            print(found)
            counts = found.counts()
            passes = f"{counts['forward']}, in a pass for each of {counts['scalar inputs']} inputs"
            print(f"\nreverse mode: {counts['reverse']} products in one pass; forward mode: {passes}")
            if self.plot is not None:
                self._draw(found)
        return 0

    def _draw(self, found: Any) -> None:
        assert self.plot is not None
        if self.plot.suffix.lower() == ".png":
            save(computation(found, self.expression), self.plot)
        else:
            write_whole(self.plot, graph_svg(found) if self.plot.suffix.lower() == ".svg" else found.to_dot() + "\n")
        print(f"\n{self.plot}")


@dataclasses.dataclass(frozen=True)
class Check:
    """Hold the gradient of your own loss against differences of its values; exit code 1 if it is wrong, or nothing is known.

    `gdjax check FILE.py:loss` takes the parameters from `params` of the same file, and further arguments of the loss by
    their names; each may be a value, or a function without arguments that gives it.
    """

    loss: tyro.conf.Positional[str]
    """module:function or FILE.py:function, (params, ...) -> a number, or a pair whose first is one."""
    directions: int = 4
    """Random directions through all parameters."""
    entries: int = 4
    """Single entries of each leaf."""
    seed: int = 0
    """Of the directions."""

    def run(self, argv: list[str]) -> int:
        with user_mistakes():
            loss: Any = load_object(self.loss)
            if not callable(loss):
                raise UserError(f"{self.loss} must be a function, got {loss!r}")
            arguments = self._arguments(loss)
            found = self._check(loss, arguments)
        print(found)
        return 0 if found.passed else 1

    def _check(self, loss: Any, arguments: list[Any]) -> Any:
        """The check; what goes wrong inside the user's own function is told with the line where it did."""
        try:
            return check_gradients(loss, *arguments, directions=self.directions, entries=self.entries, key=self.seed)
        except ValueError:
            raise
        except Exception as error:
            file = getattr(getattr(inspect.unwrap(loss), "__code__", None), "co_filename", None)
            own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
            where = f" at line {own[-1].lineno}" if own else ""
            said = (str(error).splitlines() or [""])[0]
            raise UserError(f"{self.loss} raised {type(error).__name__}{where}: {said}") from error

    def _arguments(self, loss: Any) -> list[Any]:
        place = self.loss.rpartition(":")[0]
        given = []
        for i, (name, parameter) in enumerate(inspect.signature(loss).parameters.items()):
            if i and parameter.default is not parameter.empty:
                break
            name = name if i else "params"
            try:
                value = load_object(f"{place}:{name}")
            except ValueError as error:
                raise UserError(f"{self.loss} needs {name!r} of the same file: {error}") from error
            given.append(value() if inspect.isfunction(value) else value)
        if not given:
            raise UserError(f"{self.loss} must take parameters")
        return given
