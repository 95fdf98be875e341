"""A page for each optimizer, wrapper, transform and schedule: its call, equations, path, certificate and reference.

All is read from the catalogs: the docstrings, the signatures and their bounds. The certificates are recorded
(`gdjax certify --out experiments/book/certificates`, minutes), the paths are computed.
"""

from __future__ import annotations

import html
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gdjax.calls.docstrings import entries
from gdjax.optimizers import OPTIMIZERS, TRANSFORMS, WRAPPERS
from gdjax.optimizers.catalogue import entry
from gdjax.schedules import SCHEDULES

from ..certified import Certificates
from ..descents import Descent, descents
from ..docstrings import fenced, prose
from ..equations import display
from ..schedule_curves import curves

HEAD = ("name", "what it does", "memory", "reference")
WIDTHS = (22, 40, 16, 22)
KINDS: dict[str, Mapping[str, Callable[..., Any]]] = {
    "Optimizers": OPTIMIZERS,
    "Wrappers": WRAPPERS,
    "Transforms": TRANSFORMS,
    "Schedules": SCHEDULES,
}
ABOUT = {
    "Optimizers": "Each is a value, `gd.adam(1e-3)`, whose numbers are its leaves; all take schedules for numbers.",
    "Wrappers": "Each stands around an optimizer, which it calls: `gd.average(gd.adam(1e-3))`.",
    "Transforms": "Each only changes the gradient and stands in a chain: `gd.chain(gd.clip(1.0), gd.adam(1e-3))`.",
    "Schedules": "Each is a number that depends on the step, and may stand for any number of an optimizer.",
}
FAMILIES = {"first_order": "from gradients", "second_order": "from curvature", "plasticity": "from spikes"}
SECTION = re.compile(r"^(Args|Memory|Differs from|Reference|See also|Raises):|^>>> ", re.MULTILINE)
PART = re.compile(
    r"(?:^|(?<=   ))(Memory|Raises|Differs from|Reference|See also): (.*?)"
    r"(?=\s{3,}(?:Raises|Memory|Differs from|Reference): |^(?:Raises|Memory|Differs from|Reference|See also): |^>>> |\Z)",
    re.MULTILINE | re.DOTALL,
)
STATED = re.compile(r"^(?:in [\[(][^\])]*[\])]|>=? [\d.]+)[,;] ")  # the interval, which has a column of its own
PLACES = {name: f"{name}.md" for table in KINDS.values() for name in table}


class Shown:
    """A default that prints as it is written."""

    def __init__(self, value: Any):
        self.value = value

    def __repr__(self) -> str:
        return shown_default(self.value)


def pages(lab: Path) -> dict[str, str | bytes]:
    """The pages of the folder optimizers/ and their pictures."""
    certificates, made = Certificates.recorded(), {"optimizers/index.md": index()}
    paths = {**descents(OPTIMIZERS), **curves(SCHEDULES)}
    for kind, table in KINDS.items():
        for name, factory in table.items():
            made[f"optimizers/{name}.md"] = page(kind, factory, certificates, paths.get(name))
    pictures = {f"optimizers/{name}.png": descent.picture for name, descent in paths.items()}
    return {**made, **pictures}


def index() -> str:
    """The tables of the catalogs, a line for each name."""
    text = "# Optimizers, wrappers, transforms and schedules\n"
    for kind, table in KINDS.items():
        text += f"\n## {kind}\n\n{ABOUT[kind]}\n\n"
        for family, members in families(table).items():
            text += f"### {kind} {FAMILIES[family]}\n\n" if family in FAMILIES and kind == "Optimizers" else ""
            text += table_of([HEAD[: 2 if kind == "Schedules" else 4], *(cells(kind, each) for each in members)])
    names = "\n".join(name for table in KINDS.values() for name in table)
    return f"{text}\n```{{toctree}}\n:hidden:\n\n{names}\n```\n"


def table_of(rows: list[tuple[str, ...]]) -> str:
    """A table whose columns have widths of their own, for sentences beside words."""
    widths = " ".join(map(str, WIDTHS[: len(rows[0])]))
    lines = (f"{'*' if not column else ' '} - {cell}" for row in rows for column, cell in enumerate(row))
    return f"```{{list-table}}\n:header-rows: 1\n:widths: {widths}\n\n" + "\n".join(lines) + "\n```\n\n"


def families(table: Mapping[str, Callable[..., Any]]) -> dict[str, list[Callable[..., Any]]]:
    """The factories by the folder of their file."""
    found: dict[str, list[Callable[..., Any]]] = {}
    for factory in table.values():
        found.setdefault(inspect.unwrap(factory).__module__.split(".")[-2], []).append(factory)
    return found


def cells(kind: str, factory: Callable[..., Any]) -> tuple[str, ...]:
    doc = inspect.getdoc(factory) or ""
    named = f"[`{factory.__name__}`]({factory.__name__}.md)"
    if kind == "Schedules":
        return named, prose(doc.partition("\n")[0], PLACES.get)
    about = entry(factory)
    return named, *(prose(text, PLACES.get) for text in (about.summary, about.memory, about.reference))


def in_table(text: str) -> str:
    return prose(text, PLACES.get).replace("\\|", "|").replace("|", "\\|")


def page(kind: str, factory: Callable[..., Any], certificates: Certificates, descent: Descent | None) -> str:
    """The page of one factory."""
    doc, name = inspect.getdoc(factory) or "", factory.__name__
    parts = dict(PART.findall(doc))
    blocks = [
        f"# {name}",
        *body(doc, [*inspect.signature(factory).parameters, *entries(doc)]),
        "## Call",
        fenced("\n\n".join(calls(kind, factory)), "python"),
        arguments(factory, doc),
        *(
            f"**{head}:** {prose(parts[head], PLACES.get)}"
            for head in ("Memory", "Raises", "See also")
            if head in parts
        ),
        *example(doc),
        *path(kind, name, descent),
        *(certificates.section(name) if kind != "Schedules" else []),
        *(f"## {head}\n\n{prose(parts[head], PLACES.get)}" for head in ("Differs from", "Reference") if head in parts),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def body(doc: str, names: list[str]) -> Iterator[str]:
    """What stands before the sections: sentences, and equations typeset."""
    begin = SECTION.search(doc)
    for block in re.split(r"\n\s*\n", doc[: begin.start() if begin else len(doc)]):
        if block.startswith("    "):
            yield display(textwrap.dedent(block), names, link)
        elif block.strip():
            yield prose(block, PLACES.get)


def link(name: str) -> str:
    """HTML of a name in backquotes, beside an equation."""
    shown = f"<code>{html.escape(name)}</code>"
    return f'<a href="{name}.html">{shown}</a>' if name in PLACES else shown


def calls(kind: str, factory: Any) -> list[str]:
    """The call as it is written; where a name has two forms, gdjax's and Optax's."""
    place = "gd.schedules" if kind == "Schedules" else "gd"
    own, shown = factory.recipe.signature, inspect.signature(factory)
    first = written(f"{place}.{factory.__name__}", own)
    theirs = [p for p in shown.parameters.values() if p.kind is not p.KEYWORD_ONLY]
    if list(own.parameters)[: len(theirs)] == [p.name for p in theirs]:
        return [first]
    return [first, written(f"{place}.{factory.__name__}", inspect.Signature(theirs)) + "  # Optax's form"]


def written(name: str, signature: inspect.Signature) -> str:
    """A call with the defaults, one argument a line where it is long."""
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    plain = [
        p.replace(default=Shown(p.default)) if isinstance(p.default, type) and p.default is not p.empty else p
        for p in plain
    ]
    line = f"{name}{inspect.Signature(plain)}"
    if len(line) <= 88:
        return line
    inner = str(inspect.Signature(plain))[1:-1]
    return f"{name}(\n{textwrap.fill(inner, 84, initial_indent='    ', subsequent_indent='    ')},\n)"


def arguments(factory: Any, doc: str) -> str:
    """The table of arguments: default, the interval of its numbers, and what it means."""
    own, shown = factory.recipe.signature.parameters, inspect.signature(factory).parameters
    rows = []
    for name, text in entries(doc).items():
        known = own.get(name) or shown.get(name)
        default = (
            "" if known is None or known.default is inspect.Parameter.empty else f"`{shown_default(known.default)}`"
        )
        bound = factory.recipe.intervals.get(name, "")
        rows.append((f"`{name}`", default, interval(bound), in_table(STATED.sub("", text) if bound else text)))
    if not rows:
        return ""
    head = "| argument | default | range | meaning |\n|---|---|---|---|\n"
    return head + "\n".join(f"| {' | '.join(cell.replace(chr(10), ' ') for cell in row)} |" for row in rows)


def shown_default(value: Any) -> str:
    """A default as one writes it."""
    return f"jnp.{value.__name__}" if isinstance(value, type) else repr(value)


def interval(bound: str) -> str:
    """The interval of a number as one reads it: [0, inf) is ≥ 0."""
    bound = re.sub(r"\[-?inf, inf\]|\(-inf, inf\)", "", bound)
    half = re.sub(r"([\[(])([-\d.e]+), inf[\])]", lambda m: f"{'≥' if m[1] == '[' else '>'} {m[2]}", bound)
    return half.replace(" ", "\u00a0")


def example(doc: str) -> list[str]:
    """The example, which a test runs."""
    lines = doc[doc.find(">>> ") :] if ">>> " in doc else ""
    return [fenced(lines.strip(), "pycon")] if lines else []


def path(kind: str, name: str, descent: Descent | None) -> list[str]:
    """The picture of its paths or of its values, with what was run."""
    if descent is None:
        return []
    if kind == "Schedules":
        return ["## Values", f"![The values of {name}, step by step]({name}.png)", descent.words]
    return ["## Path", f"![The paths of {name} over a bowl and over Rosenbrock's valley]({name}.png)", descent.words]
