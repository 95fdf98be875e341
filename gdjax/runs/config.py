"""RunConfig, the configuration of a run, and its JSON form.

config.to_json()            a dict of JSON's types
RunConfig.from_json(dict)   the same config, or a ConfigError that says which field is wrong and how
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from gdjax.text import did_you_mean

VERSION = 2


class ConfigError(ValueError):
    """A config that cannot be read; the message is one line."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The table, how it was understood, and how its rows were split."""

    source: str  # a path, the name of a data set, or "a data frame"
    reading: dict[str, Any]  # what was said of its reading, its columns and its split
    name: str
    hash: str
    target: str
    task: Literal["classification", "regression"]
    split: tuple[float, ...]  # shares of training, validation and test rows
    rows: dict[str, int]  # of each part
    columns: tuple[str, ...]  # that are read
    numbers: str  # how they are encoded
    target_names: tuple[str, ...]  # classes, in the order of the labels
    shape: tuple[int, ...] = ()  # of rows that are images or series, which have no columns


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """The text, and how it was cut into windows."""

    source: str  # a path, or the name of a text
    name: str
    hash: str  # SHA-256 of the text in UTF-8, or of its bytes
    unit: Literal["characters", "bytes"]
    encoding: str | None  # that was said
    context: int  # units of a window
    vocabulary: int  # different units
    units: dict[str, int]  # of each share
    rows: dict[str, int]  # windows of each share
    task: Literal["language"] = "language"


if typing.TYPE_CHECKING:
    AnyData: typing.TypeAlias = Any
else:
    AnyData = DataConfig | TextConfig


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that identifies a run; models, optimizers and conditions are the texts of their calls."""

    command: str
    data: AnyData  # of a table or a text
    model: str
    loss: str
    optimizer: str
    weight_decay: float | None  # that was chosen by validation loss, or taken by default
    class_weights: tuple[float, ...]
    threshold: float | None
    folds: int  # of the training rows, for intervals
    stop: str
    batch_size: int
    epochs: float | None  # maximal length of the run, in epochs or in steps
    steps: int | None
    every: int | None  # steps between evaluations; None is one epoch
    seed: int
    dtype: Literal["float32", "bfloat16", "float64"]
    flow: bool  # whether the flow of the gradient was measured
    started: str
    versions: dict[str, str | None]
    platform: str
    device: str
    git_revision: str | None
    cores: int | None = None  # of the CPU that may be used, on which bits depend; None of an earlier version
    deterministic: bool = False  # whether a GPU added in a fixed order
    compute_dtype: Literal["bfloat16", "float16"] | None = None  # of a step; None is that of the parameters
    microbatches: int = 1  # parts in which a step read its batch
    remat: bool = False  # whether activations were computed again
    order: Literal["shuffle", "replacement", "sequence"] = "shuffle"  # of the rows, in batches
    split_seed: int = 0  # of the split of the rows; in a config of an earlier version it is `seed`
    devices: int = 1  # over which the rows of a batch were divided, those of all processes
    processes: int = 1
    shard: Literal["fsdp"] | None = None  # how parameters were split over them
    version: int = VERSION

    def to_json(self) -> dict[str, Any]:
        """The config in the types of JSON, with the version first."""
        return {"version": self.version, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> RunConfig:
        """The config that `to_json` wrote.

        Raises: ConfigError for another version, an unknown or missing field, or a value of another type.
        """
        version = fields.get("version", 0 if "options" in fields else VERSION)
        if isinstance(version, int) and version != VERSION:
            raise ConfigError(
                f"config.json is of version {version}, this gdjax reads version {VERSION}: use the gdjax that wrote it "
                f"({_writer(fields)}), or train again"
            )
        return _read(cls, {"split_seed": fields.get("seed"), **fields}, "")


def _writer(fields: Mapping[str, Any]) -> str:
    versions = fields.get("versions")
    version = versions.get("gdjax") if isinstance(versions, Mapping) else None
    return str(version)[:40] if version else "its version is not said"


def _read(kind: type, value: Any, place: str) -> Any:
    """A dataclass from its fields, with checked types."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"config.json: {place or 'it'} must be an object, got {_brief(value)}")
    hints = typing.get_type_hints(kind)
    for name in value:
        if name not in hints:
            raise ConfigError(f"config.json: no field {place}{'.' * bool(place)}{name}: {did_you_mean(name, hints)}")
    found = {}
    for field in dataclasses.fields(kind):
        full = f"{place}.{field.name}" if place else field.name
        if field.name in value:
            found[field.name] = _value(hints[field.name], value[field.name], full)
        elif field.default is dataclasses.MISSING:
            raise ConfigError(f"config.json: the field {full} is missing")
    return kind(**found)


def _kind_of(value: Any, kinds: list[Any]) -> Any:
    """Which of several kinds a value is of: that whose task it names; the first where it names none of theirs."""
    task = value.get("task") if isinstance(value, Mapping) else None
    fits = [kind for kind in kinds[1:] if task in typing.get_args(typing.get_type_hints(kind)["task"])]
    return fits[0] if fits else kinds[0]


def _value(hint: Any, value: Any, place: str) -> Any:
    """A value of JSON, converted to the type. Raises: ConfigError if it is of another type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return _read(typing.cast(type, hint), value, place)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        return _value(_kind_of(value, [kind for kind in arguments if kind is not type(None)]), value, place)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_value(arguments[0], item, f"{place}[{i}]") for i, item in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        return {str(name): _value(arguments[1], item, f"{place}.{name}") for name, item in value.items()}
    if origin is Literal:
        if value in arguments:
            return value
        raise ConfigError(f"config.json: {place} must be one of {', '.join(arguments)}, got {_brief(value)}")
    if isinstance(hint, type) and not origin:
        allowed = (int, float) if hint is float else hint
        if isinstance(value, allowed) and (hint is bool or not isinstance(value, bool)):
            return hint(value)
    raise ConfigError(f"config.json: {place} must be {_type_name(hint)}, got {_brief(value)}")


def _type_name(hint: Any) -> str:
    names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    return names.get(hint, "a list" if typing.get_origin(hint) is tuple else "an object")


def _brief(value: Any) -> str:
    if isinstance(value, (list, Mapping)):
        return "a list" if isinstance(value, list) else "an object"
    return repr(value) if len(repr(value)) < 60 else f"{repr(value)[:57]}..."
