"""How often a checkpoint is saved."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

WORDS = re.compile(r"(\d+\.?\d*|\.\d+)\s*(s|seconds?|steps?)?")


@dataclasses.dataclass
class Cadence:
    """When the next checkpoint is due: so many seconds after the last one, or at each multiple of so many steps.

    A step is a batch.  `Cadence.read("5")` is every 5 seconds, `Cadence.read("100steps")` every 100 steps, and 0 is never.
    """

    seconds: float = math.inf
    steps: int | None = None
    last: float = 0.0  # seconds of the clock at the last checkpoint

    @classmethod
    def read(cls, text: str) -> Cadence:
        """Raises: ValueError that names `checkpoint_every` and says what is right."""
        found = WORDS.fullmatch(text.strip())
        number, unit = (float(found[1]), found[2] or "s") if found else (math.nan, "")
        if not found or (unit.startswith("step") and number % 1):
            raise ValueError(f"`checkpoint_every` must be seconds, such as 5, or steps, such as 100steps, got {text!r}")
        if not number:
            return cls()
        return cls(steps=int(number)) if unit.startswith("step") else cls(seconds=number)

    def is_due(self, step: int, now: float) -> bool:
        """Whether a checkpoint is due at the end of a segment."""
        return now - self.last >= self.seconds if self.steps is None else step % self.steps == 0

    @property
    def segments(self) -> dict[str, Any]:
        """The arguments of `segments` with which one ends wherever a checkpoint is due."""
        return {} if self.steps is None else {"batches": self.steps, "seconds": 0.0}
