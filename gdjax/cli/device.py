"""The device and the dtype of a command."""

from __future__ import annotations

import jax

from gdjax.cli.errors import UserError


def use_device(device: str | None, dtype: str) -> None:
    """Set the device (None: JAX's default) and whether float64 is enabled."""
    jax.config.update("jax_enable_x64", dtype == "float64")
    if device is None:
        return
    try:
        jax.config.update("jax_default_device", jax.devices(device)[0])
    except RuntimeError as error:
        raise UserError(f"--device {device} is not available here; leave it out for the default device") from error
