"""The tables of all optimizers, wrappers and transforms: name -> factory, as `gdjax.optimizers` lists them."""

from __future__ import annotations

from collections.abc import Callable

from gdjax import optimizers
from gdjax.calls import Optimizer


def _factories_of(*rooms: str) -> dict[str, Callable[..., Optimizer]]:
    """Name -> factory, for the optimizers of these packages and modules."""
    names = (name for name, place in optimizers.ON_FIRST_TOUCH.items() if place.split(".")[2] in rooms)
    offered = {name: getattr(optimizers, name) for name in names}
    return {name: x for name, x in offered.items() if getattr(getattr(x, "recipe", None), "kind", None) is Optimizer}


OPTIMIZERS = _factories_of("first_order", "second_order")
WRAPPERS = _factories_of("linesearch", "wrappers")
TRANSFORMS = _factories_of("transforms")
LIFTED = _factories_of("of_optax")
