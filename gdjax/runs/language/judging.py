"""How good a model of a text is: its nats for each unit of the validation share, beside those of n-gram models."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from gdjax.data import Corpus
from gdjax.runs.config import TextConfig
from gdjax.runs.language.ngrams import fit_ngrams
from gdjax.tasks import Objective
from gdjax.text import table

ORDERS = (2, 3, 4, 5)
CALLED = {2: "bigram"}


@dataclasses.dataclass(frozen=True)
class Judgment:
    """Nats per unit on the validation windows, of the model and of n-gram models that were fitted on the training share.

    Args:
        unit: "character" or "byte".
        units: that are predicted.
        own: nats of the model, the mean over all units.
        others: order of an n-gram model -> its nats, on the same units.
    """

    unit: str
    units: int
    own: float
    others: dict[int, float]

    @property
    def alarm(self) -> str:
        """A sentence if the model is no better than a bigram model; else ""."""
        if self.own < self.others[2]:
            return ""
        pair = f"{self.own:.4g} nats per {self.unit} against {self.others[2]:.4g}"
        return f"the model is no better than a bigram model: {pair}"

    @property
    def headline(self) -> str:
        bits, choices = self.own / math.log(2), math.exp(self.own)
        return (
            f"{self.own:.3f} nats per {self.unit} ({bits:.3f} bits, a perplexity of {choices:.3g}) on {self.units:,} "
            f"{self.unit}s of the validation share."
        )

    def sentences(self) -> list[str]:
        """Which of the model and each n-gram model is better, and by how much."""
        return [self._against(order, nats) for order, nats in self.others.items()]

    def _against(self, order: int, nats: float) -> str:
        lead = nats - self.own
        verdict = "better than" if lead > 0 else "worse than" if lead < 0 else "as good as"
        by = f" by {abs(lead):.3f} nats" if lead else ""
        return f"{verdict.capitalize()} {name_of(order)} model ({nats:.3f} nats per {self.unit}){by}."

    def to_json(self) -> dict[str, Any]:
        others = {f"{order}-gram": nats for order, nats in self.others.items()}
        said = {"headline": self.headline, "alarm": self.alarm, "sentences": [self.headline, *self.sentences()]}
        return {**said, "unit": self.unit, "units": self.units, "nats": self.own, "ngrams": others}


def name_of(order: int) -> str:
    return f"a {CALLED.get(order, f'{order}-gram')}"


def judge(corpus: Corpus, starts: Any, context: int, own: float) -> Judgment:
    """The judgment of a model whose mean nats on these windows are known.

    The n-gram models see the units before each window too, as far as they look back.
    """
    model = fit_ngrams(corpus.train, len(corpus.vocabulary), max(ORDERS))
    targets = (np.asarray(starts)[:, None] - corpus.boundary + np.arange(1, context + 1)).ravel()
    others = {order: float(model.nats(corpus.validation, order)[targets].mean()) for order in ORDERS}
    return Judgment(corpus.vocabulary.unit[:-1], len(targets), own, others)


def scores_of(objective: Objective, params: Any, shares: Any) -> dict[str, dict[str, float]]:
    """The loss and the accuracy on the validation windows, and on as many windows of training, evenly over it."""
    number = min(len(shares.train), len(shares.validation))
    train = np.asarray(shares.train)[np.linspace(0, len(shares.train) - 1, number).astype(int)]
    parts = {"train": train, "validation": shares.validation}
    return {name: objective.scores(params, jax.numpy.asarray(starts)) for name, starts in parts.items()}


def score_lines(data: TextConfig, objective: Objective, params: Any, shares: Any) -> str:
    """A line for each share: the number of windows that are scored, nats per unit, accuracy."""
    scores = scores_of(objective, params, shares)
    return table_of_scores(data, scores, min(len(shares.train), len(shares.validation)))


def table_of_scores(data: TextConfig, scores: dict[str, dict[str, float]], windows: int) -> str:
    head = ("", "windows", f"nats per {data.unit[:-1]}", "accuracy")
    lines: Sequence[tuple[str, ...]] = [
        (name, f"{windows:,}", *(f"{of[each]:.6f}" for each in ("loss", "accuracy"))) for name, of in scores.items()
    ]
    return table([head, *lines], right=(1, 2, 3))
