"""Optax over the loader of cyreal, whose `scan_epoch` compiles an epoch; a jitted evaluation after each."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
from cyreal.loader import DataLoader
from cyreal.sources import ArraySource
from cyreal.transforms import BatchTransform

from ..training_case import TrainingCase
from ._optax import batch_loss, step

NAME, PACKAGES = "cyreal with Optax", ("cyreal", "optax", "jax")


def build(case: TrainingCase):
    (x, y), validation = jax.tree.map(jnp.asarray, case.rows())
    optimizer = optax.adam(case.rate)
    loader = DataLoader([ArraySource({"x": x, "y": y}, ordering="shuffle"), BatchTransform(batch_size=case.batch)])
    evaluate = jax.jit(lambda params: batch_loss(params, *validation, jnp.ones(len(validation[0]))))

    def update(carry, batch, mask):
        params, state, measured = step(optimizer, *carry, batch["x"], batch["y"], mask.astype(jnp.float32))
        return (params, state), measured

    epoch = jax.jit(lambda loading, carry: loader.scan_epoch(loading, carry, update))

    def call():
        params = jax.tree.map(jnp.asarray, case.start())
        carry, loading = (params, optimizer.init(params)), loader.init_state(jax.random.key(2))
        best, best_value, history = params, np.inf, []
        for _ in range(case.epochs):
            loading, carry, _ = epoch(loading, carry)
            value, (accuracy, _) = evaluate(carry[0])
            history.append(float(accuracy))
            if float(value) < best_value:
                best, best_value = carry[0], float(value)
        jax.block_until_ready(best)
        return history

    return call
