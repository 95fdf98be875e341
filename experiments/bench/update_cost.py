"""What one update costs, in time and in compilation, against Optax: `python -m experiments.bench.update_cost`.

Optimizer by optimizer and shape by shape, ours and Optax's take turns, parameters and state donated; beside them the time
to copy the parameters and the state once (no update can be faster than its memory), torch's fused AdamW where torch is
installed, and `stacked(...)`, which treats leaves of one shape as one array. Ratios are ours / Optax, the median of the
rounds with the interval that holds it in 96 % of cases (the 4th and the 12th of 15). Expected: no interval above 1.05 for
the step or for trace + lower + compile; stacked at most 0.5 of Optax's step on 1,000 leaves. Where compiling takes long its
rounds are fewer, 3 at least (--budget); the number of rounds is printed. About 40 minutes on 2 cores; --only and --shapes
choose a part of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax import contrib

import gdjax as gd

from .recording import arguments, write
from .timing import interleave

RATE = 1e-3
SHAPES = {"large": (1, (5000, 5000)), "medium": (300, (250, 200)), "small": (1000, (25, 40))}
OPTIMIZERS: dict[str, tuple[Callable, Callable]] = {
    "sgd": (gd.sgd, optax.sgd),
    "momentum": (lambda rate: gd.sgd(rate, momentum=0.9), lambda rate: optax.sgd(rate, momentum=0.9)),
    "adam": (gd.adam, optax.adam),
    "adamw": (gd.adamw, optax.adamw),
    "lion": (gd.lion, optax.lion),
    "lamb": (gd.lamb, optax.lamb),
    "adafactor": (gd.adafactor, optax.adafactor),
    "muon": (gd.muon, contrib.muon),
}
BOUND = 1.05
LEAST = 3  # rounds of compilation


def leaves_of(name: str, shape: str) -> list[tuple[int, ...]]:
    number, leaf = SHAPES[shape]
    return [(1024, 1024)] if (name, shape) == ("muon", "large") else [leaf] * number


def tree_of(shapes: list[tuple[int, ...]]) -> dict[str, jax.Array]:
    return {f"leaf{i:04}": jnp.full(shape, 0.1, jnp.float32) for i, shape in enumerate(shapes)}


def step(optimizer: Any, params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
    updates, state = optimizer.update(grads, state, params)
    return optax.apply_updates(params, updates), state


def stepping(optimizer: Any, shapes: list[tuple[int, ...]]) -> Callable[[], Any]:
    """A call makes one donated step, whose result the next one takes."""
    ours = isinstance(optimizer, gd.Optimizer)
    program = jax.jit(step if ours else lambda _, *args: step(optimizer, *args), donate_argnums=(1, 2))
    argument = optimizer.canonicalize() if ours else 0
    params, grads = tree_of(shapes), tree_of(shapes)
    carry = (params, jax.tree.map(lambda x: jnp.array(x, copy=True), optimizer.init(params)))

    def call():
        nonlocal carry
        carry = program(argument, *carry, grads)
        return carry

    return call


def copying(optimizer: Any, shapes: list[tuple[int, ...]]) -> Callable[[], Any]:
    """The floor: parameters and state read once and written once."""
    params = tree_of(shapes)
    program = jax.jit(lambda tree: jax.tree.map(lambda x: x + jnp.ones((), x.dtype), tree), donate_argnums=0)
    carry = jax.tree.map(lambda x: jnp.array(x, copy=True), (params, optimizer.init(params)))

    def call():
        nonlocal carry
        carry = program(carry)
        return carry

    return call


def torch_fused(shapes: list[tuple[int, ...]]) -> Callable[[], Any] | None:
    try:
        import torch
    except ImportError:
        return None
    params = [torch.full(shape, 0.1, requires_grad=True) for shape in shapes]
    for p in params:
        p.grad = torch.full_like(p, 0.1)
    optimizer = torch.optim.AdamW(params, lr=RATE, fused=True)
    return lambda: optimizer.step() or 0


def compiling(optimizer: Any, shapes: list[tuple[int, ...]]) -> Callable[[], float]:
    """Seconds to trace, lower and compile one step, every cache of JAX empty."""
    ours = isinstance(optimizer, gd.Optimizer)
    params = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree_of(shapes))
    argument = optimizer.canonicalize() if ours else 0

    def call() -> float:
        jax.clear_caches()
        state = jax.eval_shape(optimizer.init, params)
        program = jax.jit(step if ours else lambda _, *args: step(optimizer, *args), donate_argnums=(1, 2))
        before = time.perf_counter()
        program.lower(argument, params, state, params).compile()
        return time.perf_counter() - before

    return call


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """The median and the order statistics that hold it in about 96 % of cases."""
    ordered, half = np.sort(values), 0.5 * len(values)
    low = max(int(half - math.sqrt(len(values))), 0)
    return float(np.median(ordered)), float(ordered[low]), float(ordered[-1 - low])


def turns(calls: dict[str, Callable[[], float]], repeats: int, budget: float) -> dict[str, np.ndarray]:
    """What each call says it took, in turns; once the budget of seconds is spent no more rounds than LEAST."""
    began, rounds = time.perf_counter(), []
    while len(rounds) <= (repeats if time.perf_counter() - began < budget else min(repeats, LEAST)):
        rounds.append({name: call() for name, call in calls.items()})
    return {name: np.array([r[name] for r in rounds[1:]]) for name in calls}


def measure(name: str, shape: str, repeats: int, budget: float) -> dict[str, Any]:
    """All figures of one optimizer on one tree."""
    make, theirs = OPTIMIZERS[name]
    shapes = leaves_of(name, shape)
    candidates = {"ours": make(RATE), "optax": theirs(RATE)}
    if shape == "small":
        candidates["stacked"] = gd.stacked(make(RATE))
    calls = {who: stepping(optimizer, shapes) for who, optimizer in candidates.items()}
    calls["copy"] = copying(make(RATE), shapes)
    if name == "adamw" and (fused := torch_fused(shapes)) is not None:
        calls["torch"] = fused
    seconds = interleave(calls, repeats)
    compiles = turns({who: compiling(optimizer, shapes) for who, optimizer in candidates.items()}, repeats, budget)
    figures: dict[str, Any] = {"ms": {who: float(np.median(s)) * 1e3 for who, s in seconds.items()}}
    figures["compile rounds"] = len(compiles["optax"])
    figures["compile_s"] = {who: float(np.median(s)) for who, s in compiles.items()}
    for who in calls:
        figures[f"step: {who}/optax"] = interval(seconds[who] / seconds["optax"])
    for who in compiles:
        figures[f"compile: {who}/optax"] = interval(compiles[who] / compiles["optax"])
    return figures


def main() -> None:
    parser = arguments(__doc__, repeats=15)
    parser.add_argument("--only", nargs="*", default=list(OPTIMIZERS), choices=OPTIMIZERS, help="optimizers")
    parser.add_argument("--shapes", nargs="*", default=list(SHAPES), choices=SHAPES, help="trees")
    parser.add_argument("--budget", type=float, default=60, help="seconds after which no further compilation begins")
    options = parser.parse_args()
    found: dict[str, Any] = {}
    slow = []
    for shape in options.shapes:
        print(f"\n{SHAPES[shape][0]} x {SHAPES[shape][1]}, float32" + " (muon: 1 x (1024, 1024))" * (shape == "large"))
        head = f"  {'':<10}{'ms':>9}{'copy':>9}{'compile s':>11}{'rounds':>8}"
        print(f"{head}   step / Optax                compile / Optax             others step / Optax")
        for name in options.only:
            figures = measure(name, shape, options.repeats, options.budget)
            found[f"{name}, {shape}"] = figures
            ratios = [figures[f"{what}: ours/optax"] for what in ("step", "compile")]
            slow += [f"{name}, {shape}" for _, low, _ in ratios if low > BOUND]
            shown = "".join(f"   {m:.2f} ({low:.2f} to {high:.2f})" for m, low, high in ratios)
            others = [f"{w} {figures[f'step: {w}/optax'][0]:.2f}" for w in ("stacked", "torch") if w in figures["ms"]]
            if "stacked" in figures["compile_s"]:
                others.append(f"(stacked compiles in {figures['compile_s']['stacked']:.1f} s)")
            ms, seconds, rounds = figures["ms"], figures["compile_s"]["ours"], figures["compile rounds"]
            row = f"  {name:<10}{ms['ours']:>9.2f}{ms['copy']:>9.2f}{seconds:>11.2f}{rounds:>8}{shown}"
            print(f"{row}   {' '.join(others)}", flush=True)
    print("\nslower than 1.05 of Optax: " + (", ".join(slow) or "none"))
    write(options.json, found)


if __name__ == "__main__":
    main()
