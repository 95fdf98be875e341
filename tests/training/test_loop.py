"""The ladder: every rung equals the plain loop it stands for, and a run is the same however it is cut."""

import dataclasses
import math
import os
import re
import signal
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gdjax as gd
from gdjax import losses, metrics, models, stopping
from gdjax.data import batch_indices, take
from gdjax.programs import compile_once
from gdjax.training import extend_history, segments
from gdjax.training._fit import Fitting, Length
from gdjax.training.run import RING

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 3)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5]) + 0.1 * RNG.normal(size=50) > 0).astype(np.int32)
DATA = (jnp.asarray(X[:37]), jnp.asarray(Y[:37]))  # 37 rows: every batch size leaves a tail
VALIDATION = (jnp.asarray(X[37:]), jnp.asarray(Y[37:]))
MODEL = models.mlp((3, 8, 2), dropout=0.2)
LOSS = losses.per_example(
    losses.supervised(MODEL, losses.softmax_cross_entropy_with_integer_labels, {"accuracy": metrics.correct})
)


def unmasked_loss(params, batch, key):
    """The same loss as a batch function that knows no mask."""
    value, measured = LOSS(params, batch, key)
    return value, {"accuracy": measured["accuracy"]}


def start(optimizer=None, key=0):
    return gd.make_state(MODEL.init(jax.random.key(1)), optimizer or gd.adam(0.01), key)


def equal(a, b):
    """Bitwise, keys included."""
    data = lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x  # noqa: E731
    chex.assert_trees_all_equal(jax.tree.map(data, a), jax.tree.map(data, b))


def test_a_step_is_gradient_update_apply():
    state = start(gd.sgd(0.1))
    no_dropout = losses.per_example(
        losses.supervised(models.mlp((3, 8, 2)), losses.softmax_cross_entropy_with_integer_labels)
    )
    new, measured = jax.jit(gd.make_step(no_dropout))(state, DATA)
    value, grads = jax.jit(jax.value_and_grad(lambda p: no_dropout(p, DATA)[0]))(state.params)
    chex.assert_trees_all_close(new.params, jax.tree.map(lambda p, g: p - 0.1 * g, state.params, grads), rtol=1e-6)
    np.testing.assert_allclose(measured["loss"], value, rtol=1e-6)
    assert (int(new.step), int(new.batches)) == (1, 1)


def test_batch_change_is_what_the_step_did_to_its_own_batch():
    no_dropout = losses.per_example(
        losses.supervised(models.mlp((3, 8, 2)), losses.softmax_cross_entropy_with_integer_labels)
    )
    state = start(gd.sgd(0.1))
    new, measured = jax.jit(gd.make_step(no_dropout, batch_change=True))(state, DATA)
    before, after = no_dropout(state.params, DATA)[0], no_dropout(new.params, DATA)[0]
    np.testing.assert_allclose(measured["change"], abs(after - before), rtol=1e-4)


@pytest.mark.parametrize(
    ("loss", "order"),
    [
        pytest.param(LOSS, "replacement", marks=pytest.mark.nightly),
        (unmasked_loss, "shuffle"),
        pytest.param(unmasked_loss, "sequence", marks=pytest.mark.nightly),  # as in the two tests below
    ],
)
def test_an_epoch_is_a_python_loop_over_its_batches(loss, order):
    step = gd.make_step(loss)
    epoch = gd.make_epoch(step, 8, order=order)
    state, measured = compile_once(epoch)(start(), DATA)
    expected, rows, sums, one_step = start(), 0, 0.0, jax.jit(step)
    key = jax.random.fold_in(expected.key, 2)
    for i in range(5):
        indices, mask = batch_indices(order, key, jnp.int32(i), 37, 8)
        batch = take(DATA, indices[np.asarray(mask)])
        expected, one = one_step(expected, batch)
        rows, sums = rows + len(batch[0]), sums + len(batch[0]) * float(one["loss"])
    assert order == "replacement" or rows == 37
    chex.assert_trees_all_close(state.params, expected.params, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(measured["loss"], sums / rows, rtol=1e-5)
    assert int(measured["weight"]) == rows and int(state.batches) == 5


def test_masked_tail_is_the_smaller_step():
    """Without dropout, whose keys depend on the batch's size, both kinds of tail give the same parameters."""
    plain = losses.per_example(
        losses.supervised(models.mlp((3, 8, 2)), losses.softmax_cross_entropy_with_integer_labels)
    )
    unmasked = lambda params, batch, key: (plain(params, batch, key)[0], {})  # noqa: E731
    (masked_state, masked), (state, measured) = (
        compile_once(gd.make_epoch(gd.make_step(loss), 8, order="sequence"))(start(), DATA)
        for loss in (plain, unmasked)
    )
    chex.assert_trees_all_close(masked_state.params, state.params, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(masked["loss"], measured["loss"], rtol=1e-5)
    assert int(masked["weight"]) == int(measured["weight"]) == 37 and int(masked_state.batches) == 5


def test_dropping_the_tail_leaves_it_out():
    epoch = gd.make_epoch(gd.make_step(LOSS), 8, order="sequence", tail="drop")
    state, measured = compile_once(epoch)(start(), DATA)
    assert int(state.batches) == 4 and int(measured["weight"]) == 32
    state, _ = compile_once(epoch)(state, DATA)
    assert int(state.batches) == 8


@pytest.mark.nightly  # as an epoch is a Python loop over its batches
def test_scan_is_a_python_loop():
    def python_scan(body, carry, xs):
        outputs, one = [], jax.jit(body)
        for i in range(len(xs[0])):
            carry, y = one(carry, jax.tree.map(lambda x, i=i: x[i], xs))
            outputs.append(y)
        return carry, jax.tree.map(lambda *ys: jnp.stack(ys), *outputs)

    epoch = gd.make_epoch(gd.make_step(LOSS), 8, order="sequence")
    by_hand = dataclasses.replace(epoch, scan=python_scan)
    compiled_state, a = compile_once(epoch)(start(), DATA)
    debug_state, b = by_hand(start(), DATA)
    chex.assert_trees_all_close(compiled_state.params, debug_state.params, rtol=1e-4, atol=1e-6)
    chex.assert_trees_all_close(a, b, rtol=1e-5)


def test_three_epochs_and_three_are_six_and_so_are_thirty_single_steps():
    step = gd.make_step(LOSS)
    six = None
    for pieces in (
        [gd.make_epoch(step, 8)] * 6,
        [gd.make_epoch(step, 8, steps=3)] * 10,
        [gd.make_epoch(step, 8, steps=30)],
    ):
        state = start()
        for epoch in pieces:
            state, _ = compile_once(epoch)(state, DATA)
        six = six or state
        equal(state, six)


def test_iterate_yields_each_epoch():
    epoch = gd.make_epoch(gd.make_step(LOSS), 8, order="sequence")
    seen = [(int(state.step), float(measured["loss"])) for state, measured in gd.iterate(epoch, start(), DATA, 3)]
    assert [step for step, _ in seen] == [5, 10, 15]
    assert seen[2][1] < seen[0][1]


@pytest.mark.parametrize(
    "loss, chunk",
    [
        (LOSS, 6),
        (unmasked_loss, 6),
        (LOSS, 100),
        *(pytest.param(loss, 13, marks=pytest.mark.nightly) for loss in (LOSS, unmasked_loss)),
        pytest.param(unmasked_loss, 100, marks=pytest.mark.nightly),
    ],
)
def test_evaluation_in_chunks_is_evaluation_at_once(loss, chunk):
    params = MODEL.init(jax.random.key(2))
    scores = gd.make_evaluate(loss, {"auc": metrics.mean(metrics.correct)}, MODEL.apply, chunk)(params, VALIDATION)
    value, measured = LOSS(params, VALIDATION)
    np.testing.assert_allclose(scores["loss"], value, rtol=1e-6)
    np.testing.assert_allclose(scores["accuracy"], measured["accuracy"], rtol=1e-6)
    np.testing.assert_allclose(scores["auc"], measured["accuracy"], rtol=1e-6)
    assert int(scores["weight"]) == 13


RUN = gd.make_run(gd.make_epoch(gd.make_step(LOSS), 8, order="sequence"), gd.make_evaluate(LOSS, chunk_size=6))
RULE = stopping.any_of(stopping.non_finite(), stopping.patience(4))
PLATEAU = gd.reduce_on_plateau(gd.adam(0.05), factor=0.5, patience=2)


def run_in_segments(lengths, key=0, capacity=30):
    run_state = gd.start_run(RUN, start(PLATEAU, key), RULE, DATA, VALIDATION, capacity)
    until = 0
    for length in lengths:
        until += length
        run_state = compile_once(RUN)(run_state, DATA, VALIDATION, until)
    return run_state


def test_segments_of_any_length_give_the_same_bits_and_another_seed_does_not():
    whole = run_in_segments([30])
    assert gd.Stop(int(whole.stop)) == gd.Stop.PATIENCE
    assert float(gd.learning_rate(whole.state)) < 0.05, "the plateau must have acted inside the run"
    for lengths in ([1] * 30, [7, 2, 21], [30]):
        equal(run_in_segments(lengths), whole)
    other = run_in_segments([30], key=1)
    assert not np.array_equal(other.state.params[0]["w"], whole.state.params[0]["w"])


def test_the_history_can_be_extended_between_segments():
    short = run_in_segments([3], capacity=3)
    longer = compile_once(RUN)(extend_history(short, 30), DATA, VALIDATION, 30)
    equal(longer, run_in_segments([30]))


def test_a_run_keeps_the_best_and_says_where():
    done = run_in_segments([30])
    number, best = int(done.evaluations), int(done.best_evaluation)
    values = np.asarray(done.history["validation_loss"])[:number]
    assert best == values.argmin() and best < number - 1
    np.testing.assert_array_equal(done.best_value, values.min())
    scores = gd.make_evaluate(LOSS, chunk_size=6)(done.best[0], VALIDATION)
    np.testing.assert_allclose(scores["loss"], values.min(), rtol=1e-5)
    assert not np.array_equal(done.best[0][0]["w"], done.state.params[0]["w"])


def test_a_vmapped_run_stops_each_lane_on_its_own():
    rates = jnp.array([0.0, 0.3, 3.0])

    def one(rate):
        state = start(gd.sgd(0.01))
        state = state._replace(optimizer=state.optimizer.replace(learning_rate=rate))
        return RUN(gd.start_run(RUN, state, RULE, DATA, VALIDATION, 12), DATA, VALIDATION, 12)

    lanes = jax.jit(jax.vmap(one))(rates)
    singles = [jax.jit(one)(rate) for rate in rates]
    np.testing.assert_array_equal(lanes.evaluations, [single.evaluations for single in singles])
    np.testing.assert_array_equal(lanes.stop, [single.stop for single in singles])
    assert len(set(np.asarray(lanes.evaluations).tolist())) > 1
    for i, single in enumerate(singles):
        chex.assert_trees_all_close(jax.tree.map(lambda x, i=i: x[i], lanes.best), single.best, rtol=1e-3, atol=1e-5)


def fit(optimizer=None, **options):
    """In sequence, which compiles in half the time of a shuffle; so do the fits below, where the order is no matter."""
    options = {"epochs": 12, "batch_size": 8, "validation": VALIDATION, "order": "sequence", **options}
    validation = options.pop("validation")
    return gd.fit(LOSS, MODEL.init(jax.random.key(1)), optimizer or gd.adam(0.02), DATA, validation, **options)


class Compilations:
    """How many programs were compiled inside the block."""

    def __enter__(self):
        self.count = 0
        jax.monitoring.register_event_duration_secs_listener(self._note)
        return self

    def _note(self, name, seconds, **_):
        self.count += name.endswith("backend_compile_duration")

    def __exit__(self, *_):
        jax.monitoring.unregister_event_duration_listener(self._note)


def test_a_second_fit_compiles_nothing():
    schedule = lambda peak: gd.schedules.warmup_stable_decay(peak, 5, 20, 10)  # noqa: E731
    for make in (
        lambda v: {"optimizer": gd.adam(0.01 * v)},
        lambda v: {"optimizer": gd.adamw(0.01, weight_decay=0.1 * v)},
        lambda v: {"optimizer": gd.adam(schedule(0.01 * v))},
        lambda v: {"stop": stopping.patience(5 * v), "key": v},
    ):
        fit_line(epochs=12, **make(1))
        with Compilations() as seen:
            fit_line(epochs=12, **make(2))
        assert seen.count == 0
    with Compilations() as seen:
        fit_line(epochs=12, batch_size=9)
    assert seen.count > 0, "the counter must be able to count"


def test_the_same_seed_gives_the_same_result_however_the_host_cuts_it(monkeypatch):
    one, two = (fit(key=key, order="shuffle") for key in (3, np.int64(3)))
    monkeypatch.setattr("gdjax.training._segments.Pace.measure", lambda *_: None)
    cut = fit(key=3, order="shuffle")
    for other in (two, cut):
        equal(other.last, one.last)
        equal(other.params, one.params)
        chex.assert_trees_all_equal(other.history, one.history)


@pytest.mark.parametrize(
    ("options", "stop", "steps"),
    [
        ({"epochs": 3}, "BUDGET", 15),
        ({"epochs": 2.5}, "BUDGET", 13),
        pytest.param({"epochs": None, "steps": 7}, "BUDGET", 7, marks=pytest.mark.nightly),
        ({"epochs": None, "steps": 7, "every": 2}, "BUDGET", 7),
        ({"stop": stopping.budget(steps=4), "every": 2}, "BUDGET", 4),
        ({"stop": stopping.target(10.0)}, "TARGET", 5),
        pytest.param(
            {"stop": stopping.target(0.3), "monitor": ("accuracy", "max"), "epochs": 50},
            "TARGET",
            None,
            marks=pytest.mark.nightly,
        ),
        ({"stop": stopping.patience(1), "optimizer": gd.sgd(0.0)}, "PATIENCE", 10),
        ({"stop": stopping.change(1e9)}, "CONVERGED", 10),
        ({"stop": stopping.change(1e9, "batch"), "every": 1}, "CONVERGED", 1),
        ({"stop": stopping.budget(seconds=1e-9), "validation": None}, "BUDGET", 5),
        ({"optimizer": gd.sgd(1e30)}, "NON_FINITE", 2),
        ({"optimizer": gd.sgd(3000.0), "epochs": 50}, ("DIVERGED", "NON_FINITE"), None),
    ],
)
def test_a_fit_ends_where_it_should_and_says_why(options, stop, steps):
    result = fit(**options) if "monitor" in options else fit_line(**{"batch_size": 8, **options})
    assert result.stop.name in (stop if isinstance(stop, tuple) else (stop,))
    assert steps is None or result.steps == steps == int(result.last.step)
    assert result.stop.name in str(result)
    assert len(result.history["loss"]) == len(result.history["step"])
    assert result.history["step"][-1] == result.steps


def least_squares(optimizer, **options):
    def loss(w, batch, key):
        return jnp.mean((batch[0] @ w - batch[1]) ** 2), {}

    options = {"batch_size": 8, "order": "sequence", **options}  # 5 batches an epoch
    return gd.fit(loss, jnp.zeros(3), optimizer, DATA, **options)


def test_updates_are_counted_where_batches_are_accumulated_and_the_rate_is_the_one_used():
    node = gd.accumulate(gd.adam(gd.schedules.linear(0.02, 0.0, 10)), 2)
    result = least_squares(node, every=3, epochs=2.4)  # 12 batches
    assert result.history["step"].tolist() == [1, 3, 4, 6] and result.steps == 6
    assert int(result.last.batches) == 12
    np.testing.assert_allclose(result.history["epoch"], np.array([3, 6, 9, 12]) / 5, rtol=1e-6)
    np.testing.assert_allclose(result.history["learning_rate"], 0.02 * (1 - result.history["step"] / 10), rtol=1e-5)
    budget = least_squares(node, every=3, epochs=12, stop=stopping.budget(steps=3))
    assert (budget.steps, int(budget.last.batches)) == (3, 6)


def test_the_history_shows_the_plateaus_of_all_levels_and_no_rate_where_parts_differ():
    twice = gd.reduce_on_plateau(gd.reduce_on_plateau(gd.sgd(1e-30), 0.5, 1), 0.5, 2)
    result = least_squares(twice, epochs=5, validation=DATA)
    shown = 1e-30 * np.array([1, 1 / 2, 1 / 8, 1 / 16, 1 / 64])  # from the evaluation on that they heard of
    np.testing.assert_allclose(result.history["learning_rate"], shown, rtol=1e-5)
    assert float(gd.learning_rate(result.last)) == pytest.approx(shown[-1])
    assert "learning_rate" not in least_squares(gd.sgd(jnp.array([0.1, 0.1, 0.2])), epochs=1).history


def test_history_has_one_row_per_evaluation():
    result = fit(optimizer=gd.adam(gd.schedules.linear(0.02, 0.0, 60)), every=3, epochs=4)
    assert result.history["step"].tolist() == [3, 6, 9, 12, 15, 18, 20]
    np.testing.assert_allclose(result.history["epoch"], np.array([3, 6, 9, 12, 15, 18, 20]) / 5, rtol=1e-6)
    np.testing.assert_allclose(result.history["learning_rate"], 0.02 * (1 - result.history["step"] / 60), rtol=1e-5)
    assert {"loss", "accuracy", "validation_loss", "validation_accuracy"} <= set(result.history)


def test_an_interrupt_ends_the_run_with_what_it_has():
    before = signal.getsignal(signal.SIGINT)
    fitting = Fitting(SQUARES, jnp.zeros(3), gd.adam(0.01), LINE, LINE, Length(epochs=10**5), 16, "sequence")
    for number, _ in enumerate(fitting.segments()):
        if number == 1:
            os.kill(os.getpid(), signal.SIGINT)
    result = fitting.result()
    assert result.stop == gd.Stop.INTERRUPTED
    assert result.best_evaluation >= 0 and signal.getsignal(signal.SIGINT) is before
    done = len(result.history["loss"])
    on = fit_line(epochs=done + 2, resume=result)
    assert on.stop == gd.Stop.BUDGET and len(on.history["loss"]) == done + 2


def test_a_never_finite_run_returns_the_first_parameters():
    nan = lambda params, batch, key: (jnp.sum(params) * jnp.nan, {})  # noqa: E731
    result = gd.fit(nan, jnp.ones(2), gd.sgd(0.1), DATA, epochs=3, order="sequence")
    assert result.stop == gd.Stop.NON_FINITE and result.best_evaluation == -1
    np.testing.assert_array_equal(result.params, [1, 1])
    assert "the parameters are the first" in str(result)


def test_the_callers_arrays_survive_a_fit():
    """The state is donated; the caller's parameters, keys, numbers, data and earlier results are not."""
    params, data = jnp.zeros(3), jax.tree.map(jnp.asarray, LINE)
    keys = jax.random.key(5), jax.random.key(6), jax.random.PRNGKey(7)
    rate, patient = jnp.array(0.01), jnp.int32(9)
    optimizer = gd.stochastic_rounding(gd.chain(gd.add_noise(0.01, 0.55, keys[2]), gd.sgd(rate)), keys[1])
    options = {"batch_size": 16, "key": keys[0], "order": "sequence", "stop": stopping.patience(patient)}
    first = gd.fit(SQUARES, params, optimizer, data, epochs=2, **options)
    gd.fit(SQUARES, params, optimizer, data, epochs=3, resume=first, **options)
    given = jax.tree.leaves((params, data, keys, rate, patient, first.run_state))
    assert not any(x.is_deleted() for x in given if isinstance(x, jax.Array))
    assert all(jax.random.bits(key).shape == () for key in keys)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit(batch_size=0), "batch_size must be between 1 and the 37 rows of the data, got 0"),
        (lambda: fit(batch_size=38), "batch_size must be between 1 and the 37 rows of the data, got 38"),
        (lambda: fit(steps=3), "give epochs or steps, not both"),
        (lambda: fit(epochs=0), "epochs must be above 0, got 0"),
        (lambda: fit(every=0), "fit: every must be at least 1, got 0"),
        (lambda: fit(monitor="acuracy"), "monitor must be a scalar metric, one of"),
        (lambda: fit(monitor=("loss", "up")), "the better direction in monitor must be 'min' or 'max', got 'up'"),
        (lambda: fit(order="random"), "order must be"),
        (lambda: fit(optimizer=3.0), "expected an optimizer of gdjax or an Optax transformation, got 3.0"),
        (lambda: gd.make_state({}, gd.sgd(0.1)), "params must have at least one array to train"),
        (lambda: gd.make_state({"n": jnp.arange(2)}, gd.sgd(0.1)), "params['n'] must be floating"),
        (lambda: gd.make_evaluate(LOSS, {"auc": metrics.accuracy}), "need predict="),
    ],
)
def test_bad_input_is_refused_in_words(call, message):
    with pytest.raises((ValueError, TypeError)) as error:
        call()
    assert message in str(error.value)


def test_optimizers_get_what_they_need_from_the_step():
    """Value, gradient and value function reach an optimizer that asks; Optax's line search runs in the ladder."""
    quadratic = lambda params, batch, key: (jnp.sum((params - 3.0) ** 2), {})  # noqa: E731
    for optimizer in (optax.lbfgs(), optax.polyak_sgd()):
        result = gd.fit(quadratic, jnp.zeros(3), optimizer, DATA, epochs=3, batch_size=8, order="sequence")
        np.testing.assert_allclose(result.params, 3.0, atol=1e-2)


def test_bfloat16_parameters_stay_so():
    params = jax.tree.map(lambda p: p.astype(jnp.bfloat16), MODEL.init(jax.random.key(1)))
    result = gd.fit(LOSS, params, gd.adam(0.01), DATA, VALIDATION, epochs=2, batch_size=8, order="sequence")
    assert all(x.dtype == jnp.bfloat16 for x in jax.tree.leaves((result.params, result.last.opt_state.slots)))


def test_periods_are_traced_once():
    """What `start_run` learns of the history's names is not traced again by the run."""
    traces = []

    def counting(params, batch, key):
        traces.append(1)
        return jnp.sum(params**2), {}

    gd.fit(counting, jnp.ones(2), gd.sgd(0.1), DATA, epochs=2, batch_size=37, order="sequence")
    assert len(traces) <= 3, "its shapes and its convolutions are looked at once each; value_and_grad once"


NOWHERE = gd.types.RunState(*[None] * len(gd.types.RunState._fields))
LENGTHS = {
    "fit: steps": lambda n: Length(steps=n),
    "fit: every": lambda n: Length(every=n),
    "make_epoch: steps": lambda n: gd.make_epoch(RUN.period.epoch.step, 8, steps=n),
    "make_epoch: steps, of a call": lambda n: RUN.period.epoch(start(), DATA, n),
    "make_evaluate: chunk_size": lambda n: gd.make_evaluate(LOSS, chunk_size=n),
    "make_run: until": lambda n: RUN(NOWHERE, DATA, VALIDATION, n),
    "make_run: steps": lambda n: RUN(NOWHERE, DATA, VALIDATION, 1, steps=n),
    "start_run: capacity": lambda n: gd.start_run(RUN, None, RULE, DATA, VALIDATION, n),
    "extend_history: capacity": lambda n: extend_history(NOWHERE, n),
    "segments: every": lambda n: segments(RUN, NOWHERE, DATA, every=n),
    "segments: until": lambda n: segments(RUN, NOWHERE, DATA, until=n),
    "iterate: epochs": lambda n: next(gd.iterate(RUN.period.epoch, NOWHERE, DATA, n)),
    "minimize: max_steps": lambda n: gd.minimize(jnp.square, 1.0, gd.sgd(0.1), max_steps=n),
    "minimize: record": lambda n: gd.minimize(jnp.square, 1.0, gd.sgd(0.1), record=n),
    "watch: every": lambda n: gd.backprop.watch(LOSS, None, DATA, every=n),
}


@pytest.mark.parametrize("door", LENGTHS)
def test_a_length_is_a_whole_number(door):
    who = door.partition(",")[0]
    for value, must in ((2.5, "a whole number"), (np.float32(7.25), "a whole number"), (math.inf, "a whole number")):
        with pytest.raises(ValueError, match=f"{who} must be {must}, got"):
            LENGTHS[door](value)
    for value in (math.nan, -1):
        with pytest.raises(ValueError, match=f"{who} must be .*at least"):
            LENGTHS[door](value)


def test_a_whole_number_of_any_type_is_a_length():
    for three in (3.0, np.float32(3), np.int64(3), jnp.int32(3)):
        assert type(Length(steps=three).batches(7)) is int and Length(every=three).pieces(0, 5)[-1] == (1, 2)
        assert gd.minimize(jnp.square, 1.0, gd.sgd(0.01), max_steps=three).steps == 3
    with Compilations() as seen:
        gd.minimize(jnp.square, 1.0, gd.sgd(0.01), max_steps=np.float64(4))
    assert seen.count == 0


def test_the_batches_of_a_fraction_of_an_epoch_are_those_of_the_exact_product():
    """Of decimals, of quotients and of sums, all of them rounded."""
    for per_epoch in (3, 7, 49, 100, 1000):
        for n in range(1, 3 * per_epoch):
            for epochs in (n / per_epoch, 0.1 * (n / per_epoch) / 0.1, (n - 1) / per_epoch + 1 / per_epoch):
                assert Length(epochs=epochs).batches(per_epoch) == n
            assert Length(epochs=(n + 0.01) / per_epoch).batches(per_epoch) == n + 1
    assert Length(epochs=1e-12).batches(100) == 1 and Length().batches(7) == 700
    with pytest.raises(ValueError, match="fit: epochs must be finite, got inf"):
        Length(epochs=math.inf)


LINE = (RNG.normal(size=(37, 3)).astype(np.float32), RNG.normal(size=37).astype(np.float32))
SQUARES = losses.per_example(lambda w, row: (row[0] @ w - row[1]) ** 2)


def fit_line(optimizer=None, **options):
    options = {"batch_size": 16, "validation": LINE, "order": "sequence", **options}
    return gd.fit(SQUARES, jnp.zeros(3), optimizer or gd.adam(0.01), LINE, **options)


def test_the_length_of_a_run_is_no_shape():
    """Epochs, steps, their remainder, the steps between evaluations: numbers of one program, beyond the ring too."""
    go = lambda **options: fit_line(order="shuffle", **options)  # noqa: E731
    first = go(epochs=2)
    with Compilations() as seen:
        lengths = [len(go(epochs=n).history["loss"]) for n in (5, 2 * RING + 37)]
        lengths += [len(go(steps=9 + n).history["loss"]) for n in (1, 2)]
        lengths += [len(go(steps=20, every=n).history["loss"]) for n in (1, 7)]
    assert seen.count == 0 and lengths == [5, 2 * RING + 37, 4, 4, 20, 3]
    np.testing.assert_array_equal(first.history["validation_loss"], go(epochs=5).history["validation_loss"][:2])


def test_the_hosts_history_is_that_of_one_compiled_run():
    """Segments through a ring, a ring gone round and then extended, a run resumed with all its history: one answer."""
    number = RING + 30
    run = gd.make_run(gd.make_epoch(gd.make_step(SQUARES), 16, order="sequence"), gd.make_evaluate(SQUARES))
    data = jax.tree.map(jnp.asarray, LINE)

    def begin(capacity):
        state = gd.make_state(jnp.zeros(3), gd.adam(0.01))
        return gd.start_run(run, state, stopping.never(), data, data, capacity)

    period = np.float32(0), np.int32(3)  # as the host calls it; without, a scan of the epoch's own length
    go = lambda run_state, until, *period: compile_once(run)(run_state, data, data, until, *period)  # noqa: E731
    whole, fitted = go(begin(number), number, *period), fit_line(epochs=number)
    chex.assert_trees_all_equal(fitted.history, dict(whole.history))
    equal(fitted.last, whole.state)
    scanned = go(begin(number), number)
    equal(scanned.state._replace(evaluation=()), whole.state._replace(evaluation=()))
    chex.assert_trees_all_close(dict(scanned.history), dict(whole.history), rtol=1e-6)
    ring = go(begin(7), number - 1, *period)
    last = go(extend_history(ring, 20), number, *period)
    at = np.arange(number - 8, number)
    for name, column in whole.history.items():
        np.testing.assert_array_equal(np.asarray(last.history[name])[at % 20], np.asarray(column)[at])
    *_, third = segments(run, begin(RING), data, data, until=3)
    *_, resumed = segments(run, third, data, data, until=number)
    chex.assert_trees_all_equal(dict(resumed.history), dict(whole.history))


LINEAR = models.mlp((3, 2))
CLASSES = losses.per_example(
    losses.supervised(LINEAR, losses.softmax_cross_entropy_with_integer_labels, {"accuracy": metrics.correct})
)


def fit_classes(monitor, loss=CLASSES, **options):
    options = {"epochs": 6, "batch_size": 8, "order": "sequence", **options}
    return gd.fit(loss, LINEAR.init(jax.random.key(3)), gd.sgd(0.3), DATA, VALIDATION, monitor=monitor, **options)


def test_a_run_keeps_what_its_monitor_calls_best():
    """The direction is the metric's own; whatever its name, the best is kept and a target is reached from the right side."""
    for monitor in ("validation_accuracy", ("accuracy", "max")):
        result = fit_classes(monitor)
        values = result.history["validation_accuracy"]
        assert result.best_evaluation == values.argmax() and values.min() < values.max()
        np.testing.assert_allclose(result.best_value, values.max())
        assert f"best validation accuracy {values.max():.5g}" in str(result)
    low = fit_classes(("accuracy", "min"))
    assert low.best_evaluation == low.history["validation_accuracy"].argmin()
    reached = fit_classes("accuracy", stop=stopping.target(float(values.max())))
    assert reached.stop == gd.Stop.TARGET and len(reached.history["loss"]) == values.argmax() + 1


def test_a_bare_number_must_be_told_its_better_direction():
    bare = losses.per_example(
        lambda p, e: (CLASSES.loss(p, e)[0], {"hits": metrics.correct(LINEAR.apply(p, e[0]), e[1])})
    )
    scores = gd.make_evaluate(bare, {"share": metrics.accuracy, "mine": lambda p, y: p[y]}, LINEAR.apply)
    go = lambda monitor: fit_classes(monitor, bare, evaluate=scores, epochs=1)  # noqa: E731
    assert go("share").best_value == go(("hits", "max")).best_value == go("share").history["validation_hits"][0]
    for name in ("hits", "mine", "validation_hits"):
        with pytest.raises(ValueError, match=rf"write monitor=\('{name}', 'max'\)"):
            go(name)


def test_without_validation_the_last_parameters_are_kept_and_the_words_say_so():
    result = fit_line(epochs=5, validation=None)
    equal(result.params, result.last.params)
    assert result.best_evaluation == 4
    np.testing.assert_allclose(result.best_value, result.history["loss"][-1])
    assert "the mean over the last epoch, whose last parameters are kept" in str(result) and "best" not in str(result)
    assert "the mean over the last 0.333 epochs" in str(fit_line(steps=13, validation=None))
    wrong = fit_line(
        epochs=5, validation=None, stop=stopping.divergence(1 + 1e-6)
    )  # the guard sees the first period only
    assert wrong.stop != gd.Stop.DIVERGED
    bad = lambda w, batch, key: (jnp.where(jnp.sum(w) > 2.5, jnp.nan, 1.0) - jnp.sum(w), {})  # noqa: E731
    lost = gd.fit(bad, jnp.zeros(3), gd.sgd(0.1), LINE, epochs=20, batch_size=37, order="sequence")
    assert lost.stop == gd.Stop.NON_FINITE and "the run went wrong after it" in str(lost)
    assert np.isfinite(lost.params).all() and lost.best_evaluation == len(lost.history["loss"]) - 2


def test_a_run_that_goes_wrong_at_once_is_diverged():
    """The loss of the first batch is the measure, not the mean of the first epoch, in which it has already exploded."""
    go = lambda rate: fit_line(gd.sgd(rate), epochs=30, validation=None, batch_size=8).stop  # noqa: E731
    assert go(0.01) == gd.Stop.BUDGET
    for rate in (30.0, 300.0):
        assert go(rate) in (gd.Stop.DIVERGED, gd.Stop.NON_FINITE)
    capped = lambda w, batch, key: (2.5 + 4e3 * jnp.tanh(jnp.sum(w**2)), {})  # noqa: E731
    up = gd.fit(capped, jnp.full(3, 1e-3), optax.sgd(-1.0), LINE, epochs=9, batch_size=8, order="sequence")
    # ascended to a plateau
    assert up.stop == gd.Stop.DIVERGED and up.history["loss"][-1] < 1e3 * up.history["loss"][0]


def test_a_result_says_that_nothing_was_learned():
    flat = losses.per_example(lambda w, row: jnp.sign(row[0] @ w - row[1]) ** 2 + 0 * jnp.sum(w))
    assert "nothing was learned: no step moved" in str(
        gd.fit(flat, jnp.ones(3), gd.adam(0.1), LINE, epochs=2, order="sequence")
    )
    assert fit_line(epochs=2).remarks == ()
    begun = float(SQUARES(jnp.zeros(3), LINE)[0])
    climb, slow = optax.sgd(-0.01), gd.adam(1e-6)
    for optimizer, validation, no_better in ((climb, LINE, True), (climb, None, True), (slow, LINE, False)):
        other = fit_line(optimizer, validation=validation, epochs=3)
        says = any(f"no better than the parameters handed in, of {other.monitor}" in each for each in other.remarks)
        assert says == (other.best_value > begun) == no_better
    assert f"of validation loss {begun:.5g}" in str(fit_line(epochs=1, batch_size=37, optimizer=optax.sgd(-0.01)))
    for apart in (1e5, 1e-6):
        table = (LINE[0] * np.array([1, apart, 1], np.float32), LINE[1])
        assert "differ in scale" in str(gd.fit(SQUARES, jnp.zeros(3), gd.adam(0.01), table, epochs=1, order="sequence"))


DOORS = {
    "fit": lambda data: gd.fit(SQUARES, jnp.zeros(3), gd.sgd(0.1), data, epochs=1),
    "fit, validation": lambda data: gd.fit(SQUARES, jnp.zeros(3), gd.sgd(0.1), LINE, data, epochs=1),
    "make_step": lambda data: gd.make_step(SQUARES)(gd.make_state(jnp.zeros(3), gd.sgd(0.1)), data),
    "make_evaluate": lambda data: gd.make_evaluate(SQUARES)(jnp.zeros(3), data),
    "iterate": lambda data: next(
        gd.iterate(gd.make_epoch(gd.make_step(SQUARES), 8), gd.make_state(jnp.zeros(3), gd.sgd(0.1)), data)
    ),
    "minimize": lambda data: gd.minimize(lambda w, x, y: SQUARES(w, (x, y))[0], jnp.zeros(3), gd.sgd(0.1), args=data),
}


@pytest.mark.parametrize("door", DOORS)
def test_no_door_lets_a_number_wrap(door):
    for y, message in (
        (np.full(37, 2**33 + 1), "integers must fit in int32"),
        (np.full(37, 2**32 + 5, np.uint64), "integers must fit in uint32"),
        (np.full(37, -1e200), "numbers must fit in float32"),
        (np.full(37, "7"), "arrays of numbers or bools are needed, got <U1"),
        (np.full(37, None), "arrays of numbers or bools are needed, got object"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            DOORS[door]((LINE[0], y))


def test_every_rung_takes_numpy():
    state = gd.make_state(jnp.zeros(3), gd.adam(0.01))
    step, evaluate = gd.make_step(SQUARES), gd.make_evaluate(SQUARES, chunk_size=8)
    epoch = gd.make_epoch(step, 16, order="sequence")
    run = gd.make_run(epoch, evaluate)
    for rung in (
        lambda data: step(state, data),
        lambda data: evaluate(jnp.zeros(3), data),
        lambda data: compile_once(run)(gd.start_run(run, state, stopping.never(), data, data, 2), data, data, 1),
        lambda data: next(gd.iterate(epoch, state, data)),
    ):
        equal(rung(LINE), rung(jax.tree.map(jnp.asarray, LINE)))


def test_an_evaluation_slices_its_chunks_and_knows_a_models_state():
    """Chunks are windows, not rows by index; metrics see what the model's state makes of the parameters."""
    text = str(jax.make_jaxpr(gd.make_evaluate(SQUARES, chunk_size=8))(jnp.zeros(3), LINE))
    gathered = re.findall(r":\w+\[(\d*)[^]]*\] = gather", text)
    assert set(gathered) <= {"1"} and "dynamic_slice" in text  # the one row that stands in for masked ones
    loss = losses.stateful(lambda w, shift, batch, key: (jnp.mean((batch[0] @ w + shift - batch[1]) ** 2), {}, shift))
    w, shift = jnp.array([0.3, -0.2, 0.1]), jnp.array(0.7)
    x, y = np.float64(LINE[0]), np.float64(LINE[1])
    right = np.mean(np.abs(x @ np.float64(w) + 0.7 - y))
    for predict in (lambda w, shift, x: x @ w + shift, lambda w, x, model_state: x @ w + model_state):
        for chunk_size in (8, 37):
            evaluate = gd.make_evaluate(loss, {"mae": metrics.mean_absolute_error}, predict, chunk_size)
            np.testing.assert_allclose(evaluate(w, LINE, shift)["mae"], right, rtol=1e-5)
    for call in (
        lambda: gd.make_evaluate(loss)(w, LINE),
        lambda: gd.fit(loss, w, gd.sgd(0.1), LINE, epochs=1),
        lambda: gd.backprop.flow(loss, w, LINE),
    ):
        with pytest.raises(ValueError, match="give model_state="):
            call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gd.make_epoch(gd.make_step(rowwise), 8)(start(), DATA), "one shape whatever the number of rows"),
        pytest.param(
            lambda: gd.make_evaluate(rowwise, chunk_size=8)(start().params, DATA),
            "one shape whatever the number of rows",
            marks=pytest.mark.nightly,
        ),
        (
            lambda: losses.supervised(MODEL, losses.softmax_cross_entropy_with_integer_labels, {"r2": metrics.r2}),
            "needs all rows at once",
        ),
        (
            lambda: fit(optimizer=gd.adamw(0.1, mask=jax.tree.map(jnp.ones_like, start().params))),
            "one bool for a whole",
        ),
    ],
)
def test_what_has_no_mean_over_rows_is_refused_in_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def rowwise(params, batch, key):
    return LOSS(params, batch, key)[0], {"errors": jnp.zeros(len(batch[0]))}


@pytest.mark.parametrize(
    "name",
    ["loss", "validation_accuracy", "weight"]
    + [pytest.param(name, marks=pytest.mark.nightly) for name in ("step", "epoch", "learning_rate", "change")],
)
def test_no_metric_takes_the_name_of_another_number(name):
    cross_entropy, example = (
        losses.softmax_cross_entropy_with_integer_labels,
        lambda params, row: (params.sum(), {name: row.sum()}),
    )
    batch = lambda params, batch, key: (params.sum(), {name: batch.mean()})  # noqa: E731
    stateful = losses.stateful(lambda params, state, batch, key: (params.sum(), {name: 1.0}, state))
    fit = lambda loss: gd.fit(loss, jnp.ones(3), gd.sgd(0.1), np.ones((4, 3), np.float32), epochs=1, batch_size=2)  # noqa: E731
    doors = [
        lambda: losses.supervised(MODEL, cross_entropy, {name: metrics.correct}),
        lambda: gd.make_evaluate(LOSS, {name: metrics.accuracy}, predict=MODEL.apply),
        lambda: losses.per_example(example)(jnp.ones(3), jnp.ones((4, 3))),
        lambda: fit(losses.per_example(example)),
    ]
    own = name == "weight"  # a loss on batches says so what its batch weighs
    for door in [*doors, *([] if own else [lambda: fit(batch), lambda: fit(stateful)])]:
        with pytest.raises(ValueError, match=f"metrics must not be named .*, got '{name}'"):
            door()
    watched = gd.make_step(LOSS, probes=lambda *_: {"accuracy": 1.0})
    with pytest.raises(ValueError, match="named as those of a probe, got 'accuracy'"):
        jax.eval_shape(watched, start(), DATA)
    for chunk_size in (8, 7, 5):
        evaluate = gd.make_evaluate(
            LOSS, {"auc": metrics.accuracy, "accuracy": metrics.accuracy}, MODEL.apply, chunk_size
        )
        with pytest.raises(
            ValueError, match="make_evaluate: metrics must not be named as those of the loss, got 'accura"
        ):
            jax.eval_shape(evaluate, start().params, DATA)


def test_a_metric_in_a_loss_is_the_same_object_as_in_an_evaluation():
    lifted = losses.per_example(
        losses.supervised(MODEL, losses.softmax_cross_entropy_with_integer_labels, {"accuracy": metrics.accuracy})
    )
    params, (x, y) = start().params, map(np.asarray, VALIDATION)
    right = np.mean(np.argmax(MODEL.apply(params, x), axis=1) == y)
    assert 0 < right < 1
    for loss in (lifted, LOSS):
        np.testing.assert_allclose(loss(params, VALIDATION)[1]["accuracy"], right, rtol=1e-6)


ON_A_MESH = """
import jax, numpy as np
from jax import numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec as P
import gdjax as gd
from gdjax import losses, metrics, patches

patches.PART = 1 << 10  # few bytes: the rows of a convolution are taken in parts
mesh = jax.make_mesh((8,), ("rows",))
put = lambda tree, spec: jax.tree.map(lambda x: jax.device_put(x, NamedSharding(mesh, spec)), tree)
x = np.random.default_rng(0).normal(size=(48, 8)).astype(np.float32)
data, w, key = (x, x.sum(1)), np.ones(8, np.float32), jax.random.key(2)
predict = lambda w, x: x @ w
noise = lambda key: 0.0 if key is None else 0.1 * jax.random.normal(key)
loss = losses.per_example(lambda w, row, key: (predict(w, row[0]) - row[1] + noise(key)) ** 2)
step, evaluate = gd.make_step(loss), gd.make_evaluate(loss, {"r2": metrics.r2}, predict, chunk_size=10)
seen = gd.models.unflatten((8, 1)), gd.models.conv(1, 1, (3,)), gd.models.flatten((8, 1))
normalize = gd.models.batch_norm(8)  # over all devices
model = gd.models.serial(normalize, gd.models.dropout(0.3), *seen, gd.models.dense(8, None))
normed = losses.per_example(losses.supervised(model, losses.squared_error))


def everything(w, data):
    fitted = gd.fit(loss, w, gd.adam(0.01), data, data, epochs=2, batch_size=10)  # 8 divides neither 10 nor 48 % 10
    stepped, measured = jax.jit(step)(gd.make_state(w, gd.adam(0.01)), data)
    value = jax.jit(loss)(w, data, key, mask=np.arange(48) < 37)
    taken = gd.data.take(data, np.array([1, 7]))
    layers = {"scale": w, "b": 0 * w}, (), (), {"w": w[:3, None, None], "b": w[:1]}, (), {"w": w[:, None], "b": w[:1]}
    state = gd.make_state(layers, gd.adam(0.01), 0, model.init_state())
    state, _ = jax.jit(gd.make_step(normed))(state, data, np.arange(48) < 37)
    scores = gd.make_evaluate(normed)(state.params, data, state.model_state)
    normal = state.params, state.model_state, scores
    return normal, fitted.params, fitted.history, stepped.params, measured, evaluate(w, data), value, taken


alike = lambda one, many: jax.tree.all(jax.tree.map(lambda a, b: np.allclose(a, b, rtol=1e-5, atol=1e-6), one, many))
placed = put(w, P()), put(data, P("rows"))
many = everything(*placed)
assert alike(everything(jnp.asarray(w), jax.tree.map(jnp.asarray, data)), many)
assert (many[1].sharding.mesh.devices == mesh.devices).all()
plain = gd.models.serial(*seen, gd.models.dense(8, None))
step = gd.make_step(losses.per_example(losses.supervised(plain, losses.squared_error)))
state = gd.make_state(put(plain.init(key), P()), gd.sgd(0.1))
program = jax.jit(step).lower(state, placed[1]).compile().as_text()
assert "while(" in program and "all-reduce(" in program and "all-gather(" not in program
with jax.set_mesh(mesh):
    assert alike(evaluate(*placed), many[5])
"""


@pytest.mark.nightly
def test_an_explicit_mesh_gives_what_one_device_gives():
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    options = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", **flags}
    done = subprocess.run(
        [sys.executable, "-c", ON_A_MESH], env={**os.environ, **options}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_mean_of_many_small_losses_does_not_drift():
    """A plain float32 sum of 100,000 terms of 0.1 is off by 1e-3 of itself."""
    constant = gd.per_example(lambda params, x: 0.1 + 0 * params * x)
    epoch = gd.make_epoch(gd.make_step(constant), batch_size=1)
    state = gd.make_state(jnp.zeros(()), gd.sgd(0.1))
    _, metrics = jax.jit(epoch)(state, jnp.ones(100), np.int32(100_000))
    np.testing.assert_allclose(metrics["loss"], 0.1, rtol=1e-6)
    assert metrics["weight"] == 100_000


WEIGHTS = {
    "fractional": lambda rows: jnp.sum(rows) / 8,
    "whole": lambda rows: jnp.sum(rows > 1),
    "of 16 bits": lambda rows: (jnp.sum(rows) / 16).astype(jnp.bfloat16),
    "yes or no": lambda rows: jnp.any(rows > 5),
}


@pytest.mark.parametrize(
    "weight", [pytest.param(x, marks=[pytest.mark.nightly] * (x in ("whole", "of 16 bits"))) for x in WEIGHTS]
)
def test_a_metric_of_any_dtype_has_its_mean_over_rows(weight):
    """By an epoch of a known or a traced number of steps and by an evaluation, as NumPy has it; bools are 0 and 1."""
    rows = np.float32([[3, 4, 5], [1, 6, 7], [4, 4, 6], [0, 2, 3]])
    measures = {
        "all": lambda rows: jnp.all(rows > 2),
        "count": lambda rows: jnp.sum(rows > 3),
        "short": lambda rows: jnp.max(rows).astype(jnp.bfloat16),
        "pair": lambda rows: jnp.stack([jnp.min(rows), jnp.mean(rows)]),
        "turned": lambda rows: jnp.max(rows) * (1 - 2j),
    }

    def loss(w, rows):
        measured = {name: measure(rows) for name, measure in measures.items()}
        return jnp.mean(rows) + 0 * w, {**measured, "weight": WEIGHTS[weight](rows)}

    epoch, evaluate = gd.make_epoch(gd.make_step(loss), 3, order="sequence"), gd.make_evaluate(loss, chunk_size=3)
    state, data = gd.make_state(0.0, gd.sgd(0.0)), rows.ravel()
    weights = [float(WEIGHTS[weight](batch)) for batch in rows]
    ways = jax.jit(lambda n: (epoch(state, data)[1], epoch(state, data, n)[1], evaluate(0.0, data)))
    for found in ways(4):
        assert float(found["weight"]) == sum(weights)
        np.testing.assert_allclose(found["loss"], np.average(rows.mean(1), weights=weights), rtol=1e-6)
        for name, measure in measures.items():
            values = np.array([np.asarray(measure(batch), complex) for batch in rows])
            expected = np.average(values, weights=weights, axis=0)
            np.testing.assert_allclose(found[name], expected, rtol=5e-3 if name == "short" else 1e-6, err_msg=name)
            assert jnp.issubdtype(found[name].dtype, jnp.inexact)
