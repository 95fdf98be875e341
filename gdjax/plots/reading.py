"""Conversion of the runs and values that a picture takes, from any unambiguous form to the one that is drawn.

paths       points (n, 2) or (n,), several of them, a Minimum, a path of its, a Result, a list or dict of such
series      values, (steps, values), a Minimum, a Result, a history, a list or dict of such
rates       schedules, numbers, texts, optimizers, a Result, a history, a list or dict of such
"""

from __future__ import annotations

import numbers
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import Node, parse
from gdjax.optimizers import OPTIMIZERS
from gdjax.schedules import SCHEDULES
from gdjax.solve import Minimum
from gdjax.solve.minimum import Point
from gdjax.solve.path import trim
from gdjax.text import short
from gdjax.training import Result


class Track(NamedTuple):
    """The points of a run."""

    points: np.ndarray  # (n, variables)
    steps: np.ndarray  # (n,), the step of each
    like: Any = None  # one point as its function takes it, where that is known


def split_runs(given: Any) -> dict[str, Any]:
    """One run or many, each by its name: a Minimum, a Point with rows, a Result, a history, or what else was given."""
    if given is None or (isinstance(given, (list, tuple)) and not given):
        return {}
    if isinstance(given, Mapping) and not _is_history(given):
        return _name_parts({str(name): list(split_runs(part).values()) for name, part in given.items()})
    lanes: tuple[int, ...] = ()  # of vmap
    if isinstance(given, Minimum):
        lanes = np.shape(given.stop)
        given = given._replace(first=None, last=None) if lanes else given
    elif _is_path(given):
        lanes = np.shape(given.step)[:-1]
    if lanes:
        lane = lambda i: jax.tree.map(lambda x: np.asarray(x)[i], given)  # noqa: E731
        return _name_parts({"": [run for i in range(lanes[0]) for run in split_runs(lane(i)).values()]})
    if isinstance(given, (list, tuple)) and any(map(_is_run, given)) and not _is_run(given):
        return _name_parts({"": [run for part in given for run in split_runs(part).values()]})
    return {"": given}


def _is_path(given: Any) -> TypeGuard[Point]:
    return isinstance(given, Point) and np.ndim(given.step) > 0


def _is_run(given: Any) -> bool:
    return _is_history(given) or (hasattr(given, "params") and not hasattr(given, "shape"))


def _is_history(given: Any) -> bool:
    return isinstance(given, Mapping) and {"epoch", "loss"} <= set(given)


def _name_parts(parts: Mapping[str, Sequence[Any]], alone: str = "run") -> dict[str, Any]:
    """Each part by its name, numbered where there are several of one name."""
    return {
        name if len(each) == 1 else f"{name or alone} {i + 1}": part
        for name, each in parts.items()
        for i, part in enumerate(each)
    }


def read_paths(who: str, given: Any, n: int | None) -> dict[str, Track]:
    """Each path by its name, its points (k, n); where n is None, of as many variables as it has."""
    if n == 2 and isinstance(given, Mapping) and len(given) == 2 and [*map(_ndim, given.values())] == [1, 1]:
        given = np.stack([np.asarray(part, float) for part in given.values()], axis=1)  # the parameters of one path
    found = _name_parts({name: list(_tracks(who, run, n)) for name, run in split_runs(given).items()}, "path")
    for track in found.values():
        if n is not None and (track.points.ndim != 2 or track.points.shape[1] != n):
            form = "(n,)" if n == 1 else f"(n, {n})"
            raise ValueError(f"{who}: a path over {describe_variables(n)} must be {form}, got {track.points.shape}")
    return {name or "path": track for name, track in found.items()}


def _tracks(who: str, run: Any, n: int | None) -> Iterator[Track]:
    """The path of one run; several where an array holds several."""
    path = getattr(run, "path", None) if isinstance(run, Minimum) else run
    if _is_path(path):
        rows = _rows(path)
        yield Track(
            flatten_rows(rows.params, len(rows.step)), np.asarray(rows.step), jax.tree.map(lambda x: x[0], rows.params)
        )
    elif _is_run(run) and not _is_history(run):
        yield Track(flatten_rows(run.params, 1), np.zeros(1, int), run.params)
    else:
        for points in _points_of(who, run, n):
            yield Track(points, np.arange(len(points)))


def read_params(who: str, given: Any, like: Any) -> dict[str, Any]:
    """Parameters like these, of one point or with a leading axis of steps, by their names."""
    structure = jax.tree.structure(like)
    if given is not None and jax.tree.structure(given) == structure:
        return {"descent": given}
    if isinstance(given, (list, tuple)) and given and all(jax.tree.structure(part) == structure for part in given):
        return {"descent": jax.tree.map(lambda *rows: jnp.stack(rows), *given)}
    found = {}
    for name, run in split_runs(given).items():
        path = run.path if isinstance(run, Minimum) else run
        found[name or "descent"] = _rows(path).params if _is_path(path) else getattr(run, "params", run)
        if jax.tree.structure(found[name or "descent"]) != structure:
            words = "parameters like those of the plane, a Minimum, a Result, or a list or dict of such"
            raise ValueError(f"{who}: path must be {words}, got {describe_kind(run)}")
    return found


def _rows(path: Point) -> Point:
    """The used rows."""
    return trim(path) if len(path.step) > 1 else jax.tree.map(np.asarray, path)


def describe_variables(n: int) -> str:
    """The number of variables in words."""
    return {1: "one variable", 2: "two variables"}.get(n, f"{n} variables")


def flatten_rows(params: Any, rows: int) -> np.ndarray:
    """(rows, numbers): all leaves side by side."""
    return np.concatenate([np.reshape(_real(x), (rows, -1)) for x in jax.tree.leaves(params)], axis=1)


def _points_of(who: str, given: Any, n: int | None) -> list[np.ndarray]:
    """One path or several, by the shape."""
    try:
        points = _real(given)
    except (TypeError, ValueError):
        parts = given if isinstance(given, (list, tuple)) and all(map(_ndim, given)) else ()
        if not parts:
            words = "points, a Minimum, a Result, or a list or dict of such"
            raise ValueError(f"{who}: paths must be {words}, got {describe_kind(given)}") from None
        return [each for part in parts for each in _points_of(who, part, n)]
    if points.ndim == 3 or (points.ndim == 2 and n == 1 and points.shape[1] > 1):
        return [each for part in points for each in _points_of(who, part, n)]
    if points.ndim == 1 and n in (None, 1):
        return [points[:, None]]
    return [points[None] if points.shape in ((n,), ()) else points]


def read_histories(given: Any) -> dict[str, Any]:
    """Each Result or history by its name; {} where runs or values of another kind were given."""
    if isinstance(given, Mapping) and not any(map(_is_run, given.values())):
        return {"": given}  # a history, or what is to be told why it is none
    return split_runs(given) if are_fits(given) else {}


def are_fits(given: Any) -> bool:
    """Whether all runs are Results or histories."""
    found = split_runs(given).values()
    return bool(found) and all(isinstance(run, Result) or _is_history(run) for run in found)


class Series(NamedTuple):
    """Values over steps."""

    steps: np.ndarray
    values: np.ndarray


def read_series(who: str, given: Any, column: str = "loss") -> dict[str, Series]:
    """Each series by its name, "" for one that has none; of a Result or a history the named column."""
    found = _name_parts({name: list(_series(who, run, column)) for name, run in split_runs(given).items()})
    if not found:
        raise ValueError(f"{who}: there must be a run or values to draw, got {describe_kind(given)}")
    return found


def _series(who: str, run: Any, column: str) -> Iterator[Series]:
    if isinstance(run, Result) or _is_history(run):
        history = run.history if isinstance(run, Result) else run
        if column not in history:
            raise ValueError(f"{who}: the history must have {column!r}, got {', '.join(history)}")
        steps = history["step"] if "step" in history else np.arange(1, 1 + len(history[column]))
        yield Series(np.asarray(steps), np.asarray(history[column], float))
        return
    path = run.path if isinstance(run, Minimum) else run
    if path is None:
        raise ValueError(f"{who}: a Minimum must have a path to be drawn: minimize(..., record=True)")
    if _is_path(path):
        rows = _rows(path)
        yield Series(np.asarray(rows.step), np.asarray(rows.value, float))
        return
    yield from _of_values(who, run)


def _of_values(who: str, given: Any) -> Iterator[Series]:
    """(n,) values, (steps, values) as a tuple, or several (n,), one below the other."""
    parts = list(given) if isinstance(given, (list, tuple)) and any(map(_ndim, given)) else [given]
    try:
        arrays = [np.asarray(part, float) for part in parts]
    except (TypeError, ValueError):
        arrays = [np.zeros(())]
    if isinstance(given, tuple) and len(arrays) == 2 and arrays[0].shape == arrays[1].shape:
        yield Series(*arrays)
        return
    arrays = list(arrays[0]) if len(arrays) == 1 and arrays[0].ndim == 2 else arrays
    if any(each.ndim != 1 for each in arrays):
        words = "numbers (n,), (steps, values), a Minimum with a path, a Result, or a list or dict of such"
        raise ValueError(f"{who}: values must be {words}, got {describe_kind(given)}")
    yield from (Series(np.arange(len(each)), each) for each in arrays)


def read_rates(who: str, given: Any, steps: int | None) -> dict[str, Series]:
    """Each schedule by its name, or by its call, over the steps; of a Result or a history the rates that were taken."""
    alone = _is_run(given) or isinstance(given, (str, Node)) or callable(given) or not (_ndim(given) or _many(given))
    if not alone and (not _many(given) or _is_numbers(given)):
        return read_series(who, given)  # the rates themselves
    read = [(name, _schedule(who, part)) for name, part in _parts([given] if alone else given)]
    longest = steps or max([_longest(part) for _, part in read], default=0) or 100
    found: dict[str, list[Series]] = {}
    for name, part in read:
        called = name or (repr(part) if isinstance(part, (Node, numbers.Number)) else getattr(part, "__name__", ""))
        found.setdefault(str(called), []).append(_rates(who, part, longest))
    return _name_parts(found, "schedule")


def _parts(given: Any) -> list[tuple[Any, Any]]:
    """(name, part), None for what has no name."""
    return list(given.items()) if isinstance(given, Mapping) else [(None, part) for part in given]


def _is_numbers(given: Any) -> bool:
    return isinstance(given, (list, tuple)) and all(isinstance(x, numbers.Number) for x in given)


def _many(given: Any) -> bool:
    return isinstance(given, (list, tuple, Mapping)) and not _is_history(given)


def _schedule(who: str, given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        return parse(given, {**SCHEDULES, **OPTIMIZERS})
    except ValueError as error:
        raise ValueError(f"{who}: {error}") from None


def _longest(schedule: Any) -> int:
    """The largest integer in a call."""
    nodes = schedule.walk() if isinstance(schedule, Node) else ()
    whole = [x for node in nodes for x in node.arguments.values() if isinstance(x, numbers.Integral)]
    return max(map(int, whole), default=0)


def _rates(who: str, schedule: Any, steps: int) -> Series:
    if _is_run(schedule):
        return next(_series(who, schedule, "learning_rate"))
    at = getattr(schedule, "learning_rate_at", schedule if callable(schedule) else lambda step: schedule)
    first = at(0)
    if not (isinstance(first, (numbers.Number, np.ndarray, jax.Array)) and np.ndim(first) == 0):
        raise ValueError(
            f"{who}: schedules must be functions step -> number, or numbers, got {describe_kind(schedule)}"
        )
    values = jax.vmap(lambda step: jnp.asarray(at(step), float))(jnp.arange(steps + 1))
    return Series(np.arange(steps + 1), np.asarray(values))


def read_predict(who: str, given: Any) -> Any:
    """A function of points, of a classifier what says most of them."""
    names = ("predict_proba", "decision_function", "predict")
    found = next((getattr(given, name) for name in names if hasattr(given, name)), given)
    if not callable(found):
        raise ValueError(f"{who}: predict must be a function (m, 2) -> (m, C), got {describe_kind(given)}")
    return found


def read_labels(given: Any) -> np.ndarray:
    """(n,) of labels, also given as one column, or as rows that are 1 at their class and 0 elsewhere."""
    labels = np.asarray(given)
    if labels.ndim == 2 and labels.shape[1] == 1:
        return labels[:, 0]
    is_one_hot = labels.ndim == 2 and np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all()
    return labels.argmax(axis=1) if is_one_hot else labels


def read_classes(who: str, given: Any) -> np.ndarray:
    """The labels there are; all numbers from 0 where these are such numbers."""
    if given is None:
        raise ValueError(f"{who}: y must be the labels (n,), got none")
    found = np.unique(read_labels(given))
    whole = found.dtype.kind in "iub" or (found.dtype.kind == "f" and np.array_equal(found, np.round(found)))
    if whole and found.size and found.min() == 0 and found.max() < 10 * len(found) + 10:
        return np.arange(max(int(found.max()) + 1, 2))
    return found


def read_counts(given: Any, names: Any) -> tuple[np.ndarray, Any]:
    """Counts (C, C) and the names of the classes; of true and predicted labels (n,) their counts and themselves."""
    truth, predicted = np.asarray(given), None if names is None else np.asarray(names)
    if truth.ndim != 1 or predicted is None or predicted.shape != truth.shape or not np.isin(predicted, truth).any():
        return truth.astype(float), names
    classes = np.union1d(truth, predicted)
    counts = np.zeros((len(classes),) * 2)
    np.add.at(counts, (np.searchsorted(classes, truth), np.searchsorted(classes, predicted)), 1)
    return counts, [str(each) for each in classes]


def names_of(table: Any) -> list[str]:
    """Of the two columns of a table."""
    return [str(name) for name in getattr(table, "columns", ("x", "y"))]


def _real(given: Any) -> np.ndarray:
    """As floats.   Raises: TypeError for complex numbers and what is no number."""
    if np.iscomplexobj(given):
        raise TypeError(f"there must be real numbers to draw, got {describe_kind(given)}")
    return np.asarray(given, float)


def _ndim(given: Any) -> int:
    """How many axes an array has; 0 of anything else, 2 of parts that differ in length."""
    if _is_run(given) or isinstance(given, (str, Mapping)):
        return 0
    try:
        return np.ndim(given)
    except (TypeError, ValueError):
        return 2


def describe_kind(given: Any) -> str:
    """The kind of an object in words."""
    if isinstance(given, (str, numbers.Number)) or given is None:
        return short(repr(given))
    if hasattr(given, "shape"):
        return f"an array {given.shape}"
    name = type(given).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
