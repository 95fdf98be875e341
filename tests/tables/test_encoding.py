"""Encodings: against scikit-learn, SciPy and pandas; fitted on training rows alone; kept in JSON to the last bit."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, rankdata
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

import gdjax as gd
from gdjax.tables import Encoding, fit_encoding, split_rows, understand

ROWS = 400
RNG = np.random.default_rng(2)
TRAIN = np.sort(RNG.permutation(ROWS)[:280])
REST = np.setdiff1d(np.arange(ROWS), TRAIN)
LEVELS = [f"level {i}" for i in range(90)]


def frame_of(columns):
    frame = pd.DataFrame(columns)
    return frame.astype({name: "str" for name in frame if frame[name].dtype == object})


def everything():
    """A frame with every kind of column, the same at each call."""
    rng = np.random.default_rng(3)
    number = rng.normal(10, 3, ROWS)
    city = rng.choice(np.array(["Ulm", "Bonn", "Köln"], object), ROWS, p=[0.5, 0.3, 0.2])
    city[TRAIN[[0, 9]]] = "Selm", "Lünen"
    return frame_of(
        {
            "number": number,
            "holes": np.where(np.arange(ROWS) % 5 == 0, np.nan, rng.normal(size=ROWS)),
            "skewed": np.exp(3 * rng.normal(size=ROWS)),
            "city": city,
            "pool": rng.choice(np.array(["yes", "No", None], object), ROWS),
            "road": rng.choice(np.array(["gravel", "paved", None], object), ROWS),
            "many": rng.choice(np.array(LEVELS, object), 5 * ROWS, p=np.arange(1, 91) / 4095)[:ROWS],
            "when": pd.date_range("2019-11-03 05:10", periods=ROWS, freq="29h").strftime("%d.%m.%Y %H:%M"),
            "y": number + rng.normal(size=ROWS),
        }
    )


def fitted(frame, numbers="standardized", rows=TRAIN, **wishes):
    understanding = understand(gd.data.Table(frame, "t", "a table"), "y", **wishes)
    return fit_encoding(understanding, frame, rows, numbers)


def columns_of(encoding, frame, name):
    return encoding.transform(frame)[:, encoding.spans[name]]


def test_numbers_and_levels_are_encoded_as_by_scikit_learn():
    frame = everything()
    encoding = fitted(frame)
    train = frame.iloc[TRAIN]
    scaler = StandardScaler().fit(train[["number"]])
    np.testing.assert_allclose(columns_of(encoding, frame, "number"), scaler.transform(frame[["number"]]), atol=1e-13)

    filled = SimpleImputer(strategy="median").fit(train[["holes"]]).transform(frame[["holes"]])
    present = train["holes"].dropna()
    scaled = (filled - present.mean()) / present.std(ddof=0)
    expected = np.hstack([scaled, MissingIndicator().fit_transform(frame[["holes"]])])
    np.testing.assert_allclose(columns_of(encoding, frame, "holes"), expected, atol=1e-13)

    cells = frame[["city"]].astype(object)
    hot = OneHotEncoder(min_frequency=5, handle_unknown="infrequent_if_exist", sparse_output=False).fit(
        cells.iloc[TRAIN]
    )
    theirs = dict(zip(hot.get_feature_names_out(), hot.transform(cells).T, strict=True))
    names = encoding.feature_names[encoding.spans["city"]]
    assert names == ("city=Ulm", "city=Bonn", "city=Köln", "city other")
    for name, ours in zip(names, columns_of(encoding, frame, "city").T, strict=True):
        key = name.replace("=", "_") if "=" in name else "city_infrequent_sklearn"
        np.testing.assert_array_equal(ours, theirs[key])

    cells = frame[["road"]].astype(object).where(frame[["road"]].notna(), None)
    hot = OneHotEncoder(categories=[["gravel", "paved", None]], sparse_output=False).fit(cells)
    names, ours = encoding.feature_names[encoding.spans["road"]], columns_of(encoding, frame, "road")
    assert sorted(names) == ["road missing", "road=gravel", "road=paved"]
    order = [names.index(each) for each in ("road=gravel", "road=paved", "road missing")]
    np.testing.assert_array_equal(ours[:, order], hot.transform(cells))

    yes = frame["pool"].str.casefold().map({"yes": 1.0, "no": 0.0})
    mean, deviation = yes.iloc[TRAIN].mean(), yes.iloc[TRAIN].std(ddof=0)
    middle = yes.iloc[TRAIN].median()
    expected = np.stack([(yes.fillna(middle) - mean) / deviation, yes.isna()], axis=1)
    np.testing.assert_allclose(columns_of(encoding, frame, "pool"), expected, atol=1e-13)


def test_many_levels_are_told_apart_as_far_as_they_are_frequent():
    rng = np.random.default_rng(0)
    cells = rng.choice(np.array(LEVELS, object), 4000, p=np.arange(1, 91) / 4095)
    frame = frame_of({"many": cells, "y": rng.normal(size=4000)})
    encoding = fitted(frame, rows=np.arange(3000))
    counts = pd.Series(cells[:3000]).value_counts()
    levels = sorted(counts[counts >= 5].index, key=lambda level: (-counts[level], level))
    assert 64 < len(levels) < 90 and len(encoding.feature_names) == 66
    ours = encoding.transform(frame)
    hot = OneHotEncoder(categories=[levels[:64]], handle_unknown="ignore", sparse_output=False).fit([levels[:1]])
    np.testing.assert_array_equal(ours[:, :64], hot.transform(cells[:, None]))
    np.testing.assert_array_equal(ours[:, 64], 1 - ours[:, :64].sum(1))
    order = OrdinalEncoder(categories=[levels], handle_unknown="use_encoded_value", unknown_value=len(levels))
    places = order.fit([levels[:1]]).transform(cells[:, None])
    scaled = StandardScaler().fit(places[:3000]).transform(places)
    np.testing.assert_allclose(ours[:, 65:], scaled, atol=1e-12)


def test_piecewise_linear_numbers_have_a_feature_for_each_of_eight_quantile_bins():
    frame = everything()
    ours = columns_of(fitted(frame, "piecewise_linear"), frame, "number")
    x = frame["number"].to_numpy()
    edges = np.sort(x[TRAIN])[[0, *(35 * np.arange(1, 9) - 1)]]  # of 280 rows, each eighth
    places = (x[:, None] - edges[:-1]) / np.diff(edges)
    expected = np.clip(places, 0, 1)
    expected[:, 0], expected[:, -1] = np.minimum(places[:, 0], 1), np.maximum(places[:, -1], 0)
    np.testing.assert_allclose(ours, expected, atol=1e-12)
    few = frame_of({"x": RNG.integers(0, 3, ROWS), "flag": RNG.integers(0, 2, ROWS), "y": frame["y"]})
    encoding = fitted(few, "piecewise_linear")
    assert encoding.feature_names == ("x bin 1", "x bin 2", "flag")
    np.testing.assert_array_equal(columns_of(encoding, few, "x"), np.stack([few["x"] >= 1, few["x"] >= 2], axis=1))


@pytest.mark.parametrize("numbers", ["standardized", "piecewise_linear"])
def test_numbers_outside_the_training_range_are_taken_as_its_ends_where_it_is_bounded(numbers):
    """A typing error in a row to predict, such as 31.8 among numbers up to 10, moves a network no further than 10 does."""
    frame = pd.DataFrame({"x": np.random.default_rng(3).uniform(-2, 10, 60), "y": np.arange(60) ** 0.5})
    understanding, beyond = understand(gd.data.Table(frame, "t", "60 rows"), "y"), frame["x"].agg(["min", "max"])
    new = pd.DataFrame({"x": [beyond["min"] - 5, beyond["min"], beyond["max"], 31.8]})
    for bounded in (True, False):
        encoding = fit_encoding(understanding, frame, np.arange(60), numbers, bounded=bounded)
        low, lowest, highest, high = encoding.transform(new)
        assert np.array_equal(low, lowest) == np.array_equal(high, highest) == bounded
        assert np.array_equal(encoding.flags(new).of("outside"), [True, False, False, True])


def test_a_number_far_from_the_others_makes_a_column_one_of_ranks():
    frame = everything()
    encoding = fitted(frame)
    x = frame["skewed"].to_numpy()
    inside = x[TRAIN]
    scores = norm.ppf((rankdata(inside) - 0.5) / len(inside))
    ours = columns_of(encoding, frame, "skewed")[:, 0]
    np.testing.assert_allclose(ours[TRAIN], (scores - scores.mean()) / scores.std(), atol=1e-9)
    between = np.interp(x[REST], np.sort(inside), np.sort(ours[TRAIN]))
    np.testing.assert_allclose(ours[REST], between, atol=1e-9)
    (remark,) = encoding.remarks
    mad = np.median(abs(inside - np.median(inside)))
    deviations = abs(inside - np.median(inside)).max() / (1.4826 * mad)
    assert remark.startswith("encoded by ranks") and remark.endswith(f"'skewed' ({deviations:,.0f})")
    y = frame["y"].to_numpy()
    for far, by_rank in ((7.9, False), (8.1, True)):  # robust deviations
        cells = RNG.permutation(np.append(np.linspace(-1, 1, ROWS - 1), far * 1.4826 * 0.5))
        found = fitted(frame_of({"x": cells, "y": y}), rows=np.arange(ROWS))
        assert bool(found.remarks) == by_rank
        assert np.isnan(found.affine()[0]).all() == by_rank
    spikes = {  # most are equal: the distinct numbers tell
        "pixel": np.where(np.arange(ROWS) % 5, 0, np.arange(ROWS) % 16 / 16),
        "flag": np.arange(ROWS) % 50 == 0,
        "gain": np.where(np.arange(ROWS) % 5, 0, 10.0 ** (np.arange(ROWS) % 7)),
    }
    (remark,) = fitted(frame_of({**spikes, "y": y}), rows=np.arange(ROWS)).remarks
    assert "'gain'" in remark and "'pixel'" not in remark and "'flag'" not in remark
    plain = fit_encoding(understand(gd.data.Table(frame, "t", "t")), frame, TRAIN, ranks=False)
    assert plain.remarks == () and not np.isnan(plain.affine()[0][plain.spans["skewed"]]).any()
    center, scale = (each[plain.spans["skewed"]] for each in plain.affine())
    np.testing.assert_allclose(columns_of(plain, frame, "skewed")[:, 0] * scale + center, x, rtol=1e-9, atol=1e-9)


def test_dates_become_parts_on_circles_and_days_elapsed():
    frame = everything()
    encoding = fitted(frame)
    times = pd.to_datetime(frame["when"], format="%d.%m.%Y %H:%M")
    days = (times - times.iloc[TRAIN].min()) / pd.Timedelta("1D")
    month, clock = (times.dt.month - 1) / 12, (times.dt.hour * 60 + times.dt.minute) / 1440
    expected = {
        f"when {name}": times.dt.day_of_week == i
        for i, name in enumerate(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"])
    }
    for name, share in (("month", month), ("time", clock)):
        expected |= {f"when {name} sin": np.sin(2 * np.pi * share), f"when {name} cos": np.cos(2 * np.pi * share)}
    for name, cells in (("year", times.dt.year), ("elapsed", days)):
        inside = cells.iloc[TRAIN]
        expected[f"when {name}"] = (cells - inside.mean()) / inside.std(ddof=0)
    names = encoding.feature_names[encoding.spans["when"]]
    assert set(names) == set(expected)
    for name, ours in zip(names, columns_of(encoding, frame, "when").T, strict=True):
        np.testing.assert_allclose(ours, expected[name], atol=1e-9, err_msg=name)
    one_day = frame_of({"when": [f"{i % 24:02d}:30" for i in range(ROWS)], "y": frame["y"]})
    assert fitted(one_day).feature_names == ("when time sin", "when time cos")


FORMS = ("standardized", "piecewise_linear")


@pytest.mark.parametrize("numbers", FORMS)
def test_an_encoding_comes_back_from_json_to_the_last_bit(numbers):
    frame = everything()
    encoding = fitted(frame, numbers)
    back = Encoding.from_json(json.loads(json.dumps(encoding.to_json(), allow_nan=False)))
    assert back == encoding
    assert back.transform(frame).tobytes() == encoding.transform(frame).tobytes()
    np.testing.assert_array_equal(back.transform(frame, np.float32), encoding.transform(frame).astype(np.float32))


def test_what_is_no_encoding_is_refused():
    entry = fitted(everything()).to_json()
    changes = [
        (lambda e: e.update(version=2), "version 1 is needed, got 2"),
        (lambda e: e.update(encoders={}), "lists of encoders"),
        (lambda e: e["encoders"][0].update(kind="__import__"), "got '__import__'"),
        (lambda e: e["encoders"][0].update(low="0"), "Numbers.low must be float, got '0'"),
        (lambda e: e["encoders"][0].update(low=float("nan")), "Numbers.low must be float"),
        (lambda e: e["encoders"][0]["map"].update(points=[1, "2"]), "NumberMap.points must be float, got '2'"),
        (lambda e: e["encoders"][0].pop("median"), "Numbers has the fields name"),
        (lambda e: e["encoders"][0].update(name=3), "Numbers.name must be str"),
        (lambda e: e["encoders"].append([]), "got None"),
    ]
    for change, said in changes:
        changed = json.loads(json.dumps(entry))
        change(changed)
        with pytest.raises(ValueError, match=said):
            Encoding.from_json(changed)
    for other in (None, [], "x", {}):
        with pytest.raises(ValueError, match="encoding: version 1 is needed"):
            Encoding.from_json(other)


def test_no_other_row_changes_a_bit_of_the_encoding():
    """Garbage, NaN, words in columns of numbers and new categories in validation and test rows: equal splits, equal bits."""
    frame = everything()
    table = gd.data.Table(frame, "t", "t")
    rows = split_rows(understand(table), table, seed=1)
    before = {numbers: fitted(frame, numbers, rows.train) for numbers in FORMS}
    for part in (rows.test, rows.validation):
        for garbage in ("missing", "huge", "words", "distinct words"):
            spoiled = frame.copy()
            for name in set(frame) - {"y"}:
                if garbage == "missing":
                    spoiled.loc[part, name] = np.nan
                elif garbage == "huge" and frame[name].dtype == float:
                    spoiled.loc[part, name] = 1e300
                else:
                    words = [f"new {i}" for i in part] if garbage == "distinct words" else ["new"] * len(part)
                    spoiled[name] = spoiled[name].astype(object)
                    spoiled.loc[part, name] = words
            spoiled = frame_of(spoiled)
            other = gd.data.Table(spoiled, "t", "t")
            understanding = understand(other)
            again = split_rows(understanding, other, seed=1)
            for name in ("train", "validation", "calibration", "test"):
                np.testing.assert_array_equal(getattr(again, name), getattr(rows, name), err_msg=garbage)
            kept = np.setdiff1d(np.arange(ROWS), part)
            for numbers in FORMS[garbage == "huge" :]:
                after = fit_encoding(understanding, spoiled, rows.train, numbers)
                assert after == before[numbers]
                x, z = before[numbers].transform(frame.iloc[kept]), after.transform(spoiled.iloc[kept])
                assert x.tobytes() == z.tobytes()


def test_what_varies_in_the_file_varies_in_float32():
    base = RNG.normal(size=ROWS)
    columns = {
        "energy": 1e-20 * base,
        "huge": 1e200 * base,
        "offset": 1e9 + 1e-3 * base,
        "seconds": 1.7e9 + np.arange(ROWS) % 97,
        "code": 20240000000 + RNG.permutation(10 * ROWS)[:ROWS],
        "one typo": np.where(np.arange(ROWS) == 5, 1e9, base),
    }
    frame = frame_of({**columns, "y": RNG.normal(size=ROWS)})
    for numbers in FORMS:
        encoding = fitted(frame, numbers, np.arange(ROWS))
        x = encoding.transform(frame, np.float32)
        assert x.dtype == np.float32 and np.isfinite(x).all() and abs(x).max() < 10
        for name, cells in columns.items():
            found = len(np.unique(x[:, encoding.spans[name]], axis=0))
            assert found == len(np.unique(cells)) or found > 0.99 * ROWS, name
            assert x[:, encoding.spans[name]].std() > 0.1


def test_no_number_overflows():
    frame = frame_of(
        {"x": RNG.normal(size=ROWS), "wide": 10.0 ** RNG.uniform(-300, 300, ROWS), "y": RNG.normal(size=ROWS)}
    )
    far = frame.assign(x=np.where(np.arange(ROWS) % 2, 1e308, -1e308))
    for numbers in FORMS:
        x = fitted(frame, numbers).transform(far, np.float32)
        assert np.isfinite(x).all() and x[:, 0].max() == (1e30 if numbers == "standardized" else 1)


def test_columns_are_matched_by_name_and_cells_spoil_their_row_alone():
    frame = everything()
    encoding = fitted(frame)
    x = encoding.transform(frame)
    np.testing.assert_array_equal(encoding.transform(frame.iloc[:, ::-1].assign(more=1)), x)
    assert encoding.differences(frame) == ("column 'y' is not used",)
    with pytest.raises(ValueError, match=r"no column 'holes'; there is no column 'city' \(did you mean 'City'\?\)"):
        encoding.transform(frame.drop(columns="holes").rename(columns={"city": "City"}))

    rows = frame.iloc[:8].reset_index(drop=True)
    rows = rows.astype({"number": object, "when": object})
    rows.loc[0, "number"], rows.loc[1, "number"], rows.loc[2, "when"] = "twelve", np.nan, "31.02.2020 10:00"
    rows.loc[3, "city"], rows.loc[4, "number"], rows.loc[5, "pool"] = "Neuss", 1e6, "perhaps"
    found, flags = encoding.encode(frame_of(rows))
    assert np.isnan(found[[0, 2]]).all() and np.isfinite(found[[1, 3, 4, 5, 6, 7]]).all()
    np.testing.assert_array_equal(flags.spoiled, [True, False, True, False, False, False, False, False])
    untouched = [6, 7]
    np.testing.assert_array_equal(found[untouched], x[untouched])
    notes = encoding.flags(frame_of(rows)).notes()
    assert "'number' cannot be read" in notes[0] and "'number' missing, as in no training row" in notes[1]
    assert "'when' cannot be read" in notes[2] and "'city' a level without training rows" in notes[3]
    assert "'number' outside the training range" in notes[4] and "'pool' a level without training rows" in notes[5]
    assert encoding.flags(frame.iloc[TRAIN]).masks == {}  # not even of the rare levels
    assert columns_of(encoding, frame_of(rows), "city")[3].tolist() == [0, 0, 0, 1]  # as the rare levels
    median = frame["number"].iloc[TRAIN].median()
    expected = (median - frame["number"].iloc[TRAIN].mean()) / frame["number"].iloc[TRAIN].std(ddof=0)
    assert found[1, 0] == pytest.approx(expected, abs=1e-12)
    odd = rows.assign(number=["1,5"] + ["1.200,25"] * 7)  # as another program writes numbers
    mean, scale = (each[0] for each in encoding.affine())
    np.testing.assert_allclose(encoding.transform(odd)[3:, 0] * scale + mean, 1200.25)


def test_a_long_table_is_encoded_in_blocks(monkeypatch):
    frame = everything()
    encoding = fitted(frame)
    x, flags = encoding.encode(frame)
    monkeypatch.setattr("gdjax.tables.encoding.BLOCK", 37)
    parts, again = encoding.encode(frame)
    assert parts.tobytes() == x.tobytes() and again.notes() == flags.notes()


def test_a_column_that_is_constant_in_the_training_rows_is_left_out():
    frame = everything().assign(late=np.where(np.arange(ROWS) < 300, 1.0, 2.0))
    encoding = fitted(frame, rows=np.arange(280))
    assert "late" not in encoding.spans and any("'late' is left out: constant" in said for said in encoding.remarks)
    rare = frame.assign(ticket=[f"t{i // 2}" for i in range(ROWS)])
    encoding = fitted(frame_of(rare))
    assert "ticket" not in encoding.spans and "'ticket' has no level that is frequent" in repr(encoding)
    with pytest.raises(ValueError, match=r"no column varies in the 3 training rows|at least one feature"):
        fitted(frame[["late", "y"]], rows=np.arange(3))
    with pytest.raises(ValueError, match="`numbers=binned`: one of standardized, piecewise_linear"):
        fitted(frame, "binned")
