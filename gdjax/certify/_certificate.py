"""The certificate of an optimizer: rows of measured differences, each with its limit."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from gdjax.calls import Optimizer, as_optimizer
from gdjax.certify import closed_loop, references, wrapper_certificate
from gdjax.certify.examples import WRAPPER_EXAMPLES, example_calls
from gdjax.certify.measure import Difference, difference, lost_descent, oracle_updates, updates_of
from gdjax.certify.oracles import ORACLES, reasons
from gdjax.certify.row import DESCENT, DTYPES, Row, below_double_limit
from gdjax.certify.suite import STEPS, record
from gdjax.certify.torch_twins import TWINS, Twin, updates_of_twin


def differences(
    ours: Any, reference: Any, dtypes: tuple[str, ...] = DTYPES, steps: int = STEPS, limit: float = references.LIMIT
) -> dict[str, Difference]:
    """Feed two optimizers the same recorded gradients, parameters and values, and measure their differences.

    Args:
        ours: an optimizer of gdjax or of Optax.
        reference: another, or an oracle (see `gdjax.certify.oracles`), which is called with the arguments of ours.
        dtypes: dtypes of parameters and gradients; "complex64" and "complex128" are possible too.
        steps: number of steps of each recorded case.
        limit: relative limit; `parted` is the first place where it is exceeded.

    Returns: dtype -> `Difference`, the largest over all cases, steps and leaves.
    """
    ours = as_optimizer(ours)
    found = {}
    for dtype in dtypes:
        mine, theirs = (replay(x, dtype, steps, ours.arguments) for x in (ours, reference))
        found[dtype] = difference(mine, theirs, dtype, limit)
    return found


def replay(x: Any, dtype: str, steps: int, arguments: dict[str, Any], name: str = "") -> Any:
    """The updates of an optimizer, or of an oracle with these arguments, on the recording in a dtype, as fed to `name`."""
    kind = jnp.dtype(dtype)
    with jax.enable_x64(jnp.finfo(kind).bits == 64):
        recording = record(steps, jnp.issubdtype(kind, jnp.complexfloating)).cast(kind)
        recording = references.fed_to(name, recording)
        if isinstance(x, tuple):
            return updates_of(x, recording)
        return oracle_updates(x, arguments, recording)


def certificate(name: str, steps: int = STEPS) -> Iterator[Row]:
    """All rows of an optimizer or a wrapper: every example in double precision, the first also in other dtypes."""
    for call, reference, distance, note in closed_loop.rows(name):
        yield Row(call, reference, "float64", distance, float("nan"), None, closed_loop.LIMIT, note)
    if name in WRAPPER_EXAMPLES:
        yield from wrapper_certificate.rows(name, steps)
    if name not in ORACLES:
        return
    calls = example_calls(name)
    for ours in calls:
        yield from _in_double(ours, steps, "float64")
    if name not in references.REAL_ONLY:
        yield from _in_double(calls[0], steps, "complex128")
    for dtype in DTYPES[1:]:
        yield from _below_double(calls[0], steps, dtype)
    if importlib.util.find_spec("torch") is not None:
        for twin in TWINS.get(name, ()):
            yield _against_torch(twin, steps)


def _against_torch(twin: Twin, steps: int) -> Row:
    ours = twin.ours()
    without, why = references.exclusions(ours.recipe.name, "torch", "float64")
    mine, its = replay(ours, "float64", steps, {}), updates_of_twin(twin, record(steps))
    found = difference(mine, its, "float64", twin.limit, without)
    note = f"torch.optim.{twin.torch}({', '.join(f'{k}={v}' for k, v in twin.arguments.items())})"
    note += f"; without {', '.join(without)}: {why}" if without else ""
    return Row(repr(ours), "torch", "float64", *found, twin.limit, note)


def _in_double(
    ours: Optimizer, steps: int, dtype: str, against: tuple[Any, ...] = ("optax", "oracle")
) -> Iterator[Row]:
    """Rows of equality with Optax, if it has the call, and with the oracle."""
    limit, why = references.limit_of(ours)
    own = ours.recipe.name
    mine = replay(ours, dtype, steps, {}, own)
    for name in against:
        reference = references.optax_reference(ours) if name == "optax" else ORACLES[ours.recipe.name]
        if reference is None:
            continue
        defect = references.defect_of(ours, dtype) if name == "optax" else None
        if defect in reasons.NOT_RUN:
            continue
        found = _compare(ours, mine, replay(reference, dtype, steps, ours.arguments, own), name, dtype, steps, limit)
        cases, reason = references.exclusions(ours.recipe.name, name, dtype)
        without = f"without {', '.join(cases)}: {reason}" if cases else ""
        yield Row(
            repr(ours), name, dtype, *found, None if defect else limit, "; ".join(filter(None, (defect, why, without)))
        )


def _compare(ours: Optimizer, mine: Any, theirs: Any, name: str, dtype: str, steps: int, limit: float) -> Difference:
    if ours.recipe.name in references.BY_PARAMETERS:
        params = record(steps, dtype.startswith("complex")).params
        mine, theirs = (jax.tree.map(lambda p, u: p + u, params, updates) for updates in (mine, theirs))
    without, _ = references.exclusions(ours.recipe.name, name, dtype)
    return difference(mine, theirs, dtype, limit, without)


def _below_double(ours: Optimizer, steps: int, dtype: str) -> Iterator[Row]:
    """Rows of the distance to the oracle, which computes in float64 from the same rounded gradients; compared with Optax's.

    Each is compared with its own oracle, since our hyperparameters have the width of the dtype, and Optax's are Python's. If
    Optax gives no distance, or none below 1, the distance is shown without limit; then both must stay finite and descend
    alike.
    """
    oracle, twin, own = ORACLES[ours.recipe.name], references.optax_reference(ours), ours.recipe.name
    its = None
    if twin is not None and references.defect_of(ours, dtype) is None:
        truth = replay(oracle, dtype, steps, ours.arguments, own)
        its = difference(replay(twin, dtype, steps, {}, own), truth, dtype, 0.0).relative
    limit, note = below_double_limit(its, dtype)
    truth = replay(oracle, dtype, steps, _float32_arguments(ours), own)
    mine = replay(ours, dtype, steps, {}, own)
    yield Row(repr(ours), "oracle", dtype, *difference(mine, truth, dtype, limit or jnp.inf), limit, note)
    if limit is None:
        grads = references.fed_to(own, record(steps).cast(dtype)).grads
        cases, _ = references.exclusions(own, "descent", dtype)
        yield Row(repr(ours), "descent", dtype, *lost_descent(mine, truth, grads, cases), DESCENT, "")


def _float32_arguments(ours: Optimizer) -> dict[str, Any]:
    with jax.enable_x64(False):
        return ours.canonicalize().arguments
