"""An ensemble: several models of one kind as one, whose prediction is the average of theirs."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from gdjax.calls import Model, model, of_parts
from gdjax.models._fitted import Fitted, fitted
from gdjax.models.layers import check_size, split_key
from gdjax.tree import unstack


def _mean_of_probabilities(logits: jax.Array) -> jax.Array:
    """(k, ..., C) -> (..., C): logarithms of the mean of softmax(logits)."""
    return jax.nn.logsumexp(jax.nn.log_softmax(logits), axis=0) - math.log(len(logits))


def _mean_of_two_probabilities(logits: jax.Array) -> jax.Array:
    """(k, ...) -> (...): the logit of the mean of sigmoid(logits)."""
    both = jnp.stack([jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)])
    one, other = jax.nn.logsumexp(both, axis=1)
    return one - other


def _mean(outputs: jax.Array) -> jax.Array:
    return jnp.mean(outputs, axis=0)


AVERAGES = {"outputs": _mean, "softmax": _mean_of_probabilities, "sigmoid": _mean_of_two_probabilities}


@model(static=("number", "average"))
def ensemble(member: Model, number: int, average: str = "outputs"):
    """Several models of one kind with initial parameters of their own, as one model.

        y = A(y_1, ..., y_k)        y_i = member.apply(params_i, x)         params: those of a member, each leaf (k, ...)

    The average A is one of

        outputs     y = mean_i y_i                      for a regression, or scores
        softmax     softmax(y) = mean_i softmax(y_i)    for logits of C classes; y are the logarithms of the means
        sigmoid     sigmoid(y) = mean_i sigmoid(y_i)    for the logit of one class against another

    It is a model like any other: one program computes all members, and one run trains, saves and resumes them. So that each
    is trained as it would be alone, let the loss be the mean of the members' losses, and not the loss of y; a rule
    that goes by the norm of all parameters, such as clipping by the global norm, sees all members together.

    Args:
        member: any model; with dropout, each member drops units of its own.
        number: k, at least 1.
        average: how outputs become one.

    Raises: TypeError for a member that is no model, or whose outputs are not an array (`Padded`, for example); ValueError
        for another number or average.
    Reference: Lakshminarayanan, Pritzel & Blundell 2017 (arXiv:1612.01474).

    >>> model = gd.models.ensemble(gd.models.mlp((2, 3, None)), 4)
    >>> params = model.init(jax.random.key(0))
    >>> print(params[0]["w"].shape, model.apply(params, jnp.zeros((5, 2))).shape)
    (4, 2, 3) (5,)
    """
    if average not in AVERAGES:
        raise ValueError(f"ensemble: average must be one of {', '.join(AVERAGES)}, got {average!r}")
    check_size("ensemble", "number", number)
    if not isinstance(member, Model):
        raise TypeError(f"ensemble: member must be a model, got {member!r}")
    built = member.build()
    init = lambda key: jax.vmap(built[0])(jax.random.split(key, number))  # noqa: E731

    def apply(params, state, x, key=None, weight=None):
        outputs, state = apply_members(member, number, params, state, x, key, weight)
        if not hasattr(outputs, "dtype"):
            raise TypeError(f"ensemble: outputs of a member must be an array, got {type(outputs).__name__}")
        return AVERAGES[average](outputs), state

    return of_parts([built], init, apply, lambda: members_state(member, number))


def apply_members(
    member: Model, number: int, params: Any, state: Any, x: Any, key: jax.Array | None = None, weight: Any = None
) -> tuple[jax.Array, Any]:
    """The outputs of k members, (k, ...), and their states."""

    def apply(params, state, key):
        return member.apply_with_state(params, state, x, key, weight)

    return jax.vmap(apply, axis_size=number)(params, state, None if key is None else split_key(key, number))


def members_state(member: Model, number: int) -> Any:
    """The initial states of k members, each leaf (k, ...)."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (number, *x.shape)), member.init_state())


def members_of(model: Model, params: Any) -> list[tuple[Model, Any]]:
    """Each member of an ensemble with its parameters; of another model, itself. Likewise of fitted ones."""
    whole = model.inner if isinstance(params, Fitted) else model
    member = getattr(whole, "member", None)
    if not isinstance(member, Model):
        return [(model, params)]
    each = fitted(member) if isinstance(params, Fitted) else member
    return [(each, own) for own in unstack(params, whole.number)]
