"""Rules of a user's own, prepared for a comparison with an optimizer of the table."""

from __future__ import annotations

import inspect
from typing import Any, cast

import optax

from gdjax.calls import Optimizer, as_optimizer
from gdjax.optimizers import Slot, leafwise

LEADING = 3  # g, p, t


def as_candidate(thing: Any, reference: Optimizer) -> Optimizer:
    """An optimizer, a factory of one, or a bare rule, with the reference's arguments where their names agree.

    A bare rule is (g, p, t, slots..., *, hyperparameters...) -> (direction, {slot: new}); its slots start at 0.
    One that names learning_rate returns the whole step.

    Raises: TypeError for anything else, or for an argument without default that the reference does not have.
    """
    if isinstance(thing, tuple):
        return as_optimizer(thing)
    if not callable(thing):
        raise TypeError(f"expected an optimizer, a factory or a rule, got {thing!r}")
    parameters = inspect.signature(thing).parameters
    if list(parameters)[:LEADING] != ["g", "p", "t"]:
        return as_optimizer(thing(**_common_arguments(thing, list(parameters.values()), reference)))
    rest = list(parameters.values())[LEADING:]
    slots = {p.name: Slot() for p in rest if p.kind is not p.KEYWORD_ONLY}
    hyper = _common_arguments(thing, [p for p in rest if p.kind is p.KEYWORD_ONLY], reference)
    rate = hyper.pop("learning_rate", reference.arguments.get("learning_rate"))
    returns = "step" if "learning_rate" in parameters else "direction"
    pair = leafwise(cast(Any, thing), rate, slots=slots, returns=returns, **hyper)
    return as_optimizer(optax.GradientTransformationExtraArgs(*pair))


def _common_arguments(thing: Any, wanted: list[inspect.Parameter], reference: Optimizer) -> dict[str, Any]:
    """The arguments of the reference that the candidate takes too."""
    theirs = reference.arguments
    lacking = [p.name for p in wanted if p.default is p.empty and p.name not in theirs and p.kind is not p.VAR_KEYWORD]
    if lacking:
        name = getattr(thing, "__name__", repr(thing))
        raise TypeError(
            f"{name}: {lacking[0]} needs a default, since {reference.recipe.name} has no argument of that name"
        )
    return {p.name: theirs[p.name] for p in wanted if p.name in theirs}
