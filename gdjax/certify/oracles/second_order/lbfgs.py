"""Oracles of the quasi-Newton methods, without a line search: directions times a rate, on all leaves as one vector.

`follow` closes the loop around any of them, with a step length of the caller's.
"""

from collections import deque

import numpy as np

from gdjax.certify.oracles.lift import Seen, at

TINY, ROUNDING = np.finfo(float).tiny, np.sqrt(np.finfo(float).eps)


def _join(leaves):
    """Leaves as one real vector, complex ones by their real, then their imaginary parts."""
    parts = [np.concatenate([x.real.ravel(), x.imag.ravel()]) if np.iscomplexobj(x) else x.ravel() for x in leaves]
    return np.concatenate([np.zeros(0), *parts])


def _part(vector, like):
    out, start = [], 0
    for x in like:
        size = x.size * (2 if np.iscomplexobj(x) else 1)
        piece, start = vector[start : start + size], start + size
        out.append((piece[: x.size] + 1j * piece[x.size :] if np.iscomplexobj(x) else piece).reshape(x.shape))
    return out


def _capped(g):
    """1/|g|, at most 1."""
    norm = np.sqrt(g @ g)
    return 1 / max(norm, 1) if np.isfinite(norm) else 1.0


def _bowl_like(s, y):
    """s'y positive beyond rounding: a bowl of condition number below 1/eps has s'y >= sqrt(eps) |s| |y|."""
    return max(TINY, ROUNDING * np.sqrt(s @ s) * np.sqrt(y @ y)) < s @ y < np.inf and y @ y < np.inf


def _rate(learning_rate, step):
    return 1.0 if learning_rate is None else at(learning_rate, step + 1)


def lbfgs(params, learning_rate, memory_size, scale_init_precond, linesearch=None):
    """Nocedal & Wright 2006, Algorithms 7.4 and 7.5."""
    pairs, scale, last, step, u = deque(maxlen=memory_size), 0.0, None, 0, None
    while True:
        grads, now, _ = yield u
        x, g = _join(now), _join(grads)
        changed = True
        s, y = (x - last[0], g - last[1]) if last is not None else (0 * x, g)
        good = _bowl_like(s, y)
        if good:
            scale = s @ y / (y @ y)
        elif not scale and y.any():
            scale = _capped(y)
        if last is not None:
            pairs.append((s, y) if good else None)
            changed = y.any()
        usable = [pair for pair in pairs if pair is not None] if changed and np.isfinite(g).all() else []
        q, alphas = g.copy(), []
        for s, y in reversed(usable):
            alphas.append(s @ q / (s @ y))
            q = q - alphas[-1] * y
        d = q * (scale if scale_init_precond else 1.0)
        for s, y in usable:
            d = d + s * (alphas.pop() - y @ d / (s @ y))
        u, last, step = _part(-_rate(learning_rate, step) * d, grads), (x, g), step + 1


def bfgs(params, learning_rate, linesearch=None):
    """Nocedal & Wright 2006, equations 6.17 and 6.20."""
    inverse, last, step, u = None, None, 0, None
    while True:
        grads, now, _ = yield u
        x, g = _join(now), _join(grads)
        identity = np.eye(g.size)
        if last is not None:
            s, y = x - last[0], g - last[1]
            if _bowl_like(s, y):
                before = identity * (s @ y / (y @ y)) if inverse is None else inverse
                half = before - np.outer(s, y @ before) / (s @ y)  # (I - s y'/s'y) H, then times its transpose
                inverse = half - np.outer(half @ y, s) / (s @ y) + np.outer(s, s) / (s @ y)
            elif not (y != 0).any():
                inverse = None
        d = _capped(g) * g if inverse is None or not np.isfinite(g).all() else inverse @ g
        u, last, step = _part(-_rate(learning_rate, step) * d, grads), (x, g), step + 1


def nonlinear_cg(params, learning_rate, method, restart, linesearch=None):
    """Nocedal & Wright 2006, Algorithm 5.4 with the betas of its section 5.2."""
    old, d, step, u = None, np.zeros(0), 0, None
    while True:
        grads, _, _ = yield u
        g = _join(grads)
        new = -g
        if old is not None and np.isfinite(g).all() and np.isfinite(d).all() and abs(g @ old) < restart * (g @ g):
            beta = _beta(method, g, old, d)
            bent = -g + beta * d if np.isfinite(beta) and _rate(learning_rate, step - 1) * (d @ d) > 0 else -g
            new = bent if bent @ g < 0 else -g
        u, old, d, step = _part(_rate(learning_rate, step) * new, grads), g, new, step + 1


def _beta(method, g, old, d):
    y = g - old
    if method == "fletcher_reeves":
        return g @ g / (old @ old)
    if method == "polak_ribiere":
        return max(g @ y / (old @ old), 0)
    if method == "hestenes_stiefel":
        return max(g @ y / (d @ y), 0)
    if method == "dai_yuan":
        return g @ g / (d @ y)
    floor = -1 / (np.sqrt(d @ d) * min(0.01, np.sqrt(old @ old)))
    return max((y - 2 * d * (y @ y) / (d @ y)) @ g / (d @ y), floor)


def follow(oracle, start, value_and_grad, steps, length=lambda x, u: 1.0, **arguments):
    """The path (steps + 1, n) of an oracle from a vector, each update times length(x, update)."""
    generator, x = oracle([start], **arguments), np.asarray(start, float)
    next(generator)
    path = [x]
    for _ in range(steps):
        value, g = value_and_grad(x)
        (u,) = generator.send(Seen([g], [x], value))
        x = x + length(x, u) * u
        path.append(x)
    return np.stack(path)
