"""Laws of the metrics over their catalogue, scikit-learn as the oracle; then what is particular to each."""

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from gdjax import laws
from gdjax.losses import absolute_error, huber, per_example, softmax_cross_entropy_with_integer_labels, supervised
from gdjax.metrics import (
    METRICS,
    accuracy,
    confusion_counts,
    correct,
    in_top_k,
    mean,
    mean_squared_error,
    perplexity,
    precision,
    r2,
    recall,
    roc_auc,
    top_k_accuracy,
    zero_one,
)

N, C = 24, 3
ARGUMENTS = {"top_k_accuracy": 2, "confusion_counts": C, "precision": C, "recall": C}


def build(name):
    return METRICS[name].metric(ARGUMENTS[name]) if name in ARGUMENTS else METRICS[name].metric


INSTANCES = {name: build(name) for name in METRICS}
each_metric = pytest.mark.parametrize("name", INSTANCES)


def draw(name, seed=0, ties=True):
    """Predictions and targets of N examples."""
    rng = np.random.default_rng(seed)
    if METRICS[name].task == "regression":
        target = rng.normal(size=N)
        return (target + rng.normal(size=N)).astype(np.float32), target.astype(np.float32)
    if name == "roc_auc":
        scores = rng.normal(size=N).astype(np.float32)
        return (np.round(scores) if ties else scores), np.arange(N, dtype=np.int32) % 2
    return rng.normal(size=(N, C)).astype(np.float32), rng.integers(0, C, size=N).astype(np.int32)


def draw_weight(seed=1):
    return np.random.default_rng(seed).choice([0.0, 0.5, 1.0, 2.0], size=N).astype(np.float32)


@functools.cache
def jit_metric(name):
    return jax.jit(INSTANCES[name])


def softmax(scores):
    return np.asarray(jax.nn.softmax(scores))


SKLEARN = {
    "accuracy": lambda p, y, w: sklearn.metrics.accuracy_score(y, p.argmax(1), sample_weight=w),
    "zero_one_error": lambda p, y, w: sklearn.metrics.zero_one_loss(y, p.argmax(1), sample_weight=w),
    "top_k_accuracy": lambda p, y, w: sklearn.metrics.top_k_accuracy_score(y, p, k=2, sample_weight=w, labels=range(C)),
    "perplexity": lambda p, y, w: np.exp(sklearn.metrics.log_loss(y, softmax(p), sample_weight=w, labels=range(C))),
    "bits_per_token": lambda p, y, w: (
        sklearn.metrics.log_loss(y, softmax(p), sample_weight=w, labels=range(C)) / np.log(2)
    ),
    "confusion_counts": lambda p, y, w: sklearn.metrics.confusion_matrix(
        y, p.argmax(1), sample_weight=w, labels=range(C)
    ),
    "precision": lambda p, y, w: sklearn.metrics.precision_score(
        y, p.argmax(1), sample_weight=w, labels=range(C), average=None, zero_division=0
    ),
    "recall": lambda p, y, w: sklearn.metrics.recall_score(
        y, p.argmax(1), sample_weight=w, labels=range(C), average=None, zero_division=0
    ),
    "roc_auc": lambda s, y, w: sklearn.metrics.roc_auc_score(y, s, sample_weight=w),
    "mean_squared_error": lambda p, y, w: sklearn.metrics.mean_squared_error(y, p, sample_weight=w),
    "mean_absolute_error": lambda p, y, w: sklearn.metrics.mean_absolute_error(y, p, sample_weight=w),
    "r2": lambda p, y, w: sklearn.metrics.r2_score(y, p, sample_weight=w),
}


# Laws.


@each_metric
@pytest.mark.parametrize("seed", range(3))
def test_equals_scikit_learn(name, seed):
    prediction, target = draw(name, seed)
    for weight in (np.ones(N, np.float32), draw_weight(seed)):
        ours = jit_metric(name)(prediction, target, weight)
        np.testing.assert_allclose(ours, SKLEARN[name](prediction, target, weight), rtol=2e-5, atol=1e-6)


WRONG = "a prediction of NaN is a wrong answer"
EXCEPT = {name: {"shows": WRONG} for name in ("accuracy", "top_k_accuracy", "zero_one_error")}


ALIKE = (
    "top_k_accuracy",
    "zero_one_error",
    "precision",
    "recall",
    "mean_absolute_error",
    "bits_per_token",
)  # to one of the others


@pytest.mark.parametrize("name", [pytest.param(x, marks=[pytest.mark.nightly] * (x in ALIKE)) for x in METRICS])
def test_the_laws_of_metrics_hold(name):
    laws.check_metric(INSTANCES[name], *draw(name), exceptions=EXCEPT.get(name), examples=4)


@each_metric
def test_no_rows_have_no_value(name):
    value = jit_metric(name)(*draw(name), np.zeros(N, np.float32))
    if name == "confusion_counts":
        np.testing.assert_array_equal(value, 0)
    else:
        assert np.isnan(value).all()


@each_metric
def test_metrics_are_equal_by_value(name):
    assert build(name) == build(name) and hash(build(name)) == hash(build(name))
    assert pickle.loads(pickle.dumps(build(name))) == build(name)
    assert [other for other in METRICS if build(other) == build(name)] == [name]


@each_metric
def test_weights_of_a_wrong_shape_raise(name):
    with pytest.raises(ValueError, match=r"weight must have shape \(24,\), got \(24, 1\)"):
        INSTANCES[name](*draw(name), np.ones((N, 1)))


@each_metric
def test_shapes_that_would_broadcast_raise(name):
    prediction, target = draw(name)
    with pytest.raises(ValueError, match=r"got \(.*\) and \(.*\)"):
        INSTANCES[name](prediction, target[:, None])


@each_metric
def test_better_is_what_the_entry_says(name):
    """The truth itself, as a prediction, is no worse than noise."""
    if METRICS[name].higher_is_better is None:
        return
    prediction, target = draw(name)
    truth = np.eye(C, dtype=np.float32)[target] if prediction.ndim > 1 else target.astype(np.float32)
    gain = np.mean(INSTANCES[name](truth, target)) - np.mean(INSTANCES[name](prediction, target))
    assert gain > 0 if METRICS[name].higher_is_better else gain < 0


# Of one example.


def test_correct():
    scores = jnp.array([[0.0, 2.0, 1.0], [1.0, 1.0, 0.0], [jnp.nan, 0.0, 0.0]])
    np.testing.assert_array_equal(correct(scores, jnp.array([1, 0, 0])), [1, 1, 0])
    np.testing.assert_array_equal(correct(scores, jnp.array([1, 1, 0])), [1, 0, 0])
    assert correct(scores[0], 1) == 1 and zero_one(scores[0], 2) == 1


@pytest.mark.parametrize("negative", [0, -1])
def test_correct_of_one_score_per_label(negative):
    scores = jnp.array([0.5, -0.5, 0.0, -2.0, jnp.nan])
    labels = jnp.array([1, 1, negative, negative, negative])
    np.testing.assert_array_equal(correct(scores, labels), [1, 0, 1, 1, 0])


def test_in_top_k_takes_the_first_of_equals():
    scores = jnp.array([1.0, 3.0, 3.0, 3.0])
    np.testing.assert_array_equal([in_top_k(scores, label, 2) for label in range(4)], [0, 1, 1, 0])
    assert in_top_k(scores, 1, 1) == correct(scores, 1) == 1


def test_classes_of_another_kind_raise():
    scores = jnp.ones((N, C))
    with pytest.raises(ValueError, match=r"correct: prediction must be .* C >= 2, .* got \(1,\) and \(\)"):
        accuracy(scores[:, :1], jnp.zeros(N, int))
    with pytest.raises(TypeError, match="correct: classes must be integers, got float32"):
        accuracy(scores, jnp.zeros(N))
    with pytest.raises(ValueError, match=r"in_top_k: k must be in \[1, C\], got 4 for scores \(3,\)"):
        top_k_accuracy(4)(scores, jnp.zeros(N, int))
    with pytest.raises(ValueError, match="num_classes must be 3 as in prediction, got 4"):
        confusion_counts(4)(scores, jnp.zeros(N, int))
    with pytest.raises(ValueError, match=r"roc_auc: scores and labels must be \(n,\)"):
        roc_auc(scores, jnp.zeros((N, C), int))


# What is particular.


def test_mean_of_any_function_of_one_example():
    prediction, target = draw("r2")
    value = mean(functools.partial(huber, delta=0.5))(prediction, target)
    np.testing.assert_allclose(value, huber(prediction, target, 0.5).mean(), rtol=1e-6)
    assert mean(functools.partial(huber, delta=0.5)) == mean(functools.partial(huber, delta=0.5))
    assert mean(lambda p, y: p["a"] + y)({"a": jnp.ones(3)}, jnp.ones(3)) == 2


def test_further_axes_are_averaged():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(4, 5, C)).astype(np.float32), rng.integers(0, C, size=(4, 5))
    flat, flat_labels = scores.reshape(20, C), labels.ravel()
    for metric in (accuracy, perplexity, confusion_counts(C)):
        value = jax.jit(metric)
        np.testing.assert_allclose(value(scores, labels), value(flat, flat_labels), rtol=1e-5)


def test_per_class_metrics_of_one_score_per_label():
    scores, labels = np.array([1.0, 2.0, -1.0, -2.0, 3.0]), np.array([1, -1, 1, -1, 1])
    np.testing.assert_array_equal(confusion_counts(2)(scores, labels), [[1, 1], [1, 2]])
    np.testing.assert_allclose(precision(2)(scores, labels), [1 / 2, 2 / 3], rtol=1e-6)
    np.testing.assert_allclose(recall(2)(scores, labels), [1 / 2, 2 / 3], rtol=1e-6)


def test_absent_classes_have_precision_and_recall_0():
    scores, labels = np.eye(3, dtype=np.float32)[[0, 1]], np.array([0, 0])
    np.testing.assert_array_equal(precision(3)(scores, labels), [1, 0, 0])
    np.testing.assert_array_equal(recall(3)(scores, labels), [0.5, 0, 0])


NO_LABELS = [  # labels that are none, for scores (n, 3) or (n,), and what is said of them
    (np.array([1, 2, 3]), 3, r"labels must be in \[0, 3\), got 3; 3 classes counted from 1: write labels - 1"),
    pytest.param(np.array([0, -1, 2]), 3, r"labels must be in \[0, 3\), got -1", marks=pytest.mark.nightly),
    (np.array([0, 2, 1]), 0, r"labels must be in \{0, 1\} or \{-1, \+1\}, got 2"),
    pytest.param(
        np.array([0.0, 0.7, 1.0]), 0, r"labels must be in \{0, 1\} or \{-1, \+1\}, got 0.7", marks=pytest.mark.nightly
    ),
]


@pytest.mark.parametrize("labels, count, message", NO_LABELS)
def test_labels_that_are_none_are_loud(labels, count, message):
    """A ValueError where they are concrete, NaN where they are traced, and nothing where their row weighs 0."""
    scores = np.eye(3, dtype=np.float32) if count else np.array([1.0, -2.0, 3.0], np.float32)
    wrong = (labels >= 3) | (labels < 0) if count else (labels != 0) & (labels != 1)
    metrics = [
        accuracy,
        confusion_counts(count or 2),
        recall(count or 2),
        *([top_k_accuracy(2)] if count else [roc_auc]),
    ]
    for metric in metrics:
        with pytest.raises(ValueError, match=f"(correct|in_top_k|confusion_counts|roc_auc): {message}"):
            metric(scores, labels)
        assert np.all(np.isnan(jax.jit(metric)(scores, labels)))
        assert metric is roc_auc or np.all(np.isfinite(metric(scores, labels, ~wrong)))
    with pytest.raises(ValueError, match=f"correct: {message}"):
        correct(scores, labels)
    np.testing.assert_array_equal(np.isnan(jax.jit(correct)(scores, labels)), wrong)


def test_labels_of_two_kinds_at_once_are_refused():
    with pytest.raises(ValueError, match=r"roc_auc: labels must be in \{0, 1\} or \{-1, \+1\}, got -1, 0, 1"):
        roc_auc(np.array([0.1, 0.2, 0.3]), np.array([-1, 0, 1]))


@pytest.mark.parametrize("classes", [pytest.param(2, marks=pytest.mark.nightly), 40])
def test_counts_of_many_rows_do_not_stop(classes):
    """Of weights that float32 cannot add one by one: 0.1 to 20,000, 1 to 2^24."""
    rows = 60_000
    scores = np.zeros((rows, classes), np.float32)
    scores[:, 1] = 1
    labels = np.ones(rows, np.int32)
    count = jax.jit(confusion_counts(classes))
    np.testing.assert_allclose(count(scores, labels, np.full(rows, 0.1, np.float32))[1, 1], 0.1 * rows, rtol=1e-5)
    first = np.where(np.arange(rows) == 0, 2.0**24, 1).astype(np.float32)
    np.testing.assert_allclose(count(scores, labels, first)[1, 1] - 2.0**24, rows, rtol=5e-3)
    chunks = confusion_counts(classes).result(jnp.full((1000, classes, classes), 0.1))
    np.testing.assert_allclose(chunks, 100, rtol=1e-6)


def test_the_first_of_the_best_is_the_prediction():
    """Also where zeros differ in sign, and among infinities."""
    values = np.array([0.0, -0.0, -np.inf, np.inf, 1.0, -1.0], np.float32)
    scores = np.stack(np.meshgrid(values, values, values), axis=-1).reshape(-1, 3)
    labels = np.tile(np.arange(3, dtype=np.int32), len(scores) // 3)
    np.testing.assert_array_equal(jax.jit(in_top_k, static_argnums=2)(scores, labels, 1), correct(scores, labels))
    order = np.argsort(-scores, axis=1, kind="stable")
    expected = (order[:, :2] == labels[:, None]).any(axis=1)
    np.testing.assert_array_equal(jax.jit(in_top_k, static_argnums=2)(scores, labels, 2), expected)


@pytest.mark.parametrize("size", [2e38, 1e-40, 1e-300])
@pytest.mark.parametrize("name", ["accuracy", "r2", "precision", "roc_auc", "mean_squared_error"])
def test_only_the_ratios_of_weights_count(name, size):
    prediction, target = draw(name)
    weight = draw_weight().astype(float) / 2
    usual = jit_metric(name)(prediction, target, draw_weight())
    np.testing.assert_allclose(INSTANCES[name](prediction, target, size * weight), usual, rtol=1e-5)
    if size == 2e38:
        traced = jit_metric(name)(prediction, target, (size * weight).astype(np.float32))
        np.testing.assert_allclose(traced, usual, rtol=1e-5)


def test_negative_weights_have_no_meaning():
    scores, labels = np.array([1.0, -1.0], np.float32), np.array([1, 1])
    with pytest.raises(ValueError, match=r"metric: weight must be in \[0, inf\), got -1"):
        accuracy(scores, labels, np.array([1.0, -1.0]))
    assert np.isnan(jax.jit(accuracy)(scores, labels, jnp.array([1.0, -1.0])))


@pytest.mark.parametrize(
    "unit, offset",
    [*(pytest.param(x, 0, marks=pytest.mark.nightly) for x in (1e-25, 1e21)), (3e-22, 5e-22), (1e36, -2e36)],
)
def test_r2_knows_no_unit(unit, offset):
    rng = np.random.default_rng(8)
    target = rng.normal(size=N)
    prediction = target + 0.3 * rng.normal(size=N)
    truth = sklearn.metrics.r2_score(target, prediction, sample_weight=draw_weight())
    data = [(offset + unit * x).astype(np.float32) for x in (prediction, target)]
    np.testing.assert_allclose(jit_metric("r2")(*data, draw_weight()), truth, rtol=1e-4)
    assert np.isnan(r2(*(each[:0] for each in data)))
    np.testing.assert_allclose(jax.jit(in_four)(*data, draw_weight()), truth, rtol=1e-4)
    far = jit_metric("r2")(data[0] + np.float32(100 * unit), data[1], np.ones(N, np.float32))
    worse = sklearn.metrics.r2_score(target, prediction + 100)
    np.testing.assert_allclose(far, worse, rtol=1e-3)


def test_16_bits_are_widened_before_they_are_squared():
    prediction, target = np.array([300.0, -250.0], np.float16), np.array([0.0, 250.0], np.float16)
    assert mean_squared_error(prediction, target) == (300**2 + 500**2) / 2
    truth = sklearn.metrics.r2_score(target.astype(float), prediction.astype(float))
    np.testing.assert_allclose(r2(prediction, target), truth, rtol=1e-6)


def test_complex_targets():
    rng = np.random.default_rng(1)
    target = rng.normal(size=N) + 1j * rng.normal(size=N)
    prediction = target + 0.2j
    spread = np.sum(np.abs(target - target.mean()) ** 2)
    np.testing.assert_allclose(r2(prediction, target), 1 - N * 0.04 / spread, rtol=1e-5)
    np.testing.assert_allclose(mean_squared_error(prediction, target), 0.04, rtol=1e-5)


def in_four(*data):
    """r2 over four chunks."""
    return r2.result(jax.vmap(r2.measure)(*(x.reshape(4, -1) for x in data)))


@pytest.mark.parametrize("value", [0.1, 1e6])
def test_r2_of_a_constant_target(value):
    """As scikit-learn: 1 for the exact prediction, 0 for any other, over chunks too."""
    target, weight = np.full(N, value, np.float32), draw_weight()
    for error, expected in ((0, 1), (1, 0)):
        data = target + error, target, weight
        assert sklearn.metrics.r2_score(target, target + error) == expected
        assert jit_metric("r2")(*data) == expected
        assert jax.jit(in_four)(*data) == expected


def test_r2_of_a_large_mean_does_not_cancel():
    """A mean of 1e6 and a deviation of 4: sums of squares in float32 would leave nothing."""
    rng = np.random.default_rng(0)
    target = (1e6 + 4 * rng.normal(size=1024)).astype(np.float32)
    prediction = target + rng.normal(size=1024).astype(np.float32)
    truth = sklearn.metrics.r2_score(target.astype(float), prediction.astype(float))
    np.testing.assert_allclose(jit_metric("r2")(prediction, target), truth, rtol=1e-5)
    chunked = jax.jit(in_four)(prediction, target, np.ones(1024, np.float32))
    np.testing.assert_allclose(chunked, truth, rtol=1e-4)


def test_r2_of_several_outputs_is_their_mean():
    rng = np.random.default_rng(0)
    target = rng.normal(size=(N, 2)).astype(np.float32) * [1, 10]
    prediction = target + rng.normal(size=(N, 2))
    truth = sklearn.metrics.r2_score(target, prediction, sample_weight=draw_weight())
    np.testing.assert_allclose(r2(prediction, target, draw_weight()), truth, rtol=1e-5)


@pytest.mark.parametrize("negative", [0, -1])
@pytest.mark.parametrize("ties", [True, False])
def test_roc_auc_takes_both_kinds_of_labels(negative, ties):
    scores, labels = draw("roc_auc", seed=5, ties=ties)
    ours = jit_metric("roc_auc")(scores, np.where(labels == 1, 1, negative), draw_weight())
    truth = sklearn.metrics.roc_auc_score(labels, scores, sample_weight=draw_weight())
    np.testing.assert_allclose(ours, truth, rtol=1e-6)


def test_roc_auc_corners():
    labels = np.array([0, 1])
    assert roc_auc(np.array([0.0, -0.0]), labels) == 0.5
    assert roc_auc(np.array([-np.inf, np.inf]), labels) == 1
    assert roc_auc(np.array([7, 3]), labels) == 0
    assert np.isnan(roc_auc(np.array([0.0, 1.0]), np.array([1, 1])))


def test_float64_is_computed_in_float64():
    with jax.enable_x64(True):
        for name in ("mean_squared_error", "r2", "roc_auc", "perplexity", "precision"):
            prediction, target = (x.astype(np.float64) if x.dtype == np.float32 else x for x in draw(name))
            value = jit_metric(name)(prediction, target, draw_weight())
            assert value.dtype == jnp.float64
            np.testing.assert_allclose(value, SKLEARN[name](prediction, target, draw_weight()), rtol=1e-9)


class Identity:
    @staticmethod
    def apply(params, x, key=None):
        return params * x


def test_per_example_averages_what_a_metric_measures():
    """The metric dict of a loss and a Metric over the same rows agree."""
    scores, labels = draw("accuracy")
    measured = {"accuracy": correct, "error": zero_one}
    loss = jax.jit(per_example(supervised(Identity(), softmax_cross_entropy_with_integer_labels, measured)))
    value, metrics = loss(1.0, (scores, labels), mask=draw_weight())
    names = ("perplexity", "accuracy", "zero_one_error")
    expected = [jit_metric(name)(scores, labels, draw_weight()) for name in names]
    np.testing.assert_allclose([np.exp(value), metrics["accuracy"], metrics["error"]], expected, rtol=1e-5)


def test_regression_metrics_take_integers():
    assert mean_squared_error(np.array([1, 2]), np.array([1, 4])) == 2
    assert mean(absolute_error)(np.array([1, 2]), np.array([1, 4])) == 1


def test_classes_of_eight_bits():
    scores = np.random.default_rng(0).normal(size=(50, 200))
    labels = np.arange(50) % 128
    for metric in (accuracy, top_k_accuracy(9), recall(200), perplexity):
        found = [metric(scores, labels.astype(dtype)) for dtype in (np.int8, np.int32)]
        np.testing.assert_array_equal(*found)
