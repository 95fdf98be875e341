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
from gdjax.training._placement import Placement
from gdjax.training.convolutions import call_with
from gdjax.training.microbatches import mean_over_microbatches
from gdjax.training.precision import cast_floats, scale_gradient
from gdjax.training.remat import rematerialize
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
    compute_dtype: Any = None  # of parameters and rows inside the loss; None is their own
    remat: bool = False
    convolutions: str = "products"
    scale: Any = None  # () float32, by which the loss is multiplied while gradients are computed
    placement: Placement | None = None  # over which the rows of each microbatch are divided

    def __call__(self, params: Params) -> Any:
        """Where it is differentiated, the activations of a microbatch are computed again in its backward pass."""
        if self.microbatches == 1:
            return self._of_rows(params, *self._rows)
        of_rows = jax.checkpoint(self._of_rows)
        return self._mean(lambda *rows: of_rows(params, *rows))

    def value_and_grad(self, params: Params) -> tuple[Any, Params]:
        """What a call returns, and the gradient of the loss; with a scale, that of 16-bit parameters in float32."""
        fine = params if self.scale is None else jax.tree.map(tree.widen, params)

        def of_rows(*rows: Any) -> Any:
            return jax.value_and_grad(lambda fine: self._of_rows(fine, *rows, like=params), has_aux=True)(fine)

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

    def _of_rows(
        self, params: Params, batch: Batch, mask: Any, model_state: Any, key: jax.Array, like: Params | None = None
    ) -> Any:
        """Of some rows; parameters are rounded to the dtypes of `like`."""
        if self.placement is not None:
            params, batch = self.placement.unsplit(params), self.placement.spread(batch)
        if self.scale is not None:
            params = scale_gradient(params, 1 / self.scale)
        params = params if like is None else tree.cast_like(params, like)

        def of(params: Params) -> Any:
            given = params, batch
            if self.compute_dtype is not None:
                given = cast_floats(given, self.compute_dtype)
            return evaluate_loss("make_step", self.loss, given[0], model_state, given[1], key, mask, self.convolutions)

        value, (metrics, new_state) = (rematerialize(of) if self.remat else of)(params)
        if self.compute_dtype is None and self.scale is None:
            return value, (metrics, new_state)
        value, metrics = jax.tree.map(tree.widen, (value, metrics))
        value = value if self.scale is None else scale_gradient(value, self.scale)
        return value, (metrics, tree.cast_like(new_state, model_state))


def evaluate_loss(
    who: str,
    loss: Loss | Stateful,
    params: Params,
    model_state: Any,
    batch: Batch,
    key: Any,
    mask: Any,
    convolutions: str = "products",
) -> Any:
    """Call any loss: (scalar, (metrics with "weight", model_state)). Raises: LossError if it returns anything else."""
    given = params, model_state, batch, key, mask
    return call_with(convolutions, lambda *given: _evaluate(who, loss, *given), *given)


def _evaluate(
    who: str, loss: Loss | Stateful, params: Params, model_state: Any, batch: Batch, key: Any, mask: Any
) -> Any:
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
