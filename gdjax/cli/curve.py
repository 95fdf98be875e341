"""`gdjax curve`: a formula fitted to the columns of a file."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import tyro

from gdjax.cli.errors import UserError, option_mistakes
from gdjax.cli.files import check_picture
from gdjax.cli.objects import is_place, load_object, own_mistakes
from gdjax.data import read_table
from gdjax.solve import CurveFit, fit_curve

NAMES = {"x", "y", "start", "bounds", "weights", "sigma", "level", "starts"}
Words = Annotated[tuple[tuple[str, ...], ...], tyro.conf.UseAppendAction]


@dataclasses.dataclass(frozen=True)
class Curve:
    """Fit a formula to the columns of a file by least squares; print its parameters with their standard errors.

    `gdjax curve "a*exp(-b*x) + c" decay.csv --y counts --x "time (h)" --plot decay.png`
    `gdjax curve "v*s/(k + s)" rates.csv --y rate --start v=200 k=0.1 --bounds k=0:`
    """

    formula: tyro.conf.Positional[str]
    """An expression, or module:function or FILE.py:function of JAX. Names that are columns are columns, all others are
    parameters to be found; x is always a column."""
    file: tyro.conf.Positional[str]
    """A table of any format that gdjax reads; "-" is standard input."""
    y: str | None = None
    """What is fitted: a column, or an expression of columns such as "log(y)"."""
    x: Words = ()
    """The column that the formula calls x; or NAME=COLUMN, for several names."""
    start: Words = ()
    """Where to start, a=1 b=0.5; what is left out is searched for."""
    bounds: Words = ()
    """Of parameters, a=0:10 or b=0: for no upper bound."""
    weights: str | None = None
    """A column of weights, such as 1 / variance."""
    sigma: str | None = None
    """A column of standard deviations of y; its weights are 1 / sigma²."""
    absolute_sigma: bool = False
    """The weights are in the units of y: standard errors are not scaled by the residuals."""
    level: float = 0.95
    """Of the intervals."""
    starts: int = 64
    """How many starts are tried, the first as given, the others around it and at scales of the data."""
    seed: int = 0
    """Of the starts that are drawn."""
    plot: Path | None = None
    """A PNG: the data, the curve with its band, the residuals."""
    out: Path | None = None
    """A folder for the numbers (curve.json) and the rows with fitted values, residuals and bands (rows.csv)."""
    overwrite: bool = False
    """Replace such a folder."""

    def run(self, argv: list[str]) -> int:
        check_picture("--plot", self.plot, (".png",))
        with option_mistakes(NAMES):
            table = read_table(self.file)
            fit = self._fit(table)
        print(*(f"{table.name}: {note}" for note in table.notes), fit, sep="\n")
        self._write(fit)
        if fit.stop.name != "CONVERGED":
            print(f"gdjax: the fit ended {fit.stop.name}", file=sys.stderr)
        return int(fit.stop.name != "CONVERGED")

    def _fit(self, table: Any) -> CurveFit:
        own = is_place(self.formula)
        formula: str | Callable[..., Any] = load_object(self.formula) if own else self.formula
        asked: dict[str, Any] = {name: getattr(self, name) for name in ("weights", "sigma", "absolute_sigma", "level")}
        asked |= {"starts": self.starts, "seed": self.seed, "x": dict(_pairs("x", self.x, "x"))}
        asked["start"] = {name: _number("start", word) for name, word in _pairs("start", self.start)}
        asked["bounds"] = {name: _bounds(name, word) for name, word in _pairs("bounds", self.bounds)}
        with own_mistakes(self.formula, formula) if own else contextlib.nullcontext():
            return fit_curve(formula, table, self.y, **asked)

    def _write(self, fit: CurveFit) -> None:
        with option_mistakes(NAMES):
            if self.out is not None:
                try:
                    print(f"\n{fit.save(self.out, self.overwrite)}")
                except FileExistsError as error:
                    raise UserError(f"--out: {error}{'' if self.overwrite else '; --overwrite replaces it'}") from error
            if self.plot is not None:
                from gdjax import plots

                print(f"\n{plots.save(fit.plot(), self.plot)}")


def _pairs(option: str, given: tuple[tuple[str, ...], ...], alone: str | None = None) -> list[tuple[str, str]]:
    """(name, value) of words "name=value"; a word without a name is the value of `alone`."""
    words = [word if "=" in word or alone is None else f"{alone}={word}" for group in given for word in group]
    if any("=" not in word for word in words):
        raise UserError(f"--{option} must be written as NAME=VALUE, got {' '.join(words)}")
    pairs = [(name.strip(), value.strip()) for name, _, value in (word.partition("=") for word in words)]
    if len(dict(pairs)) < len(pairs):
        raise UserError(f"--{option} must give each name once, got {' '.join(words)}")
    return pairs


def _number(option: str, word: str) -> float:
    try:
        return float(word.replace("−", "-"))
    except ValueError:
        raise UserError(f"--{option} must be numbers, got {word!r}") from None


def _bounds(name: str, word: str) -> tuple[float | None, ...]:
    if word.count(":") != 1:
        raise UserError(f"--bounds must be written as {name}=LOW:HIGH, one of which may be missing, got {name}={word}")
    return tuple(_number("bounds", side) if side.strip() else None for side in word.split(":"))
