"""The memory that a step, an epoch or a run takes at most, read from its compiled program."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.stages import Compiled

from gdjax.text import table
from gdjax.types import RunState, TrainState


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes on each device while a program runs that its state is donated to; `str` of it is a table.

    `program` is what the compiled program says of itself: its arguments, what it returns besides them, and what it computes
    with. The others are its parts.
    """

    parameters: int
    best: int  # the parameters and the model state that a run keeps
    optimizer: int  # its state and its numbers
    rows: int  # the data, or the batch
    gradients: int  # one for each parameter; 0 to the extent that the program makes do without
    activations: int  # and what else it computes with
    other: int  # model state, history, keys, counters
    program: int

    def __str__(self) -> str:
        numbers = dataclasses.asdict(self)
        total = numbers.pop("program")
        lines = [(name, _megabytes(number)) for name, number in numbers.items() if number]
        return table([("memory", "MB"), *lines, ("at most", _megabytes(total))], right=(1,))


def memory(program: Callable[..., Any], state: TrainState | RunState, *args: Any) -> Memory:
    """Compile a step, an epoch or a run for these arguments, without running it, and read what it takes.

    Args:
        program: of `make_step`, `make_epoch` or `make_run`; it is compiled with the state donated, as a run does it.
        state: the TrainState of a step or an epoch, the RunState of a run.
        args: what follows the state in a call of the program: the batch, or the data.

    Raises: NotImplementedError where the backend does not say what a program takes.

    >>> step = gd.make_step(lambda w, rows: jnp.mean((rows @ w) ** 2))
    >>> found = gd.training.memory(step, gd.make_state(jnp.ones(250), gd.adam(0.1)), jnp.ones((1000, 250)))
    >>> print(found.parameters, found.rows, found.program < 1_100_000)
    1000 1000000 True
    """
    return read_memory(jax.jit(program, donate_argnums=0).lower(state, *args).compile(), state, *args)


def read_memory(compiled: Compiled, state: TrainState | RunState, *args: Any) -> Memory:
    """What a compiled program takes, whose state is donated to it."""
    said = compiled.memory_analysis()
    if said is None:
        raise NotImplementedError(f"memory: the backend {jax.default_backend()} does not say what a program takes")
    train: TrainState = getattr(state, "state", state)  # type: ignore[assignment]
    parameters, rows = _bytes(train.params), _bytes(args)
    best = _bytes(state.best) if isinstance(state, RunState) else 0
    optimizer = _bytes((train.opt_state, train.optimizer))
    gradients = min(parameters, said.temp_size_in_bytes)
    returned = max(0, said.output_size_in_bytes - said.alias_size_in_bytes)
    return Memory(
        parameters=parameters,
        best=best,
        optimizer=optimizer,
        rows=rows,
        gradients=gradients,
        activations=said.temp_size_in_bytes - gradients,
        other=_bytes(state) - parameters - best - optimizer + returned,
        program=said.argument_size_in_bytes + returned + said.temp_size_in_bytes,
    )


def _bytes(x: Any) -> int:
    return sum(map(bytes_of, jax.tree.leaves(x)))


def bytes_of(leaf: Any) -> int:
    """Bytes of an array on each device that holds a part of it."""
    if not isinstance(leaf, jax.Array):
        return leaf.nbytes if hasattr(leaf, "nbytes") else np.asarray(leaf).nbytes
    here = math.prod(leaf.sharding.shard_shape(leaf.shape))
    return leaf.nbytes * here // leaf.size if leaf.size else 0


def _megabytes(number: int) -> str:
    return f"{number / 1e6:.2f}"
