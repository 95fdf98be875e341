"""Call nodes: printed, compared, pickled and traced as the call that made them."""

import copy
import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gdjax as gd
from gdjax.calls import SpecError, optimizer, parse, schedule
from gdjax.schedules import SCHEDULES, cosine

CATALOGUE = {**gd.OPTIMIZERS, **gd.WRAPPERS, **gd.TRANSFORMS, **SCHEDULES}
lifted = optimizer(optax.adamw)

CALLS = [
    "sgd(0.1)",
    "sgd(0.1, momentum=0.9, nesterov=True)",
    "adam(0.001, b1=0.95)",
    "adam(cosine(0.1, 1000))",
    "adamw(0.001, mu_dtype='bfloat16', mask={'w': True, 'b': False})",
    "average(adam(0.001), decay=0.5)",
    "chain(clip_by_global_norm(0.5), sgd(1), reduce_on_plateau(momentum(0.1), patience=3))",
    "adadelta()",
]


@pytest.mark.parametrize("text", CALLS)
def test_a_node_prints_pickles_and_compares_as_its_call(text):
    node = parse(text, CATALOGUE)
    assert repr(node) == text
    for twin in (parse(repr(node), CATALOGUE), pickle.loads(pickle.dumps(node)), copy.deepcopy(node)):
        assert twin == node and hash(twin) == hash(node) and repr(twin) == text
        assert jax.tree.structure(twin) == jax.tree.structure(node)
    assert jax.tree.map(lambda x: x, node) == node
    assert jax.tree.map(lambda x: x + 1, node) != node


@pytest.mark.parametrize("text", CALLS)
def test_settled_numbers_print_as_they_were_typed_and_have_the_signatures_dtype(text):
    canonical = parse(text, CATALOGUE).canonicalize()
    assert repr(canonical) == text
    assert canonical == parse(text, CATALOGUE)
    for path, leaf in jax.tree_util.tree_leaves_with_path(canonical):
        expected = jnp.int32 if path[-1].name in ("patience", "cooldown") else jnp.float32
        assert leaf.dtype == expected and not leaf.weak_type, path


def test_leaves_are_the_numbers_under_the_names_of_the_call():
    node = gd.average(gd.chain(gd.clip_by_global_norm(1.0), gd.adam(cosine(0.1, 100))), 0.9)
    paths = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(node)}
    assert paths[".inner.args[1].learning_rate.init_value"] == 0.1
    assert paths[".inner.args[1].b2"] == 0.999
    assert paths[".inner.args[0].max_norm"] == 1.0 and paths[".decay"] == 0.9


def test_flags_and_functions_are_structure():
    assert jax.tree.structure(gd.sgd(0.1, 0.9)) != jax.tree.structure(gd.sgd(0.1, 0.9, nesterov=True))
    rate = lambda step: 0.1  # noqa: E731
    assert gd.sgd(rate) == gd.sgd(rate)
    assert gd.sgd(rate) != gd.sgd(lambda step: 0.1)
    assert jax.tree.leaves(gd.sgd(rate)) == []


def test_typed_values_share_one_program():
    traces = []

    @jax.jit
    def rate(node):
        traces.append(node)
        return node.learning_rate_at(0)

    for value in (1, 1.0, np.float64(2), np.float32(3), jnp.array(4.0)):
        assert rate(gd.adam(value).canonicalize()) == float(value)
    assert len(traces) == 1


def test_a_factory_of_optax_becomes_one_of_ours():
    node = lifted(1e-3, b2=0.99)
    assert repr(node) == "adamw(0.001, b2=0.99)"
    assert pickle.loads(pickle.dumps(node)) == node
    params = {"w": jnp.ones(3)}
    ours, _ = jax.jit(lambda node: node.update(params, node.init(params), params))(node)
    theirs, _ = optax.adamw(1e-3, b2=0.99).update(params, optax.adamw(1e-3).init(params), params)
    chex.assert_trees_all_close(ours, theirs, rtol=1e-6)


def test_vmap_and_grad_reach_the_numbers():
    params = jnp.array([1.0, -2.0])

    def after_a_step(node):
        updates, _ = node.update(params, node.init(params), params)
        return jnp.sum((params + updates) ** 2)

    rates = jnp.array([0.1, 0.2, 0.3])
    stacked = jax.vmap(lambda rate: after_a_step(gd.sgd(rate)))(rates)
    np.testing.assert_allclose(stacked, [after_a_step(gd.sgd(float(rate))) for rate in rates], rtol=1e-6)
    hypergradient = jax.grad(after_a_step)(gd.sgd(0.1).canonicalize())
    np.testing.assert_allclose(hypergradient.arguments["learning_rate"], -2 * (1 - 0.1) * 5, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gd.adam(1e-3, b1=1.2), "adam: b1 must be in [0, 1), got 1.2"),
        (lambda: gd.adam(-1.0), "adam: learning_rate must be in [0, inf), got -1"),
        (lambda: gd.adam(float("nan")), "adam: learning_rate must be in [0, inf), got nan"),
        (lambda: gd.adam("fast"), "adam: learning_rate must be a number, an array or a schedule, got 'fast'"),
        (lambda: gd.adam(1e-3).replace(b2=1), "adam: b2 must be in [0, 1), got 1"),
        (lambda: gd.sgd(cosine(0.1, 0)), "cosine: decay_steps must be in (0, inf), got 0"),
        (lambda: gd.chain(gd.sgd(0.1), 3).init(0.0), "expected an optimizer"),
        (lambda: optimizer(static=("nosuch",))(lambda rate: None), "no argument 'nosuch'"),
    ],
)
def test_a_bad_number_is_refused_by_name(make, message):
    with pytest.raises((ValueError, TypeError)) as error:
        make()
    assert message in str(error.value)


def test_checks_let_tracers_and_schedules_pass():
    assert jax.jit(lambda b1: gd.adam(gd.schedules.constant(0.1), b1=b1).arguments["b1"])(2.0) == 2.0


def test_replace_changes_one_argument():
    assert gd.adam(1e-3).replace(b1=0.5) == gd.adam(1e-3, b1=0.5)
    with pytest.raises(TypeError, match="no argument 'beta'; did you mean b1"):
        gd.adam(1e-3).replace(beta=0.5)


def test_a_schedule_of_the_users_own():
    @schedule(bounds={"floor": "[0, inf)"}, ints=("period",))
    def sawtooth(peak, period, floor=0.0):
        return lambda step: floor + (peak - floor) * (1 - (step % period) / period)

    assert repr(sawtooth(1.0, 10)) == "sawtooth(1, 10)"
    assert sawtooth(1.0, 10).canonicalize().arguments["period"].dtype == jnp.int32
    np.testing.assert_allclose(jax.jit(lambda s: s(5))(sawtooth(1.0, 10)), 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adaam(0.1)", "no 'adaam' here: did you mean 'adam'?"),
        (
            "adam(1" + 400 * "0" + ")",
            "adam: learning_rate must be a number that a float holds, got a whole number of about",
        ),
        ("adam(-1" + 700 * "0" + ")", "adam: learning_rate must be a number that a float holds, got a whole number of"),
        (
            "accumulate(sgd(0.1), 1" + 400 * "0" + ")",
            "accumulate: every must be below 2**31, got a whole number of about",
        ),
        ("sgd(1" + 6000 * "0" + ")", "write a call such as"),
        ("sgd(" + 5000 * "-" + "1)", "call "),
        ("sgd(" + 5000 * "1+" + "1)", "call "),
        ("sgd" + 5000 * "(1)", "call "),
        ("adam" + 5000 * ".b", "cannot read '"),
        (900 * "kahan(" + "sgd(1)" + 900 * ")", "cannot read 'kahan(kahan("),
        ("sgd(" + 90 * "[" + "1" + 90 * "]" + ")", "nested at most 50 deep"),
        ("sgd(0,25)", "is 0,25 a number? Write a decimal point, 0.25"),
        ("sgd(0,05)", "is 0,05 a number? Write a decimal point, 0.05"),
        ("adam(0.1, mask={[1]: 2})", "a key must be"),
        ("adam(**{'b1': 0.5})", "an argument must be written as name=value"),
        ("adam(lr=0.1)", "adam: no argument 'lr'; did you mean learning_rate?"),
        ("adam(0.1", "write a call such as"),
        ("0.1", "write a call such as"),
        ("adam(0.1, beta=3)", "adam: "),
        ("adam(1 + x)", "an argument must be a literal or a call"),
        ("adam.__class__(0.1)", "a call must start with a name"),
        ("adam(__import__('os'))", "no '__import__' here"),
        ("adam(0.1)(2)", "a call must start with a name"),
        ("adam(0.1, b1=2)", "adam: b1 must be in [0, 1), got 2"),
        ("(" * 500 + ")" * 500, "write a call such as"),
    ],
)
def test_what_is_no_spec_is_refused_in_one_line(text, message):
    with pytest.raises(SpecError) as error:
        parse(text, CATALOGUE)
    assert message in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 3000


KEY = jax.random.key(3)
KEYED = [
    lambda key: gd.add_noise(0.01, 0.55, key=key),
    lambda key: gd.chain(gd.add_noise(0.01, 0.55, key=key), gd.sgd(0.1)),
    lambda key: gd.noisy_sgd(0.1, key=key),
    lambda key: gd.stochastic_rounding(gd.sgd(0.1), key),
    lambda key: gd.dpsgd(0.1, 1.0, 0.5, key),
]


@pytest.mark.parametrize("make", KEYED)
@pytest.mark.parametrize("key", [KEY, jax.random.PRNGKey(3), 3], ids=["typed", "data", "seed"])
def test_a_node_with_a_random_key_prints_compares_and_is_pickled_as_any_other(make, key):
    node, other = make(key), make(jax.random.key(4))
    settled = node.canonicalize()
    for each in (node, settled, gd.make_state(jnp.ones(2), node).optimizer):
        assert each == each and each != other and hash(each) == hash(each)
        assert pickle.loads(pickle.dumps(each)) == each == copy.deepcopy(each)
        assert parse(str(each), CATALOGUE).canonicalize() == settled
    assert settled == make(KEY).canonicalize()
    assert str(settled) == str(make(KEY)) and "[0, 3]" in str(settled)
    assert jax.jit(lambda node: node == settled and str(node) != "")(settled) in (True, False)
