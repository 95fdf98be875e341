"""The calls that are certified and put under the laws: for each optimizer its plainest, then its other ways."""

from __future__ import annotations

from collections.abc import Callable

from gdjax.calls import Optimizer
from gdjax.certify.oracles import gathered
from gdjax.optimizers import OPTIMIZERS

EXAMPLES: dict[str, Callable[[], list[Optimizer]]] = gathered("EXAMPLES")


def examples(name: str) -> list[Optimizer]:
    """The calls of an optimizer that are certified, its plainest first; without an entry, its defaults at 0.01."""
    return EXAMPLES[name]() if name in EXAMPLES else [OPTIMIZERS[name](0.01)]
