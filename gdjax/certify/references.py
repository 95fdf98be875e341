"""What each optimizer is held against, and how near it must come."""

from __future__ import annotations

import inspect

import optax
from optax import contrib

from gdjax.nodes import Optimizer, Schedule

LIMIT = 1e-12  # relative, in float64
LIMITS: dict[str, tuple[float, str]] = {}  # name -> (relative, why it cannot be nearer)
PARTS_FROM_OPTAX: dict[str, str] = {
    "adadelta": "",
}  # repr -> the defect of Optax 0.2.8 that ours has not; each has a test that Optax fails


def optax_reference(ours: Optimizer) -> optax.GradientTransformation | None:
    """The same call of Optax's function of the same name; None where it has none."""
    name = ours.recipe.name
    factory = getattr(optax, name, None) or getattr(contrib, name, None)
    if factory is None:
        return None
    known = inspect.signature(factory).parameters
    arguments = {key: value for key, value in ours.arguments.items() if key in known}
    scheduled = [key for key, value in arguments.items() if isinstance(value, Schedule)]
    return factory(**arguments) if set(scheduled) <= {"learning_rate"} else None
