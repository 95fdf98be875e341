"""Laws of the losses over their catalogue, then what is particular to each; the lifts; the penalties."""

import dataclasses
import functools
import inspect
import itertools
import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from gdjax import backprop, laws, losses, metrics, programs, training
from gdjax.forms import as_loss
from gdjax.losses import (
    LOSSES,
    PerExample,
    bind,
    elastic,
    focal,
    hinge,
    huber,
    kl_divergence,
    l1,
    l2,
    log_cosh,
    per_example,
    perceptron,
    softmax_cross_entropy,
    softmax_cross_entropy_with_integer_labels,
    squared_error,
    stateful,
    supervised,
)
from gdjax.optimizers import sgd
from gdjax.search import fixed_step
from gdjax.solve import minimize

N, C = 12, 4
BY_CLASS = ("class", "distribution")


def draw(name, seed=0, n=N):
    """Predictions and labels that the loss takes: float32, or int32 classes."""
    entry, rng = LOSSES[name], np.random.default_rng(seed)
    scores = rng.normal(size=(n, C) if entry.labels in BY_CLASS else n).astype(np.float32)
    shares = rng.dirichlet(np.ones(C), size=n).astype(np.float32)
    labels = {
        "real": rng.normal(size=n).astype(np.float32),
        "binary": rng.integers(0, 2, size=n).astype(np.float32),
        "sign": (2 * rng.integers(0, 2, size=n) - 1).astype(np.float32),
        "class": rng.integers(0, C, size=n).astype(np.int32),
        "distribution": shares,
    }[entry.labels]
    squash = {
        "score": lambda x: x,
        "probability": lambda x: np.asarray(jax.nn.sigmoid(x)),
        "log_probability": lambda x: np.asarray(jax.nn.log_softmax(x)),
    }[entry.prediction]
    return squash(scores), labels


def perfect(name):
    """Labels, and the prediction that gets them right with the greatest confidence."""
    entry = LOSSES[name]
    _, labels = draw(name)
    one_hot = np.eye(C, dtype=np.float32)[np.arange(N) % C]
    if entry.labels == "distribution":
        labels = one_hot
    elif entry.labels == "class":
        labels = (np.arange(N) % C).astype(np.int32)
    sure = one_hot if entry.labels in BY_CLASS else labels
    if entry.prediction == "log_probability":
        return np.where(sure > 0, 0, -np.inf).astype(np.float32), labels
    if entry.prediction == "score" and entry.labels != "real":
        return (200 * sure - 100 * (entry.labels == "binary")).astype(np.float32), labels
    return sure, labels


def smooth(logits, labels, a):
    return softmax_cross_entropy_with_integer_labels(logits, labels, label_smoothing=a)


def smooth_shares(logits, labels, a):
    return softmax_cross_entropy(logits, labels, label_smoothing=a)


each_loss = pytest.mark.parametrize("name", LOSSES)


@functools.cache
def jit_loss(name):
    return jax.jit(LOSSES[name].function)


@functools.cache
def jit_total(name):
    """The sum over a batch and its gradient by the prediction."""
    return jax.jit(jax.value_and_grad(lambda prediction, labels: jnp.sum(LOSSES[name].function(prediction, labels))))


@functools.cache
def jit_rows(name):
    """Value and gradient by the prediction of each row."""
    return jax.jit(jax.vmap(jax.value_and_grad(LOSSES[name].function)))


# Laws.


@each_loss
@pytest.mark.parametrize("seed", range(3))
def test_never_negative(name, seed):
    assert np.all(jit_loss(name)(*draw(name, seed)) >= 0)


@each_loss
def test_zero_at_perfection(name):
    np.testing.assert_array_less(jit_loss(name)(*perfect(name)), 1e-6)


def kinds():
    """Names of losses, nightly those whose labels and predictions are of a kind that one has had."""
    seen = set()
    for name, entry in LOSSES.items():
        kind = entry.labels, entry.prediction
        yield pytest.param(name, marks=[pytest.mark.nightly] * (kind in seen))
        seen.add(kind)


@pytest.mark.parametrize("name", [*kinds()])
def test_the_laws_of_losses_hold(name):
    laws.check_loss(LOSSES[name].function, *draw(name, seed=1, n=3))


@each_loss
def test_leading_axes_are_free(name):
    prediction, labels = draw(name)
    folded = jit_loss(name)(*(x.reshape(3, N // 3, *x.shape[1:]) for x in (prediction, labels)))
    np.testing.assert_allclose(folded.reshape(N), jit_loss(name)(prediction, labels), rtol=1e-5, atol=1e-6)
    alone = jit_loss(name)(prediction[0], labels[0])
    np.testing.assert_allclose(alone, folded[0, 0], rtol=1e-5, atol=1e-6)


UNSHIFTABLE = {
    "negative_log_likelihood": "its predictions are logarithms of probabilities already",
    "kl_divergence": "its predictions are logarithms of probabilities already",
}


@each_loss
def test_class_scores_count_only_by_their_differences(name):
    if LOSSES[name].labels not in BY_CLASS or name in UNSHIFTABLE:
        return
    prediction, labels = draw(name)
    shifted = jit_loss(name)(prediction + 8 * np.arange(N, dtype=np.float32)[:, None], labels)
    np.testing.assert_allclose(shifted, jit_loss(name)(prediction, labels), rtol=1e-4)


@each_loss
def test_shapes_that_would_broadcast_raise(name):
    prediction, labels = draw(name)
    wide = labels[..., None] if LOSSES[name].labels != "distribution" else labels[:1]
    for wrong in (wide, labels[:-1]):
        with pytest.raises(ValueError, match=name) as error:
            LOSSES[name].function(prediction, wrong)
        assert str(prediction.shape) in str(error.value) and str(wrong.shape) in str(error.value)


@each_loss
def test_finite_far_out(name):
    """Scores of a million, probabilities of exactly 0 and 1: value and gradient stay finite in float32."""
    prediction, labels = draw(name, seed=3)
    if LOSSES[name].prediction == "log_probability":
        prediction = np.asarray(jax.nn.log_softmax(1e6 * prediction))
    elif LOSSES[name].prediction == "probability":
        prediction = np.round(prediction)
    else:
        prediction = 1e6 * prediction
    chex.assert_tree_all_finite(jit_total(name)(prediction, labels))


@each_loss
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_keeps_the_dtype(name, dtype):
    prediction, labels = (jnp.asarray(x) for x in draw(name))
    labels = labels if LOSSES[name].labels == "class" else labels.astype(dtype)
    assert jax.eval_shape(LOSSES[name].function, prediction.astype(dtype), labels).dtype == dtype


SIGNED, FROM_ONE = np.where(np.arange(N) % 3, 1.0, -1.0).astype(np.float32), (np.arange(N) % C + 1).astype(np.int32)
OUTSIDE = {  # of labels, or of predictions: what is not in the domain of the loss, and what is said of it
    "binary": [
        (SIGNED, r"labels must be in \[0, 1\], got -1; of labels -1 and \+1 write \(labels \+ 1\) / 2"),
        (SIGNED + 2, r"labels must be in \[0, 1\], got 3"),
        (np.full(N, np.nan, np.float32), r"labels must be in \[0, 1\], got nan"),
    ],
    "sign": [
        ((SIGNED + 1) / 2, r"labels must be in \{-1, \+1\}, got 0; of labels 0 and 1 write 2 \* labels - 1"),
        (2 * SIGNED, r"labels must be in \{-1, \+1\}, got -2, 2"),
    ],
    "class": [
        (FROM_ONE, r"labels must be in \[0, 4\), got 4; 4 classes counted from 1: write labels - 1"),
        (FROM_ONE - 2, r"labels must be in \[0, 4\), got -1$"),
        (FROM_ONE.astype(np.int64) + 2**32, r"labels must be in \[0, 4\), got 4\.29497e\+09"),
    ],
    "distribution": [
        (np.eye(N, C, -8, dtype=np.float32), r"must be in the distributions .* got \[0. 0. 0. 0.\]"),
        (
            np.tile(np.float32([1.5, -0.5, 0, 0]), (N, 1)),
            r"must be in the distributions .* got \[ 1.5 -0.5  0.   0. \]",
        ),
    ],
    "probability": [
        (np.full(N, 1.2, np.float32), r"probabilities must be in \[0, 1\], got 1.2; of scores"),
        (np.full(N, -0.1, np.float32), r"probabilities must be in \[0, 1\], got -0.1"),
    ],
    "log_probability": [(np.full((N, C), 0.5, np.float32), r"must be in \(-inf, 0\], got \[0.5.*; take log_softmax")],
    "real": [],
    "score": [],
}


def is_refused(loss, prediction, labels):
    try:
        loss(prediction, labels)
    except ValueError:
        return True
    return False


@each_loss
def test_what_a_loss_is_not_defined_for_is_loud(name):
    """A ValueError where it is concrete; traced NaN, in value and gradient, of that row and of no other."""
    entry = LOSSES[name]
    prediction, labels = draw(name)
    cases = [(prediction, wrong, message) for wrong, message in OUTSIDE[entry.labels]]
    cases += [(wrong, labels, message) for wrong, message in OUTSIDE[entry.prediction]]
    for wrong_prediction, wrong_labels, message in cases:
        with pytest.raises(ValueError, match=f"{name}: .*{message}"):
            entry.function(wrong_prediction, wrong_labels)
        if wrong_labels.dtype == np.int64:  # wraps in an array of JAX
            continue
        row = next(i for i in range(N) if is_refused(entry.function, wrong_prediction[i], wrong_labels[i]))
        mixed = prediction.copy(), labels.copy()
        mixed[0][row], mixed[1][row] = wrong_prediction[row], wrong_labels[row]
        values, slopes = jit_rows(name)(*mixed)
        good = np.arange(N) != row
        assert np.isnan(values[row]) and np.any(np.isnan(slopes[row]))
        assert np.all(np.isfinite(values[good])) and np.all(np.isfinite(slopes[good]))
    if entry.labels == "class":
        with pytest.raises(TypeError, match=f"{name}: labels must be integers, got float32"):
            entry.function(prediction, labels.astype(np.float32))


def test_a_probability_beyond_1_by_rounding_is_1():
    assert losses.binary_cross_entropy(np.float32(1 + 1.2e-7), 1) == 0
    assert losses.negative_log_likelihood(np.float32([1e-7, -30]), 0) == pytest.approx(0, abs=1e-6)


def test_the_catalogue_is_complete():
    """Every public loss of ours is in it, or one of the names that Optax has beside."""
    rooms = losses.regression, losses.binary, losses.classes, losses.distributions
    public = {
        name: value
        for room in rooms
        for name, value in vars(room).items()
        if inspect.isfunction(value) and value.__module__ == room.__name__ and not name.startswith("_")
    }
    assert set(LOSSES) <= set(public) <= set(LOSSES) | set(vars(optax.losses))
    assert all(getattr(losses, name) is public[name] for name in public)
    assert all(entry.function.__name__ == name for name, entry in LOSSES.items())
    assert {name for name, entry in LOSSES.items() if entry.task == "regression"} == {
        "squared_error", "half_squared_error", "absolute_error", "huber", "log_cosh"
    }  # fmt: skip


# Against others.

OPTAX = {
    "squared_error": optax.losses.squared_error,
    "half_squared_error": optax.losses.l2_loss,
    "huber": optax.losses.huber_loss,
    "log_cosh": optax.losses.log_cosh,
    "binary_cross_entropy_from_logits": optax.losses.sigmoid_binary_cross_entropy,
    "focal": optax.losses.sigmoid_focal_loss,
    "hinge": optax.losses.hinge_loss,
    "perceptron": optax.losses.perceptron_loss,
    "softmax_cross_entropy_with_integer_labels": optax.losses.softmax_cross_entropy_with_integer_labels,
    "softmax_cross_entropy": optax.losses.softmax_cross_entropy,
    "multiclass_hinge": optax.losses.multiclass_hinge_loss,
    "multiclass_perceptron_loss": optax.losses.multiclass_perceptron_loss,
    "poly_loss_cross_entropy": optax.losses.poly_loss_cross_entropy,
    "kl_divergence": optax.losses.kl_divergence,
}
NUMPY = {
    "absolute_error": lambda p, y: np.abs(p - y),
    "squared_hinge": lambda s, y: np.maximum(0, 1 - s * y) ** 2,
    "binary_cross_entropy": lambda p, y: -np.log(np.where(y == 1, p, 1 - p)),
    "negative_log_likelihood": lambda log_p, y: -log_p[np.arange(len(y)), y],
}


@each_loss
def test_equals_optax_or_numpy(name):
    prediction, labels = draw(name, seed=4)
    theirs = jax.jit(OPTAX[name]) if name in OPTAX else NUMPY[name]
    ours = jit_loss(name)(prediction, labels)
    np.testing.assert_allclose(ours, theirs(prediction, labels), rtol=1e-5, atol=1e-6)


RNG = np.random.default_rng(5)
LOGITS = RNG.normal(size=(3, 4, 5))
NUMBERS, SIGNS = RNG.integers(0, 5, size=(3, 4)), RNG.choice([-1.0, 1.0], size=(3, 4, 5))
SHARES = {axis: np.exp(LOGITS[::-1]) / np.exp(LOGITS[::-1]).sum(axis, keepdims=True) for axis in (-1, 1, (0, 2))}
LOGS = {axis: np.asarray(LOGITS - np.log(np.exp(LOGITS).sum(axis, keepdims=True))) for axis in (-1, 1, (0, 2))}
MASK = RNG.random((3, 4, 5)) < 0.7
MASK[1, 2] = False  # a row of nothing
MASK[:, :, 0] |= np.arange(12).reshape(3, 4) % 2 > 0
ROWS = MASK[..., 0]
KEPT = np.where(MASK[np.arange(3)[:, None], np.arange(4), NUMBERS], NUMBERS, MASK.argmax(-1))  # a class that is there
FLAT = RNG.integers(0, 15, size=4)
SAME = [  # name, arguments and keywords of a call whose value and gradient are Optax's
    ("squared_error", (LOGITS, LOGITS[::-1]), {}),
    ("squared_error", (LOGITS,), {}),
    ("l2_loss", (LOGITS,), {"targets": LOGITS[::-1]}),
    ("huber_loss", (LOGITS, LOGITS[::-1]), {"delta": 0.7}),
    ("huber_loss", (LOGITS,), {}),
    ("log_cosh", (LOGITS,), {}),
    ("cosine_similarity", (LOGITS, LOGITS[::-1]), {}),
    ("cosine_similarity", (LOGITS, LOGITS[::-1]), {"axis": (0, 2), "where": MASK, "epsilon": 1.5}),
    ("cosine_distance", (LOGITS, LOGITS[::-1]), {"axis": 1, "where": np.arange(20).reshape(4, 5) % 3 > 0}),
    ("sigmoid_binary_cross_entropy", (LOGITS, SHARES[-1]), {}),
    ("sigmoid_focal_loss", (LOGITS, SHARES[-1]), {"alpha": 0.3, "gamma": 1.4}),
    ("hinge_loss", (LOGITS, SIGNS), {}),
    ("perceptron_loss", (LOGITS, SIGNS), {}),
    ("softmax_cross_entropy", (LOGITS, SHARES[-1]), {}),
    ("softmax_cross_entropy", (LOGITS, SHARES[1], 1), {}),
    ("softmax_cross_entropy", (LOGITS, SHARES[0, 2]), {"axis": (0, 2)}),
    ("softmax_cross_entropy", (LOGITS, SHARES[-1], -1, MASK | ~ROWS[..., None]), {}),
    ("softmax_cross_entropy", (LOGITS, SHARES[-1]), {"where": ROWS}),
    ("safe_softmax_cross_entropy", (LOGITS, np.eye(5)[NUMBERS]), {}),
    ("poly_loss_cross_entropy", (LOGITS, SHARES[1]), {"axis": 1, "epsilon": 0.8}),
    ("poly_loss_cross_entropy", (LOGITS, SHARES[-1]), {"where": MASK | ~ROWS[..., None]}),
    ("softmax_cross_entropy_with_integer_labels", (LOGITS, NUMBERS), {}),
    ("softmax_cross_entropy_with_integer_labels", (LOGITS, NUMBERS[:, :1].repeat(5, 1) % 4, -2), {}),
    ("softmax_cross_entropy_with_integer_labels", (LOGITS, FLAT), {"axis": (0, 2)}),
    ("softmax_cross_entropy_with_integer_labels", (LOGITS, FLAT), {"axis": (2, 0)}),
    ("softmax_cross_entropy_with_integer_labels", (LOGITS, KEPT, -1, MASK), {}),
    ("multiclass_hinge_loss", (LOGITS, NUMBERS), {}),
    ("multiclass_perceptron_loss", (LOGITS, NUMBERS), {}),
    ("kl_divergence", (LOGS[-1], SHARES[-1]), {"where": MASK}),
    ("kl_divergence", (LOGS[1], SHARES[1], 1), {}),
    ("kl_divergence_with_log_targets", (LOGS[0, 2], LOGS[0, 2][:, ::-1]), {"axis": (0, 2)}),
    ("kl_divergence_with_log_targets", (LOGS[-1], LOGS[-1][::-1]), {"where": MASK}),
    ("generalized_kl_divergence", (LOGITS, np.exp(LOGITS[::-1])), {"axis": None, "where": MASK}),
    ("smooth_labels", (SHARES[-1], 0.3), {"where": MASK | ~ROWS[..., None]}),
    ("smooth_labels", (SHARES[1], 0.3), {"axis": 1}),
]


LAST = {case[0]: i for i, case in enumerate(SAME)}  # of each name, with its axes and masks; the others are nightly


@pytest.mark.parametrize(
    ("name", "arguments", "keywords"),
    [pytest.param(*x, marks=[pytest.mark.nightly] * (i not in LAST.values())) for i, x in enumerate(SAME)],
    ids=[f"{i}-{case[0]}" for i, case in enumerate(SAME)],
)
def test_optax_names_take_the_arguments_of_optax(name, arguments, keywords):
    """Value and gradient, with axes and masks; a row of which nothing is left is 0."""
    ours, theirs = getattr(losses, name), getattr(optax.losses, name)
    with jax.enable_x64(True):
        arguments = tuple(jnp.asarray(x) if np.ndim(x) else x for x in arguments)
        keywords = {key: jnp.asarray(x) if np.ndim(x) and key == "where" else x for key, x in keywords.items()}

        names = list(inspect.signature(theirs).parameters)[: len(arguments)]
        assert list(inspect.signature(ours).parameters)[: len(arguments)] == names

        @jax.jit
        def both(x):
            found = []
            for loss in (ours, theirs):

                def by_name(x, loss=loss):
                    return loss(**dict(zip(names, (x, *arguments[1:]), strict=True)), **keywords)

                value, pull = jax.vjp(by_name, x)
                found.append((value, *pull(jnp.ones_like(value))))
            return found

        for got, right in zip(*both(arguments[0]), strict=True):
            np.testing.assert_allclose(got, right, rtol=1e-10, atol=1e-14)


MASKED = ["softmax_cross_entropy", "softmax_cross_entropy_with_integer_labels", "poly_loss_cross_entropy"]
MASKED += ["safe_softmax_cross_entropy", "negative_log_likelihood", "multiclass_hinge", "multiclass_perceptron_loss"]
MASKED += ["kl_divergence", "kl_divergence_with_log_targets", "generalized_kl_divergence", "cosine_distance"]


@pytest.mark.parametrize("name", MASKED)
def test_what_a_mask_leaves_out_is_not_there(name):
    """Whatever stands there, labels included, value and gradient are those of the rest, and 0 where there is no rest.

    Along the last axis and along the first.
    """
    rng, loss = np.random.default_rng(8), getattr(losses, name)
    shares = np.log(rng.dirichlet(np.ones(3), size=6)), rng.dirichlet(np.ones(3), size=6)
    whole = name in ("softmax_cross_entropy_with_integer_labels", *(n for n in LOSSES if LOSSES[n].labels == "class"))
    numbers = np.array([2, 0, 1, 1, 2, 0])
    labels = numbers if whole else np.log(shares[1]) if name.endswith("log_targets") else shares[1]
    kept = np.array([0, 1, 3])  # of 5 classes; the last two rows are left out as a whole
    x, mask = rng.choice([np.nan, np.inf, -np.inf, 7.0], size=(6, 5)), np.zeros((6, 5), bool)
    x[:, kept], mask[:4, kept] = shares[0], True
    if whole:
        y = kept[labels]
        y[4:] = -1, 99
    else:
        y = rng.choice([np.nan, -3.0, 0.7], size=(6, 5))
        y[:, kept] = labels
    x[4:] = np.nan

    def with_mask(axis, x):
        turn = lambda a: a if a.ndim < 2 or axis == -1 else a.T  # noqa: E731
        return loss(turn(x), turn(jnp.asarray(y)), axis=axis, where=turn(jnp.asarray(mask)))

    @jax.jit
    def all_of(x, z):
        rest = lambda z: loss(z, labels[:4])  # noqa: E731
        pairs = [
            jax.vjp(functools.partial(with_mask, -1), x),
            jax.vjp(functools.partial(with_mask, 0), x),
            jax.vjp(rest, z),
        ]
        return [(value, pull(jnp.ones_like(value))[0]) for value, pull in pairs]

    with jax.enable_x64(True):
        *found, (expected, right) = all_of(x, shares[0][:4])
        for value, slope in found:
            np.testing.assert_allclose(value, [*expected, 0, 0], rtol=1e-12)
            np.testing.assert_allclose(slope[:4, kept], right, rtol=1e-9, atol=1e-12)
            np.testing.assert_array_equal(slope[~mask], 0)


def test_smoothing_counts_the_classes_that_there_are():
    logits, mask = np.array([0.3, -1.0, 2.0, 0.5]), np.array([True, False, True, True])
    rest = logits[mask]
    for loss, label, rest_label in (
        (softmax_cross_entropy_with_integer_labels, 2, 1),
        (softmax_cross_entropy, np.array([0.2, 0, 0.5, 0.3]), np.array([0.2, 0.5, 0.3])),
    ):
        got = loss(logits, label, where=mask, label_smoothing=0.3)
        np.testing.assert_allclose(got, loss(rest, rest_label, label_smoothing=0.3), rtol=1e-6)


def test_a_label_that_is_left_out_is_impossible():
    mask = np.array([True, False, True])
    for loss in (softmax_cross_entropy_with_integer_labels, losses.multiclass_hinge, losses.multiclass_perceptron_loss):
        assert loss(np.array([0.1, 0.4, 0.2]), 1, where=mask) == np.inf


def test_axes_and_masks_that_do_not_fit_are_refused():
    logits, labels = np.zeros((2, 3)), np.full((2, 3), 1 / 3)
    for axis in (2, -3, (0, 0), (0, -2), (1, 5)):
        with pytest.raises(ValueError, match=r"softmax_cross_entropy: axis must be of the 2 axes of .*\(2, 3\), got"):
            softmax_cross_entropy(logits, labels, axis)
    for loss in (softmax_cross_entropy, losses.kl_divergence):
        with pytest.raises(ValueError, match=rf"{loss.__name__}: where must have .* \(2, 3\) of log.*, got \(4,\)"):
            loss(logits - np.log(3), labels, where=np.ones(4, bool))
    with pytest.raises(ValueError, match=r"labels \(...\) and logits .* got \(2,\) and \(2, 3\)"):
        softmax_cross_entropy_with_integer_labels(logits, np.array([0, 1]), axis=0)


def test_each_cross_entropy_knows_the_labels_of_the_other():
    logits, numbers = np.zeros((2, 3)), np.array([0, 2])
    with pytest.raises(
        ValueError, match=r"\(2,\) beside .* \(2, 3\); .* write softmax_cross_entropy_with_integer_labels"
    ):
        softmax_cross_entropy(logits, numbers)
    with pytest.raises(TypeError, match=r"must be integers, got float.*; of shares write softmax_cross_entropy$"):
        softmax_cross_entropy_with_integer_labels(logits, np.eye(3)[numbers])


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_angles_have_no_scale(size):
    a, b = np.array([3.0, -4.0, 1.0]), np.array([1.0, 2.0, 2.0])
    cosine = a @ b / np.sqrt((a @ a) * (b @ b))
    of = jax.jit(jax.value_and_grad(losses.cosine_similarity))
    value, slope = of(jnp.float32(size * a), jnp.float32(b / size))
    np.testing.assert_allclose(value, cosine, rtol=1e-6)
    np.testing.assert_allclose(slope * size, b / np.sqrt((a @ a) * (b @ b)) - cosine * a / (a @ a), rtol=1e-5)
    assert np.isnan(of(jnp.float32(0 * a), jnp.float32(b))[0])


def test_an_angle_with_an_epsilon_is_of_longer_vectors():
    b = np.array([1.0, 2.0, 2.0])
    value, slope = jax.jit(jax.value_and_grad(bind(losses.cosine_similarity, epsilon=0.25)))(np.zeros(3), b)
    assert value == 0
    np.testing.assert_allclose(slope, b / 3 / 0.5, rtol=1e-6)


SKLEARN = {
    "binary_cross_entropy": lambda p, y: sklearn.metrics.log_loss(y, p),
    "hinge": lambda s, y: sklearn.metrics.hinge_loss(y, s),
    "multiclass_hinge": lambda s, y: sklearn.metrics.hinge_loss(y, s, labels=range(C)),
    "squared_error": lambda p, y: sklearn.metrics.mean_squared_error(y, p),
}


@pytest.mark.parametrize("name", SKLEARN)
def test_means_equal_scikit_learn(name):
    prediction, labels = draw(name)
    np.testing.assert_allclose(jit_loss(name)(prediction, labels).mean(), SKLEARN[name](prediction, labels), rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_label_smoothing(smoothing):
    logits, labels = draw("softmax_cross_entropy_with_integer_labels")
    one_hot = np.eye(C, dtype=np.float32)[labels]
    theirs = optax.losses.softmax_cross_entropy(logits, optax.losses.smooth_labels(one_hot, smoothing))
    np.testing.assert_allclose(smooth(logits, labels, smoothing), theirs, rtol=1e-5)
    np.testing.assert_allclose(smooth_shares(logits, one_hot, smoothing), theirs, rtol=1e-5)
    traced = jax.jit(smooth)(logits, labels, jnp.float32(smoothing))
    np.testing.assert_allclose(traced, theirs, rtol=1e-5)


def test_arguments_out_of_range_raise():
    logits, labels = draw("softmax_cross_entropy_with_integer_labels")
    with pytest.raises(
        ValueError, match=r"softmax_cross_entropy_with_integer_labels: label_smoothing .* \[0, 1\], got 2"
    ):
        smooth(logits, labels, 2.0)
    with pytest.raises(ValueError, match=r"huber: delta must be in \(0, inf\), got 0"):
        huber(1.0, 0.0, delta=0)
    with pytest.raises(ValueError, match=r"focal: gamma must be in \[0, inf\), got -1"):
        focal(1.0, 1, gamma=-1)


# What is particular.


def test_huber_clips_the_gradient_and_keeps_the_curvature_at_0():
    slope = jax.jit(jax.grad(lambda e: huber(e, 0.0, 2.0)))
    np.testing.assert_array_equal(jax.vmap(slope)(jnp.array([-5.0, -1.0, 0.0, 2.0, 3.0])), [-2, -1, 0, 2, 2])
    assert jax.jit(jax.grad(slope))(0.0) == 1


def test_log_cosh_is_exact_for_small_errors_and_finite_for_large():
    errors = np.array([1e-3, 1e-2, 0.5, 0.999, 1.0, 3.0, -3.0], np.float32)
    truth = np.log(np.cosh(errors.astype(np.longdouble))).astype(float)
    truth[:2] = errors[:2].astype(float) ** 2 / 2 - errors[:2].astype(float) ** 4 / 12
    np.testing.assert_allclose(log_cosh(errors, jnp.zeros(7)), truth, rtol=1e-6)
    assert log_cosh(1e6, 0.0) == pytest.approx(1e6)
    curvature = jax.jit(jax.vmap(jax.grad(jax.grad(lambda e: log_cosh(e, 0.0)))))(jnp.array([0.0, 1e6]))
    np.testing.assert_array_equal(curvature, [1, 0])


def test_logits_are_accurate_where_they_are_right():
    np.testing.assert_allclose(losses.binary_cross_entropy_from_logits(30.0, 1), np.exp(-30.0), rtol=1e-5)
    np.testing.assert_allclose(losses.binary_cross_entropy_from_logits(-30.0, 0), np.exp(-30.0), rtol=1e-5)


def test_probabilities_0_and_1_are_clipped_at_the_epsilon():
    p, y = jnp.array([0.0, 0.0, 1.0, 1.0]), jnp.array([0, 1, 0, 1])
    bound = -np.log(np.finfo(np.float32).eps)
    np.testing.assert_allclose(losses.binary_cross_entropy(p, y), [0, bound, bound, 0], rtol=1e-6)


def test_focal():
    z, y = draw("focal")
    plain = losses.binary_cross_entropy_from_logits(z, y)
    np.testing.assert_allclose(focal(z, y, gamma=0), plain, rtol=1e-5)
    np.testing.assert_allclose(focal(z, y, gamma=0, alpha=0.25), np.where(y, 0.25, 0.75) * plain, rtol=1e-5)
    assert np.all(focal(z, y, gamma=2.0) < plain)


def test_subgradients_at_the_kink():
    assert jax.grad(hinge)(1.0, 1.0) == 0
    assert jax.grad(perceptron)(0.0, 1.0) == -1
    assert jax.grad(losses.absolute_error)(2.0, 2.0) == 0


INF = np.inf
UNIFORM, HOT = np.full(3, 1 / 3), np.array([0.0, 1.0, 0.0])
EVERY_INPUT = {  # a loss, its arguments, and the directions from there (some lead out of a corner, one way only)
    "squared_error": (losses.squared_error, (1.7, -0.4), "pt"),
    "half_squared_error": (losses.half_squared_error, (1.7, -0.4), "pt"),
    "absolute_error": (losses.absolute_error, (1.7, -0.4), "pt"),
    "huber near": (losses.huber, (1.7, 1.4, 0.8), "ptd"),
    "huber far": (losses.huber, (-1.7, 1.4, 0.8), "ptd"),
    "log_cosh": (losses.log_cosh, (1.7, 1.4), "pt"),
    "logits": (losses.binary_cross_entropy_from_logits, (0.7, 0.0), "pt"),
    "logits soft": (losses.binary_cross_entropy_from_logits, (-2.7, 0.3), "pt"),
    "probabilities": (losses.binary_cross_entropy, (0.2, 0.0), "pt"),
    "focal": (losses.focal, (0.6, 0.0), "pt"),
    "focal soft": (losses.focal, (0.6, 0.3, 1.5, 0.2), "ptga"),
    "focal of a right answer": (losses.focal, (-1.6, 0.0, 0.0, 0.0), "ptga"),
    "hinge": (losses.hinge, (0.3, -1.0), "p"),
    "squared_hinge": (losses.squared_hinge, (0.3, -1.0), "p"),
    "perceptron": (losses.perceptron, (0.3, -1.0), "p"),
    "classes": (lambda z, a: smooth(z, 1, a), (np.array([0.2, -1.0, 0.7]), 0.0), "pa"),
    "classes alike": (lambda z, a: smooth(z, 1, a), (np.zeros(3), 0.0), "pa"),
    "one hot": (smooth_shares, (np.array([0.2, -1.0, 0.7]), HOT, 0.0), "pta"),
    "one hot smoothed": (smooth_shares, (np.array([0.2, -1.0, 0.7]), HOT, 0.3), "pta"),
    "likelihood": (lambda q: losses.negative_log_likelihood(q, 2), (np.array([-0.5, -2.0, -3.0]),), "p"),
    "multiclass": (lambda s: losses.multiclass_hinge(s, 2), (np.array([0.4, 0.1, 0.8]),), "p"),
    "divergence": (losses.kl_divergence, (np.log([0.2, 0.5, 0.3]), UNIFORM), "pt"),
}


@pytest.mark.parametrize("case", EVERY_INPUT)
def test_derivatives_by_every_argument_are_finite_differences(case):
    """By targets, smoothing and shape parameters too, one way where the argument is at the end of its range."""
    loss, arguments, names = EVERY_INPUT[case]
    with jax.enable_x64(True):
        where = tuple(range(len(names)))
        value_and_grads = jax.jit(jax.value_and_grad(loss, where))
        arguments = tuple(jnp.asarray(x, float) for x in arguments)
        value, grads = value_and_grads(*arguments)
        h = 1e-6
        for i in where:
            for j in range(arguments[i].size):

                def at(step):
                    moved = arguments[i].ravel().at[j].add(step).reshape(arguments[i].shape)  # noqa: B023
                    return value_and_grads(*arguments[:i], moved, *arguments[i + 1 :])[0]  # noqa: B023

                low = at(-h)
                corner = np.isnan(low) or (arguments[i].ravel()[j] == 0 and names[i] != "p")
                slope = (4 * at(h) - at(2 * h) - 3 * value) / (2 * h) if corner else (at(h) - low) / (2 * h)
                np.testing.assert_allclose(grads[i].ravel()[j], slope, rtol=1e-6, atol=1e-8, err_msg=f"{names[i]}[{j}]")


AT_INFINITY = [  # a loss, its arguments, its value and its gradient by the first of them
    (softmax_cross_entropy_with_integer_labels, ([INF, 0.3, 1], 0), 0, [0, 0, 0]),
    (softmax_cross_entropy_with_integer_labels, ([INF, 0.3, 1], 2), INF, [1, 0, -1]),
    (softmax_cross_entropy_with_integer_labels, ([-INF, 0, 0], 1), np.log(2), [0, -0.5, 0.5]),
    (softmax_cross_entropy_with_integer_labels, ([-INF, 0, 0], 0), INF, [-1, 0.5, 0.5]),
    (softmax_cross_entropy_with_integer_labels, ([INF, INF, 0], 0), np.nan, None),
    (smooth, ([INF, -INF, 1], 0, 0.0), 0, [0, 0, 0]),
    (smooth, ([INF, 0.3, 1], 0, 0.1), INF, None),
    (softmax_cross_entropy, ([2, INF, 0.5], [0, 1, 0]), 0, [0, 0, 0]),
    (softmax_cross_entropy, ([2, INF, 0.5], [0.5, 0.5, 0]), INF, [-0.5, 0.5, 0]),
    (losses.binary_cross_entropy_from_logits, (INF, 1), 0, 0),
    (losses.binary_cross_entropy_from_logits, (INF, 0), INF, 1),
    (losses.binary_cross_entropy_from_logits, (-INF, 0), 0, 0),
    (losses.binary_cross_entropy_from_logits, (-INF, 1), INF, -1),
    (losses.binary_cross_entropy_from_logits, (-INF, 0.25), INF, -0.25),
    (focal, (INF, 1), 0, 0),
    (focal, (-INF, 1), INF, -1),
    (focal, (-INF, 0, 0.5, 0.3), 0, 0),
    (focal, (INF, 0, 2.0, 0.3), INF, 0.7),
    (focal, (INF, 0, 2.0, 1.0), 0, 0),
    (losses.multiclass_hinge, ([INF, 0], 0), 0, [0, 0]),
    (losses.multiclass_hinge, ([INF, 0], 1), INF, [1, -1]),
    (losses.multiclass_hinge, ([-INF, 0, 2], 1), 3, [0, -1, 1]),
    (hinge, (INF, 1), 0, 0),
    (hinge, (-INF, 1), INF, -1),
    (perceptron, (INF, -1), INF, 1),
    (huber, (3e38, -3e38, 0.7), INF, 0.7),
    (huber, (-INF, 0, 2.0), INF, -2),
    (log_cosh, (-3e38, 3e38), INF, -1),
    (losses.absolute_error, (INF, 1), INF, 1),
]  # fmt: skip


def test_infinite_scores_have_the_limits():
    alike = itertools.groupby(AT_INFINITY, lambda case: (case[0], np.shape(case[1][0]), len(case[1])))
    groups = [list(cases) for _, cases in alike]
    inputs = [[np.stack(column) for column in zip(*(c[1] for c in cases), strict=True)] for cases in groups]
    inputs = [(first.astype(np.float32), *others) for first, *others in inputs]

    @jax.jit
    def all_of(inputs):
        found = []
        for cases, arguments in zip(groups, inputs, strict=True):
            loss = cases[0][0]
            found.append((jax.vmap(jax.value_and_grad(loss))(*arguments), jax.vmap(jax.jacfwd(loss))(*arguments)))
        return found

    for cases, ((values, slopes), forward) in zip(groups, all_of(inputs), strict=True):
        for i, (loss, inputs, value, slope) in enumerate(cases):
            case = f"{loss.__name__}{inputs}"
            np.testing.assert_allclose(values[i], np.float32(value), rtol=1e-6, err_msg=case)
            if slope is not None:
                np.testing.assert_allclose(slopes[i], slope, atol=1e-6, err_msg=case)
                np.testing.assert_allclose(forward[i], slope, atol=1e-6, err_msg=case)


def test_complex_errors_are_measured_by_their_modulus():
    prediction, target = jnp.array([3 + 4j, 0.1j, 2]), jnp.array([0, 0.1, 2 + 1j])
    size = np.abs(np.array([5, 0.1 * np.sqrt(2), 1]))
    expected = {
        "squared_error": size**2,
        "half_squared_error": size**2 / 2,
        "absolute_error": size,
        "huber": np.where(size <= 1, size**2 / 2, size - 0.5),
        "log_cosh": np.log(np.cosh(size)),
    }
    for name, value in expected.items():
        (got, slope), error = jit_rows(name)(prediction, target), np.asarray(prediction - target)
        assert got.dtype == jnp.float32
        np.testing.assert_allclose(got, value, rtol=1e-5)
        size_slope = np.real(np.conj(error) * np.conj(slope)) / size  # how the value grows along the error
        h = 1e-3
        grown = jit_loss(name)(target + error * (1 + h / size), target)
        np.testing.assert_allclose(size_slope, (grown - got) / h, rtol=0.02, atol=2e-3)
    for name in (
        "hinge",
        "softmax_cross_entropy_with_integer_labels",
        "kl_divergence",
        "binary_cross_entropy_from_logits",
    ):
        scores, labels = draw(name)
        with pytest.raises(TypeError, match=f"{name}: .* must be real, got complex64"):
            LOSSES[name].function(scores + 0j, labels)


def test_16_bits_are_widened_before_they_are_squared():
    x, y = jnp.array([[250.0], [-300.0]], jnp.float16), jnp.array([0.0, 200.0], jnp.float16)
    loss = per_example(supervised(Linear(), squared_error, {"half": losses.half_squared_error}))
    value, metrics = jax.jit(loss)({"w": jnp.ones(1, jnp.float16), "b": jnp.float16(0)}, (x, y))
    np.testing.assert_allclose([value, metrics["half"]], [(250**2 + 500**2) / 2, (250**2 + 500**2) / 4], rtol=1e-3)
    assert losses.half_squared_error(jnp.float16(300), jnp.float16(0)) == 45000


def test_impossible_classes_add_nothing():
    p, log_q = jnp.array([1.0, 0.0]), jnp.array([0.0, -jnp.inf])
    divergence = jax.jit(jax.value_and_grad(kl_divergence, argnums=(0, 1)))
    value, grads = divergence(log_q, p)
    assert value == 0
    chex.assert_tree_all_finite(grads)
    assert divergence(log_q, p[::-1])[0] == jnp.inf
    value, grad = jax.jit(jax.value_and_grad(softmax_cross_entropy))(log_q, p)
    np.testing.assert_array_equal([value, *grad], 0)
    assert jax.jit(softmax_cross_entropy_with_integer_labels)(log_q, 0) == 0


# The lifts.


@dataclasses.dataclass(frozen=True)
class Linear:
    """x (D,) -> (D,) @ w + b, with noise of the given scale if a key is given."""

    noise: float = 0.0

    def apply(self, params, x, key=None):
        y = x @ params["w"] + params["b"]
        return y if key is None else y + self.noise * jax.random.normal(key, y.shape)


def linear_params():
    return {"w": jnp.arange(1.0, 4.0), "b": jnp.array(0.5)}


def linear_batch(n=8, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=(n, 3)), jnp.float32), jnp.asarray(rng.normal(size=n), jnp.float32)


def row_weight(example):
    return jnp.square(example[0][0])


LIFTED = per_example(
    supervised(Linear(), squared_error, {"mae": losses.absolute_error}), weight=row_weight, penalty=None
)
value_and_grad = jax.jit(jax.value_and_grad(LIFTED, has_aux=True))


def by_numpy(params, batch, mask):
    """Value, gradient and mean absolute error of LIFTED, in float64."""
    x, y = (np.asarray(leaf, np.float64)[mask != 0] for leaf in batch)
    w = x[:, 0] ** 2 * np.asarray(mask, np.float64)[mask != 0]
    error = x @ np.asarray(params["w"], np.float64) + float(params["b"]) - y
    share = w / w.sum()
    grad = {"w": 2 * (share * error) @ x, "b": 2 * share @ error}
    return share @ error**2, grad, share @ np.abs(error), w.sum()


def test_the_mean_over_a_batch():
    batch, params = linear_batch(), linear_params()
    value, metrics = jax.jit(per_example(supervised(Linear(), squared_error)))(params, batch)
    expected = jnp.mean(squared_error(batch[0] @ params["w"] + params["b"], batch[1]))
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert metrics.keys() == {"weight"} and metrics["weight"] == 8
    assert metrics["weight"].dtype == jnp.float32


@settings(deadline=None, max_examples=20)
@given(mask=st.lists(st.sampled_from([0.0, 0.0, 0.5, 1.0, 3.0]), min_size=8, max_size=8).filter(any))
def test_the_weighted_mean_over_unmasked_rows_whatever_the_others_hold(mask):
    mask = np.array(mask, np.float32)
    (x, y), params = linear_batch(), linear_params()
    dead = jnp.asarray(mask == 0)
    poisoned = jnp.where(dead[:, None], jnp.nan, x), jnp.where(dead, jnp.inf, y)
    (value, metrics), grad = value_and_grad(params, poisoned, mask=mask)
    expected, expected_grad, mae, weight = by_numpy(params, (x, y), mask)
    chex.assert_trees_all_close(
        (value, grad, metrics),
        (expected, expected_grad, {"mae": mae, "weight": weight}),
        rtol=2e-4,
        atol=1e-5,
    )
    clean = value_and_grad(params, (x, y), mask=mask)
    chex.assert_trees_all_equal(clean, ((value, metrics), grad))


def test_a_row_of_weight_0_counts_as_masked():
    (x, y), params = linear_batch(), linear_params()
    x, y = x.at[0].set(0), y.at[0].set(jnp.nan)
    (value, _), grad = value_and_grad(params, (x, y))
    chex.assert_trees_all_close((value, grad), by_numpy(params, (x, y), np.arange(8) > 0)[:2], rtol=1e-4)


@pytest.mark.parametrize("size", [2e38, 1e-30, 1e-37])
def test_only_the_ratios_of_weights_count(size):
    x = jnp.array([1.0, 2.0, 4.0])
    for loss in (
        per_example(lambda params, example: example),
        per_example(lambda params, example: example[0], weight=lambda example: example[1]),
        per_example(lambda params, x, w: x, weight=lambda x, w: w),
    ):
        weights = size * jnp.array([1.0, 0.25, 0.5])
        arguments = (x, weights) if loss.weight else x
        value, _ = jax.jit(loss)(None, arguments, mask=None if loss.weight else weights)
        np.testing.assert_allclose(value, (1 + 0.5 + 2) / 1.75, rtol=1e-6)


@pytest.mark.parametrize("size", [1e-45, 3e-40, 1.1e-38, 4e-38])
def test_weights_that_the_machine_takes_for_0_are_refused_where_they_matter(size):
    """Compiled code has no numbers below 1.2e-38 but 0, so that some of these would be no weights."""
    weights = (size * np.array([1, 0.25, 0.5])).astype(np.float32)
    weighted = per_example(lambda params, example: params * example[0], weight=lambda example: example[1])
    for loss, batch, mask in (
        (weighted, (np.arange(3.0), weights), None),
        (per_example(lambda params, x: params * x), np.arange(3.0), weights),
    ):
        with pytest.raises(
            ValueError, match=r"per_example: (weight|mask) must be in \[0, inf\), got .*; numbers that small are 0"
        ):
            loss(1.0, batch, mask=mask)
        value, grad = jax.jit(jax.value_and_grad(lambda p: loss(p, batch, mask=mask)[0]))(1.0)  # noqa: B023
        assert np.isnan(value) and np.isnan(grad)
    beside = np.append(weights[1:], np.float32(1e-3))  # where none of them can be seen
    assert float(weighted(1.0, (np.arange(3.0), beside))[0]) == pytest.approx(2.0, rel=1e-6)
    assert float(weighted(1.0, (np.arange(3.0), np.zeros(3, np.float32)))[0]) == 0


@pytest.mark.parametrize("size", [1e-36, 3e37, 1.5e38, 3e38])
def test_the_mean_over_batches_is_by_their_weights_or_not_a_number(size):
    x, weights = np.array([0.1, 0.7, 0.4, 0.2]), (size * np.array([1, 0.5, 0.25, 1])).astype(np.float32)
    loss = per_example(lambda params, example: params * example[0], weight=lambda example: example[1])
    right = np.average(x, weights=weights.astype(float))
    evaluated = training.make_evaluate(loss, chunk_size=2)(1.0, (x, weights))["loss"]
    state = training.make_state(jnp.asarray(1.0), sgd(0.0))
    trained = training.make_epoch(training.make_step(loss), 2)(state, (x, weights))[1]["loss"]
    for mean in (evaluated, trained):
        assert float(mean) == pytest.approx(right, rel=1e-6) or (np.isnan(mean) and size > 1e38)


def test_negative_weights_have_no_meaning():
    loss = per_example(lambda params, example: example)
    with pytest.raises(ValueError, match=r"per_example: mask must be in \[0, inf\), got -1"):
        loss(None, jnp.array([1.0, 2.0]), mask=np.array([1.0, -1.0]))
    assert np.isnan(jax.jit(loss)(None, jnp.array([1.0, 2.0]), mask=jnp.array([1.0, -1.0]))[0])
    weighted = per_example(lambda params, example: 1.0, weight=lambda example: example)
    with pytest.raises(ValueError, match=r"per_example: weight must be in \[0, inf\), got -2"):
        weighted(None, jnp.array([1.0, -2.0]))
    assert weighted(None, jnp.array([1.0, -2.0]), mask=jnp.array([1, 0]))[0] == 1
    assert np.isnan(jax.jit(weighted)(None, jnp.array([1.0, -2.0]))[0])


def test_an_infinite_loss_shows_as_infinite_masked_rows_or_not():
    loss = jax.jit(per_example(lambda params, example: example))
    assert loss(None, jnp.array([jnp.inf, 1.0]), mask=jnp.array([2.0, 0.0]))[0] == jnp.inf


def rough(params, example):
    """Infinite slope at an example of zeros, NaN at NaN."""
    return jnp.linalg.norm(example * params["w"]), {"root": jnp.sqrt(example[0])}


@pytest.mark.parametrize("filler", [0.0, jnp.nan, jnp.inf])
def test_no_weight_at_all_gives_0_and_gradient_0(filler):
    params, batch = {"w": jnp.ones(3)}, jnp.full((4, 3), filler)
    loss = jax.jit(lambda params: per_example(rough)(params, batch, mask=jnp.zeros(4, bool)))
    (value, metrics), grad = jax.value_and_grad(loss, has_aux=True)(params)
    chex.assert_trees_all_equal((value, metrics, grad), (0.0, {"root": 0.0, "weight": 0.0}, {"w": jnp.zeros(3)}))
    _, tangent = jax.jvp(lambda p: loss(p)[0], (params,), (params,))
    assert tangent == 0


def test_ragged_masked_batches_weigh_like_one_batch():
    (x, y), params, size = linear_batch(10), linear_params(), 4
    mask = np.arange(12) < 10
    x, y = (jnp.pad(leaf, [(0, 2)] + [(0, 0)] * (leaf.ndim - 1), constant_values=jnp.nan) for leaf in (x, y))
    parts = [value_and_grad(params, (x[i : i + size], y[i : i + size]), mask=mask[i : i + size]) for i in (0, 4, 8)]
    weights = np.array([metrics["weight"] for (_, metrics), _ in parts])
    mean = jax.tree.map(lambda *leaves: weights @ np.stack(leaves) / weights.sum(), *parts)
    (value, metrics), grad = value_and_grad(params, (x, y), mask=mask)
    np.testing.assert_allclose(weights.sum(), metrics.pop("weight"), rtol=1e-6)
    mean[0][1].pop("weight")
    chex.assert_trees_all_close(mean, ((value, metrics), grad), rtol=1e-5)


def test_every_example_has_its_own_key_padded_or_not():
    def noise(params, example, key):
        return jax.random.normal(key), {"square": jnp.square(jax.random.normal(key))}

    key, loss = jax.random.key(0), jax.jit(per_example(noise))
    draws = np.array([jax.random.normal(k) for k in jax.random.split(key, 5)])
    value, metrics = loss(None, jnp.zeros(5), key)
    np.testing.assert_allclose([value, metrics["square"]], [draws.mean(), np.square(draws).mean()], rtol=1e-5)
    padded, _ = loss(None, jnp.zeros(8), key, mask=jnp.arange(8) < 5)
    np.testing.assert_allclose(padded, value, rtol=1e-6)


KEYED = {
    "no key": (lambda params, example: 1.0, False),
    "optional third": (lambda params, example, scale=2.0: 1.0 if scale == 2 else 0.0, False),
    "third": (lambda params, example, rng: float(rng is not None), True),
    "named": (lambda params, example, scale=2.0, key=None: float(key is not None), True),
    "keyword only": (lambda params, example, *, key: float(key is not None), True),
    "partial": (functools.partial(lambda scale, params, example, key: float(key is not None), 2.0), True),
}


@pytest.mark.parametrize("name", KEYED)
def test_a_loss_gets_the_key_its_signature_asks_for(name):
    loss, takes_key = KEYED[name]
    assert per_example(loss)(None, jnp.zeros(3), jax.random.key(0))[0] == 1
    assert per_example(loss)(None, jnp.zeros(3))[0] == (not takes_key)


def test_supervised_hands_the_key_to_the_model():
    params, batch = linear_params(), linear_batch()
    loss, quiet_loss = (jax.jit(per_example(supervised(Linear(noise), squared_error))) for noise in (1.0, 0.0))
    quiet, _ = quiet_loss(params, batch)
    assert loss(params, batch)[0] == quiet
    assert loss(params, batch, jax.random.key(0))[0] != quiet


def test_supervised_averages_vector_valued_outputs():
    params = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}
    x, y = jnp.ones((4, 3)), jnp.tile(jnp.array([3.0, 1.0]), (4, 1))
    loss = jax.jit(per_example(supervised(Linear(), squared_error, {"mae": losses.absolute_error})))
    value, metrics = loss(params, (x, y))
    assert (value, metrics["mae"]) == (2, 1)
    with pytest.raises(ValueError, match=r"got \(2,\) and \(1,\)"):
        loss(params, (x, y[:, :1]))


def test_the_penalty_is_added_once():
    params, batch = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}, (jnp.ones((4, 3)), jnp.ones((4, 2)))
    bare = per_example(supervised(Linear(), squared_error))
    loss = jax.jit(jax.value_and_grad(per_example(bare.loss, penalty=l2(0.5)), has_aux=True))
    (value, metrics), _ = loss(params, batch, mask=jnp.ones(4))
    assert (metrics["penalty"], value) == (3, jax.jit(bare)(params, batch)[0] + 3)
    (value, _), grad = loss(params, batch, mask=jnp.zeros(4))
    assert value == 3
    chex.assert_trees_all_close(grad["w"], params["w"])


def test_what_cannot_be_lifted_raises():
    batch = jnp.ones((4, 2))
    with pytest.raises(ValueError, match=r"the loss of one example must be a scalar, got shape \(2,\)"):
        per_example(lambda params, x: x)(None, batch)
    with pytest.raises(ValueError, match=r"the side of one example must be a scalar, got shape \(2,\)"):
        per_example(lambda params, x: (x.sum(), {"side": x}))(None, batch)
    with pytest.raises(ValueError, match=r"the weight of one example must be a scalar, got shape \(2,\)"):
        per_example(lambda params, x: x.sum(), weight=lambda x: x)(None, batch)
    with pytest.raises(ValueError, match=r"must not be named .*, got 'weight'"):
        per_example(lambda params, x: (x.sum(), {"weight": 1.0}))(None, batch)
    with pytest.raises(ValueError, match=r"mask must have shape \(4,\), got \(4, 1\)"):
        per_example(lambda params, x: x.sum())(None, batch, mask=jnp.ones((4, 1)))
    for wrong in ((batch, batch[:3]), (batch, jnp.ones(())), ()):
        with pytest.raises(ValueError, match="leaves of a batch must share their leading axis"):
            per_example(lambda params, x: 0.0)(None, wrong)


def test_integer_and_key_leaves_survive_the_mask():
    def loss(params, example):
        return params["table"][example["id"]] + jax.random.normal(example["key"])

    batch = {"id": jnp.array([0, 10**9, 1]), "key": jax.random.split(jax.random.key(0), 3)}
    params, mask = {"table": jnp.array([1.0, 2.0]), "size": 2}, jnp.array([True, False, True])
    value, _ = jax.jit(per_example(loss))(params, batch, mask=mask)
    noise = [jax.random.normal(key) for key in batch["key"]]
    np.testing.assert_allclose(value, (1 + noise[0] + 2 + noise[2]) / 2, rtol=1e-6)


def test_losses_average_in_float32_at_least():
    def loss(params, example):
        return (example * params).astype(jnp.bfloat16), {"hit": example > 0}

    value, metrics = jax.jit(per_example(loss))(jnp.bfloat16(1), jnp.full(1000, 1.0078125, jnp.bfloat16))
    assert (value.dtype, metrics["hit"].dtype) == (jnp.float32, jnp.float32)
    assert (value, metrics["hit"]) == (1.0078125, 1)


def test_float64_is_computed_in_float64():
    with jax.enable_x64(True):
        batch = tuple(np.asarray(leaf, np.float64) for leaf in linear_batch())
        params = jax.tree.map(lambda x: np.asarray(x, np.float64), linear_params())
        mask = np.arange(8) % 3
        (value, metrics), grad = value_and_grad(params, batch, mask=mask)
        expected, expected_grad, _, _ = by_numpy(params, batch, mask)
        chex.assert_trees_all_close((value, grad), (expected, expected_grad), rtol=1e-13)
        assert metrics["weight"].dtype == jnp.float64


def test_lanes_of_parameters():
    lanes = jax.tree.map(lambda x: jnp.stack([x, -x]), linear_params())
    batch, mask = linear_batch(), jnp.arange(8) < 5
    together = jax.vmap(lambda params: value_and_grad(params, batch, mask=mask))(lanes)
    for i, sign in enumerate((1, -1)):
        params = jax.tree.map(lambda x: sign * x, linear_params())  # noqa: B023
        alone = value_and_grad(params, batch, mask=mask)
        chex.assert_trees_all_close(jax.tree.map(lambda x: x[i], together), alone, rtol=1e-5)  # noqa: B023


def build():
    loss = supervised(Linear(0.5), functools.partial(huber, delta=0.5), {"mae": losses.absolute_error})
    return per_example(loss, weight=row_weight, penalty=elastic(1e-3, 0.5))


def test_lifts_are_equal_by_value():
    assert build() == build() and hash(build()) == hash(build())
    assert pickle.loads(pickle.dumps(build())) == build()
    assert programs.compile_once(build()).shared is programs.compile_once(build()).shared
    others = [
        dataclasses.replace(build(), penalty=elastic(1e-3, 0.25)),
        dataclasses.replace(build(), weight=None),
        per_example(supervised(Linear(0.5), functools.partial(huber, delta=0.25))),
    ]
    assert build() not in others
    assert isinstance(build(), PerExample)


def test_metrics_of_supervised_have_no_order():
    pairs = [("a", squared_error), ("b", functools.partial(huber, delta=2.0))]
    assert supervised(Linear(), squared_error, pairs) == supervised(Linear(), squared_error, dict(pairs[::-1]))


def test_bind_is_a_partial_that_compares_by_value():
    assert bind(huber, delta=0.5) == bind(functools.partial(huber, delta=0.5)) != bind(huber, delta=1.0)
    assert bind(huber) is huber
    assert bind(huber, delta=0.5)(3.0, 0.0) == huber(3.0, 0.0, 0.5)
    assert list(inspect.signature(bind(huber, 1.0)).parameters) == ["targets", "delta"]


def whole_batch(params, model_state, batch, key):
    return jnp.mean(batch), {}, model_state + 1


def whole_batch_with_mask(params, model_state, batch, key, mask=None):
    return jnp.mean(batch, where=mask), {}, model_state + 1


def test_stateful():
    assert stateful(whole_batch) == stateful(whole_batch) != stateful(whole_batch_with_mask)
    batch, mask = jnp.array([1.0, 5.0]), jnp.array([True, False])
    assert stateful(whole_batch)(None, 1, batch) == (3, {}, 2)
    assert stateful(whole_batch_with_mask)(None, 1, batch, None, mask=mask) == (1, {}, 2)


def test_who_takes_a_mask():
    takes_mask = lambda loss: as_loss("test", loss).takes_mask  # noqa: E731
    assert takes_mask(build()) and takes_mask(jax.jit(build())) and takes_mask(stateful(whole_batch_with_mask))
    assert not takes_mask(stateful(whole_batch)) and not takes_mask(lambda params, batch, key: (0.0, {}))


# Penalties.


def network():
    return {"b": jnp.array([1.0, 2.0]), "w": jnp.array([[1.0, -2.0], [0.0, 3.0]])}


PENALTIES = {"l1": l1(0.5), "l2": l2(0.5), "elastic": elastic(0.5, 0.25)}
EXPECTED = {"l1": 0.5 * 6, "l2": 0.5 * 14, "elastic": 0.5 * (0.25 * 6 + 0.75 * 14)}


@pytest.mark.parametrize("name", PENALTIES)
def test_penalties(name):
    value_and_grad = jax.jit(jax.value_and_grad(PENALTIES[name]))
    value, grad = value_and_grad(network())
    assert value == EXPECTED[name]
    np.testing.assert_array_equal(grad["b"], 0)
    assert grad["w"][1, 0] == 0 and np.all(np.sign(grad["w"]) == np.sign(network()["w"]))
    zero = jax.tree.map(jnp.zeros_like, network())
    chex.assert_trees_all_equal(value_and_grad(zero), (0.0, zero))


def test_elastic_joins_l1_and_l2():
    assert (elastic(0.5, 1.0), elastic(0.5, 0.0)) == (l1(0.5), l2(0.5))


def test_where_chooses_by_path_and_leaf():
    assert l1(1.0, where=lambda path, leaf: path == "['b']")(network()) == 3
    assert l1(1.0, where=lambda path, leaf: True)(network()) == 9
    with pytest.raises(ValueError, match=r"where must choose a leaf, got none of \['b'\], \['w'\]$"):
        l2(1.0, where=lambda path, leaf: False)(network())
    with pytest.raises(ValueError, match=r"got none of \['w'\]; they are no matrices: write where=lambda path, leaf: "):
        l2(1.0)({"w": jnp.ones(2)})


def test_penalties_of_complex_and_half_precision_leaves():
    weights = jnp.array([[3 + 4j, 0]])
    value, grad = jax.jit(jax.value_and_grad(elastic(1.0, 0.5)))({"w": weights})
    assert value == 15
    assert np.all(np.isfinite(grad["w"]))
    assert l2(1.0)({"w": jnp.ones((1001, 1), jnp.bfloat16)}) == 1001


def test_penalties_are_equal_by_value_and_checked():
    assert l2(0.5) == l2(0.5) != l2(0.25) and hash(l2(0.5)) == hash(l2(0.5))
    with pytest.raises(ValueError, match=r"l1: strength must be in \[0, inf\), got -1"):
        l1(-1)
    with pytest.raises(ValueError, match=r"elastic: l1_ratio must be in \[0, 1\], got 2"):
        elastic(1.0, 2)


def test_labels_of_eight_bits():
    """Of more classes than the labels' own dtype can count."""
    logits = np.random.default_rng(0).normal(size=(3, 300)).astype(np.float32)
    for loss in (losses.softmax_cross_entropy_with_integer_labels, losses.multiclass_hinge):
        compiled = jax.jit(loss)
        expected = compiled(logits, np.array([0, 5, 127], np.int32))
        for dtype in (np.int8, np.uint8):
            labels = np.array([0, 5, 127], dtype)
            np.testing.assert_array_equal(compiled(logits, labels), expected)
            np.testing.assert_allclose(loss(logits, labels), expected, rtol=1e-5)


def test_integers_beyond_int32_are_refused_at_every_door():
    large = np.array([2**40, 3])
    for call in (
        lambda: losses.squared_error(jnp.zeros(2), large),
        lambda: per_example(lambda p, x: (p - x) ** 2)(0.0, large),
        lambda: metrics.mean_squared_error(jnp.zeros(2), large),
        lambda: metrics.accuracy(jnp.zeros((2, 4)), np.array([2**32, 3])),
        lambda: backprop.flow(lambda p, x, key: (jnp.mean((p - x) ** 2), {}), jnp.zeros(1), large[:, None]),
        lambda: minimize(lambda p, x: jnp.sum((p - x) ** 2), 0.0, fixed_step(0.1), args=(large,)),
    ):
        with pytest.raises(ValueError, match="must fit in int32"):
            call()
