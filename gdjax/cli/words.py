"""The words of a command line, in which a leading minus may be the sign of an expression: "-exp(-x^2)" is no option."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import tyro

from gdjax.cli.errors import UserError
from gdjax.text import short

MARK = "\ufeff"  # put before a word that begins with a minus and is no option
OPTION = re.compile(r"-h|--[A-Za-z][\w-]*(=.*)?", re.DOTALL)
NUMBER = re.compile(r"-(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|-inf|-nan")

SWITCHES = {"--header": "True", "--no-header": "False"}  # of an option that may be left open

MOST = {"seed": 2**63, "split_seed": 2**63}  # whole numbers are below 2**31 in size, but for these

T = TypeVar("T")


def mark(words: Sequence[str]) -> list[str]:
    """The words, with a mark before each that begins with a minus and is neither an option nor a number.

    What comes after the name of an experiment, as in `gdjax lab step_size --full`, are its own options, and marked.
    """

    def is_text(word: str) -> bool:
        return word.startswith("-") and word != "--" and not OPTION.fullmatch(word) and not NUMBER.fullmatch(word)

    if words[:1] == ["lab"] and words[1:2] and not words[1].startswith("-"):
        return [MARK + word if word.startswith("-") else word for word in words]
    return [MARK + word if is_text(word) else word for word in _switched(words)]


def _switched(words: Sequence[str]) -> Iterator[str]:
    """The words, --no-header as --header False."""
    for word, after in itertools.zip_longest(words, words[1:]):
        if word in SWITCHES and after not in SWITCHES.values():
            yield from ("--header", SWITCHES[word])
        else:
            yield word


def unmark(command: T) -> T:
    """The command with the marks removed.   Raises: UserError for a whole number that is too large for a counter."""

    def unmark_value(value):
        if isinstance(value, str):
            return value.removeprefix(MARK)
        if isinstance(value, Path):
            return Path(str(value).removeprefix(MARK))
        return tuple(map(unmark_value, value)) if isinstance(value, tuple) else value

    fields = {field.name: unmark_value(getattr(command, field.name)) for field in dataclasses.fields(command)}  # type: ignore[arg-type]
    for name, value in fields.items():
        _check_size(name, value)
    return dataclasses.replace(command, **fields)  # type: ignore[type-var]


def parse_words(kind: type[T], words: Sequence[str]) -> T:
    """The command of this kind with these words.   Raises: UserError if they do not fit it."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            return unmark(tyro.cli(kind, args=mark(words)))
    except SystemExit:
        raise UserError(
            f"these are no options of `gdjax {kind.__name__.lower()}`: {short(shlex.join(words), 200)}"
        ) from None


def parse_command(kind: type[T], command: str) -> T:
    """The command of this kind that a run folder notes.   Raises: UserError if it is of another kind."""
    name = kind.__name__.lower()
    try:
        words = shlex.split(command)
    except ValueError:  # a quotation that does not end
        words = []
    if words[:2] != ["gdjax", name]:
        raise UserError(f"the config.json of a run must hold its command, gdjax {name} ..., got {short(command)!r}")
    return parse_words(kind, words[2:])


def _check_size(name: str, value: object) -> None:
    most = MOST.get(name, 2**31)
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, int) and abs(number) >= most:
            power = most.bit_length() - 1
            raise UserError(f"--{name.replace('_', '-')} must be below 2^{power}, got {short(str(number), 30)}")
