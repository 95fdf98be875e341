"""The oracle of `gdjax.optimizers.first_order.muon`, for leaves of two axes."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import numpy as np
from optax.contrib import MuonDimensionNumbers

from gdjax import optimizers as o
from gdjax import schedules
from gdjax.certify.oracles.lift import Path, abs_sq, at


def orthogonal_factor(m: np.ndarray, coefficients: Any, steps: int, eps: Any, preconditioning: str) -> np.ndarray:
    coefficients = np.array(coefficients)
    rows = np.tile(coefficients, (steps, 1)) if coefficients.ndim == 1 else coefficients[-steps:]
    x = m.T if m.shape[0] > m.shape[1] else m
    norms = {"frobenius": None, "spectral": 2}
    if preconditioning in norms:
        x = x / (np.linalg.norm(x, norms[preconditioning]) + eps)
    elif preconditioning == "schatten":
        x = x / np.sqrt(max(np.linalg.norm(x @ x.conj().T), 1e-8))
    for i, (a, b, c) in enumerate(rows):
        gram = x @ x.conj().T
        if i == 0 and preconditioning == "aol":
            scale = 1 / np.sqrt(np.maximum(np.abs(gram).sum(axis=1), 1e-8))
            x, gram = np.diag(scale) @ x, np.diag(scale) @ gram @ np.diag(scale)
        x = a * x + b * gram @ x + c * gram @ gram @ x
    return x.T if m.shape[0] > m.shape[1] else x


def muon(
    params: list[np.ndarray],
    learning_rate: Any,
    ns_coeffs: Any,
    ns_steps: int,
    beta: Any,
    eps: Any,
    weight_decay: Any,
    weight_decay_mask: Any,
    mu_dtype: Any,
    nesterov: bool,
    adaptive: bool,
    preconditioning: str,
    adam_b1: Any,
    adam_b2: Any,
    adam_eps_root: Any,
    adam_weight_decay: Any,
    adam_learning_rate: Any,
    muon_weight_dimension_numbers: Any,
    consistent_rms: bool,
) -> Path:
    presets = {"dion": [(4.0848, -6.8946, 2.927), (3.9505, -6.3029, 2.6377), (3.7418, -5.5913, 2.3037)]}
    presets["dion"] += [(2.8769, -3.1427, 1.2046), (2.8366, -3.0525, 1.2012)]
    coefficients = presets[ns_coeffs] if isinstance(ns_coeffs, str) else ns_coeffs
    mu: list = [0] * len(params)
    nu: list = [0] * len(params)
    updates = None
    for t in itertools.count(1):
        grads, params, _ = yield updates
        updates = []
        for i, (g, p) in enumerate(zip(grads, params, strict=True)):
            is_matrix = p.ndim == 2 and p.size > 0
            b = beta if is_matrix else adam_b1
            mu[i], nu[i] = b * mu[i] + (1 - b) * g, adam_b2 * nu[i] + (1 - adam_b2) * abs_sq(g)
            m = mu[i] / (1 - b**t)
            if nesterov:
                m = b * mu[i] / (1 - b ** (t + 1)) + (1 - b) * g / (1 - b**t)
            if is_matrix:
                with np.errstate(all="ignore"):
                    d = orthogonal_factor(m, coefficients, ns_steps, eps, preconditioning)
                d = d * np.sum(m.conj() * d) if adaptive else d
                rows, columns = p.shape
                wide = max(1.0, columns / rows) if consistent_rms is None else max(rows, columns) * consistent_rms**2
                decay = at(weight_decay, t) * p if weight_decay_mask[i] else 0
                updates.append(-at(learning_rate, t) * (np.sqrt(wide) * d + decay))
            else:
                d = m / (np.sqrt(nu[i] / (1 - adam_b2**t) + adam_eps_root) + eps)
                rate = learning_rate if adam_learning_rate is None else adam_learning_rate
                updates.append(-at(rate, t) * (d + at(adam_weight_decay, t) * p))


def nonempty_matrices(params: Any) -> Any:
    """Dimension numbers of muon and galore: of the leaves of two axes, but for empty ones, which Optax cannot do."""
    return jax.tree.map(lambda p: MuonDimensionNumbers() if p.ndim == 2 and p.size else None, params)


EXAMPLES = {
    "muon": lambda: [
        o.muon(0.01, muon_weight_dimension_numbers=nonempty_matrices),
        o.muon(
            schedules.cosine(0.01, 1000),
            ns_coeffs="dion",
            weight_decay=0.1,
            nesterov=False,
            preconditioning="spectral",
            adam_weight_decay=0.2,
            muon_weight_dimension_numbers=nonempty_matrices,
            consistent_rms=0.2,
        ),
        o.muon(
            0.01,
            adaptive=True,
            preconditioning="aol",
            adam_learning_rate=0.02,
            muon_weight_dimension_numbers=nonempty_matrices,
        ),
        o.muon(0.01, ns_steps=3, preconditioning="schatten", muon_weight_dimension_numbers=nonempty_matrices),
    ],
}
