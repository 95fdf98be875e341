"""The range test of learning rates: a few hundred steps at a rate that grows, for all seeds and optimizers at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import Optimizer, as_optimizer, is_number
from gdjax.data import as_rows, num_rows
from gdjax.domain import as_length
from gdjax.drawing import load_plots
from gdjax.programs import compile_once
from gdjax.sweeps.arguments import drawing_of, first_model_state, seeds_of
from gdjax.sweeps.paths import get
from gdjax.sweeps.ramp import Ramp, rate_path, rates_of, with_open_rate, with_rate
from gdjax.sweeps.range_curve import CurveReading, read_curve
from gdjax.sweeps.study import init_key, run_key
from gdjax.training import Step, make_epoch, make_state, make_step
from gdjax.training.arguments import error_context
from gdjax.types import Params, TrainState

WHO = "find_learning_rate"


@dataclasses.dataclass(frozen=True, repr=False)
class RangeTest:
    """What `find_learning_rate` found for one optimizer. `str(test)` says it in a sentence, `plot()` draws it."""

    given: Optimizer
    path: str  # of the rate in the optimizer
    rates: np.ndarray  # (steps,), of each step
    losses: np.ndarray  # (seeds, steps), of each batch before its step; NaN after the lane has ended
    seeds: tuple[int, ...]
    readings: tuple[CurveReading, ...]  # one for each seed

    @property
    def each(self) -> np.ndarray:
        """The suggestion of each seed, (seeds,); NaN where its loss never fell."""
        return np.array([reading.rate for reading in self.readings])

    @property
    def rate(self) -> float | None:
        """The suggestion: the median over the seeds; None if the loss of most of them never fell."""
        known = self.each[np.isfinite(self.each)]
        if not known.size or 2 * len(known) < len(self.seeds):
            return None
        return float(
            np.clip(np.exp(np.median(np.log(known))), known.min(), known.max())
        )  # which holds to the last digit

    @property
    def interval(self) -> tuple[float, float] | None:
        """The least and the greatest suggestion of a seed; None without a suggestion."""
        return None if self.rate is None else (float(np.nanmin(self.each)), float(np.nanmax(self.each)))

    @property
    def optimizer(self) -> Optimizer | None:
        """The given optimizer at the suggested rate; None without one."""
        return None if self.rate is None else with_rate(self.given, self.path, self.rate)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What makes the suggestion doubtful, a sentence each."""
        fell, low, high = self.each[np.isfinite(self.each)], self.rates[0], self.rates[-1]
        rose = [reading.rose for reading in self.readings if reading.fell]
        begun = [reading.begun for reading in self.readings if reading.fell]
        said = []
        if not np.isfinite(self.losses[:, 0]).any():
            said.append(
                "the loss is not finite at the first step, whatever the rate: look for NaN in data and parameters"
            )
        elif self.rate is None:
            diverged = all(reading.rose for reading in self.readings)
            why = "write a smaller lowest=, since it rose" if diverged else "write a larger highest="
            said.append(f"the loss never fell between the rates {low:.3g} and {high:.3g}, so none is suggested; {why}")
        elif len(fell) < len(self.seeds):
            said.append(f"the loss never fell with {len(self.seeds) - len(fell)} of {len(self.seeds)} seeds")
        if fell.size and not any(rose):
            said.append(
                f"the loss never rose again up to {high:.3g}, where the range ended: larger rates may be better"
            )
        if fell.size and not all(begun):
            said.append(f"the loss fell at once, from {low:.3g} on: write a smaller lowest=")
        if not is_number(rate := get({"optimizer": self.given}, self.path)):
            said.append(f"the schedule {rate!r} was not used: the rate is that of a constant one")
        if len(rates := rates_of(self.given)) > 1:
            said.append(f"of {len(rates)} rates only that at {self.path} was varied")
        return tuple(said)

    def __str__(self) -> str:
        name = self.given.recipe.name
        if self.rate is None:
            return "; ".join((f"{name}: no rate", *self.remarks))
        low, high = self.interval or (np.nan, np.nan)
        over = f"{low:.2g} to {high:.2g} over {len(self.seeds)} seeds" if len(self.seeds) > 1 else "of one seed"
        return "; ".join((f"{name}: learning rate {self.rate:.2g} ({over})", *self.remarks))

    def __repr__(self) -> str:
        return f"RangeTest({self.given!r}, rate={self.rate}, interval={self.interval})"

    def plot(self, **options: Any) -> Any:
        """Loss against rate, with the seeds' band, the suggestion and its interval.

        Args:
            options: of `gdjax.plots.range_test` (title).

        Raises: ImportError that says what to install, where matplotlib is missing.
        """
        return load_plots().range_test(self, **options)


def find_learning_rate(
    loss: Any,
    params: Params,
    optimizer: Any,
    data: Any,
    *,
    lowest: float = 1e-7,
    highest: float = 10.0,
    steps: int = 200,
    batch_size: int | None = None,
    order: str = "shuffle",
    seeds: int | Sequence[int] = 8,
    model_state: Any = (),
) -> Any:
    """A learning rate for an optimizer, by a range test: a run whose rate grows geometrically, step by step.

        rate_i = lowest (highest / lowest)^(i / (steps - 1)),        suggestion = min(sum_(i < r) rate_i / 28, rate_(r-1))

    Here r is the step before which the loss, averaged over a tenth of the range, has fallen by nine tenths of the way from
    its first to its least value: at the suggested rate this fall takes about 28 steps, and the run has passed it unharmed.
    The rule is the same for all optimizers. It was chosen on digits and breast_cancer (`experiments.bench.find_lr`), where
    any number from 24 to 28 and any length from 100 to 400 steps do as well. Elsewhere it was within a factor of 3 of the
    best rate of adam, momentum and rmsprop, below that of sgd where the best is just short of divergence, and two to three
    times too high for lion and muon.

    All seeds run as lanes of one program; of several optimizers, those of one structure too. A lane that diverges ends and
    changes no other. Nothing that is given is changed.

    Args:
        loss: as for `fit`.
        params: any pytree; a model or a function of a key, for other initial values with each seed.
        optimizer: one with a learning rate, the outermost of which is varied; several as a dict by name. Schedules of the
            rate are not used.
        data: as for `fit`, in memory.
        lowest, highest: > 0, the first and the last rate.
        steps: at least 10; about 25 for each factor of 10.
        batch_size, order, model_state: as for `fit`.
        seeds: a number n, for 0 to n - 1, or a list. A seed determines order and initial values.

    Returns: a `RangeTest`: rate, interval over seeds, optimizer at that rate, remarks, plot(). Of a dict, a dict of them.

    Raises: ValueError for an optimizer without a learning rate and for a range that does not grow.

    Reference: Smith 2017, "Cyclical learning rates for training neural networks", arXiv:1506.01186, section 3.3; Smith 2018,
    arXiv:1803.09820.

    >>> rows = jnp.linspace(-1.0, 1.0, 64)
    >>> test = gd.find_learning_rate(lambda w, x: jnp.mean((w - 3 - x) ** 2), 0.0, gd.sgd(0.1), rows, seeds=2)
    >>> print(0.01 < test.rate < 1, test.optimizer.recipe.name)
    True sgd
    """
    if not (is_number(lowest) and is_number(highest) and 0 < lowest < highest < np.inf):
        raise ValueError(f"{WHO}: lowest and highest must be rates, 0 < lowest < highest, got {lowest} and {highest}")
    steps, numbers = as_length(WHO, "steps", steps, least=10), tuple(seeds_of(seeds, WHO))
    given = dict(optimizer) if isinstance(optimizer, Mapping) else {"": optimizer}
    named = {name: as_optimizer(each) for name, each in given.items()}
    with error_context(WHO):
        data = as_rows(WHO, data)
        size = min(64, num_rows(data)) if batch_size is None else batch_size
        epoch = make_epoch(loss if isinstance(loss, Step) else make_step(loss), size, order=order, steps=1)
        epoch.batches_per_epoch(data)  # which checks the batch size
        rates = np.geomspace(lowest, highest, steps)
        paths = {name: rate_path(WHO, each) for name, each in named.items()}
        lanes = {name: _lanes(params, each, paths[name], numbers, model_state) for name, each in named.items()}
        losses = _run_all(epoch, lanes, paths, rates, data)
    tests = {
        name: RangeTest(
            each, paths[name], rates, losses[name], numbers, tuple(read_curve(rates, row) for row in losses[name])
        )
        for name, each in named.items()
    }
    return tests if isinstance(optimizer, Mapping) else tests[""]


def _lanes(params: Any, optimizer: Optimizer, path: str, seeds: tuple[int, ...], model_state: Any) -> TrainState:
    """The states of the seeds, stacked."""
    opened = with_open_rate(optimizer, path)
    draw = drawing_of(params)
    model_state = first_model_state(params, model_state)
    states = [make_state(draw(init_key(seed)), opened, run_key(seed), model_state) for seed in seeds]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def _run_all(epoch: Any, lanes: dict[str, TrainState], paths: dict[str, str], rates: Any, data: Any) -> dict[str, Any]:
    """The losses of all lanes by optimizer, (seeds, steps), by one program for each structure."""
    groups: dict[Any, list[str]] = {}
    for name, states in lanes.items():
        leaves, structure = jax.tree.flatten(states)
        groups.setdefault((structure, *((x.shape, str(x.dtype)) for x in leaves)), []).append(name)
    found = {}
    for names in groups.values():
        together = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *(lanes[name] for name in names))
        program = compile_once(Ramp(epoch, f"{paths[names[0]]}.value"))
        losses = np.asarray(program(together, jnp.asarray(rates, float), data))
        found.update(zip(names, np.split(losses, len(names)), strict=True))
    return found
