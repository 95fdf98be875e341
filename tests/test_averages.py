"""Averages under every wrapper and around it: the run is walked here batch by batch, and averaged in NumPy.

A walk keeps the parameters after each update, which is what changes them: every gradient here moves every entry. What is
expected at every batch is the mean of these, by the definition of the outermost average; and of the rate shown, that it
turns the direction of the innermost optimizer into the update taken.
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
    "clip_by_global_norm": lambda inner: gd.clip_by_global_norm(inner, 0.5),
    "decay_weights": lambda inner: gd.decay_weights(inner, 0.3),
    "reduce_on_plateau": lambda inner: gd.reduce_on_plateau(inner, factor=0.5, patience=2),
    "accumulate": lambda inner: gd.accumulate(inner, 2),
    "kahan": gd.kahan,
    "master_weights": gd.master_weights,
    "stochastic_rounding": gd.stochastic_rounding,
    "clip": lambda inner: gd.clip(inner, 0.4),
    "clip_by_norm": lambda inner: gd.clip_by_norm(inner, 0.5),
    "clip_by_block_rms": lambda inner: gd.clip_by_block_rms(inner, 0.4),
    "adaptive_grad_clip": lambda inner: gd.adaptive_grad_clip(inner, 0.5),
    "add_noise": lambda inner: gd.add_noise(inner, 0.01, 0.55),
    "centralize": gd.centralize,
    "normalize": gd.normalize,
    "orthogonalize": gd.orthogonalize,
    "sam": gd.sam,
    "gsam": gd.gsam,
    "looksam": lambda inner: gd.looksam(inner, period=2),
    "freeze": lambda inner: gd.freeze(inner, "b"),
    "partition": lambda inner: gd.partition({"a": inner, "b": gd.skip_non_finite(probe(RATE))}),
    "skip_non_finite": gd.skip_non_finite,
    "project": lambda inner: gd.project(inner, gd.projections.box(*BOX)),
    "cautious": gd.cautious,
    "stable": gd.stable,
    "line_search": lambda inner: gd.line_search(inner, gd.backtracking()),
}
AVERAGES = ("average", "average_from_start", "tail_average")
NO_RATE = ("mechanize", "line_search")  # inside them the rate is not what the step is a multiple of
NEED_RATE = ("decay_weights", "stable")
BENDING = (
    *NO_RATE,
    "lookahead",
    "schedule_free",
    "decay_weights",
    "project",
    "cautious",
    "stable",
)  # the update, not g
ANSWERING = ("lookahead", "schedule_free")


def nest(names):
    """The nesting, outermost first; None where a wrapper refuses one inside that has no rate."""
    node, inside = probe(RATE), []
    for name in reversed(names):
        if name in NEED_RATE and set(inside) & set(NO_RATE):
            with pytest.raises(ValueError, match=f"{name}: inner must have a learning rate"):
                WRAP[name](node)
            return None
        node, inside = WRAP[name](node), [name, *inside]
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


def expected(names, iterates, params):
    """leaf -> what is to be evaluated; None where slow weights and the like answer, which are no average."""
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
            walked = [iterates[0]]
            for p in iterates[1:]:
                if any(np.any(p[x] != walked[-1][x]) for x in seen):
                    walked.append(p)
            found[leaf] = mean_of(own[first], [p[leaf] for p in walked])
            outside = own[:first]
        if found[leaf] is not None and "project" in outside:
            found[leaf] = np.clip(found[leaf], *BOX)
    return found


def loss(params, batch, key):
    return batch[0] * sum(jnp.sum(0.6 * p - jnp.cos(1.5 * p + 0.4)) for p in jax.tree.leaves(params)), {}


STEP = gd.make_step(loss)


def walk(names, updates=6):
    """Compare at every batch until so many updates are made."""
    node = nest(names)
    if node is None:
        return 0
    as_numpy = lambda tree: jax.tree.map(np.asarray, tree)  # noqa: E731
    state = gd.make_state(START_PARAMS, node)
    iterates, number, i = [as_numpy(state.params)], 0, 0
    while number < updates:
        assert i < 80, "the walk does not come to its updates"
        bad = "skip_non_finite" in names and i in (0, 3)
        evaluation = Evaluation(jnp.asarray(1.0), jnp.asarray(i // 2, jnp.int32))
        state = state._replace(evaluation=evaluation)
        shown = gd.learning_rate(state)
        before, counts = as_numpy(state.params), counts_of(state)
        state, _ = STEP(state, jnp.array([np.nan if bad else 1.0 + 0.1 * i]))
        after = as_numpy(state.params)
        moved = any(np.any(after[x] != before[x]) for x in after)
        number, i = number + moved, i + 1
        if moved:
            iterates.append(after)
        assert (int(state.step), int(state.batches)) == (number, i)
        found = gd.loop.evaluation_params(state)
        for leaf, value in expected(names, iterates, after).items():
            if value is not None:
                np.testing.assert_allclose(found[leaf], value, rtol=1e-12, err_msg=f"{names}, leaf {leaf}, batch {i}")
        if np.any(after["a"] != before["a"]):
            check_rate(names, shown, state, after["a"] - before["a"], counts)
    return number


def counts_of(state):
    return [int(x.count) for x in gd.tree.nodes_with(state.opt_state, "fed")]


def check_rate(names, shown, state, update, counts):
    innermost = gd.tree.nodes_with(state.opt_state, "fed")
    if shown is None:
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
    """In float64, and without compiling: each nesting is walked for a few steps only."""
    with jax.enable_x64(True), jax.disable_jit():
        yield


@pytest.mark.parametrize("name", WRAP)
def test_an_average_is_the_mean_of_the_walk_inside_and_outside_of_every_wrapper(name):
    outside, inside = random.Random(name).sample(AVERAGES, 2)
    assert walk((outside, name)) == walk((name, inside)) == 6


def drawn(number, seed=0):
    """Nestings of three, one or two averages among them."""
    chance, found = random.Random(seed), []
    others = [name for name in WRAP if name not in AVERAGES]
    while len(found) < number:
        averages = chance.choices(AVERAGES, k=chance.choice((1, 2)))
        names = averages + chance.choices(others, k=3 - len(averages))
        chance.shuffle(names)
        found.append(tuple(names))
    return found


@pytest.mark.parametrize("names", drawn(50), ids="-".join)
def test_an_average_is_the_mean_of_the_walk_in_nestings_of_three(names):
    walk(names)


@pytest.mark.nightly
@pytest.mark.parametrize("pair", list(itertools.product(WRAP, repeat=2)), ids="-".join)
def test_an_average_is_the_mean_of_the_walk_around_in_and_between_every_pair(pair):
    outer, inner = pair
    for names in (("average", outer, inner), (outer, "tail_average", inner), (outer, inner, "average_from_start")):
        walk(names)
