"""The predictions of a run for the rows of a table, with probabilities or intervals, and what is unusual in each row."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from gdjax.data import Table, read_table
from gdjax.losses import LOSSES
from gdjax.programs import compile_once
from gdjax.runs.config import RunConfig
from gdjax.runs.intervals import level_of
from gdjax.runs.problem import READING, frame_table
from gdjax.tables.pixels import described, shaped, with_shape

if TYPE_CHECKING:
    import pandas

    from gdjax.runs.folder import LoadedRun


def predictions(run: LoadedRun, data: Any, level: float | None = None) -> pandas.DataFrame:
    """The predictions of `LoadedRun.predict`.   Raises: ValueError, in one line, for another level or a table that lacks a
    column."""
    import pandas

    held = level_of(run.config, run.intervals, level, str(run.result.get("stop", "")))
    table = rows_to_predict(run, data)
    if not len(table.frame):
        raise ValueError("predict: the table has no row")
    x, flags = run.encoding.encode(table.inputs(), "float32")
    spoiled = ~np.isfinite(x).all(axis=1)
    x[spoiled] = 0.0
    found = _answers(run, x, held)
    columns = {name: _without(values, spoiled) for name, values in found.items()}
    index = data.index if isinstance(data, pandas.DataFrame) else None
    return pandas.DataFrame({**columns, "remark": flags.notes()}, index=index)


def rows_to_predict(run: LoadedRun, data: Any, keep_text: Sequence[str] = ()) -> Table:
    """The table to predict: a file is read as the training table was.

    Args:
        keep_text: columns whose text is kept too.
    """
    names, shape = run.config.data.columns, run.config.data.shape
    if isinstance(data, Table):
        return _as_trained(run, data)
    if hasattr(data, "columns"):
        used = {*names, run.config.data.target, *keep_text} if names and not shape else None
        return _as_trained(run, frame_table(data, used))
    if isinstance(data, (str, os.PathLike)):
        table = read_table(os.fspath(data), **_reading(run.config), shape=shape, keep_text=keep_text, lenient=True)
        is_array = os.fspath(data).lower().endswith(".npz") and not shape
        return _by_position(run, table) if is_array else _as_trained(run, table)
    return _of_pixels(run, np.asarray(data)) if shape else _of_array(run, np.asarray(data))


def _as_trained(run: LoadedRun, table: Table) -> Table:
    """The table with rows of the run's shape: as they are, or its columns in order, the target apart."""
    data = run.config.data
    if table.pixels is None and data.shape:
        table = shaped(table, data.shape, data.target)
    if table.shape != data.shape:
        here, there = (described(shape) if shape else "rows of columns" for shape in (data.shape, table.shape))
        raise ValueError(f"{run.folder} was trained on {here}, {table.origin} are {there}")
    return table


def _of_pixels(run: LoadedRun, x: np.ndarray) -> Table:
    import pandas

    pixels = with_shape(x, run.config.data.shape)
    return Table(pandas.DataFrame(index=range(len(x))), "array", f"{len(x):,} rows of an array", pixels=pixels)


def _reading(config: RunConfig) -> dict[str, Any]:
    """The options of reading with which the training table was read, as far as another file may need them too."""
    said = {name: value for name, value in config.data.reading.items() if name in READING}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}


def _by_position(run: LoadedRun, table: Table) -> Table:
    """The features of an .npz file, whose columns have no names, as the columns of the training table."""
    names = run.config.data.columns
    x = [name for name in table.frame.columns if name.startswith("x")]
    if set(names) <= set(x) or len(x) != len(names):
        return table
    return dataclasses.replace(table, frame=table.frame.rename(columns=dict(zip(x, names, strict=True))))


def _of_array(run: LoadedRun, x: np.ndarray) -> Table:
    import pandas

    names = run.config.data.columns
    if x.ndim != 2 or x.shape[1] != len(names):
        raise ValueError(f"predict: an array must have shape (n, {len(names)}), for {', '.join(names)}, got {x.shape}")
    return Table(pandas.DataFrame(x, columns=list(names)), "array", f"{len(x):,} rows")


def _answers(run: LoadedRun, x: np.ndarray, level: float | None) -> dict[str, np.ndarray]:
    outputs, names = run.outputs(x), np.array(run.config.data.target_names, object)
    if not len(names):
        found = {"prediction": outputs}
        if run.intervals is not None and level is not None:
            found["low"], found["high"] = run.intervals.bounds(outputs, lambda: run.outputs_of_folds(x), level)
        return found
    labels, table = decide(run.config, outputs)
    by_class = {f"probability_{name}": column for name, column in zip(names, table.T, strict=False)}
    return {"prediction": names[labels], **by_class}


def decide(config: RunConfig, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The labels (n,) int and the probabilities (n, C), of no columns where the loss defines none.

    The label is the class of the largest score; with a threshold, the second of two from that probability on.
    """
    scores = np.stack([-outputs, outputs], -1) if outputs.ndim == 1 else outputs
    entry = LOSSES[config.loss]
    if entry.probabilities is None:
        return scores.argmax(-1), np.zeros((len(outputs), 0))
    table = np.asarray(compile_once(entry.probabilities)(jnp.asarray(outputs)), np.float64)
    if config.threshold is not None:
        return (table[:, 1] >= config.threshold).astype(int), table
    return scores.argmax(-1), table


def _without(values: np.ndarray, spoiled: np.ndarray) -> np.ndarray:
    """The values, with none in spoiled rows."""
    none = np.nan if values.dtype.kind == "f" else None
    return np.where(spoiled, none, values) if spoiled.any() else values


def rounded(table: pandas.DataFrame, spread: float) -> pandas.DataFrame:
    """The predictions as text with the digits that count.

    Args:
        spread: of the target: a small one about a large mean needs more digits.
    """
    written = table.copy()
    for name in written.columns:
        if written[name].dtype.kind == "f":
            form = "{:.6f}" if name.startswith("probability_") else f"{{:.{digits(written[name].to_numpy(), spread)}g}}"
            written[name] = written[name].map(form.format, na_action="ignore")
    return written


def digits(values: np.ndarray, spread: float) -> int:
    """The number of digits that shows 7 digits of the variation."""
    finite = np.abs(values[np.isfinite(values)])
    return int(min(17, 7 + max(0, np.ceil(np.log10(finite.max(initial=spread) / spread)))))
