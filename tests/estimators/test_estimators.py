"""The estimators are scikit-learn's to its checks, and their coefficients are its own; what descends is gdjax."""

import contextlib
import functools
import pickle
import warnings
from unittest import SkipTest

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.sparse
from sklearn import datasets, linear_model
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.utils.estimator_checks import estimator_checks_generator

import gdjax as gd
from gdjax import estimators
from gdjax.estimators import LinearRegression, LogisticRegression, MLPClassifier, MLPRegressor, Ridge

ALL = [getattr(estimators, name) for name in estimators.__all__]
# The checks that are left to the night, or for a network those that are not: each compiles programs of its own.
NIGHTLY = {"check_classifiers_train", "check_dtype_object", "check_sample_weight_equivalence_on_dense_data"}
OFTEN = {
    LinearRegression: (set(), {"check_regressor_multioutput"}),
    Ridge: (set(), {"check_regressor_multioutput"}),
    LogisticRegression: (set(), NIGHTLY),
    MLPClassifier: ({"check_sample_weight_equivalence_on_dense_data"}, set()),
    MLPRegressor: ({"check_supervised_y_2d", "check_regressors_no_decision_function"}, set()),
}
rng = np.random.default_rng(0)


def checks(estimator, only=(), without=()):
    """Run scikit-learn's checks; which were run."""
    done = []
    for each, check in estimator_checks_generator(estimator):
        name = getattr(check, "func", check).__name__
        if name in (only or {name}) and name not in without:
            with contextlib.suppress(SkipTest), warnings.catch_warnings():  # what needs another library
                warnings.simplefilter("ignore")
                check(each)
                done.append(name)
    return done


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_scikit_learn_checks(kind):
    only, without = OFTEN[kind]
    done = checks(kind(), only, without)
    assert only == set(done) if only else len(done) > 50


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_all_of_scikit_learn_checks(kind):
    assert len(checks(kind())) > 55


@functools.cache
def table(name):
    return getattr(datasets, f"load_{name}")(return_X_y=True)


def assert_equal_coefficients(ours, theirs):
    """To 1e-4 of the largest of each class or target, and so the predictions."""
    size = np.abs(theirs.coef_).max(-1, keepdims=True)
    np.testing.assert_allclose(ours.coef_ / size, theirs.coef_ / size, atol=1e-4)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-4, atol=1e-4)


def linear_tables():
    X, y = (part[:250] for part in table("diabetes"))
    doubled = np.c_[X, X[:, :2], X[:, 0] - 2 * X[:, 3], np.full(250, 3.3)]
    wide, dummies = rng.normal(size=(20, 40)), np.eye(5)[rng.integers(0, 5, 200)]
    far = rng.normal(size=(200, 5)) + 1e9
    return {
        "diabetes": (X, y),
        "collinear": (doubled, y),
        "collinear in units that differ": (doubled * np.logspace(-2, 2, 14), y),
        "nearly collinear": (np.c_[X, X[:, 0] + 1e-9 * rng.normal(size=250)], y),
        "all dummies": (dummies, dummies @ [1.0, 2.0, 3.0, 5.0, 8.0] + rng.normal(size=200)),
        "a billion and noise": (far, far @ [1.0, 2.0, 3.0, 4.0, 5.0] + rng.normal(size=200)),
        "more columns than rows": (wide, wide[:, 0] + rng.normal(size=20)),
        "two targets": (X, np.c_[y, 1e6 * X[:, 0] - y]),
    }


LINEAR = linear_tables()


@pytest.mark.parametrize("name", LINEAR)
def test_linear_coefficients_are_those_of_scikit_learn(name):
    X, y = LINEAR[name]
    weights = rng.integers(0, 4, len(X))
    for kind, alpha in ((LinearRegression, {}), (Ridge, {"alpha": 0.1}), (Ridge, {"alpha": 100.0})):
        for intercept in (True,) if name.startswith("a billion") else (True, False):
            theirs = getattr(linear_model, kind.__name__)(**alpha, fit_intercept=intercept).fit(X, y, weights)
            ours = kind(**alpha, fit_intercept=intercept).fit(X, y, weights)
            assert_equal_coefficients(ours, theirs)
            np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-4)


def test_columns_of_any_unit_keep_their_coefficients_and_duplicates_share_them():
    """Where scikit-learn, which compares the columns in their units, loses the smallest."""
    for true in np.array([[1e20, 2.0, 1e-20], [1e250, 2.0, 1e-250]]):
        X = rng.normal(size=(100, 3)) / true
        y = X @ true + 1
        np.testing.assert_allclose(LinearRegression().fit(X, y).coef_, true, rtol=1e-9)
        np.testing.assert_allclose(LinearRegression().fit(np.c_[X, X], y).coef_, np.tile(true / 2, 2), rtol=1e-9)
        assert np.abs(linear_model.LinearRegression().fit(X, y).coef_[0]) < true[0] / 10


CLASSES = {
    "two": lambda: [part[:250] for part in (table("breast_cancer")[0][:, :10], table("breast_cancer")[1])],
    "three": lambda: table("wine"),
    "three, by text": lambda: (table("wine")[0], np.array(["b", "c", "a"])[table("wine")[1]]),
    "all of two": lambda: table("breast_cancer"),
    "ten": lambda: (table("digits")[0][:500] + rng.normal(size=(500, 64)), table("digits")[1][:500]),
}


TABLES = [*list(CLASSES)[:3], *(pytest.param(name, marks=pytest.mark.nightly) for name in list(CLASSES)[3:])]


@pytest.mark.parametrize("name", TABLES)
def test_logistic_coefficients_are_those_of_scikit_learn(name):
    X, y = CLASSES[name]()
    exact = functools.partial(linear_model.LogisticRegression, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    scaled, weights = StandardScaler().fit_transform(X), rng.integers(0, 4, len(X))
    for X_, options in (
        (X, {"C": 0.01}),
        (X, {"C": 1.0, "class_weight": "balanced"}),
        (scaled, {"C": 100.0}),
        (X, {"C": 1.0, "fit_intercept": False}),
    )[: 3 if name == "two" else 4]:
        assert_equal_coefficients(
            LogisticRegression(**options).fit(X_, y, weights), exact(**options).fit(X_, y, weights)
        )
    ours, theirs = LogisticRegression(0.1).fit(scaled, y), exact(C=0.1).fit(scaled, y)
    assert ours.classes_.tolist() == theirs.classes_.tolist() and (ours.predict(scaled) == theirs.predict(scaled)).all()
    for method in ("predict_proba", "predict_log_proba", "decision_function"):
        np.testing.assert_allclose(getattr(ours, method)(scaled), getattr(theirs, method)(scaled), atol=1e-4)


def test_without_a_penalty_the_shortest_coefficients_are_taken():
    X, y = datasets.make_classification(200, 6, n_informative=3, n_redundant=3, flip_y=0.3, random_state=0)
    theirs = linear_model.LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(X, y)
    assert_equal_coefficients(LogisticRegression(np.inf).fit(X, y), theirs)


def test_hinge_is_the_support_vector_machine():
    X, y = CLASSES["two"]()
    X = StandardScaler().fit_transform(X)
    ours, theirs = LogisticRegression(0.1, loss="hinge").fit(X, y), SVC(kernel="linear", C=0.1, tol=1e-8).fit(X, y)

    def objective(machine):
        margins = (2 * y - 1) * machine.decision_function(X)
        return 0.1 * np.maximum(0, 1 - margins).sum() + (machine.coef_**2).sum() / 2

    assert objective(ours) < 1.001 * objective(theirs)
    with pytest.raises(AttributeError, match="has no attribute 'predict_proba'"):
        ours.predict_proba(X)


@pytest.mark.nightly
def test_squared_hinge_is_the_linear_support_vector_classifier():
    X, y = CLASSES["all of two"]()
    X = StandardScaler().fit_transform(X)
    theirs = LinearSVC(C=0.1, dual=False, tol=1e-10, max_iter=10_000, fit_intercept=False).fit(X, y)
    ours = LogisticRegression(0.1, loss="squared_hinge", fit_intercept=False).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4)


@pytest.mark.parametrize("classes", [2, pytest.param(3, marks=pytest.mark.nightly)])
def test_the_perceptron_separates_what_can_be_separated(classes):
    X = rng.normal(size=(100, 3))
    scores = np.c_[X[:, :2], 0 * X[:, 2] if classes == 3 else X[:, 2] - 9]
    best = np.sort(scores)
    clear = best[:, 2] - best[:, 1] > 0.2
    X, y = X[clear], scores[clear].argmax(1)
    assert len(np.unique(y)) == classes
    assert LogisticRegression(np.inf, loss="perceptron", random_state=0).fit(X, y).score(X, y) == 1


def spirals(n=80, noise=0.1):
    data = gd.data.load("moons", n=n, noise=noise)
    return np.asarray(data.x, float), np.array(["up", "down"])[data.y]


def test_a_network_is_what_fit_makes_of_standardized_columns():
    X, y = LINEAR["diabetes"]
    ours = MLPRegressor(
        5, "tanh", alpha=2.0, batch_size=100, max_iter=3, tol=0.0, random_state=np.random.RandomState(1)
    )
    with pytest.warns(
        ConvergenceWarning, match="MLPRegressor: the loss still fell after max_iter=3 epochs; raise max_iter"
    ):
        ours.fit(X, y)
    seed, model = np.random.RandomState(1).randint(2**31 - 1), gd.models.mlp((10, 5, None), "tanh")
    with jax.enable_x64(True):
        penalty = gd.losses.l2(2.0 / (2 * 100))
        loss = gd.per_example(gd.supervised(model, gd.losses.half_squared_error), penalty=penalty)
        data = (X - X.mean(0)) / X.std(0), (y - y.mean()) / y.std()
        result = gd.fit(loss, model.init(jax.random.key(seed)), gd.adam(1e-3), data, epochs=3, batch_size=100, key=seed)
        expected = np.asarray(model.apply(result.params, data[0])) * y.std() + y.mean()
        first, second = result.params
        np.testing.assert_allclose(
            X @ ours.coefs_[0] + ours.intercepts_[0], data[0] @ first["w"] + first["b"], rtol=1e-9
        )
    np.testing.assert_allclose(ours.predict(X), expected, rtol=1e-9)
    np.testing.assert_allclose(ours.loss_curve_, result.history["loss"], rtol=1e-9)
    np.testing.assert_allclose(ours.coefs_[1], second["w"], rtol=1e-9)
    assert ours.n_iter_ == 3 and ours.validation_loss_curve_ is None


def test_partial_fit_goes_on_exactly():
    """k calls are fit with max_iter=k to the last bit, through a pickle too, and a fit goes on."""
    X, y = spirals()
    schedule = gd.schedules.cosine(0.01, 8)
    make = functools.partial(MLPClassifier, 4, batch_size=32, tol=0.0, random_state=3)
    whole = make(max_iter=4, schedule=schedule).fit(X, y)  # no warning: it is as long as its schedule
    half = clone(make(max_iter=2, optimizer=gd.adam(1.0), schedule=schedule)).fit(X, y)
    parts = make(optimizer=gd.adam(schedule))
    for _ in range(4):
        parts = pickle.loads(pickle.dumps(parts.partial_fit(X, y)))
    half.partial_fit(X, y).partial_fit(X, y)
    for other in (parts, half):
        assert all((a == b).all() for a, b in zip(whole.coefs_, other.coefs_, strict=True))
        assert other.loss_curve_ == whole.loss_curve_ and other.n_iter_ == 4


def test_partial_fit_sees_each_row_once_whatever_came_before():
    X, y = spirals()
    parts = MLPClassifier(4, batch_size=32, schedule=gd.schedules.cosine(0.01, 8), random_state=0)
    parts.partial_fit(X, y, classes=["down", "up"]).partial_fit(X[:20], ["up"] * 20).partial_fit(X, y)
    assert int(parts._last.step) == 3 + 1 + 3 and int(parts._last.batches) % 3 == 0
    for wrong, text in (
        ({"y": ["over"]}, r"labels among the classes \['down', 'up'\], got 'over'"),
        ({"y": ["up"], "classes": ["up", "left"]}, r"classes must be those of the first call, \['down', 'up'\], got"),
    ):
        with pytest.raises(ValueError, match=text):
            parts.partial_fit(X[:1], **wrong)
    with pytest.raises(ValueError, match="partial_fit holds no rows out"):
        parts.set_params(early_stopping=True).partial_fit(X, y)


def test_early_stopping_keeps_the_best_on_the_rows_held_out():
    X = rng.normal(size=(60, 30))
    y = X[:, 0] + rng.normal(size=60)
    options = {"early_stopping": True, "validation_fraction": 0.3, "random_state": 0}
    network = MLPRegressor(8, optimizer=gd.adam(0.01), **options).fit(X, y)
    linear = LogisticRegression(np.inf, **options).fit(X, y > 0)
    for estimator in (network, linear):
        curve = estimator.validation_loss_curve_
        assert len(curve) == len(estimator.loss_curve_) == estimator.n_iter_ == np.argmin(curve) + 11
    seed = np.random.RandomState(0).randint(2**31 - 1)
    _, (X_, y_) = gd.data.split((X, y), (0.7, 0.3), jax.random.key(seed))
    np.testing.assert_allclose(
        np.mean((network.predict(X_) - y_) ** 2) / 2 / y.var(), min(network.validation_loss_curve_)
    )
    with pytest.raises(ValueError, match="must have rows to train and to validate on, got 3 rows"):
        LinearRegression(early_stopping=True).fit(X[:3], y[:3])


@pytest.mark.parametrize("optimizer", [gd.lbfgs(), optax.adam(0.1)], ids=["ours", "Optax"])
def test_any_optimizer_is_a_value(optimizer):
    X, y = LINEAR["diabetes"]
    estimator = clone(Ridge(1.0, optimizer=optimizer, max_iter=5000))
    assert estimator.get_params()["optimizer"] == optimizer
    assert_equal_coefficients(estimator.fit(X, y), linear_model.Ridge(1.0).fit(X, y))
    assert estimator.n_iter_ > 5 and estimator.loss_curve_[-1] < estimator.loss_curve_[0]


def test_pipelines_searches_and_pickles():
    X, y = table("wine")
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    search = GridSearchCV(pipeline, {"logisticregression__C": [1e-3, 1.0]}, cv=3).fit(X, y)
    assert search.best_params_ == {"logisticregression__C": 1.0} and search.best_score_ > 0.95
    same = pickle.loads(pickle.dumps(search))
    assert (same.predict(X) == search.predict(X)).all()


@pytest.mark.nightly
def test_a_search_takes_optimizers_as_values():
    X, y = table("wine")
    search = GridSearchCV(
        LogisticRegression(max_iter=50), {"optimizer": [gd.sgd(0.0), gd.lbfgs(), optax.sgd(0.0)]}, cv=3
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert search.fit(X, y).best_params_ == {"optimizer": gd.lbfgs()}


@pytest.mark.nightly
def test_a_search_in_two_processes_finds_what_one_does():
    X, y = table("wine")
    search = GridSearchCV(MLPClassifier(8, max_iter=30, tol=0.1, random_state=0), {"alpha": [1e-3, 10.0]}, cv=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone, both = (clone(search).set_params(n_jobs=n).fit(X, y) for n in (None, 2))
        threads = cross_val_score(search.estimator, X, y, cv=3)
    np.testing.assert_allclose(alone.cv_results_["mean_test_score"], both.cv_results_["mean_test_score"])
    assert len(threads) == 3


@contextlib.contextmanager
def compilations():
    """Counts what XLA compiles meanwhile."""
    found = []
    note = lambda event, *_, **__: found.append(event) if "backend_compile" in event else None  # noqa: E731
    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


def test_tables_of_about_one_size_share_a_program():
    """And a network computes in float32 if the table does, whatever the linear models did in float64."""
    X, y = table("wine")
    network = MLPClassifier(4, max_iter=5, tol=1.0, n_iter_no_change=2)
    kinds, X_ = (LinearRegression(), LogisticRegression(0.3), network), X.astype(np.float32)
    for estimator in kinds:
        estimator.fit(X_, y).predict(X_)
    assert {each.dtype for each in jax.tree.leaves(network._params)} == {np.dtype(np.float32)}
    assert kinds[1].coef_.dtype == np.float64 and jnp.asarray(1.0).dtype == np.float32
    with compilations() as found:
        for estimator in (*kinds, Ridge(0.1), LogisticRegression(3.0), clone(network).set_params(alpha=1.0)):
            estimator.fit(X_[17:], y[17:]).predict(X)
    assert found == []


X, Y = rng.normal(size=(30, 3)), np.arange(30) % 3
WRONG = {
    "text": (MLPRegressor(), X, np.array(["a", "b", "c"])[Y], ValueError, "could not convert string to float"),
    "one class": (LogisticRegression(), X, np.ones(30), ValueError, "two classes, got one class, 1.0, alone"),
    "numbers": (MLPClassifier(), X, X[:, 0], ValueError, "Unknown label type: continuous"),
    "NaN": (Ridge(), np.where(X > 1, np.nan, X), Y, ValueError, "Input X contains NaN"),
    "no rows": (LinearRegression(), X[:0], Y[:0], ValueError, r"Found array with 0 sample\(s\)"),
    "alpha": (Ridge(-1.0), X, Y, ValueError, r"'alpha' parameter of Ridge must be a float in the range \[0"),
    "name": (Ridge(optimizer="adam"), X, Y, TypeError, r"Ridge: optimizer: .* got 'adam'; write gd.adam\(1e-3\)"),
    "factory": (Ridge(optimizer=gd.adam), X, Y, TypeError, r"got adam; call it, adam\(...\)"),
    "of two": (LogisticRegression(loss="squared_hinge"), X, Y, ValueError, "'squared_hinge' is for two classes, got 3"),
    "sizes": (MLPClassifier((4, 1.5)), X, Y, ValueError, "every size must be a positive int"),
    "class": (
        MLPClassifier(class_weight={7: 1}),
        X,
        Y,
        ValueError,
        r"The classes, \[0, 1, 2\], are not in class_weight",
    ),
    "masked": (LogisticRegression(), np.ma.masked_less(X, 0), Y, TypeError, "must have no masked cells, got "),
    "sparse": (
        LogisticRegression(),
        scipy.sparse.csr_array(X),
        Y,
        TypeError,
        "Sparse data was passed for X, but dense",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(name):
    estimator, X, y, kind, text = WRONG[name]
    with pytest.raises(kind, match=text):
        estimator.fit(X, y)


def test_the_end_of_a_descent_is_said():
    for rate, text in (
        (0.01, "LinearRegression: after max_iter=5 steps the norm of the gradient was"),
        (1e9, "LinearRegression: the descent ended as DIVERGED; take a smaller learning rate"),
    ):
        with pytest.warns(ConvergenceWarning, match=text):
            LinearRegression(optimizer=gd.sgd(rate), max_iter=5).fit(X, Y)
    with pytest.raises(ValueError, match="X has 2 features, but Ridge is expecting 3 features as input"):
        Ridge().fit(X, Y).predict(X[:, :2])
    with pytest.raises(ValueError, match="schedule takes the place of the optimizer's own learning_rate, got chain"):
        Ridge(optimizer=gd.chain(gd.adam(0.1)), schedule=gd.schedules.cosine(0.1, 9)).fit(X, Y)
