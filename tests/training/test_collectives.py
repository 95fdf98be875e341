"""The collectives of a compiled program, on programs whose collectives are known."""

import os
import subprocess
import sys

from jaxlib import _hlo

from gdjax.training.collectives import Collective, of_module

ON_EIGHT_DEVICES = """
import collections
import jax, jax.numpy as jnp, numpy as np
from jax import lax
from jax.sharding import PartitionSpec as P
from gdjax.training import Collective, find_collectives

mesh = jax.sharding.Mesh(np.reshape(jax.devices(), (4, 2)), ("data", "model"))
both, ring = ("data", "model"), [(i, (i + 1) % 4) for i in range(4)]


def local(x, w, steps):
    pair = lax.psum((x, w), both)
    grown = lax.fori_loop(0, 5, lambda i, c: c + lax.all_gather(w * c.sum(), "model", tiled=True), jnp.zeros(24))
    inner = lambda i, c: lax.fori_loop(0, 3, lambda j, c: c + jnp.sin(lax.psum(c, "data")), c)
    part, moved = lax.psum_scatter(grown, both, tiled=True), lax.ppermute(w, "data", ring)
    return pair, grown, lax.fori_loop(0, steps, inner, x), part, moved


program = jax.jit(jax.shard_map(local, mesh=mesh, in_specs=(P(both), P(both), P()), out_specs=P(both), check_vma=False))
found = find_collectives(program.lower(jnp.ones((32, 5)), jnp.ones(96), 7).compile())
expected = [
    Collective("all-reduce", 4 * 20 + 4 * 12, 8, ()),  # of two arrays at once
    Collective("all-gather", 4 * 24, 2, (5,)),
    Collective("all-reduce", 4 * 20, 4, (None, 3)),
    Collective("reduce-scatter", 4 * 24, 8, ()),
    Collective("collective-permute", 4 * 12, 8, ()),
]
assert collections.Counter(found) == collections.Counter(expected), found
assert [each.sent for each in expected] == [224, 48, 120, 84, 48]
"""


def test_the_collectives_of_a_program_are_found():
    """Two arrays in one all-reduce, groups of 2, 4 and 8 devices, in loops of a known and of a traced length."""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", ON_EIGHT_DEVICES], env=os.environ | flags, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


ASYNCHRONOUS = """
HloModule on_accelerators, num_partitions=8
add { a = f32[] parameter(0)  b = f32[] parameter(1)  ROOT c = f32[] add(a, b) }
body {
  t = (s32[], f32[16,4]) parameter(0)
  i = s32[] get-tuple-element(t), index=0
  x = f32[16,4] get-tuple-element(t), index=1
  s = (f32[16,4], f32[128,4]) all-gather-start(x), replica_groups={}, dimensions={0}
  g = f32[128,4] all-gather-done(s)
  r = ((f32[128,4]), f32[16,4]) reduce-scatter-start(g), replica_groups=[1,8]<=[8], dimensions={0}, to_apply=add
  y = f32[16,4] reduce-scatter-done(r)
  ROOT u = (s32[], f32[16,4]) tuple(i, y)
}
condition {
  t = (s32[], f32[16,4]) parameter(0)
  i = s32[] get-tuple-element(t), index=0
  ROOT less = pred[] compare(i, i), direction=LT
}
ENTRY entry {
  x = f32[16,4] parameter(0)
  y = bf16[8] parameter(1)
  n = s32[] constant(0)
  s = (f32[16,4], bf16[8]) all-reduce-start(x, y), replica_groups=[2,4]<=[4,2]T(1,0), to_apply=add
  d = (f32[16,4], bf16[8]) all-reduce-done(s)
  p = (f32[16,4], f32[16,4]) collective-permute-start(x), source_target_pairs={{0,1},{1,0}}
  q = f32[16,4] collective-permute-done(p)
  t = (s32[], f32[16,4]) tuple(n, q)
  ROOT w = (s32[], f32[16,4]) while(t), condition=condition, body=body
}
"""


def test_an_asynchronous_collective_is_counted_once():
    """As the compilers for accelerators write it: a start, which may wrap the operation, and a done."""
    found = list(of_module(_hlo.hlo_module_from_text(ASYNCHRONOUS), 8))
    size = 4 * 16 * 4
    assert sorted(found, key=lambda each: each.kind) == [
        Collective("all-gather", 8 * size, 8, (None,)),
        Collective("all-reduce", size + 2 * 8, 4, ()),
        Collective("collective-permute", size, 2, ()),
        Collective("reduce-scatter", 8 * size, 8, (None,)),
    ]
