"""All experiments, each in its own process, some at a time, with one summary."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gdjax.cli.laboratory import Everything, environment
from gdjax.cli.signals import Termination, raise_lost, terminating
from gdjax.files import draft_path, write_whole
from gdjax.text import counted, did_you_mean, table

from . import record

GRACE = 5  # seconds in which a process that is asked to end may do so
PACKAGE = __name__.removesuffix(".lab.everything")


def run_all(options: Everything) -> int:
    """Run them, print a line for each as it ends, and a summary; the exit code."""
    unknown = [name for name in options.only if name not in record.names()]
    wrong = [f"no experiment {name!r}: {did_you_mean(name, record.names())}" for name in unknown]
    if options.jobs < 1:
        wrong.append(f"--jobs must be at least 1, got {options.jobs}")
    try:
        record.prepare(options.out)
    except ValueError as error:
        wrong.append(str(error))
    if wrong:
        print(f"experiments: {wrong[0]}", file=sys.stderr)
        return 2
    began = time.perf_counter()
    count = counted(len(options.only or record.names()), "experiment")
    print(f"{count}, each up to a minute of CPU, {options.jobs} at a time; Ctrl-C ends them\n", flush=True)
    try:
        with terminating():
            ended = _run(options)
    except (KeyboardInterrupt, Termination) as error:
        code = getattr(error, "code", 130)
        print(f"experiments: {'interrupted' if code == 130 else 'terminated'}", file=sys.stderr)
        return code
    return _sum_up(options, ended, time.perf_counter() - began)


@dataclasses.dataclass(frozen=True)
class Ended:
    """An experiment that has ended."""

    kept: dict[str, Any]
    code: int
    seconds: float

    @property
    def held(self) -> int:
        return sum(claim["holds"] for claim in self.kept["claims"])

    @property
    def failed(self) -> int:
        return len(record.failures(self.kept))

    @property
    def words(self) -> str:
        """How it ended, in words."""
        if self.kept["status"] == "error":
            return f"CRASHED: {self.kept['error'].splitlines()[-1]}"
        return f"{self.failed} FAILED" if self.failed else f"{counted(self.held, 'claim')} held"


class Child:
    """An experiment that runs, and what it prints."""

    def __init__(self, name: str, options: Everything) -> None:
        self.name, self.out, self.began = name, options.out, time.perf_counter()
        self.printed = options.out / f"{name}.txt"
        self.draft = draft_path(self.printed)
        words = [sys.executable, "-m", f"{PACKAGE}.{name}", "--out", str(options.out), *["--full"] * options.full]
        record.remove(options.out, name)
        with self.draft.open("wb") as file:
            self.process = subprocess.Popen(
                words, stdout=file, stderr=subprocess.STDOUT, env=environment(), start_new_session=True
            )

    def end(self) -> Ended | None:
        """How it ended; None if it runs on."""
        code = self.process.poll()
        if code is None:
            return None
        os.replace(self.draft, self.printed)
        seconds = round(time.perf_counter() - self.began, 1)
        kept = record.read(self.out, self.name)
        if kept is None or (kept["exit"] != code and kept["status"] != "error"):
            lines = [line for line in self.printed.read_text(errors="replace").splitlines() if line.strip()]
            error = lines[-1].strip() if lines else f"it printed nothing, and exited with {code}"
            kept = record.write_crash(self.out, self.name, code, error, seconds)
        return Ended(kept, code, seconds)

    def stop(self) -> None:
        """End it, and whatever it has started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(GRACE)
        self.draft.unlink(missing_ok=True)


def _run(options: Everything) -> dict[str, Ended]:
    """How each ended; those that took longest the last time are begun first."""
    asked = list(dict.fromkeys(options.only)) or record.names()
    before = {name: record.read(options.out, name) for name in asked}
    ended = {name: Ended(kept, 0, 0.0) for name, kept in _fresh(options, before).items()}
    waiting = [name for name in asked if name not in ended]
    waiting.sort(key=lambda name: -((before[name] or {}).get("seconds") or 0))
    if ended:
        print(f"{counted(len(ended), 'experiment')} held in {options.out} by the same sources and versions\n")
    running: list[Child] = []
    width = max(map(len, asked))
    try:
        while waiting or running:
            while waiting and len(running) < options.jobs:
                running.append(Child(waiting.pop(0), options))
            time.sleep(0.1)
            raise_lost()
            for child in list(running):
                if (how := child.end()) is not None:
                    running.remove(child)
                    ended[child.name] = how
                    at = f"[{len(ended)}/{len(asked)}]"
                    print(f"{at:>9} {child.name:{width}}  {how.seconds:6.1f} s  {how.words}", flush=True)
    finally:
        for child in running:
            child.stop()
    return {name: ended[name] for name in asked}


def _fresh(options: Everything, before: Mapping[str, dict[str, Any] | None]) -> dict[str, dict[str, Any]]:
    """The records that a run with --resume need not make again."""
    return {
        name: kept
        for name, kept in before.items()
        if options.resume
        and kept is not None
        and (kept["status"], kept.get("changed"), kept.get("full")) == ("held", "", options.full)
        and all((options.out / picture["file"]).is_file() for picture in kept.get("pictures", ()))
        and kept.get("digest") == record.digest(name)
    }


def _sum_up(options: Everything, ended: dict[str, Ended], seconds: float) -> int:
    """Print the summary, write index.json, and return the exit code."""
    rows = [("experiment", "held", "failed", "seconds", "of CPU", "exit")]
    for name, how in ended.items():
        seconds_of = f"{how.kept['seconds']:.1f}", f"{how.kept['cpu_seconds'] or 0:.1f}"
        rows.append((name, str(how.held), str(how.failed), *seconds_of, str(how.code)))
    print("\n" + table(rows, right=range(1, 6)))
    bad = [name for name, how in ended.items() if how.code or how.kept["status"] != "held"]
    for name in bad:
        print(f"\n{name}: {ended[name].words}")
        for words in record.failures(ended[name].kept):
            print(f"  FAILED  {words}")
    claims = sum(len(how.kept["claims"]) for how in ended.values())
    said = f"{counted(len(bad), 'experiment')} did not hold" if bad else "all held"
    print(f"\n{counted(len(ended), 'experiment')}, {counted(claims, 'claim')}, {seconds:.0f} s; {said}")
    _write_index(options.out, seconds)
    return 1 if bad else 0


def _write_index(out: Path, seconds: float) -> None:
    """Sum up all records of the folder but those with other numbers, for which nothing is claimed."""
    kept: Sequence[dict[str, Any]] = [
        found for name in record.names() if (found := record.read(out, name)) and not found["changed"]
    ]
    short = ("name", "question", "status", "exit", "error", "full", "seconds", "cpu_seconds", "date", "digest")
    entries = [
        {
            **{key: each[key] for key in short},
            "held": sum(c["holds"] for c in each["claims"]),
            "claims": len(each["claims"]),
            "failed": len(record.failures(each)),
        }
        for each in kept
    ]
    index = {
        "experiments": entries,
        "claims": sum(entry["claims"] for entry in entries),
        "failed": sum(entry["failed"] for entry in entries),
        "not_held": [entry["name"] for entry in entries if entry["status"] != "held"],
        "seconds": round(seconds, 1),
        "versions": record.versions(),
    }
    write_whole(out / "index.json", json.dumps(index, indent=1, ensure_ascii=False))
