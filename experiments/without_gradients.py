"""How many evaluations does a search without gradients need, as the dimension grows?

    python -m experiments.without_gradients [--out lab]

Lecture S1: genetic algorithms walk at random where a gradient would guide; swarms and ants, shown in 2-D, suffer from the
explosion of volume and from poor coverage in many dimensions. It gives no numbers. Here each method searches for a value of
0.1, on the bowl x_1² + ... + x_n² from (2.5, ..., 2.5), n = 2 to 40, and on Rosenbrock's valley from 0, within 200,000
evaluations; the figures are medians of five seeds. Guesses are uniform in [-3, 3]^n, so that their mean, here of 64 seeds,
should be box / ball. Nelder-Mead counts two evaluations per step, as if they were sequential; L-BFGS counts values with
gradients, each at the cost of about three values.

Expected on the bowl: guessing takes 103, 1500, 33,000 at n = 2, 3, 4, and then too many (2.4e12 at n = 10); a swarm of 64
stagnates at n = 20; at n = 40 the genetic algorithm takes 10,200, ants 9,000, Nelder-Mead 5,900, CMA-ES 1,800, L-BFGS 5. So
the explosion of volume concerns guessing, and poor coverage the swarm; methods that use values need a power of n, those
with gradients hardly more as n grows. Needs the extra `populations` (evosax). About 50 s, most of it compilation.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np

import gdjax as gd
from gdjax.plots._landscape import MARKERS, PATHS
from gdjax.plots.style import MUTED, NORMAL, SMALL, dress, figure, rule
from gdjax.search import ant_colony, cma_es, genetic, nelder_mead, particle_swarm, random_guessing
from gdjax.stopping import target

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    target: float = 0.1
    """The value that is searched for."""


BUDGET = 200_000
QUICK = {"xla_backend_optimization_level": 0}  # the programs are many and their work is small
METHODS = {  # n -> (method, evaluations before the first step, in each step)
    "random guessing": lambda n: (random_guessing(-3.0, 3.0, guesses=10 ** (n // 2)), 1, 10 ** (n // 2)),
    "particle swarm": lambda n: (particle_swarm(64), 65, 64),
    "genetic": lambda n: (genetic(64), 65, 64),
    "ant colony": lambda n: (ant_colony(archive=50, ants=10), 50, 10),
    "Nelder-Mead": lambda n: (nelder_mead(xtol=0.0, ftol=0.0), n + 1, 2),
    "CMA-ES": lambda n: (cma_es(4 + int(3 * math.log(n))), 1, 4 + int(3 * math.log(n))),
}
DIMENSIONS = (2, 5, 10, 20, 40)
JOBS = [
    *(("bowl", "random guessing", n) for n in (2, 3, 4, 10)),
    *(("bowl", "particle swarm", n) for n in DIMENSIONS[:-1]),
    *(("bowl", "CMA-ES", n) for n in DIMENSIONS),
    *(("bowl", method, n) for method in ("genetic", "ant colony", "Nelder-Mead", "L-BFGS") for n in DIMENSIONS[::2]),
    *(("Rosenbrock", "random guessing", n) for n in DIMENSIONS[:2]),
    *(("Rosenbrock", method, n) for method in ("CMA-ES", "L-BFGS") for n in DIMENSIONS[:-1]),
]


def evaluations(job: tuple[str, str, int], aim: float) -> float:
    """The number of evaluations to the target, median over the seeds; infinite if the budget is not enough."""
    landscape, method, n = job
    make, coordinate = {"bowl": (gd.problems.sum_of_squares, 2.5), "Rosenbrock": (gd.problems.rosenbrock, 0.0)}[
        landscape
    ]
    f, start = make(n).f, np.full(n, coordinate)
    if method == "L-BFGS":
        return gradients(f, start, aim)
    how, first, each = METHODS[method](n)
    seeds = {"random guessing": 64 if n < 5 else 5, "Nelder-Mead": 1}.get(method, 5)

    def run(key):
        return gd.minimize(f, start, how, stop=target(aim), max_steps=BUDGET // each, key=key)

    found = jax.jit(jax.vmap(run), compiler_options=QUICK)(jax.random.split(jax.random.key(n), seeds))
    taken = np.where(found.stop == gd.Stop.TARGET, first + each * np.asarray(found.steps), np.inf)
    return float((np.mean if method == "random guessing" else np.median)(taken))


def gradients(f, start, aim: float) -> float:
    calls = []

    def count(params):
        jax.debug.callback(lambda: calls.append(1))
        return f(params)

    run = jax.jit(lambda: gd.minimize(count, start, gd.lbfgs(), stop=target(aim)), compiler_options=QUICK)
    found = jax.block_until_ready(run())
    jax.effects_barrier()
    return float(len(calls) if found.stop == gd.Stop.TARGET else np.inf)


def expected_guesses(n: float, aim: float) -> float:
    """The volume of the box over that of the ball where the value is below the target."""
    return 6**n * math.gamma(n / 2 + 1) / (math.pi * aim) ** (n / 2)


def power(counts, growth: float) -> float:
    """k where counts grow as n^k while n grows so many times."""
    return math.log(counts[-1] / counts[0]) / math.log(growth)


def draw(counts, aim: float):
    picture = figure(4.6, "Guessing explodes with the volume, learning from values does not")
    left, right = picture.subplots(1, 2, sharey=True)
    for axes, landscape in ((left, "bowl"), (right, "Rosenbrock")):
        for (method, color), mark in zip(zip([*METHODS, "L-BFGS"], PATHS, strict=True), MARKERS, strict=True):
            points = [(n, m) for (where, name, n), m in counts.items() if (where, name) == (landscape, method)]
            reached = [(n, m) for n, m in points if m < np.inf]
            if reached:
                axes.plot(*zip(*reached, strict=True), marker=mark, color=color, label=method)
            for n in (n for n, m in points if m == np.inf):
                axes.plot(n, BUDGET * 1.15, mark, color="none", markeredgecolor=color, markersize=8)
        axes.axhline(BUDGET, color=MUTED, linewidth=0.8)
        axes.text(2, BUDGET * 2.2, "open marks: not within 200,000", fontsize=SMALL, color=MUTED)
        axes.set(xscale="log", yscale="log", ylim=(1.5, 2e6))
        axes.set_xticks(DIMENSIONS, DIMENSIONS)
        axes.minorticks_off()
        axes.set_title(f"{landscape} in n dimensions", fontsize=NORMAL)
        axes.set_xlabel("n", fontsize=NORMAL)
        dress(axes)
        rule(axes)
    line = np.linspace(2, 4.7, 50)
    left.plot(line, [expected_guesses(n, aim) for n in line], ":", color=MUTED, label="box / ball")
    left.set_ylabel(f"evaluations until the value is {aim:g}", fontsize=NORMAL)
    picture.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=SMALL)
    return picture


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        aim = lab.numbers.target
        with ThreadPoolExecutor(2) as pool:
            counts = dict(zip(JOBS, pool.map(functools.partial(evaluations, aim=aim), JOBS), strict=True))
        sizes = (2, 3, 4, *DIMENSIONS[1:])
        words = {job: "not reached" if m == np.inf else f"{m:,.0f}" for job, m in counts.items()}
        rows = [(*pair, *(words.get((*pair, n), "") for n in sizes)) for pair in dict.fromkeys(job[:2] for job in JOBS)]
        lab.table(("landscape", "search", *(f"n = {n}" for n in sizes)), rows)
        check(lab, counts)
        lab.save(
            draw(counts, aim),
            "without_gradients.png",
            "The evaluations to a value of 0.1, by the dimension: guesses leave the picture, L-BFGS hardly rises.",
        )


def check(lab: Lab[Numbers], counts: dict) -> None:
    on_bowl = lambda name, *sizes: np.array([counts["bowl", name, n] for n in sizes])  # noqa: E731
    valley = [[counts["Rosenbrock", name, n] for n in DIMENSIONS[:-1]] for name in ("CMA-ES", "L-BFGS")]
    guessed, expected = (
        on_bowl("random guessing", 2, 3, 4),
        [expected_guesses(n, lab.numbers.target) for n in (2, 3, 4)],
    )
    lab.claim(
        "guessing takes box / ball guesses, within 50 % (4 standard errors)", np.allclose(guessed, expected, rtol=0.5)
    )
    lab.claim("one dimension more costs it at least 10 times as much", np.all(guessed[1:] > 10 * guessed[:-1]))
    at_10 = {name for (where, name, n), m in counts.items() if (where, n) == ("bowl", 10) and m == np.inf}
    lab.claim("on the bowl at n = 10 guessing alone fails", at_10 == {"random guessing"})
    lab.claim("a swarm of 64 fails at n = 20", counts["bowl", "particle swarm", 20] == np.inf)
    powers = power(on_bowl("CMA-ES", 5, 40), 8), power(valley[0][1:], 4)
    lab.say(f"  CMA-ES grows as n^{powers[0]:.2f} on the bowl, as n^{powers[1]:.2f} on Rosenbrock")
    lab.claim("CMA-ES grows at most as n^1.5 on the bowl, n^2.5 on Rosenbrock", powers[0] < 1.5 and powers[1] < 2.5)
    lab.claim("L-BFGS takes at most 6 on the bowl, at n = 40 too", np.all(on_bowl("L-BFGS", *DIMENSIONS[::2]) <= 6))
    lead = np.divide(*valley)
    lab.say(f"  on Rosenbrock L-BFGS takes fewer than CMA-ES by {lead.round()}")
    words = "genetic algorithms walk at random; the gradient tells better where to go"
    at_random, guided, ants = (on_bowl(name, 40)[0] for name in ("genetic", "L-BFGS", "ant colony"))
    ours = f"at n = 40 the genetic algorithm takes {at_random:,.0f}, L-BFGS {guided:.0f}"
    lab.statement("Lecture S1", words, ours=ours, verdict="right", holds=at_random > 10 * guided)
    words = "swarms and ants, shown in 2-D, suffer from the explosion of volume and poor coverage"
    ours, stuck = f"the swarm stagnates at n = 20, ants take {ants:,.0f} at 40; the explosion is guessing's", np.inf
    judged = [value == stuck for value in (counts["bowl", "particle swarm", 20], ants)]
    lab.statement("Lecture S1", words, ours=ours, verdict="imprecise", holds=all(judged), partly=judged[0])
    lab.claim("that lead grows at least fivefold from n = 2 to 20", lead[-1] >= 5 * lead[0])


if __name__ == "__main__":
    main()
