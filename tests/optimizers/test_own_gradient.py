"""A method that evaluates the loss is given the loss's own gradient, or nothing is run."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gdjax as gd


def residuals(params):
    return params - 3.0


EVALUATING = {
    "lbfgs": lambda: gd.lbfgs(),
    "bfgs": lambda: gd.bfgs(0.5, linesearch=gd.backtracking(7)),
    "nonlinear_cg": lambda: gd.nonlinear_cg(),
    "newton": lambda: gd.newton(1.0, linesearch=None),
    "gauss_newton": lambda: gd.gauss_newton(residuals),
    "levenberg_marquardt": lambda: gd.levenberg_marquardt(residuals),
    "polyak_sgd": lambda: gd.polyak_sgd(f_min=0.3),
    "scale_by_polyak": lambda: gd.scale_by_polyak(f_min=0.3),
    "momo": lambda: gd.momo(0.7),
    "momo_adam": lambda: gd.momo_adam(0.02),
    "sam": lambda: gd.sam(gd.adam(0.03), 0.2),
    "gsam": lambda: gd.gsam(gd.sgd(0.03)),
    "looksam": lambda: gd.looksam(gd.sgd(0.03), period=3),
}
CHANGING = {
    "clip": lambda inner: gd.chain(gd.clip(0.3), inner),
    "decay": lambda inner: gd.chain(gd.add_decayed_weights(0.2), inner),
    "noise": lambda inner: gd.chain(gd.identity(), gd.chain(gd.add_noise(0.1, 0.5)), gd.average(inner, 0.9)),
    "raw": lambda inner: gd.chain(optax.clip_by_global_norm(2.0), gd.masked(inner, True)),
    "another": lambda inner: gd.named_chain(("first", gd.adam(0.1)), ("then", gd.skip_non_finite(inner))),
    "parts": lambda inner: gd.chain(gd.zero_nans(), gd.partition({"a": inner, "b": None}, "a")),
    "accumulate": lambda inner: gd.accumulate(gd.project(inner, gd.projections.box(0.0, 1.0)), 3),
    "MultiSteps": lambda inner: gd.MultiSteps(inner, 3),
    "uphill": lambda inner: gd.gsam(gd.chain(inner)),
    "in turns": lambda inner: gd.sam(inner, gd.sgd(0.1)),
}


@pytest.mark.parametrize("around", CHANGING)
def test_a_changed_gradient_beside_the_loss_is_refused_in_one_sentence(around):
    for name, make in EVALUATING.items():
        with pytest.raises(
            ValueError, match=rf"^\w+: {name}\(.*must be given the loss's own gradient, got .*"
        ) as raised:
            CHANGING[around](make())
        assert "\n" not in str(raised.value)
        assert f"inside {name}" in str(raised.value) or "leave that out" in str(raised.value)


def test_what_does_not_change_the_gradient_stands_before_any_method():
    for make in EVALUATING.values():
        looking = gd.snapshot("seen", lambda updates, state, params: 0.0)
        for node in (gd.chain(gd.identity(), looking, make(), gd.scale(0.5)), gd.average(gd.chain(make()), 0.9)):
            assert isinstance(node, gd.Optimizer)
    for inner in (gd.lbfgs(0.1, linesearch=None), gd.sgd(0.1), gd.line_search(gd.sgd(1.0)), gd.adam(0.1)):
        assert gd.chain(gd.clip(1.0), inner)
    assert gd.sam(gd.chain(gd.clip(1.0), gd.sgd(0.1)))
    assert gd.chain(gd.add_decayed_weights(0.2), gd.scale_by_lbfgs(4), gd.scale(-1.0))  # which reads no value
    assert gd.chain(gd.adam(0.25), gd.monitor({"norm": optax.global_norm})).learning_rate_at(0) == 0.25


@pytest.mark.parametrize("clips_inside", [False, True])
def test_a_search_along_a_clipped_direction_goes_by_the_slope_of_the_loss(clips_inside):
    """1/2 k x² from x, along -1: Armijo's share s of the slope holds up to 2 (1 - s) x, that is 2; here 16, 8, 4, 2."""
    x, k, clip, descend = 10.0, 70.0, gd.clip_by_global_norm(1.0), gd.sgd(1.0)
    search = gd.backtracking(9, slope_rtol=0.89, decrease_factor=0.5, increase_factor=jnp.inf, max_learning_rate=16.0)
    outside = gd.chain(clip, gd.line_search(descend, search))
    node = gd.line_search(gd.chain(clip, descend), search) if clips_inside else outside

    def value_fn(p):
        return 0.5 * k * jnp.sum(p**2)

    params, grad = jnp.array([x]), jnp.array([k * x])
    updates, _ = node.update(grad, node.init(params), params, value=value_fn(params), grad=grad, value_fn=value_fn)
    np.testing.assert_allclose(updates, [-2.0], rtol=1e-6)


def test_the_value_where_a_changed_step_leads_is_evaluated_there():
    def f(p):
        return (p[0] - 1.0) ** 2 + 30.0 * (p[1] - 0.5 * p[0]) ** 2

    found = gd.minimize(f, jnp.array([-1.0, 2.0]), gd.stable(gd.lbfgs(1.0), 0.05), max_steps=4)
    for point in (found, found.last):
        np.testing.assert_allclose(point.value, f(np.asarray(point.params, np.float64)), rtol=1e-4)


def test_a_chain_in_which_nothing_is_wrong_is_built_without_words(monkeypatch):
    parts = gd.clip(1.0), gd.adam(0.1), gd.scale(0.5)
    monkeypatch.setattr(gd.Optimizer, "__repr__", lambda node: pytest.fail(f"{node.recipe.name} is printed"))
    assert gd.chain(*parts).build() and gd.named_chain(*zip("abc", parts, strict=True)).build()
