"""Tests compile more than they compute: XLA's costly passes are left out, which takes a third off the suite.

JAX_DISABLE_MOST_OPTIMIZATIONS=0 runs it as users do; the certificates and the benchmarks always do.
"""

import os

import jax

jax.config.update("jax_disable_most_optimizations", os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS", "1") != "0")
