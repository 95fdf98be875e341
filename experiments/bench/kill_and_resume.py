"""Is a run that is killed again and again the run that never stopped? `python -m experiments.bench.kill_and_resume`.

A `gdjax train` on the digits with at least 30 seconds of stepping runs once without a stop. Then the same command, with a
checkpoint every second, is killed by SIGKILL at random moments and resumed, until at least ten kills came after newly
committed steps; every fourth kill comes at a moment that has nothing to do with the steps, also while the process starts.
Then it runs to its end.

Expected: parameters, optimizer state, all other leaves of the last state and metrics.jsonl (without its seconds) have the
SHA-256 of the uninterrupted run. About three minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from safetensors.numpy import load_file

SECONDS = 30.0  # of stepping, at least
WORDS = ("digits", "--tune", "none", "--ensemble", "1", "--hidden", "256", "256", "--patience", "1000000")
WORDS += ("--optimizer", "adam", "--schedule", "cosine", "--quick")
EVERY = ("--checkpoint-every", "1")


def train(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start `gdjax train` in a process of its own."""
    command = [sys.executable, "-m", "gdjax", "train", *words, "--quiet", "--out", str(folder)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def finish(folder: Path, *words: str) -> None:
    """Run it to its end.   Raises: RuntimeError if it does not end well."""
    with train(folder, *words) as process:
        if code := process.wait():
            raise RuntimeError(f"gdjax train {' '.join(words)} must end with exit code 0, got {code}")


def newest(folder: Path) -> int:
    """The newest step that is committed; -1 if there is none."""
    return max((int(path.name) for path in folder.glob("checkpoints/[0-9]*")), default=-1)


def kill_once(folder: Path, words: Sequence[str], after_commit: bool, delay: float) -> bool:
    """Start or resume the run, and kill it so many seconds after a new step is committed, or after its start.

    Returns: whether a new step had been committed.
    Raises: RuntimeError if the run ends before it is killed.
    """
    before, resume = newest(folder), ["--resume"] if (folder / "config.json").exists() else []
    with train(folder, *words, *resume) as process:
        while after_commit and newest(folder) == before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(delay)
        if process.poll() is not None:
            raise RuntimeError(f"the run must be longer than its kills, it ended with exit code {process.returncode}")
        process.send_signal(signal.SIGKILL)
    return newest(folder) > before


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the parameters, the optimizer state and the rest of the last state, and of the evaluations."""
    files = sorted((folder / "checkpoints" / str(newest(folder))).glob("arrays*.safetensors"))  # one of each process
    leaves = {name: x for file in files for name, x in load_file(file).items()}
    parts = {"parameters": hashlib.sha256(), "optimizer state": hashlib.sha256(), "the rest": hashlib.sha256()}
    for name, x in sorted(leaves.items()):
        of = "parameters" if name.startswith(".state.params") else "optimizer state"
        part = parts[of if name.startswith((".state.params", ".state.opt_state")) else "the rest"]
        part.update(f"{name} {x.dtype} {x.shape} ".encode() + x.tobytes())
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    lines = [json.dumps({name: value for name, value in row.items() if name != "seconds"}) for row in rows]
    found = {name: part.hexdigest() for name, part in parts.items()}
    return {**found, "metrics.jsonl": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


def seconds_of(folder: Path) -> float:
    return float(json.loads((folder / "result.json").read_text())["seconds"])


def reference(place: Path, epochs: int, seconds: float) -> tuple[Path, int]:
    """The uninterrupted run with at least so many seconds of stepping, and its number of epochs."""
    while True:
        finish(place / "whole", *WORDS, *EVERY, "--epochs", str(epochs), "--overwrite")
        took = seconds_of(place / "whole")
        print(f"{epochs} epochs without a stop: {took:.1f} s of stepping, step {newest(place / 'whole')}", flush=True)
        if took >= seconds:
            return place / "whole", epochs
        epochs = int(epochs * max(1.2, 1.2 * seconds / took))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="kills after newly committed steps, at least")
    parser.add_argument(
        "--epochs", type=int, default=300, help="of the first try; more if they take less than 30 seconds"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{name}/jax")
        whole, epochs = reference(Path(name), options.epochs, max(SECONDS, 3.0 * options.kills))
        cut, kills, counted = Path(name) / "cut", 0, 0
        words = (*WORDS, *EVERY, "--epochs", str(epochs))
        while counted < options.kills:
            after_commit = kills % 4 != 3
            before, delay = newest(cut), moments.uniform(0, 1.0 if after_commit else 6.0)
            committed = kill_once(cut, words, after_commit, delay)
            kills, counted = kills + 1, counted + committed
            print(f"kill {kills}: step {before} -> {newest(cut)}, {'after a new step' if committed else 'no new step'}")
            sys.stdout.flush()
        finish(cut, *words, "--resume")
        results = json.loads((cut / "result.json").read_text())
        print(f"{kills} kills, {counted} of them after newly committed steps; resumed at {results['resumed_at']}")
        theirs, ours = digests(whole), digests(cut)
        for part, digest in theirs.items():
            print(f"  {part:16} {digest[:16]}  {'equal' if ours[part] == digest else 'DIFFERENT: ' + ours[part][:16]}")
    return int(theirs != ours)


if __name__ == "__main__":
    sys.exit(main())
