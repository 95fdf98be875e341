"""The folder of the run of a job, as the launcher sees it from outside."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from gdjax.runs.compare import saved_steps
from gdjax.runs.folder import end_of


class RunFolder:
    """What has become of the folder since the job began.

    Args:
        path: of the folder, which may be there before.
        is_resumed: whether the run that is there goes on.
    """

    path: Path
    begun: int | None

    def __init__(self, path: Path, is_resumed: bool = False) -> None:
        self.path, self._is_resumed = path, is_resumed
        self._before, self._result = _identity(path), _identity(path / "result.json")
        self._drafts = set(self._find_drafts())
        self.begun = self.step  # the newest step that was saved before

    @property
    def is_there(self) -> bool:
        """Whether the run has a folder to go on from: not one that it is to replace."""
        return (self.path / "config.json").is_file() and (self._is_resumed or _identity(self.path) != self._before)

    @property
    def step(self) -> int | None:
        """The newest step that is saved, None if there is none."""
        return max(saved_steps(self.path), default=None) if self.is_there else None

    @property
    def end(self) -> str | None:
        """Why the run has ended, None if it has not."""
        is_new = self.is_there and _identity(self.path / "result.json") != self._result
        return end_of(self.path) if is_new else None

    @property
    def left(self) -> str:
        """What is left of the run, in words."""
        step = self.step
        return "nothing is saved" if step is None else f"step {step} is saved in {self.path}, --resume goes on"

    def words(self, words: Sequence[str]) -> list[str]:
        """The words of a command, which begins the run or lets it go on."""
        return going_on(words) if self.is_there else list(words)

    def remove_drafts(self) -> None:
        """Remove what ranks that were killed before the folder appeared have left beside it."""
        for path in set(self._find_drafts()) - self._drafts:
            shutil.rmtree(path, ignore_errors=True)

    def _find_drafts(self) -> list[Path]:
        name, parent = re.compile(rf"\.{re.escape(self.path.name)}-[a-z0-9_]{{8}}"), self.path.absolute().parent
        return [path for path in parent.iterdir() if name.fullmatch(path.name)] if parent.is_dir() else []


def going_on(words: Sequence[str]) -> list[str]:
    """The words of a command with which its run goes on."""
    return [word for word in words if word not in ("--overwrite", "--resume")] + ["--resume"]


def _identity(path: Path) -> tuple[int, int] | None:
    """What differs between a file or folder and another that has taken its place."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns if path.is_file() else 0
