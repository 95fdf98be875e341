"""Remarks about a run: nothing was learned, no update has used a batch, the data are not finite or differ in scale."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import answers, tree
from gdjax.data.shards import Shards
from gdjax.text import counted
from gdjax.training._placement import Placement
from gdjax.training.result import Result, shapes_of
from gdjax.training.run import Run
from gdjax.types import Params, RunState, Stop


def left_out(run_state: RunState) -> tuple[str, ...]:
    """Remarks about the batches that no update has used."""
    opt_state = run_state.state.opt_state
    skipped, waiting = (int(count or 0) for count in (answers.skipped(opt_state), answers.waiting(opt_state)))
    return (
        *([f"{_count(skipped, 'update')} skipped: gradients were not finite"] * bool(skipped)),
        *([f"{_count(waiting, 'batch', 'es')} left over at the end: too few for an update"] * bool(waiting)),
    )


def other_epochs(run_state: RunState, per_epoch: int | None) -> tuple[str, ...]:
    """A remark about a run that goes on with another number of batches in an epoch, as by another batch size."""
    epochs, done = run_state.history["epoch"], int(run_state.evaluations)
    last = float(epochs[(done - 1) % len(epochs)]) if done else np.nan
    before = (int(run_state.state.batches) - int(run_state.taken)) / last if last > 0 else np.nan
    if per_epoch is None or np.isnan(before) or math.isclose(before, per_epoch, rel_tol=1e-3):
        return ()
    return (
        f"resumed with {per_epoch} batches in an epoch instead of {before:.4g}: the length counts batches of any size",
    )


def other_batches(placement: Placement | None, data: Any) -> tuple[str, ...]:
    """A remark about batches that depend on the number of devices."""
    if placement is None or placement.rows != "local" or not isinstance(data, Shards):
        return ()
    return (
        f"each of {data.number} devices draws its part of a batch from its own rows: on another number of devices the "
        "batches are others",
    )


def not_finite(stop: Stop, **given: Any) -> tuple[str, ...]:
    """A remark about the first value that is not finite in what was handed in, of a run that went wrong; by name."""
    for name, part in given.items() if stop == Stop.NON_FINITE else ():
        for path, leaf in jax.tree_util.tree_leaves_with_path(part):
            x = np.asarray(leaf) if _is_at_hand(leaf) else np.zeros(0)
            bad = ~np.isfinite(x) if jnp.issubdtype(x.dtype, jnp.inexact) else np.zeros(0, bool)
            if bad.any():
                place = np.unravel_index(int(bad.argmax()), x.shape)
                where = tree.leaf_name(name, path)
                many = f" in {counted(int(bad.sum()), 'cell')}, the first at {[*map(int, place)]}" if x.ndim else ""
                return (f"{where} is not finite{many}: {x[place]}",)
    return ()


def _is_at_hand(leaf: Any) -> bool:
    """Whether a leaf is an array of numbers that this process has all of."""
    if isinstance(leaf, jax.Array):
        return leaf.is_fully_addressable and not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return isinstance(leaf, (np.ndarray, float))


def _count(number: int, name: str, plural: str = "s") -> str:
    return f"1 {name} was" if number == 1 else f"{number} {name}{plural} were"


def learning_warnings(
    result: Result, run: Run, run_state: RunState, params: Params, at_start: Callable[[], RunState]
) -> tuple[str, ...]:
    """Warnings for a run that learned nothing; the initial parameters are evaluated only if this is unclear."""
    trained = zip(jax.tree.leaves(run_state.state.params), jax.tree.leaves(tree.part(params)), strict=True)
    if all(np.array_equal(_whole(run, a), np.asarray(_whole(run, b), a.dtype)) for a, b in trained):
        if not result.steps:
            return ("nothing was learned: no update was made",)
        return ("nothing was learned: no step moved the parameters (is the gradient 0, or the learning rate?)",)
    first, number, history = float(run_state.first_loss), result.best_evaluation, result.history
    if number < 0:
        return ()
    if result.monitor.startswith("validation "):
        if history["validation_loss"][number] < first - 0.5 * abs(first):
            return ()
        start = float(at_start().best_value)
    else:  # the mean over the first epoch, in which they moved, is no better than they were
        start = max(first, float(history["loss"][0])) if result.monitor == "training loss" else np.inf
    oriented = float(run_state.best_value)
    if not oriented >= start or (number == 0 and not result.monitor.startswith("validation ")):
        return ()
    value = start * run.sign(shapes_of(history))
    return (f"no better than the parameters handed in, of {result.monitor} {value:.5g}",)


def _whole(run: Run, x: Any) -> np.ndarray:
    """All of an array, which may be divided over several hosts."""
    if run.placement is None or not isinstance(x, jax.Array) or x.is_fully_addressable:
        return np.asarray(x)
    return run.placement.gather(x)


def _first_rows(leaf: Any) -> np.ndarray:
    if not isinstance(leaf, jax.Array):
        return np.asarray(leaf[:1000] if hasattr(leaf, "shape") and np.ndim(leaf) else leaf)
    shard = leaf.addressable_shards[0].data
    return np.asarray(shard)[:1000] if shard.platform() == "cpu" else np.asarray(shard[:1000])


APART = 1e4  # the largest ratio of column scales with which one learning rate still trains all columns


def scale_warnings(data: Any) -> tuple[str, ...]:
    """A warning if the scales of the columns of a matrix in the data differ too much, judged by its first rows."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(data):
        x = _first_rows(leaf)
        if x.ndim != 2 or not np.issubdtype(x.dtype, np.floating):
            continue
        scales = np.abs(x).max(axis=0)
        scales = scales[np.isfinite(scales) & (scales > 0)].astype(float)
        if scales.size > 1 and scales.max() > APART * scales.min():
            ratio, where = scales.max() / scales.min(), tree.path_string(path)
            return (f"columns of the data at {where} differ in scale by {ratio:.1g}: standardize them",)
    return ()
