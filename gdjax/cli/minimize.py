"""`gdjax minimize`: one function, several optimizers, and what became of each."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.flatten_util
import numpy as np
import tyro

from gdjax.calls.node import Condition, Optimizer
from gdjax.calls.spec import parse
from gdjax.cli.errors import UserError, user_mistakes
from gdjax.cli.specs import catalogue_at
from gdjax.cli.target import Target, bounds_of, read_target, steepest_curvature
from gdjax.plots import animate, descent, landscape, save
from gdjax.search import METHODS, search
from gdjax.solve._minimize import Minimum, Point, minimize, observation, remark
from gdjax.stopping import CONDITIONS, any_of
from gdjax.types import Stop

BY_SLOPE = ("sgd", "momentum", "noisy_sgd", "optimistic_gradient_descent", "asgd", "schedule_free_sgd")
OTHERS_RATE = 0.1  # of optimizers whose steps do not grow with the slope
ROWS = 4000  # of a path that is only drawn
FIRST = 5  # points of failed runs that a picture makes room for, where no run has succeeded
FAILED = (Stop.DIVERGED, Stop.NON_FINITE)


@dataclasses.dataclass(frozen=True)
class Minimize:
    """Minimise a function by one or several optimizers; print a table, draw their paths.

    `gdjax minimize rosenbrock --optimizer adam --optimizer lbfgs --plot r.png`
    `gdjax minimize "(x-2)^2" --start 16.5 --optimizer "sgd(0.01)" --trace`
    """

    problem: tyro.conf.Positional[str]
    """A name such as rosenbrock or "bowl(100)", module:function or FILE.py:function of JAX, or an expression such as
    "x^2 + 10*y^2"."""
    optimizer: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A call such as "adam(0.1)", or a search such as nelder_mead or "fixed_step(0.01)"; may be given several times.
    lbfgs if not given. Without a rate, steps along the gradient get 1 / (largest curvature at the start), others 0.1."""
    start: Annotated[tuple[tuple[str, ...], ...], tyro.conf.UseAppendAction] = ()
    """The coordinates, "16.5", "-1.2 1" or "x=-1.2 y=1"; a problem has its own."""
    stop: str | None = None
    """A condition such as "gradient_norm(0.0001)" or "target(0.01)"; gradient_norm(1e-05) if not given. A search, which asks
    for no gradient, leaves out what it cannot know."""
    max_steps: int = 10_000
    """Longest run of each."""
    trace: bool = False
    """Print every step: t, the parameters, the value and the gradient."""
    plot: Path | None = None
    """A PNG: paths over the function of one or two variables, value against step for more."""
    animate: Path | None = None
    """A GIF of the paths over two variables."""
    seed: int = 0
    """Of searches that draw."""

    def run(self, argv: list[str]) -> int:
        jax.config.update("jax_enable_x64", True)
        with user_mistakes():
            if len(self.start) > 1:
                given = " ".join(f"--start {' '.join(words)}" for words in self.start)
                raise UserError(f"one start, please: --start is given {len(self.start)} times, {given}")
            target = read_target(self.problem, self.start[0] if self.start else ())
            self._check_pictures(target)
            methods = self._methods(target)
            stop = None if self.stop is None else _read_condition(self.stop)
            runs, refused = {}, {}
            for name, method in methods.items():
                try:
                    runs[name] = self._run(target, method, stop)
                except ValueError as error:
                    refused[name] = error
            if not runs:
                raise next(iter(refused.values()))
        for name, error in refused.items():
            print(f"{name} did not run: {error}", file=sys.stderr)
        for name, (found, _) in runs.items() if self.trace else ():
            print(f"{name}\n{_trace(target, found)}\n")
        print(_table(target, runs))
        with user_mistakes():
            self._draw(target, {name: found for name, (found, _) in runs.items()})
        return 1 if all(found.stop in FAILED for found, _ in runs.values()) else 0

    def _check_pictures(self, target: Target) -> None:
        if self.max_steps < 0:
            raise UserError(f"--max-steps must be at least 0, got {self.max_steps}")
        for option, path, suffix in (("--plot", self.plot, ".png"), ("--animate", self.animate, ".gif")):
            if path is not None and path.suffix.lower() != suffix:
                raise UserError(f"{option} must end in {suffix}, got {path}")
            if path is not None and not path.absolute().parent.is_dir():
                raise UserError(f"{option} {path}: no folder {path.absolute().parent}")
        if self.animate is not None and len(target.names) != 2:
            raise UserError(f"--animate is for two variables, {target.problem.name} has {len(target.names)}")

    def _methods(self, target: Target) -> dict[str, Any]:
        """What the specs stand for, named by what they became."""

        def rate(name: str) -> float:
            if name not in BY_SLOPE:
                return OTHERS_RATE
            steepest = steepest_curvature(target.problem)
            return float(f"{1 / steepest:.2g}") if steepest > 0 else OTHERS_RATE

        catalogue = {**catalogue_at(rate), **METHODS}
        methods = [parse(text, catalogue) for text in self.optimizer or ("lbfgs",)]
        for method, text in zip(methods, self.optimizer, strict=False):
            if not isinstance(method, Optimizer) and text.partition("(")[0] not in METHODS:
                raise UserError(f"--optimizer must be an optimizer or a search, got {text!r}")
        names = [_whole(method, text) for method, text in zip(methods, self.optimizer or ("lbfgs",), strict=True)]
        return dict(zip(names, methods, strict=True))

    def _run(self, target: Target, method: Any, stop: Condition | None) -> tuple[Minimum, float]:
        """The result, and the seconds of each step once compiled."""
        problem = target.problem
        options: dict[str, Any] = {"stop": stop, "max_steps": self.max_steps, "args": problem.args}
        options["record"] = True if self.trace else ROWS
        if isinstance(method, Optimizer):
            solve = lambda: minimize(problem.f, problem.start, method, **options)  # noqa: E731
        else:
            options["stop"] = None if stop is None else _without_gradient(stop)
            solve = lambda: search(problem.f, problem.start, method, key=self.seed, **options)  # noqa: E731
        found = solve()
        before = time.perf_counter()
        solve()
        return found, (time.perf_counter() - before) / max(int(found.steps), 1)

    def _draw(self, target: Target, found: dict[str, Minimum]) -> None:
        problem = target.problem
        if self.plot is not None and len(target.names) > 2:
            save(descent(found, problem.value, f"{problem.name}: the value, step by step"), self.plot)
        if len(target.names) > 2 or (self.plot is None and self.animate is None):
            return
        named = {f"{name}{_failure(result)}": result.path for name, result in found.items() if result.path is not None}
        paths = {name: np.asarray(path.params) for name, path in named.items()}
        good = [
            np.asarray(result.path.params) for result in found.values() if result.path and result.stop not in FAILED
        ]
        bounds = bounds_of(problem, good or [path[:FIRST] for path in paths.values()])
        if self.plot is not None:
            picture = landscape(
                problem, bounds, paths, problem.minima, f"{problem.name}: {_where(problem.start)}", target.names
            )
            print(f"\n{save(picture, self.plot)}")
        if self.animate is not None:
            steps = {name: path.step for name, path in named.items()}
            options = {"names": target.names, "minima": problem.minima, "steps": steps}
            print(f"\n{animate(problem, bounds, paths, self.animate, problem.name, **options)}")


def _read_condition(text: str) -> Condition:
    condition = parse(text, CONDITIONS)
    if not isinstance(condition, Condition):
        raise UserError(f"--stop must be a call of one of {', '.join(CONDITIONS)}, got {text!r}")
    return condition


def _without_gradient(condition: Condition) -> Condition | None:
    """The condition, or those of its parts, that a search can answer; None where there are none."""
    if condition.recipe.name == any_of.__name__:
        parts = [part for part in map(_without_gradient, condition.arguments["conditions"]) if part is not None]
        return any_of(*parts) if parts else None
    number = jax.numpy.zeros(())
    seen = observation(Point(number.astype(int), number, number, number), number)._replace(grad_norm=None)
    try:
        jax.eval_shape(lambda: condition.update(condition.init(), seen))
    except ValueError:
        return None
    return condition


def _whole(method: Any, text: str) -> str:
    """What the method is called in the table: with every argument that was typed, and the rate if it was not."""
    typed = text.partition("(")[2]
    return text.strip() if typed.strip(" )") and len(repr(method)) <= len(text.strip()) else repr(method)


def _failure(found: Minimum) -> str:
    return f" ({Stop(int(found.stop)).name})" if found.stop in FAILED else ""


def _where(start: Any) -> str:
    return f"from ({', '.join(f'{x:g}' for x in np.ravel(start))})"


def _table(target: Target, runs: dict[str, tuple[Minimum, float]]) -> str:
    """A line for each optimizer, then one for each remark."""
    width = max(len("optimizer"), *map(len, runs))
    lines = [
        f"{'optimizer':<{width}}  {'value':>12}  {'distance':>9}  {'|gradient|':>10}  {'steps':>8}  {'us/step':>8}  stop"
    ]
    for name, (found, seconds) in runs.items():
        distance = target.problem.distance(found.params)
        far = f"{distance:>9.2g}" if np.isfinite(distance) else f"{'':>9}"
        slope = f"{found.grad_norm:>10.2g}" if np.isfinite(found.grad_norm) else f"{'':>10}"
        end = f"{found.steps:>8}  {1e6 * seconds:>8.2f}  {Stop(int(found.stop)).name}"
        lines.append(f"{name:<{width}}  {found.value:>12.6g}  {far}  {slope}  {end}")
    remarks = {name: remark(found) for name, (found, _) in runs.items()}
    return "\n".join(lines + [f"{name}: {said}" for name, said in remarks.items() if said])


def _trace(target: Target, found: Minimum) -> str:
    """t, the parameters, the value and the gradient, a line for each step."""
    path, problem = found.path, target.problem
    assert path is not None
    slopes = jax.vmap(jax.grad(problem.f), in_axes=(0, *(None for _ in problem.args)))(path.params, *problem.args)
    points, slopes = (
        np.asarray(jax.vmap(lambda x: jax.flatten_util.ravel_pytree(x)[0])(x)) for x in (path.params, slopes)
    )
    head = ["t", *target.names, "f", *(f"df/d{name}" for name in target.names)]
    rows = [
        [f"{t}", *(f"{x:.8g}" for x in (*p, v, *g))]
        for t, p, v, g in zip(path.step, points, path.value, slopes, strict=True)
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)
    )
