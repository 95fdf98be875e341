"""Rules over all leaves as one vector: held against NumPy on the flat vector, and what the lift promises of any."""

import ast
import importlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdjax as gd
from gdjax import tree

FAMILIES = {"nadam": "adam", "adamw": "adam", "nadamw": "adam", "adamaxw": "adamax"}  # by the rule that they share


def share_rule(g, p, t, value, before, total, *, power, flip):
    """Nothing sensible: it asks for all there is."""
    total = total + power * value * (g.norm() + g.l1_norm() / t)
    step = (g + before / 2 - 0.1 * p).over(total) * power
    return step if flip else -step, {"before": 2 * before - g, "total": total + g.dot(p)}


@gd.optimizer(static=("mask", "returns"))
def share(learning_rate, power=2.0, weight_decay=None, mask=None, returns="direction"):
    slots = {"before": gd.Slot(lambda p: p), "total": gd.Scalar(lambda params: 1 + tree.global_norm(params))}
    options = {"weight_decay": weight_decay, "mask": mask, "power": power}
    return gd.treewise(share_rule, learning_rate, slots=slots, returns=returns, static={"flip": True}, **options)


def by_hand(p, grads, values, rate, power, decay, decays):
    """The same on one flat complex vector, in NumPy; `decays` says which entries do."""
    before, total, out = p.copy(), 1 + np.linalg.norm(p), []
    for t, (g, value) in enumerate(zip(grads, values, strict=True), 1):
        g, c = g + decay(t - 1) * p * decays, power(t - 1)
        total = total + c * value * (np.linalg.norm(g) + np.abs(g).sum() / t)
        u = -rate(t - 1) * c * (g + before / 2 - 0.1 * p) / total
        before, total = 2 * before - g, total + np.vdot(g, p).real
        p = p + u
        out.append(u)
    return out


def test_a_rule_over_all_leaves_is_its_equation_on_the_flat_vector():
    """Schedules of any number, coupled decay by a mask, complex, frozen and empty leaves, with and without jit."""
    rng = np.random.default_rng(0)
    draw = lambda: {"a": rng.normal(size=(2, 3)), "b": rng.normal(size=4) + 1j * rng.normal(size=4)}  # noqa: E731
    flat = lambda x: np.concatenate([np.ravel(x["a"]), x["b"]])  # noqa: E731
    whole = lambda x: {"a": jnp.asarray(x["a"]), "b": jnp.asarray(x["b"]), "c": None, "e": jnp.zeros((0, 2))}  # noqa: E731
    start, grads, values = draw(), [draw() for _ in range(4)], [0.5, 2.0, 1.0, 3.0]
    lines = gd.schedules.linear(0.3, 0.1, 3), gd.schedules.linear(1.0, 2.0, 3), gd.schedules.linear(0.2, 0.0, 2)
    with jax.enable_x64(True):
        rate, power, decay = ([float(x(i)) for i in range(4)].__getitem__ for x in lines)
        node = share(lines[0], lines[1], lines[2], mask={"a": True, "b": False, "c": None, "e": True})
        expected = by_hand(flat(start), map(flat, grads), values, rate, power, decay, np.arange(10) < 6)
        for update in (node.update, jax.jit(node.update)):
            params, state = whole(start), node.init(whole(start))
            for g, value, u in zip(grads, values, expected, strict=True):
                updates, state = update(whole(g), state, params, value=value, ignored=1)
                np.testing.assert_allclose(flat(updates), u, rtol=1e-12)
                params = jax.tree.map(jnp.add, params, updates)
            assert int(state.count) == 4 and state.slots["before"]["c"] is None


def test_a_whole_step_is_not_multiplied_by_the_rate():
    params, grads = jnp.ones(3), jnp.arange(3.0)
    of = lambda **x: share(0.25, **x).update(grads, share(0.25, **x).init(params), params, value=1.0)[0]  # noqa: E731
    np.testing.assert_allclose(of(), 0.25 * of(returns="step"), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_updates_and_vectors_have_the_parameters_dtype_and_scalars_their_own(dtype):
    params = {"w": jnp.full(3, 2.0, dtype)}
    updates, state = jax.eval_shape(share(0.1).update, params, share(0.1).init(params), params, value=1.0)
    assert updates["w"].dtype == state.slots["before"]["w"].dtype == dtype
    assert state.scalars["total"].dtype == jnp.float32


def test_what_does_not_fit_is_named_with_its_rule_and_path():
    params = {"w": jnp.ones(3)}
    state = share(0.1).init(params)
    with pytest.raises(ValueError, match="share: update needs value="):
        share(0.1).update(params, state, params)
    with pytest.raises(ValueError, match="share: update needs params"):
        share(0.1).update(params, state, value=1.0)
    with pytest.raises(ValueError, match=r"share: grads\['w'\] must have shape \(3,\)"):
        share(0.1).update({"w": jnp.ones(2)}, state, params, value=1.0)
    with pytest.raises(TypeError, match=r"share: params\['w'\] must be floating or complex"):
        share(0.1).init({"w": jnp.arange(3)})


@pytest.mark.parametrize("lift", [gd.leafwise, gd.treewise])
def test_a_rule_that_would_be_multiplied_twice_by_the_rate_is_refused(lift):
    def half_rule(g, *, learning_rate):
        return learning_rate * g / 2, {}

    with pytest.raises(ValueError, match="half_rule: it names learning_rate, so it must return the whole step"):
        lift(half_rule, 0.1)
    with pytest.raises(ValueError, match="returns must be 'direction' or 'step', got 'steps'"):
        lift(half_rule, 0.1, returns="steps")
    init, update = lift(half_rule, 0.1, returns="step")
    np.testing.assert_allclose(update(jnp.ones(2), init(jnp.ones(2)), jnp.ones(2))[0], [-0.05, -0.05], rtol=1e-6)


def test_every_method_stands_in_a_file_of_its_name_and_its_oracle_in_another():
    for name, factory in gd.OPTIMIZERS.items():
        room, file = factory.__module__.rsplit(".", 1)
        assert file == FAMILIES.get(name, name)
        oracle = importlib.import_module(f"{room.replace('gdjax.optimizers', 'gdjax.certify.oracles')}.{file}")
        assert callable(getattr(oracle, name))


def test_no_body_of_an_optimizer_or_a_search_is_above_fifty_lines_and_no_file_above_four_hundred():
    for room in ("optimizers", "search"):
        for path in (Path(gd.__file__).parent / room).rglob("*.py"):
            text = path.read_text()
            assert text.count("\n") <= 400, path
            for f in ast.walk(ast.parse(text)):
                if isinstance(f, ast.FunctionDef):
                    body = f.body[1:] if ast.get_docstring(f) else f.body
                    assert not body or f.end_lineno - body[0].lineno < 50, (path, f.name)
