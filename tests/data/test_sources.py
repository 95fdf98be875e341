"""Where rows come from and what is done to them: arrays, named sources, files."""

import re
import sys
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdjax import data
from gdjax.data import DataError, Dataset, load, num_rows, read_features, split, take, to_device
from gdjax.data.sources import SOURCES
from gdjax.tables.target import read_target

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
SETTINGS = settings(max_examples=60, deadline=None, database=None, derandomize=True)
BUNDLED = {  # name: rows, features, classes
    "digits": (1797, 64, 10),
    "breast_cancer": (569, 30, 2),
    "wine": (178, 13, 3),
    "iris": (150, 4, 3),
    "diabetes": (442, 10, 0),
}
MADE = {"moons": (2, 2), "circles": (2, 2), "blobs": (2, 3), "spirals": (2, 3), "linear_regression": (5, 0)}


def raises(error, message):
    """The whole message, which is one line; `...` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in message.split("..."))
    return pytest.raises(error, match=f"^(?-s:{pattern})$")


# Rows.


def test_num_rows_is_the_shared_leading_axis():
    assert num_rows({"x": np.zeros((4, 2)), "y": [np.zeros(4), np.zeros((4, 1, 3))]}) == 4
    assert jax.jit(lambda x: jnp.zeros(num_rows(x)))(jnp.ones((3, 2))).shape == (3,)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (
            {"x": np.zeros((4, 2)), "y": np.zeros(5)},
            "num_rows: all leaves must have as many rows, got 4 at ['x'] and 5 at ['y']",
        ),
        (
            (np.zeros(3), {"z": 1.0}),
            "num_rows: every leaf must have a leading axis, got a scalar at [1]['z']",
        ),
        ((np.zeros((0, 2)),), "num_rows: data must have at least one row, got none at [0]"),
        ((), "num_rows: data must have at least one array, got none"),
    ],
)
def test_num_rows_names_what_is_wrong(tree, message):
    with raises(ValueError, message):
        num_rows(tree)


def test_take_indexes_every_leaf():
    x, y = np.arange(12).reshape(6, 2), np.arange(6)
    chex.assert_trees_all_equal(take({"x": x, "y": y}, [4, 0]), {"x": x[[4, 0]], "y": y[[4, 0]]})
    rows = jax.jit(take)((jnp.asarray(x), jnp.asarray(y)), jnp.array([5, 5]))
    chex.assert_trees_all_equal(rows, (x[[5, 5]], y[[5, 5]]))


# Splits.

FRACTIONS = st.lists(st.integers(1, 9), min_size=1, max_size=6).map(lambda w: tuple(np.array(w) / sum(w)))


def largest_remainder(n, fractions):
    exact = n * np.asarray(fractions)
    sizes = np.floor(exact + 1e-9).astype(int)
    sizes[np.argsort(-(exact - sizes).round(9), kind="stable")[: n - sizes.sum()]] += 1
    return sizes


@SETTINGS
@given(n=st.integers(60, 300), fractions=FRACTIONS, seed=st.integers(0, 1000))
def test_split_deals_out_every_row_once(n, fractions, seed):
    rows, key = np.arange(n), jax.random.key(seed)
    parts = split({"row": rows}, fractions, key)
    np.testing.assert_array_equal(np.sort(np.concatenate([part["row"] for part in parts])), rows)
    assert all(abs(len(p["row"]) - n * f) < 1 for p, f in zip(parts, fractions, strict=True))
    chex.assert_trees_all_equal(parts, split({"row": rows}, fractions, key))


@pytest.mark.parametrize(
    ("n", "fractions", "sizes"),
    [
        (10, (0.8, 0.2), (8, 2)),
        (10, (0.75, 0.25), (8, 2)),
        (11, (0.6, 0.2, 0.2), (7, 2, 2)),
        (1797, (0.7, 0.15, 0.15), (1258, 270, 269)),
        (100, (0.29, 0.71), (29, 71)),
        (100_000, (0.33332, 0.33332, 0.33332), (33_334, 33_333, 33_333)),
        (7, (1.0,), (7,)),
    ],
)
def test_split_sizes_are_rounded_by_largest_remainder(n, fractions, sizes):
    parts = split(np.arange(n), fractions, jax.random.key(0))
    assert tuple(map(len, parts)) == sizes
    labels = np.arange(n) % 3
    assert tuple(map(len, split(np.arange(n), fractions, jax.random.key(0), stratify=labels))) == sizes


@SETTINGS
@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    fractions=FRACTIONS,
    seed=st.integers(0, 1000),
)
def test_a_stratified_split_keeps_the_shares_of_the_classes(counts, fractions, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    n = len(labels)
    rows = (np.arange(n), labels)
    if min(n * np.asarray(fractions)) < len(counts) + 1:
        return
    parts = split(rows, fractions, jax.random.key(seed), stratify=labels)
    np.testing.assert_array_equal(np.sort(np.concatenate([part[0] for part in parts])), np.arange(n))
    for (index, label), fraction in zip(parts, fractions, strict=True):
        np.testing.assert_array_equal(labels[index], label)
        shares = np.bincount(label, minlength=len(counts))
        assert np.all(np.abs(shares - np.array(counts) * fraction) <= 1 + 1e-9)
    if len(fractions) <= 4:
        assert [len(label) for _, label in parts] == largest_remainder(n, fractions).tolist()


def test_a_class_with_fewer_rows_than_parts_is_dealt_out_too():
    labels = np.array([0] * 20 + [1, 1] + [2])
    parts = split(labels, (0.5, 0.25, 0.25), jax.random.key(0), stratify=labels)
    assert sorted(np.concatenate(parts).tolist()) == labels.tolist()
    assert all(np.sum(part == 1) <= 1 for part in parts)


def test_split_shuffles_and_follows_its_key():
    labels = np.repeat([0, 1], 50)
    first, _ = split(np.arange(100), (0.5, 0.5), jax.random.key(0), stratify=labels)
    other, _ = split(np.arange(100), (0.5, 0.5), jax.random.key(1), stratify=labels)
    assert np.any(np.diff(first) < 0)
    assert set(first.tolist()) != set(other.tolist())
    raw, _ = split(np.arange(100), (0.5, 0.5), jax.random.PRNGKey(0), stratify=labels)
    np.testing.assert_array_equal(first, raw)


def test_every_row_is_as_likely_to_be_held_out():
    held_out = np.zeros(10)
    for seed in range(1000):
        held_out[split(np.arange(10), (0.8, 0.2), jax.random.key(seed))[1]] += 1
    assert np.all(np.abs(held_out - 200) < 4 * np.sqrt(1000 * 0.2 * 0.8))


def test_split_keeps_jax_arrays_on_the_device():
    part, _ = split({"x": jnp.arange(10)}, (0.5, 0.5), jax.random.key(0))
    assert isinstance(part["x"], jax.Array)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fractions": (0.5, 0.4)}, "split: fractions must be positive and sum to 1, got (0.5, 0.4)"),
        ({"fractions": (1.2, -0.2)}, "split: fractions must be positive and sum to 1, got (1.2, -0.2)"),
        ({"fractions": ()}, "split: fractions must be positive and sum to 1, got ()"),
        ({"fractions": (0.97, 0.03)}, "split: every part must get a row, got none of 10 for fraction 0.03"),
        ({"stratify": np.zeros(9)}, "split: stratify must have shape (10,), got (9,)"),
    ],
)
def test_split_refuses(arguments, message):
    with raises(ValueError, message):
        split(np.arange(10), **{"fractions": (0.5, 0.5), "key": jax.random.key(0), **arguments})


# Scaling.


@SETTINGS
@given(spread=st.floats(1e-3, 1e3), seed=st.integers(0, 1000))
def test_scaled_training_rows_have_mean_0_and_deviation_1(spread, seed):
    rng = np.random.default_rng(seed)
    x = (rng.uniform(-1, 1, 3) + spread * rng.standard_normal((17, 3))).astype(np.float32)
    scaled = np.asarray(data.standardize(data.fit_scaling(x), x))
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-3)


COLUMNS = {  # a standard normal z in units in which float32 would lose it: mean + unit * z
    "tiny": (0.0, 3e-21),
    "huge": (0.0, 7e26),
    "beyond float32": (2e45, 1e44),
    "beyond the squares of float64": (0.0, 1e-200),
    "seconds of an epoch": (1.7e9, 40.0),
    "identifiers": (30150000000.0, 20.0),
    "around one": (1.0, 1e-9),
}


@pytest.mark.parametrize("wide", [False, True])
def test_scaling_knows_no_unit_and_no_offset(wide):
    z = np.random.default_rng(0).normal(size=(200, len(COLUMNS)))
    mean, unit = np.array(list(COLUMNS.values())).T
    x = mean + unit * z
    with jax.enable_x64(wide):
        scaling = data.fit_scaling(x[:150])
        assert scaling.mean.dtype == scaling.scale.dtype == np.float64
        scaled = data.standardize(scaling, x)
        assert scaled.dtype == (np.float64 if wide else np.float32)
        expected = (z - z[:150].mean(axis=0)) / z[:150].std(axis=0)
        np.testing.assert_allclose(scaled, expected, atol=1e-5)
        np.testing.assert_allclose(data.unstandardize(scaling, scaled), x, rtol=1e-5, atol=1e-5 * unit.min())
        traced = jax.jit(data.fit_scaling)(x[:150, :2].astype(np.float32))
        np.testing.assert_allclose(traced.scale, scaling.scale[:2], rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6, 3e30])
def test_a_constant_column_is_left_at_zero(value):
    x = np.stack([np.full(37, value), np.arange(37)], axis=1)
    scaling = data.fit_scaling(x)
    assert scaling.scale[0] == 1
    np.testing.assert_array_equal(data.standardize(scaling, x)[:, 0], 0)


def test_held_out_rows_are_scaled_by_the_training_rows():
    train, later = np.array([[0], [2], [4]]), np.array([[2], [6]])
    scaling = data.fit_scaling(train)
    np.testing.assert_allclose(data.standardize(scaling, later), (later - 2) / train.std(), rtol=1e-6)
    leaves, structure = jax.tree.flatten(scaling)
    chex.assert_trees_all_equal(jax.tree.unflatten(structure, leaves), scaling)


# On the device.


def test_to_device_settles_the_dtypes():
    tree = {
        "float": np.zeros(2),
        "half": np.zeros(2, np.float16),
        "int": np.zeros(2, np.int64),
        "byte": np.zeros(2, np.uint8),
        "flag": np.zeros(2, bool),
        "jax": jnp.zeros(2),
    }
    for wide in (False, True):
        with jax.enable_x64(wide):
            placed = to_device(tree)
        default = np.float64 if wide else np.float32
        chex.assert_tree_all_finite(placed)
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(placed))
        assert {k: v.dtype for k, v in placed.items()} == {
            "float": default,
            "half": default,
            "int": np.int32,
            "byte": np.int32,
            "flag": bool,
            "jax": default,
        }


def test_to_device_shares_no_memory_with_numpy():
    memory = np.zeros(4 * 1000 + 64, np.uint8)
    start = -memory.ctypes.data % 64  # jax takes over memory that is aligned to 64 bytes
    x = memory[start : start + 4000].view(np.float32)
    placed = to_device(x)
    x[:] = 1
    assert not np.any(placed)


@pytest.mark.parametrize(
    ("leaf", "error", "message"),
    [
        (np.array([2**31]), ValueError, "to_device: integers must fit in int32, got 2147483648 at ['a']"),
        (
            np.array([0, -(2**40)]),
            ValueError,
            "to_device: integers must fit in int32, got -1099511627776 at ['a']",
        ),
        (np.array(["b"]), TypeError, "to_device: real numbers or bools are needed, got <U1 at ['a']"),
        (np.array([1j]), TypeError, "to_device: real numbers or bools are needed, got complex128 at ['a']"),
    ],
)
def test_to_device_refuses(leaf, error, message):
    with raises(error, message):
        to_device({"a": leaf})


# Data sets by name.


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_sets(name):
    n, d, classes = BUNDLED[name]
    dataset = load(name)
    assert (dataset.x.shape, len(dataset.target_names)) == ((n, d), classes)
    assert dataset.x.dtype == np.float32
    assert dataset.y.dtype == (np.int32 if classes else np.float32)
    assert len(np.unique(dataset.y)) == classes or not classes
    assert dataset.description.startswith(name.split("_")[0].capitalize()) or name == "digits"


def test_bundled_sets_are_those_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_digits(return_X_y=True)
    digits = load("digits")
    np.testing.assert_array_equal(digits.x * 16, x)
    np.testing.assert_array_equal(digits.y, y)
    assert digits.target_names == tuple("0123456789")
    assert load("iris").target_names == ("setosa", "versicolor", "virginica")
    assert load("iris").feature_names[2] == "petal length (cm)"
    np.testing.assert_array_equal(load("diabetes").y, datasets.load_diabetes().target)


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with raises(ImportError, "wine: scikit-learn is needed: pip install 'gdjax[lab]'"):
        load("wine")
    assert load("moons").name == "moons"


@pytest.mark.parametrize("name", MADE)
def test_made_sets(name):
    d, classes = MADE[name]
    dataset, again, other = load(name, n=31), load(name, n=31, seed=0), load(name, n=31, seed=1)
    assert dataset.x.shape == (31, d)
    assert dataset.task == ("classification" if classes else "regression")
    assert dataset.target_names == tuple(map(str, range(classes)))
    assert dataset.feature_names == tuple(f"x{j}" for j in range(d))
    np.testing.assert_array_equal(dataset.x, again.x)
    assert data.hash_of(dataset) == data.hash_of(again) != data.hash_of(other)
    if classes:
        counts = np.bincount(dataset.y)
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("name", ["moons", "circles", "blobs", "spirals"])
def test_noise_is_added_to_the_shape(name):
    clean, noisy = load(name, n=4000, noise=0.0), load(name, n=4000, noise=0.5)
    np.testing.assert_array_equal(clean.y, noisy.y)
    np.testing.assert_allclose((noisy.x - clean.x).std(axis=0), 0.5, rtol=0.05)


def test_made_sets_have_the_shapes_they_say():
    moons, circles = load("moons", noise=0), load("circles", noise=0, factor=0.25)
    upper, lower = moons.x[moons.y == 0], moons.x[moons.y == 1]
    np.testing.assert_allclose(np.linalg.norm(upper, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(lower - [1, 0.5], axis=1), 1, rtol=1e-5)
    assert np.all(upper[:, 1] >= 0)
    assert np.all(lower[:, 1] <= 0.5)
    np.testing.assert_allclose(np.linalg.norm(circles.x, axis=1), np.where(circles.y == 0, 1, 0.25), rtol=1e-6)


def test_the_arms_of_a_spiral_are_turned_copies_of_one():
    arms, turns = 5, 1.5
    spirals = load("spirals", n=500, arms=arms, turns=turns, noise=0)
    radius = np.linalg.norm(spirals.x, axis=1)
    angle = np.arctan2(spirals.x[:, 1], spirals.x[:, 0]) / (2 * np.pi)
    phase = (angle - turns * radius - spirals.y / arms + 0.5) % 1 - 0.5
    np.testing.assert_allclose(phase[radius > 0.01], 0, atol=1e-4)


def test_linear_regression_has_the_weights_it_says():
    dataset = load("linear_regression", n=5000, features=3, noise=0.5)
    design = np.column_stack([np.ones(5000), dataset.x])
    solution, residual, *_ = np.linalg.lstsq(design, dataset.y, rcond=None)
    np.testing.assert_allclose(solution, [1 / 2, 1, -1 / 2, 1 / 3], atol=0.03)
    np.testing.assert_allclose(np.sqrt(residual[0] / 5000), 0.5, rtol=0.05)


def test_blobs_scatter_about_their_centers():
    dataset = load("blobs", n=3000, classes=4, features=3, noise=0.5)
    centers = np.stack([dataset.x[dataset.y == c].mean(axis=0) for c in range(4)])
    np.testing.assert_allclose((dataset.x - centers[dataset.y]).std(axis=0), 0.5, rtol=0.05)


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_says_in_a_line_what_it_is(name):
    assert 20 < len(data.describe(name)) < 110
    assert data.describe(name).endswith(".")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "digit",
            {},
            "load: no data set 'digit'; did you mean 'digits'? there are digits, ..., linear_regression",
        ),
        ("zzz", {}, "load: no data set 'zzz'; there are digits, ..., linear_regression"),
        (
            "moons",
            {"nois": 0.1},
            "load: moons has no option 'nois'; did you mean 'noise'? there are n, noise, seed",
        ),
        ("digits", {"n": 3}, "load: digits has no option 'n'; there are none"),
        ("a.csv", {"goal": "y"}, "load: a.csv has no option 'goal'; there are target, task"),
        ("moons", {"n": 1}, "moons: n must be in [2, inf), got 1"),
        ("spirals", {"arms": 0}, "spirals: classes must be in [1, inf), got 0"),
        ("blobs", {"noise": -1.0}, "blobs: noise must be in [0, inf), got -1"),
        ("blobs", {"features": 0}, "blobs: features must be in [1, inf), got 0"),
        ("circles", {"factor": 1.5}, "circles: factor must be in (0, 1), got 1.5"),
        ("linear_regression", {"features": 0}, "linear_regression: features must be in [1, inf), got 0"),
    ],
)
def test_load_refuses(name, options, message):
    with raises(ValueError, message):
        load(name, **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "ranking"}, "mine: task must be one of classification, regression, got 'ranking'"),
        ({"x": np.zeros((3, 2), int)}, "mine: x must be float64 or float32 (3, 2), got int64 (3, 2)"),
        ({"x": np.zeros((4, 2), np.float32)}, "mine: y must be int32 (4,), got int32 (3,)"),
        ({"feature_names": ("a",)}, "mine: x must be float64 or float32 (3, 1), got float32 (3, 2)"),
        ({"y": np.zeros(3, np.float32)}, "mine: y must be int32 (3,), got float32 (3,)"),
        ({"y": np.array([0, 1, 2], np.int32)}, "mine: labels must be in [0, 2), got 0 to 2"),
        ({"task": "regression"}, "mine: y must be float64 or float32 (3,), got int32 (3,)"),
    ],
)
def test_a_dataset_checks_itself(change, message):
    fields = {
        "name": "mine",
        "x": np.zeros((3, 2), np.float32),
        "y": np.array([0, 1, 1], np.int32),
        "task": "classification",
        "feature_names": ("a", "b"),
        "target_names": ("no", "yes"),
    }
    Dataset(**fields)
    with raises(ValueError, message):
        Dataset(**{**fields, **change})


# Files.


def csv_file(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text)
    return path


def npz_file(folder: Path, **arrays) -> Path:
    path = folder / "table.npz"
    np.savez(path, **arrays)
    return path


ONLY = "; a data set holds numbers only: gdjax train and gd.runs.train encode text and missing values"


def test_csv_of_labels(tmp_path):
    path = csv_file(tmp_path, "a,b,digit\n1,2,9\n3,4.5,3\n-1e3,0,5\n1,1,3\n2,2,5\n0,0,9\n")
    dataset = load(path, task="classification")
    assert (dataset.name, dataset.task) == ("table", "classification")
    assert (dataset.feature_names, dataset.target_names) == (("a", "b"), ("3", "5", "9"))
    np.testing.assert_array_equal(dataset.x, np.float32([[1, 2], [3, 4.5], [-1e3, 0], [1, 1], [2, 2], [0, 0]]))
    np.testing.assert_array_equal(dataset.y, [2, 0, 1, 0, 1, 2])
    assert dataset.y.dtype == np.int32
    assert dataset.description == "6 rows of table.csv, target 'digit'"


def test_csv_of_words(tmp_path):
    text = '\ufeffspecies , "length, cm"\nvirginica,1.5\n\n "setosa", 2\nvirginica ,3\n'
    dataset = load(csv_file(tmp_path, text), target="species")
    assert (dataset.feature_names, dataset.target_names) == (("length, cm",), ("setosa", "virginica"))
    np.testing.assert_array_equal(dataset.y, [1, 0, 1])
    np.testing.assert_array_equal(dataset.x, [[1.5], [2], [3]])


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ("0,1,1", "classification"),
        ("0,1", "classification"),
        ("1.5,2.5,1.5,2.5", "regression"),
        ("1,2,3,4", "regression"),
        ("1,2,3,3,2,1", "regression"),
        (",".join(["1,2,3"] * 5), "classification"),
        (",".join(["1.0,2.0,3e0"] * 5), "classification"),
        ("1,2,3,3,2.5,1", "regression"),
        ("1,2,3,3,2", "regression"),
        (",".join(map(str, 5 * [*range(20)])), "classification"),
        (",".join(map(str, 5 * [*range(31)])), "regression"),
        ("yes,no,no", "classification"),
    ],
)
def test_the_targets_decide_the_task_as_they_do_in_training(tmp_path, values, task):
    path = csv_file(tmp_path, "x,y\n" + "".join(f"0,{value}\n" for value in values.split(",")))
    assert load(path).task == task == read_target(data.read_table(path), "y", None).decision.task


def test_the_caller_may_decide_the_task(tmp_path):
    path = csv_file(tmp_path, "x,y\n0,1.5\n1,-0\n2,1.5\n3,1\n")
    assert load(path).task == "regression"
    labels = load(path, task="classification")
    assert (labels.y.tolist(), labels.target_names) == ([2, 0, 2, 1], ("0", "1", "1.5"))
    path = csv_file(tmp_path, "x,y\n0,3\n1,4\n2,4\n")
    numbers = load(path, task="regression")
    assert (numbers.y.tolist(), numbers.y.dtype, numbers.target_names) == ([3, 4, 4], np.float64, ())
    path = csv_file(tmp_path, "x,y\n0,3\n1,3b\n2,4\n")
    assert load(path, task="classification").target_names == ("3", "3b", "4")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "empty"),
        ("a,b\n\n", {}, "empty: there is a header and no row below it"),
        ("a,b\n1,2\n", {"target": "c"}, "no column 'c'; there are a, b"),
        (
            "age,sex\n1,2\n",
            {"target": "aeg"},
            "no column 'aeg'; did you mean 'age'? there are age, sex",
        ),
        ("a\n1\n", {}, "there must be at least one feature besides the target 'a', got that column alone"),
        ("a,b,c\n1,2,3\n\n4,old,6\n", {}, f"line 4, column 'b': numbers are needed, got text 'old'{ONLY}"),
        ("a,b,c\n1,2,3\n4, ,6\n", {}, f"line 3, column 'b': values are missing{ONLY}"),
        ("a,b,c\n1,2,3\n4,5,\n", {}, f"line 3, column 'c': values are missing{ONLY}"),
        ("a,b,c\n1,2,3\n1,nan,3\n", {}, f"line 3, column 'b': values are missing{ONLY}"),
        (
            "city,a,b,day,y\nBonn,1,,2020-01-01,1\nKiel,?,2,2020-01-02,\n",
            {},
            "line 2, column 'city': numbers are needed, got text 'Bonn', and in column 'day'; "
            f"line 3, column 'a': values are missing, and in columns 'b', 'y'{ONLY}",
        ),
        ("a,b,c\n1,2,3\n4,5\n", {}, "line 3: 3 cells are needed, got 2"),
        ("a,b,c\n1,2,3\n-inf,2,3\n", {}, "line 3, column 'a': finite numbers are needed"),
        ("a,b,c\n1,1e309,3\n", {}, "line 2, column 'b': finite numbers are needed"),
        ("a,b,c\n1,2,3\n1,2,inf\n", {}, "line 3, column 'c': a finite number is needed, got inf"),
        (
            "a,b\n1,2\n2,red\n",
            {},
            "line 3, column 'b': numbers and words are mixed, 'red' here, '2' at line 2, column 'b'; "
            "task='classification' takes all as words",
        ),
        (
            "a,b\n1,red\n2,red\n",
            {"task": "regression"},
            "line 2, column 'b': regression needs numbers, got 'red'",
        ),
        ("a,b\n1,2\n", {"task": "sorting"}, "task must be one of classification, regression, got 'sorting'"),
        ('a,b\n1,"2\n3,4\n', {}, "line 2: a quote is opened in a cell and not closed within 131,072 characters"),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_said_in_one_line(tmp_path, text, options, message):
    path = csv_file(tmp_path, text)
    with raises(DataError, f"{path}: {message}"):
        load(path, **options)


def test_other_formats_and_habits_are_loaded_too(tmp_path):
    right = np.array([[1.5, 2], [3, 4.25]])
    for name, text in (
        ("t.txt", "a;b;y\n1,5;2;01\n3;4,25;02\n"),
        ("t.unknown", "a\tb\ty\n1.5\t2\t01\n3\t4.25\t02\n"),
        (
            "t.arff",
            "@relation t\n@attribute a real\n@attribute b real\n@attribute y {01,02}\n@data\n1.5,2,01\n3,4.25,02\n",
        ),
    ):
        (tmp_path / name).write_text(text)
        dataset = load(tmp_path / name)
        np.testing.assert_array_equal(dataset.x, right)
        assert (dataset.y.tolist(), dataset.target_names, dataset.feature_names) == ([0, 1], ("01", "02"), ("a", "b"))
    headless = load(csv_file(tmp_path, "1,2,3\n4,5,6\n"))
    assert headless.x.tolist() == [[1, 2], [4, 5]] and headless.feature_names == ("column_1", "column_2")


@pytest.mark.parametrize("name", ["none.csv", "none.npz"])
def test_a_file_that_is_not_there_is_named(tmp_path, name):
    with raises(DataError, f"{tmp_path / name}: no such file"):
        load(tmp_path / name)
    with raises(DataError, f"{tmp_path / name}: no such file"):
        read_features(tmp_path / name, ("a",))


def test_npz(tmp_path):
    x = np.random.default_rng(0).normal(size=(6, 2))
    dataset = load(npz_file(tmp_path, x=x, y=np.array([3, 5, 9, 3, 5, 3], np.uint8)), task="classification")
    np.testing.assert_array_equal(dataset.x, x)
    assert (dataset.y.tolist(), dataset.target_names) == ([0, 1, 2, 0, 1, 0], ("3", "5", "9"))
    assert dataset.feature_names == ("x0", "x1")
    flags = load(npz_file(tmp_path, x=x, flags=x[:, 0] > 0, y=x), target="flags")
    np.testing.assert_array_equal(flags.y, x[:, 0] > 0)
    words = load(npz_file(tmp_path, x=x.astype(int), y=np.array(list("bababa"))))
    assert (words.y.tolist(), words.target_names) == ([1, 0, 1, 0, 1, 0], ("a", "b"))
    numbers = load(npz_file(tmp_path, x=x, y=x[:, 0]))
    assert (numbers.task, numbers.y.dtype) == ("regression", np.float64)


X, Y = np.zeros((3, 2)), np.array([0, 1, 1])


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"y": Y}, {}, "no array 'x'; there is y"),
        ({"x": X}, {}, "no array 'y'; there is x"),
        (
            {"x": X, "label": Y},
            {"target": "labels"},
            "no array 'labels'; did you mean 'label'? there are x, label",
        ),
        ({"x": Y, "y": Y}, {}, "x must have shape (n, d) with n, d >= 1, got (3,)"),
        ({"x": X[:0], "y": Y[:0]}, {}, "x must have shape (n, d) with n, d >= 1, got (0, 2)"),
        ({"x": X, "y": X}, {}, "y must have shape (n,), got (3, 2)"),
        ({"x": X, "y": Y[:2]}, {}, "x and y must have as many rows, got 3 and 2"),
        ({"x": X.astype(str), "y": Y}, {}, "x must hold numbers, got <U32"),
        ({"x": X + 1j, "y": Y}, {}, "x must hold numbers, got complex128"),
        ({"x": X, "y": Y + 1j}, {}, "y must hold numbers or words, got complex128"),
        (
            {"x": X.astype(object), "y": Y},
            {},
            "damaged: Object arrays cannot be loaded when allow_pickle=False",
        ),
        ({"x": X + np.nan, "y": Y}, {}, "x[0, 0]: a finite number is needed, got nan"),
        ({"x": X, "y": [0, np.inf, 1]}, {}, "y[1]: a finite number is needed, got inf"),
        ({"x": X, "y": ["a", "", "b"]}, {}, "y[1]: a value is missing"),
        ({"x": X, "y": ["a", "b", "b"]}, {"task": "regression"}, "y[0]: regression needs numbers, got 'a'"),
    ],
)
def test_what_is_wrong_with_an_npz_file_is_said_in_one_line(tmp_path, arrays, options, message):
    path = npz_file(tmp_path, **arrays)
    with raises(DataError, f"{path}: {message}"):
        load(path, **options)


def test_a_damaged_npz_file_never_yields_anything_but_data_or_a_data_error(tmp_path):
    whole = npz_file(tmp_path, x=np.random.default_rng(0).normal(size=(4, 2)), y=np.array([0, 1, 0, 1]))
    good, path, refused = whole.read_bytes(), tmp_path / "bad.npz", 0
    for position in range(0, len(good), 5):
        for broken in (good[:position], good[:position] + b"\x55" + good[position + 1 :]):
            path.write_bytes(broken)
            try:
                load(path)
            except DataError as error:
                assert "\n" not in str(error)
                refused += 1
    assert refused > len(good) / 5


def test_an_array_without_a_name_is_x(tmp_path):
    np.save(tmp_path / "a.npy", X)
    path = (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    with raises(DataError, f"{path}: no array 'y'; there is x"):
        load(path)


def test_features_are_read_by_name_and_nothing_else_is_looked_at(tmp_path):
    path = csv_file(tmp_path, "note,b,a\nhello,1,2\n,3,4\n")
    x = read_features(path, ("a", "b"))
    assert x.dtype == np.float64
    np.testing.assert_array_equal(x, [[2, 1], [4, 3]])
    np.testing.assert_array_equal(read_features(path, ("b", "a")), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(read_features(npz_file(tmp_path, x=X + 1), ("a", "b")), X + 1)


def test_features_that_are_missing_are_named(tmp_path):
    path = csv_file(tmp_path, "alpha,beta\n1,2\n,3\n")
    with raises(DataError, f"{path}: no column 'beat'; did you mean 'beta'? there are alpha, beta"):
        read_features(path, ("alpha", "beat"))
    with raises(DataError, f"{path}: line 3, column 'alpha': values are missing{ONLY}"):
        read_features(path, ("beta", "alpha"))
    path = npz_file(tmp_path, x=X)
    with raises(DataError, f"{path}: x must have 3 columns, got 2"):
        read_features(path, ("a", "b", "c"))


@SETTINGS
@given(values=st.lists(st.tuples(FINITE, FINITE, FINITE), min_size=1))
def test_a_table_comes_back_from_both_formats_to_the_last_bit(tmp_path_factory, values):
    table = np.array(values)
    folder = tmp_path_factory.mktemp("table")
    lines = "".join(",".join(map(repr, row)) + "\n" for row in table.tolist())
    from_csv = load(csv_file(folder, "a,b,c\n" + lines), task="regression")
    from_npz = load(npz_file(folder, x=table[:, :2], y=table[:, 2]), task="regression")
    for dataset in (from_csv, from_npz):
        np.testing.assert_array_equal(dataset.x, table[:, :2])
        np.testing.assert_array_equal(dataset.y, table[:, 2])


def test_the_hash_sees_every_part_of_the_contents():
    fields = {
        "name": "mine",
        "x": np.zeros((3, 2), np.float32),
        "y": np.array([0, 1, 1], np.int32),
        "task": "classification",
        "feature_names": ("a", "b"),
        "target_names": ("no", "yes"),
    }
    changes = [
        {"x": np.float32([[0, 0], [0, 0], [0, 1e-9]])},
        {"x": np.array([[0, 0], [0, 0], [0, 0.0]])},
        {"x": 20240000000.0 + np.array([[0, 0], [0, 0], [0, 1.0]])},
        {"x": 20240000000.0 + np.array([[0, 0], [0, 0], [0, 2.0]])},
        {"y": np.array([0, 1, 0], np.int32)},
        {"feature_names": ("a", "c")},
        {"target_names": ("no", "si")},
        {"task": "regression", "y": np.array([0, 1, 1], np.float32), "target_names": ()},
    ]
    hashes = {data.hash_of(Dataset(**{**fields, **change})) for change in [{}, *changes]}
    assert len(hashes) == 9
    assert data.hash_of(Dataset(**{**fields, "name": "other"})) in hashes
    assert data.hash_of(Dataset(**fields)) == "a76d875ec791641f"  # the same on every machine
