"""Names whose values change without an edit: clocks, random numbers, files, the environment, names looked up as text.

A function that uses one cannot be identified by what it reads, and its programs are not shared between calls. Of a library's
module only the attributes that a function names are examined, and only once: `np.random.normal` is found through `np`, and
not confused with `jax.random.normal`.
"""

from __future__ import annotations

import collections
import contextvars
import functools
import io
import random
import threading
import types
from collections.abc import Iterator, MutableMapping
from typing import Any, NamedTuple

import numpy as np

from gdjax.fingerprint.library import is_library

NONE: frozenset[str] = frozenset()
ALL = None
CHANGING: dict[str, frozenset[str] | None] = {  # module -> names whose results change
    "builtins": frozenset({"eval", "exec", "globals", "open", "input", "breakpoint", "__import__", "__builtins__"}),
    "os": frozenset({"getenv", "getenvb", "popen", "walk", "fwalk", "fdopen", "get_exec_path"}),
    "sys": frozenset({"modules", "stdin", "exc_info", "_getframe", "_getframemodulename", "_current_frames"}),
    "posixpath": frozenset({"abspath", "realpath", "relpath", "expanduser", "expandvars", "ismount", "lexists"}),
    "inspect": frozenset({"currentframe", "stack", "trace"}),
    "importlib": frozenset({"import_module", "reload", "__import__"}),
    "threading": frozenset({"current_thread", "get_ident", "get_native_id", "active_count", "enumerate"}),
    "_thread": frozenset({"get_ident", "get_native_id"}),
    "contextvars": frozenset({"copy_context"}),
    "_contextvars": frozenset({"copy_context"}),
    "codecs": frozenset({"open"}),
    "numpy": frozenset({"load", "loadtxt", "genfromtxt", "fromfile", "memmap"}),
    "numpy.random": frozenset({"default_rng()", "RandomState()", "SeedSequence()", "PCG64()"}),
    "random": frozenset({"Random()", "SystemRandom"}),
    **dict.fromkeys(("time", "posix", "nt", "genericpath", "secrets", "uuid", "gc", "io", "_io"), ALL),
    **dict.fromkeys(("socket", "_socket", "subprocess", "tempfile", "fileinput", "glob", "shutil", "mmap"), ALL),
    **dict.fromkeys(("shelve", "sqlite3", "urllib.request", "http.client", "requests", "runpy"), ALL),
}
CHANGING["ntpath"] = CHANGING["posixpath"]
FRAMES = frozenset({"__globals__", "__builtins__", "f_globals", "f_locals", "f_builtins", "f_back", "gi_frame"})
BY_TEXT = frozenset({"getattr", "vars", "dir", "attrgetter", "methodcaller", "__dict__", "__getattribute__"})
CLOCKS = frozenset({"now", "today", "utcnow"})
FILES = frozenset(
    {"open", "read_text", "read_bytes", "exists", "is_file", "is_dir", "stat", "lstat", "glob", "rglob", "iterdir"}
    | {"cwd", "home", "resolve", "absolute", "expanduser", "samefile", "owner", "group", "readlink", "walk"}
)
ASKED: dict[str, frozenset[str]] = {  # module -> methods of its classes whose results change
    **dict.fromkeys(("datetime", "_pydatetime"), CLOCKS),
    **dict.fromkeys(("pathlib", "pathlib._local", "pathlib._abc"), FILES),
}
# Types compared by value.
PLAIN = frozenset({int, bool, str, bytes, type(None), type(...), type(NotImplemented), range})
GENERATORS = (random.Random, np.random.Generator, np.random.RandomState, np.random.BitGenerator)
MOVING = (*GENERATORS, io.IOBase, Iterator)  # types whose state advances with use
STATES = (MutableMapping, list, set, bytearray, collections.deque, contextvars.ContextVar, threading.local, *GENERATORS)
LOCKS = (type(threading.Lock()), type(threading.RLock()))


def changes(module: Any, name: str) -> bool:
    """Whether the results of this name of a module change."""
    names = CHANGING.get(module, NONE)
    return names is None or name in names or (name.startswith("read_") and str(module).partition(".")[0] == "pandas")


class Verdict(NamedTuple):
    """The consequences of the names that a function uses of a library's module."""

    reads: tuple[tuple[types.ModuleType, str], ...] = ()  # attributes that must be read each time
    ends: tuple[types.ModuleType, ...] = ()  # modules that are passed on as objects
    reason: str | None = None  # why the function is unknown


NOTHING = Verdict()


@functools.lru_cache(4096)
def verdict(module: types.ModuleType, chains: tuple[tuple[str, ...], ...], attributes: tuple[str, ...]) -> Verdict:
    """The verdict on chains of attributes of a module; a chain that ends at a module may continue with any attribute."""
    reads, reasons, opened, ends = set(), set(), set(), set()
    waiting = [(module, chain, True) for chain in chains]
    while waiting:
        at, chain, is_named = waiting.pop()
        if not chain or chain[0] == "__dict__":
            if is_named:
                ends.add(at)
            if at not in opened:
                opened.add(at)
                waiting += [(at, (name,), False) for name in attributes if name in vars(at) and name != "__dict__"]
            continue
        name, value = chain[0], _attribute(at, chain[0])
        if type(value) is types.ModuleType and is_library(value.__name__):
            waiting.append((value, chain[1:], is_named))
        elif changes(at.__name__, name) or changes(at.__name__, "".join(chain[:2])) or is_changing(value):
            reasons.add(f"{at.__name__}.{name}")
        elif _has_state(value):
            reads.add((at, name))
    in_order = sorted(reads, key=lambda pair: (pair[0].__name__, pair[1]))
    found = Verdict(tuple(in_order), tuple(sorted(ends, key=lambda x: x.__name__)), min(reasons, default=None))
    return NOTHING if found == NOTHING else found


def _attribute(module: types.ModuleType, name: str) -> Any:
    try:
        return getattr(module, name, None)
    except Exception:  # a module with lazy attributes may raise anything
        return None


def is_changing(x: Any) -> bool:
    """Whether the results of a library's function or class change."""
    is_named = isinstance(x, (types.FunctionType, types.BuiltinFunctionType, type))
    return is_named and changes(x.__module__, x.__name__)


def _has_state(x: Any) -> bool:
    if isinstance(x, (types.MethodType, types.BuiltinFunctionType)):
        return isinstance(x.__self__, GENERATORS)
    return isinstance(x, STATES) or (isinstance(x, type) and x.__module__ in ASKED)
