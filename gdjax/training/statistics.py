"""The model state of given parameters, such as the statistics of batch norm, recomputed by a pass over data.

An average of parameters has walked with nobody's statistics: those in the state are of the parameters that were trained.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.data import as_rows, batch_indices, batches_per_epoch, num_rows, take
from gdjax.domain import as_length
from gdjax.forms import Stateful, as_loss
from gdjax.programs import bind, compile_once
from gdjax.training._placement import Placement
from gdjax.training.objective import evaluate_loss
from gdjax.types import Params, PRNGKey


def refresh_model_state(
    loss: Any,
    params: Params,
    model_state: Any,
    data: Any,
    *,
    batches: int = 500,
    batch_size: int = 64,
    key: PRNGKey = 0,
) -> Any:
    """The model state after reading so many batches with these parameters, which stay as they are.

    Running means forget where they started: of a momentum of 0.99 less than 1 % is left after 500 batches.

    Args:
        loss: of `stateful`; it is called with a key, as in training.
        params: those whose model state is asked for, such as `evaluation_params(state)` of an average.
        model_state: where to start.
        data: a pytree of arrays that share their leading axis.
        batches: at least 1; whole batches of shuffled rows, over as many epochs as they are.
        batch_size: rows at a time (all, if there are fewer).
        key: a JAX key or an integer seed.

    Raises: ValueError for a loss without a model state.
    Differs from: torch.optim.swa_utils.update_bn, which sets the statistics to their mean over one pass; a momentum of
        the model is not known here.

    >>> loss = gd.stateful(lambda p, mean, rows, key: (p, {}, 0.9 * mean + 0.1 * jnp.mean(p * rows)))
    >>> print(gd.training.refresh_model_state(loss, 2.0, jnp.zeros(()), jnp.array([1.0, 2.0])))
    3.0
    """
    loss = as_loss("refresh_model_state", loss)
    if not isinstance(loss, Stateful):
        raise ValueError("refresh_model_state: the loss must have a model state, write stateful(loss), got one without")
    batches = as_length("refresh_model_state", "batches", batches)
    rows = as_rows("refresh_model_state", data)
    size = as_length("refresh_model_state", "batch_size", batch_size)
    refresh = compile_once(bind(refreshed, loss, batches, min(size, num_rows(rows))))
    key = key if isinstance(key, jax.Array) else jax.random.key(key)
    return tree.whole(refresh(tree.part(params), tree.part(model_state), rows, key))


def refreshed(
    loss: Any,
    batches: int,
    batch_size: int,
    params: Params,
    model_state: Any,
    data: Any,
    key: jax.Array,
    convolutions: str = "products",
    placement: Placement | None = None,
) -> Any:
    """The same, traced."""
    count = num_rows(data)
    params = params if placement is None else placement.unsplit(params)
    whole, per_epoch = count // batch_size, batches_per_epoch(count, batch_size)

    def read(i: Any, model_state: Any) -> Any:
        number = i // whole * per_epoch + i % whole  # a ragged batch is left out
        rows, _ = batch_indices("shuffle", key, number, count, batch_size)
        if placement is not None:
            rows = placement.spread(rows)
        batch, own = take(data, rows), jax.random.fold_in(key, i)
        if placement is not None:
            batch = placement.spread(batch)  # which rows that are exchanged are not
        given = params, model_state, batch, own, None
        _, (_, new) = evaluate_loss("refresh_model_state", loss, *given, convolutions)
        return tree.cast_like(new, model_state)

    return jax.lax.fori_loop(0, batches, read, jax.tree.map(jnp.asarray, model_state))
