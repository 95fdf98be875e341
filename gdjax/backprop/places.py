"""Where in the source an equation of a jaxpr was written."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path as FilePath
from typing import Any, NamedTuple

import jax
import jaxlib

from gdjax.backprop.walk import Path

JAX = tuple(os.path.dirname(module.__file__) + os.sep for module in (jax, jaxlib) if module.__file__)
LIBRARIES = (
    os.path.dirname(os.path.dirname(__file__)) + os.sep,
    *(sysconfig.get_paths()[name] + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    "<frozen ",
)


class Place(NamedTuple):
    """A line of a file."""

    file: str
    line: int
    function: str = ""

    def __str__(self) -> str:
        name = self.function.rpartition(".")[2]
        return f"{_short(self.file)}:{self.line}" + (f" ({name})" if name.isidentifier() else "")


def place_of(path: Path, outermost: Any) -> Place | None:
    """The line of an equation: the innermost one in a file of the user's, else in a library other than JAX.

    Args:
        path: the equation, last, inside of those that enclose it; where the equation itself has no line of the user's, it is
            that of its call.
        outermost: the function that traced the computation; what called it is no part of the computation.
    """
    library = None
    for equation, _ in reversed(path):
        for place in _frames(equation, outermost):
            if not place.file.startswith(LIBRARIES):
                return place
            library = library or place
    return library


def _frames(equation: Any, outermost: Any) -> list[Place]:
    """The places outside of JAX where an equation was written, innermost first."""
    found = []
    traceback = equation.source_info.traceback
    for frame in traceback.frames if traceback else ():
        if frame.file_name == outermost.__code__.co_filename and frame.function_name == outermost.__name__:
            break
        if not frame.file_name.startswith(JAX):
            found.append(Place(frame.file_name, frame.line_num, frame.function_name))
    return found


def _short(file: str) -> str:
    """The path of a file, relative to the current folder if it lies in it."""
    try:
        return str(FilePath(file).relative_to(FilePath.cwd()))
    except ValueError:
        return file
