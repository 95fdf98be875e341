"""What do a step's time and memory become on 1, 2, 4 and 8 devices, and what do these exchange?

    python -m experiments.bench.scaling [--json FILE] [--repeats 7] [--devices 1 2 4 8]

A network of 1.3 million parameters (256-1024-1024-10, Adam, float32, a batch of 256 rows) with its rows divided over virtual
devices of this CPU, in two ways: parameters on every device, and split over them ("fsdp"). Each number of devices has a
process of its own; these take turns, a few steps each, and medians of their times are compared, round by round.

    memory      on each device: parameters and the optimizer's state, what a step computes with, and all at most
    collectives of one step, counted from the compiled program: bytes reduced and gathered, for each byte of parameters
    work        operations in matrix products on all devices together, for each of one device alone

Virtual devices share the cores of this machine, so nothing can become faster, and more work becomes slower: all products
together are those of one device, but with parameters on every device each of them makes the whole update, which is added up
here and would take no longer on accelerators. What is measured beyond is what the division costs (smaller products, more
threads than cores, exchange through memory). None of it predicts the time on accelerators. What is counted is theirs too,
but that XLA sums the gradients of fsdp on a CPU in full where an accelerator reduces and scatters them. The page scaling.md
plans with these counts.

Expected: work 1.00 everywhere, one byte reduced for each byte of parameters, parameters and state of fsdp at most 1.05 / N
of those of one device. A minute or two on 2 cores.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from gdjax.text import table

from .recording import arguments, write
from .timing import ratio

SIZES, ROWS, BATCH, STEPS = (256, 1024, 1024, 10), 2048, 256, 5
PARAMETERS = 4 * sum((a + 1) * b for a, b in itertools.pairwise(SIZES))  # bytes
WAYS = {"data parallel": None, "fsdp": "fsdp"}


def child() -> None:
    """One number of devices: says what its programs do, then runs the one that is asked for, and says its seconds."""
    import jax

    programs = {}
    for way, params in WAYS.items():
        programs[way], said = prepare(way, params, len(jax.devices()))
        print(json.dumps(said), flush=True)
    for line in sys.stdin:
        before = time.perf_counter()
        programs[line.strip()]()
        print(time.perf_counter() - before, flush=True)


def prepare(way: str, params: str | None, devices: int) -> tuple[Any, dict[str, Any]]:
    """A function that takes STEPS steps, compiled, and what its step does."""
    import jax

    import gdjax as gd

    place = gd.placement(jax.make_mesh((devices,), ("data",)), params=params)  # type: ignore[arg-type]
    model = gd.models.mlp(SIZES)
    loss = gd.per_example(gd.supervised(model, gd.losses.softmax_cross_entropy_with_integer_labels))
    epoch = gd.make_epoch(gd.make_step(loss), BATCH, placement=place)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(ROWS, SIZES[0])).astype(np.float32), rng.integers(0, SIZES[-1], ROWS).astype(np.int32)
    rows = place.put_rows(rows)
    state = gd.make_state(place.init(model.init, jax.random.key(0)), gd.adam(1e-3), placement=place)
    found = gd.explain_placement(epoch, state, rows)
    program, held = jax.jit(epoch, donate_argnums=0), [state]

    def run() -> None:
        held[0], _ = program(held[0], rows, np.int32(STEPS))
        jax.block_until_ready(held)

    run()
    return run, {"way": way, "devices": devices, **figures_of(found)}


def figures_of(found: Any) -> dict[str, Any]:
    """The memory, the work and the collectives of a step."""
    exchanged: dict[str, int] = {}
    for each in found.collectives:
        exchanged[each.kind] = exchanged.get(each.kind, 0) + each.bytes
    return {
        "state": found.memory.parameters + found.memory.optimizer,
        "computed with": found.memory.gradients + found.memory.activations,
        "at most": found.memory.program,
        "work": found.work,
        "collectives": len(found.collectives),
        "exchanged": exchanged,
    }


@contextlib.contextmanager
def processes(numbers: list[int]) -> Iterator[dict[int, subprocess.Popen]]:
    """A process for each number of devices; all end with the block."""
    started = {}
    try:
        for number in numbers:
            flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={number}", "JAX_PLATFORMS": "cpu"}
            command = [sys.executable, "-m", f"{__package__}.scaling", "--child"]
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            started[number] = subprocess.Popen(command, env=os.environ | flags, **pipes)
        yield started
    finally:
        for each in started.values():
            each.kill()
            each.communicate()


def ask(process: subprocess.Popen, way: str) -> float:
    """The seconds of a few steps."""
    print(way, file=process.stdin, flush=True)
    return float(answer(process))


def answer(process: subprocess.Popen) -> str:
    line = process.stdout.readline()  # type: ignore[union-attr]
    if not line:
        raise SystemExit(f"scaling: a process ended with {process.wait()}")
    return line


def measure(numbers: list[int], repeats: int) -> tuple[dict[tuple[str, int], dict], dict[tuple[str, int], np.ndarray]]:
    """What the step of each way does on each number of devices, and its seconds in each round."""
    with processes(numbers) as started:
        said = [json.loads(answer(each)) for each in started.values() for _ in WAYS]
        figures = {(each["way"], each["devices"]): each for each in said}
        seconds: dict[tuple[str, int], list[float]] = {key: [] for key in figures}
        for i in range(repeats):
            for way, number in list(figures) if i % 2 == 0 else list(reversed(figures)):
                seconds[way, number].append(ask(started[number], way) / STEPS)
    return figures, {key: np.array(values) for key, values in seconds.items()}


def report(figures: dict[tuple[str, int], dict], seconds: dict[tuple[str, int], np.ndarray]) -> str:
    """The table of all ways on all numbers of devices."""
    one = seconds["data parallel", min(number for _, number in figures)]
    head = (
        "",
        "devices",
        "ms a step",
        "of one (quartiles)",
        "MB: state",
        "computed",
        "at most",
        "work",
        "reduced",
        "gathered",
    )
    lines = [head]
    for (way, number), each in sorted(figures.items()):
        median, low, high = ratio(seconds[way, number], one)
        megabytes = (f"{each[name] / 1e6:.2f}" for name in ("state", "computed with", "at most"))
        exchanged = (f"{each['exchanged'].get(kind, 0) / PARAMETERS:.3f}" for kind in ("all-reduce", "all-gather"))
        times = f"{np.median(seconds[way, number]) * 1e3:.1f}", f"{median:.2f} ({low:.2f} to {high:.2f})"
        lines.append((way, str(number), *times, *megabytes, f"{each['work']:.2f}", *exchanged))
    title = f"{'-'.join(map(str, SIZES))}, batch {BATCH}, {os.cpu_count()} cores"
    return f"{title}\n\n{table(lines, right=range(1, len(head)))}"


def main() -> None:
    parser = arguments(__doc__, repeats=7)
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child()
    figures, seconds = measure(options.devices, options.repeats)
    print(report(figures, seconds))
    medians = {f"{way}, {number}": float(np.median(values)) for (way, number), values in seconds.items()}
    about = {"cores": os.cpu_count(), "parameters": PARAMETERS}
    write(options.json, {**about, "figures": [figures[key] for key in sorted(figures)], "seconds a step": medians})
    return None


if __name__ == "__main__":
    main()
