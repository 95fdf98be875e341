"""Docstrings as Markdown: prose, equations, sections, tables of arguments, examples.

The docstrings of gdjax have one form: a line; blocks that are indented are equations or code; sections that begin with
`Args:`, `Raises:` and their like, two of which may share a line; examples at the end.
"""

from __future__ import annotations

import inspect
import itertools
import re
import textwrap
from collections.abc import Callable, Iterator

Link = Callable[[str], str | None]  # what is written in backticks -> where it is explained; None for nowhere

SECTIONS = (
    *("Args", "Attributes", "Memory", "Shapes", "Returns", "Yields", "Raises", "Differs from", "Objective function"),
    *("See also", "Reference", "References", "Note"),
)
HEAD = re.compile(rf"({'|'.join(SECTIONS)}):(?:\s+|$)(.*)")
ANOTHER = re.compile(rf"\s{{2,}}(?=(?:{'|'.join(SECTIONS)}): )")  # a second section on the same line
ARGUMENT = re.compile(r"(\*{0,2}\w+(?:,\s+\*{0,2}\w+)*,?):\s+(.*)")
MARKS = re.compile(r"([\\*_<>\[\]$#|~^{}&])")
COLUMNS = re.compile(r"\S {3,}\S")
EMPHASIS = re.compile(r"(?<![\w*])\\\*([a-z][a-z -]*)\\\*(?![\w*])")
PLACES = (
    (re.compile(r"\barXiv:(\d{4}\.\d{4,5})"), r"https://arxiv.org/abs/\1"),
    (re.compile(r"\bdoi:(10\.[^\s,;]+[^\s,;.])"), r"https://doi.org/\1"),
    (re.compile(r"\b((?:[a-z]+\.)+(?:org|edu|cc|net)/[^\s,;()]*[^\s,;().])"), r"https://\1"),
)


def markdown(doc: str, link: Link = lambda name: None, typeset: Link = lambda block: None) -> str:
    """A docstring, as `inspect.getdoc` gives it, in the Markdown of MyST.

    Args:
        typeset: an equation -> what is shown in its place; None leaves it as its author wrote it.
    """
    blocks = _blocks(doc.splitlines(), link, typeset)
    return "\n\n".join(block for block in blocks if block) + "\n"


def first_line(doc: str | None) -> str:
    """The first line of a docstring, or nothing."""
    return inspect.cleandoc(doc or "").partition("\n")[0]


def prose(text: str, link: Link = lambda name: None) -> str:
    """A paragraph: code stays code, and links to what explains it; the rest shows its characters as they are."""
    parts = re.split(r"(`+[^`]+`+)", " ".join(text.split()))
    found = "".join(_code(part, link) if part.startswith("`") else _plain(part) for part in parts)
    return re.sub(r"^([-+=]|\d+(?=[.)]))", r"\\\1" if not found[:1].isdigit() else r"\1\\", found)


def _code(part: str, link: Link) -> str:
    where = link(part.strip("`"))
    return f"[{part}]({where})" if where else part


def _plain(text: str) -> str:
    for pattern, target in PLACES:
        found = pattern.search(text)
        if found:
            before, after = _plain(text[: found.start()]), _plain(text[found.end() :])
            return f"{before}[{_escape(found[0])}]({found.expand(target)}){after}"
    return _escape(text)


def _escape(text: str) -> str:
    return EMPHASIS.sub(r"*\1*", MARKS.sub(r"\\\1", text))


def fenced(text: str, language: str) -> str:
    """A block of code."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def equation(lines: list[str], typeset: Link) -> str:
    """What is indented: an equation, or a sketch of code, typeset or in the lines of its author."""
    text = textwrap.dedent("\n".join(lines)).strip("\n").rstrip()
    return typeset(text) or fenced(text, "{code-block} text\n:class: equation\n")


def _blocks(lines: list[str], link: Link, typeset: Link) -> Iterator[str]:
    """The blocks of a docstring, one after the other."""
    lines = [part for line in lines for part in (ANOTHER.split(line) if HEAD.match(line.lstrip()) else [line])]
    while lines:
        if not lines[0].strip():
            lines = lines[1:]
            continue
        paragraph = list(itertools.takewhile(str.strip, lines))
        if _has_columns(paragraph):
            yield _columns(paragraph, link)
            lines = lines[len(paragraph) :]
            continue
        take = _reader(lines[0], typeset)
        number = next((i for i, line in enumerate(lines) if i and _ends(line, lines[0])), len(lines))
        yield take(lines[:number], link)
        lines = lines[number:]


def _ends(line: str, first: str) -> bool:
    """Whether a block that began with `first` ends before this line."""
    if first.startswith(" "):
        return bool(line.strip()) and not line.startswith(" ")
    if HEAD.match(first):
        return not line.strip() or (not line.startswith(" ") and HEAD.match(line) is not None)
    if first.startswith(">>>"):
        return not line.strip()
    return not line.strip() or HEAD.match(line) is not None or line.startswith((">>>", "    "))


def _reader(first: str, typeset: Link) -> Callable[[list[str], Link], str]:
    if first.startswith(">>>"):
        return lambda lines, link: fenced("\n".join(lines), "pycon")
    if first.startswith(" "):
        return lambda lines, link: equation(lines, typeset)
    return _section if HEAD.match(first) else lambda lines, link: prose(" ".join(lines), link)


def _has_columns(lines: list[str]) -> bool:
    """Whether the lines of a paragraph, but for those that go on, are in columns; two at least."""
    rows = [line for line in lines if not line.startswith(" ")]
    plain = not lines[0].startswith((" ", ">>>")) and not HEAD.match(lines[0])
    return plain and len(rows) > 1 and all(map(COLUMNS.search, rows))


def _columns(lines: list[str], link: Link) -> str:
    """Names and what they are, in two columns or twice two, as a list; a line that is indented goes on."""
    pairs: list[list[str]] = []
    for line in lines:
        cells = re.split(r" {3,}", line.strip())
        if line.startswith(" ") and pairs:
            pairs[-1][1] += f" {line.strip()}"
        else:
            pairs += [[name, " ".join(words)] for name, *words in (cells[i : i + 2] for i in range(0, len(cells), 2))]
    named = ((f"[`{name}`]({link(name)})" if link(name) else prose(name, link), words) for name, words in pairs)
    return "\n".join(f"- {name}" + f": {prose(words.rstrip(';'), link)}" * bool(words) for name, words in named)


def _section(lines: list[str], link: Link) -> str:
    found = HEAD.match(lines[0])
    assert found is not None
    name, begun = found.groups()
    if name not in ("Args", "Attributes"):
        return f"**{name}:** {prose(' '.join([begun, *lines[1:]]), link)}"
    return f"**{name}:** {prose(begun, link)}\n\n{_arguments(lines[1:], link)}".strip()


def _arguments(lines: list[str], link: Link) -> str:
    """The arguments as a list; lines that are indented further than the text of one keep their form."""
    lines = textwrap.dedent("\n".join(lines)).splitlines()
    items: list[list[str]] = []
    for line in lines:
        if line.startswith(" ") and items:
            items[-1].append(line)
        elif items and not ARGUMENT.match(line) and not ARGUMENT.match(f"{items[-1][0]} {line}"):
            items[-1].append(f"    {line}")
        elif items and not ARGUMENT.match(items[-1][0]):
            items[-1][0] += f" {line}"
        else:
            items.append([line])
    return "\n".join(_argument(item, link) for item in items)


def _argument(lines: list[str], link: Link) -> str:
    found = ARGUMENT.match(lines[0])
    names, begun = found.groups() if found else ("", lines[0])
    deep = [i for i, line in enumerate(lines) if i and len(line) - len(line.lstrip()) > 4]
    if deep:
        last = max(deep) + 1
        table, rest = lines[min(deep) : last], " ".join(lines[last:])
        block = textwrap.indent(fenced(textwrap.dedent("\n".join(table)), "text"), "  ")
        tail = f"\n\n  {prose(rest, link)}" if rest.strip() else ""
        text = f"{prose(' '.join([begun, *lines[1 : min(deep)]]), link)}\n\n{block}{tail}\n"
    else:
        text = prose(" ".join([begun, *lines[1:]]), link)
    listed = ", ".join(f"`{name.strip()}`" for name in names.split(",") if name.strip())
    return f"- {listed}: {text}" if listed else f"- {text}"
