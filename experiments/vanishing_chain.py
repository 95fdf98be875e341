"""What are the four factors that make the first layer's gradient vanish, in numbers?

    python -m experiments.vanishing_chain [--out lab] [--x 1] [--weight 0.8] [--scale 100]

Lecture S3 writes the derivative by the first bias of a chain of four sigmoid units as a product,

    dC/db1 = σ'(z1) · w2 · σ'(z2) · w3 · σ'(z3) · w4 · σ'(z4) · dC/da4

and bounds each w σ'(z) by 0.25 if |w| <= 1, as for w ~ N(0, 1). It gives no numbers; here they are, for weights 0.8, input
1, target 0 and C = a4² / 2. Its demon adds Δz to a unit's input and changes the cost by dC/dz Δz. For a large input
the first slope is 0.

Expected: the product is jax.grad's dC/db1 to 1e-15 and is at most 0.25⁴ times the weights and dC/da4; the four derivatives
grow at least fourfold from layer to layer, the first is below 1/100 of the last. Of 100,000 chains with |w| <= 1 none
exceeds the bound; of weights w ~ N(0, 1) 32 % are larger than 1, so that 68 % of chains have one, and single products w
σ'(z) exceed 0.25. The demon's prediction errs by less than Δz² / 2 for Δz from 1 to 0.001. At 100 times the input σ'(z1)
is 1.8e-35, and exactly 0 if computed as σ (1 - σ). About 5 s.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from gdjax.plots import style

from .lab import Lab

UNITS, CHAINS = 4, 100_000
sigmoid = jax.nn.sigmoid


@dataclasses.dataclass(frozen=True)
class Numbers:
    x: float = 1.0
    """The input of the first unit."""
    weight: float = 0.8
    """The weight of all four units."""
    scale: float = 100.0
    """How many times larger the large input is."""


def forward(biases, weights, x, demon=None):
    """The weighted inputs z and the activations a of the chain, (4,) each; the demon adds to the inputs."""
    zs, activations, a = [], [], x
    for i in range(UNITS):
        z = weights[i] * a + biases[i] + (0.0 if demon is None else demon[i])
        a = sigmoid(z)
        zs.append(z)
        activations.append(a)
    return jnp.stack(zs), jnp.stack(activations)


def cost(biases, weights, x, demon=None):
    return forward(biases, weights, x, demon)[1][-1] ** 2 / 2


def factors(weights, x) -> list[tuple[str, float]]:
    """The lecture's factors of dC/db1 by name, from the first unit to the cost."""
    z, a = (np.asarray(each) for each in forward(jnp.zeros(UNITS), weights, x))
    slopes = np.asarray(sigmoid(z) * sigmoid(-z))
    named = [("σ'(z1)", float(slopes[0]))]
    for i in range(1, UNITS):
        named += [(f"w{i + 1}", float(weights[i])), (f"σ'(z{i + 1})", float(slopes[i]))]
    return [*named, ("dC/da4", float(a[-1]))]


def chain(lab: Lab, weight: float, x: float) -> tuple[list[tuple[str, float]], np.ndarray]:
    weights = jnp.full(UNITS, weight)
    named = factors(weights, x)
    lab.table(("factor", "value", "product so far"), _running(named))
    slopes = np.asarray(jax.grad(cost)(jnp.zeros(UNITS), weights, x))
    product = math.prod(value for _, value in named)
    lab.table(("bias", "dC/db", "times the one before"), _ratios(slopes))
    lab.claim("the product of the factors is dC/db1 by jax.grad, to 1e-15", abs(product / slopes[0] - 1) < 1e-14)
    bound = 0.25**UNITS * abs(weight) ** (UNITS - 1) * named[-1][1]
    lab.claim("it is at most 0.25⁴ w³ dC/da4", abs(product) <= bound)
    lab.claim(
        "each derivative is at least four times the one before", np.all(np.abs(slopes[1:]) >= 4 * np.abs(slopes[:-1]))
    )
    lab.claim("the first is below a hundredth of the last", abs(slopes[0]) < 0.01 * abs(slopes[-1]))
    words = "each factor w σ'(z) is at most 0.25, so that derivatives vanish backward"
    ours = f"dC/db1 = {product:.2e}, dC/db4 = {slopes[-1]:.2e}"
    vanish = abs(product) <= bound and abs(slopes[0]) < 0.01 * abs(slopes[-1])
    lab.statement("Lecture S3", words, ours=ours, verdict="right", holds=vanish)
    return named, slopes


def bounds(lab: Lab) -> None:
    """Whether w σ'(z) <= 0.25 for the weights that the lecture has in mind."""
    rng = np.random.default_rng(0)
    draws = {"|w| <= 1, uniform": rng.uniform(-1, 1, (CHAINS, UNITS)), "w ~ N(0, 1)": rng.normal(size=(CHAINS, UNITS))}
    rows = []
    for name, weights in draws.items():
        z, _ = jax.vmap(lambda w: forward(jnp.zeros(UNITS), w, 1.0))(jnp.asarray(weights))
        each = np.abs(weights * np.asarray(sigmoid(z) * sigmoid(-z)))[:, 1:]
        large = np.any(np.abs(weights[:, 1:]) > 1, axis=1)
        rows.append((name, np.mean(np.abs(weights) > 1), np.mean(~large), np.mean(each > 0.25), each.max()))
    head = ("weights", "share of |w| > 1", "chains without one", "share of w σ' > 0.25", "largest w σ'")
    lab.table(head, rows)
    lab.claim("of weights with |w| <= 1 no w σ'(z) exceeds 0.25", rows[0][3] == 0)
    some = abs(rows[1][1] - 0.317) < 0.005 and abs(rows[1][2] - 0.318) < 0.01
    lab.claim("of N(0, 1) 32 % of weights are larger than 1; 32 % of chains have none among w2, w3, w4", some)
    lab.claim("and single w σ'(z) exceed 0.25", rows[1][3] > 0.1)
    ours = (
        f"{100 * (1 - rows[1][2]):.0f} % of chains have some |w| > 1; {100 * rows[1][3]:.0f} % of factors exceed 0.25"
    )
    lab.statement("Lecture S3", "|w| <= 1 as for w ~ N(0, 1)", ours=ours, verdict="wrong", holds=rows[1][1] == 0)


def demon(lab: Lab, weight: float, x: float) -> None:
    """The demon's Δz at the first unit: the change of the cost, and what dC/dz1 Δz says of it."""
    zeros, weights = jnp.zeros(UNITS), jnp.full(UNITS, weight)
    slope = float(jax.grad(cost, argnums=3)(zeros, weights, x, zeros)[0])
    rows = []
    for dz in (1.0, 0.1, 0.01, 0.001):
        change = float(cost(zeros, weights, x, zeros.at[0].set(dz)) - cost(zeros, weights, x))
        rows.append((dz, change, slope * dz, abs(change - slope * dz)))
    lab.table(("Δz1", "change of C", "dC/dz1 Δz1", "difference"), rows)
    lab.claim("the demon changes C by dC/dz Δz, up to Δz² / 2", all(row[3] < row[0] ** 2 / 2 for row in rows))
    ratio = rows[1][3] / rows[2][3]
    lab.claim(f"the difference falls like Δz², here by {ratio:.0f} for a tenth", 90 < ratio < 110)
    words = "changing z by Δz changes the cost by dC/dz Δz"
    ours = f"to first order; the rest falls like Δz², by {ratio:.0f} for a tenth"
    rest = [row[3] / row[0] ** 2 for row in rows]
    lab.statement("Lecture S3", words, ours=ours, verdict="imprecise", holds=max(rest) == 0, partly=max(rest) < 0.5)


def large_input(lab: Lab, weight: float, x: float, scale: float) -> None:
    slopes = [jax.grad(cost)(jnp.zeros(UNITS), jnp.full(UNITS, weight), at)[0] for at in (x, scale * x)]
    first = [value for _, value in (factors(jnp.full(UNITS, weight), at)[0] for at in (x, scale * x))]
    lab.table(("input", "σ'(z1)", "dC/db1"), zip((x, scale * x), first, map(float, slopes), strict=True))
    lab.claim("with the large input σ'(z1) is below 1e-30, and 0 as computed", first[1] < 1e-30 and slopes[1] == 0)
    words = "for a large input σ'(z1) and the whole product become 0"
    lab.statement(
        "Lecture S3",
        words,
        ours=f"σ'(z1) = {first[1]:.1e} at x = {scale * x:g}; dC/db1 = {float(slopes[1]):g} as it is computed",
        verdict="right",
        holds=first[1] < 1e-30 and slopes[1] == 0,
    )


def _running(named: list[tuple[str, float]]) -> list[tuple]:
    product, rows = 1.0, []
    for name, value in reversed(named):
        product *= value
        rows.append((name, value, product))
    return rows


def _ratios(slopes: np.ndarray) -> list[tuple]:
    before = [None, *slopes[:-1]]
    return [(f"b{i + 1}", s, "" if b is None else s / b) for i, (s, b) in enumerate(zip(slopes, before, strict=True))]


def draw(named: list[tuple[str, float]], slopes: np.ndarray) -> Figure:
    picture = style.figure(4.6, "Four slopes of at most 0.25 each leave little for the first layer")
    above, below = picture.subplots(2, 1, height_ratios=(1, 1.35))
    above.set_axis_off()
    above.set(xlim=(-0.75, 4.6), ylim=(-1.15, 0.75))
    values = dict(named)
    for i in range(UNITS):
        above.add_patch(_circle(i))
        above.text(i, 0, f"σ(z{i + 1})", ha="center", va="center", fontsize=style.NORMAL)
        slope = values[f"σ'(z{i + 1})"]
        above.text(i, -0.72, f"σ' = {slope:.3f}", ha="center", fontsize=style.NORMAL, color=style.VERMILLION)
        end = "x" if i == 0 else ""
        above.annotate(
            end,
            (i - 0.3, 0),
            (i - 0.7, 0),
            arrowprops={"arrowstyle": "->", "color": style.MUTED},
            va="center",
            ha="right",
            fontsize=style.NORMAL,
        )
        if i:
            above.text(
                i - 0.5,
                0.14,
                f"w{i + 1} = {values[f'w{i + 1}']:g}",
                ha="center",
                fontsize=style.SMALL,
                color=style.BLUE,
            )
    above.annotate("", (4.15, 0), (3.25, 0), arrowprops={"arrowstyle": "->", "color": style.MUTED})
    above.text(4.25, 0, "C", ha="center", va="center", fontsize=style.NORMAL)
    above.text(
        4.1, -0.72, f"dC/da4 = {values['dC/da4']:.2f}", ha="center", fontsize=style.NORMAL, color=style.VERMILLION
    )
    style.dress(below)
    size = np.abs(slopes)
    below.bar(range(UNITS), size, 0.5, color=style.VERMILLION, bottom=0)
    for i, value in enumerate(size):
        below.text(i, value * 1.25, f"{value:.1e}".replace("e-0", "e−"), ha="center", fontsize=style.NORMAL)
    below.set(yscale="log", ylim=(size.min() / 8, size.max() * 6), xlim=(-0.75, 4.6))
    below.set_xticks(range(UNITS), [f"b{i + 1}" for i in range(UNITS)])
    below.minorticks_off()
    below.set_ylabel("|dC/db|", fontsize=style.NORMAL)
    return picture


def _circle(x: float):
    return Ellipse((x, 0), 0.46, 0.7, facecolor="#eef3f7", edgecolor=style.INK, linewidth=1.2)


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        x, weight, scale = lab.numbers.x, lab.numbers.weight, lab.numbers.scale
        named, slopes = chain(lab, weight, x)
        bounds(lab)
        demon(lab, weight, x)
        large_input(lab, weight, x, scale)
        caption = "The chain of four sigmoid units with its factors, and the derivative by each bias."
        lab.save(draw(named, slopes), "vanishing_chain.png", caption)


if __name__ == "__main__":
    main()
