"""Axes and what is made of them, judged by SciPy's distributions and by counting."""

import itertools

import numpy as np
import pytest
import scipy.stats

import gdjax as gd
from gdjax.sweeps import choice, grid, latin_hypercube, log_uniform, parse_axis, random_configurations, uniform

SPACE = {"rate": log_uniform(1e-5, 1e-1), "decay": uniform(-1.0, 3.0), "batch": log_uniform(8, 512, whole=True)}
SPACE |= {"layers": uniform(1, 4, whole=True), "activation": ["relu", "tanh", "elu"]}


def column(configurations, name):
    return [each[name] for each in configurations]


def test_a_grid_has_each_combination_once_and_the_last_axis_is_fastest():
    optimizers = [gd.sgd(0.1), gd.adam(0.1)]
    found = grid({"optimizer": optimizers, "b": np.array([1, 2]), "c": (None, 0.5), "d": "relu"})
    combinations = itertools.product(optimizers, [1, 2], [None, 0.5], ["relu"])
    assert found == [dict(zip(["optimizer", "b", "c", "d"], each, strict=True)) for each in combinations]
    assert {type(x) for x in column(found, "b")} == {int}
    rates = np.geomspace(1e-4, 1e-1, 5)
    assert [float(repr(x)) for x in column(grid({"rate": rates}), "rate")] == rates.tolist()
    assert grid({"optimizer": gd.adam(0.1)}) == [{"optimizer": gd.adam(0.1)}]  # a tuple of functions, and one value


@pytest.mark.parametrize("draw", [random_configurations, latin_hypercube])
def test_draws_follow_their_distributions(draw):
    found = draw(SPACE, 2000, seed=3)
    for name, law in (("rate", scipy.stats.loguniform(1e-5, 1e-1)), ("decay", scipy.stats.uniform(-1, 4))):
        assert scipy.stats.kstest(column(found, name), law.cdf).pvalue > 0.01
    batches, layers = column(found, "batch"), column(found, "layers")
    assert {*map(type, batches), *map(type, layers)} == {int} and 8 <= min(batches) <= max(batches) <= 512
    edges = np.array([8, 16, 64, 256, 513]) - 0.5
    shares = np.diff(np.log(edges)) / np.log(512.5 / 7.5)
    assert scipy.stats.chisquare(np.histogram(batches, edges)[0], 2000 * shares).pvalue > 0.01
    assert scipy.stats.chisquare([layers.count(n) for n in (1, 2, 3, 4)]).pvalue > 0.01
    assert scipy.stats.chisquare([column(found, "activation").count(n) for n in SPACE["activation"]]).pvalue > 0.01
    assert found == draw(SPACE, 2000, seed=3) and found != draw(SPACE, 2000, seed=4)
    columns = np.array([[np.log(each["rate"]), each["decay"]] for each in found])
    assert abs(np.corrcoef(columns.T)[0, 1]) < 0.1  # axes are independent


def test_the_first_random_draws_are_the_same_whatever_their_number():
    assert random_configurations(SPACE, 20)[:7] == random_configurations(SPACE, 7)


@pytest.mark.parametrize("n", [1, 12, 37])
def test_each_stratum_of_a_latin_hypercube_has_one_point(n):
    found = latin_hypercube(SPACE, n, seed=1)
    shares = {"rate": np.log(np.array(column(found, "rate")) / 1e-5) / np.log(1e4)}
    shares["decay"] = (np.array(column(found, "decay")) + 1) / 4
    for share in shares.values():
        assert sorted(np.floor(n * share).astype(int)) == list(range(n))
    counts = [column(found, "activation").count(name) for name in SPACE["activation"]]
    assert max(counts) - min(counts) <= 1


def test_a_text_is_an_axis():
    assert parse_axis("rate", "log:1e-4:1e-1:4") == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    spaced = parse_axis("rate", "log:1e-4:1e-1:32")
    np.testing.assert_allclose(np.diff(np.log(spaced)), np.log(1e3) / 31)
    assert (spaced[0], spaced[-1]) == (1e-4, 1e-1) and [float(repr(x)) for x in spaced] == spaced
    assert parse_axis("dropout", "lin:0:0.5:6") == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert parse_axis("batch", "log:8:64:4", whole=True) == [8, 16, 32, 64]
    assert parse_axis("layers", "lin:1:3:9", whole=True) == [1, 2, 3]
    assert parse_axis("rate", "log:1e-4:1e-1") == log_uniform(1e-4, 1e-1) and parse_axis("x", "lin:0:2") == uniform(
        0, 2
    )
    values = parse_axis("x", "sgd(0.1, momentum=0.9), adam,3,-0.5,1e-3,True,None")
    assert values == ["sgd(0.1, momentum=0.9)", "adam", 3, -0.5, 1e-3, True, None] and type(values[2]) is int
    assert [repr(each) for each in (uniform(0, 0.5), SPACE["batch"], choice([1, "a"]))] == [
        *("uniform(0, 0.5)", "log_uniform(8, 512, whole=True)", "choice([1, 'a'])")
    ]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: parse_axis("--rate", "log:0:1:3"), "--rate: low must be above 0 for a logarithm, got 0"),
        (lambda: parse_axis("--rate", "lin:2:1"), "--rate: low must be below high, got 2 and 1"),
        (lambda: parse_axis("--rate", "log:1:2:3:4"), "--rate: an axis must be written as log:low:high, or log:low"),
        (lambda: parse_axis("--rate", "lin:0:1:1"), "--rate: number must be a whole number of at least 2, got 1"),
        (lambda: parse_axis("--batch", "lin:0.5:2", True), "--batch: low must be a whole number, got 0.5"),
        (
            lambda: parse_axis("--rate", "0,01"),
            r"--rate: a number must not start with 0, got '01'; .* Write a point, 0\.01",
        ),
        (lambda: parse_axis("--rate", "nan"), "--rate: a value must be a number, got 'nan'"),
        (lambda: parse_axis("--rate", "1,,2"), "--rate: an axis must be values between commas"),
        (lambda: uniform(0, np.inf), "uniform: high must be a finite number, got inf"),
        (lambda: choice([]), "choice: values must have at least one value"),
        (lambda: grid({"rate": uniform(0, 1)}), r"grid: rate must be a list of values, got uniform\(0, 1\)"),
        (lambda: latin_hypercube(SPACE, 0), "latin_hypercube: number must be a whole number of at least 1, got 0"),
    ],
)
def test_what_is_no_axis_is_turned_down_in_one_sentence(make, said):
    with pytest.raises(ValueError, match=said) as error:
        make()
    assert "\n" not in str(error.value)
