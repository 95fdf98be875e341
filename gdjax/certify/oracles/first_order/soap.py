"""The oracle of `gdjax.optimizers.first_order.soap`."""

import itertools

import numpy as np

from gdjax import optimizers as o
from gdjax.certify.oracles.first_order.shampoo import apply, unfold
from gdjax.certify.oracles.lift import abs_sq, at, per_leaf
from gdjax.certify.oracles.masks import matrices


@per_leaf
def soap(p, learning_rate, b1, b2, eps, precondition_frequency, max_dim, weight_decay, mask):
    axes = [i for i in range(p.ndim) if p.ndim > 1 and p.size and p.shape[i] <= max_dim]
    cov, basis, mu, nu, u = {}, {}, 0, 0, None
    for step in itertools.count(0):
        g, p, _ = yield u
        decay = at(weight_decay, step + 1) * p if mask else 0
        grams = {i: unfold(g, i) @ unfold(g, i).conj().T for i in axes}
        if step == 0:
            cov = grams
            basis = {i: np.linalg.eigh(cov[i])[1][:, ::-1] for i in axes}
            u = -at(learning_rate, 1) * (0 * g + decay)
            continue
        mu = b1 * mu + (1 - b1) * g
        turned, average = g, mu / (1 - b1**step)
        for i in axes:
            turned, average = apply(basis[i].conj().T, turned, i), apply(basis[i].conj().T, average, i)
        nu = b2 * nu + (1 - b2) * abs_sq(turned)
        d = average / (np.sqrt(nu / (1 - b2**step)) + eps)
        for i in axes:
            d = apply(basis[i], d, i)
        u = -at(learning_rate, step + 1) * (d + decay)
        cov = {i: b2 * cov[i] + (1 - b2) * grams[i] for i in axes}
        if step % precondition_frequency == 0:
            for i in axes:
                estimates = [(q.conj() @ cov[i] @ q).real for q in basis[i].T]
                order = np.argsort(estimates)[::-1]
                nu, turned = np.take(nu, order, axis=i), cov[i] @ basis[i][:, order]
                basis[i] = np.linalg.qr(turned)[0] if np.isfinite(turned).all() else 0 * turned


EXAMPLES = {
    "soap": lambda: [
        o.soap(0.01, eps=1e-2),
        o.soap(0.01, b1=0.9, b2=0.98, eps=1e-2, precondition_frequency=50, max_dim=30, mask=matrices),
    ],
}

LIMITS = {
    "soap(": (1e-9, "eigenvectors lose the digits that the gaps between eigenvalues cost"),
}

LEFT_OUT = {
    "soap": (("huge", "matrix"), "where gradients span less than the axis, the eigenvectors of the rest are free"),
}
