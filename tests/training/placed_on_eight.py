"""Run by test_placement.py in a process of eight devices: whatever a run does, it does on all of them as on one."""

import filecmp
import functools
import sys
import tempfile
import warnings
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rows_on_devices
from jax.sharding import AxisType, Mesh, PartitionSpec

import gdjax as gd
from gdjax import backprop, losses, metrics, models, stopping
from gdjax.training.lanes import Lanes, Start

jax.config.update("jax_enable_x64", True)
compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda name, *_, **__: compiled.append(name) if name == "/jax/core/compile/backend_compile_duration" else None
)

P = PartitionSpec
LINE, SQUARE = Mesh(np.array(jax.devices()), "data"), Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))
PLACES = {
    "data": gd.placement(LINE),
    "fsdp": gd.placement(LINE, params="fsdp"),
    "tensor": gd.placement(SQUARE, params={r"0\.w$": P(None, "model"), "1.w": P("model")}),
}
X = np.random.default_rng(0).normal(size=(53, 16))
DATA = X, (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
MODEL = models.mlp((16, 8, 3))
LOSS = losses.per_example(losses.supervised(MODEL, losses.softmax_cross_entropy_with_integer_labels))
PARAMS = MODEL.init(jax.random.key(0))


@functools.cache
def alone(epochs):
    """On one device."""
    return fit(None, epochs=epochs)


def fit(place, rate=0.01, epochs=2, **options):
    options |= {"epochs": epochs, "batch_size": 10, "placement": place}  # 8 divides neither 10 nor 53 % 10
    return gd.fit(LOSS, PARAMS, gd.adam(rate), DATA, DATA, **options)


def close(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13), a, b)


def check_runs(names=("data", "fsdp")):
    """Equal to one device, each leaf where it belongs, and no program compiled twice; moved from one place to another."""
    for name in names:
        place = PLACES[name]
        many = fit(place)
        close((alone(2).params, alone(2).history), (many.params, many.history))
        moments = many.run_state.state.opt_state.slots["mu"][0]["w"], many.run_state.best[0][0]["w"]
        parts = {"data": (16, 8), "fsdp": (2, 8), "tensor": (16, 4)}[name]
        assert [x.sharding.shard_shape(x.shape) for x in moments] == [parts, parts], moments
        done = len(compiled)
        fit(place, epochs=4, resume=many)
        assert "no step moved the parameters" in str(fit(place, 0.0).remarks) and not many.remarks
        assert len(compiled) == done, name
    first = fit(PLACES[names[-1]], epochs=1)
    moved = fit(PLACES[names[0]], epochs=4, resume=fit(None, epochs=3, resume=first))
    close((alone(4).params, alone(4).history), (moved.params, moved.history))
    assert np.isfinite(PLACES[names[-1]].gather(first.params)[0]["w"]).all(), "it is kept"


check_tensors = functools.partial(check_runs, ("data", "tensor"))


def check_a_mesh_that_is_set_and_a_module():
    """A run of a foreign module, born sharded, on an explicit mesh that the user has set, is that on one device."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Explicit,))
    loss, rows = gd.per_example(lambda module, x: jnp.sum(module(x) ** 2)), np.linspace(-1, 1, 53 * 4).reshape(53, 4)
    make = lambda key: eqx.nn.MLP(4, 1, 8, 1, key=key)  # noqa: E731
    place, module = gd.placement(mesh, params="fsdp"), make(jax.random.key(0))
    with jax.set_mesh(mesh):
        born = place.init(make, jax.random.key(0))
        with warnings.catch_warnings(action="error"):  # as of a donated buffer that is not usable: the state has moved
            state = gd.fit(loss, born, gd.adam(0.1), rows, epochs=1, placement=place).run_state.state
        found = gd.make_evaluate(loss, placement=place)(born, rows)["loss"]
    assert jax.tree.leaves(state.params)[0].sharding.spec == P("data")
    np.testing.assert_allclose(found, gd.make_evaluate(loss)(module, rows)["loss"], rtol=1e-6)


def check_refusals():
    """A spec that does not divide a leaf names both; of a leaf that "fsdp" cannot divide every device has all."""
    params = {"w": np.ones((6, 4)), "v": np.ones(16)}
    with pytest.raises(
        ValueError, match=r"divides an axis of 'w' by 8, which must divide its length 6, got shape \(6, 4\)"
    ):
        gd.make_state(params, gd.sgd(0.1), placement=gd.placement(LINE, params={"w": P("data")}))
    held = PLACES["fsdp"].specs(params, params)
    assert held == {"w": P(), "v": P("data")}


def check_checkpoints():
    """The same bytes from any placement, and from them the same state on any other."""
    state = alone(2).run_state
    with tempfile.TemporaryDirectory() as folder:
        for name, place in PLACES.items():
            spread = place.put(state._replace(history={}), state.state.params)._replace(history=state.history)
            gd.save_run(Path(folder) / name, spread)
            gd.save_run(Path(folder) / "one", state)
            for file in ("arrays.safetensors", "manifest.json"):
                assert filecmp.cmp(Path(folder) / name / file, Path(folder) / "one" / file, shallow=False), (name, file)
            loaded = gd.load_run(Path(folder) / "one", spread)
            for a, b, c in zip(*map(jax.tree.leaves, (loaded, spread, state)), strict=True):
                assert np.array_equal(
                    jax.random.key_data(a) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else a,
                    jax.random.key_data(c) if jnp.issubdtype(c.dtype, jax.dtypes.prng_key) else c,
                )
                assert not isinstance(b, jax.Array) or a.sharding == b.sharding


def check_all_at_once():
    """Batch norm over the rows of all devices, dropout, microbatches that they do not divide, a probe, an average with
    refreshed statistics, and changes of the loss over batches. No bias stands before the norm: of a sum that is 0 in exact
    arithmetic adam takes the sign."""
    model = models.serial(models.batch_norm(16), models.dropout(0.2), models.dense(16, 3))
    loss = losses.per_example(losses.supervised(model, losses.softmax_cross_entropy_with_integer_labels))
    params, states = model.init(jax.random.key(1)), model.init_state()
    watch = backprop.watch(loss, params, DATA, every=2, model_state=states)
    step = gd.make_step(loss, probes=watch, microbatches=3)
    options = {
        "epochs": 2,
        "batch_size": 20,
        "model_state": states,
        "refresh": 3,
        "stop": stopping.change(1e-9, over="batch"),
    }
    runs = [
        gd.fit(step, params, gd.average(gd.adam(0.01)), DATA, DATA, placement=place, **options)
        for place in (None, PLACES["fsdp"])
    ]
    one, many = ((each.params, each.model_state, each.history, each.last.params) for each in runs)
    close(one, many)


def check_steps_without_mask():
    """A loss that takes no mask has a smaller last step, and an epoch alone no second program."""
    plain = lambda w, batch: jnp.mean(jnp.logaddexp(0, batch[0] @ w) - (batch[1] > 0) * (batch[0] @ w))  # noqa: E731
    found = []
    for place in (None, PLACES["fsdp"]):
        epoch = gd.make_epoch(gd.make_step(plain), 10, placement=place)
        start, counts = gd.make_state(np.zeros(16), gd.momentum(0.1), placement=place), []
        for each in gd.iterate(epoch, start, DATA, 3, keep=False):
            counts.append(len(compiled))
            last = each[0].params, each[1]
        assert counts[0] == counts[2], counts
        found.append(last)
    close(*found)


def check_evaluations():
    """Metrics that need all rows at once, in chunks that are ragged and that the devices do not divide."""
    labels = (DATA[1] > 0).astype(int)
    loss = losses.per_example(lambda w, x, y: (x @ w - y) ** 2)
    measured = {"auc": metrics.roc_auc, "r2": metrics.r2}
    evaluate = [gd.make_evaluate(loss, measured, lambda w, x: x @ w, 20, placement=p) for p in (None, PLACES["fsdp"])]
    close(*(each(PARAMS[0]["w"][:, 0], (X, labels)) for each in evaluate))


def check_failures():
    """The step with which a run has gone wrong is the same one, on rows that the devices do not divide."""
    loss = losses.per_example(lambda w, x, y: jnp.log(3.2 - w @ w) + 0 * y)
    found = []
    for place in (None, PLACES["fsdp"]):
        run = gd.make_run(gd.make_epoch(gd.make_step(loss), 10, placement=place))
        state = gd.make_state(np.full(16, 0.1), gd.sgd(0.3), placement=place)
        start = gd.start_run(run, state, stopping.non_finite(), DATA, None, steps=6)
        failure = gd.find_failure(run, start, DATA, batches=12)
        found.append((int(failure.state.batches), failure.leaves, failure.rows.tolist(), failure.batch[0].tolist()))
    assert found[0] == found[1] and found[0][1] == ("loss",), found


def check_lanes():
    """Runs side by side, of which one stops early."""
    loss = losses.per_example(lambda w, x, y: (x @ w - y) ** 2)
    optimizers = [gd.sgd(rate).canonicalize() for rate in (0.01, 0.02, 3.0)]
    stacked = jax.tree.map(lambda *each: jnp.stack(each)[None], *optimizers)
    condition = jax.tree.map(lambda x: jnp.broadcast_to(x, (1, 3)), stopping.divergence().canonicalize())
    key, ones, running = jax.random.key(2)[None], np.ones((1, 3)), np.zeros((1, 3), np.int32)
    start = Start(np.zeros((1, 16)), (), key, stacked, condition, ones, running)
    found = []
    for place in (None, PLACES["fsdp"]):
        lanes = Lanes(gd.make_run(gd.make_epoch(gd.make_step(loss), 10, placement=place), gd.make_evaluate(loss)))
        begun = jax.jit(lanes.start)(start, {}, DATA, DATA, np.int32(6))
        program = jax.jit(lanes)
        ended = program(program(begun, {}, DATA, DATA, 2, np.int32(6)), {}, DATA, DATA, 4, np.int32(6))
        assert program._cache_size() == 1
        found.append((ended.state.params[0, :2], ended.best_value, ended.stop, ended.evaluations))
    assert found[0][3][0, 2] < 4, "the last rate is too large"
    close(*found)


CHECKS = {
    "suite": (
        check_refusals,
        check_a_mesh_that_is_set_and_a_module,
        check_runs,
        check_checkpoints,
        check_steps_without_mask,
        check_evaluations,
        *rows_on_devices.SUITE,
    ),
    "nightly": (check_tensors, check_all_at_once, check_failures, check_lanes, *rows_on_devices.NIGHTLY),
}

if __name__ == "__main__":
    for check in CHECKS[sys.argv[1]]:
        check()
