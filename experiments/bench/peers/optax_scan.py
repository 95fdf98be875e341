"""Optax in a scan over epochs of scans over batches, compiled once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from ..training_case import TrainingCase
from ._optax import batch_loss, batches, step

NAME, PACKAGES = "Optax, scan", ("optax", "jax")


def build(case: TrainingCase):
    train, validation = jax.tree.map(jnp.asarray, case.rows())
    optimizer = optax.adam(case.rate)

    @jax.jit
    def run(params, key, train, validation):
        ones = jnp.ones(len(validation[0]))

        def one_step(carry, batch):
            rows, mask = batch
            params, state, measured = step(optimizer, *carry, train[0][rows], train[1][rows], mask)
            return (params, state), measured

        def epoch(carry, key):
            params, state, best, best_value = carry
            order = jax.random.permutation(key, len(train[0]))
            (params, state), sums = jax.lax.scan(one_step, (params, state), batches(order, case.batch))
            value, (accuracy, _) = batch_loss(params, *validation, ones)
            best = jax.lax.cond(value < best_value, lambda: params, lambda: best)
            return (params, state, best, jnp.minimum(value, best_value)), (jnp.sum(sums, 0), value, accuracy)

        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(case.epochs))
        (_, _, best, _), history = jax.lax.scan(epoch, (params, optimizer.init(params), params, jnp.inf), keys)
        return best, history

    def call():
        _, (_, _, accuracy) = jax.block_until_ready(run(case.start(), jax.random.key(2), train, validation))
        return accuracy

    return call
