"""The value of a function: what it reads.

Python compares functions by identity, and JAX keeps what it has traced under the function object. Both are wrong as soon as
somebody edits what a function reads, a global number, an attribute, an entry of a list, and both are wasteful when somebody
runs the same cell again. Here a function is what its answers can depend on:

    its code (wherever its lines stand), the globals that it names, its cells, its defaults, its attributes,

and so on down through functions, methods, partials, classes, containers and objects, with cycles. Libraries do not change
while a program runs: their functions, classes and modules are themselves, and only what their closures hold is read.
Arrays that can be arguments of the function are *captured*: the key has their shapes and dtypes, not their entries.

Not seen are names that are made at run time (`getattr(module, text)`, `globals()[text]`), what a C object hides, and edits
of an installed package. What cannot be read (a lock, an open file, a generator) is itself.
"""

from __future__ import annotations

import contextvars
import copyreg
import dis
import functools
import hashlib
import itertools
import os
import site
import sys
import sysconfig
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer

PLAIN = frozenset({int, bool, str, bytes, type(None), type(...), type(NotImplemented), range})
VALUES = (np.dtype, jax.tree_util.PyTreeDef, jax.Device, jax.sharding.Sharding, jax.sharding.Mesh)  # equal by value
THEMSELVES = (types.BuiltinFunctionType, types.CodeType, np.ufunc)
JIT: Any = type(jax.jit(abs))
SERIALS = {"flax.ids.FlaxId"}  # numbers that a library gives to its objects, and that no answer depends on
ROOT = __name__.partition(".")[0]
UNREAD = {  # of a class: what no answer depends on
    *("__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__firstlineno__", "__static_attributes__"),
    *(
        "__annotations__",
        "__annotate__",
        "__annotations_cache__",
        "__annotate_func__",
        "__type_params__",
        "__parameters__",
    ),
    *(
        "__abstractmethods__",
        "_abc_impl",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__match_args__",
        "__slots__",
    ),
    *("__orig_bases__", "__repr__", "__eq__", "__hash__", "__replace__"),
}


class Reading(NamedTuple):
    """What was read. Equal keys: the same program, given the captured arrays."""

    key: tuple | None  # None: a tracer stands where it cannot be replaced
    arrays: tuple  # captured, in the order in which they were met


def read(x: Any, capture: bool = True) -> Reading:
    """What a function, or anything else, is by value; with capture=False the entries of its arrays are part of it."""
    reader = Reader(capture)
    try:
        reader.read(x)
        reader.read_modules()
    except RecursionError:  # a list of a thousand lists in one another: like all that cannot be read
        return Reading((Same(x),), ())
    return Reading(None if reader.stuck else tuple(reader.key), tuple(reader.arrays))


class Same:
    """An object of which no more is known than that it is this one."""

    __slots__ = ("it",)

    def __init__(self, it: Any):
        self.it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.it is other.it

    def __hash__(self) -> int:
        return id(self.it)


class Code:
    """A code object, equal to another that does the same on other lines."""

    __slots__ = ("code", "hash")

    def __init__(self, code: types.CodeType):
        self.code = _without_lines(code)
        self.hash = hash(self.code)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Code) and (self.code is other.code or self.code == other.code)

    def __hash__(self) -> int:
        return self.hash


def _without_lines(code: types.CodeType) -> types.CodeType:
    constants = tuple(_without_lines(x) if isinstance(x, types.CodeType) else x for x in code.co_consts)
    nowhere = {"co_filename": "", "co_name": "", "co_qualname": "", "co_firstlineno": 0, "co_linetable": b""}
    return code.replace(co_consts=constants, **nowhere)


class Facts(NamedTuple):
    """What a code object says of itself, the code inside it included."""

    value: Code
    globals: tuple[str, ...]
    imports: tuple[str, ...]
    attributes: tuple[str, ...]


_facts: dict[int, tuple[weakref.ref, Facts]] = {}


def facts_of(code: types.CodeType) -> Facts:
    known = _facts.get(id(code))
    if known is None:
        known = _facts[id(code)] = _forgetful(code, _facts), _look_up(code)
    return known[1]


def _forgetful(x: Any, table: dict) -> weakref.ref:
    """A reference that takes x out of the table when it dies."""
    key = id(x)
    return weakref.ref(x, lambda _: table.pop(key, None))


def _look_up(code: types.CodeType) -> Facts:
    names: dict[str, set] = {"GLOBAL": set(), "NAME": set(), "IMPORT_NAME": set(), "ATTR": set()}
    for each in _with_inner(code):
        for instruction in dis.get_instructions(each):
            match instruction.opname:
                case "LOAD_GLOBAL" | "LOAD_NAME" | "LOAD_FROM_DICT_OR_GLOBALS":
                    names["GLOBAL"].add(instruction.argval)
                case "LOAD_ATTR" | "LOAD_METHOD" | "LOAD_SUPER_ATTR" | "IMPORT_FROM":
                    names["ATTR"].add(instruction.argval)
                case "IMPORT_NAME":
                    names["IMPORT_NAME"].add(instruction.argval)
    return Facts(Code(code), *(tuple(sorted(names[kind])) for kind in ("GLOBAL", "IMPORT_NAME", "ATTR")))


def _with_inner(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _with_inner(constant)


def _modules_named(name: str, namespace: dict[str, Any]) -> Iterator[types.ModuleType]:
    """What an import of the name inside a function may find: by itself, or seen from a package that the function is in."""
    package = namespace.get("__package__") or ""
    while package:
        relative = sys.modules.get(f"{package}.{name}".rstrip("."))
        if relative is not None:
            yield relative
        package = package.rpartition(".")[0]
    if name in sys.modules:
        yield sys.modules[name]


_known_modules: dict[str, bool] = {}


def is_library(module: str | None) -> bool:
    """Whether a module was installed, and so does not change while the program runs."""
    known = _known_modules.get(module or "")
    if known is None:
        if module is None or module not in sys.modules:
            return False
        known = _known_modules[module] = module.partition(".")[0] == ROOT or _is_installed(sys.modules[module])
    return known


def _is_installed(module: types.ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    if file is None:
        return (
            module.__name__ in sys.builtin_module_names or module.__name__.partition(".")[0] in sys.stdlib_module_names
        )
    return module.__name__ != "__main__" and os.path.abspath(file).startswith(_installed_folders())


@functools.cache
def _installed_folders() -> tuple[str, ...]:
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths |= {*site.getsitepackages(), site.getusersitepackages()}
    return tuple(os.path.join(os.path.abspath(path), "") for path in paths)


def is_library_function(function: types.FunctionType) -> bool:
    return is_library(function.__globals__.get("__name__"))


def is_itself(function: Any) -> bool:
    """Whether nothing has to be read: a function that stands in a library's module."""
    return (
        isinstance(function, types.FunctionType)
        and function.__closure__ is None
        and is_library_function(function)
        and "<locals>" not in function.__qualname__  # made anew by each call of what it stands in
    )


_digests: dict[int, tuple[weakref.ref, bytes]] = {}


def _digest(array: Any) -> bytes:
    """Sixteen bytes for the entries of an array; those of a JAX array, which nobody can change, are computed once."""
    if not isinstance(array, jax.Array):
        return hashlib.blake2b(array.tobytes(), digest_size=16).digest()
    known = _digests.get(id(array))
    if known is None:
        is_key = jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key)
        entries = np.asarray(jax.random.key_data(array) if is_key else array)
        known = _digests[id(array)] = _forgetful(array, _digests), _digest(entries)
    return known[1]


def can_be_argument(array: np.ndarray) -> bool:
    """Whether a NumPy array keeps its meaning as an argument: integers that JAX would cut off do not."""
    if array.dtype.kind in "iu":
        return jax.dtypes.canonicalize_dtype(array.dtype) == array.dtype
    return array.dtype.kind in "bfc"


class Reader:
    """Goes through all that is read, once, writing the key down."""

    __slots__ = ("arrays", "attributes", "fixed", "fixed_met", "handed", "kept", "key", "met", "modules", "stuck")

    def __init__(self, capture: bool):
        self.key: list = []
        self.arrays: list = []
        self.met: dict[int, int] = {}  # where an object that may stand in a cycle was met first
        self.fixed = not capture  # whether arrays stay where they are
        self.fixed_met: dict[int, int] = {}  # like `met`, for what is reached by a way on which arrays stay
        self.kept: list = []  # what was made while reading, so that no `id` is used twice
        self.modules: set = set()  # that were met, each with the attributes that were read
        self.handed: list = []  # modules that were met under no name: in a cell, a list, an attribute
        self.attributes: set = set()  # what the functions that were read name as such, each as a tuple
        self.stuck = False

    def read(self, x: Any) -> None:
        kind = type(x)
        if kind in PLAIN:
            self.key += (kind, x)
        else:
            (_readers.get(kind) or _reader_of(x))(self, x)

    def again(self, x: Any) -> bool:
        """Whether x was met before, which is then all that has to be said of it."""
        number = self.met.get(id(x))
        if number is None:
            self.met[id(x)] = len(self.met)
            return False
        self.key += (Reader, number)
        return True

    def in_place(self, *parts: Any) -> None:
        """Read what cannot be taken apart and put together with other arrays in it."""
        fixed, met = self.fixed, self.met
        self.fixed, self.met = True, met if fixed else self.fixed_met
        for part in parts:
            self.read(part)
        self.fixed, self.met = fixed, met

    def number(self, x: Any) -> None:
        self.key += (type(x), repr(x))  # of which 0.0 and -0.0 differ, and nan is nan

    def numpy_scalar(self, x: np.generic) -> None:
        self.key += (type(x), x.dtype, x.tobytes())

    def itself(self, x: Any) -> None:
        self.key.append(x)

    def same(self, x: Any) -> None:
        self.key.append(Same(x))

    def builtin(self, x: Any) -> None:
        owner = x.__self__
        if owner is None or isinstance(owner, types.ModuleType):
            return self.itself(x)
        self.key += (type(x), x.__name__)  # a method, like `table.get`
        self.in_place(owner)

    def array(self, x: jax.Array) -> None:
        if isinstance(x, Tracer):
            self.stuck |= self.fixed
        elif x.is_deleted():
            return self.same(x)
        if self.again(x):
            return
        self.key += (jax.Array, x.shape, x.dtype, getattr(x, "weak_type", False))
        if not self.fixed:
            self.arrays.append(x)
        elif not self.stuck:
            self.key.append(_digest(x))

    def numpy_array(self, x: np.ndarray) -> None:
        if self.again(x):
            return
        self.key += (np.ndarray, x.shape, x.dtype)
        if x.dtype.hasobject:
            self.kept.append(x.tolist())
            self.in_place(self.kept[-1])
        elif self.fixed or not can_be_argument(x):
            self.key.append(_digest(x))
        else:
            self.arrays.append(x)

    def sequence(self, x: Any) -> None:
        self.key += (type(x), len(x))
        for each in x:
            self.read(each)

    def a_list(self, x: list) -> None:
        if not self.again(x):
            self.sequence(x)

    def items(self, x: dict) -> None:
        self.key += (dict, len(x))
        for name, each in x.items():
            if type(name) is str:
                self.key.append(name)
            else:
                self.in_place(name)
            self.read(each)

    def a_dict(self, x: dict) -> None:
        if not self.again(x):
            self.items(x)

    def a_set(self, x: Any) -> None:
        self.key += (type(x), frozenset(read(each, capture=False).key for each in x))

    def method(self, x: types.MethodType) -> None:
        self.key.append(types.MethodType)
        self.read(x.__func__)
        self.read(x.__self__)

    def partial(self, x: functools.partial) -> None:
        self.key.append(type(x))
        self.read(x.func)
        self.read(x.args)
        self.items(x.keywords)

    def a_slice(self, x: slice) -> None:
        self.key.append(slice)
        self.sequence((x.start, x.stop, x.step))

    def function(self, x: types.FunctionType) -> None:
        if is_itself(x):
            return self.key.append(x)
        if self.again(x):
            return
        facts = facts_of(x.__code__)
        self.key.append(facts.value)
        for cell in x.__closure__ or ():
            try:
                self.read(cell.cell_contents)
            except ValueError:  # not filled yet
                self.key.append(types.CellType)
        if x.__defaults__:
            self.sequence(x.__defaults__)
        if x.__kwdefaults__:
            self.items(x.__kwdefaults__)
        if is_library_function(x):
            self.key.append(x.__module__)
        else:
            self._names(x, facts)
            if x.__dict__:
                self.items(x.__dict__)

    def _names(self, x: types.FunctionType, facts: Facts) -> None:
        namespace = x.__globals__
        self.attributes.add(facts.attributes)
        for name in facts.globals:
            if name in namespace:
                self.key.append(name)
                value = namespace[name]
                if type(value) is types.ModuleType:
                    self.module(value, facts.attributes)
                else:
                    self.read(value)
        for name in facts.imports:
            for module in _modules_named(name, namespace):
                self.module(module, facts.attributes)

    def handed_module(self, x: types.ModuleType) -> None:
        """A module that the function does not find by name: whoever was read may ask it for an attribute."""
        self.key.append(x)
        if not is_library(x.__name__):
            self.handed.append(x)

    def read_modules(self) -> None:
        """Of the modules that were handed on, what any function that was read names as an attribute."""
        done: set = set()
        while todo := [pair for pair in itertools.product(self.handed, self.attributes) if pair not in done]:
            done.update(todo)
            for module, attributes in sorted(todo, key=lambda pair: (pair[0].__name__, pair[1])):
                self.module(module, attributes)

    def module(self, x: types.ModuleType, attributes: tuple[str, ...]) -> None:
        """A module of the user's own: what the function that names it also names as attributes."""
        self.key.append(x)
        if not attributes or is_library(x.__name__) or (x, attributes) in self.modules:
            return
        self.modules.add((x, attributes))
        for name in attributes:
            value = x.__dict__.get(name, self)
            if type(value) is types.ModuleType:
                self.module(value, attributes)
            elif value is not self:
                self.key.append(name)
                self.in_place(value)

    def wrapping(self, x: Any) -> None:
        """A function that was jitted, or has a cache, is that function."""
        function = x.__wrapped__
        if is_itself(function):
            return self.key.append(x)
        self.key.append(type(x))
        self.read(function)

    def view(self, x: types.MappingProxyType) -> None:
        self.key.append(type(x))
        self.kept.append(dict(x))
        self.in_place(self.kept[-1])

    def serial(self, x: Any) -> None:
        self.key.append(type(x))

    def with_rule(self, x: Any) -> None:
        """A function with a derivative of its own: a library's is itself."""
        if is_library(getattr(x, "__module__", None)):
            self.key.append(x)
        else:
            _plain(self, x)

    def a_class(self, x: type) -> None:
        """A class of the user's own is what it and its bases define."""
        if is_library(x.__module__):
            return self.key.append(x)
        if self.again(x):
            return
        if not is_library(type(x).__module__):
            self.a_class(type(x))
        for each in x.__mro__:
            if is_library(each.__module__):
                self.key.append(each)
            else:
                self.key.append(type)
                self._definitions(each)

    def _definitions(self, x: type) -> None:
        for name, value in vars(x).items():
            if name not in UNREAD:
                self.key.append(name)
                if isinstance(value, property):
                    value = value.fget
                self.in_place(getattr(value, "__func__", value))

    def declared(self, x: Any) -> None:
        """An object that says itself what it is: `__reads__()`."""
        if not self.again(x):
            parts = x.__reads__()
            self.kept.append(parts)
            self.a_class(type(x))
            self.in_place(*parts)

    def referent(self, x: weakref.ref) -> None:
        self.key.append(type(x))
        self.in_place(x())

    def context(self, x: contextvars.ContextVar) -> None:
        self.key.append(x)
        self.in_place(x.get(None))

    def reduced(self, x: Any) -> None:
        """An object of a kind that has its own way to be copied: what a copy would be made from."""
        if self.again(x):
            return
        if not is_library(type(x).__module__):  # what its copy would be made from may leave something out
            self.kept.append(dict(getattr(x, "__dict__", {})))
            self.in_place(self.kept[-1])
        try:
            made = x.__reduce_ex__(4)
        except Exception:  # whatever a foreign class raises: it cannot be taken apart
            made = ""
        if isinstance(made, str):
            return self.same(x)
        parts = [list(part) if isinstance(part, Iterator) else part for part in made]
        self.kept.append(parts)
        self.a_class(type(x))
        self.in_place(*parts)


def slots_of(kind: type) -> tuple[str, ...]:
    """The names of what objects of a class keep outside their `__dict__`."""
    return tuple(copyreg._slotnames(kind) or ())  # type: ignore[attr-defined]


def _plain(reader: Reader, x: Any) -> None:
    """An object that is its class and its attributes."""
    if reader.again(x):
        return
    reader.a_class(type(x))
    attributes = getattr(x, "__dict__", None)
    if attributes is not None:
        reader.items(attributes)


def _with_slots(reader: Reader, x: Any) -> None:
    if id(x) not in reader.met:
        _plain(reader, x)
        for name in slots_of(type(x)):
            if hasattr(x, name):
                reader.key.append(name)
                reader.read(getattr(x, name))
    else:
        reader.again(x)


def _named_tuple(reader: Reader, x: tuple) -> None:
    reader.a_class(type(x))
    reader.sequence(tuple(x))


_readers: dict[type, Callable[[Reader, Any], None]] = {
    float: Reader.number,
    complex: Reader.number,
    tuple: Reader.sequence,
    list: Reader.a_list,
    dict: Reader.a_dict,
    set: Reader.a_set,
    frozenset: Reader.a_set,
    slice: Reader.a_slice,
    np.ndarray: Reader.numpy_array,
    types.FunctionType: Reader.function,
    types.MethodType: Reader.method,
    types.BuiltinFunctionType: Reader.builtin,
    types.ModuleType: Reader.handed_module,
    types.CodeType: Reader.itself,
    np.ufunc: Reader.itself,
    type: Reader.a_class,
    object: Reader.same,
    JIT: Reader.wrapping,
    type(_installed_folders): Reader.wrapping,
    types.MappingProxyType: Reader.view,
    jax.custom_jvp: Reader.with_rule,
    jax.custom_vjp: Reader.with_rule,
}
_readers_of_own: weakref.WeakKeyDictionary[type, Callable[[Reader, Any], None]] = weakref.WeakKeyDictionary()


def _reader_of(x: Any) -> Callable[[Reader, Any], None]:
    """How objects of this kind are read, found out once for each class."""
    kind = type(x)
    reader = _readers_of_own.get(kind)
    if reader is None:
        reader = _find_reader(x)
        (_readers if is_library(kind.__module__) else _readers_of_own)[kind] = reader
    return reader


def _find_reader(x: Any) -> Callable[[Reader, Any], None]:
    kind = type(x)
    for is_so, reader in (
        (isinstance(x, type), Reader.a_class),
        (isinstance(x, jax.Array), Reader.array),
        (isinstance(x, np.generic), Reader.numpy_scalar),
        (isinstance(x, functools.partial), Reader.partial),
        (isinstance(x, weakref.ref), Reader.referent),
        (isinstance(x, contextvars.ContextVar), Reader.context),
        (isinstance(x, VALUES), Reader.itself),
        (f"{kind.__module__}.{kind.__qualname__}" in SERIALS, Reader.serial),
        (hasattr(kind, "__reads__"), Reader.declared),
        (is_named_tuple(x), _named_tuple),
        (is_plain(x), _with_slots if slots_of(kind) else _plain),
    ):
        if is_so:
            return reader
    return Reader.reduced


def is_named_tuple(x: Any) -> bool:
    return isinstance(x, tuple) and not hasattr(x, "__dict__") and hasattr(x, "_fields")


def is_plain(x: Any) -> bool:
    """Whether an object is no more than its attributes: nothing from C, no way of its own to be copied."""
    kind = type(x)
    ways = ("__reduce_ex__", "__reduce__", "__getstate__")
    if any(getattr(kind, way) is not getattr(object, way) for way in ways):
        return False
    try:
        made = x.__reduce_ex__(4)
    except TypeError:
        return False
    return made[0] is copyreg.__newobj__ and made[1] == (kind,) and made[3] is None and made[4] is None  # type: ignore


class ByValue:
    """A function that is equal to others, and hashed, by what it reads at this moment; it stands in the function's place.

    In the structure of a pytree, say, which JAX compares to find its programs.
    """

    def __init__(self, function: Callable):
        functools.update_wrapper(self, function)
        self.function, self.key = function, read(function, capture=False).key
        self.hash = hash(self.key)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return self.function(*args, **keywords)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByValue) and self.key is not None and self.key == other.key

    def __hash__(self) -> int:
        return self.hash

    def __repr__(self) -> str:
        return repr(self.function)

    def __reduce__(self):
        return ByValue, (self.function,)

    def __reads__(self) -> tuple:
        return (self.function,)


def by_value(x: Any) -> Any:
    """A function, or a tuple of them, made to compare by value; a library's function, and all else, as it is."""
    if type(x) in PLAIN:
        return x
    if is_named_tuple(x):
        return type(x)(*map(by_value, x))
    if isinstance(x, ByValue):
        return ByValue(x.function)
    is_function = isinstance(x, (types.FunctionType, types.MethodType, functools.partial))
    is_own = callable(x) and not isinstance(x, type) and not is_library(type(x).__module__)
    return ByValue(x) if (is_function or is_own) and not is_itself(x) else x


def itself(x: Any) -> Any:
    """What `by_value` was given."""
    return x.function if isinstance(x, ByValue) else x
