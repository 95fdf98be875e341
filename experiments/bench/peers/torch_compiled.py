"""torch with `torch.compile` of the model."""

from __future__ import annotations

from ..training_case import TrainingCase
from . import torch_eager

NAME, PACKAGES = "torch, compiled", ("torch",)


def build(case: TrainingCase):
    return torch_eager.build(case, compiled=True)
