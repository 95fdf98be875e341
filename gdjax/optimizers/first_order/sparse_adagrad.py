"""Adagrad for parameters of which a step uses few rows."""

from __future__ import annotations

from gdjax.calls import optimizer
from gdjax.optimizers.first_order.adagrad import adagrad_rule
from gdjax.optimizers.first_order.rows import by_rows
from gdjax.optimizers.leafwise import Slot, leafwise
from gdjax.types import ScalarOrSchedule

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)"}


@optimizer(bounds={**_RATE, "initial_accumulator_value": "[0, inf)"})
def sparse_adagrad(
    learning_rate: ScalarOrSchedule, initial_accumulator_value: ScalarOrSchedule = 0.1, eps: ScalarOrSchedule = 1e-7
):
    """Adagrad for gradients that are few rows: what `adagrad` does, at the price of the rows touched.

        sum_of_squares <- sum_of_squares + g²,     u = -learning_rate g / sqrt(sum_of_squares + eps)        rows with g != 0

    For gradients that are arrays it is `adagrad` to the last bit: there a zero gradient never moved anything.

    Args:
        learning_rate: parameter units per step; number, array or schedule.
        initial_accumulator_value: >= 0, gradient units squared.
        eps: >= 0, gradient units squared (inside the root).

    Memory: 1 x params.   Raises: ValueError outside these ranges.
    Reference: Duchi, Hazan & Singer 2011, section 1.2, jmlr.org/papers/v12/duchi11a.html.

    >>> opt, x, g = gd.sparse_adagrad(0.1), jnp.ones((2, 2)), jnp.array([[0.0, 0.0], [1.0, -2.0]])
    >>> print(opt.update(g, opt.init(x), x)[0])
    [[-0. -0.]
     [-0.095346 0.098773]]
    """
    slots = {"sum_of_squares": Slot(initial_accumulator_value, real=True)}
    return by_rows("sparse_adagrad", *leafwise(adagrad_rule, learning_rate, slots=slots, eps=eps))
