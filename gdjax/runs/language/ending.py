"""What the end of a run on a text adds to its folder: its judgment beside n-gram models, a sample, its page."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gdjax.models import summary
from gdjax.runs.arrays import Kept
from gdjax.runs.ending import Ending, is_good
from gdjax.runs.language.charts import pictures
from gdjax.runs.language.judging import Judgment, judge, scores_of, table_of_scores
from gdjax.runs.language.page import read_so_far, render
from gdjax.runs.language.sampling import sample
from gdjax.runs.language.work import LanguageWork
from gdjax.runs.options import TrainOptions
from gdjax.training import Result

SAMPLED = 400  # units that the report shows


def end_language(
    work: LanguageWork, folder: Path, result: Result, options: TrainOptions, tell: Callable[[str], None]
) -> Ending:
    """Judge a run on a text."""
    objective, data = work.job.objective, work.text
    scores = scores_of(objective, result.params, work.parts)
    drawn, found, page, text = pictures(work, result), None, None, ""
    if is_good(result):
        tell("counting n-grams")
        found = judge(work.corpus, work.parts.validation, data.context, scores["validation"]["loss"])
        if not options.quick:
            tell("drawing a sample")
            text = sample(objective.model, result.params, work.corpus.vocabulary, data.context, length=SAMPLED)
        page = render(folder, work, result, found, drawn, scores, text)
    said = {**scores, "assessment": None if found is None else found.to_json(), "sample": text}
    words, kept = describe(work, result, scores, found, text), Kept(result.params, None, None)
    return Ending(said, kept, work.corpus.vocabulary, drawn, page, words, found.alarm if found else "")


def describe(work: LanguageWork, result: Result, scores: Any, found: Judgment | None, text: str) -> str:
    """The text printed at the end."""
    windows = min(work.text.rows.values())
    return "\n".join(
        [
            str(work.corpus),
            f"{work.job.objective.model}, {summary(result.params).total} parameters, {work.job.optimizer}",
            str(result),
            f"{read_so_far(work, result)} were read",
            "",
            textwrap.indent(table_of_scores(work.text, scores, windows), "  "),
            "",
            *([] if found is None else [found.headline, *found.sentences(), ""]),
            *([] if not text else [textwrap.indent(text.strip("\n"), "  | ", lambda _: True), ""]),
        ]
    )
