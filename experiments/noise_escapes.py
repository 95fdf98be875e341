"""Does the noise of mini-batches leave a bad minimum, and does it stay in a good one? Does injected noise?

    python -m experiments.noise_escapes [--out lab] [--full]

Lecture S1: noise in the loss, by drawing the rows at random, may help to jump out of bad local optima; a similar argument
holds for noise added to the gradient. It gives a figure and no numbers. Here a neuron sin(w x + b) learns 128 rows of
sin(2 x + 1/2) with noise 0.2, by the squared error. Its loss has a good minimum at w = 2 (0.02) and bad ones, here that at
w = 3.4 (0.39). 120 runs of 1000 steps start in each at three rates, with n rows per step drawn with replacement; others
take all rows and add normal noise to the gradient. Where a run ends up is where descent with all rows leads from its end.

Expected: with all rows none leaves. At rate 0.2 one row per step takes 97 % out of the bad minimum, four rows 2 %, eight
none: each rate has a size above which nothing escapes, and the larger the rate, the larger that size. Escapes per unit of
time (rate times steps) depend on rate / n alone. The good minimum loses 6 % of the runs of one row at rate 0.4, and no
other: errors are small there, and so is the noise of mini-batches, a tenth in variance. Injected noise is the same
everywhere: as strong as one row's in the bad minimum, it takes 40 % of the runs out of the good one too. About 24 s.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax.plots import style

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    runs: int = 120
    """Runs from each minimum, for each rate and size of a batch."""


ROWS, STEPS = 128, 1000
SIZES, RATES, LARGE = (
    (1, 2, 4, 8, 16),
    (0.1, 0.2, 0.4),
    2,
)  # the last: which of the rates is compared with injected noise


def rows(n: int = ROWS) -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, n)
    return jnp.asarray(x), jnp.asarray(np.sin(2 * x + 0.5) + 0.2 * rng.normal(size=n))


def error(params, row):
    x, y = row
    return (jnp.sin(params[0] * x + params[1]) - y) ** 2 / 2


LOSS = gd.per_example(error)


def mean_loss(params, data) -> jax.Array:
    return LOSS(params, data)[0]


def descend(start, steps: int = 2000) -> jax.Array:
    """Where so many steps with all rows lead."""
    stop = gd.stopping.gradient_norm(1e-10)
    return gd.minimize(mean_loss, start, gd.sgd(0.5), args=(rows(),), stop=stop, max_steps=steps).params


def minima() -> tuple[jax.Array, jax.Array]:
    """The bad one, and the good one."""
    return descend(jnp.array([3.4, 3.6])), descend(jnp.array([2.0, 0.5]))


def row_variance(params) -> float:
    """The variance of a single row's gradient, mean over the two parameters."""
    gradients = jax.vmap(jax.grad(error), (None, 0))(params, rows())
    return float(jnp.mean(jnp.var(gradients, axis=0)))


def ends(n: int, optimizer, numbers, seeds: int) -> jax.Array:
    """Where the runs end, (starts, numbers, seeds, 2); `optimizer` makes one of a number and a key."""
    epoch = gd.make_epoch(gd.make_step(LOSS), n, order="replacement" if n < ROWS else "sequence", steps=STEPS)
    data = rows()

    def run(key, number, start):
        for_order, for_noise = jax.random.split(key)
        return epoch(gd.make_state(start, optimizer(number, for_noise), for_order), data)[0].params

    over_seeds = jax.vmap(run, (0, None, None))
    over_all = jax.vmap(jax.vmap(over_seeds, (None, 0, None)), (None, None, 0))
    return jax.jit(over_all)(jax.random.split(jax.random.key(n), seeds), jnp.asarray(numbers), jnp.stack(minima()))


def shares(points) -> np.ndarray:
    """(starts, numbers, 2): the shares of runs that are at the bad minimum, and at the good one."""
    found = jax.jit(jax.vmap(jax.vmap(jax.vmap(lambda end: descend(end, 200)))))(points)
    value = jax.vmap(mean_loss, (0, None))
    reached, known = value(found.reshape(-1, 2), rows()), value(jnp.stack(minima()), rows())
    near = jnp.abs(reached[:, None] - known) < 1e-6
    return np.asarray(near.reshape(*found.shape[:3], 2).mean(axis=2))


def mini_batches(seeds: int) -> np.ndarray:
    """The shares by size, (sizes, starts, rates, 2)."""
    return np.stack([shares(ends(n, lambda rate, key: gd.sgd(rate), RATES, seeds)) for n in SIZES])


def injected(seeds: int) -> np.ndarray:
    """The shares with all rows and injected noise, as strong as that of n rows in the bad minimum; the last without noise.

    (sizes + 1, starts, 2)
    """
    strengths = row_variance(minima()[0]) / np.array([*SIZES, np.inf])
    noisy = lambda strength, key: gd.noisy_sgd(RATES[LARGE], strength, 0.0, key)  # noqa: E731
    return shares(ends(ROWS, noisy, strengths, seeds)).swapaxes(0, 1)


def walk() -> np.ndarray:
    """A run that leaves the bad minimum for the good one, (steps, 2), at rate 0.2 with one row per step."""
    step = gd.make_epoch(gd.make_step(LOSS), 1, order="replacement", steps=1)
    data, (bad, good) = rows(), minima()

    def run(key):
        take = lambda state, _: (step(state, data)[0], state.params)  # noqa: E731
        return jax.lax.scan(take, gd.make_state(bad, gd.sgd(RATES[1]), key), length=STEPS)[1]

    paths = np.asarray(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(1), 20)))
    arrives = np.argmax(np.linalg.norm(paths - good, axis=2) < 0.15, axis=1)
    shortest = np.argmin(np.where(arrives > 0, arrives, STEPS))
    return paths[shortest, : arrives[shortest] + 1]


def draw_walk(axes) -> None:
    path, (bad, good) = walk(), minima()
    w, b = np.linspace(1.2, 4.4, 160), np.linspace(-1.5, 5.2, 160)
    grid = jnp.stack(jnp.meshgrid(w, b), axis=-1)
    values = jax.jit(jax.vmap(jax.vmap(mean_loss, (0, None)), (0, None)))(grid, rows())
    levels = np.linspace(0, 0.85, 18)
    drawn = axes.contourf(w, b, values, levels, cmap="Blues_r", extend="max")
    axes.figure.colorbar(drawn, ax=axes, label="loss of all rows", ticks=[0, 0.2, 0.4, 0.6, 0.8])
    axes.plot(*path.T, color=style.VERMILLION, linewidth=0.7, label="steps of one row")
    for point, mark, words in ((bad, "s", "bad minimum"), (good, "*", "good minimum")):
        axes.plot(*point, mark, color=style.ORANGE, markeredgecolor="black", markersize=11, linestyle="", label=words)
    axes.set(xlabel="w", ylabel="b", xlim=(w[0], w[-1]), ylim=(b[0], b[-1]))
    style.dress(axes)
    look = {"fontsize": style.SMALL, "frameon": False, "ncols": 3, "loc": "lower center", "bbox_to_anchor": (0.5, 1.0)}
    axes.legend(**look)


def draw_shares(axes, lines, title: str) -> None:
    for words, values, look in lines:
        axes.plot(SIZES, 100 * (1 - values), label=words, markersize=6, **look)
    axes.set(xscale="log", xlabel="rows n of a batch", ylim=(-4, 104))
    axes.set_xticks(SIZES, [str(n) for n in SIZES])
    axes.minorticks_off()
    axes.set_title(title, fontsize=style.NORMAL, loc="left")
    style.dress(axes)
    style.rule(axes)
    axes.legend(fontsize=style.SMALL, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.22))


def draw(batches, noise):
    picture = style.figure(7.4, "Small batches leave the bad minimum and stay in the good one")
    above, below = picture.subfigures(2, 1)
    draw_walk(above.subplots())
    left, right = below.subplots(1, 2, sharey=True)
    looks = [{"color": c, "marker": m} for c, m in zip((style.SKY, style.BLUE, style.INK), "o^s", strict=True)]
    by_rate = [(f"rate {rate}", batches[:, 0, i, 0], looks[i]) for i, rate in enumerate(RATES)]
    draw_shares(left, by_rate, "runs that leave the bad minimum")
    left.set_ylabel("% of the runs")
    red = {"color": style.VERMILLION, "marker": "D"}
    kinds = (("n rows", batches[:, :, LARGE], looks[LARGE]), ("injected, as strong there", noise[:-1], red))
    both = [
        (f"{words}: leaves the {end}", values[:, i, i], look | {"linestyle": line})
        for words, values, look in kinds
        for i, (end, line) in enumerate((("bad", "-"), ("good", ":")))
    ]
    draw_shares(right, both, f"both minima, rate {RATES[LARGE]}")
    return picture


def check(lab: Lab, batches, noise) -> None:
    left, lost = 1 - batches[:, 0, :, 0], 1 - batches[:, 1, :, 1]
    lab.claim("with all rows and no noise nothing leaves", np.all(noise[-1] == np.eye(2)))
    lab.claim("at every rate larger batches leave the bad minimum less often", np.all(np.diff(left, axis=0) <= 0.02))
    lab.claim("one row per step leaves it in over 90 % at rates 0.2 and 0.4", np.all(left[0, 1:] > 0.9))
    lab.claim("16 rows in none at any rate", np.all(left[-1] == 0))
    most = [max((n for n, share in zip(SIZES, left[:, i], strict=True) if share > 0.7), default=0) for i in range(3)]
    lab.claim("over 70 % leave with up to 4 rows at rate 0.4, with 1 at 0.2, with none at 0.1", most == [0, 1, 4])
    pace = [-np.log(1 - left[i, i]) / (STEPS * rate) for i, rate in enumerate(RATES)]
    words = ", ".join(f"{value:.4f}" for value in pace)
    lab.claim(
        f"escapes per time are equal where rate / n = 0.1 ({words}), within a factor 2", max(pace) < 2 * min(pace)
    )
    lab.claim(
        "from the good minimum not a run is lost at rates 0.1 and 0.2, or with 2 rows or more",
        np.all(lost[1:] == 0) and np.all(lost[:, :2] == 0),
    )
    ended = batches[0, 0, LARGE, 1]
    lab.claim(
        f"of the runs of one row at rate 0.4 over 60 % end in the good minimum ({100 * ended:.0f} %)", ended > 0.6
    )
    bad, good = (row_variance(point) for point in minima())
    lab.claim(
        f"a row's gradient varies by {bad:.2f} in the bad minimum, under a fifth of it in the good one", good < bad / 5
    )
    lab.claim(
        "injected noise leaves it in over 80 % as strong as that of 1 or 2 rows, in none as strong as that of 16",
        np.all(noise[:2, 0, 0] < 0.2) and noise[len(SIZES) - 1, 0, 0] == 1,
    )
    lab.claim(
        "and leaves the good one over twice as often as one row per step", 1 - noise[0, 1, 1] > 2 * lost[0, LARGE]
    )


def escapes(lab: Lab, batches, noise) -> None:
    """What the lecture says of both kinds of noise."""
    left, lost = 1 - batches[:, 0, :, 0], 1 - batches[:, 1, :, 1]
    by_noise, harm, stays = 1 - noise[0, 0, 0], 1 - noise[0, 1, 1], noise[-1, 0, 0]
    words = "noise in the loss, by drawing rows at random, may help to jump out of bad local optima"
    ours = f"at rate {RATES[1]} one row per step leaves the bad one in {left[0, 1]:.0%}, {SIZES[3]} in {left[3, 1]:.0%}"
    lab.statement("Lecture S1", words, ours=ours, verdict="right", holds=left[0, 1] > 0.5 and stays == 1)
    words = "a similar argument holds for noise added to the gradient"
    ours = (
        f"in {by_noise:.0%}, but it leaves the good one too, in {harm:.0%} of the runs; batches in {lost[0, LARGE]:.0%}"
    )
    alike = {"holds": by_noise > 0.5 and harm <= 2 * lost[0, LARGE], "partly": by_noise > 0.5}
    lab.statement("Lecture S1", words, ours=ours, verdict="imprecise", **alike)
    words, found = "stochastic descent finds better local optima than full batches, sometimes", batches[0, 0, LARGE, 1]
    ours = f"{found:.0%} from the bad to the good one; with all rows {1 - stays:.0%} leave"
    lab.statement("Lecture S1", words, ours=ours, verdict="right", holds=found > 0.1 and stays == 1)


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        seeds = 1000 if lab.full else lab.numbers.runs
        batches, noise = mini_batches(seeds), injected(seeds)
        percent = lambda values: [f"{100 * (1 - value):.0f} %" for value in values]  # noqa: E731
        head = ("rows", *(f"bad left, {rate}" for rate in RATES), *(f"good left, {rate}" for rate in RATES))
        lab.table(head, [(n, *percent(b[0, :, 0]), *percent(b[1, :, 1])) for n, b in zip(SIZES, batches, strict=True)])
        strengths = ("1", *(f"1/{n}" for n in SIZES[1:]), "0")
        told = [(s, *percent((row[0, 0], row[1, 1]))) for s, row in zip(strengths, noise, strict=True)]
        lab.table(("injected variance, of a row's", "bad left, 0.4", "good left, 0.4"), told)
        check(lab, batches, noise)
        escapes(lab, batches, noise)
        caption = (
            "The share of runs that leave a bad minimum and a good one, by the rows of a step and by injected noise."
        )
        lab.save(draw(batches, noise), "noise_escapes.png", caption)


if __name__ == "__main__":
    main()
