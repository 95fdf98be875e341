"""The code blocks of a page: Python is run, and what it prints is held against the page.

    ```python    run, block after block, in one namespace for a page
    ```text      right after one: what it prints; ... stands for what differs from machine to machine, such as seconds
    ```sh        commands, which are parsed and not run
    ```py        code of another library, which is not run

`python -m experiments.book.blocks PAGE ...` runs the pages and writes what their blocks print into them.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """One fenced block."""

    language: str
    text: str
    start: int  # of its text in the page
    end: int
    line: int  # lines of the page before its text


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page, in order."""
    return [Block(m[1], m[2], m.start(2), m.end(2), page.count("\n", 0, m.start(2))) for m in BLOCK.finditer(page)]


def run(path: Path) -> Iterator[tuple[Block, str, Block | None]]:
    """Run the Python of a page: each block, what it printed, and the ```text block right after it, if there is one."""
    page, names = path.read_text(), {"__name__": "__main__"}
    found = blocks(page)
    for block, after in zip(found, [*found[1:], None], strict=False):
        if block.language == "python":
            said = io.StringIO()
            with contextlib.redirect_stdout(said):
                exec(compile("\n" * block.line + block.text, str(path), "exec"), names)
            told = (
                after
                if after and after.language == "text" and not page[block.end + 4 : after.start - 8].strip()
                else None
            )
            yield block, said.getvalue(), told


def prints(said: str, told: str) -> bool:
    """Whether this was printed, where ... stands for anything within a line.

    >>> prints("3 epochs, 0.12 s\\n", "3 epochs, ... s\\n"), prints("4 epochs, 0.12 s\\n", "3 epochs, ... s\\n")
    (True, False)
    """
    pattern = "\n".join(".*".join(map(re.escape, line.rstrip().split("..."))) for line in told.splitlines())
    return re.fullmatch(pattern, "\n".join(line.rstrip() for line in said.splitlines())) is not None


def commands(page: str) -> list[list[str]]:
    """The words of each `gdjax ...` line in the ```sh blocks of a page."""
    text = "".join(block.text for block in blocks(page) if block.language == "sh").replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in text.splitlines()]
    return [words[1:] for words in lines if words[:1] == ["gdjax"]]


def refresh(path: Path) -> None:
    """Write what the blocks of a page print into it, where the page says something else."""
    page, changes = path.read_text(), []
    for _, said, told in run(path):
        if told and not prints(said, told.text):
            changes.append((told, said))
    for told, said in reversed(changes):
        page = page[: told.start] + said + page[told.end :]
    path.write_text(page)


if __name__ == "__main__":
    for path in [Path(name).resolve() for name in sys.argv[1:]]:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            refresh(path)
        print(os.path.relpath(path))
