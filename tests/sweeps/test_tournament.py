"""Tournaments: equal budgets, the runs of `fit`, and statements that follow from the scores."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdjax as gd
from gdjax.sweeps._tournament import _compare, _time
from gdjax.sweeps.racing import Ended, Entrant, draw, seeds_of_race
from gdjax.sweeps.statistics import signed_rank_test
from gdjax.sweeps.tunables import OneMinus, tunables_of, with_schedule

ROWS = np.random.default_rng(0).normal([1.0, -2.0], 0.5, (48, 2)).astype(np.float32)
FRESH = np.random.default_rng(1).normal([1.0, -2.0], 0.5, (48, 2)).astype(np.float32)
LENGTH = {"steps": 6, "every": 2, "batch_size": 16}


def bowl(w, rows):
    return jnp.mean((w - rows) ** 2)


def start(key):
    return jax.random.normal(key, (2,))


@pytest.fixture(scope="module")
def found():
    given = {"sgd": gd.sgd(0.05), "slow": gd.sgd(1e-5), "adam": "adam"}
    return gd.tournament(bowl, start, given, ROWS, FRESH, draws=3, tunings=8, seeds=2, seed=5, **LENGTH)


def test_budgets_are_equal_and_counted(found):
    assert {x.granted for x in found.standings} == {x.taken for x in found.standings} == {8 * (3 + 2) * 6}
    assert found.batches == 6 and "240 batches each" in str(found)


@pytest.mark.parametrize(("name", "make", "tuning"), [("adam", gd.adam, 0), ("sgd", gd.sgd, 7)])
def test_a_score_is_the_mean_of_the_fresh_runs_at_the_end_of_the_schedule(found, name, make, tuning):
    one = by(found, name)
    chosen = {path.rpartition(".")[2]: value for path, value in one.configurations[tuning].items()}
    optimizer = make(gd.schedules.cosine(chosen.pop("init_value"), 6), **chosen)
    times = []
    for k, seed in enumerate(seeds_of_race(5, 8, 2).fresh[tuning]):
        base = jax.random.key(seed)
        params = start(jax.random.fold_in(base, 2))
        run = gd.fit(bowl, params, optimizer, ROWS, FRESH, key=jax.random.fold_in(base, 1), **LENGTH)
        values = run.history["validation_loss"]
        assert one.finals[tuning, k] == pytest.approx(values[-1], rel=1e-4)
        times.append(2.0 * (1 + np.argmax(values <= found.target)) if (values <= found.target).any() else np.inf)
    assert one.times[tuning] == np.median(times)
    np.testing.assert_allclose(one.scores, one.finals.mean(axis=1))
    assert one.final == np.median(one.scores) and one.final_interval[0] <= one.final <= one.final_interval[1]
    assert found.target == sorted(sorted(x.tuning_values)[5] for x in found.standings)[1]  # by six of eight tunings


def test_comparisons_and_the_statement_follow_from_the_scores(found):
    assert [x.name for x in found.standings] == sorted(
        (x.name for x in found.standings), key=lambda n: by(found, n).final
    )
    assert len(found.comparisons) == 3 and found.standings[0].name == "sgd"
    for x in found.comparisons:
        better, worse = by(found, x.better).scores, by(found, x.worse).scores
        averages = np.add.outer(better - worse, better - worse)[np.triu_indices(8)] / 2
        assert x.p == signed_rank_test(better, worse) and x.difference == pytest.approx(np.median(averages))
        assert x.difference <= 0 and x.significant == (x.corrected <= 0.05)
        assert (f"{x.better} is better than {x.worse}" in found.statement) == x.significant
    assert {(x.better, x.worse) for x in found.comparisons if x.significant} >= {("sgd", "slow"), ("sgd", "adam")}
    assert by(found, "sgd").time <= 6 and by(found, "slow").time == np.inf


def test_the_target_is_reached_at_the_first_evaluation_at_or_below_it():
    run = Ended(0.5, np.array([3.0, 1.0, 2.0, 0.5]), np.array([2, 4, 6, 8]), 8)
    assert [_time(run, target) for target in (3.0, 1.0, 0.7, 0.4, np.inf)] == [2, 4, 8, np.inf, np.inf]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_better_one_is_that_of_the_test_and_no_one_where_it_has_none(sign):
    """The median of the differences is 0, or has the other sign."""
    zeros = np.zeros(40)
    for scores in (np.array([1.0] * 19 + [0.0] * 21), np.array([9.0] * 19 + [-1.0] * 21)):
        both = [Scores("bad", sign * scores), Scores("good", zeros)]
        for given in (both, both[::-1]):
            (pair,) = _compare(given, sign, 0.05)
            assert (pair.better, pair.worse) == ("good", "bad") and sign * pair.difference < 0 and pair.p < 0.05
    (pair,) = _compare([Scores("a", np.array([-3.0, 1.0, 2.0])), Scores("b", zeros[:3])], sign, 0.99)
    assert pair.difference == 0 and pair.p == 1 and not pair.significant


class Scores(NamedTuple):
    name: str
    scores: np.ndarray


def test_a_level_that_needs_many_tunings_says_how_many(found):
    """Half of 1e-40 / 3 is first passed by 2^(1 - n) at n = 136."""
    strict = dataclasses.replace(found, level=1e-40)
    assert "write tunings=136 (" in strict.statement and "1e-38% over all 3 pairs" in strict.statement


def by(found, name):
    return next(x for x in found.standings if x.name == name)


def test_two_names_of_one_optimizer_are_tuned_apart_and_not_told_apart():
    same = gd.tournament(
        bowl, start, {"a": gd.sgd(0.05), "b": gd.sgd(0.05)}, ROWS, FRESH, draws=3, tunings=6, seeds=2, **LENGTH
    )
    a, b = same.standings
    assert a.configurations != b.configurations and same.comparisons[0].corrected > 0.05
    assert same.statement.startswith("Not significant: ")
    few = gd.tournament(
        bowl, start, {"a": gd.sgd(0.3), "b": gd.sgd(1e-4)}, ROWS, FRESH, draws=1, tunings=3, seeds=1, **LENGTH
    )
    assert "No difference can be significant with 3 tunings; write tunings=6" in few.statement


@pytest.mark.nightly
def test_what_is_drawn_may_be_a_flag_and_each_tuning_chooses_the_best_of_its_own():
    flag = {"nesterov": gd.sweeps.choice([True, False]), "learning_rate": gd.sweeps.log_uniform(1e-2, 1.0)}
    race, tunables = {"sgd": gd.sgd(0.1, momentum=0.5), "slow": gd.sgd(1e-5)}, {"sgd": flag}
    sizes = {"draws": 3, "tunings": 2, "seeds": 1, "seed": 2}
    found = gd.tournament(bowl, start, race, ROWS, FRESH, schedule=None, tunables=tunables, **sizes, **LENGTH)
    one, seeds = by(found, "sgd"), seeds_of_race(2, 2, 1)
    assert one.tuned == ("optimizer.learning_rate", "optimizer.momentum", "optimizer.nesterov")
    entrant = Entrant("sgd", race["sgd"], {**tunables_of(race["sgd"]), **{f"optimizer.{x}": flag[x] for x in flag}})
    for r, (seed, (fresh,)) in enumerate(zip(seeds.tuning, seeds.fresh, strict=True)):
        drawn = draw(entrant, 3, (2, 0, r))
        values = [final(each, seed) for each in drawn]
        assert {each["optimizer.nesterov"] for each in drawn} == {True, False}
        assert one.configurations[r] == drawn[int(np.argmin(values))]
        assert one.tuning_values[r] == pytest.approx(min(values), rel=1e-4)
        assert one.finals[r, 0] == pytest.approx(final(one.configurations[r], fresh), rel=1e-4)


def final(configuration, seed):
    """The last value of the run of sgd with this seed."""
    base, chosen = jax.random.key(seed), {path.rpartition(".")[2]: value for path, value in configuration.items()}
    params, key = start(jax.random.fold_in(base, 2)), jax.random.fold_in(base, 1)
    return gd.fit(bowl, params, gd.sgd(**chosen), ROWS, FRESH, key=key, **LENGTH).history["validation_loss"][-1]


def test_what_goes_wrong_comes_last_and_is_counted():
    wild = {"sgd": {"learning_rate": gd.sweeps.log_uniform(5.0, 6.0)}}
    race = {"sgd": gd.sgd(0.3), "adam": "adam"}
    found = gd.tournament(
        bowl, start, race, ROWS, FRESH, draws=3, tunings=6, seeds=2, tunables=wild, steps=30, every=10, batch_size=16
    )
    first, last = found.standings
    assert (last.name, last.final, last.wrong, last.time) == ("sgd", np.inf, 1.0, np.inf)
    assert last.taken < last.granted == first.taken and "sgd took" in str(found)
    assert found.comparisons[0].significant and "adam is better than sgd" in found.statement


def test_what_is_tuned_follows_from_what_a_call_declares():
    optimizer = with_schedule(gd.lookahead(gd.adamw(0.01, eps=1e-6)), 50, gd.schedules.cosine)
    rate = "optimizer.fast_optimizer.learning_rate.init_value"
    found = tunables_of(optimizer)
    assert {path.rpartition(".")[2] for path in found} == {"init_value", "b1", "b2", "weight_decay"} and rate in found
    assert (found[rate].low, found[rate].high) == pytest.approx((0.01 / 30, 0.3))
    b1 = next(x for path, x in found.items() if path.endswith("b1"))
    assert isinstance(b1, OneMinus)
    assert [b1.quantile(0.0), b1.quantile(1 - 1e-12)] == pytest.approx([1 - 0.1 / 3, 0.7])
    assert set(tunables_of(gd.sgd(0.1))) == {"optimizer.learning_rate"}  # its momentum is None
    kept = gd.sgd(gd.schedules.warmup_cosine_decay_schedule(0.0, 0.1, 5, 50))
    assert with_schedule(kept, 50, gd.schedules.cosine) is kept
    assert set(tunables_of(kept)) == {"optimizer.learning_rate.peak_value"}
    assert tunables_of(gd.lbfgs()) == {}


@pytest.mark.parametrize(
    ("optimizers", "options", "said"),
    [
        (["adam"], {}, "at least two, by name"),
        ([gd.sgd(0.1), gd.sgd(0.2)], {}, "of one name need a dict"),
        (["adam", "sgdd"], {}, "sgd"),
        (["adam", "sgd"], {"tunables": {"lion": {}}}, "tunables must be of adam and sgd, got 'lion'"),
        (["adam", "sgd"], {"tunables": {"sgd": {"b1": gd.sweeps.uniform(0.1, 0.2)}}}, "tournament: no argument 'b1'"),
        (["adam", "sgd"], {"draws": 0}, "draws must be at least 1"),
        (["adam", "sgd"], {"level": 1.0}, "tournament: level must be between 0 and 1, got 1.0"),
        (["adam", "sgd"], {"batch_size": 0}, "tournament: batch_size must be at least 1, got 0"),
        (["adam", "sgd"], {"batch_size": 64}, "batch_size must be between 1 and the 48 rows of the data, got 64"),
        (["adam", "sgd"], {"seed": -1}, "tournament: seed must be at least 0, got -1"),
        (
            ["adam", "sgd"],
            {"tunables": {"sgd": {"learning_rate": [0.1, 0.2]}}},
            "'learning_rate' of sgd must be a distr",
        ),
        (
            ["adam", "sgd"],
            {"tunables": {"sgd": 3}},
            "tunables must be a dict name -> {path: distribution}, got {'sgd': 3}",
        ),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(optimizers, options, said):
    with pytest.raises((TypeError, ValueError), match=said):
        gd.tournament(bowl, start, optimizers, ROWS, FRESH, **{**LENGTH, **options})
