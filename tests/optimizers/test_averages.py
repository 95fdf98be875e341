"""Averages under every wrapper and around it: the run is walked here batch by batch, and averaged in NumPy.

A walk keeps the parameters after each update, which is what the innermost optimizer counts: one that a projection or a
mask undoes is an update too. What is expected at every batch is the mean of these, by the definition of the outermost
average; and of the rate shown, that it turns the direction of the innermost optimizer into the update taken.
"""

import itertools
import random
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gdjax as gd
from gdjax.certify.examples import example_calls
from gdjax.types import Evaluation

DECAY, START, EVERY = {"average": 0.6, "average_from_start": 0.7}, 1, 2
BOX = (-0.9, 0.95)
START_PARAMS = {"a": np.array([1.0, -0.8]), "b": np.array([0.5, 0.7])}


class ProbeState(NamedTuple):
    count: jax.Array
    fed: Any  # the gradient that the last update was made of


@gd.optimizer
def probe(learning_rate):
    """u = -learning_rate g, with the gradient kept."""

    def update(grads, state, params=None, **extra_args):
        rate = learning_rate(state.count)
        return jax.tree.map(lambda g: -rate * g, grads), ProbeState(state.count + 1, grads)

    return lambda params: ProbeState(jnp.zeros((), jnp.int32), jax.tree.map(jnp.zeros_like, params)), update


RATE = gd.schedules.linear(0.2, 0.1, 10)
WRAP = {
    "average": lambda inner: gd.average(inner, DECAY["average"]),
    "average_from_start": lambda inner: gd.average(inner, DECAY["average_from_start"], debias=False),
    "tail_average": lambda inner: gd.tail_average(inner, START, EVERY),
    "lookahead": lambda inner: gd.lookahead(inner, 2),
    "mechanize": lambda inner: gd.mechanize(inner, s_init=1.0),
    "schedule_free": lambda inner: gd.schedule_free(inner, 0.1, b1=0.7),
    "chain": lambda inner: gd.chain(optax.clip(0.4), inner),
    "clip_by_global_norm": lambda inner: gd.chain(gd.clip_by_global_norm(0.5), inner),
    "decay_weights": lambda inner: gd.decay_weights(inner, 0.3),
    "reduce_on_plateau": lambda inner: gd.reduce_on_plateau(inner, factor=0.5, patience=2),
    "accumulate": lambda inner: gd.accumulate(inner, 2),
    "kahan": gd.kahan,
    "master_weights": gd.master_weights,
    "stochastic_rounding": gd.stochastic_rounding,
    "clip": lambda inner: gd.chain(gd.clip(0.4), inner),
    "clip_by_norm": lambda inner: gd.chain(gd.clip_by_norm(0.5), inner),
    "clip_by_block_rms": lambda inner: gd.chain(gd.clip_by_block_rms(0.4), inner),
    "adaptive_grad_clip": lambda inner: gd.chain(gd.adaptive_grad_clip(0.5), inner),
    "add_noise": lambda inner: gd.chain(gd.add_noise(0.01, 0.55), inner),
    "centralize": lambda inner: gd.chain(gd.centralize(), inner),
    "normalize": lambda inner: gd.chain(gd.normalize(), inner),
    "orthogonalize": lambda inner: gd.chain(gd.orthogonalize(), inner),
    "sam": gd.sam,
    "gsam": gd.gsam,
    "looksam": lambda inner: gd.looksam(inner, period=2),
    "freeze": lambda inner: gd.freeze(inner, "b"),
    "partition": lambda inner: gd.partition({"a": inner, "b": gd.skip_non_finite(probe(RATE))}),
    "skip_non_finite": gd.skip_non_finite,
    "scale_loss": lambda inner: gd.scale_loss(inner, 4.0, growth_interval=2),
    "project": lambda inner: gd.project(inner, gd.projections.box(*BOX)),
    "cautious": gd.cautious,
    "stable": gd.stable,
    "line_search": lambda inner: gd.line_search(inner, gd.backtracking()),
}
AVERAGES = ("average", "average_from_start", "tail_average")
NO_RATE = ("mechanize", "line_search")  # inside them the rate is not what the step is a multiple of
BENDING = (
    *NO_RATE,
    "lookahead",
    "schedule_free",
    "decay_weights",
    "project",
    "cautious",
    "stable",
)  # the update, not g
UNDOING = {"project", "cautious"}  # an update of theirs may move nothing
ANSWERING = ("lookahead", "schedule_free")
EVALUATING = {"sam", "gsam", "looksam"}  # they must be given the loss's own gradient, which these change
CHANGING = EVALUATING | {"accumulate", "chain", "clip_by_global_norm", "clip", "clip_by_norm", "clip_by_block_rms"}
CHANGING |= {"adaptive_grad_clip", "add_noise", "centralize", "normalize", "orthogonalize"}


def is_refused(names):
    return any(name in CHANGING and EVALUATING & {*names[i + 1 :]} for i, name in enumerate(names))


def nest(names):
    """The nesting, outermost first."""
    node = probe(RATE)
    for name in reversed(names):
        node = WRAP[name](node)
    return node


def mean_of(name, iterates):
    """The average's definition, in float64; iterates[0] is the start."""
    first, rest = iterates[0], iterates[1:]
    if name == "tail_average":
        taken = [p for t, p in enumerate(rest, 1) if t > START and (t - START) % EVERY == 0]
        return np.mean(taken, axis=0) if taken else iterates[-1]
    if name == "average":
        weights = [DECAY[name] ** (len(rest) - t) for t in range(1, len(rest) + 1)]
        return np.average(rest, axis=0, weights=weights) if rest else first
    ema = first
    for p in rest:
        ema = DECAY[name] * ema + (1 - DECAY[name]) * p
    return ema


def expect(names, iterates, made, params):
    """leaf -> what is to be evaluated; None where slow weights and the like answer, which are no average.

    made: for each iterate but the first, the leaves of which an update has led to it.
    """
    found = {}
    for leaf in ("a", "b"):
        own = names[: names.index("partition")] if leaf == "b" and "partition" in names else names
        first = next((i for i, name in enumerate(own) if name in AVERAGES), None)
        if first is None:
            found[leaf] = None if set(own) & set(ANSWERING) else params[leaf]
            outside = own
        else:
            cut = min((own.index(name) for name in ("partition", "freeze") if name in own), default=len(own))
            seen = "a" if first > cut else "ab"  # the leaves that the average sees
            walked = [p[leaf] for p, by in zip(iterates[1:], made, strict=True) if by & set(seen)]
            found[leaf] = mean_of(own[first], [iterates[0][leaf], *walked])
            outside = own[:first]
        if found[leaf] is not None and "project" in outside:
            found[leaf] = np.clip(found[leaf], *BOX)
    return found


def loss(params, batch, key):
    p = jnp.concatenate(jax.tree.leaves(params))
    return batch[0] * jnp.dot(p, 0.9 + 0.4 * p), {}


STEP = gd.make_step(loss)


@jax.jit
def take_step(state, batch):
    """The rate shown, the state after one batch, and what is evaluated then."""
    shown = gd.learning_rate(state)
    state, _ = STEP(state, batch)
    return shown, state, gd.training.evaluation_params(state)


def walk(names, updates=6):
    """Compare at every batch until so many updates are made."""
    as_numpy = lambda tree: jax.tree.map(np.asarray, tree)  # noqa: E731
    state = gd.make_state(START_PARAMS, nest(names))
    iterates, made, i = [as_numpy(state.params)], [], 0
    while len(made) < updates:
        assert i < 80, "the walk does not come to its updates"
        bad = bool({"skip_non_finite", "scale_loss"} & {*names}) and i in (0, 3)
        evaluation = Evaluation(jnp.asarray(1.0), jnp.asarray(i, jnp.int32))
        state = state._replace(evaluation=evaluation)
        before, counts = as_numpy(state.params), counts_of(state)
        with jax.disable_jit(False):
            shown, state, found = take_step(state, np.array([np.nan if bad else 1.0 + 0.1 * i]))
        after = as_numpy(state.params)
        advanced, i = np.subtract(counts_of(state), counts), i + 1
        updated = {leaf for leaf, by in (("a", advanced[0]), ("b", advanced[-1])) if by}
        moved = {x for x in after if np.any(after[x] != before[x])}
        assert moved <= updated
        assert UNDOING & set(names) or updated - moved <= ({"b"} if "freeze" in names else set())
        if updated:
            iterates.append(after)
            made.append(updated)
        assert (int(state.step), int(state.batches)) == (len(made), i)
        for leaf, value in expect(names, iterates, made, after).items():
            if value is not None:
                np.testing.assert_allclose(found[leaf], value, rtol=1e-12, err_msg=f"{names}, leaf {leaf}, batch {i}")
        if np.any(after["a"] != before["a"]):
            check_rate(names, shown, state, after["a"] - before["a"], counts)
    return len(made)


def counts_of(state):
    return [int(x.count) for x in gd.tree.nodes_with(state.opt_state, "fed")]


def check_rate(names, shown, state, update, counts):
    innermost = gd.tree.nodes_with(state.opt_state, "fed")
    if shown is None or np.isnan(shown):  # compiled, rates that differ are not a number
        differ = "partition" in names and len({int(x.count) for x in innermost}) + len(set(counts)) > 2
        scaled = "partition" in names and "reduce_on_plateau" in names[names.index("partition") :]
        assert set(names) & set(NO_RATE) or differ or scaled, names
        return
    assert not set(names) & set(NO_RATE)
    used = float(RATE(counts[0])) * np.prod(scales_of(state.opt_state))
    np.testing.assert_allclose(shown, used, rtol=1e-12, err_msg=str(names))
    if not set(names) & set(BENDING):
        np.testing.assert_allclose(update, -float(shown) * innermost[0].fed["a"], rtol=1e-9, err_msg=str(names))


def scales_of(state):
    """Those of all plateaus, however deep one lies in another."""
    is_plateau = lambda x: hasattr(x, "rate_scale")  # noqa: E731
    found = [x for x in jax.tree.leaves(state, is_leaf=is_plateau) if is_plateau(x)]
    return [y for x in found for y in [float(x.rate_scale), *scales_of(x.inner)]]


@pytest.fixture(autouse=True)
def eager():
    """In float64, and without compiling but for the step of a walk: each is of a few updates only."""
    with jax.enable_x64(True), jax.disable_jit():
        yield


ALIKE = {"clip", "clip_by_norm", "clip_by_block_rms", "adaptive_grad_clip", "add_noise", "centralize", "normalize"}
ALIKE |= {"orthogonalize", "chain", "gsam", "master_weights"}  # to an average as clip_by_global_norm, sam and kahan are


@pytest.mark.parametrize("name", [pytest.param(x, marks=[pytest.mark.nightly] * (x in ALIKE)) for x in WRAP])
def test_an_average_is_the_mean_of_the_walk_inside_and_outside_of_every_wrapper(name):
    outside, inside = random.Random(name).sample(AVERAGES, 2)
    assert walk((outside, name)) == walk((name, inside)) == 6


def draw(number, seed=0):
    """Nestings of three, one or two averages among them."""
    chance, found = random.Random(seed), []
    others = [name for name in WRAP if name not in AVERAGES]
    while len(found) < number:
        averages = chance.choices(AVERAGES, k=chance.choice((1, 2)))
        names = averages + chance.choices(others, k=3 - len(averages))
        chance.shuffle(names)
        if not is_refused(names):
            found.append(tuple(names))
    return found


@pytest.mark.parametrize(
    "names", [pytest.param(x, marks=[pytest.mark.nightly] * (i >= 5), id="-".join(x)) for i, x in enumerate(draw(50))]
)
def test_an_average_is_the_mean_of_the_walk_in_nestings_of_three(names):
    walk(names)


@pytest.mark.nightly
@pytest.mark.parametrize("pair", list(itertools.product(WRAP, repeat=2)), ids="-".join)
def test_an_average_is_the_mean_of_the_walk_around_in_or_between_every_pair(pair):
    chance, names = random.Random("-".join(pair)), list(pair)
    names.insert(chance.randrange(3), chance.choice(AVERAGES))
    if set(pair) <= {"freeze", "partition"}:  # the inner one does not see leaf b
        with pytest.raises(ValueError, match="'b' must be found in one of the paths 'a'"):
            walk(tuple(names))
        return
    if is_refused(names):
        with pytest.raises(ValueError, match="must be given the loss's own gradient"):
            nest(names)
        return
    walk(tuple(names))


# Values, in NumPy


def gradient(p, i):
    return np.sin(2 * p + i) + 0.3


def run(node, start, updates, grad=gradient):
    """The parameters after each update, and what is evaluated then."""
    params = jnp.asarray(start)
    state, walked, evaluated = node.init(params), [], []
    for i in range(updates):
        moves, state = node.update(jnp.asarray(grad(np.asarray(params), i)), state, params)
        params = optax.apply_updates(params, moves)
        walked.append(np.asarray(params))
        evaluated.append(np.asarray(gd.answers.evaluation_params(state, params)))
    return walked, evaluated, state


@pytest.mark.parametrize(("period", "share", "reset"), [(2, 0.5, False), (3, 0.25, False), (3, 0.8, True)])
def test_lookahead_is_its_algorithm(period, share, reset):
    slow = fast = np.array([0.4, -1.1])
    velocity, walked, slows = np.zeros(2), [], []
    for i in range(7):
        velocity = 0.9 * velocity + gradient(fast, i)
        fast = fast - 0.1 * velocity
        if (i + 1) % period == 0:
            slow = slow + share * (fast - slow)
            fast, velocity = slow, np.zeros(2) if reset else velocity
        walked.append(fast)
        slows.append(slow)
    mine, evaluated, _ = run(gd.lookahead(gd.sgd(0.1, 0.9), period, share, reset), [0.4, -1.1], 7)
    np.testing.assert_allclose(mine, walked, rtol=1e-12)
    np.testing.assert_allclose(evaluated, slows, rtol=1e-12)


@pytest.mark.parametrize("debias", [True, False])
def test_an_average_reads_its_schedule_at_the_updates_made_before(debias):
    decay = gd.schedules.linear(0.2, 0.9, 4)
    mine, evaluated, _ = run(gd.average(gd.sgd(0.2), decay, debias), [0.4, -1.1], 6)
    ema, weight = (np.zeros(2), 0.0) if debias else (np.array([0.4, -1.1]), 1.0)
    for t, (p, found) in enumerate(zip(mine, evaluated, strict=True)):
        d = 0.2 + 0.7 * min(t / 4, 1)
        ema, weight = d * ema + (1 - d) * p, d * weight + 1 - d
        np.testing.assert_allclose(found, ema / weight, rtol=1e-12)


def test_decoupled_decay_is_its_equation_at_the_rate_of_the_update():
    rate, strength = gd.schedules.linear(0.3, 0.1, 4), gd.schedules.linear(0.5, 0.0, 5)
    node = gd.decay_weights(gd.accumulate(gd.sgd(rate), 2), strength)
    mine, _, _ = run(node, [0.4, -1.1], 8)
    p, held = np.array([0.4, -1.1]), []
    for i in range(8):
        held.append(gradient(p, i))
        if i % 2:
            t = i // 2
            lr = 0.3 - 0.2 * t / 4
            p = p - lr * np.mean(held, axis=0) - lr * (0.5 - 0.5 * t / 5) * p
            held = []
        np.testing.assert_allclose(mine[i], p, rtol=1e-12)


def test_decay_follows_the_rate_of_each_part_and_of_a_plateau_and_spares_what_is_frozen():
    params = {"a": jnp.array([1.0]), "b": jnp.array([2.0]), "c": jnp.array([3.0])}
    zero = jax.tree.map(jnp.zeros_like, params)
    parts = gd.partition({"a": gd.sgd(0.1), "b": gd.reduce_on_plateau(gd.adam(0.2), 0.5, 1), "c": None})
    node = gd.decay_weights(parts, 0.5)
    state, told = node.init(params), [(1.0, 1), (1.0, 2)]  # the second is no improvement
    for value, count in told:
        evaluation = Evaluation(jnp.asarray(value), jnp.asarray(count))
        updates, state = node.update(zero, state, params, evaluation=evaluation)
    found = {name: float(u[0]) for name, u in updates.items()}
    assert found == pytest.approx({"a": -0.1 * 0.5, "b": -0.2 * 0.5 * 0.5 * 2, "c": 0.0})


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: gd.project(x, gd.projections.box(-0.5, 0.3))], ids=["", "set"])
def test_asgd_averages_the_parameters_as_they_come(wrap):
    node = wrap(gd.asgd(0.3, lambd=0.1, t0=2.0))
    mine, evaluated, _ = run(node, [0.2, -0.4], 7)
    ax = np.array([0.2, -0.4])
    for t, (p, found) in enumerate(zip(mine, evaluated, strict=True), 1):
        ax = ax + (p - ax) / max(1, t - 2)
        np.testing.assert_allclose(found, ax, rtol=1e-12)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.complex64])
@pytest.mark.parametrize("name", AVERAGES)
def test_an_average_has_the_dtype_of_the_parameters_and_more_digits(name, dtype):
    params = {"x": jnp.array([1.0, 2.0], dtype), "still": jnp.array([0.3], dtype), "none": None}
    if dtype == jnp.complex64:
        params["x"] = params["x"] * (0.6 + 0.8j)
    node = WRAP[name](gd.sgd(2.0**-3))
    state, walked = node.init(params), [params["x"]]
    grads = {"x": jnp.array([0.5, -0.25], dtype), "still": jnp.zeros(1, dtype), "none": None}
    for _ in range(6):
        updates, state = node.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        walked.append(params["x"])
        found = gd.answers.evaluation_params(state, params)
        wide = [np.asarray(x, np.complex128 if dtype == jnp.complex64 else np.float64) for x in walked]
        expected = jnp.asarray(mean_of(name, wide), dtype)
        assert found["x"].dtype == dtype
        tolerance = 2.0**-8 if dtype == jnp.bfloat16 else 1e-6
        np.testing.assert_allclose(np.asarray(found["x"], complex), np.asarray(expected, complex), rtol=tolerance)
        np.testing.assert_array_equal(found["still"], params["still"])


def test_each_leaf_is_answered_by_one_node_the_outermost_average_first():
    params = {"a": jnp.array([1.0]), "b": jnp.array([1.0])}
    parts = gd.partition({"a": gd.average(gd.sgd(0.1), 0.5), "b": gd.sgd(0.1)})
    node = gd.lookahead(parts, 3)
    state, walked = node.init(params), []
    for _ in range(2):
        updates, state = node.update(params, state, params)
        params = optax.apply_updates(params, updates)
        walked.append(float(params["a"][0]))
    found = gd.answers.evaluation_params(state, params)
    assert float(found["a"][0]) == pytest.approx((walked[0] * 0.5 + walked[1]) / 1.5)
    assert float(found["b"][0]) == 1.0  # the slow weights


def test_a_watch_looks_at_every_so_many_batches_whatever_the_updates():
    model = gd.models.mlp((2, 2, 1))
    network = gd.losses.per_example(gd.losses.supervised(model, gd.losses.squared_error))
    params, batch = model.init(jax.random.key(0)), (jnp.ones((2, 2)), jnp.ones((2, 1)))
    with jax.disable_jit(False):
        step = jax.jit(gd.make_step(network, probes=gd.backprop.watch(network, params, batch, every=2)))
        state, looks = gd.make_state(params, gd.accumulate(gd.sgd(0.1), 3)), []
        for _ in range(5):
            state, measured = step(state, batch)
            looks.append(float(measured["flow_gradient_norm"].taken))
    assert looks == [1, 0, 1, 0, 1] and int(state.step) == 1


MASKS = {
    "masked": lambda inner: optax.masked(inner, {"a": True, "b": False}),
    "multi_transform": lambda inner: optax.multi_transform(
        {"a": inner, "b": probe(RATE)}, lambda params: {name: name for name in params}
    ),
    "a mask in another": lambda inner: optax.masked(
        optax.chain(optax.masked(gd.average(optax.identity(), 0.3), {"b": False, "a": False}), inner),
        {"a": True, "b": False},
    ),
    "nothing masked": lambda inner: optax.masked(inner, True),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", [*AVERAGES, "project"])
def test_an_average_inside_a_mask_of_optax_is_of_the_leaves_that_it_has(mask, name):
    inner = WRAP[name](gd.average(probe(RATE), DECAY["average"]) if name == "project" else probe(RATE))
    node, params = MASKS[mask](inner), {name: jnp.asarray(x) for name, x in START_PARAMS.items()}
    state = node.init(params)
    walked = [START_PARAMS]
    for i in range(5):
        grads = jax.tree.map(lambda p: p + 0.1 * i, params)  # noqa: B023
        updates, state = node.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        walked.append(jax.tree.map(np.asarray, params))
    found = gd.answers.evaluation_params(state, params)
    right = mean_of("average" if name == "project" else name, [p["a"] for p in walked])
    np.testing.assert_allclose(found["a"], np.clip(right, *BOX) if name == "project" else right, rtol=1e-12)
    if mask != "nothing masked":
        np.testing.assert_array_equal(found["b"], params["b"])


# Rates


def rate_at(node, **counts):
    """The rate in a state whose counts are these."""
    state = node.init(jnp.ones(2))
    put = lambda path, x: jnp.asarray(counts.get(getattr(path[-1], "name", ""), x))  # noqa: E731
    return node.learning_rate_at(jax.tree_util.tree_map_with_path(put, state))


def test_the_rate_is_the_product_along_the_path_and_none_where_there_is_no_one_rate():
    warm = gd.schedules.linear(0.0, 1.0, 10)
    assert rate_at(gd.accumulate(gd.sgd(warm), 4), count=3) == pytest.approx(0.3)
    twice = gd.reduce_on_plateau(gd.chain(gd.clip(1.0), gd.reduce_on_plateau(gd.sgd(0.8), 0.5, 1)), 0.5, 1)
    assert rate_at(twice, rate_scale=0.25) == pytest.approx(0.8 / 16)
    assert rate_at(gd.sgd(jnp.array([0.2, 0.2]))) == 0.2
    assert np.isnan(rate_at(gd.sgd(jnp.array([0.2, 0.3]))))
    both = gd.partition({"a": gd.sgd(0.1), "b": gd.adam(0.1)}, {"a": "a", "b": "b"})
    state = both.init({"a": jnp.ones(1), "b": jnp.ones(1)})
    assert both.learning_rate_at(state) == 0.1
    assert np.isnan(both.replace(transforms={"a": gd.sgd(0.1), "b": gd.adam(0.2)}).learning_rate_at(state))
    assert gd.learning_rate(gd.make_state(jnp.ones(2), gd.sgd(jnp.array([0.2, 0.3])))) is None
    with pytest.raises(ValueError, match="decay_weights: inner must have a learning rate"):
        gd.decay_weights(gd.chain(gd.adam(0.01), optax.scale(0.5)), 0.1)
    assert gd.chain(gd.adam(0.01), optax.scale(0.5)).learning_rate_at(0) is None
    assert gd.chain(optax.scale_by_adam(), optax.scale(-0.01)).learning_rate_at(0) is None
    assert gd.chain(optax.clip(1.0), gd.sgd(warm)).learning_rate_at(5) == 0.5
    assert gd.optimizer(optax.adamw)(warm).learning_rate_at(0) == 0.0
    assert rate_at(gd.optimizer(optax.adamw)(warm), count=7) == pytest.approx(0.7)
    for none in (
        gd.mechanize(gd.sgd(1.0)),
        gd.lbfgs(0.5),
        gd.momo(),
        gd.stacked(gd.rprop(0.1)),
        gd.average(gd.cocob()),
        gd.as_optimizer(optax.sgd(0.1)),
    ):
        assert none.learning_rate_at(0) is None
    freezing = gd.freeze(gd.partition({"a": gd.sgd(0.1), "b": gd.sgd(0.2)}), "b")
    with pytest.raises(ValueError, match="partition: 'b' must be found in one of the paths 'a'"):
        freezing.init({"a": jnp.ones(1), "b": jnp.ones(1)})


NO_ONE_RATE = ("rprop", "cocob", "momo", "momo_adam")


@pytest.mark.parametrize(
    "name", [name for name in gd.OPTIMIZERS if "learning_rate" in example_calls(name)[0].arguments]
)
def test_the_rate_of_every_optimizer_is_its_schedule_at_its_own_count(name):
    node = example_calls(name)[0].replace(learning_rate=gd.schedules.linear(0.1, 0.2, 10))
    params = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    put = lambda path, x: jnp.full_like(x, 3) if str(path[-1]) in (".count", ".step_count") else x  # noqa: E731
    state = jax.tree_util.tree_map_with_path(put, node.init(params))
    rate = node.learning_rate_at(state)
    searches = node.arguments.get("linesearch") is not None
    assert rate is None if name in NO_ONE_RATE or searches else np.allclose(rate, 0.13, rtol=1e-4), rate


def test_the_average_of_schedule_free_goes_on_when_b1_is_changed():
    """x, z and y in float64, step by step: b1 only says where between x and z the gradient is taken."""
    b1s, rate, x = [0.9, 0.9, 0.4, 0.6], 0.1, np.array([1.0, -2.0])
    z, weights, params = x.copy(), 0.0, jnp.asarray(x, jnp.float32)
    node = gd.schedule_free(gd.sgd(rate), rate, b1=b1s[0])
    state, y = node.init(params), x.copy()
    for b1 in b1s:
        node = node.replace(b1=b1)
        grad = np.sinh(y)
        updates, state = node.update(jnp.asarray(grad, jnp.float32), state, params)
        params = params + updates
        z, weights = z - rate * grad, weights + 1
        x = x + (z - x) / weights
        y = b1 * x + (1 - b1) * z
        np.testing.assert_allclose(params, y, rtol=1e-5)
        np.testing.assert_allclose(gd.answers.evaluation_params(state, params), x, rtol=1e-5)
