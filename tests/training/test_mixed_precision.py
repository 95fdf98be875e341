"""Fewer bits and less memory: what they must not change, and what they change."""

import dataclasses
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_loop import equal

import gdjax as gd
from gdjax import answers, losses, models
from gdjax.training.precision import scale_gradient

RNG = np.random.default_rng(3)
X = RNG.normal(size=(40, 3)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5])).astype(np.float32)
ZERO = np.zeros(3, np.float32)


def squares(w, x, y):
    return jnp.mean((x @ w - y) ** 2)


def test_rows_and_parameters_are_rounded_inside_the_loss_and_gradients_are_the_parameters():
    seen = []

    def spy(params, batch):
        seen.append(jax.tree.map(lambda x: x.dtype, (params, batch)))
        return jnp.mean(params["w"] * batch["x"] + batch["n"].astype(params["w"].dtype))

    params, rows = {"w": jnp.float32(1 + 2.0**-10)}, {"x": jnp.full(4, 1 + 2.0**-10), "n": jnp.zeros(4, jnp.int32)}
    step = gd.make_step(spy, compute_dtype="bfloat16")
    state, metrics = step(gd.make_state(params, gd.sgd(2.0**-10)), rows)
    short = jnp.dtype(jnp.bfloat16)
    assert all(types == ({"w": short}, {"x": short, "n": jnp.dtype(jnp.int32)}) for types in seen)
    assert state.params["w"] == 1.0 and state.params["w"].dtype == jnp.float32, (
        "2^-10 is lost in the loss, not in the sum"
    )
    assert metrics["loss"] == 1.0 and metrics["loss"].dtype == jnp.float32
    with pytest.raises(ValueError, match=r"make_step: compute_dtype must be a dtype of real .*, got 'int8'"):
        gd.make_step(spy, compute_dtype="int8")


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16], ids=["float32 parameters", "float16 parameters"])
def test_a_scale_keeps_gradients_that_float16_has_no_numbers_for(dtype, number):
    """What goes back is of size 2^-28, below the smallest number of float16, 2^-24, which is 0 there, as here."""

    @jax.custom_vjp
    def hold(x):
        return x

    hold.defvjp(lambda x: (x, None), lambda _, g: (jnp.where(jnp.abs(g) < 2.0**-24, 0, g),))  # XLA may keep more digits
    small = lambda p, x: jnp.mean(hold(p * x).astype(jnp.float32)) * 2.0**-28  # noqa: E731
    step = gd.make_step(small, compute_dtype="float16", microbatches=number)
    rows = jnp.array([1.0, 2.0, 4.0, 1.0, 4.0, 6.0])

    def change(optimizer):
        state = gd.make_state(jnp.zeros((), dtype), optimizer)
        return float(step(state, rows)[0].params)

    assert change(gd.sgd(2.0**20)) == 0
    np.testing.assert_allclose(change(gd.scale_loss(gd.sgd(2.0**20))), -3 * 2.0**-8, rtol=1e-2)


def test_the_gradient_of_a_scaled_loss_is_seen_by_whatever_differentiates_it():
    """A step uphill and a step along the curvature: in a loss of second order a scale of any size has no effect."""
    f = lambda w, x, y: squares(w, x, y) * 2.0**-10  # noqa: E731
    for inner in (gd.sam(gd.sgd(10.0), 0.1), gd.chain(gd.clip_by_global_norm(0.001), gd.sgd(1.0))):
        scaled, plain = (gd.make_step(f)(gd.make_state(ZERO, o), (X, Y))[0] for o in (gd.scale_loss(inner), inner))
        np.testing.assert_allclose(scaled.params, plain.params, rtol=1e-6)
    w = jnp.array([1.0, 2.0])
    cubes = lambda w: scale_gradient(jnp.sum(scale_gradient(w, 0.25) ** 3), 4.0)  # noqa: E731
    np.testing.assert_allclose(jax.jvp(jax.grad(cubes), (w,), (jnp.ones(2),))[1], 6 * w, rtol=1e-6)


def test_an_overflow_halves_the_scale_skips_one_update_and_is_resumed_to_the_bit():
    """Row 13 is too large for float16. The step before it and the one after it are those of a run without its batch."""
    x = X.copy()
    x[13] = 1e6
    step = gd.make_step(squares, compute_dtype="float16")
    optimizer = gd.scale_loss(gd.adam(0.05), 2.0**12, growth_interval=6)

    def run(epochs, **options):
        return gd.fit(step, ZERO, optimizer, (x, Y), epochs=epochs, batch_size=8, order="sequence", **options)

    first, whole = run(1), run(3)
    assert first.last.opt_state.loss_scale == 2.0**11 and first.last.opt_state.skipped == 1
    assert (int(first.last.step), int(first.last.batches)) == (4, 5)
    assert whole.last.opt_state.loss_scale == 2.0**9 and whole.stop.name == "BUDGET", "never six good ones in a row"
    equal(run(3, resume=first).run_state, whole.run_state)
    keep = np.r_[0:8, 16:40]
    without = gd.fit(step, ZERO, optimizer, (x[keep], Y[keep]), epochs=1, batch_size=8, order="sequence")
    equal(without.last.params, first.last.params)
    np.testing.assert_allclose(first.history["loss"], without.history["loss"], rtol=1e-6)
    small = optimizer.replace(init_scale=2.0**4)
    grown = gd.fit(step, ZERO, small, (X, Y), epochs=3, batch_size=8)
    assert grown.last.opt_state.loss_scale == 2.0**6 and grown.last.opt_state.good_steps == 3


def test_the_scale_falls_until_no_part_of_a_partition_overflows():
    """One loss has one scale, the least: the gradient of b is 1,000 scale, of which float16 holds that of 2^6 at most."""
    parts = {name: gd.scale_loss(gd.sgd(1e-6), scale) for name, scale in (("a", 2.0**13), ("b", 2.0**15))}
    step = gd.make_step(lambda p, x: jnp.mean(p["a"] * x + 1e3 * p["b"] * x), compute_dtype="float16")
    state = gd.make_state(dict.fromkeys("ab", jnp.ones(())), gd.partition(parts, {"a": "a", "b": "b"}))
    scales = []
    for _ in range(12):
        scales.append(float(answers.loss_scale(state.opt_state)))
        state, _ = jax.jit(step)(state, jnp.ones(4))
    assert scales == [2.0**n for n in (13, 13, 13, 12, 11, 10, 9, 8, 7, 6, 6, 6)]
    np.testing.assert_allclose(state.params["b"], 1 - 3e-3, rtol=1e-3)


def test_a_float32_master_keeps_updates_that_bfloat16_loses():
    """Each update is 1e-4 of the weight, whose spacing is 2^-7 = 0.0078."""
    step, start = gd.make_step(lambda w, x: jnp.mean(w * x)), jnp.ones(4, jnp.bfloat16)

    def run(optimizer):
        advance, state = jax.jit(step), gd.make_state(start, optimizer)
        for _ in range(200):
            state, _ = advance(state, jnp.full((8, 4), 4.0, jnp.bfloat16))
        return np.asarray(state.params, float)

    np.testing.assert_array_equal(run(gd.sgd(1e-4)), 1)
    np.testing.assert_allclose(run(gd.master_weights(gd.sgd(1e-4))), 0.98, atol=2.0**-8)


DIGITS = models.mlp((64, 32, 10))
DIGITS_LOSS = losses.per_example(
    losses.supervised(DIGITS, losses.softmax_cross_entropy_with_integer_labels, {"accuracy": gd.metrics.correct})
)


@pytest.mark.nightly  # a float16 run that learns is also in tests/cli; here it is measured against float32
def test_float16_with_a_scale_learns_the_digits_as_float32_does():
    data = gd.data.load("digits")
    rows = data.x.astype(np.float32), data.y
    train, found = jax.tree.map(lambda x: x[:1400], rows), {}
    for dtype in (None, "float16"):
        step = gd.make_step(DIGITS_LOSS, compute_dtype=dtype)
        optimizer = gd.scale_loss(gd.adam(0.01), growth_interval=100)
        result = gd.fit(step, DIGITS.init(jax.random.key(0)), optimizer, train, rows, steps=250, every=250)
        found[dtype] = result.history["validation_accuracy"][-1]
    assert found[None] > 0.95 and abs(found[None] - found["float16"]) < 0.005


def test_rematerialized_the_gradient_is_the_same():
    """Dropout, metrics and an index of rows among the operations; also what an optimizer evaluates itself."""
    model = models.mlp((3, 8, 2), dropout=0.2)
    loss = losses.per_example(
        losses.supervised(model, losses.softmax_cross_entropy_with_integer_labels, {"accuracy": gd.metrics.correct})
    )
    state = gd.make_state(model.init(jax.random.key(0)), gd.sam(gd.sgd(0.1)))
    found = [
        jax.jit(gd.make_step(loss, remat=remat, microbatches=4))(state, (X, (Y > 0).astype(np.int32)))
        for remat in (False, True)
    ]
    (plain, metrics), (again, others) = found
    chex.assert_trees_all_close((again.params, others), (plain.params, metrics), rtol=1e-5, atol=1e-7)


def temporary_bytes(loss, params, rows, **options):
    state = gd.make_state(params, gd.sgd(0.1))
    program = jax.jit(gd.make_step(loss, **options), donate_argnums=0)
    return program.lower(state, rows).compile().memory_analysis().temp_size_in_bytes


def test_remat_and_microbatches_take_less_memory():
    """Of twelve layers about four activations are kept, and of one batch in eight parts one part."""
    model = models.mlp((8, *[16] * 12, 1))
    loss = losses.per_example(losses.supervised(model, losses.squared_error))
    params, rows = model.init(jax.random.key(0)), (np.zeros((4096, 8), np.float32), np.zeros((4096, 1), np.float32))
    whole = temporary_bytes(loss, params, rows)
    if jax.__version_info__ >= (0, 12):  # before, XLA:CPU undid it
        assert temporary_bytes(loss, params, rows, remat=True) < 0.7 * whole
    assert temporary_bytes(loss, params, rows, microbatches=8) < 0.3 * whole


def test_the_memory_that_is_told_is_that_of_the_compiled_program_and_of_its_arrays():
    """Beside the parameters, two moments of each and one gradient, a network holds what its layers leave for one batch."""
    widths, rows = (32, *[64] * 4, 1), 2048
    model = models.mlp(widths)
    loss = losses.per_example(losses.supervised(model, losses.squared_error))
    step, state = gd.make_step(loss), gd.make_state(model.init(jax.random.key(0)), gd.adam(0.1))
    batch = np.zeros((rows, 32), np.float32), np.zeros((rows, 1), np.float32)
    found = gd.training.memory(step, state, batch)
    said = jax.jit(step, donate_argnums=0).lower(state, batch).compile().memory_analysis()
    number = sum(a * b + b for a, b in itertools.pairwise(widths))
    assert (found.parameters, found.gradients, found.rows) == (4 * number, 4 * number, 4 * rows * 33)
    assert 0 <= found.optimizer - 8 * number < 100 and 0 <= found.other < 2000
    parts = dataclasses.asdict(found)
    taken = said.argument_size_in_bytes + said.temp_size_in_bytes
    assert found.program == pytest.approx(taken, rel=0.01)
    assert sum(parts.values()) - found.program == pytest.approx(taken, rel=0.01)
    layers = 4 * rows * sum(widths[1:])
    assert layers <= found.activations <= 4 * layers
    assert str(found).splitlines()[-1].split() == ["at", "most", f"{found.program / 1e6:.2f}"]


def test_the_start_copies_no_array_that_it_has_made_and_leaves_those_that_it_was_given(monkeypatch):
    copied = []
    copy = gd.tree.distinct_copy

    def note(tree):
        copied.extend(x.nbytes for x in jax.tree.leaves(tree) if not isinstance(x, jax.core.Tracer))
        return copy(tree)

    monkeypatch.setattr("gdjax.training.step.tree.distinct_copy", note)
    params, held = jnp.ones(1000), jnp.arange(3.0)

    def init(params):
        return {"given": params, "again": params, "captured": held, "moments": (jnp.zeros(1000), jnp.zeros(1000))}

    def update(grads, state, params=None):
        return jax.tree.map(lambda g: -0.1 * g, grads), state

    state = gd.make_state(params, optax.GradientTransformation(init, update))
    assert sum(copied) == held.nbytes
    step = jax.jit(gd.make_step(lambda w, x: jnp.mean(w) * jnp.mean(x)), donate_argnums=0)
    state, _ = step(state, jnp.ones(4))
    assert params[0] + held[1] + state.opt_state["given"][0] + state.opt_state["captured"][1] == 4
