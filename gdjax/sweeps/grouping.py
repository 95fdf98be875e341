"""The configurations of a sweep in groups: those that differ in numbers alone are lanes of one program."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import stopping, training
from gdjax.calls import Condition, as_optimizer, is_key
from gdjax.sweeps.arguments import Arguments
from gdjax.sweeps.paths import get, is_lane, resolve, takes_column
from gdjax.sweeps.study import Settings, Study, evaluation_of, join
from gdjax.sweeps.ways import COPIES, Way, choose_way
from gdjax.training import Fitting
from gdjax.training.feeds import Feed

COLUMN = "column"  # in the place of a number in which configurations may differ


def studies_of(
    given: Arguments,
    configurations: Sequence[Mapping[str, Any]],
    seeds: Sequence[int],
    memory: int | None = None,
    width: int | None = None,
) -> list[Study]:
    """The configurations in groups, one for each program."""
    whole = whole_paths(given, configurations)
    in_penalty = any(path.startswith("loss.penalty") for each in whole for path in each)
    if in_penalty and given.evaluate is None:
        if given.validation is None:
            raise ValueError(
                "sweep: an axis in the penalty needs validation rows, or evaluate, to compare runs by what is not penalized"
            )
        given = dataclasses.replace(given, evaluate=evaluation_of(given.loss))
    in_loss = _numbers_in_loss(given.roots([path for each in whole for path in each]), whole)
    groups: dict[Any, list[Settings]] = {}
    for part in sorted(_settings(given, whole, in_loss), key=lambda each: each.number[0]):
        groups.setdefault((_structure(part), _static(whole[part.number[0]], in_loss)), []).append(part)
    studies = []
    for parts in groups.values():
        fixed = {path: x for path, x in whole[parts[0].number[0]].items() if path not in in_loss}
        studies.append(_study(given.configured(fixed), join(parts), seeds, memory, width))
    return studies


def _settings(given: Arguments, configurations: Sequence[dict[str, Any]], in_loss: Sequence[str]) -> list[Settings]:
    """The checked numbers of all configurations, in parts of one program each.

    Configurations that differ in numbers alone are one call, with a column in the place of each number. Where that is
    refused they are a call each, so that what is wrong is said of the first that is wrong.
    """
    base, usual = {path: get(given.roots(in_loss), path) for path in in_loss}, _condition(given.stop)

    def calls(made: Arguments) -> tuple[Any, ...]:
        condition = usual if made.stop is given.stop else _condition(made.stop)
        return as_optimizer(made.optimizer).canonicalize(on_host=True), condition, np.float64(made.init_scale)

    def settings(numbers: Sequence[int], paths: Sequence[str]) -> Settings:
        own = [configurations[number] for number in numbers]
        columns = {path: np.array([each[path] for each in own], float) for path in paths}
        first = given.configured(own[0])
        if not all(takes_column(first.roots(paths), path) for path in paths):
            raise TypeError("these come one by one")
        one = calls(first)
        together = calls(given.configured(own[0], columns)) if columns else one
        optimizer, condition, init_scale = jax.tree.map(functools.partial(_column, len(own)), one, together)
        varied = {path[5:]: np.array([(base | each)[path] for each in own], float) for path in in_loss}
        return Settings(np.array(numbers), optimizer, condition, varied, init_scale)

    found, alone = [], list[int]()
    for paths, numbers in _families(configurations, in_loss):
        try:
            found.append(settings(numbers, paths))
        except (TypeError, ValueError, ArithmeticError):
            alone += numbers
    return [*found, *(settings([number], ()) for number in sorted(alone))]


def _families(
    configurations: Sequence[Mapping[str, Any]], in_loss: Sequence[str]
) -> Iterator[tuple[list[str], list[int]]]:
    """The paths to numbers that may differ, and the configurations that differ in these alone."""

    def kind(path: str, x: Any) -> Any:
        plain = isinstance(x, (int, float)) and not isinstance(x, bool)
        if plain and (path in in_loss or path.startswith(("optimizer.", "stop."))):
            return COLUMN
        return type(x), x if plain or isinstance(x, str) else id(x)

    families: dict[Any, list[int]] = {}
    for number, configuration in enumerate(configurations):
        families.setdefault(tuple((path, kind(path, x)) for path, x in configuration.items()), []).append(number)
    for key, numbers in families.items():
        yield [path for path, kind in key if kind is COLUMN and len(numbers) > 1], numbers


def _column(number: int, one: Any, together: Any) -> Any:
    """A leaf of so many calls, (number, ...), from that of the first and that of all of them.   Raises: ValueError."""
    if is_key(one):
        return jnp.broadcast_to(one, (number, *one.shape))
    shape = (number, *np.shape(one))
    return np.asarray(together) if np.shape(together) == shape else np.broadcast_to(together, shape)


def whole_paths(given: Arguments, configurations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The configurations by whole paths.   Raises: ValueError where two paths of one are the same."""
    roots = given.roots([path for each in configurations for path in each])
    resolved = functools.cache(lambda path: resolve(path, roots))

    def by_whole_paths(configuration: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for path, value in configuration.items():
            whole = resolved(path)
            if whole in found:
                raise ValueError(f"sweep: {whole} must be given once, got it by two paths, {path!r} among them")
            found[whole] = value
        return found

    return [by_whole_paths(each) for each in configurations]


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


def _structure(settings: Settings) -> Any:
    """What the settings of one program have in common."""
    leaves, structure = jax.tree.flatten((settings.optimizer, settings.condition))
    return structure, tuple((x.shape[1:], x.dtype) for x in leaves)


def _static(configuration: Mapping[str, Any], in_loss: Sequence[str]) -> tuple[Any, ...]:
    """The values of a configuration that are neither lanes nor in the structure of the optimizer and the condition."""
    roots = ("loss", "model", "batch_size")
    kept = {path: x for path, x in configuration.items() if path.split(".")[0] in roots and path not in in_loss}
    return tuple((path, x if isinstance(x, Hashable) else id(x)) for path, x in kept.items())


def _study(given: Arguments, settings: Settings, seeds: Sequence[int], memory: int | None, width: int | None) -> Study:
    own = given.evaluate is None and given.validation is not None
    varies = bool(settings.loss)
    if own and varies:
        given = dataclasses.replace(given, evaluate=evaluation_of(given.loss))
    fitting = given.fitting(seeds[0])
    if isinstance(fitting.data, Feed):
        raise TypeError("sweep: data must be arrays in memory, got a Source or a loader")
    stops = given.stop is not None
    way = way_of(fitting, len(settings.number), len(seeds), stops, memory, width)
    initial = functools.lru_cache(way.groups)(given.initial)  # blocks of the same seeds start together
    return Study(fitting, settings, initial, given.loss, own and varies, way, stops, given.keep_params)


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
