"""The run beside other models on the same rows: by how much it is better, and whether that is more than chance."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from gdjax.runs.assessment.outcome import Cases, Outcome
from gdjax.runs.assessment.resampling import Estimate, Resampling, first, share
from gdjax.runs.assessment.wording import brief, measure_words

# The scores of a task, the first of which decides, with the loss of a row that each averages.
SCORES = {"log_loss": "log_loss", "accuracy": "error", "rmse": "square", "mae": "absolute"}
HIGHER = ("accuracy",)  # is better
EVEN = "no clear difference"


@dataclasses.dataclass(frozen=True)
class Standing:
    """A model's scores, and by how much the run is ahead of it.

    Args:
        name, how: of the model.
        scores: by name; the first decides.
        lead: of the run over it in each score, positive where the run is better; of none for the run itself.
    """

    name: str
    how: str
    scores: dict[str, Estimate]
    lead: dict[str, Estimate]

    @property
    def verdict(self) -> str:
        """Of the run, by the first score: "better", "worse" or EVEN; "" for the run itself."""
        return decide(next(iter(self.lead.values()))) if self.lead else ""

    def sentence(self) -> str:
        """Which of the two is better, and whether that is significant."""
        said = [_ahead(score, lead) for score, lead in self.lead.items() if score != "mae"]
        if self.verdict == EVEN:
            return f"Not clearly different from {self.name}: {'; '.join(said)}."
        return f"{self.verdict.capitalize()} than {self.name}: {'; '.join(said)}."

    def to_json(self) -> dict[str, Any]:
        said = {name: each.to_json() for name, each in self.scores.items()}
        ahead = {name: each.to_json() for name, each in self.lead.items()}
        return {"name": self.name, "how": self.how, "scores": said} | (
            {"lead": ahead, "verdict": self.verdict} if ahead else {}
        )


def decide(lead: Estimate) -> str:
    """Whether the 95 % interval of a lead excludes 0."""
    return "better" if lead.low > 0 else "worse" if lead.high < 0 else EVEN


def _ahead(score: str, lead: Estimate) -> str:
    """By how much the run is higher or lower in a score, such as "its RMSE is lower by 2.1 (0.8 to 3.4), significant"."""
    if lead.value == lead.low == lead.high == 0:
        return f"its {measure_words(score)} is the same"
    direction = "higher" if (score in HIGHER) == (lead.value >= 0) else "lower"
    size = lead if lead.value >= 0 else Estimate(-lead.value, -lead.high, -lead.low)
    said = brief(size, score)
    said = f"{said.replace(' %', '')} percentage points" if score in HIGHER else said
    return f"its {measure_words(score)} is {direction} by {said}, {'not ' * (decide(lead) == EVEN)}significant"


def compare(cases: Cases, outcomes: list[Outcome], resampling: Resampling) -> list[Standing]:
    """The standings of the first outcome, which is the run's, and of the others beside it.

    Leads are those of the same rows: the interval is that of the paired difference.
    """
    own, standings = outcomes[0].losses(cases.y), []
    for outcome in outcomes:
        losses = outcome.losses(cases.y)
        names = [name for name, loss in SCORES.items() if loss in losses and loss in own]
        scores = {name: score_of(name, losses[SCORES[name]], resampling, cases.groups is None) for name in names}
        pairs = {name: np.stack([losses[SCORES[name]], own[SCORES[name]]], axis=1) for name in names}
        leads = {} if outcome is outcomes[0] else {name: _lead(name, pairs[name], resampling) for name in names}
        standings.append(Standing(outcome.name, outcome.how, scores, leads))
    return standings


def score_of(name: str, loss: np.ndarray, resampling: Resampling, independent: bool) -> Estimate:
    """A score from the losses of the rows, with its interval: exact for the accuracy of independent rows."""
    if name == "accuracy" and independent:
        return share(loss == 0)
    if name == "accuracy":
        return resampling.estimate(1 - loss[:, None], first)
    return resampling.estimate(loss[:, None], lambda means: scale_of(name, means[..., 0]))


def scale_of(name: str, means: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(means, 0)) if name == "rmse" else means


def _lead(name: str, pairs: np.ndarray, resampling: Resampling) -> Estimate:
    return resampling.estimate(pairs, lambda means: scale_of(name, means[..., 0]) - scale_of(name, means[..., 1]))
