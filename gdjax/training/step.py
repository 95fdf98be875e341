"""One step of descent: a loss, lifted to (TrainState, batch) -> (TrainState, metrics)."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from gdjax import answers, tree
from gdjax.calls.node import as_optimizer
from gdjax.data import as_arrays
from gdjax.losses import Stateful, takes_mask
from gdjax.losses.lifts import LIFTED, check_names
from gdjax.meshes import mesh_of, on_automatic_axes, replicated, spec_of
from gdjax.programs import compiled
from gdjax.types import Batch, Evaluation, LossFn, Metrics, Params, TrainState

STEP, ORDER = 1, 2  # step keys and order keys come from different base keys


def make_state(params: Params, optimizer: Any, key: jax.Array | int = 0, model_state: Any = ()) -> TrainState:
    """The state before the first step.

    Args:
        params: any pytree; arrays are copied, what is no array (the functions inside an Equinox module) is set aside.
        optimizer: ours or Optax's. Its numbers become arrays of the dtypes of its signature, so that every value of
            a hyperparameter runs in the same program.
        key: a JAX key or an int seed; all randomness of the run follows from it.
        model_state: what a `stateful` loss carries.
    """
    optimizer = as_optimizer(optimizer).settle()
    params = tree.distinct_copy(tree.part(params))
    if not jax.tree.leaves(params):
        raise ValueError(f"make_state: params must have at least one array to train, got {tree.whole(params)!r}")
    zero = np.zeros((), np.int32)
    with mesh_of(params):
        opt_state = compiled(_init)(optimizer, params)
    return TrainState(
        step=jnp.array(zero),
        batches=jnp.array(zero),
        params=params,
        model_state=tree.distinct_copy(tree.part(model_state)),
        opt_state=tree.distinct_copy(opt_state),
        optimizer=optimizer,
        evaluation=Evaluation(jnp.array(np.inf, dtype=float), jnp.array(zero)),
        key=jax.random.key(int(key)) if isinstance(key, numbers.Integral) else jnp.array(key, copy=True),
    )


def _init(optimizer, params):
    return on_automatic_axes(lambda optimizer, params: optimizer.init(params), replicated, optimizer, params)


def learning_rate(state: TrainState) -> jax.Array | None:
    """The rate of the next update, () float: each schedule at the count of its own optimizer, times all plateaus around it.

    None if the optimizer has none to show, or none that holds for all parameters (NaN where that is only known later, as
    under jit).
    """
    rate = state.optimizer.learning_rate_at(state.opt_state, state.evaluation)
    if rate is None or (not isinstance(rate, Tracer) and np.isnan(rate).all()):
        return None
    return jnp.asarray(rate, jnp.result_type(float))


def evaluation_params(state: TrainState) -> Params:
    """The parameters to evaluate and keep: the average if the optimizer keeps one, however deep inside, else the trained."""
    return answers.evaluation_params(state.opt_state, state.params)


def make_step(loss_fn: LossFn | Stateful, batch_change: bool = False, watch: Any = None) -> Step:
    """The transition of one batch: loss and gradient, update, new parameters.

    Args:
        loss_fn: (params, batch, key) -> (scalar, metrics), or what `per_example` or `stateful` return.
        batch_change: also report |change of the loss over the batch by this step| as the metric "change", at the price of
            one more forward pass; `stopping.change(..., over="batch")` reads it.
        watch: what `backprop.watch` returns: at every so-many-th step it adds to the metrics where the gradient goes.

    Returns: step(state, batch, mask=None) -> (state, metrics), equal by value, with metrics "loss" and those of the loss.
    """
    return Step(loss_fn, batch_change, watch)


@dataclasses.dataclass(frozen=True)
class Step:
    """What `make_step` returns."""

    loss_fn: Any
    batch_change: bool = False
    watch: Any = None

    @property
    def takes_mask(self) -> bool:
        return takes_mask(self.loss_fn)

    def __call__(self, state: TrainState, batch: Batch, mask: jax.Array | None = None) -> tuple[TrainState, Metrics]:
        batch = as_arrays("make_step", batch)
        return on_automatic_axes(self._descend, state_and_replicated, state, batch, mask)

    def _descend(self, state: TrainState, batch: Batch, mask: jax.Array | None) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(jax.random.fold_in(state.key, STEP), state.batches)

        def objective(params):
            return evaluate_loss(self.loss_fn, params, state.model_state, batch, key, mask)

        (loss, (metrics, model_state)), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
        updates, opt_state = state.optimizer.update(
            tree.ascent(grads),
            state.opt_state,
            state.params,
            value=loss,
            grad=grads,
            value_fn=lambda params, evaluation=None, weight=None: objective(params)[0],
            evaluation=state.evaluation,
            weight=metrics["weight"],
        )
        params: Any = optax.apply_updates(state.params, updates)
        metrics = {"loss": loss, **metrics}
        if self.batch_change:
            metrics["change"] = jnp.abs(objective(params)[0] - loss)
        if self.watch is not None:
            seen = self.watch(state, objective, grads, updates, mask)
            if taken := seen.keys() & metrics.keys():
                raise ValueError(f"make_step: metrics must not be named as those of watch, got {min(taken)!r}")
            metrics |= seen
        state = state._replace(
            step=tree.increment(state.step, answers.updated(opt_state)),
            batches=state.batches + 1,
            params=params,
            model_state=model_state,
            opt_state=opt_state,
        )
        return state, metrics


def state_and_replicated(state: Any, *_: Any) -> Any:
    """The layout of what a rung returns on an explicit mesh: the state's own, and all else the same everywhere."""
    return spec_of(state), replicated()


def state_alone(state: Any, *_: Any) -> Any:
    return spec_of(state)


def evaluate_loss(loss_fn: Any, params: Params, model_state: Any, batch: Batch, key: Any, mask: Any) -> Any:
    """Any loss, called: (scalar, (metrics with "weight", model_state)), with an error where it returns anything else."""
    options = {} if mask is None else {"mask": mask}
    if isinstance(loss_fn, Stateful):
        result = loss_fn(tree.whole(params), tree.whole(model_state), batch, key, **options)
        expected = "(scalar, metrics dict, model_state)"
    else:
        result = loss_fn(tree.whole(params), batch, key, **options)
        result = (*result, model_state) if isinstance(result, tuple) and len(result) == 2 else result
        expected = "(scalar, metrics dict)"
    is_triple = isinstance(result, tuple) and len(result) == 3 and isinstance(result[1], dict)
    if not is_triple or jnp.shape(result[0]) != ():
        got = jax.tree.map(jnp.shape, result)
        raise TypeError(f"make_step: the loss must return {expected}, got shapes {got}")
    loss, metrics, new_model_state = result
    check_names("make_step", metrics, allowed=LIFTED)
    rows = jax.tree.leaves(batch)[0].shape[0] if mask is None else jnp.sum(mask)
    metrics = {"weight": jnp.asarray(rows, jnp.float32), **metrics}
    return loss, (metrics, tree.part(new_model_state))
