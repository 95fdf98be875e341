"""Steps as long as the value says: Polyak's rule, and its descendants with momentum. They read `value=`."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.calls.node import Rated, optimizer, rate_of
from gdjax.optimizers.leafwise import _refuse_integers
from gdjax.tree import abs_sq

_TINY = float(np.finfo(np.float64).eps)  # a squared norm up to this is a gradient of zero, as in Optax


def _value(who: str, value: Any) -> jax.Array:
    if value is None:
        raise ValueError(f"{who}: update needs value=, the loss at params, as make_step passes it")
    return jnp.asarray(value, jnp.result_type(float))


def _capped(init: Any, update: Any, learning_rate: Any) -> Rated:
    """(init, update) whose rate is only the longest step."""
    return Rated(init, update, lambda state, _: rate_of(learning_rate, state), exact=False)


def _check(who: str, grads: Any, params: Any) -> None:
    if params is None:
        raise ValueError(f"{who}: update needs params, got None")
    tree.check_like(who, "grads", grads, "params", params)


def _at(x: Any, count: jax.Array) -> Any:
    return x(count) if callable(x) else x


def _wide(x: jax.Array) -> jax.Array:
    return x.astype(tree.arithmetic_dtype(x))


def _dot(a: Any, b: Any) -> jax.Array:
    """The real inner product of two trees, in at least float32."""
    return sum(
        tree.leafmap(lambda x, y: jnp.sum((jnp.conj(_wide(x)) * _wide(y)).real), a, b),
        start=jnp.zeros((), jnp.result_type(float)),
    )


def _scaled(x: Any) -> tuple[jax.Array, jax.Array, Any]:
    """(s, |s x|², s x): s is 1, or 1/|x| where |x|² would leave the floats' range; 0 for x = 0."""
    size, scale = tree.norm(x)
    plain = scale == 1
    s = jnp.where(plain, 1, tree.ratio(scale, size))
    return s, jnp.where(plain, size * size, jnp.sign(size)), jax.tree.map(lambda leaf: s * _wide(leaf), x)


class PolyakState(NamedTuple):
    count: jax.Array | None  # updates so far, () int32; None unless a schedule asks


@optimizer(static=("variant",), bounds={"max_learning_rate": "(0, inf)", "scaling": "[0, inf)", "eps": "[0, inf)"})
def polyak_sgd(max_learning_rate=1.0, scaling=1.0, f_min=0.0, eps=0.0, variant="sps"):
    """Polyak's step: as far as a line with this slope takes to come down to the least value.

        u = -scaling min((value - f_min) / (|g|² + eps), max_learning_rate) g

    Args:
        max_learning_rate: > 0, the longest step, parameter units per gradient unit.
        scaling: factor of the step; number or schedule.
        f_min: the least value there is.
        eps: >= 0, gradient units squared.
        variant: "sps", or "sps+", which takes a value below f_min for f_min.

    A gradient with |g|² + eps up to 2.2e-16 counts as zero, as in Optax.

    Memory: 0 x params.   Raises: ValueError outside these ranges, or if update is called without `value=`.
    Differs from: Optax, which scales the gradient before it takes |g|²: there half the scaling doubles the step.
    Reference: Loizou et al. 2021, equation 2 (SPS_max), arXiv:2002.10542; Polyak 1969.
    """
    if variant not in ("sps", "sps+"):
        raise ValueError(f"polyak_sgd: variant must be 'sps' or 'sps+', got {variant!r}")

    def init(params):
        _refuse_integers("polyak_sgd", params)
        return PolyakState(jnp.zeros((), jnp.int32) if callable(scaling) else None)

    def update(grads, state, params=None, *, value=None, **extra_args):
        if params is not None:
            tree.check_like("polyak_sgd", "grads", grads, "params", params)
        s, squared, scaled = _scaled(grads)
        gap = _value("polyak_sgd", value) - f_min
        gap = jnp.maximum(gap, 0) if variant == "sps+" else gap
        squared = squared + eps * s * s
        rate = jnp.minimum(tree.ratio(gap, squared) * s, max_learning_rate / s)
        step = _at(scaling, state.count) * jnp.where(squared > _TINY * s * s, rate, 0)
        like = grads if params is None else params
        updates = jax.tree.map(lambda g, p: (-step * g).astype(p.dtype), scaled, like)
        return updates, PolyakState(None if state.count is None else tree.increment(state.count))

    return init, update


class MomoState(NamedTuple):
    exp_avg: Any
    barf: jax.Array  # () float, averaged value
    gamma: jax.Array  # () float, averaged <g, p>
    lb: jax.Array  # () float, lower bound of the value
    count: jax.Array


_MOMO = {"learning_rate": "[0, inf)", "weight_decay": "[0, inf)"}


@optimizer(static=("adapt_lower_bound",), bounds={**_MOMO, "beta": "[0, 1)"})
def momo(learning_rate=1.0, beta=0.9, lower_bound=0.0, weight_decay=0.0, adapt_lower_bound=False):
    """MoMo: momentum descent with Polyak's step, for the averaged linear model of the loss.

        m <- beta m + (1 - beta) g,   barf <- ... value,   gamma <- ... <g, p>              the first step has beta = 0
        tau = min(learning_rate, max(0, q (barf - gamma - lower_bound) + <m, p>) / |m|²)
        q = 1 + learning_rate weight_decay,     u = -tau m - learning_rate weight_decay/q p

    Args:
        learning_rate: the longest step; number, array or schedule.
        beta: in [0, 1); memory of about 1/(1 - beta) steps.
        lower_bound: of the loss.
        weight_decay: >= 0.
        adapt_lower_bound: also estimate the bound from below, from what has been seen.

    Memory: 1 x params.   Raises: ValueError outside these ranges, or if update is called without `value=`.
    Differs from: Optax at complex parameters, where its step turns complex as soon as weight decay moves them too.
    Reference: Schaipp et al. 2024, Algorithms 1 and 3, arXiv:2305.07583.
    """

    def init(params):
        _refuse_integers("momo", params)
        zero = jnp.zeros((), jnp.result_type(float))
        m, count = jax.tree.map(jnp.zeros_like, params), jnp.zeros((), jnp.int32)
        return MomoState(m, zero, zero, zero + lower_bound, count)

    def update(grads, state, params=None, *, value=None, **extra_args):
        _check("momo", grads, params)
        keep = jnp.where(state.count == 0, 0.0, beta)
        barf = keep * state.barf + (1 - keep) * _value("momo", value)
        m = jax.tree.map(lambda m, g: keep * _wide(m) + (1 - keep) * _wide(g), state.exp_avg, grads)
        gamma = keep * state.gamma + (1 - keep) * _dot(grads, params)
        s, squared, scaled = _scaled(m)
        model = _Model(barf, gamma, squared, _dot(m, params), _at(learning_rate, state.count), weight_decay, s)
        tau, lb = model.step(state.lb, lower_bound, 1.0, adapt_lower_bound)
        updates = jax.tree.map(lambda m, p: (model.shrink() * _wide(p) - tau * m).astype(p.dtype), scaled, params)
        new = MomoState(m, barf, gamma, lb, tree.increment(state.count))
        return updates, tree.cast_like(new, state)

    return _capped(init, update, learning_rate)


class _Model(NamedTuple):
    """What the averages say of the loss along -m: a line through barf - gamma + <m, p> with slope -|m|²."""

    barf: jax.Array
    gamma: jax.Array
    squared: jax.Array  # |scale m|², in the metric of the method
    product: jax.Array  # <m, p>
    rate: Any
    weight_decay: Any
    scale: jax.Array

    def shrink(self) -> Any:
        return -(self.rate * self.weight_decay) / (1 + self.rate * self.weight_decay)

    def step(self, lb: Any, least: Any, correction: Any, adapt: bool) -> tuple[jax.Array, jax.Array]:
        """(tau / scale, the next lower bound)."""
        q = 1 + self.rate * self.weight_decay
        if adapt:
            cap = q * (self.barf - self.gamma) + self.product
            lb = jnp.where(cap < q * correction * lb, jnp.maximum(cap / (2 * correction * q), least), lb)
        reach = jnp.maximum(q * (self.barf - correction * lb - self.gamma) + self.product, 0)
        tau = jnp.minimum(self.rate / correction / self.scale, tree.ratio(reach, self.squared) * self.scale)
        tau = jnp.where(self.squared > _TINY * self.scale * self.scale, tau, 0)
        if adapt:
            slope = 0.5 * tree.ratio(tau * self.squared, self.scale)
            seen = (self.barf + self.product - self.gamma - slope) / correction
            lb = jnp.maximum(seen, least)
        return tau, lb


class MomoAdamState(NamedTuple):
    exp_avg: Any
    exp_avg_sq: Any
    barf: jax.Array
    gamma: jax.Array
    lb: jax.Array
    count: jax.Array


@optimizer(static=("adapt_lower_bound",), bounds={**_MOMO, "b1": "[0, 1)", "b2": "[0, 1)", "eps": "[0, inf)"})
def momo_adam(
    learning_rate=1e-2, b1=0.9, b2=0.999, eps=1e-8, lower_bound=0.0, weight_decay=0.0, adapt_lower_bound=False
):
    """MoMo-Adam: Adam with Polyak's step, for the averaged linear model of the loss in Adam's metric.

        m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g²,   D = eps + sqrt(v_hat),   barf, gamma as `momo`, with b1
        tau = min(learning_rate/c, max(0, q (barf - gamma - c lower_bound) + <m, p>) / <m, m/D>),   c = 1 - b1^t
        u = -tau m/D - learning_rate weight_decay/q p,                          q = 1 + learning_rate weight_decay

    Args: as `momo`, and
        b1: in [0, 1), of the first moment, the value and <g, p>.
        b2: in [0, 1), of the second moment.
        eps: >= 0, gradient units.

    Memory: 2 x params.   Raises: ValueError outside these ranges, or if update is called without `value=`.
    Differs from: Optax at complex parameters, where it averages g² instead of |g|².
    Reference: Schaipp et al. 2024, Algorithm 2, arXiv:2305.07583.
    """

    def init(params):
        _refuse_integers("momo_adam", params)
        zero = jnp.zeros((), jnp.result_type(float))
        m = jax.tree.map(jnp.zeros_like, params)
        v = jax.tree.map(lambda p: jnp.zeros_like(p.real), params)
        return MomoAdamState(m, v, zero, zero, zero + lower_bound, jnp.zeros((), jnp.int32))

    def update(grads, state, params=None, *, value=None, **extra_args):
        _check("momo_adam", grads, params)
        t = tree.increment(state.count)
        barf = b1 * state.barf + (1 - b1) * _value("momo_adam", value)
        m = jax.tree.map(lambda m, g: b1 * _wide(m) + (1 - b1) * _wide(g), state.exp_avg, grads)
        v = jax.tree.map(lambda v, g: b2 * _wide(v) + (1 - b2) * abs_sq(_wide(g)), state.exp_avg_sq, grads)
        s, _, short = _scaled(m)
        scaled = jax.tree.map(lambda m, v: m / (eps + jnp.sqrt(v / (1 - b2**t))), short, v)
        gamma = b1 * state.gamma + (1 - b1) * _dot(grads, params)
        rate = _at(learning_rate, state.count)
        model = _Model(barf, gamma, _dot(short, scaled), _dot(m, params), rate, weight_decay, s)
        tau, lb = model.step(state.lb, lower_bound, 1 - b1**t, adapt_lower_bound)
        updates = jax.tree.map(lambda d, p: (model.shrink() * _wide(p) - tau * d).astype(p.dtype), scaled, params)
        new = MomoAdamState(m, v, barf, gamma, lb, t)
        return updates, tree.cast_like(new, state)

    return _capped(init, update, learning_rate)
