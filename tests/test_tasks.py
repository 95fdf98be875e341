"""What follows from the labels: the loss, the head of the model, the metric, the scaling."""

import jax
import numpy as np
import pytest

from gdjax import tasks
from gdjax.losses import LOSSES
from gdjax.tasks import Subject


def table(classes=0):
    """Three features, a series of three numbers; labels of so many classes, or numbers."""
    task = "classification" if classes else "regression"
    return Subject("t", task, 3, tuple(f"class {i}" for i in range(classes)), (3, 1))


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
    objective = tasks.choose(table(classes), model, loss, hidden=(4,) if model == "mlp" else None)
    assert repr(objective.model) == made and objective.metric == metric
    assert fitted is None or objective.loss_name == fitted
    again = tasks.make_objective(objective.model, objective.loss_name, table(classes).task)
    assert again == objective


def test_an_empty_word_is_said_and_none_is_not():
    assert repr(tasks.choose(table(3), "mlp", hidden=(), dropout=None).model) == "mlp((3, 3))"
    with pytest.raises(ValueError, match="`hidden` is of the model mlp or cnn or spiking, `model=linear_svm` has none"):
        tasks.choose(table(2), "linear_svm", hidden=())


def test_the_metric_is_that_of_scikit_learns_definition():
    for classes in (3, 2, 0):
        rng = np.random.default_rng(classes)
        x = rng.normal(size=(40, 3)).astype(np.float32)
        labels = np.arange(40, dtype=np.int32) % classes if classes else rng.normal(size=40).astype(np.float32)
        objective = tasks.choose(table(classes), "mlp", "hinge" if classes == 2 else None, hidden=(4,))
        params = objective.model.init(jax.random.key(0))
        y = np.asarray(labels, float)
        out = np.asarray(objective.model.apply(params, x), float)
        if classes == 0:
            expected = 1 - np.sum((out - y) ** 2) / np.sum((y - y.mean()) ** 2)
        else:
            expected = np.mean((out > 0) == y if classes == 2 else out.argmax(-1) == y)
        scores = objective.scores(params, (x, labels))
        assert scores[objective.metric] == pytest.approx(expected, rel=1e-4)
        if classes == 2:  # labels 0 and 1 are -1 and +1 to a hinge
            assert scores["loss"] == pytest.approx(np.maximum(0, 1 - (2 * y - 1) * out).mean(), rel=1e-5)


def test_an_ensemble_is_trained_by_the_losses_of_its_members_and_judged_by_their_average():
    """In NumPy: the mean of the members' losses, and the loss of the mean of their probabilities or outputs."""
    x = np.random.default_rng(2).normal(size=(9, 3)).astype(np.float32)
    for classes, loss in ((3, None), (0, None), (2, "binary_cross_entropy_from_logits")):
        labels = np.arange(9, dtype=np.int32) % classes if classes else x[:, 0] * 3
        objective = tasks.choose(table(classes), "mlp", loss, hidden=(4,), members=3)
        alone = tasks.choose(table(classes), "mlp", loss, hidden=(4,))
        params = objective.model.init(jax.random.key(1))
        members = [jax.tree.map(lambda p, k=k: p[k], params) for k in range(3)]
        each = [float(alone.loss(member, (x, labels))[0]) for member in members]
        assert float(objective.loss(params, (x, labels))[0]) == pytest.approx(np.mean(each), rel=1e-5)
        out = np.stack([np.asarray(alone.model.apply(member, x), float) for member in members])
        if classes == 3:
            p = (np.exp(out) / np.exp(out).sum(-1, keepdims=True)).mean(0)
            expected = -np.log(p[np.arange(9), labels]).mean()
        elif classes == 2:
            p = (1 / (1 + np.exp(-out))).mean(0)
            expected = -np.log(np.where(labels == 1, p, 1 - p)).mean()
        else:
            expected = np.mean((out.mean(0) - labels) ** 2)
        assert objective.scores(params, (x, labels))["loss"] == pytest.approx(expected, rel=1e-5)


def test_classes_weigh_as_they_are_told():
    x, labels = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]], np.array([0, 1, 1, 0], np.int32)
    objective = tasks.choose(table(2), "logistic_regression", class_weights=(1.0, 5.0))
    params = jax.tree.map(lambda p: p + 0.7, objective.model.init(jax.random.key(0)))
    losses = np.where(labels == 1, np.log1p(np.exp(-1.4)), np.log1p(np.exp(1.4)))
    expected = np.average(losses, weights=np.array([1, 5])[labels])
    assert float(objective.loss(params, (x, labels))[0]) == pytest.approx(expected, rel=1e-5)


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
                return tasks.choose(table(classes), model, loss, hidden=(4,) if model == "mlp" else None)
            except ValueError:
                continue

    assert all(fits(model, None) for model in tasks.TRAINABLE if model != "transformer")  # which reads text
    assert all(fits("mlp", loss) for loss in tasks.FITTING_LOSSES) and set(tasks.FITTING_LOSSES) < set(LOSSES)
