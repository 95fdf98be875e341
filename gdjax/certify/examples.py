"""The calls that are certified and put under the laws: of each optimizer, wrapper and transform, its plainest first."""

from __future__ import annotations

from collections.abc import Callable

from gdjax.calls import Optimizer
from gdjax.certify.oracles import gather, wrappers
from gdjax.optimizers import OPTIMIZERS

EXAMPLES: dict[str, Callable[[], list[Optimizer]]] = gather("EXAMPLES")
WRAPPER_EXAMPLES: dict[str, Callable[[], list[Optimizer]]] = wrappers.gather("EXAMPLES")


def example_calls(name: str) -> list[Optimizer]:
    """The calls of an optimizer that are certified, its plainest first; without an entry, its defaults at 0.01."""
    return EXAMPLES[name]() if name in EXAMPLES else [OPTIMIZERS[name](0.01)]
