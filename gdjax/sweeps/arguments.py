"""The arguments that the runs of a sweep have in common, and what a configuration makes of them."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import tree
from gdjax.calls import Condition, Model, Node, as_optimizer, is_number
from gdjax.domain import as_length
from gdjax.forms import Stateful
from gdjax.losses import PerExample, Supervised
from gdjax.sweeps.paths import replace, replace_by_columns
from gdjax.sweeps.space import grid
from gdjax.sweeps.study import init_key, run_key
from gdjax.training import Fitting, Length
from gdjax.types import Params


@dataclasses.dataclass(frozen=True, eq=False)
class Arguments:
    """What the runs of a sweep take besides their configuration: the arguments of `fit`."""

    loss: Any
    params: Any
    optimizer: Any
    data: Any
    validation: Any
    length: Length
    batch_size: int | None
    order: str
    stop: Condition | None
    monitor: Any
    evaluate: Any
    model_state: Any
    init_scale: float = 1.0
    keep_params: bool = False

    def roots(self, paths: Sequence[str]) -> dict[str, Any]:
        """What paths lead into; a model only if one of them says so, since its numbers are in the loss too."""
        has_model = any(path.split(".")[0] == "model" for path in paths)
        found = {"optimizer": as_optimizer(self.optimizer), "stop": self.stop, "loss": self.loss}
        found["model"] = self.params if isinstance(self.params, Model) else None
        found |= {"batch_size": self.batch_size, "init_scale": self.init_scale}
        left_out = {"stop"} if self.stop is None and "stop" not in paths else set()
        return {name: x for name, x in found.items() if name not in left_out and (name != "model" or has_model)}

    def configured(
        self, configuration: Mapping[str, Any], columns: Mapping[str, np.ndarray] | None = None
    ) -> Arguments:
        """The arguments of a run, with the values at these whole paths, which are checked; or with columns at some."""
        roots = self.roots([*configuration])
        made = replace_by_columns(roots, {**configuration, **columns}) if columns else replace(roots, configuration)
        if "model" in made:
            if not callable(self.loss) or isinstance(self.loss, (PerExample, Stateful, Supervised)):
                raise TypeError(
                    f"sweep: with an axis of models, loss must be a function model -> loss, got {self.loss!r}"
                )
            made["loss"], made["params"] = self.loss(made["model"]), made.pop("model")
        return dataclasses.replace(self, **made)

    def initial(self, seed: int) -> tuple[Any, Any]:
        """The initial parameters of a seed, and the model state."""
        return drawing_of(self.params)(init_key(seed)), first_model_state(self.params, self.model_state)

    def fitting(self, seed: int) -> Fitting:
        """The run of a seed, alone."""
        params, model_state = self.initial(seed)
        if self.init_scale != 1.0:
            params = jax.tree.map(
                lambda p: (p * self.init_scale).astype(p.dtype), jax.tree.map(jnp.asarray, tree.part(params))
            )
            params = tree.whole(params)
        return Fitting(
            self.loss,
            params,
            self.optimizer,
            self.data,
            self.validation,
            self.length,
            self.batch_size,
            self.order,
            self.stop,
            self.monitor,
            self.evaluate,
            model_state,
            run_key(seed),
            keep_best=self.keep_params,
        )


def draws(params: Any) -> bool:
    """Whether these are a model or a function of a key, and no tree that can be called, such as an Equinox module."""
    return isinstance(params, Model) or (callable(params) and not jax.tree.leaves(tree.part(params)))


def drawing_of(params: Any) -> Callable[[jax.Array], Params]:
    """The function of a key that gives initial parameters; of parameters, these."""
    return getattr(params, "init", params) if draws(params) else lambda _: params


def first_model_state(params: Any, given: Any) -> Any:
    """The initial model state: that of the model that draws the parameters, where it has one and none is given."""
    if isinstance(params, Model) and not jax.tree.leaves(given):
        return params.init_state()
    return given


def configurations_of(axes: Any) -> list[dict[str, Any]]:
    """The configurations of a grid, the last axis fastest; those of a list as they are."""
    if not isinstance(axes, Mapping) and not (isinstance(axes, Sequence) and all(isinstance(x, Mapping) for x in axes)):
        raise TypeError(f"sweep: axes must be a dict path -> values, or a list of dicts path -> value, got {axes!r}")
    found = grid(axes) if isinstance(axes, Mapping) else [dict(configuration) for configuration in axes]
    if not found:
        raise ValueError("sweep: axes must have at least one configuration, got none")
    for path in {path for each in found for path in each}:
        values = [each[path] for each in found if path in each]
        if shapes := [np.shape(x) for x in values if is_number(x) and np.ndim(x)]:
            raise ValueError(f"sweep: {path} must be a number in each configuration, got an array of shape {shapes[0]}")
    for path, values in axes.items() if isinstance(axes, Mapping) else ():
        if again := _repeated(values):
            raise ValueError(f"sweep: the values of {path} must differ, got {again[0]} twice")
    return found


def _repeated(values: Iterable[Any]) -> list[Any]:
    """The first value that came before, if there is one."""
    before: dict[Any, list[Any]] = {}
    for x in values:
        alike = before.setdefault(_kind(x), [])
        if x in alike:
            return [x]
        alike.append(x)
    return []


def _kind(x: Any) -> Any:
    """What equal values have in common, and few others: calls of one kind have one hash."""
    if isinstance(x, Node):
        return repr(x)
    try:
        with np.errstate(over="ignore"):  # equal numbers of two dtypes may differ in their hash, and not in float32
            return (np.float32(x) + 0).tobytes() if is_number(x) else hash(x)
    except (TypeError, OverflowError):
        return None


def seeds_of(seeds: Any, who: str = "sweep") -> list[int]:
    """The seeds, each once."""
    if isinstance(seeds, numbers.Integral):
        return list(range(as_length(who, "seeds", seeds)))
    if np.ndim(seeds) == 0 and hasattr(seeds, "dtype"):
        return seeds_of(np.asarray(seeds).item(), who)
    given = seeds if isinstance(seeds, Iterable) else ()
    found = [as_length(who, "seeds", seed, least=0) for seed in given]
    if not found or len(set(found)) < len(found) or max(found) >= 2**32:
        raise ValueError(f"{who}: seeds must be a number of them, or different whole numbers below 2^32, got {seeds!r}")
    return found
