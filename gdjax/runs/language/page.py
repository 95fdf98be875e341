"""report.html of a run on a text: how well it predicts, beside n-gram models, and what it writes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdjax.runs.assessment.page import fill, versions_of
from gdjax.runs.language.charts import ladder
from gdjax.runs.language.judging import Judgment
from gdjax.types import Stop

if TYPE_CHECKING:
    from gdjax.runs.language.work import LanguageWork
    from gdjax.training import Result


def render(
    folder: Path,
    work: LanguageWork,
    result: Result,
    found: Judgment,
    pictures: Mapping[str, Any],
    scores: Mapping[str, Mapping[str, float]],
    text: str,
) -> str:
    """The page of a run.

    Args:
        folder: of the run, for the commands.
        pictures: those of the run folder, by their file.
        scores: share of the text -> name -> value.
        text: a sample; "" for none.
    """
    drawn = {name.removesuffix(".png"): picture for name, picture in pictures.items()} | {"ladder": ladder(found)}
    said = {"folder": shlex.quote(str(folder)), "work": work, "result": result, "found": found, "scores": scores}
    said |= {"why": _why(work, result), "versions": versions_of(work.config), "pictures": drawn, "text": text}
    return fill("gdjax.runs.language", said)


def _why(work: LanguageWork, result: Result) -> str:
    """Why the run has ended, how much it has read, and of which step the parameters are."""
    end = "It ran to its full length" if result.stop == Stop.BUDGET else f"It ended {result.stop.name}"
    said, best = (
        f"{end}, {result.steps:,} steps, in which {read_so_far(work, result)} were read.",
        result.best_evaluation,
    )
    if best < 0 or not result.run_state.best:
        return said
    step = int(result.history["step"][best])
    return f"{said} The parameters are those of step {step:,}, of the least {result.monitor} ({result.best_value:.4g})."


def read_so_far(work: LanguageWork, result: Result) -> str:
    """How much of the text has been read: so many characters, and how often the training share."""
    units = int(result.run_state.state.batches) * work.job.batch_size * work.text.context
    return f"{units:,} {work.text.unit}, {units / work.text.units['train']:.2g} times the training share,"
