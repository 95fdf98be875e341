"""How far the members of an ensemble disagree on the test rows: what each of them does not know, and averaging hides."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from gdjax.runs.assessment.outcome import Cases
from gdjax.runs.assessment.resampling import Estimate, Resampling, first, share
from gdjax.runs.assessment.wording import brief
from gdjax.runs.prediction import decide

if TYPE_CHECKING:
    from gdjax.runs.folder import LoadedRun


@dataclasses.dataclass(frozen=True)
class Disagreement:
    """The disagreement of k members.

        rows_apart    the share of rows to which not all members give the same class
        divergence    the mean over the rows of H(mean_i p_i) - mean_i H(p_i), the Jensen-Shannon divergence of the members'
                      probabilities, in nats: 0 where all say the same, at most log k
        spread        sqrt of the mean over the rows of mean_i (y_i - mean_j y_j)², in the units of the file: the members'
                      own mean squared error is larger than that of their average by its square

    Args:
        members: k.
        measures: name -> value: the first two of classes (without probabilities the first alone), the last of numbers.

    Reference: Krogh & Vedelsby 1995, "Neural network ensembles, cross validation, and active learning".
    """

    members: int
    measures: dict[str, Estimate]

    def sentence(self) -> str:
        """The measures in words."""
        found = self.measures
        if "spread" in found:
            said = f"differ from each other by a standard deviation of {brief(found['spread'])}"
            return f"Its {self.members} members {said} on the test rows."
        more = f"; their divergence is {brief(found['divergence'])} nats" if "divergence" in found else ""
        said = f"disagree on the class of {brief(found['rows_apart'], 'share')} of the test rows"
        return f"Its {self.members} members {said}{more}."

    def to_json(self) -> dict[str, Any]:
        return {"members": self.members, **{name: each.to_json() for name, each in self.measures.items()}}


def disagreement_of(run: LoadedRun, cases: Cases, resampling: Resampling) -> Disagreement | None:
    """The disagreement of the run's members; None where it has none."""
    each = run.outputs_of_members(cases.x)
    if len(each) < 2:
        return None
    if not run.config.data.target_names:
        return Disagreement(len(each), {"spread": resampling.estimate(each.var(axis=0)[:, None], _root)})
    labels, tables = zip(*(decide(run.config, outputs) for outputs in each), strict=True)
    apart, tables = (np.stack(labels) != labels[0]).any(axis=0), np.stack(tables)
    of_rows = share(apart) if cases.groups is None else resampling.estimate(apart[:, None].astype(float), first)
    found = {"rows_apart": of_rows}
    if tables.shape[2]:
        found["divergence"] = resampling.estimate(divergence(tables)[:, None], first)
    return Disagreement(len(each), found)


def divergence(tables: np.ndarray) -> np.ndarray:
    """The Jensen-Shannon divergence of the members' probabilities (k, n, C) for each row, (n,) in nats."""
    return np.maximum(_entropy(tables.mean(axis=0)) - _entropy(tables).mean(axis=0), 0)


def _entropy(tables: np.ndarray) -> np.ndarray:
    from scipy.special import entr

    return entr(tables).sum(axis=-1)


def _root(means: np.ndarray) -> np.ndarray:
    return np.sqrt(means[..., 0])
