"""The convolutional cases of `experiments.bench.models`.

Two blocks of a 3x3 convolution, ReLU and a 2x2 maximum, of 16 and 32 channels, and a dense layer; Adam, batches of 64
shuffled rows. What is not gdjax is written as a careful user of each library writes it, without help from gdjax.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdjax import data, losses, models, optimizers, training

from .case import Case, if_found

CHANNELS, CLASSES, BATCH, RATE = (16, 32), 10, 64, 1e-3

Rows = tuple[jax.Array, jax.Array]


def digits() -> Case:
    table = data.load("digits")
    rows = len(table.x) // BATCH * BATCH
    x = np.asarray(table.x, np.float32)[:rows].reshape(rows, 8, 8, 1)
    return _case("digits, 8x8x1", (x, np.asarray(table.y, np.int32)[:rows]), epochs=3, bound=1.0)


def images() -> Case:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(10 * BATCH, 32, 32, 3)), rng.integers(0, CLASSES, 10 * BATCH)
    return _case("noise, 32x32x3", (x.astype(np.float32), y.astype(np.int32)), epochs=1, bound=1.3)


def _case(title: str, rows: tuple[np.ndarray, np.ndarray], epochs: int, bound: float) -> Case:
    train: Rows = (jnp.asarray(rows[0]), jnp.asarray(rows[1]))
    flax, equinox = "jitted loop, Flax", "jitted loop, Equinox"
    ways = {
        "fit, ours": _fit(_ours(train), train, epochs),
        "fit, Flax": if_found("flax.linen", lambda linen: _fit(_flax(linen, train), train, epochs)),
        "fit, Equinox": if_found("equinox", lambda eqx: _fit(_equinox(eqx, train), train, epochs)),
        flax: if_found("flax.linen", lambda linen: _loop(_flax(linen, train), train, epochs)),
        equinox: if_found("equinox", lambda eqx: _loop(_equinox(eqx, train), train, epochs)),
        "Optax scan, Flax": if_found("flax.linen", lambda linen: _scan(_flax(linen, train), train, epochs)),
        "Flax NNX": if_found("flax.nnx", lambda nnx: _nnx(nnx, train, epochs)),
        "torch, eager": if_found("torch", lambda torch: _torch(torch, rows, epochs)),
    }
    bounds = (
        ("fit, ours", flax, bound),
        ("fit, Flax", flax, bound),
        ("fit, Equinox", equinox, bound),
        ("Optax scan, Flax", flax, None),
        ("fit, ours", "Flax NNX", None),
        ("fit, ours", "torch, eager", None),
    )
    return Case(f"{title}, {CHANNELS} channels, batch {BATCH}", epochs * len(rows[0]) // BATCH, ways, bounds)


# The three models: (params, the loss of a batch)

Trained = tuple[Any, Callable[[Any, Rows], jax.Array]]


def _ours(train: Rows) -> Trained:
    model = models.cnn(train[0].shape[1:], CLASSES, CHANNELS)
    loss = losses.per_example(losses.supervised(model, losses.softmax_cross_entropy_with_integer_labels))
    return model.init(jax.random.key(0)), loss


def _mean_loss(logits: jax.Array, y: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def _flax(linen: Any, train: Rows) -> Trained:
    pool = lambda x: linen.max_pool(x, (2, 2), (2, 2))  # noqa: E731
    blocks = [layer for width in CHANNELS for layer in (linen.Conv(width, (3, 3)), linen.relu, pool)]
    network = linen.Sequential([*blocks, lambda x: x.reshape(len(x), -1), linen.Dense(CLASSES)])
    params = network.init(jax.random.key(0), train[0][:1])
    return params, lambda params, batch: _mean_loss(network.apply(params, batch[0]), batch[1])


def _equinox(eqx: Any, train: Rows) -> Trained:
    _, height, width, channels = train[0].shape
    keys = jax.random.split(jax.random.key(0), 3)
    pool, relu = eqx.nn.MaxPool2d(2, 2), eqx.nn.Lambda(jax.nn.relu)
    first = eqx.nn.Conv2d(channels, CHANNELS[0], 3, padding=1, key=keys[0])
    second = eqx.nn.Conv2d(*CHANNELS, 3, padding=1, key=keys[1])
    last = eqx.nn.Linear(height // 4 * (width // 4) * CHANNELS[1], CLASSES, key=keys[2])
    network = eqx.nn.Sequential([first, relu, pool, second, relu, pool, eqx.nn.Lambda(jnp.ravel), last])
    params, rest = eqx.partition(network, eqx.is_array)

    def loss(params, batch):
        one = eqx.combine(params, rest)
        return _mean_loss(jax.vmap(lambda x: one(jnp.moveaxis(x, -1, 0)))(batch[0]), batch[1])

    return params, loss


# The ways


def _fit(trained: Trained, train: Rows, epochs: int) -> Callable[[], Any]:
    params, loss = trained
    return lambda: training.fit(loss, params, optimizers.adam(RATE), train, epochs=epochs, batch_size=BATCH).last


def _order(key: jax.Array, rows: int) -> jax.Array:
    return jax.random.permutation(key, rows).reshape(-1, BATCH)


def _step(optimizer: Any, loss: Callable[..., Any], carry: Any, batch: Rows) -> Any:
    params, state = carry
    value, grads = jax.value_and_grad(loss)(params, batch)
    updates, state = optimizer.update(grads, state, params)
    return (optax.apply_updates(params, updates), state), value


def _loop(trained: Trained, train: Rows, epochs: int) -> Callable[[], Any]:
    (params, loss), optimizer = trained, optax.adam(RATE)
    step = jax.jit(lambda carry, train, rows: _step(optimizer, loss, carry, (train[0][rows], train[1][rows])))
    shuffle = jax.jit(_order, static_argnums=1)

    def run():
        carry, values = (params, optimizer.init(params)), []
        for epoch in range(epochs):
            for rows in shuffle(jax.random.key(epoch), len(train[0])):
                carry, value = step(carry, train, rows)
                values.append(value)
        return carry, values

    return run


def _scan(trained: Trained, train: Rows, epochs: int) -> Callable[[], Any]:
    (params, loss), optimizer = trained, optax.adam(RATE)

    @jax.jit
    def run(params, train):
        orders = jax.vmap(lambda i: _order(jax.random.key(i), len(train[0])))(jnp.arange(epochs))
        take = lambda carry, rows: _step(optimizer, loss, carry, (train[0][rows], train[1][rows]))  # noqa: E731
        return jax.lax.scan(take, (params, optimizer.init(params)), orders.reshape(-1, BATCH))

    return lambda: run(params, train)


def _nnx(nnx: Any, train: Rows, epochs: int) -> Callable[[], Any]:
    _, height, width, channels = train[0].shape

    class Network(nnx.Module):
        def __init__(self, rngs):
            self.first = nnx.Conv(channels, CHANNELS[0], (3, 3), rngs=rngs)
            self.second = nnx.Conv(*CHANNELS, (3, 3), rngs=rngs)
            self.last = nnx.Linear(height // 4 * (width // 4) * CHANNELS[1], CLASSES, rngs=rngs)

        def __call__(self, x):
            for each in (self.first, self.second):
                x = nnx.max_pool(nnx.relu(each(x)), (2, 2), (2, 2))
            return self.last(x.reshape(len(x), -1))

    @nnx.jit
    def step(network, optimizer, train, rows):
        loss = lambda network: _mean_loss(network(train[0][rows]), train[1][rows])  # noqa: E731
        value, grads = nnx.value_and_grad(loss)(network)
        optimizer.update(network, grads)
        return value

    shuffle = jax.jit(_order, static_argnums=1)
    network = Network(nnx.Rngs(0))
    optimizer = nnx.Optimizer(network, optax.adam(RATE), wrt=nnx.Param)

    def run():
        orders = [shuffle(jax.random.key(epoch), len(train[0])) for epoch in range(epochs)]
        return [step(network, optimizer, train, rows) for order in orders for rows in order]

    return run


def _torch(torch: Any, rows: tuple[np.ndarray, np.ndarray], epochs: int) -> Callable[[], Any]:
    x, y = torch.tensor(rows[0]).movedim(-1, 1).contiguous(), torch.tensor(rows[1]).long()
    nn, (channels, height, width) = torch.nn, x.shape[1:]

    torch.manual_seed(0)
    convolutions = nn.Conv2d(channels, CHANNELS[0], 3, padding=1), nn.Conv2d(*CHANNELS, 3, padding=1)
    blocks = [layer for each in convolutions for layer in (each, nn.ReLU(), nn.MaxPool2d(2))]
    last = nn.Linear(height // 4 * (width // 4) * CHANNELS[1], CLASSES)
    network = nn.Sequential(*blocks, nn.Flatten(), last)
    optimizer = torch.optim.Adam(network.parameters(), RATE)

    def run():
        for _ in range(epochs):
            for each in torch.randperm(len(x)).split(BATCH):
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(x[each]), y[each]).backward()
                optimizer.step()

    return run
