"""A function of one or two variables with paths and minima, read from any unambiguous form.

function    f(point), f(x, y), a Problem, "rosenbrock", "x^2 + 10*y^2"
bounds      (low, high) for all axes, a pair for each, (x low, x high, y low, y high), None where the rest says it
paths       see `gdjax.plots.reading`
minima      points, a Minimum (default: those of the problem)
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.forms import explain_errors
from gdjax.plots.reading import Track, describe_kind, describe_variables, flatten_rows, read_paths
from gdjax.problems import Problem
from gdjax.problems.reading import read_function
from gdjax.programs import retrace
from gdjax.solve import Minimum
from gdjax.text import short

REACH = 1.3  # a picture without bounds of its own shows this times what the paths need
Pair = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Scene:
    """A function of one or two variables, the window, the paths and the minima."""

    f: Callable[[Any], jax.Array]  # () -> () of one variable, (2,) -> () of two
    bounds: tuple[Pair, ...]
    tracks: dict[str, Track]
    minima: np.ndarray  # (m, variables)
    names: tuple[str, ...]

    @property
    def paths(self) -> dict[str, np.ndarray]:
        """(n, 2) each; (n,) over one variable."""
        return {name: t.points if len(self.names) > 1 else t.points[:, 0] for name, t in self.tracks.items()}


def read_scene(
    who: str,
    f: Any,
    bounds: Any,
    paths: Any = None,
    minima: Any = None,
    names: Sequence[str] | None = None,
    count: int | None = None,
) -> Scene:
    """The scene of a picture over one or two variables.

    Raises: ValueError with what must hold and what came.
    """
    pairs = window(who, bounds)
    ground = _Ground.of(who, f)
    n = count or _count(ground, pairs, paths)
    if n > 2 or len(ground.names) not in (0, n):
        wanted = describe_variables(count) if count else "one or two variables"
        raise ValueError(
            f"{who}: f must be a function of {wanted} to be drawn, got {describe_variables(len(ground.names) or n)}"
        )
    tracks = read_paths(who, paths, n)
    like = next((track.like for track in tracks.values() if track.like is not None), None)
    marks = read_points(who, "minima", ground.minima if minima is None else minima, n)
    spread = _spread(who, window(who, ground.bounds) if pairs is None else pairs, n)
    spread = spread or _window_around(who, tracks, marks, ground, n)
    names = tuple(names or ground.names or ("x", "y")[:n])
    if len(names) != n:
        raise ValueError(f"{who}: names must be {n}, as there are variables, got {short(repr(names))}")
    return Scene(ground.over(who, n, like), spread, tracks, marks, names)


@dataclasses.dataclass(frozen=True)
class _Ground:
    """A function as given, with the facts that came with it."""

    f: Callable[..., Any]
    names: tuple[str, ...] = ()  # of its variables, as far as they are known
    minima: tuple[Any, ...] = ()
    bounds: tuple[Any, ...] = ()
    start: Any = None

    @classmethod
    def of(cls, who: str, f: Any) -> _Ground:
        if isinstance(f, str):
            try:
                target = read_function(f)
            except ValueError as error:
                raise ValueError(f"{who}: {error}") from None
            problem = target.problem
            start = problem.start if problem.bounds or problem.minima else None
            return cls(problem, target.names, problem.minima, problem.bounds, start)
        if isinstance(f, Problem):
            size = sum(np.size(x) for x in jax.tree.leaves(f.start))
            names = ("x", "y")[:size] if size <= 2 else tuple(f"x{i + 1}" for i in range(size))
            return cls(f, names, f.minima, f.bounds, f.start)
        if not callable(f):
            raise ValueError(
                f"{who}: f must be a function, a Problem or a text such as 'x^2 + y^2', got {describe_kind(f)}"
            )
        required = _required_names(f)
        if len(required) < 2:
            return cls(f)
        return cls(lambda p: f(*(p[i] for i in range(len(required)))), required)

    def over(self, who: str, n: int, like: Any) -> Callable[[Any], jax.Array]:
        """As a function of () or (2,), the first form of a point that gives a number."""
        forms = [jnp.zeros(()), jnp.zeros((1,))] if n == 1 else [jnp.zeros((n,))]
        if like is not None and getattr(like, "shape", None) not in ((), (n,)):
            forms.insert(0, jax.tree.map(jnp.zeros_like, like))
        shape: Any = None
        for form in forms:
            try:
                with explain_errors(who):
                    shape = jax.eval_shape(retrace(self.f), form)
            except (TypeError, IndexError, ValueError) as error:
                shape = error
                continue
            if getattr(shape, "shape", None) == () and jnp.issubdtype(shape.dtype, jnp.floating):
                return _of_point(self.f, form)
        if isinstance(shape, jax.errors.TracerArrayConversionError):
            raise ValueError(f"{who}: f must compute with jax.numpy, jnp.sin(x) for np.sin(x), got {self.f!r}")
        if isinstance(shape, Exception):
            raise shape
        got = f"shape {shape.shape} of {shape.dtype}" if hasattr(shape, "shape") else describe_kind(shape)
        raise ValueError(f"{who}: f must return one real number for a point of {describe_variables(n)}, got {got}")


def _of_point(f: Callable[..., Any], form: Any) -> Callable[[Any], jax.Array]:
    """f of a flat point."""
    leaves, structure = jax.tree.flatten(form)
    if structure.num_nodes == 1:
        shape = form.shape
        return f if shape in ((), (2,)) else lambda p: f(jnp.reshape(p, shape))
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]

    def of_point(p: Any) -> Any:
        parts = jnp.split(jnp.ravel(p), ends)
        return f(structure.unflatten([jnp.reshape(x, leaf.shape) for x, leaf in zip(parts, leaves, strict=True)]))

    return of_point


def _required_names(f: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the required arguments of a function."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return ()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(p.name for p in parameters if p.kind in kinds and p.default is p.empty)


def _count(ground: _Ground, pairs: np.ndarray | None, paths: Any) -> int:
    """The number of variables, from whatever determines it."""
    if ground.names:
        return len(ground.names)
    if pairs is not None and pairs.ndim == 2:
        return len(pairs)
    for track in read_paths("landscape", paths, None).values():
        return track.points.shape[1]
    try:
        return 1 if jax.eval_shape(retrace(ground.f), jnp.zeros(())).shape == () else 2
    except Exception:
        return 2


def window(who: str, bounds: Any) -> np.ndarray | None:
    """(2,) for all axes or (n, 2), each low < high."""
    if bounds is None or (isinstance(bounds, tuple) and not bounds):
        return None
    try:
        pairs = np.asarray(bounds, float)
    except (TypeError, ValueError):
        pairs = np.zeros(0)
    if pairs.shape == (4,):
        pairs = pairs.reshape(2, 2)
    ordered = pairs.ndim in (1, 2) and pairs.shape[-1] == 2
    if not (ordered and np.isfinite(pairs).all() and (pairs[..., 0] < pairs[..., 1]).all()):
        raise ValueError(
            f"{who}: bounds must be (low, high), or such a pair for each variable, low < high, got {short(repr(bounds))}"
        )
    return pairs


def _spread(who: str, pairs: np.ndarray | None, n: int) -> tuple[Pair, ...]:
    """A pair for each variable; () where there is none."""
    if pairs is None:
        return ()
    if pairs.ndim == 2 and len(pairs) not in (1, n):
        raise ValueError(f"{who}: bounds must be one pair or {n}, as there are variables, got {len(pairs)}")
    return tuple((float(low), float(high)) for low, high in np.broadcast_to(pairs, (n, 2)))


def _window_around(
    who: str, tracks: Mapping[str, Track], minima: np.ndarray, ground: _Ground, n: int
) -> tuple[Pair, ...]:
    """The window that contains all paths, minima and the start, with a margin."""
    start = [] if ground.start is None else [flatten_rows(ground.start, 1)]
    points = np.concatenate([*(_near(track.points) for track in tracks.values()), minima, *start, np.zeros((0, n))])
    if not len(points):
        raise ValueError(f"{who}: bounds must say what to show, such as (-3, 3), where no path does; got none")
    low, high = points.min(axis=0), points.max(axis=0)
    center, widest = (low + high) / 2, (high - low).max()
    least = max(widest, 1.0) / 4 if widest > 0 else 4 * max(np.abs(center).max(), 1.0)  # about one point alone
    half = REACH * np.maximum(high - low, least) / 2
    return tuple((float(a), float(b)) for a, b in zip(center - half, center + half, strict=True))


def _near(path: np.ndarray) -> np.ndarray:
    """The finite points of a path, without a divergent end."""
    with np.errstate(invalid="ignore"):
        return path[np.abs(path - path[0]).max(axis=1) <= 20 * (1 + np.abs(path[0]).max())]


def read_points(who: str, name: str, given: Any, n: int) -> np.ndarray:
    """(m, n): places to mark, each an array, a tree or a Minimum."""
    given = [given] if isinstance(given, Minimum) else given
    try:
        if isinstance(given, (list, tuple)):
            given = [flatten_rows(each.params if isinstance(each, Minimum) else each, 1)[0] for each in given]
        return np.asarray(given, float).reshape(-1, n)
    except (TypeError, ValueError):
        got = f"{who}: {name} must be points of {describe_variables(n)}, (m, {n}), got {short(repr(given))}"
        raise ValueError(got) from None
