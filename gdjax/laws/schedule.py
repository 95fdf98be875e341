"""The laws of schedules, checked by `check_schedule`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls.node import Node
from gdjax.laws.check import Case, Laws, Needs, Report, run

LAWS = Laws()
_LATE = (2**24, 2**31 - 1)


@dataclasses.dataclass
class _Trial:
    schedule: Callable[[Any], Any]
    steps: np.ndarray
    with_numbers: Callable[..., Any] | None
    numbers: dict[str, Any]

    def alone(self, step: Any) -> float:
        return float(self.schedule(step))

    def values_at(self, steps: Any) -> np.ndarray:
        """Values at steps by one compiled program; the numbers of a node are its arguments."""
        static, node = (None, self.schedule) if isinstance(self.schedule, Node) else (self.schedule, None)
        return np.asarray(_vmapped(static, node, jnp.asarray(steps, jnp.int32)))


def _many(static: Any, node: Any, steps: jax.Array) -> jax.Array:
    return jax.vmap(lambda step: jnp.asarray((node if static is None else static)(step), float))(steps)


_vmapped = jax.jit(_many, static_argnums=0)


def check_schedule(
    schedule: Callable[[Any], Any],
    *,
    steps: Collection[int] = (0, 1, 2, 3, 5, 8, 13, 21, 100),
    with_numbers: Callable[..., Any] | None = None,
    numbers: Mapping[str, float] | None = None,
    exceptions: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
    all: bool = False,
) -> Report:
    """Test the laws of schedules on a schedule of gdjax or Optax, or any function of the step.

    Args:
        schedule: step -> value.
        steps: steps >= 0 at which it is evaluated.
        with_numbers, numbers: the factory, and its numbers by name, for the law that each may be traced. A schedule of gdjax
            needs neither.
        exceptions, only, all: as in `check_optimizer`.

    Raises: LawBroken.

    >>> from gdjax import laws
    >>> bool(laws.check_schedule(gd.schedules.cosine(0.1, 100), only=["scalar", "finite"]))
    True
    """
    if not callable(schedule):
        raise TypeError(f"check_schedule: schedule must be a function of the step, got {schedule!r}")
    exceptions = exceptions or {}
    canonical: Any = schedule.canonicalize() if isinstance(schedule, Node) else schedule

    def trials() -> Iterator[tuple[str, _Trial]]:
        yield "", _Trial(canonical, np.asarray(sorted(steps)), with_numbers, dict(numbers or {}))

    name = repr(schedule) if isinstance(schedule, Node) else getattr(schedule, "__qualname__", repr(schedule))
    return run(LAWS.pick(only, exceptions), name, trials, exceptions, all)


@LAWS.law("scalar", "The value at each step is one real number.")
def _scalar(trial: _Trial) -> None:
    for step in (0, jnp.asarray(1, jnp.int32)):
        value = trial.schedule(step)
        shape, dtype = jnp.shape(value), jnp.result_type(value)
        if shape != () or not jnp.issubdtype(dtype, jnp.floating):
            raise Case(f"step {step}", f"{value!r}, of shape {shape} and {dtype}")


@LAWS.law("pure", "The same step gives the same value, whichever steps were evaluated before.")
def _pure(trial: _Trial) -> None:
    there, back = ([trial.alone(int(s)) for s in steps] for steps in (trial.steps[:4], trial.steps[:4][::-1]))
    for step, one, other in zip(trial.steps, there, back[::-1], strict=False):
        if not one == other:
            raise Case(f"step {step}", f"first {one}, then {other}")


@LAWS.law("traced", "Compiled, and under a `vmap` over steps, it gives the same values as alone.")
def _trace(trial: _Trial) -> None:
    for step, value in zip(trial.steps, trial.values_at(trial.steps), strict=True):
        if not np.isclose(value, trial.alone(int(step)), rtol=1e-5, atol=1e-7, equal_nan=True):
            raise Case(f"step {step}", f"{value} compiled, {trial.alone(int(step))} alone")


@LAWS.law("finite", "It is finite at every step, up to the last that an int32 can count.")
def _finite(trial: _Trial) -> None:
    steps = np.asarray([*trial.steps, *_LATE])
    for step, value in zip(steps, trial.values_at(steps), strict=True):
        if not np.isfinite(value):
            raise Case(f"step {step}", f"{value}")


@LAWS.law("numbers", "Each of its numbers may be traced, so that it can be swept and differentiated.")
def _numbers(trial: _Trial) -> None:
    node = trial.schedule if isinstance(trial.schedule, Node) else None
    if node is None and trial.with_numbers is None:
        raise Needs("with_numbers, the factory, and numbers")
    leaves, structure = jax.tree.flatten(trial.numbers if node is None else node)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(structure.unflatten(leaves))]
    steps = jnp.asarray(trial.steps, jnp.int32)
    for k, path in enumerate(paths):

        def values(x: Any, k: int = k) -> jax.Array:
            tree = structure.unflatten([*leaves[:k], x, *leaves[k + 1 :]])
            return jax.vmap(lambda s: jnp.asarray(_make(trial, tree)(s), float))(steps)

        try:
            found, slopes = jax.jit(lambda x, f=values: (f(x), jax.jacfwd(f)(x)))(jnp.asarray(leaves[k], float))
        except Exception as error:
            raise Case(f"{path.strip('.[]')!r} traced", error) from error
        expected = trial.values_at(trial.steps)
        if not (np.allclose(found, expected, rtol=1e-5, atol=1e-6) and np.isfinite(slopes).all()):
            raise Case(f"{path.strip('.[]')!r} traced", f"values {found}, alone {expected}, derivatives {slopes}")


def _make(trial: _Trial, numbers: Any) -> Callable[[Any], Any]:
    if isinstance(numbers, Node):
        return numbers  # type: ignore[return-value]
    assert trial.with_numbers is not None
    return trial.with_numbers(**numbers)
