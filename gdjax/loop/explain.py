"""Why a loss is not finite, in the words of the loss itself.

In compiled code a loss that is given what it is not defined for (labels of another kind, probabilities above 1) can only
be NaN. When a run or an evaluation turns out so, its loss is called once more, outside of any compiled program, on some
rows where it is not finite; there the losses say what they were given. A run whose losses are finite pays nothing.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.data import num_rows
from gdjax.loop.step import evaluate_loss
from gdjax.losses.domain import overhear
from gdjax.types import Params

ROWS, PARTS = 256, 64


def raise_cause(loss_fn: Any, params: Params, data: Any, model_state: Any = ()) -> None:
    """A ValueError if the loss of these parameters is not finite on some rows because of what it was given there."""
    params, model_state = tree.part(params), tree.part(model_state)

    def loss(rows: Any) -> Any:
        return evaluate_loss(loss_fn, params, model_state, rows, jax.random.key(0), None)[0]

    rows = _not_finite(loss, jax.tree.map(jnp.asarray, data))
    if rows is None:
        return
    with overhear():
        jax.block_until_ready(jax.jit(lambda rows: loss(rows))(rows))
    with overhear(), jax.disable_jit():  # what the user has jitted may have been traced before anyone listened
        jax.block_until_ready(loss(rows))


def _not_finite(loss: Any, data: Any) -> Any:
    """At most ROWS consecutive rows where the loss is not finite; None if there are none."""
    compiled_loss = jax.jit(loss)
    while True:
        rows = num_rows(data)
        size = max(ROWS, -(-rows // PARTS))
        parts = (jax.tree.map(lambda x: x[i : i + size], data) for i in range(0, rows, size))  # noqa: B023
        data = next((part for part in parts if not jnp.isfinite(compiled_loss(part))), None)
        if data is None or size == ROWS:
            return data
