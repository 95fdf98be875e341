"""What a tournament tunes of an optimizer: what its calls declare, by one rule for all.

    a learning rate          log-uniform, within a factor of 30 of the given one: the outermost, or that of its schedule
    a number b in [0, 1)     1 - b log-uniform, within a factor of 3: momenta, and other memories of 1 / (1 - b) steps
    a weight decay above 0   log-uniform, within a factor of 10

What is None or 0 stays so. An optimizer that finds its own rate has fewer of them, or none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from gdjax.calls import Node, Optimizer, is_number, parse
from gdjax.optimizers.request import RATE_ARGUMENTS, catalogue_at, default_rate
from gdjax.sweeps.paths import get, numbers_of, replace
from gdjax.sweeps.ramp import rates_of
from gdjax.sweeps.space import Interval, log_uniform

RATE, MEMORY, DECAY = 30.0, 3.0, 10.0


@dataclasses.dataclass(frozen=True, repr=False)
class OneMinus:
    """The distribution of a number in [0, 1) by its distance from 1."""

    distance: Interval

    def quantile(self, share: float) -> float:
        """The number of which this share is as near to 1, or nearer."""
        return 1 - self.distance.quantile(share)

    def __repr__(self) -> str:
        return f"1 - {self.distance!r}"


def as_competitor(optimizer: Any) -> Any:
    """An optimizer; of a name, or a call as text, that of the catalogue, at its usual rate."""
    if not isinstance(optimizer, str):
        return optimizer
    text = optimizer if "(" in optimizer else f"{optimizer}()"
    return parse(text, catalogue_at(default_rate))


def with_schedule(optimizer: Optimizer, steps: int, schedule: Callable[[float, int], Any] | None) -> Optimizer:
    """The optimizer whose rate, if it is a number, begins this schedule of so many steps."""
    paths = rates_of(optimizer)
    path = min(paths, key=lambda each: each.count("."), default="")
    roots = {"optimizer": optimizer}
    if schedule is None or not path or not is_number(get(roots, path)):
        return optimizer
    return replace(roots, {path: schedule(get(roots, path), steps)})["optimizer"]


def tunables_of(optimizer: Optimizer) -> dict[str, Interval | OneMinus]:
    """Path -> the distribution of its values."""
    roots = {"optimizer": optimizer}
    rate = _rate_number(optimizer)
    found: dict[str, Interval | OneMinus] = {}
    for path, given in numbers_of(roots).items():
        above, _, name = path.rpartition(".")
        call, value = get(roots, above), float(given)
        if path == rate and value > 0:
            found[path] = log_uniform(value / RATE, value * RATE)
        elif isinstance(call, Optimizer) and call.recipe.intervals.get(name) == "[0, 1)" and value > 0:
            found[path] = OneMinus(log_uniform((1 - value) / MEMORY, min(1.0, (1 - value) * MEMORY)))
        elif name == "weight_decay" and value > 0:
            found[path] = log_uniform(value / DECAY, value * DECAY)
    return found


def _rate_number(optimizer: Optimizer) -> str | None:
    """The path to the number that scales the outermost rate; None if there is none."""
    path = min(rates_of(optimizer), key=lambda each: each.count("."), default=None)
    if path is None:
        return None
    rate = get({"optimizer": optimizer}, path)
    if not isinstance(rate, Node):
        return path
    name = next((name for name in RATE_ARGUMENTS if name in rate.arguments), None)
    return None if name is None else f"{path}.{name}"
