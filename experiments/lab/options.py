"""The command line of an experiment: --out, --full, and an option for each of its numbers."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import io
import itertools
import math
import shlex
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from gdjax.cli.laboratory import Everything
from gdjax.text import did_you_mean

from . import record

N = TypeVar("N")
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class NoNumbers:
    """Of an experiment without any."""


def read_options(name: str, doc: str | None, numbers: N, words: Sequence[str]) -> tuple[Path, bool, N]:
    """The folder for the pictures, whether all is to be run, and the numbers, from a command line.

    Raises: ValueError in one line if the words do not fit; SystemExit after the help was printed.
    """
    default = NoNumbers() if numbers is None else numbers
    kind: type[Any] = type(default)

    @dataclasses.dataclass(frozen=True)
    class Options(kind):
        out: Path = Everything.out  # that of a run of all
        """The folder for its pictures and its record."""
        full: bool = False
        """All runs, however long they take."""

    given = read(Options(**_values(default)), f"{record.COMMAND}{name}", doc, words)
    changed = {field: getattr(given, field) for field in _values(default)}
    _check_finite(changed)
    return given.out, given.full, numbers if numbers is None else kind(**changed)


def read(default: T, command: str, doc: str | None, words: Sequence[str]) -> T:
    """A dataclass from the words of a command line.   Raises: as `read_options`."""
    known = ["--help", *(_option(field.name) for field in dataclasses.fields(default))]  # type: ignore[arg-type]
    for word in words:
        if word.startswith("--") and (given := word.split("=")[0].replace("_", "-")) not in known:
            raise ValueError(f"no option {given}: {did_you_mean(given, known)}")
    said = io.StringIO()
    flags = (tyro.conf.FlagCreatePairsOff,)
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(type(default), prog=command, description=doc, args=words, default=default, config=flags)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ValueError(_first_sentence(said.getvalue())) from None


def option_words(defaults: Any, numbers: Any) -> str:
    """The options that make these numbers of the defaults: "--rate 0.3 --start -4"."""
    if numbers is None:
        return ""
    changed = [(name, value) for name, value in _values(numbers).items() if value != getattr(defaults, name)]
    return " ".join(_spell(_option(name), value) for name, value in changed)


def describe(defaults: Any, numbers: Any) -> Iterator[dict[str, Any]]:
    """Name, option, default, value and help of each number."""
    helps = {} if defaults is None else helps_of(type(defaults))
    for name, value in ({} if defaults is None else _values(numbers)).items():
        default = getattr(defaults, name)
        about = {"name": name, "option": _option(name), "default": default, "value": value}
        yield {**about, "help": helps.get(name, "")}


def helps_of(kind: type) -> dict[str, str]:
    """The strings below the fields of a dataclass, as its source has them."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body  # type: ignore[attr-defined]
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }


def _values(numbers: Any) -> dict[str, Any]:
    return {field.name: getattr(numbers, field.name) for field in dataclasses.fields(numbers)}


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _spell(option: str, value: Any) -> str:
    if isinstance(value, bool):
        return option
    values = value if isinstance(value, tuple) else (value,)
    return shlex.join(
        [option, *(f"{v:g}" if isinstance(v, float) and float(f"{v:g}") == v else str(v) for v in values)]
    )


def _check_finite(values: dict[str, Any]) -> None:
    for name, value in values.items():
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, float) and not math.isfinite(number):
                raise ValueError(f"{_option(name)} must be a number, got {number}")
            if isinstance(number, int) and abs(number) >= 1 << 31:
                raise ValueError(f"{_option(name)} must be below 2^31, got {number}")


def _first_sentence(box: str) -> str:
    """What a boxed message says before its first rule."""
    lines = [line.strip(" │╭╮╰╯─") for line in box.splitlines()[1:]]
    ends = next((i for i, line in enumerate(lines) if not line), len(lines))
    return " ".join(lines[:ends]) + " (see --help)"
