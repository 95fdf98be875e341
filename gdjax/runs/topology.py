"""The devices and the processes of a run, which divide the rows of each batch: one axis "data" over all of them."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from gdjax import processes
from gdjax.runs.config import RunConfig
from gdjax.runs.options import TrainOptions
from gdjax.text import counted
from gdjax.training import Placement, placement

TOPOLOGY = ("devices", "processes", "shard")  # fields of a RunConfig, in which a run that goes on may differ


def placement_of(options: TrainOptions) -> Placement | None:
    """Where a run with these options lives; None on one device.

    Raises: ValueError that names `devices` or `shard`.
    """
    if options.shard is not None and options.devices in (None, 1) and processes.count() == 1 and not options.resume:
        raise ValueError(f"`shard={options.shard}` divides the parameters over devices: give several with `devices`")
    found = _devices(options.devices)
    if len(found) == 1:
        return None
    return placement(Mesh(np.array(found), ("data",)), params=options.shard)


def _devices(number: int | None) -> list[Any]:
    """So many devices of each process; if not given, one in a run of one process, else all."""
    if number is not None and number < 1:
        raise ValueError(f"`devices` must be at least 1, got {number}")
    (default,) = jnp.zeros(()).devices()
    if processes.count() == 1 and number in (None, 1):
        return [default]
    owner = lambda device: device.process_index  # noqa: E731
    found = sorted(jax.devices(default.platform), key=lambda device: (owner(device), device.id))
    each = [list(own) for _, own in itertools.groupby(found, key=owner)]
    least = min(map(len, each))
    if number is not None and number > least:
        here = f"there {'is' if least == 1 else 'are'} {counted(least, default.platform.upper() + ' device')}"
        raise ValueError(f"`devices={number}`: {here}{' of a process' if len(each) > 1 else ''}")
    return [device for own in each for device in own[:number]]


def topology_of(place: Placement | None) -> dict[str, Any]:
    """What a configuration says of it."""
    if place is None:
        return {"devices": 1, "processes": 1, "shard": None}
    hosts = {device.process_index for device in place.mesh.devices.flat}
    return {"devices": place.size, "processes": len(hosts), "shard": place.params}


def on_devices(config: RunConfig) -> str:
    """ ", on 4 devices", to be appended to what is said of a run; "" for one device."""
    return f", on {devices_of(config)}" if config.devices > 1 else ""


def devices_of(config: RunConfig) -> str:
    """ "4 devices of 2 processes with fsdp"."""
    on = counted(config.devices, "device")
    on += f" of {config.processes} processes" if config.processes > 1 else ""
    return on + (f" with {config.shard}" if config.shard else "")


def remarks_on(before: RunConfig, after: RunConfig) -> list[str]:
    """What is to be said of a run that goes on on other devices, if it does."""
    if all(getattr(before, name) == getattr(after, name) for name in TOPOLOGY):
        return []
    return [f"the run goes on with {devices_of(after)}, after {devices_of(before)}: the same run, but for rounding"]
