"""A column of cells as numbers or as text: decided by all of its distinct cells."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gdjax.data.readers.cells import EXACT, MISSING, WHITE, Number, mark, number_of

if TYPE_CHECKING:
    import pandas

FEW = 20  # levels
RARE = 0.02  # of the cells of a column of numbers, that may be none without making it a column of text
REGIONS = frozenset(  # ISO 3166, among which NA is Namibia, and continents, among which it is North America
    re.findall(
        "..",
        "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCICKCLCMCNCOCRCUCVCWCXCY"
        "CZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISIT"
        "JEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNCNENFNGNINL"
        "NONPNRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTL"
        "TMTNTOTRTTTVTWTZUAUGUMUSUYUZVAVCVEVGVIVNVUWFWSYEYTZAZMZWANEUOCUKXKEL",
    )
)


@dataclasses.dataclass(frozen=True)
class Options:
    """How cells are read.

    Args:
        decimal: the decimal mark where a column does not prove its own.
        proven: whether that mark was given, or is proven by some column.
        thousands: whether `1.200` in a column with whole numbers below 1,000 may be 1200.
        comma: whether `1,200` is 1.2 where nothing else is known.
        missing: words that are missing values besides the usual ones.
        as_text: names of columns that are not read as numbers.
        numbers: names of columns that must hold numbers.
        lenient: whether a column of numbers with cells that are none is left as text, not refused.
    """

    decimal: str = "."
    given: bool = False
    proven: bool = False
    thousands: bool = False
    comma: bool = False
    missing: frozenset[str] = frozenset()
    as_text: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    lenient: bool = False


class Column(NamedTuple):
    """A column as it was decided.

    Args:
        values: float64, int64 or text.
        problems: (line, what is wrong there).
        proof: the decimal mark that its cells prove, or "".
        decimal: the decimal mark by which its cells were read, or "".
        text: the text of its cells.
    """

    values: Any
    notes: tuple[str, ...] = ()
    problems: tuple[tuple[int, str], ...] = ()
    proof: str = ""
    decimal: str = ""
    text: Any = None


class Levels:
    """The distinct cells of a column, how often each occurs, and what each says as a number."""

    name: str
    texts: list[str]
    codes: np.ndarray
    counts: np.ndarray
    numbers: list[Number | None]
    missing: np.ndarray
    options: Options
    cells: Any
    is_number: np.ndarray

    def __init__(self, name: str, cells: pandas.Series, options: Options):
        import pandas

        self.name, self.options = name, options
        self.cells = cells.str.strip(WHITE)
        self.codes, texts = pandas.factorize(self.cells.fillna(""))
        self.texts = [str(each) for each in texts]
        self.counts = np.bincount(self.codes, minlength=len(self.texts))
        self.numbers = [number_of(each) for each in self.texts]
        self.missing = np.array([self._is_missing(*each) for each in zip(self.texts, self.numbers, strict=True)], bool)
        self.is_number = np.array([each is not None for each in self.numbers], bool) & ~self.missing

    def _is_missing(self, text: str, number: Number | None) -> bool:
        if text in MISSING or text in self.options.missing:
            return True
        return number is not None and any(_same(number, word, self.options.decimal) for word in self.options.missing)

    def under(self, options: Options) -> Levels:
        """The same levels, read with other options for the decimal mark."""
        found = copy.copy(self)
        found.options = options
        return found

    def rows(self, chosen: np.ndarray) -> int:
        """The number of rows whose cells are among the chosen levels."""
        return int(self.counts[chosen].sum())

    def shown(self, chosen: np.ndarray) -> str:
        """Some of the chosen levels, for notes: "'NA' and '?'"."""
        texts = [repr(self.texts[int(i)]) for i in np.flatnonzero(chosen)[:3] if self.texts[i]]
        return " and ".join(texts)


def _same(number: Number, word: str, decimal: str) -> bool:
    other = number_of(word)
    return other is not None and other.value(".") == number.value(decimal)


def decide(name: str, cells: pandas.Series, options: Options, lines: np.ndarray | None = None) -> Column:
    """A column of text as numbers, or as the text that it is.

    Args:
        lines: the number of the line of each row.
    """
    return decided(Levels(name, cells, options), lines)


def decided(levels: Levels, lines: np.ndarray | None = None) -> Column:
    """As `decide`, for levels that are known."""
    name, options = levels.name, levels.options
    if name in options.as_text or not (levels.is_number.any() or name in options.numbers):
        return _as_text(levels)
    decimal, proof, why = _decimal(levels)
    values = [
        number.value(decimal) if number is not None and fits else None
        for number, fits in zip(levels.numbers, levels.is_number, strict=True)
    ]
    bad = np.array([value is None for value in values], bool) & ~levels.missing
    reason = None if name in options.numbers else _reason_for_text(levels, values, bad)
    if reason is not None:
        text = _as_text(levels)
        return text._replace(notes=(*text.notes, reason))
    if bad.any():
        return _spoiled(levels, bad, lines)._replace(proof=proof, decimal=decimal)
    notes = (*_notes_of_missing(levels), *why, *_notes_of_numbers(levels))
    text = levels.cells.mask(levels.missing[levels.codes])
    return Column(_numbers(levels, values), notes, (), proof, decimal, text)


# Which decimal mark.


def _decimal(levels: Levels) -> tuple[str, str, tuple[str, ...]]:
    """(the mark under which the cells are read, the mark that they prove, notes)."""
    if levels.options.given:
        return levels.options.decimal, "", ()
    shown = {"": 0, ".": 0, ",": 0, "?": 0}
    for number, fits, count in zip(levels.numbers, levels.is_number, levels.counts, strict=True):
        if fits and number is not None:
            shown[number.proof] += int(count)
    if shown["."] or shown[","]:
        proof = "." if shown["."] >= shown[","] else ","
        notes = ("the decimal mark is a comma",) if proof == "," else ()
        if proof != levels.options.decimal and levels.options.proven:
            notes = (f"column {levels.name!r}: its decimal mark is {proof!r}, unlike that of others",)
        return proof, proof, notes + _grouping(levels, proof)
    if not shown["?"]:
        return levels.options.decimal, "", ()
    return _ambiguous(levels)


def _grouping(levels: Levels, decimal: str) -> tuple[str, ...]:
    other = "," if decimal == "." else "."
    grouped = (
        np.array([number is not None and other in number.digits for number in levels.numbers], bool) & levels.is_number
    )
    if not grouped.any():
        return ()
    return (f"column {levels.name!r}: {other!r} separates thousands, as in {levels.shown(grouped)}",)


def _ambiguous(levels: Levels) -> tuple[str, str, tuple[str, ...]]:
    """Cells such as `1.200` and no others show a mark: what the other cells, the other columns and the delimiter say."""
    unclear = [
        number
        for number, fits in zip(levels.numbers, levels.is_number, strict=True)
        if fits and number is not None and number.proof == "?"
    ]
    example, found = unclear[0], mark(unclear[0])
    other = "," if found == "." else "."
    decimal, because = levels.options.decimal, "as in other columns" if levels.options.proven else "as is usual"
    if any(number.unit not in ("", "%") for number in unclear):
        decimal, because = other, "as it is an amount of money"
    elif not levels.options.proven and levels.options.thousands and _fill_up(levels, unclear):
        decimal, because = other, "as whole numbers below 1000 stand beside it"
    elif not levels.options.proven and levels.options.comma and found == ",":
        decimal, because = ",", "as is usual beside ';'"
    if decimal == found == "." and (levels.options.proven or not levels.options.thousands):
        return decimal, "", ()
    value, turned = example.value(decimal), example.value("," if decimal == "." else ".")
    note = (
        f"column {levels.name!r}: {example.digits!r} is read as {value}, {because}; "
        f"the option decimal {'.' if decimal == ',' else ','!r} reads it as {turned}"
    )
    return decimal, "", (note,)


def _fill_up(levels: Levels, unclear: Sequence[Number]) -> bool:
    """Whether 950 stands beside `1.200`: decimals would be written 950.000, or else 1.2."""
    wholes = [int(each.digits) for each in levels.numbers if each is not None and each.digits.isdecimal()]
    return bool(wholes) and max(wholes) < 1000 and any(each.digits.endswith("0") for each in unclear)


# Numbers or text.


def _reason_for_text(levels: Levels, values: Sequence[int | float | None], bad: np.ndarray) -> str | None:
    """Why a column with numbers stays text, as a note; None if it is one of numbers."""
    name, fine = levels.name, levels.is_number & ~bad
    numbers = [number for number, each in zip(levels.numbers, fine, strict=True) if each and number is not None]
    codes = np.array([number is not None and number.is_code for number in levels.numbers], bool) & fine
    if codes.any() and all(number.digits.isdecimal() and not number.sign for number in numbers):
        return f"column {name!r} stays text, since its codes begin with zeros, such as {levels.shown(codes)}"
    large = np.array([isinstance(value, int) and abs(value) > EXACT for value in values], bool)
    if large.any() and all(isinstance(value, int) for value, each in zip(values, fine, strict=True) if each):
        return f"column {name!r} stays text, since no float holds {levels.shown(large)}"
    units = {number.unit for number in numbers if number.digits.strip("0.,")}
    if len(units - {""}) > 1 or {"%", ""} <= units:
        shown = ", ".join(unit or "none" for unit in sorted(units))
        return f"column {name!r} stays text, since its units differ: {shown}"
    if not bad.any() or _is_spoiled(levels, fine, bad, values):
        return None
    first = levels.texts[int(np.flatnonzero(bad)[0])]
    count, of = levels.rows(bad), levels.rows(bad | fine)
    return f"column {name!r} stays text, since {count:,} of {of:,} cells are no numbers, such as {first!r}"


def _is_spoiled(levels: Levels, fine: np.ndarray, bad: np.ndarray, values: Sequence[int | float | None]) -> bool:
    """Whether it is a column of numbers with a few cells that are none, not one of levels such as 1, 2, 3+."""
    good, wrong = levels.rows(fine), levels.rows(bad)
    total = good + wrong
    if good < 4 or levels.options.lenient:
        return False
    few_words = int(bad.sum()) <= 3 and wrong < good and total >= 20
    if wrong > max(1, RARE * total) and not few_words:
        return False
    whole = all(isinstance(value, int) for value, each in zip(values, fine, strict=True) if each)
    are_levels = whole and int(fine.sum()) <= FEW and good >= 5 * int(fine.sum())
    return not (are_levels and levels.counts[bad].min() >= max(2, 0.005 * total))


def _spoiled(levels: Levels, bad: np.ndarray, lines: np.ndarray | None) -> Column:
    """A column of numbers with cells that are none; a cell that stands in more than three rows is named once."""
    problems = []
    for level in np.flatnonzero(bad):
        rows, cell = np.flatnonzero(levels.codes == level), levels.texts[int(level)]
        hint = f" ({len(rows)} such cells; the option missing takes them as missing)" if len(rows) > 3 else ""
        for row in rows[:1] if hint else rows:
            line = int(row + 1 if lines is None else lines[row])
            where = f"{'row' if lines is None else 'line'} {line}, column {levels.name!r}"
            problems.append((line, f"{where}: {cell!r} is no number{hint}"))
    return Column(levels.cells, (), tuple(problems))


def _numbers(levels: Levels, values: Sequence[int | float | None]) -> np.ndarray:
    whole = all(isinstance(value, int) for value in values)
    table = np.array([np.nan if value is None else value for value in values], np.int64 if whole else np.float64)
    return table[levels.codes]


def _notes_of_missing(levels: Levels) -> tuple[str, ...]:
    shown = levels.missing & np.array([bool(text) for text in levels.texts], bool)
    return (f"missing values are written {levels.shown(shown)}",) if shown.any() else ()


def _notes_of_numbers(levels: Levels) -> tuple[str, ...]:
    name, numbers = levels.name, [each for each in levels.numbers if each is not None]
    units = {number.unit for number in numbers} - {""}
    cells = [text for text, fits in zip(levels.texts, levels.is_number, strict=True) if fits]
    notes = []
    if units:
        example = next(text for text, each in zip(levels.texts, levels.numbers, strict=True) if each and each.unit)
        notes.append(f"column {name!r}: {min(units)!r} is taken off, as in {example!r}")
    if any("(" in text for text in cells):
        notes.append(f"column {name!r}: numbers in parentheses are negative")
    return tuple(notes)


# Text.


def _as_text(levels: Levels) -> Column:
    """The text of the cells; words such as NA are missing unless they are levels."""
    kept, notes = set(), list[str]()
    words = {text for text, missing in zip(levels.texts, levels.missing, strict=True) if missing and text}
    rest = {text for text, missing in zip(levels.texts, levels.missing, strict=True) if not missing}
    given = words & levels.options.missing
    for word in sorted(words - given):
        reason = "asked for" if levels.name in levels.options.as_text else _is_level(word, rest)
        if reason:
            kept.add(word)
            notes.append(f"column {levels.name!r}: {word!r} is kept as a level, {reason}")
        else:
            notes.append(f"column {levels.name!r}: {word!r} is taken as missing")
    gone = np.array([not text or (text in words and text not in kept) for text in levels.texts], bool)
    if not rest and not kept:
        return Column(np.full(len(levels.codes), np.nan), tuple(notes))
    values = levels.cells.mask(gone[levels.codes])
    return Column(values, (*notes, *_notes_of_case(levels.name, rest)), text=values)


def _notes_of_case(name: str, levels: set[str]) -> list[str]:
    folded: dict[str, list[str]] = {}
    for text in levels if len(levels) <= 1000 else ():
        folded.setdefault(text.casefold(), []).append(text)
    spellings = [", ".join(map(repr, sorted(each))) for each in folded.values() if len(each) > 1]
    return [f"column {name!r}: {each} differ in case only" for each in sorted(spellings)]


def _is_level(word: str, rest: set[str]) -> str:
    """Why a word that usually stands for a missing value is a level of its own; "" if it is missing."""
    if word in ("None", "none", "NONE", "unknown", "Unknown", "UNKNOWN"):
        return "as one of several words" if rest else ""
    if word == "NA" and len(rest) >= 2 and rest <= REGIONS:
        return "since all are codes of countries or continents"
    if word == "-" and "+" in rest:
        return "beside '+'"
    return ""
