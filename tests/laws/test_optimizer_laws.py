"""What is true of every optimizer and every wrapper. Forgetting the table, or the example of a wrapper, is a red test."""

import importlib
import inspect
import itertools
import os
import pickle
import pkgutil
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax import contrib

import gdjax as gd
from gdjax import optimizers
from gdjax.certify.examples import examples
from gdjax.certify.oracles.masks import matrices
from gdjax.certify.references import REAL_ONLY
from gdjax.optimizers.catalogue import entry
from gdjax.optimizers.leafwise import Lifted
from gdjax.types import Evaluation

WRAPPED = {
    "line_search": lambda: gd.line_search(gd.sgd(1.0), gd.backtracking()),
    "average": lambda: gd.average(gd.adam(0.01), 0.9),
    "tail_average": lambda: gd.tail_average(gd.adam(0.01), 1, 2),
    "lookahead": lambda: gd.lookahead(gd.adam(0.01), 2),
    "mechanize": lambda: gd.mechanize(gd.sgd(1.0), weight_decay=0.0, s_init=0.01),
    "schedule_free": lambda: gd.schedule_free(gd.rmsprop(0.01), 0.01),
    "chain": lambda: gd.chain(gd.adam(0.01), gd.sgd(1.0, momentum=0.5)),
    "decay_weights": lambda: gd.decay_weights(gd.rmsprop(0.01), 0.1),
    "reduce_on_plateau": lambda: gd.reduce_on_plateau(gd.adam(0.01), factor=0.5, patience=1),
    "accumulate": lambda: gd.accumulate(gd.adam(0.01), 1),
    "kahan": lambda: gd.kahan(gd.adam(0.01)),
    "master_weights": lambda: gd.master_weights(gd.adam(0.01)),
    "stacked": lambda: gd.stacked(gd.adamw(0.01, mask=matrices)),
    "stochastic_rounding": lambda: gd.stochastic_rounding(gd.adam(0.01), 3),
    "sam": lambda: gd.sam(gd.adam(0.01), 0.05, adaptive=True, steps=2),
    "gsam": lambda: gd.gsam(gd.adam(0.01)),
    "looksam": lambda: gd.looksam(gd.adam(0.01), period=2),
    "freeze": lambda: gd.freeze(gd.adam(0.01), frozen=r"b\.1"),
    "partition": lambda: gd.partition({True: gd.adam(0.01), False: gd.sgd(0.1, momentum=0.9)}, matrices),
    "skip_non_finite": lambda: gd.skip_non_finite(gd.adam(0.01), max_consecutive=3),
    "project": lambda: gd.project(gd.adam(0.01), gd.projections.l2_ball(5.0)),
    "hyperball": lambda: gd.hyperball(gd.adam(0.01), 0.05),
    "cautious": lambda: gd.cautious(gd.adam(0.01)),
    "stable": lambda: gd.stable(gd.adam(0.01), 0.5),
}
TRANSFORMED = {
    "clip": lambda: gd.chain(gd.clip(0.5), gd.adam(0.01)),
    "clip_by_norm": lambda: gd.chain(gd.clip_by_norm(0.5), gd.adam(0.01)),
    "clip_by_global_norm": lambda: gd.chain(gd.clip_by_global_norm(0.5), gd.adam(0.01)),
    "clip_by_block_rms": lambda: gd.chain(gd.clip_by_block_rms(0.5), gd.adam(0.01)),
    "adaptive_grad_clip": lambda: gd.chain(gd.adaptive_grad_clip(0.1), gd.adam(0.01)),
    "add_noise": lambda: gd.chain(gd.add_noise(0.0, 0.55), gd.sgd(0.01)),  # of no variance, for the other laws
    "centralize": lambda: gd.chain(gd.centralize(), gd.adam(0.01)),
    "normalize": lambda: gd.chain(gd.normalize(), gd.sgd(0.01)),
    "orthogonalize": lambda: gd.chain(gd.orthogonalize(), gd.sgd(0.01)),
    "cautious_weight_decay": lambda: gd.chain(gd.cautious_weight_decay(0.1), gd.sgd(0.01)),
}
OTHERS = {
    "adam(mu_dtype)": lambda: gd.adam(0.01, mu_dtype=jnp.bfloat16),
    "from optax": lambda: gd.as_optimizer(optax.adam(0.01)),
}
PLAIN = {name: (lambda name=name: examples(name)[0]) for name in gd.OPTIMIZERS}
ALL = {**PLAIN, **OTHERS, **WRAPPED, **TRANSFORMED}
ALIKE = {  # lifted rules: what they owe to the lift, the others show
    name
    for name, make in PLAIN.items()
    if name not in ("sgd", "adam", "rmsprop", "lars", "lion", "adafactor")
    and isinstance(make().recipe.body(**make().arguments), Lifted)
}
VARIANTS = {
    f"{name}: {i}": (lambda name=name, i=i: examples(name)[i])
    for name in gd.OPTIMIZERS
    for i in range(1, len(examples(name)))
}

# Law -> those it does not hold for, and why.
SHRINKS = "it shrinks the parameters"
OPTAX_DTYPES = "the states of Optax change dtype, which is why ours exist"
SIXTEEN_BITS = "its updates of 16-bit leaves are float32: the difference of two such numbers is often no such number"
RESIDUALS = "it goes by its residuals, not by the gradient"
PER_EXAMPLE = "its gradients are those of single examples"
EXCEPT: dict[str, dict[str, str]] = {
    "zero": {
        **{
            name: SHRINKS
            for name in (*gd.OPTIMIZERS, *WRAPPED, *TRANSFORMED)
            if any(float(np.max(node.arguments.get("weight_decay") or 0)) for node in ALL[name]().walk())
        },
        "asgd": SHRINKS,
        "fromage": SHRINKS,
        "noisy_sgd": "it shakes",
        "yogi": "its first moment starts at 1e-6, as Optax's",
        "gauss_newton": RESIDUALS,
        "levenberg_marquardt": RESIDUALS,
    },
    "descends": {"gauss_newton": RESIDUALS, "levenberg_marquardt": RESIDUALS},
    "every pair": {
        "from optax": OPTAX_DTYPES,
        **dict.fromkeys(("master_weights", "stochastic_rounding"), SIXTEEN_BITS),
    },
    "dtypes": {"from optax": OPTAX_DTYPES},
    "linear": {
        "madgrad": "eps is added to the rate",
        "rprop": "the rate is only the first step size",
        "fromage": "the rate is also in the shrinking of the parameters",
        "cocob": "the rate scales the gradient, which the bets divide by",
        "hyperball": "on a sphere a step is no multiple of the rate",
    },
    "order": {**dict.fromkeys(("noisy_sgd", "kron"), "each leaf has its own noise"), "freeze": "its pattern is a path"},
    "converges": {"simplified_ademamix": "its sum of gradients, b1 = 0.99, still swings after 300 steps"},
    "optax": {"dpsgd": PER_EXAMPLE},
    "refused": {"dpsgd": PER_EXAMPLE},
    "pickle": {"from optax": "Optax's closures do not pickle"},
}


def law(name, table=ALL):
    """The table's names, those excepted skipped with their reason."""
    excepted = EXCEPT.get(name, {})
    cases = [pytest.param(x, marks=pytest.mark.skip(reason=excepted[x])) if x in excepted else x for x in table]
    return pytest.mark.parametrize("name", cases)


def unlike(table):
    """The table without most of the rules that leafwise lifts."""
    return {name: make for name, make in table.items() if name not in ALIKE}


def rated(table):
    return {name: make for name, make in table.items() if "learning_rate" in make().arguments}


def params_like(dtype=jnp.float32, name=None):
    """A tree of three leaves, or the matrix alone for a rule that is lifted leaf by leaf."""
    x = jnp.arange(1.0, 7.0)
    if name in ALIKE:
        return (x.reshape(3, 2) / 3).astype(dtype)
    return {
        "w": (x.reshape(3, 2) / 3).astype(dtype),
        "b": [-x[:2].astype(dtype), jnp.asarray(0.5, dtype)],
        "none": None,
    }


def objective(params, i=0):
    return sum(jnp.sum(jnp.real(0.1 * p - jnp.cos(3 * p + i) / 3)) for p in jax.tree.leaves(params))


def grads_at(params, i=0):
    return jax.tree.map(lambda p: jnp.sin(3 * p + i) + 0.1, params)


def evaluation(i=0):
    return Evaluation(jnp.asarray(1.0), jnp.asarray(i, jnp.int32))


def update(node, grads, state, params, i=0, height=1.0):
    value_fn = lambda p, evaluation=None, weight=None: height * objective(p, i)  # noqa: E731
    if node.recipe.name == "dpsgd":  # its gradients are those of single examples
        grads = jax.tree.map(lambda g: jnp.stack([g, g]), grads)
    return node.update(
        grads, state, params, value=value_fn(params), grad=grads, value_fn=value_fn, evaluation=evaluation(i)
    )


def step(node, params, state, grads, i=0):
    updates, state = update(node, grads, state, params, i)
    return optax.apply_updates(params, updates), state


@jax.jit
def PROGRAM(node, grads, state, params, i, height):  # one an optimizer, shared by the laws
    updates, state = update(node, grads, state, params, i, height)
    return updates, optax.apply_updates(params, updates), state


def STEP(node, params, state, grads, i):
    return PROGRAM(node, grads, state, params, i, 1.0)[1:]


def UPDATE(node, grads, state, params, i, height=1.0):
    updates, _, state = PROGRAM(node, grads, state, params, i, height)
    return updates, state


def steps(node, params, number=5):
    node = node.settle()
    state = node.init(params)
    for i in range(number):
        params, state = STEP(node, params, state, grads_at(params, i), i)
    return params, state


def factories(package):
    names = [module.name for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]
    modules = [importlib.import_module(name) for name in names]
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if hasattr(value, "recipe") and value.__module__ == module.__name__ and value.recipe.kind is gd.Optimizer
    }


def test_every_factory_is_in_its_table():
    wrapping, changing = factories(optimizers.wrappers), factories(optimizers.transforms)
    tables = [gd.OPTIMIZERS, gd.WRAPPERS, gd.TRANSFORMS]
    everything = {name: factory for table in tables for name, factory in table.items()}
    assert len(everything) == sum(map(len, tables))
    for name, factory in {**wrapping, **changing}.items():
        assert everything[name] is factory
    for name, factory in everything.items():
        assert getattr(gd, name) is factory
    assert set(wrapping) <= set(WRAPPED) == set(gd.WRAPPERS)
    assert set(changing) <= set(TRANSFORMED) == set(gd.TRANSFORMS)
    assert len(gd.OPTIMIZERS) >= 60


@pytest.mark.parametrize("name", [*gd.OPTIMIZERS, *gd.WRAPPERS, *gd.TRANSFORMS])
def test_every_docstring_has_its_lines(name):
    factory = {**gd.OPTIMIZERS, **gd.WRAPPERS, **gd.TRANSFORMS}[name]
    about = entry(factory)
    assert about.memory and about.reference and about.summary.endswith(".")
    doc = inspect.getdoc(factory)
    assert "<-" in doc or "u =" in doc or name == "chain", "no equation"
    for other, factory_of_other in 2 * [
        *gd.OPTIMIZERS.items(),
        *gd.WRAPPERS.items(),
    ]:  # "as `adamw`", which says as `adam`
        doc += inspect.getdoc(factory_of_other) if f"s `{other}`" in doc else ""
    for argument in inspect.signature(factory).parameters:
        assert argument in doc or name == "chain", f"{argument} is not explained"


ALIASES = [name for name in gd.OPTIMIZERS if hasattr(contrib, name) or hasattr(optax, name)]


@pytest.mark.parametrize("name", [*ALIASES, "schedule_free", "mechanize"])
def test_the_signature_is_that_of_optax(name):
    """Code that calls Optax's alias calls ours: same names, order, defaults; more only by keyword."""
    ours = inspect.signature(getattr(gd, name)).parameters
    theirs = inspect.signature(getattr(contrib, name, None) or getattr(optax, name)).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    assert all(p.kind is p.KEYWORD_ONLY for p in list(ours.values())[len(theirs) :])
    for mine, other in zip(ours.values(), theirs.values(), strict=False):
        assert mine.kind is other.kind, mine.name
        if not callable(other.default) and not isinstance(other.default, optax.GradientTransformation):
            assert mine.default == other.default, mine.name


REAL, COMPLEX = (jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64), (jnp.complex64, jnp.complex128)
PAIRS = [*itertools.product(REAL, REAL), *itertools.product(COMPLEX, COMPLEX)]
FOUR = [(jnp.bfloat16, jnp.float32), (jnp.float32, jnp.bfloat16), (jnp.float16, jnp.float16)]
EACH_WAY = [  # of parameters and gradients: either wider, neither, and each dtype as either
    *FOUR,
    (jnp.float16, jnp.float64),
    (jnp.float64, jnp.float16),
    (jnp.complex64, jnp.complex128),
    (jnp.complex128, jnp.complex64),
]


@pytest.mark.parametrize("pairs", ["each way", pytest.param("every pair", marks=pytest.mark.nightly)])
@law("every pair", {**ALL, **VARIANTS})
def test_state_is_a_fixed_point_of_update_for_every_pair_of_dtypes(name, pairs):
    node = {**ALL, **VARIANTS}[name]()
    some = EACH_WAY if name in ALL else FOUR
    rule = name.split(":")[0]
    with jax.enable_x64(True):
        for param_dtype, grad_dtype in PAIRS if pairs == "every pair" else some:
            if jnp.issubdtype(param_dtype, jnp.complexfloating) and base(node) in REAL_ONLY:
                continue
            params, grads = params_like(param_dtype, rule), params_like(grad_dtype, rule)
            state = jax.eval_shape(node.init, params)
            updates, new_state = jax.eval_shape(lambda g, s, p: update(node, g, s, p), grads, state, params)
            chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)
            chex.assert_trees_all_equal_shapes_and_dtypes(new_state, state)
            assert jax.tree.structure(new_state) == jax.tree.structure(state)


def base(node):
    return [*node.walk()][-1].recipe.name


@law("dtypes")
def test_a_legal_carry_of_scan_and_while_loop(name):
    """Four pairs of dtypes in one while-loop around a scan: tracing refuses what is no carry."""
    node = ALL[name]().settle()
    pairs = FOUR if base(node) in REAL_ONLY else [*FOUR, (jnp.complex64, jnp.complex64)]
    jax.eval_shape(lambda node: carried(name, node, pairs), node)


@law("dtypes", {**PLAIN, **OTHERS})
def test_four_steps_in_few_bits_and_in_complex_numbers_are_finite(name):
    """In float16 an eps of 1e-8 is 0."""
    node = ALL[name]().settle()

    @jax.jit
    def four(node):
        return jax.lax.scan(bodies(name, node, pairs), starts(name, node, pairs), jnp.arange(4) % 2)[0]

    pairs = [(jnp.float16, jnp.float16), *([] if base(node) in REAL_ONLY else [(jnp.complex64, jnp.complex64)])]
    for new, _ in four(node):
        assert all(np.isfinite(np.asarray(x, np.complex64)).all() for x in jax.tree.leaves(new))


def starts(name, node, pairs):
    return [(params_like(dtype, name), node.init(params_like(dtype, name))) for dtype, _ in pairs]


def bodies(name, node, pairs):
    """What a scan does to the parameters and the state of each pair of dtypes."""
    grads = [jax.tree.map(lambda x: x - 1, params_like(dtype, name)) for _, dtype in pairs]  # the third entry is 0
    return lambda carry, i: ([step(node, *pair, g, i) for pair, g in zip(carry, grads, strict=True)], None)


def carried(name, node, pairs):
    """Parameters and state of each pair of dtypes after a while-loop around a scan, two by two steps."""
    twice = lambda carry: (carry[0] + 1, jax.lax.scan(bodies(name, node, pairs), carry[1], jnp.arange(2))[0])  # noqa: E731
    return jax.lax.while_loop(lambda carry: carry[0] < 2, twice, (0, starts(name, node, pairs)))[1]


@law("eager", unlike(ALL))
def test_compiled_is_eager(name):
    node, params = ALL[name]().settle(), params_like()
    state = STEP(node, params, node.init(params), grads_at(params), 0)[1]
    grads = grads_at(params, 1)
    compiled, eager = STEP(node, params, state, grads, 1), step(node, params, state, grads, 1)
    chex.assert_trees_all_close(*map(without_keys, (compiled, eager)), rtol=1e-4, atol=1e-6)


def without_keys(tree):
    """Random keys as their data, so that chex can compare them."""
    is_key = lambda x: jnp.issubdtype(x.dtype, jax.dtypes.prng_key)  # noqa: E731
    return jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, tree)


ODD_TREES = [
    jnp.arange(1.0, 7.0).reshape(3, 2),
    {
        "a": [None, {"w": jnp.ones((2, 2)), "b": (None, jnp.ones(3))}],
        "e": (),
        "f": jnp.zeros((0, 3)),
        "g": jnp.zeros(0),
    },
]


@law("odd trees")
def test_bare_arrays_empty_leaves_and_deep_trees_are_parameters(name):
    """Updates and state keep structure, shapes and dtypes."""
    node = (
        ALL[name]() if name != "freeze" else gd.freeze(gd.adam(0.01), lambda p: jax.tree.map(lambda x: x.ndim == 1, p))
    )
    node = node.settle()
    for params in ODD_TREES:
        state = jax.eval_shape(node.init, params)
        updates, new = jax.eval_shape(lambda s, p: update(node, p, s, p), state, params)
        chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)
        chex.assert_trees_all_equal_shapes_and_dtypes(new, state)


@law("donated")
def test_a_fresh_state_may_be_donated(name):
    """Every leaf has a buffer of its own, none of the parameters' and none of the optimizer's."""
    node, params = ALL[name]().settle(), params_like()
    leaves = jax.tree.leaves((without_keys(node.init(params)), params, without_keys(node)))
    places = [x.unsafe_buffer_pointer() for x in leaves if x.size]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("name", ["noisy_sgd", "momo", "accumulate"])
def test_a_donated_state_leaves_the_optimizer_whole(name):
    node, params = ALL[name]().settle(), params_like()
    donating = jax.jit(update, donate_argnums=2)
    first = [jax.block_until_ready(donating(node, params, node.init(params), params))[0] for _ in range(2)]
    chex.assert_trees_all_equal(*first)


@law("counters")
def test_no_counter_turns_negative(name):
    """At 2^31 - 1 a counter stays, or goes back by whole periods; the next update is as finite as any."""
    node, params = ALL[name]().settle(), params_like()
    grads = grads_at(params)
    state = STEP(node, params, node.init(params), grads, 0)[1]
    is_counter = lambda x: x.dtype == jnp.int32 and x.ndim == 0  # noqa: E731
    late = jax.tree.map(lambda x: jnp.full_like(x, 2**31 - 1) if is_counter(x) else x, state)
    for _ in range(2):
        new, late = STEP(node, params, late, grads, 1)
        assert all(np.all(x >= 0) for x in jax.tree.leaves(without_keys(late)) if is_counter(x))
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(new))


@pytest.mark.parametrize("name", ["adam", "nadam", "ademamix", "muon", "soap", "dadapt_adamw"])
def test_the_step_after_the_last_count_is_that_of_any_late_count(name):
    node, params = ALL[name]().settle(), params_like()
    grads = grads_at(params)
    state = STEP(node, params, node.init(params), grads, 0)[1]

    def at(count):
        is_counter = lambda x: x.dtype == jnp.int32 and x.ndim == 0  # noqa: E731
        late = jax.tree.map(lambda x: jnp.full_like(x, count) if is_counter(x) else x, state)
        return STEP(node, params, late, grads, 1)[0]

    chex.assert_trees_all_close(at(2**31 - 1), at(10**9 + 7), rtol=1e-6)


@law("vmap", rated(unlike(PLAIN)))
def test_vmap_over_stacked_optimizers_is_a_loop(name):
    nodes = [PLAIN[name]().replace(learning_rate=rate).settle() for rate in (0.001, 0.01, 0.1)]
    params = params_like()
    grads = grads_at(params)
    carries = [STEP(node, params, node.init(params), grads, 0) for node in nodes]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *zip(nodes, carries, strict=True))
    many = jax.jit(jax.vmap(lambda node, carry: step(node, *carry, grads, 1)[0]))(*stacked)
    for i, (node, carry) in enumerate(zip(nodes, carries, strict=True)):
        alone = STEP(node, *carry, grads, 1)[0]
        chex.assert_trees_all_close(jax.tree.map(lambda x, i=i: x[i], many), alone, rtol=1e-4, atol=1e-6)


@law("linear", rated(PLAIN))
def test_updates_are_linear_in_the_rate(name):
    params = params_like()
    grads = grads_at(params)

    def second_update(rate):
        node = PLAIN[name]().replace(learning_rate=rate).settle()
        _, state = UPDATE(node, grads, node.init(params), params, 0)
        return UPDATE(node, grads, state, params, 1)[0]

    once, thrice = second_update(0.01), second_update(0.03)
    chex.assert_trees_all_close(thrice, jax.tree.map(lambda u: 3 * u, once), rtol=1e-4)
    assert any(np.any(np.asarray(u) != 0) for u in jax.tree.leaves(once))


@law("zero")
def test_a_zero_gradient_moves_nothing(name):
    node, params = ALL[name]().settle(), params_like()
    zero = jax.tree.map(jnp.zeros_like, params)
    updates, _ = UPDATE(node, zero, node.init(params), params, 0, 0.0)
    chex.assert_trees_all_equal(jax.tree.map(lambda u: u + 0.0, updates), zero)


@law("order", unlike(ALL))
def test_the_order_of_leaves_does_not_matter(name):
    node = ALL[name]().settle()
    x = jnp.arange(6.0).reshape(3, 2)
    params, renamed = {"a": x / 3, "b": jnp.cos(x)}, {"b": x / 3, "a": jnp.cos(x)}
    one, other = steps(node, params, 3)[0], steps(node, renamed, 3)[0]
    chex.assert_trees_all_close((one["a"], one["b"]), (other["b"], other["a"]), rtol=1e-4, atol=1e-6)


@law("descends")
def test_the_first_step_descends(name):
    node, params = ALL[name]().settle(), params_like()
    grads = grads_at(params)
    state = node.init(params)
    for i in range(FIRST_STEP.get(name, 1)):
        new, state = STEP(node, params, state, grads, i)
    slope = sum(jnp.vdot(g, n - p) for g, n, p in zip(*map(jax.tree.leaves, (grads, new, params)), strict=True))
    assert slope < 0


FIRST_STEP: dict[str, int] = {"rprop": 2, "adopt": 2, "soap": 2}  # which step is the first that moves


@law("converges", rated(PLAIN))
def test_the_best_of_thirteen_rates_converges(name):
    """On a bowl of condition number 10 some rate of a factor-of-three grid comes within 1 % of the start."""
    curvature = jnp.array([1.0, 3.0, 10.0])
    start = jnp.array([1.0, -1.0, 1.0])

    def value_fn(params, evaluation=None, weight=None):
        return 0.5 * jnp.sum(curvature * params**2)

    def final_value(node):
        def body(carry, _):
            params, state = carry
            grads = curvature * params
            given = jnp.stack([grads, grads]) if name == "dpsgd" else grads
            updates, state = node.update(
                given, state, params, value=value_fn(params), grad=grads, value_fn=value_fn, evaluation=evaluation()
            )
            return (optax.apply_updates(params, updates), state), None

        (params, state), _ = jax.lax.scan(body, (start, node.init(start)), length=300)
        for averaging in gd.tree.nodes_with(state, "evaluation_params"):
            params = averaging.evaluation_params(params)
        return value_fn(params)

    nodes = [PLAIN[name]().replace(learning_rate=rate).settle() for rate in 10.0 ** np.linspace(-4, 2, 13)]
    values = jax.jit(jax.vmap(final_value))(jax.tree.map(lambda *leaves: jnp.stack(leaves), *nodes))
    assert np.nanmin(np.asarray(values)) < 0.01 * float(value_fn(start))


@law("pickle")
def test_a_state_saved_and_restored_goes_on_with_the_same_bits(name):
    node, params = ALL[name]().settle(), params_like()
    params, state = steps(node, params, 2)
    kept = pickle.loads(pickle.dumps((node, params, state)))
    traces = PROGRAM._cache_size()
    for i in range(2, 4):
        grads = grads_at(params, i)
        params, state = STEP(node, params, state, grads, i)
        kept = (kept[0], *STEP(*kept, grads, i))
    chex.assert_trees_all_equal(without_keys((params, state)), without_keys(kept[1:]))
    assert PROGRAM._cache_size() == traces


@law("retrace")
def test_a_new_value_of_any_number_compiles_nothing(name):
    node, params = ALL[name]().settle(), params_like()
    other = jax.tree.map(lambda x: x * 0.99 if jnp.issubdtype(x.dtype, jnp.floating) else x, node)
    assert isinstance(other, gd.Optimizer)
    steps(node, params, 2)
    traces = PROGRAM._cache_size()
    steps(other, params, 2)
    assert PROGRAM._cache_size() == traces


@law("extra")
def test_extra_arguments_are_ignored_and_the_empty_tree_is_no_trouble(name):
    node, params = ALL[name]().settle(), params_like()
    state = jax.eval_shape(node.init, params)
    grads = jax.tree.map(lambda p: jnp.stack([p, p]), params) if name == "dpsgd" else params
    extra = {"value": 1.0, "grad": grads, "value_fn": objective, "weight": 3, "evaluation": evaluation(), "other": 1}
    updates, _ = jax.eval_shape(lambda g, s, p: node.update(g, s, p, **extra), grads, state, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)
    nothing = {"value_fn": lambda p, **_: jnp.zeros(()), "value": jnp.zeros(()), "grad": {}, "evaluation": evaluation()}
    assert jax.tree.leaves(node.update({}, node.init({}), {}, **nothing)[0]) == []


@law("optax", PLAIN)
def test_works_inside_optax(name):
    node, params = PLAIN[name](), {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    labels, several = {"w": "ours", "b": "frozen"}, optax.MultiSteps(node, 2)
    around = [
        optax.chain(optax.clip(1.0), node),
        optax.masked(node, {"w": True, "b": False}),
        optax.multi_transform({"ours": node, "frozen": optax.set_to_zero()}, labels),
        optax.apply_if_finite(node, 3),
        optax.GradientTransformationExtraArgs(several.init, several.update),
    ]
    if "learning_rate" in node.arguments:
        inject = optax.inject_hyperparams(gd.OPTIMIZERS[name], static_args=tuple(node.recipe.static))
        around.append(inject(learning_rate=0.01, **required(name)))
    extra = {"value": jnp.ones(()), "value_fn": lambda p: objective(p), "grad": params}
    for transformation in map(optax.with_extra_args_support, around):
        state = jax.eval_shape(transformation.init, params)
        updates, _ = jax.eval_shape(lambda g, s, p, t=transformation: t.update(g, s, p, **extra), params, state, params)
        chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)
    state = node.init(params)
    for slot, tree in getattr(state, "slots", {}).items():
        chex.assert_trees_all_equal(optax.tree.get(state, slot), tree)


@law("map_params", {**ALL, **VARIANTS})
def test_optax_finds_the_parameters_in_every_state(name):
    """In the state of a tree that is none of the parameters' there stands a mark wherever there is a tree like them."""
    node, params = {**ALL, **VARIANTS}[name](), params_like()
    with jax.enable_x64(True):  # for slots that ask for it
        state = jax.eval_shape(node.init, params)
    marked = optax.tree.map_params(node, lambda x: "like", state, transform_non_params=lambda x: "other")
    assert jax.tree.structure(marked) == jax.tree.structure(state)
    slots = gd.tree.nodes_with(marked, "slots")
    assert {mark for node in slots for mark in jax.tree.leaves(node.slots)} <= {"like"}
    assert jax.tree.structure(optax.tree.map_params(node, lambda x: x, state)) == jax.tree.structure(state)


TREES = {
    "a bare array": jnp.ones((2, 2)),
    "an empty leaf": {"a": jnp.ones((0, 3)), "b": jnp.ones((2, 2))},
    "a deep tree": {"x": [{"y": (None, jnp.ones(2))}, None, [[jnp.ones(())]]], "n": None},
}
PATTERNS = {"a bare array": False, "an empty leaf": "a", "a deep tree": "x.0"}


@pytest.mark.parametrize("tree", TREES)
@law("trees", WRAPPED)
def test_wrappers_take_any_tree(name, tree):
    params = TREES[tree]
    nodes = {
        "freeze": lambda: gd.freeze(gd.adam(0.01), PATTERNS[tree]),
        "partition": lambda: gd.partition(
            {"all": gd.average(gd.adam(0.01))}, lambda p: jax.tree.map(lambda _: "all", p)
        ),
    }
    node = nodes.get(name, WRAPPED[name])().settle()
    state = jax.eval_shape(node.init, params)
    updates, new = jax.eval_shape(lambda g, s, p: update(node, g, s, p), params, state, params)
    found = jax.eval_shape(gd.answers.evaluation_params, state, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(found, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(new, state)


def test_two_and_three_wrappers_around_a_bare_array_are_pickled_with_their_state():
    inner = gd.project(gd.tail_average(gd.accumulate(gd.adam(0.1), 2), 1), gd.projections.box(-1.0, 1.0))
    for node in (
        gd.average(gd.skip_non_finite(gd.adam(0.1)), 0.5),
        gd.freeze(inner, False),
        gd.reduce_on_plateau(inner),
    ):
        node, params = node.settle(), jnp.array([0.4, 2.0])
        params, state = step(node, params, node.init(params), grads_at(params), 0)
        kept = pickle.loads(pickle.dumps((node, params, state)))
        for i in range(1, 4):
            params, state = step(node, params, state, grads_at(params, i), i)
            kept = (kept[0], *step(*kept, grads_at(kept[1], i), i))
        chex.assert_trees_all_equal((params, state), kept[1:])
        found = gd.answers.evaluation_params(state, params)
        chex.assert_trees_all_equal(found, gd.answers.evaluation_params(kept[2], kept[1]))


@pytest.mark.parametrize(
    "name", [n for n, p in gd.OPTIMIZERS.items() if "learning_rate" in inspect.signature(p).parameters]
)
def test_a_rate_of_none_is_refused_where_it_is_not_the_default(name):
    """Optax's `adam(None)` goes uphill at rate 1, for a chain that scales it; ours would go downhill."""
    given = required(name)
    if inspect.signature(gd.OPTIMIZERS[name]).parameters["learning_rate"].default is None:
        node, params = gd.OPTIMIZERS[name](**given), jnp.array([1.0, -2.0])
        if name in ("adadelta", "adafactor"):
            updates, _ = node.update(params, node.init(params), params)
            assert updates[0] < 0 < updates[1]
        return
    with pytest.raises(TypeError, match=f"{name}: learning_rate must be a number, an array or a schedule, got None"):
        gd.OPTIMIZERS[name](learning_rate=None, **given)


def required(name):
    """The arguments that an optimizer cannot be called without, from its example."""
    parameters = inspect.signature(gd.OPTIMIZERS[name]).parameters.values()
    names = [p.name for p in parameters if p.default is p.empty and p.name != "learning_rate"]
    return {key: examples(name)[0].arguments[key] for key in names}


@law("refused", PLAIN)
def test_trees_that_do_not_fit_are_refused_with_their_path(name):
    node, params = PLAIN[name](), {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    state = node.init(params)
    extra = {"value": jnp.ones(()), "value_fn": objective}
    with pytest.raises(ValueError, match=r"it lacks \['b'\]"):
        node.update({"w": params["w"]}, state, params, **extra)
    with pytest.raises(ValueError, match=r"grads\['w'\] must have shape \(2, 2\) as in params, got \(4,\)"):
        node.update({**params, "w": jnp.ones(4)}, state, params, **extra)
    with pytest.raises(TypeError, match=r"params\['n'\] must be floating or complex to be trained, got int32"):
        node.init({"n": jnp.arange(3)})


SHARDED = """
import jax, jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
import gdjax as gd
from gdjax.certify.examples import examples

mesh = jax.make_mesh((4,), ("x",), axis_types=(AxisType.Auto,))
sharding = NamedSharding(mesh, PartitionSpec("x"))
params = {"w": jax.device_put(jnp.ones((8, 3)), sharding)}
step = jax.jit(lambda node, g, s, p: node.update(g, s, p, value=1.0))
for name in NAMES:
    node = examples(name)[0].settle()
    state = node.init(params)
    new = step(node, params, state, params)[1]
    for path, leaf in jax.tree_util.tree_leaves_with_path((state, new)):
        if leaf.shape == (8, 3) and not leaf.sharding.is_equivalent_to(sharding, 2):
            print(name, jax.tree_util.keystr(path), leaf.sharding)
print("looked at all")
"""


def test_the_state_is_sharded_as_the_parameters_are():
    names = [name for name, make in PLAIN.items() if hasattr(jax.eval_shape(make().init, params_like()), "slots")]
    flags = {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    code = f"NAMES = {names}\n{SHARDED}"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **flags}, capture_output=True, text=True, check=False
    )
    assert done.stdout == "looked at all\n", done.stdout + done.stderr[-2000:]


@pytest.mark.parametrize("name", WRAPPED)
def test_every_wrapper_takes_an_optimizer_that_keeps_a_random_key_and_waits(name):
    """Which makes a wrapper choose between two states."""
    inner = gd.accumulate(gd.chain(gd.add_noise(0.1, 0.5), gd.sgd(0.1)), 2)
    example = WRAPPED[name]()
    around = {key for key, value in example.arguments.items() if isinstance(value, gd.Optimizer)}
    if name == "stacked" or len(around) != 1:
        return
    node, params = example.replace(**{around.pop(): inner}).settle(), params_like()
    state = jax.eval_shape(node.init, params)
    _, new = jax.eval_shape(lambda g, s, p: update(node, g, s, p), params, state, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(jax.eval_shape(gd.answers.evaluation_params, new, params), params)
    assert jax.tree.map(lambda x: x.dtype, new) == jax.tree.map(lambda x: x.dtype, state)


@pytest.mark.parametrize("params", [jnp.ones(()), {"b": jnp.ones(3)}, (jnp.ones((2, 2, 2)),)])
def test_optax_finds_the_parameters_in_the_state_of_muon_without_matrices(params):
    state = gd.muon(0.1).init(params)
    counted = optax.tree.map_params(gd.muon(0.1), lambda x: x + 1, state)
    chex.assert_trees_all_equal_structs(counted, state)
