"""What the peers that are written by hand over Optax share: the network, its loss, and a step."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax


def forward(params, x):
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


def batch_loss(params, x, y, mask):
    logits = forward(params, x)
    each = optax.softmax_cross_entropy_with_integer_labels(logits, y)
    right = jnp.argmax(logits, -1) == y
    total = jnp.sum(mask)
    return jnp.sum(each * mask) / total, (jnp.sum(right * mask) / total, total)


def step(optimizer, params, state, x, y, mask):
    (loss, (accuracy, weight)), grads = jax.value_and_grad(batch_loss, has_aux=True)(params, x, y, mask)
    updates, state = optimizer.update(grads, state, params)
    return optax.apply_updates(params, updates), state, jnp.stack([loss * weight, accuracy * weight, weight])


def batches(order, size):
    """Row indices (steps, size) and the mask of the ragged tail."""
    rows = len(order)
    steps = -(-rows // size)
    padded = jnp.pad(order, (0, steps * size - rows))
    return padded.reshape(steps, size), (jnp.arange(steps * size) < rows).astype(jnp.float32).reshape(steps, size)
