"""The sizes of the house and the names of its rooms, read from the source."""

import ast
import importlib
import pkgutil
import types
from pathlib import Path

import pytest

import gdjax

ROOT = Path(gdjax.__file__).parent
LINES, BODY, COMMAND = 400, 50, 120
SOURCES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted(ROOT.rglob("*.py"))}
OF_THE_TREE = {"gdjax.optimizers": {"leafwise", "treewise"}}  # the two lifts and their files
CLI = {
    *(
        "backprop",
        "calls",
        "certify",
        "data",
        "expression",
        "files",
        "cluster",
        "launch",
        "losses",
        "metrics",
        "models",
        "optimizers",
    ),
    *(
        "plots",
        "problems",
        "processes",
        "runs",
        "schedules",
        "search",
        "solve",
        "stopping",
        "sweeps",
        "tables",
        "tasks",
        "text",
        "version",
        "cli",
    ),
}


def functions(text):
    """(name, lines of the body without its docstring) of every function, however deep."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            yield node.name, body[-1].end_lineno - body[0].lineno + 1 if body else 0


def imports(text):
    """The modules that a source imports, at any depth."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ([node.module] if node.module != "gdjax" else [f"gdjax.{name.name}" for name in node.names])
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def test_no_file_is_above_400_lines():
    assert {name for name, text in SOURCES.items() if len(text.splitlines()) > LINES} == set()


def test_no_body_is_above_50_lines():
    found = {(name, each) for name, text in SOURCES.items() for each, lines in functions(text) if lines > BODY}
    assert found == set()


def test_a_command_is_short_and_leaves_the_work_to_the_rooms():
    commands = {name: text for name, text in SOURCES.items() if name.startswith("cli/")}
    assert {name for name, text in commands.items() if len(text.splitlines()) > COMMAND} == set()
    used = {each.split(".")[1] for text in commands.values() for each in imports(text) if each.startswith("gdjax.")}
    assert used <= CLI


def test_the_counters_count():
    text = (
        "def long():\n    '''Two\n    lines.'''\n"
        + "    x = 1\n" * 51
        + "def short():\n    return [\n        1,\n    ]\n"
    )
    assert dict(functions(text)) == {"long": 51, "short": 3}
    assert list(imports("from gdjax import runs, tasks\nimport gdjax.tree as t\nfrom gdjax.types import Stop")) == [
        *("gdjax.runs", "gdjax.tasks", "gdjax.tree", "gdjax.types")
    ]


PACKAGES = ["gdjax", *(f"gdjax.{each.name}" for each in pkgutil.iter_modules([str(ROOT)]) if each.ispkg)]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_function_hides_a_module(package):
    """gdjax.room.thing works whatever has been imported before: no name is both a module and something else there."""
    room = importlib.import_module(package)
    modules = {each.name for each in pkgutil.iter_modules(room.__path__)}
    hiding = {name for name in modules if not isinstance(getattr(room, name, types), types.ModuleType)}
    assert hiding == OF_THE_TREE.get(package, set())


def defined(text):
    """The public functions and classes of a source, and what it calls by a name of its own."""
    for node in ast.parse(text).body:
        names = [node.name] if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else []
        if isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        yield from (name for name in names if not name.startswith("_"))


def rooms(sources):
    """What can be asked of gdjax by `gdjax.name`, and the packages within."""
    parts = [name.removesuffix(".py").removesuffix("/__init__").split("/") for name in sources]
    packages = [path.split("/")[-2] for path in sources if path.count("/") > 1 and path.endswith("/__init__.py")]
    return {each[0] for each in parts if not each[0].startswith("_")} | set(packages)


def as_rooms(sources):
    """(file, name) of all that bears the name of a room, or that of its own file."""
    known = rooms(sources)
    each = {(file, name) for file, text in sources.items() for name in defined(text)}
    return {(file, name) for file, name in each if name in known or name == Path(file).stem}


METHODS = ("optimizers/", "certify/oracles/")  # a method and its oracle, each in a file that bears its name
ALLOWED = {("cli/main.py", "main")}


def test_nothing_is_named_as_a_room():
    """`gdjax.room.thing` and `from gdjax.room import thing` are read in one way only.

    leafwise and treewise are methods' files too, though they stand beside the folders.
    """
    found = as_rooms(SOURCES)
    lifts = {(f"optimizers/{name}.py", name) for name in OF_THE_TREE["gdjax.optimizers"]}
    of_methods = {(file, name) for file, name in found if file.startswith(METHODS) and name not in rooms(SOURCES)}
    assert lifts <= of_methods and found - of_methods <= ALLOWED


def test_a_namesake_of_a_room_is_found():
    sources = {
        "__init__.py": "",
        "tides/__init__.py": "",
        "tides/high/__init__.py": "",
        "moon.py": "def moon(): ...\ndef _tides(): ...\ndef full(): ...",
        "tides/high/spring.py": "tides = partial(f)\nclass high: ...\ndef low(moon): ...",
    }
    assert rooms(sources) == {"tides", "high", "moon"}
    found = {("moon.py", "moon"), ("tides/high/spring.py", "tides"), ("tides/high/spring.py", "high")}
    assert as_rooms(sources) == found
