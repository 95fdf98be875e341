"""What changes although nobody edits it is never taken from an older program, and writes of a loss are not lost."""

from __future__ import annotations

import contextvars
import datetime
import functools
import importlib
import io
import operator
import os
import pathlib
import random
import sys
import threading
import time
import types
from os import environ, getenv
from random import gauss
from time import perf_counter

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdjax as gd
from gdjax.fingerprint import read
from gdjax.programs import _programs, compile_once

target = 0.0
settings = types.ModuleType("settings_of_a_test")
local, buffer, table = threading.local(), bytearray(1), {"a": 0.0}
variable = contextvars.ContextVar("variable", default=[0.0])  # noqa: B039
view, entries, namespace = memoryview(buffer), table.values(), globals


def ask(module):
    return module.target


def ask_by_text(module, name):
    return getattr(module, name)


def numbers():
    while True:
        yield target


generator = numbers()


def execute():
    found: dict = {}
    exec("x = target", globals(), found)
    return found["x"]


def import_inside():
    import os as system

    return float(system.environ["TARGET_OF_A_TEST"])


READ = {
    "eval": lambda: eval("target"),
    "exec": execute,
    "globals": lambda: globals()["target"],
    "globals by another name": lambda: namespace()["target"],
    "globals of a function": lambda: ask.__globals__["target"],
    "vars": lambda: vars(settings)["target"],
    "__dict__": lambda: settings.__dict__["target"],
    "getattr": lambda: getattr(settings, "tar" + "get"),
    "getattr elsewhere": lambda: ask_by_text(settings, "target"),
    "an attribute elsewhere": lambda: ask(settings),
    "attrgetter": lambda: operator.attrgetter("target")(settings),
    "import_module": lambda: importlib.import_module(settings.__name__).target,
    "sys.modules": lambda: sys.modules["settings_of_a_test"].target,
    "os.environ": lambda: float(os.environ["TARGET_OF_A_TEST"]),
    "environ": lambda: float(environ["TARGET_OF_A_TEST"]),
    "os, imported inside": import_inside,
    "os.getenv": lambda: float(os.getenv("TARGET_OF_A_TEST", "")),
    "getenv": lambda: float(getenv("TARGET_OF_A_TEST", "")),
    "threading.local": lambda: local.target,
    "a variable's mutable default": lambda: variable.get()[0],
    "a memoryview": lambda: float(view[0]),
    "memoryview": lambda: float(memoryview(buffer)[0]),
    "the values of a dict": lambda: next(iter(entries)),
    "a generator": lambda: next(generator),
}


@pytest.mark.parametrize("name", READ)
def test_what_is_read_by_other_ways_than_names_is_never_stale(name, monkeypatch):
    monkeypatch.setitem(sys.modules, settings.__name__, settings)
    for number in (2.0, 5.0):
        monkeypatch.setitem(globals(), "target", number)
        monkeypatch.setenv("TARGET_OF_A_TEST", str(number))
        settings.target = local.target = variable.get()[0] = table["a"] = number
        buffer[0] = int(number)
        assert compile_once(lambda p, ask=READ[name]: p + ask())(jnp.zeros(())) == number


def test_files_are_never_stale(tmp_path):
    path, stream = tmp_path / "number", io.StringIO("2 5 ")

    def read_file():
        with open(path) as file:
            return float(file.read())

    ways = (
        read_file,
        lambda: float(path.read_text()),
        lambda: float(pathlib.Path(os.path.join(str(path))).read_text()),
        lambda: float(np.loadtxt(path)),
        lambda: float(stream.read(2)),
    )
    for number in ("2", "5"):
        path.write_text(number)
        for ask in ways:
            assert compile_once(lambda p, ask=ask: p + ask())(jnp.zeros(())) == float(number)


def moments():
    rng, generator = np.random.default_rng(0), random.Random(0)
    return (
        *(time.perf_counter, lambda: time.perf_counter(), lambda: perf_counter(), lambda: time.time() % 1),
        lambda: datetime.datetime.now().microsecond,
        *(lambda: rng.normal(), lambda: generator.random(), generator.random, lambda: np.random.default_rng().normal()),
        *(lambda: np.random.normal(), lambda: random.random(), lambda: gauss(0, 1)),
        *(lambda: getattr(np.random, "normal")(), lambda: jax.numpy.sum(np.random.uniform(size=2))),  # noqa: B009
    )


def test_clocks_and_random_numbers_are_asked_again():
    for ask in moments():
        found = {float(compile_once(lambda p, ask=ask: p + ask())(jnp.zeros(()))) for _ in range(2)}
        assert len(found) == 2


def in_a_cell(xp):
    return lambda p: xp.sqrt(p) + jax.random.normal(jax.random.key(0))


STILL = (
    lambda p: p + jax.random.normal(jax.random.key(0)) * np.sqrt(2.0),
    lambda p: p + np.random.default_rng(0).normal(),
    lambda p: p + getattr(jnp, "pi"),  # noqa: B009
    lambda p: p + len(os.path.join("a", "b")) + getattr(settings.inner, "number"),  # noqa: B009
    lambda p: p + vars(settings.inner)["number"],
    lambda p: p + datetime.timedelta(seconds=3).total_seconds(),
    in_a_cell(np),
    functools.partial(lambda p, lock: p + float(lock is not None), lock=threading.Lock()),
)


def test_what_only_looks_like_it_is_compiled_once():
    settings.inner = types.SimpleNamespace(number=3.0)
    for f in STILL:
        assert compile_once(f).shared is compile_once(f).shared and read(f).unknown is None


def test_a_schedule_and_a_part_of_a_module_that_cannot_be_known_are_never_stale(monkeypatch):
    schedule = lambda t: eval("target")  # noqa: E731
    module = eqx.nn.MLP(1, 1, 1, 1, activation=lambda x: eval("target") * x, key=jax.random.key(0))
    loss = lambda module, batch, key: (jnp.mean(jax.vmap(module)(batch)), {})  # noqa: E731
    x = jnp.ones((2, 1))
    for number in (0.5, 0.25):
        monkeypatch.setitem(globals(), "target", number)
        assert gd.minimize(lambda p: p**2 / 2, 1.0, gd.sgd(schedule), max_steps=1).params == 1 - number
        expected = module.layers[0].bias - eqx.filter_grad(lambda m: loss(m, x, None)[0])(module).layers[0].bias
        found = gd.fit(loss, module, gd.sgd(1.0), x, epochs=1, batch_size=2).last.params
        np.testing.assert_allclose(gd.tree.whole(found).layers[0].bias, expected, rtol=1e-6)


def test_what_cannot_be_known_takes_no_room():
    gd.clear_programs()
    loss = lambda p, batch, key: (p**2 / 2 + eval("target") + 0.0 * jnp.sum(batch), {})  # noqa: E731
    run = lambda: gd.fit(loss, jnp.ones(()), gd.sgd(0.5), jnp.zeros((4, 1)), epochs=2, batch_size=2).params  # noqa: E731
    run()
    kept = len(_programs)
    assert run() == 0.5**4 and len(_programs) == kept


# Writes.

data, count = jnp.array([3.0, -1.0]), 0


def counting(p):
    global count
    count += 1
    return jnp.sum((p - data) ** 2)


def reading_the_count(p):
    return counting(p) + 0.0 * jnp.sum(data) + count


class Counting:
    def __init__(self, array):
        self.array, self.count, self.entries = array, 0, {"array": array}

    def __call__(self, p):
        self.count += 1
        self.entries["count"] = self.log = self.count
        self.other, self.hidden = self.array, p + 1.0
        return jnp.sum((p - self.array) ** 2)


def counting_in_a_cell(array):
    number = 0

    def f(p):
        nonlocal number
        number += 1
        return jnp.sum((p - array) ** 2)

    return f, lambda: number


def test_writes_of_a_loss_that_captures_arrays_are_not_lost(monkeypatch):
    monkeypatch.setitem(globals(), "count", 0)
    f, number = counting_in_a_cell(data)
    holder = Counting(data)
    for _ in range(2):  # traced once
        for loss in (counting, f, holder):
            assert compile_once(loss)(jnp.zeros(2)) == 10.0
        assert (count, number(), holder.count, holder.log, holder.entries["count"]) == (1, 1, 1, 1, 1)
        assert holder.other is data and not hasattr(holder, "hidden")
    assert compile_once(reading_the_count)(jnp.zeros(2)) == 12.0 and count == 2
