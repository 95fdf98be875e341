"""A trained model with a state, as one without: what is kept of a run is then one tree, whatever the model."""

from __future__ import annotations

from typing import Any, NamedTuple

from gdjax import calls
from gdjax.calls import Model, with_state


class Fitted(NamedTuple):
    """The parameters of a model with a state, and its state."""

    params: Any
    model_state: Any


def parts_of(params: Any) -> dict[str, Any]:
    """The parameters of a fitted model by name: "params", and "model_state" where there is one."""
    return params._asdict() if isinstance(params, Fitted) else {"params": params}


def fitted(model: Model) -> Model:
    """The model for after training: itself, or for one with a state a model whose parameters are `Fitted`.

    >>> from gdjax.models._fitted import fitted
    >>> print(fitted(gd.models.dense(2, 1)), fitted(gd.models.batch_norm(2)))
    dense(2, 1) with_running_state(batch_norm(2))
    """
    return with_running_state(model) if model.has_state else model


def fitted_params(model: Model, params: Any, model_state: Any) -> Any:
    """The parameters of `fitted(model)`."""
    return Fitted(params, model_state) if model.has_state else params


@calls.model
def with_running_state(inner: Model):
    """A model with a state, `inner`, as one without, which is always evaluated; it takes `Fitted` as its parameters."""
    init, apply, init_state = with_state(inner.build())
    first = lambda key: Fitted(init(key), init_state())  # noqa: E731
    return first, lambda params, x, key=None: apply(params.params, params.model_state, x)[0]
