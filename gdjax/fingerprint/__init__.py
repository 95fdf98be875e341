"""The value of a function: what it reads.

Python compares functions by identity, and JAX keeps what it has traced under the function object. Both are wrong as soon as
somebody edits what a function reads, a global number, an attribute, an entry of a list, and both are wasteful when somebody
runs the same cell again. Here a function is what its answers can depend on:

    its code (wherever its lines stand), the globals that it names, its cells, its defaults, its attributes,

and so on down through functions, methods, partials, classes, containers and objects, with cycles. Libraries do not change
while a program runs: their functions, classes and modules are themselves, and only what their closures hold is read.
Arrays that can be arguments of the function are *captured*: the key has their shapes and dtypes, not their entries.

The environment, what a thread or a context has of its own, and the states of random number generators are read as values.
A function that asks for what cannot be read (a clock, a file, a name that is made at run time, as by `eval`, `globals()` or
`getattr(module, text)`, an object that cannot be taken apart) is *unknown*, and its programs are not shared between calls.

Not seen are what a C object hides behind its own way to be copied, a file that a library's function opens under a name that
`gdjax.fingerprint.changing` does not list, and edits of an installed package. A lock is itself.
"""

from gdjax.fingerprint.code import facts_of as facts_of
from gdjax.fingerprint.library import is_itself as is_itself
from gdjax.fingerprint.library import is_library_function as is_library_function
from gdjax.fingerprint.reader import JIT as JIT
from gdjax.fingerprint.reader import Reading as Reading
from gdjax.fingerprint.reader import read as read
from gdjax.fingerprint.stand_in import ByValue as ByValue
from gdjax.fingerprint.stand_in import by_value as by_value
from gdjax.fingerprint.stand_in import itself as itself
from gdjax.fingerprint.values import is_named_tuple as is_named_tuple
from gdjax.fingerprint.values import is_plain as is_plain
from gdjax.fingerprint.values import slots_of as slots_of
