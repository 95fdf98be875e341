"""Differences between two optimizers on the same recording."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.calls import Node, Optimizer, Schedule, as_optimizer
from gdjax.certify.oracles.lift import PerLeaf, StepInput
from gdjax.certify.suite import CASES, SHAPES, Recording

# A program that runs once: compiled in half the time, the same arithmetic.
QUICKLY = {"xla_backend_optimization_level": 0}
RECENT = 10  # steps whose updates give the scale, so that an update near zero is not compared with itself


class Difference(NamedTuple):
    """The largest difference relative to its leaf's largest recent entry, the same in ULP of that entry, and the first
    (case, step, leaf) above the limit; None if there is none."""

    relative: float
    ulp: float
    parted: tuple[str, int, str] | None


def updates_of(optimizer: Any, recording: Recording) -> Any:
    """The updates of an optimizer on a recording, (cases, steps, ...) NumPy; one program for all cases."""
    return jax.tree.map(np.asarray, _updates_of(as_optimizer(optimizer).canonicalize(), recording))


@functools.partial(jax.jit, compiler_options=QUICKLY)
def _updates_of(optimizer: Optimizer, recording: Recording) -> Any:
    def of_case(case: Recording) -> Any:
        def body(state, seen):
            params, grads, value = seen
            updates, state = optimizer.update(grads, state, params, value=value, grad=grads)
            return state, updates

        start = jax.tree.map(lambda x: x[0], case.params)
        return jax.lax.scan(body, optimizer.init(start), tuple(case))[1]

    return jax.lax.map(of_case, recording)


def oracle_updates(oracle: Callable[..., Any], arguments: dict[str, Any], recording: Recording) -> Any:
    """The updates of an oracle on the same recording, computed in float64 or complex128 from the recorded bits."""
    structure = jax.tree.structure(recording.params)
    wide = [np.asarray(x, np.result_type(x.dtype, np.float64)) for x in jax.tree.leaves(recording.params)]
    grads = [np.asarray(x, np.result_type(x.dtype, np.float64)) for x in jax.tree.leaves(recording.grads)]
    values = np.asarray(recording.values, np.float64)
    cases, steps = values.shape
    arguments = {name: plain(name, x, structure, steps) for name, x in arguments.items()}
    out = [np.empty(x.shape, x.dtype) for x in wide]
    with np.errstate(all="ignore"):
        for case in range(cases):
            generator = oracle([p[case, 0] for p in wide], **arguments)
            next(generator)
            for step in range(steps):
                seen = StepInput([g[case, step] for g in grads], [p[case, step] for p in wide], values[case, step])
                for leaf, update in zip(out, generator.send(seen), strict=True):
                    leaf[case, step] = update
    return structure.unflatten(out)


def plain(name: str, x: Any, structure: Any, steps: int) -> Any:
    """An argument in the form of the oracles: schedules as tables, masks leaf by leaf, arrays as NumPy."""
    if isinstance(x, Schedule):
        table = np.asarray(jax.vmap(x)(jnp.arange(steps)), np.float64)
        return lambda step: table[step]
    if name.endswith("mask"):
        shapes = {name: np.empty(shape) for name, shape in SHAPES.items()}
        return PerLeaf(jax.tree.leaves(tree.spread_mask(x, structure.unflatten(list(shapes.values())))))
    if isinstance(x, Node):
        return x
    if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return x
    return np.asarray(x, np.float64)[()] if isinstance(x, jax.Array) else x


def difference(ours: Any, theirs: Any, dtype: Any, limit: float, without: tuple[str, ...] = ()) -> Difference:
    """The difference of two trees of updates, also in ULP of a dtype; entries that are not finite count as equal.

    `without` names cases and leaves that are not compared.
    """
    worst, ulps, parted = 0.0, 0.0, []
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True):
        relative, ulp = _differences(a, b, dtype)
        if not relative.size or tree.path_string(path).strip("[']") in without:
            continue
        left_out = [i for i, name in enumerate(CASES) if name in without]
        relative[left_out], ulp[left_out] = 0, 0
        worst, ulps = max(worst, relative.max()), max(ulps, ulp.max())
        for case, name in enumerate(CASES):
            beyond = np.flatnonzero(relative[case] > limit)
            parted += [(int(beyond[0]), name, tree.path_string(path))] if beyond.size else []
    first = min(parted, default=None)
    return Difference(float(worst), float(ulps), first and (first[1], first[0], first[2]))


def _differences(a: np.ndarray, b: np.ndarray, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """The largest relative and ULP difference of one leaf, (cases, steps) each."""
    wide = np.complex128 if np.iscomplexobj(b) else np.float64
    a, b = (np.asarray(x, wide).reshape(*x.shape[:2], -1) for x in (a, b))
    if not a.shape[-1]:
        return np.zeros((0, 0)), np.zeros((0, 0))
    finite = np.isfinite(a) & np.isfinite(b)
    same = (a == b) | (~np.isfinite(a) & ~np.isfinite(b))
    with np.errstate(invalid="ignore"):
        gap = np.where(same, 0, np.where(finite, np.abs(a - b), np.inf))
    size = np.where(finite, np.abs(np.where(finite, b, 0)), 0).max(axis=-1)
    recent = np.stack([np.pad(size, ((0, 0), (lag, 0)))[:, : size.shape[1]] for lag in range(RECENT)])
    scale = np.maximum(recent.max(axis=0), float(jnp.finfo(dtype).tiny))
    unit = np.exp2(np.floor(np.log2(scale)) - jnp.finfo(dtype).nmant)
    with np.errstate(over="ignore"):
        return gap.max(axis=-1) / scale, gap.max(axis=-1) / unit


def lost_descent(ours: Any, truth: Any, grads: Any, without: tuple[str, ...] = ()) -> Difference:
    """The largest share, over the cases, of the oracle's descent that ours lacks; infinite if only ours is not finite.

    Descent is the mean over the steps of -cos(u, g), for all leaves together, as long as the squares of the oracle's updates
    are finite in float32; cases in which the oracle hardly descends do not count.
    """
    (mine, fine), (right, known) = (_slopes(updates, grads) for updates in (ours, truth))
    known &= _within_reach(truth)
    worst = Difference(0.0, float("nan"), None)
    for case, name in enumerate(CASES):
        seen = known[case]
        if name in without or not seen.any():
            continue
        broken = np.flatnonzero(seen & ~fine[case])
        wanted, got = right[case][seen].mean(), np.where(fine[case], mine[case], 0)[seen].mean()
        lost = np.inf if broken.size else 1 - got / wanted if wanted < -0.1 else 0.0
        if lost > worst.relative:
            worst = Difference(float(lost), float("nan"), (name, int(broken[0]) if broken.size else 0, "all leaves"))
    return worst


def _slopes(updates: Any, grads: Any) -> tuple[np.ndarray, np.ndarray]:
    """(cos(u, g), whether both are finite), (cases, steps) each."""
    grads = grads if _alike(updates, grads) else jax.tree.map(_mean, grads)
    updates, grads = _flat(updates), _flat(grads)
    with np.errstate(all="ignore"):
        unit = [x / np.maximum(np.abs(x).max(axis=-1, keepdims=True), 1e-300) for x in (updates, grads)]
        unit = [x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-300) for x in unit]
        return (unit[0] * unit[1]).sum(axis=-1), np.isfinite(updates).all(axis=-1) & np.isfinite(grads).all(axis=-1)


def _within_reach(updates: Any) -> np.ndarray:
    """Whether no update so far has had an entry whose square overflows float32, (cases, steps)."""
    largest = np.abs(_flat(updates)).max(axis=-1)
    return np.logical_and.accumulate(largest < float(jnp.finfo(jnp.float32).max) ** 0.5, axis=1)


def _flat(tree: Any) -> np.ndarray:
    leaves = [np.asarray(x, np.float64) for x in jax.tree.leaves(tree)]
    return np.concatenate([x.reshape(*x.shape[:2], -1) for x in leaves], axis=-1)


def _alike(a: Any, b: Any) -> bool:
    return all(np.shape(x) == np.shape(y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def _mean(per_example: Any) -> Any:
    return np.asarray(per_example, np.float64).mean(axis=2)
