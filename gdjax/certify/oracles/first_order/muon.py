"""Oracles of `gdjax.optimizers.first_order.muon`, for leaves of two axes."""

import itertools

import jax.numpy as jnp
import numpy as np

from gdjax.certify.oracles.lift import abs_sq, at


def _orthogonalised(m, coefficients, steps, eps, preconditioning):
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
    params,
    learning_rate,
    ns_coeffs,
    ns_steps,
    beta,
    eps,
    weight_decay,
    weight_decay_mask,
    mu_dtype,
    nesterov,
    adaptive,
    preconditioning,
    adam_b1,
    adam_b2,
    adam_eps_root,
    adam_weight_decay,
    adam_learning_rate,
    muon_weight_dimension_numbers,
    consistent_rms,
):
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
                    d = _orthogonalised(m, coefficients, ns_steps, eps, preconditioning)
                d = d * np.sum(m.conj() * d) if adaptive else d
                rows, columns = p.shape
                wide = max(1.0, columns / rows) if consistent_rms is None else max(rows, columns) * consistent_rms**2
                decay = at(weight_decay, t) * p if weight_decay_mask[i] else 0
                updates.append(-at(learning_rate, t) * (np.sqrt(wide) * d + decay))
            else:
                d = m / (np.sqrt(nu[i] / (1 - adam_b2**t) + adam_eps_root) + eps)
                rate = learning_rate if adam_learning_rate is None else adam_learning_rate
                updates.append(-at(rate, t) * (d + at(adam_weight_decay, t) * p))


def galore(
    params, learning_rate, rank, update_proj_gap, scale, base_optimizer, weight_decay, mask, weight_dimension_numbers
):
    """With Adam as the base. The singular vectors are XLA's, in single precision: their signs are part of the path."""
    mu: list = [0] * len(params)
    nu: list = [0] * len(params)
    updates = None
    projectors: list = [None] * len(params)
    for t in itertools.count(1):
        grads, params, _ = yield updates
        updates = []
        for i, (g, p) in enumerate(zip(grads, params, strict=True)):
            is_matrix, tall = p.ndim == 2 and p.size > 0, p.ndim == 2 and p.shape[0] >= p.shape[1]
            if is_matrix and (t - 1) % update_proj_gap == 0:
                single = g.astype(np.complex64 if np.iscomplexobj(g) else np.float32)
                left, _, right = map(np.asarray, jnp.linalg.svd(single, full_matrices=False))
                projectors[i] = (left[:, :rank] if tall else right[:rank].conj().T).astype(p.dtype)
            P, small = projectors[i], g
            if is_matrix:
                small = P.conj().T @ g if tall else g @ P
            mu[i], nu[i] = 0.9 * mu[i] + 0.1 * small, 0.999 * nu[i] + (1 - 0.999) * abs_sq(small)
            d = mu[i] / (1 - 0.9**t) / (np.sqrt(nu[i] / (1 - 0.999**t)) + 1e-8)
            if is_matrix:
                d = P @ d if tall else d @ P.conj().T
                d = scale * d
            updates.append(-at(learning_rate, t) * (d + (at(weight_decay, t) * p if mask[i] else 0)))
