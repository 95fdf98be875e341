"""What `explain_placement` says of a step on eight devices, in a child process, and on one."""

import os
import subprocess
import sys

import numpy as np
from jaxlib import _hlo

import gdjax as gd
from gdjax.training.products import operations

ON_EIGHT_DEVICES = """
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
import gdjax as gd
from experiments.bench.plan import COUNTED

mesh = jax.sharding.Mesh(np.array(jax.devices()), "data")
sizes = [(64, 256), (256, 100), (100, 3)]
params = [{"w": np.ones(size, np.float32), "b": np.ones(size[1], np.float32)} for size in sizes]
data = np.ones((528, 64), np.float32), np.ones((528, 1), np.float32)


def loss(params, x, y):
    for layer in params:
        x = jax.nn.tanh(x @ layer["w"] + layer["b"])
    return ((x - y) ** 2).mean()


step = gd.make_step(loss)


def explain(place, batch_size=64, state=None, rows=data):
    state = gd.make_state(params, gd.adam(0.1), placement=place) if state is None else state
    return gd.explain_placement(gd.make_epoch(step, batch_size, placement=place), state, rows)


def bytes_of(found, kind):
    return sum(each.bytes for each in found.tensors if each.kind == kind)


def exchanged(found):
    return {kind: sum(x.bytes for x in found.collectives if x.kind == kind) for kind in ("all-reduce", "all-gather")}


def reduced(found):
    return exchanged(found)["all-reduce"]


count = 64 * 256 + 256 + 256 * 100 + 100 + 300 + 3
parallel = explain(gd.placement(mesh))
assert parallel.devices == 8 and parallel.work == 1 and parallel.warnings == (), parallel
assert 0 <= reduced(parallel) - 4 * count <= 64, "every gradient once, and a few sums"
assert bytes_of(parallel, "parameter") == parallel.memory.parameters == 4 * count
assert bytes_of(parallel, "rows") == parallel.memory.rows == 528 * 65 * 4

split = explain(gd.placement(mesh, params="fsdp"))
mine = 64 * 32 + 32 + 32 * 100 + 100 + 300 + 3  # 8 divides none of the last three
assert bytes_of(split, "parameter") == split.memory.parameters == 4 * mine and split.work == 1
assert 0 <= bytes_of(split, "optimizer") - 8 * mine < 100, "two moments and a few numbers"
(said,) = split.warnings
assert said.startswith("on every device, since no axis is divisible by 8: 2.w (100, 3), slots.mu.2.w"), said
for way, found in {"data parallel": parallel, "fsdp": split}.items():  # what the page of planning goes on from
    each = {kind: size / (4 * count) for kind, size in exchanged(found).items()}
    assert all(abs(each[kind] - COUNTED[way].get(kind, 0)) < 0.02 for kind in each), (way, each)
where = {each.name: each.where for each in split.tensors}
assert where["0.w"] == where["slots.nu.0.w"] == "P(None, 'data')" and where["1.w"] == "P('data')", where

ragged = explain(gd.placement(mesh), 10)
assert ragged.work == 1.6 and ragged.warnings == (
    "all devices together do 1.6 times the work of one: a batch of 10 rows is computed as 16 on 8",
)

state = jax.device_put(gd.make_state(params, gd.adam(0.1)), NamedSharding(mesh, P()))
rows = jax.tree.map(lambda x: jax.device_put(x, NamedSharding(mesh, P("data"))), data)
nowhere = explain(None, state=state, rows=rows)
assert nowhere.work == 8 and bytes_of(nowhere, "rows") == 528 * 65 * 4 / 8
assert nowhere.warnings[0].endswith("no placement divides the rows of a batch, write placement=gd.placement(mesh)")

text = str(split)
assert "8 devices, a batch of 64 rows; in matrix products all do 1.00 times the work of one" in text
assert "parameter 0.w" in text and "P(None, 'data')" in text and "all-reduce over 8" in text and "warning: " in text
"""


def test_what_is_where_and_what_is_repeated():
    """Data parallel, FSDP, a batch that is not divisible, and sharded rows without a placement, each computed 8 times."""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", ON_EIGHT_DEVICES], env=os.environ | flags, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_rows_in_the_memory_of_the_host_are_remarked():
    epoch = gd.make_epoch(gd.make_step(lambda w, rows: ((rows @ w) ** 2).mean()), 2)
    found = gd.explain_placement(epoch, gd.make_state(np.ones(3), gd.sgd(0.1)), np.ones((4, 3)))
    assert len(found.warnings) == 1 and "in the memory of the host, and copied" in found.warnings[0]
    assert found.devices == 1 and found.collectives == () and "no collectives in a step" in str(found)


PRODUCTS = """
HloModule products
ENTRY entry {
  x = f32[16,4,8] parameter(0)
  y = f32[16,8,2] parameter(1)
  z = f32[1,10,10,3] parameter(2)
  k = f32[5,5,3,7] parameter(3)
  a = f32[32,4] parameter(4)
  b = f32[4,9] parameter(5)
  d = f32[16,4,2] dot(x, y), lhs_batch_dims={0}, rhs_batch_dims={0}, lhs_contracting_dims={2}, rhs_contracting_dims={1}
  c = f32[1,6,6,7] convolution(z, k), window={size=5x5}, dim_labels=b01f_01io->b01f
  g = (f32[32,9], s8[64]) custom-call(a, b), custom_call_target="__cublas$gemm",
    backend_config={"gemm_backend_config":{"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"]}}}
  ROOT t = (f32[16,4,2], f32[1,6,6,7]) tuple(d, c)
}
"""


def test_the_operations_of_products():
    """Of a batch of products, of a convolution, and of a product that a library computes on a GPU."""
    expected = 2 * 16 * 4 * 2 * 8, 2 * 6 * 6 * 7 * (5 * 5 * 3), 2 * 32 * 9 * 4
    assert operations(_hlo.hlo_module_from_text(PRODUCTS)) == sum(expected)
