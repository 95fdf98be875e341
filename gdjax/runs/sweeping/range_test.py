"""A range test of learning rates on a table: what `gdjax find-lr` does."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any, Literal

from gdjax.runs._train import command_of
from gdjax.runs.options import ModelOptions, TrainOptions
from gdjax.runs.sweeping.options import Space, seeds_of, values_of_option
from gdjax.runs.sweeping.plans import Group, Planning
from gdjax.sweeps import RangeTest, find_learning_rate

OWN = "the optimizer of gdjax train"
LEAST = 10  # steps


@dataclasses.dataclass(frozen=True)
class RangeTestOptions(ModelOptions):
    """The options of a range test: those of `gdjax train`, but for the learning rate, which it finds."""

    ensemble: int | None = 1
    """Networks that are averaged."""
    tune: Literal["none"] = "none"  # type: ignore[assignment]
    """Nothing else is chosen."""
    optimizer: str | None = None
    """A call such as "adam(b1=0.95)", or several: "sgd,momentum(decay=0.9),adam". If not given: that of `gdjax train`."""
    seeds: str = "8"
    """Of first parameters and orders: 8 are those from 0 to 7, and 3,5,8 are these."""
    lowest: float = 1e-7
    """The rate of the first step."""
    highest: float = 10.0
    """The rate of the last step."""
    ramp: int = 200
    """Steps of the test, in which the rate grows from the lowest to the highest."""
    plot: Path | None = None
    """A .png to draw the loss against the rate into."""


@dataclasses.dataclass(frozen=True, eq=False)
class FoundRates:
    """The range test of each optimizer, and the `gdjax train` with what it suggests."""

    tests: dict[str, RangeTest]
    commands: dict[str, str]

    @property
    def failed(self) -> bool:
        """Whether no rate is suggested to any."""
        return all(test.rate is None for test in self.tests.values())

    def __str__(self) -> str:
        said = {name: str(test).partition(":")[2] for name, test in self.tests.items()}
        return "\n".join(f"{name}:{found}\n  {self.commands[name]}" for name, found in said.items())


def find_rates(data: Any, options: RangeTestOptions) -> FoundRates:
    """Test the rates of each optimizer.

    Raises: ValueError, in one line, for a table or an option that cannot be used.
    """
    _check(options)
    names = [None] if options.optimizer is None else values_of_option("optimizer", options.optimizer)
    seeds = seeds_of(options.seeds)
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(ModelOptions)}
    split = seeds[0] if options.split_seed is None else options.split_seed
    base = TrainOptions.named("find-lr", {**given, "optimizer": names[0], "split_seed": split})
    any_rate = None if names[0] else 1.0  # without one, a linear model would have lbfgs
    planning = Planning.of(data, Space(dataclasses.replace(base, learning_rate=any_rate), {}, seeds))
    tests: dict[str, RangeTest] = {}
    for group in planning.groups([{"optimizer": name} for name in names]):
        tests |= _test(group, [names[i] for i in group.numbers], options, seeds)
    commands = {}
    for name in names:
        rate = tests[name or OWN].rate
        own = dataclasses.replace(base, optimizer=name, learning_rate=None if rate is None else float(f"{rate:.2g}"))
        commands[name or OWN] = command_of(data, own)
    return FoundRates({name or OWN: tests[name or OWN] for name in names}, commands)


def _check(options: RangeTestOptions) -> None:
    for name in ("learning_rate", "schedule"):
        if getattr(options, name) is not None:
            raise ValueError(f"`{name}` cannot be given: find-lr finds the rate of a constant one")
    if not 0 < options.lowest < options.highest < math.inf:
        raise ValueError(f"`lowest` must be above 0, and below {options.highest:g}, got {options.lowest:g}")
    if options.ramp < LEAST:
        raise ValueError(f"`ramp` must be at least {LEAST}, got {options.ramp}")


def _test(group: Group, names: list[str | None], options: RangeTestOptions, seeds: Any) -> dict[str, RangeTest]:
    """The tests of optimizers that share a loss, a batch size and an order."""
    return find_learning_rate(
        group.step,
        group.init,
        {name or OWN: job.optimizer for name, job in zip(names, group.jobs, strict=True)},
        group.encoded.parts.train,
        lowest=options.lowest,
        highest=options.highest,
        steps=options.ramp,
        batch_size=group.job.batch_size,
        order=group.job.order,
        seeds=seeds,
        model_state=group.job.objective.model.init_state(),
    )
