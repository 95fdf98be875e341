"""The certificate of a wrapper: the rows of `certificate`, measured on paths that follow the wrapper's own updates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import Optimizer
from gdjax.certify import references, rounding, wrapper_paths, wrapper_references
from gdjax.certify.examples import WRAPPER_EXAMPLES
from gdjax.certify.measure import Difference, difference
from gdjax.certify.row import Row, below_double_limit
from gdjax.certify.suite import Recording, record

COMPARED = ("updates", "params", "evaluated", "shown")
ROUNDINGS = 64.0  # tolerated float32 roundings in a step of a wrapper that Optax does not have
BURSTS = ("skip_non_finite", "scale_loss")  # those that are fed gradients that are not finite
PRECISE = {"master_weights": 2.0**-24, "kahan": 2.0**-17}  # tolerated relative error of a step of bfloat16 parameters


def rows(name: str, steps: int) -> Iterator[Row]:
    calls = WRAPPER_EXAMPLES[name]()
    for ours in calls:
        yield from in_double(ours, steps, "float64")
    yield from in_double(calls[0], steps, "complex128")
    yield below_double(calls[0], steps)
    if name in PRECISE:
        yield _in_sixteen_bits(calls[0], steps)
    if name == "stochastic_rounding":
        yield from rounding.rows(calls[0])


def in_double(ours: Optimizer, steps: int, dtype: str, against: tuple[Any, ...] = ("optax", "oracle")) -> Iterator[Row]:
    """Rows of equality with Optax, if it has the same wrapper, and with the oracle."""
    recording = fed_to(ours, steps, dtype)
    with jax.enable_x64(True):
        mine = wrapper_paths.path_of(ours, recording)
        if "optax" in against and dtype == "float64" and (twin := wrapper_references.optax_twin(ours)) is not None:
            yield _row(ours, mine, wrapper_paths.path_of(twin, recording), "optax", dtype)
        if "oracle" in against:
            yield _row(ours, mine, wrapper_paths.oracle_path(ours, recording), "oracle", dtype)


def _row(ours: Optimizer, mine: Any, theirs: Any, reference: str, dtype: str) -> Row:
    name = ours.recipe.name
    limit, why = wrapper_references.LIMITS.get(f"{name}: {reference}", (references.LIMIT, ""))
    cases, reason = wrapper_references.exclusions(name, reference, dtype)
    found = compare(name, mine, theirs, dtype, limit, cases)
    without = f"without {', '.join(cases)}: {reason}" if cases else ""
    first, grows = wrapper_references.SHORT.get(name, (0, ""))
    short = f"the first {first} steps: {grows}" if first else ""
    compared = "parameters, not updates" if name in wrapper_references.BY_PARAMETERS else ""
    return Row(repr(ours), reference, dtype, *found, limit, "; ".join(filter(None, (why, compared, short, without))))


def compare(name: str, mine: Any, theirs: Any, dtype: str, limit: float, without: tuple[str, ...]) -> Difference:
    """The difference in updates, parameters, evaluated parameters, and counters that the oracle has too."""
    kinds = [kind for kind in COMPARED if kind != "updates" or name not in wrapper_references.BY_PARAMETERS]
    mine, theirs = ({kind: path[kind] for kind in kinds} for path in (mine, theirs))
    both = mine["shown"].keys() & theirs["shown"].keys()
    for path in (mine, theirs):
        path["shown"] = {key: np.asarray(path["shown"][key], np.float64) for key in both}
    return difference(mine, theirs, dtype, limit, without)


def below_double(ours: Optimizer, steps: int, dtype: str = "float32") -> Row:
    """Rows in float32: the distance to the oracle is limited by Optax's or, without Optax, by a number of roundings."""
    name, recording = ours.recipe.name, fed_to(ours, steps, dtype)
    cases, _ = wrapper_references.exclusions(name, "optax", dtype)
    with jax.enable_x64(False):
        mine, truth = wrapper_paths.path_of(ours, recording), wrapper_paths.oracle_path(ours.canonicalize(), recording)
        twin, its = wrapper_references.optax_twin(ours), None
        if twin is not None:
            its = compare(name, wrapper_paths.path_of(twin, recording), truth, dtype, 0.0, cases).relative
    limit, note = below_double_limit(its, dtype)
    if limit is None:
        limit, note = steps * float(jnp.finfo(dtype).eps) * ROUNDINGS, f"{ROUNDINGS:g} roundings a step"
    if name in wrapper_references.UNJUDGED:
        limit, note = None, f"not judged: {wrapper_references.UNJUDGED[name]}"
    without = f"; without {', '.join(cases)}" if cases else ""
    return Row(
        repr(ours), "oracle", dtype, *compare(name, mine, truth, dtype, limit or np.inf, cases), limit, note + without
    )


def _in_sixteen_bits(ours: Optimizer, steps: int, name: str = "") -> Row:
    """Rows of bfloat16 parameters: they differ from the path without rounding by half an ULP and the tolerated error."""
    recording = fed_to(ours, steps, "bfloat16")
    limit = 2.0**-8 + steps * PRECISE[name or ours.recipe.name]
    with jax.enable_x64(False):
        mine, truth = wrapper_paths.path_of(ours, recording), wrapper_paths.oracle_path(ours.canonicalize(), recording)
    found = difference(mine["params"], truth["evaluated"], "bfloat16", limit)
    return Row(repr(ours), "oracle", "bfloat16", *found, limit, "parameters beside the path that is not rounded")


def fed_to(ours: Optimizer, steps: int, dtype: str) -> Recording:
    kind = jnp.dtype(dtype)
    steps = min(steps, wrapper_references.SHORT.get(ours.recipe.name, (steps, ""))[0])
    recording = record(steps, jnp.issubdtype(kind, jnp.complexfloating)).cast(kind)
    return wrapper_paths.with_bursts(recording) if ours.recipe.name in BURSTS else recording
