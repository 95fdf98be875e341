"""The numbers of a report, against scikit-learn, closed forms and plain loops."""

from types import SimpleNamespace

import numpy as np
import pandas
import pytest
from scipy import stats
from sklearn import metrics

import gdjax as gd
from gdjax.runs.assessment import calibration, classes, drift, numbers, ranking, resampling
from gdjax.runs.assessment.caveats import alarm
from gdjax.runs.assessment.coefficients import UNKNOWN, Fit, in_units
from gdjax.runs.assessment.comparison import EVEN, compare
from gdjax.runs.assessment.importance import importance_of
from gdjax.runs.assessment.outcome import Cases, of_numbers, of_probabilities
from gdjax.runs.assessment.wording import brief, percent, rounded

NAMES = ("ash", "beech", "cedar", "dogwood")


def cases_of(y, x=None, groups=None):
    return Cases(np.arange(len(y)), np.zeros((len(y), 1)) if x is None else x, y, groups, 0)


@pytest.fixture(scope="module")
def guesses():
    """(labels, probabilities) of 400 rows and 4 classes; the probabilities are exact, and many of them equal."""
    random = np.random.default_rng(0)
    table = random.dirichlet(np.ones(4), 40)[random.integers(40, size=400)]
    return (random.random(400)[:, None] > table.cumsum(axis=1)).sum(axis=1), table


# Intervals


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    """So it is for many rows: more than are drawn from one by one, too."""
    for rows in (500, 30_000):
        x = np.random.default_rng(rows).normal(3, 2, rows)
        found = resampling.Resampling(rows, 0).estimate(x[:, None], resampling.first)
        half = 1.96 * x.std() / np.sqrt(rows)
        assert found.value == pytest.approx(x.mean())
        np.testing.assert_allclose([found.low, found.high], x.mean() + half * np.array([-1, 1]), atol=0.15 * half)


def test_rows_of_a_group_are_no_news():
    """Each row five times, and known to be one: the interval is that of the row alone. Unknown, it is too short by √5."""
    x, groups = np.random.default_rng(0).normal(size=300), np.tile(np.arange(300), 5)
    wide, narrow = (
        resampling.Resampling(1500, 0, each).estimate(np.tile(x, 5)[:, None], resampling.first)
        for each in (groups, None)
    )
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(np.sqrt(5), rel=0.15)


def test_a_handful_of_rows_has_no_interval_and_no_better_model():
    y = np.arange(6.0)
    standings = compare(
        cases_of(y), [of_numbers("this run", y + 1), of_numbers("far", y + 9)], resampling.Resampling(6, 0)
    )
    assert standings[1].lead["rmse"].value == 8 and np.isnan(standings[1].lead["rmse"].low)
    assert standings[1].verdict == EVEN and standings[1].sentence().endswith(
        "its RMSE is lower by 8.000, not significant."
    )


@pytest.mark.parametrize(("right", "rows"), [(0, 7), (7, 7), (3, 10), (480, 500)])
def test_the_interval_of_a_share_is_exact(right, rows):
    exact = stats.binomtest(right, rows).proportion_ci(0.95)
    found = resampling.share_of(right, rows)
    np.testing.assert_allclose(found, (right / rows, exact.low, exact.high), atol=1e-9)


# Classes


def test_scores_of_classes_are_those_of_scikit_learn(guesses):
    y, table = guesses
    outcome = of_probabilities("this run", table, None)
    (own,) = compare(cases_of(y), [outcome], resampling.Resampling(len(y), 0))
    assert own.scores["log_loss"].value == pytest.approx(metrics.log_loss(y, table))
    assert own.scores["accuracy"].value == pytest.approx(metrics.accuracy_score(y, outcome.predicted))
    found = classes.of_classes(cases_of(y), outcome, NAMES, 0)
    theirs = metrics.precision_recall_fscore_support(y, outcome.predicted, zero_division=np.nan)
    ours = [[getattr(each, name) for each in found.classes] for name in ("precision", "recall", "f1", "rows")]
    np.testing.assert_allclose(ours, theirs)
    assert found.auc.value == pytest.approx(metrics.roc_auc_score(y, table, multi_class="ovr", average="macro"))
    counts = metrics.confusion_matrix(y, outcome.predicted)
    assert (found.counts == counts).all()
    most = found.confused[0]
    assert counts[NAMES.index(most.true), NAMES.index(most.predicted)] == (counts * (1 - np.eye(4, dtype=int))).max()
    assert [each.rows for each in found.confused] == sorted((each.rows for each in found.confused), reverse=True)


def test_two_hundred_classes_are_told_by_the_pairs_that_are_confused():
    y = np.repeat(np.arange(200), 3)
    predicted = np.where(np.arange(600) % 3 == 0, y, (y + 1) % 200)
    table = np.eye(200)[predicted]
    found = classes.of_classes(cases_of(y), of_probabilities("", table, None), [f"{i}" for i in range(200)], 0)
    assert len(found.confused) == classes.MOST_PAIRS and found.confused[0].rows == 2
    assert "confusion" not in found.to_json()


def test_the_variance_of_an_area_is_that_of_all_pairs(guesses):
    """DeLong's, by the definition: the placements of each row among all rows of the other side."""
    y, table = guesses
    each, _ = ranking.areas(table, y)
    for label, found in enumerate(each):
        up, down = table[y == label, label], table[y != label, label]
        wins = (up[:, None] > down) + 0.5 * (up[:, None] == down)
        error = np.sqrt(wins.mean(axis=1).var(ddof=1) / len(up) + wins.mean(axis=0).var(ddof=1) / len(down))
        np.testing.assert_allclose(
            found, (wins.mean(), wins.mean() - 1.96 * error, wins.mean() + 1.96 * error), rtol=1e-5
        )


def test_exact_probabilities_are_calibrated_and_bold_ones_are_not(guesses):
    y, table = guesses
    so = y == 1
    found = calibration.reliability(table[:, 1], so, "beech")
    assert found.is_good and sum(found.rows) == len(y)
    by_hand, below = 0.0, 0
    for number, said, each in zip(found.rows, found.said, found.found, strict=True):
        inside = np.argsort(table[:, 1], kind="stable")[below : below + number]
        assert said == pytest.approx(table[inside, 1].mean()) and each.value == pytest.approx(so[inside].mean())
        by_hand, below = by_hand + abs(table[inside, 1].sum() - so[inside].sum()) / len(y), below + number
    assert found.error == pytest.approx(by_hand)
    assert not calibration.reliability(np.where(table[:, 1] > 0.3, 0.95, 0.02), so, "beech").is_good
    random = np.random.default_rng(8)
    again = [calibration.reliability(table[:, 1], random.random(400) < table[:, 1], "") for _ in range(300)]
    assert 0.9 < np.mean([each.is_good for each in again]) < 0.99  # 95 % by definition


# Numbers


def test_scores_of_numbers_are_those_of_scikit_learn():
    random = np.random.default_rng(1)
    y = random.normal(1e3, 5, 300)
    predicted = y + random.normal(0.2, 2, 300)
    cases, draws = cases_of(y), resampling.Resampling(300, 0)
    outcome = of_numbers("this run", predicted)
    (own,) = compare(cases, [outcome], draws)
    assert own.scores["rmse"].value == pytest.approx(metrics.root_mean_squared_error(y, predicted))
    assert own.scores["mae"].value == pytest.approx(metrics.mean_absolute_error(y, predicted))
    half = stats.norm.ppf(0.95) * 2
    found = numbers.of_numbers(cases, outcome, draws, (predicted - half, predicted + half), "")
    assert found.r2.value == pytest.approx(metrics.r2_score(y, predicted))
    assert found.r2.low < metrics.r2_score(y, predicted) < found.r2.high < 1
    inside = int((abs(y - predicted) <= half).sum())
    exact = stats.binomtest(inside, 300).proportion_ci()
    np.testing.assert_allclose(found.coverage.share, (inside / 300, exact.low, exact.high))


def test_who_is_better_is_judged_on_the_same_rows():
    """A small lead on rows of very different difficulty: paired it is clear, and unpaired it would not be."""
    random = np.random.default_rng(2)
    y, hard = random.normal(size=400), random.normal(size=400) * 5
    run = of_numbers("this run", y + hard)
    others = [of_numbers("worse", y + 1.02 * hard), of_numbers("alike", y + random.permutation(hard))]
    standings = compare(cases_of(y), [run, *others], resampling.Resampling(400, 0))
    assert [each.verdict for each in standings] == ["", "better", EVEN]
    own, worse = (each.scores["rmse"] for each in standings[:2])
    assert own.high > worse.low
    assert standings[1].lead["rmse"].value == pytest.approx(0.02 * own.value)
    assert standings[1].sentence().startswith("Better than worse: its RMSE is lower by 0.")
    back = compare(cases_of(y), [others[0], run], resampling.Resampling(400, 0))[1]
    assert back.verdict == "worse" and back.sentence().startswith("Worse than this run: its RMSE is higher by 0.")


def test_no_better_than_the_mean_is_said():
    y = np.random.default_rng(3).normal(size=200)
    mean = of_numbers("the mean", np.zeros(200))
    for predicted, said in (
        (0.05 * np.roll(y, 1), "cannot be told from"),
        (np.roll(y, 1), "even worse"),
        (0.5 * y, ""),
    ):
        beside = compare(cases_of(y), [of_numbers("this run", predicted), mean], resampling.Resampling(200, 0))[1]
        found = alarm("regression", beside)
        assert (
            said in found and bool(found) == bool(said) and found.startswith("NO BETTER THAN THE MEAN" if said else "")
        )


# Columns


def test_importance_is_what_a_column_is_worth():
    """Of y = 3 a, where b is not used: permuted, the error is 3 (a - a'), whose mean square is 18 times a's variance."""
    random = np.random.default_rng(4)
    x = random.normal(size=(4000, 3))
    y = 3 * x[:, 0]
    run = SimpleNamespace(
        encoding=SimpleNamespace(spans={"b": slice(1, 3), "a": slice(0, 1)}),
        outputs=lambda rows: 3 * np.asarray(rows)[:, 0],
        config=SimpleNamespace(data=SimpleNamespace(target_names=())),
    )
    cases = cases_of(y, x)
    found = importance_of(run, cases, of_numbers("", run.outputs(x)).losses(y), 0)
    (first, of_a), (second, of_b) = found.columns
    assert (first, second, found.rows, found.of_rows) == ("a", "b", 4000, 4000)
    assert (
        of_a.value == pytest.approx(np.sqrt(18) * x[:, 0].std(), rel=0.05) and of_a.low > 4 and tuple(of_b) == (0, 0, 0)
    )


@pytest.fixture(scope="module")
def flats():
    """A table with a number that has holes, a category of three levels and a yes/no; its encoding, on all rows."""
    random = np.random.default_rng(5)
    n = 200
    frame = pandas.DataFrame({
        "area": np.where(random.random(n) < 0.1, np.nan, random.normal(80, 25, n).round(1)),
        "city": random.choice(["Ulm", "Bonn", "Kiel"], n, p=[0.5, 0.3, 0.2]),
        "garden": random.choice(["yes", "no"], n),
    })  # fmt: skip
    signal = 3 * frame["area"].fillna(80) + 50 * (frame["city"] == "Bonn") + 20 * (frame["garden"] == "yes")
    table = gd.data.Table(frame.assign(price=signal + random.normal(0, 30, n)), "flats", "200 rows")
    understanding = gd.tables.understand(table, "price")
    return table.frame, gd.tables.fit_encoding(understanding, table.frame, np.arange(n))


def design_of(frame):
    """The features in the units of the file, by hand: Ulm, the most frequent city, is what the others are compared with."""
    area, median = frame["area"], frame["area"].median()
    columns = [
        area.fillna(median),
        area.isna(),
        frame["city"] == "Bonn",
        frame["city"] == "Kiel",
        frame["garden"] == "yes",
    ]
    return np.stack([np.ones(len(frame)), *columns], axis=1).astype(float)


ORDER = ["intercept", "area", "area missing", "city=Bonn", "city=Kiel", "garden"]


def ordered(found):
    by_name = {each.name: each for each in found.coefficients}
    assert set(by_name) == set(ORDER) and found.references == ("city=Ulm",)
    return [by_name[name] for name in ORDER]


def test_coefficients_of_least_squares_are_those_of_the_closed_form(flats):
    frame, encoding = flats
    z, y, x = design_of(frame), frame["price"].to_numpy(), encoding.transform(frame)
    best = np.linalg.solve(z.T @ z, z.T @ y)
    errors = np.sqrt(np.diag(np.linalg.inv(z.T @ z)) * np.sum((y - z @ best) ** 2) / (len(y) - z.shape[1]))
    mean, scale = y.mean(), y.std()
    padded = np.column_stack([np.ones(len(x)), x])
    b, *w = np.linalg.lstsq(padded, (y - mean) / scale)[0]  # of the features that are too many, the smallest
    fit = Fit(x, (y - mean) / scale, np.array(w), b, mean, scale, False)
    found = ordered(in_units(fit, encoding, "price"))
    np.testing.assert_allclose([each.value for each in found], best, rtol=1e-8)
    np.testing.assert_allclose([each.error for each in found], errors, rtol=1e-8)
    half = stats.t.ppf(0.975, len(y) - z.shape[1]) * errors
    np.testing.assert_allclose([each.high for each in found], best + half, rtol=1e-8)
    early = in_units(fit._replace(w=0.9 * np.array(w)), encoding, "price")
    assert "standard errors from the minimum" in early.why_not and np.isnan(early.coefficients[0].error)


def test_coefficients_of_log_odds_are_those_of_newtons_method(flats):
    frame, encoding = flats
    z, x = design_of(frame), encoding.transform(frame)
    y = (frame["price"] > frame["price"].median()).to_numpy(float)
    best, features = np.zeros(z.shape[1]), np.column_stack([np.ones(len(x)), x])
    small = np.zeros(features.shape[1])
    for _ in range(30):
        p, q = 1 / (1 + np.exp(-z @ best)), 1 / (1 + np.exp(-features @ small))
        hessian = z.T @ ((p * (1 - p))[:, None] * z)
        best = best + np.linalg.solve(hessian, z.T @ (y - p))
        small = small + np.linalg.pinv(features.T @ ((q * (1 - q))[:, None] * features)) @ features.T @ (y - q)
    found = ordered(in_units(Fit(x, y, small[1:], small[0], 0.0, 1.0, True), encoding, "log odds of 'high'"))
    np.testing.assert_allclose([each.value for each in found], best, rtol=1e-6)
    np.testing.assert_allclose([each.error for each in found], np.sqrt(np.diag(np.linalg.inv(hessian))), rtol=1e-6)


def test_coefficients_that_the_rows_do_not_determine_are_said():
    random = np.random.default_rng(6)
    frame = pandas.DataFrame({"inch": random.normal(size=50), "b": random.normal(size=50)})
    frame = frame.assign(cm=2.54 * frame["inch"], y=frame["inch"] + frame["b"] + random.normal(size=50))
    encoding = gd.tables.fit_encoding(
        gd.tables.understand(gd.data.Table(frame, "t", "50 rows"), "y"), frame, np.arange(50)
    )
    x, y = encoding.transform(frame), frame["y"].to_numpy()
    b, *w = np.linalg.lstsq(np.column_stack([np.ones(50), x]), y)[0]
    found = {
        each.name: each for each in in_units(Fit(x, y, np.array(w), b, 0.0, 1.0, False), encoding, "y").coefficients
    }
    assert found["inch"].note == found["cm"].note == UNKNOWN and np.isnan(found["cm"].error)
    assert found["b"].note == "" and 0 < found["b"].error < 1


def test_only_strong_drift_is_reported():
    random = np.random.default_rng(7)
    frame = pandas.DataFrame({
        "same": random.normal(size=3000), "moved": random.normal(size=3000), "city": random.choice(["Ulm", "Bonn"], 3000),
        "slight": random.normal(size=3000), "y": random.normal(size=3000),
    })  # fmt: skip
    test = np.arange(2000, 3000)
    frame.loc[test, "moved"] += 1
    frame.loc[test, "slight"] += 0.1
    frame.loc[test, "city"] = random.choice(["Ulm", "Bonn"], 1000, p=[0.9, 0.1])
    understanding = gd.tables.understand(gd.data.Table(frame, "t", "3,000 rows"), "y")
    rows = SimpleNamespace(train=np.arange(2000), test=test)
    table = SimpleNamespace(frame=frame)
    problem = SimpleNamespace(rows=rows, understanding=understanding, table=table, y=understanding.y)
    found = drift.drifts(problem, 0)
    assert [each.column for each in found] == ["city", "moved"]
    exact = stats.ks_2samp(frame["moved"][:2000], frame["moved"][2000:]).statistic
    assert found[1].distance == pytest.approx(exact) and found[0].distance == pytest.approx(0.4, abs=0.05)
    assert [each.column for each in drift.drifts(problem, 0, but="moved")] == ["city"]


# Words


def test_numbers_are_told_with_the_digits_that_count():
    assert brief(resampling.Estimate(54.2313, 48.04, 60.06)) == "54.2 (48.0 to 60.1)"
    assert brief(resampling.Estimate(0.96296, 0.81, 0.99906), "accuracy") == "96.3 % (81.0 to 99.9 %)"
    assert brief(resampling.Estimate(1.5e-20, 1.4e-20, 1.6e-20)) == "1.50e−20 (1.40e−20 to 1.60e−20)"
    assert brief(resampling.Estimate(181_234.0, 175_000.0, 188_000.0)) == "181,200 (175,000 to 188,000)"
    assert brief(resampling.Estimate(0.062735, 0.0612, 0.0641)) == "0.0627 (0.0612 to 0.0641)"
    assert brief(resampling.Estimate(1.0, np.nan, np.nan)) == "1.000"
    assert rounded(-3.0, 0.5) == "−3.00" and rounded(float("nan"), 1.0) == "–" and rounded(0.0, 0.0) == "0"
    assert [percent(share) for share in (0.99999, 1.0, 0.00001, 0.5, float("nan"))] == [
        *("99.9 %", "100 %", "0.1 %", "50.0 %", "–")
    ]
