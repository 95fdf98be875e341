"""Is the gradient of a mini-batch the full gradient on average, and is it normal about it?

    python -m experiments.unbiased_gradient [--out lab]

Lecture S1: the batch gradient is an expected value, where each of the N rows has probability 1/N; a subset of k = 20 rows
approximates it, by the law of large numbers and the central limit theorem; needed are equal probabilities and independent
draws. Its figure shows how the loss surface changes with the subset. It gives no numbers. Here a network 30-8-1, trained for
30 steps, judges 569 tumors; 20,000 batches of 20 rows are drawn in four ways. That no one of 257 parameters is biased is
tested by Hotelling's T², chi-squared with 257 degrees of freedom. The surface is that of the neuron in `noise_escapes`.

Expected: drawn independently, by a shuffle, or as a window at a random place of rows sorted by class, the gradient is
unbiased (p above 0.001), with unequal probabilities it is not (p < 1e-100). So the mean needs equal probabilities alone.
Independence is for the variance, 1/k of a row's: a shuffle has (N - k)/(N - 1) of that, 0.967, a window 1.4 times that.
The mean of M batches nears the full gradient like 1/sqrt(M). Along the full gradient, batches of k rows have the skewness of
single rows, 3.1, over sqrt(k), and their excess kurtosis, 22, over k: a test on 2000 batches refuses that those of 20 rows
are normal, and has nothing against 4096; no distance from the normal exceeds Berry and Esseen's bound. About 12 s.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.lines import Line2D
from scipy import stats

import gdjax as gd
from gdjax import losses, models
from gdjax.data import batch_indices, batches_per_epoch, fit_scaling, load, standardize
from gdjax.plots import style

from .lab import Lab
from .noise_escapes import mean_loss, minima, row_variance, rows


@dataclasses.dataclass(frozen=True)
class Numbers:
    subset: int = 10
    """Rows of the subsets whose loss surfaces are drawn."""


MODEL, K, DRAWS, PATHS = models.mlp((30, 8, None), "tanh"), 20, 20_000, 50
SIZES, TESTED, SHOWN = (1, 4, 20, 64, 256, 1024, 4096), 2000, (1, 20, 256, 4096)
WAYS = ("replacement", "shuffle", "window", "unequal")
SUBSETS = 1000  # of the rows of the neuron


def cross_entropy(params, row):
    x, y = row
    return losses.sigmoid_binary_cross_entropy(MODEL.apply(params, x), y)


def row_gradients() -> np.ndarray:
    """The gradient of each row, sorted by class, at the parameters after 30 steps: (N, parameters)."""
    data = load("breast_cancer")
    order = np.argsort(data.y, kind="stable")
    x, y = data.x[order].astype(float), data.y[order].astype(float)
    rows, start = (standardize(fit_scaling(x), x), y), MODEL.init(jax.random.key(0))
    params = gd.fit(gd.per_example(cross_entropy), start, gd.sgd(0.1), rows, steps=30, batch_size=K).params
    gradients = jax.vmap(jax.grad(cross_entropy), (None, 0))(params, rows)
    return np.concatenate([np.reshape(leaf, (len(x), -1)) for leaf in jax.tree.leaves(gradients)], axis=1)


def drawn(way: str, rows: int, k: int, batches: int = DRAWS) -> np.ndarray:
    """The rows of each batch, (batches, k); by the training loop's own order, the first of each epoch, or by NumPy."""
    rng = np.random.default_rng(k)
    if way == "window":
        return (rng.integers(rows, size=(batches, 1)) + np.arange(k)) % rows
    if way == "unequal":  # the first row half as often as the last
        share = np.linspace(1, 2, rows)
        return rng.choice(rows, (batches, k), p=share / share.sum())
    first = jnp.arange(batches) * batches_per_epoch(rows, k)
    each = jax.vmap(lambda batch: batch_indices(way, jax.random.key(k), batch, rows, k)[0])
    return np.asarray(jax.jit(each)(first))


def batch_gradients(way: str, gradients: np.ndarray) -> np.ndarray:
    """(DRAWS, parameters), the means over batches of K rows."""
    counts = np.zeros((DRAWS, len(gradients)))
    np.add.at(counts, (np.arange(DRAWS)[:, None], drawn(way, len(gradients), K)), 1 / K)
    return counts @ gradients


def biased(means: np.ndarray, full: np.ndarray) -> tuple[float, float, float]:
    """The largest z of a parameter, Hotelling's T² per parameter, and its p."""
    gap, covariance = means.mean(axis=0) - full, np.cov(means.T) / len(means)
    z = gap / np.sqrt(np.diag(covariance))
    squared = gap @ np.linalg.solve(covariance, gap)
    return np.abs(z).max(), squared / len(full), stats.chi2.sf(squared, len(full))


def running_error(means: np.ndarray, full: np.ndarray) -> np.ndarray:
    """The root mean square distance of the mean of 1, 2, ... batches from the full gradient, over the paths."""
    paths = means.reshape(PATHS, -1, means.shape[1]) - full
    averages = np.cumsum(paths, axis=1) / np.arange(1, paths.shape[1] + 1)[:, None]
    return np.sqrt(np.mean(np.sum(averages**2, axis=2), axis=0))


def rows_along(gradients: np.ndarray) -> np.ndarray:
    """Each row's gradient along the full one, of mean 0 and deviation 1."""
    single = gradients @ gradients.mean(axis=0)
    return (single - single.mean()) / single.std()


def batches_along(single: np.ndarray) -> dict[int, np.ndarray]:
    """Batch size -> gradients along the full one, of mean 0 and deviation 1 by the laws."""
    return {k: np.sqrt(k) * single[drawn("replacement", len(single), k)].mean(axis=1) for k in SIZES}


def unbiased(lab: Lab, gradients: np.ndarray) -> np.ndarray:
    full, rows = gradients.mean(axis=0), len(gradients)
    variance = np.sum((gradients - full) ** 2) / rows / K
    table = {}
    for way in WAYS:
        means = batch_gradients(way, gradients)
        table[way] = (*biased(means, full), np.mean(np.sum((means - full) ** 2, axis=1)) / variance)
        if way == "replacement":
            errors = running_error(means, full)
    lab.table(("drawn", "largest z", "T² / parameters", "p", "variance, of 1/k"), [(k, *v) for k, v in table.items()])
    fair = [table[way][2] for way in WAYS[:3]]
    lab.claim("with equal probabilities nothing is biased, by any way of drawing: all p > 0.001", min(fair) > 0.001)
    lab.claim("with unequal ones the gradient is, p < 1e-100", table["unequal"][2] < 1e-100)
    spread = {way: row[3] for way, row in table.items()}
    lab.claim(
        "independent rows have variance 1/k, a shuffle (N - k)/(N - 1) of it, within 2 %",
        abs(spread["replacement"] - 1) < 0.02 and abs(spread["shuffle"] * (rows - 1) / (rows - K) - 1) < 0.02,
    )
    lab.claim("a window of rows sorted by class over 1.25 times it", spread["window"] > 1.25)
    slope = np.polyfit(np.log(np.arange(1, len(errors) + 1)), np.log(errors), 1)[0]
    lab.claim(
        f"the mean of M batches nears the full gradient like M^{slope:.3f}, -1/2 within 0.05", abs(slope + 0.5) < 0.05
    )
    law = np.sqrt(variance / np.arange(1, len(errors) + 1))
    lab.claim("within 15 % of sigma / sqrt(k M) all the way", np.max(np.abs(errors / law - 1)) < 0.15)
    words = "the batch gradient is an expected value, which a random subset approximates (law of large numbers)"
    ours = f"no one of {len(full)} parameters is biased, and the mean of M batches nears it like M^{slope:.2f}"
    mean = min(fair) > 0.001 and abs(slope + 0.5) < 0.05
    lab.statement("Lecture S1", words, ours=ours, verdict="right", holds=mean)
    words = "needed are equal probabilities and independent draws"
    ours = f"the mean needs the first alone; without the second the variance is {spread['window']:.2f} times as large"
    judged = {"holds": min(fair) < 1e-6, "partly": table["unequal"][2] < 1e-100}
    lab.statement("Lecture S1", words, ours=ours, verdict="imprecise", **judged)
    return errors / law[0]


def normal(lab: Lab, gradients: np.ndarray) -> dict[int, np.ndarray]:
    single, sizes = rows_along(gradients), np.array(SIZES)
    values = batches_along(single)
    skew, heavy = (np.array([f(v) for v in values.values()]) for f in (stats.skew, stats.kurtosis))
    laws = stats.skew(single) / np.sqrt(sizes), stats.kurtosis(single) / sizes
    p = np.array([stats.normaltest(v[:TESTED]).pvalue for v in values.values()])
    distance = np.array([stats.kstest(v, "norm").statistic for v in values.values()])
    bound = 0.469 * np.mean(np.abs(single) ** 3) / np.sqrt(sizes)  # Shevtsova 2013
    head = ("rows", "skewness", "law", "excess kurtosis", "law", "p of normality", "distance", "bound")
    lab.table(head, zip(SIZES, skew, laws[0], heavy, laws[1], p, distance, bound, strict=True))
    lab.claim("from 20 rows on the skewness is a row's over sqrt(k), to 0.1", np.max(np.abs(skew - laws[0])[2:]) < 0.1)
    lab.claim("and the excess kurtosis a row's over k, to 0.4", np.max(np.abs(heavy - laws[1])[2:]) < 0.4)
    lab.claim("a test on 2000 batches refuses up to 20 rows as not normal, p < 1e-10", np.all(p[:3] < 1e-10))
    lab.claim("and does not refuse 4096, p > 0.01", p[-1] > 0.01)
    chance = 1.95 / np.sqrt(DRAWS)  # of an empirical distribution, with probability 0.999
    lab.claim("the distance from the normal is within Berry and Esseen's bound", np.all(distance < bound + chance))
    words = "by the central limit theorem"
    of, largest = p[SIZES.index(K)], SIZES[-1]
    ours = f"batches of {K} rows are not normal yet here (p = {of:.0e}), those of {largest} are (p = {p[-1]:.2f})"
    lab.statement("Lecture S1", words, ours=ours, verdict="imprecise", holds=of > 0.01, partly=p[-1] > 0.01)
    return values


def surfaces(lab: Lab[Numbers]) -> None:
    subset = lab.numbers.subset
    bad, data = minima()[0], rows()
    gradient = jax.jit(jax.vmap(jax.grad(mean_loss), (None, 0)))
    chosen = drawn("replacement", len(data[0]), subset, SUBSETS)
    length = np.linalg.norm(gradient(bad, tuple(part[chosen] for part in data)), axis=1)
    said = np.sqrt(2 * row_variance(bad) / subset)
    rms = np.sqrt(np.mean(length**2))
    full = float(jnp.linalg.norm(jax.grad(mean_loss)(bad, data)))
    lab.say(f"  at the bad minimum of all rows: gradient {full:.1e}; of subsets, {rms:.3f}, by the law {said:.3f}")
    lab.claim("no subset has its minimum there: every gradient is over 0.001", full < 1e-8 and length.min() > 0.001)
    lab.claim("their size is sigma / sqrt(k), within 5 %", abs(rms / said - 1) < 0.05)
    words = "the loss surface changes with the subset of the rows, so that a minimum of all may be left (a figure)"
    ours = f"no subset of {subset} has its minimum there; their gradients have the size σ / √k = {said:.2f}"
    left = full < 1e-8 and length.min() > 0.001
    lab.statement("Lecture S1", words, ours=ours, verdict="right", holds=left)
    lab.save(
        draw_surfaces(bad, data, chosen[:3]),
        "unbiased_gradient_surfaces.png",
        "The loss over both weights, of all rows and of three subsets, for which the minimum of all is none.",
    )


def draw_surfaces(bad, data, subsets):
    subset = len(subsets[0])
    picture = style.figure(6.2, "Each subset of the rows has another loss surface")
    w, b = np.linspace(1.2, 4.4, 120), np.linspace(-1.5, 5.2, 120)
    grid = jnp.stack(jnp.meshgrid(w, b), axis=-1)
    over_grid = jax.jit(jax.vmap(jax.vmap(mean_loss, (0, None)), (0, None)))
    parts = [data, *(tuple(part[chosen] for part in data) for chosen in subsets)]
    every = picture.subplots(2, 2, sharex=True, sharey=True)
    for i, (axes, part) in enumerate(zip(every.flat, parts, strict=True)):
        drawn_levels = axes.contourf(w, b, over_grid(grid, part), np.linspace(0, 1, 21), cmap="Blues_r", extend="max")
        step = -2.5 * jax.grad(mean_loss)(bad, part)
        if i:
            look = {"color": style.VERMILLION, "arrowstyle": "-|>", "linewidth": 2.4, "mutation_scale": 16}
            axes.annotate("", bad + step, bad, arrowprops=look)
        axes.plot(*bad, "s", color=style.ORANGE, markeredgecolor="black", markersize=8)
        size = float(jnp.linalg.norm(jax.grad(mean_loss)(bad, part)))
        axes.set_title(
            f"{subset} rows: gradient {size:.2f}" if i else f"all {len(data[0])} rows: gradient 0",
            fontsize=style.NORMAL,
            loc="left",
        )
        style.dress(axes)
    marks = every[0, 0].lines[0], Line2D([], [], color=style.VERMILLION, linewidth=2.4)
    words = "bad minimum of all rows", "downhill from it"
    picture.legend(marks, words, loc="outside lower center", ncols=2, fontsize=style.SMALL, frameon=False)
    for axes in every[1]:
        axes.set_xlabel("w", fontsize=style.NORMAL)
    for axes in every[:, 0]:
        axes.set_ylabel("b", fontsize=style.NORMAL)
    picture.colorbar(drawn_levels, ax=every, label="loss of these rows", ticks=[0, 0.25, 0.5, 0.75, 1])
    return picture


def draw_laws(errors, values):
    picture = style.figure(4.4, "The mean is right from the start, the normal shape comes later")
    left, right = picture.subplots(1, 2)
    batches = np.arange(1, len(errors) + 1)
    left.loglog(batches, errors, color=style.BLUE, linewidth=2, label=f"measured, {PATHS} times")
    left.loglog(batches, batches**-0.5, ":", color=style.INK, linewidth=1.6, label="1 / √M")
    left.set(xlabel=f"batches M of {K} rows", ylabel="error of their mean, of one batch's")
    at = (np.arange(TESTED) + 0.5) / TESTED
    for k, color in zip(SHOWN, (style.SKY, style.BLUE, style.GREEN, style.VERMILLION), strict=True):
        right.plot(
            stats.norm.ppf(at), np.quantile(values[k], at), color=color, linewidth=2, label=f"{k} row{'s' * (k > 1)}"
        )
    right.plot([-3.5, 3.5], [-3.5, 3.5], ":", color=style.INK, linewidth=1.6, label="normal")
    right.set(
        xlabel="quantile of the normal, deviations", ylabel="quantile of the gradients", ylim=(-4, 8), xlim=(-3.5, 3.5)
    )
    for axes in (left, right):
        style.dress(axes)
        style.rule(axes)
        axes.legend(fontsize=style.SMALL, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.18))
    return picture


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        gradients = row_gradients()
        errors = unbiased(lab, gradients)
        values = normal(lab, gradients)
        lab.save(
            draw_laws(errors, values),
            "unbiased_gradient.png",
            "Left: the mean of M batches nears the full gradient. Right: larger batches have gradients nearer to normal.",
        )
        surfaces(lab)


if __name__ == "__main__":
    main()
