"""Minima of expressions that can be known, and what is said of points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdjax as gd
from gdjax.expression import CONSTANTS, parse
from gdjax.problems.reading import read_function
from gdjax.solve.known_minima import with_known_minima
from gdjax.solve.minimum import describe_point
from gdjax.solve.shape import shape_of

KNOWN = {  # expression, where runs have ended -> every minimum that is known
    "(x-3.5)^2": ([], [3.5]),
    "2*x*x - 3*x + pi": ([], [0.75]),
    "x^2 + x*y + y^2 - 3*x": ([], [[2.0, -1.0]]),
    "1000000*(a-2000)^2 + 0.001*b^2": ([], [[2000.0, 0.0]]),
    "(x-7)^4": ([], [7.0]),
    "x^4 - 8*x^2 + 3": ([], [-2.0, 2.0]),
    "x^6/6 - x^5/5 - x^4/4 + x^3/3": ([], [-1.0]),
    "(a-1)^2 + b^4 - 2*b^2 + (c-2)^2/3": ([], [[1.0, -1.0, 2.0], [1.0, 1.0, 2.0]]),
    "(1-x)^2 + 100*(y-x^2)^2": ([[0.98, 0.961], [5.0, -30.0]], [[1.0, 1.0]]),
    "(x^2+y-11)^2 + (x+y^2-7)^2": (
        [[3.1, 1.9], [2.9, 2.1], [-2.8, 3.1]],
        [[3.0, 2.0], [-2.805118086952745, 3.131312518250573]],
    ),
    "exp(x) - 2*x": ([0.5], [np.log(2)]),
    "exp(2*x-1) + exp(-x) + y^2": ([[0.1, 0.3]], [[(1 - np.log(2)) / 3, 0.0]]),
    "softplus(x) + softplus(-x) + 0.1*x^2": ([0.3], [0.0]),
    "-cos(3*x)": ([0.1, 2.0], [0.0, 2 * np.pi / 3]),
    "sqrt(1 + (x-4)^2)": ([3.9], [4.0]),
}
UNKNOWN = {
    "2*x": [1.0],
    "x^3": [0.0],
    "x^2 - 3*y^2": [[0.0, 0.0]],
    "(x-y)^2": [[1.0, 1.0]],
    "x^2 + 3*sin(2*x)": [-0.7],
    "exp(-x)": [30.0],
    "x^4 + x*y + y^4": [[0.4, -0.4]],
    "max(x, -2*x)": [0.0],
}


@pytest.mark.parametrize("text", KNOWN)
def test_the_minima_of_an_expression_are_known(text):
    ends, wanted = KNOWN[text]
    with jax.enable_x64(True):
        problem = with_known_minima(read_function(text).problem, ends)
    assert len(problem.minima) == len(wanted)
    for point, right in zip(problem.minima, wanted, strict=True):
        np.testing.assert_allclose(point, right, rtol=1e-9, atol=1e-9)
        assert np.shape(point) == np.shape(problem.start)
    assert problem.distance(np.asarray(wanted[-1]) + 0.25) == pytest.approx(
        0.25 * np.sqrt(np.size(wanted[-1])), abs=1e-8
    )


@pytest.mark.parametrize("text", UNKNOWN)
def test_where_none_can_be_known_none_is_said(text):
    with jax.enable_x64(True):
        assert with_known_minima(read_function(text).problem, UNKNOWN[text]).minima == ()


@pytest.mark.parametrize("name", ["rosenbrock", "waves"])
def test_a_problem_of_ours_keeps_what_it_knows(name):
    problem = read_function(name).problem
    assert with_known_minima(problem, [problem.start]) is problem


SHAPED = [
    *("x^2", "-x^2", "(x-1)^2 * 3", "x^3", "x^5 - 2", "exp(x^2)", "1/(1+x^2)", "x/(2+x*x)", "log(1+x^2)", "sqrt(x)"),
    *(
        "exp(-x)",
        "softplus(2*x-1) - x",
        "abs(x-1) + 2",
        "cosh(x/2)",
        "max(x, -x)",
        "min(2*x, 1)",
        "tanh(x) + sigmoid(x)",
    ),
    *(
        "sin(x) * 2 + 1",
        "2^x",
        "x^1.5",
        "x^0.5",
        "x^-2",
        "(exp(x)+1)^2",
        "(x-3)/-2",
        "relu(-x)",
        "1/exp(x)",
        "atan(x) - sign(x)",
    ),
    *(
        "log(x) * -2",
        "x*x - x^4",
        "(sin(x)+2)^3",
        "-(x^2+1)^-1",
        "abs(-x^2)",
        "e^(x-1)",
        "0*x",
        "(1-x)*(x-1)",
        "(abs(x)-1)^2",
        "(1-exp(x))^2",
        "(x^2-2)^3",
    ),
]


@pytest.mark.parametrize("text", SHAPED)
def test_bounds_and_curvature_hold_at_every_point(text):
    """Against values: at 400 points no value is out of bounds, and no chord cuts a convex graph."""
    read, rng = parse(text), np.random.default_rng(3)
    shape = shape_of(read.tree, CONSTANTS)
    with jax.enable_x64(True):
        f = lambda x: np.asarray(jax.vmap(lambda x: read({"x": x}))(x), float)  # noqa: E731
        a, b = rng.normal(size=(2, 400)) * 3
        middle, sides = f((a + b) / 2), (f(a) + f(b)) / 2
    values, slack = np.concatenate([middle, f(a)]), 1e-9 * (1 + np.abs(sides))
    values = values[np.isfinite(values)]
    assert (values >= shape.low - 1e-9).all() and (values <= shape.high + 1e-9).all()
    known = np.isfinite(middle) & np.isfinite(sides)
    assert not shape.convex or (middle <= sides + slack)[known].all()
    assert not shape.concave or (middle >= sides - slack)[known].all()


def test_shapes_see_what_is_plain():
    plain = {
        "x^2": (0, np.inf, True),
        "exp(-x)+2": (2, np.inf, True),
        "3 - sin(x)^2": (2, 3, False),
        "-log(x)": (-np.inf, np.inf, True),
    }
    for text, (low, high, convex) in plain.items():
        assert shape_of(parse(text).tree, CONSTANTS)[:3] == (low, high, convex)


@pytest.mark.parametrize(
    "params, words",
    [
        (np.float32(2.0), "2"),
        (jnp.array([1.0, -0.25]), "(1, -0.25)"),
        (jnp.array([0.5], jnp.bfloat16), "(0.5,)"),
        (np.array([[1.0, 2.0], [3.0, 4.0]]), "((1, 2), (3, 4))"),
        ({"w": np.array([1.5, 2.0]), "b": 3.0}, "(b=3, w=(1.5, 2))"),
        ([1.0, {"k": 2.0}], "(0=1, 1.k=2)"),
        (np.array(1 + 2j), "1+2j"),
        (np.full((30, 4), 2.0), "[30, 4] of norm 21.91"),
        ({"w": np.ones((3, 4)), "b": np.zeros(3)}, "b[3], w[3, 4] of norm 3.464"),
        ([np.full(3, 1e200)] * 9, "9 arrays of 27 numbers of norm 5.196e+200"),
    ],
    ids=str,
)
def test_a_point_in_words(params, words):
    assert describe_point(params) == words


def test_a_printed_minimum_says_where_it_is():
    found = gd.minimize(lambda p: (p["u"] - 1) ** 2 + (p["v"] + 2) ** 2, {"u": 0.0, "v": 0.0}, gd.sgd(0.5))
    assert str(found).startswith("CONVERGED after 1 steps: value 0 at (u=1, v=-2), gradient norm 0")
    assert repr(found) == "Minimum(params=(u=1, v=-2), value=0, grad_norm=0, steps=1, stop=CONVERGED)"
    many = gd.minimize(lambda p: jnp.sum((p - 1) ** 2), jnp.zeros((40, 5)), gd.sgd(0.5))
    assert "at [40, 5] of norm 14.14" in str(many) and "\n" not in repr(many) and len(repr(many)) < 120
    lanes = jax.vmap(lambda x: gd.minimize(lambda x: (x - 1) ** 2, x, gd.sgd(0.5), max_steps=3))(jnp.arange(3.0))
    assert "params=[1. 1. 1.]" in repr(lanes) and lanes._repr_html_() is None
    traced = []
    jax.jit(lambda x: traced.append(repr(gd.minimize(lambda x: (x - 1) ** 2, x, gd.sgd(0.5), max_steps=3))))(1.0)
    assert "Tracer" in traced[0]
