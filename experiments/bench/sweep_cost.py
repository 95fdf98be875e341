"""What does a training run cost in a sweep, compared with the ways in which people sweep today?

    python -m experiments.bench.sweep_cost [--json FILE] [--repeats 5] [--memory]

The 64-32-10 network on the digits (1,257 training rows, 270 to validate after each epoch, batch size 64, Adam), 256 learning
rates, 100 epochs. CPU seconds and wall seconds of one training run:

    sweep         gdjax.sweep, all of it: from the axes to the table
    side by side  its engine, with all lanes of a block in one program
    in turn       its engine, one run after the other in one program
    vmap          jax.vmap of a scan over Optax, with a key for each run
    vmap, shared  the same with one key for all
    loop          a Python loop over Optax's jitted step, one run
    sklearn       GridSearchCV over MLPClassifier, two rates
    keras         Keras on JAX, one run

Once where all runs go to the end, and once where stops are spread over 10 to 100 % of it, which vmap and the others cannot
use. `compiled` is the first call, in which everything is compiled. With --memory: the peak memory of sweeps of 16 to 4,096
lanes within a budget, each in a process of its own.

Expected: the sweep costs at most a tenth of the loop, a quarter of sklearn, a fifteenth of Keras; of vmap 0.75, with spread
stops 0.7; of the shared one 1.1; and never above 1.15 of the better of side by side and in turn.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import subprocess
import sys
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax

import gdjax as gd
from gdjax.sweeps.arguments import Arguments
from gdjax.sweeps.blocks import blocks_of
from gdjax.sweeps.engine import run_locally
from gdjax.sweeps.grouping import studies_of
from gdjax.sweeps.store import Nowhere
from gdjax.sweeps.ways import Way
from gdjax.training import Length

from .peers._optax import batch_loss, batches
from .peers._optax import step as step_of_optax
from .recording import arguments, write
from .step_cost import BATCH

SIZES, EPOCHS, RUNS = (64, 32, 10), 100, 256
RATES = np.geomspace(1e-4, 1e-1, RUNS)

model = gd.models.mlp(SIZES)
loss = gd.per_example(gd.supervised(model, gd.losses.softmax_cross_entropy_with_integer_labels))


def digits():
    """(training rows, validation rows)."""
    table = gd.data.load("digits")
    x, y = table.x / 16, table.y
    return (x[:1257], y[:1257]), (x[1257:1527], y[1257:1527])


def swept(train, validation, stops=None, way=None):
    """A call that runs the sweep; stops are the numbers of steps at which runs end."""
    axes = [{"learning_rate": float(rate)} for rate in RATES]
    if stops is not None:
        axes = [{**each, "stop.steps": int(stop)} for each, stop in zip(axes, stops, strict=True)]
    stop = None if stops is None else gd.stopping.budget(steps=1)
    how = {"epochs": EPOCHS, "batch_size": BATCH, "stop": stop}
    if way is None:
        return lambda: gd.sweep(loss, model, gd.adam(1e-3), train, validation, axes=axes, **how).best_value

    given = Arguments(
        loss, model, gd.adam(1e-3), train, validation, Length(EPOCHS), BATCH, "shuffle", stop, "loss", None, ()
    )

    def call():
        study = dataclasses.replace(studies_of(given, axes, [0])[0], way=way)
        tasks = [(study, block) for block in blocks_of(study, [0])]
        return [outcome.best_value for outcome in run_locally(tasks, Nowhere(), lambda _: None)]

    return call


def mapped(train, validation, shared):
    """A call that runs all rates in one vmapped program."""
    ones = jnp.ones(len(validation[0]))

    def run(params, key, rate):
        optimizer = optax.adam(rate)

        def step(carry, batch):
            rows, mask = batch
            params, state, measured = step_of_optax(optimizer, *carry, train[0][rows], train[1][rows], mask)
            return (params, state), measured

        def epoch(carry, key):
            params, state, best, best_value = carry
            order = jax.random.permutation(key, len(train[0]))
            (params, state), sums = jax.lax.scan(step, (params, state), batches(order, BATCH))
            value, _ = batch_loss(params, *validation, ones)
            best = jax.tree.map(lambda a, b: jnp.where(value < best_value, a, b), params, best)
            return (params, state, best, jnp.minimum(value, best_value)), (jnp.sum(sums, 0), value)

        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(EPOCHS))
        (_, _, _, value), _ = jax.lax.scan(epoch, (params, optimizer.init(params), params, jnp.inf), keys)
        return value

    params, train = model.init(jax.random.key(0)), jax.tree.map(jnp.asarray, train)
    validation = jax.tree.map(jnp.asarray, validation)
    keys = jax.random.key(1) if shared else jax.random.split(jax.random.key(1), RUNS)
    program = jax.jit(jax.vmap(run, (None, None if shared else 0, 0)))
    return lambda: np.asarray(program(params, keys, jnp.asarray(RATES, jnp.float32)))


def looped(train, validation):
    """A call that trains once, in a Python loop over a jitted step."""
    train, validation = jax.tree.map(jnp.asarray, (train, validation))

    @jax.jit
    def step(params, state, rate, rows, mask):
        return step_of_optax(optax.adam(rate), params, state, train[0][rows], train[1][rows], mask)

    shuffle = jax.jit(lambda key: batches(jax.random.permutation(key, len(train[0])), BATCH))
    evaluate = jax.jit(lambda params: batch_loss(params, *validation, jnp.ones(len(validation[0])))[0])

    def call():
        params, key, best, sums = model.init(jax.random.key(0)), jax.random.key(1), np.inf, []
        state = optax.adam(1e-3).init(params)
        for epoch in range(EPOCHS):
            rows, mask = shuffle(jax.random.fold_in(key, epoch))
            for i in range(len(rows)):
                params, state, measured = step(params, state, 1e-3, rows[i], mask[i])
                sums.append(measured)
            best = min(best, float(evaluate(params)))
        return best

    return call


def searched(train, validation):
    """A call that trains twice by scikit-learn."""
    from sklearn.model_selection import GridSearchCV, PredefinedSplit
    from sklearn.neural_network import MLPClassifier

    x, y = (np.concatenate(pair) for pair in zip(train, validation, strict=True))
    fold = np.where(np.arange(len(x)) < len(train[0]), -1, 0)
    network = MLPClassifier(SIZES[1:-1], batch_size=BATCH, max_iter=EPOCHS, n_iter_no_change=EPOCHS, tol=0.0)
    search = GridSearchCV(
        network, {"learning_rate_init": [1e-3, 3e-3]}, cv=PredefinedSplit(fold), refit=False, scoring="neg_log_loss"
    )

    def call():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return search.fit(x, y).cv_results_["mean_test_score"]

    return call


def keras_fit(train, validation):
    """(a call that trains once on a compiled model, one that builds a model first), or None without Keras."""
    os.environ["KERAS_BACKEND"] = "jax"
    try:
        import keras
    except ImportError:
        return None

    def build():
        hidden, outputs = SIZES[1:]
        network = keras.Sequential(
            [keras.Input((64,)), keras.layers.Dense(hidden, "relu"), keras.layers.Dense(outputs)]
        )
        network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return network

    def train_it(network):
        return network.fit(*train, BATCH, EPOCHS, verbose=0, validation_data=validation).history["val_loss"]

    network = build()
    train_it(network)
    return lambda: train_it(network), lambda: train_it(build())


def cost(call, runs):
    """(CPU, wall) seconds of a run in this call."""
    before, wall = os.times(), time.perf_counter()
    call()
    after = os.times()
    cpu = after.user + after.system - before.user - before.system
    return np.array([cpu, time.perf_counter() - wall]) / runs


def measure(candidates, repeats):
    """name -> (repeats, 2), interleaved; the first call of each is given apart, compilation included."""
    first = {name: cost(call, runs) for name, (call, runs) in candidates.items()}
    rounds = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, (call, runs) in candidates.items():
            rounds[name].append(cost(call, runs))
    return first, {name: np.array(each) for name, each in rounds.items()}


def report(title, candidates, repeats, against):
    """Print the costs and the ratios, and return them."""
    first, rounds = measure(candidates, repeats)
    print(f"\n{title}\n\n  a training run      CPU ms   wall ms   first call, CPU ms   wall ms")
    for name, each in rounds.items():
        cpu, wall = 1e3 * np.median(each, 0)
        print(f"  {name:18s} {cpu:7.2f} {wall:9.2f} {1e3 * first[name][0]:20.2f} {1e3 * first[name][1]:9.2f}")
    figures, ours = {}, rounds["sweep"]
    print("\n  the sweep costs of            CPU   wall   expected")
    for name, limit in against.items():
        theirs = rounds[name] if name in rounds else np.minimum(rounds["side by side"], rounds["in turn"])
        ratios = np.median(ours / theirs, 0)
        figures[name] = dict(zip(("cpu", "wall"), ratios.tolist(), strict=True))
        held = "" if ratios[0] <= limit else "   MISSED"
        print(f"  {name:27s} {ratios[0]:6.3f} {ratios[1]:6.3f}   {limit:.3f}{held}")
    figures["ms"] = {name: (1e3 * np.median(each, 0)).tolist() for name, each in rounds.items()}
    figures["first ms"] = {name: (1e3 * each).tolist() for name, each in first.items()}
    return figures


BETTER = "the better of both ways"
BUDGET = 256 << 20  # bytes


def peak_memory(lanes):
    """Bytes that a sweep of so many lanes takes at most, besides what a sweep of one lane takes."""
    train, validation = digits()
    axes = {"learning_rate": np.geomspace(1e-4, 1e-1, lanes).tolist()}
    gd.sweep(
        loss, model, gd.adam(1e-3), train, validation, axes=axes, epochs=2, batch_size=BATCH, memory=BUDGET, width=lanes
    )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def memory_table():
    """The peak memory of each number of lanes, in processes of their own."""
    found = {}
    for lanes in (1, 16, 64, 256, 1024, 4096):
        command = [sys.executable, "-m", f"{__package__}.sweep_cost", "--lanes", str(lanes)]
        found[lanes] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        above = (found[lanes] - found[1]) / BUDGET
        print(f"  {lanes:5d} lanes: {found[lanes] / 2**20:7.0f} MiB, {above:.2f} of the budget above one lane")
    return found


def main() -> None:
    parser = arguments(__doc__, repeats=15)
    parser.add_argument("--memory", action="store_true", help="the peak memory instead")
    parser.add_argument("--lanes", type=int, help="print the peak memory of so many lanes")
    options = parser.parse_args()
    if options.lanes:
        print(peak_memory(options.lanes))
        return
    if options.memory:
        write(options.json, {"memory": memory_table()})
        return
    train, validation = digits()
    stops = np.random.default_rng(0).permutation(np.linspace(0.1, 1.0, RUNS)) * EPOCHS * -(-len(train[0]) // BATCH)
    ways = {"side by side": Way("side by side", 1, 32), "in turn": Way("in turn", 1, 16)}

    def of(stops):
        ours = {"sweep": (swept(train, validation, stops), RUNS)}
        ours |= {name: (swept(train, validation, stops, way), RUNS) for name, way in ways.items()}
        return ours | {"vmap": (mapped(train, validation, False), RUNS)}

    others = {
        "vmap, shared": (mapped(train, validation, True), RUNS),
        "loop": (looped(train, validation), 1),
        "sklearn": (searched(train, validation), 2),
    }
    if peers := keras_fit(train, validation):
        others |= {"keras": (peers[0], 1), "keras, built": (peers[1], 1)}
    limits = {"loop": 0.1, "sklearn": 0.25, "keras": 1 / 15, "vmap": 0.75, "vmap, shared": 1.1, BETTER: 1.15}
    whole = of(None) | others
    limits = {name: limit for name, limit in limits.items() if name in whole or name == BETTER}
    figures = {
        "to the end": report("All runs go to the end", whole, options.repeats, limits),
        "spread": report("Stops at 10 to 100 %", of(stops), options.repeats, {"vmap": 0.7, BETTER: 1.15}),
    }
    write(options.json, figures)


if __name__ == "__main__":
    main()
