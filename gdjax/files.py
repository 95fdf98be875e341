"""Atomic writing of files and folders."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft beside the file, to be written in the block, which takes the file's place if the block succeeds."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write the file atomically: it is never seen half written."""
    with replacing(path) as draft:
        draft.write_text(text)


@contextlib.contextmanager
def folder_written_whole(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """A draft of the folder to write into, which takes its place if the body raises nothing.

    Raises: FileExistsError if something is there, unless overwrite is given and it is a folder.
    """
    if path.exists() and not (overwrite and path.is_dir()):
        raise FileExistsError(f"{path} is there already")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft, old = (path.with_name(f".{path.name}.{secrets.token_hex(4)}.{end}") for end in ("tmp", "old"))
    draft.mkdir()
    try:
        yield draft
        if path.exists():
            os.replace(path, old)
        os.replace(draft, path)
    finally:
        for each in (draft, old):
            shutil.rmtree(each, ignore_errors=True)
