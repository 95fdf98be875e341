"""Optuna's samplers, asked for many trials at a time."""

import logging
import sys

import numpy as np
import pytest

import gdjax as gd
from gdjax.sweeps import choice, log_uniform, optuna_search, uniform

optuna = pytest.importorskip("optuna")
SPACE = {
    "rate": log_uniform(1e-5, 1.0),
    "size": uniform(1, 9, whole=True),
    "optimizer": choice([gd.sgd(0.1), gd.adam(0.1)]),
}
SPACE["decay"] = [0.0, 0.5]


def distance(configurations):
    """From (1e-3, 4, adam, 0.5); NaN for rates above 0.1, as a run has that diverges."""
    return [
        np.nan
        if each["rate"] > 0.1
        else abs(np.log10(each["rate"]) + 3)
        + abs(each["size"] - 4)
        + (each["optimizer"] == gd.sgd(0.1))
        + (each["decay"] == 0)
        for each in configurations
    ]


def test_it_learns_from_many_trials_at_a_time_in_silence(monkeypatch):
    asked, lines = [], []
    handler = logging.StreamHandler()
    monkeypatch.setattr(handler, "handle", lines.append)
    monkeypatch.setattr(logging.getLogger("optuna"), "handlers", [handler])

    def evaluate(configurations):
        asked.append(len(configurations))
        return distance(configurations)

    verbosity = optuna.logging.get_verbosity()
    found = optuna_search(evaluate, SPACE, 60, width=8)
    assert asked == [8] * 7 + [4] and len(found.configurations) == len(found.values) == 60
    assert lines == [] and optuna.logging.get_verbosity() == verbosity
    np.testing.assert_equal(found.values, distance(found.configurations))
    first, last = found.values[:16], found.values[-16:]
    assert np.nanmedian(last) < np.nanmedian(first) and np.isnan(last).sum() < max(1, np.isnan(first).sum())
    assert min(distance([found.best])) == np.nanmin(found.values) < 1
    for each in found.configurations:
        assert list(each) == list(SPACE) and type(each["size"]) is int and 1e-5 <= each["rate"] <= 1
    again = optuna_search(distance, SPACE, 60, width=8)
    assert again.configurations == found.configurations
    assert optuna_search(distance, SPACE, 8, seed=1).configurations != found.configurations[:8]


def test_greater_is_better_where_it_is_said_and_any_sampler_will_do():
    def nearness(configurations):
        return [-x for x in distance(configurations)]

    found = optuna_search(nearness, SPACE, 40, direction="max")
    np.testing.assert_equal(found.values, -optuna_search(distance, SPACE, 40).values)  # the same search
    assert distance([found.best])[0] == -np.nanmax(found.values)
    drawn = [optuna_search(distance, SPACE, 20, sampler=optuna.samplers.RandomSampler(seed=5)) for _ in range(2)]
    assert drawn[0].configurations == drawn[1].configurations != found.configurations[:20]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: optuna_search(distance, SPACE, 0), "optuna_search: trials must be"),
        (lambda: optuna_search(distance, SPACE, 1, direction="least"), "direction must be 'min' or 'max', got 'least'"),
        (lambda: optuna_search(lambda found: 1.0, SPACE, 3), r"a number for each of 3 configurations, got shape \(\)"),
        (lambda: optuna_search(lambda found: [np.nan] * 3, SPACE, 3).best, "none of 3 trials had a finite value"),
    ],
)
def test_what_is_no_search_is_said(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_without_optuna_it_is_said_in_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"^optuna_search: Optuna is needed: pip install 'gdjax\[tune\]'$"):
        optuna_search(distance, SPACE, 1)
