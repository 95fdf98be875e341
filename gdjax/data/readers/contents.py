"""What a file holds, judged by its first bytes: the format of a table, or something that is none."""

from __future__ import annotations

import bz2
import contextlib
import functools
import gzip
import io
import lzma
import os
import re
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from gdjax.data.errors import DataError, nearest

HEAD = 1 << 16  # bytes
DAMAGE = (OSError, ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)

# First bytes of what is no table, or of a format that is not read.
FOREIGN = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF87a": "a GIF image",
    b"GIF89a": "a GIF image",
    b"II*\x00": "a TIFF image",
    b"MM\x00*": "a TIFF image",
    b"%PDF-": "a PDF document",
    b"%!PS": "a PostScript document",
    b"{\\rtf": "an RTF document",
    b"SQLite format 3": "an SQLite database: export its table as CSV",
    b"\x89HDF": "an HDF5 file: write its table as CSV or Parquet",
    b"ARROW1\x00": "an Arrow file: write it as Parquet",
    b"Obj\x01": "an Avro file: write it as Parquet",
    b"$FL2": "an SPSS file: save it as CSV",
    b"<stata_dta>": "a Stata file: save it as CSV",
    b"RDX2\n": "a file of R's own format: write its table with write.csv",
    b"RDX3\n": "a file of R's own format: write its table with write.csv",
    b"\x7fELF": "a program",
    b"MZ\x90": "a program",
    b"\x80\x02": "a pickle, which is not read since it may run code",
    b"\x80\x03": "a pickle, which is not read since it may run code",
    b"\x80\x04": "a pickle, which is not read since it may run code",
    b"\x80\x05": "a pickle, which is not read since it may run code",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: unpack it first",
    b"7z\xbc\xaf": "a 7z archive: unpack it first",
    b"Rar!\x1a": "a RAR archive: unpack it first",
    b"version https://git-lfs": "a pointer of git-lfs, not the table itself: git lfs pull fetches it",
    b"/annex/objects/": "a pointer of git-annex, not the table itself: git annex get fetches it",
}
MARKUP = [
    (
        re.compile(
            rb"\s*<(!doctype html|!--|\?php|(html|head|body|title|meta|script|div|table|center|h1|p)\b)", re.IGNORECASE
        ),
        "an HTML page",
    ),
    (re.compile(rb"\s*<\?xml|\s*<svg", re.IGNORECASE), "an XML document"),
    (re.compile(rb'\s*(\{\s*["}]|\[\s*[\[{])'), "JSON: write its table as CSV"),
]
PACKED: dict[bytes, tuple[str, Any]] = {
    b"\x1f\x8b": ("gzip", gzip.GzipFile),
    b"BZh91AY&SY": ("bzip2", bz2.BZ2File),
    b"\xfd7zXZ": ("xz", lzma.LZMAFile),
}
UTF16 = (b"\xff\xfe", b"\xfe\xff")
IDX = re.compile(rb"\x00\x00[\x08\x09\x0b\x0c\x0d\x0e][\x01-\x04]")  # two zeros, the type of numbers, how many axes


class Contents(NamedTuple):
    """A file whose format is known.

    Args:
        name: for messages.
        format: "text", "arff", "parquet", "excel", "npz" or "idx".
        head: the first bytes, unpacked.
        open: gives the unpacked bytes from the start.
        notes: such as "compressed by gzip".
    """

    name: str
    format: str
    head: bytes
    open: Callable[[], IO[bytes]]
    notes: tuple[str, ...] = ()


Judge = Callable[[str, bytes], str]  # (name, head) -> format


@contextlib.contextmanager
def contents_of(path: str | os.PathLike[str], judge: Judge | None = None) -> Iterator[Contents]:
    """The contents of a file, or of standard input for "-".

    Args:
        judge: (name, first bytes) -> the format, or a DataError for what is not wanted (default: for what is no table).
    """
    path, judge = os.fspath(path), judge or _format
    if path == "-":
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
            yield _look("standard input", lambda: _again(copy), judge)
    else:
        _check_file(Path(path))
        yield _look(path, lambda: open(path, "rb"), judge)  # noqa: SIM115


def damaged(name: str, error: BaseException) -> DataError:
    """The error for bytes that cannot be read."""
    return DataError(f"{name}: damaged: {' '.join(str(error).split()) or type(error).__name__}")


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise DataError(f"{path}: a folder, not a file")
    if not path.exists():
        beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        close = nearest(path.name, beside).partition("? ")[0] if beside else ""
        raise DataError(f"{path}: no such file" + (f"; {close}?" if close.startswith("did") else ""))


def _again(copy: IO[bytes]) -> IO[bytes]:
    copy.seek(0)
    return os.fdopen(os.dup(copy.fileno()), "rb")


def _look(name: str, opened: Callable[[], IO[bytes]], judge: Judge, notes: tuple[str, ...] = ()) -> Contents:
    try:
        with opened() as stream:
            head = stream.read(HEAD)
    except DAMAGE as error:
        raise damaged(name, error) from None
    for magic, (method, kind) in PACKED.items():
        if head.startswith(magic) and not notes:
            return _look(name, functools.partial(_unpacked, opened, kind), judge, (f"packed by {method}",))
    if head.startswith(b"PK\x03\x04"):
        return _archive(name, head, opened, judge, notes)
    return Contents(name, judge(name, head), head, opened, notes)


def _archive(name: str, head: bytes, opened: Callable[[], IO[bytes]], judge: Judge, notes: tuple[str, ...]) -> Contents:
    """A workbook, arrays of NumPy, or an archive with one file."""
    try:
        with opened() as stream, zipfile.ZipFile(stream) as archive:
            names = [each for each in archive.namelist() if not each.endswith("/") and not each.startswith("__MACOSX")]
    except DAMAGE as error:
        raise damaged(name, error) from None
    if any(each.startswith("xl/") for each in names):
        return Contents(name, "excel", head, opened, notes)
    if names and all(each.endswith(".npy") for each in names):
        return Contents(name, "npz", head, opened, notes)
    if len(names) != 1 or notes:
        raise DataError(f"{name}: an archive or document of {len(names)} files: unpack the table first")

    def member() -> IO[bytes]:
        with contextlib.ExitStack() as opening:
            stream = opening.enter_context(opened())
            archive = opening.enter_context(zipfile.ZipFile(stream))
            found = _Together(archive.open(names[0]), archive, stream)
            opening.pop_all()
            return found

    return _look(name, member, judge, (f"unpacked from a zip archive: {names[0]}",))


def _unpacked(opened: Callable[[], IO[bytes]], kind: Any) -> IO[bytes]:
    stream = opened()
    return _Together(kind(fileobj=stream) if kind is gzip.GzipFile else kind(stream), stream)


class _Together(io.BufferedReader):
    """A stream that is closed together with what it reads from."""

    def __init__(self, stream: Any, *others: Any):
        super().__init__(stream)
        self._others = others

    def close(self) -> None:
        super().close()
        for each in self._others:
            each.close()


def text_format(name: str, head: bytes) -> str:
    """The format of a text, whatever it tells: a page or a program too. Raises: DataError for what is none."""
    _check_content(name, head)
    if (found := _foreign(head)) is not None:
        raise DataError(f"{name}: no text but {found}")
    return "text"


def any_format(name: str, head: bytes) -> str:
    """The format of what is read as bytes, whatever they are. Raises: DataError for an empty file."""
    if not head:
        raise DataError(f"{name}: empty")
    return "text"


def _check_content(name: str, head: bytes) -> None:
    if not head.strip(b" \t\r\n\xef\xbb\xbf\x00"):
        raise DataError(f"{name}: empty")


def _foreign(head: bytes) -> str | None:
    """What it is that holds neither a table nor a text."""
    found = next((what for magic, what in FOREIGN.items() if head.startswith(magic)), None)
    if found is None and head[257:262] == b"ustar":
        found = "a tar archive: unpack it first"
    return "binary data" if found is None and _is_binary(head) else found


def _format(name: str, head: bytes) -> str:
    _check_content(name, head)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        return "excel"
    if head.startswith(b"\x93NUMPY"):
        return "npz"
    if IDX.match(head):
        return "idx"
    text = head.lstrip(b"\xef\xbb\xbf")
    found = _foreign(head) or next((what for pattern, what in MARKUP if pattern.match(text)), None)
    if found is not None:
        raise DataError(f"{name}: no table but {found}")
    is_arff = re.match(rb"(\s*%[^\n]*\n|\s*\n)*\s*@(relation|attribute)\b", text, re.IGNORECASE)
    return "arff" if is_arff else "text"


def _is_binary(head: bytes) -> bool:
    """Whether control characters stand in it that no text has; UTF-16 has zeros in every other place."""
    if head.startswith(UTF16):
        return False
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) > 0.4 * len(head) / 2 and min(even, odd) < 0.1 * max(even, odd):
        return False
    return len(head.translate(None, bytes(range(9)) + bytes(range(14, 32)))) < len(head) - len(head) // 1000
