"""Does a cyclic rate do better than a fixed one, and does each cycle end in a new minimum?

    python -m experiments.cyclic_rates [--out lab] [--full] [--seeds 8]

Lecture S3 cycles the rate up and down, possibly annealed, with another one for each batch, against being stuck in
local minima, after Smith 2015, who finds the ends of the cycle by a range test. S0: a cycle gives the opportunity to
explore a new minimum; such rates are preferred in practice, with fixed or variable length and height. No numbers are
given. Here networks of 16 and of 4 tanh units, of which the latter have poor minima, learn 40 % of the digits for 60
epochs, at rates between a thirtieth and three times what a range test suggests: six fixed ones, one that falls once,
and cycles of 10 epochs, annealed (by 0.7 a cycle), of falling height (by half) and of growing length (4, 8, 16, 32
epochs). Means of 8 seeds (`--full`: 24).

Expected: with 16 units the test suggests 0.35, and of the fixed rates 0.42 is best on other rows (0.150 nats), the
worst 2.5 times as high. All cycles come within 4 % of the best, which is their merit: nobody had to find it. None is
better, and a rate that falls once does as well. The poor minima of 4 units are not left either: the lowest training
loss is 0.20 with cycles, fixed, and falling once 0.19. And here a cycle explores no new minimum: on the line from the end
of one to the end of the next the loss rises by less than 0.001, on the line from one seed to the next by 0.5 with 16
units, by 1.6 with 4. About 23 s.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax import losses, models
from gdjax.plots.style import BLUE, GREEN, INK, MUTED, NORMAL, SMALL, VERMILLION, dress, figure, rule
from gdjax.schedules import cyclic
from gdjax.stopping import never

from .lab import Lab

BATCH, EPOCHS, CYCLE = 32, 60, 10
BELOW, ABOVE = 30, 3  # the ends of a cycle: the suggested rate divided and multiplied by these
SHARES = np.linspace(0, 1, 11)  # of the way from one point to another
FIXED = 6


@dataclasses.dataclass(frozen=True)
class Numbers:
    seeds: int = 8
    """Networks of each kind."""


class Task(NamedTuple):
    """A network for the digits, trained on 40 % of the rows."""

    model: gd.Model
    loss: Callable
    train: tuple
    validation: tuple

    def init(self, key):
        return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), self.model.init(key))

    def classes(self, params):
        return jnp.argmax(self.model.apply(params, self.validation[0]), axis=-1)


class Told(NamedTuple):
    """What came of the methods: (methods, seeds, ...) each."""

    train: np.ndarray  # loss at the end
    validation: np.ndarray
    ends: list  # parameters after each cycle's length


def task(units: int) -> Task:
    data = gd.data.load("digits")
    parts = gd.data.split((data.x, data.y), (0.4, 0.6), jax.random.key(0), stratify=data.y)
    scaling = gd.data.fit_scaling(parts[0][0])
    train, validation = ((jnp.asarray(gd.data.standardize(scaling, x), jnp.float32), jnp.asarray(y)) for x, y in parts)
    model = models.mlp((64, units, 10), "tanh")
    loss = gd.per_example(gd.supervised(model, losses.softmax_cross_entropy_with_integer_labels))
    return Task(model, loss, train, validation)


def methods(low: float, high: float, batches: int) -> dict:
    """Rates by name, as functions of the step; all are one structure, so that they are lanes of one program."""
    half = CYCLE / 2 * batches
    found = {f"fixed {rate:.2g}": cyclic(rate, rate, half) for rate in np.geomspace(low, high, FIXED)}
    found["falling once"] = cyclic(high, low, EPOCHS * batches)
    found["triangular"] = cyclic(low, high, half)
    found["annealed"] = cyclic(low, high, half, annealing=0.7)
    found["falling height"] = cyclic(low, high, half, decay=0.5)
    found["growing length"] = cyclic(low, high, EPOCHS / 2 / 15 * batches, growth=2.0)  # 15 = 1 + 2 + 4 + 8
    return found


def train(task: Task, rates: dict, seeds: int) -> Told:
    """All methods from the same initial values and over the same batches, with the parameters after each cycle."""
    run = gd.make_run(gd.make_epoch(gd.make_step(task.loss), BATCH), gd.make_evaluate(task.loss), keep_best=False)
    rows = task.train, task.validation

    def begin(optimizer, key):
        return gd.start_run(run, gd.make_state(task.init(key), optimizer, key), never(), *rows, capacity=EPOCHS)

    keys = jax.random.split(jax.random.key(0), seeds)
    stacked = jax.tree.map(
        lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *map(gd.sgd, rates.values())
    )
    states = jax.vmap(jax.vmap(begin, (None, 0)), (0, None))(stacked, keys)
    advance = jax.jit(jax.vmap(jax.vmap(lambda state, until: run(state, *rows, until), (0, None)), (0, None)))
    ends = []
    for until in range(CYCLE, EPOCHS + 1, CYCLE):
        states = advance(states, until)
        ends.append(states.state.params)
    losses_on = jax.jit(
        jax.vmap(jax.vmap(lambda params: (task.loss(params, task.train)[0], task.loss(params, task.validation)[0])))
    )
    return Told(*map(np.asarray, losses_on(states.state.params)), ends)


def between(task: Task, one, other):
    """The training loss on the line from one point to another, and the share of rows they classify differently."""

    def walk(one, other):
        on_line = jax.vmap(
            lambda share: task.loss(jax.tree.map(lambda a, b: a + share * (b - a), one, other), task.train)[0]
        )
        return on_line(jnp.asarray(SHARES, jnp.float32)), jnp.mean(task.classes(one) != task.classes(other))

    return jax.device_get(jax.jit(jax.vmap(walk))(one, other))


def barrier(values) -> float:
    """How far the loss on a line rises above the straight line between its ends, the mean over the seeds."""
    straight = (1 - SHARES) * values[:, :1] + SHARES * values[:, -1:]
    return float(np.mean(np.max(values - straight, axis=1)))


class Lines(NamedTuple):
    """The loss on lines, (seeds, shares), and the share of rows that their ends classify differently, (seeds,)."""

    cycles: tuple  # from the end of the fifth triangular cycle to that of the sixth
    seeds: tuple  # from the end of one seed to that of the next


class Trained(NamedTuple):
    test: gd.RangeTest
    rates: dict
    told: Told
    lines: Lines

    def values(self, kind: str, on: str) -> np.ndarray:
        """The mean losses of the methods of a kind: "fixed", "falling once" or "cyclic"."""
        part = {"fixed": slice(FIXED), "falling once": slice(FIXED, FIXED + 1), "cyclic": slice(FIXED + 1, None)}[kind]
        return getattr(self.told, on).mean(axis=1)[part]


def measure(units: int, seeds: int) -> Trained:
    one = task(units)
    test = gd.find_learning_rate(one.loss, one.init, gd.sgd(0.1), one.train, batch_size=BATCH)
    rates = methods(test.rate / BELOW, test.rate * ABOVE, -(-len(one.train[1]) // BATCH))
    told = train(one, rates, seeds)
    number = list(rates).index("triangular")
    before, last = (jax.tree.map(lambda leaf: leaf[number], end) for end in told.ends[-2:])
    other = jax.tree.map(lambda leaf: jnp.roll(leaf, 1, axis=0), last)
    return Trained(test, rates, told, Lines(between(one, before, last), between(one, last, other)))


def draw(found: dict[int, Trained]):
    picture = figure(4.4, "Cycles spare the search for a rate, but stay in one minimum")
    left, right = picture.subplots(1, 2, width_ratios=(1, 1.1))
    names, values = list(found[16].rates), found[16].told.validation
    places, half = np.arange(len(names)), 2 * values.std(axis=1, ddof=1) / values.shape[1] ** 0.5
    colors = [MUTED] * FIXED + [GREEN] + [BLUE] * (len(names) - FIXED - 1)
    left.barh(places, values.mean(axis=1), xerr=half, color=colors, ecolor=INK, height=0.6)
    left.axvline(values.mean(axis=1).min(), color=VERMILLION, linestyle=":", linewidth=1.4)
    left.set_yticks(places, names)
    left.invert_yaxis()
    left.set_xlabel("loss on other rows, nats ± 2 s.e.", fontsize=NORMAL, color=INK)
    left.set_title("digits, 16 units, 60 epochs", fontsize=NORMAL, color=INK, loc="left")
    for units, line in ((16, "-"), (4, "--")):
        for (values, _), color, name in zip(
            found[units].lines, (BLUE, VERMILLION), ("from cycle to cycle", "from seed to seed"), strict=True
        ):
            right.plot(SHARES, values.mean(axis=0), line, color=color, linewidth=2, label=f"{name}, {units} units")
    right.set(ylim=(-0.05, None), xlim=(0, 1))
    right.set_xticks([0, 0.5, 1], ["one", "halfway", "the other"])
    right.set_ylabel("training loss on the line, nats", fontsize=NORMAL, color=INK)
    right.set_title("on the line between two ends", fontsize=NORMAL, color=INK, loc="left")
    for axes in (left, right):
        dress(axes)
    rule(right)
    picture.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=SMALL)
    return picture


def check(lab: Lab, wide: Trained, narrow: Trained) -> None:
    fixed, cycles = (wide.values(kind, "validation") for kind in ("fixed", "cyclic"))
    best = float(list(wide.rates.values())[int(np.argmin(fixed))].init_value)
    lab.claim(
        f"16 units: the range test suggests {wide.test.rate:.2g}, the best fixed rate is {best:.2g}, within a factor of 4",
        0.25 < wide.test.rate / best < 4,
    )
    lab.claim("the worst of the fixed rates is over 1.8 times as high as the best", fixed.max() > 1.8 * fixed.min())
    off = 100 * (cycles / fixed.min() - 1)
    lab.claim(
        f"all cycles are within 10 % of the best fixed rate ({off.min():+.1f} to {off.max():+.1f} %)", off.max() < 10
    )
    lab.claim("none is better by 5 %", off.min() > -5)
    for words, each in (("16 units", wide), ("4 units", narrow)):
        once, low = each.values("falling once", "train")[0], each.values("cyclic", "train").min()
        lab.claim(f"{words}: falling once trains as low as the best cycle, within 15 %", once < 1.15 * low)
    left = narrow.values("cyclic", "train").min() / narrow.values("fixed", "train").min()
    lab.claim("4 units: no cycle trains lower than the best fixed rate by 10 %", left > 0.9)
    for words, each in (("16 units", wide), ("4 units", narrow)):
        (inner, changed), (outer, other) = each.lines
        lab.claim(
            f"{words}: from cycle to cycle the loss rises by {barrier(inner):.4f}, under 0.02, from seed to seed by "
            f"{barrier(outer):.2f}, over 0.2",
            barrier(inner) < 0.02 and barrier(outer) > 0.2,
        )
        lab.claim(
            f"and {100 * changed.mean():.1f} % of other rows change their class, of seeds {100 * other.mean():.1f} %, "
            "over twice as many",
            other.mean() > 2 * changed.mean(),
        )


def stuck(lab: Lab, narrow: Trained) -> None:
    """Whether cycles leave the poor minima of the narrow networks."""
    fixed, cycles = (narrow.values(kind, "train") for kind in ("fixed", "cyclic"))
    lab.statement(
        "Lecture S3",
        "cycling the rate helps against being stuck in local minima",
        ours=f"4 units: cycles train to {cycles.min():.2f} at best, fixed rates too, to {fixed.min():.2f}, if it is found; "
        f"the middle one to {np.median(fixed):.2f}",
        verdict="imprecise",
        holds=cycles.min() < 0.9 * fixed.min(),
        partly=cycles.max() < np.median(fixed),
    )


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        seeds = 24 if lab.full else lab.numbers.seeds
        found = {units: measure(units, seeds) for units in (16, 4)}
        for units, each in found.items():
            lab.say(f"  {units} units: {each.test}")
            ends = zip(each.rates, each.told.train.mean(axis=1), each.told.validation.mean(axis=1), strict=True)
            lab.table(("rate", "training loss", "loss on other rows"), ends)
        check(lab, *found.values())
        wide = found[16]
        fixed, cycles = (wide.values(kind, "validation") for kind in ("fixed", "cyclic"))
        ours = f"as good as the best fixed, {cycles.min() / fixed.min():.2f} to {cycles.max() / fixed.min():.2f} of its loss"
        lab.statement(
            "Lecture S0",
            "cyclic rates are preferred in practice",
            ours=ours,
            verdict="imprecise",
            holds=cycles.max() < 0.95 * fixed.min(),
            partly=cycles.max() < 1.1 * fixed.min(),
        )
        rise = max(barrier(each.lines.cycles[0]) for each in found.values())
        changed = found[4].lines.cycles[1].mean()
        ours = (
            f"on the line between the ends of two cycles the loss rises by at most {rise:.4f}: one minimum, in which with 4 "
            f"units {changed:.0%} of other rows change their class"
        )
        says = "each cycle is an opportunity to explore a new minimum"
        lab.statement("Lecture S0", says, ours=ours, verdict="imprecise", holds=rise > 0.02, partly=changed > 0.02)
        stuck(lab, found[4])
        caption = "Left: the loss by the rate, the best fixed one dotted. Right: the loss between two ends of training."
        lab.save(draw(found), "cyclic_rates.png", caption)
        title = f"One short run at a growing rate suggests {found[16].test.rate:.2g}"
        lab.save(
            found[16].test.plot(title=title),
            "cyclic_rates_range.png",
            "The loss while the rate grows: it falls fastest at the line.",
        )


if __name__ == "__main__":
    main()
