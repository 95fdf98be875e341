"""The options of a sweep: those of a run, of which many may have several values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from gdjax.runs.options import ModelOptions, TrainOptions
from gdjax.sweeps.space import Axis, Choice, Interval, parse_axis, values_of

WHOLE = ("patience", "batch_size", "every", "width", "layers", "heads", "kernel")
NUMBERS = ("learning_rate", "weight_decay", "clip", "min_delta", "epochs", "dropout", *WHOLE)
NAMES = ("model", "activation", "loss", "numbers", "optimizer", "schedule", "order")
SIZES = ("hidden", "channels")
AXES = (*SIZES, *NUMBERS, *NAMES)


@dataclasses.dataclass(frozen=True)
class SweepOptions(ModelOptions):
    """The options of a sweep.

    Those of `gdjax train`; of many of them several values are an axis: 0.01,0.1 are two, log:1e-4:1e-1:32 are 32 that are
    evenly spaced in their logarithm, lin:0:0.5:6 are 6 that are evenly spaced, and log:1e-4:1e-1 is what to draw from.
    """

    hidden: tuple[str, ...] | None = None  # type: ignore[assignment]
    """Sizes of the hidden layers: 128 64; as an axis: 128x64,64x32,32."""
    channels: tuple[str, ...] | None = None  # type: ignore[assignment]
    """Of each block of a cnn: 32 64; as an axis: 32x64,16x32."""
    kernel: str | None = None  # type: ignore[assignment]
    """Size of the windows of a cnn, a value or an axis."""
    model: str = "mlp"
    """What is trained, or several: a network, or a linear model with the loss that goes with its name."""
    activation: str | None = None
    """Of hidden units, or several."""
    width: str | None = None  # type: ignore[assignment]
    """Of each layer of a transformer or a gru, a value or an axis."""
    layers: str | None = None  # type: ignore[assignment]
    """Of a transformer or a gru, a value or an axis."""
    heads: str | None = None  # type: ignore[assignment]
    """Of attention, in each layer of a transformer, a value or an axis."""
    dropout: str | None = None  # type: ignore[assignment]
    """Probability that a hidden unit is silenced in a step, a value or an axis."""
    ensemble: int | None = 1
    """Networks that are averaged."""
    numbers: str | None = None  # type: ignore[assignment]
    """The encoding of numbers, or both: standardized,piecewise_linear; standardized if not given, pixels of images."""
    tune: Literal["none"] = "none"  # type: ignore[assignment]
    """Nothing is chosen by validation loss in a run of a sweep."""
    loss: str | None = None
    """What fits the model and the task if not given; or several."""
    optimizer: str | None = None
    """A call such as "adam(b1=0.95)", or several: "sgd,momentum(decay=0.9),adam". If not given: that of `gdjax train`."""
    learning_rate: str | None = None  # type: ignore[assignment]
    """Of the optimizer, or of the schedule; a value or an axis."""
    schedule: str | None = None
    """A call such as "cosine", or several; what it leaves out is the rate and the run's length."""
    batch_size: str | None = None  # type: ignore[assignment]
    """Rows per step, a value or an axis; found from the number of rows if not given."""
    order: str = "shuffle"
    """Of the rows, or several: shuffle, replacement, sequence."""
    epochs: str | None = "40"  # type: ignore[assignment]
    """Longest run, a value or an axis."""
    every: str | None = None  # type: ignore[assignment]
    """Steps between evaluations, a value or an axis; one epoch if not given."""
    patience: str | None = "10"  # type: ignore[assignment]
    """Evaluations without a better validation loss before a run stops, a value or an axis; None: as for `gdjax train`."""
    min_delta: str = "0"  # type: ignore[assignment]
    """Improvement of the validation loss that counts, a value or an axis."""
    weight_decay: str | None = None  # type: ignore[assignment]
    """Decoupled decay of the weights, not of the biases, a value or an axis."""
    clip: str | None = None  # type: ignore[assignment]
    """Largest global norm of the gradient, a value or an axis."""
    set: tuple[str, ...] = ()
    """Any number of the optimizer or the stopping condition by its path, a value or an axis: optimizer.inner.b1=0.8,0.9."""
    seed: int = 0
    """Of the draws of configurations."""
    split_seed: int | None = None
    """Of the split of the rows, which is one for all runs; the first of --seeds if not given."""
    seeds: str = "1"
    """Of the runs of each configuration: 8 are those from 0 to 7, and 3,5,8 are these."""
    random: int | None = None
    """So many configurations drawn from the axes, instead of the grid of all their values."""
    latin: int | None = None
    """Likewise, so that each axis is drawn from evenly: a Latin hypercube."""
    sampler: Literal["tpe"] | None = None
    """Configurations are proposed by Optuna from the values of those before, eight at a time."""
    trials: int = 64
    """Of a sampler: how many configurations."""
    halving: bool = False
    """Train all configurations for few epochs, the better fourth of them anew for four times as many, and so on to --epochs,
    each with a schedule of its own length."""
    lanes: int | None = None
    """Runs in a block of lanes, found from the device and the sizes if not given; the last digits depend on it."""
    memory: float | None = None
    """Megabytes for the lanes that run at the same time; they decide the number of lanes."""
    engine: Literal["local", "ray"] = "local"
    """Where blocks run: in this process, or on the cluster that Ray is connected to."""
    out: Path | None = None
    """The folder of the sweep; sweeps/<data>-<n> if not given."""
    resume: bool = False
    """Go on with the sweep in --out, with the same options; without data, with those of the sweep."""
    allow_versions: bool = False
    """Resume under other versions, another device or another number of cores, although the bits may differ."""
    quiet: bool = False
    """No progress bar and no summary."""


class Space(NamedTuple):
    """A base, and the axes that differ from it: the name of an option, or a path given by `set`, -> values."""

    base: TrainOptions
    axes: dict[str, Axis]
    seeds: tuple[int, ...]

    def options(self, configuration: Mapping[str, Any], seed: int | None = None) -> TrainOptions:
        """The options of a run.   Raises: ValueError for a name that is no choice of its option."""
        own = {name: value for name, value in configuration.items() if name in AXES}
        paths = tuple(f"{path}={value!r}" for path, value in configuration.items() if path not in AXES)
        own |= {} if seed is None else {"seed": seed}
        TrainOptions.named("sweep", own)  # which checks the names
        return dataclasses.replace(self.base, **own, set=(*self.base.set, *paths))


def space_of(options: SweepOptions) -> Space:
    """The base and the axes of a sweep.   Raises: ValueError, in one line, for a text that is no axis of its option."""
    seeds = seeds_of(options.seeds)
    split = seeds[0] if options.split_seed is None else options.split_seed
    named = {name: axis for name in AXES if (axis := _axis(name, getattr(options, name))) is not None}
    single = {name: axis[0] for name, axis in named.items() if isinstance(axis, list) and len(axis) == 1}
    axes = {name: axis for name, axis in named.items() if name not in single}
    fixed: list[str] = []
    for text in options.set:
        path, _, value = text.partition("=")
        axis = parse_axis("`set`", value) if value else [None]
        if isinstance(axis, list) and len(axis) == 1:
            fixed.append(text)  # which a run checks
        elif path.strip() in axes:
            raise ValueError(f"`set={text}`: {path.strip()} is an axis already")
        else:
            axes[path.strip()] = axis
    plain = [field.name for field in dataclasses.fields(ModelOptions) if field.name not in (*AXES, "set", "seed")]
    given = {name: getattr(options, name) for name in plain}
    base = TrainOptions.named("sweep", {**given, **single, "split_seed": split, "set": tuple(fixed)})
    return Space(base, axes, seeds)


def values_of_option(name: str, text: str) -> list[Any]:
    """The values of an option that are listed.   Raises: ValueError, in one line, for an interval."""
    axis = _axis(name, text)
    if not isinstance(axis, list):
        raise ValueError(f"`{name}` must be values between commas, got {text!r}")
    return axis


def _axis(name: str, text: Any) -> Axis | None:
    """The values of an option; None if nothing is said."""
    if text is None:
        return None
    if name in SIZES:
        return _sizes(name, text)
    axis = parse_axis(f"`{name}`", text, whole=name in WHOLE)
    kinds = (int,) if name in WHOLE else (int, float)
    if isinstance(axis, (Interval, Choice)) and name in NAMES:
        raise ValueError(f"`{name}` must be names between commas, got {text!r}")
    if not isinstance(axis, list):
        return axis
    if name in NAMES:
        return [str(value) for value in axis]
    for value in axis:
        is_whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31
        if value is not None and not (is_whole or (float in kinds and isinstance(value, float))):
            raise ValueError(f"`{name}` must be {'a whole number' if kinds == (int,) else 'a number'}, got {value!r}")
    return axis


def _sizes(name: str, words: Sequence[str]) -> list[tuple[int, ...]]:
    """The alternatives of sizes: the words "128", "64" are one, the word "128x64,32" is two."""
    try:
        if len(words) != 1:
            return [tuple(map(int, words))]
        return [tuple(int(size) for size in each.split("x")) for each in words[0].split(",")]
    except ValueError:
        said = " ".join(words)
        raise ValueError(f"`{name}` must be sizes such as 128 64, or several: 128x64,64x32,32; got {said!r}") from None


def seeds_of(text: str) -> tuple[int, ...]:
    """The seeds: a number of them, or these."""
    found = values_of("`seeds`", "it", parse_axis("`seeds`", text, whole=True))
    if not all(type(seed) is int and 0 <= seed < 2**63 for seed in found) or len(set(found)) < len(found):
        raise ValueError(f"`seeds` must be a number of seeds, or different whole numbers such as 3,5,8; got {text!r}")
    if len(found) == 1 and "," not in text:
        if not 1 <= found[0] <= 100_000:
            raise ValueError(f"`seeds` must be at least 1, got {found[0]}")
        return tuple(range(found[0]))
    return tuple(found)
