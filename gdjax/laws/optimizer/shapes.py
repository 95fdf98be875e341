"""Laws about structure, shapes and dtypes, most of which are checked without computing a number."""

from __future__ import annotations

from typing import Any

import chex
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdjax.laws import strategies
from gdjax.laws.check import Case, Laws
from gdjax.laws.optimizer.trial import REFUSED, Trial, advance, comparable, gradients, objective, shapes
from gdjax.types import Evaluation

LAWS = Laws()
PAIRS = [  # of parameters and gradients
    (jnp.bfloat16, jnp.bfloat16),
    (jnp.float16, jnp.float16),
    (jnp.float32, jnp.bfloat16),
    (jnp.bfloat16, jnp.float32),
    (jnp.complex64, jnp.complex64),
]


@LAWS.law("updates", "Updates are a tree like the parameters: of their structure, shapes and dtypes.")
def _updates(trial: Trial) -> None:
    state = trial.optimizer.init(trial.params)
    updates = jax.eval_shape(lambda p: trial.update(gradients(p), state, p)[0], trial.params)
    chex.assert_trees_all_equal_shapes_and_dtypes(updates, trial.params)


@LAWS.law("state", "The state is a tree of arrays, whose structure, shapes and dtypes no update changes.")
def _state(trial: Trial) -> None:
    state = trial.optimizer.init(trial.params)
    strange = [x for x in jax.tree.leaves(state) if not isinstance(x, (jax.Array, np.ndarray, float, int, complex))]
    assert not strange, f"init gives leaves that are no arrays: {strange}"
    for i in range(2):
        new = jax.eval_shape(lambda s, p, i=i: trial.update(gradients(p, i), s, p, i), state, trial.params)[1]
        _same_kind(new, jax.eval_shape(lambda s: s, state))
        state = new


def _same_kind(new: Any, old: Any) -> None:
    assert jax.tree.structure(new) == jax.tree.structure(old), f"{shapes(old)} becomes {shapes(new)}"
    chex.assert_trees_all_equal_shapes_and_dtypes(new, old)


ODD_TREES: list[Any] = [
    jnp.float32(0.5),
    {},
    jnp.arange(1.0, 7.0).reshape(3, 2),
    {
        "a": [None, {"w": jnp.ones((2, 2)), "b": (None, jnp.ones(3))}],
        "e": (),
        "f": jnp.zeros((0, 3)),
        "g": jnp.zeros(0),
    },
]


@LAWS.law("trees", "Any tree of arrays is parameters: bare arrays, deep trees, None, empty leaves, no leaf at all.")
def _trees(trial: Trial) -> None:
    for params in ODD_TREES:
        _takes(trial, params)
    if trial.examples:

        @hypothesis.settings(strategies.DRAWS, max_examples=trial.examples)
        @hypothesis.given(strategies.trees())
        def takes_any(params):
            _takes(trial, params)

        takes_any()


def _takes(trial: Trial, params: Any) -> None:
    try:
        state = jax.eval_shape(trial.optimizer.init, params)
        updates, new = jax.eval_shape(lambda s, p: trial.update(p, s, p), state, params)
        chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)
        _same_kind(new, state)
    except Exception as error:
        raise Case(f"parameters {shapes(params)}", error) from error


@LAWS.law(
    "carry",
    "Parameters and state may be carried by `scan`: whatever the dtypes of parameters and gradients, both keep theirs.",
)
def _carry(trial: Trial) -> None:
    for param_dtype, grad_dtype in PAIRS:
        params, grads = (jax.tree.map(lambda x, d=d: x.astype(d), trial.params) for d in (param_dtype, grad_dtype))
        try:
            state = jax.eval_shape(trial.optimizer.init, params)
            new = jax.eval_shape(
                lambda g, s, p: advance(trial.optimizer, g, s, p, 0, 1.0, trial.per_example), grads, state, params
            )
        except REFUSED as error:
            if jnp.issubdtype(param_dtype, jnp.complexfloating):
                continue  # complex parameters may be refused
            raise Case(_pair(param_dtype, grad_dtype), error) from error
        try:
            chex.assert_trees_all_equal_shapes_and_dtypes(new[1], params)
            _same_kind(new[2], state)
        except AssertionError as error:
            raise Case(_pair(param_dtype, grad_dtype), error) from error


def _pair(params: Any, grads: Any) -> str:
    return f"parameters of {jnp.dtype(params)}, gradients of {jnp.dtype(grads)}"


@LAWS.law("extra arguments", "Extra arguments that it does not know are ignored.")
def _extra(trial: Trial) -> None:
    params = trial.params
    state = jax.eval_shape(trial.optimizer.init, params)
    grads = jax.tree.map(lambda p: jnp.stack([p, p]), params) if trial.per_example else params
    extra = {
        "value": 1.0,
        "grad": grads,
        "value_fn": objective,
        "weight": 3,
        "evaluation": Evaluation(jnp.ones(()), jnp.zeros((), jnp.int32)),
        "other": 1,
    }
    update = optax.with_extra_args_support(trial.optimizer).update
    updates, _ = jax.eval_shape(lambda g, s, p: update(g, s, p, **extra), grads, state, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)


@LAWS.law("composes", "It works inside Optax's chain, masked, multi_transform, MultiSteps and apply_if_finite.")
def _composes(trial: Trial) -> None:
    node, params = trial.optimizer, {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    several = optax.MultiSteps(node, 2)
    around = {
        "chain": optax.chain(optax.clip(1.0), node),
        "masked": optax.masked(node, {"w": True, "b": False}),
        "multi_transform": optax.multi_transform({"it": node, "not": optax.set_to_zero()}, {"w": "it", "b": "not"}),
        "apply_if_finite": optax.apply_if_finite(node, 3),
        "MultiSteps": optax.GradientTransformationExtraArgs(several.init, several.update),  # type: ignore[arg-type]
    }
    evaluation = Evaluation(jnp.ones(()), jnp.zeros((), jnp.int32))
    extra = {"value": jnp.ones(()), "value_fn": lambda p: objective(p), "grad": params, "evaluation": evaluation}
    for name, transformation in around.items():
        update = optax.with_extra_args_support(transformation).update
        try:
            state = jax.eval_shape(transformation.init, params)
            updates, _ = jax.eval_shape(lambda g, s, p, u=update: u(g, s, p, **extra), params, state, params)
            chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)
        except Exception as error:
            raise Case(f"inside optax.{name}", error) from error


@LAWS.law(
    "donated",
    "A fresh state may be donated: its leaves are in buffers of their own, not a parameter's or another state's.",
)
def _donation(trial: Trial) -> None:
    states = [trial.optimizer.init(trial.params) for _ in range(2)]
    named = jax.tree.leaves_with_path({"state": states[0], "another fresh state": states[1], "params": trial.params})
    named += jax.tree.leaves_with_path(trial.optimizer)  # the numbers of a node
    places: dict[int, str] = {}
    for path, x in named:
        x = comparable(x)
        if not isinstance(x, jax.Array) or not x.size:
            continue
        name, place = jax.tree_util.keystr(path), x.unsafe_buffer_pointer()
        assert place not in places, f"{places[place]} and {name} are one buffer"
        places[place] = name
