"""Flax NNX as its guide writes it: a module and an optimizer that are changed by a step under `nnx.jit`."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from ..training_case import TrainingCase

NAME, PACKAGES = "Flax NNX", ("flax", "optax", "jax")


class Network(nnx.Module):
    def __init__(self, case: TrainingCase, rngs: nnx.Rngs):
        self.layers = nnx.List([nnx.Linear(n, m, rngs=rngs) for n, m in itertools.pairwise(case.sizes)])
        for layer, given in zip(self.layers, case.start(), strict=True):
            layer.kernel[...], layer.bias[...] = jnp.asarray(given["w"]), jnp.asarray(given["b"])

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = nnx.relu(layer(x))
        return self.layers[-1](x)


def loss_of(model, x, y):
    logits = model(x)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
    return loss, jnp.mean(jnp.argmax(logits, -1) == y)


def build(case: TrainingCase):
    (x, y), validation = case.rows()

    @nnx.jit
    def train_step(model, optimizer, x, y):
        (loss, accuracy), grads = nnx.value_and_grad(loss_of, has_aux=True)(model, x, y)
        optimizer.update(model, grads)
        return loss, accuracy

    evaluate = nnx.jit(loss_of)

    def call():
        model = Network(case, nnx.Rngs(0))
        optimizer = nnx.Optimizer(model, optax.adam(case.rate), wrt=nnx.Param)
        random, best, best_value, history = np.random.default_rng(2), None, np.inf, []
        for _ in range(case.epochs):
            order, measured = random.permutation(len(x)), []
            for i in range(0, len(x), case.batch):
                rows = order[i : i + case.batch]
                measured.append(train_step(model, optimizer, x[rows], y[rows]))
            value, accuracy = evaluate(model, *validation)
            history.append(float(accuracy))
            if float(value) < best_value:
                best, best_value = nnx.state(model, nnx.Param), float(value)
        jax.block_until_ready(best)
        return history

    return call
