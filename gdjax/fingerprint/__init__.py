"""The value of a function: a key of everything that its results can depend on.

Python compares functions by identity, and JAX stores traces under the function object. This is wrong if something that the
function reads is edited (a global number, an attribute, an entry of a list), and wasteful if the same notebook cell is run
again. Here the key of a function consists of

    its code (without line numbers), the globals that it names, its cells, its defaults, its attributes,

and recursively of the functions, methods, partials, classes, containers and objects among these, with cycles. Libraries do
not change while a program runs: their functions, classes and modules are compared by identity, and only the values in their
closures are read. Arrays that can become arguments of the function are *captured*: the key has their shapes and dtypes, not
their entries.

The environment, thread-local and context variables, and the states of random number generators are read as values. A
function that reads something else (a clock, a file, a name made at run time by `eval`, `globals()` or `getattr(module,
text)`, an object that cannot be decomposed) is *unknown*, and its programs are not shared between calls.

Not detected are edits of annotations, the internal state of C objects with their own copy method, files that a library's
function opens under a name that `gdjax.fingerprint.changing` does not list, and edits of an installed package. A lock is
compared by identity.
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
from gdjax.fingerprint.values import digest as digest
from gdjax.fingerprint.values import is_named_tuple as is_named_tuple
from gdjax.fingerprint.values import is_plain as is_plain
from gdjax.fingerprint.values import slots_of as slots_of
