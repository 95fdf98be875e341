"""What does a step cost in a compiled run, compared with loops over Optax written by hand?

    python -m experiments.bench.step_cost [--json FILE] [--repeats 15]

The 64-128-128-10 network on the digits (1,437 training rows, batch size 64 with the ragged last batch, Adam), 30 epochs
with validation after each and the best parameters kept, in three ways that do the same work:

    run     gdjax: one compiled while-loop, called once
    (a)     Optax in a Python loop over a jitted step, with a jitted evaluation after each epoch
    (b)     Optax in a scan over epochs of scans over batches, compiled once

and, as a lower bound, the same matrix products and nothing else. Then the wall time of a first `fit`, compilation included,
and of a second one with another rate, with the number of programs that each compiles.

Expected: per step, run takes at most 0.75 of (a) and 1.2 of (b); a second fit compiles nothing. About a minute on 2 cores.
"""

from __future__ import annotations

import functools
import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gdjax import data, losses, metrics, models, optimizers, stopping, training
from gdjax.programs import compile_once

from .peers._optax import batch_loss, batches
from .peers._optax import step as step_of_optax
from .peers.floor import products
from .recording import arguments, write
from .timing import interleave, ratio

SIZES, BATCH, EPOCHS, RATE = (64, 128, 128, 10), 64, 30, 1e-3

model = models.mlp(SIZES)
loss_fn = losses.per_example(
    losses.supervised(model, losses.softmax_cross_entropy_with_integer_labels, {"accuracy": metrics.correct})
)


def digits():
    """1,437 rows to train on and 360 to validate, on the device."""
    table = data.load("digits")
    return data.to_device(data.split((table.x, table.y), (0.8, 0.2), jax.random.key(0), stratify=table.y))


# The peers, as a careful user of Optax writes them. Plain functions, no help from gdjax but the parameters' layout.


def python_loop(train, validation):
    """(a): one dispatch a step."""
    optimizer = optax.adam(RATE)

    @jax.jit
    def step(params, state, data, rows, mask):
        return step_of_optax(optimizer, params, state, data[0][rows], data[1][rows], mask)

    shuffle = jax.jit(lambda key: batches(jax.random.permutation(key, len(train[0])), BATCH))
    evaluate = jax.jit(lambda params: batch_loss(params, *validation, jnp.ones(len(validation[0])))[0])

    def run(params, key):
        state, best, best_value, history = optimizer.init(params), params, jnp.inf, []
        for epoch in range(EPOCHS):
            rows, mask = shuffle(jax.random.fold_in(key, epoch))
            sums = []
            for i in range(len(rows)):
                params, state, measured = step(params, state, train, rows[i], mask[i])
                sums.append(measured)
            value = float(evaluate(params))
            history.append((np.sum(np.asarray(sums), axis=0), value))
            if value < best_value:
                best, best_value = params, value
        return best

    return run


def scan_loop(train, validation):
    """(b): everything in one program."""
    optimizer = optax.adam(RATE)
    ones = jnp.ones(len(validation[0]))

    @jax.jit
    def run(params, key, train, validation):
        def step(carry, batch):
            rows, mask = batch
            params, state, measured = step_of_optax(optimizer, *carry, train[0][rows], train[1][rows], mask)
            return (params, state), measured

        def epoch(carry, key):
            params, state, best, best_value = carry
            order = jax.random.permutation(key, len(train[0]))
            (params, state), sums = jax.lax.scan(step, (params, state), batches(order, BATCH))
            value, _ = batch_loss(params, *validation, ones)
            best = jax.lax.cond(value < best_value, lambda: params, lambda: best)
            return (params, state, best, jnp.minimum(value, best_value)), (jnp.sum(sums, 0), value)

        start = (params, optimizer.init(params), params, jnp.inf)
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(EPOCHS))
        (_, _, best, _), history = jax.lax.scan(epoch, start, keys)
        return best, history

    return lambda params, key: run(params, key, train, validation)


def gdjax_run(train, validation):
    step = training.make_step(loss_fn)
    run = training.make_run(training.make_epoch(step, BATCH), training.make_evaluate(loss_fn))
    program = compile_once(run)

    def start(params, key):
        state = training.make_state(params, optimizers.adam(RATE), key)
        return training.start_run(run, state, stopping.patience(EPOCHS), train, validation, EPOCHS)

    def call(params, key):
        steps = np.int32(-(-len(train[0]) // BATCH))  # a number, as `fit` gives it
        return program(start(params, key), train, validation, EPOCHS, 0.0, steps)

    return call


def matrix_products(steps):
    """The floor: what forward and backward multiply, chained so that nothing can be left out."""
    layers = list(itertools.pairwise(SIZES))
    weights = [jax.random.normal(jax.random.key(i), shape) / shape[0] for i, shape in enumerate(layers)]
    x = jax.random.normal(jax.random.key(9), (BATCH, SIZES[0]))
    return products(weights, x, steps)


def fits(train, validation):
    """Wall and compile seconds of a first fit and of a second with another rate, and the second's compilations."""
    compilations = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, seconds, **_: compilations.append(seconds) if name.endswith("backend_compile_duration") else None
    )
    figures = []
    for rate in (RATE, 2 * RATE):
        params = model.init(jax.random.key(1))
        compilations.clear()
        before = time.perf_counter()
        result = training.fit(loss_fn, params, optimizers.adam(rate), train, validation, epochs=EPOCHS)
        wall = time.perf_counter() - before
        figures.append(
            {
                "wall": wall,
                "run": result.seconds,
                "compile": result.compile_seconds,
                "compiled": len(compilations),
            }
        )
    return figures


def main() -> None:
    options = arguments(__doc__, repeats=15).parse_args()
    train, validation = digits()
    steps = EPOCHS * -(-len(train[0]) // BATCH)
    first, second = fits(train, validation)
    params, key = model.init(jax.random.key(1)), jax.random.key(2)
    ways = {"run": gdjax_run, "(a) Optax, Python loop": python_loop, "(b) Optax, scan": scan_loop}
    calls = {name: functools.partial(make(train, validation), params, key) for name, make in ways.items()}
    seconds = interleave({**calls, "floor: matrix products": matrix_products(steps)}, options.repeats)
    print(f"{'x'.join(map(str, SIZES))}, batch {BATCH}, {steps} steps in {EPOCHS} epochs, {options.repeats} rounds\n")
    print(f"  {'':<24}{'us a step':>10}   run / this (quartiles)")
    for name, values in seconds.items():
        median, low, high = ratio(seconds["run"], values)
        print(f"  {name:<24}{np.median(values) / steps * 1e6:>10.1f}   {median:.2f} ({low:.2f} to {high:.2f})")
    beyond = second["wall"] - float(np.median(seconds["run"]))
    print(f"\n  first fit   {first['wall']:.2f} s, of which {first['compile']:.2f} s compiling the run")
    print(
        f"  second fit  {second['wall']:.3f} s at another rate: {second['compiled']} programs compiled, "
        f"{beyond * 1e3:+.0f} ms beyond the compiled run"
    )
    ratios = {name: ratio(seconds["run"], values) for name, values in seconds.items()}
    medians = {name: float(np.median(values)) / steps for name, values in seconds.items()}
    write(
        options.json,
        {"seconds_per_step": medians, "ratios": ratios, "first_fit": first, "second_fit": second},
    )


if __name__ == "__main__":
    main()
