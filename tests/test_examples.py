"""Every public factory shows in its docstring what it does, on an example that runs and gives the number printed there."""

import doctest
import importlib
import inspect
import math
import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gdjax as gd

ROOMS = [
    "gdjax",
    *sorted(f"gdjax.{name}" for name in gd.__all__ if isinstance(getattr(gd, name), types.ModuleType)),
    "gdjax.estimators",
    "gdjax.laws",
    "gdjax.tables",
]
READY = {"gd": gd, "jax": jax, "jnp": jnp, "np": np, "optax": optax}  # what an example need not import
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def public(room):
    """Name -> function, of those that a room of gdjax offers and that are its own; what Optax wrote, Optax shows."""
    module = importlib.import_module(room)
    names = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
    found = {name: getattr(module, name) for name in names}
    own = "gdjax" if hasattr(module, "__all__") else room
    return {name: x for name, x in found.items() if inspect.isfunction(x) and x.__module__.startswith(own)}


def lifted(function):
    """The factory of Optax behind one that is lifted from there, or None."""
    return getattr(getattr(getattr(function, "recipe", None), "body", None), "__wrapped__", None)


def shown(function):
    """The docstring, without what Optax says in it of a factory that is lifted from there."""
    said, theirs = inspect.getdoc(function) or "", lifted(function)
    return said if theirs is None else said.removeprefix(inspect.getdoc(theirs) or "")


class Numerically(doctest.OutputChecker):
    """The text must be equal but for spaces, and each number to four digits, or to a millionth of the largest beside it."""

    def check_output(self, want, got, optionflags):
        del optionflags
        (text, numbers), (said, found) = self.parts(want.replace(doctest.BLANKLINE_MARKER, "")), self.parts(got)
        if text != said or len(numbers) != len(found):
            return False
        atol = 1e-6 * max(map(abs, filter(math.isfinite, numbers)), default=0)
        return all(abs(a - b) <= 1e-4 * abs(a) + atol for a, b in zip(numbers, found, strict=True))

    @staticmethod
    def parts(text):
        return "".join(NUMBER.sub("#", text).split()), [float(number) for number in NUMBER.findall(text)]


def run(name, text):
    """What fails of a docstring's examples, as a text."""
    test = doctest.DocTestParser().get_doctest(text, dict(READY), name, None, None)
    report = []
    doctest.DocTestRunner(Numerically(), verbose=False).run(test, out=report.append)
    return "".join(report)


COMPILED = re.compile(  # what loops or draws; the rest is cheaper one operation at a time
    r"minimize|fit\(|make_|sweep\(|find_learning|tournament\(|segments|gradient_flow|laws|check_gradients|search|random|permute|nois|flow|mlp|data\.|jax\.jit"
)
FACTORIES = {function: f"{room}.{name}" for room in ROOMS for name, function in public(room).items()}
EXAMPLES = {name: shown(function) for function, name in FACTORIES.items()}
EXAMPLES["gdjax.metrics.Metric"] = inspect.getdoc(gd.metrics.Metric)  # of the metrics that are no functions
EXAMPLES["gdjax.Checkpoints"] = inspect.getdoc(gd.Checkpoints)
EXAMPLES |= {f"gdjax.estimators.{name}": getattr(gd.estimators, name).__doc__ for name in gd.estimators.__all__}
TRAINED = {
    *(
        f"gdjax.estimators.{name}"
        for name in ("MLPClassifier", "MLPRegressor", "LinearRegression", "LogisticRegression")
    ),
    *("gdjax.fit_curve", "gdjax.sweeps.find_learning_rate", "gdjax.laws.gradients"),
}
NIGHTLY = TRAINED | {  # and what is computed by another library: Optax's transformations, and evosax's populations
    name
    for function, name in FACTORIES.items()
    if lifted(function) or function.__module__ == "gdjax.search.populations"
}


def failures(names):
    report = []
    for name in names:
        with jax.disable_jit(not COMPILED.search(EXAMPLES[name][EXAMPLES[name].find(">>> ") :])):
            report.append(run(name, EXAMPLES[name]))
    return "".join(report)


def test_every_public_factory_has_an_example():
    assert [name for name, text in EXAMPLES.items() if ">>> " not in text] == []
    assert len(FACTORIES) > 380
    named = {name for name, entry in gd.metrics.METRICS.items() if isinstance(entry.metric, gd.metrics.Metric)}
    assert {name for name in named if not re.search(rf"gd.metrics.{name}\b", EXAMPLES["gdjax.metrics.Metric"])} == set()


@pytest.mark.parametrize("room", ROOMS)
def test_examples_give_what_they_say(room, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {name for name in EXAMPLES if name.rpartition(".")[0] == room} - NIGHTLY
    assert names
    assert failures(sorted(names)) == ""


@pytest.mark.nightly
def test_examples_of_what_is_trained_or_other_libraries_compute():
    assert 55 < len(NIGHTLY) < 75
    assert failures(sorted(NIGHTLY)) == ""


@pytest.mark.parametrize(
    ("want", "got", "same"),
    [
        ("0.69315", "0.6931472", True),
        ("[-0.1 0.2]", "[-0.09999999  0.19999999]", True),
        ("0.", "1e-9", False),
        ("[1. 0.]", "[1.e+00 2.e-09]", True),
        ("0.69315", "0.694", False),
        ("[-0.1 0.2]", "[-0.1 0.2 0.3]", False),
        ("CONVERGED after 8 steps", "CONVERGED after 9 steps", False),
        ("CONVERGED after 8 steps", "BUDGET after 8 steps", False),
        ("[nan 1.]", "[nan 1.]", True),
    ],
)
def test_numbers_are_compared_as_numbers(want, got, same):
    assert Numerically().check_output(want, got, 0) == same
    text = f">>> print({got!r})\n{want}\n"
    assert (run("case", text) == "") == same
