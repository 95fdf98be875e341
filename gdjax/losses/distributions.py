"""Divergences between two distributions: predictions are logarithms, targets are probabilities or logarithms.

The classes are along `axis`; several axes (all if None) are joined into one. `where` is bool, broadcast to the shape of the
predictions; entries that are masked out contribute nothing.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from gdjax import domain
from gdjax.domain import within
from gdjax.losses.arguments import Axis, alike, distributions, last, mask_of, product, select, widen_arguments


@widen_arguments
def kl_divergence(
    log_predictions: ArrayLike, targets: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None
) -> jax.Array:
    """sum_c p_c (log p_c - log q_c), the nats lost by coding p with q; 0 log 0 = 0; inf where q_c = 0 < p_c.

    The derivative by a p_c of 0, which is -inf, is that at the smallest positive number instead.

    Args:
        axis: along which the classes lie; several, or all if None, are one.
        where: bool, broadcast to the shape of the predictions; what it leaves out adds nothing (default: nothing).

    Shapes: log_predictions = log q (..., C) <= 0, targets = p (..., C) >= 0 of sum 1 (to 0.01) -> (...) nats.

    >>> print(gd.kl_divergence(jnp.log(jnp.array([0.25, 0.75])), jnp.array([0.5, 0.5])))
    0.14384
    """
    who = "kl_divergence"
    log_q, p, mask = _pair(who, log_predictions, "targets", targets, axis, where)
    valid = distributions(who, "targets", p, mask)
    log_q, p = select(log_q, mask), select(p, mask)
    valid *= within(who, "log_predictions", log_q, domain.LOG_PROBABILITIES)
    return valid * jnp.sum(_relative(p, log_q), axis=-1)


@widen_arguments
def kl_divergence_with_log_targets(
    log_predictions: ArrayLike, log_targets: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None
) -> jax.Array:
    """`kl_divergence` of targets that are logarithms too: sum_c p_c (log p_c - log q_c).

    Args:
        axis: along which the classes lie; several, or all if None, are one.
        where: bool, broadcast to the shape of the predictions; what it leaves out adds nothing (default: nothing).

    Shapes: log_predictions = log q (..., C) <= 0, log_targets = log p (..., C) with sum_c p_c = 1 (to 0.01) -> (...) nats.

    >>> print(gd.losses.kl_divergence_with_log_targets(jnp.log(jnp.array([0.25, 0.75])), jnp.log(jnp.array([0.5, 0.5]))))
    0.14384
    """
    who = "kl_divergence_with_log_targets"
    log_q, log_p, mask = _pair(who, log_predictions, "log_targets", log_targets, axis, where)
    valid = distributions(who, "exp(log_targets)", jnp.exp(log_p), mask)
    log_q, log_p = select(log_q, mask), select(log_p, mask)
    valid *= within(who, "log_predictions", log_q, domain.LOG_PROBABILITIES)
    p = jnp.exp(log_p)
    terms = product(p, jnp.where(p > 0, log_p, jnp.log(jnp.finfo(p.dtype).tiny)) - log_q)
    return valid * jnp.sum(terms if mask is None else jnp.where(mask, terms, 0), axis=-1)


@widen_arguments
def generalized_kl_divergence(
    log_predictions: ArrayLike, targets: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None
) -> jax.Array:
    """sum_c p_c (log p_c - log q_c) - p_c + q_c, of measures whose sums need not be 1; 0 where p = q, else positive.

    Args:
        axis: along which the classes lie; several, or all if None, are one.
        where: bool, broadcast to the shape of the predictions; what it leaves out adds nothing (default: nothing).

    Shapes: log_predictions = log q (..., C), targets = p (..., C) >= 0 -> (...) nats.

    >>> print(gd.generalized_kl_divergence(jnp.log(jnp.array([1.0, 2.0])), jnp.array([1.0, 1.0])))
    0.30685
    """
    return _generalized("generalized_kl_divergence", log_predictions, targets, axis, where)


@widen_arguments
def convex_kl_divergence(
    log_predictions: ArrayLike, targets: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None
) -> jax.Array:
    """`generalized_kl_divergence` by its former name in Optax.   Shapes: (..., C), (..., C) -> (...) nats.

    >>> print(gd.convex_kl_divergence(jnp.log(jnp.array([1.0, 2.0])), jnp.array([1.0, 1.0])))
    0.30685
    """
    return _generalized("convex_kl_divergence", log_predictions, targets, axis, where)


def _generalized(who, log_predictions, targets, axis, where) -> jax.Array:
    log_q, p, mask = _pair(who, log_predictions, "targets", targets, axis, where)
    log_q, p = select(log_q, mask), select(p, mask)
    terms = within(who, "targets", p, domain.WEIGHTS) * (_relative(p, log_q) - p + jnp.exp(log_q))
    return jnp.sum(terms if mask is None else jnp.where(mask, terms, 0), axis=-1)


def _relative(p: jax.Array, log_q: jax.Array) -> jax.Array:
    """p (log p - log q), and 0 where p is 0."""
    return product(p, jnp.log(jnp.where(p > 0, p, jnp.finfo(p.dtype).tiny)) - log_q)


def _pair(who, log_predictions, name, targets, axis, where) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Both with the classes last, and the mask."""
    log_q, p = alike(who, "log_predictions", log_predictions, name, targets, real=True)
    mask = mask_of(who, "log_predictions", log_q, axis, where, rows=False)
    return last(who, log_q, axis), last(who, p, axis), mask
