"""What does a minimization cost, beside a Python loop, SciPy and Optimistix? `python -m experiments.bench.minimize_cost`.

Two questions, on Rosenbrock's function and on the sum of 500 of it, with 2 and 1,000 parameters, in double precision:

    steps a second   plain descent at a fixed rate for a fixed number of steps: ours, and a Python loop over a jitted step
                     of Optax, both compiled before
    to a solution    from the start to a gradient of at most 1e-6: ours (L-BFGS, BFGS, nonlinear CG, Nelder-Mead), SciPy's
                     with jitted value and gradient, and Optimistix's, whose tolerances (on steps and values) are set to
                     reach the same gradient; first call, with compilation, and second call

Without Optimistix its rows are omitted. Ratios are ours / theirs of the second call, medians of interleaved rounds with
quartiles. Expected: at least 100 times as fast as the Python loop for two parameters, no slower than Optimistix, and L-BFGS
no slower than SciPy's. About 3 minutes on 2 cores.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.optimize

import gdjax as gd
from gdjax.problems import Problem
from gdjax.search import nelder_mead
from gdjax.stopping import gradient_norm, never

from .recording import arguments, write
from .timing import interleave, ratio

TOLERANCE, RATE, LOOP_STEPS, OUR_STEPS = 1e-6, 1e-4, 300, 100_000
PEERS = {"L-BFGS": "L-BFGS-B", "BFGS": "BFGS", "CG": "CG", "Nelder-Mead": "Nelder-Mead"}


def valleys(x):
    """Rosenbrock's function of each pair of parameters, summed."""
    return jnp.sum(100 * (x[1::2] - x[::2] ** 2) ** 2 + (1 - x[::2]) ** 2)


def steps_a_second(problem: Problem, repeats: int) -> dict[str, Any]:
    """Descent at a fixed rate: ours compiled as a whole, Optax's stepped from Python."""
    optimizer = optax.sgd(RATE)

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(jax.grad(problem.f)(params), state)
        return optax.apply_updates(params, updates), state

    def loop():
        params = jnp.asarray(problem.start)
        state = optimizer.init(params)
        for _ in range(LOOP_STEPS):
            params, state = step(params, state)
        return params

    def ours():
        return gd.minimize(problem.f, problem.start, gd.sgd(RATE), stop=never(), max_steps=OUR_STEPS).params

    seconds = interleave({"gdjax": ours, "Python loop": loop}, repeats)
    each = {"gdjax": seconds["gdjax"] / OUR_STEPS, "Python loop": seconds["Python loop"] / LOOP_STEPS}
    return {
        "us a step": {who: 1e6 * float(np.median(t)) for who, t in each.items()},
        "faster": ratio(each["Python loop"], each["gdjax"]),
    }


def ours(problem: Problem, method: Any) -> Callable[[], Any]:
    if isinstance(method, gd.Optimizer):
        return lambda: gd.minimize(problem.f, problem.start, method, stop=gradient_norm(TOLERANCE), max_steps=50_000)
    return lambda: gd.minimize(problem.f, problem.start, method, max_steps=50_000)


def scipys(problem: Problem, method: str) -> Callable[[], Any]:
    value_and_grad, value = jax.jit(jax.value_and_grad(problem.f)), jax.jit(problem.f)

    def with_gradient(x):
        v, g = value_and_grad(x)
        return float(v), np.asarray(g)

    options = {"maxiter": 100_000, "maxfun": 10**7, "gtol": TOLERANCE, "ftol": 0.0}
    wanted = {"L-BFGS-B": ("maxiter", "maxfun", "gtol", "ftol")}.get(method, ("maxiter", "gtol"))
    if method == "Nelder-Mead":
        options = {"xatol": 1e-6, "fatol": 1e-6}
        return lambda: scipy.optimize.minimize(lambda x: float(value(x)), problem.start, method=method, options=options)
    options = {name: options[name] for name in wanted}
    return lambda: scipy.optimize.minimize(with_gradient, problem.start, jac=True, method=method, options=options)


def optimistixs(problem: Problem, name: str, tolerance: float) -> Callable[[], Any]:
    import optimistix

    solver = {"BFGS": optimistix.BFGS, "CG": optimistix.NonlinearCG}[name](rtol=tolerance, atol=tolerance)
    function = lambda y, args: problem.f(y)  # noqa: E731
    start = jnp.asarray(problem.start)
    return lambda: optimistix.minimise(function, solver, start, max_steps=2_000, throw=False).value


def end_point(problem: Problem, answer: Any) -> tuple[np.ndarray, float]:
    """Where an answer is, and the norm of the gradient there."""
    params = getattr(answer, "params", getattr(answer, "x", answer))
    return np.asarray(params), float(jnp.linalg.norm(jax.grad(problem.f)(jnp.asarray(params))))


def as_far(problem: Problem, name: str) -> Callable[[], Any]:
    """Optimistix at the loosest tolerance that brings it to our gradient, or at its tightest."""
    for tolerance in 10.0 ** -np.arange(4.0, 14.0):
        solve = optimistixs(problem, name, tolerance)
        if end_point(problem, solve())[1] <= TOLERANCE:
            break
    return solve


def solutions(problem: Problem, repeats: int) -> dict[str, Any]:
    """First and second calls of every method and maker."""
    small = problem.start.size <= 10
    methods = {
        "L-BFGS": gd.lbfgs(),
        "BFGS": gd.bfgs(),
        "CG": gd.nonlinear_cg(),
        **({"Nelder-Mead": nelder_mead()} if small else {}),
    }
    has_optimistix = importlib.util.find_spec("optimistix") is not None
    makers: dict[tuple[str, str], Callable[[], Callable[[], Any]]] = {}
    for name, method in methods.items():
        makers[name, "gdjax"] = lambda method=method: ours(problem, method)
        if small or name != "BFGS":  # SciPy multiplies whole matrices at each step: half a minute
            makers[name, "SciPy"] = lambda name=name: scipys(problem, PEERS[name])
        if has_optimistix and name in ("BFGS", "CG"):
            makers[name, "Optimistix"] = lambda name=name: as_far(problem, name)
    figures: dict[str, Any] = {}
    for name in methods:
        candidates = {who: make() for (each, who), make in makers.items() if each == name}
        first = {}
        for who, call in candidates.items():
            jax.clear_caches()
            gd.clear_programs()
            before = time.perf_counter()
            jax.block_until_ready(getattr(call(), "params", 0))
            first[who] = time.perf_counter() - before
        rounds = repeats if small else min(repeats, 5)  # seconds each
        calls = {who: lambda call=call: params_of(call()) for who, call in candidates.items()}
        seconds = interleave(calls, rounds)
        for who, call in candidates.items():
            figures[f"{name}, {who}"] = {
                "first s": first[who],
                "second ms": 1e3 * float(np.median(seconds[who])),
                "|gradient|": end_point(problem, call())[1],
                "ours / theirs": ratio(seconds["gdjax"], seconds[who]),
            }
    return figures


def params_of(answer: Any) -> Any:
    return getattr(answer, "params", getattr(answer, "x", answer))


def main() -> None:
    options = arguments(__doc__, repeats=15).parse_args()
    found: dict[str, Any] = {}
    with jax.enable_x64(True):
        for n in (2, 1000):
            problem = Problem("rosenbrock", valleys, np.tile([-1.2, 1.0], n // 2))
            loop = found[f"{n} parameters, steps"] = steps_a_second(problem, options.repeats)
            faster, low, high = loop["faster"]
            print(
                f"\n{n} parameters\n  us a step: "
                + ", ".join(f"{who} {us:.3g}" for who, us in loop["us a step"].items())
            )
            print(f"  the Python loop takes {faster:.0f} times as long ({low:.0f} to {high:.0f})\n")
            print(f"  {'':<24}{'first s':>9}{'second ms':>11}{'|gradient|':>12}   ours / theirs")
            solved = found[f"{n} parameters, solutions"] = solutions(problem, options.repeats)
            for name, row in solved.items():
                median, low, high = row["ours / theirs"]
                shown = "" if name.endswith("gdjax") else f"{median:.2f} ({low:.2f} to {high:.2f})"
                print(
                    f"  {name:<24}{row['first s']:>9.2f}{row['second ms']:>11.3f}{row['|gradient|']:>12.1e}   {shown}"
                )
    write(options.json, found)


if __name__ == "__main__":
    main()
