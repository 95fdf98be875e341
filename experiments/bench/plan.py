"""What would a model of 1e9 parameters need on 64 to 4,096 accelerators: memory, exchange and time of a step?

    python -m experiments.bench.plan [--parameters 1e9] [--tokens 4194304] [--layers 24]

Nothing is measured here. The bytes that a step exchanges are those that `experiments.bench.scaling` counts in compiled
programs, the bandwidths are published ones, and the rest are the formulas below; the page scaling.md shows the tables, the
sources, and what they do not say.

    exchange  all-gather and reduce-scatter of S bytes over N: (N-1)/N S / W(N) + L(N); an all-reduce is one of each
    W(N)      bytes that each accelerator sends in a second: those of the links inside a domain, or, beyond it, no more than
              what leaves the domain, which the ring of each accelerator passes once
    L(N)      seconds until the first byte has gone around: hops, one by one inside a domain, log2 of the domains beyond it
    compute   6 operations for each parameter and token, at a share of the peak
    step      between the longer of both, if exchange hides behind computing, and their sum, if none of it does
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Iterable

from gdjax.text import table

FLOAT = 4  # bytes of a parameter, of its gradient and of each of Adam's two moments
UTILIZATION = 0.4  # of the peak, which a well-tuned transformer reaches
NUMBERS = (64, 256, 1024, 4096)
COUNTED = {  # bytes exchanged in a step for each byte of parameters, by `experiments.bench.scaling` on a CPU
    "data parallel": {"all-reduce": 1.0},
    "fsdp": {"all-reduce": 1.0, "all-gather": 1.0},
}


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """What is published of one."""

    name: str
    memory: float  # bytes
    peak: float  # operations a second in bfloat16
    inside: float  # bytes a second that each sends inside a domain
    outside: float  # and beyond it
    domain: int  # accelerators that are linked directly: a node, a slice, a pod
    hop: float  # seconds from one to the next inside a domain
    hop_outside: float  # and from domain to domain; 0 where nothing is published
    axes: int = 1  # of the torus of a domain; 1 is a ring, or a switch

    def bandwidth(self, number: int) -> float:
        """Bytes a second at which each of so many takes part in an exchange."""
        return self.inside if number <= self.domain else min(self.inside, self.domain * self.outside)

    def latency(self, number: int) -> float:
        """Seconds of the hops of one all-gather or reduce-scatter."""
        within = min(number, self.domain)
        side = within ** (1 / self.axes)  # of a torus: half of each side, as data go both ways
        hops = within - 1 if self.axes == 1 else self.axes * side / 2
        return hops * self.hop + math.ceil(math.log2(max(1, number / self.domain))) * self.hop_outside

    def seconds(self, kind: str, size: float, number: int, pieces: int = 1) -> float:
        """Of the exchange of so many bytes, in a number of pieces."""
        passes = {"all-reduce": 2, "all-gather": 1, "reduce-scatter": 1}[kind]
        return passes * ((number - 1) / number * size / self.bandwidth(number) + pieces * self.latency(number))


def ring_latency(accelerator: Accelerator, number: int) -> float:
    """As `latency`, of one ring through all of them: it grows with their number."""
    domains = number / accelerator.domain
    return (number - domains) * accelerator.hop + (domains - 1) * accelerator.hop_outside


H100 = Accelerator("H100 SXM", 80e9, 989e12, 450e9, 50e9, 8, 3.4e-6, 14e-6)
V5P = Accelerator("TPU v5p", 95 * 2**30, 459e12, 600e9, 6.25e9, 6144, 1e-6, 0, axes=3)
V5E = Accelerator("TPU v5e", 16e9, 197e12, 200e9, 3.125e9, 256, 1e-6, 0, axes=2)
ACCELERATORS = (H100, V5P, V5E)


@dataclasses.dataclass(frozen=True)
class Model:
    """A model and the tokens that a step reads, on all accelerators together."""

    parameters: float = 1e9
    tokens: int = 1 << 22
    layers: int = 24

    @property
    def size(self) -> float:
        """Bytes of the parameters."""
        return FLOAT * self.parameters


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to divide a step: what is held, and what is exchanged, of how many bytes and in how many pieces."""

    name: str
    divided: bool  # whether parameters and moments are
    layerwise: bool  # whether no more than two layers are whole at a time, gathered again in the backward pass
    exchange: tuple[tuple[str, float], ...]  # kind, bytes for each byte of parameters

    def memory(self, model: Model, number: int) -> tuple[float, float]:
        """Bytes on each of so many accelerators: those of the state, and those that a step needs beside activations."""
        parts = number if self.divided else 1
        state = 3 * model.size / parts
        if not self.divided:
            return state, model.size
        whole = 2 * model.size / model.layers
        return state, model.size / parts + whole if self.layerwise else 2 * model.size

    def seconds(self, accelerator: Accelerator, model: Model, number: int) -> float:
        """Of the exchange of a step."""
        pieces = model.layers if self.layerwise else 1
        return sum(share * accelerator.seconds(kind, model.size, number, pieces) for kind, share in self.exchange)


def scattered(counted: dict[str, float]) -> tuple[tuple[str, float], ...]:
    """What is exchanged where a sum whose parts are kept apart is reduced and scattered, as accelerators do."""
    return tuple(("reduce-scatter" if kind == "all-reduce" else kind, share) for kind, share in counted.items())


DATA_PARALLEL = Way("data parallel", False, False, tuple(COUNTED["data parallel"].items()))
FSDP = Way("fsdp", True, False, scattered(COUNTED["fsdp"]))
LAYERWISE = Way("fsdp by layer", True, True, (("all-gather", 2.0), ("reduce-scatter", 1.0)))
WAYS = (DATA_PARALLEL, FSDP, LAYERWISE)


def computing(accelerator: Accelerator, model: Model, number: int) -> float:
    """Seconds of forward and backward pass on each of so many."""
    return 6 * model.parameters * model.tokens / number / (UTILIZATION * accelerator.peak)


Rows = list[tuple[str, ...]]


def memory_table(model: Model, numbers: Iterable[int] = NUMBERS) -> Rows:
    """GB on each accelerator, without activations."""
    rows: Rows = [("GB on each", *(f"{number:,}" for number in numbers))]
    for way in WAYS:
        held = (way.memory(model, number) for number in numbers)
        rows.append((way.name, *(f"{state / 1e9:.2f} + {needed / 1e9:.2f}" for state, needed in held)))
    return rows


def limit_table(model: Model, number: int = NUMBERS[0]) -> Rows:
    """The most parameters that fit one accelerator of so many, without activations: memory is proportional to them."""
    rows: Rows = [(f"parameters at most, on {number}", *(each.name for each in ACCELERATORS))]
    for way in WAYS:
        share = model.parameters / sum(way.memory(model, number))
        rows.append((way.name, *(f"{share * each.memory / 1e9:,.1f}e9" for each in ACCELERATORS)))
    return rows


def exchange_table(model: Model, numbers: Iterable[int] = NUMBERS) -> Rows:
    """GB that each accelerator sends in a step."""
    rows: Rows = [("GB sent by each", *(f"{number:,}" for number in numbers))]
    for way in WAYS:
        passes = sum((2 if kind == "all-reduce" else 1) * share for kind, share in way.exchange)
        sent = (passes * (number - 1) / number * model.size for number in numbers)
        rows.append((way.name, *(f"{each / 1e9:.2f}" for each in sent)))
    return rows


def time_table(accelerator: Accelerator, model: Model, numbers: Iterable[int] = NUMBERS) -> Rows:
    """Milliseconds of a step: computing, the exchange of each way, and the step with it."""
    rows: Rows = [(f"{accelerator.name}, ms", *(f"{number:,}" for number in numbers))]
    compute = [computing(accelerator, model, number) for number in numbers]
    rows.append(("computing", *(f"{each * 1e3:.1f}" for each in compute)))
    for way in WAYS:
        exchange = [way.seconds(accelerator, model, number) for number in numbers]
        rows.append((f"{way.name}: exchange", *(f"{each * 1e3:.1f}" for each in exchange)))
        steps = zip(compute, exchange, strict=True)
        rows.append((f"{way.name}: a step", *(f"{max(a, b) * 1e3:.1f} to {(a + b) * 1e3:.1f}" for a, b in steps)))
    return rows


def latency_table(accelerator: Accelerator, numbers: Iterable[int] = NUMBERS) -> Rows:
    """Microseconds until the first byte has gone around, by one ring and by the hops of `latency`."""
    rows: Rows = [(f"{accelerator.name}, us", *(f"{number:,}" for number in numbers))]
    rows.append(("one ring", *(f"{ring_latency(accelerator, number) * 1e6:,.0f}" for number in numbers)))
    rows.append(("ring inside, tree beyond", *(f"{accelerator.latency(number) * 1e6:,.0f}" for number in numbers)))
    return rows


def tables(model: Model) -> list[Rows]:
    times = [time_table(each, model) for each in ACCELERATORS]
    return [memory_table(model), limit_table(model), exchange_table(model), *times, latency_table(H100)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=float, default=Model.parameters)
    parser.add_argument("--tokens", type=int, default=Model.tokens, help="of a step, on all accelerators together")
    parser.add_argument("--layers", type=int, default=Model.layers)
    options = parser.parse_args()
    for rows in tables(Model(options.parameters, options.tokens, options.layers)):
        print(f"{table(rows, right=range(1, len(rows[0])))}\n")


if __name__ == "__main__":
    main()
