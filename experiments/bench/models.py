"""What does a step of a model cost in `fit`, compared with the ways in which people train it today?

    python -m experiments.bench.models [CASE ...] [--json FILE] [--repeats 7]

Every case is one architecture with the same rows, batches and optimizer in several ways, which are interleaved; wall time
and CPU time of one step are medians over the rounds, and the first call is printed apart, since it compiles. A library that
is not installed is named and left out.

    cnn-digits    two convolutions on the digits, 8x8: `fit` of our model, of Flax's and of Equinox's, against a Python
                  loop over a jitted Optax step and an Optax scan of Flax's, Equinox's loop, Flax NNX, and torch
    cnn-images    the same on 32x32x3 images
    transformer   4 blocks, 128 wide, windows of 64, batches of 12: `fit` against a Python loop over a jitted Optax step,
                  which donates nothing, the same donated, and an Optax scan, all of our model; Flax NNX, and torch
    gru           the same of a recurrent network of 64 units over 40 positions

Expected, on a quiet machine: a convolutional step takes at most 1.0 of the jitted loop's wall time on the digits and 1.3 on
the images, for each of the three models; one of the transformer at most 0.8 of the jitted loop's, 1.02 of the scan's and 1.1
of torch's. About four minutes on 2 cores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import convolutional, sequences
from .case import Case
from .recording import arguments, write
from .timing import Timing, measure, ratio

CASES: dict[str, Callable[[], Case]] = {
    "cnn-digits": convolutional.digits,
    "cnn-images": convolutional.images,
    "transformer": sequences.transformer,
    "gru": sequences.gru,
}


def report(name: str, case: Case, repeats: int) -> dict[str, Any]:
    """Print the table of a case, and return its figures."""
    found = measure({way: call for way, call in case.ways.items() if callable(call)}, repeats)
    print(f"\n{name}: {case.title}, {case.steps} steps a call, {repeats} rounds\n")
    print(f"  {'ms a step':<34}{'wall':>8}{'CPU':>8}{'first call, s':>15}")
    for way, call in case.ways.items():
        if way not in found:
            print(f"  {way:<34}{call}")
            continue
        wall, cpu = (np.median(seconds) / case.steps * 1e3 for seconds in found[way][1:])
        print(f"  {way:<34}{wall:>8.2f}{cpu:>8.2f}{found[way].first:>15.2f}")
    print(f"\n  {'ratio of wall times (quartiles), of CPU times':<62}{'asked':>8}")
    ratios = [_print_ratio(found, *each) for each in case.bounds if {each[0], each[1]} <= found.keys()]
    milliseconds = {way: [float(np.median(x)) / case.steps * 1e3 for x in t[1:]] for way, t in found.items()}
    return {"ms_wall_and_cpu": milliseconds, "first": {way: t.first for way, t in found.items()}, "ratios": ratios}


def _print_ratio(found: dict[str, Timing], ours: str, theirs: str, bound: float | None) -> dict[str, Any]:
    wall, cpu = (ratio(a, b) for a, b in zip(found[ours][1:], found[theirs][1:], strict=True))
    words = f"{ours} / {theirs}"
    print(
        f"  {words:<62}{f'{bound:.2f}' if bound else '':>8}   {wall[0]:.2f} ({wall[1]:.2f} to {wall[2]:.2f}), {cpu[0]:.2f}"
    )
    return {"ours": ours, "theirs": theirs, "bound": bound, "wall": wall, "cpu": cpu}


def main() -> None:
    parser = arguments(__doc__, repeats=7)
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], help="default: all", metavar="CASE")
    options = parser.parse_args()
    figures = {name: report(name, CASES[name](), options.repeats) for name in options.cases or CASES}
    write(options.json, figures)


if __name__ == "__main__":
    main()
