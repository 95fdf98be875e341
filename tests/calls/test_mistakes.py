"""Every factory says in one sentence what is wrong with a call: who, which argument, and what was probably meant."""

import importlib
import inspect
import pkgutil
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdjax as gd
from gdjax import models, optimizers, projections, schedules, stopping
from gdjax.calls import is_factory, optimizer, schedule


def _factories():
    """All factories of the house, by name."""
    found = {}
    for room in (models, optimizers, projections, schedules, stopping, importlib.import_module("gdjax.search")):
        rooms = [room.__name__]
        if hasattr(room, "__path__"):
            rooms += [module.name for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}.")]
        for name in rooms:
            for each in vars(importlib.import_module(name)).values():
                if is_factory(each):
                    found[each.__name__] = each
    return found


FACTORIES = _factories()
TORCH = {  # an argument elsewhere: all that it may be here
    "lr": {"learning_rate"},
    "betas": {"b1", "b2"},
    "epsilon": {"eps"},
    "beta_1": {"b1"},
    "beta_2": {"b2"},
    "wd": {"weight_decay"},
}


def sentence(make, *args, **kwargs):
    with pytest.raises((TypeError, ValueError)) as error:
        make(*args, **kwargs)
    text = str(error.value)
    assert "\n" not in text and error.value.__cause__ is None
    return text


@pytest.mark.parametrize("name", FACTORIES)
def test_a_wrong_a_missing_and_a_foreign_argument_are_named(name):
    factory = FACTORIES[name]
    parameters = inspect.signature(factory).parameters.values()
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    required = [p.name for p in parameters if p.name in named and p.default is p.empty]
    assert sentence(factory, zzzzz=1).startswith(f"{name}: no argument 'zzzzz'; it takes ")
    for each in named:
        misspelt = each[0] + each[2] + each[1] + each[3:] if len(each) > 4 and each[1] != each[2] else None
        if misspelt:
            assert sentence(factory, **{misspelt: 1}) == f"{name}: no argument {misspelt!r}; did you mean {each}?"
    if required:
        said = sentence(factory)
        assert said.startswith(f"{name}: ") and said.endswith(" missing")
        assert set(required) <= set(re.findall(r"\w+", said))
    for foreign, ours in TORCH.items():
        if ours <= set(named) and foreign not in named:
            said = sentence(factory, **{foreign: 1})
            assert said.startswith(f"{name}: no argument {foreign!r}; did you mean ")
            assert ours <= set(re.findall(r"\w+", said))
    if not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        assert sentence(factory, *range(50)).startswith(f"{name}: at most ")
    if named and parameters and next(iter(parameters)).kind is not inspect.Parameter.KEYWORD_ONLY:
        assert sentence(factory, 1, **{named[0]: 1}) == f"{name}: {named[0]} is given twice, by position and by name"


@pytest.mark.parametrize("name", FACTORIES)
def test_what_is_no_number_is_refused_where_a_number_belongs(name):
    factory = FACTORIES[name]
    recipe = factory.recipe
    needed = {p.name: 1 for p in recipe.signature.parameters.values() if p.default is p.empty}
    recipe.check(
        {**defaults(recipe), **dict.fromkeys(needed, jax.ShapeDtypeStruct((), float))}
    )  # what is left out is right
    for argument, interval in recipe.intervals.items():
        several = "..." in interval or isinstance(recipe.signature.parameters[argument].default, tuple)
        varies = recipe.kind.takes_schedules and argument not in recipe.declared.constant
        for wrong in (
            "0.1",
            True,
            object(),
            {"w": "x"},
            *(() if several else ([0.1], (0.1,))),
            *(() if varies else (abs,)),
        ):
            said = sentence(lambda given: recipe.check({**defaults(recipe), **needed, **given}), {argument: wrong})
            assert said.startswith(f"{name}: {argument} must be "), (said, wrong)
    for argument in recipe.declared.ints:
        said = sentence(lambda given: recipe.check({**defaults(recipe), **needed, **given}), {argument: 6.5})
        assert said == f"{name}: {argument} must be a whole number, got 6.5"


def defaults(recipe):
    return {name: p.default for name, p in recipe.signature.parameters.items()}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: gd.adam(lr=1e-3), "adam: no argument 'lr'; did you mean learning_rate?"),
        (lambda: gd.adam(1e-3, amsgrad=True), "adam: no argument 'amsgrad'; that is amsgrad(...)"),
        (lambda: gd.rmsprop(0.1, alpha=0.99), "rmsprop: no argument 'alpha'; did you mean decay?"),
        (lambda: gd.sgd(0.1, maximize=True), "sgd: no argument 'maximize'; descend on the negative"),
        (lambda: gd.adagrad(0.1, epsilon=1e-7), "adagrad: no argument 'epsilon'; did you mean eps?"),
        (lambda: gd.lbfgs(history_size=5), "lbfgs: no argument 'history_size'; did you mean memory_size?"),
        (lambda: schedules.cosine(0.1, T_max=9), "cosine: no argument 'T_max'; did you mean decay_steps?"),
        (lambda: models.dropout(p=0.5), "dropout: no argument 'p'; did you mean rate?"),
        (lambda: gd.adam(schedules.cosine), "adam: learning_rate is a factory, call it: cosine(...)"),
        (lambda: gd.chain(gd.adam, gd.sgd(0.1)), "chain: args is a factory, call it: adam(...)"),
        (
            lambda: gd.adam({"w": jnp.ones(99)}),
            "adam: learning_rate must be a number, an array or a schedule, got {'w': ",
        ),
        (lambda: gd.adam(-np.ones(99)), "adam: learning_rate must be in [0, inf), got an array of shape (99,)"),
        (
            lambda: gd.accumulate(gd.sgd(0.1), 2**40),
            "accumulate: every must be below 2**31, got 1099511627776",
        ),
        (lambda: gd.adam(1e-3).replace(lr=1), "adam: no argument 'lr'; did you mean learning_rate?"),
        (lambda: optimizer(ints=("perid",))(lambda period: None), "no argument 'perid'; did you mean period?"),
        (
            lambda: optimizer(lambda rate, update: None),
            "an argument must not be called 'update', which is Optimizer's own",
        ),
        (
            lambda: schedule(lambda arguments: None),
            "an argument must not be called 'arguments', which is Schedule's own",
        ),
        (lambda: optimizer(lambda recipe: None), "an argument must not be called 'recipe', which is Optimizer's own"),
    ],
)
def test_the_sentence(make, said):
    assert said in sentence(make)


def test_whole_numbers_and_keys_are_what_is_declared_so_whatever_is_annotated():
    @schedule(ints=("period",), keys=("seed",))
    def saw(peak: int, period: float, seed=3, low: "int" = 2):
        return lambda step: peak * (step % period)

    canonical = saw(1, 4.0).canonicalize()
    assert canonical.peak.dtype == canonical.low.dtype == jnp.float32
    assert canonical.period.dtype == jnp.int32
    assert jnp.issubdtype(canonical.seed.dtype, jax.dtypes.prng_key)


def test_annotations_say_what_is_declared():
    """They decide nothing, so they may not say otherwise."""
    for name, factory in FACTORIES.items():
        recipe = factory.recipe
        for each in recipe.signature.parameters.values():
            text = str(each.annotation)
            if each.name not in recipe.static and text != "Any" and name not in gd.LIFTED:  # which is Optax's own
                assert (each.name in recipe.declared.ints) == (re.match(r"int\b", text) is not None), (name, each)
                assert (each.name in recipe.declared.keys) == (re.match(r"PRNGKey\b", text) is not None), (name, each)


@pytest.mark.parametrize("name", FACTORIES)
def test_help_needs_no_second_page(name):
    page = inspect.getdoc(FACTORIES[name])
    words = set(re.findall(r"\w+", page))
    parameters = inspect.signature(FACTORIES[name]).parameters.values()
    assert {p.name for p in parameters if p.kind is not p.VAR_POSITIONAL} <= words
    assert not re.search(r"Args:.+|^ +[\w, ]+: (as (in|for) `|see `)", page, re.MULTILINE)
    assert max(map(len, page.splitlines())) <= 125


def test_what_is_told_elsewhere_is_told_again_in_the_order_of_the_call():
    @schedule
    def far(low, high, slope=1.0):
        """A line.

        Args:
            low, slope: numbers
                of any sign.
            high: above low.
        """
        return lambda step: low

    @schedule(like=far)
    def near(low, middle, high):
        """Another line.

        Args: as `far`, and
            middle: in between.
            high: as in `far`; inf is none.

        Reference: nobody.
        """
        return lambda step: low

    assert near.__doc__.splitlines() == [
        "Another line.",
        "",
        "Args:",
        "    low: numbers",
        "        of any sign.",
        "    middle: in between.",
        "    high: above low; inf is none.",
        "",
        "Reference: nobody.",
    ]


def test_arguments_are_attributes():
    inner = gd.adam(schedules.cosine(0.1, 50), b2=0.98)
    node = gd.average(inner, decay=0.75)
    assert (node.inner.learning_rate.decay_steps, node.inner.b2, node.decay) == (50, 0.98, 0.75)
    assert models.mlp((4, 7, 2)).sizes == (4, 7, 2)
    assert {"inner", "decay", "update", "replace"} <= set(dir(node))
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *(gd.sgd(rate).canonicalize() for rate in (0.1, 0.2)))
    np.testing.assert_allclose(stacked.learning_rate, [0.1, 0.2], rtol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda each: each.inner.b2)(node.canonicalize()), 0.98, rtol=1e-6)
    with pytest.raises(AttributeError, match="adam has no argument 'learning_rat'"):
        _ = inner.learning_rat
    assert not hasattr(node, "__array__")


def test_none_stands_where_it_is_declared_and_nowhere_else():
    assert gd.adafactor(clipping_threshold=None).clipping_threshold is None
    assert gd.zoom(approx_dec_rtol=None).approx_dec_rtol is None
    assert sentence(lambda given: gd.adam(0.1, **given), {"b1": None}).startswith("adam: b1 must be a number")
    assert sentence(lambda given: gd.zoom(**given), {"approx_dec_rtol": -1.0}).startswith(
        "zoom: approx_dec_rtol must be"
    )
