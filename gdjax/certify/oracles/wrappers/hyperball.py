"""The oracle of `gdjax.optimizers.wrappers.hyperball`, for masks of matrices."""

import itertools

import numpy as np

from gdjax.certify.oracles.lift import at
from gdjax.certify.oracles.wrappers.lift import Answer, over


def hyperball(params, inner, learning_rate, mask):
    """Wen et al. 2026: p <- R unit(p + rate R unit(u)), for each matrix."""
    step, answer = inner.start(params), None
    radii = [np.linalg.norm(p) for p in params]
    for t in itertools.count(1):
        seen = yield answer
        updates = list(step(seen))
        for i, (p, u, radius) in enumerate(zip(seen.params, updates, radii, strict=True)):
            if mask[i] and p.ndim > 1 and radius > 0:
                ahead = p + at(learning_rate, t) * radius * over(u, np.linalg.norm(u))
                updates[i] = radius * ahead / np.linalg.norm(ahead) - p
        answer = Answer(updates)
