"""Descent on any function: where it ends, why, and what can be done with it."""

import math
import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gdjax as gd
from gdjax import stopping
from gdjax.problems import himmelblau, quadratic, rosenbrock
from gdjax.projections import box, l2_ball
from gdjax.solve.by_text import without_gradient
from gdjax.solve.descent import GENTLE
from gdjax.solve.path import append, start_trace, trim
from gdjax.solve.stationary import kind_of_point
from gdjax.stopping import gradient_norm
from gdjax.types import Stop


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def nightly(*case):
    """One more case of a kind that the others have."""
    return pytest.param(*case, marks=pytest.mark.nightly)


def parabola(x):
    return (x - 2.0) ** 2


def test_the_lectures_count():
    found = gd.minimize(parabola, 16.5, gd.sgd(0.01), stop=gradient_norm(1e-4), record=True)
    assert found.steps == 623 and found.stop is Stop.CONVERGED
    assert len(found.path.step) == 624 and found.path.params[0] == 16.5 and found.path.params[-1] == found.params
    expected = 2 + 14.5 * 0.98 ** np.arange(624)
    np.testing.assert_allclose(found.path.params, expected, rtol=1e-12)
    np.testing.assert_allclose(found.path.value, (expected - 2) ** 2, rtol=1e-9)
    np.testing.assert_allclose(found.path.grad_norm, 2 * (expected - 2), rtol=1e-9)
    assert str(found).startswith("CONVERGED after 623 steps: value 2.457")


@pytest.mark.parametrize(
    "optimizer",
    [
        *(pytest.param(x, marks=pytest.mark.nightly) for x in (gd.lbfgs(), gd.bfgs(), gd.nonlinear_cg())),
        *(gd.newton(), gd.adam(0.1), gd.line_search(gd.sgd(1.0)), optax.adam(0.1)),
    ],
    ids=lambda o: repr(o)[:20],
)
def test_rosenbrock(optimizer):
    problem = rosenbrock()
    found = gd.minimize(problem.f, problem.start, optimizer, record=100, max_steps=20_000)
    assert found.stop is Stop.CONVERGED and found.grad_norm <= 1e-5 and problem.distance(found.params) < 1e-4
    assert float(problem(found.params)) == pytest.approx(float(found.value), abs=1e-15)
    assert found.path.step[-1] == found.steps and found.path.value[-1] == pytest.approx(float(found.value), rel=1e-9)
    assert (np.diff(found.path.step) > 0).all()


def test_a_search_is_the_same_as_a_loop_by_hand():
    problem, optimizer = rosenbrock(), gd.lbfgs()
    found = gd.minimize(problem.f, problem.start, optimizer, max_steps=7, stop=stopping.never())

    @jax.jit
    def step(params, state):
        value, grad = jax.value_and_grad(problem.f)(params)
        updates, state = optimizer.update(grad, state, params, value=value, grad=grad, value_fn=problem.f)
        return optax.apply_updates(params, updates), state

    params, state = jnp.asarray(problem.start), optimizer.init(jnp.asarray(problem.start))
    for _ in range(7):
        params, state = step(params, state)
    assert found.steps == 7 and found.stop is Stop.BUDGET
    np.testing.assert_allclose(found.params, params, rtol=1e-9)


@pytest.mark.parametrize(
    "f, start, rate, stop, step",
    [
        (parabola, 16.5, 1.1, Stop.DIVERGED, 19),
        (lambda x: x**4, 16.5, 1.0, Stop.DIVERGED, 1),
        (lambda x: x**4, 16.5, 1e100, Stop.DIVERGED, 1),  # the value overflows
        (jnp.log, 1.0, 2.0, Stop.NON_FINITE, 1),
        (lambda x: -jnp.exp(x), 1.0, 1.0, Stop.DIVERGED, 3),  # down without end
        (parabola, 2.0, 0.1, Stop.CONVERGED, 0),
    ],
)
def test_how_it_ends(f, start, rate, stop, step):
    found = gd.minimize(f, start, gd.sgd(rate))
    assert found.stop is stop and found.steps == step
    assert np.isfinite(found.params) and np.isfinite(found.value)
    assert stop.name in str(found) and str(step) in str(found)


@pytest.mark.parametrize(
    "f, start, optimizer",
    [
        (lambda x: -3 * x**2, 0.5, gd.sgd(0.2)),
        (lambda x: x**3 - x**2, -0.3, gd.momentum(0.1)),
        (lambda p: p[0] ** 2 - p[1] ** 2, jnp.array([1.0, 1e-4]), gd.lbfgs()),
        (lambda x: -jnp.exp(x), 0.5, gd.adam(0.5)),
        nightly(lambda x: 7 * x, 2.0, gd.nonlinear_cg()),
        nightly(lambda x: -jnp.cosh(x), 0.1, gd.newton()),
    ],
)
def test_a_function_without_a_minimum_is_said_to_fall(f, start, optimizer):
    found = gd.minimize(f, start, optimizer)
    assert found.stop is Stop.DIVERGED and "fall without end" in str(found) and np.isfinite(found.value)


@pytest.mark.parametrize(
    "rate, said",
    [(0.01, "it still falls"), (1.0, "its value stands still"), (1.01, "it has risen: it ended above the start")],
)
def test_what_a_run_did_whose_steps_ran_out_is_said(rate, said):
    assert str(gd.minimize(lambda x: x**2, 3.0, gd.sgd(rate), max_steps=20)).endswith(said)


@pytest.mark.parametrize(
    "f, optimizer, options",
    [
        nightly(lambda x: jnp.sum(jnp.abs(x - 2)), gd.lbfgs(), {}),
        (lambda x: jnp.sum(jnp.sqrt(jnp.abs(x))), gd.lbfgs(), {}),
        (lambda x: jnp.sum(jnp.sqrt(jnp.abs(x))), gd.adam(0.1), {"max_steps": 999}),
        (lambda x: 3 * jnp.sum(x), gd.sgd(0.01), {"onto": box(-1e4, 1e4), "max_steps": 9}),
        (lambda x: jnp.sum(jnp.abs(x)), gd.sgd(0.01), {"stop": stopping.patience(5), "max_steps": 3000}),
    ],
)
def test_a_run_that_no_longer_falls_or_is_held_by_a_set_is_not_said_to_fall(f, optimizer, options):
    found = gd.minimize(f, jnp.array([5.0, -3.0, 1.0]), optimizer, **options)
    assert found.stop in (Stop.PATIENCE, Stop.BUDGET)
    assert found.last.grad_norm >= found.first.grad_norm and "no minimum" not in str(found)


@pytest.mark.parametrize("scale, size", [nightly(3e-7, 1.0), (1.0, 1e12)])
def test_a_start_within_the_tolerance_is_said_to_have_stayed_as_it_was(scale, size):
    f = lambda x: scale * jnp.sum((x / size - 2) ** 2)  # noqa: E731
    found = gd.minimize(f, jnp.array([5.0, 1.0]), gd.lbfgs())
    assert found.stop is Stop.CONVERGED and found.steps == 0 and "nothing was done: to go on, divide f" in str(found)
    assert "nothing was done" in str(gd.minimize(f, jnp.array([5.0, 1.0]), gd.sgd(0.1), onto=box(-9.0, 9.0)))


def test_a_start_beyond_the_tolerance_is_not_said_to_have_stayed():
    larger = gd.minimize(lambda x: jnp.sum((x - 2) ** 2), jnp.array([5.0, 1.0]), gd.lbfgs())
    assert larger.stop is Stop.CONVERGED and "nothing" not in str(larger)


@pytest.mark.parametrize("optimizer", [nightly(gd.lbfgs()), nightly(gd.bfgs()), gd.newton()], ids=repr)
def test_a_step_that_does_not_meet_the_set_is_told_from_one_too_short(optimizer):
    q = jnp.array([[1.1, 0.9, -0.6], [0.9, 3.0, 0.8], [-0.6, 0.8, 0.9]])
    f = lambda x: 0.5 * x @ q @ x + jnp.array([-1.0, 1.5, 0.4]) @ x  # noqa: E731
    found = gd.minimize(f, jnp.full(3, 0.5), optimizer, onto=box(0.0, 1.0))
    assert found.stop is Stop.STALLED and found.grad_norm > 1e-3
    assert "goes on" in str(found) and "too short" not in str(found)
    assert gd.minimize(f, found.params, gd.sgd(0.2), onto=box(0.0, 1.0)).value < found.value - 1e-3


def test_a_slow_fall_is_no_divergence():
    slow = gd.minimize(lambda x: 7 * x, 2.0, gd.sgd(1e-3), max_steps=5)
    assert slow.stop is Stop.BUDGET and "there may be no minimum" in str(slow)
    deep = gd.minimize(lambda x: 1e20 * (x - 1) ** 2 - 1e20, 0.0, gd.sgd(1e-21))  # deep, and yet it has one
    assert deep.stop is not Stop.DIVERGED and deep.value < -0.99e20


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_the_best_point_seen_is_kept_and_the_last_can_be_read(rate):
    f = lambda p: 30 * p[0] ** 2 + p[1] ** 2  # noqa: E731
    start = jnp.array([1.0, 1.0])
    found = gd.minimize(f, start, gd.rmsprop(rate), stop=stopping.never(), max_steps=300, record=True)
    best = int(np.argmin(found.path.value))
    assert found.best_step == best < 300 == found.steps == found.last.step and found.value == found.path.value[best]
    np.testing.assert_array_equal(found.params, found.path.params[best])
    np.testing.assert_array_equal(found.last.params, found.path.params[-1])
    assert found.last.value == found.path.value[-1] > 100 * found.value and f"at step {best}, the best seen" in str(
        found
    )
    over = gd.minimize(f, start, gd.sgd(0.05))
    assert over.stop is Stop.DIVERGED and over.best_step == 0 and over.value == 31 and over.last.value > 3e4


def test_a_run_that_settles_gives_the_point_where_it_did_unless_no_convex_function_is_lower_elsewhere():
    decayed = gd.minimize(parabola, 5.0, gd.decay_weights(gd.sgd(0.1), 2.0))  # past 2, to 1
    assert decayed.stop is Stop.STALLED and decayed.params == pytest.approx(1.0) and decayed.best_step == decayed.steps
    two = lambda x: jnp.where(x > 1, jnp.where(x < 2, -5.0, 0.0), 0.0) + (x - 0.5) ** 2  # noqa: E731
    found = gd.minimize(two, 1.9, gd.sgd(0.1))  # it walks through the trench, which its slope does not show
    assert found.stop is Stop.CONVERGED and found.value < -4.5 and found.last.params == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize(
    "f, start, rate",
    [
        (lambda x: (x - 3e6) ** 2, np.float32(2e6), 1e-9),
        nightly(lambda x: x**2, np.float32(7.0), 1e-12),
        nightly(lambda p: jnp.sum((p - 1) ** 2), np.full(3, 5e7, np.float32), 1e-10),
    ],
)
def test_a_run_that_stands_still_is_stalled(f, start, rate):
    found = gd.minimize(f, start, gd.sgd(rate))
    assert found.stop is Stop.STALLED and found.steps < 500 and "stands still" in str(found) and "double" in str(found)
    assert jax.jit(lambda x: gd.minimize(f, x, gd.sgd(rate)).stop)(start) == Stop.STALLED


@pytest.mark.parametrize(
    "f, start, words",
    [
        (lambda p: p[0] ** 2 - 3 * p[1] ** 2 + p[2] ** 2, [1.0, 0.0, 2.0], "saddle"),
        nightly(lambda p: p[0] * p[1], [0.0, 0.0], "saddle"),
        (lambda x: (x - 1) ** 3, 3.0, "inflection"),
        nightly(lambda p: p[0] ** 3 + p[1] ** 2, [1.0, 1.0], "saddle"),
        (jnp.cos, 0.0, "maximum"),
        (jnp.floor, 0.4, "the gradient is exactly 0 at the start"),
        (lambda p: (p[0] - 2 * p[1]) ** 2, [1.0, 2.0], "level along 1 of 2"),
        nightly(lambda x: (x - 1) ** 4 + 2, 3.0, None),
        nightly(lambda p: jnp.sum(jnp.cosh(p - 1)), np.zeros(10), None),
        (lambda x: 1e-3 * (x - 1) ** 2 + 5e3, 3.0, None),
    ],
)
def test_the_kind_of_point_is_said(f, start, words):
    found = gd.minimize(f, jnp.asarray(start), gd.sgd(0.05), max_steps=100_000)
    assert found.stop is Stop.CONVERGED
    assert words in str(found) if words else str(found).endswith(f"{float(found.grad_norm):.2g}")
    assert str(pickle.loads(pickle.dumps(found))).startswith("CONVERGED")


@pytest.mark.parametrize(
    "f, point, words",
    [
        nightly(lambda x: 1e3 * jnp.sum((x - 2) ** 2), [2, 2, 2], "a minimum"),
        (lambda x: 1e12 * jnp.sum((x - 2) ** 2), [2, 2, 2], "a minimum"),
        nightly(lambda x: 1e4 + jnp.sum((x - 2) ** 2), [2, 2], "a minimum"),
        nightly(lambda x: jnp.sum(x * x - 4 * x) + 12, [2, 2, 2], "a minimum"),
        (lambda x: 3e4 + 5 * (x[0] - 2) ** 2 - (x[1] - 2) ** 2, [2, 2], "this is a saddle point"),
        nightly(lambda x: 2e5 - 7e3 * jnp.sum((x - 2) ** 2), [2, 2], "this is a maximum"),
        (lambda x: 1e5 * (x[0] - 2 * x[1]) ** 2, [4, 2], "this is a minimum, level along 1 of 2"),
    ],
)
def test_how_steep_or_high_a_function_is_does_not_hide_the_kind_of_point(f, point, words):
    start = np.asarray(point, np.float32)
    found = gd.minimize(f, start, gd.newton(), max_steps=0)
    assert found.grad_norm == 0 and kind_of_point(f, (), found._replace(steps=1)).startswith(words)


def test_rules_compose():
    run = lambda stop, **options: gd.minimize(parabola, 16.5, gd.sgd(0.01), stop=stop, **options)  # noqa: E731
    assert run(stopping.target(1.0)).value <= 1.0 < run(stopping.target(1.0), record=True).path.value[-2]
    assert run(stopping.parameter_change(1e-3)).stop is Stop.CONVERGED
    path = run(stopping.parameter_change(1e-3), record=True).path.params
    assert abs(path[-1] - path[-2]) <= 1e-3 < abs(path[-2] - path[-3])
    path = run(stopping.change(1e-3), record=True).path.value
    assert abs(path[-1] - path[-2]) <= 1e-3 < abs(path[-2] - path[-3])
    assert run(stopping.any_of(stopping.target(-1.0), stopping.budget(steps=5))).steps == 5
    assert run(stopping.never(), max_steps=3).stop is Stop.BUDGET
    assert run(None, max_steps=0).steps == 0


def test_divergence_is_a_rule_that_can_be_set():
    run = lambda *conditions: gd.minimize(parabola, 16.5, gd.sgd(1.1), stop=stopping.any_of(*conditions))  # noqa: E731
    assert run(stopping.target(0.0)).steps == 19
    assert run(stopping.divergence(10.0)).steps == 7
    assert run(stopping.divergence(jnp.inf), stopping.budget(steps=100)).stop is Stop.BUDGET
    assert run(stopping.divergence(jnp.inf)).steps > 1900


@gd.condition
def beyond(value):
    """A test for divergence of one's own, which replaces that of the run because it says so."""

    def update(state, seen):
        return state, jnp.where(seen.value > value, Stop.DIVERGED, Stop.RUNNING)

    update.judges = (Stop.DIVERGED,)
    return lambda: (), update


@gd.condition
def divergence(factor):
    """A condition that has only the name of one."""
    return lambda: (), lambda state, seen: (state, jnp.where(seen.step >= factor, Stop.BUDGET, Stop.RUNNING))


def test_a_condition_that_declares_a_test_for_divergence_has_it_alone():
    run = lambda stop: gd.minimize(parabola, 16.5, gd.sgd(1.1), stop=stop, max_steps=50)  # noqa: E731
    values = 14.5**2 * 1.44 ** np.arange(51)
    for stop in (beyond(1e6), stopping.any_of(stopping.never(), beyond(1e6))):
        assert (run(stop).stop, run(stop).steps) == (Stop.DIVERGED, np.argmax(values > 1e6))
    assert (run(divergence(50)).stop, run(divergence(50)).steps) == (Stop.DIVERGED, np.argmax(values > 1e3 * values[0]))


def test_a_stalled_search_is_patience():
    found = gd.minimize(lambda x: jnp.abs(x).sum(), jnp.array([1.0, -2.0]), gd.lbfgs(), stop=stopping.target(-1.0))
    assert found.stop is Stop.PATIENCE and found.steps < 1000 and found.value < 1e-3


def test_rules_that_training_cannot_answer_say_so():
    data = jnp.ones((4, 1))
    loss = lambda params, batch, key: (jnp.mean((batch @ params) ** 2), {})  # noqa: E731
    with pytest.raises(ValueError, match="gradient_norm: this run does not measure"):
        gd.fit(loss, jnp.ones(1), gd.sgd(0.1), data, stop=gradient_norm(1e-3), epochs=1)


@pytest.mark.parametrize("method", [gd.sgd(0.01), gd.search.nelder_mead()])
def test_rules_that_a_descent_cannot_answer_say_so(method):
    for stop, what in ((stopping.budget(seconds=1e-6), "seconds"), (stopping.change(1e9, "batch"), "the change over")):
        with pytest.raises(ValueError, match=f"this run does not measure {what}"):
            gd.minimize(parabola, 16.5, method, stop=stop, max_steps=200_000)
        with pytest.raises(ValueError, match=f"this run does not measure {what}"):
            without_gradient(stop)
    either = stopping.any_of(gradient_norm(1e-3), stopping.target(0.5))
    assert without_gradient(either) == stopping.any_of(stopping.target(0.5)) and without_gradient(GENTLE) is None


def test_any_tree_in_its_own_dtypes():
    params = {"a": jnp.ones(3, jnp.float32), "b": (jnp.zeros((), jnp.bfloat16), jnp.ones(2, complex))}

    def f(p):
        a, (b, c) = p["a"], p["b"]
        return jnp.sum((a - 1.5) ** 2) + (b.astype(float) - 0.5) ** 2 + jnp.sum(jnp.abs(c - 1j) ** 2)

    found = gd.minimize(f, params, gd.sgd(0.2), stop=gradient_norm(1e-2))
    chex.assert_trees_all_equal_shapes_and_dtypes(found.params, params)
    np.testing.assert_allclose(found.params["b"][1], 1j, atol=1e-2)
    np.testing.assert_allclose(found.params["a"], 1.5, atol=1e-2)


def test_jit_vmap_and_a_loop_agree():
    starts = jnp.array([[-1.2, 1.0], [0.0, 0.0], [2.0, 2.0]])
    run = lambda p: gd.minimize(rosenbrock().f, p, gd.momentum(1e-3), max_steps=5000, record=50)  # noqa: E731
    together = jax.jit(jax.vmap(run))(starts)
    assert together.steps.shape == (3,) and len(set(together.steps.tolist())) > 1
    for i, start in enumerate(starts):
        alone = run(start)
        assert int(together.steps[i]) == alone.steps and int(together.stop[i]) == alone.stop
        np.testing.assert_allclose(together.params[i], alone.params, rtol=1e-9)
        rows = trim(jax.tree.map(lambda x, i=i: x[i], together.path))
        np.testing.assert_array_equal(rows.step, alone.path.step)
        np.testing.assert_allclose(rows.value, alone.path.value, rtol=1e-6)


def test_ten_thousand_starts_each_with_its_own_stop():
    problem = himmelblau()
    starts = jax.random.uniform(jax.random.key(0), (10_000, 2), minval=-6, maxval=6)
    found = jax.jit(jax.vmap(lambda p: gd.minimize(problem.f, p, gd.lbfgs(), stop=gradient_norm(1e-8))))(starts)
    gaps = np.linalg.norm(np.asarray(found.params)[:, None] - np.stack(problem.minima), axis=-1)
    flagged = np.asarray(found.stop) != Stop.CONVERGED
    assert (flagged | (gaps.min(axis=1) < 1e-4)).all() and flagged.mean() < 0.001
    assert set(gaps.argmin(axis=1)) == {0, 1, 2, 3}


def test_a_new_number_compiles_nothing():
    traces = []

    def f(x, shift):
        traces.append(1)
        return jnp.sum((x - shift) ** 2)

    gd.minimize(f, jnp.zeros(2), gd.adam(0.1), args=(1.0,), max_steps=10)
    before = len(traces)
    gd.minimize(f, jnp.ones(2), gd.adam(0.2, b1=0.8), args=(2.0,), max_steps=20, stop=gradient_norm(1e-3))
    gd.minimize(f, jnp.ones(2), gd.adam(0.2, b1=0.8), args=(2.0,), max_steps=30, stop=gradient_norm(1e-2))
    middle = len(traces)
    gd.minimize(f, jnp.ones(2), gd.adam(0.3, b1=0.7), args=(3.0,), max_steps=40, stop=gradient_norm(1e-4))
    assert len(traces) == middle and before > 0


class TestDerivatives:
    """Of the result, against differences."""

    @staticmethod
    def loss(x, a):
        return jnp.sum((x - a) ** 2 * jnp.array([1.0, 2.0])) + 0.1 * jnp.sum(x**4)

    @staticmethod
    def slope(of, at, step=1e-5):
        return (of(at + step) - of(at - step)) / (2 * step)

    @pytest.mark.parametrize(
        "optimizer, part", [(gd.bfgs(), "value"), nightly(gd.sgd(0.05), "params")], ids=["bfgs", "sgd"]
    )
    def test_implicit(self, optimizer, part):
        def of(a):
            found = gd.minimize(self.loss, jnp.zeros(2), optimizer, args=(a,), stop=gradient_norm(1e-11))
            return found.value if part == "value" else found.params[1]

        expected = self.slope(of, 3.0)
        assert jax.grad(of)(3.0) == pytest.approx(expected, rel=1e-6)
        assert jax.jvp(of, (3.0,), (1.0,))[1] == pytest.approx(expected, rel=1e-6)

    def test_of_what_the_function_closes_over(self):
        def of(a):
            return gd.minimize(lambda x: self.loss(x, a), jnp.zeros(2), gd.bfgs(), stop=gradient_norm(1e-11)).params[0]

        assert jax.grad(of)(3.0) == pytest.approx(self.slope(of, 3.0), rel=1e-6)

    def test_inside_a_set(self):
        def of(a):  # the first entry is held at its bound, the second is free
            onto = box(-1.0, jnp.array([0.5, 9.0]))
            found = gd.minimize(self.loss, jnp.zeros(2), gd.sgd(0.05), args=(a,), onto=onto, stop=gradient_norm(1e-11))
            return found.params

        np.testing.assert_allclose(jax.jit(jax.jacobian(of))(3.0), [0, self.slope(of, 3.0)[1]], rtol=1e-6)

    def test_large(self):
        curvatures = jnp.linspace(1, 50, 300)

        def of(a):
            f = lambda x, a: 0.5 * jnp.sum(curvatures * x**2) - a * jnp.sum(x)  # noqa: E731
            return jnp.sum(gd.minimize(f, jnp.zeros(300), gd.lbfgs(), args=(a,), stop=gradient_norm(1e-9)).params)

        assert jax.jit(jax.grad(of))(2.0) == pytest.approx(float(jnp.sum(1 / curvatures)), rel=1e-8)

    @staticmethod
    def couple(p, a):
        return (p["w"] - a) ** 2 + (p["w"] - p["z"]) ** 2 + 2 * p["z"] ** 2

    @pytest.mark.parametrize(
        "optimizer, right",
        [
            (lambda: gd.project(gd.sgd(0.1), box(-1.0, 1.0)), 0.0),
            nightly(lambda: gd.project(gd.adam(0.1), box(-1.0, 1.0)), 0.0),
            nightly(lambda: gd.project(gd.sgd(0.1), box(-1.0, 9.0)), 3 / 5),
            nightly(lambda: gd.decay_weights(gd.sgd(0.1), 2.0), 4 / 11),  # g + 2 p = 0
            (lambda: gd.decay_weights(gd.momentum(0.02, 0.5), 3.0), 60 / 149),  # 2 g + 3 p = 0
            nightly(lambda: gd.freeze(gd.sgd(0.1), "z"), 1 / 2),
            (lambda: gd.freeze(gd.lbfgs(), "z"), 1 / 2),
        ],
    )
    def test_where_the_gradient_is_not_zero(self, optimizer, right):
        def of(a):
            start = {"w": 0.0, "z": 0.25}
            return gd.minimize(self.couple, start, optimizer(), args=(a,), max_steps=3000).params["w"]

        assert jax.jit(jax.grad(of))(2.0) == pytest.approx(right, rel=1e-6, abs=1e-12)

    @pytest.mark.parametrize("steps", [3])
    def test_there_is_none_before_the_end(self, steps):
        of = lambda a: gd.minimize(self.loss, jnp.zeros(2), gd.sgd(1e-3), args=(a,), max_steps=steps).value  # noqa: E731
        with pytest.raises(ValueError, match="it ended BUDGET before that"):
            jax.grad(of)(3.0)
        with pytest.raises(ValueError, match="it ended before that"):
            jax.jacfwd(of)(3.0)
        assert np.isnan(jax.jit(jax.grad(of))(3.0))

    @pytest.mark.parametrize("size", [3, nightly(250)])
    def test_directions_that_do_not_matter(self, size):
        weights = jnp.linspace(1, 3, size).at[0].set(0.0)

        def of(a):  # at its minimum p = a but for p[0], of which nothing depends
            f = lambda p, a: jnp.sum(weights * (p - a) ** 2) + (p[1] - p[2]) ** 2 + a**3  # noqa: E731
            found = gd.minimize(f, jnp.ones(size), gd.lbfgs(), args=(a,))
            return jnp.stack([found.value, found.params[1], found.params[0] + found.params[2]])

        np.testing.assert_allclose(jax.jit(jax.jacrev(of))(2.0), [12, 1, 1], rtol=1e-6)

    def test_the_least_norm(self):
        f = lambda p, a: (p[0] + 3 * p[1] - a) ** 2  # noqa: E731
        of = lambda a: gd.minimize(f, jnp.ones(2), gd.sgd(0.02), args=(a,)).params  # noqa: E731
        np.testing.assert_allclose(jax.jit(jax.jacfwd(of))(1.0), [0.1, 0.3], rtol=1e-6)

    def test_a_rate_and_a_start_are_refused(self):
        for of in (
            lambda rate: gd.minimize(parabola, 16.5, gd.sgd(rate)).value,
            lambda start: gd.minimize(parabola, start, gd.sgd(0.1)).params,
        ):
            with pytest.raises(ValueError, match="derivative='unrolled'"):
                jax.grad(of)(0.1)

    def test_unrolled(self):
        def of(rate):
            return gd.minimize(parabola, 16.5, gd.sgd(rate), max_steps=20, derivative="unrolled").value

        assert jax.grad(of)(0.02) == pytest.approx(self.slope(of, 0.02, 1e-7), rel=1e-6)
        plain = gd.minimize(parabola, 16.5, gd.sgd(0.02), max_steps=20)
        assert of(0.02) == plain.value and plain.stop is Stop.BUDGET


def test_inside_sets():
    problem = rosenbrock()
    found = gd.minimize(problem.f, problem.start, gd.sgd(1e-3), onto=box(-1.0, 0.5), max_steps=50_000)
    assert found.stop is Stop.CONVERGED
    np.testing.assert_allclose(found.params, [0.5, 0.25], atol=1e-4)
    assert found.params.max() <= 0.5
    inside = gd.minimize(lambda x: jnp.sum((x - 3) ** 2), jnp.ones(2) * 9, gd.lbfgs(), onto=l2_ball(1.0))
    np.testing.assert_allclose(inside.params, np.sqrt(0.5), atol=1e-4)
    searched = gd.minimize(problem.f, problem.start, gd.lbfgs(), onto=box(-1.0, 0.5), max_steps=5, record=True)
    values = [float(problem(params)) for params in searched.path.params]  # of the points in the set, not of the search
    np.testing.assert_allclose(searched.path.value, values, rtol=1e-9)


@pytest.mark.parametrize(
    "f, params, options, message",
    [
        (lambda x: jnp.stack([x, x]), 1.0, {}, r"f must return one real floating number, got float64 of shape \(2,\)"),
        (lambda x: jnp.int32(x), 1.0, {}, "f must return one real floating number, got int32"),
        (lambda x: x + 1j, 1.0, {}, "f must return one real floating number, got complex128"),
        (lambda x: "four", 1.0, {}, "f must return one real floating number, got a str"),
        (lambda x: x * jnp.nan, 1.0, {}, "f and its gradient must be finite at the start"),
        (lambda p: jnp.sum(p["w"]), {"w": np.array([1, np.nan])}, {}, r"params\['w'\] must be finite at the start"),
        (
            lambda p: jnp.sum(p["w"]),
            {"w": np.ones(3, int)},
            {},
            r"params\['w'\] must be floating to descend, write 1.0 for 1, got int64",
        ),
        (lambda p: 1.0, {}, {}, "params must have at least one array"),
        (
            lambda p: jnp.sum(p["w"]),
            {"w": np.ones(3)},
            {"onto": box({"w": np.zeros(2)}, 1)},
            r"lower\['w'\] must have shape",
        ),
        (
            lambda p: jnp.sum(p["w"]),
            {"w": np.ones(3)},
            {"onto": box({"v": 0.0}, 1)},
            "box: lower must be a number, or a tree",
        ),
        (lambda p: jnp.sum(p["w"] ** 2), {"w": np.ones(3)}, {"onto": lambda p: {"w": p["w"][:2]}}, r"\['w'\].*shape"),
        (parabola, 1.0, {"max_steps": -1}, "max_steps must be at least 0, got -1"),
        (parabola, 1.0, {"record": 1}, "record must be True or at least 2 rows"),
        (parabola, 1.0, {"derivative": "none"}, "derivative must be"),
    ],
)
def test_bad_input_is_told(f, params, options, message):
    with pytest.raises(ValueError, match=message):
        gd.minimize(f, params, gd.sgd(0.1), **options)


def test_under_a_transformation_a_bad_value_is_a_code():
    found = jax.vmap(lambda x: gd.minimize(jnp.log, x, gd.sgd(0.1), max_steps=3))(jnp.array([-1.0, 1.0]))
    assert found.stop[0] == Stop.NON_FINITE and found.steps[0] == 0


@pytest.mark.parametrize(
    "options, message",
    [
        ({"stop": stopping.patience}, r"stop must be a condition .*, write stop=gd.stopping.patience\(\.\.\.\)"),
        ({"stop": 1e-3}, "stop must be a condition of gdjax.stopping, .* got 0.001"),
        ({"args": 2.0}, r"args must be a tuple .*, write args=\(a,\), got 2.0"),
        ({"onto": (0, 0.1)}, r"a set must be one of gdjax.projections, such as box\(0, 1\), .* got \(0, 0.1\)"),
        ({"onto": gd.projections.non_negative}, r"write non_negative\(\.\.\.\), got non_negative alone"),
        ({"method": "adam(0.1)"}, r"must be an optimizer.* got 'adam\(0.1\)'"),
    ],
)
def test_an_argument_of_another_kind_costs_one_sentence(options, message):
    with pytest.raises(TypeError, match=message):
        gd.minimize(parabola, 1.0, **{"method": gd.sgd(0.1), **options})


@pytest.mark.parametrize("capacity, steps", [(2, 40), (5, 4), (5, 5), (7, 100), (10, 1000), (64, 63)])
def test_a_trace_is_evenly_spread_and_ends_with_the_newest(capacity, steps):
    row = gd.minimize(parabola, 1.0, gd.sgd(0.1), max_steps=0, record=2).path
    row = jax.tree.map(lambda x: jnp.asarray(x[0]), row)

    def add(trace, step):
        return append(trace, row._replace(step=step, value=10.0 * step)), None

    trace, _ = jax.lax.scan(add, start_trace(row, capacity), jnp.arange(steps + 1, dtype=jnp.int32))
    rows = trim(trace.rows)
    assert rows.step[0] == 0 and rows.step[-1] == steps and len(rows.step) <= capacity + 1
    gaps = np.diff(rows.step)
    assert len(set(gaps[:-1].tolist())) <= 1 and (gaps[-1] <= gaps[0])
    assert len(rows.step) >= min(steps + 1, capacity / 2)
    np.testing.assert_array_equal(rows.value, 10.0 * rows.step)


def test_the_threshold_is_two_over_the_curvature():
    problem = quadratic((1.0, 7.0, 40.0))
    rates = jnp.array([1.98, 2.02]) / problem.lipschitz
    run = lambda rate: gd.minimize(problem.f, problem.start, gd.sgd(rate), args=problem.args)  # noqa: E731
    assert jax.vmap(run)(rates).stop.tolist() == [Stop.CONVERGED, Stop.DIVERGED]


def test_rows_are_thinned_outside_of_the_loop_that_steps():
    def branches(record):
        run = lambda x: gd.minimize(parabola, x, gd.sgd(0.1), record=record, max_steps=50)  # noqa: E731
        return str(jax.make_jaxpr(run)(1.0)).count("cond[")

    assert branches(True) == 0 and branches(8) == 1


def test_a_long_path_keeps_its_first_steps_whole():
    path = gd.minimize(parabola, 16.5, gd.sgd(1e-4), stop=stopping.never(), max_steps=9000, record=1200).path
    np.testing.assert_array_equal(path.step[:300], np.arange(300))
    assert path.step[-1] == 9000 and 700 < len(path.step) <= 1201 and set(np.diff(path.step[300:-1])) == {16}
    np.testing.assert_allclose(path.params, 2 + 14.5 * (1 - 2e-4) ** path.step, rtol=1e-9)


@pytest.mark.parametrize(("level", "expected"), [nightly(-jnp.inf, Stop.DIVERGED), (jnp.nan, Stop.NON_FINITE)])
def test_a_value_that_is_none_is_no_convergence_however_level(level, expected):
    f = lambda x: jnp.where(x < 0.55, level, x)  # noqa: E731  # its slope beyond is 0
    for stop in (None, stopping.gradient_norm(), stopping.parameter_change(0.0)):
        found = gd.minimize(f, 1.0, gd.sgd(0.1), stop=stop)
        assert found.stop is expected
        np.testing.assert_allclose(found.params, 0.6, rtol=1e-6)


@pytest.mark.parametrize("method", [gd.sgd(0.1), gd.search.nelder_mead()], ids=repr)
@pytest.mark.parametrize(
    "f, words",
    [
        (lambda x: np.sin(x), r"write jnp\.sin"),
        (lambda x: math.cos(x), r"write jnp\.cos"),
        (lambda x: x if x > 0 else -x, r"write jnp\.where"),
    ],
)
def test_numpy_and_python_in_a_function_cost_one_sentence(f, words, method):
    with pytest.raises(TypeError, match=rf"minimize: .*test_minimize\.py:\d+: .*; {words}") as seen:
        gd.minimize(f, 1.0, method, max_steps=5)
    assert len(seen.traceback) <= 2
