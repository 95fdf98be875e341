"""How many evaluations does a search without gradients need, as the dimension grows?

    python -m experiments.without_gradients [--out pictures]

Lecture S1: genetic algorithms walk at random where a gradient would guide; swarms and ants, shown in 2-D, suffer from the
explosion of volume and from bad coverage in many dimensions. It gives no numbers. Here each searches for a value of 0.1:
on the bowl x_1² + ... + x_n² from (2.5, ..., 2.5), n = 2 to 40, and on Rosenbrock's valley from its usual start, up to
200,000 evaluations, mean of five seeds (64 for guessing). Guesses are even in [-3, 3]^n and should need box / ball of them.
Nelder-Mead counts two evaluations a step; L-BFGS counts gradients, each the price of about three evaluations.
Expected on the bowl: guessing 115, 1600, 26,000 at n = 2, 3, 4, then past hope (1.7e12 at n = 10); a swarm of 64 stands
still from n = 20 on; the genetic algorithm about 10,000, ants 8,500, CMA-ES 1,700, L-BFGS 3 at n = 40. So the explosion is
that of guessing, not of every population. Needs the extra `populations` (evosax). About 30 s, most of it compilation.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np

import gdjax as gd
from experiments.lab import Lab
from gdjax.plots.landscape import MARKERS, PATHS
from gdjax.plots.style import MUTED, NORMAL, SMALL, dress, figure, rule
from gdjax.search import ant_colony, cma_es, genetic, nelder_mead, particle_swarm, random_guessing
from gdjax.stopping import target

TARGET, BUDGET = 0.1, 200_000
QUICK = {"xla_backend_optimization_level": 0}  # the programs are many and their work is small
METHODS = {  # n -> (method, evaluations before the first step, in each step)
    "random guessing": lambda n: (random_guessing(-3.0, 3.0, guesses=10), 1, 10),
    "particle swarm": lambda n: (particle_swarm(64), 65, 64),
    "genetic": lambda n: (genetic(64), 65, 64),
    "ant colony": lambda n: (ant_colony(archive=50, ants=10), 50, 10),
    "Nelder-Mead": lambda n: (nelder_mead(xtol=0.0, ftol=0.0), n + 1, 2),
    "CMA-ES": lambda n: (cma_es(4 + int(3 * math.log(n))), 1, 4 + int(3 * math.log(n))),
}
DIMENSIONS = (2, 5, 10, 20, 40)
JOBS = [
    *(("bowl", "random guessing", n) for n in (2, 3, 4, 10)),
    *(("bowl", method, n) for method in (*list(METHODS)[1:], "L-BFGS") for n in DIMENSIONS),
    *(("Rosenbrock", "random guessing", n) for n in (2, 3)),
    *(("Rosenbrock", method, n) for method in ("particle swarm", "CMA-ES", "L-BFGS") for n in DIMENSIONS[:-1]),
]


def evaluations(job: tuple[str, str, int]) -> np.ndarray:
    """How many each seed took to the target; infinity where the budget did not do."""
    landscape, method, n = job
    problem = {"bowl": gd.problems.sum_of_squares, "Rosenbrock": gd.problems.rosenbrock}[landscape](n)
    if method == "L-BFGS":
        return gradients(problem)
    how, first, each = METHODS[method](n)
    seeds = {"random guessing": 64 if n < 10 else 5, "Nelder-Mead": 1}.get(method, 5)

    def run(key):
        return gd.search(problem.f, problem.start, how, stop=target(TARGET), max_steps=BUDGET // each, key=key)

    found = jax.jit(jax.vmap(run), compiler_options=QUICK)(jax.random.split(jax.random.key(n), seeds))
    return np.where(found.stop == gd.Stop.TARGET, first + each * np.asarray(found.steps), np.inf)


def gradients(problem) -> np.ndarray:
    calls = []

    def counted(params):
        jax.debug.callback(lambda: calls.append(1))
        return problem.f(params)

    run = jax.jit(lambda: gd.minimize(counted, problem.start, gd.lbfgs(), stop=target(TARGET)), compiler_options=QUICK)
    found = jax.block_until_ready(run())
    jax.effects_barrier()
    return np.array([len(calls) if found.stop == gd.Stop.TARGET else np.inf])


def guesses_expected(n: float) -> float:
    """The volume of the box over that of the ball where the value is below the target."""
    return 6**n * math.gamma(n / 2 + 1) / (math.pi * TARGET) ** (n / 2)


def power(means, landscape: str, method: str, low: int, high: int) -> float:
    """k where evaluations grow as n^k."""
    return math.log(means[landscape, method, high] / means[landscape, method, low]) / math.log(high / low)


def draw(means):
    picture = figure(4.6, "Guesses explode with the volume; those who learn from values do not")
    left, right = picture.subplots(1, 2, sharey=True)
    for axes, landscape in ((left, "bowl"), (right, "Rosenbrock")):
        for (method, colour), mark in zip(zip([*METHODS, "L-BFGS"], PATHS, strict=True), MARKERS, strict=True):
            points = [(n, m) for (where, name, n), m in means.items() if (where, name) == (landscape, method)]
            reached = [(n, m) for n, m in points if m < np.inf]
            if reached:
                axes.plot(*zip(*reached, strict=True), marker=mark, color=colour, label=method)
            for n in (n for n, m in points if m == np.inf):
                axes.plot(n, BUDGET * 1.15, mark, color="none", markeredgecolor=colour, markersize=8)
        axes.axhline(BUDGET, color=MUTED, linewidth=0.8)
        axes.text(2, BUDGET * 1.6, "open marks: not within 200,000", fontsize=SMALL, color=MUTED)
        axes.set(xscale="log", yscale="log", ylim=(1.5, 1e6))
        axes.set_xticks(DIMENSIONS, DIMENSIONS)
        axes.minorticks_off()
        axes.set_title(f"{landscape} in n dimensions", fontsize=NORMAL)
        axes.set_xlabel("n", fontsize=NORMAL)
        dress(axes)
        rule(axes)
    line = np.linspace(2, 5, 50)
    left.plot(line, [guesses_expected(n) for n in line], ":", color=MUTED, label="box / ball")
    left.set_ylabel(f"evaluations until the value is {TARGET}", fontsize=NORMAL)
    picture.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=SMALL)
    return picture


def main() -> None:
    with Lab(__doc__) as lab:
        with ThreadPoolExecutor(2) as pool:
            means = {job: float(np.mean(count)) for job, count in zip(JOBS, pool.map(evaluations, JOBS), strict=True)}
        sizes = (2, 3, 4, *DIMENSIONS[1:])
        rows = {job[:2]: [means.get((*job[:2], n), "") for n in sizes] for job in JOBS}
        shown = [[("not reached" if m == np.inf else f"{m:,.0f}") if m else "" for m in row] for row in rows.values()]
        lab.table(
            ("landscape", "search", *map(str, sizes)), [(*key, *row) for key, row in zip(rows, shown, strict=True)]
        )
        guessed = [means["bowl", "random guessing", n] for n in (2, 3, 4)]
        expected = [guesses_expected(n) for n in (2, 3, 4)]
        lab.claim("guessing takes box / ball evaluations, within 40 %", np.allclose(guessed, expected, rtol=0.4))
        lab.claim(
            "each dimension more costs it at least 10 times as much", min(np.divide(guessed[1:], guessed[:-1])) > 10
        )
        at_10 = {name for (where, name, n), m in means.items() if (where, n) == ("bowl", 10) and m == np.inf}
        lab.claim("at n = 10 it fails, and only it", at_10 == {"random guessing"})
        lab.claim(
            "the swarm of 64 fails from n = 20 on", all(means["bowl", "particle swarm", n] == np.inf for n in (20, 40))
        )
        bowl, valley = power(means, "bowl", "CMA-ES", 5, 40), power(means, "Rosenbrock", "CMA-ES", 5, 20)
        print(f"  CMA-ES grows as n^{bowl:.2f} on the bowl, n^{valley:.2f} on Rosenbrock")
        lab.claim("CMA-ES grows at most as n^1.5 on the bowl and n^2.5 on Rosenbrock", bowl < 1.5 and valley < 2.5)
        lab.claim(
            "L-BFGS takes as many on the bowl in 2 as in 40", len({means["bowl", "L-BFGS", n] for n in DIMENSIONS}) == 1
        )
        ahead = [means["Rosenbrock", "CMA-ES", n] / means["Rosenbrock", "L-BFGS", n] for n in DIMENSIONS[:-1]]
        lab.claim(f"L-BFGS's lead over CMA-ES on Rosenbrock grows from {ahead[0]:.0f} to over 50 times", ahead[-1] > 50)
        lab.save(draw(means), "without_gradients.png")


if __name__ == "__main__":
    main()
