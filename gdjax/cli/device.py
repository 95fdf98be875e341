"""The device and the dtype of a command."""

from __future__ import annotations

import contextlib
import os

import jax

from gdjax.cli.errors import UserError

MOST_ON_CPU = 1024
CPU_DEVICES = "xla_force_host_platform_device_count"
DETERMINISTIC = "--xla_gpu_deterministic_ops=true"  # a flag of XLA, which reads it when it starts


def use_devices(number: int | None) -> None:
    """Let a CPU have so many devices, unless JAX has started or the environment says how many."""
    said = CPU_DEVICES in os.environ.get("XLA_FLAGS", "") or "JAX_NUM_CPU_DEVICES" in os.environ
    if number is None or number < 1 or said:
        return
    if number > MOST_ON_CPU:
        raise UserError(f"--devices must be at most {MOST_ON_CPU}, got {number}")
    with contextlib.suppress(RuntimeError):  # JAX has started
        jax.config.update("jax_num_cpu_devices", number)


def use_device(device: str | None, dtype: str, deterministic: bool = False) -> None:
    """Set the device (None: JAX's default), whether float64 is enabled, and whether a GPU repeats its bits."""
    if deterministic:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {DETERMINISTIC}".strip()
    jax.config.update("jax_enable_x64", dtype == "float64")
    if device is None:
        return
    try:
        jax.config.update("jax_default_device", jax.local_devices(backend=device)[0])
    except RuntimeError as error:
        raise UserError(f"--device {device} is not available here; leave it out for the default device") from error
