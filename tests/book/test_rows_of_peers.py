"""The optimizers that stand side by side on the pages for those coming from torch and Keras make the same steps."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdjax as gd

PAGES = Path(__file__).parents[2] / "experiments" / "book" / "pages" / "coming_from"
STEPS = 60
X = np.random.default_rng(0).normal(size=(40, 3))
Y = X @ np.array([1.0, -2.0, 0.5]) + 3.0


def pairs(page, prefix):
    """(call there, call here) of the rows of a page whose calls begin with the prefix, several of a row in their order."""
    found = []
    for row in re.findall(rf"^\| (`{prefix}.*?) \| (.*) \|$", (PAGES / page).read_text(), re.MULTILINE):
        there, here = (re.findall(r"`([^`]+)`", cell) for cell in row)
        found += zip(there, here, strict=False)
    return found


def train(call):
    """The weights after some steps of gradient descent on a line, by a call of gdjax."""
    optimizer = eval(call, {"gd": gd})
    params = {"w": jnp.zeros(3), "b": jnp.zeros(1)}
    loss = lambda params: jnp.mean((X @ params["w"] + params["b"] - Y) ** 2)  # noqa: E731

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return (jax.tree.map(jnp.add, params, updates), state), None

    params, _ = jax.lax.scan(step, (params, optimizer.init(params)), length=STEPS)[0]
    return np.r_[params["w"], params["b"]]


@pytest.mark.nightly
@pytest.mark.peers
def test_the_optimizers_of_the_page_on_torch():
    torch = pytest.importorskip("torch")
    rows = pairs("torch.md", r"torch\.optim\.")
    assert len(rows) >= 6
    x, y = torch.tensor(X), torch.tensor(Y)
    for there, here in rows:
        p = [torch.zeros(size, dtype=torch.float64, requires_grad=True) for size in (3, 1)]
        opt = eval(there, {"torch": torch, "p": p})
        for _ in range(STEPS):
            opt.zero_grad()
            ((x @ p[0] + p[1] - y) ** 2).mean().backward()
            opt.step()
        with jax.enable_x64(True):
            np.testing.assert_allclose(train(here), np.r_[tuple(each.detach() for each in p)], rtol=1e-9, err_msg=there)


@pytest.mark.nightly
@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")  # of Keras
def test_the_optimizers_of_the_page_on_keras(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    rows = pairs("keras.md", r"optimizers\.")
    assert len(rows) >= 4
    for there, here in rows:
        there = there if there.startswith("optimizers.") else f"optimizers.{there}"
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="zeros")])
        model.compile(eval(there, {"optimizers": keras.optimizers}), "mse")
        model.fit(X.astype("f4"), Y.astype("f4"), batch_size=len(X), epochs=STEPS, verbose=0)
        theirs = np.r_[tuple(np.ravel(each) for each in model.get_weights())]
        np.testing.assert_allclose(train(here), theirs, rtol=1e-4, err_msg=there)
