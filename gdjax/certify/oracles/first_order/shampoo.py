"""Oracles of `gdjax.optimizers.first_order.shampoo`: every axis written out with einsum-like moves of NumPy."""

import itertools

import numpy as np

from gdjax.calls.node import as_key
from gdjax.certify.oracles.draws import folded_normal
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf


def _apply(matrix, x, axis):
    return np.moveaxis(np.tensordot(matrix, x, axes=(1, axis)), 0, axis)


def _unfold(x, axis):
    return np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)


def _symmetric_power(matrix, power):
    values, vectors = np.linalg.eigh(matrix)
    values = np.maximum(values, len(values) * np.finfo(float).eps * values.max())
    return vectors @ np.diag(values**power) @ vectors.conj().T


@per_leaf
def shampoo(p, learning_rate, momentum, eps, update_interval, max_dim, weight_decay, mask):
    shape, p = p.shape, np.atleast_1d(p)
    axes = [i for i in range(p.ndim) if p.size and p.shape[i] <= max_dim]
    sums = {i: eps * np.eye(p.shape[i]) for i in axes}
    roots, mu, u = {}, np.zeros_like(p), None
    for t in itertools.count(1):
        g, p, _ = yield u
        d = g = np.atleast_1d(g)
        for i in axes:
            slices = _unfold(g, i)
            sums[i] = sums[i] + slices @ slices.conj().T
            if (t - 1) % update_interval == 0:
                finite = np.isfinite(sums[i]).all()
                roots[i] = _symmetric_power(sums[i], -0.5 / len(axes)) if finite else np.full_like(sums[i], np.nan)
            d = _apply(roots[i], d, i)
        mu = momentum * mu + d
        u = -at(learning_rate, t) * (mu.reshape(shape) + (at(weight_decay, t) * p if mask else 0))


@per_leaf
def soap(p, learning_rate, b1, b2, eps, precondition_frequency, max_dim, weight_decay, mask):
    axes = [i for i in range(p.ndim) if p.ndim > 1 and p.size and p.shape[i] <= max_dim]
    cov, basis, mu, nu, u = {}, {}, 0, 0, None
    for step in itertools.count(0):
        g, p, _ = yield u
        decay = at(weight_decay, step + 1) * p if mask else 0
        grams = {i: _unfold(g, i) @ _unfold(g, i).conj().T for i in axes}
        if step == 0:
            cov = grams
            basis = {i: np.linalg.eigh(cov[i])[1][:, ::-1] for i in axes}
            u = -at(learning_rate, 1) * (0 * g + decay)
            continue
        mu = b1 * mu + (1 - b1) * g
        turned, average = g, mu / (1 - b1**step)
        for i in axes:
            turned, average = _apply(basis[i].conj().T, turned, i), _apply(basis[i].conj().T, average, i)
        nu = b2 * nu + (1 - b2) * abs_sq(turned)
        d = average / (np.sqrt(nu / (1 - b2**step)) + eps)
        for i in axes:
            d = _apply(basis[i], d, i)
        u = -at(learning_rate, step + 1) * (d + decay)
        cov = {i: b2 * cov[i] + (1 - b2) * grams[i] for i in axes}
        if step % precondition_frequency == 0:
            for i in axes:
                estimates = [(q.conj() @ cov[i] @ q).real for q in basis[i].T]
                order = np.argsort(estimates)[::-1]
                nu, turned = np.take(nu, order, axis=i), cov[i] @ basis[i][:, order]
                basis[i] = np.linalg.qr(turned)[0] if np.isfinite(turned).all() else 0 * turned


def kron(params, learning_rate, b1, precond_lr, update_interval, max_rms, max_dim, weight_decay, mask, key):
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
                v = folded_normal(as_key(key), step, n, g.shape, g.dtype.name)
                factors[n] = _learned(factors[n], dense[n], h, v, precond_lr)
            d = h
            for i, q in enumerate(factors[n]):
                d = _apply(q.conj().T @ q, d, i)
            rms = np.sqrt(np.mean(abs_sq(d)))
            d = (d * (max_rms / rms) if rms > max_rms else d).reshape(p.shape)
            decays = at(weight_decay, step + 1) * p if mask[n] else 0
            updates.append(-at(learning_rate, step + 1) * (d + decays))


def _learned(factors, dense, h, v, rate):
    white, inverse = h, v
    for i, q in enumerate(factors):
        white, inverse = _apply(q, white, i), _apply(np.linalg.inv(q.conj().T), inverse, i)
    new = []
    for i, q in enumerate(factors):
        S = _unfold(white, i) @ _unfold(white, i).conj().T
        T = _unfold(inverse, i) @ _unfold(inverse, i).conj().T
        if not dense[i]:
            S, T = np.diag(np.diag(S)), np.diag(np.diag(T))
        new.append(q - rate / np.abs(S + T).sum(axis=1).max() * np.triu(S - T) @ q)
    return new
