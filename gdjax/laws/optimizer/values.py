"""Laws about the numbers of an update; all but `vmap` and `order` share one compiled program."""

from __future__ import annotations

import pickle
from typing import Any

import chex
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np

from gdjax.laws import strategies
from gdjax.laws.check import Case, Laws
from gdjax.laws.optimizer.trial import REFUSED, Trial, advance, comparable, gradients, is_key

LAWS = Laws()
_SEVERAL = 8  # steps within which every optimizer has made an update
_LAST = 2**31 - 1


@LAWS.law("pure", "An update changes none of its arguments, and the same arguments give the same update.")
def _pure(trial: Trial) -> None:
    given, before, after = trial.eager
    for name, old, new in zip(("gradients", "state", "parameters"), before, after, strict=True):
        same = jax.tree.structure(old) == jax.tree.structure(new)
        same = same and all(a is b for a, b in zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True))
        assert same, f"update changes the {name} that it is given"
    grads, state, params = before
    again = trial.update(grads, state, params, 1)
    chex.assert_trees_all_equal(comparable(again), comparable(given))


@LAWS.law("eager", "Compilation does not change an update.")
def _eager(trial: Trial) -> None:
    given, (grads, state, params), _ = trial.eager
    compiled = trial.compiled_update(grads, state, params, 1)
    chex.assert_trees_all_close(comparable(compiled), comparable(given), rtol=1e-4, atol=1e-6)


@LAWS.law(
    "descends", "The first step that changes the parameters goes downhill: its product with the gradient is negative."
)
def _descends(trial: Trial) -> None:
    params, state, grads = trial.params, trial.optimizer.init(trial.params), gradients(trial.params)
    slopes, sizes = [], []
    for i in range(_SEVERAL):
        new, state = trial.step(params, state, grads, i)
        steps = [np.asarray(n) - np.asarray(p) for n, p in zip(*map(jax.tree.leaves, (new, params)), strict=True)]
        slopes.append(sum(np.vdot(g, m) for g, m in zip(jax.tree.leaves(grads), steps, strict=True)))
        sizes.append(max(np.max(np.abs(m)) for m in steps))
        params = new
    assert max(sizes) > 0 and np.isfinite(sizes).all(), f"{_SEVERAL} steps move by at most {sizes}"
    first = next(i for i, size in enumerate(sizes) if size > 0.1 * max(sizes))  # before it, rounding or weight decay
    assert slopes[first] < 0, f"step {first} times the gradient is {slopes[first]}"


@LAWS.law("zero", "A zero gradient gives finite updates, at the first step and at later ones.")
def _zero(trial: Trial) -> None:
    for when, params, state in _starts(trial):
        updates, state = trial.compiled_update(jax.tree.map(jnp.zeros_like, params), state, params, 0, 0.0)
        _finite(when, updates)


@LAWS.law(
    "still", "At first a zero gradient changes no parameter, unless all of a leaf shrinks by one factor (weight decay)."
)
def _still(trial: Trial) -> None:
    zero = jax.tree.map(jnp.zeros_like, trial.params)
    updates, _ = trial.compiled_update(zero, trial.optimizer.init(trial.params), trial.params, 0, 0.0)
    for u, p in zip(*(map(np.asarray, jax.tree.leaves(x)) for x in (updates, trial.params)), strict=True):
        size = max(np.max(np.abs(p)), 1e-9) if p.size else 1.0
        factor = np.max(np.abs(u)) / size if u.size else 0.0
        if not (factor < 1 and np.allclose(u, -factor * p, rtol=1e-4, atol=1e-6 * size)):
            raise AssertionError(f"the update of a zero gradient is {u}, at parameters {p}")


def _starts(trial: Trial) -> list[tuple[str, Any, Any]]:
    """(when, params, state) at the first and at the second step."""
    return [
        ("at the first step", trial.params, trial.optimizer.init(trial.params)),
        ("at the second", *trial.first[:2]),
    ]


def _finite(case: str, updates: Any) -> None:
    if not all(np.isfinite(np.asarray(u)).all() for u in jax.tree.leaves(updates)):
        raise Case(case, f"updates {jax.tree.map(np.asarray, updates)}")


@LAWS.law("finite", "Finite gradients of any size give finite updates.")
def _any_size(trial: Trial) -> None:
    starts = _starts(trial)
    for when, params, state in starts:
        updates, _ = trial.compiled_update(gradients(params), state, params)
        _finite(f"{when}, gradients {gradients(params)}", updates)
    if trial.examples:

        @hypothesis.settings(strategies.DRAWS, max_examples=trial.examples)
        @hypothesis.given(strategies.gradients(trial.params), st.sampled_from(starts))
        def stays_finite(grads, start):
            when, params, state = start
            _finite(
                f"{when}, gradients {jax.tree.map(np.asarray, grads)}", trial.compiled_update(grads, state, params)[0]
            )

        stays_finite()


@LAWS.law("order", "The order of the leaves does not matter.")
def _order(trial: Trial) -> None:
    x = jnp.arange(6.0).reshape(3, 2)
    both = []
    for params in ({"a": x / 3, "b": jnp.cos(x)}, {"b": x / 3, "a": jnp.cos(x)}):
        state = trial.optimizer.init(params)
        for i in range(3):
            params, state = trial.step(params, state, gradients(params, i), i)
        both.append(params)
    try:
        one, other = both
        chex.assert_trees_all_close((one["a"], one["b"]), (other["b"], other["a"]), rtol=1e-4, atol=1e-6)
    except AssertionError as error:
        raise Case("two matrices of (3, 2) as {'a': x, 'b': y} and as {'a': y, 'b': x}, three steps", error) from error


@LAWS.law("vmap", "A `vmap` over parameters, states and learning rates is a loop over them.")
def _vmap(trial: Trial) -> None:
    rates = (0.001, 0.01, 0.1)
    rated = trial.at_rate if trial.with_rate is not None else lambda _: trial.optimizer
    lanes = []
    for k, rate in enumerate(rates):
        params = jax.tree.map(lambda p, k=k: (1 + 0.5 * k) * p, trial.params)
        optimizer = rated(rate)
        carry = trial.step(params, optimizer.init(params), gradients(params), 0, optimizer)
        lanes.append((optimizer, *carry, gradients(carry[0], 1)))
    stack = lambda column: jax.tree.map(lambda *leaves: jnp.stack(leaves), *column)  # noqa: E731
    update = lambda rate, params, state, grads: trial.update(grads, state, params, 1, 1.0, rated(rate))[0]  # noqa: E731
    columns = [stack(column) for column in zip(*(lane[1:] for lane in lanes), strict=True)]
    many = jax.jit(jax.vmap(update))(jnp.array(rates), *columns)
    for k, (optimizer, params, state, grads) in enumerate(lanes):
        alone = trial.compiled_update(grads, state, params, 1, 1.0, optimizer)[0]
        chex.assert_trees_all_close(jax.tree.map(lambda x, k=k: x[k], many), alone, rtol=1e-4, atol=1e-6)


@LAWS.law("counters", "No counter becomes negative: at 2^31 - 1 it stays or starts again, and updates stay finite.")
def _counters(trial: Trial) -> None:
    params, state, grads = trial.first
    late = jax.tree.map(lambda x: jnp.full_like(x, _LAST) if _is_counter(x) else x, state)
    for _ in range(2):
        updates, late = trial.compiled_update(grads, late, params, 1)
        counters = [int(x) for x in jax.tree.leaves(late) if _is_counter(x)]
        assert all(x >= 0 for x in counters), f"counters at {_LAST} become {counters}"
        _finite(f"counters at {_LAST}", updates)


def _is_counter(x: Any) -> bool:
    return not is_key(x) and jnp.shape(x) == () and jnp.result_type(x) == jnp.int32


@LAWS.law(
    "retrace", "No update compiles again: the state holds arrays only, none of them weakly typed, before and after it."
)
def _retrace(trial: Trial) -> None:
    for when, state in (("init", trial.optimizer.init(trial.params)), ("an update", trial.first[1])):
        for path, x in jax.tree.leaves_with_path(state):
            if isinstance(x, (bool, int, float, complex)):
                found = f"Python's {x!r}, which an update or a restored checkpoint makes an array"
            elif jax.typeof(x).weak_type:
                found = f"{jax.typeof(x)}, weakly typed, which an update or a restored checkpoint makes strongly typed"
            else:
                continue
            raise Case(f"state{jax.tree_util.keystr(path)} after {when}", found)


@LAWS.law("resume", "A state that is pickled and restored continues with the same bits.")
def _resume(trial: Trial) -> None:
    params, state, _ = trial.first
    kept = pickle.loads(pickle.dumps((params, state)))
    for i in range(1, 3):
        grads = gradients(params, i)
        params, state = trial.step(params, state, grads, i)
        kept = trial.step(kept[0], kept[1], grads, i)
    chex.assert_trees_all_equal(comparable((params, state)), comparable(kept))


@LAWS.law(
    "few bits", "Four steps on float16 parameters, and on complex ones, are finite, at entries of gradient 0 too."
)
def _few_bits(trial: Trial) -> None:
    starts = {}
    for dtype in ("float16", "complex64"):
        params = jax.tree.map(lambda x, d=dtype: x.astype(d), trial.params)
        try:
            jax.eval_shape(lambda p: trial.update(p, trial.optimizer.init(p), p), params)
        except REFUSED:
            continue
        starts[dtype] = params
    four = jax.jit(lambda starts: {dtype: _four_steps(trial, params) for dtype, params in starts.items()})
    for dtype, found in four(starts).items():
        if not all(np.isfinite(np.asarray(x, np.complex64)).all() for x in jax.tree.leaves(found)):
            raise Case(f"parameters of {dtype}", f"parameters {jax.tree.leaves(found)}")


def _four_steps(trial: Trial, params: Any) -> Any:
    grads = jax.tree.map(lambda x: x - 1, params)  # an entry of the matrix is 1
    grads = jax.tree.map(lambda g: g.at[(0,) * g.ndim].set(0), grads)

    def body(carry: Any, i: Any) -> Any:
        new = advance(trial.optimizer, grads, carry[1], carry[0], i % 2, 1.0, trial.per_example)
        return (new[1], new[2]), None

    return jax.lax.scan(body, (params, trial.optimizer.init(params)), jnp.arange(4))[0][0]
