"""`gdjax minimize`: one function, minimized by several optimizers."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro

from gdjax.calls import Condition, Optimizer
from gdjax.cli.errors import UserError, option_mistakes
from gdjax.cli.files import check_picture
from gdjax.cli.objects import is_place, load_object, own_mistakes
from gdjax.problems.reading import Target, of_function, read_problem, read_window
from gdjax.search import METHODS
from gdjax.solve import Minimum, minimize
from gdjax.solve.by_text import read_condition, read_methods, without_gradient
from gdjax.solve.known_minima import with_known_minima
from gdjax.solve.table import compare, failure, has_failed, step_by_step

ROWS = 4000  # rows of a path that is only drawn
NAMES = {"start", "optimizer", "stop", "window"}


@dataclasses.dataclass(frozen=True)
class Minimize:
    """Minimize a function by one or several optimizers; print a table, draw their paths.

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
    """A PNG, SVG or PDF: paths over the function of one or two variables, value against step for more."""
    animate: Path | None = None
    """A GIF of the paths over one or two variables."""
    window: tuple[float, ...] = ()
    """Low and high of each variable, "-3 3 -1 2", that pictures show; what the paths need if not given."""
    seed: int = 0
    """Of searches that draw."""

    def run(self, argv: list[str]) -> int:
        jax.config.update("jax_enable_x64", True)
        with option_mistakes(NAMES):
            target = self._target()
            problem, names = target.problem, target.names
            self._check(target)
            methods = read_methods(self.optimizer or ("lbfgs",), problem, METHODS)
            stop = None if self.stop is None else read_condition(self.stop)
            runs, refused = {}, {}
            for name, method in methods.items():
                try:
                    with own_mistakes(self.problem, problem.f) if is_place(self.problem) else contextlib.nullcontext():
                        runs[name] = self._run(target, method, stop)
                except ValueError as error:
                    refused[name] = error
            if not runs:
                raise next(iter(refused.values()))
        print("".join(f"{name} did not run: {error}\n" for name, error in refused.items()), end="", file=sys.stderr)
        for name, (found, _) in runs.items() if self.trace else ():
            print(f"{name}\n{step_by_step(problem.f, problem.args, names, found)}\n")
        problem = with_known_minima(problem, [found.params for found, _ in runs.values()])
        print(compare(problem, names, runs))
        if self.plot is not None or self.animate is not None:
            from gdjax.plots.paths import draw_paths

            with option_mistakes(NAMES):
                drawn = {f"{name}{failure(found)}": found for name, (found, _) in runs.items()}
                for path in draw_paths(problem, names, drawn, self.plot, self.animate, read_window(self.window, names)):
                    print(f"\n{path}")
        return 1 if all(has_failed(found) for found, _ in runs.values()) else 0

    def _target(self) -> Target:
        if len(self.start) > 1:
            given = " ".join(f"--start {' '.join(words)}" for words in self.start)
            raise UserError(f"one start, please: --start is given {len(self.start)} times, {given}")
        start = self.start[0] if self.start else ()
        own = is_place(self.problem)
        return of_function(self.problem, load_object(self.problem), start) if own else read_problem(self.problem, start)

    def _check(self, target: Target) -> None:
        if self.max_steps < 0:
            raise UserError(f"--max-steps must be at least 0, got {self.max_steps}")
        check_picture("--plot", self.plot, (".png", ".svg", ".pdf"))
        check_picture("--animate", self.animate, (".gif",))
        if self.animate is not None and len(target.names) > 2:
            raise UserError(f"--animate is for one or two variables, {target.problem.name} has {len(target.names)}")
        read_window(self.window, target.names)

    def _run(self, target: Target, method: Any, stop: Condition | None) -> tuple[Minimum, float]:
        """The result, and the seconds per step without compilation."""
        problem = target.problem
        options: dict[str, Any] = {"stop": stop, "max_steps": self.max_steps, "record": True if self.trace else ROWS}
        if not isinstance(method, Optimizer):
            options |= {"key": self.seed, "stop": None if stop is None else without_gradient(stop)}
        solve = lambda: minimize(problem.f, problem.start, method, args=problem.args, **options)  # noqa: E731
        found = solve()
        before = time.perf_counter()
        solve()
        return found, (time.perf_counter() - before) / max(int(found.steps), 1)
