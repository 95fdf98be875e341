"""The environment of a run: versions, machine, device, and revision of the code."""

from __future__ import annotations

import datetime
import platform
import subprocess
from typing import Any

import jax.numpy as jnp

from gdjax.training.identity import cores, installed_version


def environment() -> dict[str, Any]:
    """Versions, machine, device, and revision of the code, on which a result also depends."""
    (device,) = jnp.zeros(()).devices()
    packages = ("gdjax", "jax", "jaxlib", "optax", "numpy")
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: installed_version(name) for name in packages}},
        "platform": platform.platform(),
        "device": f"{device.platform}: {device.device_kind}",
        "git_revision": _git_revision(),
        "cores": cores(),
    }


def _git_revision() -> str | None:
    """The commit of the working folder, marked if there are changes; None outside a checkout."""
    try:
        command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
