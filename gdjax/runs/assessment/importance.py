"""What each column is worth: how much worse the run gets where the column's cells are dealt anew to the test rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from gdjax.runs.assessment.comparison import SCORES, scale_of
from gdjax.runs.assessment.outcome import Cases, outcome_of
from gdjax.runs.assessment.resampling import Estimate, Resampling

if TYPE_CHECKING:
    from gdjax.runs.folder import LoadedRun

REPEATS = 5
MOST_ROWS, LEAST_ROWS = 5000, 200  # test rows, a sample by the seed of a larger number
PREDICTIONS = 1_000_000  # of which there are at most, where this leaves LEAST_ROWS


@dataclasses.dataclass(frozen=True)
class Importance:
    """Permutation importance of the columns of the file.

    Args:
        score: what gets worse: "log_loss", "error" or "rmse".
        columns: its increase by column, largest first, in the mean over REPEATS permutations.
        rows, of_rows: how many of how many test rows were used.
    """

    score: str
    columns: tuple[tuple[str, Estimate], ...]
    rows: int
    of_rows: int

    def to_json(self) -> dict[str, object]:
        of_columns = [{"column": name, **each.to_json()} for name, each in self.columns]
        return {"increase_of": self.score, "columns": of_columns, "rows": self.rows, "repeats": REPEATS}


def importance_of(
    run: LoadedRun, cases: Cases, own: dict[str, np.ndarray], seed: int, tell: Callable[[str], None] = lambda _: None
) -> Importance:
    """Permute the features of one column after the other among the test rows.

    Columns that say the same share their importance: without one of them the other still tells it.

    Args:
        own: the losses of the run in each case, by name.

    Reference: Breiman 2001, "Random forests", section 10.
    """
    tell("measuring what each column is worth")
    spans, random = run.encoding.spans, np.random.default_rng([seed, 1])
    most = max(LEAST_ROWS, min(MOST_ROWS, PREDICTIONS // (REPEATS * len(spans))))
    sample = np.sort(random.permutation(len(cases.y))[:most])
    x, y = cases.x[sample], cases.y[sample]
    score, kind = next((name, loss) for name, loss in SCORES.items() if loss in own)
    orders = [random.permutation(len(y)) for _ in range(REPEATS)]
    columns = [own[kind][sample], *(_losses(run, x, y, span, orders, kind) for span in spans.values())]
    resampling = Resampling(len(y), seed, None if cases.groups is None else cases.groups[sample])

    def increase(means: np.ndarray) -> np.ndarray:
        scaled = scale_of(score, means)
        return scaled[..., 1:] - scaled[..., :1]

    found = resampling.estimates(np.stack(columns, axis=1), increase)
    by_column = sorted(zip(spans, found, strict=True), key=lambda each: -each[1].value)
    return Importance("error" if score == "accuracy" else score, tuple(by_column), len(y), len(cases.y))


def _losses(
    run: LoadedRun, x: np.ndarray, y: np.ndarray, span: slice, orders: list[np.ndarray], kind: str
) -> np.ndarray:
    """The loss of each row where a column's features are permuted, in the mean over the permutations."""
    tables = np.tile(x, (len(orders), 1, 1))
    for table, order in zip(tables, orders, strict=True):
        table[:, span] = x[order, span]
    losses = outcome_of(run, tables.reshape(-1, x.shape[1])).losses(np.tile(y, len(orders)))[kind]
    return losses.reshape(len(orders), len(y)).mean(axis=0)
