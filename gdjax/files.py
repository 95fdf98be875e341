"""Atomic writing of files and folders."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

_DRAFT = re.compile(r"\.(.+)\.[0-9a-f]{8}\.tmp")
_ASIDE = re.compile(r"\.(.+)\.old")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A draft beside the file, to be written in the block, which takes the file's place if the block succeeds."""
    draft = draft_path(path)
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write the file atomically: it is never seen half written."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


@contextlib.contextmanager
def folder_written_whole(path: Path, replaces: str | None = None) -> Iterator[Path]:
    """A draft of the folder to write into, which takes its place if the body raises nothing; see `commit_folder`.

    Args:
        replaces: the name of a file by which a folder that may be replaced is known; None: none may be.

    Raises: FileExistsError if something else is there.
    """
    if path.exists() and not (replaces and (path / replaces).is_file()):
        without = f", and no folder with a {replaces}, which alone is replaced" if replaces else ""
        raise FileExistsError(f"{path} is there already{without}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with commit_folder(path) as draft:
        yield draft


def draft_path(path: Path) -> Path:
    """A new hidden name beside the path, for what is being written or removed."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


@contextlib.contextmanager
def commit_folder(path: Path) -> Iterator[Path]:
    """A draft folder for files. When the block succeeds it is on the disk, and at `path` instead of what was there.

    When the block fails, `path` is as it was. A crash at any moment leaves the old folder or the new one, whole, at
    `present(path)`.
    """
    draft, aside = draft_path(path), _aside(path)
    try:
        draft.mkdir()
        yield draft
        for file in (*draft.rglob("*"), draft):
            sync(file)
        if path.exists():
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)
        draft.rename(path)
        sync(path.parent)
        shutil.rmtree(aside, ignore_errors=True)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        if not path.exists() and aside.exists():
            aside.rename(path)
        shutil.rmtree(aside, ignore_errors=True)
        raise


def present(path: Path) -> Path:
    """Where the folder of this path is: set aside, if a crash came while another was put in its place."""
    return _aside(path) if not path.exists() and _aside(path).exists() else path


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def present_names(folder: Path) -> set[str]:
    """The names in a folder, with those that `present` finds set aside."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return names | {found[1] for found in map(_ASIDE.fullmatch, names) if found}


def remove_leftovers(folder: Path, names: re.Pattern[str]) -> None:
    """Remove what a process that was killed has left of drafts, and of folders whose successor is in place.

    Args:
        names: of the folders that the process has written.
    """
    for path in folder.iterdir():
        draft, replaced = (kind.fullmatch(path.name) for kind in (_DRAFT, _ASIDE))
        of = (draft or replaced or [""] * 2)[1]
        if names.fullmatch(of) and (draft or (folder / of).exists()):
            shutil.rmtree(path)


def remove_folder(path: Path) -> None:
    """Remove a folder that is never seen half removed."""
    doomed = draft_path(path)
    path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def sync(path: Path) -> None:
    """Return when the bytes of a file, or the entries of a folder, are on the disk."""
    if os.name == "nt" and path.is_dir():
        return  # a folder cannot be opened there
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
