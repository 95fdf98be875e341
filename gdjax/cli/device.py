"""The device and the dtype that a command works with."""

from __future__ import annotations

import jax

from gdjax.cli.errors import UserError


def use_device(device: str | None, dtype: str) -> None:
    """Before JAX looks for devices: which to use, and whether float64 exists."""
    jax.config.update("jax_enable_x64", dtype == "float64")
    if device is not None:
        jax.config.update("jax_platforms", {"gpu": "cuda,rocm", "cpu": "cpu", "tpu": "tpu"}[device])
    try:
        jax.devices()
    except RuntimeError as error:
        raise UserError(
            f"--device {device} is not to be had on this machine; leave it out for the best there is"
        ) from error
