"""Do the lectures' derivatives by the chain rule hold: of numbers, of vectors by Jacobians, of a matrix of weights?

    python -m experiments.chain_rule_examples [--out lab] [--x 1.5] [--y -0.5]

One lecture derives (x²)' = 2x and (x⁴)' = 4x³ from the difference quotient, which leaves h and 6hx² + 4h²x + h³, and x⁴
again as (x²)²; another has (2x² + 1)² = f(g(x)) and leaves 8x(2x² + 1) as an exercise. For x² + xy + y² it derives 2x + y
and x + 2y. For vectors it multiplies Jacobians, dz/dx = J' dz/dy; for D = X W all dD_ij/dW_uv are 0 except those with j =
v, so that dL/dW = X' dL/dD. It gives no points; here x = 1.5, y = -0.5, its layer W x + b = (-1, 24), and five iris
flowers.

Expected: derivatives by hand, by jax.grad and by the graph agree to 1e-14, central differences to 1e-9. The error of the
quotient is the term that the lecture lets go to 0, plus rounding ε f / h: it is smallest near h = 1e-8. That of a central
quotient of x⁴ is 4xh², smallest near 1e-5. The product of Jacobians, in either order, is the Jacobian of the chain to
1e-14. Of the 180 entries of dD/dW, 60 are not 0: the 20 features of the five flowers, each three times. About 8 s.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_iris

from gdjax.backprop import difference_quotients, graph, product_gradients
from gdjax.plots import style

from .lab import Lab

W, INPUT, B = np.array([[1.0, 2, -1, -2], [3, 4, -3, 4]]), np.array([1.0, 2, 3, 4]), np.array([5.0, 6])


@dataclasses.dataclass(frozen=True)
class Numbers:
    x: float = 1.5
    """Where derivatives are taken."""
    y: float = -0.5
    """The other variable of x² + xy + y²."""


def examples_at(x0: float, y0: float) -> dict:
    """Functions of x alone, and their derivatives at x0 by hand."""
    s = 1 / (1 + math.exp(-x0))
    return {
        "x²": (lambda x: x**2, 2 * x0),
        "x⁴": (lambda x: x**4, 4 * x0**3),
        "x⁴ = (x²)²": (lambda x: (x**2) ** 2, 2 * x0**2 * 2 * x0),
        "(2x² + 1)²": (lambda x: (2 * x**2 + 1) ** 2, 2 * (2 * x0**2 + 1) * 4 * x0),
        "(2x² + 1)², multiplied out": (lambda x: 4 * x**4 + 4 * x**2 + 1, 16 * x0**3 + 8 * x0),
        "x² + xy + y², by x": (lambda x: x**2 + x * y0 + y0**2, 2 * x0 + y0),
        "x² + xy + y², by y": (lambda y: y0**2 + y0 * y + y**2, y0 + 2 * x0),
        "wx + b, by w": (lambda w: w * y0 + 7, y0),
        "σ(x)": (jax.nn.sigmoid, s * (1 - s)),
        "σ(x) = 1 / (1 + exp(-x))": (lambda x: 1 / (1 + jnp.exp(-x)), s**2 * math.exp(-x0)),
        "exp(sin(x²)): f(h(g(x)))": (
            lambda x: jnp.exp(jnp.sin(x**2)),
            math.exp(math.sin(x0**2)) * math.cos(x0**2) * 2 * x0,
        ),
    }


def examples(x0: float, y0: float) -> list[tuple]:
    """Each derivative by hand, by jax.grad, by the graph, by a central difference."""
    rows = []
    for name, (f, by_hand) in examples_at(x0, y0).items():
        central = difference_quotients(f, x0, [1e-5])["central"][0]
        rows.append((name, by_hand, jax.grad(f)(x0), float(graph(f, x0).inputs[0].adjoint), central))
    return rows


def layers() -> list:
    """The lecture's layer, as a chain of three: the weighted input, the activation (here tanh(z / 10)), a squared error."""
    return [lambda x: W @ x + B, lambda z: jnp.tanh(z / 10), lambda a: jnp.sum((a - 0.5) ** 2)[None]]


def jacobians() -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """The Jacobians of the layers, and that of the chain, (1, 4), computed in each way."""
    chain, point, each = layers(), jnp.asarray(INPUT), []
    for f in chain:
        each.append(np.asarray(jax.jacfwd(f)(point)))
        point = f(point)

    def whole(x):
        return chain[2](chain[1](chain[0](x)))

    a = np.tanh((W @ INPUT + B) / 10)
    return each, {
        "by hand: 2 (a - ½)' diag((1 - a²) / 10) W": (2 * (a - 0.5) * (1 - a**2) / 10 @ W)[None],
        "product, from the loss back": (each[2] @ each[1]) @ each[0],
        "product, from the input on": each[2] @ (each[1] @ each[0]),
        "transposed, in the opposite order": (each[0].T @ each[1].T @ each[2].T).T,
        "jacrev of the chain": np.asarray(jax.jacrev(whole)(INPUT)),
        "jacfwd of the chain": np.asarray(jax.jacfwd(whole)(INPUT)),
    }


def weights() -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """dD/dW of D = X W (5, 3, 4, 3), dL/dW (4, 3) by each way, and X."""
    x = load_iris().data[::30]
    w = np.random.default_rng(0).normal(size=(4, 3)) / 4

    def f(d):
        return jnp.sum(jnp.tanh(d) ** 2)

    d_out = np.asarray(jax.grad(f)(x @ w))
    jacobian = np.asarray(jax.jacfwd(lambda w: x @ w)(w))
    summed = [[sum(d_out[i, v] * x[i, u] for i in range(5)) for v in range(3)] for u in range(4)]
    ways = {
        "all 180 entries: Σij dL/dDij dDij/dWuv": np.einsum("ij,ijuv->uv", d_out, jacobian),
        "flattened, a 15 × 12 Jacobian": (jacobian.reshape(15, 12).T @ d_out.ravel()).reshape(4, 3),
        "what is left: Σi Xiu dL/dDiv": np.array(summed),
        "X' dL/dD": np.asarray(product_gradients(x, w, d_out)[1]),
        "jax.grad": np.asarray(jax.grad(lambda w: f(x @ w))(w)),
    }
    return jacobian, ways, x


def differences(ways: dict[str, np.ndarray]) -> dict[str, float]:
    """The largest difference of each result from the last, relative to the largest entry."""
    last = list(ways.values())[-1]
    return {name: float(np.max(np.abs(found - last)) / np.max(np.abs(last))) for name, found in ways.items()}


def quotients(x0: float) -> dict[str, tuple[dict, dict]]:
    """The difference quotients of x² and x⁴ at all steps, and their errors according to the lecture."""
    h = 10.0 ** -np.arange(0, 13.01, 0.25)
    left = {
        "x²": {"one-sided": h, "central": 0 * h},
        "x⁴": {"one-sided": 6 * h * x0**2 + 4 * h**2 * x0 + h**3, "central": 4 * x0 * h**2},
    }
    return {name: (difference_quotients(POWERS[name], x0, h), told) for name, told in left.items()}


POWERS = {"x²": lambda x: x**2, "x⁴": lambda x: x**4}
FORMULAS = {  # where each is written in the picture
    "x²": (("h", "one-sided", 2e-7, 3e-6), ("0: rounding alone", "central", 3e-11, 1e-14)),
    "x⁴": (("6hx² + 4h²x + h³", "one-sided", 3e-8, 2e1), ("4xh²", "central", 2e-2, 3e-5)),
}


def picture(found, x0: float):
    figure = style.figure(4.2, "A quotient misses by what goes to 0 with h, and by rounding")
    both = figure.subplots(1, 2, sharey=True)
    for axes, (name, (measured, told)) in zip(both, found.items(), strict=True):
        style.dress(axes)
        style.rule(axes)
        h = measured["step"]
        colors = dict(zip(told, style.PALETTE, strict=False))
        for kind, marker in zip(told, "os", strict=True):
            miss = np.maximum(np.abs(measured[kind] - measured["derivative"]), 1e-16)
            axes.plot(h, miss, marker, color=colors[kind], markersize=5, label=f"{kind}, measured")
            if np.any(told[kind]):
                axes.plot(h, told[kind], color=colors[kind], label=f"{kind}, by algebra")
        axes.plot(h, np.finfo(float).eps * POWERS[name](x0) / h, color=style.INK, linestyle=":", label="ε f / h")
        for words, kind, x, y in FORMULAS[name]:
            axes.text(x, y, words, fontsize=style.NORMAL, color=colors[kind])
        axes.set(xscale="log", yscale="log", ylim=(1e-17, 3e3))
        axes.set_yticks([1e-15, 1e-10, 1e-5, 1], ["1e−15", "1e−10", "1e−5", "1"])
        axes.set_xticks([1e-12, 1e-8, 1e-4, 1], ["1e−12", "1e−8", "1e−4", "1"])
        axes.minorticks_off()
        axes.set_xlabel(f"h: derivative of {name} at {x0:g}", fontsize=style.NORMAL)
    both[0].set_ylabel("|quotient − derivative|", fontsize=style.NORMAL)
    figure.legend(*both[1].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=style.SMALL)
    return figure


def difference_quotients_of_powers(lab: Lab, at: float) -> dict:
    """What the quotients of x² and x⁴ miss, beside what algebra says."""
    found, rows = quotients(at), []
    for name, (measured, told) in found.items():
        for kind, algebra in told.items():
            h, error = measured["step"], measured[kind] - measured["derivative"]
            rounding = np.finfo(float).eps * POWERS[name](at + h) / h
            rows.append((name, kind, h[np.argmin(abs(error))], np.max(np.abs(error - algebra) / rounding)))
    lab.table(("quotient of", "", "best h", "misses by algebra to within ε f / h times"), rows)
    worst = max(row[3] for row in rows)
    lab.claim("at all h they miss by what algebra says, to 4 ε f / h", worst < 4)
    best = rows[2][2], rows[3][2]
    lab.claim("the best h of the one-sided quotient of x⁴ is near 1e-8", 1e-9 <= best[0] <= 1e-7)
    lab.claim("that of the central one is near 1e-5", 1e-6 <= best[1] <= 1e-4)
    says = "the quotient of x⁴ is 4x³ + 6hx² + 4h²x + h³, which goes to 4x³"
    ours = f"to {worst:.1f} ε f / h at every h; the best h of the machine is {best[0]:.0e}"
    lab.statement("Lecture S3", says, ours=ours, verdict="right", holds=worst < 4)
    return found


def vectors(lab: Lab) -> None:
    """The chain of layers by its Jacobians, and a matrix of weights."""
    each, ways = jacobians()
    lab.say(f"  Jacobians of the layers: {' · '.join(str(j.shape) for j in reversed(each))}")
    off = differences(ways)
    head = ("Jacobian of the chain", "d/dx1", "d/dx2", "d/dx3", "d/dx4", "differs from the last")
    lab.table(head, [(name, *j[0], off[name]) for name, j in ways.items()])
    lab.claim("all six are equal to 1e-14", max(off.values()) <= 1e-14)
    jacobian, ways, x = weights()
    lab.table(("dL/dW of D = X W", "differs from the last"), differences(ways).items())
    apart = max(differences(ways).values())
    lab.claim("all five are equal to 1e-14", apart <= 1e-14)
    told = np.einsum("iu,jv->ijuv", x, np.eye(3))
    lab.claim(
        "of 180 entries of dD/dW the 60 with j = v are Xiu, the others 0",
        np.array_equal(jacobian, told) and np.count_nonzero(jacobian) == 60,
    )
    says = "dL/dW = X' dL/dD for D = X W"
    ours = f"equal to {apart:.0e}; of {jacobian.size} entries of dD/dW {np.count_nonzero(jacobian)} are not 0"
    lab.statement("Lecture S3", says, ours=ours, verdict="right", holds=apart <= 1e-14)


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        at, beside = lab.numbers.x, lab.numbers.y
        rows = examples(at, beside)
        values = np.array([row[1:] for row in rows], float)
        chained = [jax_ for name, _, jax_, *_ in rows if name.startswith("(2x² + 1)²")]
        miss = np.abs(values[:, 1:] / values[:, :1] - 1)
        head = (f"derivative at {at:g}", "by hand", "jax.grad differs by", "graph", "central, h = 1e-5")
        lab.table(head, [(row[0], row[1], *off) for row, off in zip(rows, miss, strict=True)])
        lab.claim("by hand, jax.grad and graph agree to 1e-14", np.all(miss[:, :2] <= 1e-14))
        lab.claim("central differences agree to 1e-9", np.all(miss[:, 2] <= 1e-9))
        found = difference_quotients_of_powers(lab, at)
        vectors(lab)
        says, exercise = "(2x² + 1)² is derived by the chain rule", 8 * at * (2 * at**2 + 1)
        ours = f"8x (2x² + 1) = {exercise:g} at {at:g}, as multiplied out"
        lab.statement("Lecture S4", says, ours=ours, verdict="right", holds=np.allclose(chained, exercise, rtol=1e-14))
        lab.save(
            picture(found, at),
            "chain_rule_examples.png",
            "The error of difference quotients of x² and x⁴ by h, measured, and as algebra and rounding say.",
        )


if __name__ == "__main__":
    main()
