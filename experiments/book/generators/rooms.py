"""A page for each room of gdjax, from the docstrings of its public names; and for the ground, a line for each file."""

from __future__ import annotations

import ast
import enum
import functools
import html
import importlib
import inspect
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gdjax

from ..docstrings import fenced, first_line, markdown, prose
from ..equations import display

ROOT = Path(gdjax.__file__).parent
ORDER = (  # as a user meets them
    *("calls", "optimizers", "schedules", "losses", "metrics", "models", "training", "stopping", "types"),
    *("data", "solve", "search", "problems", "projections", "planes", "sweeps", "backprop", "plots", "runs"),
    *("estimators", "tables", "laws", "certify", "cluster", "processes", "launch"),
)
CATALOGUES = (gdjax.OPTIMIZERS, gdjax.WRAPPERS, gdjax.TRANSFORMS, gdjax.schedules.SCHEDULES)
TYPESET = ("losses", "problems", "projections")
BETTER = {"min": ", the smaller the better", "max": ", the larger the better"}


class Name(NamedTuple):
    """A public name of a room."""

    room: str
    name: str
    value: Any

    @property
    def label(self) -> str:
        """What links to it; a class and a function may differ in their capitals only."""
        return f"gdjax.{self.room}.{self.name}{'-class' if inspect.isclass(self.value) else ''}".lower()

    @property
    def target(self) -> str:
        """Where a link to it leads."""
        return page_of(self) or f"#{self.label}"

    @property
    def file(self) -> str:
        """The module that defines it."""
        return getattr(self.value, "__module__", None) or ""


def pages(lab: Path) -> dict[str, str | bytes]:
    """The pages of all rooms, the list of them, and the page of the files that are no room."""
    del lab
    found = {f"rooms/{room}.md": room_page(room) for room in ORDER}
    return {"rooms/index.md": index_page(), **found, "rooms/ground.md": ground_page()}


def index_page() -> str:
    """The rooms in the order in which a user meets them, then every name of the face."""
    rows = "\n".join(f"| [{room}]({room}.md) | {prose(first_line(_room(room).__doc__))} |" for room in ORDER)
    toctree = "\n".join((*ORDER, "ground"))
    names = ", ".join(f"[`{name}`]({link(name)})" if link(name) else f"`{name}`" for name in sorted(gdjax.__all__))
    return f"""# The rooms

A room is an activity of yours, and `gdjax.<room>.<name>` is the address of everything. What is written here is what `help`
prints: every name with its equation, its arguments, its errors and an example that the tests run.

| room | what it is |
|---|---|
{rows}
| [ground](ground.md) | The files under the rooms, and the command line. |

## Every name of `import gdjax as gd`

{names}

```{{toctree}}
:hidden:

{toctree}
```
"""


def room_page(room: str) -> str:
    """One room: what it is, its names by the files that define them, all of its files."""
    module = _room(room)
    parts = [f"# {room}\n", markdown(inspect.getdoc(module) or "", link)]
    parts += [*_with_pages(room)]
    own = [name for name in names(room) if not is_lifted(name) and not page_of(name)]
    for file in dict.fromkeys(name.file for name in own):
        inside = [name for name in own if name.file == file]
        title = _title(file, room) if len(inside) > 1 else ""
        parts += [f"## {title}\n", prose(first_line(_module(file).__doc__), link) + "\n"] if title else []
        parts += [entry(name, 3 if title else 2) for name in inside]
    parts += [*_from_optax(room), *_constants(room), *_files(ROOT / room)]
    return "\n".join(parts)


def entry(each: Name, level: int) -> str:
    """One name: how it is called, and what its docstring says."""
    doc = inspect.getdoc(each.value) or ""
    if inspect.isclass(each.value) and doc == (inspect.getdoc(each.value.__mro__[1]) or ""):
        doc = ""
    if doc.startswith(f"{each.name}("):  # that of a dataclass or a named tuple without one
        doc = ""
    head = f"({each.label})=\n{'#' * level} {each.name}\n\n{fenced(signature(each), 'python')}\n"
    members = _members(each.value) if inspect.isclass(each.value) else ""
    return "\n".join((head, markdown(doc, link, functools.partial(_typeset, each)), members))


def _typeset(each: Name, block: str) -> str | None:
    """The equation as MathML, in the rooms whose blocks are equations and no sketches of code."""
    if each.room not in TYPESET:
        return None
    try:
        return display(
            block, list(inspect.signature(each.value).parameters), lambda name: f"<code>{html.escape(name)}</code>"
        )
    except ValueError:
        return None


def signature(each: Name) -> str:
    """The call, one argument a line where it is long."""
    if isinstance(each.value, enum.EnumMeta):
        return f"class {each.name}({each.value.__mro__[1].__name__})"
    try:
        found = inspect.signature(each.value)
    except (TypeError, ValueError):
        return f"class {each.name}"
    arguments = [_argument(each) for each in _with_star(found)]
    returned = (
        "" if found.return_annotation in (inspect.Signature.empty, None, "None") else _words(found.return_annotation)
    )
    tail = f" -> {returned}" if returned and not inspect.isclass(each.value) else ""
    line = f"{each.name}({', '.join(arguments)}){tail}"
    return line if len(line) <= 88 else f"{each.name}(\n" + "".join(f"    {x},\n" for x in arguments) + f"){tail}"


def _with_star(found: inspect.Signature) -> Iterator[inspect.Parameter | str]:
    starred = False
    for parameter in found.parameters.values():
        starred |= parameter.kind is parameter.VAR_POSITIONAL
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        yield parameter


def _argument(parameter: inspect.Parameter | str) -> str:
    if isinstance(parameter, str):
        return parameter
    empty, default = inspect.Parameter.empty, parameter.default
    mark = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    words = f": {_words(parameter.annotation)}" if parameter.annotation is not empty else ""
    if default is empty:
        return f"{mark}{parameter.name}{words}"
    shown = default.__name__ if inspect.isclass(default) else repr(default)
    shown = "..." if shown.startswith("<") or " at 0x" in shown else shown
    return f"{parameter.name}{words} = {shown}" if words else f"{parameter.name}={shown}"


def _words(annotation: Any) -> str:
    """An annotation as its author wrote it."""
    annotation = getattr(annotation, "__forward_arg__", annotation)
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _members(kind: type) -> str:
    """The members of an enumeration; the public methods and properties of another class that are its own."""
    if issubclass(kind, enum.Enum):
        return "\n".join(f"- `{each.name} = {each.value!r}`" for each in kind) + "\n"
    rows = []
    for name, value in vars(kind).items():
        value = inspect.unwrap(getattr(value, "fget", None) or getattr(value, "func", None) or value)
        value = getattr(value, "__func__", value)
        line = first_line(getattr(value, "__doc__", None)) if inspect.isfunction(value) else ""
        if not name.startswith("_") and line:
            rows.append(f"- `{name}`: {prose(line, link)}")
    return "\n".join(rows) + "\n"


@functools.cache
def names(room: str) -> tuple[Name, ...]:
    """The functions and classes that a room offers, in the order of its source."""
    module = _room(room)
    public = getattr(module, "__all__", None)
    if public is None:
        inside = module.__name__
        public = [name for name, x in vars(module).items() if str(getattr(x, "__module__", "")).startswith(inside)]
    found = [Name(room, name, getattr(module, name)) for name in public if not name.startswith("_")]
    found = [each for each in found if inspect.isfunction(each.value) or inspect.isclass(each.value)]
    return tuple(sorted(found, key=_place))


def _place(each: Name) -> tuple[int, str, int]:
    """Where a name stands: by the order of the imports of its room, then by the line."""
    source = _source(f"gdjax.{each.room}")
    at = source.find(f"from {each.file} import") if each.file else -1
    return at if at >= 0 else len(source), each.file, _line(each)


def _line(each: Name) -> int:
    """The line of its definition, as far as it is known without a search."""
    value = inspect.unwrap(each.value)
    if inspect.isfunction(value):
        return value.__code__.co_firstlineno
    source = _source(each.file) if each.file.startswith("gdjax") else ""
    return source[: max(source.find(f"\nclass {each.name}"), 0)].count("\n") + 1


def page_of(each: Name) -> str | None:
    """The page that an optimizer, wrapper, transform or schedule has of its own."""
    known = any(table.get(each.name) is each.value for table in CATALOGUES)
    return f"/optimizers/{each.name}.md" if known else None


def _with_pages(room: str) -> list[str]:
    """A line for each name that has a page of its own."""
    found = [(each, where) for each in names(room) if (where := page_of(each))]
    if not found:
        return []
    rows = [f"| [`{each.name}`]({where}) | {_cell(first_line(each.value.__doc__))} |" for each, where in found]
    return ["## With pages of their own\n", "| name | what it does |\n|---|---|", *rows, ""]


def _cell(text: str) -> str:
    return prose(text, link).replace("\\|", "|").replace("|", "\\|")


def _from_optax(room: str) -> list[str]:
    """A line for each name that Optax has written."""
    theirs = [each for each in names(room) if is_lifted(each)]
    if not theirs:
        return []
    rows = [f"| `{each.name}` | {_cell(first_line(each.value.__doc__).replace('``', '`'))} |" for each in theirs]
    about = "Optax's functions, as they are or lifted to calls; `help` prints what Optax says of them.\n"
    return ["## Optax's own\n", about, "| name | what it does |\n|---|---|", *rows, ""]


def is_lifted(each: Name) -> bool:
    """Whether a name is Optax's function, or a factory that is made from it in a line."""
    body = getattr(getattr(each.value, "recipe", None), "body", None)
    return not each.file.startswith("gdjax") or hasattr(body, "__wrapped__")


def _constants(room: str) -> list[str]:
    """The catalogs of a room, and the metrics that are values."""
    module, rows = _room(room), []
    for name in sorted(getattr(module, "__all__", ())):
        value = getattr(module, name)
        if isinstance(value, (dict, tuple)) and value and all(isinstance(key, str) for key in value):
            rows.append(f"- `{name}`: {', '.join(f'`{key}`' for key in value)}")
        elif isinstance(value, gdjax.metrics.Metric):
            rows.append(f"- `{name}`: a `Metric`{BETTER.get(value.better, '')}")
    return ["## Values and catalogs\n", "\n".join(rows) + "\n"] if rows else []


def _files(place: Path) -> list[str]:
    """A line for each file of a room."""
    if not place.is_dir():
        return []
    rows = []
    for path in sorted(place.rglob("*.py")):
        line = first_line(ast.get_docstring(ast.parse(path.read_text())))
        if line and path != place / "__init__.py":
            rows.append(f"- `{path.relative_to(place).as_posix()}`: {prose(line, link)}")
    return ["## Files\n", "\n".join(rows) + "\n"] if rows else []


def ground_page() -> str:
    """What no page of a room lists: the files under the rooms, and the packages that are no room of a user's."""
    parts = ["# The ground\n", "What the rooms stand on. Its names are not promised to stay.\n", "## gdjax\n"]
    for path in sorted(ROOT.glob("*.py")):
        line = first_line(ast.get_docstring(ast.parse(path.read_text())))
        if line and path.name != "__init__.py":
            parts.append(f"- `{path.name}`: {prose(line, link)}")
    for place in sorted(ROOT.iterdir()):
        if (place / "__init__.py").is_file() and place.name not in ORDER:
            about = first_line(ast.get_docstring(ast.parse((place / "__init__.py").read_text())))
            parts += [f"\n## {place.name}\n", prose(about, link) + "\n", *_files(place)[1:]]
    return "\n".join(parts) + "\n"


@functools.cache
def _own() -> tuple[Name, ...]:
    """The names that have an entry."""
    return tuple(each for room in ORDER for each in names(room) if not is_lifted(each))


@functools.cache
def _index() -> dict[str, str]:
    """name -> where it is explained, for what is a name of the face or of one room only."""
    known: dict[str, set[str]] = {}
    for each in _own():
        for way in (each.name, *(f"{start}{each.room}.{each.name}" for start in ("", "gdjax.", "gd."))):
            known.setdefault(way, set()).add(each.target)
    for name in gdjax.__all__:
        value = getattr(gdjax, name)
        home = next((x.target for x in _own() if x.value is value and x.name == name), None)
        for way in (name, f"gd.{name}", f"gdjax.{name}") if home else ():
            known[way] = {home}
    return {way: targets.pop() for way, targets in known.items() if len(targets) == 1}


def link(code: str) -> str | None:
    """What explains a name that is written in backticks, alone or called."""
    target = _index().get(re.sub(r"\(.*\)$", "", code))
    if target is None and code.removeprefix("gdjax.") in ORDER:
        return f"/rooms/{code.removeprefix('gdjax.')}.md"
    return target


def _room(name: str) -> types.ModuleType:
    return _module(f"gdjax.{name}")


def _module(name: str) -> types.ModuleType:
    return importlib.import_module(name)


@functools.cache
def _source(name: str) -> str:
    return inspect.getsource(_module(name))


def _title(file: str, room: str) -> str:
    """The heading of a file within its room."""
    return file.removeprefix(f"gdjax.{room}").rpartition(".")[2].replace("_", " ").strip()
