"""The split: shares, classes, copies, groups, time, folds; and that what stands in one part moves no row of another."""

import itertools

import jax
import numpy as np
import pandas as pd
import pytest

import gdjax as gd
from gdjax.tables import split_folds, split_rows, understand

RNG = np.random.default_rng(1)
PARTS = ("train", "validation", "calibration", "test")


def table(columns):
    frame = pd.DataFrame(columns)
    return gd.data.Table(frame, "t", f"{len(frame)} rows")


def split(columns, **how):
    given = table(columns)
    return split_rows(understand(given, "y"), given, **how)


def part_of(rows, n):
    """(n,) the name of the part of each row, which no other part has."""
    part = np.full(n, "", "U11")
    for name in PARTS:
        where = getattr(rows, name)
        assert np.all(np.diff(where) > 0) and np.all(part[where] == "")
        part[where] = name
    return part


def counts(part, labels):
    return {
        name: np.bincount(labels[part == name], minlength=labels.max() + 1) for name in ("train", "validation", "test")
    }


@pytest.mark.parametrize("fractions", [(0.7, 0.15, 0.15), (0.6, 0.3, 0.1), (0.8, 0.2, 0.0)])
def test_classes_have_their_share_within_one_row(fractions):
    labels = RNG.permutation(np.repeat(np.arange(5), [601, 233, 98, 41, 13]))
    columns = {"x": RNG.normal(size=len(labels)), "y": np.array(list("edcba"))[labels]}
    for seed in range(3):
        part = part_of(split(columns, fractions=fractions, seed=seed), len(labels))
        found, exact = counts(part, labels), np.bincount(labels)
        assert np.all(part != "")
        for name, share in zip(("train", "validation", "test"), fractions, strict=True):
            assert np.all(abs(found[name] - share * exact) < 1)
            assert abs(found[name].sum() - share * len(labels)) < 1


def test_the_seed_decides_which_rare_classes_are_tested():
    labels = np.concatenate([np.arange(300) % 2, np.arange(2, 42)])
    columns = {"x": RNG.normal(size=len(labels)), "y": np.array([f"{i:02d}x" for i in range(42)])[labels]}
    given = table(columns)
    found = understand(given)
    splits = [split_rows(found, given, seed=seed) for seed in range(30)]
    tested = [set(labels[each.test]) - {0, 1} for each in splits]
    assert all(2 <= len(each) <= 10 for each in tested)  # 6 of 40
    assert len(set.union(*tested)) > 32  # nearly each one is tested with some seed
    np.testing.assert_array_equal(splits[3].test, split_rows(found, given, seed=3).test)
    assert "no training row has the class" in repr(splits[0])
    deal = [gd.data.split(labels, (0.7, 0.3), jax.random.key(seed), stratify=labels)[1] for seed in range(20)]
    tested = [set(each.tolist()) - {0, 1} for each in deal]
    assert all(len(each) == 12 for each in tested) and len(set.union(*tested)) > 35


def test_copies_stand_on_one_side_and_do_not_bend_the_shares():
    distinct, n = 302, 1245
    source = np.concatenate([np.arange(distinct), RNG.integers(0, distinct, n - distinct)])
    x, labels = RNG.normal(size=(distinct, 2)), RNG.integers(0, 2, distinct)
    columns = {
        "a": x[source, 0],
        "b": np.where(x[source, 1] > 1, np.nan, x[source, 1]),
        "y": np.array(["no", "yes"])[labels[source]],
    }
    for seed in range(5):
        part = part_of(split(columns, seed=seed), n)
        assert all(len(set(part[source == each])) == 1 for each in range(distinct))
        for name, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15)):
            for label in (0, 1):
                of_class = labels[source] == label
                assert abs((part[of_class] == name).mean() / share - 1) <= 0.1
    sizes = np.bincount(source)[source]
    assert abs(np.mean([sizes[split(columns, seed=s).test].mean() for s in range(30)]) / sizes.mean() - 1) < 0.1


def test_equal_rows_of_a_table_of_few_categories_are_no_copies():
    """Else a combination would have all its deaths in one part and all its survivors in another."""
    n = 2000
    columns = {
        "sex": RNG.integers(0, 2, n),
        "rank": RNG.integers(0, 3, n),
        "y": np.array(["lived", "died"])[RNG.integers(0, 2, n)],
    }
    part = part_of(split(columns), n)
    for sex in (0, 1):
        for label in ("lived", "died"):
            assert set(part[(columns["sex"] == sex) & (columns["y"] == label)]) == {"train", "validation", "test"}


def test_what_is_equal_within_a_part_moves_no_row():
    n = 600
    columns = {"a": RNG.normal(size=n), "b": RNG.normal(size=n), "y": np.array(["u", "v", "w"])[RNG.integers(0, 3, n)]}
    columns["a"][1:40:2], columns["b"][1:40:2] = columns["a"][:40:2], columns["b"][:40:2]  # some copies all over
    columns["y"][1:40:2] = columns["y"][:40:2]
    before = split(columns, seed=5)
    for spoil in ("test", "validation"):
        spoiled, rows = {name: cells.copy() for name, cells in columns.items()}, getattr(before, spoil)
        for name in ("a", "b"):
            spoiled[name][rows[rows >= 40]] = np.nan if spoil == "test" else 1e30
        after = split(spoiled, seed=5)
        for name in PARTS:
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))


def test_groups_stay_whole_also_when_copies_connect_them():
    n = 900
    site = RNG.integers(0, 60, n)
    x, y = RNG.normal(size=n), RNG.integers(0, 2, n)
    x[0], y[0], x[1], y[1] = 1, 0, 1, 0  # a copy in another site
    site[:2] = 7, 8
    columns = {"site": [f"s{each}" for each in site], "x": x, "y": np.array(["no", "yes"])[y]}
    given = table(columns)
    found = understand(given, "y", id=["site"])
    for seed in range(5):
        rows = split_rows(found, given, group="site", seed=seed)
        part = part_of(rows, n)
        assert all(len(set(part[site == each])) == 1 for each in range(60))
        assert part[0] == part[1] and abs(len(rows.test) / n - 0.15) < 0.03
        assert abs(y[rows.test].mean() - y.mean()) < 0.12
    few = split_rows(
        found, table({**columns, "site": np.where(site < 20, site, np.nan)}), group="site"
    )  # and single rows
    assert few.sizes() == {"training": 630, "validation": 135, "calibration": 0, "test": 135}
    for groups in (4, 5, 8):  # two of which copies connect
        part = part_of(
            split_rows(found, table({**columns, "site": np.arange(n) % groups}), group="site", seed=groups), n
        )
        assert set(part) == {"train", "validation", "test"} and (part == "train").sum() >= n // 3
    with pytest.raises(ValueError, match="every part must get a row, got none of 900 for"):
        split_rows(found, table({**columns, "site": site % 2}), group="site")
    with pytest.raises(ValueError, match="`group=sight`: there is no such column; did you mean 'site'"):
        split_rows(found, given, group="sight")


@pytest.mark.parametrize("written", ["%d.%m.%Y", "number", "stamp"])
def test_later_rows_judge_and_equal_times_stay_together(written):
    n = 1000
    day = RNG.permutation(np.repeat(np.arange(100), 10))
    dates = pd.Timestamp("2019-12-20") + pd.to_timedelta(day, "D")
    cells = {"number": day * 0.5, "stamp": dates}.get(written, dates.strftime(written))
    columns = {"when": pd.Series(cells), "x": RNG.normal(size=n), "y": RNG.normal(size=n)}
    columns["when"] = columns["when"].where(np.arange(n) > 4)
    rows = split(columns, time="when", fractions=(0.58, 0.21, 0.21))
    latest = [day[getattr(rows, name)] for name in PARTS]
    assert all(a.max() < b.min() for a, b in itertools.pairwise(latest))
    assert all(abs(len(each) - size) <= 10 for each, size in zip(latest, (577, 104, 104, 209), strict=True))
    assert sum(map(len, latest)) == 995 and "5 rows without a 'when' are left out" in repr(rows)
    with pytest.raises(ValueError, match="`time=words`: dates in one format, or numbers, are needed, got"):
        split({**columns, "words": ["soon", "late"] * 500}, time="words")


def test_calibration_rows_are_half_of_many_validation_rows_of_a_regression():
    x = RNG.normal(size=2000)
    regression, classes = {"x": x, "y": RNG.normal(size=2000)}, {"x": x, "y": np.array(["a", "b"])[(x > 0).astype(int)]}
    assert split(regression).sizes() == {"training": 1400, "validation": 150, "calibration": 150, "test": 300}
    assert split(classes).sizes() == {"training": 1400, "validation": 300, "calibration": 0, "test": 300}
    assert split({name: cells[:1000] for name, cells in regression.items()}).sizes()["calibration"] == 0
    assert split(classes, calibration=0.2).sizes()["calibration"] == 60
    assert "1,400 training, 150 validation, 150 calibration, 300 test rows" in repr(split(regression))


def test_rows_without_target_and_given_test_rows():
    y = RNG.normal(size=400)
    y[::10] = np.nan
    given = np.arange(50, 90)
    rows = split({"x": RNG.normal(size=400), "y": y}, test_rows=given, fractions=(0.75, 0.25, 0.0))
    np.testing.assert_array_equal(rows.test, given[given % 10 > 0])
    assert len(rows.train) == 243 and len(rows.validation) == 81
    part_of(rows, 400)


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.7, 0.2, 0.2), (1.0, 0.0, 0.0), (0.7, -0.1, 0.4)])
def test_wrong_shares_are_refused(fractions):
    with pytest.raises(ValueError, match="`split`: three shares"):
        split({"x": RNG.normal(size=50), "y": RNG.normal(size=50)}, fractions=fractions)


def test_every_row_is_held_out_once():
    n = 303
    labels = RNG.permutation(np.repeat([0, 1], [250, 53]))
    source = np.arange(n)
    source[200:] = np.where(labels[200:] == labels[:103], np.arange(103), source[200:])  # copies
    columns = {"x": RNG.normal(size=n)[source], "site": source % 30, "y": np.array(["a", "b"])[labels]}
    given = table(columns)
    found = understand(given, "y", id=["site"])
    for how in ({}, {"group": "site"}):
        folds = split_folds(found, given, 5, seed=2, **how)
        np.testing.assert_array_equal(np.sort(np.concatenate([fold.held_out for fold in folds])), np.arange(n))
        for fold in folds:
            np.testing.assert_array_equal(np.sort([*fold.rest, *fold.held_out]), np.arange(n))
            assert not set(source[fold.rest]) & set(source[fold.held_out])
            assert abs(len(fold.held_out) - n / 5) < (2 if not how else 15)
            assert abs((labels[fold.held_out] == 1).sum() - 10.6) < (2 if not how else 8)
            assert not how or not set(columns["site"][fold.rest]) & set(columns["site"][fold.held_out])
    rows = np.arange(0, n, 3)
    held = np.concatenate([fold.held_out for fold in split_folds(found, given, 4, rows=rows)])
    np.testing.assert_array_equal(np.sort(held), rows)
    later = split_folds(found, given, 3, time="x")
    assert all(columns["x"][rest].max() < columns["x"][held].min() for rest, held in later) and len(later) == 3
    for k, said in ((1, "`cv=1`: at least 2 folds"), (400, "`cv=400`: every fold must get a row")):
        with pytest.raises(ValueError, match=said):
            split_folds(found, given, k)
