"""A loss in any form that its signature makes plain, at every door; what is none gets one sentence."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdjax as gd
from gdjax.backprop import check_gradients, flow, watch
from gdjax.forms import as_loss
from gdjax.types import as_metric

RNG = np.random.default_rng(5)
X, W = RNG.normal(size=(12, 3)).astype(np.float32), np.array([0.3, -0.5, 1.1], np.float32)
Y = RNG.normal(size=12).astype(np.float32)
RESIDUAL = np.float64(X) @ np.float64(W) - np.float64(Y)
VALUE, GRADIENT = np.mean(RESIDUAL**2), 2 * np.float64(X).T @ RESIDUAL / 12


def squares(w, x, y):
    return jnp.mean((x @ w - y) ** 2)


def with_default(w, batch, scale=1.0, *, prng_key=None):
    return scale * squares(w, *batch)


FORMS = {
    "batch, scalar": lambda w, batch: squares(w, *batch),
    "batch, pair": lambda w, batch: (squares(w, *batch), {"size": jnp.sum(w)}),
    "key, scalar": lambda w, batch, rng: squares(w, *batch) + 0 * (0 if rng is None else jax.random.normal(rng)),
    "key, pair": lambda w, batch, key: (squares(w, *batch), {}),
    "spread": squares,
    "spread, key first": lambda w, rng_key, x, y: (squares(w, x, y), {"size": jnp.sum(w)}),
    "spread, positional only": lambda w, x, y, key, /: squares(w, x, y),
    "any number": lambda w, *rows: squares(w, *rows),
    "defaults": with_default,
    "jitted": jax.jit(lambda w, x, y: squares(w, x, y)),
    "partial": functools.partial(lambda scale, w, x, y: scale * squares(w, x, y), 1.0),
    "per example, spread": gd.per_example(lambda w, x, y: (x @ w - y) ** 2),
    "per example, keyed": gd.per_example(lambda w, x, y, prng_key: ((x @ w - y) ** 2, {"error": abs(x @ w - y)})),
    "stateful": gd.stateful(lambda w, state, batch, key: (squares(w, *batch), {}, state)),
}


def gradient(after):
    """That of one step of gradient descent at rate 1."""
    return W - np.asarray(after, np.float64)


RIGHT = {"value": VALUE, "gradient": GRADIENT, "norm": [np.linalg.norm(GRADIENT)]}


def step_once(loss):
    state, metrics = jax.jit(gd.make_step(loss))(gd.make_state(W, gd.sgd(1.0)), (X, Y))
    return {"value": metrics["loss"], "gradient": gradient(state.params)}


def fit_once(loss):
    result = gd.fit(loss, W, gd.sgd(1.0), (X, Y), steps=1, batch_size=12, order="sequence")
    return {"value": result.history["loss"][0], "gradient": gradient(result.params)}


def evaluate(loss):
    return {"value": gd.make_evaluate(loss, chunk_size=5)(W, (X, Y))["loss"]}


def look(loss):
    assert len(watch(loss, W, (X, Y)).layers) == 1
    return {"norm": flow(loss, W, (X, Y), gd.sgd(1.0)).gradient_norm}


def check(loss):
    checked = check_gradients(loss, W, (X, Y))
    assert checked.passed, str(checked)
    entries = {probe.direction: probe for probe in checked.probes}
    return {"gradient": [entries[f"[{i}]"].gradient for i in range(3)]}


CHECKED = (
    "batch, pair",
    "key, scalar",
    "spread",
    "spread, key first",
    "per example, spread",
)  # in float64, which compiles


def doors_and_forms():
    """All of them; the suite itself takes every form to one door and each third to the others."""
    for i, door in enumerate((step_once, fit_once, evaluate, look)):
        for j, form in enumerate(FORMS):
            marks = [pytest.mark.nightly] if i and (i + j) % 3 else []
            yield pytest.param(door, form, marks=marks)
    yield from (pytest.param(check, form, marks=[pytest.mark.nightly] * (form not in CHECKED[1:3])) for form in CHECKED)


@pytest.mark.parametrize(("door", "form"), list(doors_and_forms()))
def test_every_door_takes_every_form(door, form):
    for name, computed in door(FORMS[form]).items():
        np.testing.assert_allclose(computed, RIGHT[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_two_forms_of_equal_value_share_a_program():
    assert as_loss("test", squares) == as_loss("test", squares) != as_loss("test", FORMS["batch, pair"])


def branch(w, batch):
    if jnp.sum(w) > 0:
        return squares(w, *batch)
    return jnp.sum(w)


WRONG = {  # a loss, and what the sentence must say
    "one argument": (lambda w: jnp.sum(w), r"must take parameters and a batch, write loss\(params, batch\)"),
    "no names": (lambda *args: squares(*args), r"write loss\(params, batch\)"),
    "no function": (0.5, r"must be a function, .*got 0.5"),
    "another third": (
        lambda w, batch, k, more: squares(w, *batch),
        r"takes \(w, batch, k, more\).*only if it is called key",
    ),
    "gradient": (jax.grad(squares), "is this grad of the loss"),
    "value and gradient": (jax.value_and_grad(squares), "is this value_and_grad of the loss"),
    "rows": (lambda w, x, y: (x @ w - y) ** 2, r"got shapes \(12,\): per_example lifts"),
    "vector": (lambda w, batch: w * 1.0, "is this grad of the loss|take jnp.mean"),
    "nothing": (lambda w, batch: None, "is a return missing"),
    "aux that is no dict": (lambda w, x, y: (squares(w, x, y), x @ w), r"\(scalar, metrics dict\), got shapes"),
    "triple": (lambda w, x, y: (squares(w, x, y), {}, w), r"\(scalar, metrics dict\), got shapes"),
    "counted": (lambda w, x, y: jnp.sum(x @ w > y), "can be differentiated, got int32"),
    "complex": (lambda w, x, y: squares(w, x, y) * 1j, "can be differentiated, got complex64"),
    "NumPy": (lambda w, x, y: jnp.sum(np.sin(x @ w)), r"test_forms.py:\d+: .*; write jnp.sin"),
    "math": (lambda w, x, y: math.exp(jnp.sum(w)), r"test_forms.py:\d+: .*; write jnp.exp"),
    "float()": (lambda w, x, y: float(jnp.sum(w)), r"without float\(\)"),
    "if": (branch, r"if jnp.sum\(w\) > 0:; write jnp.where"),
    "rows by mask": (lambda w, x, y: jnp.sum(x[x @ w > 0]), r"write jnp.where\(mask, x, 0\)"),
    "a loss of predictions": (gd.losses.squared_error, r"per_example\(supervised\(model, squared_error\)\)"),
    "a metric": (gd.metrics.accuracy, r"per_example\(supervised\(model"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_loss_is_said_in_one_sentence(name):
    loss, message = WRONG[name]
    doors = {
        "fit": lambda: gd.fit(loss, W, gd.sgd(0.1), (X, Y), epochs=1),
        "make_step": lambda: jax.jit(gd.make_step(loss))(gd.make_state(W, gd.sgd(0.1)), (X, Y)),
        "flow": lambda: flow(loss, W, (X, Y)),
        "make_evaluate": lambda: jax.jit(gd.make_evaluate(loss))(W, (X, Y)),
    }
    for who, door in doors.items():
        with pytest.raises(TypeError, match=message) as caught:
            door()
        words = str(caught.value)
        assert words.startswith(f"{who}: ") and len(words) < 420, words


def test_per_example_says_the_same_of_one_example():
    for loss, message in (
        (lambda w, x: jnp.sum(np.tanh(x @ w)), "per_example: .*write jnp.tanh"),
        (lambda w, a, b, c: a, r"per_example: the loss takes \(w, a, b, c\), so its rows must be a tuple of 3"),
    ):
        with pytest.raises(TypeError, match=message):
            gd.per_example(loss)(W, (X, Y) if "3" in message else X)


CROSSWISE = {  # a loss, its labels
    "labels in a column": (squares, Y[:, None]),
    "predictions in a column": (lambda w, x, y: squares(w[:, None], x, y), Y),
    "a layer on top": (lambda w, x, y: jnp.mean(jnp.tanh(x @ w[:, None] + 0.5) * y), Y),
    "jitted, keyed": (jax.jit(FORMS["key, pair"]), Y[:, None]),
    "one feature": (lambda w, batch: jnp.mean(jnp.abs(batch["x"][:, :1] * w[0] - batch["y"])), Y),
}
PAIRED = {
    "both in columns": (lambda w, x, y: squares(w[:, None], x, y), Y[:, None]),
    "pairs of rows": (lambda w, x, y: jnp.mean(((x @ w)[:, None] - x @ w - (y[:, None] - y)) ** 2), Y),
    "kernel": (lambda w, x, y: jnp.mean(jnp.exp(-jnp.sum((x[:, None] - x) ** 2, 2)) @ y) + jnp.sum(w), Y),
    "norms of rows": (lambda w, x, y: jnp.mean(jnp.linalg.norm(x * w, axis=1, keepdims=True) * y), Y),
}


@pytest.mark.parametrize("name", [*CROSSWISE, *PAIRED])
def test_rows_meet_crosswise_only_where_they_are_meant_to(name):
    loss, y = {**CROSSWISE, **PAIRED}[name]
    data = {"x": X, "y": y} if name == "one feature" else (X, y)
    doors = (
        lambda: gd.fit(loss, W, gd.sgd(0.1), data, epochs=1, order="sequence").history["loss"][0],
        lambda: gd.make_evaluate(loss)(W, data)["loss"],
    )
    for door in doors:
        if name in PAIRED:
            assert np.isfinite(door())
            continue
        with pytest.raises(TypeError, match=r"\(12, 1\) and \(12,\), whose difference is \(12, 12\); write y\[:, 0\]"):
            door()


def test_a_metric_in_either_form_is_one_beside_its_protocol():
    """Its mean over rows of any weight, however they are cut, in NumPy; what is a metric stays as it is."""
    prediction, weight = X @ W, np.float32([1, 0, 2, 1, 1, 3, 0, 1, 1, 1, 2, 1])
    expected = np.average(np.abs(np.float64(prediction) - Y), weights=weight)
    for metric in (as_metric(lambda p, y: abs(p - y)), as_metric(gd.metrics.mean_absolute_error)):
        parts = [metric.measure(prediction[i : i + 4], Y[i : i + 4], weight[i : i + 4]) for i in range(0, 12, 4)]
        np.testing.assert_allclose(metric.result(jax.tree.map(lambda *x: jnp.stack(x), *parts)), expected, rtol=1e-6)
    assert as_metric(gd.metrics.r2) is gd.metrics.r2
    directions = [as_metric(f).better for f in (gd.losses.huber, functools.partial(gd.losses.huber, delta=2.0), abs)]
    assert directions == ["min", "min", None]
