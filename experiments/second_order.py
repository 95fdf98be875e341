"""What do methods that use curvature save, and what does the curvature cost?

    python -m experiments.second_order [--out lab]

Lecture S3: second-order methods may be better, but need the Hessian, which is impractical for many variables. Newton's
method, BFGS, L-BFGS and conjugate gradients with their defaults are compared with descent, momentum 0.9 and Adam at the
best rate of a grid, from the same start to a gradient of 1e-8: on Rosenbrock's valley, a quadratic in 20 variables with
condition number 1000, and logistic regression on the breast cancer data (569 x 30, standardized, C = 1). An evaluation is a
call of f with its derivatives, including the loop's last one, after which no step is taken; Newton's count includes its
Hessians. Then time and operations of a gradient, of a Hessian-vector product and of the Hessian are measured for a tanh
network on 200 digits.

Expected: Newton's method takes 22, 1 and 9 steps; L-BFGS 47, 274 and 56 evaluations, the best first-order method 1218, 479
and 323, and plain descent about 22,000, 9,300 and 10,200. A Hessian-vector product costs 1.3 gradients, the Hessian n such
products: "impractical" is true of the matrix, not of L-BFGS, which never computes it. About 50 s, most of it compilation.
"""

from __future__ import annotations

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from sklearn import datasets

import gdjax as gd
from gdjax.plots._landscape import PATHS
from gdjax.plots.style import BLUE, INK, NORMAL, SMALL, VERMILLION, dress, figure, rule
from gdjax.stopping import gradient_norm

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    condition: float = 1000.0
    """The condition number of the quadratic."""


SECOND = {"Newton": gd.newton(), "BFGS": gd.bfgs(), "L-BFGS": gd.lbfgs(), "conjugate gradients": gd.nonlinear_cg()}
QUICK = {"xla_backend_optimization_level": 0}  # the programs are many and their work is small
FRACTIONS = np.array([0.5, 0.7, 0.8, 0.9, 0.95, 0.99])  # of the largest rate that is stable at the minimum
FIRST = {
    "descent": (gd.sgd, lambda steepest: FRACTIONS * 2 / steepest),
    "momentum 0.9": (lambda rate: gd.sgd(rate, momentum=0.9), lambda steepest: FRACTIONS * 3.8 / steepest),
    "Adam": (gd.adam, lambda steepest: np.geomspace(0.01, 1, 13)),
}


def problems(condition: float) -> dict:
    """The problems, each with its largest curvature (for Rosenbrock's function, at its minimum)."""
    x, y = datasets.load_breast_cancer(return_X_y=True)
    logistic = gd.problems.logistic((x - x.mean(0)) / x.std(0), 2.0 * y - 1)
    quadratic = gd.problems.quadratic(tuple(np.geomspace(1, condition, 20)))
    return {
        "Rosenbrock": (gd.problems.rosenbrock(), 1001.6),
        "quadratic": (quadratic, condition),
        "logistic regression": (logistic, logistic.lipschitz),
    }


def descend(problem, optimizer, f) -> gd.Minimum:
    options = {"stop": gradient_norm(1e-8), "max_steps": 40_000, "args": problem.args, "record": 1000}
    return gd.minimize(f, problem.start, optimizer, **options)


def on_host(run: gd.Minimum) -> gd.Minimum:
    """The run of a compiled program, with those rows of its path alone that were recorded."""
    kept = np.asarray(run.path.step) >= 0
    path = jax.tree.map(lambda leaf: np.asarray(leaf)[kept], run.path)
    return run._replace(path=path, steps=int(run.steps), stop=gd.Stop(int(run.stop)))


def run_search(problem, optimizer) -> tuple[gd.Minimum, int, str]:
    """(run, number of evaluations, "" for the rate)."""
    calls = []

    def count(params, *args):
        jax.debug.callback(lambda: calls.append(1))
        return problem.f(params, *args)

    run = jax.block_until_ready(jax.jit(lambda: descend(problem, optimizer, count), compiler_options=QUICK)())
    jax.effects_barrier()
    return on_host(run), len(calls), ""


def tune(problem, make, rates) -> tuple[gd.Minimum, int, float]:
    """(run, number of evaluations, rate) for the rate with the fewest steps."""
    runs = jax.jit(jax.vmap(lambda rate: descend(problem, make(rate), problem.f)))(jnp.asarray(rates))
    best = int(np.argmin(np.where(runs.stop == gd.Stop.CONVERGED, runs.steps, np.inf)))
    run = on_host(jax.tree.map(lambda leaf: leaf[best], runs))
    return run, run.steps + 1, float(rates[best])


def compare(problem, steepest) -> dict:
    first = {name: tune(problem, make, rates(steepest)) for name, (make, rates) in FIRST.items()}
    return {name: run_search(problem, optimizer) for name, optimizer in SECOND.items()} | first


def orders(path) -> np.ndarray:
    """log(e''/e') / log(e'/e) of successive gradient norms: 2 means quadratic, 1 linear convergence."""
    logs = np.diff(np.log(path.grad_norm))
    return logs[1:] / logs[:-1]


def milliseconds(run, repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run().block_until_ready()
        times.append(1e3 * (time.perf_counter() - began))
    return float(np.median(times))


def cost(hidden: int) -> tuple[int, dict[str, float], dict[str, float]]:
    """n, and for each derivative its milliseconds and its floating-point operations."""
    x, y = (jnp.asarray(a[:200]) for a in datasets.load_digits(return_X_y=True))
    model = gd.models.mlp((64, hidden, 10), activation="tanh")
    params, back = ravel_pytree(model.init(jax.random.key(0)))
    logits = jax.vmap(lambda p, row: model.apply(back(p), row / 16), in_axes=(None, 0))
    gradient = jax.grad(lambda p: jnp.mean(gd.losses.softmax_cross_entropy_with_integer_labels(logits(p, x), y)))
    product = lambda p: jax.jvp(gradient, (p,), (p,))[1]  # noqa: E731
    derivatives = {"gradient": gradient, "Hessian × vector": product, "Hessian": jax.jacfwd(gradient)}
    compiled = {name: jax.jit(f).lower(params).compile() for name, f in derivatives.items()}
    took = {name: milliseconds(lambda c=c: c(params), 5 if name == "Hessian" else 101) for name, c in compiled.items()}
    return params.size, took, {name: c.cost_analysis()["flops"] for name, c in compiled.items()}


def draw(found, costs):
    picture = figure(6.6, "The curvature saves steps; only the whole Hessian is dear")
    panels = picture.subplots(2, 2).ravel()
    for axes, (name, runs) in zip(panels, found.items(), strict=False):
        for (method, (run, *_)), color in zip(runs.items(), PATHS, strict=True):
            line = "-" if method in SECOND else "--"
            axes.plot(run.path.step + 1, run.path.grad_norm, line, color=color, linewidth=1.6, label=method)
        axes.set_ylim(1e-13, 1e5)
        label(axes, name, "step + 1", "size of the gradient")
    sizes, looks = [n for n, *_ in costs], ((INK, -15), (BLUE, 7), (VERMILLION, 7))
    for name, (color, above) in zip(costs[0][2], looks, strict=True):
        work = [flops[name] for *_, flops in costs]
        panels[3].plot(sizes, work, "o-", color=color)
        at = {"textcoords": "offset points", "fontsize": SMALL, "color": color, "ha": "center"}
        panels[3].annotate(name, (sizes[2], work[2]), (-6, above), **at)
    label(panels[3], "a network on 200 digits", "parameters", "operations")
    panels[3].margins(y=0.15)
    panels[3].set_xticks(sizes, sizes)
    panels[3].minorticks_off()
    picture.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=SMALL)
    return picture


def label(axes, title, x, y) -> None:
    axes.set(xscale="log", yscale="log")
    axes.set_title(title, fontsize=NORMAL)
    axes.set_xlabel(x, fontsize=SMALL)
    axes.set_ylabel(y, fontsize=SMALL)
    dress(axes)
    rule(axes)


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        given = problems(lab.numbers.condition)
        with ThreadPoolExecutor(2) as pool:
            found = dict(zip(given, pool.map(lambda problem: compare(*problem), given.values()), strict=True))
        rows = [
            (name, method, rate, run.steps, count, run.stop.name)
            for name, runs in found.items()
            for method, (run, count, rate) in runs.items()
        ]
        lab.table(("problem", "method", "rate", "steps", "evaluations", "stop"), rows)
        check_steps(lab, found)
        costs = [cost(hidden) for hidden in (2, 4, 8, 16)]
        check_costs(lab, costs)
        lab.save(
            draw(found, costs),
            "second_order.png",
            "The gradient, step by step, by seven methods on three problems; the operations of three derivatives.",
        )


def check_steps(lab: Lab, found: dict) -> None:
    counts = [{method: count for method, (_, count, _) in runs.items()} for runs in found.values()]
    best = np.array([min(count[method] for method in FIRST) for count in counts])
    of = lambda method: np.array([count[method] for count in counts])  # noqa: E731
    order = orders(found["logistic regression"]["Newton"][0].path)[-2:]
    lab.say(f"  Newton's order in the last steps of logistic regression: {order.round(2)}")
    ended = {run.stop for runs in found.values() for run, *_ in runs.values()}
    lab.claim("every method comes to a gradient of 1e-8", ended == {gd.Stop.CONVERGED})
    lab.claim("Newton ends in one step on the quadratic", found["quadratic"]["Newton"][0].steps == 1)
    lab.claim("Newton's digits double at each step: order 1.9 to 2.1", np.all(np.abs(order - 2) < 0.1))
    lab.claim("Newton takes at most a tenth of the best first-order evaluations", np.all(of("Newton") <= best / 10))
    saved = np.maximum(of("BFGS"), of("L-BFGS")) / best
    words = "second-order methods are potentially better"
    most = {method: max(of(method) / best) for method in ("Newton", "L-BFGS")}
    ours = "of the best first-order method's evaluations Newton takes {Newton:.0%} at most, L-BFGS {L-BFGS:.0%}"
    lab.statement("Lecture S3", words, ours=ours.format(**most), verdict="right", holds=max(most.values()) < 1)
    lab.claim("BFGS and L-BFGS take at most two thirds of them, with no rate to find", np.all(saved <= 2 / 3))


def check_costs(lab: Lab, costs: list) -> None:
    sizes, work = np.array([n for n, *_ in costs]), np.array([list(flops.values()) for *_, flops in costs])
    product, full = work[:, 1] / work[:, 0], work[:, 2] / work[:, 0]
    head = ("parameters", "gradient ms", "H v ms", "H ms", "H v, work in gradients", "H, work in gradients")
    lab.table(head, [(n, *took.values(), p, h) for (n, took, _), p, h in zip(costs, product, full, strict=True)])
    lab.claim("a product with the Hessian is at most 2 gradients of work", max(product) <= 2)
    lab.claim("the Hessian is the work of n products, within 15 %", np.allclose(full / product, sizes, rtol=0.15))
    slower = [took["Hessian"] / took["gradient"] for _, took, _ in costs]
    words = "second-order methods are impractical for many variables, since they need the Hessian"
    ours = f"true of the matrix, {full[-1]:,.0f} gradients of work at n = {sizes[-1]:,}; L-BFGS never computes it"
    ours += f", and a product with it takes {max(product):.2g}"
    dear = {"holds": min(product) > 10, "partly": full[-1] > 100}
    lab.statement("Lecture S3", words, ours=ours, verdict="imprecise", **dear)
    lab.claim("with 7.6 times the parameters its time in gradients at least triples", slower[-1] > 3 * slower[0])


if __name__ == "__main__":
    main()
