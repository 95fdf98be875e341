"""The configurations of a sweep in groups: those that differ in numbers alone are lanes of one program."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import stopping, training
from gdjax.calls import Condition, as_optimizer
from gdjax.sweeps.arguments import Arguments
from gdjax.sweeps.paths import get, is_lane, resolve
from gdjax.sweeps.study import Setting, Study, evaluation_of
from gdjax.sweeps.ways import COPIES, Way, choose_way
from gdjax.training import Fitting
from gdjax.training.feeds import Feed


def studies_of(
    given: Arguments,
    configurations: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    memory: int | None = None,
    width: int | None = None,
) -> list[Study]:
    """The configurations in groups, one for each program."""
    roots = given.roots([path for each in configurations for path in each])
    full = functools.cache(lambda path: resolve(path, roots))
    whole = [whole_paths(full, each) for each in configurations]
    in_penalty = any(path.startswith("loss.penalty") for each in whole for path in each)
    if in_penalty and given.evaluate is None:
        if given.validation is None:
            raise ValueError(
                "sweep: an axis in the penalty needs validation rows, or evaluate, to compare runs by what is not penalized"
            )
        given = dataclasses.replace(given, evaluate=evaluation_of(given.loss))
    in_loss = _numbers_in_loss(roots, whole)
    base = {path: get(roots, path) for path in in_loss}
    usual = _condition(given.stop)
    groups: dict[Any, tuple[Arguments, list[Setting]]] = {}
    for number, configuration in enumerate(whole):
        arguments = given.configured(configuration)
        varied = {path.removeprefix("loss."): (base | configuration)[path] for path in in_loss}
        condition = usual if arguments.stop is given.stop else _condition(arguments.stop)
        optimizer = as_optimizer(arguments.optimizer).canonicalize(on_host=True)
        setting = Setting(number, optimizer, condition, varied, float(arguments.init_scale))
        fixed = {path: x for path, x in configuration.items() if path not in in_loss}
        key = _structure(setting), _static(fixed)
        if key not in groups:
            groups[key] = given.configured(fixed), []
        groups[key][1].append(setting)
    return [_study(arguments, settings, seeds, memory, width) for arguments, settings in groups.values()]


def whole_paths(resolved: Callable[[str], str], configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration by whole paths.   Raises: ValueError where two of them are the same."""
    found: dict[str, Any] = {}
    for path, value in configuration.items():
        whole = resolved(path)
        if whole in found:
            raise ValueError(f"sweep: {whole} must be given once, got it by two paths, {path!r} among them")
        found[whole] = value
    return found


def _numbers_in_loss(roots: Mapping[str, Any], configurations: Sequence[Mapping[str, Any]]) -> list[str]:
    """The paths of the numbers in the loss that are lanes of one program."""
    values: dict[str, list[Any]] = {}
    for configuration in configurations:
        for path, value in configuration.items():
            values.setdefault(path, []).append(value)
    return [path for path, each in values.items() if path.startswith("loss.") and is_lane(roots, path, each)]


def _condition(stop: Condition | None) -> Condition:
    """What ends a run, on the host."""
    with_usual = stopping.any_of(stopping.non_finite(), stopping.divergence(), stop or stopping.never())
    return with_usual.canonicalize(on_host=True)


def _structure(setting: Setting) -> Any:
    """What two settings of one program have in common."""
    leaves, structure = jax.tree.flatten((setting.optimizer, setting.condition))
    return structure, tuple((np.shape(x), np.asarray(x).dtype) for x in leaves)


def _static(configuration: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of a configuration that are neither lanes nor in the structure of the optimizer and the condition."""
    kept = {path: x for path, x in configuration.items() if path.split(".")[0] in ("loss", "model", "batch_size")}
    return tuple((path, x if isinstance(x, Hashable) else id(x)) for path, x in kept.items())


def _study(
    given: Arguments, settings: list[Setting], seeds: Sequence[int], memory: int | None, width: int | None
) -> Study:
    own = given.evaluate is None and given.validation is not None
    varies = bool(settings[0].loss)
    if own and varies:
        given = dataclasses.replace(given, evaluate=evaluation_of(given.loss))
    fitting = given.fitting(seeds[0])
    if isinstance(fitting.data, Feed):
        raise TypeError("sweep: data must be arrays in memory, got a Source or a loader")
    stops = given.stop is not None
    way = way_of(fitting, len(settings), len(seeds), stops, memory, width)
    return Study(fitting, tuple(settings), given.initial, given.loss, own and varies, way, stops, given.keep_params)


def way_of(fitting: Fitting, number: int, seeds: int, stops: bool, memory: int | None, width: int | None) -> Way:
    """The way for so many configurations and seeds."""
    parameters = sum(x.size for x in jax.tree.leaves(fitting.run_state.state.params))
    lane_bytes = COPIES * sum(x.nbytes for x in jax.tree.leaves(jax.tree.map(_data, fitting.run_state)))
    if memory is not None:
        lane_bytes += _working(fitting)
    return choose_way(number, seeds, parameters, lane_bytes, stops, memory, width)


def _working(fitting: Fitting) -> int:
    """The bytes that a run computes with, as its compiled program says; 0 where the backend does not say it."""
    args = fitting.data, fitting.validation, np.int32(1), None, fitting.period
    try:
        found = training.memory(fitting.run, fitting.run_state, *args)
    except NotImplementedError:
        return 0
    return found.gradients + found.activations


def _data(x: Any) -> Any:
    return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
