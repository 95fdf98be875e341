"""How far the members of an ensemble disagree, against NumPy and SciPy on the members themselves."""

import re
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

import gdjax as gd
from gdjax import tasks
from gdjax.runs.assessment import disagreement, resampling
from gdjax.runs.assessment.outcome import Cases

SUBJECTS = {
    "three": tasks.Subject("t", "classification", 5, ("a", "b", "c")),
    "two": tasks.Subject("t", "classification", 5, ("a", "b")),
    "number": tasks.Subject("t", "regression", 5),
}


def found_and_outputs(kind, model="mlp", members=3, loss=None):
    """(disagreement, output of each member) of first parameters on 80 rows, which nobody trained."""
    subject, x = SUBJECTS[kind], np.random.default_rng(0).normal(size=(80, 5)).astype(np.float32)
    objective = tasks.choose(subject, model, loss, members, hidden=(4,) if model == "mlp" else None)
    params = objective.model.init(jax.random.key(0))
    params = jax.tree.map(lambda p: p + 0.4 * jax.random.normal(jax.random.key(p.size), p.shape), params)
    config = SimpleNamespace(dtype="float32", loss=objective.loss_name, threshold=None)
    config.data = SimpleNamespace(target_names=subject.classes)
    target = gd.data.fit_scaling(np.array([100.0, 300.0])) if kind == "number" else None
    run = gd.runs.LoadedRun(None, config, {}, [], objective.model, params, None, target, None)
    cases = Cases(np.arange(80), x, np.zeros(80), None, 0)
    member = lambda i: objective.model.member.apply(jax.tree.map(lambda p: p[i], params), x)  # noqa: E731
    outputs = [member(i) for i in range(members)] if members > 1 else []
    return disagreement.disagreement_of(run, cases, resampling.Resampling(80, 0)), np.array(outputs, float)


def entropy(p):
    return -(p * np.log(p)).sum(-1)


@pytest.mark.parametrize(("kind", "model"), [("three", "mlp"), ("two", "logistic_regression")])
def test_members_disagree_where_their_classes_do(kind, model):
    found, outputs = found_and_outputs(kind, model)
    logits = outputs if outputs.ndim == 3 else np.stack([np.zeros_like(outputs), outputs], -1)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    apart = np.mean((logits.argmax(-1) != logits.argmax(-1)[0]).any(0))
    assert found.members == 3 and 0.1 < apart < 1
    assert found.measures["rows_apart"].value == pytest.approx(apart, abs=1e-12)
    expected = np.mean(entropy(p.mean(0)) - entropy(p).mean(0))
    assert found.measures["divergence"].value == pytest.approx(expected, rel=1e-4) and expected > 0.01
    np.testing.assert_allclose(disagreement.divergence(p[:2]), jensenshannon(p[0], p[1], axis=-1) ** 2, atol=1e-12)
    said = re.match(r"Its 3 members disagree on the class of ([\d.]+) % \(.*nats\.$", found.sentence())
    assert float(said[1]) == pytest.approx(100 * apart, abs=0.5)
    assert found.to_json()["rows_apart"]["value"] == found.measures["rows_apart"].value


def test_numbers_are_as_far_apart_as_averaging_helps():
    """The mean squared error of the members is that of their average and the square of the spread, for any target."""
    found, outputs = found_and_outputs("number", members=4)
    y, target = 200 + 100 * outputs, np.random.default_rng(1).normal(200, 100, 80)
    gain = np.mean((y - target) ** 2) - np.mean((y.mean(0) - target) ** 2)
    assert found.measures.keys() == {"spread"} and gain > 1
    assert found.measures["spread"].value == pytest.approx(np.sqrt(gain), rel=1e-5)
    low, high = found.measures["spread"][1:]
    assert low < np.sqrt(gain) < high and "4 members differ from each other by a standard" in found.sentence()


def test_classes_without_probabilities_and_models_without_members():
    assert found_and_outputs("two", "linear_svm")[0].measures.keys() == {"rows_apart"}
    assert found_and_outputs("three", members=1)[0] is None
