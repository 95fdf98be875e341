"""The device and the dtype of a command."""

from __future__ import annotations

import os

import jax

from gdjax.cli.errors import UserError

DETERMINISTIC = "--xla_gpu_deterministic_ops=true"  # a flag of XLA, which reads it when it starts


def use_device(device: str | None, dtype: str, deterministic: bool = False) -> None:
    """Set the device (None: JAX's default), whether float64 is enabled, and whether a GPU repeats its bits."""
    if deterministic:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {DETERMINISTIC}".strip()
    jax.config.update("jax_enable_x64", dtype == "float64")
    if device is None:
        return
    try:
        jax.config.update("jax_default_device", jax.devices(device)[0])
    except RuntimeError as error:
        raise UserError(f"--device {device} is not available here; leave it out for the default device") from error
