"""The environment of a run: versions, machine, device, and revision of the code."""

from __future__ import annotations

import datetime
import platform
import subprocess
from importlib import metadata
from typing import Any

import jax.numpy as jnp


def environment() -> dict[str, Any]:
    """Versions, machine, device, and revision of the code, on which a result also depends."""
    (device,) = jnp.zeros(()).devices()
    packages = ("gdjax", "jax", "jaxlib", "optax", "numpy")
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
        "platform": platform.platform(),
        "device": f"{device.platform}: {device.device_kind}",
        "git_revision": _git_revision(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    """The commit of the working folder, marked if there are changes; None outside a checkout."""
    try:
        command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
