"""Can a network be trained without its gradient, by a genetic, a swarm or an ant search that validation rows guide?

    python -m experiments.networks_without_gradients [--out lab] [--full]

Lecture S1, on ways to train networks other than by the gradient: genetic algorithms walk at random in the space of the
parameters, and a validation set selects which suggestions are kept; the gradient tells better where to go. Swarms and
ants suffer in many dimensions from the explosion of volume. No numbers are given. Here each search minimizes the loss
on the validation rows, and Adam that on as many training rows; a value counts as one evaluation, a gradient as three.
One network is small, 139 parameters for the three wines, one larger, 610 parameters for the ten digits. Of each run
the point that is best on the validation rows is kept. Figures are means of three seeds.

Expected: on the wines the searches work: with 3200 evaluations the genetic one and the swarm get the loss that guides
them below 0.05, and classify 93 and 90 % of the test rows, descent 93 %. But descent is there with a tenth of the
evaluations. On the digits 6400 evaluations take the genetic search to 0.6 and 72 % of the test rows, the swarm and the
ants to 1.5 and 1.8 and 42 and 40 %, descent to 0.0002 and 87 %. And rows that guide a search are used up as a measure:
on the wines the loss of the test rows is over ten times as high. With `--full` (ants on the wines too, ten times the
evaluations on the digits, five seeds) see what time helps. About 28 s, most of it
compilation. Needs the extra `populations` (evosax).
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax import losses, metrics, models
from gdjax.plots._landscape import MARKERS, PATHS
from gdjax.plots.style import INK, NORMAL, SMALL, dress, figure, rule
from gdjax.search import ant_colony, genetic, particle_swarm
from gdjax.stopping import never

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    seeds: int = 3
    """Runs of each search, over which the figures are means."""
    times: float = 1.0
    """How many times as many evaluations each may take."""


METHODS = {  # name: (method, evaluations before the first step, in each step)
    "genetic": (genetic(64, sigma=0.3, decay=0.98), 65, 64),
    "swarm": (particle_swarm(64, inertia=0.9, cognitive=0.5, social=0.5), 65, 64),
    "ants": (ant_colony(sigma=0.5, archive=50, ants=10), 50, 10),
    "descent": (gd.adam(0.03), 3, 3),
}
LOOKS = dict(zip(METHODS, zip(PATHS, MARKERS, strict=False), strict=False))
ROWS = 40  # of a path


class Problem(NamedTuple):
    data: str
    fractions: tuple[float, float, float]  # of the rows, for training, validation, test
    sizes: tuple[int, ...]
    evaluations: int
    methods: tuple[str, ...]
    compiling: dict[str, int]


class Found(NamedTuple):
    evaluations: np.ndarray  # (ROWS,)
    guide: np.ndarray  # (seeds, ROWS), the loss on the rows that guide
    chosen: np.ndarray  # (seeds,), the lowest on the validation rows; the point where it is reached is kept
    test: np.ndarray  # (seeds,), the loss there on the test rows
    right: np.ndarray  # (seeds,), the share of them that are classified right


QUICK, SOUND = (
    {"xla_backend_optimization_level": 0},
    {"xla_backend_optimization_level": 1},
)  # on few rows compiling is most
PROBLEMS = {
    "wine, 139 parameters": Problem("wine", (0.3, 0.3, 0.4), (13, 8, 3), 3200, ("genetic", "swarm", "descent"), QUICK),
    "digits, 610 parameters": Problem("digits", (0.15, 0.15, 0.7), (64, 8, 10), 6400, tuple(METHODS), SOUND),
}


def rows_of(problem: Problem):
    """Training, validation and test rows in float32, scaled by the training rows."""
    data = gd.data.load(problem.data)
    parts = gd.data.split((data.x, data.y), problem.fractions, jax.random.key(0), stratify=data.y)
    scaling = gd.data.fit_scaling(parts[0][0])
    return [(jnp.asarray(gd.data.standardize(scaling, x), jnp.float32), jnp.asarray(y)) for x, y in parts]


def race(problem: Problem, seeds: int) -> dict[str, Found]:
    """All methods on one network, from the same initial values."""
    train, validation, test = rows_of(problem)
    model = models.mlp(problem.sizes, "tanh")

    def loss(params, x, y):
        return jnp.mean(losses.softmax_cross_entropy_with_integer_labels(model.apply(params, x), y))

    def run(key, method, guide, steps):
        start = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), model.init(key))
        found = gd.minimize(loss, start, method, args=guide, stop=never(), max_steps=steps, key=key, record=ROWS)
        return found.path

    def judge(params):
        right = jnp.mean(metrics.correct(model.apply(params, test[0]), test[1]))
        return loss(params, *validation), loss(params, *test), right

    judged = jax.jit(jax.vmap(jax.vmap(judge)), compiler_options=QUICK)
    keys, found = jax.random.split(jax.random.key(1), seeds), {}
    for name in problem.methods:
        method, first, each = METHODS[name]
        many = jax.jit(jax.vmap(run, (0, None, None, None)), compiler_options=problem.compiling)
        path = many(keys, method, train if name == "descent" else validation, (problem.evaluations - first) // each)
        used = np.asarray(path.step[0]) >= 0
        values, *told = (np.asarray(part)[:, used] for part in (path.value, *judged(path.params)))
        best = range(seeds), np.argmin(told[0], axis=1)
        evaluated = first + each * np.asarray(path.step[0])[used]
        found[name] = Found(evaluated, values, *(part[best] for part in told))
    return found


def draw(found: dict[str, dict[str, Found]]):
    picture = figure(4.3, "A gradient guides better than a choice among random candidates")
    for axes, (name, runs) in zip(picture.subplots(1, 2), found.items(), strict=True):
        for method, each in runs.items():
            color, mark = LOOKS[method]
            look = {"color": color, "marker": mark, "markevery": 0.18, "linewidth": 1.8}
            axes.plot(each.evaluations, each.guide.mean(axis=0), label=method, **look)
        axes.set(xscale="log", yscale="log", xlim=(60, each.evaluations[-1] * 1.1), ylim=(5e-5, 5))
        axes.set_title(name, fontsize=NORMAL, color=INK, loc="left")
        axes.set_xlabel("evaluations (a gradient counts as three)", fontsize=NORMAL, color=INK)
        dress(axes)
        rule(axes)
    picture.axes[0].set_ylabel("loss on the rows that guide, nats", fontsize=NORMAL, color=INK)
    picture.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=SMALL)
    return picture


def overtaken(runs: dict[str, Found]) -> float:
    """The share of its evaluations after which descent has a loss as low as that of the best search at its end."""
    aim = min(each.guide[:, -1].mean() for name, each in runs.items() if name != "descent")
    descent = runs["descent"]
    return descent.evaluations[np.argmax(descent.guide.mean(axis=0) <= aim)] / descent.evaluations[-1]


def check(lab: Lab, wine: dict[str, Found], digits: dict[str, Found]) -> None:
    searches = [each for name, each in wine.items() if name in ("genetic", "swarm")]
    ended = {name: each.guide[:, -1].mean() for name, each in digits.items()}
    right = {name: each.right.mean() for name, each in digits.items()}
    words = "on the wines the genetic search and the swarm get below 0.05, and classify over 85 % of the test rows"
    lab.claim(words, all(each.guide[:, -1].mean() < 0.05 and each.right.mean() > 0.85 for each in searches))
    words = "descent is as low as the best search after a fifth of the evaluations, on both"
    lab.claim(words, max(overtaken(runs) for runs in (wine, digits)) < 0.2)
    words = "the rows that guide are used up: on the wines the test loss is over five times theirs"
    lab.claim(words, all(each.test.mean() > 5 * each.guide[:, -1].mean() for each in searches))
    if lab.full:
        lab.claim(
            "with ten times the evaluations the genetic search classifies over 75 % of the digits",
            right["genetic"] > 0.75,
        )
    else:
        lab.claim(
            "on the digits no search gets below 0.3, descent below 0.01",
            min(ended.values()) < 0.01 and sorted(ended.values())[1] > 0.3,
        )
    lab.claim("the swarm and the ants classify under 60 % of the digits", max(right["swarm"], right["ants"]) < 0.6)
    lab.claim(
        "the genetic search over 10 points more than they", right["genetic"] > max(right["swarm"], right["ants"]) + 0.1
    )
    lab.claim("descent more than any search, over 80 %", right["descent"] == max(right.values()) > 0.8)
    words = "genetic algorithms walk at random, guided by validation rows; the gradient tells better where to go"
    late = max(overtaken(runs) for runs in (wine, digits))
    ours = f"descent overtakes the best search after {late:.0%} of its evaluations"
    lab.statement("Lecture S1", words, ours=ours, verdict="right", holds=late < 0.5)
    words = "swarms and ants suffer in many dimensions from the explosion of volume"
    few, many = PROBLEMS
    ours = (
        f"{many}: they classify {right['swarm']:.0%} and {right['ants']:.0%}, descent {right['descent']:.0%}; {few}: "
    )
    ours += f"the swarm {wine['swarm'].right.mean():.0%}"
    suffer = max(right["swarm"], right["ants"]) < right["descent"] - 0.2 and wine["swarm"].right.mean() > 0.8
    lab.statement("Lecture S1", words, ours=ours, verdict="right", holds=suffer)


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        problems = PROBLEMS
        if lab.full:
            more = {"wine": {"methods": tuple(METHODS)}, "digits": {"evaluations": 64_000}}
            problems = {name: problem._replace(**more[problem.data]) for name, problem in PROBLEMS.items()}
        longer = {
            name: problem._replace(evaluations=max(200, int(problem.evaluations * lab.numbers.times)))
            for name, problem in problems.items()
        }
        seeds = 5 if lab.full else lab.numbers.seeds
        found = {name: race(problem, seeds) for name, problem in longer.items()}
        rows = [
            (name, method, each.guide[:, -1].mean(), *(part.mean() for part in each[2:]))
            for name, runs in found.items()
            for method, each in runs.items()
        ]
        lab.table(("network", "method", "loss that guides", "validation, kept", "test", "right of the test rows"), rows)
        check(lab, *found.values())
        lab.save(
            draw(found),
            "networks_without_gradients.png",
            "The loss on the rows that guide, by evaluations: three searches on values, and descent far below them.",
        )


if __name__ == "__main__":
    main()
