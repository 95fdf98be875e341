"""Where does descent go for ever smaller steps, and does the gradient point to the minimum?

    python -m experiments.gradient_flow [--out pictures]

The lecture calls the negative gradient the direction of locally steepest decrease, and notes that it does not point to a
minimum, local or global. The limit of infinitesimal steps is gradient flow, dp/dt = -∇f(p), integrated here to a relative
1e-10. Descent at rate r is Euler's method for it, so that its distance from the flow at the same time t, after t / r steps,
must halve with the rate: order 1.

Expected: on Himmelblau's function and in Rosenbrock's valley the order is within 0.02 of 1 for the smallest steps. Along
the flow f decreases by the integral of |∇f|², to 1e-5. Of 3600 directions around a point none decreases f faster than the
negative gradient, within 0.1 degree. The angle between it and the nearest minimum of Himmelblau's function is 28 degrees on
average over 500 points, and 0 for a round bowl. About 12 s.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax.plots import contour, field
from gdjax.stopping import never

from .lab import Lab

HIMMELBLAU, ROUND = gd.problems.himmelblau(), gd.problems.sum_of_squares()
CASES = [(HIMMELBLAU, 0.2, 0.02), (gd.problems.rosenbrock(), 1.28, 0.001)]  # (problem, time, longest step)
ROWS = 10  # times at which flow and descent are compared, besides the first


def flow(problem: gd.problems.Problem, times):
    return np.asarray(gd.gradient_flow(problem.f, problem.start, times, rtol=1e-10))


def walk(problem: gd.problems.Problem, time: float, rate: float, rows: int | bool = ROWS + 1):
    """The points of descent at the times of the flow."""
    steps, optimizer = round(time / rate), gd.sgd(rate)
    return gd.minimize(problem.f, problem.start, optimizer, stop=never(), max_steps=steps, record=rows).path.params


def distances(problem: gd.problems.Problem, time: float, longest: float):
    """(rates, largest distance of descent from the flow at the same time)."""
    rates, there = longest / 2.0 ** np.arange(7), flow(problem, np.linspace(0, time, ROWS + 1))
    return rates, np.array([np.linalg.norm(walk(problem, time, r) - there, axis=1).max() for r in rates])


def fall_by_integral(problem: gd.problems.Problem, time: float) -> float:
    """The integral of |∇f|² along the flow, divided by the decrease of f, which should be 1."""
    times = time * np.linspace(0, 1, 10_001) ** 3  # most of them at the beginning, where it is steep
    path = flow(problem, times)
    slopes = jax.vmap(jax.grad(problem.f))(path)
    integral = np.trapezoid(np.sum(slopes**2, axis=1), times)
    return float(integral / (problem(path[0]) - problem(path[-1])))


def degrees(a, b):
    cosine = jnp.sum(a * b, -1) / (jnp.linalg.norm(a, axis=-1) * jnp.linalg.norm(b, axis=-1))
    return jnp.degrees(jnp.arccos(jnp.clip(cosine, -1, 1)))


def steepest(problem: gd.problems.Problem, point):
    """Degrees between the negative gradient and the direction, of 3600, in which f decreases most within 1e-6."""
    angles = jnp.linspace(0, 2 * math.pi, 3600, endpoint=False)
    around = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=-1)
    best = around[jnp.argmin(jax.vmap(problem.f)(point + 1e-6 * around))]
    return degrees(-jax.grad(problem.f)(point), best)


def off_minimum(problem: gd.problems.Problem, point):
    """Degrees between the negative gradient and the direction of the nearest minimum."""
    ways = jnp.stack(problem.minima) - point
    return degrees(-jax.grad(problem.f)(point), ways[jnp.argmin(jnp.linalg.norm(ways, axis=-1))])


def orders(lab: Lab) -> None:
    for problem, time, longest in CASES:
        rates, far = distances(problem, time, longest)
        order = np.log2(far[:-1] / far[1:])
        lab.table(
            (problem.name, "steps", "farthest", "order"),
            zip(rates, np.round(time / rates), far, [None, *order], strict=True),
        )
        lab.claim(f"{problem.name}: the distance falls like the rate, order {order[-1]:.3f}", abs(order[-1] - 1) < 0.02)
        gap = fall_by_integral(problem, time) - 1
        lab.claim(f"{problem.name}: f falls by the integral of |∇f|², to {abs(gap):.1e}", abs(gap) < 1e-5)


def directions(lab: Lab) -> None:
    points = jnp.asarray(np.random.default_rng(0).uniform(-4, 4, (500, 2)))
    for problem, low, high in ((HIMMELBLAU, 25, 35), (ROUND, -1, 1e-4)):
        worst = float(jax.vmap(lambda p, problem=problem: steepest(problem, p))(points).max())
        off = float(jax.vmap(lambda p, problem=problem: off_minimum(problem, p))(points).mean())
        lab.claim(f"{problem.name}: no direction falls faster than -∇f, within {worst:.2f} degrees", worst < 0.1)
        lab.claim(f"{problem.name}: -∇f is {off:.3g} degrees off the nearest minimum on average", low < off < high)


def main() -> None:
    with Lab(__doc__) as lab:
        orders(lab)
        directions(lab)
        paths = {"gradient flow": flow(HIMMELBLAU, np.linspace(0, 0.2, 201))}
        paths |= {f"descent at rate {rate:g}": walk(HIMMELBLAU, 0.2, rate, True) for rate in (0.02, 0.01, 0.005)}
        title = "The shorter the steps, the nearer descent comes to gradient flow"
        corner = (-0.3, 4), (-0.3, 3.2)
        lab.save(contour(HIMMELBLAU, corner, paths, HIMMELBLAU.minima[:1], title), "gradient_flow.png")
        title = "Himmelblau's function: the gradient points up, its negative down"
        lab.save(field(HIMMELBLAU, HIMMELBLAU.bounds, title), "gradient_field.png")


if __name__ == "__main__":
    main()
