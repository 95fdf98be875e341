"""The flow of gradients: for each layer the norm of its gradient and update, and the state of its units.

    flow(loss, params, batch, optimizer)                   one measurement, with a diagnosis
    watching = watch(loss, params, batch, every=100)       the same at every 100th step of a run, in the compiled program:
    make_step(loss, probes=watching)                        its metrics are read by `watching.read(result.history)`

It works for models of any library, since it reads the operations of the traced loss (`backprop.layers`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import text, tree
from gdjax.backprop.layers import BOUNDED, RECTIFIERS, Layer, activations, find_layers
from gdjax.calls import as_optimizer
from gdjax.data import as_rows
from gdjax.domain import as_length
from gdjax.forms import Loss, Stateful, as_loss
from gdjax.programs import compile_once, retrace
from gdjax.types import Batch, Evaluation, Metrics, Params, Sampled, TrainState

MEASURES = ("gradient_norm", "update_ratio", "activation_mean", "activation_std", "saturated", "dead")
SATURATED = 0.05  # share of the largest slope below which a unit counts as saturated
SLOPES: dict[str, Callable[..., Any]] = {  # slope of a bounded function, relative to the largest, from its value
    "tanh": lambda a: 1 - a**2,
    "sigmoid": lambda a: 4 * a * (1 - a),
    "soft_sign": lambda a: (1 - jnp.abs(a)) ** 2,
    "hard_tanh": lambda a: (jnp.abs(a) < 1).astype(a.dtype),
}
VANISHING, EXPLODING = 1e-2, 1e2  # gradient norm of the first layer over that of the last
MANY = 0.5  # share of the units from which on the diagnosis mentions them
LARGE_UPDATE, SMALL_UPDATE = 0.1, 1e-6  # |update| / |parameters| of one step


@dataclasses.dataclass(frozen=True)
class Watch:
    """A probe for `make_step` that measures the flow at every k-th step; made by `watch`. Compared by value."""

    layers: tuple[Layer, ...]
    every: int

    def __call__(
        self, state: TrainState, objective: Callable[..., Any], grads: Params, updates: Params, mask: Any = None
    ) -> Metrics:
        """The metrics "flow_<measure>", each (layers,), NaN where they do not exist; computed at every k-th step only.

        Under vmap over runs they are computed at every step, since JAX evaluates both branches of a condition. The gradients
        of leaves frozen by `freeze` are not read, so that XLA still eliminates their backward pass.
        """
        layers = _trainable_layers(self.layers, state)

        def look() -> dict[str, jax.Array]:
            return measure(layers, objective, state.params, grads, updates, mask)

        taken = state.batches % self.every == 0
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(look))
        values = jax.lax.cond(taken, look, lambda: nothing)
        return {f"flow_{name}": Sampled(value, taken.astype(value.dtype)) for name, value in values.items()}

    def read(self, history: Mapping[str, Any]) -> Flow:
        """The Flow in a run's history, (evaluations, layers) each, NaN without a measured step; or in one step's metrics."""
        if "flow_gradient_norm" not in history:
            raise ValueError(f"Watch.read: history must come from a step with this watch, got {sorted(history)}")
        columns = {name: history[f"flow_{name}"] for name in MEASURES}
        return Flow(self.layers, **{name: np.asarray(getattr(x, "value", x)) for name, x in columns.items()})


def watch(
    loss: Callable[..., Any],
    params: Params,
    batch: Batch,
    *,
    every: int = 100,
    key: jax.Array | None = None,
    model_state: Any = (),
) -> Watch:
    """A probe of the flow for `make_step`, for this loss and these parameters.

    Args:
        loss: as for `make_step`.
        params, batch: those of the run, or others of the same shapes. `find_layers` defines the layers.
        every: batches between measurements, at least 1. A measurement costs a forward pass and the norms.
        key: the key with which the loss is traced (default: `jax.random.key(0)`).
        model_state: model state of a `stateful` loss.

    Raises: ValueError if every is below 1.

    >>> loss = lambda params, x: jnp.mean((x @ params[0]["w"] @ params[1]["w"]) ** 2)
    >>> params = [{"w": jnp.ones((2, 2))}, {"w": jnp.ones((2, 1))}]
    >>> watch = gd.backprop.watch(loss, params, jnp.ones((3, 2)), every=1)
    >>> state, metrics = gd.make_step(loss, probes=watch)(gd.make_state(params, gd.sgd(0.1)), jnp.ones((3, 2)))
    >>> print(watch.read(metrics))
    layer  place  gradient norm  update ratio
    1      [0]    16             0.8
    2      [1]    23             1.6
    <BLANKLINE>
    layer 1: one step moves it by 80 % of its size; try a smaller learning rate
    layer 2: one step moves it by 160 % of its size; try a smaller learning rate
    """
    every = as_length("watch", "every", every)
    key = jax.random.key(0) if key is None else key
    any_loss = as_loss("watch", loss)
    layers = find_layers(
        retrace(lambda p, b: _value("watch", any_loss, p, b, key, model_state)), tree.part(params), _arrays(batch)
    )
    return Watch(layers, every)


def flow(
    loss: Callable[..., Any],
    params: Params,
    batch: Batch,
    optimizer: Any = None,
    *,
    key: jax.Array | None = None,
    model_state: Any = (),
) -> Flow:
    """The flow of the gradient through a model, at given parameters.

    Args:
        loss: as for `make_step`.
        params: parameters of any library, layer by layer.
        batch: a pytree of arrays that share their leading axis.
        optimizer: the optimizer whose first update is compared with the parameters; None omits the update.
        key, model_state: further arguments of the loss.

    Returns: a Flow of (layers,) each, which prints as a table with a diagnosis.
    Reference: Glorot & Bengio 2010, AISTATS (activations and gradients by layer).

    >>> loss = lambda params, x: jnp.mean((x @ params[0]["w"] @ params[1]["w"]) ** 2)
    >>> params = [{"w": jnp.ones((2, 2))}, {"w": jnp.ones((2, 1))}]
    >>> print(gd.backprop.flow(loss, params, jnp.ones((3, 2))))
    layer  place  gradient norm
    1      [0]    16
    2      [1]    23
    <BLANKLINE>
    gradients reach all layers: their norms lie within a factor of 1.4
    """
    params, batch, any_loss = tree.part(params), _arrays(batch), as_loss("flow", loss)
    layers = find_layers(retrace(lambda p, b: _value("flow", any_loss, p, b, key, model_state)), params, batch)

    def look(params: Params, batch: Batch) -> dict[str, jax.Array]:
        def objective(params: Params) -> Any:
            return _value("flow", any_loss, params, batch, key, model_state)

        value, grads = jax.value_and_grad(objective, allow_int=True)(params)
        updates = None if optimizer is None else _first_update(optimizer, objective, params, value, grads)
        return measure(layers, objective, params, grads, updates)

    return Flow(layers, **{name: np.asarray(x) for name, x in compile_once(look)(params, batch).items()})


def _first_update(
    optimizer: Any, objective: Callable[..., Any], params: Params, value: jax.Array, grads: Params
) -> Params:
    """The first update, with the arguments that `make_step` passes to an optimizer."""
    optimizer = as_optimizer(optimizer)
    given = {"value": value, "grad": grads, "value_fn": lambda p, evaluation=None, weight=None: objective(p)}
    seen = {"evaluation": Evaluation(jnp.full((), jnp.inf), jnp.zeros((), jnp.int32)), "weight": jnp.ones(())}
    return optimizer.update(tree.ascent(grads), optimizer.init(params), params, **given, **seen)[0]


def measure(
    layers: Sequence[Layer],
    objective: Callable[..., Any],
    params: Params,
    grads: Params,
    updates: Params | None,
    mask: Any = None,
) -> dict[str, jax.Array]:
    """The fields of `Flow`, (layers,) each; a pure function.

    Args:
        objective: params -> the loss over one batch, or a pair whose first is that.
        updates: None leaves "update_ratio" NaN.
        mask: (rows,), the rows of the batch that count (default: all).
    """
    values = activations(objective, params)
    states = [_state_of(layer, values, mask) for layer in layers]
    sizes, pulls = _norms(layers, params), _norms(layers, grads)
    moves = jnp.nan if updates is None else _norms(layers, updates)
    measured = [
        pulls,
        jnp.where(sizes > 0, moves / sizes, jnp.nan),
        *(jnp.stack(column) for column in zip(*states, strict=True)),
    ]
    return {name: x.astype(float) for name, x in zip(MEASURES, measured, strict=True)}


def _arrays(batch: Batch) -> Batch:
    return jax.tree.map(lambda x: x if hasattr(x, "dtype") else jnp.asarray(x), as_rows("flow", batch))


def _value(who: str, loss: Loss | Stateful, params: Params, batch: Batch, key: Any, model_state: Any) -> jax.Array:
    """The scalar value of a loss of any form."""
    params = tree.whole(params)
    if isinstance(loss, Stateful):
        return loss(params, tree.whole(model_state), batch, key)[0]
    return loss(params, batch, key, who=who)[0]


def _norms(layers: Sequence[Layer], values: Any) -> jax.Array:
    """The norm of each layer's leaves, (layers,): infinite if an entry is not finite, NaN for a layer without leaves."""
    leaves = jax.tree.leaves(values)
    norms = [tree.global_norm([leaves[i] for i in layer.leaves]) for layer in layers]
    known = [
        jnp.where(jnp.isnan(n), jnp.inf, n) if each.leaves else jnp.nan for n, each in zip(norms, layers, strict=True)
    ]
    return jnp.stack([jnp.asarray(norm, float) for norm in known])


def _trainable_layers(layers: Sequence[Layer], state: TrainState) -> tuple[Layer, ...]:
    """The layers with their trained leaves only."""
    count = len(jax.tree.leaves(state.params))
    flags = [node.trained.value for node in tree.nodes_with(state.opt_state, "trained")]
    frozen = {i for each in flags if len(each) == count for i, trained in enumerate(each) if not trained}
    return tuple(each._replace(leaves=tuple(i for i in each.leaves if i not in frozen)) for each in layers)


def _rows(mask: Any, count: int) -> jax.Array:
    """The mask of an activation's rows, of which an example may have several (in a flattened sequence)."""
    if mask is None or count % len(mask):
        return jnp.ones(count)
    return jnp.repeat(jnp.asarray(mask).astype(float), count // len(mask))


def _state_of(layer: Layer, values: list[tuple[str, jax.Array]], mask: Any) -> list[jax.Array]:
    """Mean and spread of a layer's activation, share of saturated entries, share of dead units."""
    nothing = jnp.full((), jnp.nan, float)
    if layer.tap is None:
        return [nothing] * 4
    kinds = [kind for kind, _ in values]
    if layer.tap.index >= len(kinds) or kinds[layer.tap.index] != layer.tap.kind:
        raise ValueError(
            f"flow: the loss must compute what it was laid out for ({layer.tap}), got the activations {kinds}"
        )
    a = jnp.moveaxis(values[layer.tap.index][1], layer.tap.rows, 0).astype(float)
    a = a.reshape(len(a), -1)
    rows = _rows(mask, len(a))
    weights = jnp.broadcast_to(rows[:, None], a.shape) / (jnp.sum(rows) * a.shape[1])
    mean = jnp.sum(weights * a)
    spread = jnp.sqrt(jnp.sum(weights * (a - mean) ** 2))
    saturated = dead = nothing
    if layer.tap.kind in BOUNDED:
        saturated = jnp.sum(weights * (SLOPES[layer.tap.kind](a) < SATURATED))
    if layer.tap.kind in RECTIFIERS:
        dead = jnp.mean(jnp.all((a == 0) | (rows == 0)[:, None], axis=0).astype(float))
    return [mean, spread, saturated, dead]


@dataclasses.dataclass(frozen=True, eq=False)
class Flow:
    """The flow through each layer: arrays (layers,), or (evaluations, layers) of a run; NaN for what a layer lacks.

    gradient_norm       |dL / d layer|, in units of the loss per unit of the parameters
    update_ratio        |update| / |layer|, of one step
    activation_mean     over units and examples
    activation_std      likewise
    saturated           share of (unit, example) whose slope is below 5 % of the largest: sigmoid, tanh and their kin
    dead                share of units that give 0 for every example: relu (of a feature map each place is a unit)
    """

    layers: tuple[Layer, ...]
    gradient_norm: np.ndarray
    update_ratio: np.ndarray
    activation_mean: np.ndarray
    activation_std: np.ndarray
    saturated: np.ndarray
    dead: np.ndarray

    @property
    def last(self) -> Flow:
        """The last measurement of a run, (layers,) each."""
        if self.gradient_norm.ndim == 1:
            return self
        if not len(self.gradient_norm):
            return dataclasses.replace(self, **{name: np.full(len(self.layers), np.nan) for name in MEASURES})
        looked = np.flatnonzero(~np.isnan(self.gradient_norm).all(axis=1))
        row = int(looked[-1]) if looked.size else -1
        return dataclasses.replace(self, **{name: getattr(self, name)[row] for name in MEASURES})

    def __str__(self) -> str:
        return "\n".join([text.table(self._cells()), "", *self.diagnosis()])

    def _repr_html_(self) -> str:
        """The table and the diagnosis, in a notebook."""
        return text.html_table(self._cells(), below="\n".join(self.diagnosis()))

    def _cells(self) -> list[list[str]]:
        head = ["layer", "place", "units", *(name.replace("_", " ") for name in MEASURES)]
        last = self.last
        rows = []
        for i, layer in enumerate(self.layers):
            values = (getattr(last, name)[i] for name in MEASURES)
            shown = ("" if np.isnan(value) else f"{value:.2g}" for value in values)
            rows.append([str(i + 1), layer.name, layer.tap.kind if layer.tap else "", *shown])
        used = [column for column in zip(head, *rows, strict=True) if any(column[1:])]
        return [list(row) for row in zip(*used, strict=True)]

    def diagnosis(self) -> list[str]:
        """A diagnosis in sentences; for a run, of the last measurement."""
        last = self.last
        found = [*_of_gradients(last), *_of_units(last), *_of_updates(last)]
        if found:
            return found
        reached = last.gradient_norm[~np.isnan(last.gradient_norm)]
        if not reached.size:
            return ["no step was looked at, or no layer is trained: there is nothing to say"]
        return [f"gradients reach all layers: their norms lie within a factor of {reached.max() / reached.min():.2g}"]


def _of_gradients(flow: Flow) -> Iterator[str]:
    """Sentences about gradients that vanish, explode, are absent or not finite."""
    known = np.flatnonzero(~np.isnan(flow.gradient_norm))  # NaN for frozen layers
    norms = flow.gradient_norm[known]
    if not known.size:
        return
    first, last = known[0] + 1, known[-1] + 1
    if np.isinf(norms).any():
        places = [str(i + 1) for i in known[np.isinf(norms)]]
        yield f"the gradient of layer {', '.join(places)} is not finite: try a smaller learning rate or clipping"
        return
    if norms[-1] == 0:
        yield f"layer {last} receives no gradient at all: the loss does not depend on it here"
        return
    for i in known[1:-1][norms[1:-1] == 0]:
        yield f"layer {i + 1} receives no gradient at all: dead units, or the loss does not depend on it here"
    ratio = norms[0] / norms[-1]
    compared = f"layer {first} receives {ratio:.1g} of the gradient of layer {last}"
    if norms[0] == 0:
        yield f"layer {first} receives no gradient at all: {_cause(flow)}"
    elif ratio < VANISHING:
        yield f"{compared}: {_cause(flow)}"
    elif ratio > EXPLODING:
        yield f"{compared}: the weights are large; try smaller initial weights (he_normal, xavier_normal) or clipping"


def _cause(flow: Flow) -> str:
    """The probable cause of vanishing gradients, and a remedy."""
    kinds = {layer.tap.kind for layer in flow.layers if layer.tap}
    stds = flow.activation_std[~np.isnan(flow.activation_std)]
    if _largest(flow.saturated) > MANY:
        return "saturating activation; try smaller weights, standardized inputs or relu"
    if _largest(flow.dead) > MANY:
        return "dead relu units; try a smaller learning rate, he_normal weights or leaky_relu"
    if "sigmoid" in kinds:
        return "a sigmoid passes on at most 0.25 of it in each layer; try tanh, or relu with he_normal weights"
    if len(stds) > 1 and stds[-1] < 0.1 * stds[0]:
        return "the weights are too small, activations fade as well; try he_normal (relu) or xavier_normal (tanh)"
    return "it shrinks in every layer; try fewer layers, larger initial weights or another activation"


def _of_units(flow: Flow) -> Iterator[str]:
    for share, what, remedy in (
        (flow.saturated, "saturated", "smaller weights, standardized inputs or relu"),
        (flow.dead, "dead (0 for every example)", "a smaller learning rate, he_normal weights or leaky_relu"),
    ):
        for i in np.flatnonzero(np.nan_to_num(share) > MANY):
            yield f"layer {i + 1}: {100 * share[i]:.0f} % of its units are {what}; try {remedy}"


def _of_updates(flow: Flow) -> Iterator[str]:
    for i, ratio in enumerate(flow.update_ratio):
        if ratio > LARGE_UPDATE:
            yield f"layer {i + 1}: one step moves it by {100 * ratio:.0f} % of its size; try a smaller learning rate"
        elif 0 < ratio < SMALL_UPDATE:
            yield f"layer {i + 1}: one step moves it by {ratio:.0e} of its size: it hardly learns; try a larger rate"


def _largest(shares: np.ndarray) -> float:
    return float(np.nan_to_num(shares).max(initial=0.0))
