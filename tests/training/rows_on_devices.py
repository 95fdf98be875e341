"""What placed_on_eight.py checks of rows that are divided over eight devices."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import gdjax as gd
from gdjax import metrics
from gdjax.data import batch_indices, permute
from gdjax.training import reading, staged
from gdjax.training.inference import infer_placement
from gdjax.training.products import work_ratio
from gdjax.training.statistics import refreshed
from gdjax.training.step import ORDER

RNG = np.random.default_rng(0)
X = RNG.normal(size=(51, 3))  # 8 divides neither 51 nor 10, nor 10 divides 51 or 48
Y = X @ np.array([1.0, -2.0, 0.5]) + 0.1 * RNG.normal(size=51)
W, KEY = np.zeros(3), jax.random.key(3)
ORDERS = "shuffle", "replacement", "sequence"
EVEN = X[:48], Y[:48]  # which arrays that lie on eight devices have to be
per_row = gd.per_example(lambda w, x, y: (x @ w - y) ** 2)  # takes a mask


def at_once(w, x, y):
    return jnp.mean((x @ w - y) ** 2)


def line():
    return jax.make_mesh((8,), ("data",))  # with explicit axes


def place(rows):
    return gd.placement(line(), rows=rows)


def lay(tree, *spec, mesh=None):
    sharding = NamedSharding(mesh or line(), P(*spec))
    return jax.tree.map(lambda x: jax.device_put(x, sharding), tree)


def fit(loss=per_row, placement=None, data=EVEN, params=W, **options):
    options = {"epochs": 2, "batch_size": 10, "key": KEY, **options}
    return gd.fit(loss, params, gd.adam(0.05), data, placement=placement, **options)


def close(a, b):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13), a, b)


def equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, (a.params, a.history["loss"]), (b.params, b.history["loss"]))


def says(words, function, *args, **options):
    with pytest.raises(ValueError, match=re.escape(words)):
        function(*args, **options)


def rows_of_shards(order, batch, n, size=10, shards=8):
    """The rows of a batch, position by position, from the law of `shard_indices`; of a draw, the shard of each."""
    key, parts = jax.random.fold_in(KEY, ORDER), np.array_split(np.arange(n), shards)
    epoch, number = divmod(batch, -(-n // size))
    if order == "replacement":
        yield from (position % shards for position in range(batch * size, batch * size + size))
        return
    for position in range(number * size, min(n, number * size + size)):
        shard, place = position % shards, position // shards
        if order == "shuffle":
            own = jax.random.fold_in(jax.random.fold_in(key, epoch), shard)
            place = int(permute(own, np.int32(place), len(parts[shard])))
        yield int(parts[shard][place])


def check_the_rows_of_each_batch():
    """Of every order: those of one device, or each device's own, every row once; also of fewer rows than devices."""
    for n, rows, orders in [(51, "sharded", ORDERS), (51, "local", ORDERS), (5, "sharded", ["shuffle"])]:
        count = 2 * -(-n // 10) if n > 10 else 2
        for order in orders:
            epoch = gd.make_epoch(gd.make_step(per_row), min(n, 10), order=order, placement=place(rows))
            data, key = epoch.placement.put_rows(np.arange(n)), jax.random.fold_in(KEY, ORDER)

            def of_batch(i, data, epoch=epoch):
                where, mask = epoch.rows_of(KEY, data, i)
                return epoch.take_rows(data, where), mask.ravel()

            batches = [jax.jit(of_batch)(np.int32(i), data) for i in range(count)]
            found = [sorted(np.asarray(batch)[np.asarray(mask)].tolist()) for batch, mask in batches]
            if rows == "local" and order == "replacement":
                shard = np.repeat(np.arange(8), [len(part) for part in np.array_split(np.arange(n), 8)])
                found = [sorted(shard[batch]) for batch in found]
            if rows == "local":
                expected = [sorted(rows_of_shards(order, i, n)) for i in range(count)]
            else:
                each = [batch_indices(order, key, i, n, min(n, 10)) for i in range(count)]
                expected = [sorted(np.asarray(numbers)[np.asarray(mask)].tolist()) for numbers, mask in each]
            assert found == expected, (n, rows, order, found, expected)
            if order != "replacement":
                assert sorted(np.concatenate(found)) == sorted([*range(n)] * 2), "every row once an epoch"
    (leaf,) = jax.tree.leaves(place("sharded").put_rows(X))
    assert leaf.sharding.shard_shape(leaf.shape) == (7, 3), "a device holds its part alone"


def check_gradient_descent_by_hand():
    """On the rows that each device draws from its own; and the remark."""
    w, losses = W, []
    for batch in range(12):
        rows = [*rows_of_shards("shuffle", batch, 51)]
        residual = X[rows] @ w - Y[rows]
        losses.append(np.mean(residual**2))
        w = w - 0.1 * 2 * X[rows].T @ residual / len(rows)
    options = {"epochs": 2, "batch_size": 10, "key": KEY, "placement": place("local")}
    found = gd.fit(per_row, W, gd.sgd(0.1), (X, Y), **options)
    close(found.params, w)
    weights = [10, 10, 10, 10, 10, 1]
    close(found.history["loss"], [np.average(part, weights=weights) for part in (losses[:6], losses[6:])])
    assert "each of 8 devices draws its part of a batch from its own rows" in found.remarks[-1]


def check_smaller_last_steps_and_exchanged_evaluations():
    """Of a loss that takes no mask."""
    one, many = (fit(at_once, given, (X, Y), validation=(X, Y)) for given in (None, place("sharded")))
    close((one.params, one.history), (many.params, many.history))


def check_nothing_but_gradients_is_exchanged():
    """A step of local rows exchanges the sums of its metrics and the gradient: 3 numbers and few more."""
    exchanged = {}
    for rows in ("local", "sharded"):
        epoch = gd.make_epoch(gd.make_step(at_once), 16, placement=place(rows))
        state = gd.make_state(W, gd.adam(0.05), placement=epoch.placement)
        data = epoch.placement.put_rows(EVEN)
        found = gd.training.find_collectives(jax.jit(epoch).lower(state, data, np.int32(3)).compile())
        assert {each.kind for each in found} == {"all-reduce"}, found
        exchanged[rows] = sum(each.bytes for each in found)
    assert exchanged["local"] <= 8 * (3 + 3) and exchanged["sharded"] >= 16 * 8 * (3 + 1), exchanged


def check_an_evaluation_of_divided_rows():
    """In chunks of any size, with a mask or without, of rows that the devices divide or not."""
    for n, size, loss in [(51, 20, per_row), (48, 40, at_once)]:
        options = {"metrics": {"r2": metrics.r2}, "predict": lambda w, x: x @ w, "chunk_size": size}
        w, rows = np.arange(3.0), (X[:n], Y[:n])
        one, many = (gd.make_evaluate(loss, placement=given, **options)(w, rows) for given in (None, place("local")))
        np.testing.assert_allclose(one.pop("r2"), many.pop("r2"), rtol=1e-6)  # in float32
        close(one, many)


class Rows:
    """A source of the rows."""

    def __len__(self):
        return 48

    def rows(self, indices):
        return X[indices], Y[indices]


def batches():
    """The batches of the run in memory, one by one."""
    for i in range(10):
        rows, mask = batch_indices("shuffle", jax.random.fold_in(KEY, ORDER), i, 48, 10)
        rows = np.asarray(rows)[np.asarray(mask)]
        yield X[rows], Y[rows]


def check_rows_that_lie_on_devices_and_rows_that_come_in_windows():
    """Arrays on an explicit mesh that is set are a run of the same rows; a source and a loader to the last bit."""
    staged.MOST, reading.FIRST = 3, 2
    one, many = fit(), fit(placement=place("replicated"))
    with jax.set_mesh(line()):
        inferred = fit(data=lay(EVEN, "data"))
    for found in (many, inferred):
        close((one.params, one.history), (found.params, found.history))
        assert found.run_state.state.params.sharding.num_devices == 8
    assert "batches are divided over the 8 devices of 'data', as the rows lie" in inferred.remarks[-1]
    with jax.set_mesh(line()):
        placement = gd.placement()
    assert placement == place("replicated")
    equal(fit(data=Rows(), placement=placement), many)
    by_batches = {"epochs": None, "steps": 10, "every": 5, "batch_size": None}
    equal(fit(data=gd.data.Batches(batches()), placement=placement, **by_batches), many)


def check_what_is_inferred():
    square = jax.make_mesh((4, 2), ("rows", "parts"))
    w = {"w.0": np.ones((4, 6)), "b": np.ones(6)}
    params = {"w.0": lay(w["w.0"], None, "parts", mesh=square), "b": lay(w["b"], mesh=square)}
    rules = {r"^w\.0$": P(None, "parts")}
    assert infer_placement(w, EVEN, None) == (None, ())
    assert infer_placement(params, EVEN, None)[0] == gd.placement(square, "rows", rules)
    both = lay(X[:48], ("rows", "parts"), mesh=square), lay(Y[:48], mesh=square)
    assert infer_placement(w, both, None)[0] == gd.placement(square, ("rows", "parts"), rows="sharded")
    assert infer_placement(w, lay(X, mesh=square), None)[0] == gd.placement(square, ("rows", "parts"))
    says(
        "got params['b'] on Mesh(rows=4, parts=2) of the devices 0 to 7 and data on", infer_placement, params, lay(X), 0
    )
    columns = lay(np.ones((8, 8)), None, "data")
    says("data may be divided by rows, their leading axis, alone", infer_placement, w, columns, None)
    mixed = lay(X[:48], "rows", mesh=square), lay(Y[:48], "parts", mesh=square)
    says("over the same axes of the mesh, got ('rows',) at data[0] and ('parts',)", infer_placement, w, mixed, None)


def check_what_is_refused():
    for data, words in [
        (
            (X, Y),
            "need a loss that takes a mask, as gd.per_example makes one, or batches that 8 devices divide and that",
        ),
        ((X[:5], Y[:5]), "rows that are local must be at least one for each of 8 devices, got 5; write rows='sharded'"),
    ]:
        says(words, fit, at_once, place("local"), data, batch_size=3)
    epoch = gd.make_epoch(gd.make_step(per_row), 10, placement=place("local"))
    state = gd.make_state(W, gd.sgd(0.1), placement=epoch.placement)
    says("write data = placement.put_rows(data), got traced arrays", jax.jit(epoch), state, EVEN)
    says("placement: a mesh must be given", gd.placement)


def check_what_rows_on_devices_mean():
    """A loss that is no mean reads all rows at once, another in chunks, masked or exchanged. Rows are those of the placement
    that put them, and a cause is told."""
    local, sharded = place("local"), place("sharded")
    root = gd.make_evaluate(lambda w, x, y, mask: jnp.sqrt(jnp.mean((x @ w - y) ** 2, where=mask)), chunk_size=51)
    expected = np.mean((X @ np.ones(3) - Y) ** 2)
    for evaluate, power in [(root, 0.5), *((gd.make_evaluate(each, chunk_size=20), 1) for each in (per_row, at_once))]:
        found = dataclasses.replace(evaluate, placement=local)(np.ones(3), (X, Y))
        np.testing.assert_allclose(found["loss"], expected**power, rtol=1e-11)

    step, data = gd.make_step(per_row), local.put_rows((X, Y))
    epoch = gd.make_epoch(step, 10, take=lambda data, i: gd.data.take(data, i), placement=local)
    says("a take of your own needs data of which every device has all rows", epoch, gd.make_state(W, gd.sgd(0.1)), data)
    assert infer_placement(W, data, None)[0] == local and infer_placement(W, data, data)[0] == local
    for other in (sharded, place("replicated"), gd.placement(jax.make_mesh((4,), ("data",)), rows="local")):
        says("by the placement that reads them", fit, per_row, other, data)

    loss = gd.losses.supervised(gd.models.dense(3, 3), gd.losses.softmax_cross_entropy_with_integer_labels)
    params, wrong = {"w": np.zeros((3, 3)), "b": np.zeros(3)}, (X[:48], np.where(np.arange(48) == 47, 7, 0))
    given = {"data": lay(wrong, "data"), "params": lay(params), "epochs": 1}
    says("labels must be in [0, 3), got 7", fit, gd.per_example(loss), **given)


def check_rows_of_a_refresh_are_divided():
    """Of a batch that is exchanged each device reads its part alone."""
    loss, place_ = gd.stateful(lambda w, mean, x, key: (0.0, {}, jnp.mean(x @ w, axis=0))), place("sharded")
    refresh = jax.jit(lambda w, mean, data: refreshed(loss, 1, 16, w, mean, data, KEY, placement=place_))
    lowered = refresh.lower(np.ones((3, 3)), np.zeros(3), place_.put_rows(X))
    np.testing.assert_allclose(work_ratio(lowered, lowered.compile()), 1)


NIGHTLY = (
    check_an_evaluation_of_divided_rows,
    check_smaller_last_steps_and_exchanged_evaluations,
    check_rows_that_lie_on_devices_and_rows_that_come_in_windows,  # rows_over_hosts.py has them over two processes
)
SUITE = tuple(each for name, each in globals().items() if name.startswith("check_") and each not in NIGHTLY)
