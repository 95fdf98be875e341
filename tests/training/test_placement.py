"""A run on eight devices is the run on one, in a child process, and what `placement` turns down."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import gdjax as gd

ON_EIGHT = """
import jax, numpy as np
from jax.sharding import PartitionSpec as P
import gdjax as gd
from gdjax import losses, metrics, models

jax.config.update("jax_enable_x64", True)
compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda name, *_, **__: compiled.append(name) if name == "/jax/core/compile/backend_compile_duration" else None
)
line, square = jax.make_mesh((8,), ("data",)), jax.make_mesh((4, 2), ("data", "model"))
x = np.random.default_rng(0).normal(size=(53, 16))
data = x, (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)
model = models.mlp((16, 32, 8, 3))
loss = losses.per_example(losses.supervised(model, losses.softmax_cross_entropy_with_integer_labels))
params = model.init(jax.random.key(0))


def fit(place, rate=0.01, epochs=3, **options):
    options |= {"epochs": epochs, "batch_size": 10, "placement": place}  # 8 divides neither 10 nor 53 % 10
    return gd.fit(loss, params, gd.adam(rate), data, data, **options)


def close(a, b):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13), a, b)


one = fit(None)
places = {
    "data": gd.placement(line),
    "fsdp": gd.placement(line, params="fsdp"),
    "tensor": gd.placement(square, params={r"0\\.w$": P(None, "model"), "1.w": P("model")}),
}
for name, place in places.items():
    many = fit(place)
    close((one.params, one.history), (many.params, many.history))
    moments = many.run_state.state.opt_state.slots["mu"][0]["w"], many.run_state.best[0][0]["w"]
    parts = {"data": 1, "fsdp": 8, "tensor": 2}[name]
    assert [x.sharding.shard_shape(x.shape) for x in moments] == 2 * [(16, 32 // parts)], moments
    done = len(compiled)
    fit(place, 0.02), fit(place, epochs=5)
    assert len(compiled) == done, name
"""


def test_a_run_on_eight_devices_is_that_on_one():
    """Data parallel, FSDP and tensor parallel in float64; another rate or another length compiles nothing."""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    environment = {**os.environ, **flags, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", ON_EIGHT], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


LINE = jax.make_mesh((1,), ("data",))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"mesh": 8},
            r"placement: mesh must be a Mesh of devices, write jax.make_mesh\(\(8,\), \('data',\)\), got int",
        ),
        ({"data": "dat"}, "placement: the mesh has no axis 'dat'; did you mean 'data'"),
        ({"data": ()}, "placement: data must be at least one axis of the mesh, got none"),
        (
            {"params": "zero"},
            "placement: params must be None, 'fsdp', or patterns with their PartitionSpecs, got 'zero'",
        ),
        ({"params": {"w": "data"}}, "placement: 'w' must have a jax.sharding.PartitionSpec, got 'data'"),
        ({"params": {"w": P("modl")}}, "placement: the mesh has no axis 'modl'"),
        ({"rows": "all"}, "placement: rows must be one of replicated, got 'all'"),
    ],
)
def test_what_a_placement_cannot_be(options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        gd.placement(**{"mesh": LINE, **options})


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"bais": P()}, "placement: 'bais' must be found in one of the paths '0.bias', '0.w'; did you mean '0.bias'"),
        ({"w": P(None, None, "data")}, r"at most as many entries as '0\.w' has axes, got a leaf of shape \(3, 4\)"),
    ],
)
def test_patterns_that_do_not_fit_the_parameters(rules, words):
    params = [{"w": np.ones((3, 4)), "bias": np.ones(4)}]
    with pytest.raises(ValueError, match=words):
        gd.make_state(params, gd.sgd(0.1), placement=gd.placement(LINE, params=rules))


def test_placements_are_equal_by_value_and_automatic_inside():
    explicit = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Explicit,))
    same = [gd.placement(mesh, params={"w": P("data")}) for mesh in (LINE, explicit)]
    assert same[0] == same[1] and hash(same[0]) == hash(same[1]) and same[0] != gd.placement(LINE)
    assert set(same[1].mesh.axis_types) == {AxisType.Auto}
