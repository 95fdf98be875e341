"""Successive halving on functions whose ends are known."""

import math

import numpy as np
import pytest

from gdjax.sweeps import rung_budgets, successive_halving


class Recorder:
    """Training as a curve: a configuration (speed, limit) has the value limit + exp(-speed budget)."""

    def __init__(self):
        self.calls, self.spent = [], {}

    def __call__(self, configurations, budget):
        self.calls.append((len(configurations), budget))
        for each in configurations:
            self.spent[each] = budget
        return [limit + math.exp(-speed * budget) for speed, limit in configurations]


def curves(number, seed):
    rng = np.random.default_rng(seed)
    return [
        (float(speed), float(limit))
        for speed, limit in zip(rng.uniform(0.5, 2, number), rng.random(number), strict=True)
    ]


@pytest.mark.parametrize(
    ("number", "budgets", "sizes"), [(27, [1, 3, 9, 27], [27, 9, 3, 1]), (10, [2, 4, 12], [10, 5, 1])]
)
def test_each_rung_keeps_the_best_of_the_one_before_at_an_equal_budget(number, budgets, sizes):
    advance, configurations = Recorder(), curves(number, 0)
    found = successive_halving(advance, configurations, budgets)
    assert advance.calls == list(zip(sizes, budgets, strict=True))
    assert found.budget == sum(advance.spent.values())  # of every configuration, what it had in the end
    for rung, after in zip(found.rungs, found.rungs[1:], strict=False):
        ranked = sorted(rung.numbers, key=lambda i: Recorder()([configurations[i]], rung.budget))
        assert rung.kept == tuple(ranked[: len(after.numbers)]) and after.numbers == tuple(sorted(rung.kept))
    last = found.rungs[-1]
    assert found.best == configurations[last.kept[0]] and found.best_value == last.values.min()


def test_it_finds_the_best_of_curves_that_do_not_cross_late_for_a_quarter_of_the_budget():
    for seed in range(20):
        configurations = curves(64, seed)
        found = successive_halving(Recorder(), configurations, rung_budgets(4, 64))
        assert found.budget <= 64 * 64 / 4
        assert found.best[1] == min(limit for _, limit in configurations)


def test_what_is_not_finite_is_worst_and_never_goes_on():
    def advance(configurations, budget):
        bad = {1: math.nan, 2: math.inf, 3: -math.inf, 5: math.nan if budget > 1 else 0.0}
        return [bad.get(x, x) for x in configurations]

    found = successive_halving(advance, range(1, 9), [1, 2, 4])
    assert [rung.kept for rung in found.rungs] == [(4, 3, 5, 6), (3, 5), (3,)]  # numbers from 0: 5 was best, then NaN
    assert found.best == 4 and found.budget == 8 + 4 + 2 * 2
    few = successive_halving(lambda xs, budget: [0.0 if x == 7 else math.nan for x in xs], range(9), [1, 3])
    assert few.rungs[0].kept == (7,) and few.budget == 9 + 2
    none = successive_halving(lambda xs, budget: [math.nan] * len(xs), range(9), [1, 3, 9])
    assert len(none.rungs) == 1 and math.isnan(none.best_value)
    assert repr(none).endswith("none had a finite value with a budget of 1")
    with pytest.raises(ValueError, match="no configuration is the best: none had a finite value with a budget of 1"):
        _ = none.best


def test_budgets_are_in_a_ratio_up_to_the_most():
    assert rung_budgets(1, 81, 3) == [1, 3, 9, 27, 81] and rung_budgets(1, 1000, 10) == [1, 10, 100, 1000]
    assert rung_budgets(5, 100) == [7, 25, 100] and rung_budgets(30, 100) == [100]
    assert rung_budgets(0.1, 0.9, 3) == pytest.approx([0.1, 0.3, 0.9])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: successive_halving(Recorder(), [], [1]), "configurations must be at least one, got none"),
        (
            lambda: successive_halving(Recorder(), curves(2, 0), [1, 1]),
            r"budgets must increase from above 0, got \[1, 1\]",
        ),
        (
            lambda: successive_halving(lambda xs, budget: 1.0, range(3), [1]),
            r"a number for each of 3 .* got shape \(\)",
        ),
        (lambda: rung_budgets(0, 10), "rung_budgets: least must be a number above 0, got 0"),
        (lambda: rung_budgets(1, 10, 1), "rung_budgets: factor must be a number above 1, got 1"),
        (lambda: rung_budgets(20, 10), "rung_budgets: most must be a number of at least 20, got 10"),
    ],
)
def test_what_cannot_be_halved_is_said(call, said):
    with pytest.raises(ValueError, match=said):
        call()
