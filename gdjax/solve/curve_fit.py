"""The result of a fit of a curve: parameters with their errors, in words, as a table and as a picture."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from gdjax.drawing import load_plots
from gdjax.files import folder_written_whole
from gdjax.programs import compile_once
from gdjax.solve.curve_data import Columns
from gdjax.solve.curve_errors import t_quantile
from gdjax.solve.curve_formula import Curve
from gdjax.text import html_table, table
from gdjax.types import Stop

NUMBERS = "curve.json"


class Band(NamedTuple):
    """A curve at some rows (n,): its values, and intervals of one level for each row."""

    value: np.ndarray
    low: np.ndarray  # of the curve itself
    high: np.ndarray
    low_new: np.ndarray  # of a further observation
    high_new: np.ndarray


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class CurveFit:
    """A curve with its parameters fitted by least squares; it prints as a table.

    Args:
        params: name -> value.
        errors: name -> standard error; NaN for what the data do not determine and for what is held at a bound.
        intervals: name -> (low, high), of Student's t at `level`.
        covariance: (p, p), in the order of params.
        sum_of_squares: sum w residuals², w the weights.
        residual_sd: sqrt(sum_of_squares / freedom), in units of y, of weight 1.
        freedom: the number of rows less that of parameters, of those that are determined and not held at a bound.
        r2: 1 - sum_of_squares / sum w (y - mean)².
        rows: the numbers (n,) of the rows used, from 0; fitted, residuals: (n,), y - fitted.
        stop: CONVERGED if the parameters are right to four digits at least, else STALLED, BUDGET or NON_FINITE.
        steps: of the start that led here.
        remarks: what there is to know of the fit, a sentence each.
    """

    formula: str
    target: str
    params: Mapping[str, float]
    errors: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    covariance: np.ndarray
    sum_of_squares: float
    residual_sd: float
    freedom: int
    r2: float
    rows: np.ndarray
    fitted: np.ndarray
    residuals: np.ndarray
    stop: Stop
    steps: int
    level: float
    remarks: tuple[str, ...]
    curve: Curve
    places: Mapping[str, str]  # name of the formula -> column of the table
    columns: Mapping[str, np.ndarray]  # of the rows used, by the formula's names
    absolute: bool  # whether the weights are 1 / variances as they are

    def predict(self, data: Any, level: float | None = None) -> Band:
        """The curve at other rows, with a confidence band for it and one for a further observation of weight 1.

        Args:
            data: a mapping or table with the columns of the fit.
            level: of the bands (default: that of the fit).
        """
        source = Columns.of(data)
        columns = tuple(source.numbers("predict: data", self.places[name]) for name in self.curve.columns)
        with jax.enable_x64(True):
            params = np.array(list(self.params.values()))
            value, slopes = map(np.asarray, compile_once(_Slopes(self.curve))(columns, params))
        known = np.isfinite(np.diag(self.covariance))
        part = slopes[:, known]
        variance = np.einsum("ij,jk,ik->i", part, self.covariance[np.ix_(known, known)], part)
        wide = t_quantile(self.level if level is None else level, np.inf if self.absolute else self.freedom)
        noise = 1.0 if self.absolute else self.residual_sd**2
        of_curve, of_new = wide * np.sqrt(variance), wide * np.sqrt(variance + noise)
        return Band(value, value - of_curve, value + of_curve, value - of_new, value + of_new)

    def plot(self, **options: Any) -> Any:
        """The picture: the data with the curve and its band, and the residuals below; see `gdjax.plots.fitted_curve`."""
        return load_plots().picture(self, **options)

    def save(self, folder: str | os.PathLike[str], overwrite: bool = False) -> Path:
        """Write a folder with `curve.json`, the numbers, and `rows.csv`, what was fitted row by row with bands.

        Args:
            overwrite: whether a folder that was written so may be replaced.

        Raises: FileExistsError if something else is there.
        """
        path = Path(folder)
        with folder_written_whole(path, replaces=NUMBERS if overwrite else None) as draft:
            (draft / NUMBERS).write_text(json.dumps(self.as_dict(), indent=2) + "\n", encoding="utf-8")
            (draft / "rows.csv").write_text(self._csv(), encoding="utf-8")
        return path

    def as_dict(self) -> dict[str, Any]:
        """Its numbers and words as plain values; None for what is not known."""
        names = list(self.params)
        return {
            "formula": self.formula,
            "target": self.target,
            "columns": dict(self.places),
            "rows": len(self.rows),
            "parameters": {
                name: {
                    "value": self.params[name],
                    "standard_error": _known(self.errors[name]),
                    "interval": [_known(x) for x in self.intervals[name]],
                }
                for name in names
            },
            "level": self.level,
            "covariance": [[_known(x) for x in row] for row in self.covariance.tolist()],
            "sum_of_squares": self.sum_of_squares,
            "residual_standard_deviation": _known(self.residual_sd),
            "degrees_of_freedom": self.freedom,
            "r2": _known(self.r2),
            "stop": self.stop.name,
            "steps": self.steps,
            "remarks": list(self.remarks),
        }

    def _csv(self) -> str:
        band = self.predict({self.places[name]: column for name, column in self.columns.items()})
        written = {self.places[name]: column for name, column in self.columns.items()}
        written |= {self.target: self.fitted + self.residuals, "fitted": self.fitted, "residual": self.residuals}
        written |= {"low": band.low, "high": band.high, "low_new": band.low_new, "high_new": band.high_new}
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(["row", *written])
        numbers = np.stack(list(written.values()), axis=1).tolist()
        writer.writerows([int(i) + 1, *row] for i, row in zip(self.rows, numbers, strict=True))
        return lines.getvalue()

    def __str__(self) -> str:
        return "\n".join([self._heading(), table(self._rows(), right=range(1, 4)), *self._remarks()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table(self._rows(), right=range(1, 4), below="\n".join([self._heading(), *self._remarks()]))

    def _heading(self) -> str:
        return f"{self.target} = {self.formula}: {len(self.rows)} rows"

    def _rows(self) -> list[list[str]]:
        rows = [["parameter", "value", "standard error", f"{100 * self.level:g} % interval"]]
        for name, value in self.params.items():
            low, high = self.intervals[name]
            between = f"{low:.7g} to {high:.7g}" if np.isfinite(self.errors[name]) else ""
            error = f"{self.errors[name]:.7g}" if np.isfinite(self.errors[name]) else "-"
            rows.append([name, f"{value:.11g}", error, between])
        return rows

    def _remarks(self) -> list[str]:
        residual = f"residual standard deviation {self.residual_sd:.7g} with {self.freedom} degrees of freedom"
        numbers = f"{residual}, sum of squares {self.sum_of_squares:.10g}, r2 {self.r2:.6g}"
        return [numbers, f"{self.stop.name} after {self.steps} steps", *self.remarks]


def _known(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None


@dataclasses.dataclass(frozen=True)
class _Slopes:
    """(columns, params) -> the curve (n,) and its derivatives (n, p)."""

    curve: Curve

    def __call__(self, columns: Any, params: Any) -> tuple[Any, Any]:
        of_params = lambda params: self.curve(columns, params)  # noqa: E731
        return of_params(params), jax.jacfwd(of_params)(params)
