"""Laws, their violations, and the run of a list of laws on one object."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

_LINES = 12  # number of lines shown of an assertion's message


class LawBroken(AssertionError):
    """A law that does not hold for an object.

    law: its name.
    sentence: what must hold.
    case: the smallest case found in which it does not, in words.
    """

    subject: str
    law: str
    sentence: str
    case: str
    found: str

    def __init__(self, subject: str, law: str, sentence: str, case: str, found: str):
        self.subject, self.law, self.sentence, self.case, self.found = subject, law, sentence, case, found
        super().__init__(f"{subject} breaks the law '{law}': {sentence}\n  smallest case: {case}\n  found: {found}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.subject, self.law, self.sentence, self.case, self.found)


class Needs(Exception):
    """Raised by a law that cannot be tested on this object; the message says what it needs."""


@dataclasses.dataclass(frozen=True)
class Law:
    """A named statement about one kind of object, and the function that raises if it does not hold."""

    name: str
    sentence: str
    check: Callable[[Any], None]


class Laws(dict[str, Law]):
    """The laws of one kind of object by name, in the order of testing."""

    def law(self, name: str, sentence: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
        """Register the decorated function, which takes the object under test and raises if the law does not hold."""

        def enter(check: Callable[[Any], None]) -> Callable[[Any], None]:
            self[name] = Law(name, sentence, check)
            return check

        return enter

    def pick(self, only: Collection[str] | None, exceptions: Mapping[str, str]) -> list[Law]:
        """The laws to test. Raises: ValueError for a name that is no law."""
        unknown = {*(only or ()), *exceptions} - set(self)
        if unknown:
            raise ValueError(f"there is no law named {', '.join(sorted(unknown))}; the laws are {', '.join(self)}")
        return [law for law in self.values() if only is None or law.name in only]


@dataclasses.dataclass
class Report:
    """The outcome of each law; true if none is broken. It prints as a line for each law."""

    subject: str
    held: list[str] = dataclasses.field(default_factory=list)
    broken: dict[str, LawBroken] = dataclasses.field(default_factory=dict)
    excepted: dict[str, str] = dataclasses.field(default_factory=dict)  # law -> the reason given
    not_asked: dict[str, str] = dataclasses.field(default_factory=dict)  # law -> what it would need

    def __bool__(self) -> bool:
        return not self.broken

    def __str__(self) -> str:
        lines = [f"{self.subject}: {len(self.held)} laws hold, {len(self.broken)} are broken"]
        lines += [
            f"  broken     {name}: {error.sentence}\n             {error.case}" for name, error in self.broken.items()
        ]
        lines += [f"  excepted   {name}: {reason}" for name, reason in self.excepted.items()]
        lines += [f"  not asked  {name}: it needs {what}" for name, what in self.not_asked.items()]
        return "\n".join(lines)


def run(
    laws: list[Law],
    subject: str,
    cases: Callable[[], Iterator[tuple[str, Any]]],
    exceptions: Mapping[str, str],
    all: bool,
) -> Report:
    """Test each law on the last case and, if it is broken there, on the smaller cases too.

    Args:
        cases: yields (the case in words, the object under test in that case), the smallest first.
        exceptions: law -> the reason why it need not hold; an exception for a law that holds is an error.
        all: collect all broken laws in the report instead of raising the first.

    Raises: LawBroken.
    """
    report = Report(subject)
    *smaller, (words, whole) = cases()
    for law in laws:
        try:
            error = _violation(law, whole)
        except Needs as needs:
            report.not_asked[law.name] = str(needs)
            continue
        if law.name in exceptions and error is not None:
            report.excepted[law.name] = exceptions[law.name]
            continue
        if law.name in exceptions:
            case, found = words, f"it holds: the exception ({exceptions[law.name]}) is no longer needed"
        elif error is None:
            report.held.append(law.name)
            continue
        else:
            case, error = _smallest(law, smaller, (words, error))
            case, found = _describe(case, error)
        broken = LawBroken(subject, law.name, law.sentence, case, found)
        if not all:
            raise broken from error
        report.broken[law.name] = broken
    return report


def _violation(law: Law, trial: Any) -> Exception | None:
    try:
        law.check(trial)
    except Needs:
        raise
    except Exception as error:  # an error breaks the law too
        return error
    return None


def _smallest(law: Law, smaller: list[tuple[str, Any]], last: tuple[str, Exception]) -> tuple[str, Exception]:
    for words, trial in smaller:
        try:
            error = _violation(law, trial)
        except Needs:
            continue
        if error is not None:
            return words, error
    return last


class Case(AssertionError):
    """Raised by a law with its own cases: the case in words, and the error found there."""

    def __init__(self, case: str, found: Any):
        super().__init__(f"{case}: {found}")
        self.case: str = case
        self.found: Any = found


def _describe(case: str, error: Exception) -> tuple[str, str]:
    found: Any = error
    if isinstance(error, Case):
        case, found = error.case, error.found
    kind = "" if isinstance(found, (AssertionError, str)) else f"{type(found).__name__}: "
    lines = [line for line in str(found).splitlines() if line.strip()]
    more = [f"... {len(lines) - _LINES} lines more"] if len(lines) > _LINES else []
    return case, kind + "\n         ".join([*lines[:_LINES], *more])
