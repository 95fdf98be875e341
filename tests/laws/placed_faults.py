"""What goes wrong silently at scale, seeded: each is a patch of one rule while a program is traced, never of the product."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from gdjax import tree
from gdjax.data import num_rows
from gdjax.models import normalization
from gdjax.training import microbatches, objective
from gdjax.training._placement import Placement

DEVICES = 8

# (rows that count here, rows here, number of this device) -> the factors of what the devices sum, and what divides the sum.
REDUCTIONS: dict[str, Callable[..., Any]] = {
    "a mean over rows": lambda weight, rows, device: (weight, jax.lax.psum(weight, "data")),  # the right one
    "the gradients of one device are dropped": lambda weight, rows, device: (
        weight * (device != 2),
        jax.lax.psum(weight, "data"),
    ),
    "a sum for a mean": lambda weight, rows, device: (1.0, 1.0),
    "a mean of the means of devices": lambda weight, rows, device: (1.0, DEVICES),
    "nothing is exchanged": lambda weight, rows, device: (1.0 * (device == 0), 1.0),
    "masked rows are counted": lambda weight, rows, device: (weight, DEVICES * rows),
}


@contextlib.contextmanager
def reduced_by_hand(which: Any) -> Iterator[None]:
    """The gradient that every device computes of its own rows, reduced by hand: by REDUCTIONS[which], perhaps traced."""

    def value_and_grad(self: objective.Objective, params: Any) -> Any:
        missing = -num_rows(self.batch) % DEVICES
        batch, mask = jax.tree.map(
            lambda x: jnp.pad(x, [(0, missing)] + [(0, 0)] * (x.ndim - 1)), (self.batch, self.mask)
        )
        own = dataclasses.replace(self, placement=None)

        def on_device(params: Any, batch: Any, mask: Any, which: Any) -> Any:
            def of_rows(params: Any) -> Any:
                return own._of_rows(params, batch, mask, self.model_state, self.key)

            (loss, (metrics, _)), grads = jax.value_and_grad(of_rows, has_aux=True)(params)
            given = metrics["weight"], mask.size, jax.lax.axis_index("data")
            ways = jnp.array([[jnp.asarray(x, float) for x in way(*given)] for way in REDUCTIONS.values()])
            factor, divisor = ways[which]
            loss, grads = jax.tree.map(lambda x: jax.lax.psum(factor * x, "data") / divisor, (loss, grads))
            return loss, grads, jax.lax.psum(metrics["weight"], "data")

        whole, rows = PartitionSpec(), PartitionSpec("data")
        each = jax.shard_map(
            on_device, mesh=self.placement.mesh, in_specs=(whole, rows, rows, whole), out_specs=whole, check_vma=False
        )
        loss, grads, weight = each(params, batch, mask, which)
        return (loss, ({"weight": weight}, self.model_state)), grads

    with mock.patch.object(objective.Objective, "value_and_grad", value_and_grad):
        yield


def _share(rows: int) -> int:
    """The rows that a device has of a batch."""
    return -(-rows // DEVICES)


def _tile(x: Any) -> Any:
    return jnp.tile(x[: _share(len(x))], (DEVICES, *[1] * (x.ndim - 1)))[: len(x)]


spread, add, moments, norm = Placement.spread, microbatches.add, normalization._moments, tree.norm
bernoulli = jax.random.bernoulli


def spread_the_first(self: Placement, batch: Any) -> Any:
    return spread(self, jax.tree.map(_tile, batch))


def spread_away_from_the_mask(self: Placement, batch: Any) -> Any:
    x = jax.tree.leaves(batch)[0]
    return spread(self, jax.tree.map(lambda x: jnp.roll(x, _share(len(x)), 0), batch) if x.ndim > 1 else batch)


def add_the_last(mean: Any, x: Any, metrics: Any) -> Any:
    return add(mean._replace(weight=0 * mean.weight, number=0 * mean.number), x, metrics)


def add_without_division(mean: Any, x: Any, metrics: Any) -> Any:
    terms = jax.tree.map(lambda a, b: a + b, mean.terms, (x, microbatches._without_weight(metrics)))
    return mean._replace(terms=terms, weight=mean.weight + metrics["weight"], number=mean.number + 1)


def moments_of_a_device(x: Any, weight: Any, state: Any) -> Any:
    return moments(x, weight * (jnp.arange(len(x)) < _share(len(x))), state)


def norm_of_a_device(x: Any) -> Any:
    return norm(jax.tree.map(lambda x: x[..., : max(1, x.shape[-1] // DEVICES)], x))


def draw_on_a_device(key: Any, p: Any, shape: tuple[int, ...]) -> Any:
    return _tile(bernoulli(key, p, shape))


class Fault(NamedTuple):
    """Where it is seeded, and the case that must show it."""

    case: str
    owner: Any
    name: str
    wrong: Callable[..., Any]

    def seeded(self) -> Any:
        return mock.patch.object(self.owner, self.name, self.wrong)


FAULTS = {
    "every device reads the rows of the first": Fault("sgd", Placement, "spread", spread_the_first),
    "rows and their mask lie on different devices": Fault("sgd", Placement, "spread", spread_away_from_the_mask),
    "the last microbatch only": Fault("microbatches", microbatches, "add", add_the_last),
    "a sum over microbatches": Fault("microbatches", microbatches, "add", add_without_division),
    "batch norm has the statistics of one device": Fault("layers", normalization, "_moments", moments_of_a_device),
    "a norm has the part of one device": Fault("layers", tree, "norm", norm_of_a_device),
    "every device draws the same noise": Fault("layers", jax.random, "bernoulli", draw_on_a_device),
}
