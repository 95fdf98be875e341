"""The loss of one batch as a function of the parameters: at once or by microbatches, in the precision that is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gdjax import tree
from gdjax.forms import Loss, LossError, Stateful, check_value, explain_errors
from gdjax.measures import LIFTED, check_names
from gdjax.training.microbatches import mean_over_microbatches
from gdjax.types import Batch, Params


@dataclasses.dataclass(frozen=True)
class Objective:
    """params -> (loss, (metrics with "weight", model_state)) of one batch."""

    loss: Loss | Stateful
    batch: Batch
    mask: Any
    model_state: Any
    key: jax.Array
    microbatches: int = 1
    remat: Callable[..., Any] | bool = False
    compute_dtype: Any = None

    def __call__(self, params: Params) -> Any:
        """Where it is differentiated, the activations of a microbatch are computed again in its backward pass."""
        if self.microbatches == 1:
            return self._of_rows(params, *self._rows)
        of_rows = jax.checkpoint(self._of_rows)
        return self._mean(lambda *rows: of_rows(params, *rows))

    def value_and_grad(self, params: Params) -> tuple[Any, Params]:
        """What a call returns, and the gradient of the loss."""

        def of_rows(*rows: Any) -> Any:
            return jax.value_and_grad(lambda params: self._of_rows(params, *rows), has_aux=True)(params)

        def of_microbatch(*rows: Any) -> Any:
            (loss, aside), grads = of_rows(*rows)
            return (loss, grads), aside

        if self.microbatches == 1:
            return of_rows(*self._rows)
        (loss, grads), aside = self._mean(of_microbatch)
        return (loss, aside), grads

    def at_once(self) -> Objective:
        """The same without microbatches; its random keys are others."""
        return dataclasses.replace(self, microbatches=1)

    @property
    def _rows(self) -> tuple[Any, ...]:
        return self.batch, self.mask, self.model_state, self.key

    def _mean(self, of_rows: Callable[..., Any]) -> Any:
        return mean_over_microbatches(
            of_rows, self.batch, self.mask, self.model_state, self.key, self.microbatches, self.loss.takes_mask
        )

    def _of_rows(self, params: Params, batch: Batch, mask: Any, model_state: Any, key: jax.Array) -> Any:
        return evaluate_loss("make_step", self.loss, params, model_state, batch, key, mask)


def evaluate_loss(
    who: str, loss: Loss | Stateful, params: Params, model_state: Any, batch: Batch, key: Any, mask: Any
) -> Any:
    """Call any loss: (scalar, (metrics with "weight", model_state)). Raises: LossError if it returns anything else."""
    if isinstance(loss, Stateful):
        value, metrics, model_state = _evaluate_stateful(who, loss, params, model_state, batch, key, mask)
    else:
        value, metrics = loss(tree.whole(params), batch, key, mask=mask, who=who)
    check_names(who, metrics, allowed=LIFTED)
    rows = jax.tree.leaves(batch)[0].shape[0] if mask is None else jnp.sum(mask)
    weight = metrics.get("weight", jnp.asarray(rows, jnp.float32))
    weight = jnp.asarray(weight, tree.arithmetic_dtype(weight))
    return value, ({**metrics, "weight": weight}, tree.part(model_state))


def _evaluate_stateful(who, loss, params, model_state, batch, key, mask):
    options = {} if mask is None else {"mask": mask}
    with explain_errors(who):
        result = loss(tree.whole(params), tree.whole(model_state), batch, key, **options)
    if not (isinstance(result, tuple) and len(result) == 3 and isinstance(result[1], dict)):
        shapes = jax.tree.map(jnp.shape, result)
        raise LossError(f"{who}: the loss must return (scalar, metrics dict, model_state), got shapes {shapes}")
    check_value(who, result[0], batch)
    return result
