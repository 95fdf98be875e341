"""Methods without a gradient: what they find, in how many steps, and that each does what its docstring says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import gdjax as gd
from gdjax.projections import box, simplex
from gdjax.search import METHODS, coordinate, fixed_step, nelder_mead, random_guessing, sign_step
from gdjax.stopping import target
from gdjax.types import Stop


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def parabola(x):
    return (x - 2.0) ** 2


def bowl(p):
    return jnp.sum((p - jnp.array([1.0, -0.5])) ** 2 * jnp.array([1.0, 4.0]))


@pytest.mark.parametrize("method", [fixed_step(0.01), sign_step(0.01)], ids=repr)
def test_the_lectures_count(method):
    found = gd.minimize(parabola, 16.5, method, record=True)
    assert found.steps == 1450 and found.stop is Stop.CONVERGED and abs(found.params - 2) < 1e-9
    np.testing.assert_allclose(np.diff(found.path.params), -0.01, rtol=1e-9)
    assert np.isnan(found.grad_norm) and "gradient" not in str(found)


def by_hand(function, x, step):
    """The lecture's loop, by which both fixed-step searches are judged."""
    count = 0
    while function(x) > function(x - step) or function(x) > function(x + step):
        x = x + step if function(x - step) > function(x + step) else x - step
        count += 1
    return x, count


@pytest.mark.parametrize("start, step", [(16.5, 0.01), (-3.0, 0.25), (2.1, 0.3), (2.0, 0.1)])
def test_fixed_step_is_the_lectures_loop(start, step):
    found = gd.minimize(parabola, start, fixed_step(step))
    assert (float(found.params), found.steps) == pytest.approx(by_hand(parabola, start, step), abs=1e-12)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_finds_the_bottom_of_a_bowl_and_seeds_decide_how(name):
    how = {
        "fixed_step": fixed_step(0.01),
        "sign_step": sign_step(0.01),
        "random_guessing": random_guessing(-2.0, 2.0, 50),
    }
    run = lambda key, n: gd.minimize(  # noqa: E731
        bowl, jnp.array([-1.0, 1.0]), how.get(name, METHODS[name]()), max_steps=n, record=50, key=key
    )
    found = run(0, 400)
    assert found.value < {"random_guessing": 1e-2, "sign_step": 2.0}.get(
        name, 1e-3
    )  # signs alone stop in a narrow valley
    assert found.value == pytest.approx(float(bowl(found.params)), abs=1e-12)
    assert (np.diff(found.path.value) <= 1e-12).all(), "no method forgets the best"
    assert found.params.dtype == np.float64
    one, again, other = (run(key, 5).params for key in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    draws = name not in ("fixed_step", "sign_step", "coordinate", "nelder_mead")
    assert draws != np.array_equal(one, other)


def test_vmap_is_a_loop_and_trees_are_welcome():
    f = lambda p: bowl(jnp.stack([p["a"], p["b"][0]]))  # noqa: E731
    starts = {"a": jnp.array([0.0, 3.0, -2.0]), "b": jnp.array([[0.0], [1.0], [2.0]])}
    together = jax.jit(jax.vmap(lambda p: gd.minimize(f, p, nelder_mead())))(starts)
    for i in range(3):
        alone = gd.minimize(f, jax.tree.map(lambda x, i=i: x[i], starts), nelder_mead())
        assert alone.steps == together.steps[i] and alone.stop is Stop.CONVERGED
        np.testing.assert_allclose(together.params["a"][i], alone.params["a"], rtol=1e-9)
        assert abs(alone.params["a"] - 1) < 1e-5


def test_nelder_mead_is_as_good_as_scipys():
    from scipy.optimize import minimize as scipy_minimize

    f = gd.problems.rosenbrock()
    theirs = scipy_minimize(
        lambda x: float(f(jnp.asarray(x))), f.start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-6}
    )
    ours = gd.minimize(f.f, f.start, nelder_mead(xtol=1e-6, ftol=1e-6))
    assert ours.stop is Stop.CONVERGED and f.distance(ours.params) < 1e-4 and ours.steps < 2 * theirs.nit


def test_coordinate_search_follows_its_definition():
    path = gd.minimize(bowl, jnp.array([0.0, 0.0]), coordinate(step=1.0), max_steps=3, record=True).path
    np.testing.assert_array_equal(path.params, [[0, 0], [1, 0], [1, 0], [1, 0]])  # then the step halves
    path = gd.minimize(lambda x: (x - 20.0) ** 2, 0.0, coordinate(step=1.0), max_steps=3, record=True).path
    np.testing.assert_array_equal(path.params, [0, 1, 3, 7])  # it doubles where it helps
    found = gd.minimize(bowl, jnp.array([0.0, 0.0]), coordinate(step=1.0))
    assert found.stop is Stop.CONVERGED and found.value < 1e-10


def test_guesses_are_as_good_as_chance():
    """The best of n guesses of one number in [0, 1] is at 1/(n + 1) on average."""
    run = lambda key: gd.minimize(lambda x: x, 1.0, random_guessing(0.0, 1.0, 10), max_steps=10, key=key).value  # noqa: E731
    best = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), 500))
    assert np.mean(best) == pytest.approx(1 / 101, rel=0.15)


def test_sets_rules_and_nan():
    inside = gd.minimize(bowl, jnp.array([-1.0, 1.0]), nelder_mead(), onto=box(-1.0, 0.5))
    np.testing.assert_allclose(inside.params, [0.5, -0.5], atol=1e-4)
    early = gd.minimize(bowl, jnp.array([-1.0, 1.0]), nelder_mead(), stop=target(0.1))
    assert early.stop is Stop.TARGET and early.value <= 0.1
    gaps = lambda x: jnp.where(jnp.abs(x - 1) < 0.3, jnp.nan, (x - 2) ** 2)  # noqa: E731
    assert abs(gd.minimize(gaps, 0.0, METHODS["cma_es"](sigma=2.0), max_steps=50).params - 2) < 1e-3


@pytest.mark.parametrize(
    "f, solution, error",
    [
        pytest.param(lambda x: jnp.sum((x - jnp.array([2.0, 0.3])) ** 2), [1, 0.3], 1e-3, marks=pytest.mark.nightly),
        (  # 2 x + 0.8 y = 0.6 and 0.8 x + 2 y = 1.2 between the bounds
            lambda x: jnp.sum((x - jnp.array([2.0, 0.3, 0.6, -1.0])) ** 2) + 0.8 * x[1] * x[2],
            [1, 1 / 14, 4 / 7, 0],
            5e-3,
        ),
    ],
)
def test_a_simplex_folded_onto_the_bounds_begins_afresh(f, solution, error):
    starts = jnp.asarray(np.random.default_rng(0).uniform(size=(20, len(solution))), jnp.float32)
    found = jax.jit(jax.vmap(lambda x: gd.minimize(f, x, nelder_mead(), onto=box(0.0, 1.0))))(starts)
    assert (found.stop == Stop.CONVERGED).all()
    np.testing.assert_allclose(found.params, np.tile(solution, (20, 1)), atol=error)


def test_bad_input_is_told():
    with pytest.raises(TypeError, match=r"minimize: the method must be an optimizer"):
        gd.minimize(bowl, jnp.zeros(2), "nelder_mead")
    with pytest.raises(ValueError, match=r"minimize: params must be floating"):
        gd.minimize(bowl, 3, fixed_step())
    with pytest.raises(ValueError, match="fixed_step: step must be in"):
        fixed_step(-1.0)
    with pytest.raises(ValueError, match="f must return one real floating number"):
        gd.minimize(lambda x: x, jnp.zeros(2), fixed_step())
    with pytest.raises(ValueError, match="must be finite at the start"):
        gd.minimize(lambda x: x * jnp.nan, 1.0, fixed_step())


POPULATIONS = ("genetic", "ant_colony", "particle_swarm")  # their points meet the set as those of cma_es do


@pytest.mark.parametrize(
    "name, onto",
    [
        *(pytest.param(x, box(-1.0, 0.7), marks=[pytest.mark.nightly] * (x in POPULATIONS)) for x in METHODS),
        ("nelder_mead", simplex(0.5)),
        ("coordinate", simplex(2)),
    ],
)
def test_no_method_leaves_the_set(name, onto):
    seen = []

    def f(p):
        jax.debug.callback(lambda p: seen.append(np.array(p)), p)
        return jnp.sum((p - jnp.array([3.0, -0.2])) ** 2)

    how = {
        "fixed_step": fixed_step(0.4),
        "random_guessing": random_guessing(-5.0, 5.0, 9),
        "ant_colony": METHODS["ant_colony"](archive=12),
        "genetic": METHODS["genetic"](population=12),
        "particle_swarm": METHODS["particle_swarm"](population=12),
    }.get(name, METHODS[name]())
    found = gd.minimize(f, jnp.array([0.7, 0.5]), how, onto=onto, max_steps=10)
    jax.effects_barrier()
    points = np.concatenate([np.reshape(p, (-1, 2)) for p in seen])
    lower, upper, total = (-1.0, 0.7, None) if onto == box(-1.0, 0.7) else (0.0, np.inf, onto.arguments["scale"])
    np.testing.assert_allclose(points, np.clip(points, lower, upper), atol=1e-6)
    assert total is None or np.allclose(points.sum(1), total, atol=1e-6)
    assert found.value == pytest.approx(float(np.sum((found.params - [3.0, -0.2]) ** 2)), rel=1e-5)


@pytest.mark.parametrize(
    "start, scale",
    [
        *((1e-30, 1.0), (-1e6, 1.0), (4e9, 1e9)),
        *(pytest.param(*x, marks=pytest.mark.nightly) for x in ((1e-7, 1.0), (2e-8, 1e-8), (0.0, 1e-3))),
    ],
)
def test_nelder_mead_knows_no_unit(start, scale):
    found = gd.minimize(lambda p: jnp.sum((p / scale - 3) ** 2), jnp.array([start, scale]), nelder_mead())
    assert found.stop is Stop.CONVERGED and found.value < 1e-8
    np.testing.assert_allclose(found.params, 3 * scale, rtol=1e-4)


@pytest.mark.parametrize("how", [fixed_step(0.01), sign_step(0.01), coordinate(), nelder_mead(step=1e-9)], ids=repr)
def test_a_step_too_short_is_stalled_and_no_bottom_is_divergence(how):
    found = gd.minimize(lambda p: jnp.sum((p - 2) ** 2), np.array([3e10, 1.0], np.float32), how)
    assert found.stop is Stop.STALLED and "too short" in str(found)
    deep = gd.minimize(lambda x: jnp.log(jnp.maximum(x, 0)), 1.0, fixed_step(0.25))
    assert deep.stop is Stop.DIVERGED and "fall without end" in str(deep)


@pytest.mark.parametrize(
    "how, wrap",
    [
        pytest.param(nelder_mead(), lambda f: f, marks=pytest.mark.nightly),
        (coordinate(), jax.jit),
        (fixed_step(1e-3), lambda f: f),
    ],
    ids=["nelder_mead", "coordinate, jit", "fixed_step"],
)
def test_a_search_is_differentiated_by_its_solution(how, wrap):
    def minimum(a, **options):  # x = (a/3, 0.2): 2 (x - a) + 4 x = 0; the second is held
        f = lambda p, a: jnp.sum((p - a) ** 2 + 2 * p**2)  # noqa: E731
        return gd.minimize(f, jnp.zeros(2), how, args=(a,), onto=box(-9.0, jnp.array([9.0, 0.2])), **options)

    both = lambda found: (found.params, found.value)  # noqa: E731
    params_slope, value_slope = wrap(jax.jacobian(lambda a: both(minimum(a))))(1.5)
    np.testing.assert_allclose(params_slope, [1 / 3, 0], atol=1e-6)
    value = 2 * (1.5 - 0.5) + 4 * 0.0 + 2 * (1.5 - 0.2)  # df/da at the solution
    assert value_slope == pytest.approx(value, rel=1e-2)
    with pytest.raises(ValueError, match="minimize: to be differentiated"):
        jax.grad(lambda a: minimum(a, max_steps=2).value)(1.5)


@pytest.mark.parametrize("of", [jax.grad, pytest.param(jax.jacfwd, marks=pytest.mark.nightly)], ids=["grad", "jacfwd"])
def test_a_search_is_differentiated_by_what_its_function_has_captured(of):
    def minimum(a):  # x = a/3
        b = jnp.array([a, 5.0])
        return gd.minimize(lambda p: jnp.sum((p - b[0]) ** 2 + 2 * p**2), 0.0, fixed_step(1e-3)).params

    assert of(minimum)(2.0) == pytest.approx(1 / 3, rel=1e-5)


def test_nelder_mead_walks_as_that_of_scipy():
    """Sixty rounds of every kind (reflection, expansion, both contractions, shrinking) with the adaptive coefficients."""

    def rough(x):
        return jnp.sum(jnp.abs(x - jnp.array([1.0, -2.0, 0.5])) ** 0.7) + jnp.sum(jnp.sin(40 * x) ** 2)

    with jax.enable_x64(True):
        value = jax.jit(rough)
        for start in np.random.default_rng(0).normal(size=(8, 3)):
            path = gd.minimize(
                rough, start, nelder_mead(0.1, xtol=0.0, ftol=0.0), max_steps=60, record=True
            ).path.params
            options = {"initial_simplex": np.vstack([start, start + np.diag(0.1 * start)]), "adaptive": True}
            options |= {"maxiter": 60, "maxfev": 10**6, "xatol": 0, "fatol": 0, "return_all": True}
            theirs = scipy.optimize.minimize(lambda x: float(value(x)), start, method="Nelder-Mead", options=options)
            np.testing.assert_allclose(path[1:60], theirs.allvecs[1:60], rtol=1e-9)


@pytest.mark.parametrize("name", [*METHODS, "newton", "bfgs"])
def test_without_a_number_to_move_the_start_is_the_end(name):
    for params in (jnp.zeros((0,)), {"a": np.zeros((0, 3), np.float32), "b": ()}):
        method = {**METHODS, **gd.OPTIMIZERS}[name](*(0.1,) * (name in ("fixed_step", "sign_step")))
        found = gd.minimize(lambda p: 3.0 + sum(jnp.sum(x) for x in jax.tree.leaves(p)), params, method, max_steps=5)
        assert (gd.Stop(int(found.stop)), float(found.value), int(found.steps)) == (gd.Stop.CONVERGED, 3, 0)
        assert jax.tree.structure(found.params) == jax.tree.structure(params) and "CONVERGED" in str(found)
    with pytest.raises(ValueError, match="at least one array"):
        gd.minimize(lambda p: jnp.array(3.0), {}, method)
