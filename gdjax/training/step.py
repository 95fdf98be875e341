"""One training step: a loss, lifted to (TrainState, batch) -> (TrainState, metrics)."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from gdjax import answers, tree
from gdjax.calls import Optimizer, Schedule, as_optimizer
from gdjax.data import as_rows
from gdjax.domain import as_length, as_random_key
from gdjax.forms import Loss, Stateful, as_loss
from gdjax.meshes import mesh_of, on_automatic_axes, replicate, spec_of
from gdjax.programs import bind, compile_once
from gdjax.training._placement import Placement, automatic_axes, check_placement
from gdjax.training.arguments import check_params, short
from gdjax.training.convolutions import as_way
from gdjax.training.objective import Objective
from gdjax.training.precision import as_float_dtype
from gdjax.types import Batch, DTypeLike, Evaluation, Metrics, Params, Probe, TrainState

STEP, ORDER, REFRESH = 1, 2, 3  # the keys of steps, of the order and of `refresh` come from different base keys


def make_state(
    params: Params,
    optimizer: Any,
    key: jax.Array | int = 0,
    model_state: Any = (),
    *,
    placement: Placement | None = None,
) -> TrainState:
    """The state before the first step.

    Args:
        params: any pytree; arrays are copied, and other leaves (the functions in an Equinox module) become structure.
        optimizer: an optimizer of gdjax or Optax. Its numbers become arrays whose dtypes follow from its signature, so that
            every value of a hyperparameter runs in the same program.
        key: a JAX key or an integer seed, from which all randomness of the run follows.
        model_state: initial model state of a `stateful` loss.
        placement: of `gd.placement`: where each leaf lies. The state of the optimizer is computed there, and parameters too
            large for one device are those of `placement.init(model.init, key)`.

    >>> state = gd.make_state(jnp.array([1.0, 2.0]), gd.sgd(0.1))
    >>> print(state.step, state.params, state.optimizer)
    0 [1. 2.] sgd(0.1)
    """
    check_params("make_state", params)
    check_placement("make_state", placement)
    optimizer, params, model_state = as_optimizer(optimizer).canonicalize(), tree.part(params), tree.part(model_state)
    if not jax.tree.leaves(params):
        raise ValueError(f"make_state: params must have at least one array to train, got {tree.whole(params)!r}")
    key = as_random_key("make_state", key)
    if placement is None:
        return compile_once(_first_state_of_copies)(*map(tree.numbers_as_arrays, (params, model_state)), optimizer, key)
    params, model_state = (placement.put(x, params, own=True) for x in (params, model_state))
    return placement.put(first_state(params, optimizer, jnp.array(key, copy=True), model_state, placement), params)


def _first_state_of_copies(params: Params, model_state: Any, optimizer: Optimizer, key: jax.Array) -> TrainState:
    params, model_state, key = tree.distinct_copy((params, model_state, key))
    return first_state(params, optimizer, key, model_state)


def first_state(
    params: Params, optimizer: Optimizer, key: jax.Array, model_state: Any, placement: Placement | None = None
) -> TrainState:
    """As `make_state`, of arguments that are checked and copied: it may be traced."""
    zero = np.zeros((), np.int32)
    with mesh_of(params), automatic_axes(placement):
        opt_state = compile_once(bind(_init, placement))(optimizer, params)
    return TrainState(
        step=jnp.array(zero),
        batches=jnp.array(zero),
        params=params,
        model_state=model_state,
        opt_state=opt_state,
        optimizer=optimizer,
        evaluation=Evaluation(jnp.array(np.inf, dtype=float), jnp.array(zero)),
        key=key,
    )


def _init(placement, optimizer, params):
    """The state of the optimizer, none of whose leaves is an array that was given or captured: it may be donated."""
    init = lambda optimizer, params: tree.distinct_copy(optimizer.init(params))  # noqa: E731
    opt_state = on_automatic_axes(init, replicate, optimizer, params)
    return opt_state if placement is None else placement.pin(opt_state, params)


def learning_rate(state: TrainState) -> jax.Array | None:
    """The learning rate of the next update, () float: each schedule at its own count, times the scales of all wrappers.

    None if the optimizer has no rate, or if the rates of leaves differ (NaN where this is not known while tracing).

    >>> print(gd.learning_rate(gd.make_state(0.0, gd.sgd(gd.schedules.linear(0.1, 0.0, 10)))))
    0.1
    """
    rate = state.optimizer.learning_rate_at(state.opt_state, state.evaluation)
    if rate is None or (not isinstance(rate, Tracer) and np.isnan(rate).all()):
        return None
    return jnp.asarray(rate, jnp.result_type(float))


def scheduled_rate(state: TrainState) -> jax.Array | None:
    """The learning rate of the next update, as `learning_rate`, where a schedule sets it; else None."""
    if not any(isinstance(x, Schedule) or callable(x.arguments.get("learning_rate")) for x in state.optimizer.walk()):
        return None
    rate = state.optimizer.learning_rate_at(state.opt_state, state.evaluation)
    return None if rate is None else jnp.asarray(rate, jnp.result_type(float))


def evaluation_params(state: TrainState) -> Params:
    """The parameters to evaluate and keep: the average if the optimizer keeps one, at any depth, else the trained ones."""
    return answers.evaluation_params(state.opt_state, state.params)


def make_step(
    loss: Any,
    batch_change: bool = False,
    probes: Probe | tuple[Probe, ...] = (),
    *,
    microbatches: int = 1,
    remat: bool = False,
    compute_dtype: DTypeLike | None = None,
    convolutions: str = "products",
) -> Step:
    """The transition of one batch: loss and gradient, update, new parameters.

    Args:
        loss: (params, batch) or (params, batch, key) -> a scalar or (scalar, dict of metrics), where the third argument is
            a key only if it is named so; (params, x, y) if a batch is a tuple; or a loss of `per_example` or `stateful`.
        batch_change: whether to report the metric "change", |change of the batch's loss by this step|, which costs one more
            forward pass; `stopping.change(..., over="batch")` reads it.
        probes: one or several functions of a step that add to its metrics. `backprop.watch` makes one that measures the flow
            of gradients at every k-th step.
        microbatches: at least 1; parts of consecutive rows, as equal as can be, that are read one after the other, so that
            the activations of only one of them are held. Of a loss that is a mean over its rows, and of no other, loss,
            gradient, metrics and what an optimizer evaluates are those of the whole batch, to rounding: rows keep their
            weights, and a last part that is shorter is masked or, for a loss that takes no mask, smaller. Part j has the
            key `fold_in(key, j)` of the step's key. The model state of a `stateful` loss goes through the parts in order;
            batch norm normalizes each by its own rows, which is another loss than that of the batch. Probes see the whole
            batch at once.
        remat: whether activations are computed again in the backward pass, which takes about a third more time and, of n
            operations, the memory of about sqrt(n). On CPU it has an effect from jax 0.12 on.
        compute_dtype: "bfloat16" or "float16": real parameters and rows are rounded to it inside the loss, and the gradient
            comes out in the dtype of the parameters, which are kept as they are. float16 needs an optimizer inside
            `scale_loss`. An evaluation computes in the dtype of the parameters.
        convolutions: "products" computes those of the loss, whoever's model it is of, as matrix products of patches where
            the program runs on CPU, since XLA's are 5 to 45 times slower there inside of a compiled loop; results are equal
            to rounding. "native" computes them by XLA, those of `gdjax.models` too.

    Raises: ValueError unless microbatches is a whole number that is at least 1, compute_dtype a real float's, and
        convolutions one of these two.

    Returns: step(state, batch, mask=None) -> (state, metrics), compared by value; metrics are "loss" and those of the loss.

    >>> step = gd.make_step(lambda w, rows: jnp.mean((w - rows) ** 2))
    >>> state, metrics = step(gd.make_state(0.0, gd.sgd(0.25)), jnp.array([1.0, 3.0]))
    >>> print(state.params, metrics["loss"])
    1.0 5.0
    """
    number = as_length("make_step", "microbatches", microbatches)
    dtype = None if compute_dtype is None else as_float_dtype("make_step", "compute_dtype", compute_dtype)
    probes = (probes,) if callable(probes) else tuple(probes)
    way = as_way("make_step", convolutions)
    return Step(as_loss("make_step", loss), batch_change, probes, number, bool(remat), dtype, way)


@dataclasses.dataclass(frozen=True)
class Step:
    """What `make_step` returns."""

    loss: Loss | Stateful
    batch_change: bool = False
    probes: tuple[Probe, ...] = ()
    microbatches: int = 1
    remat: bool = False
    compute_dtype: np.dtype | None = None
    convolutions: str = "products"
    placement: Placement | None = None  # that of an epoch

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
        scale = answers.loss_scale(state.opt_state)
        rows = batch, mask, state.model_state, key
        ways = self.microbatches, self.compute_dtype, self.remat, self.convolutions
        objective = Objective(self.loss, *rows, *ways, scale, self.placement)
        (loss, (metrics, model_state)), grads = objective.value_and_grad(state.params)
        if self.placement is not None:
            grads = self.placement.pin(grads, state.params)
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
            measured = probe(state, objective.at_once(), grads, updates, mask)
            if taken := measured.keys() & metrics.keys():
                raise ValueError(f"make_step: metrics must not be named as those of a probe, got {min(taken)!r}")
            metrics |= measured
        skipped = _skipped(state.opt_state, opt_state)
        if skipped is not False:
            metrics = _without(metrics, skipped)
            model_state = tree.select(skipped, state.model_state, tree.cast_like(model_state, state.model_state))
        state = state._replace(
            step=tree.increment(state.step, answers.updated(opt_state)),
            batches=state.batches + 1,
            params=params,
            model_state=model_state,
            opt_state=opt_state,
        )
        return state if self.placement is None else self.placement.pin(state, params), metrics


def _skipped(before: Any, after: Any) -> Any:
    """Whether an update was skipped because its gradient was not finite, () bool; False if the optimizer skips none."""
    count = answers.skipped(after)
    if count is None:
        return False
    return (count > answers.skipped(before)) & jnp.logical_not(answers.updated(after))


def _without(metrics: Metrics, skipped: jax.Array) -> Metrics:
    """The metrics of a batch that has no part in the means if it was skipped: its weight is 0, and nothing is NaN."""
    left = jax.tree.map(lambda x: jnp.where(skipped, jnp.zeros_like(x), x), metrics)
    return {**left, "loss": jnp.where(skipped & ~jnp.isfinite(metrics["loss"]), 0, metrics["loss"])}


def lay_out_state(state: Any, *_: Any) -> Any:
    """The PartitionSpecs of (state, metrics) on an explicit mesh: those of the given state, and replicated metrics."""
    return spec_of(state), replicate()


def state_alone(state: Any, *_: Any) -> Any:
    return spec_of(state)
