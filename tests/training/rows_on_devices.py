"""The program of test_placed_rows.py, on eight devices: rows that are divided over them."""

import time

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax import metrics
from gdjax.data import permute
from gdjax.training.step import ORDER

RNG = np.random.default_rng(0)
X = RNG.normal(size=(51, 3))  # 8 divides neither 51 nor 10, nor 10 divides 51
Y = X @ np.array([1.0, -2.0, 0.5]) + 0.1 * RNG.normal(size=51)
W = np.zeros(3)
per_row = gd.per_example(lambda w, x, y: (x @ w - y) ** 2)  # takes a mask


def at_once(w, x, y):
    return jnp.mean((x @ w - y) ** 2)


def place(rows):
    return gd.placement(jax.make_mesh((8,), ("data",)), rows=rows)


def fit(loss, rows, data=(X, Y), **options):
    options = {"epochs": 2, "batch_size": 10, "key": 3, "validation": data, **options}
    return gd.fit(loss, W, gd.adam(0.05), data, placement=rows and place(rows), **options)


def close(a, b):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13), a, b)


def check_the_same_rows_as_on_one_device():
    """Of every order, by masks and by smaller last steps, also of a table of fewer rows than there are devices."""
    for loss, options in [
        (per_row, {}),
        (at_once, {"order": "replacement"}),
        (at_once, {"order": "sequence", "data": (X[:5], Y[:5]), "batch_size": 3}),
    ]:
        one, many = fit(loss, None, **options), fit(loss, "sharded", **options)
        close((one.params, one.history), (many.params, many.history))
    (rows,) = jax.tree.leaves(place("sharded").put_rows(X))
    assert rows.sharding.shard_shape(rows.shape) == (7, 3), "a device holds its part alone"


def rows_by_hand(order, batch, size=10, shards=8):
    """The rows of a batch, position by position, from the law of `shard_indices`."""
    key = jax.random.fold_in(jax.random.key(3), ORDER)
    parts = np.array_split(np.arange(51), shards)
    epoch, number = divmod(batch, -(-51 // size))
    for position in range(number * size, min((number + 1) * size, 51)):
        shard, place = position % shards, position // shards
        if order == "shuffle":
            own = jax.random.fold_in(jax.random.fold_in(key, epoch), shard)
            place = int(permute(own, np.int32(place), len(parts[shard])))
        yield parts[shard][place]


def check_rows_of_each_devices_own():
    """Gradient descent by hand on the rows that the law names: every row once an epoch, in batches of the same sizes."""
    for order in ("shuffle", "sequence"):
        w, losses, seen = W, [], []
        for batch in range(12):
            rows = [*rows_by_hand(order, batch)]
            residual = X[rows] @ w - Y[rows]
            losses.append(np.mean(residual**2))
            w = w - 0.1 * 2 * X[rows].T @ residual / len(rows)
            seen += rows
        assert sorted(seen) == sorted([*range(51)] * 2)
        found = gd.fit(
            per_row, W, gd.sgd(0.1), (X, Y), epochs=2, batch_size=10, key=3, order=order, placement=place("local")
        )
        close(found.params, w)
        weights = [10, 10, 10, 10, 10, 1]
        close(found.history["loss"], [np.average(part, weights=weights) for part in (losses[:6], losses[6:])])

    drawn = fit(per_row, "local", order="replacement", epochs=30)
    assert drawn.history["validation_loss"][-1] < 0.02, "it learns, from draws of which no other law is known"


def check_nothing_but_gradients_is_exchanged():
    """A step of local rows exchanges the sums of its metrics and the gradient: 3 numbers and few more."""
    exchanged = {}
    for rows in ("local", "sharded"):
        epoch = gd.make_epoch(gd.make_step(at_once), 16, placement=place(rows))
        state = gd.make_state(W, gd.adam(0.05), placement=epoch.placement)
        data = epoch.placement.put_rows((X[:48], Y[:48]))
        found = gd.training.find_collectives(jax.jit(epoch).lower(state, data, np.int32(3)).compile())
        assert {each.kind for each in found} == {"all-reduce"}, found
        exchanged[rows] = sum(each.bytes for each in found)
    assert exchanged["local"] <= 8 * (3 + 3) and exchanged["sharded"] >= 16 * 8 * (3 + 1), exchanged


def check_an_evaluation_of_divided_rows():
    """In chunks of any size, with a mask or without, of rows that the devices divide or not."""
    for n, size, loss in [(51, 16, per_row), (51, 20, at_once), (48, 40, at_once)]:
        options = {"metrics": {"r2": metrics.r2}, "predict": lambda w, x: x @ w, "chunk_size": size}
        w, rows = np.arange(3.0), (X[:n], Y[:n])
        one, many = (gd.make_evaluate(loss, placement=given, **options)(w, rows) for given in (None, place("local")))
        np.testing.assert_allclose(one.pop("r2"), many.pop("r2"), rtol=1e-6)  # in float32
        close(one, many)


def check_what_is_refused():
    for data, words in [
        (
            (X, Y),
            "need a loss that takes a mask, as gd.per_example makes one, or batches that 8 devices divide and that",
        ),
        ((X[:5], Y[:5]), "rows that are local must be at least one for each of 8 devices, got 5; write rows='sharded'"),
    ]:
        try:
            fit(at_once, "local", data=data, batch_size=3)
        except ValueError as error:
            assert words in str(error), error
        else:
            raise AssertionError(words)
    whole = fit(at_once, "local", data=(X[:48], Y[:48]), batch_size=16)
    assert np.isfinite(whole.params).all()


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    for name, check in [*globals().items()]:
        if name.startswith("check_"):
            begun = time.process_time()
            check()
            print(name, f"{time.process_time() - begun:.1f}", flush=True)
