"""The diagonal of the Hessian, estimated: what `sophia` divides by.

An estimator has the protocol of Optax's gradient transformations, (init, update), and is a value like an optimizer; its
"updates" are the diagonal. Optax's own estimators fit where ours do, and ours there.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from gdjax import tree
from gdjax.calls.node import Key, Optimizer, as_key, decorator, register


class Estimator(Optimizer):
    """A node whose update gives (diagonal, state)."""


register(Estimator)
estimator = decorator(Estimator, "A factory of estimators of a diagonal from a body that returns (init, update).")


class KeyState(NamedTuple):
    key: jax.Array


@estimator
def hutchinson(random_seed: Key = 0):
    """Hutchinson's estimate of the Hessian's diagonal: z * (H z) with random signs z; unbiased, of high variance.

        h = z (H z),      z = +-1

    It costs one more gradient, by `value_fn=` (what a loop passes) or `obj_fn=` (Optax's word): params -> loss.

    Args:
        random_seed: a key or seed of the signs.

    Memory: 0 x params.   Raises: ValueError if update gets neither function.
    Reference: Hutchinson 1990; Liu et al. 2023, Algorithm 1, arXiv:2305.14342.
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


@estimator
def gauss_newton_bartlett(batch_size, random_seed: Key = 0):
    """Gauss-Newton-Bartlett: the Gauss-Newton diagonal from the gradient of a loss whose labels the model drew itself.

        h = batch_size (gradient of the mean loss with labels y ~ model(x))²

    Never negative. update needs `sampled_value_fn=`: (params, key) -> mean loss over a batch of labels drawn with the key
    from the model's own prediction, which must not be differentiated through.

    Args:
        batch_size: examples in that mean.
        random_seed: a key or seed of the labels.

    Memory: 0 x params.   Raises: ValueError if update does not get that function.
    Reference: Liu et al. 2023, Algorithm 2, arXiv:2305.14342.
    """

    def scaled(g):
        square = tree.abs_sq(g)
        return (batch_size * square).astype(square.dtype)

    def update(grads, state, params=None, *, sampled_value_fn=None, **extra_args):
        del grads, extra_args
        if sampled_value_fn is None or params is None:
            raise ValueError("gauss_newton_bartlett: update needs params and sampled_value_fn=, (params, key) -> loss")
        key, of_step = jax.random.split(state.key)
        gradient = jax.grad(sampled_value_fn)(params, of_step)
        return jax.tree.map(scaled, gradient), KeyState(key)

    return lambda params: KeyState(as_key(random_seed)), update


@estimator
def empirical_fisher():
    """The empirical Fisher diagonal, squares of the gradient itself: costs nothing and needs nothing.

        h = g²

    Memory: 0 x params.
    Reference: Liu et al. 2023, section 3.3 (as a baseline), arXiv:2305.14342.
    """

    def update(grads, state, params=None, **extra_args):
        del params, extra_args
        return jax.tree.map(tree.abs_sq, grads), state

    return lambda params: optax.EmptyState(), update


def _signs(key: jax.Array, p: jax.Array) -> jax.Array:
    """Random signs like p; of a complex p, signs of both parts."""
    if not jnp.iscomplexobj(p):
        return jax.random.rademacher(key, p.shape, jnp.float32).astype(p.dtype)
    parts = jax.random.rademacher(key, (2, *p.shape), jnp.float32)
    return jax.lax.complex(parts[0], parts[1]).astype(p.dtype)


def _times(product: jax.Array, signs: jax.Array) -> jax.Array:
    """z (H z); of complex parameters the mean curvature of both parts (a gradient in JAX is conjugate)."""
    return (product * signs).real / 2 if jnp.iscomplexobj(signs) else product * signs
