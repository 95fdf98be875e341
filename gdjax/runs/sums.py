"""SHA256SUMS: the hashes of a run's files, in the form that `sha256sum -c SHA256SUMS` checks.

They stand beside params.npz and not in it: two equal runs have equal parameters to the last bit, and their other files,
which hold times and a folder, differ.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from gdjax.files import write_whole
from gdjax.runs.json_text import read_bytes

NAME = "SHA256SUMS"
LAST = "result.json"  # which is written after the hashes
FILES = ("config.json", "encoding.json", "metrics.jsonl", "params.npz", LAST)


def write_sums(folder: Path, last: str) -> None:
    """Write the hashes of the files.

    Args:
        last: the text of the file that is not there yet.
    """
    write_whole(folder / NAME, "".join(f"{_hash(folder / name)}  {name}\n" for name in FILES[:-1]) + _line(last))


def _line(last: str) -> str:
    return f"{hashlib.sha256(last.encode()).hexdigest()}  {LAST}\n"


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sums(folder: Path) -> None:
    """Raise ValueError if a file of a finished run is not what was written, or its hashes are gone."""
    if not (folder / NAME).is_file():
        raise ValueError(f"{NAME} is missing")
    lines = read_bytes(folder / NAME).decode().splitlines(keepends=True)
    if len(lines) != len(FILES):
        raise ValueError(f"{NAME} must hold the hashes of {', '.join(FILES)}, got {len(lines)} lines")
    for name, line in zip(FILES, lines, strict=True):
        if line != f"{_hash(folder / name)}  {name}\n":
            raise ValueError(f"{name} must have the content that {NAME} says, got another")
