"""What follows from the labels: the loss, the head of the model, the metric, the scaling."""

import jax
import numpy as np
import pytest

from gdjax import tasks
from gdjax.data import Dataset
from gdjax.losses import LOSSES


def table(classes=0, rows=40):
    """Three features; labels of so many classes, or numbers about 1e6 with a spread of 1e-3."""
    rng = np.random.default_rng(classes)
    x = rng.normal(size=(rows, 3)) * [1, 1e20, 1e-20] + [5, 0, 0]
    if classes:
        y = np.arange(rows, dtype=np.int32) % classes
        return Dataset("t", x, y, "classification", ("a", "b", "c"), tuple(f"class {i}" for i in range(classes)))
    return Dataset("t", x, 1e6 + 1e-3 * rng.normal(size=rows), "regression", ("a", "b", "c"))


@pytest.mark.parametrize(
    ("classes", "model", "loss", "made", "fitted", "metric"),
    [
        (3, "mlp", None, "mlp((3, 4, 3))", "softmax_cross_entropy_with_integer_labels", "accuracy"),
        (2, "mlp", "hinge", "mlp((3, 4, None))", "hinge", "accuracy"),
        (2, "mlp", None, "mlp((3, 4, 2))", "softmax_cross_entropy_with_integer_labels", "accuracy"),
        (2, "logistic_regression", None, "logistic_regression(3)", "binary_cross_entropy_from_logits", "accuracy"),
        (2, "linear_svm", "squared_hinge", "linear_svm(3)", "squared_hinge", "accuracy"),
        (5, "softmax_regression", None, "softmax_regression(3, 5)", None, "accuracy"),
        (0, "mlp", None, "mlp((3, 4, None))", "squared_error", "r2"),
        (0, "linear_regression", "huber", "linear_regression(3)", "huber", "r2"),
    ],
)
def test_labels_choose_loss_head_and_metric(classes, model, loss, made, fitted, metric):
    objective = tasks.choose(table(classes), model, loss, hidden=(4,))
    assert repr(objective.model) == made and objective.metric == metric
    assert fitted is None or objective.loss_name == fitted
    again = tasks.make_objective(objective.model, objective.loss_name, table(classes).task)
    assert again == objective


def test_the_metric_is_that_of_scikit_learns_definition():
    for classes in (3, 2, 0):
        parts = tasks.deal(table(classes), (0.6, 0.2, 0.2), seed=1)
        objective = tasks.choose(table(classes), "mlp", "hinge" if classes == 2 else None, hidden=(4,))
        params = objective.model.init(jax.random.key(0))
        y = np.asarray(parts.test[1], float)
        out = np.asarray(objective.model.apply(params, parts.test[0]), float)
        if classes == 0:
            expected = 1 - np.sum((out - y) ** 2) / np.sum((y - y.mean()) ** 2)
        else:
            expected = np.mean((out > 0) == y if classes == 2 else out.argmax(-1) == y)
        scores = objective.scores(params, parts.test)
        assert scores[objective.metric] == pytest.approx(expected, rel=1e-4)
        if classes == 2:  # labels 0 and 1 are -1 and +1 to a hinge
            assert scores["loss"] == pytest.approx(np.maximum(0, 1 - (2 * y - 1) * out).mean(), rel=1e-5)


def test_parts_are_scaled_by_the_training_rows_and_follow_from_the_seed():
    data = table()
    parts = tasks.deal(data, (0.5, 0.25, 0.25), seed=3)
    assert parts.rows() == {"train": 20, "validation": 10, "test": 10}
    for column in (*np.asarray(parts.train[0], float).T, np.asarray(parts.train[1], float)):
        assert abs(column.mean()) < 1e-3 and column.std() == pytest.approx(1, rel=1e-3)
    again, other = tasks.deal(data, (0.5, 0.25, 0.25), seed=3), tasks.deal(data, (0.5, 0.25, 0.25), seed=4)
    assert np.array_equal(parts.test[0], again.test[0]) and not np.array_equal(parts.test[0], other.test[0])


@pytest.mark.parametrize(
    ("classes", "model", "loss", "said"),
    [
        (3, "mlp", "hinge", "`loss=hinge` is for two classes, t has 3$"),
        (3, "perceptron", None, "`model=perceptron` is for two classes, t has 3; `model=mlp or softmax_regression`"),
        (
            0,
            "linear_svm",
            None,
            "`model=linear_svm` is for classification, the target of t asks for regression; `model=mlp or",
        ),
        (3, "mlp", "huber", "`loss=huber` is for regression, the target of t asks for classification$"),
        (
            2,
            "softmax_regression",
            "focal",
            "`model=softmax_regression` does not fit `loss=focal`, which takes one score",
        ),
        (1, "mlp", None, "the target of t must have at least two classes, got class 0 alone"),
    ],
)
def test_what_does_not_go_together_is_refused(classes, model, loss, said):
    with pytest.raises(ValueError, match=said):
        tasks.choose(table(classes), model, loss)


def test_every_trainable_model_and_every_fitting_loss_goes_with_some_labels():
    def fits(model, loss):
        for classes in (0, 2, 3):
            try:
                return tasks.choose(table(classes), model, loss, hidden=(4,))
            except ValueError:
                continue

    assert all(fits(model, None) for model in tasks.TRAINABLE)
    assert all(fits("mlp", loss) for loss in tasks.FITTING_LOSSES) and set(tasks.FITTING_LOSSES) < set(LOSSES)
