"""The device and the dtype that a command works with."""

from __future__ import annotations

import jax

from gdjax.cli.errors import UserError


def use_device(device: str | None, dtype: str) -> None:
    """Which device to compute on (None: the best there is), and whether float64 exists."""
    jax.config.update("jax_enable_x64", dtype == "float64")
    if device is None:
        return
    try:
        jax.config.update("jax_default_device", jax.devices(device)[0])
    except RuntimeError as error:
        raise UserError(f"--device {device} is not to be had here; leave it out for the best there is") from error
