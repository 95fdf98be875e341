"""Adam for parameters of which a step uses few rows."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from gdjax.calls import optimizer
from gdjax.optimizers.first_order.adam import adam_rule
from gdjax.optimizers.first_order.rows import by_rows
from gdjax.optimizers.leafwise import Direction, Slot, leafwise
from gdjax.types import ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)"}


@optimizer(bounds={**_RATE, "b1": "[0, 1)", "b2": "[0, 1)"})
def sparse_adam(
    learning_rate: ScalarOrSchedule,
    b1: ScalarOrSchedule = 0.9,
    b2: ScalarOrSchedule = 0.999,
    eps: ScalarOrSchedule = 1e-8,
):
    """Lazy Adam: Adam whose moments and parameters rest wherever the gradient of a row is zero.

        mu <- b1 mu + (1 - b1) g        nu <- b2 nu + (1 - b2) g²                                 rows with g != 0
        u = -learning_rate mu_hat / (sqrt(nu_hat) + eps),   mu_hat = mu/(1 - b1^t),  nu_hat = nu/(1 - b2^t)

    t counts steps, not visits of a row, as in torch: a row seen late starts with nearly uncorrected moments. With no zero
    row it is `adam` to the last bit.

    Args:
        learning_rate: parameter units per step; number, array or schedule.
        b1: in [0, 1); memory of about 1/(1 - b1) visits.
        b2: in [0, 1); the same for the squares.
        eps: >= 0, gradient units; bounds the step where nu_hat is near 0.

    Memory: 2 x params.   Raises: ValueError if b1 or b2 is outside [0, 1).
    Differs from: torch.optim.SparseAdam, which adds eps before the correction (its eps is ours times sqrt(1 - b2^t)) and
        touches a row that is listed with a zero gradient.
    Reference: Kingma & Ba 2015, arXiv:1412.6980; torch.optim.SparseAdam (the lazy variant; no paper).

    >>> opt, x, g = gd.sparse_adam(0.1), jnp.ones((2, 2)), jnp.array([[0.0, 0.0], [1.0, -2.0]])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [[-0. -0.]
     [-0.1 0.1]]
    """
    slots = {"mu": Slot(), "nu": Slot(real=True)}
    return by_rows("sparse_adam", *leafwise(sparse_adam_rule, learning_rate, slots=slots, b1=b1, b2=b2, eps=eps))


def sparse_adam_rule(g: Array, t: Array, mu: Array, nu: Array, *, b1: Array, b2: Array, eps: Array) -> Direction:
    direction, new = adam_rule(g=g, t=t, mu=mu, nu=nu, b1=b1, b2=b2, eps=eps, eps_root=0.0, nesterov=False)
    touched = jnp.any(g != 0, axis=tuple(range(1, g.ndim)), keepdims=True)
    rest = {name: jnp.where(touched, new[name], old) for name, old in (("mu", mu), ("nu", nu))}
    return jnp.where(touched, direction, 0), rest
