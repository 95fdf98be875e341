"""The laws of models, checked by `check_model`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls.node import Node
from gdjax.laws.check import Case, Laws, Needs, Report, run

LAWS = Laws()
_BATCH = (2, 3)
WEIGHT = np.array([1, 0, 2, 1, 0, 1], np.float32)  # of six rows


@dataclasses.dataclass
class _Trial:
    model: Any
    x: Any  # one example
    key: jax.Array

    @functools.cached_property
    def params(self) -> Any:
        """Random parameters like the model's, since weights that are initialized to zero would hide errors."""
        return _draw(jax.eval_shape(self.model.init, self.key), 1)

    @functools.cached_property
    def examples(self) -> Any:
        """A batch of batches of examples like x."""
        return _draw(jax.tree.map(lambda x: jax.ShapeDtypeStruct((*_BATCH, *x.shape), x.dtype), self.x), 2, self.x)

    @functools.cached_property
    def observations(self) -> Any:
        """(outputs of the batch, those of each example, gradients), compiled."""

        def observe(params: Any, xs: Any) -> Any:
            singles = jax.vmap(jax.vmap(lambda x: self.outputs(params, x)))(xs)
            total = lambda params: sum(jnp.sum(y * y) for y in jax.tree.leaves(self.outputs(params, xs)))  # noqa: E731
            return self.outputs(params, xs), singles, jax.grad(total)(params)

        return jax.jit(observe)(self.params, self.examples)

    def outputs(self, params: Any, x: Any) -> Any:
        """Without a key; of a model with a state those of its initial one."""
        if getattr(self.model, "has_state", False):
            return self.model.apply_with_state(params, self.model.init_state(), x)[0]
        return self.model.apply(params, x)

    @property
    def rows(self) -> Any:
        """The examples, as rows of one batch."""
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), self.examples)

    @functools.cached_property
    def steps(self) -> dict[str, tuple[Any, Any]]:
        """name -> (outputs, state) of a model with a state, compiled: with keys and without."""
        if not getattr(self.model, "has_state", False):
            raise Needs("a model with a state")

        def observe(params: Any, rows: Any, weight: jax.Array) -> dict[str, tuple[Any, Any]]:
            apply, first = functools.partial(self.model.apply_with_state, params), self.model.init_state()
            other = jax.tree.map(functools.partial(_spoil, weight), rows)
            trained = apply(first, rows, self.key, weight)
            return {
                "trained": trained,
                "again": apply(first, rows, self.key, weight),
                "other rows of weight 0": apply(first, other, self.key, weight),
                "no weights": apply(first, rows, self.key),
                "equal weights": apply(first, rows, self.key, 2 * jnp.ones(weight.shape)),
                "no row counts": apply(trained[1], rows, self.key, 0 * weight),
                "evaluated": apply(trained[1], rows),
                "rows alone": jax.vmap(lambda row: apply(trained[1], row))(rows),
            }

        return jax.jit(observe)(self.params, self.rows, WEIGHT)


def _spoil(weight: jax.Array, x: jax.Array) -> jax.Array:
    """Rows of which those of weight 0 hold something else: NaN, or the integers of the first."""
    wrong = jnp.nan if jnp.issubdtype(x.dtype, jnp.floating) else x[0]
    return jnp.where(jnp.expand_dims(weight != 0, tuple(range(1, x.ndim))), x, wrong)


def _draw(tree: Any, seed: int, like: Any = None) -> Any:
    """A tree of these shapes with normal numbers; integers are those of `like`, repeated."""
    rng = np.random.default_rng(seed)
    like = tree if like is None else like

    def draw(x: Any, old: Any) -> jax.Array:
        if jnp.issubdtype(x.dtype, jnp.floating):
            return jnp.asarray(rng.normal(size=x.shape), x.dtype)
        return jnp.broadcast_to(old, x.shape)

    return jax.tree.map(draw, tree, like)


def check_model(
    model: Any,
    x: Any,
    *,
    key: jax.Array | None = None,
    exceptions: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
    all: bool = False,
) -> Report:
    """Test the laws of models on a model: `init(key) -> params`, `apply(params, x, key=None) -> y`.

    Args:
        x: one example, without a batch axis; only its shape and dtype are used for floating entries.
        key: the key of `init` (default: `jax.random.key(0)`).
        exceptions, only, all: as in `check_optimizer`.

    Raises: LawBroken.

    >>> from gdjax import laws
    >>> bool(laws.check_model(gd.models.dense(3, 2), jnp.ones(3), only=["params", "batch"]))
    True
    """
    if not (hasattr(model, "init") and hasattr(model, "apply")):
        raise TypeError(f"check_model: model must have init and apply, got {model!r}")
    exceptions, key = exceptions or {}, jax.random.key(0) if key is None else key
    x = jax.tree.map(jnp.asarray, x)

    def trials() -> Iterator[tuple[str, _Trial]]:
        yield f"x of shape {jax.tree.map(jnp.shape, x)}", _Trial(model, x, key)

    name = repr(model) if isinstance(model, Node) else type(model).__qualname__
    return run(LAWS.pick(only, exceptions), name, trials, exceptions, all)


@LAWS.law("params", "init gives a tree of floating arrays, all finite.")
def _params(trial: _Trial) -> None:
    for path, x in jax.tree.leaves_with_path(trial.model.init(trial.key)):
        if not (isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jnp.inexact) and np.isfinite(x).all()):
            raise Case(f"params{jax.tree_util.keystr(path)}", repr(x))


@LAWS.law("key", "The same key gives the same parameters, compiled or not; another key gives others, except constants.")
def _key(trial: _Trial) -> None:
    one, again = trial.model.init(trial.key), trial.model.init(trial.key)
    chex.assert_trees_all_equal(one, again)
    compiled, other = jax.jit(lambda keys: [trial.model.init(key) for key in keys])([trial.key, _next(trial.key)])
    chex.assert_trees_all_close(compiled, one, rtol=1e-5, atol=1e-6)
    for (path, a), b in zip(jax.tree.leaves_with_path(one), jax.tree.leaves(other), strict=True):
        if a.size > 1 and np.ptp(np.asarray(a, np.float64)) > 0 and np.array_equal(a, b):
            raise Case(f"params{jax.tree_util.keystr(path)} of two keys", f"the same numbers {a}")


def _next(key: jax.Array) -> jax.Array:
    return jax.random.fold_in(key, 1)


@LAWS.law("eager", "Compilation does not change the results.")
def _eager(trial: _Trial) -> None:
    eager = trial.outputs(trial.params, trial.examples)
    chex.assert_trees_all_close(trial.observations[0], eager, rtol=1e-4, atol=1e-5)


@LAWS.law("pure", "Without a key nothing is random; with one, the same key gives the same outputs.")
def _pure(trial: _Trial) -> None:
    for key, words in ((None, "without a key"), (trial.key, "with a key")):
        if key is None:
            once, again = (trial.outputs(trial.params, trial.x) for _ in range(2))
        elif getattr(trial.model, "has_state", False):
            once, again = trial.steps["trained"], trial.steps["again"]
        else:
            once, again = (trial.model.apply(trial.params, trial.x, key) for _ in range(2))
        try:
            chex.assert_trees_all_equal(once, again)
        except AssertionError as error:
            raise Case(words, error) from error


@LAWS.law("batch", "Leading axes are free: the outputs of a batch are those of each example alone.")
def _batch(trial: _Trial) -> None:
    batch, singles, _ = trial.observations
    chex.assert_trees_all_close(batch, singles, rtol=1e-4, atol=1e-5)


@LAWS.law(
    "state", "The state follows the key: with one it moves and keeps its shapes; without, it stays and rows are alone."
)
def _state(trial: _Trial) -> None:
    (_, trained), (y, evaluated), (alone, _) = (trial.steps[x] for x in ("trained", "evaluated", "rows alone"))
    first = trial.model.init_state()
    chex.assert_trees_all_equal_shapes_and_dtypes(first, trained)
    chex.assert_tree_all_finite(trained)
    if all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(trained), strict=True)):
        raise Case("the state after a batch with a key", f"{trained}, as before")
    chex.assert_trees_all_equal(evaluated, trained)
    chex.assert_trees_all_close(y, alone, rtol=1e-4, atol=1e-5)


@LAWS.law(
    "weight",
    "A row of weight 0 counts in nothing, NaN or not; where all weigh 0 the state stays; equal weights are none.",
)
def _weight(trial: _Trial) -> None:
    (y, state), (other, after) = trial.steps["trained"], trial.steps["other rows of weight 0"]
    counted = lambda y: jax.tree.map(lambda y: y[WEIGHT != 0], y)  # noqa: E731
    chex.assert_trees_all_equal((counted(y), state), (counted(other), after))
    chex.assert_trees_all_equal(trial.steps["no row counts"][1], state)
    chex.assert_trees_all_close(trial.steps["equal weights"], trial.steps["no weights"], rtol=1e-4, atol=1e-5)


@LAWS.law("gradients", "Gradients are finite and reach every parameter.")
def _gradients(trial: _Trial) -> None:
    for path, x in jax.tree.leaves_with_path(trial.observations[2]):
        if x.size and not (np.isfinite(x).all() and np.any(np.asarray(x) != 0)):
            raise Case(f"the gradient by params{jax.tree_util.keystr(path)}", x)


@LAWS.law("dtype", "Outputs have the dtype of parameters and inputs: bfloat16, float32 or float64.")
def _dtype(trial: _Trial) -> None:
    has_mask = any(x.dtype == bool for x in jax.tree.leaves(trial.x))
    with jax.enable_x64(True):
        for dtype in (jnp.bfloat16, jnp.float32, jnp.float64):
            params, x = jax.tree.map(lambda p, d=dtype: _as(p, d), (trial.params, trial.x))
            for y in jax.tree.leaves(jax.eval_shape(trial.outputs, params, x)):
                if y.dtype != dtype and not (y.dtype == bool and has_mask):  # which is handed on
                    raise Case(f"parameters and input of {jnp.dtype(dtype)}", f"an output of {y.dtype}")


def _as(x: Any, dtype: Any) -> Any:
    return jax.ShapeDtypeStruct(x.shape, dtype if jnp.issubdtype(x.dtype, jnp.floating) else x.dtype)
