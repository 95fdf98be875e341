"""Does a transformer learn more of a text than counting does?

    python -m experiments.character_model [--out lab] [--full] [--steps 900]

The text is Python's own documentation of its language, about 400,000 characters; it predicts each character of ten topics
that it has not read. n-gram models count what has followed the last n - 1 characters (interpolated Witten-Bell smoothing).
The transformer is small, 2 layers of 64 for 900 steps of 16 windows of 32 characters; with `--full` it has nanoGPT's size on
a CPU, 4 layers of 128 for 4,000 steps of 12 windows of 64, as `gdjax train python-docs --model transformer` does.

Expected: counting gets better up to the 5-gram (2.40, 1.83, 1.53, 1.46 nats per character with Python 3.13). In 900 steps
the small model comes close to the 3-gram (1.89); the large one beats the bigram by 1.08, the 3-gram by 0.51, and the 5-gram
by 0.14 nats. A window begins with one known character, and nothing is better than the bigram there; each character more that
is known helps, and after a few the model is as good as it gets. About 25 s; with `--full` 8 minutes of CPU.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax.plots import style

from .lab import Lab

ORDERS = (2, 3, 4, 5)


@dataclasses.dataclass(frozen=True)
class Numbers:
    steps: int = 900
    """Steps of training, 300 or another multiple of 100."""


class Size(NamedTuple):
    width: int
    layers: int
    context: int
    batch: int
    steps: int
    every: int


SMALL, LARGE = Size(64, 2, 32, 16, 900, 100), Size(128, 4, 64, 12, 4000, 250)


class Learned(NamedTuple):
    """The evaluations of a run, and the nats by position in a window, of the model and of each n-gram model."""

    steps: np.ndarray
    nats: np.ndarray
    by_position: dict[str, np.ndarray]
    sample: str


def train(corpus: gd.data.Corpus, size: Size) -> Learned:
    model = gd.models.transformer(len(corpus.vocabulary), size.context, size.width, size.layers)
    params = jax.tree.map(lambda p: p.astype(jnp.float32), model.init(jax.random.key(0)))
    schedule = gd.schedules.warmup_cosine_decay_schedule(0.0, 4e-3, 100, size.steps, 1e-4)
    is_matrix = lambda params: jax.tree.map(lambda p: p.ndim > 1, params)  # noqa: E731
    optimizer = gd.chain(gd.clip_by_global_norm(1.0), gd.adamw(schedule, b2=0.99, weight_decay=0.1, mask=is_matrix))
    windows = corpus.windows(size.context)
    loss = gd.per_example(
        gd.losses.over_windows(
            gd.supervised(model, gd.softmax_cross_entropy_with_integer_labels), corpus.tokens, size.context
        )
    )
    evaluate = gd.make_evaluate(loss, chunk_size=128)
    how = {"steps": size.steps, "every": size.every, "batch_size": size.batch, "evaluate": evaluate}
    result = gd.fit(loss, params, optimizer, windows.train, windows.validation, **how)
    positions = {"transformer": by_position(model, result.params, corpus, windows.validation, size.context)}
    counted = gd.runs.fit_ngrams(corpus.train, len(corpus.vocabulary), max(ORDERS))
    targets = windows.validation[:, None] - corpus.boundary + np.arange(1, size.context + 1)
    positions |= {f"{n}-gram": counted.nats(corpus.validation, n)[targets].mean(0) for n in ORDERS}
    drawn = gd.models.generate(model, result.params, corpus.vocabulary.encode("\n"), 300, 1, temperature=0.8)
    return Learned(
        size.every * np.arange(1, len(result.history["loss"]) + 1),
        np.asarray(result.history["validation_loss"]),
        positions,
        corpus.vocabulary.decode(drawn),
    )


def by_position(model, params, corpus: gd.data.Corpus, starts: np.ndarray, context: int) -> np.ndarray:
    """The mean nats at each position of a window, (context,)."""
    tokens = jnp.asarray(corpus.tokens[starts[:, None] + np.arange(context + 1)].astype(np.int32))
    loss = lambda x, y: gd.softmax_cross_entropy_with_integer_labels(model.apply(params, x), y)  # noqa: E731
    parts = np.array_split(np.arange(len(tokens)), -(-len(tokens) // 128))
    of_part = jax.jit(jax.vmap(loss))
    return np.concatenate([of_part(tokens[rows, :-1], tokens[rows, 1:]) for rows in parts]).mean(0)


def picture(learned: Learned):
    drawn = style.figure(4.2, "Nats per character on topics that were not read")
    left, right = drawn.subplots(1, 2, sharey=True)
    own, near = learned.by_position["transformer"], {"textcoords": "offset points", "fontsize": style.SMALL}
    left.plot(learned.steps, learned.nats, "o-", color=style.BLUE, ms=3)
    left.annotate("transformer", (learned.steps[2], learned.nats[2]), (6, 4), color=style.BLUE, **near)
    right.plot(np.arange(1, 1 + len(own)), own, color=style.BLUE)
    for order in ORDERS:
        nats = float(learned.by_position[f"{order}-gram"].mean())
        for axes in (left, right):
            axes.axhline(nats, color=style.FAINT, lw=1, zorder=0)
        below = {"ha": "right", "va": "top", "color": style.MUTED, **near}
        left.annotate(f"{order}-gram", (learned.steps[-1], nats), (0, -1), **below)
    for axes, words in ((left, "steps"), (right, "known characters of the window")):
        style.dress(axes)
        axes.set_xlabel(words)
    left.set_ylabel("nats per character")
    return drawn


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        corpus, size = (
            gd.data.read_corpus("python-docs"),
            LARGE if lab.full else SMALL._replace(steps=lab.numbers.steps),
        )
        lab.say(str(corpus))
        learned = train(corpus, size)
        means = {name: float(nats.mean()) for name, nats in learned.by_position.items()}
        own = means.pop("transformer")
        rows = [("transformer", own, None), *((name, nats, nats - own) for name, nats in means.items())]
        lab.table(("model", "nats per character", "lead of the transformer"), rows)
        lab.say("\n".join(f"  | {line}" for line in learned.sample.splitlines()))
        better = [nats - own for nats in means.values()]
        ngrams = list(means.values())
        lab.claim("each longer n-gram model is better than the one before", ngrams == sorted(ngrams, reverse=True))
        lab.claim("the transformer beats the bigram", better[0] > 0)
        if lab.full:
            lab.claim("by 0.9 nats, and the 3-gram by 0.2", better[0] > 0.9 and better[1] > 0.2)
            lab.claim("it beats the 4-gram and the 5-gram, too", min(better[2:]) > 0)
        first, last = (learned.by_position["transformer"][place] for place in (0, slice(8, None)))
        lab.claim("with one known character it is no better than the bigram", first > means["2-gram"] - 0.1)
        lab.claim("from the ninth on it is better by half a nat than there", np.mean(last) < first - 0.5)
        caption = "Nats per character as training goes on, and by how much of a window is known; the lines are n-grams."
        lab.save(picture(learned), "character_model.png", caption)


if __name__ == "__main__":
    main()
