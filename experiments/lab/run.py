"""One run of an experiment: what it prints, what it keeps in its record, and how it ends.

    @dataclasses.dataclass(frozen=True)
    class Numbers:
        rate: float = 0.1
        \"\"\"The learning rate.\"\"\"

    with Lab(__doc__, Numbers()) as lab:
        steps = search(lab.numbers.rate)
        lab.table(("method", "steps", "lecture"), rows)
        lab.claim("the fixed-step search takes 1450 steps", steps == 1450)
        lab.statement("Lecture 1", "both searches need 1450 steps", ours=f"{steps:,}", verdict="right", holds=steps == 1450)
        lab.save(picture, "find_the_minimum.png", "Equal steps end at once, the gradient's shrink.")

A claim that fails is printed as FAILED, as is a statement whose verdict is not the promised one, and the experiment exits
with 1. With other numbers than the defaults it is printed as "not here", and the exit code is 0, for claims are promises
about the defaults. By default an experiment takes at most a minute on one core; what needs more is done where
`lab.full` holds, which `--full` sets.
"""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import jax
from matplotlib.figure import Figure

from gdjax.cli.errors import one_line
from gdjax.files import replacing
from gdjax.plots import save
from gdjax.text import table

from . import record
from .options import describe, option_words, read_options

N = TypeVar("N")

_NUMBER = re.compile(r"-?[\d,]*\.?\d*(e[-+]?\d+)?|-?inf|nan")


class Lab(Generic[N]):
    """One run of an experiment. It computes in float64, so that claims concern the method and not its rounding.

    Args:
        doc: the docstring of the experiment, which names its command.
        numbers: an instance of a dataclass with the numbers that a reader may change; each is an option.

    Raises: SystemExit with 2, after one line on stderr, for a command line that does not fit.
    """

    def __init__(self, doc: str | None, numbers: N = None) -> None:
        self.doc, self.name = doc or "", record.name_in(doc or "") or Path(sys.argv[0]).stem
        try:
            self.out, self.full, self.numbers = read_options(self.name, doc, numbers, sys.argv[1:])
            record.prepare(self.out)
        except ValueError as error:
            self._end(2, one_line(error))
        self.changed = option_words(numbers, self.numbers)
        self.described = list(describe(numbers, self.numbers))
        self.tables: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.claims: list[dict[str, Any]] = []
        self.statements: list[dict[str, str]] = []
        self.pictures: list[dict[str, str]] = []
        self.began = time.perf_counter(), time.process_time()

    def __enter__(self) -> Lab[N]:
        jax.config.update("jax_enable_x64", True)
        record.remove(self.out, self.name)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, KeyboardInterrupt):
            self._end(130, "interrupted")
        if isinstance(error, Exception):
            self._write("error", "".join(traceback.format_exception_only(error)).strip())
            if self.changed and isinstance(error, ValueError | ArithmeticError | IndexError):
                self._end(2, f"not with {self.changed}: {one_line(error)}")
            if isinstance(error, ImportError):  # of an extra
                self._end(1, one_line(error))
        if error is not None:
            return
        failed = len(record.failures({"claims": self.claims, "statements": self.statements}))
        status = "held" if not failed else "not here" if self.changed else "failed"
        self._write(status)
        said = f"{failed} {'not here' if self.changed else 'FAILED'}" if failed else "all held"
        with_numbers = f" with {self.changed}; claims are promises about the defaults" if self.changed else ""
        print(f"\n{time.perf_counter() - self.began[0]:.1f} s; {said}{with_numbers}")
        sys.exit(1 if status == "failed" else 0)

    def table(self, head: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
        """Print a table with aligned columns, numbers to the right, under its title if it has one."""
        cells = [[_format(value) for value in row] for row in rows]
        right = [all(map(_NUMBER.fullmatch, column)) for column in zip(*cells, strict=True)] or [False] * len(head)
        if title:
            print(f"  {title}\n")
        rules = ["-" * max(map(len, column)) for column in zip(head, *cells, strict=True)]
        text = table([head, rules, *cells], [i for i, number in enumerate(right) if number])
        print(textwrap.indent(text, "  ") + "\n")
        self.tables.append({"title": title, "head": list(head), "rows": cells, "right": right})

    def say(self, text: str) -> None:
        """Print something that is no table."""
        print(f"{text}\n")
        self.notes.append(text)

    def claim(self, words: str, holds: Any) -> None:
        """Print a claim of the experiment, and whether it holds."""
        verdict = "holds" if holds else "not here" if self.changed else "FAILED"
        print(f"  {verdict:{8 if self.changed else 6}}  {words}")
        self.claims.append({"words": words, "holds": bool(holds), "verdict": verdict})

    def statement(self, where: str, says: str, ours: str, verdict: str, holds: Any = None, partly: Any = None) -> None:
        """Print what a lecture says, what is found here, and the verdict, which follows from what is computed.

        What holds as it is said is right; else it is imprecise if that which is true of it holds, and wrong otherwise. Where
        this is not the verdict promised, the statement fails as a claim does.

        Args:
            where: which lecture, and where in it.
            says: in our own words.
            ours: our figure or finding, in one phrase, whose numbers are computed.
            verdict: the one promised: right, imprecise or wrong; or why there is none: definition, illustration for numbers
                that cannot be computed again, not judged for what no program can judge.
            holds: whether what it says is true here, computed; needed unless there is no verdict.
            partly: whether that which is true of an imprecise one is, computed.
        """
        judged = verdict in record.JUDGED
        if not judged and verdict not in record.UNJUDGED:
            raise ValueError(f"verdict must be one of {', '.join(record.JUDGED + record.UNJUDGED)}, got {verdict!r}")
        if judged == (holds is None) or (verdict == "imprecise") == (partly is None):
            raise ValueError(f"{verdict}: right and wrong need holds, imprecise needs partly too, another word neither")
        found = ("right" if holds else "imprecise" if partly else "wrong") if judged else verdict
        if found == verdict:
            said = found
        else:
            said = "not here" if self.changed else f"FAILED: {found}, not {verdict}"
            found = said if self.changed else found
        print(f"  {where}: {says}\n    here: {ours} ({said})")
        self.statements.append({"where": where, "says": says, "ours": ours, "verdict": found, "promised": verdict})

    def save(self, picture: Figure | Callable[[Path], Any], name: str, caption: str = "") -> None:
        """Write a picture into the folder, whole or not at all.

        Args:
            picture: a figure, or a function that writes the file of a given path, as `lambda path: animate(..., path)`.
            name: of its file, which ends in .png or .gif.
            caption: the one message of this picture; a figure's title if not given.
        """
        path = self.out / name
        if isinstance(picture, Figure):
            save(picture, path)
            caption = caption or " ".join(picture.get_suptitle().split())
        else:
            with replacing(path) as draft:
                written = draft.with_suffix(path.suffix)  # who writes it looks at the ending
                try:
                    picture(written)
                    shutil.move(written, draft)
                finally:
                    written.unlink(missing_ok=True)
        print(f"  picture {path}")
        self.pictures.append({"file": name, "caption": caption})

    def _write(self, status: str, error: str = "") -> None:
        """Write the record of this run, whole."""
        seconds, cpu = (round(now - then, 2) for now, then in zip(record.clocks(), self.began, strict=True))
        kept = {
            "doc": self.doc,
            "command": record.command_of(self.name, self.changed, self.full),
            "numbers": self.described,
            "changed": self.changed,
            "full": self.full,
            "status": status,
            "exit": 0 if status in ("held", "not here") else 1,
            "error": error,
            "statements": self.statements,
            "tables": self.tables,
            "notes": self.notes,
            "claims": self.claims,
            "pictures": self.pictures,
            "seconds": seconds,
            "cpu_seconds": cpu,
        }
        record.write(self.out, self.name, kept)

    def _end(self, code: int, words: str) -> None:
        print(f"{self.name}: {words}", file=sys.stderr)
        sys.exit(code)


def _format(value: Any) -> str:
    if isinstance(value, str) or value is None:
        return value or ""
    number = float(value)
    return f"{int(number):,}" if number.is_integer() and abs(number) < 1e15 else f"{number:.4g}"
