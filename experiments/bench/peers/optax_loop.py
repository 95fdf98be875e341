"""Optax in a Python loop over a jitted step, with a jitted evaluation after each epoch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..training_case import TrainingCase
from ._optax import batch_loss, batches, step

NAME, PACKAGES = "Optax, Python loop", ("optax", "jax")


def build(case: TrainingCase):
    train, validation = jax.tree.map(jnp.asarray, case.rows())
    optimizer, rows = optax.adam(case.rate), len(train[0])

    @jax.jit
    def train_step(params, state, data, rows, mask):
        return step(optimizer, params, state, data[0][rows], data[1][rows], mask)

    shuffle = jax.jit(lambda key: batches(jax.random.permutation(key, rows), case.batch))
    evaluate = jax.jit(lambda params: batch_loss(params, *validation, jnp.ones(len(validation[0]))))

    def call():
        params, key = jax.tree.map(jnp.asarray, case.start()), jax.random.key(2)
        state, best, best_value, history = optimizer.init(params), params, np.inf, []
        for epoch in range(case.epochs):
            rows, mask = shuffle(jax.random.fold_in(key, epoch))
            sums = []
            for i in range(len(rows)):
                params, state, measured = train_step(params, state, train, rows[i], mask[i])
                sums.append(measured)
            value, (accuracy, _) = evaluate(params)
            history.append((np.sum(np.asarray(sums), axis=0), float(value), float(accuracy)))
            if history[-1][1] < best_value:
                best, best_value = params, history[-1][1]
        jax.block_until_ready(best)
        return [accuracy for _, _, accuracy in history]

    return call
