"""A process that runs one peer: it reads requests as lines of JSON, and answers each with one.

    {"build": {fields of a TrainingCase}}     -> seconds of building
    {"call": true}                            -> wall and CPU seconds, accuracies, seconds of tracing and compiling by JAX
    {"peak": true}                            -> bytes of memory: at most so far, and after the imports

A process of its own for each peer keeps the threads and the memory of one library from another, and shows what a start
costs; those that wait for a line take no CPU time.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import sys
import time

DISTRIBUTIONS = {"sklearn": "scikit-learn"}
KINDS = {
    "jaxpr_trace_duration": "trace",
    "jaxpr_to_mlir_module_duration": "trace",
    "backend_compile_duration": "compile",
}


class Worker:
    """A peer in this process."""

    def __init__(self, name: str):
        before = time.perf_counter()
        self.peer = importlib.import_module(f".peers.{name}", __package__)
        self.seconds = {"import": time.perf_counter() - before}
        self.compiled = {"trace": 0.0, "compile": 0.0, "programs": 0}
        if "jax" in sys.modules:
            sys.modules["jax"].monitoring.register_event_duration_secs_listener(self._hear)
        self.imported = peak()
        self.call = None

    def _hear(self, event: str, seconds: float, **_: object) -> None:
        kind = KINDS.get(event.rsplit("/", 1)[-1])
        if kind:
            self.compiled[kind] += seconds
            self.compiled["programs"] += kind == "compile"

    def hello(self) -> dict:
        return {
            "name": self.peer.NAME,
            "versions": {package: version_of(package) for package in self.peer.PACKAGES},
            "import_s": self.seconds["import"],
        }

    def answer(self, request: dict) -> dict:
        before, cpu = time.perf_counter(), time.process_time()
        self.compiled.update(trace=0.0, compile=0.0, programs=0)
        found: dict = {}
        if "build" in request:
            from .training_case import TrainingCase

            self.call = self.peer.build(TrainingCase.of(request["build"]))
        elif "call" in request:
            found["accuracy"] = [float(x) for x in self.call()]
        elif "peak" in request:
            return {"peak": peak(), "imported": self.imported}
        wall, used = time.perf_counter() - before, time.process_time() - cpu
        return {"wall": wall, "cpu": used, **found, **self.compiled}


def version_of(package: str) -> str:
    try:
        return importlib.metadata.version(DISTRIBUTIONS.get(package, package))
    except importlib.metadata.PackageNotFoundError:
        return "from a checkout"


def peak() -> int:
    """The most memory that this process has held, in bytes; `getrusage` would count that of its parent too."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024


def main() -> None:
    out = os.fdopen(os.dup(1), "w")  # answers; what a library prints goes to stderr
    os.dup2(2, 1)
    worker = Worker(sys.argv[1])
    print(json.dumps(worker.hello()), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(worker.answer(json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
    main()
