"""What is static and what is dynamic in PyTorch and in JAX: when is the graph built, and what does it see of the data?

    python -m experiments.graphs_in_torch [--out lab] [--calls 200]

Lecture S0: a static graph is built once and then executed; a dynamic one is rebuilt at each iteration; TensorFlow 1 is
static, TensorFlow 2 and PyTorch are dynamic. The graph can be made before any data are seen. Here the lecture's (x + y) z
and a network 4-8-3 on 16 rows are run by JAX, called directly and under jax.jit, and by PyTorch, called directly and
traced. Where PyTorch is not installed its rows are missing, and the output says so. TensorFlow is not run: what is said of
it is from its documentation, tensorflow.org/api_docs/python/tf/compat/v1/enable_eager_execution.

Expected: the adjoints are -4, -4, 3 everywhere, and the network's gradients agree to 1e-12. JAX makes the graph of (x + y)
z from shapes alone. PyTorch builds it anew at every call: in ten calls its Python runs ten times, and ten graphs are made;
under jax.jit it runs once. An `if` on a value is right in PyTorch and in JAX called directly; jax.jit refuses it; a trace
of PyTorch keeps the branch that it saw, and so is wrong on the other side, with a warning. So both can do both: what is
static or dynamic is a call, not a framework. In JAX a direct call takes hundreds of times as long as one under jit; in
PyTorch, which is made for direct calls, a trace gains nothing. About 10 s.
"""

from __future__ import annotations

import dataclasses
import importlib
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from gdjax.plots import style

from .lab import Lab

POINT, ADJOINTS = (-2.0, 5.0, -4.0), (-4.0, -4.0, 3.0)


@dataclasses.dataclass(frozen=True)
class Numbers:
    calls: int = 200
    """Calls of the network's gradient that are timed."""


def find_torch():
    """PyTorch, or None where it is not installed."""
    try:
        return importlib.import_module("torch")
    except ImportError:
        return None


def product(x, y, z):
    return (x + y) * z


def weights():
    """Two layers, 16 rows and their targets, as NumPy arrays."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) for shape in ((4, 8), (8, 3), (16, 4), (16, 3))]


def network(a, b, x, y, tanh):
    return ((tanh(x @ a) @ b - y) ** 2).mean()


def lecture(lab: Lab, torch) -> None:
    """The lecture's graph by both."""
    rows = [("JAX, direct", *map(float, jax.grad(product, (0, 1, 2))(*POINT)))]
    rows += [("JAX, under jit", *map(float, jax.jit(jax.grad(product, (0, 1, 2)))(*POINT)))]
    if torch:
        leaves = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in POINT]
        product(*leaves).backward()
        rows.append(("PyTorch", *(float(leaf.grad) for leaf in leaves)))
    lab.table(("(x + y) z at (-2, 5, -4)", "df/dx", "df/dy", "df/dz"), rows)
    lab.claim("the adjoints are -4, -4, 3 by each", all(row[1:] == ADJOINTS for row in rows))
    number = jax.ShapeDtypeStruct((), float)
    operations = [str(e.primitive) for e in jax.make_jaxpr(product)(number, number, number).eqns]
    blind = operations == ["add", "mul"]
    lab.claim("JAX makes the graph of it from shapes alone: an add and a mul", blind)
    words = "the graph can be made before any data are seen"
    ours = "from shapes and dtypes alone, by jax.make_jaxpr"
    lab.statement("Lecture S0", words, ours=ours, verdict="right", holds=blind)


def built(lab: Lab, torch) -> None:
    """How often the Python code of the function runs, which is when a graph is built."""
    counts = {}

    def counting(name: str):
        counts[name] = 0

        def f(x, y, z):
            counts[name] += 1
            return product(x, y, z)

        return f

    slopes = {
        "JAX, direct": jax.grad(counting("JAX, direct")),
        "JAX, under jit": jax.jit(jax.grad(counting("JAX, under jit"))),
    }
    for slope in slopes.values():
        for i in range(10):
            slope(float(i), 5.0, -4.0)
    kept = set()
    if torch:
        f = counting("PyTorch")
        outputs = [f(torch.tensor(float(i), requires_grad=True), 5.0, -4.0) for i in range(10)]
        kept = {id(output.grad_fn) for output in outputs}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(counting("PyTorch, traced"), tuple(map(torch.tensor, POINT)), check_trace=False)
        for i in range(10):
            traced(*(torch.tensor(value) for value in (float(i), 5.0, -4.0)))
    lab.table(("ten calls of the gradient", "its Python runs"), counts.items())
    lab.claim("in ten calls the dynamic graph is built ten times, the static once", [*counts.values()][:2] == [10, 1])
    if torch:
        lab.claim("PyTorch builds ten graphs in ten calls", counts["PyTorch"] == 10 and len(kept) == 10)
        words = "PyTorch's graph is dynamic, rebuilt at each iteration"
        lab.statement(
            "Lecture S0",
            words,
            ours=f"{len(kept)} graphs in ten calls; once it is traced, its Python runs {counts['PyTorch, traced']} time",
            verdict="imprecise",
            holds=counts["PyTorch, traced"] == 10,
            partly=len(kept) == 10,
        )
    says = "TensorFlow 1 is static, TensorFlow 2 dynamic"
    ours = (
        "not run here; its own pages: 1 adds to a graph for a Session, 2 runs at once, and makes a graph by tf.function"
    )
    lab.statement("Lecture S0", says, ours=ours, verdict="not judged")


def branches(lab: Lab, torch) -> None:
    """An `if` on a value."""

    def f(x):
        return x * x if x > 0 else -3 * x

    found = {"JAX, direct": [float(f(jnp.float64(x))) for x in (2, -2)]}
    try:
        jax.jit(f)(2.0)
        refused = False
    except jax.errors.TracerBoolConversionError:
        refused = True
    warned = []
    if torch:
        found["PyTorch"] = [float(f(torch.tensor(float(x)))) for x in (2, -2)]
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            traced = torch.jit.trace(f, torch.tensor(2.0))
        found["PyTorch, traced at 2"] = [float(traced(torch.tensor(float(x)))) for x in (2, -2)]
    rows = [*((name, *values) for name, values in found.items()), ("JAX, under jit", "refused", "refused")]
    lab.table(("x² if x > 0 else -3x", "at 2: 4", "at -2: 6"), rows)
    dynamic = [values == [4, 6] for name, values in found.items() if "traced" not in name]
    lab.claim("dynamic graphs take the branch of the value; jax.jit refuses it", all(dynamic) and refused)
    if torch:
        wrong = found["PyTorch, traced at 2"] == [4, 4] and len(warned) > 0
        lab.claim("a trace of PyTorch keeps the branch it saw, which is wrong at -2, and warns of it", wrong)
    words = "dynamic graphs are more flexible, static ones make dynamic models harder"
    ours, flexible = "an if on a value: right in dynamic ones alone", all(dynamic) and refused
    lab.statement("Lecture S0", words, ours=ours, verdict="right", holds=flexible)


def timed(lab: Lab, torch, calls: int) -> dict[str, float]:
    """Microseconds a call of the network's gradient."""
    arrays = weights()
    slope = jax.grad(lambda a, b, x, y: network(a, b, x, y, jnp.tanh), (0, 1))
    given = [jnp.asarray(array) for array in arrays]
    static = jax.jit(slope)
    ways = {"JAX, direct": lambda: slope(*given), "JAX, under jit": lambda: static(*given)}
    if torch:
        tensors = [torch.tensor(array, requires_grad=i < 2) for i, array in enumerate(arrays)]
        plain = lambda *leaves: network(*leaves, torch.tanh)  # noqa: E731
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(plain, tensors)
        for name, f in (("PyTorch", plain), ("PyTorch, traced", traced)):
            ways[name] = lambda f=f: torch.autograd.grad(f(*tensors), tensors[:2])
    results = {name: [np.asarray(each) for each in way()] for name, way in ways.items()}
    first = next(iter(results.values()))
    apart = max(float(np.max(np.abs(a - b))) for found in results.values() for a, b in zip(first, found, strict=True))
    lab.claim(f"the network's gradients agree, to {apart:.1g}", apart < 1e-12)
    micro = {name: _median(way, 10 if name == "JAX, direct" else calls) for name, way in ways.items()}
    lab.table(("gradient of 4-8-3 on 16 rows", "µs a call"), micro.items())
    lab.claim(
        "under jax.jit a call is over five times as quick as direct", 5 * micro["JAX, under jit"] < micro["JAX, direct"]
    )
    words = "static graphs can be optimized and are faster"
    in_jax = micro["JAX, direct"] / micro["JAX, under jit"]
    if torch:
        traced = micro["PyTorch"] / micro["PyTorch, traced"]
        ours = f"{in_jax:.0f} times in JAX, {traced:.1f} times in PyTorch, for a small network"
        judged = {"verdict": "imprecise", "holds": min(in_jax, traced) > 2, "partly": in_jax > 2}
    else:
        ours, judged = f"{in_jax:.0f} times in JAX; PyTorch is not installed", {"verdict": "not judged"}
    lab.statement("Lecture S0", words, ours=ours, **judged)
    return micro


def _median(call, repeats: int) -> float:
    for _ in range(3):
        jax.block_until_ready(call())
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - began)
    return 1e6 * float(np.median(times))


def draw(micro: dict[str, float]) -> Figure:
    both = any("traced" in name for name in micro)
    ends = ", but hardly in PyTorch" if both else ""
    picture = style.figure(3.2, f"A graph built once is much quicker to call in JAX{ends}")
    axes = picture.subplots()
    style.dress(axes)
    colors = [style.BLUE if "jit" in name or "traced" in name else style.VERMILLION for name in micro]
    axes.barh(list(micro), list(micro.values()), color=colors, height=0.6)
    for i, value in enumerate(micro.values()):
        axes.text(value * 1.08, i, f"{value:,.0f} µs", va="center", fontsize=style.NORMAL)
    axes.plot([], [], "s", color=style.VERMILLION, label="dynamic: built at each call")
    axes.plot([], [], "s", color=style.BLUE, label="static: built once")
    axes.set(xscale="log", xlim=(min(micro.values()) / 3, max(micro.values()) * 40))
    axes.invert_yaxis()
    axes.set_xlabel("time of one gradient of 4-8-3 on 16 rows", fontsize=style.NORMAL)
    axes.legend(fontsize=style.SMALL, loc="lower right", frameon=False)
    return picture


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        torch = find_torch()
        lab.say(f"  PyTorch {torch.__version__}" if torch else "  PyTorch is not installed: its rows are missing")
        lecture(lab, torch)
        built(lab, torch)
        branches(lab, torch)
        micro = timed(lab, torch, lab.numbers.calls)
        caption = "The time of one gradient, where its graph is built at each call and where it is built once."
        lab.save(draw(micro), "graphs_in_torch.png", caption)


if __name__ == "__main__":
    main()
