"""The diagonal of the Gauss-Newton matrix, from labels sampled from the model."""

from __future__ import annotations

import jax

from gdjax import tree
from gdjax.calls import as_key
from gdjax.optimizers.second_order.estimator import estimator
from gdjax.optimizers.second_order.hutchinson import KeyState
from gdjax.types import PRNGKey


@estimator(keys=("random_seed",))
def gauss_newton_bartlett(batch_size, random_seed: PRNGKey = 0):
    """Gauss-Newton-Bartlett: the Gauss-Newton diagonal from the gradient of a loss whose labels the model drew itself.

        h = batch_size (gradient of the mean loss with labels y ~ model(x))²

    Never negative. update needs `sampled_value_fn=`: (params, key) -> mean loss over a batch of labels drawn with the key
    from the model's own prediction, which must not be differentiated through.

    Args:
        batch_size: examples in that mean.
        random_seed: a key or seed of the labels.

    Memory: 0 x params.   Raises: ValueError if update does not get that function.
    Reference: Liu et al. 2023, Algorithm 2, arXiv:2305.14342.

    >>> estimate, x = gd.gauss_newton_bartlett(batch_size=8), jnp.ones(2)
    >>> sampled = lambda x, key: jax.random.rademacher(key, (2,)) @ x
    >>> print(estimate.update(x, estimate.init(x), x, sampled_value_fn=sampled)[0])
    [8. 8.]
    """

    def square(g):
        square = tree.abs_sq(g)
        return (batch_size * square).astype(square.dtype)

    def update(grads, state, params=None, *, sampled_value_fn=None, **extra_args):
        del grads, extra_args
        if sampled_value_fn is None or params is None:
            raise ValueError("gauss_newton_bartlett: update needs params and sampled_value_fn=, (params, key) -> loss")
        key, of_step = jax.random.split(state.key)
        gradient = jax.grad(sampled_value_fn)(params, of_step)
        return jax.tree.map(square, gradient), KeyState(key)

    return lambda params: KeyState(as_key(random_seed)), update
