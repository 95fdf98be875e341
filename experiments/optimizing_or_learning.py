"""Is what descent minimizes what is wanted: the loss on a sample, or on its source? And the loss, or the errors?

    python -m experiments.optimizing_or_learning [--out lab] [--full]

Lecture S0: the loss J is an expectation over the training data, p̂_data; wanted is the error over p_data, which generates
them and all new data. What is minimized (cross-entropy) is not what is of interest (accuracy on unseen data), so that the
stop is not set by the gradient's norm. It gives no numbers. Here the source is known: two round normal classes with means
±m, |m| = 1. Both risks of a linear classifier on it are integrals over one normal variable, computed to 1e-12, with no test
set. Descent with all rows learns 60 rows of 20 features; minima of 100 to 1600 rows of 10 features are compared.

Expected: the risk on the 60 rows falls at every step, to 0.002. On the source it is least after 13 steps, 0.43, where the
gradient is 0.11; where that has fallen to 0.01 it is 0.82, in the end 1.5; its errors rise from 20.2 to 22.5 %. At the
minimum of n rows, with p = 11 parameters, the sample's risk lies p/2n below that of the best classifier, the source's p/2n
above (Akaike), within 10 % from 800 rows on: more rows bring the two together, more steps part them. Where a tenth of a
class lies far on the wrong side, the least cross-entropy over the source itself errs in 16.2 %, the least squared error in
16.0 %, another line in 11.3 %. But errors on a sample have gradient 0, so descent needs another loss. About 20 s.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

import gdjax as gd
from gdjax.plots import style
from gdjax.stopping import gradient_norm, never

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    rows: int = 60
    """Rows that descent learns from; more of them, less overfitting."""
    seeds: int = 200
    """Samples of each size, over which the gaps are means."""


NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(100)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
FEATURES, STEPS, RATE = 20, 5000, 0.5
SMALL, SIZES = 10, (100, 200, 400, 800, 1600)


class Source(NamedTuple):
    """A mixture of round normal parts of deviation 1: their shares, labels of -1 or 1, and means."""

    share: np.ndarray
    label: np.ndarray
    mean: np.ndarray


def two_classes(features: int) -> Source:
    return Source(np.full(2, 0.5), np.array([-1, 1]), np.array([[-1], [1]]) * np.eye(features)[0])


def with_outliers() -> Source:
    """In the plane; a tenth of class 1 lies far on the wrong side."""
    return Source(np.array([0.5, 0.45, 0.05]), np.array([-1, 1, 1]), np.array([[-1.5, 0], [1.5, 0], [-6, 6]]))


def draw_rows(source: Source, n: int, rng) -> tuple[np.ndarray, np.ndarray]:
    part = rng.choice(len(source.share), n, p=source.share)
    return source.mean[part] + rng.normal(size=(n, source.mean.shape[1])), source.label[part].astype(float)


def scores(params, x):
    return x @ params[:-1] + params[-1]


def cross_entropy(margin):
    return jax.nn.softplus(-margin)


def squared_error(margin):
    return (1 - margin) ** 2


def on_sample(params, x, y, weights=None, loss=cross_entropy):
    return jnp.average(loss(y * scores(params, x)), weights=weights)


def on_source(params, source: Source, loss: Callable = cross_entropy):
    """The risk over the source: the margin y (w x + b) of each part is normal, with deviation |w|."""
    deviation = jnp.sqrt(jnp.sum(params[:-1] ** 2) + 1e-300)
    margin = (source.label * scores(params, source.mean))[:, None] + deviation * NODES
    return source.share @ (loss(margin) @ WEIGHTS)


def errors_on_source(params, source: Source):
    deviation = jnp.sqrt(jnp.sum(params[:-1] ** 2) + 1e-300)
    return source.share @ norm.cdf(-source.label * scores(params, source.mean) / deviation)


def descend(few: int) -> dict[str, np.ndarray]:
    """Risks along descent with all of a few rows, (STEPS + 1,)."""
    source = two_classes(FEATURES)
    x, y = draw_rows(source, few, np.random.default_rng(1))
    stops = {"stop": never(), "max_steps": STEPS, "record": True}
    path = gd.minimize(on_sample, jnp.zeros(FEATURES + 1), gd.sgd(RATE), args=(x, y), **stops).path
    measures = {
        "sample": lambda params: on_sample(params, x, y),
        "gradient": lambda params: jnp.linalg.norm(jax.grad(on_sample)(params, x, y)),
        "source": lambda params: on_source(params, source),
        "errors": lambda params: errors_on_source(params, source),
        "errors of the rows": lambda params: jnp.mean(y * scores(params, x) <= 0),
    }
    return {name: np.asarray(jax.jit(jax.vmap(f))(path.params)) for name, f in measures.items()}


def gaps(seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """How far the minimum of n rows lies below the best classifier on them, and above it on the source, (sizes, seeds)."""
    source = two_classes(SMALL)
    best = jnp.append(2 * source.mean[1], 0.0)  # the log odds of two round normal classes
    draws = (draw_rows(source, SIZES[-1], np.random.default_rng(seed)) for seed in range(seeds))
    rows = [np.stack(part) for part in zip(*draws, strict=True)]

    def run(n, x, y):
        sample = x, y, jnp.arange(SIZES[-1]) < n
        found = gd.minimize(on_sample, best, gd.newton(), args=sample, stop=gradient_norm(1e-9), max_steps=50).params
        below = on_sample(best, *sample) - on_sample(found, *sample)
        return below, on_source(found, source) - on_source(best, source)

    over_all = jax.vmap(jax.vmap(run, (None, 0, 0)), (0, None, None))
    return jax.device_get(jax.jit(over_all)(np.array(SIZES), *rows))


def minima_of_the_source() -> dict[str, np.ndarray]:
    """The line of the least risk over the source with outliers, by the loss."""
    source = with_outliers()
    starts = jax.random.normal(jax.random.key(0), (32, 3))

    def least(f):
        runs = jax.jit(jax.vmap(lambda start: gd.minimize(f, start, gd.lbfgs(), max_steps=300)))(starts)
        return np.asarray(runs.params[np.nanargmin(runs.value)])

    return {
        "cross-entropy": least(lambda params: on_source(params, source)),
        "squared error": least(lambda params: on_source(params, source, squared_error)),
        "errors": least(lambda params: errors_on_source(params, source)),
    }


def overfitting(lab: Lab) -> dict[str, np.ndarray]:
    path = descend(lab.numbers.rows)
    best, bayes = int(path["source"].argmin()), float(norm.cdf(-1.0))
    chosen = {"best on the source": best, "gradient 0.01": int(np.argmax(path["gradient"] < 0.01)), "end": STEPS}
    table = [(words, at, *(values[at] for values in path.values())) for words, at in chosen.items()]
    lab.table(("", "step", *path), table)
    lab.claim("the risk on the sample falls at every step", np.all(np.diff(path["sample"]) < 0))
    lab.claim("on the source it is least within 100 steps", 5 < best < 100)
    lab.claim("with a gradient over 0.05: its norm does not tell when to stop", path["gradient"][best] > 0.05)
    lab.claim("and over 2.5 times as much in the end", path["source"][-1] > 2.5 * path["source"][best])
    lab.claim(
        "while the sample's is under a tenth of what it was there", path["sample"][-1] < path["sample"][best] / 10
    )
    late = path["source"][chosen["gradient 0.01"]]
    lab.claim("where the gradient is 0.01 the source's is over 1.5 times its least", late > 1.5 * path["source"][best])
    worse = path["errors"][-1] - path["errors"][best]
    lab.claim(f"the errors on the source rise by over 1.5 in a hundred ({100 * worse:.1f})", worse > 0.015)
    lab.claim(
        "those on the sample end at 0, which no classifier has on the source",
        path["errors of the rows"][-1] == 0 < bayes,
    )
    words = "what is minimized is an expectation over the training data, what is wanted is one over their source"
    ours = f"the first falls at every step to {path['sample'][-1]:.2g}, the second rises from step {best} on"
    parted = np.all(np.diff(path["sample"]) < 0) and path["source"][-1] > 1.1 * path["source"][best]
    lab.statement("Lecture S0", words, ours=ours, verdict="right", holds=parted)
    words = "so the stop is not set by the norm of the gradient"
    ours = f"it is {path['gradient'][best]:.2g} where the source's risk is least"
    lab.statement("Lecture S0", words, ours=ours, verdict="right", holds=path["gradient"][best] > 0.05)
    return path


def sizes(lab: Lab, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    below, above = gaps(seeds)
    law = (SMALL + 1) / 2 / np.array(SIZES)
    means = below.mean(axis=1), above.mean(axis=1)
    head = ("rows", "sample below the best", "of p/2n", "source above it", "of p/2n")
    lab.table(head, zip(SIZES, means[0], means[0] / law, means[1], means[1] / law, strict=True))
    lab.claim(
        "for every sample its minimum is below the best classifier, and above it on the source",
        below.min() > 0 < above.min(),
    )
    near = [np.all(np.abs(mean / law - 1)[3:] < 0.15) for mean in means]
    lab.claim("from 800 rows on each by p/2n on average, within 15 %", all(near))
    lab.claim("with fewer the source's by more: over 1.3 times at 100", means[1][0] > 1.3 * law[0])
    return means


def losses_and_errors(lab: Lab) -> dict[str, np.ndarray]:
    source, found = with_outliers(), minima_of_the_source()
    wrong = {name: float(errors_on_source(params, source)) for name, params in found.items()}
    lab.table(
        ("minimum over the source of", "cross-entropy", "errors"),
        [(name, on_source(params, source), wrong[name]) for name, params in found.items()],
    )
    lab.claim("the least errors are 11.3 %, within 0.1", abs(wrong["errors"] - 0.1134) < 0.001)
    least = min(wrong["cross-entropy"], wrong["squared error"])
    lab.claim("the minima of cross-entropy and squared error err in over 15 %", least > 0.15)
    x, y = draw_rows(source, 500, np.random.default_rng(0))
    slope = jax.grad(on_sample)(jnp.array(found["errors"]), x, y, None, lambda margin: jnp.where(margin < 0, 1.0, 0.0))
    lab.claim("on a sample the errors' gradient is 0 everywhere: nothing to descend", np.all(slope == 0))
    words = "cross-entropy is minimized, though accuracy is of interest"
    ours = f"the least cross-entropy errs in {wrong['cross-entropy']:.1%}, the best line in {wrong['errors']:.1%}"
    other = wrong["cross-entropy"] > wrong["errors"] + 0.01
    lab.statement("Lecture S0", words, ours=ours, verdict="right", holds=other)
    return found


def draw_risks(path, means):
    picture = style.figure(4.4, "Descent minimizes the loss of the sample, not of its source")
    left, right = picture.subplots(1, 2)
    step, best = np.arange(1, STEPS + 1), path["source"].argmin()
    left.plot(step, path["sample"][1:], color=style.BLUE, linewidth=2, label="the rows: minimized")
    left.plot(step, path["source"][1:], color=style.VERMILLION, linewidth=2, label="source: wanted")
    left.plot(best, path["source"][best], "o", color=style.VERMILLION, markersize=8, label="its best step")
    left.set(xscale="log", xlabel="step of descent", ylabel="cross-entropy, nats", ylim=(0, 1.7))
    n = np.array(SIZES)
    right.plot(n, means[1], "o", color=style.VERMILLION, label="source, above the best")
    right.plot(n, -means[0], "o", color=style.BLUE, label="n rows, below the best")
    fine = np.geomspace(90, 1800, 100)
    for sign in (1, -1):
        right.plot(fine, sign * (SMALL + 1) / 2 / fine, ":", color=style.INK, label="± p / 2n" if sign > 0 else None)
    right.axhline(0, color=style.MUTED, linewidth=0.8)
    right.set(xscale="log", xlabel="rows n of the sample", ylabel="cross-entropy at the minimum, nats")
    right.set_xticks(SIZES, [str(size) for size in SIZES])
    right.minorticks_off()
    for axes in (left, right):
        style.dress(axes)
        style.rule(axes)
        axes.legend(
            fontsize=style.SMALL,
            frameon=False,
            ncols=2,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.16),
            columnspacing=1.0,
        )
    return picture


def draw_lines(found):
    picture = style.figure(4.6, "The line of the least cross-entropy is not that of the fewest errors")
    axes, source = picture.subplots(), with_outliers()
    x, y = draw_rows(source, 600, np.random.default_rng(0))
    for label, color, mark in ((-1, style.BLUE, "o"), (1, style.ORANGE, "^")):
        axes.plot(
            *x[y == label].T, mark, color=color, markersize=3.5, alpha=0.7, label=f"class {label}".replace("-", "−")
        )
    looks = {
        "cross-entropy": ("-", style.VERMILLION),
        "squared error": (":", style.PURPLE),
        "errors": ("--", style.INK),
    }
    height = np.array([-5, 10])
    for name, (w1, w2, b) in found.items():
        line, color = looks[name]
        wrong = 100 * errors_on_source(found[name], source)
        axes.plot(
            -(w2 * height + b) / w1,
            height,
            line,
            color=color,
            linewidth=2.2,
            label=f"least {name}: {wrong:.1f} % wrong",
        )
    axes.set(xlim=(-9, 5.5), ylim=(-3.8, 9), xlabel="feature 1", ylabel="feature 2")
    style.dress(axes)
    axes.legend(fontsize=style.SMALL, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return picture


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        path, means = overfitting(lab), sizes(lab, 600 if lab.full else lab.numbers.seeds)
        lab.save(
            draw_risks(path, means),
            "optimizing_or_learning.png",
            "Left: the risk on the rows falls, that on their source rises again. Right: the gap closes with more rows.",
        )
        lab.save(
            draw_lines(losses_and_errors(lab)),
            "optimizing_or_learning_errors.png",
            "Two classes with outliers: the lines of the least losses turn toward them, that of the fewest errors does not.",
        )


if __name__ == "__main__":
    main()
