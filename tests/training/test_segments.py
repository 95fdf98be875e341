"""The host's loop: wherever it is cut, broken off or resumed, the run is the one that never stopped."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_loop import Compilations, equal

import gdjax as gd
from gdjax import stopping
from gdjax.training import Fitting, Length, extend_history, summarize

RNG = np.random.default_rng(11)
X = RNG.normal(size=(37, 3)).astype(np.float32)
DATA = (X, (X @ np.array([1.0, -2.0, 0.5]) + 0.1 * RNG.normal(size=37)).astype(np.float32))
VALIDATION = jax.tree.map(lambda x: x[:9], DATA)
PLATEAU = gd.reduce_on_plateau(gd.adam(0.05), factor=0.5, patience=2)


def squares(w, x, y, key):
    noise = 0.0 if key is None else 0.1 * jax.random.normal(key, y.shape)
    return jnp.mean((x @ w - y + noise) ** 2)


def fit(optimizer=PLATEAU, **options):
    options = {"epochs": 50, "batch_size": 8, "stop": stopping.patience(60), "key": 3, **options}
    return gd.fit(squares, np.zeros(3, np.float32), optimizer, DATA, VALIDATION, **options)


RUN = gd.make_run(gd.make_epoch(gd.make_step(squares), 8), gd.make_evaluate(squares))
RUN_ALONE = gd.make_run(gd.make_epoch(gd.make_step(squares), 8))


def start():
    state = gd.make_state(np.zeros(3, np.float32), PLATEAU, 3)
    return gd.start_run(RUN, state, stopping.patience(60), DATA, VALIDATION)


def by_a_loop(period):
    return dataclasses.replace(period, epoch=dataclasses.replace(period.epoch, scan=lambda *_: None))


def loop(run_state, **options):
    return gd.segments(RUN, run_state, DATA, VALIDATION, **options)


def test_a_resumed_fit_is_one_that_never_stopped_and_compiles_nothing():
    first = fit(epochs=20)
    with Compilations() as seen:
        resumed, whole, again = fit(resume=first), fit(), fit(resume=first)
        from_the_state = fit(resume=first.run_state)
        by_steps = fit(epochs=None, steps=250, resume=fit(epochs=None, steps=103))  # in the middle of an epoch
    assert seen.count == 0
    assert len(first.history["loss"]) == 20, "the result that is resumed stays as it was"
    for other in (resumed, again, from_the_state):
        equal(other.run_state, whole.run_state)
        equal((other.params, other.history), (whole.params, whole.history))
        assert repr(other) == repr(whole) and "\n" not in repr(whole) and len(repr(whole)) < 200
    assert by_steps.history["step"][20:23].tolist() == [103, 105, 110] and int(by_steps.last.batches) == 250
    equal(fit(epochs=20, resume=first).run_state, first.run_state)


def test_a_run_state_that_is_resumed_stays_as_it_was():
    """Also that of `start_run`, whose history is on the device; the optimizer and the condition are those of this call."""
    begun = start()
    equal(fit(resume=begun).history, fit().history)
    assert not any(x.is_deleted() for x in jax.tree.leaves(begun))
    equal(begun, start())


@pytest.mark.parametrize("optimizer", [optax.adam(0.01), gd.average(gd.sgd(gd.schedules.linear(0.1, 0.0, 99)), 0.9)])
def test_optimizers_of_any_kind_go_on(optimizer):
    short = {"batch_size": 37, "order": "sequence"}
    equal(
        fit(optimizer, epochs=7, resume=fit(optimizer, epochs=3, **short), **short).last,
        fit(optimizer, epochs=7, **short).last,
    )


def test_a_resumed_run_takes_the_numbers_of_its_own_call():
    done = fit(gd.sgd(0.0), epochs=30, stop=stopping.patience(4))
    assert done.stop == gd.Stop.PATIENCE and len(done.history["loss"]) == 5
    equal(fit(gd.sgd(0.0), epochs=30, stop=stopping.patience(4), resume=done).run_state, done.run_state)
    longer = fit(gd.sgd(0.1), epochs=30, stop=stopping.patience(6), resume=done)
    assert len(longer.history["loss"]) > 6 and longer.best_value < done.best_value
    np.testing.assert_allclose(longer.history["learning_rate"][4:6], [0, 0.1])  # that of the next update
    sizes = {size: fit(gd.sgd(0.1), epochs=30, batch_size=size, resume=longer) for size in (8, 12)}
    said = [remark for each in sizes.values() for remark in each.remarks if "batches in an epoch" in remark]
    instead = "resumed with 4 batches in an epoch instead of 5: the length counts batches of any size"
    assert said == [instead]
    other = fit(gd.sgd(0.1), epochs=9, stop=stopping.target(1e-9), resume=done)
    assert other.stop == gd.Stop.BUDGET and other.epochs == 9


def test_wherever_the_loop_is_cut_the_run_is_the_same():
    *_, whole = loop(start(), until=30)
    kept = list(loop(start(), until=30, seconds=0))
    assert [int(each.evaluations) for each in kept] == list(range(1, 31)), "at every evaluation, and each may be kept"
    equal(kept[-1], whole)
    for number in (0, 17, 28):
        assert all(len(column) == number + 1 for column in kept[number].history.values())
        *_, on = loop(kept[number], until=30)
        equal(on, whole)
    equal(kept[17].history, jax.tree.map(lambda x: x[:18], dict(whole.history)))
    with pytest.raises(ValueError, match="read-only"):
        whole.history["loss"][0] = 0
    assert list(loop(whole, until=30)) == []
    *_, given_back = loop(start(), until=30, keep=False)
    equal(given_back, whole)
    every = [int(each.state.batches) for each in loop(start(), until=3, every=2, seconds=0)]
    assert every == [2, 4, 6]


def test_a_segment_may_end_after_any_batch_and_the_sums_go_on():
    *_, whole = loop(start(), until=8)
    for batches in (1, 3, 7, 1000):
        kept = list(loop(start(), until=8, batches=batches, seconds=0))
        ends = [int(each.state.batches) for each in kept]
        assert ends == [*range(batches, 40, batches), 40]
        assert [int(each.taken) for each in kept] == [end % 5 for end in ends]
        equal(kept[-1], whole)
        if batches == 3:
            *_, on = loop(kept[5], until=8)  # 18 batches: three within the fourth epoch
            equal(on, whole)
            equal(fit(epochs=8, resume=kept[5]).run_state, fit(epochs=8).run_state)
            short = fit(epochs=None, steps=19, every=5, resume=kept[5])
            assert short.history["step"].tolist() == [5, 10, 15, 19]
    within = next(x for x in loop(start(), until=8, batches=18, seconds=0) if int(x.taken) == 3)
    loss = fit(epochs=None, steps=18, every=5).history["loss"][3]
    for options, steps in (
        ({"steps": 24, "every": 3}, [5, 10, 15, 18, 21, 24]),
        ({"steps": 23, "every": 9}, [5, 10, 15, 18, 23]),
        ({"steps": 18, "every": 50}, [5, 10, 15, 18]),
    ):
        other = fit(epochs=None, resume=within, **options)
        assert other.history["step"].tolist() == steps and int(other.last.batches) == steps[-1], "by another period"
        assert other.history["loss"][3] == loss
    with pytest.raises(ValueError, match="neither ends nor begins within an epoch whose scan is a Python loop"):
        next(gd.segments(dataclasses.replace(RUN, period=by_a_loop(RUN.period)), within, DATA, VALIDATION, until=8))
    stays = jax.jit(RUN)(extend_history(within, 20), DATA, VALIDATION, 8)
    assert (int(stays.stop), int(stays.state.batches)) == (gd.Stop.INTERRUPTED, 18), (
        "not on without the period's length"
    )
    *_, on = loop(stays, until=8)
    equal((on.state, on.best, on.stop), (whole.state, whole.best, whole.stop))
    with pytest.raises(ValueError, match="run_state must have room for the history, got none"):
        jax.jit(RUN)(next(loop(start(), until=8, batches=3, seconds=0)), DATA, VALIDATION, 8, None, 5)
    (without,) = gd.segments(
        RUN_ALONE, gd.start_run(RUN_ALONE, start().state, stopping.never(), DATA, None), DATA, until=1
    )
    kept = next(gd.segments(RUN_ALONE, without, DATA, until=2, batches=7, seconds=0))
    result = summarize(RUN_ALONE, kept)
    np.testing.assert_array_equal(result.params, kept.state.params)
    assert (result.epochs, "2 batches into a period" in str(result)) == (1.4, True)
    signaled = Fitting(squares, np.zeros(3, np.float32), PLATEAU, DATA, None, Length(epochs=1), 8)
    stops = [gd.Stop(int(each.stop)).name for each in signaled.segments(signals=[2])]
    assert stops == ["RUNNING"] and signaled.result().stop.name == "BUDGET", (
        "what has come to its end is not interrupted"
    )
    with Compilations() as seen:
        list(loop(start(), until=8, batches=2, seconds=0))
    assert seen.count == 0, "where segments end is data"


def test_the_first_loss_that_is_not_finite_is_the_last_step_and_the_rates_are_those_of_every_step():
    poisoned = (DATA[0], np.where(np.arange(37) == 20, np.nan, DATA[1]))
    options = {"epochs": 3, "batch_size": 8, "order": "sequence"}
    result = gd.fit(squares, np.zeros(3, np.float32), PLATEAU, poisoned, VALIDATION, **options)
    assert (result.stop.name, int(result.last.batches)) == ("NON_FINITE", 3)
    other = gd.start_run(RUN, start().state, stopping.never(), DATA, VALIDATION)
    *_, on = gd.segments(RUN, other, poisoned, VALIDATION, until=2)
    assert int(on.state.batches) == 10, "a condition that does not ask lets the run go on"
    cyclic = lambda step: 0.1 * (1 + step % 4)  # noqa: E731
    history = fit(gd.sgd(cyclic), epochs=4).history
    rates = np.float32([cyclic(step) for step in range(20)]).reshape(4, 5)
    np.testing.assert_array_equal(history["learning_rate_min"], rates.min(axis=1))
    np.testing.assert_array_equal(history["learning_rate_max"], rates.max(axis=1))


def test_nothing_is_lost_where_the_body_raises():
    kept = None
    with pytest.raises(KeyboardInterrupt):
        for kept in loop(start(), until=30, seconds=0):
            if int(kept.evaluations) == 4:
                raise KeyboardInterrupt
    result = summarize(RUN, kept)
    assert result.epochs == 4 and len(result.history["loss"]) == 4 and result.run_state is kept
    assert np.isfinite(result.params).all()
    *_, on = loop(kept, until=30)
    *_, whole = loop(start(), until=30)
    equal(on, whole)


def test_what_is_given_back_is_valid_in_the_body():
    begun = start()
    losses = [
        float(each.history["loss"][-1] + jnp.sum(each.state.params))
        for each in loop(begun, until=3, keep=False, seconds=0)
    ]
    assert np.isfinite(losses).all() and begun.state.params.is_deleted()


def test_a_step_stands_for_its_loss():
    step = gd.make_step(
        squares, batch_change=True, probes=lambda state, objective, *_: {"size": jnp.sum(state.params**2)}
    )
    result = gd.fit(step, np.zeros(3, np.float32), PLATEAU, DATA, VALIDATION, epochs=4, batch_size=8, key=3)
    assert {"change", "size", "validation_loss"} <= result.history.keys()
    np.testing.assert_array_equal(result.history["validation_loss"], fit(epochs=4).history["validation_loss"])


def test_conditions_that_a_run_cannot_answer_say_so():
    state = gd.make_state(np.zeros(3, np.float32), PLATEAU, 3)
    begin = lambda stop: gd.start_run(RUN, state, stop, DATA, VALIDATION)  # noqa: E731
    with pytest.raises(ValueError, match="change: this run does not measure the change over a batch"):
        next(loop(begin(stopping.change(1e9, "batch")), until=3))
    with pytest.raises(ValueError, match="budget: this run does not measure seconds"):
        jax.eval_shape(RUN, begin(stopping.budget(seconds=1e-9)), DATA, VALIDATION, 3)


def test_a_history_that_has_outrun_its_ring_says_what_it_does_not_know():
    state = gd.make_state(np.zeros(3, np.float32), PLATEAU, 3)
    small = gd.start_run(RUN, state, stopping.never(), DATA, VALIDATION, 4)
    gone_round = jax.jit(RUN)(small, DATA, VALIDATION, 6)
    *_, on = loop(gone_round, until=7)
    assert np.isnan(on.history["loss"][:2]).all() and np.isfinite(on.history["loss"][2:]).all()
    *_, whole = loop(start(), until=6)
    result = summarize(RUN, gone_round)
    assert (result.epochs, result.steps, len(result.history["epoch"])) == (6, 30, 6) and str(result)
    for name, column in result.history.items():
        np.testing.assert_allclose(column[2:], whole.history[name][2:], rtol=1e-5)
    assert result.best_evaluation == np.argmin(whole.history["validation_loss"])
    early = summarize(RUN, gone_round._replace(best_evaluation=jnp.int32(1)))
    assert "at evaluation 1, whose" in str(early) and "at epoch 3, whose" in str(
        summarize(RUN, gone_round._replace(best_evaluation=jnp.int32(2)))
    )
