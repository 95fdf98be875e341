"""Evaluation of a loss and metrics over all of the data, in chunks whose sums are divided once."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.calls import Model, is_concrete
from gdjax.data import as_rows
from gdjax.domain import as_length
from gdjax.forms import KEYS, Loss, Stateful, as_loss
from gdjax.measures import better_directions, check_names, check_same_shapes, named_metrics
from gdjax.meshes import on_automatic_axes, replicate
from gdjax.programs import bind, compile_once
from gdjax.training._placement import Placement, automatic_axes, check_placement
from gdjax.training.arguments import check_params, error_context
from gdjax.training.cause import raise_cause
from gdjax.training.chunks import Chunks, chunks_of
from gdjax.training.convolutions import as_way, call_with
from gdjax.training.objective import evaluate_loss
from gdjax.training.sums import weighted_mean
from gdjax.types import Measure, Metrics, Params, as_metric


def make_evaluate(
    loss: Any,
    metrics: Mapping[str, Any] | tuple[tuple[str, Any], ...] = (),
    predict: Callable[..., Any] | Model | None = None,
    chunk_size: int = 1024,
    convolutions: str = "products",
    placement: Placement | None = None,
) -> Evaluate:
    """The evaluation of parameters on data.

    Args:
        loss: a loss as for `make_step`. It is called without a key, so without dropout; its metrics are averaged over rows.
        metrics: further metrics by name: a `Metric` (r2, precision, the area under the curve), or a function of one example,
            (prediction, y) -> number, whose mean is taken.
        predict: (params, x) -> predictions of a chunk, or a model, on which those metrics are measured; the data are then
            (x, y). With a model state: a model with one, (params, model_state, x), or any function with an argument named
            model_state.
        chunk_size: maximal number of rows at a time, to bound memory. The loss of more rows is the mean of those of its
            chunks, weighted by their rows, which is the loss of all if it is a mean over rows. If it is a sum or the root of
            a mean, take chunk_size=len(rows).
        convolutions: "products" or "native", as for `make_step`.
        placement: of `gd.placement`: the devices over which the rows of each chunk are divided (in a run, those of its
            epoch). Arrays of the host are placed in every call: write data = placement.put_rows(data) once.

    Returns: evaluate(params, data, model_state=()) -> metrics with "loss" and "weight", compared by value. It raises
        ValueError if the loss is not finite because of an argument outside its domain (compiled, the loss is NaN), and if a
        metric has a name that the loss reports too.

    >>> evaluate = gd.make_evaluate(lambda w, rows: jnp.mean((w - rows) ** 2))
    >>> print(evaluate(2.0, jnp.array([1.0, 3.0]))["loss"])
    1.0
    """
    check_placement("make_evaluate", placement)
    named = named_metrics("make_evaluate", metrics)
    check_names("make_evaluate", named)
    if named and predict is None:
        raise ValueError(f"make_evaluate: metrics {list(named)} need predict=, got None")
    chunk_size = as_length("make_evaluate", "chunk_size", chunk_size)
    lifted = tuple((name, as_metric(each if hasattr(each, "measure") else bind(each))) for name, each in named.items())
    function = None if predict is None else bind(_function_of(predict))
    way = as_way("make_evaluate", convolutions)
    return Evaluate(as_loss("make_evaluate", loss), lifted, function, chunk_size, way, placement)


def _function_of(predict: Any) -> Callable[..., Any]:
    """The function of what predicts; of a model with a state, or of its `apply`, the one that takes a state."""
    model = getattr(predict, "__self__", predict)
    if getattr(model, "has_state", False) and getattr(model, "apply", None) in (
        predict,
        getattr(predict, "apply", None),
    ):
        return bind(_predict_with_state, model)
    return getattr(predict, "apply", predict)


def _predict_with_state(model: Any, params: Params, model_state: Any, x: Any) -> Any:
    return model.apply_with_state(params, model_state, x)[0]


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """What `make_evaluate` returns."""

    loss: Loss | Stateful
    metrics: tuple[tuple[str, Measure], ...]
    predict: Callable[..., Any] | None
    chunk_size: int
    convolutions: str = "products"
    placement: Placement | None = None

    @property
    def directions(self) -> dict[str, str]:
        """name -> "min" or "max", for the metrics whose better direction is known."""
        ours = {name: metric.better for name, metric in self.metrics if metric.better is not None}
        return {**better_directions(self.loss), **ours}

    def __call__(self, params: Params, data: Any, model_state: Any = ()) -> Metrics:
        with error_context("make_evaluate"):
            check_params("make_evaluate", params)
            data = as_rows("make_evaluate", data, on_host=self.placement is not None)
            found = self._measure(params, data, model_state)
            if is_concrete(found["loss"]) and not np.isfinite(found["loss"]):
                raise_cause(self.loss, params, data, model_state)
            return found

    def _measure(self, params: Params, data: Any, model_state: Any) -> Metrics:
        if self.placement is None:
            return on_automatic_axes(self._all, replicate, params, data, model_state)
        params, model_state = tree.part(tree.whole(params)), tree.part(tree.whole(model_state))
        if not all(map(is_concrete, jax.tree.leaves((params, data, model_state)))):
            return on_automatic_axes(self._all, replicate, params, data, model_state)
        place = self.placement
        placed = place.put(params, params), place.put_rows(data), place.put(model_state, params)
        with automatic_axes(place):
            return compile_once(bind(self._all))(*placed)

    def _all(self, params: Params, data: Any, model_state: Any) -> Metrics:
        params = params if self.placement is None else self.placement.unsplit(params)
        chunks = chunks_of(data, self.chunk_size, self.loss.takes_mask)
        losses = self._losses(params, model_state, chunks)
        if taken := losses.keys() & dict(self.metrics).keys():
            raise ValueError(f"make_evaluate: metrics must not be named as those of the loss, got {min(taken)!r}")
        return {**losses, **self._measures(params, model_state, chunks)}

    def _losses(self, params: Params, model_state: Any, chunks: Chunks) -> Metrics:
        def of_chunk(batch, mask=None):
            given = params, model_state, self._spread(batch), None, mask
            loss, (metrics, _) = evaluate_loss("make_evaluate", self.loss, *given, self.convolutions)
            return {"loss": loss, **metrics}

        if not chunks.ragged:
            return weighted_mean(chunks.map(lambda batch, _: of_chunk(batch)))
        if self.loss.takes_mask:
            return weighted_mean(chunks.map(of_chunk))
        whole, tail = chunks.whole.map(lambda batch, _: of_chunk(batch)), of_chunk(chunks.tail)
        first = jax.tree.map(lambda x: x[0], whole)
        check_same_shapes("make_evaluate", first, tail, chunks.size, chunks.remainder)
        return weighted_mean(jax.tree.map(lambda a, b: jnp.append(a, jnp.asarray(b)[None], 0), whole, tail))

    def _measures(self, params: Params, model_state: Any, chunks: Chunks) -> Metrics:
        if self.predict is None or not self.metrics:
            return {}

        def of_chunk(batch, mask):
            if not isinstance(batch, (tuple, list)) or len(batch) != 2:
                kind = type(batch).__name__
                raise ValueError(f"make_evaluate: data must be (x, y) to measure metrics on, got a {kind}")
            x, y = self._spread(batch)
            prediction = call_with(self.convolutions, self._predict, params, model_state, x)
            weight = mask.astype(jnp.float32)
            return {name: metric.measure(prediction, y, weight) for name, metric in self.metrics}

        stats = chunks.map(of_chunk)
        return {name: metric.result(stats[name]) for name, metric in self.metrics}

    def _spread(self, batch: Any) -> Any:
        return batch if self.placement is None else self.placement.spread(batch)

    def _predict(self, params: Params, model_state: Any, x: Any) -> Any:
        params, model_state = tree.whole(params), tree.whole(model_state)
        predict: Any = self.predict
        parameters = inspect.signature(predict).parameters
        positional = [p for p in parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        names = [p.name for p in positional if p.default is p.empty and p.name not in KEYS]
        no_key = {p.name: None for p in parameters.values() if p.name in KEYS and p.default is p.empty}
        if "model_state" in parameters:
            rest = [name for name in parameters if name not in ("model_state", *KEYS)]
            return predict(**dict(zip(rest, (params, x), strict=False)), model_state=model_state, **no_key)
        given = (params, model_state, x) if len(names) == 3 else (params, x)
        return predict(**dict(zip(names, given, strict=True)), **no_key) if no_key else predict(*given)
