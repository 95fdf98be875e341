"""The range test: its losses against NumPy, its rule against formulas, and what it says where it has none."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gdjax as gd
from gdjax.sweeps.range_curve import read_curve

CURVATURES, BEST = np.array([0.5, 2.0]), np.array([1.0, -3.0])
ROWS = np.random.default_rng(0).normal(BEST, 0.3, (256, 2)).astype(np.float32)
START = {"w": np.zeros(2, np.float32)}


def bowl(params, rows):
    return jnp.mean(
        jnp.asarray(CURVATURES, jnp.float32) * (params["w"] - rows) ** 2
    )  # gradients: curvatures (w - mean)


def test_the_losses_are_those_of_descent_with_each_rate_in_turn():
    test = gd.find_learning_rate(bowl, START, gd.sgd(0.5), ROWS, batch_size=256, order="sequence", steps=60, seeds=1)
    w, losses = np.zeros(2), []
    for rate in 1e-7 * 1e8 ** (np.arange(60) / 59):
        losses.append(np.mean(CURVATURES * (w - ROWS) ** 2))
        w = w - rate * CURVATURES * (w - ROWS.mean(0))
    np.testing.assert_allclose(test.losses[0], losses, rtol=1e-4)


def test_the_suggestion_is_stable_and_nothing_is_changed():
    optimizer, before = gd.average(gd.sgd(0.7, momentum=0.5), decay=0.9), START["w"].copy()
    test = gd.find_learning_rate(bowl, START, optimizer, ROWS, seeds=4)
    low, high = test.interval
    assert 0.005 < low <= test.rate <= high < 2 / CURVATURES.max() and test.each.shape == (4,)
    assert test.optimizer == gd.average(gd.sgd(test.rate, momentum=0.5), decay=0.9) and test.remarks == ()
    assert optimizer == gd.average(gd.sgd(0.7, momentum=0.5), decay=0.9) and (START["w"] == before).all()
    assert str(test).startswith(f"average: learning rate {test.rate:.2g} (") and "over 4 seeds" in str(test)


def test_a_lane_that_diverges_ends_and_harms_no_other():
    def run(decay):
        both = {"a": gd.decay_weights(gd.sgd(0.1), 0.0), "b": gd.decay_weights(gd.sgd(0.1), decay)}
        return gd.find_learning_rate(bowl, START, both, ROWS, seeds=[3, 5], steps=100)

    alone, beside = run(0.0), run(1e30)
    np.testing.assert_array_equal(alone["a"].losses, beside["a"].losses)
    np.testing.assert_array_equal(alone["a"].losses, alone["b"].losses)
    for row in (*alone["a"].losses, *beside["b"].losses):
        (known,) = np.nonzero(np.isfinite(row))
        assert 0 < known[-1] < 99 and len(known) == known[-1] + 1
        assert row[known[:-1]].max() <= 1e3 * max(1, row[0])
    assert beside["b"].rate is None and alone["a"].rate is not None


@pytest.mark.parametrize("wrap", [gd.inject_hyperparams(gd.adam), lambda rate: gd.adam(gd.schedules.cosine(rate, 7))])
def test_a_rate_in_the_state_or_a_schedule_gives_the_same(wrap):
    plain, other = (
        gd.find_learning_rate(bowl, START, each, ROWS, seeds=2, steps=50) for each in (gd.adam(0.1), wrap(0.3))
    )
    np.testing.assert_allclose(plain.losses, other.losses, rtol=1e-5)
    assert plain.rate == pytest.approx(other.rate, rel=1e-4)
    assert any("schedule cosine" in said for said in other.remarks) == ("cosine" in repr(wrap(0.3)))


def test_the_rule_on_exact_curves():
    rates = np.geomspace(1e-7, 10, 400)
    progress = np.append(0, np.cumsum(rates)[:-1])
    for speed in (
        3.0,
        300.0,
    ):  # so that nine tenths are gone after ln 10 / speed; averaging adds to it
        found = read_curve(rates, 2 + np.exp(-speed * progress))
        assert found.rate == pytest.approx(np.log(10) / speed / 28, rel=0.2) and found.fell and found.begun
    slow = np.geomspace(1e-7, 10, 4000)  # of which 28 steps do not change the rate, so that the cap holds
    found = read_curve(slow, np.where(slow < 0.01, 1.0, np.where(slow < 0.1, 0.0, 1.0 + slow)))
    assert found.rate == pytest.approx(10**-1.75, rel=0.35) and found.rose


def test_noise_is_no_fall():
    rates, noise = np.geomspace(1e-7, 10, 200), np.random.default_rng(1).normal(size=(300, 200))
    fell = np.array([read_curve(rates, 3 + 0.5 * row).fell for row in noise])
    assert fell.mean() < 0.05
    falling = 3 - np.minimum(1, 100 * rates)
    assert np.mean([read_curve(rates, falling + 0.5 * row).fell for row in noise]) > 0.95


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"highest": 1e-5}, "never fell between the rates 1e-07 and 1e-05"),
        ({"highest": 0.3}, "never rose again up to 0.3"),
        ({"lowest": 0.05}, "fell at once, from 0.05 on"),
        ({"optimizer": gd.partition({"a": gd.sgd(0.1), "b": gd.adam(0.1)}, "a")}, "of 2 rates only that at optimizer."),
    ],
)
def test_what_makes_it_doubtful_is_said(options, said):
    optimizer = options.pop("optimizer", gd.sgd(0.1))
    test = gd.find_learning_rate(bowl, START, optimizer, ROWS, seeds=2, **options)
    assert any(said in each for each in test.remarks), test.remarks
    assert (test.rate is None) == ("never fell" in said) and (test.optimizer is None) == (test.rate is None)


def test_a_loss_that_is_never_finite_is_not_the_rates_fault():
    test = gd.find_learning_rate(bowl, START, gd.sgd(0.1), ROWS * np.float32(np.nan), seeds=2)
    said = "the loss is not finite at the first step, whatever the rate: look for NaN in data and parameters"
    assert str(test) == f"sgd: no rate; {said}" and np.isnan(test.losses[:, 1:]).all()


def test_what_cannot_be_tested_is_refused_in_one_sentence():
    with pytest.raises(
        ValueError, match=r"find_learning_rate: the optimizer must have a learning_rate.* got lbfgs\(\)"
    ):
        gd.find_learning_rate(bowl, START, gd.lbfgs(), ROWS)
    with pytest.raises(ValueError, match=r"got one of Optax, whose numbers are hidden; write gd.adam"):
        gd.find_learning_rate(bowl, START, optax.adam(0.1), ROWS)
    with pytest.raises(ValueError, match=r"0 < lowest < highest, got 1\.0 and 0\.1"):
        gd.find_learning_rate(bowl, START, gd.sgd(0.1), ROWS, lowest=1.0, highest=0.1)
    with pytest.raises(ValueError, match=r"find_learning_rate: batch_size must be between 1 and the 256 rows .* 257"):
        gd.find_learning_rate(bowl, START, gd.sgd(0.1), ROWS, batch_size=257)
    with pytest.raises(ValueError, match="find_learning_rate: seeds must be at least 1, got 0"):
        gd.find_learning_rate(bowl, START, gd.sgd(0.1), ROWS, seeds=0)


def test_a_model_draws_other_values_with_each_seed():
    model = gd.models.mlp((2, 3, None))
    loss = gd.per_example(gd.supervised(model, gd.losses.squared_error))
    data = jnp.asarray(ROWS), jnp.asarray(ROWS[:, 0] ** 2)
    test = gd.find_learning_rate(loss, model, gd.adam(0.1), data, seeds=3, steps=50, order="sequence")
    drawn = [model.init(jax.random.fold_in(jax.random.key(seed), 2)) for seed in range(3)]
    first = [float(loss(params, tuple(x[:64] for x in data), None)[0]) for params in drawn]
    np.testing.assert_allclose(test.losses[:, 0], first, rtol=1e-5)
    assert len(set(first)) == 3
