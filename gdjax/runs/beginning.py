"""What kind of run the data and the options ask for: one on a table, or one on a text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gdjax.runs.config import DataConfig, RunConfig
from gdjax.runs.defaults import Choice
from gdjax.runs.language.work import LanguageWork, choose_language, is_language
from gdjax.runs.options import TrainOptions
from gdjax.runs.work import Work, choose
from gdjax.tasks import TRAINABLE


def begin(
    data: Any,
    options: TrainOptions,
    command: str,
    before: RunConfig | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Work | LanguageWork:
    """Read the data, and choose what the options leave open.

    Args:
        data: a table as for `pose`, or the path or name of a text.
        command: the words that repeat the run.
        before: the configuration of a run that goes on, which keeps what it has chosen.
        tell: called with a few words on what is being done.

    Raises: ValueError, in one line, for data or an option that cannot be used.
    """
    if is_language(data, options):
        return choose_language(data, options, command)
    for name in ("context", "unit"):
        if getattr(options, name) is not None:
            raise ValueError(f"`{name}` is of a text, which `model=transformer` reads")
    if options.model not in TRAINABLE:
        raise ValueError(f"`model={options.model}` reads a text, such as a file whose name ends in .txt, and no table")
    is_known = before is not None and isinstance(before.data, DataConfig)
    choice = Choice(before.data.numbers, before.weight_decay) if is_known else None  # type: ignore[union-attr]
    return choose(data, options, command, choice, tell)
