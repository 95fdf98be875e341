"""What is true of every optimizer and every wrapper. Forgetting the table, or the example of a wrapper, is a red test."""

import functools
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
import optax
import pytest
from optax import contrib
from wrapped import TRANSFORMED, WRAPPED

import gdjax as gd
from gdjax import laws, optimizers
from gdjax.calls import docstrings
from gdjax.certify.examples import example_calls
from gdjax.certify.references import REAL_ONLY
from gdjax.laws.optimizer import LAWS
from gdjax.optimizers.catalogue import entry
from gdjax.optimizers.leafwise import LiftedRule
from gdjax.types import Evaluation

OTHERS = {
    "adam(mu_dtype)": lambda: gd.adam(0.01, mu_dtype=jnp.bfloat16),
    "inject_hyperparams": lambda: gd.inject_hyperparams(gd.adam)(0.01),
    "MultiSteps": lambda: gd.as_optimizer(gd.MultiSteps(gd.adam(0.01), 1)),
    "from optax": lambda: gd.as_optimizer(optax.adam(0.01)),
}
PLAIN = {name: (lambda name=name: example_calls(name)[0]) for name in gd.OPTIMIZERS}
ALL = {**PLAIN, **OTHERS, **WRAPPED, **TRANSFORMED}
ALIKE = {  # lifted rules: what they owe to the lift, the others show
    name
    for name, make in PLAIN.items()
    if name not in ("sgd", "adam", "rmsprop", "lars", "lion", "adafactor")
    and isinstance(make().recipe.body(**make().arguments), LiftedRule)
}
VARIANTS = {
    f"{name}: {i}": (lambda name=name, i=i: example_calls(name)[i])
    for name in gd.OPTIMIZERS
    for i in range(1, len(example_calls(name)))
}

# Law, or test, -> those it does not hold for, and why.
OPTAX_DTYPES = "the states of Optax change dtype, which is why ours exist"
OPTAX_SUMS = "Optax's sums are float32 for complex gradients too, and its updates have the dtype of the gradients"
SIXTEEN_BITS = "its updates of 16-bit leaves are float32: the difference of two such numbers is often no such number"
RESIDUALS = "it goes by its residuals, not by the gradient"
PER_EXAMPLE = "its gradients are those of single examples"
EXCEPT: dict[str, dict[str, str]] = {
    "still": {
        "noisy_sgd": "it shakes",
        "yogi": "its first moment starts at 1e-6, as Optax's",
        "gauss_newton": RESIDUALS,
        "levenberg_marquardt": RESIDUALS,
    },
    "descends": {"gauss_newton": RESIDUALS, "levenberg_marquardt": RESIDUALS},
    "carry": {"from optax": OPTAX_DTYPES, "MultiSteps": OPTAX_SUMS},
    "few bits": {"from optax": "Optax's eps of 1e-8 is 0 in float16", "MultiSteps": OPTAX_SUMS},
    "linear": {
        "madgrad": "eps is added to the rate",
        "fromage": "the rate is also in the shrinking of the parameters",
        "cocob": "the rate scales the gradient, which the bets divide by",
        "hyperball": "on a sphere a step is no multiple of the rate",
        "schedule_free": "the rate also weighs the average",
    },
    "schedule": {"rprop": "the rate is only the first step size"},
    "order": dict.fromkeys(("noisy_sgd", "kron"), "each leaf has its own noise"),
    "converges": {"simplified_ademamix": "its sum of gradients, b1 = 0.99, still swings after 300 steps"},
    "composes": {"dpsgd": PER_EXAMPLE},
    "every pair": {
        "from optax": OPTAX_DTYPES,
        "MultiSteps": OPTAX_SUMS,
        **dict.fromkeys(("master_weights", "stochastic_rounding"), SIXTEEN_BITS),
    },
    "refused": {"dpsgd": PER_EXAMPLE},
}
MATRIX = laws.optimizer.trial.parameters()["a matrix of (3, 2)"]
THE_LIFT_OWES = {"pure", "eager", "order", "vmap", "schedule"}
WHOLE = (  # one of each kind, of which every law is asked in the suite
    *("sgd", "adam", "lion"),
    *("average", "partition", "skip_non_finite", "chain", "from optax"),
)
ASKED_NIGHTLY = THE_LIFT_OWES | {"few bits", "converges"}  # of all others: each runs op by op, or compiles once more
# Of lifted rules nightly too; that every pair of dtypes is kept is asked below.
SHAPES_OF_THE_LIFT = {"updates", "state", "trees", "carry", "extra arguments", "composes"}
LIKE_ANOTHER = {  # to one of the others (sam, clip, from optax, gauss_newton, momo_adam, ...), of which the shapes are asked
    *("gsam", "looksam", "tail_average", "adam(mu_dtype)", "MultiSteps", "inject_hyperparams", "levenberg_marquardt"),
    *("bfgs", "shampoo", "schedule_free_sgd", "momo", "cautious", "stable", "centralize", "normalize", "orthogonalize"),
    *("clip_by_norm", "clip_by_global_norm", "clip_by_block_rms", "adaptive_grad_clip", "add_noise"),
    *("cautious_weight_decay", "sparse_adam", "dowg", "decay_weights"),
}
TRIED_ON_COMPLEX = ("sgd", "adam", "adadelta", "prodigy", "dog", "muon", "rprop", "lbfgs", "newton")  # one of each kind


def laws_of(name):
    """The laws asked of each; those of little use for their cost are left to the others."""
    left = {*(THE_LIFT_OWES if name in ALIKE else ()), *(() if name in TRIED_ON_COMPLEX else ("complex",))}
    if name not in PLAIN:
        left |= {"vmap", "converges", "schedule", *(() if name in OTHERS else ("few bits",))}
    return [law for law in LAWS if law not in left]


def parts():
    """(name, laws): those of the suite, and what is left to the night."""
    for name in ALL:
        nightly = (ASKED_NIGHTLY if name not in WHOLE else set()) | (
            SHAPES_OF_THE_LIFT if name in ALIKE | LIKE_ANOTHER else set()
        )
        yield pytest.param(name, [law for law in laws_of(name) if law not in nightly], id=name)
        later = [law for law in laws_of(name) if law in nightly]
        if later:
            yield pytest.param(name, later, id=f"{name}, the rest", marks=pytest.mark.nightly)


@pytest.mark.parametrize("name, asked", [*parts()])
def test_every_law_holds(name, asked):
    """A lifted rule is tried on a matrix alone, the others on a tree; an exception that is not needed is red."""
    node = ALL[name]()
    laws.check_optimizer(
        node,
        params=MATRIX if name in ALIKE else None,
        per_example=node.recipe.name == "dpsgd",
        exceptions={law: whom[name] for law, whom in EXCEPT.items() if law in asked and name in whom},
        only=asked,
        examples=2,
    )


def law(name, table=ALL):
    """The table's names, those excepted skipped with their reason, those of another call of a rule nightly."""
    excepted = EXCEPT.get(name, {})
    skipped = {x: [pytest.mark.skip(reason=excepted[x])] for x in table if x in excepted}
    cases = [pytest.param(x, marks=skipped.get(x, [pytest.mark.nightly] * (x in VARIANTS))) for x in table]
    return pytest.mark.parametrize("name", cases)


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
def STEP(node, params, state, grads, i):
    return step(node, params, state, grads, i)


def factories(package):
    names = [module.name for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]
    modules = [importlib.import_module(name) for name in names]
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if not name.startswith("_")
        and hasattr(value, "recipe")
        and value.__module__ == module.__name__
        and value.recipe.kind is gd.Optimizer
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
    missing = inspect.signature(factory).parameters.keys() - docstrings.entries(doc)
    assert not missing, f"{missing} are not explained"


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


# The law "carry" has those without x64.
REAL, COMPLEX = (jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64), (jnp.complex64, jnp.complex128)
PAIRS = [*itertools.product(REAL, REAL), *itertools.product(COMPLEX, COMPLEX)]
FOUR = [(jnp.bfloat16, jnp.float32), (jnp.float32, jnp.bfloat16), (jnp.float16, jnp.float16)]
EACH_WAY = [  # of parameters and gradients: either wider, neither, and each dtype as either
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


@pytest.mark.parametrize("name", ["noisy_sgd", "momo", "accumulate"])
def test_a_donated_state_leaves_the_optimizer_whole(name):
    node, params = ALL[name]().canonicalize(), params_like()
    donating = jax.jit(update, donate_argnums=2)
    first = [jax.block_until_ready(donating(node, params, node.init(params), params))[0] for _ in range(2)]
    chex.assert_trees_all_equal(*first)


@pytest.mark.parametrize("name", ["adam", "nadam", "ademamix", "muon", "soap", "dadapt_adamw"])
def test_the_step_after_the_last_count_is_that_of_any_late_count(name):
    node, params = ALL[name]().canonicalize(), params_like()
    grads = grads_at(params)
    state = STEP(node, params, node.init(params), grads, 0)[1]

    def at(count):
        is_counter = lambda x: x.dtype == jnp.int32 and x.ndim == 0  # noqa: E731
        late = jax.tree.map(lambda x: jnp.full_like(x, count) if is_counter(x) else x, state)
        return STEP(node, params, late, grads, 1)[0]

    chex.assert_trees_all_close(at(2**31 - 1), at(10**9 + 7), rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in ALL if name != "from optax"])
def test_a_pickled_optimizer_is_the_same(name):
    node = ALL[name]()
    assert pickle.loads(pickle.dumps(node)) == node


@pytest.mark.parametrize(
    "name", [name for name in PLAIN if name != "dpsgd" and "learning_rate" in PLAIN[name]().arguments]
)
def test_optax_injects_its_rate(name):
    node, params = PLAIN[name](), {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    inject = optax.inject_hyperparams(gd.OPTIMIZERS[name], static_args=tuple(node.recipe.static))
    transformation = optax.with_extra_args_support(inject(learning_rate=0.01, **required_arguments(name)))
    extra = {"value": jnp.ones(()), "value_fn": lambda p: objective(p), "grad": params}
    state = jax.eval_shape(transformation.init, params)
    updates, _ = jax.eval_shape(lambda g, s, p: transformation.update(g, s, p, **extra), params, state, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(updates, params)


@pytest.mark.parametrize("name", PLAIN)
def test_optax_finds_the_slots(name):
    state = PLAIN[name]().init({"w": jnp.ones((2, 2)), "b": jnp.ones(2)})
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


@pytest.mark.parametrize("name", WRAPPED)
def test_wrappers_evaluate_any_tree(name):
    params = {"x": [{"y": (None, jnp.ones(2))}, None, [[jnp.ones(())]]], "n": None, "e": jnp.ones((0, 3))}
    state = jax.eval_shape(WRAPPED[name]().init, params)
    found = jax.eval_shape(gd.answers.evaluation_params, state, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(found, params)


def test_two_and_three_wrappers_around_a_bare_array_are_pickled_with_their_state():
    inner = gd.project(gd.tail_average(gd.accumulate(gd.adam(0.1), 2), 1), gd.projections.box(-1.0, 1.0))
    for node in (
        gd.average(gd.skip_non_finite(gd.adam(0.1)), 0.5),
        gd.freeze(inner, False),
        gd.reduce_on_plateau(inner),
    ):
        node, params = node.canonicalize(), jnp.array([0.4, 2.0])
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
    given = required_arguments(name)
    if inspect.signature(gd.OPTIMIZERS[name]).parameters["learning_rate"].default is None:
        node, params = gd.OPTIMIZERS[name](**given), jnp.array([1.0, -2.0])
        if name in ("adadelta", "adafactor"):
            updates, _ = node.update(params, node.init(params), params)
            assert updates[0] < 0 < updates[1]
        return
    with pytest.raises(TypeError, match=f"{name}: learning_rate must be a number, an array or a schedule, got None"):
        gd.OPTIMIZERS[name](learning_rate=None, **given)


def required_arguments(name):
    """The arguments that an optimizer cannot be called without, from its example."""
    parameters = inspect.signature(gd.OPTIMIZERS[name]).parameters.values()
    names = [p.name for p in parameters if p.default is p.empty and p.name != "learning_rate"]
    return {key: example_calls(name)[0].arguments[key] for key in names}


def of_optax():
    """name -> a call of each transformation of Optax whose required arguments are numbers."""
    for name in (name for name, place in optimizers.ON_FIRST_TOUCH.items() if place == "gdjax.optimizers.of_optax"):
        factory = getattr(gd, name)
        required = [p.name for p in inspect.signature(factory).parameters.values() if p.default is p.empty]
        numbers = factory.recipe.intervals if hasattr(factory, "recipe") else {}
        if numbers and {*required} <= {*numbers, "learning_rate"}:
            yield name, functools.partial(factory, **dict.fromkeys(required, 1))


NUMBERED = {
    **{name: make for name, make in ALL.items() if name not in ALIKE and name not in OTHERS},
    **dict(of_optax()),
    **{name: getattr(gd, name) for name in ("zoom", "backtracking")},
}


@pytest.mark.parametrize("name", NUMBERED)
def test_a_number_may_be_a_schedule_or_refuses_it_at_the_call(name):
    """Those that may are all tried in one update."""
    node = next((each for each in NUMBERED[name]().walk() if each.recipe.name == name), NUMBERED[name]())
    for argument in node.recipe.intervals:
        value = node.arguments[argument]
        schedule = jax.tree.map(lambda x: lambda step: x, 0.5 if value is None else value)
        try:
            node = node.replace(**{argument: schedule})
        except TypeError as error:
            assert f"{argument} must be a number or an array, got" in str(error) or "must be numbers" in str(error)
    if isinstance(node, gd.Optimizer):
        params = params_like() if name in ALL else params_like(name="sgd")["w"]
        state = jax.eval_shape(node.init, params)
        updates, _ = jax.eval_shape(lambda g, s, p: update(node, g, s, p), params, state, params)
        chex.assert_trees_all_equal_shapes(updates, params)


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
from gdjax.certify.examples import example_calls

mesh = jax.make_mesh((4,), ("x",), axis_types=(AxisType.Auto,))
sharding = NamedSharding(mesh, PartitionSpec("x"))
params = {"w": jax.device_put(jnp.ones((8, 3)), sharding)}
step = jax.jit(lambda node, g, s, p: node.update(g, s, p, value=1.0))
for name in NAMES:
    node = example_calls(name)[0].canonicalize()
    state = node.init(params)
    new = step(node, params, state, params)[1]
    for path, leaf in jax.tree_util.tree_leaves_with_path((state, new)):
        if leaf.shape == (8, 3) and not leaf.sharding.is_equivalent_to(sharding, 2):
            print(name, jax.tree_util.keystr(path), leaf.sharding)
print("looked at all")
"""


@pytest.mark.parametrize("names", [("sgd", "adam"), pytest.param(PLAIN, marks=pytest.mark.nightly)], ids=len)
def test_the_state_is_sharded_as_the_parameters_are(names):
    names = [name for name in names if hasattr(jax.eval_shape(PLAIN[name]().init, params_like()), "slots")]
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
    node, params = example.replace(**{around.pop(): inner}).canonicalize(), params_like()
    state = jax.eval_shape(node.init, params)
    _, new = jax.eval_shape(lambda g, s, p: update(node, g, s, p), params, state, params)
    chex.assert_trees_all_equal_shapes_and_dtypes(jax.eval_shape(gd.answers.evaluation_params, new, params), params)
    assert jax.tree.map(lambda x: x.dtype, new) == jax.tree.map(lambda x: x.dtype, state)


@pytest.mark.parametrize("params", [jnp.ones(()), {"b": jnp.ones(3)}, (jnp.ones((2, 2, 2)),)])
def test_optax_finds_the_parameters_in_the_state_of_muon_without_matrices(params):
    state = gd.muon(0.1).init(params)
    counted = optax.tree.map_params(gd.muon(0.1), lambda x: x + 1, state)
    chex.assert_trees_all_equal_structs(counted, state)
