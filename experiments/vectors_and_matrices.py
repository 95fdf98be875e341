"""Does the lectures' algebra hold: gradients of squares, products of matrices, linear maps, tangent vectors?

    python -m experiments.vectors_and_matrices [--out lab] [--at 0.3]

Lecture S0 derives ∇(x1² + ... + xp²) = 2X; lecture S1 writes the squared errors of a linear model as (Xw - Y)'(Xw - Y) with
the derivative 2X'(Xw - Y); lecture S2 computes A + B, A - B and A B for two 2 x 2 matrices; lecture S3 takes a matrix as a
linear map, multiplies and transposes, flattens tensors to differentiate by their entries, and takes the derivative of a
curve y(t) entry by entry: its tangent vector. Lecture S4 has w_ji, row j, column i, for input i and output j.

Expected: the first gradient is 2X to the last bit for p from 1 to 1000; the second equals jax.grad to 1e-12 on the diabetes
data (442 rows, 10 columns). A + B and A - B are lecture S2's; its A B, (10 14; 16 22), is not: A B = (8 5; 20 13), and what
is printed is no product of A, B and their transposes in any order. The secant vector (y(t + h) - y(t)) / h comes to within
h |y''| / 2 of the tangent vector. About 4 s.
"""

from __future__ import annotations

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_diabetes

from gdjax.plots import style

from .lab import Lab

SIZES = (1, 2, 10, 1000)
A, B = np.array([[1, 2], [3, 4]]), np.array([[4, 3], [2, 1]])
PRINTED = {"A + B": [[5, 5], [5, 5]], "A - B": [[-3, -1], [1, 3]], "A B": [[10, 14], [16, 22]]}
SECANTS = (1.8, 1.2, 0.6)


@dataclasses.dataclass(frozen=True)
class Numbers:
    at: float = 0.3
    """The time t at which the curve gets its tangent vector."""


def curve(t):
    """The curve y(t) = (2 cos t, sin t), an ellipse."""
    return jnp.stack([2 * jnp.cos(t), jnp.sin(t)])


def squares(lab: Lab) -> None:
    """The gradient of a sum of squares, and that of the squared errors of a linear model."""
    rng = np.random.default_rng(0)
    rows = []
    for p in SIZES:
        x = jnp.asarray(rng.normal(size=p))
        slope = jax.grad(lambda x: jnp.sum(x**2))(x)
        rows.append((p, float(slope[0]), float(2 * x[0]), float(jnp.max(jnp.abs(slope - 2 * x)))))
    lab.table(("p", "first entry of ∇f", "2 x1", "largest difference from 2X"), rows)
    exact = all(row[3] == 0 for row in rows)
    lab.claim("the gradient of a sum of p squares is 2X to the last bit", exact)
    x, y = load_diabetes(return_X_y=True)
    w = rng.normal(size=x.shape[1])
    by_hand = 2 * x.T @ (x @ w - y)
    off = np.asarray(jax.grad(lambda w: (x @ w - y) @ (x @ w - y))(jnp.asarray(w))) - by_hand
    relative = float(np.max(np.abs(off)) / np.max(np.abs(by_hand)))
    lab.claim(f"2X'(Xw - Y) is jax.grad's on 442 patients, to {relative:.0e}", relative < 1e-12)
    words, ours = "the gradient of x1² + ... + xp² is 2X", f"equal to the last bit for p = {', '.join(map(str, SIZES))}"
    lab.statement("Lecture S0", words, ours=ours, verdict="right", holds=exact)
    words, ours = "the derivative of (Xw - Y)'(Xw - Y) is 2X'(Xw - Y)", f"equal to {relative:.0e} on the diabetes data"
    lab.statement("Lecture S1", words, ours=ours, verdict="right", holds=relative < 1e-12)


def matrices(lab: Lab) -> None:
    """Sums and products of the lecture's two matrices, and whether any product is what its slide has."""
    ours = {"A + B": A + B, "A - B": A - B, "A B": A @ B}
    rows = [(name, _text(found), _text(np.array(PRINTED[name]))) for name, found in ours.items()]
    lab.table(("matrices", "computed", "lecture S2"), rows)
    same = {name: np.array_equal(found, PRINTED[name]) for name, found in ours.items()}
    lab.claim("the sum and the difference are the lecture's, the product is not", list(same.values()) == [1, 1, 0])
    lab.claim("A B = (8 5; 20 13)", np.array_equal(A @ B, [[8, 5], [20, 13]]))
    four = {"A": A, "A'": A.T, "B": B, "B'": B.T}
    hits = [a + b for a, b in itertools.product(four, repeat=2) if np.array_equal(four[a] @ four[b], PRINTED["A B"])]
    lab.claim("no product of two of A, B and their transposes is what is printed", not hits)
    says = "A B = (10 14; 16 22) for A = (1 2; 3 4), B = (4 3; 2 1)"
    lab.statement("Lecture S2", says, ours=_text(ours["A B"]), verdict="wrong", holds=same["A B"])
    words, both = "A + B = (5 5; 5 5), A - B = (-3 -1; 1 3)", f"{_text(ours['A + B'])}, {_text(ours['A - B'])}"
    lab.statement("Lecture S2", words, ours=both, verdict="right", holds=same["A + B"] and same["A - B"])


def maps(lab: Lab) -> None:
    """A matrix as a linear map, its transpose, and a tensor that is flattened and shaped back."""
    rng = np.random.default_rng(1)
    w, v = rng.normal(size=(3, 4)), rng.normal(size=(4, 2))
    x, y = rng.normal(size=(2, 4))
    linear = np.max(np.abs(w @ (2.5 * x - 0.5 * y) - (2.5 * (w @ x) - 0.5 * (w @ y))))
    lab.claim("A(λx + μy) = λAx + μAy for a 3 x 4 matrix, to 1e-14", linear < 1e-14)
    lab.claim("(A B)' = B' A', to 1e-14", np.max(np.abs((w @ v).T - v.T @ w.T)) < 1e-14)
    by_weight = np.asarray(jax.jacfwd(lambda w: w @ x)(jnp.asarray(w)))
    own = np.einsum("ja,i->jai", np.eye(3), x)
    lab.claim("w_ji reaches output j alone, as x_i: dy_k/dw_ji = x_i if k = j, else 0", np.array_equal(by_weight, own))
    tensor = jnp.asarray(rng.normal(size=(2, 3, 4)))
    value = lambda t: jnp.sum(jnp.sin(t) * t[::-1])  # noqa: E731
    flat = jax.grad(lambda entries: value(entries.reshape(2, 3, 4)))(tensor.ravel())
    same = bool(jnp.all(flat.reshape(2, 3, 4) == jax.grad(value)(tensor)))
    lab.claim("a 2 x 3 x 4 tensor flattened, differentiated and shaped back has the gradient of the tensor", same)
    words = "gradients of tensors: flatten, differentiate, shape back"
    ours = f"equal to the last bit for {' x '.join(map(str, tensor.shape))}"
    lab.statement("Lecture S3", words, ours=ours, verdict="right", holds=same)


def tangents(lab: Lab, at: float) -> None:
    """The tangent vector as derivative of each coordinate and as the limit of secants."""
    tangent = np.asarray(jax.jacfwd(curve)(at))
    by_hand = np.array([-2 * np.sin(at), np.cos(at)])
    steps = 2.0 ** -np.arange(0, 20, 3)
    secants = [np.asarray(curve(at + h) - curve(at)) / h for h in steps]
    off = np.array([np.linalg.norm(secant - tangent) for secant in secants])
    lab.table(
        ("h", "secant, x", "secant, y", "distance from y'(t)"), zip(steps, *np.transpose(secants), off, strict=True)
    )
    each = np.max(np.abs(tangent - by_hand))
    lab.claim("y'(t) = (-2 sin t, cos t), coordinate by coordinate", each < 1e-14)
    bends = float(np.linalg.norm(jax.jacfwd(jax.jacfwd(curve))(at)))
    ratio = off[-1] / (steps[-1] * bends / 2)
    lab.claim(f"the secant misses it by h |y''| / 2, here {ratio:.4f} of that", abs(ratio - 1) < 1e-3)
    words = "the derivative of y(t) is the vector of the coordinates' derivatives, and the limit of secants"
    ours = f"both; the secant misses it by {ratio:.4f} of h |y''| / 2"
    lab.statement("Lecture S3", words, ours=ours, verdict="right", holds=each < 1e-14 and abs(ratio - 1) < 1e-3)


def draw(at: float) -> Figure:
    picture = style.figure(4.6, "The secants of a curve turn into its tangent vector")
    axes = picture.subplots()
    style.dress(axes)
    t = np.linspace(0, 2 * np.pi, 400)
    axes.plot(*np.asarray(curve(t)), color=style.FAINT, linewidth=1.8)
    here, tangent = np.asarray(curve(at)), np.asarray(jax.jacfwd(curve)(at))
    for h, share in zip(SECANTS, (0.6, 0.4, 0.1), strict=True):
        there = np.asarray(curve(at + h))
        color = style.mix(style.BLUE, "white", share)
        axes.plot(*there, "o", color=color, markersize=6)
        _arrow(axes, here, (there - here) / h, color, 2.0)
        axes.annotate(
            f"y(t + {h:g})",
            there,
            (0, 9),
            textcoords="offset points",
            ha="center",
            fontsize=style.SMALL,
            color=style.INK,
        )
    _arrow(axes, here, tangent, style.VERMILLION, 3.0)
    axes.plot(*here, "o", color=style.INK, markersize=8, zorder=6)
    axes.annotate(f"y(t), t = {at:g}", here, (10, -4), textcoords="offset points", fontsize=style.NORMAL)
    axes.plot([], [], color=style.VERMILLION, linewidth=3, label="tangent vector y'(t)")
    axes.plot([], [], color=style.mix(style.BLUE, "white", 0.3), linewidth=2, label="secants (y(t + h) − y(t)) / h")
    axes.set_aspect("equal")
    axes.set(xlim=(-2.4, 3.2), ylim=(-1.45, 1.45))
    axes.legend(fontsize=style.SMALL, loc="lower left", frameon=False, ncols=2)
    return picture


def _arrow(axes, start, vector, color, width) -> None:
    look = {"arrowstyle": "-|>", "color": color, "linewidth": width, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 15}
    axes.annotate("", start + vector, start, arrowprops=look)


def _text(matrix: np.ndarray) -> str:
    return "(" + "; ".join(" ".join(str(entry) for entry in row) for row in matrix) + ")"


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        squares(lab)
        matrices(lab)
        maps(lab)
        tangents(lab, lab.numbers.at)
        caption = "Secants of y(t) = (2 cos t, sin t) for ever smaller h, and the tangent vector that is their limit."
        lab.save(draw(lab.numbers.at), "vectors_and_matrices.png", caption)


if __name__ == "__main__":
    main()
