"""report.html of a run on a text: how well it predicts, beside n-gram models, and what it writes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdjax.runs.assessment.page import fill, versions_of, why
from gdjax.runs.language.charts import ladder
from gdjax.runs.language.judging import Judgment, name_of

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
    said |= {"why": why(result), "versions": versions_of(work.config), "pictures": drawn, "text": text, "name": name_of}
    return fill("gdjax.runs.language", said)
