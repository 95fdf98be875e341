"""A loss that was given what it is not defined for says so, out of compiled programs too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gdjax import losses
from gdjax.losses import per_example
from gdjax.optimizers import sgd
from gdjax.search import fixed_step
from gdjax.solve import minimize
from gdjax.training import fit, make_epoch, make_evaluate, make_state, make_step
from gdjax.training.cause import raise_first_cause
from gdjax.types import Stop


def linear(params, x):
    return x @ params["w"] + params["b"]


def in_a_closure(loss):
    return per_example(lambda params, example: loss(linear(params, example[0]), example[1]))


OUT_OF_DOMAIN = {  # a loss of a batch, its labels of 0, 1, 2, 3 by the row, and what fit must say
    "signs for shares": (
        in_a_closure(losses.binary_cross_entropy_from_logits),
        lambda k: 2.0 * (k % 2) - 1,
        r"binary_cross_entropy_from_logits: labels must be in \[0, 1\], got -1; of labels -1 and \+1 write",
    ),
    "shares for signs, jitted": (
        jax.jit(in_a_closure(jax.jit(losses.perceptron))),
        lambda k: 1.0 * (k % 2),
        r"perceptron: labels must be in \{-1, \+1\}, got 0; of labels 0 and 1 write 2 \* labels - 1",
    ),
    "one row of many": (
        in_a_closure(losses.hinge),
        lambda k: np.where(np.arange(len(k)) == 599, 3.0, 1.0),
        r"hinge: labels must be in \{-1, \+1\}, got 3",
    ),
    "a loss of a batch": (
        lambda params, batch, key: (jnp.mean(jax.vmap(losses.focal)(linear(params, batch[0]), batch[1])), {}),
        lambda k: 1.0 * k,
        r"focal: labels must be in \[0, 1\], got 2, 3",
    ),
    "scores for probabilities": (
        in_a_closure(losses.binary_cross_entropy),
        lambda k: 1.0 * (k % 2),
        r"binary_cross_entropy: probabilities must be in \[0, 1\], got .*from_logits",
    ),
}


NIGHTLY = [pytest.mark.nightly]
TOLD_HERE = ("one row of many", "scores for probabilities")  # at the start of a run, and in the middle


@pytest.mark.parametrize("case", [pytest.param(x, marks=NIGHTLY * (x not in TOLD_HERE)) for x in OUT_OF_DOMAIN])
def test_fit_says_what_the_loss_was_given(case):
    loss, label, message = OUT_OF_DOMAIN[case]
    k = np.arange(600) % 4
    x = np.random.default_rng(0).normal(size=(600, 2)).astype(np.float32) + 2 * (k % 2)[:, None]
    data, params = (x, label(k).astype(np.float32)), {"w": jnp.zeros(2), "b": jnp.array(0.4)}
    with pytest.raises(ValueError, match=message):
        fit(loss, params, sgd(0.3), data, epochs=2, order="sequence")
    if "probabilities" not in case:
        with pytest.raises(ValueError, match=message):
            make_evaluate(loss)(params, data)
        assert np.isnan(jax.jit(make_evaluate(loss))(params, data)["loss"])


def test_a_lifted_loss_called_on_concrete_rows_speaks():
    loss = in_a_closure(losses.hinge)
    params, x = {"w": jnp.zeros(2), "b": jnp.array(0.0)}, jnp.ones((3, 2))
    with pytest.raises(ValueError, match=r"hinge: labels must be in \{-1, \+1\}, got 0"):
        loss(params, (x, jnp.array([1.0, 0.0, -1.0])))
    assert loss(params, (x, jnp.array([1.0, 0.0, -1.0])), mask=jnp.array([1, 0, 1]))[0] == 1


def test_fit_says_that_validation_labels_count_from_one():
    x, y = np.ones((8, 2), np.float32), np.arange(8) % 3
    loss = in_a_closure(losses.softmax_cross_entropy_with_integer_labels)
    params = {"w": jnp.zeros((2, 3)), "b": jnp.zeros(3)}
    with pytest.raises(ValueError, match=r"labels must be in \[0, 3\), got 3; 3 classes counted from 1"):
        fit(loss, params, sgd(0.1), (x, y), (x, y + 1), epochs=1, order="sequence")


def test_a_descent_and_a_search_say_it_too():
    x, k = np.random.default_rng(1).normal(size=(6, 2)), np.arange(6)
    hidden = losses.per_example(lambda w, row: losses.perceptron(row[0] @ w, row[1]))
    cases = [
        (lambda w: jnp.mean(losses.binary_cross_entropy_from_logits(x @ w, 2.0 * (k % 2) - 1)), r"in \[0, 1\], got -1"),
        (jax.jit(lambda w: jnp.mean(jax.jit(losses.hinge)(x @ w, 3.0 * (k % 2)))), r"in \{-1, \+1\}, got 0, 3"),
        (lambda w: hidden(w, (x, 1.0 * (k % 2)))[0], r"in \{-1, \+1\}, got 0"),
    ]
    for (f, message), (run, how) in zip(
        cases, [(minimize, sgd(0.1)), (minimize, fixed_step(0.1)), (minimize, sgd(0.1))], strict=True
    ):
        with pytest.raises(ValueError, match=message):
            run(f, jnp.zeros(2), how)
    with pytest.raises(ValueError, match=r"in \[0, 1\], got .*from_logits"):  # in the middle of the run
        minimize(
            lambda p, y: jnp.mean(losses.binary_cross_entropy(p, y)), jnp.full(3, 0.5), sgd(5.0), args=(k[:3] % 2,)
        )


def test_a_run_that_diverges_keeps_its_verdict():
    x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    result = fit(in_a_closure(losses.squared_error), {"w": jnp.ones(1), "b": jnp.array(0.5)}, sgd(1e30), (x, x[:, 0]))
    assert result.stop == Stop.NON_FINITE


def test_an_epoch_that_takes_rows_in_its_own_way_is_explained_on_those():
    """Labels that it makes right, labels that it makes wrong, and labels with which the parameters leave the domain."""
    x, shares = np.linspace(-1, 1, 12, dtype=np.float32)[:, None], np.float32(np.arange(12) % 2)
    params = {"w": jnp.zeros(1), "b": jnp.array(0.5)}
    logits, probabilities = map(in_a_closure, (losses.binary_cross_entropy_from_logits, losses.binary_cross_entropy))

    def explain(loss, labels, change, batch_size=12):
        take = lambda data, rows: (data[0][rows], change(data[1][rows]))  # noqa: E731
        epoch = make_epoch(make_step(loss), batch_size, order="sequence", take=take)
        raise_first_cause(epoch.step, epoch, params, (x, labels), None, make_state(params, sgd(0.4)))
        return epoch.batch(make_state(params, sgd(0.4)), (x, labels), 2)

    found = explain(logits, 2 * shares - 1, lambda y: (y + 1) / 2, batch_size=5)
    np.testing.assert_array_equal(found[0], x[10:])  # of the ragged last batch, the rows that exist
    np.testing.assert_array_equal(found[1], shares[10:])
    with pytest.raises(ValueError, match=r"labels must be in \[0, 1\], got -1"):
        explain(logits, shares, lambda y: 2 * y - 1)
    with pytest.raises(ValueError, match=r"probabilities must be in \[0, 1\]"):
        explain(probabilities, 0 * shares + 0.5, lambda y: 2 * y)
