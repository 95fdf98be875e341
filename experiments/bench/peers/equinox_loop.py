"""Equinox as its examples write it: a module, `eqx.filter_jit` of a step, a Python loop."""

from __future__ import annotations

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..training_case import TrainingCase

NAME, PACKAGES = "Equinox", ("equinox", "optax", "jax")


class Network(eqx.Module):
    layers: list

    def __init__(self, case: TrainingCase):
        keys = jax.random.split(jax.random.key(0), len(case.sizes) - 1)
        layers = [eqx.nn.Linear(n, m, key=k) for (n, m), k in zip(itertools.pairwise(case.sizes), keys, strict=True)]
        own = [(jnp.asarray(given["w"].T), jnp.asarray(given["b"])) for given in case.start()]
        put = zip(layers, own, strict=True)
        self.layers = [eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, given) for layer, given in put]

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x))
        return self.layers[-1](x)


def loss_of(model, x, y):
    logits = jax.vmap(model)(x)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
    return loss, jnp.mean(jnp.argmax(logits, -1) == y)


def build(case: TrainingCase):
    (x, y), validation = case.rows()
    optimizer = optax.adam(case.rate)

    @eqx.filter_jit
    def train_step(model, state, x, y):
        (loss, accuracy), grads = eqx.filter_value_and_grad(loss_of, has_aux=True)(model, x, y)
        updates, state = optimizer.update(grads, state, eqx.filter(model, eqx.is_array))
        return eqx.apply_updates(model, updates), state, loss, accuracy

    evaluate = eqx.filter_jit(loss_of)

    def call():
        model = Network(case)
        state = optimizer.init(eqx.filter(model, eqx.is_array))
        random, best, best_value, history = np.random.default_rng(2), model, np.inf, []
        for _ in range(case.epochs):
            order, measured = random.permutation(len(x)), []
            for i in range(0, len(x), case.batch):
                rows = order[i : i + case.batch]
                model, state, loss, accuracy = train_step(model, state, x[rows], y[rows])
                measured.append((loss, accuracy))
            value, accuracy = evaluate(model, *validation)
            history.append(float(accuracy))
            if float(value) < best_value:
                best, best_value = model, float(value)
        jax.block_until_ready(jax.tree.leaves(eqx.filter(best, eqx.is_array)))
        return history

    return call
