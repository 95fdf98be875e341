"""A command that several processes run together: process 0 speaks for all."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from gdjax import processes


def join() -> None:
    """Join the other processes, if there are any; then only Python writes on the standard output, and not what Gloo says."""
    processes.join()
    if processes.count() > 1 and sys.stdout is sys.__stdout__:
        sys.stdout.flush()
        sys.stdout = os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def say(words: str, file: TextIO | None = None) -> None:
    """Print the words, in process 0."""
    if processes.index() == 0:
        print(words, file=file)
