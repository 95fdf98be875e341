"""`gdjax sample RUN`: a text that a model continues."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tyro

from gdjax.cli.errors import option_mistakes
from gdjax.cli.evaluate import open_as
from gdjax.runs import load_text

NAMES = {"prompt", "length", "temperature", "seed"}


@dataclasses.dataclass(frozen=True)
class Sample:
    """Print a prompt, and what the model of a run on a text writes after it."""

    folder: tyro.conf.Positional[Path]
    """A run folder, written by `gdjax train FILE.txt --model transformer`."""
    prompt: str = ""
    """What is continued; a new line if not given."""
    length: int = 500
    """Characters or bytes to draw."""
    temperature: float = 0.8
    """Below 1 likely characters are drawn more often than the model says; 0 takes the likeliest."""
    seed: int = 0
    """Of the draws."""

    def run(self, argv: list[str]) -> int:
        run = open_as(load_text, self.folder)
        with option_mistakes(NAMES):
            print(run.sample(self.prompt, self.length, self.temperature, self.seed))
        return 0
