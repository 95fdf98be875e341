"""Right schedules, losses, models and metrics obey every law, ours and others'; each bug breaks the law that says so."""

import functools
import itertools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gdjax as gd
from gdjax import laws, losses, metrics, models


def violation(check, law, *arguments, **keywords):
    with pytest.raises(laws.LawBroken) as error:
        check(*arguments, **keywords)
    assert error.value.law == law, str(error.value)
    return str(error.value)


# Schedules.


def decay(init_value=0.1, rate=0.5):
    return lambda step: init_value / (1 + rate * step)


def by_branches(init_value=0.1, rate=0.5):
    return decay(init_value, rate) if rate > 0 else decay(init_value, 0.0)


NUMBERS = {"init_value": 0.1, "rate": 0.5}
CLOCK = itertools.count()
BAD_SCHEDULES = {
    "two numbers": ("scalar", lambda step: jnp.stack([decay()(step)] * 2)),
    "an integer": ("scalar", lambda step: jnp.asarray(step) // 2),
    "by calls": ("pure", lambda step: decay()(step) + next(CLOCK)),
    "by Python's if": ("traced", lambda step: 0.1 if step < 4 else 0.01),
    "other values compiled": ("traced", lambda step: decay()(step) * (1.1 if isinstance(step, jax.core.Tracer) else 1)),
    "infinite late": ("finite", lambda step: jnp.exp(0.01 * jnp.asarray(step, float))),
}


def test_right_schedules():
    report = laws.check_schedule(decay(), with_numbers=decay, numbers=NUMBERS)
    assert report and not report.not_asked
    assert laws.check_schedule(gd.schedules.warmup(gd.schedules.cosine(0.1, 20), 4))
    assert laws.check_schedule(optax.cosine_decay_schedule(0.1, 20)).not_asked.keys() == {"numbers"}


@pytest.mark.parametrize("name", BAD_SCHEDULES)
def test_each_bug_of_a_schedule(name):
    law, schedule = BAD_SCHEDULES[name]
    assert "smallest case: step" in violation(laws.check_schedule, law, schedule) or law == "traced"


def test_numbers_that_cannot_be_traced_are_found_in_optax():
    """14 of 30 of Optax's (0.2.8) branch on their numbers, so that none of these can be swept over its peak, say."""
    violation(laws.check_schedule, "numbers", by_branches(), with_numbers=by_branches, numbers=NUMBERS)
    warmup = functools.partial(optax.warmup_cosine_decay_schedule, 0.0, warmup_steps=4, decay_steps=20)
    exponential = functools.partial(optax.exponential_decay, 0.1, 10)
    for factory, numbers in ((warmup, {"peak_value": 0.1}), (exponential, {"decay_rate": 0.5})):
        text = violation(laws.check_schedule, "numbers", factory(**numbers), with_numbers=factory, numbers=numbers)
        assert "traced\n  found: TracerBoolConversionError" in text
    assert laws.check_schedule(gd.schedules.exponential(0.1, 10, 0.5))


# Losses.

RNG = np.random.default_rng(0)
BATCH = {"x": RNG.normal(size=(6, 3)).astype(np.float32), "y": RNG.normal(size=6).astype(np.float32)}
WEIGHTS = {"w": RNG.normal(size=3).astype(np.float32)}


def rows_of(params, batch):
    return (batch["x"] @ params["w"] - batch["y"]) ** 2


def mean_loss(params, batch):
    return jnp.mean(rows_of(params, batch)), {"rows": len(batch["y"])}


def with_mask(weigh):
    return lambda params, batch, mask=None: weigh(params, batch, jnp.ones(len(batch["y"])) if mask is None else mask)


def masked_mean(params, batch, mask):
    live = {name: jnp.where(mask.reshape(-1, *[1] * (x.ndim - 1)) > 0, x, 0) for name, x in batch.items()}
    return jnp.sum(mask * rows_of(params, live)) / jnp.sum(mask)


@jax.custom_jvp
def square(x):
    return x * x


square.defjvp(lambda primals, tangents: (primals[0] ** 2, primals[0] * tangents[0]))
BAD_LOSSES = {
    "of another shape": ("value", lambda p, b: rows_of(p, b)[:, None]),
    "an integer": ("value", lambda p, b: jnp.int32(jnp.sum(rows_of(p, b)))),
    "metrics that are no dict": ("value", lambda p, b: (jnp.mean(rows_of(p, b)), 1.0)),
    "by calls": ("pure", lambda p, b: jnp.mean(rows_of(p, b)) + next(CLOCK)),
    "it changes the batch": ("pure", lambda p, b: jnp.mean(rows_of(p, b)) + 0 * b.pop("extra", jnp.zeros(6))[0]),
    "compiled is another": (
        "eager",
        lambda p, b: jnp.mean(rows_of(p, b)) * (2 if isinstance(b["y"], jax.core.Tracer) else 1),
    ),
    "a gradient of NaN": ("eager", lambda p, b: jnp.mean(jnp.sqrt(rows_of(p, b) * 0))),
    "half the gradient": ("gradient", lambda p, b: jnp.mean(square(b["x"] @ p["w"] - b["y"]))),
    "a sum": ("rows", lambda p, b: jnp.sum(rows_of(p, b))),
    "the first row counts twice": ("rows", lambda p, b: jnp.mean(rows_of(p, b)) + rows_of(p, b)[0]),
    "normalized over the batch": ("rows", lambda p, b: rows_of(p, b) / jnp.sum(rows_of(p, b))),
    "the mask is ignored": ("mask", with_mask(lambda p, b, mask: jnp.mean(rows_of(p, b)))),
    "0 times NaN": ("mask", with_mask(lambda p, b, mask: jnp.sum(mask * rows_of(p, b)) / jnp.sum(mask))),
}


def test_right_losses():
    assert not laws.check_loss(mean_loss, WEIGHTS, BATCH).not_asked.keys() - {"mask"}
    assert not laws.check_loss(with_mask(masked_mean), WEIGHTS, BATCH).not_asked
    noisy = lambda params, x, y, key: mean_loss(params, {"x": x + jax.random.normal(key, x.shape), "y": y})  # noqa: E731
    report = laws.check_loss(noisy, WEIGHTS, (BATCH["x"], BATCH["y"]))
    assert report and report.not_asked.keys() == {"rows", "order", "mask"}


@pytest.mark.nightly
def test_right_losses_of_one_example_and_of_optax():
    one = losses.per_example(lambda p, example: jnp.squeeze(rows_of(p, jax.tree.map(lambda x: x[None], example))))
    assert not laws.check_loss(one, WEIGHTS, BATCH).not_asked
    logits, labels = RNG.normal(size=(6, 3)).astype(np.float32), np.arange(6) % 3
    assert laws.check_loss(optax.losses.softmax_cross_entropy_with_integer_labels, logits, labels)


NIGHTLY = ("it changes the batch", "normalized over the batch", "0 times NaN")  # other bugs of a law that one has had


@pytest.mark.parametrize("name", [pytest.param(x, marks=[pytest.mark.nightly] * (x in NIGHTLY)) for x in BAD_LOSSES])
def test_each_bug_of_a_loss(name):
    law, loss = BAD_LOSSES[name]
    batch = {**BATCH, "extra": BATCH["y"]} if "changes" in name else BATCH
    text = violation(laws.check_loss, law, loss, WEIGHTS, batch)
    assert "smallest case: the first 2 rows" in text or law in ("mask", "pure"), text


def test_an_order_that_matters():
    by_place = lambda p, b: jnp.mean(rows_of(p, b) * jnp.arange(len(b["y"])))  # noqa: E731
    violation(laws.check_loss, "order", by_place, WEIGHTS, BATCH, only=["order"])


# Models.


def line(init=None, apply=None):
    """A user's linear model, right as it stands."""
    return SimpleNamespace(
        init=init or (lambda key: {"w": jax.random.normal(key, (3, 2)), "b": jnp.zeros(2)}),
        apply=apply or (lambda params, x, key=None: x @ params["w"] + params["b"]),
    )


BAD_MODELS = {
    "integer parameters": ("params", line(init=lambda key: {"w": jnp.ones((3, 2), int), "b": jnp.zeros(2)})),
    "infinite parameters": ("params", line(init=lambda key: {"w": jnp.full((3, 2), jnp.inf), "b": jnp.zeros(2)})),
    "the key is ignored": (
        "key",
        line(init=lambda key: {"w": jax.random.normal(jax.random.key(1), (3, 2)), "b": jnp.zeros(2)}),
    ),
    "drawn by NumPy": (
        "key",
        line(init=lambda key: {"w": jnp.asarray(RNG.normal(size=(3, 2)), float), "b": jnp.zeros(2)}),
    ),
    "compiled is another": (
        "eager",
        line(apply=lambda p, x, key=None: x @ p["w"] + p["b"] + isinstance(x, jax.core.Tracer)),
    ),
    "random without a key": ("pure", line(apply=lambda p, x, key=None: x @ p["w"] + p["b"] + RNG.normal())),
    "one axis only": ("batch", line(apply=lambda p, x, key=None: (x - x.mean(0)) @ p["w"] + p["b"])),
    "a bias that is not used": ("gradients", line(apply=lambda p, x, key=None: x @ p["w"])),
    "float32 by hand": ("dtype", line(apply=lambda p, x, key=None: (x @ p["w"] + p["b"]).astype(jnp.float32))),
}


def test_right_models():
    assert {*laws.model.LAWS} - {*laws.check_model(line(), jnp.ones(3)).held} == {"state", "weight"}
    assert laws.check_model(models.mlp((3, 4, 2), dropout=0.5), jnp.ones(3))


@pytest.mark.parametrize("name", BAD_MODELS)
def test_each_bug_of_a_model(name):
    law, model = BAD_MODELS[name]
    only = [law] if name in ("compiled is another", "random without a key") else None
    violation(laws.check_model, law, model, jnp.ones(3), only=only)


@gd.calls.model(static=("bug",))
def centered(bug=""):
    """x less its mean over the batch, which is remembered; with one bug."""

    def apply(params, state, x, key=None, weight=None):
        rows = x.reshape(-1, 3)
        w = jnp.ones(len(rows)) if weight is None or bug == "weights are ignored" else jnp.asarray(weight, float)
        rows = rows if bug == "0 times NaN" else jnp.where(w[:, None] > 0, rows, 0)
        total = jnp.sum(w) if bug == "nothing by nothing" else jnp.where(jnp.sum(w) == 0, 1, jnp.sum(w))
        mean = w @ rows / total + (state * (jnp.sum(w) == 0))
        moves = key is not None or bug == "it moves without a key"
        after = state if bug == "it never moves" else 0.5 * (state + mean) if moves else state
        return params["scale"] * (x - (mean if moves or bug == "rows are not alone" else state)), after

    start = (lambda: jnp.zeros(())) if bug == "it changes its shape" else lambda: jnp.zeros(3)
    return lambda key: {"scale": jnp.ones(3)}, apply, start


BAD_STATES = {
    "it never moves": "state",
    "it moves without a key": "state",
    "it changes its shape": "state",
    "rows are not alone": "state",
    "weights are ignored": "weight",
    "0 times NaN": "weight",
    "nothing by nothing": "weight",
}


def test_each_bug_of_a_model_with_a_state():
    assert laws.check_model(centered(), jnp.ones(3), only=["state", "weight"])
    for bug, law in BAD_STATES.items():
        violation(laws.check_model, law, centered(bug), jnp.ones(3), only=["state", "weight"])


# Metrics.

PREDICTION, TARGET = RNG.normal(size=10).astype(np.float32), RNG.normal(size=10).astype(np.float32)


def mean_of_means(stats):
    return jnp.mean(stats[0] / stats[1])


def measure(prediction, target, weight, dead=True, hidden=False, power=1, places=False, eager=False):
    """What a mean of squares keeps; each further argument is a bug."""
    rows = (prediction - target) ** 2
    rows = jnp.where(jnp.isnan(rows), 0, rows) if hidden else rows
    rows = rows * jnp.arange(len(rows)) if places else rows
    rows = rows if isinstance(rows, jax.core.Tracer) or not eager else 2 * rows
    return jnp.sum(weight**power * (jnp.where(weight > 0, rows, 0) if dead else rows)), jnp.sum(weight)


def ratio(stats):
    return jnp.sum(stats[0]) / jnp.sum(stats[1])


def wrong(result=ratio, **bug):
    return metrics.Metric(functools.partial(measure, **bug), result)


BAD_METRICS = {
    "no value": ("value", wrong(result=lambda stats: jnp.nan * ratio(stats))),
    "eager is another": ("eager", wrong(eager=True)),
    "it goes by the squares of the weights": ("weights", wrong(power=2)),
    "by the places of rows": ("order", wrong(places=True)),
    "0 times NaN": ("masked", wrong(dead=False)),
    "NaN is hidden": ("shows", wrong(hidden=True)),
    "a mean of means": ("chunks", wrong(result=mean_of_means)),
}


def test_right_metrics():
    for metric in (metrics.Metric(measure, ratio), metrics.r2):
        assert laws.check_metric(metric, PREDICTION, TARGET, examples=3)


@pytest.mark.parametrize("name", BAD_METRICS)
def test_each_bug_of_a_metric(name):
    law, metric = BAD_METRICS[name]
    only = [law] if law == "weights" else None
    violation(laws.check_metric, law, metric, PREDICTION, TARGET, examples=5, only=only)
