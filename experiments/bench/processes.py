"""Is a run by two processes the run of one device, whatever is killed meanwhile? `python -m experiments.bench.processes`.

First fifty steps on the digits in float64, on one device and by `gdjax launch` with two processes of four devices each.
Then a longer run under `gdjax launch`, once without a stop, and once while a process, which may be the coordinator, is ended
by SIGKILL or stopped by SIGSTOP again and again: after newly committed steps, and every fourth time at a moment that has
nothing to do with the steps, also while the processes start.

Expected: parameters of the two that agree to 1e-10; after each kill a newer step within the heartbeat and a minute, with
nobody's help; and in the end parameters, optimizer state, all other leaves of the last state and metrics.jsonl (without its
seconds) with the SHA-256 of the run that never stopped. About ten minutes on 2 cores, of which `--kills 3` takes two.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .kill_and_resume import digests, newest, seconds_of

LAUNCH = ("launch", "--processes", "2", "--devices-per-process", "4", "--grace", "2")
ENGINES = {"local": (*LAUNCH, "--"), "ray": (*LAUNCH, "--engine", "ray", "--")}
WORDS = ("train", "digits", "--tune", "none", "--ensemble", "1", "--patience", "1000000", "--optimizer", "adam")
WORDS += ("--dtype", "float64", "--quick", "--quiet", "--batch-size", "64")
SHORT = (*WORDS, "--hidden", "32", "--steps", "50")
LONG = (*WORDS, "--hidden", "64", "--checkpoint-every", "1")
TOLERANCE = 1e-10
LIMIT = 70.0  # seconds: the heartbeat and a minute
PER_KILL = 4.0  # seconds of stepping
SIGNALS = (signal.SIGKILL, signal.SIGSTOP)


class Kill(NamedTuple):
    """A rank that was ended or stopped, and what came of it."""

    number: signal.Signals
    rank: int
    after: float  # seconds since the run was under way, or was started again
    step: int  # the newest that was committed
    recovered: float  # seconds to a newer one; NaN where another kill came before


def gdjax(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start a command of gdjax that trains in the folder."""
    return subprocess.Popen([sys.executable, "-m", "gdjax", *words, "--out", str(folder)])


def finish(folder: Path, *words: str) -> Path:
    """Run it to its end.   Raises: RuntimeError if it does not end well."""
    with gdjax(folder, *words) as process:
        if code := process.wait():
            raise RuntimeError(f"gdjax {' '.join(words)} must end with exit code 0, got {code}")
    return folder


def difference(one: Path, other: Path) -> float:
    """The largest difference between the parameters of two runs."""
    with np.load(one / "params.npz") as a, np.load(other / "params.npz") as b:
        names = [name for name in a if not name.startswith("sha256")]
        return max(float(np.abs(a[name] - b[name]).max()) for name in names)


def ranks_of(launcher: int) -> dict[int, int]:
    """The number of each rank -> its process, as Linux tells."""
    found = {}
    for pid in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:  # it has just ended
            continue
        if rank := re.search(rb"(?:^|\0)GDJAX_PROCESS=(\d+)\0", environment):
            found[int(rank[1])] = int(pid)
    return found


def workers_of(launcher: int) -> dict[int, int]:
    """The workers of Ray below a process, by any number from 1, since Linux does not know their ranks."""
    import psutil  # comes with Ray

    found: list[int] = []
    for process in psutil.Process(launcher).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            found += [process.pid] if process.name().startswith("ray::RayTrain") else []
    return dict(enumerate(found, 1))


def wait_for(process: subprocess.Popen[bytes], holds: Callable[[], bool]) -> float:
    """The seconds until it holds.   Raises: RuntimeError if the limit is passed, or the process has ended."""
    begun = time.monotonic()
    while not holds():
        if process.poll() is not None:
            raise RuntimeError(f"the run must be longer than its kills, it ended with exit code {process.returncode}")
        if time.monotonic() - begun > 3 * LIMIT:
            raise RuntimeError(f"the run must go on within {LIMIT:g} s, it does not within {3 * LIMIT:g} s")
        time.sleep(0.02)
    return time.monotonic() - begun


def kill_once(
    process: subprocess.Popen[bytes], folder: Path, moments: random.Random, later: float, again: bool, engine: str
) -> Kill:
    """End or stop a rank at some moment, and wait until the run has gone on, or has only been started again."""
    ranks = (lambda: workers_of(process.pid)) if engine == "ray" else lambda: ranks_of(process.pid)
    time.sleep(delay := moments.uniform(0, later))
    wait_for(process, lambda: len(ranks()) == 2)
    before, step = ranks(), newest(folder)
    rank, number = moments.choice(sorted(before)), moments.choice(SIGNALS)
    os.kill(before[rank], number)
    if again:
        wait_for(process, lambda: not set(ranks().values()) & set(before.values()))
        return Kill(number, rank, delay, step, math.nan)
    return Kill(number, rank, delay, step, wait_for(process, lambda: newest(folder) > step))


def kill_often(folder: Path, words: Sequence[str], kills: int, seed: int, engine: str) -> Iterator[Kill]:
    """The kills of a run, which then comes to its end by itself.   Raises: RuntimeError if it does not."""
    moments = random.Random(seed)
    with gdjax(folder, *ENGINES[engine], *words) as process:
        try:
            wait_for(process, lambda: newest(folder) >= 0)
            for i in range(kills):
                at_start = i % 4 == 3  # of the ranks that replace those of the kill before
                yield kill_once(
                    process, folder, moments, 6.0 if at_start else 1.0, i % 4 == 2 and i + 1 < kills, engine
                )
            if code := process.wait(600):
                raise RuntimeError(f"the run must end with exit code 0, got {code}")
        finally:
            process.kill()


def reference(place: Path, seconds: float, engine: str) -> tuple[Path, tuple[str, ...]]:
    """The run that never stops, with at least so many seconds of stepping, and its words."""
    epochs = 20
    while True:
        words = (*LONG, "--epochs", str(epochs))
        took = seconds_of(finish(place / "whole", *ENGINES[engine], *words, "--overwrite"))
        print(f"{epochs} epochs without a stop: {took:.1f} s of stepping, step {newest(place / 'whole')}", flush=True)
        if took >= seconds:
            return place / "whole", words
        epochs = int(epochs * max(1.2, 1.2 * seconds / took))


def show(kill: Kill) -> bool:
    """Print a row of the table; return whether the run has recovered in time."""
    who = "coordinator" if kill.rank == 0 else f"worker {kill.rank}"
    again = "killed again" if math.isnan(kill.recovered) else f"{kill.recovered:.1f} s"
    print(f"  {kill.number.name:8} {who:12} after {kill.after:4.1f} s at step {kill.step:6}   {again}", flush=True)
    return not kill.recovered > LIMIT


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--engine", choices=[*ENGINES], default="local", help="what starts the processes")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{name}/jax")
        apart = difference(finish(place / "one", *SHORT), finish(place / "two", *ENGINES[options.engine], *SHORT))
        print(f"one device and 2 processes x 4: parameters differ by {apart:.1e} after 50 steps, at most {TOLERANCE:g}")
        whole, words = reference(place, 10 + PER_KILL * options.kills, options.engine)
        in_time = [show(kill) for kill in kill_often(place / "cut", words, options.kills, options.seed, options.engine)]
        print(f"{len(in_time)} kills; the run goes on within {LIMIT:g} s after {sum(in_time)}")
        theirs, ours = digests(whole), digests(place / "cut")
        for part, digest in theirs.items():
            print(f"  {part:16} {digest[:16]}  {'equal' if ours[part] == digest else 'DIFFERENT: ' + ours[part][:16]}")
    return int(not (apart <= TOLERANCE and all(in_time) and theirs == ours))


if __name__ == "__main__":
    sys.exit(main())
