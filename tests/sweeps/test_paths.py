"""Paths: every number of a run can be named, read, and replaced, on the host and where it is traced."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdjax as gd
from gdjax import losses
from gdjax.certify.examples import example_calls
from gdjax.sweeps.paths import get, insert, is_lane, numbers_of, replace, replace_by_columns, resolve, takes_column

OPTIMIZER = gd.chain(
    gd.clip_by_global_norm(1.0),
    gd.lookahead(
        gd.adam(gd.schedules.warmup_cosine_decay_schedule(0.0, 0.1, 10, 100), b1=0.8), sync_period=5, slow_step_size=0.5
    ),
)
MODEL = gd.models.mlp((4, 3, 2), dropout=0.25)
SUPERVISED = gd.supervised(MODEL, functools.partial(losses.huber, delta=1.5))
LOSS = gd.per_example(SUPERVISED, penalty=losses.elastic(1e-3, 0.5))
ROOTS = {"optimizer": OPTIMIZER, "stop": gd.stopping.patience(7), "loss": LOSS, "init_scale": 1.0}
ADAM = "optimizer.args.1.fast_optimizer"
PARAMS, X = {"w": jnp.full((2, 2), 2.0)}, jnp.ones((5, 4))


def test_all_numbers_are_found_and_nothing_else():
    found = numbers_of(ROOTS)
    assert found["optimizer.args.0.max_norm"] == 1.0 and found["optimizer.args.1.slow_step_size"] == 0.5
    assert found[f"{ADAM}.b1"] == 0.8 and found[f"{ADAM}.learning_rate.peak_value"] == 0.1
    assert (found["stop.evaluations"], found["init_scale"]) == (7, 1.0)
    assert {path: x for path, x in found.items() if path.startswith("loss")} == {
        "loss.loss.model.dropout": 0.25,
        "loss.loss.loss.delta": 1.5,
        "loss.penalty.strength": 1e-3,
        "loss.penalty.l1_ratio": 0.5,
    }
    leaves = [x for name in ("optimizer", "stop") for x in jax.tree.leaves(ROOTS[name])]
    assert len([path for path in found if path.startswith(("optimizer", "stop"))]) == len(leaves)
    assert numbers_of({"stop": None}) == {}
    precise = gd.schedules.exponential_decay(0.1, 10, decay_rate=0.9)  # which keeps its rate as a sum of two
    assert numbers_of({"optimizer": gd.sgd(precise)})["optimizer.learning_rate.decay_rate"] == 0.9


def test_the_end_of_a_path_stands_for_the_whole():
    whole = {
        "peak_value": f"{ADAM}.learning_rate.peak_value",
        "dropout": "loss.loss.model.dropout",
        "penalty.strength": "loss.penalty.strength",
        "evaluations": "stop.evaluations",
        "nesterov": f"{ADAM}.nesterov",  # a flag, since no number is called so
        "learning_rate": f"{ADAM}.learning_rate",  # a whole schedule
        "loss.loss.model": "loss.loss.model",
        "stop": "stop",
    }
    assert {short: resolve(short, ROOTS) for short in whole} == whole
    two = {"optimizer": {"a": gd.sgd(0.1), "b": gd.sgd(0.1, momentum=0.9)}}
    assert resolve("momentum", two) == "optimizer.b.momentum"  # as the other has none
    assert [get(ROOTS, path) for path in ("stop.evaluations", "loss.loss.model.sizes.1")] == [7, 3]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("eps", r"sweep: no argument 'eps'; .*it takes"),
        ("lr", r"sweep: no argument 'lr'; did you mean learning_rate\?"),
        ("optimizer.a.lr", r"sweep: optimizer.a: no argument 'lr'; did you mean learning_rate\?"),
        ("learning_rate", r"'learning_rate' must be one argument, got optimizer.a.learning_rate and optimizer.b.learn"),
        ("loss.penalty.strengt", r"sweep: loss.penalty: no argument 'strengt'; did you mean strength\?"),
        ("stop.evaluations", r"sweep: stop: no argument 'evaluations'; it takes none"),
    ],
)
def test_what_is_not_there_is_said_in_one_sentence(path, said):
    roots = {"optimizer": {"a": gd.sgd(0.1), "b": gd.sgd(0.2)}, "stop": None, "loss": LOSS}
    with pytest.raises(ValueError, match=said) as error:
        resolve(path, roots)
    assert "\n" not in str(error.value)


def test_a_number_is_replaced_as_in_a_new_call():
    whole = {f"{ADAM}.b1": 0.5, f"{ADAM}.b2": 0.75, "loss.loss.model.dropout": 0.0, "loss.penalty.strength": 0.25}
    found = replace(ROOTS, {**whole, "loss.loss.loss.delta": 3.0, "stop": gd.stopping.never()})
    assert {path: get(found, path) for path in whole} == whole
    assert found["stop"] == gd.stopping.never() and found["loss"].loss.loss(0.0, 4.0) == losses.huber(0.0, 4.0, 3.0)
    assert {**numbers_of(found), **numbers_of(ROOTS)} == numbers_of(ROOTS)  # the copy has no other paths
    assert numbers_of(ROOTS)[f"{ADAM}.b1"] == 0.8  # and the original is as it was
    inner = replace({"optimizer": None}, {"optimizer.inner.b1": 0.5, "optimizer": gd.sam(gd.adam(0.1), rho=0.1)})
    assert inner["optimizer"] == gd.sam(gd.adam(0.1, b1=0.5), rho=0.1)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (f"{ADAM}.b1", 1.5, r"fast_optimizer\.b1 = 1\.5: adam: b1 must be in \[0, 1\), got 1\.5"),
        ("stop.evaluations", 2.5, r"stop\.evaluations = 2\.5: patience: evaluations must be a whole number"),
        ("loss.penalty.strength", -1.0, r"loss\.penalty\.strength = -1: penalty: strength must be in \[0, inf\)"),
        ("loss.penalty.strength", "a", r"loss\.penalty\.strength = 'a': strength must be a number, got 'a'"),
        ("loss.loss.model.dropout", 1.0, r"loss\.loss\.model\.dropout = 1: mlp: dropout must be in \[0, 1\)"),
    ],
)
def test_a_number_out_of_its_bounds_is_turned_down_with_its_path(path, value, said):
    with pytest.raises((ValueError, TypeError), match=said):
        replace(ROOTS, {path: value})


def test_traced_numbers_give_what_the_same_numbers_give_on_the_host():
    paths = ("loss.penalty.strength", "loss.loss.model.dropout", "loss.loss.loss.delta")
    params, keys = MODEL.init(jax.random.key(0)), jax.random.key(1)
    lanes = np.array([[0.5, 0.0, 1.0], [0.0, 0.5, 0.25], [2.0, 0.75, 1.5]], np.float32)
    batch = X, jnp.arange(10.0).reshape(5, 2)

    def value(loss):
        return loss(params, batch, keys)[0]

    @jax.jit
    @jax.vmap
    def traced(numbers):
        return value(insert(ROOTS, dict(zip(paths, numbers, strict=True)))["loss"])

    hosts = [replace(ROOTS, dict(zip(paths, map(float, lane), strict=True)))["loss"] for lane in lanes]
    single = jax.jit(lambda: [value(loss) for loss in hosts])()
    np.testing.assert_allclose(traced(lanes), single, rtol=1e-5)
    assert len(set(map(float, single))) == 3

    def rate(numbers):  # a schedule deep inside, and a rate that is kept as a sum of two
        roots = {"optimizer": gd.chain(gd.sgd(gd.schedules.exponential_decay(1.0, 1, decay_rate=0.5)))}
        names = ("init_value", "decay_rate")
        whole = {f"optimizer.args.0.learning_rate.{n}": x for n, x in zip(names, numbers, strict=True)}
        return insert(roots, whole)["optimizer"].args[0].learning_rate(2)

    np.testing.assert_allclose(jax.vmap(rate)(jnp.array([[1.0, 0.5], [2.0, 0.25]])), [0.25, 0.125], rtol=1e-6)


def test_lanes_are_numbers_in_places_that_take_them():
    lanes = {
        f"{ADAM}.b1": [0.5, 0.9],
        "stop.evaluations": [1, 2],
        "loss.penalty.strength": [0, 0.5],
        "init_scale": [0.5, 2.0],
        f"{ADAM}.learning_rate": [0.1, 0.2],  # a number in place of a schedule
    }
    static = {
        f"{ADAM}.nesterov": [True, False],
        f"{ADAM}.learning_rate": [0.1, gd.schedules.cosine(0.1, 10)],
        "loss.loss.model.sizes": [(4, 2, 2), (4, 5, 2)],
        "loss.loss.model.sizes.1": [2, 5],
        "optimizer": [gd.sgd(0.1), gd.adam(0.1)],
    }
    assert {path: is_lane(ROOTS, path, values) for path, values in lanes.items()} == dict.fromkeys(lanes, True)
    assert {path: is_lane(ROOTS, path, values) for path, values in static.items()} == dict.fromkeys(static, False)
    whole = {"loss": losses.l2(1)}  # which may be a size, for all that a field of a dataclass says
    assert not is_lane(whole, "loss.strength", [1, 2]) and is_lane(whole, "loss.strength", [1, 0.5])


def test_a_column_is_refused_where_one_of_its_numbers_is_and_else_has_their_leaves():
    stops = gd.stopping.patience(7), gd.stopping.change(1e-3), gd.stopping.budget(steps=3)
    calls = [*(example_calls(name)[0] for name in gd.optimizers.OPTIMIZERS), OPTIMIZER, MODEL, *stops, LOSS]
    refused, equal = 0, 0
    for roots in ({"call": call} for call in calls):
        paths = [(path, x) for path, x in numbers_of(roots).items() if takes_column(roots, path)]
        for (path, given), value in itertools.product(paths, (-1, 1, 2.5, np.nan)):
            column = {path: np.array([given, value], float)}
            try:
                alone = leaves_of(replace(roots, {path: value}), path)
            except (TypeError, ValueError):
                refused += 1
                with pytest.raises((TypeError, ValueError)):
                    replace_by_columns(roots, column)
                continue
            pairs = zip(alone, leaves_of(replace_by_columns(roots, column), path), strict=True)
            changed = [(a, b) for a, b in pairs if np.shape(a) != np.shape(b)]
            assert changed and all(a.dtype == b.dtype and a == b[1] for a, b in changed), (path, roots)
            equal += 1
    assert refused > 400 and equal > 400


def leaves_of(roots, path):
    call = roots["call"]
    if hasattr(call, "canonicalize"):
        return jax.tree.leaves(call.canonicalize(on_host=True))
    return [np.asarray(get(roots, path), float)]


def test_numbers_of_calls_that_are_not_known_to_take_columns_come_one_by_one():
    @gd.optimizer
    def own(learning_rate, key=0):
        if isinstance(learning_rate, float) and learning_rate > 1:
            raise ValueError("this is too fast")
        return lambda params: (), lambda grads, state, params=None: (grads, state)

    held = {
        "a": gd.average(own(0.1), decay=0.5),
        "b": gd.average(gd.adam(0.1), decay=0.5),
        "c": gd.add_noise(1.0, 0.5, 3),
    }
    held |= {"d": gd.sgd(gd.schedules.exponential_decay(0.1, 10, decay_rate=0.9)), "e": gd.prodigy()}
    takes = {path for path in numbers_of(held) if takes_column(held, path)}
    assert {"a.decay", "b.decay", "b.inner.learning_rate", "c.eta", "d.learning_rate.init_value"} <= takes
    kept = {"a.inner.learning_rate", "c.key", "d.learning_rate.decay_rate", "e.betas.0"}
    assert kept <= numbers_of(held).keys() - takes and not takes_column(held, "e.nothing.there")
