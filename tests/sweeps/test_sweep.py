"""Lanes equal the runs alone, stop one by one, keep their bits, and harm no other."""

import contextlib
import dataclasses
import itertools
import types

import all_kinds
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdjax as gd
from gdjax import stopping
from gdjax.sweeps._sweep import run_all
from gdjax.sweeps.arguments import Arguments, drawing_of, draws
from gdjax.sweeps.blocks import blocks_of, outcomes_of, run_block, start_block
from gdjax.sweeps.engine import run_locally
from gdjax.sweeps.grouping import studies_of
from gdjax.sweeps.store import Nowhere
from gdjax.sweeps.ways import Way
from gdjax.training import Length
from gdjax.types import Stop

ROWS = 90
PEAK = "optimizer.learning_rate.init_value"
AXES = {PEAK: [1e-3, 1e30, 0.1, 1e300], "dropout": [0.0, 0.3], "strength": [0.0, 1e-2]}
WAYS = {
    "side by side": Way("side by side", 2, 8),
    "in turn": Way("in turn", 1, 16),
}


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def given():
    """Two noisy classes and a last batch that is shorter."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(ROWS + 30, 4))
    y = (x @ draw.normal(size=4) + draw.normal(size=len(x)) > 0).astype(np.int32)
    model = gd.models.mlp((4, 8, 2), dropout=0.1)
    losses = gd.supervised(model, gd.losses.softmax_cross_entropy_with_integer_labels)
    return Arguments(
        loss=gd.per_example(losses, penalty=gd.losses.l2(1e-3)),
        params=model,
        optimizer=gd.adam(gd.schedules.cosine(0.1, 60)),
        data=(x[:ROWS], y[:ROWS]),
        validation=(x[ROWS:], y[ROWS:]),
        length=Length(epochs=6.5),
        batch_size=40,
        order="shuffle",
        stop=stopping.patience(2),
        monitor="loss",
        evaluate=None,
        model_state=(),
        keep_params=True,
    )


def study_of(given, axes=AXES, way="side by side"):
    (study,) = studies_of(given, gd.sweeps.grid(axes), [3, 4])
    return dataclasses.replace(study, way=WAYS[way])


def run(study, block):
    """What became of the lanes of a block, and their states after each segment."""
    running, states = start_block(study, block), []
    for after in run_block(study, block, running):
        running = after
        states.append(jax.device_get(running.states._replace(state=running.states.state._replace(key=None))))
    return outcomes_of(study, block, running), states


CHOSEN = ((1, 3), (5, 3), (8, 3), (13, 4))  # configurations and seeds


@pytest.fixture(scope="module")
def alone(given):
    """What `fit` finds for the chosen ones."""
    with jax.enable_x64(True):
        return {place: result_alone(given, *place) for place in CHOSEN}


def result_alone(given, number, seed):
    peak, dropout, strength = gd.sweeps.grid(AXES)[number].values()
    paths = {PEAK: peak, "loss.loss.model.dropout": dropout, "loss.penalty.strength": strength}
    arguments = given.configured(paths)
    evaluate = gd.make_evaluate(dataclasses.replace(arguments.loss, penalty=None))
    fitting = dataclasses.replace(arguments, evaluate=evaluate).fitting(seed)
    list(fitting.segments())
    return fitting.result()


@pytest.mark.parametrize("way", WAYS)
def test_lanes_equal_the_runs_alone(given, alone, way):
    study = study_of(given, way=way)
    outcomes = {each[:2]: each for block in blocks_of(study, [3, 4]) for each in run(study, block)[0]}
    assert len(outcomes) == 32
    for place, result in alone.items():
        outcome = outcomes[place]
        assert (outcome.stop, outcome.steps) == (result.stop.name, result.steps)
        for name, values in result.history.items():
            np.testing.assert_allclose(outcome.history[name], values, rtol=1e-11, err_msg=name)
        assert outcome.best_value == pytest.approx(result.best_value, rel=1e-11)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), outcome.params, result.params)
    assert {result.stop.name for result in alone.values()} == {"BUDGET", "PATIENCE", "DIVERGED", "NON_FINITE"}


def same_bits(a, b):
    """Whether all leaves of two trees are the same to the last bit."""
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: np.asarray(x).tobytes() == np.asarray(y).tobytes(), a, b)))


def test_a_lane_that_has_stopped_keeps_its_bits(given):
    study = study_of(given)
    _, states = run(study, blocks_of(study, [3, 4])[1])
    checked = 0
    for before, after in itertools.pairwise(states):
        stopped = before.stop != Stop.RUNNING
        checked += stopped.sum()
        assert same_bits(*(jax.tree.map(lambda x: np.asarray(x)[stopped], each) for each in (before, after)))  # noqa: B023
        assert not same_bits(before, after)
    assert checked > 8


def test_a_block_has_the_same_bits_beside_other_blocks_and_a_lane_beside_other_lanes(given):
    study = study_of(given)
    chosen = blocks_of(study, [3, 4])[1]
    outcomes, states = run(study, chosen)
    calm = study_of(given, {**AXES, PEAK: [1e-3, 1e30, 0.1, 0.2]})
    _, other = run(calm, chosen)
    healthy = np.array([outcome.stop in ("BUDGET", "PATIENCE") for outcome in outcomes]).reshape(2, 8)
    assert 0 < healthy.sum() < healthy.size
    last = [jax.tree.map(lambda x: np.asarray(x)[healthy], each[-1]) for each in (states, other)]
    assert same_bits(*last)
    rows = {
        (each.configuration, each.seed): each
        for each in run_locally([(study, block) for block in blocks_of(study, [3, 4])], Nowhere(), lambda _: None)
    }
    assert all(same_bits(rows[each.configuration, each.seed][3:], each[3:]) for each in outcomes)


def test_the_laws_of_lanes_hold_for_batch_norm_attention_and_recurrence(given):
    """A lane that stopped keeps its bits, a neighbor's NaN changes none, and what is kept is the best with its own state."""
    data, validation = (all_kinds.rows(number, np.float64, seed) for number, seed in ((ROWS, 0), (30, 1)))
    model, loss, rate = all_kinds.ALL, all_kinds.loss_of(all_kinds.ALL), "models.3.rate"  # of the dropout
    given = dataclasses.replace(given, params=model, loss=loss, data=data, validation=validation)
    study, calm = (study_of(given, {PEAK: [0.1, peak, 0.05], rate: [0.0, 0.3]}) for peak in (1e300, 0.2))
    (block,) = blocks_of(study, [3, 4])
    outcomes, states = run(study, block)
    assert {outcome.stop for outcome in outcomes} >= {"PATIENCE", "NON_FINITE"}
    for before, after in itertools.pairwise(states):
        stopped = before.stop != Stop.RUNNING
        assert same_bits(*(jax.tree.map(lambda x: np.asarray(x)[stopped], each) for each in (before, after)))  # noqa: B023
    healthy = [0, 1, 4, 5]
    last = [jax.tree.map(lambda x: np.asarray(x)[:, healthy], each[-1]) for each in (states, run(calm, block)[1])]
    assert same_bits(*last)
    best = min(outcomes, key=lambda outcome: outcome.best_value)
    value = jax.jit(loss)(best.params, best.model_state, validation)[0]
    assert float(value) == pytest.approx(best.best_value, rel=1e-9)


@contextlib.contextmanager
def compilations():
    """A list of the seconds of each compilation in the block."""
    found = []

    def note(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


def test_a_program_is_compiled_for_each_group_and_none_for_other_values(given):
    """Two groups by a flag of the optimizer; then other values of every number."""
    given = dataclasses.replace(given, optimizer=gd.momentum(0.1, 0.9), stop=None)

    def swept(rates, strengths, seeds):
        axes = {"nesterov": [False, True], "learning_rate": rates, "strength": strengths}
        studies = studies_of(given, gd.sweeps.grid(axes), seeds)
        assert [(len(study.settings.number), study.way) for study in studies] == [(4, Way("side by side", 2, 4))] * 2
        tasks = [(study, block) for study in studies for block in blocks_of(study, seeds)]
        return run_locally(tasks, Nowhere(), lambda _: None)

    with compilations() as first:
        swept([0.01, 0.1], [0.0, 0.1], [0, 1])
    with compilations() as second:
        outcomes = swept([0.02, 0.3], [1e-3, 0.01], [2, 5])
    assert first and not second and len(outcomes) == 16


def test_models_batches_and_initial_scales_are_axes(given):
    """A program for each model and batch; a run is that of `fit`."""
    small, large = gd.models.mlp((4, 3, 2)), gd.models.mlp((4, 5, 2))
    given = dataclasses.replace(given, loss=bound_loss, stop=None, length=Length(epochs=2))
    axes = [{"model": small, "batch_size": 30}, {"model": large, "batch_size": 45, "init_scale": 2.0}]
    table = run_all(given, axes, [1])
    base = jax.random.key(1)
    params = jax.tree.map(lambda p: 2.0 * p, large.init(jax.random.fold_in(base, 2)))
    how = {"epochs": 2, "batch_size": 45, "key": jax.random.fold_in(base, 1)}
    found = gd.fit(bound_loss(large), params, given.optimizer, given.data, given.validation, **how)
    np.testing.assert_allclose(table.histories[1]["validation_loss"], found.history["validation_loss"], rtol=1e-11)
    assert len(table.histories[0]["loss"]) == 2 and table.rows()[0]["model"] == small


def bound_loss(model):
    return gd.per_example(gd.supervised(model, gd.losses.softmax_cross_entropy_with_integer_labels))


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"axes": {"lr": [0.1]}}, "no argument 'lr'; did you mean learning_rate"),
        (
            {"axes": {"learning_rate": [0.1, -1.0]}},
            r"optimizer.learning_rate = -1: sgd: .* in \[0, inf\)",
        ),
        ({"axes": [{"learning_rate": 0.1}, {"momentum": 7}, {"learning_rate": -1}]}, "optimizer.momentum = 7: sgd: "),
        (
            {"axes": {"learning_rate": [0.1, 0.2, np.float32(0.1)]}},
            r"values of learning_rate must differ, got .* twice",
        ),
        (
            {"axes": {"optimizer": [gd.sgd(1), gd.adam(1), gd.sgd(1.0)]}},
            r"values of optimizer must differ, got sgd\(1\) t",
        ),
        ({"axes": 5}, "axes must be a dict path -> values, or a list of dicts"),
        ({"seeds": [1, 1]}, "different whole numbers"),
        ({"width": 0}, "width must be at least 1"),
        ({"seeds": [0, 2**32]}, "different whole numbers below"),
        ({"axes": {"learning_rate": [0.1, 0.1]}}, "values of learning_rate must differ, got 0.1 twice"),
        (
            {"axes": {"learning_rate": [np.ones(2)]}},
            r"must be a number in each configuration, got an array of shape \(2,\)",
        ),
        (
            {"axes": {"learning_rate": [0.1], "optimizer.learning_rate": [0.2]}},
            "optimizer.learning_rate must be given once",
        ),
        ({"resume": True}, "resume needs out"),
        ({"axes": {"model": [gd.models.mlp((1, 1))]}, "params": gd.models.mlp((1, 1))}, "a function model -> loss"),
    ],
)
def test_what_cannot_be_swept_is_said(how, error):
    loss = gd.per_example(lambda w, x: (w - x) ** 2)
    usual = {"axes": {"learning_rate": [0.1]}, "params": 0.0, "epochs": 1, "batch_size": 4}
    with pytest.raises((TypeError, ValueError), match=error):
        gd.sweep(loss, optimizer=gd.sgd(0.1), data=np.arange(8.0), **{**usual, **how})


def test_keys_of_optimizers_are_axes():
    """Numbers of which no array of numbers can be made."""
    noisy, loss = gd.chain(gd.add_noise(1.0, 0.5, 3), gd.sgd(0.1)), gd.per_example(lambda w, x: (w - x) ** 2)
    axes = {"learning_rate": [0.1, 0.2], "key": [1, 2]}
    table = gd.sweep(loss, 0.0, noisy, np.arange(8.0), axes=axes, epochs=1, batch_size=4)
    assert np.isfinite(table.best_value).all() and len({*table.best_value}) == 4


def test_parameters_that_can_be_called_are_parameters():
    module = pytest.importorskip("equinox").nn.Linear(2, 1, key=jax.random.key(0))
    assert [draws(x) for x in (gd.models.mlp((2, 1)), lambda key: key, module, {"w": 0.0}, 0.0)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert drawing_of(module)(jax.random.key(1)) is module


def test_lanes_are_computed_as_the_caller_computes():
    """A generator of random numbers that is chosen for a block of code is that of the threads too."""

    def loss(w, rows, key):
        return jnp.mean((w - rows + jax.random.normal(key, rows.shape)) ** 2)

    def swept():
        how = {"axes": [{}], "seeds": [3], "epochs": 1, "batch_size": 4}
        return gd.sweep(loss, 1.0, gd.sgd(0.1), np.arange(8.0), **how).best_value

    with jax.default_prng_impl("rbg"):
        other, key = swept(), jax.random.fold_in(jax.random.key(3), 1)
        alone = gd.fit(loss, 1.0, gd.sgd(0.1), np.arange(8.0), epochs=1, batch_size=4, key=key)
    np.testing.assert_allclose(other, alone.best_value, rtol=1e-11)
    assert other != swept()


def test_configurations_are_judged_by_what_is_not_penalized():
    def swept(validation, axes):
        loss = gd.per_example(lambda w, x: jnp.sum((w - x) ** 2), penalty=gd.losses.l2(1.0, where=lambda *_: True))
        how = {"epochs": 1, "batch_size": 8, "axes": axes}
        return gd.sweep(loss, jnp.ones(1), gd.sgd(1e-9), np.arange(8.0)[:, None], validation, **how).best_value

    rows, penalties = np.arange(8.0)[:, None], [None, gd.losses.l2(10.0, where=lambda *_: True)]
    for axes in ({"strength": [0.0, 1.0, 10.0]}, {"loss.penalty": penalties}):
        np.testing.assert_allclose(swept(rows, axes), np.mean((1 - np.arange(8.0)) ** 2), rtol=1e-6)
        with pytest.raises(ValueError, match="an axis in the penalty needs validation rows"):
            swept(None, axes)


def test_data_that_are_not_finite_are_named_where_every_run_went_wrong(monkeypatch):
    """And not where one run did well."""
    square, rows = lambda w, rows: jnp.mean((w - rows) ** 2), np.array([1.0, np.nan, 3.0])
    words = "data is not finite in 1 cell, the first at [1]: nan"
    for stop, told in (("NON_FINITE", True), ("BUDGET", False)):
        found = [
            types.SimpleNamespace(configuration=i, seed=0, stop=each) for i, each in enumerate(("NON_FINITE", stop))
        ]
        for each in found:
            vars(each).update(best_value=1.0, best_evaluation=-1, epochs=1.0, steps=1, history={}, params=None)
            vars(each).update(model_state=None)
        monkeypatch.setattr("gdjax.sweeps._sweep.run_locally", lambda *_, found=found: found)
        table = gd.sweep(square, 0.0, gd.sgd(0.1), rows, axes={"learning_rate": [0.1, 0.2]}, epochs=1)
        assert (words in table.remarks) is told
