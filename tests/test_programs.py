"""Programs are found by what functions read: an edit is never missed, and what is unchanged compiles nothing."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import contextvars
import dataclasses
import functools
import gc
import importlib
import itertools
import math
import sys
import time
import types
import weakref

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gdjax as gd
from gdjax import programs, search
from gdjax.fingerprint import ByValue, read
from gdjax.programs import compile_once


@contextlib.contextmanager
def compilations():
    """Counts what XLA compiles, or finds in its cache, meanwhile."""
    found = []

    def note(event, *_, **__):
        if "backend_compile" in event:
            found.append(event)

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


# A notebook: a loss whose minimum is at the sum of all that it reads.

CELLS = """
import dataclasses, functools
import jax, jax.numpy as jnp, numpy as np
import a_module

number = 1.0
table, log = {"entry": 2.0}, [3.0]
on_host = np.array([4.0, 5.0])

def called():
    return 6.0

@jax.jit
def jitted(x):
    return x + in_jitted
in_jitted = 7.0

def body(carry, _):
    return carry + in_body, None
in_body = 8.0

@jax.custom_jvp
def ruled(x):
    return x + in_ruled
ruled.defjvp(lambda p, t: (ruled(p[0]), t[0]))
in_ruled = 9.0

class Thing:
    __slots__ = ("weight",)
    shift = 10.0
    def __init__(self):
        self.weight = 11.0
    @property
    def both(self):
        return self.weight + self.shift + in_property
in_property = 12.0
thing = Thing()

@dataclasses.dataclass
class Config:
    scale: float = 13.0
config = Config()

def closing(captured):
    def inside():
        return captured.sum() + captured[0] * nested()
    def nested():
        return 1.0
    return inside
closed = closing(np.array([14.0, 15.0]))

def default(value=16.0, *, keyword=17.0):
    return value + keyword

def decorated(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args) + wrapper.bias
    wrapper.bias = 18.0
    return wrapper

@decorated
def with_bias():
    return 19.0

partial = functools.partial(lambda a, b: a + b, 20.0, b=jnp.array(21.0))

def total(zero):
    parts = [number, table["entry"], log[0], on_host.sum(), called(), thing.both, config.scale, closed(), default()]
    parts += [with_bias(), partial(), a_module.scale, a_module.function()]
    return sum(parts) + jitted(zero) + jax.lax.scan(body, zero, None, length=1)[0] + ruled(zero)

class Loss:
    target = 22.0
    def __init__(self):
        self.weight = 23.0
    def method(self, p):
        return 0.5 * (p - total(0.0 * p) - self.target - self.weight) ** 2
    def on_batch(self, p, batch, key):
        return self.method(p) + 0.0 * jnp.sum(batch), {}

it = Loss()
"""

EDITS = {
    "a global number": "number += 32",
    "a function that is called": "def called(): return 38.0",
    "an array, in place": "on_host[1] += 32",
    "what a jitted function reads": "in_jitted += 32",
    "what the body of a scan reads": "in_body += 32",
    "what a custom rule reads": "in_ruled += 32",
    "an array in a closure": "closed = closing(np.array([30.0, 15.0]))",
    "a default": "default.__defaults__ = (48.0,)",
    "what a property reads": "in_property += 32",
    "a module": "a_module.scale += 32",
    "an attribute of the bound object": "it.weight += 32",
    "the class of the bound object": "Loss.target += 32",
    "an entry of a dict": "table['entry'] += 32",
    "a list": "log[0] = log[0] + 32",
    "a slot": "thing.weight += 32",
    "a class": "Thing.shift += 32",
    "a dataclass": "config.scale += 32",
    "a keyword's default": "default.__kwdefaults__['keyword'] += 32",
    "an attribute of a function": "with_bias.bias += 32",
    "a partial": "partial = functools.partial(partial.func, 20.0, b=jnp.array(53.0))",
    "what a module's function reads": "a_module.inner += 32",
}


@pytest.fixture
def notebook(monkeypatch):
    module = types.ModuleType("a_module")
    exec("scale = 24.0\ninner = 25.0\ndef function():\n    return inner", vars(module))
    monkeypatch.setitem(sys.modules, "a_module", module)
    page = types.ModuleType("a_page")
    monkeypatch.setitem(sys.modules, "a_page", page)
    exec(CELLS, vars(page))
    return page


def by_fit(loss, start=0.0):
    """A step of one half on half a square ends at the minimum after two, and that exactly in whole numbers."""
    data = jnp.zeros((2, 1))
    return gd.fit(loss, jnp.array(start), gd.sgd(1.0), data, epochs=1, batch_size=2, order="sequence").params


def by_minimize(f, start=0.0):
    return gd.minimize(f, start, gd.sgd(1.0), max_steps=1).params


SUM = sum(range(1, 26)) + 14.0  # the closure counts its first entry twice


@pytest.mark.parametrize("way", ["fit", "minimize"])
@pytest.mark.parametrize("number", [4, pytest.param(12, marks=pytest.mark.nightly)])
def test_no_edit_of_a_notebook_is_missed(notebook, way, number):
    """The first edits, each of which compiles; that every one changes the value is seen below."""
    ask = lambda: by_fit(notebook.it.on_batch) if way == "fit" else by_minimize(notebook.it.method)  # noqa: E731
    expected = SUM
    assert ask() == expected
    with compilations() as found:
        assert ask() == expected
    assert not found
    for name, edit in itertools.islice(EDITS.items(), number):
        exec(edit, vars(notebook))
        expected += 32
        assert ask() == expected, name
    with compilations() as found:
        assert ask() == expected
    assert not found


def test_every_edit_changes_the_value(notebook):
    seen = [read(notebook.it.method, capture=False).key]
    for edit in EDITS.values():
        assert read(notebook.it.method, capture=False).key == seen[-1]
        exec(edit, vars(notebook))
        seen.append(read(notebook.it.method, capture=False).key)
    assert len(set(seen)) == len(EDITS) + 1


def test_a_cell_that_is_run_again_is_the_same(notebook):
    before = read(notebook.it.method, capture=False).key
    exec("# elsewhere\n\n" + CELLS, vars(notebook))
    assert read(notebook.it.method, capture=False).key == before
    exec(CELLS.replace("0.5 *", "0.25 *"), vars(notebook))
    assert read(notebook.it.method, capture=False).key != before


def test_a_model_edited_in_its_cell():
    """One full batch of plain descent, against jax.grad called by hand."""
    x = jnp.linspace(-1.0, 1.0, 8).reshape(4, 2)
    cell = """
def apply(w, x):
    return jnp.sum(jax.nn.relu(x @ w))
def loss(w, batch, key):
    return (apply(w, batch) - 1.0) ** 2, {}
"""
    page = {"jnp": jnp, "jax": jax, "__name__": "a_page"}
    for text in (cell, cell.replace("jax.nn.relu", "jnp.tanh"), cell):
        exec(text, page)
        w = jnp.array([0.5, -0.3])
        expected = w - 0.1 * jax.grad(lambda w: page["loss"](w, x, None)[0])(w)
        found = gd.fit(page["loss"], w, gd.sgd(0.1), x, epochs=1, batch_size=4, order="sequence").last.params
        np.testing.assert_allclose(found, expected, rtol=1e-5)


# Captured arrays.


def away_from(array):
    return lambda p: jnp.sum((p - array) ** 2) / 2


@pytest.mark.parametrize("kind", [jnp.asarray, np.asarray])
def test_other_entries_of_captured_arrays_compile_nothing(kind):
    for i in range(4):
        with compilations() as found:
            end = by_minimize(away_from(kind(np.float32([1.0 + i, 2.0]))), jnp.zeros(2))
        assert end.tolist() == [1.0 + i, 2.0]
        assert i == 0 or not found


def test_arrays_that_python_or_numpy_look_into_are_part_of_the_value():
    """A branch on an entry, a shape from an entry, and differences of large numbers that only float64 has."""

    def branching(array):
        return lambda p: (p - (1.0 if np.asarray(array)[0] > 0 else -1.0)) ** 2 / 2

    def on_host(array):
        return lambda p: (p - (array - array.mean())[0]) ** 2 / 2

    large = np.array([1e9 + 3, 1e9 - 3])
    for make, array, expected in (
        *((branching, jnp.array([sign]), sign) for sign in (1.0, -1.0, 1.0)),
        *((on_host, large * factor, 3.0 * factor) for factor in (1, 2, 1)),
        (lambda array: lambda p: (p - array[0] / 1e9) ** 2 / 2, np.array([3_000_000_000]), 3.0),
    ):
        assert by_minimize(make(array)) == expected


# What Python finds out about an array of float64, which on the device has float32.
WIDE = np.float64, np.complex128
DTYPES = {
    "a number": lambda a: lambda x: x.sum() + np.finfo(a.dtype).eps * 2.0**52,
    "a size": lambda a: lambda x: x + a.itemsize,
    "a number beside it": lambda a: lambda x: x * a + a.nbytes,
    "an order": lambda a: lambda x: x[0] - x[1] if a.dtype in WIDE else x[1] - x[0],
    "an axis": lambda a: lambda x: x.sum(int(a.dtype in WIDE)),
    "a shape": lambda a: lambda x: x.sum() + jnp.ones(a.nbytes).sum(),
    "inside a loop": lambda a: lambda x: jax.lax.scan(lambda c, _: (c * a.itemsize, None), x, None, length=2)[0],
}


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("array", [np.full(3, 5.0), np.arange(3) * 1j], ids=["float64", "complex128"])
def test_what_depends_on_the_dtype_of_an_array_on_the_host_is_as_called(name, array):
    f, x = DTYPES[name](array), jnp.arange(6.0).reshape(2, 3)
    for _ in range(2):
        np.testing.assert_array_equal(compile_once(f)(x), f(x))


def in_a_loop(array):
    def body(i, x):
        return jnp.where(x > 0, x, array) + jnp.asarray(array, x.dtype) * i - array.astype(x.dtype) - array.shape[0]

    return lambda x: jax.lax.fori_loop(0, 2, body, x)


@pytest.mark.parametrize("dtype", [np.float64, np.int32])
def test_other_entries_on_the_host_compile_nothing_whatever_their_dtype(dtype):
    x = jnp.arange(3).astype(jax.dtypes.canonicalize_dtype(dtype))
    for i in range(3):
        f = in_a_loop(np.arange(i, i + 3).astype(dtype))
        expected = f(x)
        with compilations() as found:
            np.testing.assert_array_equal(compile_once(f)(x), expected)
        assert i == 0 or not found


def test_no_tracer_is_kept_by_a_program_that_is_called_inside_another():
    program, x = compile_once(away_from(np.float32([1.0, 3.0]))), jnp.zeros(2)
    for around in (jax.jit, jax.grad, lambda f: lambda x: jax.vmap(f)(x[None])):
        assert program(x) == 5.0
        around(lambda x: program(x))(x)
    assert program(x) == 5.0
    program = compile_once(away_from(np.float32([1.0, 3.0])))
    for _ in range(2):
        assert jax.jit(lambda x: program(x))(x) == 5.0
    assert program(x) == 5.0


@pytest.mark.parametrize("kind", [np.float32, jnp.float32])
def test_an_error_is_raised_once_and_as_it_is(kind):
    """One of tracing is that of the function; after execution began nothing is run again, and no donated array is missed."""
    array, calls = kind([1.0, 2.0]), []

    def failing(x):
        if kind is np.float32:
            calls.append("traced")
        raise ValueError(f"no number, {jnp.sum(x * array).shape}")

    with pytest.raises(ValueError, match=r"^no number, \(\)") as caught:
        compile_once(failing)(jnp.zeros(2))
    assert caught.value.__cause__ is None

    def on_host(x):
        calls.append("run")
        raise ValueError("no entry")

    def running(x):
        return jax.pure_callback(on_host, jax.ShapeDtypeStruct((2,), jnp.float32), x * array)

    with pytest.raises(Exception, match="no entry"):
        compile_once(running, donate=(0,))(jnp.zeros(2)).block_until_ready()
    assert calls == ["traced"] * (kind is np.float32) + ["run"]


def test_a_captured_array_edited_in_place():
    array = np.zeros(2, np.float32)
    f = away_from(array)
    for i in range(3):
        array[1] = i
        assert by_minimize(f, jnp.zeros(2)).tolist() == [0, i]


def test_derivatives_by_what_is_captured_anywhere():
    """d/da of the minimum of (p - 3a)² where a is in a cell, a partial, an object."""

    class Holder:
        def __init__(self, a):
            self.a = a

        def f(self, p):
            return (p - 3 * self.a) ** 2 / 2

    def in_a_cell(a):
        return lambda p: (p - 3 * a) ** 2 / 2

    def in_a_partial(a):
        return functools.partial(lambda p, b: (p - 3 * b) ** 2 / 2, b=a)

    def deeper(a):
        inner = in_a_cell(a)
        return lambda p: inner(p)

    for make in (in_a_cell, in_a_partial, deeper, lambda a: Holder(a).f):
        end = lambda a, make=make: gd.minimize(make(a), 0.0, gd.sgd(1.0)).params  # noqa: E731
        np.testing.assert_allclose(jax.grad(end)(2.0), 3.0, rtol=1e-5)


# What is kept alive.


def test_nothing_is_alive_after_clear_programs():
    """More fresh functions than programs are kept, with arrays and objects that they capture."""

    class Holder:
        def __init__(self, array):
            self.array = array

    watched = []

    def fresh(i):
        held, array = Holder(jnp.full(2, 1.0 * i)), jnp.full(2, 2.0 * i)
        f = lambda p, *_: jnp.sum((p - held.array - array) ** 2) / 2  # noqa: E731
        watched.extend(map(weakref.ref, (f, held, array)))
        return f

    def plus(f, number):
        return lambda p: f(p) + number

    def on_batch(f):
        return lambda p, batch, key: (f(p) + 0.0 * jnp.sum(batch), {})

    for i in range(200):
        by_minimize(fresh(i), jnp.zeros(2))
    for i in range(3):
        by_minimize(plus(fresh(i), float(i)), jnp.zeros(2))  # a program each
        gd.minimize(fresh(i), jnp.zeros(2), search.fixed_step(0.1), max_steps=2)
        by_fit(on_batch(fresh(i)), jnp.zeros(2))
    gd.backprop.flow(on_batch(fresh(0)), {"w": jnp.zeros(2)}["w"], jnp.ones((2, 1)))
    gd.backprop.check_gradients(fresh(0), jnp.zeros(2))
    gd.backprop.graph(fresh(0), jnp.zeros(2))
    gd.clear_programs()
    gc.collect()
    assert sum(ref() is not None for ref in watched) == 0


# Losses that do not hash.


class Linear(eqx.Module):
    target: jax.Array

    def __call__(self, p, batch=0.0, key=None):
        return jnp.sum((p - self.target) ** 2) / 2 + 0.0 * jnp.sum(batch)


@dataclasses.dataclass
class Plain:
    target: jax.Array

    def method(self, p, batch=0.0, key=None):
        return jnp.sum((p - self.target) ** 2) / 2 + 0.0 * jnp.sum(batch)


def shift(p, batch=0.0, key=None, *, target):
    return jnp.sum((p - target) ** 2) / 2 + 0.0 * jnp.sum(batch)


UNHASHABLE = {
    "partial": lambda target: functools.partial(shift, target=target),
    "equinox": Linear,
    "method": lambda target: Plain(target).method,
}


@pytest.mark.parametrize(
    "kind", ["method", *(pytest.param(x, marks=pytest.mark.nightly) for x in ("equinox", "partial"))]
)
def test_losses_that_do_not_hash(kind):
    goal, start, data = jnp.array([1.5, -2.0]), jnp.zeros(2), jnp.zeros((2, 1))
    loss = UNHASHABLE[kind](goal)
    with_metrics = functools.partial(lambda loss, p, batch, key: (loss(p, batch, key), {}), loss)
    assert by_fit(with_metrics, start).tolist() == goal.tolist()
    further = goal + 1
    with compilations() as found:
        other = functools.partial(with_metrics.func, UNHASHABLE[kind](further))
        assert by_fit(other, start).tolist() == further.tolist()
    assert not found
    assert by_minimize(loss, start).tolist() == goal.tolist()
    state, metrics = gd.make_step(with_metrics)(gd.make_state(start, gd.sgd(1.0)), data)
    assert state.params.tolist() == goal.tolist() and metrics["loss"] == 3.125
    assert gd.make_evaluate(with_metrics)(start, data)["loss"] == 3.125
    ended = gd.minimize(loss, start, search.fixed_step(0.5), max_steps=20)
    assert ended.params.tolist() == goal.tolist()
    assert gd.backprop.check_gradients(loss, start).passed
    np.testing.assert_allclose(gd.backprop.flow(with_metrics, start, data).gradient_norm, [2.5], rtol=1e-6)


# Optimizers.


def test_an_optimizer_of_optax_that_is_made_again_compiles_nothing():
    f = lambda p: jnp.sum(p**2)  # noqa: E731
    for i, rate in enumerate((1e-2, 1e-2, 2e-2)):
        optimizer = optax.chain(optax.clip(1.0), optax.adam(rate))
        with compilations() as found:
            end = gd.minimize(f, 1.0, optimizer, max_steps=1)
            state = gd.make_state(jnp.ones(()), optimizer)
        np.testing.assert_allclose(end.params, 1 - rate, rtol=1e-5)
        assert gd.make_state(jnp.ones(()), optax.chain(optax.clip(1.0), optax.adam(rate))).optimizer == state.optimizer
        assert bool(found) == (i != 1)


def test_what_a_schedule_or_an_own_optimizer_reads_can_be_edited():
    page = {"gd": gd, "jax": jax, "__name__": "a_page", "rate": 0.5, "factor": 1.0}
    exec(
        """
def rule(t):
    return rate
@gd.optimizer
def mine(learning_rate):
    return lambda p: (), lambda g, s, p, **_: (jax.tree.map(lambda g: -factor * learning_rate * g, g), s)
""",
        page,
    )
    f = lambda p: p**2 / 2  # noqa: E731
    step = lambda optimizer: float(gd.minimize(f, 1.0, optimizer, max_steps=1).params)  # noqa: E731
    assert (step(gd.sgd(page["rule"])), step(page["mine"](0.5))) == (0.5, 0.5)
    page["rate"], page["factor"] = 0.25, 0.5
    assert (step(gd.sgd(page["rule"])), step(page["mine"](0.5))) == (0.75, 0.75)


# The value of things.


def test_a_loss_that_counts_its_calls_compiles_once():
    calls = []

    def f(p):
        calls.append(len(calls))
        return p**2 / 2

    by_minimize(f, 1.0)
    count = len(calls)
    by_minimize(f, 1.0)
    assert len(calls) == count


CLASS = """
import dataclasses
@dataclasses.dataclass(frozen=FROZEN, order=ORDER)
class Mode:
    name: str = DEFAULT
    parts: list = dataclasses.field(default_factory=FACTORY, metadata={"scale": SCALE}, compare=COMPARE)
class Own(Mode):
    __match_args__ = (MATCHED,)
    def __eq__(self, other): return other == NUMBER
    def __hash__(self): return HASH
    def __repr__(self): return REPR
    def _get(self): return 1.0
    def _set(self, x): object.__setattr__(self, "last", WRITTEN * x)
    both = property(_get, _set)
def loss(p):
    made = Own()
    made.both = 1.0
    match made:
        case Own(first):
            length = float(len(first))
    numbers = float(made == 1), float(hash(made)), float(len(repr(made))), length, float(len(made.parts)), made.last
    return p + sum(n * 10.0**i for i, n in enumerate(numbers)) + dataclasses.fields(Own)[1].metadata["scale"] / 8
"""
PLAIN_MODE = {
    "FROZEN": "False",
    "ORDER": "False",
    "DEFAULT": "'ab'",
    "FACTORY": "list",
    "SCALE": "1",
    "COMPARE": "True",
}
PLAIN_MODE |= {"MATCHED": "'name'", "NUMBER": "2", "HASH": "3", "REPR": "'abcd'", "WRITTEN": "1.0"}
MODES = {"NUMBER": "1", "HASH": "4", "REPR": "'abcde'", "MATCHED": "'parts'", "FACTORY": "lambda: [1]", "SCALE": "3"}
MODES |= {"DEFAULT": "'abc'", "WRITTEN": "2.0"}


def define(edit):
    text, page = CLASS, types.ModuleType("a_page")
    for name, value in (PLAIN_MODE | edit).items():
        text = text.replace(name, value)
    sys.modules["a_page"] = page
    exec(text, vars(page))
    return page.loss


def test_what_is_special_about_a_class_can_be_edited(monkeypatch):
    """Its comparison, hash, text, patterns, setters and fields; what is defined again is equal."""
    monkeypatch.setitem(sys.modules, "a_page", None)
    edits = [{}, *({name: value} for name, value in MODES.items())]
    for edit in edits:
        assert compile_once(define(edit))(jnp.zeros(())) == define(edit)(0.0), edit
    edits += [{"COMPARE": "False"}, {"ORDER": "True"}, {"FROZEN": "True"}]
    keys = [read(define(edit)).key for edit in edits]
    assert len(set(keys)) == len(keys) and keys == [read(define(edit)).key for edit in edits]


class WithSlots:
    __slots__ = ("a",)

    def __init__(self, a):
        self.a = a


def recursive(n):
    def f(p):
        return f(p - 1) if p > n else p

    return f


UNEQUAL = [
    *(0.0, -0.0, 0, False, 1, 1.0, True, math.nan, "1", b"1", None, ..., 1j),
    *(lambda: 0.0, lambda: -0.0, lambda: 0, lambda: False, lambda: 1, lambda: 1.0, lambda: True, lambda: math.nan),
    *([1], (1,), {1}, {"a": 1}, {"b": 1}, frozenset({1}), [1, 1], [[1]], range(3), slice(3), [1.0]),
    *(np.float32(1), np.float64(1), np.int32(1), np.zeros(2), np.zeros((2, 1)), np.zeros(2, np.float32)),
    *(np.array([1, None]), jnp.zeros(2), jnp.ones(2), jax.random.key(1), jax.random.key(2)),
    *(WithSlots(1), WithSlots(2), Plain(1), Plain(2), types.SimpleNamespace(a=1), types.MappingProxyType({"a": 1})),
    *(recursive(1), recursive(2), jax.jit(recursive(1)), jax.vmap(recursive(1)), jax.vmap(recursive(2))),
    *(jax.jit(jax.grad(recursive(1))), jax.jit(jax.grad(recursive(2))), functools.cache(recursive(3))),
    *(len, [].append, [1].append, functools.partial(max, 1), functools.partial(max, 2), Plain, WithSlots),
    *(np.random.default_rng(1), np.random.default_rng(2), np.sin, np.cos, jnp.sin, jax.nn.relu),
    *(optax.adam(1.0), optax.adam(2.0), gd.adam(1.0), gd.adam(2.0), gd.sgd(1.0), gd.adam),
]


def test_values_differ():
    keys = [read(x, capture=False).key for x in UNEQUAL]
    assert len(set(keys)) == len(keys)
    again = [read(x, capture=False).key for x in UNEQUAL]
    assert again == keys


def test_values_are_equal_for_what_is_made_again():
    for make in (
        lambda: recursive(1),
        lambda: jax.jit(jax.grad(recursive(1))),
        lambda: optax.adamw(optax.cosine_decay_schedule(0.1, 10)),
        lambda: eqx.nn.MLP(1, 1, 2, 1, key=jax.random.key(0)),
        lambda: gd.per_example(gd.supervised(gd.models.mlp([2, 3]), functools.partial(gd.losses.huber, delta=0.5))),
        lambda: np.random.default_rng(1),
        lambda: [recursive(1), WithSlots([1.0])],
        lambda: ByValue(recursive(1)),
    ):
        assert read(make(), capture=False).key == read(make(), capture=False).key


def test_programs_are_bounded_and_found_again():
    f = lambda p: p + 1  # noqa: E731
    first = compile_once(f).shared
    assert compile_once(f).shared is first
    for i in range(100):
        compile_once(functools.partial(max, i))
    assert compile_once(f).shared is not first


def test_a_program_that_is_held_does_not_compile_again_and_another_is_freed():
    held, x = compile_once(lambda p: p + 2), jnp.zeros(())
    held(x)
    freed = weakref.ref(compile_once(lambda p: p + 3).shared.jit_function)
    for i in range(70):
        compile_once(functools.partial(max, i))
    with compilations() as found:
        held(x)
    gc.collect()
    assert not found and freed() is None
    gd.clear_programs()
    with compilations() as found:
        held(x)
    assert found


class Slow(collections.OrderedDict):
    """Lets other threads run between a look-up and what is done with the result."""

    def get(self, key):
        found = super().get(key)
        time.sleep(1e-4)
        return found


def test_programs_are_found_by_many_threads(monkeypatch):
    """More functions than programs are kept, so that threads drop what others look up."""
    monkeypatch.setattr(programs, "CAPACITY", 2)
    monkeypatch.setattr(programs, "_programs", Slow())
    functions = [functools.partial(max, i) for i in range(3)]
    look_up = lambda shift: [compile_once(functions[(i * shift) % 3]).key for i in range(50)]  # noqa: E731
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = [key for keys in pool.map(look_up, (1, 2, 4, 5)) for key in keys]
    assert len(found) == 200 and len(set(found)) == 3


def test_no_look_at_a_function_is_stale():
    """Its graph, its flow, its check and its landscape, before and after an edit of what a jitted part of it reads."""
    page = {"jax": jax, "jnp": jnp, "__name__": "a_page", "target": 2.0}
    exec("@jax.jit\ndef inner(p):\n    return jnp.sum((p - target) ** 2)\ndef f(p):\n    return inner(p)", page)
    f, ones = page["f"], jnp.ones(2)
    landscape = importlib.import_module("gdjax.plots._landscape")
    for target in (2.0, 5.0):
        page["target"] = target
        flow = gd.backprop.flow(lambda p, batch, key: (f(p), {}), ones, ones)
        np.testing.assert_allclose(flow.gradient_norm, [2 * (target - 1) * math.sqrt(2)], rtol=1e-5)
        assert f"p - {target:g}" in str(gd.backprop.graph(f, ones))
        np.testing.assert_allclose(landscape.grid(f, ((0, 1), (0, 1)), 2)[2][0, 0], 2 * target**2)
        gradient = lambda p, target=target: 2 * (p - target)  # noqa: E731
        assert gd.backprop.check_gradients(f, ones, gradient=gradient).passed


def hand_on(module):
    """Losses that reach a module by no global name, and one whose imports are relative."""

    def default(p, settings=module):
        return (p - settings.target) ** 2 / 2

    class Holder:
        settings = module

        def loss(self, p):
            return (p - self.settings.target) ** 2 / 2

    listed = [module]
    page = {"__name__": "a_package.losses", "__package__": "a_package"}
    exec("def relative(p):\n    from .settings import target\n    return (p - target) ** 2 / 2", page)
    return (
        lambda p: (p - module.target) ** 2 / 2,
        default,
        Holder().loss,
        lambda p: (p - listed[0].target) ** 2 / 2,
        page["relative"],
    )


def test_modules_that_are_handed_on_can_be_edited(monkeypatch):
    package, module = types.ModuleType("a_package"), types.ModuleType("a_package.settings")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "a_package", package)
    monkeypatch.setitem(sys.modules, "a_package.settings", module)
    for loss in hand_on(module):
        for module.target in (2.0, 5.0):
            assert by_minimize(loss) == module.target


class Guard:
    """Whose copies know nothing."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Guard, (0.0,)


def test_objects_that_hide_what_they_hold_can_be_edited():
    held, known = Guard(0.0), contextvars.ContextVar("known", default=0.0)
    behind = weakref.ref(held)
    for f in (lambda p: (p - held.target) ** 2 / 2, lambda p: (p - behind().target) ** 2 / 2):
        for held.target in (2.0, 5.0):
            assert by_minimize(f) == held.target
    for number in (2.0, 5.0):
        token = known.set(number)
        assert by_minimize(lambda p: (p - known.get()) ** 2 / 2) == number
        known.reset(token)


def test_what_is_made_while_reading_is_kept_meanwhile():
    """An array of objects is read as a list made of it: the next list must not be taken for that one."""
    first, second = np.array([1.0, None]), np.array([2.0, None])
    f = lambda p: (p - first[0] - second[0]) ** 2 / 2  # noqa: E731
    for second[0] in (2.0, 4.0):
        assert by_minimize(f) == 1 + second[0]


def test_functions_in_the_structure_of_arguments_can_be_edited():
    """The activation of a foreign module that is trained, and a schedule that is an object."""

    class Rate:
        value = 0.5

        def __init__(self):
            self.factor = 1.0

        def __call__(self, step):
            return self.value * self.factor

    page = {"jnp": jnp, "__name__": "a_page", "slope": 2.0}
    exec("def activation(x):\n    return slope * x", page)
    module = eqx.nn.MLP(1, 1, 1, 1, activation=page["activation"], key=jax.random.key(0))
    x, rate = jnp.ones((2, 1)), Rate()
    loss = lambda module, batch, key: (jnp.mean(jax.vmap(module)(batch)), {})  # noqa: E731
    for page["slope"], rate.factor in ((2.0, 1.0), (3.0, 0.5)):
        grads = eqx.filter_grad(lambda m: loss(m, x, None)[0])(module)
        expected = module.layers[0].bias - 0.5 * rate.factor * grads.layers[0].bias
        found = gd.fit(loss, module, gd.sgd(rate), x, epochs=1, batch_size=2).last.params
        np.testing.assert_allclose(gd.tree.whole(found).layers[0].bias, expected, rtol=1e-6)
        assert gd.tree.whole(found).activation is page["activation"]


def test_what_cannot_be_read_is_itself():
    nested: list = []
    for _ in range(5000):
        nested = [nested]
    assert read(lambda: nested).key != read(lambda: [nested]).key
    f = lambda p: (p - float(bool(nested))) ** 2 / 2  # noqa: E731
    assert by_minimize(f) == 1.0 and read(f).key == read(f).key
