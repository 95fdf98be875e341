"""Line searches, quasi-Newton, Newton and least-squares methods: closed forms, oracles followed step by step, rounding."""

import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gdjax as gd
from gdjax.certify.oracles.second_order import gauss_newton, levenberg_marquardt, newton, nonlinear_cg
from gdjax.certify.oracles.second_order.follow import follow
from gdjax.optimizers.second_order.nonlinear_cg import CG_METHODS


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


CURVATURE = np.array([1.0, 3.0, 10.0, 40.0, 100.0])
TURN = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
MATRIX = TURN @ np.diag(CURVATURE) @ TURN.T
BEST = np.arange(1.0, 6.0)


def quadratic(x):
    return 0.5 * (x - BEST) @ MATRIX @ (x - BEST)


@functools.partial(jax.jit, static_argnums=(0, 3))
def run(value_fn, node, params, steps):
    """The parameters before each step and after the last, the values there, and the evaluations by each step's search."""

    def body(carry, _):
        params, state = carry
        value, grad = jax.value_and_grad(value_fn)(params)
        ascent = jax.tree.map(jnp.conj, grad)
        updates, new = node.update(ascent, state, params, value=value, grad=grad, value_fn=value_fn)
        evaluations = optax.tree.get(new, "num_linesearch_steps", 0)
        return (optax.apply_updates(params, updates), new), (params, value, jnp.asarray(evaluations, jnp.int32))

    (last, state), (path, values, evaluations) = jax.lax.scan(body, (params, node.init(params)), length=steps)
    path = jax.tree.map(lambda xs, x: jnp.concatenate([xs, x[None]]), path, last)
    return path, jnp.append(values, value_fn(last)), evaluations, state


EXACT = gd.zoom(curv_rtol=1e-10, stepsize_precision=1e-12, max_linesearch_steps=40)


def phi(t):
    """Of slope -1 at 0, least at 1.6, with a hump behind."""
    return -t / (t**2 + 2) + 0.02 * t**2


@jax.jit
def search_phi(search, step):
    value, grad = jax.value_and_grad(phi)(0.0)
    return search.search(phi, jnp.zeros(()), jnp.ones(()), value, grad, step)


@pytest.mark.parametrize("curv_rtol", [0.9, 0.1, 1e-3])
def test_zoom_finds_the_strong_wolfe_conditions(curv_rtol):
    value, grad = jax.value_and_grad(phi)(0.0)
    for step in (1e-3, 0.1, 1.0, 10.0, 1e3):
        found = search_phi(gd.zoom(curv_rtol=curv_rtol, initial_guess_strategy="keep").canonicalize(), step)
        slope = jax.grad(phi)(found.step)
        assert not found.failed and found.evaluations <= 15
        assert phi(found.step) <= value + 1e-4 * found.step * grad and abs(slope) <= curv_rtol * abs(grad)
        np.testing.assert_allclose([found.value, found.grad], [phi(found.step), slope], rtol=1e-12)


def test_a_search_says_no_where_there_is_nothing_to_gain():
    """Uphill, at a minimum, and along a line on which the loss is not finite but at its start."""
    for function, at in ((lambda x: x, 0.0), (lambda x: jnp.where(x == 0, -x, jnp.nan), 0.0)):
        for search in (gd.zoom(), gd.backtracking()):
            found = search.search(function, jnp.asarray(at), jnp.ones(()), jnp.zeros(()), jax.grad(function)(at))
            assert found.failed and found.step == 0 and found.value == 0 and np.isfinite(found.grad)
    still = gd.zoom().search(lambda x: x**2, jnp.zeros(()), jnp.ones(()), jnp.zeros(()), jnp.zeros(()))
    assert not still.failed and still.step == 0 and still.evaluations == 0


@pytest.mark.parametrize("search", [gd.zoom(), gd.backtracking(max_learning_rate=1e6, decrease_factor=0.3)])
def test_a_wall_of_infinity_is_stepped_back_from(search):
    def barrier(x):
        return x - jnp.log(jnp.where(x < 3, 3 - x, jnp.nan)) * 0.1 - 2 * x

    value, grad = jax.value_and_grad(barrier)(0.0)
    found = search.search(barrier, jnp.zeros(()), jnp.ones(()), value, grad, 1e4)
    assert not found.failed and 0 < found.step < 3 and found.value < value


def test_a_search_that_runs_out_takes_the_best_it_saw():
    search = gd.zoom(max_linesearch_steps=3, curv_rtol=1e-12, stepsize_precision=0.0, initial_guess_strategy="keep")
    found = search_phi(search.canonicalize(), 10.0)
    assert found.failed and found.evaluations <= 4 and found.value < phi(0.0)
    np.testing.assert_allclose([found.value, found.grad], [phi(found.step), jax.grad(phi)(found.step)], rtol=1e-14)


def test_backtracking_takes_the_lengths_of_optax():
    ours = gd.line_search(gd.sgd(1.0), gd.backtracking(15, decrease_factor=0.5, approx_dec_rtol=None))
    theirs = optax.chain(optax.sgd(1.0), optax.scale_by_backtracking_linesearch(15, decrease_factor=0.5))
    start = jnp.array([-1.0, 2.0, 0.5])
    mine = run(rosenbrock, ours, start, 40)
    np.testing.assert_allclose(mine[0], run(rosenbrock, gd.as_optimizer(theirs), start, 40)[0], rtol=1e-9)
    assert mine[1][-1] < 0.1 * mine[1][0]


def test_a_line_search_behind_any_optimizer_never_goes_up():
    values = run(rosenbrock, gd.line_search(optax.adam(0.1)), jnp.array([-1.0, 2.0, 0.5]), 50)[1]
    assert np.all(np.diff(values) <= 1e-12 * np.abs(values[:-1])) and values[-1] < 0.1 * values[0]


def test_the_search_evaluates_the_loss_in_one_place():
    """Traced once however long it searches; value and gradient at hand are not computed again."""
    traced = []

    def counting(x):
        traced.append(x)
        return rosenbrock(x)

    x = jnp.array([-1.0, 2.0])
    value, grad = jax.value_and_grad(rosenbrock)(x)
    for node in (gd.lbfgs(), gd.bfgs(), gd.nonlinear_cg(), gd.lbfgs(linesearch=gd.backtracking())):
        traced.clear()
        jax.eval_shape(
            lambda state, node=node: node.update(grad, state, x, value=value, grad=grad, value_fn=counting),
            node.init(x),
        )
        assert len(traced) == 1


MINIMIZERS = {
    "lbfgs": (gd.lbfgs(), 100),
    "lbfgs, backtracking": (gd.lbfgs(linesearch=gd.backtracking()), 150),
    "lbfgs, search of Optax": (
        gd.lbfgs(linesearch=optax.scale_by_zoom_linesearch(20, initial_guess_strategy="one")),
        100,
    ),
    "bfgs": (gd.bfgs(), 100),
    "newton, cg": (gd.newton(solver="cg"), 200),
    "cg, polak_ribiere": (gd.nonlinear_cg(), 300),
    "cg, hager_zhang": (gd.nonlinear_cg(method="hager_zhang"), 300),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.nightly] * (name not in ("lbfgs", "newton, cg", "cg, polak_ribiere")))
        for name in MINIMIZERS
    ],
)
def test_the_minimum_of_rosenbrock_is_found_as_optax_finds_it(name):
    node, steps = MINIMIZERS[name]
    path, values, *_ = run(rosenbrock, node, jnp.array([-1.2, 1.0, -0.5]), steps)
    theirs = run(rosenbrock, gd.as_optimizer(optax.lbfgs()), jnp.array([-1.2, 1.0, -0.5]), 100)
    assert values[-1] < 1e-16
    np.testing.assert_allclose(path[-1], theirs[0][-1], atol=1e-8)


@pytest.mark.parametrize("node", [gd.lbfgs(), gd.nonlinear_cg()])
def test_in_single_precision_the_end_is_quiet(node):
    """At the bottom steps of rounding are neither NaN nor searched for at length, and never lead up."""

    def loss(x):
        return 3.0 + quadratic(x).astype(jnp.float32)

    path, values, evaluations, _ = run(loss, node, jnp.zeros(5, jnp.float32), 60)
    assert np.isfinite(path).all() and np.abs(path[-1] - BEST).max() < 1e-2
    assert np.all(np.diff(values) <= 4 * np.finfo(np.float32).eps * 3) and values[-1] < 3 + 1e-5
    assert np.mean(evaluations[30:]) < 8


@pytest.mark.parametrize("methods", [CG_METHODS[1:2], pytest.param(CG_METHODS[:4], marks=pytest.mark.nightly)], ids=len)
def test_exact_searches_on_a_quadratic_end_in_n_steps_and_all_are_conjugate_gradients(methods):
    start = jnp.zeros(5)
    nodes = [gd.bfgs(linesearch=EXACT), gd.lbfgs(linesearch=EXACT)]
    nodes += [gd.nonlinear_cg(method=method, linesearch=EXACT) for method in methods]
    paths = [run(quadratic, node, start, 5)[0] for node in nodes]
    expected = follow(
        nonlinear_cg.nonlinear_cg,
        start,
        lambda x: (0.0, MATRIX @ (x - BEST)),
        5,
        lambda x, u: -(MATRIX @ (x - BEST)) @ u / (u @ MATRIX @ u),
        learning_rate=None,
        method="fletcher_reeves",
        restart=np.inf,
    )
    np.testing.assert_allclose(expected[-1], BEST, rtol=1e-9)
    for path in paths:
        np.testing.assert_allclose(path, expected, atol=1e-5)


def test_newton_is_there_in_one_step_and_turns_away_from_a_saddle():
    for solver in ("dense", "cg"):
        node = gd.newton(solver=solver, linesearch=None, cg_rtol=1e-12)
        np.testing.assert_allclose(run(quadratic, node, jnp.zeros(5), 1)[0][1], BEST, rtol=1e-9)
        saddle = lambda x: 0.25 * x[1] ** 4 + 0.5 * (x[0] ** 2 - x[1] ** 2)  # noqa: E731
        path, values, *_ = run(saddle, gd.newton(solver=solver), jnp.array([1.0, 0.1]), 20)
        assert values[-1] == pytest.approx(-0.25) and np.abs(path[-1]) == pytest.approx([0, 1], abs=1e-8)


def to_numpy(function):
    compiled = jax.jit(function)
    return lambda x: np.asarray(compiled(jnp.asarray(x)))


def test_newton_follows_its_oracles():
    start, gradient = jnp.array([-1.2, 1.0, 0.5]), to_numpy(jax.grad(rosenbrock))
    hessian = to_numpy(jax.hessian(rosenbrock))
    dense = run(rosenbrock, gd.newton(damping=0.5, solver="dense", linesearch=None), start, 12)[0]
    expected = newton.newton(start, gradient, hessian, 12, 0.5)
    np.testing.assert_allclose(dense, expected, rtol=1e-9)
    cg = run(rosenbrock, gd.newton(solver="cg", linesearch=None), start, 12)[0]
    np.testing.assert_allclose(cg, newton.newton_cg(start, gradient, hessian, 12), rtol=1e-7)


def rosenbrock_residuals(x):
    return {"valley": 10 * (x[1:] - x[:-1] ** 2), "floor": 1 - x[:-1]}


def flat_residuals(x):
    return jnp.concatenate(jax.tree.leaves(rosenbrock_residuals(x)))


def test_least_squares_follow_their_oracles():
    start, r, j = jnp.array([-1.2, 1.0]), to_numpy(flat_residuals), to_numpy(jax.jacfwd(flat_residuals))
    lm = run(rosenbrock, gd.levenberg_marquardt(rosenbrock_residuals, 1e-2), start, 30)[0]
    expected = levenberg_marquardt.levenberg_marquardt(start, r, j, 30, 1e-2)
    np.testing.assert_allclose(lm[:-8], expected[:-8], rtol=1e-7)
    np.testing.assert_allclose(lm[-1], 1, rtol=1e-12)
    assert any(np.array_equal(a, b) for a, b in itertools.pairwise(lm[:-8])), "no step was refused"
    gauss = run(rosenbrock, gd.gauss_newton(rosenbrock_residuals, linesearch=None), start, 3)[0]
    np.testing.assert_allclose(gauss, gauss_newton.gauss_newton(start, r, j, 3), rtol=1e-9)
    np.testing.assert_allclose(gauss[2], 1, rtol=1e-12)  # of one residual each for both unknowns: two steps


def flat_valley(x):
    """Ill-conditioned enough that normal equations would be singular in double precision."""
    return jnp.array([1.0, 1e-9]) * (x - 1.0)


def one_equation(x):
    return jnp.sum(x) - 3.0


def test_least_squares_of_bad_condition_and_of_too_few_equations():
    zero = jnp.zeros(2)
    lm = run(lambda x: x[0], gd.levenberg_marquardt(flat_valley, 1e-20), zero, 20)[0]
    np.testing.assert_allclose(lm[-1], 1, rtol=1e-5)
    gauss = run(lambda x: x[0], gd.gauss_newton(one_equation), zero, 2)[0]
    np.testing.assert_allclose(gauss[1], 1.5)  # the shortest of all solutions
    assert np.isfinite(run(lambda x: x[0], gd.levenberg_marquardt(one_equation), zero, 20)[0]).all()


def wavy(x):
    return jnp.stack([x[0] + jnp.sin(3 * x[1]), x[1] - 0.3 * jnp.cos(2 * x[0])]) + 0.5


def test_a_searched_gauss_newton_and_levenberg_marquardt_never_go_up():
    for node in (gd.gauss_newton(wavy), gd.gauss_newton(wavy, linesearch=gd.zoom()), gd.levenberg_marquardt(wavy)):
        path = run(lambda x: x[0], node, jnp.array([3.0, -2.0]), 40)[0]
        values = 0.5 * np.sum(np.asarray(jax.vmap(wavy)(path)) ** 2, axis=1)
        assert np.all(np.diff(values) <= 1e-15) and values[-1] < 0.9 * values[0]


def test_lbfgs_is_that_of_optax_at_a_fixed_rate():
    """On the gradients of a bowl; where curvature is negative Optax's goes up and ours does not."""
    tree, rng = {"a": jnp.zeros(2), "b": jnp.ones((1, 3))}, np.random.default_rng(0)
    ours, theirs = (f(0.05, 4, linesearch=None) for f in (gd.lbfgs, optax.lbfgs))
    points = [jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), tree) for _ in range(20)]

    @jax.jit
    def updates(points):
        def body(states, p):
            grad = jax.grad(lambda p: quadratic(jnp.concatenate([p["a"], p["b"][0]])))(p)
            one, two = ours.update(grad, states[0], p), theirs.update(grad, states[1], p)
            return (one[1], two[1]), (one[0], two[0])

        return jax.lax.scan(body, (ours.init(tree), theirs.init(tree)), points)[1]

    mine, reference = updates(jax.tree.map(lambda *x: jnp.stack(x), *points))
    chex.assert_trees_all_close(mine, reference, rtol=1e-12)
    slopes = []  # on the hill of sum cos(x)
    for node in (ours, theirs):
        x = jnp.array([0.3, 0.4])
        state, update = node.init(x), jax.jit(node.update)
        for _ in range(2):
            grad = -jnp.sin(x)
            u, state = update(grad, state, x)
            x = x + u
        slopes.append(float(grad @ u))
    assert slopes[0] < 0 < slopes[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "node",
    [
        gd.lbfgs(1.0, scale_init_precond=False, linesearch=None),
        gd.lbfgs(1.0, linesearch=None),
        gd.bfgs(1.0, linesearch=None),
    ],
    ids=["lbfgs", "scaled lbfgs", "bfgs"],
)
def test_a_product_that_is_rounding_teaches_nothing(node, dtype):
    """s and y at right angles but for rounding: a pair of them would ask for a step of |s|²/s'y."""
    p, g, s, y = (np.array(x, dtype) for x in ([1.4, 1.3], [0.3, -0.2], [0.02, 0.01], [-0.01, 0.02]))
    y = y + s * np.array(64 * np.finfo(dtype).eps, dtype)
    update = jax.jit(node.update)  # one program of both
    _, state = update(g, node.init(p), p)
    u, _ = update(g + y, state, p + s)
    np.testing.assert_allclose(u, -(g + y), rtol=1e-6)  # |g| < 1: nothing is known, and nothing is shortened


def test_bfgs_is_not_held_up_by_the_scale_of_its_first_pair():
    """Condition 1,000: 22 steps where the slope is halved, 59 where unit steps of too small a scale are taken."""
    curvature = np.geomspace(1.0, 1000.0, 10)
    found = gd.minimize(
        lambda x: 0.5 * jnp.sum(curvature * x**2), np.ones(10), gd.bfgs(), stop=gd.stopping.gradient_norm(1e-6)
    )
    assert found.stop == gd.Stop.CONVERGED and found.steps <= 40


def test_zoom_halves_an_interval_that_does_not_shrink():
    """Before a wall a cubic goes a tenth of the way: 110 trials to a width of 1e-5, where halving takes 30."""
    wall = lambda t: jnp.where(t > 0.7, 1e30, -t)  # noqa: E731
    search = gd.zoom(curv_rtol=0.1, max_linesearch_steps=60)
    found = search.search(wall, jnp.zeros(()), jnp.ones(()), jnp.zeros(()), -jnp.ones(()), 1.0)
    assert found.evaluations < 45 and 0.699 < found.step < 0.7


def test_conjugate_gradients_start_again_where_gradients_are_not_orthogonal():
    """Opposed as well as alike: |g'g*| >= restart g'g."""
    node = gd.nonlinear_cg(0.1, linesearch=None)
    for g, restarts in (([-0.5, 1.0], True), ([0.5, 1.0], True), ([0.1, 1.0], False), ([-0.1, 1.0], False)):
        g, old = np.array(g), np.array([1.0, 0.0])
        _, state = node.update(old, node.init(old), old)
        u, _ = node.update(g, state, old)
        beta = 0.0 if restarts else g @ (g - old)
        np.testing.assert_allclose(u, 0.1 * (-g - beta * old), rtol=1e-12)


@pytest.mark.parametrize("method", CG_METHODS)
def test_each_formula_of_conjugate_gradients_has_its_value(method):
    rng = np.random.default_rng(5)
    steep = np.array([1.0, 0, 0, 0]), np.array([-2.0, 100, 0, 0])  # where hager_zhang ends at eta
    for old, g in [*(rng.normal(size=(2, 4)) for _ in range(3)), steep]:
        node, d, y = gd.nonlinear_cg(0.1, method=method, restart=np.inf, linesearch=None), -old, g - old
        eta = -1 / (np.linalg.norm(d) * min(0.01, np.linalg.norm(old)))
        beta = {
            "fletcher_reeves": g @ g / (old @ old),
            "polak_ribiere": max(0, g @ y / (old @ old)),
            "hestenes_stiefel": max(0, g @ y / (d @ y)),
            "dai_yuan": g @ g / (d @ y),
            "hager_zhang": max(eta, (y - 2 * d * (y @ y) / (d @ y)) @ g / (d @ y)),
        }[method]
        bent = -g + beta * d
        _, state = node.update(old, node.init(old), old)
        u, _ = node.update(g, state, old)
        np.testing.assert_allclose(u, 0.1 * (bent if bent @ g < 0 else -g), rtol=1e-10)


def test_one_infinite_gradient_is_forgotten():
    ours, theirs = gd.lbfgs(0.1, linesearch=None), optax.lbfgs(0.1, linesearch=None)
    finite = []
    for node in (ours, theirs, gd.bfgs(0.1, linesearch=None), gd.nonlinear_cg(0.1, linesearch=None)):
        x = jnp.ones(3)
        state, update = node.init(x), jax.jit(node.update)
        for i in range(6):
            grad = x * np.array([1.0, -np.inf if i == 2 else 2.0, 3.0])
            u, state = update(grad, state, x)
            x = x + jnp.where(jnp.isfinite(u), u, 0)
        finite.append(bool(np.isfinite(u).all()))
    assert finite == [True, False, True, True]


def test_value_and_gradient_are_found_in_the_state():
    node, x = gd.lbfgs(), jnp.array([-1.2, 1.0])
    state = node.init(x)

    @jax.jit
    def step(x, state):
        value, grad = optax.value_and_grad_from_state(rosenbrock)(x, state=state)
        updates, state = node.update(grad, state, x, value=value, grad=grad, value_fn=rosenbrock)
        return optax.apply_updates(x, updates), state, grad

    for _ in range(40):
        new, state, grad = step(x, state)
        np.testing.assert_allclose(grad, jax.grad(rosenbrock)(x), rtol=1e-9, atol=1e-9)
        x = new
    np.testing.assert_allclose(x, 1, rtol=1e-8)


@pytest.mark.parametrize("search", [gd.zoom(), pytest.param(gd.backtracking(), marks=pytest.mark.nightly)])
def test_a_loop_of_updates_alone_evaluates_in_one_place(search):
    """From value and gradient of the state, infinite and zero at first: the first update moves nothing and finds them."""
    node, traced = gd.lbfgs(linesearch=search), []

    def counting(x):
        traced.append(x)
        return rosenbrock(x)

    @jax.jit
    def minimize(x):
        def body(carry, _):
            x, state = carry
            last = state.linesearch
            updates, state = node.update(last.grad, state, x, value=last.value, grad=last.grad, value_fn=counting)
            return (optax.apply_updates(x, updates), state), x

        return jax.lax.scan(body, (x, node.init(x)), length=80)

    (x, _), path = minimize(jnp.array([-1.2, 1.0]))
    assert len(traced) == 1 and np.array_equal(path[0], path[1]) and not np.array_equal(path[1], path[2])
    np.testing.assert_allclose(x, 1, rtol=1e-8)


def test_complex_parameters_are_pairs_of_real_ones():
    def loss(z):
        return quadratic(jnp.concatenate([z["z"].real, z["z"].imag, z["x"]]))

    def real_loss(p):  # in the order of the complex one's vector: leaves by name, real before imaginary parts
        return quadratic(jnp.concatenate([p["y"], p["z"], p["x"]]))

    start = {"x": jnp.zeros(1), "z": jnp.zeros(2, complex)}
    node = gd.lbfgs()
    path, values, *_ = run(loss, node, start, 30)
    real = run(real_loss, node, {"x": jnp.zeros(1), "y": jnp.zeros(2), "z": jnp.zeros(2)}, 30)[0]
    assert values[-1] < 1e-16
    np.testing.assert_allclose(path["z"][:4], real["y"][:4] + 1j * real["z"][:4], rtol=1e-7, atol=1e-9)


def test_what_is_missing_is_said_or_computed():
    x = jnp.array([-1.2, 1.0])
    value, grad = jax.value_and_grad(rosenbrock)(x)
    for node in (gd.lbfgs(), gd.bfgs(), gd.nonlinear_cg(), gd.newton(linesearch=None), gd.line_search(gd.sgd(1.0))):
        with pytest.raises(ValueError, match=r"update needs params and value_fn="):
            node.update(grad, node.init(x), x)
    node = gd.line_search(gd.sgd(1.0))
    state = node.init(x)
    given = node.update(grad, state, x, value=value, grad=grad, value_fn=rosenbrock)[0]
    np.testing.assert_array_equal(given, node.update(grad, state, x, value_fn=rosenbrock)[0])
    scaled = node.update(grad, state, x, value_fn=lambda x, a: a * rosenbrock(x), a=1.0, weight=2)[0]
    np.testing.assert_allclose(scaled, given)
    for bad in (lambda: gd.lbfgs(memory_size=0), lambda: gd.nonlinear_cg(method="x"), lambda: gd.newton(solver="x")):
        with pytest.raises(ValueError, match="must be"):
            bad()


def test_a_new_number_in_a_search_compiles_nothing():
    step = jax.jit(lambda node, x: node.update(jax.grad(rosenbrock)(x), node.init(x), x, value_fn=rosenbrock)[0])
    nodes = [gd.lbfgs(linesearch=gd.zoom(curv_rtol=c)).canonicalize() for c in (0.9, 1e-6)]
    outs = [step(node, jnp.array([-1.2, 1.0])) for node in nodes]
    assert step._cache_size() == 1 and not np.allclose(*outs)
    assert repr(gd.lbfgs(linesearch=gd.zoom(curv_rtol=0.1))) == "lbfgs(linesearch=zoom(curv_rtol=0.1))"


def test_second_order_methods_in_a_training_run():
    """make_step passes value, grad and value_fn."""
    x = np.random.default_rng(0).normal(size=(64, 5))
    data = (x, x @ BEST)
    loss = gd.per_example(lambda p, example: (example[0] @ p - example[1]) ** 2)
    result = gd.fit(loss, jnp.zeros(5), gd.lbfgs(), data, epochs=30, batch_size=64)
    np.testing.assert_allclose(result.params, BEST, rtol=1e-5)


@pytest.mark.parametrize("small", [1e-3, 1e-9])
def test_soap_keeps_the_second_moment_with_its_eigenvector(small):
    """A matrix of singular values 1 and `small` that turns slowly: no step is longer than Adam's, one rate and a little.

    A basis refreshed from its smallest eigenvector up takes the largest in its place, and divides it by `small`'s moment.
    """
    angle = 0.01 * np.arange(40)
    turn = np.stack([np.stack([np.cos(angle), -np.sin(angle)], -1), np.stack([np.sin(angle), np.cos(angle)], -1)], -2)
    optimizer = gd.soap(1.0, b2=0.999, weight_decay=0.0, precondition_frequency=5).canonicalize()

    def body(state, g):
        updates, state = optimizer.update(g, state, jnp.zeros_like(g))
        return state, updates

    _, updates = jax.lax.scan(body, optimizer.init(jnp.zeros((2, 2))), jnp.asarray(turn * np.array([1.0, small])))
    assert 0.9 < np.abs(updates).max() < 1.5
