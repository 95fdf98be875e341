"""What does it cost to rebuild a computational graph at each step, and what is impossible if it is built once?

    python -m experiments.static_or_dynamic [--out lab]

The lecture: a static graph is built once and then executed, which allows more optimization; a dynamic one is rebuilt at
each iteration, is more flexible and easier to debug. It gives no numbers. In JAX the same gradient is dynamic if called
directly and static under jax.jit: here that of 4-8-3 on 16 examples (67 parameters) and of 256-512-512-10 on 256 (399,370).
A static graph cannot contain a Python `if` or `while` on a value, since there are no values when it is built. `lax.cond`
and `lax.while_loop` put both branches and the loop into the graph, but a loop of unknown length has no reverse mode, since
the memory that it needs is unknown; a scan of fixed length has one. And each new shape needs another graph.

Expected: equal to 1e-12; one graph in 22 calls. The small network's 59 operations become 13, and a call is 50 to 85 times
faster (12 ms to 0.2 ms); the large one's, dominated by arithmetic, about 2 times. Building takes 0.4 s, which pays after 10
to 45 calls, not counting the 2 s of the first dynamic call, which compiles each operation. Eight batch sizes are eight
programs; padded to one size and masked they are one. About 15 s.
"""

from __future__ import annotations

import dataclasses
import math
import re
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import gdjax as gd
from gdjax.backprop import cost_of
from gdjax.plots import style

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    calls: int = 22
    """Calls of each gradient, the first of which builds."""


NETWORKS = {"small": ((4, 8, 3), 16), "large": ((256, 512, 512, 10), 256)}  # sizes, instances
RAISES = ["TracerBoolConversionError"] * 2


class Timings(NamedTuple):
    """Measurements of the dynamic and the static graph."""

    first: list[float]  # seconds of the first call
    later: list[float]  # and of the others, medians
    built: list[int]  # graphs
    operations: list[int]  # that are run one by one
    apart: float  # largest relative difference of the gradients

    @property
    def quicker(self) -> float:
        return self.later[0] / self.later[1]

    @property
    def pays_after(self) -> int:
        """Calls, where the single operations of the dynamic graph are compiled already."""
        return math.ceil((self.first[1] - self.later[1]) / max(self.later[0] - self.later[1], 1e-9))


def case(sizes, instances: int):
    """Parameters, inputs, targets."""
    rng = np.random.default_rng(0)
    params = gd.models.mlp(sizes, activation="tanh").init(jax.random.key(0))
    classes = rng.integers(sizes[-1], size=instances)
    return params, jnp.asarray(rng.normal(size=(instances, sizes[0]))), jnp.eye(sizes[-1])[classes]


def counting():
    """A gradient, and the number of times its graph is built, which is when this Python code runs."""
    built = []
    return jax.grad(lambda *given: built.append(1) or cost_of(*given)), built


def seconds(call, given) -> float:
    began = time.perf_counter()
    jax.block_until_ready(call(*given))
    return time.perf_counter() - began


def relative(a, b) -> float:
    """The largest difference over all leaves."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return max(float(jnp.max(jnp.abs(x - y)) / jnp.max(jnp.abs(x))) for x, y in pairs)


def measure(sizes, instances, calls: int) -> Timings:
    given, (dynamic, built), (traced, built_once) = case(sizes, instances), counting(), counting()
    static = jax.jit(traced)
    times = [[seconds(dynamic, given), seconds(static, given)] for _ in range(calls)]
    graphs = [len(built), len(built_once)]
    program = static.lower(*given).compile().as_text().partition("ENTRY")[2].partition("->")[2]
    fused = re.findall(r"= \S+ (?!parameter|constant|tuple)[\w-]+\(", program)
    operations = [len(jax.make_jaxpr(dynamic)(*given).eqns), len(fused)]
    return Timings(
        times[0], list(np.median(times[1:], axis=0)), graphs, operations, relative(dynamic(*given), static(*given))
    )


def if_positive(x):
    return x**2 if x > 0 else -3 * x


def better(root, x):
    return (root + x / root) / 2


def root_by_while(x):
    root = x
    while abs(root * root - x) > 1e-12:
        root = better(root, x)
    return root


WAYS = {
    "Python if": if_positive,
    "lax.cond": lambda x: jax.lax.cond(x > 0, lambda x: x**2, lambda x: -3 * x, x),
    "Python while": root_by_while,
    "lax.while_loop": lambda x: jax.lax.while_loop(lambda r: abs(r * r - x) > 1e-12, lambda r: better(r, x), x),
    "lax.scan, 20 turns": lambda x: jax.lax.scan(lambda r, _: (better(r, x), None), x, length=20)[0],
}


def attempt(call) -> str:
    """Its value at 2, or the name of its error."""
    try:
        return f"{float(call(2.0)):.6g}"
    except (jax.errors.TracerBoolConversionError, ValueError) as caught:
        return type(caught).__name__


def programs() -> tuple[list[int], float]:
    """How many are compiled for 9 to 16 instances, as they are and padded to 16; how far their gradients are apart."""

    def mean_cost(params, x, y, mask):
        return jnp.sum(mask * jax.vmap(cost_of, in_axes=(None, 0, 0))(params, x, y)) / jnp.sum(mask)

    params, x, y = case((4, 8, 3), 16)
    as_it_is, padded = jax.jit(jax.grad(cost_of)), jax.jit(jax.grad(mean_cost))
    sizes = range(9, 17)
    apart = [relative(as_it_is(params, x[:n], y[:n]), padded(params, x, y, jnp.arange(16) < n)) for n in sizes]
    return [as_it_is._cache_size(), padded._cache_size()], max(apart)


def picture(found):
    figure = style.figure(
        3.9, "Building the graph once pays after some tens of calls, and most where the arithmetic is small"
    )
    calls = np.geomspace(1, 1e4, 200)
    for axes, (name, m) in zip(figure.subplots(1, 2, sharey=True), found.items(), strict=True):
        style.dress(axes)
        style.rule(axes)
        static = m.first[1] + (calls - 1) * m.later[1]
        axes.plot(
            calls, calls * m.later[0], "--", color=style.VERMILLION, linewidth=2, label="dynamic: built at each call"
        )
        axes.plot(calls, static, color=style.BLUE, linewidth=2, label="static: built at the first")
        even = m.pays_after, m.pays_after * m.later[0]
        axes.plot(*even, "o", color=style.INK, markersize=7, zorder=5)
        axes.annotate(f"call {even[0]}", even, (8, -14), textcoords="offset points", fontsize=style.SMALL)
        axes.set(xscale="log", yscale="log", xlim=(1, 1e4))
        axes.set_xlabel("calls of the gradient", fontsize=style.NORMAL)
        axes.set_title(f"{name} network: {m.quicker:.0f} × quicker a call", fontsize=style.NORMAL, loc="left")
        axes.legend(fontsize=style.SMALL, loc="upper left", edgecolor=style.RULE)
    figure.axes[0].set_ylabel("seconds in all", fontsize=style.NORMAL)
    return figure


def branches(lab: Lab) -> bool:
    """An `if` and a `while` on a value; whether Python's work in the dynamic graph alone."""
    cells = {name: [attempt(w) for w in (f, jax.grad(f), jax.jit(f), jax.jit(jax.grad(f)))] for name, f in WAYS.items()}
    head = "on a value", "dynamic: f", "f'", "static: f", "f'"
    title = "x² or -3 x by its sign, and Newton's square root until it is right: at 2"
    lab.table(head, [(name, *row) for name, row in cells.items()], title)
    square, root = ["4", "4"], [f"{math.sqrt(2):.6g}", f"{1 / math.sqrt(8):.6g}"]
    python = [cells["Python if"], cells["Python while"]] == [square + RAISES, root + RAISES]
    lab.claim("a Python if or while on a value is right in the dynamic graph and raises in the static", python)
    kept = [cells["lax.cond"], cells["lax.scan, 20 turns"]] == [square * 2, root * 2]
    lab.claim("lax.cond and lax.scan are right in both, derivative too", kept)
    lab.claim("lax.while_loop has a value and no reverse mode", cells["lax.while_loop"] == [root[0], "ValueError"] * 2)
    return python


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        found = {name: measure(*network, lab.numbers.calls) for name, network in NETWORKS.items()}
        rows = [
            (name, way, m.built[i], m.operations[i], 1e3 * m.first[i], 1e3 * m.later[i], m.pays_after if i else "")
            for name, m in found.items()
            for i, way in enumerate(("dynamic", "static"))
        ]
        lab.table(("network", "graph", "built", "operations", "first call, ms", "later, ms", "pays after calls"), rows)
        small, large = found.values()
        lab.claim("both give the same gradient, within 1e-12", max(small.apart, large.apart) <= 1e-12)
        lab.claim(
            "the dynamic graph is built in each of the calls, the static once",
            small.built == large.built == [lab.numbers.calls, 1],
        )
        joined = all(0 < 2 * m.operations[1] < m.operations[0] for m in found.values())
        lab.claim("compiling joins the operations into fewer than half as many", joined)
        lab.claim("on the small network a later call is at least 5 times quicker", small.quicker >= 5)
        lab.claim("which is over 3 times the gain on the large one", small.quicker > 3 * large.quicker)
        lab.claim("there building pays after 2 to 1000 calls", 2 <= small.pays_after <= 1000)

        python = branches(lab)
        compiled, apart = programs()
        lab.say(f"  eight batch sizes: {compiled[0]} programs; padded to one size and masked: {compiled[1]}")
        lab.claim("eight batch sizes are eight programs, or one if padded and masked", compiled == [8, 1])
        lab.claim("of the same gradients, within 1e-12", apart <= 1e-12)
        words = "a static graph is built once and then executed, which allows more optimization"
        ours = f"{small.operations[0]} operations become {small.operations[1]}, a call {small.quicker:.0f} times faster"
        ours += f" on a small network, {large.quicker:.1f} times on a large one"
        once = small.built[1] == large.built[1] == 1 and joined and small.quicker > 1
        lab.statement("Lecture S0", words, ours=ours, verdict="right", holds=once)
        words = "a dynamic graph is rebuilt at each iteration, and more flexible"
        ours = f"{small.built[0]} times in as many calls; a Python if or while on a value works in it alone, else one needs "
        flexible = python and small.built[0] == large.built[0] == lab.numbers.calls
        lab.statement("Lecture S0", words, ours=f"{ours}lax.cond and lax.scan", verdict="right", holds=flexible)
        lab.save(
            picture(found),
            "static_or_dynamic.png",
            "The seconds of many calls of a gradient: building its graph once pays from the marked call on.",
        )


if __name__ == "__main__":
    main()
