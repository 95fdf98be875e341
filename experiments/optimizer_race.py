"""Who wins a fair race, Adam or SGD with momentum, on a short budget and on a long one?

    python -m experiments.optimizer_race [--out lab] [--full]

Lecture S3, after J. Hare: in a hurry to get results use Adam, with time SGD with momentum and a tuned rate; of the
others it gives the names. No numbers are given. `adam_or_tuned_sgd` varies the rate alone. Here a tournament on
breast_cancer tunes all that each declares, rate and memories, at equal cost: eight draws are trained to the end of a
cosine schedule of 1 epoch, or of 16, and the best is trained again with a fresh seed. This is done 48 times, and the
exact signed-rank test over these tunings, fixed before, says what is significant at 5 %. With `--full` seven
optimizers run, on the digits too, for 1, 4, 16 and 64 epochs.

Expected: the advice holds here. After one epoch Adam is significantly better (p = 0.002): SGD's loss is 1.27 times
Adam's in the median tuning. After 16 epochs it is 0.93 times, p = 0.02. That gain of SGD is small: in five other
races, of 20 to 100 tunings with other draws, p was between 0.004 and 0.4, so that another race may miss
it; the lead of Adam after one epoch was significant in all of them. About 24 s, most of it compilation.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax import losses, models
from gdjax.plots._landscape import MARKERS, PATHS
from gdjax.plots.style import INK, MUTED, NORMAL, SMALL, dress, figure, rule

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    tunings: int = 48
    """How often each optimizer is tuned anew, from eight draws."""


SHORT, LONG = 1, 16  # epochs
TWO = {
    "SGD, momentum": gd.momentum(0.05),
    "Adam": gd.adam(0.01),
}  # at rates in the middle of the range that is drawn from
ALL = TWO | {
    "SGD": gd.sgd(0.2),
    "Adagrad": gd.adagrad(0.1),
    "RMSProp": gd.rmsprop(0.005),
    "Lion": gd.lion(0.002),
    "Muon": gd.muon(0.02),
}
UNITS = {"breast_cancer": 8, "digits": 16}


def race(data: str, optimizers: dict, budgets: tuple[int, ...], tunings: int) -> dict[int, gd.Tournament]:
    """A tournament for each budget, on a network that learns 40 % of the rows and is judged on the others."""
    rows = gd.data.load(data)
    parts = gd.data.split((rows.x, rows.y), (0.4, 0.6), jax.random.key(0), stratify=rows.y)
    scaling = gd.data.fit_scaling(parts[0][0])
    both = [(jnp.asarray(gd.data.standardize(scaling, x), jnp.float32), jnp.asarray(y)) for x, y in parts]
    model = models.mlp((rows.x.shape[1], UNITS[data], len(rows.target_names)))
    loss = gd.per_example(gd.supervised(model, losses.softmax_cross_entropy_with_integer_labels))

    def init(key):
        return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), model.init(key))

    how = {"batch_size": 32, "draws": 8, "tunings": tunings, "seeds": 1}
    return {budget: gd.tournament(loss, init, optimizers, *both, epochs=budget, **how) for budget in budgets}


def standing(found: gd.Tournament, name: str):
    return next(each for each in found.standings if each.name == name)


def pair(found: gd.Tournament):
    """The comparison of the two that the advice is about."""
    return next(each for each in found.comparisons if {each.better, each.worse} == set(TWO))


def ratios(found: gd.Tournament) -> np.ndarray:
    """The loss with momentum over that with Adam, of each tuning."""
    momentum, adam = (standing(found, name).scores for name in TWO)
    return momentum / adam


def draw(found: dict[int, gd.Tournament]):
    budgets, names = [*found], [each.name for each in found[SHORT].standings]
    picture = figure(4.3, "In a fair race Adam leads after one epoch, no longer after sixteen")
    left, right = picture.subplots(1, 2)
    for name, color, mark in zip(sorted(names), PATHS, MARKERS, strict=False):
        each = [standing(one, name) for one in found.values()]
        median = np.array([one.final for one in each])
        ends = np.abs(np.array([one.final_interval for one in each]).T - median)
        look = {"color": color, "linewidth": 1.8, "capsize": 3, "label": name}
        left.errorbar(budgets, median, ends, fmt=f"{mark}-", **look)
    left.set(xscale="log", yscale="log")
    left.set_xticks(budgets, budgets)
    left.set_yticks([0.08, 0.1, 0.12, 0.15, 0.2], ["0.08", "0.1", "0.12", "0.15", "0.2"])
    left.set_ylabel("loss on other rows, nats", fontsize=NORMAL, color=INK)
    left.set_title("breast_cancer: medians, 95 % intervals", fontsize=NORMAL, color=INK, loc="left")
    for place, one in enumerate(found.values()):
        values, told = ratios(one), pair(one)
        spread = np.random.default_rng(0).uniform(-0.15, 0.15, len(values))
        right.plot(place + spread, values, "o", color=PATHS[1], alpha=0.4, markersize=5)
        right.plot([place - 0.25, place + 0.25], [np.median(values)] * 2, color=INK, linewidth=2)
        words = told.better if told.significant else "neither"
        right.text(place, 13, f"{words}\np = {told.corrected:.2g}", fontsize=SMALL, ha="center", va="center")
    right.axhline(1, color=MUTED, linestyle="--", linewidth=1.2)
    right.set(yscale="log", ylim=(0.2, 20), xlim=(-0.5, len(budgets) - 0.5))
    right.set_yticks([0.25, 0.5, 1, 2, 4, 8], ["1/4", "1/2", "1", "2", "4", "8"])
    right.set_xticks(range(len(budgets)), budgets)
    right.set_ylabel("momentum's loss / Adam's", fontsize=NORMAL, color=INK)
    right.set_title(f"{len(values)} tunings, and who is better", fontsize=NORMAL, color=INK, loc="left")
    for axes in (left, right):
        axes.minorticks_off()
        axes.set_xlabel("budget, epochs", fontsize=NORMAL, color=INK)
        dress(axes)
        rule(axes)
    picture.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=SMALL)
    return picture


def tell(lab: Lab, data: str, found: dict[int, gd.Tournament]) -> None:
    for budget, one in found.items():
        rows = [(each.name, each.final, *each.final_interval, each.granted) for each in one.standings]
        lab.table((f"{data}, budget {budget}", "median loss", "from", "to", "batches"), rows)
        lab.say(f"  {one.statement}")


def check(lab: Lab, found: dict[int, gd.Tournament]) -> None:
    early, late = (float(np.median(ratios(found[budget]))) for budget in (SHORT, LONG))
    told = pair(found[SHORT])
    lab.claim("after one epoch Adam is significantly better", told.significant and told.better == "Adam")
    lab.claim(f"in the median tuning SGD's loss is {early:.2f} times Adam's, over 1.1", early > 1.1)
    lab.claim(f"after 16 epochs {late:.2f} times, under 1.08: the lead is gone", late < 1.08)
    words = "in a hurry to get results use Adam; with time, SGD with momentum and a tuned rate"
    ours = f"momentum's loss is {early:.2f} times Adam's after 1 epoch, {late:.2f} times after 16"
    longer = pair(found[LONG])
    advice = told.significant and longer.significant and (told.better, longer.worse) == ("Adam", "Adam")
    lab.statement("Lecture S3", words, ours=ours, verdict="right", holds=advice)
    costs = [{each.granted for each in one.standings} for one in found.values()]
    lab.claim("all were granted the same number of batches", all(len(cost) == 1 for cost in costs))


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        optimizers, names = (ALL, [*UNITS]) if lab.full else (TWO, ["breast_cancer"])
        budgets = (SHORT, 4, LONG, 64) if lab.full else (SHORT, LONG)
        races = {name: race(name, optimizers, budgets, lab.numbers.tunings) for name in names}
        for name, found in races.items():
            tell(lab, name, found)
        check(lab, races["breast_cancer"])
        lab.save(
            draw(races["breast_cancer"]),
            "optimizer_race.png",
            "Left: the median losses of tuned Adam and SGD after 1 and 16 epochs. Right: their ratio in each tuning.",
        )


if __name__ == "__main__":
    main()
