"""The identity of a run: what must be the same for a run that goes on from a checkpoint to be the run that never stopped."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Collection, Mapping
from importlib import metadata
from typing import Any

import jax

from gdjax.training.manifest import json_text


def environment() -> dict[str, Any]:
    """The versions, the number of CPU cores and the platform of this process, on which the bits of a run depend."""
    device = jax.devices()[0]
    versions = {name: installed_version(name) for name in ("gdjax", "jax", "jaxlib", "optax")}
    return {"versions": versions, "cores": cores(), "platform": f"{device.platform}: {device.device_kind}"}


def cores() -> int | None:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


@functools.cache
def installed_version(package: str) -> str | None:
    """The version of a package, None if it is not installed (but a source tree, for example)."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def full_identity(who: str, identity: Mapping[str, Any] | None) -> dict[str, Any]:
    """The identity, with versions, cores and platform where it does not give them.   Raises: TypeError as `plain` does."""
    if not isinstance(identity, Mapping | None):
        raise TypeError(f"{who}: identity must be a dict of what identifies the run, got {identity!r}")
    return plain(who, "identity", {**environment(), **(identity or {})})


def plain(who: str, name: str, value: Any) -> Any:
    """The value as JSON gives it back.   Raises: TypeError if JSON has no form for it."""
    try:
        return json.loads(json_text(value))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{who}: {name} must be of JSON's types, with finite numbers: {error}") from error


def differences(there: Any, here: Any, ignore: Collection[str] = ()) -> list[str]:
    """A phrase for each field in which two identities differ, such as "versions.jax is '0.12.0', here '0.12.1'".

    A name in `ignore` leaves out a field and all below it.
    """
    a, b, ignore = _flat(there), _flat(here), (ignore,) if isinstance(ignore, str) else ignore
    names = [name for name in sorted(a.keys() | b.keys()) if a.get(name, _NONE) != b.get(name, _NONE)]
    ignored = lambda name: any(f"{name}.".startswith(f"{each}.") for each in ignore)  # noqa: E731
    return [f"{name} is {a.get(name, _NONE)}, here {b.get(name, _NONE)}" for name in names if not ignored(name)]


_NONE = "not given"


def _flat(value: Any, place: str = "") -> dict[str, str]:
    """Name -> text of every field, with the names of nested fields joined by dots."""
    if isinstance(value, Mapping) and (value or not place):
        parts = (_flat(inner, f"{place}.{name}" if place else name) for name, inner in value.items())
        return {name: text for part in parts for name, text in part.items()}
    return {place: repr(value)}
