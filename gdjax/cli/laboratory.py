"""Where the experiments are, in a wheel or in a checkout, and the options of a run of all of them."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import sys
from pathlib import Path

import gdjax
from gdjax.cli.errors import UserError

HOUSE = Path(gdjax.__file__).parent


@dataclasses.dataclass(frozen=True)
class Everything:
    """The options of a run of all experiments."""

    out: Path = Path("lab")
    """The folder for pictures, records, what each printed, and index.json."""
    only: tuple[str, ...] = ()
    """Which experiments; all if not given."""
    jobs: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)
    """How many at a time; as many as there are cores if not given."""
    full: bool = False
    """All runs of each, however long they take."""
    resume: bool = False
    """Leave out those that have held in this folder, by the same sources and versions."""


def module_of(name: str) -> str:
    """The full name of a module of the lab: "gdjax.lab.NAME" of a wheel, "experiments.NAME" of a checkout.

    It can be imported then, here and, with `environment`, by another process.   Raises: UserError if there is no lab.
    """
    if (HOUSE / "lab").is_dir():
        return f"gdjax.lab.{name}"
    if not (HOUSE.parent / "experiments" / "lab").is_dir():
        raise UserError("this installation has no experiments; they come with a wheel: pip install 'gdjax[lab]'")
    if str(HOUSE.parent) not in sys.path:
        sys.path.insert(0, str(HOUSE.parent))
    return f"experiments.{name}"


def has_module(name: str) -> bool:
    """Whether the lab has a module of this name."""
    return importlib.util.find_spec(module_of(name)) is not None


def environment() -> dict[str, str]:
    """The environment of a process that imports the same gdjax and the same lab as this one."""
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(HOUSE.parent), *([known] if known else [])])}
