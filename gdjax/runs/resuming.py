"""Whether a run may go on from its folder, and what of its configuration may differ."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from gdjax.processes import ProcessError
from gdjax.runs.compare import differences, saved_steps
from gdjax.runs.config import DataConfig, RunConfig, TextConfig
from gdjax.runs.damage import RecordError
from gdjax.runs.folder import end_of, read_config
from gdjax.runs.topology import TOPOLOGY, remarks_on
from gdjax.text import short
from gdjax.training import Length
from gdjax.training.together import Alone
from gdjax.types import Stop

# The fields that may differ: they change no bit of the run.
FREE = ("platform", "git_revision", "data.source", "data.name", "versions.python", "versions.numpy")
# The fields that change bits only by rounding.
ENVIRONMENT = ("versions", "device", "cores")
HOST = (*FREE, *ENVIRONMENT)  # in which the processes of a run may differ
LENGTH = ("epochs", "steps")
# What identifies the run to its checkpoints.
IDENTITY = (
    *("model", "loss", "optimizer", "stop", "batch_size", "every", "seed", "dtype", "flow", "deterministic"),
    *("compute_dtype", "microbatches", "remat", "class_weights", "order", "split_seed"),
)
OF_THE_DATA: dict[type[DataConfig | TextConfig], tuple[str, ...]] = {
    DataConfig: ("hash", "target", "task", "split", "rows", "columns", "numbers"),
    TextConfig: ("hash", "task", "unit", "context", "rows"),
}


def identity_of(config: RunConfig) -> dict[str, Any]:
    """What a checkpoint says of its run: all that determines its steps, but neither their number nor the machine."""
    fields = config.to_json()
    data = {name: fields["data"][name] for name in OF_THE_DATA[type(config.data)]}
    return {"data": data, **{name: fields[name] for name in IDENTITY}}


def check_alike(together: Alone, config: RunConfig) -> None:
    """Raise ProcessError if a process has another run than process 0: other data, or other options."""
    if together.count == 1:
        return
    first = RunConfig.from_json(together.tell(config.to_json))
    found = {name: pair for name, pair in differences(first, config).items() if not _is_one_of(name, HOST)}
    for index, said in enumerate(together.everywhere(lambda: _phrases(found))):
        if said:
            raise ProcessError(f"process {index} has another run than process 0: {said}")


def resumption(folder: Path, config: RunConfig, allow_versions: bool = False) -> tuple[RunConfig, str | None]:
    """The configuration with which the run in the folder goes on, where this one is asked for; why it is finished, or None.

    The configuration is the run's own, but for a greater length, other devices and, if they are allowed, other versions.

    Raises: RecordError that names the fields that must not differ.
    """
    own = read_config(folder)
    config = _combine(folder, own, config, allow_versions)
    end = end_of(folder)
    if end != Stop.BUDGET.name or steps_of(config) == steps_of(own):
        return config, end
    if not saved_steps(folder):
        raise RecordError(
            f"{folder} is finished, and its end was not saved: it can only be trained again, if you `overwrite` it"
        )
    return config, None


def _combine(folder: Path, own: RunConfig, config: RunConfig, allow_versions: bool) -> RunConfig:
    found = differences(own, config)
    fields = {name: pair for name, pair in found.items() if not _is_one_of(name, (*FREE, *TOPOLOGY))}
    length = {name: fields.pop(name) for name in LENGTH if name in fields}
    environment = {name: fields.pop(name) for name in list(fields) if _is_one_of(name, ENVIRONMENT)}
    if own.cores is None:
        environment.pop("cores", None)
    if length and "optimizer" in fields:
        raise RecordError(
            f"{folder} cannot go on for another length, from which its schedule derives: the optimizer is "
            f"{own.optimizer} there and {config.optimizer} here"
        )
    if fields:
        raise RecordError(f"{folder} is another run: {_phrases(fields)}; give its own options, or another --out")
    if environment and not allow_versions:
        raise RecordError(
            f"{folder} was trained elsewhere: {_phrases(environment)}; `allow_versions` goes on, but the bits may differ"
        )
    if not length and not environment and not remarks_on(own, config):
        return own
    said = (*LENGTH, *ENVIRONMENT, *TOPOLOGY, *(["command"] if length else []))
    now = {name: getattr(config, name) for name in said}
    longer = dataclasses.replace(own, **now)
    before, after = steps_of(own), steps_of(longer)
    if after < before:
        raise RecordError(f"{folder} is a run of {before} steps, which may go on for more, not for fewer; got {after}")
    return longer


def steps_of(config: RunConfig) -> int:
    """The number of batches of the whole run, if no condition stops it."""
    per_epoch = -(-config.data.rows["train"] // config.batch_size)
    return Length(config.epochs, config.steps).batches(per_epoch)


def _is_one_of(name: str, fields: tuple[str, ...]) -> bool:
    return any(f"{name}.".startswith(f"{field}.") for field in fields)


def _phrases(fields: dict[str, tuple[Any, Any]]) -> str:
    said = {name: [short(str(value), 40) for value in pair] for name, pair in fields.items()}
    return ", ".join(f"{name} is {there} there and {here} here" for name, (there, here) in said.items())
