"""The records of experiments: one JSON file each beside its pictures, from which pages are made."""

from __future__ import annotations

import ast
import datetime
import hashlib
import json
import platform
import re
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import gdjax
from gdjax.files import write_whole

HERE = Path(__file__).parents[1]
COMMAND = "gdjax lab " if __name__.startswith("gdjax.") else "python -m experiments."
PACKAGES = ("jax", "jaxlib", "optax", "numpy", "scikit-learn", "matplotlib")
JUDGED = ("right", "imprecise", "wrong")  # verdicts on a statement of a lecture, each by a computed condition
UNJUDGED = ("definition", "illustration", "not judged")


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


def doc_of(name: str) -> str:
    """The docstring of an experiment."""
    return ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text())) or ""


def question_of(name: str) -> str:
    """What an experiment asks."""
    return question_in(doc_of(name))


def prepare(out: Path) -> None:
    """Make the folder of the records.   Raises: ValueError, in one line, where no file can be written into it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise ValueError(f"--out: {out} is no folder to write into: {error.strerror or error}") from None


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


def remove(out: Path, name: str) -> None:
    """Remove the record of an experiment; another file of its name is left to be overwritten by nothing but a new record."""
    if read(out, name) is not None:
        path_of(out, name).unlink()


def write(out: Path, name: str, kept: dict[str, Any]) -> None:
    """Write the record of a run, whole; see `Lab` for what is kept, beside what is true of any run."""
    doc = kept.get("doc", "")
    whole = {
        "name": name,
        "question": question_in(doc),
        **kept,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M"),
        "versions": versions(),
        "digest": digest(name),
    }
    write_whole(path_of(out, name), json.dumps(whole, indent=1, ensure_ascii=False))


def failures(kept: dict[str, Any]) -> list[str]:
    """The claims of a record that do not hold, and its statements whose verdict is not the promised one."""
    turned = [each for each in kept["statements"] if each["verdict"] != each.get("promised", each["verdict"])]
    claims = [claim["words"] for claim in kept["claims"] if not claim["holds"]]
    return [*claims, *(f"{e['where']}: {e['says']}: {e['verdict']}, not {e['promised']}" for e in turned)]


def write_crash(out: Path, name: str, code: int, error: str, seconds: float) -> dict[str, Any]:
    """Write, and return, the record of a process that ended without one."""
    empty: dict[str, Any] = {"numbers": [], "changed": "", "statements": [], "tables": [], "notes": [], "claims": []}
    about = {"status": "error", "exit": code, "error": error, "seconds": seconds, "cpu_seconds": None, "full": False}
    write(out, name, {"doc": doc_of(name), **empty, "pictures": [], **about, "command": command_of(name)})
    found = read(out, name)
    assert found is not None
    return found


def command_of(name: str, changed: str = "", full: bool = False) -> str:
    """What runs it so again."""
    return " ".join(f"{COMMAND}{name} {changed} {'--full' * full}".split())


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
