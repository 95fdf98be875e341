"""The laws of runs on several devices, checked by `check_placement`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls import as_optimizer, data_of
from gdjax.laws.check import Laws, Needs, Report, run
from gdjax.programs import compile_once
from gdjax.training import Placement, Step, evaluation_params, make_epoch, make_state, make_step
from gdjax.types import Batch, Metrics, Params, TrainState

LAWS = Laws()
UNITS = 10  # how many times the effect of one unit in the last place another sum may have
NEAR = 1e-10  # what is near enough in any case


@dataclasses.dataclass
class Trial:
    """A run, on one device and where a placement says."""

    step: Step
    params: Params
    optimizer: Any
    data: Batch
    placement: Placement
    batch_size: int
    steps: int
    model_state: Any
    key: Any

    def begin(self, placement: Placement | None, params: Params) -> TrainState:
        return make_state(params, self.optimizer, self.key, self.model_state, placement=placement)

    def train(self, placement: Placement | None, params: Params) -> tuple[TrainState, Metrics]:
        """The state after the steps, and the mean metrics."""
        epoch = make_epoch(self.step, self.batch_size, steps=self.steps, placement=placement)
        data = self.data if placement is None else placement.put_rows(self.data)
        return compile_once(epoch)(self.begin(placement, params), data)

    @functools.cached_property
    def alone(self) -> Any:
        return _shown(*self.train(None, self.params))

    @functools.cached_property
    def placed(self) -> tuple[TrainState, Metrics]:
        return self.train(self.placement, self.params)

    @property
    def limit(self) -> float:
        """How far from one device is near enough."""
        moved = _shown(*self.train(None, jax.tree.map(_move, self.params)))
        eps = max(float(jnp.finfo(x.dtype).eps) for x in jax.tree.leaves(self.placed[0].params))
        return max(NEAR, UNITS * _distance(moved, self.alone)[0], UNITS * self.steps * eps)


def check_placement(
    loss: Any,
    params: Params,
    optimizer: Any,
    data: Batch,
    placement: Placement,
    *,
    batch_size: int = 64,
    steps: int = 20,
    model_state: Any = (),
    key: Any = 0,
    exceptions: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
    all: bool = False,
) -> Report:
    """Test that a run of your own loss and optimizer on several devices is the run on one.

    Eight devices of a CPU will do: XLA_FLAGS=--xla_force_host_platform_device_count=8. A batch that they do not divide shows
    more than one that they do; in float64, `jax_enable_x64`, all that is compared agrees to 1e-10 unless the run multiplies
    what rounding leaves.

    Args:
        loss, params, optimizer, data: as for `fit`; a step of `make_step` in place of the loss has microbatches too.
        placement: of `gd.placement`.
        batch_size: rows per step.
        steps: updates after which the two runs are compared.
        model_state, key: as for `fit`.
        exceptions, only, all: as in `check_optimizer`.

    Raises: LawBroken.

    >>> from gdjax import laws
    >>> place = gd.placement(jax.make_mesh((1,), ("data",)))
    >>> loss, x = gd.per_example(lambda w, x: (w - x) ** 2), jnp.arange(10.0)
    >>> print(laws.check_placement(loss, jnp.float32(0.5), gd.adam(0.1), x, place, batch_size=4))
    adam(0.1) on 1 device: 3 laws hold, 0 are broken
    """
    exceptions = exceptions or {}
    step = loss if isinstance(loss, Step) else make_step(loss)
    trial = Trial(step, params, optimizer, data, placement, batch_size, steps, model_state, key)
    number = placement.mesh.size
    name = f"{as_optimizer(optimizer)!r} on {number} device{'s' * (number > 1)}"
    words = f"{steps} steps of {batch_size} rows, mesh {dict(placement.mesh.shape)}"

    def trials() -> Iterator[tuple[str, Trial]]:
        yield words, trial

    return run(LAWS.pick(only, exceptions), name, trials, exceptions, all)


@LAWS.law("one device", "parameters, model state and mean metrics must be those of one device, to rounding")
def _one_device(trial: Trial) -> None:
    if trial.placement.rows == "local":
        raise Needs("rows in the order of one device: rows='replicated' or 'sharded'")
    far, path = _distance(_shown(*trial.placed), trial.alone)
    limit = trial.limit
    assert far <= limit, f"{path} differs by {far:.1e} of its largest entry, more than {limit:.1e}"


@LAWS.law("again", "a second run must equal the first to the last bit")
def _again(trial: Trial) -> None:
    again = trial.train(trial.placement, trial.params)
    for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(trial.placed), jax.tree.leaves(again), strict=True):
        same = np.asarray(data_of(x)).tobytes() == np.asarray(data_of(y)).tobytes()
        assert same, f"{jax.tree_util.keystr(path)} is another"


@LAWS.law("stays", "every leaf of the state must lie after the steps where it lay before them")
def _stays(trial: Trial) -> None:
    before = jax.tree_util.tree_leaves_with_path(trial.begin(trial.placement, trial.params))
    for (path, x), y in zip(before, jax.tree.leaves(trial.placed[0]), strict=True):
        where = f"{jax.tree_util.keystr(path)}: {x.sharding} before, {y.sharding} after"
        assert x.sharding.is_equivalent_to(y.sharding, x.ndim), where


def _shown(state: TrainState, metrics: Metrics) -> Any:
    return {
        "params": state.params,
        "evaluation_params": evaluation_params(state),
        "model_state": state.model_state,
        "metrics": metrics,
    }


def _move(x: Any) -> Any:
    """Every entry by one unit in the last place, up or down in turn."""
    if not isinstance(x, (jax.Array, np.ndarray, float)):  # what a foreign module holds beside its arrays
        return x
    x = jnp.asarray(x)
    up = (jnp.arange(x.size) % 2 == 0).reshape(x.shape)
    real, direction = jnp.real(x), jnp.where(up, jnp.inf, -jnp.inf)
    moved = jnp.nextafter(real, direction.astype(real.dtype))
    return jax.lax.complex(moved, jnp.imag(x)) if jnp.iscomplexobj(x) else moved


def _distance(a: Any, b: Any) -> tuple[float, str]:
    """(max |a - b| / max |b|, path) of the leaf in which it is largest; inf where only one of two entries is finite."""

    def one(path: Any, x: Any, y: Any) -> tuple[float, str]:
        x, y = (np.asarray(data_of(z)).astype(complex) for z in (x, y))
        far = np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0, np.abs(x - y))
        size = np.max(np.abs(y), initial=0)
        relative = float(np.max(far, initial=0) / (size if size > 0 else 1))
        return (relative if np.isfinite(relative) else np.inf), jax.tree_util.keystr(path)

    pairs = zip(jax.tree_util.tree_leaves_with_path(a), jax.tree.leaves(b), strict=True)
    return max((one(path, x, y) for (path, x), y in pairs), default=(0.0, ""))
