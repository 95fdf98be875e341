"""The length of a run."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from gdjax.domain import as_length

DEFAULT_EPOCHS = 100


@dataclasses.dataclass(frozen=True)
class Length:
    """How long a run is, and how often it is evaluated."""

    epochs: float | None = None
    steps: int | None = None
    every: int | None = None

    def __post_init__(self) -> None:
        if self.epochs is not None and self.steps is not None:
            raise ValueError(f"fit: give epochs or steps, not both, got epochs={self.epochs} and steps={self.steps}")
        epochs = 1.0 if self.epochs is None else self.epochs
        if not (isinstance(epochs, (int, float, np.number)) and 0 < epochs < math.inf):
            must = "finite" if epochs == math.inf else "above 0"
            raise ValueError(f"fit: epochs must be {must}, got {epochs!r}")
        for name in ("steps", "every"):
            if (length := getattr(self, name)) is not None:
                object.__setattr__(self, name, as_length("fit", name, length))

    def batches(self, per_epoch: Any) -> int:
        """The number of batches; a part of a batch counts as one, unless it is the rounding of a product of two numbers."""
        if self.steps is not None:
            return self.steps
        number = float(DEFAULT_EPOCHS if self.epochs is None else self.epochs) * per_epoch
        return round(number) if math.isclose(number, round(number), rel_tol=1e-9) else math.ceil(number)

    def pieces(self, done: int, per_epoch: Any, taken: int = 0) -> list[tuple[int, int]]:
        """(evaluations, batches before each): whole periods, and shorter ones at the ends.

        Args:
            done: batches read at the start of the first piece.
            taken: those of them since the last evaluation, which the first piece counts too; it has nothing else where
                another period, or the end of a shorter run, has been reached within theirs.
        """
        total, period = self.batches(per_epoch), self.every or per_epoch
        first = min(-done % period, total - done)
        whole, last = divmod(total - done - first, period)
        parts = (1, first + taken), (whole, period), (1, last)
        return [(count, size) for count, size in parts if count and size]
