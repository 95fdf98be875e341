"""Optimizers from text, with the learning rate, the schedule and the lengths that the text omits.

Error messages name an argument in backquotes, `learning_rate`, so that the command line can rewrite it as an option.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import jax

from gdjax.calls import Optimizer, Schedule, SpecError, parse
from gdjax.optimizers import OPTIMIZERS, TRANSFORMS, WRAPPERS, by_path, chain, clip_by_global_norm, decay_weights
from gdjax.optimizers.wrappers.accumulate import batches_of
from gdjax.projections import PROJECTIONS
from gdjax.schedules import SCHEDULES, in_epochs

DEFAULT_RATES = {"sgd": 0.1, "momentum": 0.03, "adagrad": 0.03}  # of optimizers whose default differs
USUAL_RATE = 1e-3
# The names that may stand in the call of an optimizer.
PARTS: dict[str, Any] = {
    **PROJECTIONS,
    **WRAPPERS,
    **TRANSFORMS,
    "by_path": by_path,
}
RATE_ARGUMENTS = ("peak_value", "init_value", "value")  # the first of these that a schedule has is its rate
UNDECAYED = ("b", "c", "scale")
LENGTH_ARGUMENTS = ("total_steps", "decay_steps", "transition_steps")


@dataclasses.dataclass(frozen=True)
class OptimizerRequest:
    """An optimizer as text, with a schedule, a learning rate, a decay and clipping."""

    optimizer: str
    schedule: str | None = None  # a call, completed with the learning rate and the length of the run
    schedule_unit: str = "steps"  # unit of the schedule's lengths: steps or epochs
    learning_rate: float | None = None  # rate of the optimizer or the schedule
    weight_decay: float | None = None  # decoupled decay of the weights
    clip: float | None = None  # maximal global norm of the gradient

    def build(self, total_steps: int, steps_per_epoch: int) -> Optimizer:
        """The optimizer, with decay and clipping. Steps are batches, several of which may be accumulated for an update.

        Raises: SpecError with a message of one line, for a bad spec or a rate given twice.
        """
        rates: list[str] = []  # names of the optimizers without a rate, to check that the options are used
        decays: list[str] = []  # names of the calls with a decay
        built = self._parse(rates, decays, total_steps, steps_per_epoch)
        batches = _batches_per_update(built)
        if batches > 1 and self.schedule is not None:  # schedules are read at updates
            built = self._parse(rates, decays, math.ceil(total_steps / batches), steps_per_epoch / batches)
        for name, given in (("learning_rate", self.learning_rate), ("schedule", self.schedule)):
            if given is not None and not rates:
                raise SpecError(f"the rate is given twice: in {self.optimizer!r} and by `{name}`")
        if self.weight_decay is not None and decays:
            raise SpecError(f"the decay is given twice: in {self.optimizer!r} and by `weight_decay`")
        if self.weight_decay is not None:
            built = decay_weights(built, self.weight_decay, mask=weights)
        return built if self.clip is None else chain(clip_by_global_norm(self.clip), built)

    def _parse(self, rates: list[str], decays: list[str], total_steps: int, steps_per_epoch: float) -> Optimizer:
        built = parse(self.optimizer, self._catalogue(rates, decays, total_steps, steps_per_epoch))
        if not isinstance(built, Optimizer):
            raise SpecError(f"`optimizer` must be a call of one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}")
        return built

    def _catalogue(
        self, rates: list[str], decays: list[str], total_steps: int, steps_per_epoch: float
    ) -> dict[str, Callable[..., Any]]:
        def completed(name: str, factory: Callable[..., Any]) -> Callable[..., Any]:
            """The factory, with the rate; its default of the decay gives way to `weight_decay`."""

            @functools.wraps(factory)
            def make(*args: Any, **kwargs: Any) -> Any:
                parameters = inspect.signature(factory).parameters
                given = _given(factory, args, kwargs)
                if given.get("weight_decay"):
                    decays.append(name)
                if name in OPTIMIZERS and "learning_rate" in parameters and "learning_rate" not in given:
                    rates.append(name)
                    kwargs["learning_rate"] = self._rate(name, total_steps, steps_per_epoch)
                own = parameters.get("weight_decay")
                if (
                    self.weight_decay is not None
                    and name in OPTIMIZERS
                    and own
                    and own.default
                    and own.name not in given
                ):
                    kwargs["weight_decay"] = 0.0
                return factory(*args, **kwargs)

            return make

        schedules = {name: factory for name, factory in SCHEDULES.items() if name != "in_epochs"}
        return {**schedules, **{name: completed(name, each) for name, each in {**PARTS, **OPTIMIZERS}.items()}}

    def _rate(self, name: str, total_steps: int, steps_per_epoch: float) -> float | Schedule:
        rate = default_rate(name) if self.learning_rate is None else self.learning_rate
        if self.schedule is None:
            return rate
        by_epoch = self.schedule_unit == "epochs"
        length = total_steps / steps_per_epoch if by_epoch else total_steps
        used: list[str] = []
        schedule = parse(self.schedule, _schedules(rate, length, used))
        if not isinstance(schedule, Schedule):
            raise SpecError(f"`schedule` must be a call of one of {', '.join(SCHEDULES)}, got {self.schedule!r}")
        if self.learning_rate is not None and not used:
            raise SpecError(f"the rate is given twice: in {self.schedule!r} and by `learning_rate`")
        return in_epochs(schedule, steps_per_epoch) if by_epoch else schedule


def _batches_per_update(node: Optimizer) -> int:
    """The number of batches that an optimizer accumulates for an update; a schedule of them counts as 1."""
    taken = [batches_of(each) for each in node.walk() if isinstance(each, Optimizer)]
    return math.prod(int(every) for every in taken if not callable(every))


def default_rate(name: str) -> Any:
    """The default learning rate of an optimizer; None if it has no such argument."""
    rate = inspect.signature(OPTIMIZERS[name]).parameters.get("learning_rate")
    if rate is None:
        return None
    own = 1.0 if rate.default is None else rate.default  # the rate of methods that find their own scale
    return DEFAULT_RATES.get(name, USUAL_RATE if rate.default is rate.empty else own)


def catalogue_at(rate_of: Callable[[str], float]) -> dict[str, Callable[..., Any]]:
    """The catalogue for specs, in which an optimizer without a learning rate gets `rate_of(name)`."""

    def with_rate(factory: Callable[..., Optimizer]) -> Callable[..., Optimizer]:
        first = next(iter(inspect.signature(factory).parameters.values()))

        @functools.wraps(factory)
        def make(*args: Any, **kwargs: Any) -> Optimizer:
            if (
                first.name == "learning_rate"
                and first.default is first.empty
                and "learning_rate" not in _given(factory, args, kwargs)
            ):
                kwargs["learning_rate"] = rate_of(factory.__name__)
            return factory(*args, **kwargs)

        return make

    return {**SCHEDULES, **PARTS, **{name: with_rate(factory) for name, factory in OPTIMIZERS.items()}}


def _schedules(rate: float, length: float, used: list[str]) -> dict[str, Callable[..., Any]]:
    """The catalogue of schedules, in which an omitted rate or length has these values."""

    def with_defaults(factory: Callable[..., Any]) -> Callable[..., Any]:
        names = inspect.signature(factory).parameters
        rate_argument = next((name for name in RATE_ARGUMENTS if name in names), None)
        required = {name for name, p in names.items() if p.default is p.empty}

        @functools.wraps(factory)
        def make(*args: Any, **kwargs: Any) -> Schedule:
            given = _given(factory, args, kwargs)
            if rate_argument is not None and rate_argument not in given:
                used.append(factory.__name__)
                kwargs[rate_argument] = rate
            for name in LENGTH_ARGUMENTS:
                if name in required and name not in given:
                    kwargs[name] = length
            return factory(*args, **kwargs)

        return make

    return {name: with_defaults(factory) for name, factory in SCHEDULES.items() if name != "in_epochs"}


def _given(factory: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name; none if they do not fit, about which the factory has the better words."""
    try:
        return inspect.signature(factory).bind_partial(*args, **kwargs).arguments
    except TypeError:
        return {}


def weights(params: Any) -> Any:
    """The mask of `weight_decay`: weights decay, biases and scales (leaves of these names) do not."""
    return jax.tree_util.tree_map_with_path(lambda path, _: getattr(path[-1], "key", None) not in UNDECAYED, params)
