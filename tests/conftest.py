"""Tests compile more than they compute: XLA's costly passes are left out, which takes a third off the suite.

JAX_DISABLE_MOST_OPTIMIZATIONS=0 runs it as users do; the certificates and the benchmarks always do.
"""

import gc
import os
import signal
from pathlib import Path

import jax
import pytest

import gdjax as gd

MAPS = Path("/proc/self/maps")  # one line for each memory map, of which a program has 20 to 40

gc.set_threshold(50_000, 50, 50)  # a worker holds many programs, which nothing is gained by looking through often

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell; tests interrupt themselves
    signal.signal(signal.SIGINT, signal.default_int_handler)

jax.config.update("jax_disable_most_optimizations", os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS", "1") != "0")


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """Linux gives a process 65,530 memory maps; a worker of few cores, which runs thousands of tests, would crash there."""
    if MAPS.exists() and MAPS.read_bytes().count(b"\n") > 15_000:
        gd.clear_programs()
        jax.clear_caches()
