"""The records of experiments: one JSON file each beside its pictures, from which pages are made."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import re
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import gdjax
from gdjax.files import write_whole

from .options import describe

HERE = Path(__file__).parents[1]
PACKAGES = ("jax", "jaxlib", "optax", "numpy", "scikit-learn", "matplotlib")


def names() -> list[str]:
    """All experiments."""
    return sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))


def name_in(doc: str) -> str | None:
    """The experiment that a docstring is of, by its command."""
    found = re.search(r"python -m experiments\.(\w+)", doc)
    return found[1] if found else None


def question_in(doc: str) -> str:
    """The first paragraph of a docstring, which asks, on one line."""
    return " ".join(doc.strip().split("\n\n")[0].split())


def path_of(out: Path, name: str) -> Path:
    """Where the record of an experiment is."""
    return out / f"{name}.json"


def read(out: Path, name: str) -> dict[str, Any] | None:
    """The record of an experiment; None if there is none, or it cannot be read."""
    try:
        found = json.loads(path_of(out, name).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "status" in found else None


def write(out: Path, name: str, status: str, error: str, lab: Any, seconds: list[float]) -> None:
    """Write the record of a run, whole."""
    kept = {
        "name": name,
        "question": question_in(lab.doc),
        "doc": lab.doc,
        "command": " ".join(f"python -m experiments.{name} {lab.changed} {'--full' * lab.full}".split()),
        "numbers": list(describe(lab.defaults, lab.numbers)),
        "changed": lab.changed,
        "full": lab.full,
        "status": status,
        "exit": {"held": 0, "not here": 0}.get(status, 1),
        "error": error,
        "statements": lab.statements,
        "tables": lab.tables,
        "notes": lab.notes,
        "claims": lab.claims,
        "pictures": lab.pictures,
        "seconds": seconds[0],
        "cpu_seconds": seconds[1],
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M"),
        "versions": versions(),
        "digest": digest(name),
    }
    write_whole(path_of(out, name), json.dumps(kept, indent=1, ensure_ascii=False))


def clocks() -> tuple[float, float]:
    """Wall time and CPU time of this process, in seconds."""
    return time.perf_counter(), time.process_time()


def versions() -> dict[str, str]:
    """Of Python, gdjax and what it computes with."""
    return {
        "python": platform.python_version(),
        "gdjax": gdjax.__version__,
        **{name: metadata.version(name) for name in PACKAGES},
    }


def digest(name: str) -> str:
    """A digest of the sources of gdjax and of an experiment, and of the versions: equal where a record still holds."""
    mark = hashlib.sha256(json.dumps(versions()).encode())
    house = Path(gdjax.__file__).parent
    files = [path for path in house.rglob("*.py") if not path.is_relative_to(HERE)]
    for path in sorted({*files, *(HERE / "lab").glob("*.py"), *_sources(name, set())}):
        mark.update(path.read_bytes())
    return mark.hexdigest()[:16]


def _sources(name: str, known: set[Path]) -> set[Path]:
    """The file of an experiment, and those of the experiments that it imports from."""
    path = HERE / f"{name}.py"
    if path in known or not path.is_file():
        return known
    known.add(path)
    for other in re.findall(r"^from \.(\w+) import", path.read_text(), re.MULTILINE):
        _sources(other, known)
    return known
