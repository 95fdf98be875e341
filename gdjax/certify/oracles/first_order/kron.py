"""The oracle of `gdjax.optimizers.first_order.kron`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax.calls import as_key
from gdjax.certify.oracles.draws import leaf_normal
from gdjax.certify.oracles.first_order.shampoo import apply, unfold
from gdjax.certify.oracles.lift import Path, abs_sq, at


def kron(
    params: list[np.ndarray],
    learning_rate: Any,
    b1: Any,
    precond_lr: Any,
    update_interval: int,
    max_rms: Any,
    max_dim: int,
    weight_decay: Any,
    mask: Any,
    key: Any,
) -> Path:
    shapes = [np.atleast_1d(p).shape for p in params]
    dense = [[len(shape) > 1 and d <= max_dim for d in shape] for shape in shapes]
    factors = [[np.eye(d) for d in shape] for shape in shapes]  # a diagonal factor is a matrix here too
    averages: list = [0] * len(params)
    updates = None
    for step in itertools.count(0):
        grads, params, _ = yield updates
        updates = []
        for n, (g, p) in enumerate(zip(grads, params, strict=True)):
            if not g.size:
                updates.append(np.zeros_like(p))
                continue
            g = g.reshape(shapes[n])
            averages[n] = b1 * averages[n] + (1 - b1) * g
            h = averages[n] / (1 - b1 ** (step + 1))
            if step % update_interval == 0 and h.any():
                v = leaf_normal(as_key(key), step, n, g.shape, g.dtype.name)
                factors[n] = _update_factors(factors[n], dense[n], h, v, precond_lr)
            d = h
            for i, q in enumerate(factors[n]):
                d = apply(q.conj().T @ q, d, i)
            rms = np.sqrt(np.mean(abs_sq(d)))
            d = (d * (max_rms / rms) if rms > max_rms else d).reshape(p.shape)
            decays = at(weight_decay, step + 1) * p if mask[n] else 0
            updates.append(-at(learning_rate, step + 1) * (d + decays))


def _update_factors(factors, dense, h, v, rate):
    white, inverse = h, v
    for i, q in enumerate(factors):
        white, inverse = apply(q, white, i), apply(np.linalg.inv(q.conj().T), inverse, i)
    new = []
    for i, q in enumerate(factors):
        S = unfold(white, i) @ unfold(white, i).conj().T
        T = unfold(inverse, i) @ unfold(inverse, i).conj().T
        if not dense[i]:
            S, T = np.diag(np.diag(S)), np.diag(np.diag(T))
        new.append(q - rate / np.abs(S + T).sum(axis=1).max() * np.triu(S - T) @ q)
    return new


EXAMPLES = {
    "kron": lambda: [
        o.kron(0.01, update_interval=10),
        o.kron(0.01, b1=0.5, precond_lr=0.3, update_interval=7, max_rms=0.5, max_dim=30, weight_decay=0.1, key=5),
    ],
}
