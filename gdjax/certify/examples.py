"""The calls of each optimizer, wrapper and transform that are certified and tested by the laws, the simplest first."""

from __future__ import annotations

from collections.abc import Callable

from gdjax.calls import Optimizer
from gdjax.certify.oracles import gather, wrappers
from gdjax.optimizers import OPTIMIZERS

EXAMPLES: dict[str, Callable[[], list[Optimizer]]] = gather("EXAMPLES")
WRAPPER_EXAMPLES: dict[str, Callable[[], list[Optimizer]]] = wrappers.gather("EXAMPLES")


def example_calls(name: str) -> list[Optimizer]:
    """The certified calls of an optimizer, the simplest first; without an entry, its defaults with rate 0.01."""
    return EXAMPLES[name]() if name in EXAMPLES else [OPTIMIZERS[name](0.01)]
