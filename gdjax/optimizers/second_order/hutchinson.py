"""Hutchinson's estimate of the diagonal of the Hessian, by products with random signs."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gdjax.calls import as_key
from gdjax.optimizers.second_order.estimator import estimator
from gdjax.types import PRNGKey


class KeyState(NamedTuple):
    key: jax.Array


@estimator(keys=("random_seed",))
def hutchinson(random_seed: PRNGKey = 0):
    """Hutchinson's estimate of the Hessian's diagonal: z * (H z) with random signs z; unbiased, of high variance.

        h = z (H z),      z = +-1

    It costs one more gradient, by `value_fn=` (what a loop passes) or `obj_fn=` (Optax's word): params -> loss.

    Args:
        random_seed: a key or seed of the signs.

    Memory: 0 x params.   Raises: ValueError if update gets neither function.
    Reference: Hutchinson 1990; Liu et al. 2023, Algorithm 1, arXiv:2305.14342.

    >>> f, estimate, x = lambda x: x[0] ** 2 + 5 * x[1] ** 2, gd.hutchinson(), jnp.ones(2)
    >>> print(estimate.update(jax.grad(f)(x), estimate.init(x), x, value_fn=f)[0])
    [2. 10.]
    """

    def update(grads, state, params=None, *, value_fn=None, obj_fn=None, **extra_args):
        del grads, extra_args
        objective = value_fn if obj_fn is None else obj_fn
        if objective is None or params is None:
            raise ValueError("hutchinson: update needs params and value_fn= (or obj_fn=), params -> loss")
        key, of_step = jax.random.split(state.key)
        leaves, structure = jax.tree.flatten(params)
        keys = jax.random.split(of_step, len(leaves))
        signs = structure.unflatten([_signs(k, p) for k, p in zip(keys, leaves, strict=True)])
        _, product = jax.jvp(jax.grad(objective), (params,), (signs,))
        return jax.tree.map(_times, product, signs), KeyState(key)

    return lambda params: KeyState(as_key(random_seed)), update


def _signs(key: jax.Array, p: jax.Array) -> jax.Array:
    """Random signs like p; of a complex p, signs of both parts."""
    if not jnp.iscomplexobj(p):
        return jax.random.rademacher(key, p.shape, jnp.float32).astype(p.dtype)
    parts = jax.random.rademacher(key, (2, *p.shape), jnp.float32)
    return jax.lax.complex(parts[0], parts[1]).astype(p.dtype)


def _times(product: jax.Array, signs: jax.Array) -> jax.Array:
    """z (H z); of complex parameters the mean curvature of both parts (a gradient in JAX is conjugate)."""
    return (product * signs).real / 2 if jnp.iscomplexobj(signs) else product * signs
