"""What does batch norm lose in small batches, which layer norm does not?

    python -m experiments.small_batch_norm [--out lab] [--full]

Lecture S0: a very small batch may be problematic with other techniques like batch normalization. It gives no numbers. Here a
network 64-64-10 learns the digits from 1400 rows by 1000 steps of Adam, with batches of 1 to 64 rows: as it is, with layer
norm, and with batch norm before its ReLUs. Layer norm sees one example at a time, so it is the measure of what small batches
cost anyway. Seeds draw weights and batches, the same for all.

One row has no variance: batch norm leaves its running statistics as they are, mean 0 and variance 1, and the network learns
as one without a norm. Of two rows every feature becomes +1 and -1, up to epsilon, whatever the rows are; the network learns
from which of the two was larger, and is judged with running statistics, on numbers that it has never seen the like of.

Expected: with 4 rows the loss of others is 1.3 times that of layer norm, with two 3 times (0.42 against 0.14), more than
with one (0.27; 0.28 without a norm). From 8 rows on both norms are alike, and better than none. So the lecture's statement
holds here for fewer than 8 rows; with more, the noise of the statistics does no harm on these data. About 20 s.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax import losses, metrics, models
from gdjax.data import batch_indices, take
from gdjax.plots import style

from .batch_size import digits
from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    rate: float = 2e-3
    """The rate of Adam."""
    steps: int = 1000
    """Its steps."""


SIZES = (1, 2, 4, 8, 16, 64)
NORMS = {"none": None, "layer norm": models.layer_norm(64), "batch norm": models.batch_norm(64)}
COLORS = {"none": style.INK, "layer norm": style.BLUE, "batch norm": style.VERMILLION}


def network(norm) -> gd.models.Model:
    between = (models.activation("relu"),) if norm is None else (norm, models.activation("relu"))
    return models.serial(models.dense(64, 64, models.he_normal()), *between, models.dense(64, 10))


def runs(norm, numbers: Numbers, seeds: int) -> dict[str, np.ndarray]:
    """What is measured -> (sizes, seeds): losses of the last steps' batches, of all training rows, and of others."""
    model, (train, others) = network(norm), digits()
    loss = gd.per_example(
        gd.supervised(model, losses.softmax_cross_entropy_with_integer_labels, {"accuracy": metrics.correct})
    )
    step, evaluate = gd.make_step(loss), gd.make_evaluate(loss)

    def run(key, size):
        for_start, for_order, for_run = jax.random.split(key, 3)
        state = gd.make_state(model.init(for_start), gd.adam(numbers.rate), for_run, model.init_state())

        def advance(state, i):
            rows, _ = batch_indices("replacement", for_order, i, len(train[1]), max(SIZES))
            state, measured = step(state, take(train, rows), jnp.arange(max(SIZES)) < size)  # masked rows do not count
            return state, measured["loss"]

        state, seen = jax.lax.scan(advance, state, jnp.arange(numbers.steps))
        of_all, of_others = (evaluate(state.params, rows, state.model_state) for rows in (train, others))
        return {
            "batches": seen[-200:].mean(),
            "training": of_all["loss"],
            "others": of_others["loss"],
            "errors": 1 - of_others["accuracy"],
        }

    over_all = jax.vmap(jax.vmap(run, (0, None)), (None, 0))
    return jax.device_get(jax.jit(over_all)(jax.random.split(jax.random.key(0), seeds), jnp.array(SIZES)))


def features(size: int) -> tuple[np.ndarray, np.ndarray]:
    """A feature of 256 rows in a fresh network: normalized by all of these rows, and by those of its batch alone."""
    dense, norm, key = models.dense(64, 1), models.batch_norm(1), jax.random.key(1)
    params, state = norm.init(key), norm.init_state()
    values = dense.apply(dense.init(key), digits()[0][0][:256]).reshape(-1, size, 1)
    by_all, _ = norm.apply_with_state(params, state, values, key)  # over both axes
    by_batch, _ = jax.vmap(lambda rows: norm.apply_with_state(params, state, rows, key))(values)
    return np.asarray(by_all).ravel(), np.asarray(by_batch).ravel()


def judge(lab: Lab, found: dict[str, dict[str, np.ndarray]]) -> None:
    losses_of = {name: measured["others"].mean(axis=1) for name, measured in found.items()}
    mean = {name: measured.mean(axis=1) for name, measured in found["batch norm"].items()}
    off = [np.sqrt(np.mean((np.subtract(*features(size))) ** 2)) for size in SIZES]
    columns = (
        "rows",
        *(f"loss, {name}" for name in NORMS),
        "errors, batch norm",
        "loss of its batches",
        "features off by",
    )
    lab.table(columns, list(zip(SIZES, *losses_of.values(), mean["errors"], mean["batches"], off, strict=True)))
    ratio = dict(zip(SIZES, losses_of["batch norm"] / losses_of["layer norm"], strict=True))
    alone = losses_of["batch norm"][0]
    lab.claim("one row: as without a norm, to a quarter", abs(np.log(alone / losses_of["none"][0])) < 0.25)
    lab.claim("and with two rows it is worse than with one", losses_of["batch norm"][1] > 1.2 * alone)
    _, pairs = features(2)
    lab.claim("of two rows, features are 1 and -1", np.mean(np.abs(np.abs(pairs) - 1) < 0.05) > 0.9)
    lab.claim("two rows: over twice the loss of layer norm", ratio[2] > 2)
    lab.claim("four rows: more than layer norm, by less than two thirds", 1.0 < ratio[4] < 5 / 3)
    lab.claim(
        "from eight rows on at most 1.3 times that of layer norm", max(x for n, x in ratio.items() if n >= 8) < 1.3
    )
    words = "a very small batch may be problematic with batch normalization"
    ours = f"with 2 rows {ratio[2]:.1f} times the loss of layer norm, with 4 {ratio[4]:.1f}, with 8 {ratio[8]:.2g}"
    lab.statement("Lecture S0", words, ours=ours, verdict="right", holds=ratio[2] > 2)


def draw(found: dict[str, dict[str, np.ndarray]]):
    picture = style.figure(4.4, "In small batches batch norm loses what layer norm keeps")
    left, right = picture.subplots(1, 2)
    for name, measured in found.items():
        left.plot(SIZES, measured["others"].mean(axis=1), "o-", color=COLORS[name], markersize=4, label=name)
    left.set(xscale="log", yscale="log", ylim=(0.02, 3), xlabel="rows in a batch", ylabel="loss of others")
    left.set_xticks(SIZES, map(str, SIZES))
    left.minorticks_off()
    left.set_title("at the end", fontsize=style.NORMAL, loc="left")
    for size, color in ((2, style.VERMILLION), (4, style.ORANGE), (32, style.SKY)):
        right.plot(*features(size), ".", color=color, markersize=4, label=f"{size} rows")
    right.axline((0, 0), slope=1, color=style.INK, linewidth=1)
    right.set(xlabel="normalized by 256 rows", ylabel="normalized by its batch")
    right.set_title("a feature", fontsize=style.NORMAL, loc="left")
    for axes in (left, right):
        axes.legend(fontsize=style.SMALL, frameon=False)
        style.dress(axes)
    return picture


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        found = {name: runs(norm, lab.numbers, 10 if lab.full else 3) for name, norm in NORMS.items()}
        judge(lab, found)
        lab.save(
            draw(found),
            "small_batch_norm.png",
            "Left: the loss by the rows of a batch. Right: features normalized by their batch and by all rows.",
        )


if __name__ == "__main__":
    main()
