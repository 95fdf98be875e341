"""The exponential moving average of the iterates of any optimizer.

An average does not change the iterates. The parameters after an update enter it at the next call, when the outer wrappers (a
plateau, a decay, a projection) have been applied, and the present ones when `evaluation_params` is called. A call at which
the inner optimizer makes no update does not count.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax import answers, tree
from gdjax.calls import as_optimizer, optimizer
from gdjax.optimizers.wrappers.iterates import copy_of, with_present, zeros_like
from gdjax.types import ScalarOrSchedule, Transformation


class AverageState(NamedTuple):
    """`ema` is in at least float32, since small changes would be lost in bfloat16."""

    is_average = True
    count: jax.Array  # () int32, updates so far
    ema: Any  # the average up to the last update but one, its bias taken off
    debias: jax.Array  # () float, the weight of all iterates up to the last one
    share: jax.Array  # () float, of the parameters that the last call led to; 0 where it made no update
    inner: Any

    def evaluation_params(self, params: Any) -> Any:
        """The average; the parameters themselves before the first update."""
        return tree.select(self.debias > 0, with_present(self.ema, self.share, params), params)


@optimizer(static=("debias",), bounds={"decay": "[0, 1)"})
def average(inner: Transformation, decay: ScalarOrSchedule = 0.999, debias: bool = True):
    """Exponential moving average of the parameters, to evaluate and to keep.

        ema <- decay ema + (1 - decay) p,      evaluated: ema / (1 - decay^t)           p after each of t updates

    Args:
        inner: the optimizer whose path is averaged, and not changed.
        decay: in [0, 1); memory of about 1/(1 - decay) updates; number, or schedule of the updates made before.
        debias: False starts the average at the first parameters instead of correcting for its start.

    Memory: 1 x params (at least float32) + inner.   Raises: ValueError if decay is outside [0, 1).
    Reference: Polyak & Juditsky 1992; Tarvainen & Valpola 2017, arXiv:1703.01780.

    >>> opt, x, g = gd.average(gd.sgd(0.1), decay=0.5, debias=False), jnp.zeros(2), jnp.array([1.0, -2.0])
    >>> updates, state = opt.update(g, opt.init(x), x)
    >>> print(x + updates, state.evaluation_params(x + updates))
    [-0.1 0.2] [-0.05 0.1]
    """
    inner = as_optimizer(inner)

    def init(params):
        zero = jnp.zeros((), jnp.result_type(float))
        ema, weight = (zeros_like(params), zero) if debias else (copy_of(params), zero + 1)
        return AverageState(jnp.zeros((), jnp.int32), ema, weight, zero, inner.init(params))

    def update(grads, state, params=None, **extra_args):
        tree.need_params("average", params, "average them")
        updates, inner_state = inner.update(grads, state.inner, params, **extra_args)
        made = answers.updated(inner_state)
        keep = jnp.asarray(decay(state.count) if callable(decay) else decay, state.debias.dtype)
        weight = keep * state.debias + (1 - keep)
        share = (1 - keep) / jnp.where(weight > 0, weight, 1)
        new = AverageState(
            tree.increment(state.count, made),
            with_present(state.ema, state.share, params),
            answers.if_updated(made, weight, state.debias),
            answers.if_updated(made, share, jnp.zeros_like(share)),
            inner_state,
        )
        return updates, new

    return init, update
