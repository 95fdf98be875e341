"""The references of each optimizer, and the limits; the tables are described in `gdjax.certify.oracles`."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable

import optax
from optax import contrib

from gdjax.calls import Optimizer, Schedule
from gdjax.certify.oracles import gather
from gdjax.certify.oracles.reasons import NO_INFINITY
from gdjax.certify.suite import Recording

LIMIT = 1e-12  # relative, in double precision

LIMITS: dict[str, tuple[float, str]] = gather("LIMITS")
PARTS_FROM_OPTAX: dict[str | tuple[str, str], str] = gather("PARTS_FROM_OPTAX")
LEFT_OUT: dict[str | tuple[str, str], tuple[tuple[str, ...], str]] = gather("LEFT_OUT")
UNSCHEDULED: dict[str, set[str]] = gather("UNSCHEDULED")
BY_PARAMETERS: dict[str, str] = gather("BY_PARAMETERS")
REAL_ONLY: dict[str, str] = gather("REAL_ONLY")
FED: dict[str, Callable[[Recording], Recording]] = gather("FED")


def fed_to(name: str, recording: Recording) -> Recording:
    """The recording in the form that an optimizer of this name needs."""
    return FED[name](recording) if name in FED else recording


def limit_of(ours: Optimizer) -> tuple[float, str]:
    text = repr(ours)
    return next((own for start, own in LIMITS.items() if text.startswith(start)), (LIMIT, ""))


def exclusions(name: str, reference: str, dtype: str) -> tuple[tuple[str, ...], str]:
    """The cases and leaves that are not compared with a reference, and the reason."""
    cases, why = LEFT_OUT.get((name, reference)) or LEFT_OUT.get(name, ((), ""))
    if dtype.startswith("complex"):
        return (*cases, "non_finite"), "; ".join(filter(None, (why, NO_INFINITY)))
    return cases, why


def defect_of(ours: Optimizer, dtype: str) -> str | None:
    """The defect of Optax's version of a call in a dtype; None if there is none."""
    text = repr(ours)
    for key, defect in PARTS_FROM_OPTAX.items():
        start, where = (key, dtype) if isinstance(key, str) else key
        if text.startswith(start) and where == dtype:
            return defect
    return None


def optax_reference(ours: Optimizer) -> optax.GradientTransformation | None:
    """The same call of Optax's function of the same name; None if there is none.

    Only the learning rate may be a schedule in Optax.
    """
    name = ours.recipe.name
    factory = getattr(contrib, name, None) or getattr(optax, name, None)
    if factory is None:
        return None
    known = inspect.signature(factory).parameters
    defaults = {key: p.default for key, p in ours.recipe.signature.parameters.items() if key not in known}
    if any(ours.arguments[key] != default for key, default in defaults.items()):
        return None  # an option that Optax does not have
    arguments = {key: value for key, value in ours.arguments.items() if key in known}
    scheduled = {key for key, value in arguments.items() if isinstance(value, Schedule)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Optax's about its own: dpsgd still passes on a seed
        return factory(**arguments) if scheduled <= ({"learning_rate"} - UNSCHEDULED.get(name, set())) else None
