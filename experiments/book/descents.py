"""The paths of all optimizers over two landscapes, an ill-conditioned bowl and Rosenbrock's valley, and their pictures.

Each optimizer runs from both starts at all rates of a grid in one compiled program. It is shown at its default rate, where
it has one that leads downhill, else at the rate of the grid that ends lowest without leaving the picture.
"""

from __future__ import annotations

import dataclasses
import inspect
import io
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from gdjax import problems
from gdjax.plots import style

STEPS = 200
RATES = tuple(float(f"{10**power:.0e}") for power in np.arange(-4, 1.01, 0.5))
COLUMNS = ("galore", "kron", "muon", "normuon", "shampoo", "soap")  # for matrices: the two numbers are a column
SQUARES = ("gauss_newton", "levenberg_marquardt")  # which take the residuals
PRIVATE = {"l2_norm_clip": 100.0, "noise_multiplier": 0.01, "seed": 0}  # of dpsgd, which has no defaults
BOWL = dataclasses.replace(
    problems.bowl(10.0), start=np.array([2.3, 1.7])
)  # off the diagonal, on which signs are slopes
PROBLEMS = (BOWL, problems.rosenbrock())
TITLES = ("bowl 10x² + y²", "Rosenbrock")
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # compiling is all of the time
COLORS = 48  # of a picture


@dataclasses.dataclass(frozen=True)
class Path:
    """The path over one landscape."""

    points: np.ndarray  # (steps + 1, 2)
    rate: float | None  # None: the optimizer's own default
    value: float  # at the end


@dataclasses.dataclass(frozen=True)
class Descent:
    """The picture of an optimizer's two paths, and the words below it."""

    picture: bytes
    words: str


def descents(factories: Mapping[str, Callable[..., Any]]) -> dict[str, Descent]:
    """The picture of each optimizer, by its name."""
    sheet = Sheet()
    return {name: describe(sheet, name, factory, walk(name, factory)) for name, factory in factories.items()}


def walk(name: str, factory: Callable[..., Any]) -> tuple[Path, Path]:
    """The paths of an optimizer over both landscapes."""
    default = inspect.signature(factory).parameters.get("learning_rate")
    own = default is None or default.default is not inspect.Parameter.empty
    tried = len(RATES) if default is not None and (not own or default.default is not None) else 0
    points, values = run(name, factory, own, tried)
    found = []
    for which, problem in enumerate(PROBLEMS):
        ends = np.nan_to_num(values[:, which], nan=np.inf)
        downhill = own and (not tried or ends[0] < float(problem(problem.start)))
        best = 0 if downhill else int(np.lexsort((ends, leaves(points[:, which], problem)))[0])
        rates = (*((None,) if own else ()), *RATES[:tried])
        found.append(Path(points[best, which], rates[best], float(values[best, which])))
    return found[0], found[1]


def leaves(paths: np.ndarray, problem: problems.Problem) -> np.ndarray:
    """Whether each path leaves the picture."""
    low, high = np.asarray(problem.bounds, float).T
    return ~((paths >= low) & (paths <= high)).all(axis=(1, 2))


def run(name: str, factory: Callable[..., Any], own: bool, tried: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (rates, 2, steps + 1, 2) and values at their ends (rates, 2); the default rate, where wanted, first."""
    shape = (2, 1) if name in COLUMNS else (2,)
    starts = jnp.stack([jnp.asarray(problem.start, float).reshape(shape) for problem in PROBLEMS])
    which = jnp.arange(len(PROBLEMS))
    both = jax.vmap(lambda start, which, **rate: path(name, factory, start, which, **rate))

    def all_of_them(rates):
        lanes = [jax.tree.map(lambda x: x[None], both(starts, which))] if own else []
        if tried:
            lanes.append(jax.vmap(lambda rate: both(starts, which, learning_rate=jnp.stack([rate, rate])))(rates))
        return jax.tree.map(lambda *x: jnp.concatenate(x), *lanes)

    made = jax.jit(all_of_them, compiler_options=QUICK)(jnp.asarray(RATES[:tried]))
    return np.asarray(made[0]), np.asarray(made[1])


def path(name: str, factory: Callable[..., Any], start: jax.Array, which: jax.Array, **rate: Any) -> Any:
    """One path: (steps + 1, 2) and the value at its end."""
    f = lambda p: 0.5 * jnp.sum(residuals(p.ravel(), which) ** 2)  # noqa: E731
    given = {"residuals": lambda p: residuals(p.ravel(), which)} if name in SQUARES else {}
    optimizer = factory(**given, **rate, **(PRIVATE if name == "dpsgd" else {}))

    def step(carry, _):
        p, state = carry
        value, slope = jax.value_and_grad(f)(p)
        given = slope[None] if name == "dpsgd" else slope
        update, state = optimizer.update(given, state, p, value=value, grad=slope, value_fn=f)
        return (p + update, state), p

    (last, _), points = jax.lax.scan(step, (start, optimizer.init(start)), length=STEPS)
    return jnp.concatenate([points, last[None]]).reshape(STEPS + 1, 2), f(last)


def residuals(p: jax.Array, which: jax.Array) -> jax.Array:
    """Half the sum of their squares is the bowl, or Rosenbrock's function."""
    bowl = jnp.sqrt(2.0) * jnp.stack([jnp.sqrt(10.0) * p[0], p[1]])
    valley = jnp.sqrt(2.0) * jnp.stack([10.0 * (p[1] - p[0] ** 2), 1.0 - p[0]])
    return jnp.where(which == 0, bowl, valley)


def describe(sheet: Sheet, name: str, factory: Callable[..., Any], paths: tuple[Path, Path]) -> Descent:
    """The picture with its words."""
    words = f"{STEPS} steps from the ring to the dot; the cross is the minimum."
    words += " The two numbers are a matrix of one column." if name in COLUMNS else ""
    if "learning_rate" in inspect.signature(factory).parameters:
        bowl, valley = ("the default rate" if x.rate is None else f"rate {x.rate:g}" for x in paths)
        words += (
            f" Shown at {bowl}" if bowl == valley else f" Shown at {bowl} over the bowl and {valley} over the valley"
        )
        least, most = RATES[0], RATES[-1]
        tuned = f", the best of {len(RATES)} from {least:g} to {most:g} by the value at the end of a path inside the picture"
        words += f"{tuned if any(x.rate is not None for x in paths) else ''}."
    return Descent(sheet.draw(paths), words)


class Sheet:
    """A figure of two panels, whose grounds are drawn once and whose paths are exchanged."""

    def __init__(self) -> None:
        self.figure = Figure(figsize=(8, 3.7), dpi=100, layout="constrained", facecolor=style.PAPER)
        self.panels = []
        for axes, problem in zip(self.figure.subplots(1, 2), PROBLEMS, strict=True):
            ground(axes, problem)
            line = axes.plot([], [], ".-", color=style.VERMILLION, linewidth=1.3, markersize=3.5, zorder=3)[0]
            ring = axes.plot([], [], "o", markerfacecolor="none", color=style.INK, markersize=8, zorder=4)[0]
            dot = axes.plot([], [], "o", color=style.VERMILLION, markeredgecolor=style.PAPER, markersize=9, zorder=5)[0]
            self.panels.append((axes, line, ring, dot))

    def draw(self, paths: tuple[Path, Path]) -> bytes:
        """The PNG of these paths."""
        for (axes, line, ring, dot), each, title in zip(self.panels, paths, TITLES, strict=True):
            points = each.points[np.isfinite(each.points).all(axis=1)]
            line.set_data(*points.T)
            ring.set_data(*points[:1].T)
            dot.set_data(*points[-1:].T)
            value = "not finite" if not np.isfinite(each.value) else f"value {style.number(float(f'{each.value:.1e}'))}"
            axes.set_title(f"{title}: {value} at the end", fontsize=style.SMALL, color=style.INK, loc="left")
        return png(self.figure)


def png(figure: Figure) -> bytes:
    """The figure as a PNG of few colors, which takes a third of the room."""
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png")
    Image.open(drawn).convert("RGB").quantize(COLORS).save(small, "PNG", optimize=True)
    return small.getvalue()


def ground(axes: Any, problem: problems.Problem) -> None:
    """Contour lines of a problem with its minimum, by powers of 10."""
    style.dress(axes)
    (low_x, high_x), (low_y, high_y) = problem.bounds
    x, y = np.meshgrid(np.linspace(low_x, high_x, 161), np.linspace(low_y, high_y, 161))
    value = np.asarray(jax.vmap(problem)(jnp.stack([x.ravel(), y.ravel()], axis=1))).reshape(x.shape)
    logs = np.log10(value + 0.1)
    axes.contourf(x, y, logs, levels=12, cmap="Greys", alpha=0.28)
    axes.contour(x, y, logs, levels=12, colors=style.FAINT, linewidths=0.5, linestyles="solid")
    axes.plot(*np.reshape(problem.minima[0], (2, 1)), "x", color=style.INK, markersize=9, markeredgewidth=2, zorder=6)
    axes.set(xlim=(low_x, high_x), ylim=(low_y, high_y))
    axes.set_xlabel("x", fontsize=style.SMALL, color=style.INK)
    axes.set_ylabel("y", fontsize=style.SMALL, color=style.INK)
