"""A wrapper and its oracle on the same recorded gradients, each following its own updates.

A wrapper depends on its own path: averages are taken over it, and slow weights change it. So each starts at the recorded
start and follows its own updates. Compared are the updates, the parameters, the evaluated parameters, and the counters.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdjax import answers, tree
from gdjax.calls import Optimizer, as_optimizer
from gdjax.certify.measure import QUICKLY, plain
from gdjax.certify.oracles import ORACLES
from gdjax.certify.oracles.wrappers import WRAPPER_ORACLES
from gdjax.certify.oracles.wrappers.lift import Inner, WrapperInput
from gdjax.certify.suite import Recording

SHOWN = (  # counters of states
    *("mini_step", "gradient_step", "notfinite_count", "total_notfinite", "rate_scale"),
    *("skipped", "loss_scale", "good_steps"),
)
BURST = 7  # steps between two bursts of gradients that are not finite, as wrappers that skip are fed them


def smooth(params: Any) -> jax.Array:
    """The `value_fn` for wrappers that need one: sum sqrt(1 + |p|²), whose slope is at most 1."""
    return sum(jnp.sum(jnp.sqrt(1 + tree.abs_sq(p))) for p in jax.tree.leaves(params))  # type: ignore[return-value]


def ascent_of_smooth(params: list[np.ndarray]) -> list[np.ndarray]:
    return [p / np.sqrt(1 + np.abs(p) ** 2) for p in params]


def with_bursts(recording: Recording) -> Recording:
    """The recording with bursts of gradients that are not finite: 1 + i % 4 in a row in case i."""
    grads = dict(recording.grads)
    vector = grads["vector"].copy()
    for case in range(vector.shape[0]):
        for late in range(1 + case % 4):
            vector[case, 2 + late :: BURST, 1] = np.nan if case % 2 else np.inf
    return recording._replace(grads={**grads, "vector": vector})


def evaluations(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """(values, numbers) of evaluations at two of three steps: falling in waves, of either sign; one NaN, one a tie."""
    cases, steps = recording.values.shape
    number = 2 * np.arange(steps) // 3
    waving = 0.3 + 0.2 * np.sin(0.9 * number + np.arange(cases)[:, None]) - 0.5 * number / (number + 10)
    waving[:, number == 9] = waving[:, number < 9].min(axis=1, keepdims=True, initial=1.0)
    waving[:, number == 4] = np.nan
    return waving.astype(recording.values.dtype), np.broadcast_to(number, (cases, steps)).astype(np.int32)


def path_of(optimizer: Any, recording: Recording) -> dict[str, Any]:
    """The path of a wrapper on recorded gradients: name -> trees of (cases, steps, ...) NumPy."""
    found = _path_of(as_optimizer(optimizer).canonicalize(), recording, *evaluations(recording))
    return jax.tree.map(np.asarray, found)


@functools.partial(jax.jit, compiler_options=QUICKLY)
def _path_of(optimizer: Optimizer, recording: Recording, values: Any, numbers: Any) -> dict[str, Any]:
    def of_case(case: Any) -> Any:
        def body(carry, seen):
            params, state = carry
            grads, value, evaluated, number = seen
            updates, state = optimizer.update(
                grads, state, params, value=value, grad=grads, value_fn=smooth, evaluation=(evaluated, number)
            )
            params = optax.apply_updates(params, updates)
            return (params, state), {
                "updates": updates,
                "params": params,
                "evaluated": answers.evaluation_params(state, params),
                "shown": _counters(state),
            }

        params, grads, value, evaluated, number = case
        start = jax.tree.map(lambda x: x[0], params)
        return jax.lax.scan(body, (start, optimizer.init(start)), (grads, value, evaluated, number))[1]

    return jax.lax.map(of_case, (*recording, values, numbers))


def _counters(state: Any) -> dict[str, jax.Array]:
    shown = {}
    for name in SHOWN:
        for node in tree.nodes_with(state, name):
            shown[name] = jnp.asarray(getattr(node, name), float)
    return shown


def oracle_path(node: Optimizer, recording: Recording) -> dict[str, Any]:
    """The path of the oracle of a wrapper, computed in float64 or complex128 from the recorded bits."""
    structure = jax.tree.structure(recording.params)
    wide = lambda x: np.asarray(x, np.result_type(x.dtype, np.float64))  # noqa: E731
    starts = [wide(x[:, 0]) for x in jax.tree.leaves(recording.params)]
    grads = [wide(x) for x in jax.tree.leaves(recording.grads)]
    values, (waving, numbers) = wide(recording.values), evaluations(recording)
    cases, steps = values.shape
    inner = as_oracle(node, structure, steps)
    out = [[np.empty((cases, steps, *p.shape[1:]), p.dtype) for p in starts] for _ in range(3)]
    shown: dict[str, np.ndarray] = {}
    with np.errstate(all="ignore"):
        for case in range(cases):
            params = [p[case] for p in starts]
            generator = inner.oracle(params, **inner.arguments)
            next(generator)
            for step in range(steps):
                evaluation = (float(waving[case, step]), int(numbers[case, step]))
                now = [g[case, step] for g in grads]
                answer = generator.send(WrapperInput(now, params, values[case, step], evaluation, ascent_of_smooth))
                params = [p + u for p, u in zip(params, answer.updates, strict=True)]
                evaluated = params if answer.evaluated is None else answer.evaluated
                for kind, leaves in zip(out, (answer.updates, params, evaluated), strict=True):
                    for leaf, x in zip(kind, leaves, strict=True):
                        leaf[case, step] = x
                for name, x in answer.shown.items():
                    shown.setdefault(name, np.empty((cases, steps)))[case, step] = x
    kinds = {name: structure.unflatten(x) for name, x in zip(("updates", "params", "evaluated"), out, strict=True)}
    return {**kinds, "shown": shown}


def as_oracle(node: Any, structure: Any, steps: int) -> Any:
    """An argument of a wrapper in the form of its oracle: optimizers as oracles, others as in the oracles of optimizers."""
    if isinstance(node, Optimizer):
        name = node.recipe.name
        arguments = {
            key: plain(key, x, structure, steps) if not _holds_optimizers(x) else as_oracle(x, structure, steps)
            for key, x in node.arguments.items()
        }
        return Inner({**ORACLES, **WRAPPER_ORACLES}[name], arguments, name in WRAPPER_ORACLES)
    if isinstance(node, dict):
        return {key: as_oracle(x, structure, steps) for key, x in node.items()}
    return None if node is None else tuple(as_oracle(x, structure, steps) for x in node)


def _holds_optimizers(x: Any) -> bool:
    leaves = jax.tree.leaves(x, is_leaf=lambda x: isinstance(x, Optimizer))
    return any(isinstance(leaf, Optimizer) for leaf in leaves)
