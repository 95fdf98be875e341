"""Compiled programs, each kept once and in a bounded number, looked up by value.

`compile_once(f)` is `jax.jit(f)` kept under the *value* of f: what it reads, as `gdjax.fingerprint` finds it. Building the
same loop twice therefore compiles it once, running a notebook cell again compiles nothing, and an edit of anything that a
loss reads (a global number, an attribute, a function that it calls) is never missed. The arrays that f captures become
arguments of the program, so other entries of the same shapes compile nothing either. Where f looks at their entries in
Python, or at what a device changes, such as their dtype, the entries are part of its value instead.

A change that tracing makes in f itself (a counter of its calls, a cache) is not an edit. A loss that changes between calls,
such as one that reads a growing log, compiles at every call. So does one that reads what changes without an edit (a clock,
a file, random numbers of NumPy, a name looked up as text): its program is not kept.

The least recently used programs are dropped, and the memory of one that nobody holds is freed; `clear_programs()` drops all
of them and frees the memory of all.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import inspect
import itertools
import threading
import types
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from gdjax.fingerprint import Reading, read
from gdjax.substitution import steps_of, substitute

CAPACITY = 64

_programs: collections.OrderedDict[Key, SharedProgram] = collections.OrderedDict()
_alive: weakref.WeakSet[SharedProgram] = weakref.WeakSet()  # also those that are dropped and still held
_lock = threading.RLock()  # for `_programs` and `_alive`; a finalizer that runs meanwhile may need it again
# JAX caches traces of inner functions by identity; in each context they are traced again.
_trace = jax.make_user_context(None)
_traces = itertools.count(1)
_running = threading.local()


def compile_once(function: Callable[..., Any], donate: tuple[int, ...] = ()) -> Program:
    """The jitted function, compiled once for functions of equal value; positional arguments only."""
    return Program(function, donate)


def retrace(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which is traced at every call, even if JAX has cached traces of it or of its inner functions."""

    def call(*args: Any, **keywords: Any) -> Any:
        with _trace(next(_traces)):
            return function(*args, **keywords)

    return call


def clear_programs() -> None:
    """Forget every compiled program that gdjax keeps, and what they hold.

    >>> gd.clear_programs()
    """
    with _lock:
        programs = list(_alive)
        _programs.clear()
    for program in programs:
        program.jit_function.clear_cache()


class NotReplaceable(Exception):
    """A function cannot be traced with tracers in place of the arrays that it captured, or does something else then."""


class Key:
    """The key of a program: tokens, hashed once."""

    __slots__ = ("hash", "tokens")
    tokens: tuple[Any, ...]
    hash: int

    def __init__(self, *tokens: Any):
        self.tokens, self.hash = tokens, hash(tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self.tokens == other.tokens

    def __hash__(self) -> int:
        return self.hash


class SharedProgram:
    """The part shared by programs of equal value: a jitted function, which finds the present one when it is traced.

    When nobody holds it any more, its memory is freed.
    """

    __slots__ = ("__weakref__", "by_entries", "jit_function")

    def __init__(self, name: str, donate: tuple[int, ...]):
        def run(arrays: tuple[Any, ...], *args: Any) -> Any:
            program = _running.program
            program.was_traced = True
            return retrace(lambda *args: program.apply(arrays, args))(*args)

        run.__name__ = run.__qualname__ = name
        self.jit_function: Any = jax.jit(run, donate_argnums=tuple(i + 1 for i in donate))
        self.by_entries: bool = False  # whether the entries of captured arrays turned out to be part of the value
        with _lock:
            _alive.add(self)


class Program:
    """A compiled function, with its value at the time of `compile_once`."""

    __slots__ = ("arrays", "called", "donate", "function", "given", "key", "reading", "shared", "was_traced")
    function: Callable[..., Any]
    donate: tuple[int, ...]
    was_traced: bool
    called: bool
    reading: Reading
    arrays: tuple[Any, ...]
    given: tuple[Any, ...]  # the arguments of the program for them
    key: Any  # the key of `shared`; both are None if a tracer cannot be replaced
    shared: Any

    def __init__(self, function: Callable[..., Any], donate: tuple[int, ...]):
        self.function, self.donate, self.was_traced, self.called = function, donate, False, False
        self._look_up(capture=True)
        if self.shared is not None and self.shared.by_entries:
            self._look_up(capture=False)

    def _look_up(self, capture: bool) -> None:
        reading = self.reading = read(self.function, capture)
        self.given = self.arrays = reading.arrays
        self.key = self.shared = None
        if reading.key is not None:
            self.key = Key(capture, self.donate, reading.key)
            self.shared = None if reading.unknown else _find(self.key)
            if self.shared is None:
                self.shared = SharedProgram(_name(self.function), self.donate)
                if not reading.unknown:
                    _keep(self.key, self.shared)

    @property
    def captures_tracers(self) -> bool:
        return self.shared is None or any(isinstance(x, Tracer) for x in self.arrays)

    @property
    def jit_function(self) -> Any:
        return jax.jit(lambda _, *args: self.function(*args)) if self.shared is None else self.shared.jit_function

    def __call__(self, *args: Any) -> Any:
        if self.shared is None:
            return self.function(*args)
        if self.called:  # at the second call, transfer the arrays to the device for all later calls
            self.given = tuple(map(_on_device, self.given))
        self.called = True
        return self._do(lambda jitted: jitted, args)

    def eval_shape(self, *args: Any) -> Any:
        """The shapes and dtypes of the result; a later call with such arguments is not traced again."""
        return self._do(lambda jitted: jitted.eval_shape, args)

    def apply(self, arrays: tuple[Any, ...], args: tuple[Any, ...]) -> Any:
        """The result of the function with tracers, `arrays`, in place of the arrays that it captured.

        Where NumPy may compute with one of them, the function is traced as it is before, and must do the same.

        Raises: NotReplaceable if this fails; an error of the function as it is, unchanged.
        """
        if not self.arrays:
            return self.function(*args)
        on_host = any(isinstance(x, np.ndarray) for x in self.arrays)
        expected = steps_of(self.function, args, self.arrays) if on_host else None
        try:
            copy = substitute(self.function, self.arrays, arrays)
            if on_host and steps_of(copy, args, self.arrays, arrays) != expected:
                raise NotReplaceable
            return copy(*args)
        except Exception as error:
            raise NotReplaceable from error

    def _do(self, how: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        outer, _running.program, self.was_traced = getattr(_running, "program", None), self, False
        try:
            with nullcontext() if outer is None else _trace(None):  # an inner program is looked up as if outside
                answer = how(self.jit_function)(self.given, *args)
        except NotReplaceable:
            pass
        else:
            return self._keep_traced(answer) if self.was_traced else answer
        finally:
            _running.program = outer
        return self._by_entries(how, args)

    def _keep_traced(self, answer: Any) -> Any:
        """Keep the program also under the key of its function after tracing, unless it drew random numbers."""
        self.was_traced = False
        if self.reading.unknown is None:
            capture, donate, _ = self.key.tokens
            reading = read(self.function, capture)
            if reading.moving != self.reading.moving or reading.unknown:
                with _lock:
                    _programs.pop(self.key, None)
            elif reading.key is not None:
                _keep(Key(capture, donate, reading.key), self.shared)
        return answer

    def _by_entries(self, how: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """Run again without capturing arrays; if this fails too, the error is that of the function."""
        capturing = self.shared
        self._look_up(capture=False)
        answer = self._do(how, args)
        capturing.by_entries = True
        return answer


def _find(key: Key) -> SharedProgram | None:
    """The program that is kept under a key, which is now the one used last."""
    with _lock:
        shared = _programs.get(key)
        if shared is not None:
            _programs.move_to_end(key)
        return shared


def _keep(key: Key, shared: SharedProgram) -> None:
    dropped = []  # freed after the lock is released
    with _lock:
        _programs[key] = shared
        while len(_programs) > CAPACITY:
            dropped.append(_programs.popitem(last=False))


def _on_device(x: Any) -> Any:
    """A NumPy array as a JAX array; as it is while something is traced, since a tracer must not be kept."""
    moved = jnp.array(x) if isinstance(x, np.ndarray) else x
    return x if isinstance(moved, Tracer) else moved


def _name(function: Any) -> str:
    """The name that the profiler shows."""
    return getattr(function, "__name__", type(function).__name__)


@dataclasses.dataclass(frozen=True)
class Bound:
    """A function with some arguments bound, compared by value; made by `bind`."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    keywords: tuple[tuple[str, Any], ...]

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self.function(*self.args, *args, **{**dict(self.keywords), **keywords})

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(functools.partial(self.function, *self.args, **dict(self.keywords)))


def bind(function: Any, *args: Any, **keywords: Any) -> Any:
    """`functools.partial` that compares by value: `bind(huber, delta=0.5)`.

    A partial or a bound method alone is converted to one that compares by value; any other function is returned as it is.

    >>> print(gd.losses.bind(gd.losses.huber, delta=0.5)(2.0, 5.0))
    1.375
    """
    if isinstance(function, types.MethodType):
        function, args = function.__func__, (function.__self__, *args)
    partial = functools.partial(function, *args, **keywords)
    if not (partial.args or partial.keywords):
        return function
    return Bound(partial.func, partial.args, tuple(sorted(partial.keywords.items())))
