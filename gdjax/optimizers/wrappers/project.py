"""Updates that keep the parameters in a set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import answers, tree
from gdjax.calls import Static, as_optimizer, is_number, optimizer
from gdjax.types import Transformation


class ProjectState(NamedTuple):
    onto: Any  # the set, as in the call: an average inside is projected when it is asked for
    mask: Static
    inner: Any

    def route(self, ask: Callable[..., Any], params: Any) -> list[Any]:
        """The answers of the inner state, projected onto the set."""
        found = ask(self.inner, params)
        if all(x is None for x in found):
            return found
        onto = self.onto.value if isinstance(self.onto, Static) else self.onto
        point, chosen = answers.fill(found, params), tree.spread_mask(self.mask.value, params)
        part = jax.tree.map(lambda x, c: tree.wide(x) if c else None, point, chosen)
        nearest = jax.tree.map(lambda x, n, c: n.astype(x.dtype) if c else x, point, onto(part), chosen)
        return jax.tree.leaves(nearest)


@optimizer(static=("mask",))
def project(inner: Transformation, onto, mask: Any = None):
    """Projected descent: after each step the parameters are the nearest point of a set.

        u <- P(p + u) - p

    Parameters that start outside are moved into the set by the first step.

    Args:
        inner: the optimizer of the free step.
        onto: the set, one of `gdjax.projections` such as `l2_ball(1.0)`, or any function params -> params.
        mask: which leaves make up the point that is projected: a tree of bools (or a prefix of one), or params -> such a
            tree; None means all.

    Memory: 0 + inner.   Raises: ValueError if update is called without params.
    Reference: Goldstein 1964, Bulletin of the AMS 70, page 709; Bertsekas 2016, Nonlinear Programming, section 3.3.

    >>> opt, x, g = gd.project(gd.sgd(1.0), gd.projections.l2_ball(1.0)), jnp.zeros(2), jnp.array([3.0, -4.0])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [-0.6 0.8]
    """
    inner = as_optimizer(inner)
    kept = jax.tree.map(lambda x: x if is_number(x) else Static(x), onto)  # its numbers stay leaves

    def init(params):
        tree.check_mask(mask, params)
        return ProjectState(kept, Static(mask), inner.init(params))

    def update(grads, state, params=None, **extra_args):
        tree.need_params("project", params, "project them")
        updates, inner_state = inner.update(grads, state.inner, params, **extra_args)
        chosen = tree.spread_mask(mask, params)
        target = jax.tree.map(lambda p, u, c: tree.wide(p) + tree.wide(u) if c else None, params, updates, chosen)
        nearest, made = onto(target), answers.updated(inner_state)

        def back(p, u, c, m, n):
            # Where the projection changes nothing, the update is exactly that of the inner optimizer.
            return answers.if_updated(made, jnp.where(n == m, u, n - p), u).astype(u.dtype) if c else u

        updates = jax.tree.map(back, params, updates, chosen, target, nearest)
        return updates, ProjectState(kept, state.mask, inner_state)

    return init, update
