"""Statistics against SciPy, and against all possibilities, one by one."""

import itertools

import numpy as np
import pytest
import scipy.stats

from gdjax.sweeps import bootstrap_interval, holm, signed_rank_test
from gdjax.sweeps.statistics import adjusted_pairs, least_p, signed_rank_shift

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n", [1, 2, 5, 9, 14])
def test_the_signed_rank_test_is_scipys_where_nothing_ties(n):
    a, b = RNG.normal(0.5, 1, n), RNG.normal(size=n)
    assert signed_rank_test(a, b) == pytest.approx(scipy.stats.wilcoxon(a, b, method="exact").pvalue, rel=1e-12)
    assert signed_rank_test(b, a) == signed_rank_test(a, b)
    assert signed_rank_test(np.arange(n), np.arange(n) + 1 + np.arange(n) / 100) == least_p(n)


@pytest.mark.parametrize(
    "differences", [[1, 1, -1, 2, 0, 3], [np.inf, -1, 2, np.inf, 5], [0, 0, 0], [-np.inf] * 4, [3, -3, 3, 1, 1, 1, 0]]
)
def test_with_ties_and_failures_it_counts_all_signs(differences):
    b = np.full(len(differences), 10.0)
    a = b + differences
    size = np.abs([d for d in differences if d])
    ranks = np.array([np.mean(np.flatnonzero(np.sort(size) == x) + 1) for x in size])
    centered = [abs(np.dot(signs, ranks)) for signs in itertools.product((-1, 1), repeat=len(size))]
    observed = abs(np.dot(np.sign([d for d in differences if d]), ranks)) if len(size) else 0
    assert signed_rank_test(a, b) == pytest.approx(np.mean(np.array(centered) >= observed - 1e-9))
    assert signed_rank_test([np.inf, np.inf], [np.inf, np.inf]) == 1.0


@pytest.mark.parametrize(
    "differences",
    [
        [1.0] * 9 + [0.0] * 11,  # whose median is 0
        [5.0, -1.0, -1.0, -1.0, 7.0, -2.0],  # whose median has the other sign
        [np.inf, np.inf, -1.0, 2.0, 3.0],
        [-np.inf, np.inf, -1.0, -2.0],
        [-0.5, 1.25, 1.5, -0.25, 2.0, 0.75],
    ],
)
def test_the_shift_has_the_direction_of_the_test(differences):
    """SciPy's one-sided tests say which; the estimate is the median of the averages of all pairs, each with itself too."""
    b = np.zeros(len(differences))
    less, greater = (scipy.stats.wilcoxon(differences, alternative=way).pvalue for way in ("less", "greater"))
    direction, shift = signed_rank_shift(differences, b)
    kept = [d for d in differences if d]
    pairs = itertools.combinations_with_replacement(kept, 2)
    averages = [0.0 if {x, y} == {np.inf, -np.inf} else (x + y) / 2 for x, y in pairs]
    assert less != greater and direction == np.sign(less - greater) == np.sign(shift)
    assert shift == np.median(averages)
    assert signed_rank_shift(b, differences) == (-direction, -shift)


def test_where_the_statistic_is_its_mean_there_is_no_direction():
    for a in ([-3.0, 1.0, 2.0], [np.inf, -np.inf], [0.0, 0.0]):
        b = np.zeros(len(a))
        assert signed_rank_shift(a, b) == (0, 0.0) and signed_rank_test(a, b) == 1.0


def test_the_level_is_kept():
    """For every n, at most 5 % of all signs have p <= 5 %; for 6 and 10 it is 3.1 and 4.9 %."""
    for n, share in ((6, 2 / 64), (8, 10 / 256), (10, 50 / 1024)):
        size = np.arange(1.0, n + 1)
        p = [signed_rank_test(size * signs, np.zeros(n)) for signs in itertools.product((-1, 1), repeat=n)]
        assert np.mean(np.array(p) <= 0.05) == share


def test_holm_is_its_definition():
    p = RNG.uniform(size=7) ** 2
    for level in (*p, *(7 * p), 0.01, 0.05, 0.3):
        rejected, rest = [], sorted(range(7), key=lambda i: p[i])
        while rest and p[rest[0]] <= level / len(rest):
            rejected.append(rest.pop(0))
        assert set(np.flatnonzero(holm(p) <= level + 1e-15)) >= set(rejected)
        assert set(np.flatnonzero(holm(p) <= level - 1e-15)) <= set(rejected)
    found = adjusted_pairs([np.arange(6.0), np.arange(6.0) + 1 + np.arange(6) / 10, np.arange(6.0)])
    assert found[0, 1] == (1 / 32, 3 / 32) and found[0, 2] == (1.0, 1.0)


def test_the_bootstrap_is_that_of_all_samples():
    values = np.array([0.3, 1.0, 2.5, 2.6, 7.0])
    every = np.array([np.median(s) for s in itertools.product(values, repeat=5)])
    low, high = bootstrap_interval(values, level=0.8)
    assert (low, high) == tuple(np.quantile(every, [0.1, 0.9], method="inverted_cdf"))
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(1)
    )
    assert bootstrap_interval(values, np.mean) == pytest.approx(tuple(theirs.confidence_interval), abs=0.1)
    assert bootstrap_interval([1.0, 2.0, np.inf, np.inf, np.inf])[1] == np.inf
