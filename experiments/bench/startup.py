"""What does a start cost: the import, and the first step of a second process? `python -m experiments.bench.startup`.

    import       `import gdjax` beside `import jax, optax`, in fresh interleaved processes, byte code written; and beside it
                 the import with what a run of `gd.fit` touches
    one epoch    a script with `gd.fit` on arrays, and on digits, whose table scikit-learn reads; and `gdjax train digits`,
                 with its baselines, pictures and report; in processes one after the other that share the compilation cache
                 of JAX: the programs that each compiles, the seconds from its start to the end of this, and to its own end

Expected: the import takes at most 1.15 of that of JAX and Optax; a second process compiles nothing, and has taken its first
step within 2.5 s on a quiet machine. About two minutes on 2 cores.
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

TOUCHED = "import gdjax as gd; gd.fit, gd.adam, gd.per_example, gd.supervised, gd.models.mlp"
IMPORTS = {"jax, optax": "import jax, optax", "gdjax": "import gdjax", "gdjax, touched": TOUCHED}
PROCESSES = 5  # with a warm cache, of each program
LISTEN = """
import json, time, jax
counts = {"hits": 0, "misses": 0}
def hear(event, **_):
    kind = event.rpartition("/cache_")[2]
    if kind in counts:
        counts[kind] += 1
jax.monitoring.register_event_listener(hear)
"""
FIT = """
import gdjax as gd
loss = gd.per_example(gd.supervised(gd.models.mlp((64, 128, 128, 10)), gd.softmax_cross_entropy_with_integer_labels))
params = gd.models.mlp((64, 128, 128, 10)).init(jax.random.key(0))
gd.fit(loss, params, gd.adam(1e-3), (x[:1400], y[:1400]), (x[1400:], y[1400:]), epochs=1)
"""
TRAIN = """
import sys, contextlib
from gdjax.cli.main import main
with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):
    main(["train", "digits", "--epochs", "1", "--seed", "0", "--out", sys.argv[1]])
"""
SAY = "print(json.dumps({**counts, 'at': time.time()}))"
ARRAYS = "import numpy as np; x, y = np.random.rand(1797, 64).astype('float32'), np.arange(1797) % 10"
DIGITS = "import gdjax; table = gdjax.data.load('digits'); x, y = table.x, table.y"
PROGRAMS = {
    "gd.fit on arrays": f"{LISTEN}{ARRAYS}{FIT}{SAY}",
    "gd.fit on digits": f"{LISTEN}{DIGITS}{FIT}{SAY}",
    "gdjax train digits": f"{LISTEN}{TRAIN}{SAY}",
}


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


def again(code: str, place: dict[str, str], folder: Path, processes: int) -> list[dict[str, Any]]:
    """The processes of a program, one after the other: seconds, and programs found and not found in the cache."""
    runs = []
    for number in range(processes):
        started = time.time()
        wall, cpu, said = seconds(code, place, str(folder / str(number)))
        run = json.loads(said)
        runs.append({"epoch": run.pop("at") - started, "wall": wall, "cpu": cpu, **run})
    return runs


def show_imports(found: dict[str, Any]) -> dict[str, Any]:
    """Print the imports, and return the median and quartiles of their ratios to JAX and Optax."""
    base, ratios = np.array(found["jax, optax"]), {}
    for name, each in found.items():
        wall, cpu = np.median(each, 0)
        print(f"  {name:<18}{wall:>9.2f}{cpu:>9.2f}", end="")
        if name != "jax, optax":
            quartiles = np.quantile(np.array(each) / base, [0.5, 0.25, 0.75], axis=0).T
            ratios[name] = dict(zip(("wall", "cpu"), quartiles.tolist(), strict=True))
            print(" " * 4, *("{:.2f} ({:.2f} to {:.2f})  ".format(*x) for x in quartiles), end="")
        print()
    return ratios


def main() -> None:
    options = arguments(__doc__, repeats=15).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = environment(folder)
        print(
            f"\n  {'import':<18}{'wall, s':>9}{'CPU, s':>9}     beside JAX and Optax, {options.repeats} processes each"
        )
        figures: dict[str, Any] = {"import, beside jax and optax": show_imports(imports(options.repeats, place))}
        print(f"\n  {'one epoch':<22}{'until it, s':>12}{'process, s':>12}{'CPU, s':>9}   programs compiled, found")
        for name, code in PROGRAMS.items():
            figures[name] = again(code, place, Path(folder) / name.replace(" ", "-"), 1 + PROCESSES)
            first, *others = figures[name]
            warm = {key: float(np.median([run[key] for run in others])) for key in first}
            for title, run in ((name, first), ("    again", warm)):
                figure = "{epoch:>12.2f}{wall:>12.2f}{cpu:>9.2f}   {misses:g}, {hits:g}".format(**run)
                print(f"  {title:<22}{figure}")
    write(options.json, figures)


if __name__ == "__main__":
    main()
