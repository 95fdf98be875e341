"""Stopping conditions on made-up sequences of observations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gdjax import stopping
from gdjax.calls import parse
from gdjax.stopping import (
    CONDITIONS,
    any_of,
    budget,
    change,
    converged,
    divergence,
    gradient_norm,
    never,
    non_finite,
    parameter_change,
    patience,
    target,
)
from gdjax.types import Observation, Stop

NAN, INF = float("nan"), float("inf")


def observe(value, loss=None, change=0.0, step=0, epoch=0.0, seconds=0.0, sign=1.0, grad_norm=NAN, step_norm=INF):
    loss = value if loss is None else loss
    numbers = map(jnp.asarray, (float(value), float(loss), float(change), step, float(epoch), float(seconds)))
    value, loss, change, step, epoch, seconds = numbers
    return Observation(value, sign, loss, change, step, epoch, seconds, jnp.asarray(grad_norm), jnp.asarray(step_norm))


def stops(condition, observations):
    """The code after each observation; compiled once, as a run does."""
    update = jax.jit(lambda condition, state, seen: condition.update(state, seen))
    state, codes = condition.canonicalize().init(), []
    for seen in observations:
        state, code = update(condition.canonicalize(), state, seen)
        assert code.dtype == jnp.int32
        codes.append(Stop(int(code)))
    assert update._cache_size() <= 1, "the state must be a fixed point of update"
    return [code.name for code in codes]


RUN = "RUNNING"
CASES = [
    (patience(2), [observe(v) for v in (3, 2, 2, 1, 1, 1)], [RUN, RUN, RUN, RUN, RUN, "PATIENCE"]),
    (patience(2, min_delta=0.5), [observe(v) for v in (3, 2.8, 2.6)], [RUN, RUN, "PATIENCE"]),
    (patience(1), [observe(v) for v in (1, NAN)], [RUN, "PATIENCE"]),
    (change(0.1), [observe(0, loss=v) for v in (3, 2, 1.95)], [RUN, RUN, "CONVERGED"]),
    (change(0.1, "batch"), [observe(0, change=c) for c in (1, 0.1)], [RUN, "CONVERGED"]),
    (change(0.1, "batch"), [observe(0, change=NAN)], [RUN]),
    (gradient_norm(0.1), [observe(0, grad_norm=g) for g in (1.0, NAN, 0.1)], [RUN, RUN, "CONVERGED"]),
    (converged(0.1), [observe(0, grad_norm=g) for g in (1.0, NAN, 0.1)], [RUN, RUN, "CONVERGED"]),
    (
        converged(0.1),
        [observe(0, grad_norm=0.0)._replace(converged=jnp.array(c)) for c in (False, True)],
        [RUN, "CONVERGED"],
    ),
    (parameter_change(0.1), [observe(0, step_norm=d) for d in (INF, 0.2, 0.1)], [RUN, RUN, "CONVERGED"]),
    (target(0.5), [observe(v) for v in (1, 0.5)], [RUN, "TARGET"]),
    (target(0.9), [observe(-v, sign=-1.0) for v in (0.8, 0.95)], [RUN, "TARGET"]),
    (budget(epochs=2), [observe(1, epoch=e) for e in (1, 2)], [RUN, "BUDGET"]),
    (budget(steps=10), [observe(1, step=s) for s in (9, 10)], [RUN, "BUDGET"]),
    (budget(seconds=3.0), [observe(1, seconds=s) for s in (2.9, 3.1)], [RUN, "BUDGET"]),
    (budget(epochs=9, steps=10), [observe(1, step=10, epoch=1)], ["BUDGET"]),
    (budget(), [observe(1, step=10**6)], [RUN]),
    (divergence(10), [observe(0, loss=v) for v in (2, 19, 21)], [RUN, RUN, "DIVERGED"]),
    (divergence(10), [observe(0, loss=v) for v in (1e-9, 9.0, 11.0)], [RUN, RUN, "DIVERGED"]),
    (non_finite(), [observe(1), observe(1, loss=INF)], [RUN, "NON_FINITE"]),
    (non_finite(), [observe(1), observe(NAN, loss=1.0)], [RUN, "NON_FINITE"]),
    (never(), [observe(NAN)], [RUN]),
    (any_of(non_finite(), patience(1)), [observe(1), observe(NAN)], [RUN, "NON_FINITE"]),
    (any_of(patience(1), non_finite()), [observe(1), observe(NAN)], [RUN, "PATIENCE"]),
    (any_of(), [observe(1)], [RUN]),
]


@pytest.mark.parametrize(("condition", "observations", "expected"), CASES, ids=lambda x: repr(x)[:40])
def test_a_condition_speaks_when_it_should(condition, observations, expected):
    assert stops(condition, observations) == expected


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (
            change(1e9, "batch"),
            "change: this run does not measure the change over a batch, `fit` does; write make_step",
        ),
        (budget(seconds=1e-9), "budget: this run does not measure seconds, `fit` and `segments` do; elsewhere write"),
        (gradient_norm(1e9), "gradient_norm: this run does not measure it, `minimize` does; in fit write"),
        (converged(1e9), "converged: this run does not measure it, `minimize` does"),
        (parameter_change(1e9), "parameter_change: this run does not measure it, `minimize` does"),
        (any_of(never(), budget(steps=9, seconds=1)), "budget: this run does not measure seconds"),
    ],
    ids=lambda x: repr(x)[:40],
)
def test_a_condition_refuses_a_run_that_does_not_measure_what_it_reads(condition, said):
    seen = observe(0)._replace(change=None, seconds=None, grad_norm=None, step_norm=None)
    with pytest.raises(ValueError, match=said):
        stops(condition, [seen])


def test_every_rule_is_in_the_table_and_has_a_case():
    factories = {n: f for n, f in vars(stopping).items() if hasattr(f, "recipe")}
    assert factories == CONDITIONS
    assert {node.recipe.name for condition, *_ in CASES for node in condition.walk()} == set(CONDITIONS)


def test_rules_print_as_their_calls_and_a_new_number_is_no_new_program():
    text = "any_of(patience(5, min_delta=0.001), budget(seconds=60))"
    assert repr(parse(text, CONDITIONS)) == text
    program = jax.jit(lambda condition, seen: condition.update(condition.init(), seen)[1])
    for patient in (3, 4):
        program(any_of(patience(patient)).canonicalize(), observe(1))
    assert program._cache_size() <= 1


def test_vmapped_rules_stop_each_on_its_own():
    conditions = jax.tree.map(lambda *x: jnp.stack(x), *(target(v).canonicalize() for v in (0.1, 0.9)))
    codes = jax.vmap(lambda condition: condition.update(condition.init(), observe(0.5))[1])(conditions)
    np.testing.assert_array_equal(codes, [Stop.RUNNING, Stop.TARGET])


@pytest.mark.parametrize(
    "make",
    [
        lambda: patience(0),
        lambda: patience(3, -1.0),
        lambda: change(-1),
        lambda: change(0.1, "sometimes"),
        lambda: budget(epochs=0),
        lambda: divergence(0.5),
    ],
)
def test_bad_rules_are_refused(make):
    with pytest.raises(ValueError, match="must be"):
        make()


@pytest.mark.parametrize("factor", [10.0, 1e3, INF])
def test_divergence_is_held_against_the_loss_at_the_start(factor):
    """A first period whose mean is already far up is no measure; an infinite loss is beyond every factor."""
    start = jnp.asarray(2.5)
    seen = [observe(0, loss=v)._replace(first_loss=start) for v in (2.6, 2.5 * min(factor, 1e6) * 1.1, INF)]
    expected = [RUN, RUN if factor == INF else "DIVERGED", "DIVERGED"]
    assert stops(divergence(factor), seen) == expected
    assert stops(divergence(factor), seen[1:2]) == expected[1:2]
