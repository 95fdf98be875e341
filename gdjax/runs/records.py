"""metrics.jsonl: one line of JSON per evaluation, appended while the run goes on.

Each line is written whole, so that after any kill the file holds whole lines and at most one torn one at its end, which
`read_records` leaves out. A checkpoint holds the size of the file at its time: a resumed run cuts the file there, and no
evaluation is missing or there twice.

    records = Records(path)                     records = Records(path, rows, size)     of a resumed run
    size = records.append(run_state.history, seconds=12.5)
    rows = read_records(path)
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gdjax.runs.damage import RecordError
from gdjax.runs.json_text import from_text, read_bytes, to_line

try:
    import fcntl
except ImportError:  # Windows, where two runs in one folder are not noticed
    fcntl: Any = None


class Records:
    """The file, open for appending by one process at a time; `close` it, or use it in a `with` statement.

    Args:
        path: the file; it is made if it is not there.
        rows, size: the evaluations that it shall hold already, and their bytes; what comes after them is cut off.

    Raises: RecordError if another process writes it, or if it has fewer bytes.
    """

    rows: int
    size: int
    descriptor: int

    def __init__(self, path: Path, rows: int = 0, size: int = 0) -> None:
        self.rows, self.size = rows, size
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            if not _lock(self.descriptor, tries=10):  # `is_being_written` holds it for a moment
                raise RecordError(f"{path.parent} is being trained by another process")
            if (found := os.fstat(self.descriptor).st_size) < size:
                raise RecordError(f"{path} must have the {size} bytes that it had at the checkpoint, got {found}")
            os.ftruncate(self.descriptor, size)
        except BaseException:
            self.close()
            raise

    def append(self, history: Mapping[str, Any], seconds: float) -> int:
        """Write the evaluations of the history that are not in the file; return its size in bytes.

        Args:
            history: name -> (n, ...), all evaluations of the run so far.
            seconds: of training so far; written with each of the lines.

        Raises: OSError if they cannot be written; the file is as it was before.
        """
        length = len(next(iter(history.values()), ()))
        rows = ({name: values[i] for name, values in history.items()} for i in range(self.rows, length))
        lines = "".join(to_line({**row, "seconds": round(seconds, 3)}) + "\n" for row in rows)
        self._write(lines.encode())
        self.rows = max(self.rows, length)
        return self.size

    def _write(self, data: bytes) -> None:
        left = data
        try:
            while left:
                left = left[os.write(self.descriptor, left) :]
        except OSError:
            os.ftruncate(self.descriptor, self.size)
            raise
        self.size += len(data)

    def sync(self) -> None:
        """Wait until the lines are on the disk, as they must be before a checkpoint that counts on them."""
        os.fsync(self.descriptor)

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def _lock(descriptor: int, tries: int = 1) -> bool:
    """Whether no other process has locked the file, which is now this one's; a lock ends with its process."""
    while fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            tries -= 1
            if not tries:
                return False
            time.sleep(0.05)
        except OSError:  # a file system that has no locks
            break
    return True


def is_being_written(path: Path) -> bool:
    """Whether a run that goes on appends to the file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def read_records(path: Path) -> list[dict[str, Any]]:
    """The evaluations, each a dict by name; a torn last line is left out."""
    whole, _, _ = read_bytes(path).rpartition(b"\n")
    return [from_text(line) for line in whole.splitlines()]


def as_history(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """The columns of the evaluations that are numbers, name -> (n,) float64, NaN where it is null or missing."""
    names = dict.fromkeys(name for row in rows for name, value in row.items() if isinstance(value, (int, float)))
    return {name: np.array([row.get(name) for row in rows], float) for name in names}
