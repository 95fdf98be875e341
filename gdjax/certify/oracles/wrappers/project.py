"""Oracle of `gdjax.optimizers.wrappers.project`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gdjax import optimizers as o
from gdjax import projections
from gdjax.certify.oracles.lift import PerLeaf
from gdjax.certify.oracles.masks import small
from gdjax.certify.oracles.wrappers.lift import Answer, Inner, Wrapped, heavy, norm


def project(params: list[np.ndarray], inner: Inner, onto: Any, mask: Any) -> Wrapped:
    """Goldstein 1964: the free step, then the nearest point of the set."""
    step, answer = inner.start(params), None
    chosen = [i for i, c in enumerate(mask if isinstance(mask, PerLeaf) else [True] * len(params)) if c]
    nearest = SETS[onto.recipe.name]
    limits = {name: float(np.asarray(x)) for name, x in onto.arguments.items()}
    while True:
        seen = yield answer
        updates = list(step(seen))
        point = nearest([seen.params[i] + updates[i] for i in chosen], **limits)
        for i, x in zip(chosen, point, strict=True):
            updates[i] = x - seen.params[i]
        answer = Answer(updates)


def _l2_ball(x, radius):
    size = norm(x)
    return [leaf * (radius / size) for leaf in x] if size > radius else x


def _box(x, lower, upper):
    return [np.minimum(np.maximum(leaf, lower), upper) for leaf in x]


def _simplex(x, scale):
    """max(x - theta, 0) with theta such that the sum is right, found by halving an interval around it."""
    flat = np.concatenate([leaf.ravel() for leaf in x])
    low, high = flat.max() - scale - 1, flat.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(flat - middle, 0).sum() > scale else (low, middle)
    support = flat > high  # theta itself from those that stay: halving leaves half an ulp
    theta = (flat[support].sum() - scale) / max(support.sum(), 1)
    return [np.maximum(leaf - theta, 0) for leaf in x]


SETS: dict[str, Callable[..., Any]] = {"l2_ball": _l2_ball, "box": _box, "simplex": _simplex}


EXAMPLES = {
    "project": lambda: [
        o.project(o.sgd(0.1), projections.l2_ball(5.0)),
        o.project(o.sgd(0.1), projections.simplex(2.0), mask=small),
        o.project(heavy(), projections.box(-0.4, 0.3)),
    ],
}

BY_PARAMETERS = {
    "project": "its updates are differences of parameters",
}

LEFT_OUT = {
    "project": (
        ("tiny", "non_finite"),
        "where one leaf has all the weight of the simplex, the others are its rounding; what is not finite has no place",
    ),
}

SHORT = {
    "project": (40, "then the simplex has brought whole leaves to nothing but rounding"),
}
