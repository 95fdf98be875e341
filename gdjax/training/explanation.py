"""Where the tensors of a run live, what its devices exchange in a step, and which work is done more than once."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jax.stages import Lowered

from gdjax.data.shards import Shards
from gdjax.text import listing, table
from gdjax.training._memory import Memory, bytes_of, read_memory
from gdjax.training._placement import Placement
from gdjax.training.collectives import Collective, devices_of, find_collectives
from gdjax.training.epoch import Epoch
from gdjax.training.products import work_ratio
from gdjax.training.run import Run
from gdjax.training.staged import Staged
from gdjax.tree import dotted_path
from gdjax.types import RunState, TrainState

SHOWN = 12  # tensors of each kind, the largest
LARGE = 0.01  # of the bytes of all: what is shown, and remarked
REPEATED = 1.1  # of the work of one device: what is remarked


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An array of a run."""

    kind: str  # "parameter", "optimizer", "model state" or "rows"
    name: str
    shape: tuple[int, ...]
    dtype: str
    where: str  # its PartitionSpec, "whole" on every device, "one device" or "host"
    bytes: int  # on each device that has a part of it


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What `explain_placement` returns; `str` of it is a page."""

    devices: int
    batch_size: int
    tensors: tuple[Tensor, ...]
    collectives: tuple[Collective, ...]  # of one step
    memory: Memory  # on each device, during one step
    work: float | None  # operations of all devices in matrix products, over those of one device alone; None: not known
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        devices = f"{self.devices} device{'s' * (self.devices > 1)}, a batch of {self.batch_size} rows"
        repeated = "" if self.work is None else f"; in matrix products all do {self.work:.2f} times the work of one"
        warned = [f"warning: {each}" for each in self.warnings]
        parts = [devices + repeated, self._tensors(), self._exchange(), str(self.memory), *warned]
        return "\n\n".join(part for part in parts if part)

    def _tensors(self) -> str:
        lines = [("tensor", "shape", "dtype", "where", "MB on a device")]
        for kind in dict.fromkeys(each.kind for each in self.tensors):
            of_kind = sorted((each for each in self.tensors if each.kind == kind), key=lambda each: -each.bytes)
            least = LARGE * sum(each.bytes for each in of_kind)
            shown = [each for each in of_kind[:SHOWN] if each.bytes >= least]
            rest = of_kind[len(shown) :]
            for each in shown:
                shape = "x".join(map(str, each.shape)) or "a number"
                lines.append((f"{kind} {each.name}", shape, each.dtype, each.where, _megabytes(each.bytes)))
            if rest:
                lines.append((f"{kind}: {len(rest)} more", "", "", "", _megabytes(sum(each.bytes for each in rest))))
        return table(lines, right=(4,))

    def _exchange(self) -> str:
        """A line for each kind of collective; one in a loop of the step counts as often as it is known to run."""
        if not self.collectives:
            return "no collectives in a step"
        lines = [("collectives of a step", "number", "MB", "MB sent by a device")]
        for kind, group in dict.fromkeys((each.kind, each.group) for each in self.collectives):
            alike = [(each, _times(each)) for each in self.collectives if (each.kind, each.group) == (kind, group)]
            number = sum(times for _, times in alike)
            size, sent = (sum(times * getattr(each, name) for each, times in alike) for name in ("bytes", "sent"))
            lines.append((f"{kind} over {group}", str(number), _megabytes(size), _megabytes(sent)))
        return table(lines, right=(1, 2, 3))


def explain_placement(program: Epoch | Run, state: TrainState | RunState, data: Any) -> Explanation:
    """Compile one step of an epoch or of a run as these arguments are placed, without running it, and read what it does.

    Args:
        program: of `make_epoch` or `make_run`; its placement is that of the step.
        state: a TrainState or the RunState of a run, as it lies on the devices.
        data: the rows, as they lie on the devices; with a placement they are put where it says.

    Raises: NotImplementedError where the backend does not show its compiled programs.

    >>> step = gd.make_step(lambda w, rows: jnp.mean((rows @ w) ** 2))
    >>> epoch = gd.make_epoch(step, 10, placement=gd.placement(jax.make_mesh((1,), ("data",)), params="fsdp"))
    >>> state = gd.make_state(jnp.ones(250), gd.adam(0.1), placement=epoch.placement)
    >>> found = gd.explain_placement(epoch, state, jnp.ones((100, 250)))
    >>> print(found.devices, found.tensors[0].where, found.memory.parameters, found.warnings)
    1 whole 1000 ()
    """
    epoch = program.period.epoch if isinstance(program, Run) else program
    train = state.state if isinstance(state, RunState) else state
    if not epoch.step.takes_mask:
        epoch = dataclasses.replace(epoch, tail="drop")  # a ragged last batch is a second step in the same program
    place = epoch.placement
    if place is not None:
        train, data = place.put(train, train.params), place.put_rows(data)
    with contextlib.nullcontext() if place is None else jax.set_mesh(place.mesh):
        lowered = _lower_step(epoch, train, data)
        compiled = lowered.compile()
    tensors = tuple(_tensors_of(train, data))
    devices, work = devices_of(compiled), work_ratio(lowered, compiled)
    return Explanation(
        devices,
        epoch.batch_size,
        tensors,
        tuple(find_collectives(compiled)),
        read_memory(compiled, train, data),
        work,
        tuple(_warnings(place, devices, epoch.batch_size, work, tensors)),
    )


def _lower_step(epoch: Epoch, state: TrainState, data: Any) -> Lowered:
    """One step of the loop over an epoch, on the rows of a batch."""

    def step(state: TrainState, data: Any, batch: Any) -> Any:
        return epoch.loop(state, data).step(state, batch)

    batch = jax.eval_shape(lambda state, data: epoch.loop(state, data).rows(state, state.batches), state, data)
    if epoch.placement is not None:  # the numbers of the rows, which each device computes
        whole = NamedSharding(epoch.placement.mesh, PartitionSpec())
        batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole), batch)
    return jax.jit(step, donate_argnums=0).lower(state, data, batch)


def _tensors_of(state: TrainState, data: Any) -> Iterator[Tensor]:
    trees = {
        "parameter": state.params,
        "optimizer": (state.opt_state, state.optimizer),
        "model state": state.model_state,
        "rows": _rows_of(data),
    }
    for kind, tree in trees.items():
        for path, x in jax.tree_util.tree_leaves_with_path(tree):
            name = dotted_path(path[1:] if kind == "optimizer" else path)
            yield Tensor(kind, name, np.shape(x), str(getattr(x, "dtype", type(x).__name__)), _where(x), bytes_of(x))


def _rows_of(data: Any) -> Any:
    return _rows_of(data.rows) if isinstance(data, (Shards, Staged)) else data


def _where(x: Any) -> str:
    if not isinstance(x, jax.Array):
        return "host"
    if len(x.sharding.device_set) == 1:
        return "one device" if jax.device_count() > 1 else "whole"
    if x.sharding.is_fully_replicated:
        return "whole"
    spec = getattr(x.sharding, "spec", None)
    return str(x.sharding) if spec is None else f"P({', '.join(map(repr, spec))})"


def _warnings(
    place: Placement | None, devices: int, batch_size: int, work: float | None, tensors: Iterable[Tensor]
) -> Iterator[str]:
    """What each device has or does although another one has or does it too, and nobody has asked for it."""
    if work is not None and work > REPEATED and devices > 1:
        yield f"all devices together do {work:.1f} times the work of one: {_why(place, batch_size)}"
    state = [each for each in tensors if each.kind in ("parameter", "optimizer")]
    least = LARGE * sum(each.bytes for each in state)
    whole = [each for each in state if each.where == "whole" and each.bytes > max(least, 1)]
    if place is not None and place.params == "fsdp" and place.size > 1 and whole:
        names = listing([f"{each.name} {each.shape}" for each in whole])
        yield f"on every device, since no axis is divisible by {place.size}: {names}"
    if on_host := [f"rows {each.name}".rstrip() for each in tensors if each.kind == "rows" and each.where == "host"]:
        yield f"{listing(on_host)}: in the memory of the host, and copied to the device in each call; write jnp.asarray"


def _why(place: Placement | None, batch_size: int) -> str:
    if place is None:
        return "no placement divides the rows of a batch, write placement=gd.placement(mesh)"
    if batch_size % place.size:
        return (
            f"a batch of {batch_size} rows is computed as {-(-batch_size // place.size) * place.size} on {place.size}"
        )
    return "some products are computed in full on every device, such as those of the optimizer"


def _times(collective: Collective) -> int:
    return int(np.prod([length or 1 for length in collective.loops]))


def _megabytes(number: float) -> str:
    return f"{number / 1e6:.3f}"
