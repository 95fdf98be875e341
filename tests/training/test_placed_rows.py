"""Rows under a placement, in one child process with eight devices: see rows_on_devices.py."""

import os
import subprocess
import sys

import pytest
import rows_on_devices as program


@pytest.mark.parametrize("checks", ["suite", pytest.param("nightly", marks=pytest.mark.nightly)])
def test_rows_that_are_divided_over_eight_devices(checks):
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, program.__file__, checks],
        env={**os.environ, **flags, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
