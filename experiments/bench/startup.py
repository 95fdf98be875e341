"""What does a start cost: the import, and the first step of a second process? `python -m experiments.bench.startup`.

    import       `import gdjax` beside `import jax, optax`, in fresh interleaved processes, byte code written
    second run   a script with `gd.fit`, and `gdjax train digits`, in two processes one after the other that share the
                 compilation cache of JAX: programs that each compiles, and its seconds, one epoch of training

Expected: the import takes at most 1.15 of that of JAX and Optax; a second process compiles nothing, and has taken its first
step within 2.5 s on a quiet machine. About a minute on 2 cores.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from .recording import arguments, write

IMPORTS = {"jax, optax": "import jax, optax", "gdjax": "import gdjax"}
LISTEN = """
import json, time, jax
counts = {"hits": 0, "misses": 0}
def hear(event, **_):
    kind = event.rpartition("/cache_")[2]
    if kind in counts:
        counts[kind] += 1
jax.monitoring.register_event_listener(hear)
"""
SCRIPT = (
    LISTEN
    + """
import gdjax as gd
table = gd.data.load("digits")
loss = gd.per_example(gd.supervised(gd.models.mlp((64, 128, 128, 10)), gd.softmax_cross_entropy_with_integer_labels))
params = gd.models.mlp((64, 128, 128, 10)).init(jax.random.key(0))
gd.fit(loss, params, gd.adam(1e-3), (table.x[:1400], table.y[:1400]), (table.x[1400:], table.y[1400:]), epochs=1)
print(json.dumps(counts))
"""
)
COMMAND = (
    LISTEN
    + """
import sys, contextlib
from gdjax.cli.main import main
with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):
    main(["train", "digits", "--epochs", "1", "--seed", "0", "--out", sys.argv[1]])
print(json.dumps(counts))
"""
)


def seconds(code: str, environment: dict[str, str], *words: str) -> tuple[float, float, str]:
    """Wall and CPU seconds of a process, and what it printed last."""
    before, used = time.perf_counter(), _used()
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env=environment, capture_output=True, text=True, check=True
    )
    lines = done.stdout.strip().splitlines()
    return time.perf_counter() - before, _used() - used, lines[-1] if lines else ""


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def environment(cache: str) -> dict[str, str]:
    """That of this process, with byte code and compiled programs written."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHONDONTWRITE")}
    where = {"PYTHONPYCACHEPREFIX": f"{cache}/bytecode", "JAX_COMPILATION_CACHE_DIR": f"{cache}/programs"}
    return {**kept, **where, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


def imports(repeats: int, place: dict[str, str]) -> dict[str, Any]:
    """name -> [(wall, CPU) of each process], interleaved, after one that writes the byte code."""
    found: dict[str, Any] = {name: [] for name in IMPORTS}
    for code in IMPORTS.values():
        seconds(code, place)
    for i in range(repeats):
        for name in list(IMPORTS) if i % 2 == 0 else list(reversed(IMPORTS)):
            found[name].append(seconds(IMPORTS[name], place)[:2])
    return found


def twice(code: str, place: dict[str, str], folder: Path) -> list[dict[str, Any]]:
    """The first and the second process of a program: seconds, and programs found and not found in the cache."""
    runs = []
    for number in ("first", "second"):
        wall, cpu, said = seconds(code, place, str(folder / number))
        runs.append({"wall": wall, "cpu": cpu, **json.loads(said)})
    return runs


def main() -> None:
    options = arguments(__doc__, repeats=15).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = environment(folder)
        found = imports(options.repeats, place)
        ratios = np.array(found["gdjax"]) / np.array(found["jax, optax"])
        print(f"\n  {'':<14}{'wall, s':>9}{'CPU, s':>9}   ({options.repeats} processes each)")
        for name, each in found.items():
            wall, cpu = np.median(each, 0)
            print(f"  {name:<14}{wall:>9.2f}{cpu:>9.2f}")
        ratio = {
            clock: np.quantile(x, [0.5, 0.25, 0.75]).tolist()
            for clock, x in zip(("wall", "cpu"), ratios.T, strict=True)
        }
        print(
            "  gdjax / jax, optax: " + ", ".join("{} {:.2f} ({:.2f} to {:.2f})".format(k, *v) for k, v in ratio.items())
        )
        figures: dict[str, Any] = {"import, gdjax / jax and optax": ratio}
        for name, code in {"a script with gd.fit": SCRIPT, "gdjax train digits": COMMAND}.items():
            figures[name] = twice(code, place, Path(folder))
            for number, run in zip(("first", "second"), figures[name], strict=True):
                print(
                    f"  {name}, {number} process: {run['wall']:.2f} s, CPU {run['cpu']:.2f} s; {run['misses']} programs "
                    f"compiled, {run['hits']} found"
                )
    write(options.json, figures)


if __name__ == "__main__":
    main()
