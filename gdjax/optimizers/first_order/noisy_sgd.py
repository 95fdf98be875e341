"""Descent with decreasing Gaussian noise added to the gradient."""

from __future__ import annotations

from gdjax.calls import optimizer
from gdjax.optimizers.first_order.sgd import sgd
from gdjax.optimizers.transforms.add_noise import add_noise, key_of
from gdjax.optimizers.wrappers.chain import chain
from gdjax.types import ArrayLike, PRNGKey, ScalarOrSchedule


@optimizer(
    bounds={"learning_rate": "[0, inf)", "eta": "[0, inf)", "gamma": "[0, inf)"},
    keys=("key", "seed"),
    constant=("eta", "gamma"),
)
def noisy_sgd(
    learning_rate: ScalarOrSchedule,
    eta: ArrayLike = 0.01,
    gamma: ArrayLike = 0.55,
    key: PRNGKey | None = None,
    *,
    seed: PRNGKey | None = None,
):
    """Noisy descent: plain descent on gradients with annealed Gaussian noise.

        u = -learning_rate (g + sqrt(eta / t^gamma) z),      z ~ N(0, 1) for each entry

    Args:
        learning_rate: parameter units per gradient unit; number, array or schedule.
        eta: >= 0, gradient units squared; the first step's variance.
        gamma: >= 0; how fast the variance falls.
        key: a random key or a seed (default: 0).
        seed: Optax's older name for key.

    Memory: 0 x params.   Raises: ValueError outside these ranges, or if both key and seed are given.
    Reference: Neelakantan et al. 2015, equation 1, arXiv:1511.06807.

    >>> opt, x, g = gd.noisy_sgd(0.1, eta=0.01, key=0), jnp.ones(2), jnp.array([1.0, -2.0])
    >>> print(jax.jit(opt.update)(g, opt.init(x), x)[0])
    [-0.10199 0.2077]
    """
    return chain(add_noise(eta, gamma, key_of("noisy_sgd", key, seed)), sgd(learning_rate)).build()
