"""The training that all peers do: a network on the handwritten digits, from the same start."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class TrainingCase:
    """A perceptron with rectified units, softmax cross-entropy, Adam; validation after each epoch, the best kept."""

    sizes: tuple[int, ...] = (64, 128, 128, 10)
    batch: int = 64
    epochs: int = 30
    rate: float = 1e-3
    copies: int = 1  # of the 1,438 training rows

    def rows(self) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """((x, y) to train on, (x, y) to validate), float32 in [0, 1] and int32."""
        from sklearn.datasets import load_digits

        table = load_digits()
        x, y = (table.data / 16).astype(np.float32), table.target.astype(np.int32)
        order = np.random.default_rng(0).permutation(len(x))
        train, validation = order[:1438], order[1438:]
        train = np.tile(train, self.copies)
        return (x[train], y[train]), (x[validation], y[validation])

    def start(self) -> list[dict[str, np.ndarray]]:
        """The parameters before the first step: He's normal weights (in, out), and zeros."""
        random = np.random.default_rng(1)
        return [
            {"w": (random.normal(size=(n, m)) * np.sqrt(2 / n)).astype(np.float32), "b": np.zeros(m, np.float32)}
            for n, m in itertools.pairwise(self.sizes)
        ]

    @property
    def steps(self) -> int:
        """Those of a call."""
        return self.epochs * -(-1438 * self.copies // self.batch)

    @classmethod
    def of(cls, fields: dict[str, Any]) -> TrainingCase:
        """From the text of a process."""
        return cls(**{**fields, "sizes": tuple(fields.get("sizes", cls.sizes))})
