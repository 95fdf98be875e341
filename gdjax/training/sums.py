"""The running sums of a period's metrics, from which their means over rows are taken, and the means themselves."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from gdjax.tree import arithmetic_dtype, rescale
from gdjax.types import Metrics, Sampled, Sums


class Summation(NamedTuple):
    """How the metrics of one step are summed: they are one vector, so that a step adds it in one operation."""

    metrics: Metrics  # the shapes and dtypes of a step's
    rated: bool  # whether the range of the learning rate is kept

    def start(self) -> Sums:
        """The sums of no step."""
        zeros, _ = self._ravel()
        return empty(Sums(zeros, zeros, jnp.zeros(2 if self.rated else 0)))

    def add(self, sums: Sums, metrics: Metrics, rate: jax.Array | None) -> Sums:
        """Add one step, compensated: a million terms of 0.1 give 100,000 in float32 too.

        Reference: Kahan 1965, CACM 8(1), page 40.
        """
        terms, _ = ravel_pytree(_terms(metrics))
        term = terms + sums.lost
        total = sums.total + term
        lost = term - (total - sums.total)
        return Sums(total, jnp.where(jnp.isfinite(lost), lost, 0), range_of(rate, sums.rates))

    def means(self, sums: Sums) -> Metrics:
        """The means, weighted by "weight", and the total weight."""
        _, named = self._ravel()
        return _means(named(sums.total), self.metrics)

    def _ravel(self) -> tuple[jax.Array, Any]:
        return ravel_pytree(_terms(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self.metrics)))


def empty(like: Sums) -> Sums:
    """The sums of no step, in the shapes and dtypes of others."""
    total, lost, rates = (jnp.zeros(x.shape, x.dtype) for x in like)
    return Sums(total, lost, jnp.array([np.inf, -np.inf], rates.dtype) if rates.size else rates)


def range_of(rates: jax.Array | None, also: Any = (np.inf, -np.inf)) -> jax.Array:
    """The lowest and the highest of these rates and of another range, (2,); (0,) of None."""
    if rates is None:
        return jnp.zeros(0)
    return jnp.stack([jnp.min(rates, initial=also[0]), jnp.max(rates, initial=also[1])])


def weighted_mean(metrics: Metrics) -> Metrics:
    """The means, weighted by "weight", of metrics that are stacked along a leading axis, and the total weight."""
    terms = jax.vmap(_terms)({**metrics, "weight": rescale(metrics["weight"])})
    means = _means(jax.tree.map(lambda x: jnp.sum(x, axis=0), terms), metrics)
    return {**means, "weight": jnp.sum(metrics["weight"])}


def _terms(metrics: Metrics) -> Metrics:
    """The terms to sum over batches, from whose sums `_means` computes the means; numbers of any dtype as floats."""
    weight = metrics["weight"]

    def term(x):
        if isinstance(x, Sampled):
            return Sampled(x.value, x.taken.astype(weight.dtype))
        return weight.astype(arithmetic_dtype(x)) * x

    return {**{name: term(x) for name, x in metrics.items() if name != "weight"}, "weight": weight}


def _means(sums: Metrics, like: Metrics) -> Metrics:
    """The means from the sums of `_terms`; those of 16-bit floats are rounded to them in the end."""
    total = jnp.where(sums["weight"] > 0, sums["weight"], 1)
    total = jnp.where(total < jnp.inf, total, jnp.nan)  # the mean is unknown

    def mean(name, x):
        if isinstance(x, Sampled):
            return x.value / x.taken
        value, dtype = x / total.astype(x.dtype), like[name].dtype
        return value.astype(dtype) if jnp.issubdtype(dtype, jnp.inexact) else value

    return {**{name: mean(name, x) for name, x in sums.items() if name != "weight"}, "weight": sums["weight"]}
