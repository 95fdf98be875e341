"""What does momentum change: the speed along a valley and across it, the rates that converge, and does its form matter?

    python -m experiments.momentum [--out lab]

The lectures write momentum in two forms. S0: v = b v - rate g, A = A + v, with 0 < b < 1; it accelerates where
directions agree and decelerates where they change. S3: v = b v + g, A = A - rate v, with b = 0.9 as a good choice; it
gains speed along directions of low curvature. Neither gives numbers.

Expected: under a constant gradient the speed grows from rate g to rate g / (1 - b), ten times as much at 0.9; under
one that changes its sign at each step it falls to rate g / (1 + b), 0.526. On the bowl (x² + 100 y²) / 2 a run
converges if and only if rate 100 < 2 (1 + b), in each of 2318 cells. To a millionth of the distance the fewest steps
are 82, at the theory's best (rate 4 / (sqrt L + sqrt mu)², b = 0.669, where two roots meet) 93, without momentum 677;
with 0.9 they are 256, and within 20 % of that over a factor of 14 of rates. The two forms are equal while the rate is
constant. When it falls from 0.1 to 0.01 at speed 1, the velocity form goes on for 8.1 more than the trace form, (old
rate - new) b / (1 - b)²; on breast_cancer a rate that is cut to a tenth every 50 steps parts them, by over 1 % of the
weights. The trace form is Optax's, to 1e-12. About 8 s.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.colors import BoundaryNorm, ListedColormap

import gdjax as gd
from gdjax import losses, models
from gdjax.plots.style import BLUE, GREEN, INK, MUTED, NORMAL, PAPER, PURPLE, SMALL, VERMILLION, dress, figure, rule
from gdjax.schedules import piecewise_constant, step_decay
from gdjax.stopping import never

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    rate: float = 0.1
    """The rate under a constant gradient, and on breast_cancer."""
    decay: float = 0.9
    """The momentum b."""


STEPS, LONGEST = 150, 2000
LOW, HIGH = 1.0, 100.0  # the curvatures of the bowl, along its valley and across
RATES = np.geomspace(0.1, 4.6, 60) / HIGH
DECAYS = np.linspace(0, 0.95, 39)
BEST = 4 / (HIGH**0.5 + LOW**0.5) ** 2, ((HIGH**0.5 - LOW**0.5) / (HIGH**0.5 + LOW**0.5)) ** 2


def speeds(optimizer, pushes) -> np.ndarray:
    """The steps that an optimizer takes under given gradients, forward if positive."""

    def step(state, push):
        update, state = optimizer.update(push, state, jnp.zeros(()))
        return state, -update

    return np.asarray(jax.lax.scan(step, optimizer.init(jnp.zeros(())), jnp.asarray(pushes))[1])


def bowl(p):
    return (LOW * p[0] ** 2 + HIGH * p[1] ** 2) / 2


@jax.jit
@jax.vmap
def cell(rate, decay):
    """The steps until the distance stays below a millionth of the first, and whether it is less at the end."""
    optimizer, start, norm = gd.momentum(rate, decay), jnp.array([1.0, 1.0]), jnp.linalg.norm

    def step(carry, number):
        params, state, last = carry
        update, state = optimizer.update(jax.grad(bowl)(params), state, params)
        params = params + update
        return (params, state, jnp.where(norm(params) < 1e-6 * norm(start), last, number)), None

    begun = start, optimizer.init(start), jnp.int32(0)
    (params, _, last), _ = jax.lax.scan(step, begun, jnp.arange(1, LONGEST + 1, dtype=jnp.int32))
    return jnp.where(last < LONGEST, last + 1.0, jnp.inf), norm(params) < norm(start)


def weights(optimizer) -> np.ndarray:
    """All parameters of a logistic regression on breast_cancer after 200 steps."""
    data = gd.data.load("breast_cancer")
    x, model = gd.data.standardize(gd.data.fit_scaling(data.x), data.x), models.linear_regression(data.x.shape[1])

    def loss(params):
        return jnp.mean(losses.sigmoid_binary_cross_entropy(model.apply(params, x), data.y))

    found = gd.minimize(loss, model.init(jax.random.key(0)), optimizer, stop=never(), max_steps=200)
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(found.last.params)])


def apart(one, other) -> float:
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def draw_speeds(along, across, forms, numbers: Numbers):
    picture = figure(
        4.2, "Momentum speeds up along a valley, slows down across it; a change of rate parts its two forms"
    )
    left, right = picture.subplots(1, 2, width_ratios=(1, 1.2))
    shown = np.arange(1, 61)
    left.plot(shown, along[:60] / numbers.rate, color=BLUE, linewidth=2.2)
    left.plot(shown, np.abs(across[:60]) / numbers.rate, color=VERMILLION, linewidth=2.2)
    left.axhline(1, color=MUTED, linestyle="--", linewidth=1.4)
    ends = 1 / (1 + numbers.decay), 1.0, 1 / (1 - numbers.decay)
    left.set(yscale="log", ylim=(0.3, 2 * ends[2]))
    left.set_yticks(ends, [f"{end:.3g}" for end in ends])
    left.minorticks_off()
    for y, words, color in (
        (0.62 * ends[2], "gradients agree", BLUE),
        (1.08, "without momentum", MUTED),
        (0.37, "gradients change sign", VERMILLION),
    ):
        left.text(60, y, words, color=color, fontsize=SMALL, ha="right")
    left.set_ylabel("speed / (rate · gradient)", fontsize=NORMAL, color=INK)
    left.set_title(f"momentum {numbers.decay:g}, constant rate", fontsize=NORMAL, color=INK, loc="left")
    for name, (values, color, line) in forms.items():
        right.plot(np.arange(1, STEPS + 1), values, line, color=color, linewidth=2.2, label=name)
    right.set(ylim=(0, 15 * numbers.rate))
    right.legend(fontsize=SMALL, labelcolor=INK, framealpha=0.92, loc="upper left")
    right.set_ylabel("speed under gradient 1", fontsize=NORMAL, color=INK)
    right.set_title(f"rate {numbers.rate:g}, from step 50 to 100 a tenth", fontsize=NORMAL, color=INK, loc="left")
    for axes in (left, right):
        dress(axes)
        rule(axes)
        axes.set_xlabel("step", fontsize=NORMAL, color=INK)
    return picture


def draw_map(steps, fell):
    picture = figure(4.6, "Momentum allows larger rates, up to 2 (1 + b) / L, and fewer steps")
    axes = picture.subplots()
    shades = ListedColormap(["#0b3c5d", "#1f6390", "#4a8dbb", "#86b6d8", "#bcd7ea", "#e3eef6"])
    mesh = axes.pcolormesh(
        RATES,
        DECAYS,
        np.where(np.isfinite(steps), steps, 1.0 * LONGEST),
        cmap=shades,
        norm=BoundaryNorm([50, 100, 200, 300, 500, 1000, 2000], 6),
    )
    axes.pcolormesh(RATES, DECAYS, np.ma.masked_where(fell, np.ones_like(steps)), cmap=ListedColormap(["#f4c7a8"]))
    axes.plot(2 * (1 + DECAYS) / HIGH, DECAYS, color=VERMILLION, linewidth=2.2, label="theory: rate L = 2 (1 + b)")
    axes.plot(*BEST, "*", color=PAPER, markeredgecolor=INK, markersize=17, label="theory: the best, 0.033 and 0.669")
    axes.set(xscale="log", xlim=(RATES[0], RATES[-1]), ylim=(0, 0.95))
    axes.text(0.0415, 0.1, "diverges", rotation=90, fontsize=NORMAL, color=INK, va="bottom")
    axes.set_xlabel("rate (L = 100 across the valley, 1 along)", fontsize=NORMAL, color=INK)
    axes.set_ylabel("momentum b", fontsize=NORMAL, color=INK)
    axes.set_xticks([0.001, 0.003, 0.01, 0.03], ["0.001", "0.003", "0.01", "0.03"])
    axes.minorticks_off()
    bar = picture.colorbar(mesh, ax=axes, pad=0.02)
    bar.set_label("steps to a millionth of the distance", fontsize=NORMAL, color=INK)
    bar.set_ticks([50, 100, 200, 300, 500, 1000, 2000], labels=["50", "100", "200", "300", "500", "1000", "more"])
    bar.ax.tick_params(labelsize=SMALL)
    bar.ax.minorticks_off()
    dress(axes)
    picture.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=SMALL)
    return picture


def two_speeds(lab: Lab[Numbers]):
    rate, decay = lab.numbers.rate, lab.numbers.decay
    ones, turns, t = np.ones(STEPS), (-1.0) ** np.arange(STEPS), np.arange(1, STEPS + 1)
    along, across = (speeds(gd.momentum(rate, decay), pushes) for pushes in (ones, turns))
    said = rate * (1 - decay**t) / (1 - decay), rate * (1 - (-decay) ** t) / (1 + decay)
    rows = [("gradients agree", along, said[0]), ("gradients change sign", np.abs(across), said[1])]
    head = ("speed / (rate gradient)", "step 1", "step 10", "step 150", "formula")
    lab.table(head, [(n, *(v[[0, 9, -1]] / rate), s[-1] / rate) for n, v, s in rows])
    lab.claim(
        "both speeds are as the formulas say at every step, to 1e-12", max(abs(v - s).max() for _, v, s in rows) < 1e-12
    )
    lab.claim("along the valley momentum 0.9 becomes 10 times as fast, to 1e-5", abs(along[-1] / rate - 10) < 1e-5)
    lab.claim("across it slows to 1 / 1.9 = 0.526, to 1e-5", abs(abs(across[-1]) / rate - 1 / 1.9) < 1e-5)
    words = "momentum accelerates where gradients agree, and decelerates where they change sign"
    ours = f"to {along[-1] / rate:.3g} times the speed, and to {abs(across[-1]) / rate:.3g} of it"
    faster = along[-1] > 5 * rate > 5 * abs(across[-1])
    lab.statement("Lecture S0", words, ours=ours, verdict="right", holds=faster)
    words = "v_t is -ε times the sum of α^(t-i) g_i, with another ε inside the sum as printed"
    ours = f"the sum without the inner ε, to {abs(along - said[0]).max():.0e}"
    lab.statement("Lecture S0", words, ours=ours, verdict="wrong", holds=np.allclose(along, rate * said[0]))
    return along, across


def valley_map(lab: Lab):
    grid = np.meshgrid(RATES, DECAYS)
    steps, fell = (np.asarray(part).reshape(grid[0].shape) for part in cell(*(part.ravel() for part in grid)))
    share = grid[0] * HIGH / (2 * (1 + grid[1]))
    clear = abs(share - 1) > 0.02
    at_best, plain = float(cell(*(jnp.array([part]) for part in BEST))[0][0]), steps[0].min()
    place = np.unravel_index(np.argmin(steps), steps.shape)
    named, bare = steps[np.argmin(abs(DECAYS - 0.9))], steps[0]
    span = {name: RATES[row <= 1.2 * row.min()] for name, row in (("momentum 0.9", named), ("without momentum", bare))}
    rows = [("without momentum", plain, RATES[np.argmin(bare)]), ("momentum 0.9", named.min(), RATES[np.argmin(named)])]
    rows += [("best of the cells", steps.min(), RATES[place[1]]), ("theory's best", at_best, BEST[0])]
    lab.table(("on (x² + 100 y²) / 2", "fewest steps", "at rate"), rows)
    right = np.sum(fell == (share < 1), where=clear)
    lab.claim(f"rate L < 2 (1 + b) tells which runs converge, in {right} of {clear.sum()} cells", right == clear.sum())
    lab.claim("the theory's best is within 20 % of the fewest steps of any cell", at_best <= 1.2 * steps.min())
    lab.claim(
        f"it takes less than a fifth of those without momentum, {at_best:.0f} of {plain:.0f}", at_best < plain / 5
    )
    factors = [rates[-1] / rates[0] for rates in span.values()]
    lab.claim(
        f"with 0.9 rates over a factor of {factors[0]:.1f} are within 20 % of its fewest steps, without {factors[1]:.1f}",
        factors[0] > 5 and factors[1] < 2,
    )
    words = "momentum increases the speed of convergence"
    ours = f"{at_best:.0f} steps for {plain:.0f} at the best b; {named.min():.0f} at b = 0.9"
    lab.statement("Lecture S0", words, ours=ours, verdict="right", holds=max(at_best, named.min()) < plain)
    words = "b = 0.9 is a good choice"
    ours = f"not the fastest here, but good over a factor of {factors[0]:.0f} of rates, for {factors[1]:.1f} without"
    good = named.min() < plain / 2 and factors[0] > 5 * factors[1]
    lab.statement("Lecture S3", words, ours=ours, verdict="right", holds=good)
    return steps, fell


def two_forms(lab: Lab[Numbers]) -> dict:
    rate, decay = lab.numbers.rate, lab.numbers.decay
    drop = piecewise_constant([50, 100], [rate, rate / 10, rate])
    velocity, trace = (speeds(form(drop, decay), np.ones(STEPS)) for form in (gd.momentum, gd.sgd))
    coasted, said = np.sum((velocity - trace)[50:100]), 0.9 * rate * decay / (1 - decay) ** 2
    words = f"after the drop the velocity form goes {coasted:.2f} farther, by arithmetic {said:.2f}, within 2 %"
    lab.claim(words, abs(coasted / said - 1) < 0.02)
    forms, cut = {"velocity": gd.momentum, "trace": gd.sgd, "Optax": optax.sgd}, step_decay(rate, 0.1, 50)
    ends = {(name, each): weights(form(each, decay)) for name, form in forms.items() for each in (rate, cut)}
    gaps = {
        name: [apart(ends[name, each], ends["trace", each]) for each in (rate, cut)] for name in ("velocity", "Optax")
    }
    rows = [(f"{name} form against trace", *gap) for name, gap in gaps.items()]
    lab.table(("weights on breast_cancer, relative distance", "constant rate", "cut every 50 steps"), rows)
    lab.claim("the forms agree to 1e-12 at a constant rate", gaps["velocity"][0] < 1e-12)
    lab.claim("a rate that is cut parts them by over 1 %", gaps["velocity"][1] > 0.01)
    lab.claim("the trace form is Optax's, to 1e-12, at both", max(gaps["Optax"]) < 1e-12)
    words = "two forms: S0's velocity v = b v - rate g, S3's trace v = b v + g"
    ours = f"one method at a constant rate; a cut rate parts them by {gaps['velocity'][1]:.1%} of the weights"
    lab.statement("Lectures S0 and S3", words, ours=ours, verdict="definition")
    return {"velocity: v = b v − rate g": (velocity, GREEN, "-"), "trace: rate (b v + g)": (trace, PURPLE, "--")}


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        along, across = two_speeds(lab)
        steps, fell = valley_map(lab)
        lab.save(
            draw_speeds(along, across, two_forms(lab), lab.numbers),
            "momentum.png",
            "Left: the speed under gradients that agree and that alternate. Right: both forms as the rate drops.",
        )
        lab.save(
            draw_map(steps, fell),
            "momentum_map.png",
            "The steps to a millionth of the distance, for every rate and momentum; the line is where runs diverge.",
        )


if __name__ == "__main__":
    main()
