"""The encoding of a text: byte order mark, UTF-16, UTF-8, then what is likely among one-byte and East Asian encodings."""

from __future__ import annotations

import codecs
import importlib
import re
from collections.abc import Iterator

from gdjax.data.errors import DataError
from gdjax.data.readers.contents import Contents

CANDIDATES = ["gb18030", "cp932", "euc_kr", "cp1252", "cp1250", "cp1251"]
ENOUGH = 1 << 16  # bytes of words beyond ASCII
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Runs of bytes beyond ASCII with their neighbors; those that Western text has; those that are letters in cp1250 only.
_RUNS = re.compile(rb"([\x00-\x7f]?)([\x80-\xff]+)(?=([\x00-\x7f]?))")
_WESTERN = re.compile(rb"[\x80\x84\x85\x8a\x8c\x8e\x91-\x97\x99\x9a\x9c\x9e-\xff]+")
_CENTRAL = re.compile(
    rb"[\x8a\x8c-\x8f\x9a\x9c-\x9f]|[A-Za-z\xc0-\xff][\xa3\xa5\xaa\xaf\xb3\xb9\xba\xbc\xbe\xbf]"
    rb"|[\xa3\xa5\xaa\xaf\xb3\xb9\xba\xbc\xbe\xbf][A-Za-z\xc0-\xff]"
)

_SYLLABLES = frozenset(
    "이가다는을의에한하고사지인도서로은기어자시대리나일아그정수해전보만부주라으니구장상동스를있과여성김박남"
)


def encoding_of(source: Contents) -> tuple[str, tuple[str, ...]]:
    """(the encoding of a whole file, what there is to say about it); the file is read to its end, unless it has a mark."""
    for mark, encoding in MARKS.items():
        if source.head.startswith(mark):
            return encoding, () if mark == codecs.BOM_UTF8 else (f"the encoding is {encoding.upper()}",)
    if b"\x00" in source.head:
        little = source.head[1::2].count(0) >= source.head[::2].count(0)
        return ("utf-16-le" if little else "utf-16-be"), ("the encoding is UTF-16",)
    if _is_utf8(source):
        return "utf-8", ()
    encoding = _likely(source)
    return encoding, (f"the encoding is taken as {encoding}; the option encoding names another",)


def undecodable(source: Contents, encoding: str) -> DataError:
    """The error for a file that is not of this encoding, with the line where it is not."""
    decoder = codecs.getincrementaldecoder(encoding)()
    for number, line in enumerate(_lines(source), 1):
        try:
            decoder.decode(line)
        except UnicodeDecodeError as error:
            found = error.object[error.start : error.end].hex(" ")
            return DataError(f"{source.name}: line {number} is not {encoding}, got the bytes {found}")
        except UnicodeError:  # no byte order mark, on the oldest Python
            break
    return DataError(f"{source.name}: the text is not {encoding}")


def _lines(source: Contents) -> Iterator[bytes]:
    with source.open() as stream:
        yield from stream


def _is_utf8(source: Contents) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with source.open() as stream:
        try:
            for part in iter(lambda: stream.read(1 << 20), b""):
                decoder.decode(part)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _likely(source: Contents) -> str:
    """The likely encoding of what is beyond ASCII. Raises: DataError where most of it is UTF-8, and some is not."""
    lines, size, valid, spoiled = [], 0, 0, []
    for number, line in enumerate(_lines(source), 1):
        if line.isascii():
            continue
        try:
            valid += bool(line.decode())
        except UnicodeDecodeError:
            spoiled.append(number)
        if size < ENOUGH:
            lines.append(line)
            size += len(line)
    if valid >= len(spoiled):
        raise DataError(
            f"{source.name}: line {spoiled[0]} is not UTF-8, as {valid} other lines are "
            f"({len(spoiled)} such lines); the option encoding, such as cp1252, reads it"
        )
    return _likely_of(b"".join(lines))


def _likely_of(text: bytes) -> str:
    if _is_western(_RUNS.findall(text)):
        return "cp1250" if _is_central(text) else "cp1252"
    try:
        detect = importlib.import_module("charset_normalizer").from_bytes
    except ImportError as error:
        raise ImportError("a text that is not UTF-8 needs charset-normalizer: pip install 'gdjax[lab]'") from error
    found = detect(text, cp_isolation=CANDIDATES).best()
    if found is not None and found.encoding == "euc_kr" and not set(text.decode("euc_kr")) & _SYLLABLES:
        return "gb18030"
    return "cp1252" if found is None else found.encoding


def _is_western(runs: list[tuple[bytes, bytes, bytes]]) -> bool:
    """Whether accented letters stand singly or in pairs among plain letters, or signs beside digits and blanks."""

    def fits(before: bytes, run: bytes, after: bytes) -> bool:
        among_letters = before.isalpha() or after.isalpha()
        return _WESTERN.fullmatch(run) is not None and (len(run) == 1 or (len(run) <= 2 and among_letters))

    return sum(fits(*each) for each in runs) > 0.7 * len(runs)


def _is_central(text: bytes) -> bool:
    """Whether letters stand where Western text has signs, or the Czech ones that are read as ø beside ì, è, ù or ò."""
    return _CENTRAL.search(text) is not None or (
        b"\xf8" in text and re.search(rb"[\xec\xe8\xf9\xf2]", text) is not None
    )
