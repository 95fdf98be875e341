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
from gdjax.calls import as_optimizer
from gdjax.data import as_rows
from gdjax.forms import Loss, LossError, Stateful, as_loss, check_value, explain_errors
from gdjax.losses.lifts import LIFTED, check_names
from gdjax.meshes import mesh_of, on_automatic_axes, replicate, spec_of
from gdjax.programs import compile_once
from gdjax.training.arguments import check_params, short
from gdjax.types import Batch, Evaluation, Metrics, Params, Probe, TrainState

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
    check_params("make_state", params)
    optimizer = as_optimizer(optimizer).canonicalize()
    params = tree.distinct_copy(tree.part(params))
    if not jax.tree.leaves(params):
        raise ValueError(f"make_state: params must have at least one array to train, got {tree.whole(params)!r}")
    zero = np.zeros((), np.int32)
    with mesh_of(params):
        opt_state = compile_once(_init)(optimizer, params)
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
    return on_automatic_axes(lambda optimizer, params: optimizer.init(params), replicate, optimizer, params)


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


def make_step(loss: Any, batch_change: bool = False, probes: Probe | tuple[Probe, ...] = ()) -> Step:
    """The transition of one batch: loss and gradient, update, new parameters.

    Args:
        loss: (params, batch) or (params, batch, key) -> a scalar or (scalar, dict of metrics), a key being what is called
            so; (params, x, y) where a batch is a tuple; what `per_example` or `stateful` return.
        batch_change: also report |change of the loss over the batch by this step| as the metric "change", at the price of
            one more forward pass; `stopping.change(..., over="batch")` reads it.
        probes: what looks at a step and adds to its metrics, one or several; `backprop.watch` makes one, which says at every
            so-many-th step where the gradient goes.

    Returns: step(state, batch, mask=None) -> (state, metrics), equal by value, with metrics "loss" and those of the loss.
    """
    return Step(as_loss("make_step", loss), batch_change, (probes,) if callable(probes) else tuple(probes))


@dataclasses.dataclass(frozen=True)
class Step:
    """What `make_step` returns."""

    loss: Loss | Stateful
    batch_change: bool = False
    probes: tuple[Probe, ...] = ()

    @property
    def takes_mask(self) -> bool:
        return self.loss.takes_mask

    def __call__(self, state: TrainState, batch: Batch, mask: jax.Array | None = None) -> tuple[TrainState, Metrics]:
        if not isinstance(state, TrainState):
            raise TypeError(
                "make_step: the state must be a TrainState, write state = gd.make_state(params, optimizer), got "
                f"{short(state)}"
            )
        batch = as_rows("make_step", batch)
        return on_automatic_axes(self._descend, lay_out_state, state, batch, mask)

    def _descend(self, state: TrainState, batch: Batch, mask: jax.Array | None) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(jax.random.fold_in(state.key, STEP), state.batches)

        def objective(params):
            return evaluate_loss("make_step", self.loss, params, state.model_state, batch, key, mask)

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
        for probe in self.probes:
            measured = probe(state, objective, grads, updates, mask)
            if taken := measured.keys() & metrics.keys():
                raise ValueError(f"make_step: metrics must not be named as those of a probe, got {min(taken)!r}")
            metrics |= measured
        state = state._replace(
            step=tree.increment(state.step, answers.updated(opt_state)),
            batches=state.batches + 1,
            params=params,
            model_state=model_state,
            opt_state=opt_state,
        )
        return state, metrics


def lay_out_state(state: Any, *_: Any) -> Any:
    """The layout of what a rung returns on an explicit mesh: the state's own, and all else the same everywhere."""
    return spec_of(state), replicate()


def state_alone(state: Any, *_: Any) -> Any:
    return spec_of(state)


def evaluate_loss(
    who: str, loss: Loss | Stateful, params: Params, model_state: Any, batch: Batch, key: Any, mask: Any
) -> Any:
    """Any loss, called: (scalar, (metrics with "weight", model_state)), with an error where it returns anything else."""
    if isinstance(loss, Stateful):
        value, metrics, model_state = _evaluate_stateful(who, loss, params, model_state, batch, key, mask)
    else:
        value, metrics = loss(tree.whole(params), batch, key, mask=mask, who=who)
    check_names(who, metrics, allowed=LIFTED)
    rows = jax.tree.leaves(batch)[0].shape[0] if mask is None else jnp.sum(mask)
    return value, ({"weight": jnp.asarray(rows, jnp.float32), **metrics}, tree.part(model_state))


def _evaluate_stateful(who, loss, params, model_state, batch, key, mask):
    options = {} if mask is None else {"mask": mask}
    with explain_errors(who):
        result = loss(tree.whole(params), tree.whole(model_state), batch, key, **options)
    if not (isinstance(result, tuple) and len(result) == 3 and isinstance(result[1], dict)):
        shapes = jax.tree.map(jnp.shape, result)
        raise LossError(f"{who}: the loss must return (scalar, metrics dict, model_state), got shapes {shapes}")
    check_value(who, result[0], batch)
    return result
