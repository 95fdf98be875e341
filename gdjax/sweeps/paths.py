"""Paths to the numbers of a run: "optimizer.inner.b1", "stop.evaluations", "loss.penalty.strength".

A path starts at a *root*, one of the objects that a run is made of ("optimizer", "stop", "loss", ...), and goes on by names:
the arguments of a call node, the fields of a dataclass (so a loss made by `per_example` and `supervised` is open down to its
model), the keywords of a function with some of them bound, the keys of a dict, the places of a tuple, counted from 0. The
end of a path that belongs to one number only, such as "learning_rate" or "penalty.strength", stands for the whole.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np

from gdjax.calls import Node, Precise, Static, is_key, is_number
from gdjax.calls.mistakes import brief, unknown
from gdjax.programs import Bound, bind
from gdjax.text import listing


def numbers_of(roots: Mapping[str, Any]) -> dict[str, Any]:
    """All numbers by path, in the order of the arguments: those of calls that are leaves, and those of dataclasses.

    Flags, names and sizes are no numbers, nor is an array with axes.

    >>> print(gd.sweeps.numbers_of({"optimizer": gd.average(gd.sgd(0.1), decay=0.9), "stop": gd.stopping.patience(5)}))
    {'optimizer.inner.learning_rate': 0.1, 'optimizer.decay': 0.9, 'stop.evaluations': 5, 'stop.min_delta': 0.0}
    """
    return {path: value for path, value, free in _walk(roots) if free and _is_scalar(value)}


def resolve(path: str, roots: Mapping[str, Any], who: str = "sweep") -> str:
    """The whole path of one that may be shortened to its end.

    The end must belong to one number only; where it belongs to none, to one argument of any kind.

    Args:
        path: "optimizer.learning_rate", "learning_rate", "penalty.strength".
        who: the function that errors name.

    Raises: ValueError in one sentence, where nothing is there, or several numbers are.

    >>> print(gd.sweeps.resolve("learning_rate", {"optimizer": gd.average(gd.sgd(0.1), decay=0.9)}))
    optimizer.inner.learning_rate
    """
    if _is_there(path, roots):
        return path
    numbers = numbers_of(roots)
    found = _ending(path, numbers) or _ending(path, (each for each, _, _ in _walk(roots)))
    if len(found) > 1:
        raise ValueError(f"{who}: {path!r} must be one argument, got {listing(found)}; write one of these whole")
    if not found:
        raise ValueError(_nothing_there(path, roots, numbers, who))
    return found[0]


def get(roots: Mapping[str, Any], path: str) -> Any:
    """What is at a whole path."""
    return functools.reduce(lambda place, name: _parts(place)[name], path.split("."), roots)


def replace(roots: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The roots with other values at some whole paths, checked as in new calls.

    The arguments of one call are changed together. A path may lead into the value of another.

    Raises: ValueError or TypeError, as the call does, with the paths and the values.

    >>> print(gd.sweeps.replace({"optimizer": gd.adam(0.1)}, {"optimizer.b1": 0.8, "optimizer.b2": 0.99}))
    {'optimizer': adam(0.1, b1=0.8, b2=0.99)}
    """
    return _replace("", roots, _split(values), _checked)


def replace_by_columns(roots: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """As `replace`, where some of the values may be arrays, (configurations,), for the numbers that `takes_column`."""
    return _replace("", roots, _split(values), functools.partial(_checked, is_number=is_number))


def insert(roots: Mapping[str, Any], numbers: Mapping[str, Any]) -> dict[str, Any]:
    """The roots with other numbers at some whole paths, unchecked, so that they may be traced."""
    return _replace("", roots, _split(numbers), _unchecked)


def paths_ending(name: str, roots: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """(path, value) of every argument of this name, at any depth, whatever it is."""
    return [(path, value) for path, value, _ in _walk(roots) if path.rpartition(".")[2] == name]


def is_lane(roots: Mapping[str, Any], path: str, values: Sequence[Any]) -> bool:
    """Whether these values at a whole path are lanes of one program: numbers, in a place that takes them as a leaf.

    Whole numbers in the field of a dataclass that holds one are not, since they may be sizes.

    Raises: as `replace` does for the first of the values.
    """
    if not all(map(_is_scalar, values)):
        return False
    if path not in numbers_of(replace(roots, {path: values[0]})):
        return False
    above = get(roots, path.rpartition(".")[0]) if "." in path else roots
    return isinstance(above, Node) or not all(map(_is_whole, (get(roots, path), *values)))


def takes_column(roots: Mapping[str, Any], path: str) -> bool:
    """Whether an array can stand for the number at a whole path, which is then judged as each of its entries would be.

    So it is in the calls and the dataclasses of gdjax, which ask for no number of Python; of others it is not known.
    """
    *above, name = path.split(".")
    places = [*itertools.accumulate(above, lambda place, part: _parts(place).get(part), initial=roots)]
    if not all(map(_is_ours, places)):
        return False
    last = places[-1]
    if isinstance(last, Node):
        return _is_scalar(last._children.get(name)) and name not in last.recipe.declared.keys
    return dataclasses.is_dataclass(last) and isinstance(getattr(last, name, None), float)


def _is_ours(place: Any) -> bool:
    if isinstance(place, Node):
        return place.recipe.reads_nothing and place.recipe.body.__module__.startswith("gdjax.")
    return type(place).__module__.startswith("gdjax.") or isinstance(place, (dict, tuple, list))


def _is_scalar(x: Any) -> bool:
    return is_number(x) and np.ndim(x) == 0 and not is_key(x)


def _is_whole(x: Any) -> bool:
    return isinstance(x, (int, np.integer))


def _parts(place: Any) -> dict[str, Any]:
    """What is in a place, by name."""
    if isinstance(place, Node):
        return place.arguments
    if isinstance(place, (Bound, functools.partial)):
        bound = bind(place)
        return {"function": bound.function, **dict(bound.keywords)} if isinstance(bound, Bound) else {"function": bound}
    if dataclasses.is_dataclass(place) and not isinstance(place, type):
        return {field.name: getattr(place, field.name) for field in dataclasses.fields(place)}
    if isinstance(place, Mapping):
        return {str(key): value for key, value in place.items()}
    if isinstance(place, (tuple, list)) and not isinstance(place, Precise):
        names = getattr(place, "_fields", map(str, range(len(place))))
        return dict(zip(names, place, strict=True))
    return {}


def _walk(place: Any, path: str = "", free: bool = True) -> Iterator[tuple[str, Any, bool]]:
    """(path, value, whether it is free to be a leaf) of all that is below a place."""
    for name, part in _parts(place).items():
        inside = f"{path}.{name}" if path else name
        is_free = free and not (isinstance(place, Node) and isinstance(place._children[name], Static))
        yield inside, part, is_free
        yield from _walk(part, inside, is_free)


def _is_there(path: str, roots: Mapping[str, Any]) -> bool:
    return not path or _deepest(path, roots)[0] == path


def _deepest(path: str, roots: Mapping[str, Any]) -> tuple[str, str, Any]:
    """The beginning of a path that is there, the next name, and the place where it ends."""
    place, names = roots, path.split(".")
    for i, name in enumerate(names):
        parts = _parts(place)
        if name not in parts:
            return ".".join(names[:i]), name, place
        place = parts[name]
    return path, "", place


def _ending(path: str, paths: Iterable[str]) -> list[str]:
    return [each for each in paths if each.endswith(f".{path}")]


def _nothing_there(path: str, roots: Mapping[str, Any], numbers: Iterable[str], who: str) -> str:
    beginning, name, place = _deepest(path, roots)
    if beginning:
        return unknown(f"{who}: {beginning}", name, _parts(place))
    return unknown(who, path, dict.fromkeys(each.rpartition(".")[2] for each in numbers))


def _split(values: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    return {tuple(path.split(".")): value for path, value in values.items()}


def _replace(path: str, place: Any, values: dict[tuple[str, ...], Any], put: Any) -> Any:
    """The place with values at the paths that start there; an empty one is the place itself."""
    place = values.pop((), place)
    if not values:
        return place
    parts, below = _parts(place), {}
    for (name, *rest), value in values.items():
        below.setdefault(name, {})[tuple(rest)] = value
    told = ", ".join(f"{path}{name} = {brief(each[()])}" for name, each in below.items() if () in each)
    for name in below:
        if name not in parts:
            raise ValueError(unknown(path.rstrip(".") or "the roots", name, parts))
    return put(told, place, {name: _replace(f"{path}{name}.", parts[name], each, put) for name, each in below.items()})


def _checked(told: str, place: Any, parts: dict[str, Any], is_number: Callable[[Any], bool] = _is_scalar) -> Any:
    """The place with other parts, as a new call would make it."""
    try:
        if isinstance(place, Node):
            return place.replace(**parts)
        for name, part in parts.items():
            if _is_scalar(_parts(place)[name]) and not is_number(part):
                raise TypeError(f"{name} must be a number, got {brief(part)}")
        return _with_parts(place, parts)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{told}: {error}" if told else str(error)) from error


def _unchecked(told: str, place: Any, parts: dict[str, Any]) -> Any:
    del told
    if not isinstance(place, Node):
        return _with_parts(place, parts)
    children = {**place._children, **place.recipe.hide(parts)}
    for name, part in parts.items():
        if isinstance(place._children[name], Precise) and not isinstance(children[name], Precise):
            children[name] = Precise(part, 0.0)  # a traced number
    return place._make(place.recipe, children)


def _with_parts(place: Any, parts: dict[str, Any]) -> Any:
    if isinstance(place, (Bound, functools.partial)):
        function = parts.pop("function", _parts(place)["function"])
        return bind(function, *cast(Any, place).args, **{**dict(place.keywords), **parts})
    if isinstance(place, Mapping):
        return {key: parts.get(str(key), value) for key, value in place.items()}
    if isinstance(place, (tuple, list)):
        whole = {**_parts(place), **parts}.values()
        return type(place)(*whole) if hasattr(place, "_fields") else type(place)(whole)
    return dataclasses.replace(place, **parts)
