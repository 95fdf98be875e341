"""`laws.check_optimizer` on anyone's optimizers: it finds each seeded bug, and the defects of Optax 0.2.8, by name."""

import functools
import pickle
from typing import Any, NamedTuple

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

import gdjax as gd
from gdjax import laws
from gdjax.laws.optimizer import LAWS


class State(NamedTuple):
    count: Any
    mean: Any


def momentum(
    learning_rate=0.1,
    *,
    sign=-1,
    power=1,
    start=lambda: jnp.zeros((), jnp.int32),
    mean=jnp.zeros_like,
    count=optax.safe_increment,
    read=lambda n: n,
    kept=lambda state: state,
    finish=lambda updates, grads, params: updates,
    before=lambda params: None,
    tree_map=jax.tree.map,
):
    """A user's heavy ball, right as it stands; each argument is a place for one bug."""

    def init(params):
        return kept(State(start(), tree_map(mean, params)))

    def update(grads, state, params=None):
        before(params)
        n = state.count
        rate = learning_rate(read(n)) if callable(learning_rate) else learning_rate
        mean = tree_map(lambda m, g: 0.9 * m + g.astype(m.dtype), state.mean, grads)
        updates = tree_map(lambda m: (sign * rate**power * m).astype(m.dtype), mean)
        return finish(updates, grads, params), kept(State(count(n), mean))

    return optax.GradientTransformation(init, update)


def scale(factor):
    """Updates times a factor of (the leaf's number, update, gradient)."""

    def finish(updates, grads, params):
        leaves, structure = jax.tree.flatten(updates)
        pairs = zip(leaves, jax.tree.leaves(grads), strict=True)
        return structure.unflatten([u * jnp.asarray(factor(i, u, g), u.dtype) for i, (u, g) in enumerate(pairs)])

    return {"finish": finish}


def in_place(params):
    if isinstance(params, dict) and "w" in params:
        params["w"] = jax.tree.map(jnp.zeros_like, params["w"])


class Forgetful(State):
    def __reduce__(self):
        return Forgetful, (self.count, jax.tree.map(jnp.zeros_like, self.mean))


@jax.custom_batching.custom_vmap
def one(x):
    return jnp.ones_like(x)


@one.def_vmap
def _(size, batched, x):
    return jnp.arange(1.0, size + 1, dtype=x.dtype).reshape(-1, *[1] * (x.ndim - 1)) * jnp.ones_like(x), True


def real_parts(updates, grads, params):
    return jax.tree.map(lambda u: u.real.astype(u.dtype), updates)


CALLS = iter(range(10**6))
ZERO = jnp.zeros((), jnp.int32)
without_none = functools.partial(jax.tree.map, is_leaf=lambda x: x is None)
BUGS = {  # what is wrong: (the law that says so, the bug)
    "updates of another dtype": (
        "updates",
        {"finish": lambda u, g, p: jax.tree.map(lambda x: x.astype(jnp.float16), u)},
    ),
    "updates of another structure": ("updates", {"finish": lambda u, g, p: jax.tree.leaves(u)}),
    "updates of another shape": ("updates", {"finish": lambda u, g, p: jax.tree.map(lambda x: x[None], u)}),
    "the state changes its structure": ("state", {"count": lambda n: (n,)}),
    "the state changes its shapes": ("state", {"count": lambda n: jnp.append(n, n)}),
    "the state changes its dtypes": ("state", {"count": lambda n: n + 0.5}),
    "the state holds a function": ("state", {"start": lambda: jnp.sin, "count": lambda n: n}),
    "it takes dicts only": ("trees", {"before": lambda params: params.items()}),
    "it takes no empty tree": ("trees", {"before": lambda params: jax.tree.leaves(params)[0]}),
    "it takes no None": ("trees", {"tree_map": without_none}),
    "it takes no empty leaf": ("trees", {"before": lambda params: [x.max() for x in jax.tree.leaves(params)]}),
    "its mean is in float32": ("carry", {"mean": lambda p: jnp.zeros(p.shape)}),
    "its state is the parameters": ("donated", {"mean": lambda p: p}),
    "its state is a constant of its module": ("donated", {"start": lambda: ZERO}),
    "it changes the parameters in place": ("pure", {"before": in_place}),
    "it counts on the side": ("pure", scale(lambda i, u, g: 1.0 + next(CALLS))),
    "eager is not compiled": ("eager", scale(lambda i, u, g: 1.0 if isinstance(u, jax.core.Tracer) else 1.1)),
    "it ascends": ("descends", {"sign": 1}),
    "NaN at a gradient of 0": ("zero", scale(lambda i, u, g: g / jnp.where(g == 0, 0, g))),
    "it divides by a norm": ("zero", scale(lambda i, u, g: 1 / jnp.sqrt(jnp.sum(g * g)))),
    "a gradient of 0 moves": ("still", {"finish": lambda u, g, p: jax.tree.map(lambda x: x - 0.01, u)}),
    "infinite where the gradient is small": (
        "finite",
        scale(lambda i, u, g: jnp.where((g != 0) & (abs(g) < 1e-7), jnp.inf, 1.0)),
    ),
    "each leaf has a rate of its own": ("order", scale(lambda i, u, g: 1.0 + i)),
    "vmap is no loop": ("vmap", scale(lambda i, u, g: one(u))),
    "its count overflows": ("counters", {"count": lambda n: n + 1}),
    "a Python number in the state": ("retrace", {"start": lambda: 0}),
    "a weakly typed number in the state": ("retrace", {"start": lambda: jnp.asarray(0)}),
    "a saved state is not what it was": ("resume", {"kept": lambda state: Forgetful(*state)}),
    "it goes by the square of the rate": ("linear", {"power": 2}),
    "a schedule is read one late": ("schedule", {"read": lambda n: n + 1}),
    "its count stands still": ("schedule", {"count": lambda n: n + 0}),
    "its count goes by two": ("schedule", {"count": lambda n: jnp.minimum(n, 2**30) + 2}),
    "it goes down the real parts only": ("complex", {"finish": real_parts}),
}


def make(bug):
    return functools.partial(momentum, **bug)


OPTAX = {"new numbers": "the rate is in a closure"}


def test_a_right_optimizer_obeys_every_law():
    report = laws.check_optimizer(momentum(), with_rate=momentum, exceptions=OPTAX, examples=1)
    assert report and [*report.held, *report.excepted] and not report.not_asked
    assert {*report.held, *report.excepted} == set(LAWS)


LIKE_ANOTHER = ("it divides by a norm", "it counts on the side")  # bugs of a law that one has broken
LATE = ("vmap", "counters", "retrace", "resume", "linear", "schedule", "complex")  # all the others are asked before


def bugs():
    """A bug, and whether its law is asked alone; those before a late one, which must not accuse it, are nightly."""
    for name, (law, _) in BUGS.items():
        yield pytest.param(name, law in LATE, id=name, marks=[pytest.mark.nightly] * (name in LIKE_ANOTHER))
        if law in LATE:
            yield pytest.param(name, False, id=f"{name}, after all others", marks=pytest.mark.nightly)


@pytest.mark.parametrize(("name", "alone"), list(bugs()))
def test_each_bug_breaks_the_law_that_says_so(name, alone):
    law, bug = BUGS[name]
    with pytest.raises(laws.LawBroken) as error:
        only = {"only": [law]} if alone else {"exceptions": OPTAX}
        laws.check_optimizer(make(bug)(), with_rate=make(bug), **only)
    assert error.value.law == law, str(error.value)
    assert LAWS[law].sentence in str(error.value)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def test_the_smallest_case_is_shown():
    uphill = scale(lambda i, u, g: -1 if u.ndim == 2 else 1)
    with pytest.raises(
        laws.LawBroken, match=r"'descends'.*negative.\n  smallest case: parameters: a matrix of \(3, 2\)"
    ):
        laws.check_optimizer(make(uphill)(), only=["descends"])
    with pytest.raises(laws.LawBroken, match=r"'trees'.*\n  smallest case: parameters \{\}\n  found: IndexError"):
        laws.check_optimizer(make({"before": lambda params: jax.tree.leaves(params)[0]})(), only=["trees"])
    with pytest.raises(
        laws.LawBroken, match=r"'trees'.*\n  smallest case: parameters \[float32\[\]\]\n"
    ):  # Hypothesis's
        laws.check_optimizer(make({"before": no_lists_of_one})(), only=["trees"], examples=50)


def no_lists_of_one(params):
    assert not (isinstance(params, list) and len(params) == 1)


def test_a_report_tells_of_each_law():
    report = laws.check_optimizer(make({"sign": 1})(), only=["descends", "zero", "linear"], all=True, examples=0)
    assert not report and list(report.broken) == ["descends"] and report.held == ["zero"]
    assert "with_rate" in report.not_asked["linear"]
    assert all(word in str(report) for word in ("broken     descends", "not asked  linear"))


def test_an_exception_that_is_not_needed_is_red_and_an_unknown_law_is_refused():
    for exceptions in ({"descends": "I thought so"}, {"up": "it is no law"}):
        with pytest.raises((laws.LawBroken, ValueError), match=r"no longer needed|no law named up"):
            laws.check_optimizer(momentum(), only=["descends"], exceptions=exceptions)
    with pytest.raises(TypeError, match="must have init and update"):
        laws.check_optimizer(momentum)


# Optax 0.2.8.

PLAIN_SGD = {"new numbers": "the rate is in a closure"}
PLAIN_ADAM = {
    **PLAIN_SGD,
    "carry": "its moments take the dtype of the gradients",
    "few bits": "eps = 1e-8 is 0 in float16",
}
DEFECTS = {  # what Optax 0.2.8 does: (the law, the factory, its arguments)
    "a rate is in a closure": ("new numbers", optax.sgd, {}),
    "the state of Adam changes its dtype": ("carry", optax.adam, {}),
    "float32 parameters, bfloat16 gradients: adan": ("carry", optax.adan, {}),
    "a gradient of 0, clipped to a norm of 0, is NaN": ("zero", lambda rate: clip(rate, 0.0), {}),
    "a gradient of 0, normalized, is NaN": ("zero", lambda rate: optax.chain(contrib.normalize(), optax.sgd(rate)), {}),
    "adafactor with decay_offset=1 is NaN from its first step": ("finite", optax.adafactor, {"decay_offset": 1}),
    "schedule_free skips schedule(0)": ("schedule", contrib.schedule_free_sgd, {}),
    "complex parameters: prodigy stands still": ("complex", contrib.prodigy, {}),
    "complex parameters: adadelta is wrong": ("complex", optax.adadelta, {}),
    "complex parameters: simplified_ademamix is wrong": ("complex", contrib.simplified_ademamix, {}),
}
OURS = {  # as above, without the defect
    "a gradient of 0, clipped to a norm of 0, is NaN": lambda rate: gd.chain(gd.clip_by_global_norm(0.0), gd.sgd(rate)),
    "adafactor with decay_offset=1 is NaN from its first step": lambda rate: gd.adafactor(rate, decay_offset=1),
    "schedule_free skips schedule(0)": gd.schedule_free_sgd,
    "complex parameters: prodigy stands still": gd.prodigy,
    "complex parameters: adadelta is wrong": gd.adadelta,
}


def clip(rate, norm):
    return optax.chain(optax.clip_by_global_norm(norm), optax.sgd(rate))


@pytest.mark.parametrize(
    ("factory", "exceptions"),
    [(optax.sgd, PLAIN_SGD), (optax.adam, PLAIN_ADAM)],
    ids=["sgd", "adam"],
)
@pytest.mark.nightly
def test_plain_optimizers_of_optax_obey_all_other_laws(factory, exceptions):
    laws.check_optimizer(factory(0.1), with_rate=factory, exceptions=exceptions, examples=1)


ALIKE = ("complex parameters: prodigy stands still", "complex parameters: simplified_ademamix is wrong")
ALIKE += ("a gradient of 0, normalized, is NaN",)  # to other defects of the same law


@pytest.mark.parametrize("name", [pytest.param(x, marks=[pytest.mark.nightly] * (x in ALIKE)) for x in DEFECTS])
def test_a_defect_of_optax_breaks_its_law(name):
    law, factory, arguments = DEFECTS[name]
    with_rate = functools.partial(factory, **arguments)
    with pytest.raises(laws.LawBroken) as error:
        laws.check_optimizer(with_rate(0.1), with_rate=with_rate, only=[law], examples=2)
    assert error.value.law == law
    if name in OURS:
        laws.check_optimizer(OURS[name](0.1), with_rate=OURS[name], only=[law], examples=2)


CARRY = [optax.adamw, optax.lion, optax.rmsprop, optax.adagrad, optax.amsgrad, optax.optimistic_gradient_descent]
CARRY += [contrib.adopt, contrib.ademamix, contrib.muon, contrib.galore, contrib.madgrad, contrib.dog]


SHOWN = (optax.adamw, contrib.muon, contrib.dog)  # a rule, a rule of matrices, and one without a rate


@pytest.mark.parametrize(
    "factory",
    [pytest.param(f, marks=[pytest.mark.nightly] * (f not in SHOWN), id=f.__name__) for f in CARRY],
)
def test_states_of_optax_are_no_carry(factory):
    """41 of its 47 change the dtype of their state where parameters and gradients differ in theirs; ours do not."""
    with pytest.raises(laws.LawBroken, match=r"carry.*\n  smallest case: parameters of (bfloat16|float32), gradients"):
        laws.check_optimizer(factory(0.1), only=["carry"])
    laws.check_optimizer(getattr(gd, factory.__name__)(0.1), only=["carry"])


# Strategies for tests of one's own.


@hypothesis.settings(max_examples=25, deadline=None, derandomize=True)
@hypothesis.given(st.data())
def test_trees_and_gradients_are_what_they_say(data):
    tree = data.draw(laws.trees(laws.dtypes(complex=True), max_leaves=3))
    grads = data.draw(laws.gradients(tree, largest=10.0))
    assert jax.tree.structure(grads) == jax.tree.structure(tree)
    for p, g in zip(jax.tree.leaves(tree), jax.tree.leaves(grads), strict=True):
        assert (p.shape, p.dtype) == (g.shape, g.dtype)
        assert np.isfinite(np.asarray(p, complex)).all() and np.all(np.abs(np.asarray(g, complex)) <= 15)


def test_trees_shrink_to_a_scalar_and_gradients_to_zero():
    assert hypothesis.find(laws.trees(), lambda tree: jax.tree.leaves(tree) != []).shape == ()
    tree = {"w": jnp.ones((2, 2)), "b": jnp.ones(3)}
    least = hypothesis.find(laws.gradients(tree), lambda g: bool((g["w"] > 0.5).all()))
    assert not least["b"].any() and (least["w"] == 1).all()
