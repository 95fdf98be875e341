"""Training at a rate that changes from step to step, as lanes of one program; a lane that diverges ends, alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from gdjax.calls import Optimizer
from gdjax.schedules import constant
from gdjax.sweeps.paths import insert, paths_ending, replace
from gdjax.training import Epoch
from gdjax.types import TrainState

FACTOR = 1e3  # a lane has diverged once its loss is so many times the first one's size, and above it itself


def rates_of(optimizer: Optimizer) -> list[str]:
    """The paths to all learning rates of an optimizer, numbers or schedules."""
    return [path for path, rate in paths_ending("learning_rate", {"optimizer": optimizer}) if rate is not None]


def rate_path(who: str, optimizer: Optimizer) -> str:
    """The path to the outermost learning rate of an optimizer, the first of several.   Raises: ValueError without one."""
    paths = rates_of(optimizer)
    if not paths:
        hidden = any(node.recipe.name == "from_optax" for node in optimizer.walk())
        got = (
            "one of Optax, whose numbers are hidden; write gd.adam(...)" if hidden else f"{optimizer!r}, which has none"
        )
        raise ValueError(f"{who}: the optimizer must have a learning_rate to vary, got {got}")
    return min(paths, key=lambda path: path.count("."))


def with_rate(optimizer: Optimizer, path: str, rate: Any) -> Optimizer:
    """The optimizer with another rate there, which may be traced."""
    return insert({"optimizer": optimizer}, {path: rate})["optimizer"]


def with_open_rate(optimizer: Optimizer, path: str) -> Optimizer:
    """The optimizer with a constant schedule as its rate, whose value `Ramp` writes.

    It stands for a number also where the numbers lie in the state, as those of `inject_hyperparams` do.
    """
    return replace({"optimizer": optimizer}, {path: constant(0.0)})["optimizer"]


@dataclasses.dataclass(frozen=True)
class Ramp:
    """The program: (states, rates, data) -> losses.

    A lane is a state; its losses are those of each batch before its step, (lanes, steps), NaN after the lane has ended.
    """

    epoch: Epoch  # of one step
    path: str  # of the rate's value in the optimizer

    def __call__(self, states: TrainState, rates: jax.Array, data: Any) -> jax.Array:
        return jax.vmap(self.run, (0, None, None))(states, rates, data)

    def run(self, state: TrainState, rates: jax.Array, data: Any) -> jax.Array:
        """The losses of one lane, (steps,)."""

        def going(carry):
            i, _, _, diverged = carry
            return (i < len(rates)) & ~diverged

        def advance(carry):
            i, state, losses, _ = carry
            state = state._replace(optimizer=with_rate(state.optimizer, self.path, rates[i]))
            state, metrics = self.epoch(state, data)
            losses = losses.at[i].set(metrics["loss"].astype(losses.dtype))
            bound = FACTOR * jnp.maximum(1, jnp.abs(losses[0]))
            return i + 1, state, losses, ~(jnp.isfinite(losses[i]) & (losses[i] <= bound))

        begin = jnp.int32(0), state, jnp.full(rates.shape, jnp.nan, rates.dtype), jnp.bool_(False)
        return jax.lax.while_loop(going, advance, begin)[2]
