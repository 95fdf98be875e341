"""Mathematics as typed: read as meant, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdjax.expression import FUNCTIONS, ExpressionError, expression


@pytest.mark.parametrize(
    "text, values, result",
    [
        ("(x-2)^2", {"x": 5.0}, 9),
        ("x^2 + 10*y^2", {"x": 1.0, "y": 2.0}, 41),
        ("-x^2", {"x": 3.0}, -9),
        ("2^-x", {"x": 2.0}, 0.25),
        ("2^3^2", {}, 512),
        ("x**2/4", {"x": 6.0}, 9),
        ("sin(pi*x) + e - e", {"x": 0.5}, 1),
        ("max(x, 0) - min(x, 0)", {"x": -3.0}, 3),
        ("sigm(x)", {"x": 0.0}, 0.5),
        ("+x - -x", {"x": 2.0}, 4),
        ("1e-3*x", {"x": 2.0}, 0.002),
    ],
)
def test_values(text, values, result):
    read = expression(text)
    assert set(read.variables) == set(values)
    np.testing.assert_allclose(read(values), result, rtol=1e-5)


@settings(deadline=None)
@given(st.floats(-3, 3), st.floats(-3, 3))
def test_against_python(x, y):
    """The precedence is Python's, whose own answer is the judge."""
    text = "x*y - x/(2+y^2) + -x^3*2 - (x-y)^2"
    with jax.enable_x64(True):
        ours = float(expression(text)({"x": x, "y": y}))
    assert ours == pytest.approx(eval(text.replace("^", "**"), {}, {"x": x, "y": y}), rel=1e-12, abs=1e-12)


def test_derivatives():
    slope = jax.grad(expression("x^3"))({"x": -2.0})["x"]  # a whole power of a negative number
    assert slope == 12
    assert jax.grad(expression("x^0"))({"x": 0.0})["x"] == 0
    assert jax.jit(expression("x*y"))({"x": 2.0, "y": 3.0}) == 6


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_can_be_named(name):
    arguments = ", ".join(["x"] * FUNCTIONS[name][1])
    assert jnp.isfinite(expression(f"{name}({arguments})")({"x": 0.5}))


@pytest.mark.parametrize(
    "text, message",
    [
        ("foo(x)", "no function 'foo'"),
        ("sinn(x)", "did you mean 'sin'"),
        ("sin(x, y)", "sin takes 1 argument"),
        ("__import__('os')", "no function '__import__'"),
        ("x.real", "cannot read 'x.real'"),
        ("x[0]", "cannot read"),
        ("lambda: 1", "cannot read"),
        ("x if x else 1", "cannot read"),
        ("(x", "cannot read"),
        ("x; y", "cannot read"),
        ("'text'", "cannot read"),
        ("True*x", "cannot read 'True'"),
        ("1j*x", "cannot read '1j'"),
        ("sin + x", "cannot read 'sin'"),
        ("x = 2", "cannot read"),
        ("", "1 to 2000 characters"),
        ("x" * 3000, "1 to 2000 characters"),
        ("(" * 500 + "x" + ")" * 500, "cannot read"),
    ],
)
def test_anything_else_is_refused_in_one_line(text, message):
    with pytest.raises(ExpressionError, match=message.replace("(", r"\(")) as error:
        expression(text)
    assert "\n" not in str(error.value)


def test_missing_and_impossible_values():
    with pytest.raises(ExpressionError, match="no value for y"):
        expression("x + y")({"x": 1.0})
    with pytest.raises(ExpressionError, match="division by zero"):
        expression("x + 1/0")({"x": 1.0})


def test_equal_by_text():
    assert expression("x^2") == expression(" x^2 ") and hash(expression("x^2")) == hash(expression("x^2"))
