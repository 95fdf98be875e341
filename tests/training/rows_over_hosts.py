"""What spread_over_hosts.py checks of rows: each of two processes with two devices holds and reads those that it needs."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import gdjax as gd
from gdjax.data import batch_indices
from gdjax.training import reading, staged
from gdjax.training.step import ORDER

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 3)).astype(np.float32)  # batches of 7: 4 devices do not divide them, nor do they divide 24
Y = (X @ np.array([1.0, -2.0, 0.5])).astype(np.float32)
W = np.zeros(3, np.float32)
per_row = gd.per_example(lambda w, x, y: (x @ w - y) ** 2)


class Rows:
    """A source that notes what is asked of it."""

    def __init__(self):
        self.asked = []

    def __len__(self):
        return 24

    def rows(self, indices):
        self.asked.append(np.asarray(indices))
        return X[indices], Y[indices]


def fit(placement, data=(X, Y), rate=0.05, loss=per_row, **options):
    return gd.fit(loss, W, gd.adam(rate), data, placement=placement, **{"epochs": 2, "batch_size": 7, **options})


def says(words, function, *args, **options):
    with pytest.raises(ValueError, match=re.escape(words)):
        function(*args, **options)


def close(result, params):
    np.testing.assert_allclose(result.params, params, rtol=1e-5, atol=1e-6)


def on_one_device():
    """The parameters of the same run on a device of this process."""
    epoch = gd.make_epoch(gd.make_step(per_row), 7, steps=8)
    return jax.jit(epoch)(gd.make_state(W, gd.adam(0.05)), (jnp.asarray(X), jnp.asarray(Y)))[0].params


def batches(rows):
    """The batches of the run in memory, one by one."""
    for i in range(8):
        numbers, mask = batch_indices("shuffle", jax.random.fold_in(jax.random.key(0), ORDER), i, 24, 7)
        numbers = np.asarray(numbers)[np.asarray(mask)]
        yield rows[numbers], Y[numbers]


def check(index):
    mesh = jax.make_mesh((4,), ("data",))
    whole, parts = (gd.placement(mesh, rows=rows) for rows in ("replicated", "sharded"))
    one = on_one_device()

    says(
        "arrays of one process would train 2 models, one in each process; write placement=gd.placement(mesh)", fit, None
    )
    other, differs = X + np.float32(index), "fit: data must be the same in all processes, since each is given all of it"
    says(f"{differs}, got another in process 1 than in process 0", fit, whole, (other, Y))
    says("fit: what is given beside the data (params, optimizer,", fit, whole, rate=0.05 + 0.01 * index)
    one_by_one = {"epochs": None, "steps": 8, "every": 4, "batch_size": None}
    says(differs, fit, whole, gd.data.Batches(batches(other)), **one_by_one)

    in_memory, divided = fit(whole), fit(parts)
    close(in_memory, one)
    close(divided, one)
    assert parts.put_rows(X).rows.addressable_shards[0].data.shape == (6, 3)

    sharding = NamedSharding(mesh, P("data"))
    lying = tuple(jax.make_array_from_callback(x.shape, sharding, lambda at, x=x: x[at]) for x in (X, Y))
    inferred = fit(None, lying)
    np.testing.assert_array_equal(inferred.params, divided.params)
    assert "as the rows lie" in inferred.remarks[-1], inferred.remarks

    staged.MOST, reading.FIRST = 3, 2
    source = Rows()
    streamed = fit(whole, source)
    np.testing.assert_array_equal(streamed.params, in_memory.params)
    asked = np.concatenate(source.asked[2:])  # after the first rows, which tell the shapes
    assert len(asked) == 8 * (4, 3)[index], "positions 0 to 3 of each batch lie here, 4 to 6 there"
    by_batches = fit(whole, gd.data.Batches(batches(X)), **one_by_one)
    np.testing.assert_array_equal(by_batches.params, in_memory.params)
