"""The sequence cases of `experiments.bench.models`.

    transformer   4 blocks, 128 wide, 4 heads, windows of 64 of 65 tokens, batches of 12
    gru           one layer of 64 units over 40 positions, the last state read out, batches of 64

Adam, shuffled rows. A loop and a scan over Optax's steps train the same network, ours, so that what is compared is the loop;
Flax NNX and torch train their own, as a careful user of each writes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdjax import losses, models, optimizers, training

from .case import Case, if_found

RATE = 1e-3
VOCABULARY, CONTEXT, WIDTH, LAYERS, HEADS = 65, 64, 128, 4, 4
TIME, HIDDEN, CLASSES = 40, 64, 10
CROSS_ENTROPY = losses.softmax_cross_entropy_with_integer_labels

Call = Callable[[], Any]


class Task(NamedTuple):
    """A network, and the rows on which it is trained."""

    model: Any
    data: tuple[jax.Array, jax.Array]
    take: Callable[..., Any]  # (data, indices) -> (x, y) of a batch
    of_one: Callable[..., jax.Array]  # the loss of one row
    rows: Any  # for `fit`
    number: int
    batch: int


def transformer() -> Case:
    batch, steps = 12, 20
    rng = np.random.default_rng(0)
    corpus = jnp.asarray(rng.integers(0, VOCABULARY, 100_000), jnp.int32)
    starts = rng.integers(0, len(corpus) - CONTEXT - 1, batch * steps).astype(np.int32)
    model = models.transformer(VOCABULARY, CONTEXT, WIDTH, LAYERS, HEADS)

    def take(data, rows):
        windows = data[1][data[0][rows][:, None] + jnp.arange(CONTEXT + 1)]
        return windows[:, :-1], windows[:, 1:]

    def of_one(params, start):
        window = jax.lax.dynamic_slice(corpus, (start,), (CONTEXT + 1,))
        return jnp.mean(CROSS_ENTROPY(model.apply(params, window[:-1]), window[1:]))

    task = Task(model, (jnp.asarray(starts), corpus), take, of_one, starts, len(starts), batch)
    title = f"transformer, {LAYERS} blocks, {WIDTH} wide, windows of {CONTEXT}, batch {batch}"
    return _case(title, task, _nnx_transformer, _torch_transformer, (0.8, 1.02, 1.1))


def gru() -> Case:
    batch, steps = 64, 20
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch * steps, TIME, 1)).astype(np.float32)
    y = rng.integers(0, CLASSES, len(x)).astype(np.int32)
    model = models.gru(1, HIDDEN, CLASSES)
    take = lambda data, rows: (data[0][rows], data[1][rows])  # noqa: E731
    task = Task(
        *(model, (jnp.asarray(x), jnp.asarray(y)), take, losses.supervised(model, CROSS_ENTROPY), (x, y), len(x), batch)
    )
    title = f"GRU, {HIDDEN} units, {TIME} positions, batch {batch}"
    return _case(title, task, _nnx_gru, _torch_gru, (None, None, None))


def _case(title: str, task: Task, nnx: Callable[..., Any], torch: Callable[..., Any], bounds: tuple[Any, ...]) -> Case:
    ways: dict[str, Call | str] = {
        "fit": _fit(task),
        "jitted loop": _loop(task, donate=()),
        "jitted loop, donated": _loop(task, donate=(0,)),
        "Optax scan": _scan(task),
        "Flax NNX": if_found("flax.nnx", lambda library: _nnx(library, nnx(library), task)),
        "torch, eager": if_found("torch", lambda library: _torch(library, torch(library), task)),
    }
    asked = dict(zip(("jitted loop", "Optax scan", "torch, eager"), bounds, strict=True))
    others = [way for way in ways if way != "fit"]
    return Case(title, task.number // task.batch, ways, tuple(("fit", way, asked.get(way)) for way in others))


# The ways


def _fit(task: Task) -> Call:
    loss, params = losses.per_example(task.of_one), task.model.init(jax.random.key(0))
    return lambda: training.fit(loss, params, optimizers.adam(RATE), task.rows, epochs=1, batch_size=task.batch).last


def _order(task: Task, key: jax.Array) -> jax.Array:
    return jax.random.permutation(key, task.number).reshape(-1, task.batch)


def _mean_loss(logits: jax.Array, y: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def _step(task: Task, optimizer: Any, carry: Any, data: Any, rows: jax.Array) -> Any:
    params, state = carry
    x, y = task.take(data, rows)
    value, grads = jax.value_and_grad(lambda params: _mean_loss(task.model.apply(params, x), y))(params)
    updates, state = optimizer.update(grads, state, params)
    return (optax.apply_updates(params, updates), state), value


def _loop(task: Task, donate: tuple[int, ...]) -> Call:
    optimizer, params = optax.adam(RATE), task.model.init(jax.random.key(0))
    step = jax.jit(lambda *args: _step(task, optimizer, *args), donate_argnums=donate)
    shuffle = jax.jit(lambda key: _order(task, key))

    def run():
        carry, values = (jax.tree.map(jnp.copy, params), optimizer.init(params)), []
        for rows in shuffle(jax.random.key(0)):
            carry, value = step(carry, task.data, rows)
            values.append(value)
        return carry, values

    return run


def _scan(task: Task) -> Call:
    optimizer, params = optax.adam(RATE), task.model.init(jax.random.key(0))

    @jax.jit
    def run(params, data):
        step = lambda carry, rows: _step(task, optimizer, carry, data, rows)  # noqa: E731
        return jax.lax.scan(step, (params, optimizer.init(params)), _order(task, jax.random.key(0)))

    return lambda: run(params, task.data)


def _nnx(nnx: Any, network: type, task: Task) -> Call:
    @nnx.jit
    def step(network, optimizer, data, rows):
        x, y = task.take(data, rows)
        value, grads = nnx.value_and_grad(lambda network: _mean_loss(network(x), y))(network)
        optimizer.update(network, grads)
        return value

    shuffle, adam = (
        jax.jit(lambda key: _order(task, key)),
        optax.adam(RATE),
    )  # one, since another would be compiled anew

    def run():
        started = network(nnx.Rngs(0))
        optimizer = nnx.Optimizer(started, adam, wrt=nnx.Param)
        return [step(started, optimizer, task.data, rows) for rows in shuffle(jax.random.key(0))]

    return run


def _torch(torch: Any, network: type, task: Task) -> Call:
    first, second = (torch.tensor(np.asarray(each)) for each in task.data)

    def take(rows):
        if first.ndim > 1:
            return first[rows], second[rows].long()
        windows = second[first[rows].long()[:, None] + torch.arange(CONTEXT + 1)].long()
        return windows[:, :-1], windows[:, 1:]

    def run():
        torch.manual_seed(0)
        started = network()
        optimizer = torch.optim.Adam(started.parameters(), RATE)
        for rows in torch.randperm(task.number).split(task.batch):
            x, y = take(rows)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(started(x).flatten(0, -2), y.flatten()).backward()
            optimizer.step()

    return run


# The networks of Flax NNX and torch


def _nnx_transformer(nnx: Any) -> type:
    class Block(nnx.Module):
        def __init__(self, rngs):
            self.norm_1, self.norm_2 = nnx.LayerNorm(WIDTH, rngs=rngs), nnx.LayerNorm(WIDTH, rngs=rngs)
            self.attention = nnx.MultiHeadAttention(HEADS, WIDTH, decode=False, rngs=rngs)
            self.up, self.down = nnx.Linear(WIDTH, 4 * WIDTH, rngs=rngs), nnx.Linear(4 * WIDTH, WIDTH, rngs=rngs)

        def __call__(self, h):
            h = h + self.attention(self.norm_1(h), mask=nnx.make_causal_mask(h[..., 0]))
            return h + self.down(nnx.gelu(self.up(self.norm_2(h)), approximate=False))

    class Network(nnx.Module):
        def __init__(self, rngs):
            self.tokens, self.positions = nnx.Embed(VOCABULARY, WIDTH, rngs=rngs), nnx.Embed(CONTEXT, WIDTH, rngs=rngs)
            self.blocks = nnx.Sequential(*[Block(rngs) for _ in range(LAYERS)])
            self.norm = nnx.LayerNorm(WIDTH, rngs=rngs)
            self.head = nnx.Linear(WIDTH, VOCABULARY, use_bias=False, rngs=rngs)

        def __call__(self, x):
            h = self.blocks(self.tokens(x) + self.positions(jnp.arange(x.shape[1])))
            return self.head(self.norm(h))

    return Network


def _nnx_gru(nnx: Any) -> type:
    class Network(nnx.Module):
        def __init__(self, rngs):
            self.layer = nnx.RNN(nnx.GRUCell(1, HIDDEN, rngs=rngs))
            self.last = nnx.Linear(HIDDEN, CLASSES, rngs=rngs)

        def __call__(self, x):
            return self.last(self.layer(x)[:, -1])

    return Network


def _torch_transformer(torch: Any) -> type:
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm_1, self.norm_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

        def forward(self, h):
            split = [x.unflatten(-1, (HEADS, -1)).transpose(1, 2) for x in self.qkv(self.norm_1(h)).split(WIDTH, -1)]
            y = nn.functional.scaled_dot_product_attention(*split, is_causal=True)
            h = h + self.out(y.transpose(1, 2).flatten(-2))
            return h + self.down(nn.functional.gelu(self.up(self.norm_2(h))))

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(CONTEXT, WIDTH)
            self.blocks = nn.Sequential(*[Block() for _ in range(LAYERS)])
            self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY, bias=False)

        def forward(self, x):
            return self.head(self.norm(self.blocks(self.tokens(x) + self.positions(torch.arange(x.shape[1])))))

    return Network


def _torch_gru(torch: Any) -> type:
    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.last = torch.nn.GRU(1, HIDDEN, batch_first=True), torch.nn.Linear(HIDDEN, CLASSES)

        def forward(self, x):
            return self.last(self.layer(x)[0][:, -1])

    return Network
