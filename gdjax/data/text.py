"""Texts to learn a language from: a file or a text of the catalogue, as numbers of a vocabulary, and its two shares.

    corpus = read_corpus("novel.txt")            its characters; unit="bytes" for its bytes
    corpus = read_corpus("python-docs")          a text that comes with Python

The last share of a text is for validation. A window is `context` units and the one after each, and is named by the position
where it starts: windows are never copied out of the text.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gdjax.calls import check_interval
from gdjax.data.errors import DataError, nearest
from gdjax.domain import classes, within
from gdjax.text import counted, listing

UNITS = ("characters", "bytes")
SHARE = 0.1  # of a text, for validation


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The characters or bytes that a model knows, as numbers from 0.

    Args:
        unit: "characters" or "bytes".
        codes: the code points or bytes, ascending.

    >>> vocabulary = gd.data.Vocabulary("characters", tuple(map(ord, "abr")))
    >>> print(vocabulary.encode("abra"), vocabulary.decode([1, 0, 2]))
    [0 1 2 0] bar
    """

    unit: str
    codes: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.codes)

    def encode(self, text: str) -> np.ndarray:
        """The numbers of a text, (n,) int32.   Raises: ValueError for what the vocabulary lacks."""
        codes = codes_of(text, self.unit)
        if absent := self.absent(codes):
            raise ValueError(f"the text has {absent}, which the vocabulary of {len(self)} {self.unit} lacks")
        return self.numbers(codes).astype(np.int32)

    def numbers(self, codes: np.ndarray) -> np.ndarray:
        """The positions of codes that are all there."""
        return np.searchsorted(np.array(self.codes, codes.dtype), codes)

    def absent(self, codes: np.ndarray) -> str:
        """The codes that are not there, as a phrase; "" if all are."""
        lost = np.setdiff1d(codes, np.array(self.codes, codes.dtype))
        return listing([repr(chr(code)) if self.unit == "characters" else f"0x{code:02x}" for code in lost])

    def decode(self, numbers: Sequence[int] | np.ndarray) -> str:
        """The text of numbers; bytes that are no UTF-8 become the replacement character.

        Raises: ValueError for a number that is outside.
        """
        numbers = np.asarray(numbers, int)
        within("decode", "numbers", numbers, classes(len(self)))
        codes = np.array(self.codes, np.uint32)[numbers]
        if self.unit == "bytes":
            return bytes(codes.astype(np.uint8)).decode("utf-8", "replace")
        return codes.astype("<u4").tobytes().decode("utf-32-le")

    def to_json(self) -> dict[str, Any]:
        """The vocabulary in the types of JSON."""
        return {"unit": self.unit, "codes": list(self.codes)}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Vocabulary:
        """The vocabulary that `to_json` wrote.   Raises: ValueError if it is none."""
        unit, codes = fields["unit"], fields["codes"]
        last = 0xFF if unit == "bytes" else 0x10FFFF
        is_list = isinstance(codes, list) and all(type(code) is int and 0 <= code <= last for code in codes)
        if unit not in UNITS or not is_list or not codes or sorted(set(codes)) != codes:
            raise ValueError(f"a vocabulary must be ascending codes of characters or bytes, got {str(fields)[:60]}")
        return cls(unit, tuple(codes))


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """A text as numbers of the vocabulary of its training share.

    Args:
        name: a short name for titles.
        vocabulary: of the training share.
        tokens: (n,) the numbers of the whole text, of the smallest unsigned dtype that holds them.
        boundary: where the validation share begins.
        sha256: of the text in UTF-8, or of the bytes.
        notes: what was recognized and what was left out, each a phrase.
    """

    name: str
    vocabulary: Vocabulary
    tokens: np.ndarray
    boundary: int
    sha256: str
    notes: tuple[str, ...] = ()

    @property
    def train(self) -> np.ndarray:
        return self.tokens[: self.boundary]

    @property
    def validation(self) -> np.ndarray:
        return self.tokens[self.boundary :]

    def windows(self, context: int) -> Windows:
        """The positions where windows of the two shares start.

        Those of training start at every position, those of validation one after the other, and none reaches over the
        boundary, with the unit that it predicts last.

        Raises: ValueError if a share is too short for one.
        """
        check_interval("windows", "context", context, "[1, inf)")
        for name, share in (("training", self.train), ("validation", self.validation)):
            if len(share) <= context:
                raise ValueError(
                    f"{self.name}: its {name} share must be longer than `context={context}`, got "
                    f"{counted(len(share), self.vocabulary.unit[:-1])}"
                )
        last = np.arange(0, len(self.validation) - context, context, dtype=np.int32)
        return Windows(np.arange(self.boundary - context, dtype=np.int32), last + np.int32(self.boundary))

    def __str__(self) -> str:
        unit = self.vocabulary.unit
        size, kept = f"{len(self.tokens):,} {unit}", f"{len(self.train):,} for training"
        said = f"{size}, {kept}, the last {len(self.validation):,} for validation, {len(self.vocabulary)} different"
        return "\n".join([f"{self.name}: {said}", f"  SHA-256 {self.sha256}", *(f"  - {note}" for note in self.notes)])


class Windows(NamedTuple):
    """Where the windows of the two shares start, int32."""

    train: np.ndarray
    validation: np.ndarray


class Text(NamedTuple):
    """A text before its vocabulary is known: the codes of its units, and where its validation share begins."""

    codes: np.ndarray
    boundary: int
    notes: tuple[str, ...]


def read_corpus(
    source: str | os.PathLike[str], unit: str = "characters", encoding: str | None = None, share: float = SHARE
) -> Corpus:
    """A text from a file, or by its name in `CORPORA`.

    Characters of the validation share that training has not are left out there, since no model can know them.

    Args:
        source: a file (packed by gzip or not; "-" is standard input), or a name.
        unit: "characters" or "bytes".
        encoding: of a file (default: as recognized).
        share: in (0, 1), of the text, its last part, for validation; of a text by name whole sections, as near to it as
            they come.

    Raises: DataError, in one line, for what is no text, or too short.

    >>> with open("abra.txt", "w") as file:
    ...     _ = file.write("abracadabra")
    >>> corpus = gd.data.read_corpus("abra.txt", share=0.3)
    >>> print(corpus.vocabulary.decode(corpus.train), corpus.vocabulary.decode(corpus.validation))
    abracada bra
    """
    check_interval("read_corpus", "share", share, "(0, 1)")
    if unit not in UNITS:
        raise ValueError(f"`unit={unit}`: {nearest(unit, UNITS)}")
    name = os.fspath(source)
    if name in CORPORA:
        if encoding is not None:
            raise ValueError(f"`encoding={encoding}` is of a file, {name} is none")
        return _corpus(name, unit, CORPORA[name](unit, share))
    short = "text" if name == "-" else Path(name).stem
    return _corpus(short, unit, _read_file(name, unit, encoding, share))


def _corpus(name: str, unit: str, text: Text) -> Corpus:
    """The text by the vocabulary of its training share."""
    train, rest = text.codes[: text.boundary], text.codes[text.boundary :]
    vocabulary = Vocabulary(unit, tuple(range(256)) if unit == "bytes" else tuple(np.unique(train).tolist()))
    known = np.isin(rest, vocabulary.codes)
    notes = text.notes
    if not known.all():
        lost = counted(int((~known).sum()), unit[:-1])
        notes += (
            f"{lost} of the validation share that training has not are left out there: {vocabulary.absent(rest)}",
        )
    if not len(train) or not known.any():
        raise DataError(
            f"{name}: a text needs a training and a validation share, got {counted(len(text.codes), unit[:-1])}"
        )
    codes = np.concatenate([train, rest[known]])
    tokens = vocabulary.numbers(codes).astype(np.min_scalar_type(len(vocabulary) - 1))
    whole = text.codes.tobytes() if unit == "bytes" else _decoded(text.codes).encode()
    return Corpus(name, vocabulary, tokens, text.boundary, hashlib.sha256(whole).hexdigest(), notes)


def read_codes(source: str | os.PathLike[str], unit: str = "characters", encoding: str | None = None) -> np.ndarray:
    """The code points or bytes of a text, as `read_corpus` reads it.   Raises: DataError, in one line, for what is no text.

    >>> with open("abra.txt", "w") as file:
    ...     _ = file.write("abra")
    >>> print(gd.data.read_codes("abra.txt"))
    [ 97  98 114  97]
    """
    name = os.fspath(source)
    return (CORPORA[name](unit, SHARE) if name in CORPORA else _read_file(name, unit, encoding, SHARE)).codes


def _read_file(path: str, unit: str, encoding: str | None, share: float) -> Text:
    """The codes of a file. Raises: DataError for what is no text."""
    from gdjax.data.readers.contents import DAMAGE, any_format, contents_of, damaged, text_format
    from gdjax.data.readers.encodings import encoding_of, undecodable

    with contents_of(path, any_format if unit == "bytes" else text_format) as source:
        if source.format != "text":
            raise DataError(f"{path}: no text but an archive or a document: unpack it first")
        try:
            with source.open() as stream:
                content = stream.read()
        except DAMAGE as error:
            raise damaged(source.name, error) from None
        if unit == "bytes":
            if encoding is not None:
                raise ValueError(f"`encoding={encoding}` is of characters, not of `unit=bytes`")
            return _with_last(np.frombuffer(content, np.uint8), share, source.notes)
        found, notes = encoding_of(source) if encoding is None else (encoding, ())
        try:
            text = content.decode(found).removeprefix("\ufeff")
        except LookupError:
            raise ValueError(f"`encoding={encoding}` is no text encoding") from None
        except UnicodeError:
            raise undecodable(source, found) from None
    return _with_last(codes_of(text, unit), share, (*source.notes, *notes))


def _with_last(codes: np.ndarray, share: float, notes: tuple[str, ...]) -> Text:
    return Text(codes, len(codes) - round(share * len(codes)), notes)


def codes_of(text: str, unit: str) -> np.ndarray:
    """The code points of a text, or its bytes in UTF-8."""
    if unit == "bytes":
        return np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _decoded(codes: np.ndarray) -> str:
    return codes.astype("<u4").tobytes().decode("utf-32-le")


def python_docs(unit: str = "characters", share: float = SHARE) -> Text:
    """Python's documentation of its language, a text: 79 topics, 400,000 characters that every Python carries, each its own.

    The topics of `pydoc_data.topics` are sorted by name, and validation is on whole topics, the last ones. A paragraph that
    has occurred before is dropped, so that validation has none that training has.

    >>> text = gd.data.python_docs()
    >>> print(text.codes.ndim, 0 < text.boundary < len(text.codes))
    1 True
    """
    topics = importlib.import_module("pydoc_data.topics").topics
    kept, size, seen = [], 0, set()
    for name in sorted(topics):
        paragraphs = topics[name].strip("\n").split("\n\n")
        size += sum(map(len, paragraphs))
        kept.append([each for each in paragraphs if not (each in seen or seen.add(each))])
    left = sum(len(each) for paragraphs in kept for each in paragraphs)
    codes = [codes_of("\n\n".join(paragraphs) + "\n\n\n", unit) for paragraphs in kept if paragraphs]
    ends = np.cumsum([len(each) for each in codes])
    first = int(np.abs(ends[:-1] - (1 - share) * ends[-1]).argmin()) + 1
    notes = (
        f"{len(topics)} topics of pydoc_data.topics, sorted",
        f"paragraphs that have occurred before are dropped: {1 - left / size:.1%} of the text",
        f"validation is on the last {len(codes) - first} topics, whole",
    )
    return Text(np.concatenate(codes), int(ends[first - 1]), notes)


CORPORA: dict[str, Callable[..., Text]] = {"python-docs": python_docs}
