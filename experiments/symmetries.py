"""How many copies has a minimum of a network, what lies between them, and how does descent leave a plateau?

    python -m experiments.symmetries [--out lab] [--units 5] [--distance 2.5]

Lecture S3 counts among the troubles of deep landscapes permutation symmetries and plateaus, without an example. Here a
network 1-5-1 of tanh units learns sin(2x) at 40 points. Its hidden units may be exchanged in 5! = 120 ways and the signs of
each unit's weights in 2⁵ = 32 without changing what it computes: every minimum is one of 3,840 alike. The plateau is 1 -
exp(-|p|²): far from its hole the gradient, 2r exp(-r²), says next to nothing.

Expected: all 3,840 copies have the same loss to 1e-9, and the gradient at a copy is the copied gradient. On the straight
line between two copies the loss rises to over a hundred times that of their ends: the landscape is not convex, and the mean
of two equal networks is not a good one. Units that start alike stay alike up to rounding, so that 5 units compute no more
than one: initial weights are drawn at random to break the symmetry. On the plateau, descent at rate 0.1 needs 15 steps to a
value of 0.01 from r = 1 and 274 from 2.5, momentum 60, Adam, whose step does not depend on the gradient's size,
about as many as the distance has steps. About 12 s.
"""

from __future__ import annotations

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import gdjax as gd
from gdjax.plots import style
from gdjax.stopping import never, target

from .lab import Lab

X = jnp.linspace(-2, 2, 40)
METHODS = {"plain descent": gd.sgd, "momentum 0.9": gd.momentum, "Adam": gd.adam}
RATE, LOW = 0.1, 0.01


@dataclasses.dataclass(frozen=True)
class Numbers:
    units: int = 5
    """Hidden units of the network, 2 to 6."""
    distance: float = 2.5
    """The farthest start on the plateau, in lengths of its hole."""


def loss(params):
    """The mean squared error of the network with weights in, biases and weights out, (units,) each, and one bias."""
    hidden = jnp.tanh(X[:, None] * params["in"] + params["bias"])
    return jnp.mean((hidden @ params["out"] + params["shift"] - jnp.sin(2 * X)) ** 2)


def train(start, steps: int = 3000) -> gd.Minimum:
    return gd.minimize(loss, start, gd.lbfgs(), max_steps=steps)


def initial(units: int, seed: int = 0) -> dict:
    keys = jax.random.split(jax.random.key(seed), 3)
    draw = lambda key: jax.random.normal(key, (units,))  # noqa: E731
    return {"in": draw(keys[0]), "bias": draw(keys[1]), "out": draw(keys[2]) / units, "shift": jnp.zeros(())}


def copied(params, order, signs):
    """The same network with its units exchanged, and their weights in, biases and weights out turned."""
    each = {name: params[name][order] * signs for name in ("in", "bias", "out")}
    return {**each, "shift": params["shift"]}


def copies(units: int):
    """All exchanges with all signs, (units! 2^units, units) each."""
    orders = np.array(list(itertools.permutations(range(units))))
    signs = np.array(list(itertools.product([1.0, -1.0], repeat=units)))
    return jnp.asarray(np.repeat(orders, len(signs), axis=0)), jnp.asarray(np.tile(signs, (len(orders), 1)))


def symmetries(lab: Lab, units: int) -> np.ndarray:
    """The copies of a minimum, and the loss on the straight lines between them."""
    found = jax.tree.map(jnp.asarray, train(initial(units)).params)
    orders, signs = copies(units)
    everywhere = np.asarray(jax.jit(jax.vmap(lambda o, s: loss(copied(found, o, s))))(orders, signs))
    best = float(loss(found))
    far = np.max(np.abs(everywhere / best - 1))
    lab.claim(f"{len(everywhere):,} copies, {units}! times 2^{units}, have the same loss to {far:.0e}", far < 1e-9)
    at = jax.tree.map(lambda p: p + 0.1, found)
    order, sign = orders[-1], signs[-2]
    apart = jax.tree.map(
        lambda a, b: float(jnp.max(jnp.abs(a - b))),
        jax.grad(loss)(copied(at, order, sign)),
        copied(jax.grad(loss)(at), order, sign),
    )
    lab.claim("the gradient at a copy is the copied gradient, to 1e-13", max(jax.tree.leaves(apart)) < 1e-13)
    some = np.linspace(1, len(orders) - 1, 8).astype(int)
    ways = jnp.linspace(0, 1, 101)
    lines = jax.jit(jax.vmap(lambda t, other: loss(_mix(found, other, t)), in_axes=(0, None)))
    between = [np.asarray(lines(ways, copied(found, orders[i], signs[i]))) for i in some]
    tops = [float(np.max(line)) for line in between]
    lab.table(
        ("to copy", "loss at the ends", "highest between"),
        [(int(i), best, top) for i, top in zip(some, tops, strict=True)],
    )
    lab.claim("between a minimum and each of eight copies the loss rises over a hundredfold", min(tops) > 100 * best)
    ours = f"every minimum of 1-{units}-1 has {math.factorial(units) * 2**units:,} copies, with ridges between them"
    lab.statement(
        "Lecture S3",
        "deep landscapes have symmetries, by permutation among others",
        ours=ours,
        verdict="right",
        holds=far < 1e-9 and min(tops) > 100 * best,
    )
    return np.array(between)


def _mix(a, b, t):
    return jax.tree.map(lambda a, b: (1 - t) * a + t * b, a, b)


def alike(lab: Lab, units: int) -> None:
    """Units that start alike."""
    one = jax.tree.map(lambda p: jnp.full_like(p, 0.3), initial(units))
    rates = {"max_steps": 2000, "stop": never()}
    together = gd.minimize(loss, one, gd.adam(0.01), **rates)
    apart = gd.minimize(loss, initial(units), gd.adam(0.01), **rates)
    alone = gd.minimize(loss, jax.tree.map(lambda p: jnp.full_like(p, 0.3), initial(1)), gd.adam(0.01), **rates)
    rows = [("all units alike", together.value), ("drawn at random", apart.value), ("one unit alone", alone.value)]
    lab.table(("start", "loss after 2000 steps"), rows)
    apart_by = max(float(np.ptp(np.asarray(together.params[name]))) for name in ("in", "bias", "out"))
    lab.claim(f"units that start alike are alike after 2000 steps, to {apart_by:.0e}", apart_by < 1e-4)
    lab.claim(
        "together they do no better than one, units drawn at random do",
        together.value > 0.9 * alone.value > 5 * apart.value,
    )


def plateau(lab: Lab, distance: float) -> dict[str, list[float]]:
    """The steps that each method needs to the hole of the plateau."""
    hole = gd.problems.plateau()
    starts = np.linspace(1.0, distance, 7)
    steps: dict[str, list[float]] = {}
    for name, method in METHODS.items():
        runs = [
            gd.minimize(hole.f, jnp.array([r, 0.0]), method(RATE), stop=target(LOW), max_steps=20_000) for r in starts
        ]
        steps[name] = [float(run.steps) for run in runs]
    slopes = [float(jnp.linalg.norm(jax.grad(hole.f)(jnp.array([r, 0.0])))) for r in starts]
    lab.table(("start r", "slope", *METHODS), zip(starts, slopes, *steps.values(), strict=True))
    told = [2 * r * math.exp(-(r**2)) for r in starts]
    lab.claim("the slope is 2r exp(-r²)", np.allclose(slopes, told, rtol=1e-12))
    plain, momentum, adam = steps.values()
    lab.claim(
        "plain descent needs over a tenfold from the farthest start of what it needs from r = 1",
        plain[-1] > 10 * plain[0],
    )
    lab.claim(
        "momentum needs less than half of it, Adam less than a tenth",
        momentum[-1] < plain[-1] / 2 and adam[-1] < plain[-1] / 10,
    )
    ours = f"from r = {distance:g} plain descent takes {plain[-1]:,.0f} steps, Adam {adam[-1]:.0f}"
    trouble = plain[-1] > 10 * plain[0]
    lab.statement("Lecture S3", "plateaus are a trouble of descent", ours=ours, verdict="right", holds=trouble)
    return {"starts": list(starts), **steps}


def draw_lines(between: np.ndarray, units: int) -> Figure:
    count = f"{math.factorial(units) * 2**units:,}"
    picture = style.figure(4.2, f"One of {count} minima alike: on the way to another the loss rises")
    axes = picture.subplots()
    style.dress(axes)
    style.rule(axes)
    axes.plot(np.linspace(0, 1, 101), between.T, color=style.BLUE, linewidth=1.4)
    axes.plot([0, 1], [between[0, 0]] * 2, "o", color=style.VERMILLION, markersize=9, zorder=5)
    axes.set(yscale="log")
    axes.set_xticks([0, 0.5, 1], ["a minimum", "half way", "its copies"])
    axes.set_ylabel("loss on the straight line", fontsize=style.NORMAL)
    return picture


def draw_plateau(steps: dict[str, list[float]]) -> Figure:
    picture = style.figure(4.0, "On a plateau the gradient is small: plain descent waits, Adam walks")
    left, right = picture.subplots(1, 2)
    r = np.linspace(-3.2, 3.2, 300)
    left.plot(r, 1 - np.exp(-(r**2)), color=style.INK, linewidth=2, label="value")
    left.plot(r, np.abs(2 * r * np.exp(-(r**2))), color=style.VERMILLION, linewidth=1.6, label="size of the slope")
    left.set_xlabel("distance from the hole", fontsize=style.NORMAL)
    left.set_ylim(-0.05, 1.45)
    left.legend(fontsize=style.SMALL, loc="upper center", ncols=2, frameon=False)
    for name, color, marker in zip(METHODS, style.PALETTE, "osD", strict=False):
        right.plot(steps["starts"], steps[name], color=color, marker=marker, markersize=6, label=name)
    right.set(yscale="log")
    right.set_xlabel("distance of the start", fontsize=style.NORMAL)
    right.set_ylabel("steps to the hole", fontsize=style.NORMAL)
    right.legend(fontsize=style.SMALL, loc="upper left", edgecolor=style.RULE)
    for axes in (left, right):
        style.dress(axes)
        style.rule(axes)
    return picture


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        units = lab.numbers.units
        between = symmetries(lab, units)
        alike(lab, units)
        steps = plateau(lab, lab.numbers.distance)
        lab.save(draw_lines(between, units), "symmetries.png", "The loss between a minimum and eight of its copies.")
        caption = "A plateau's value and slope, and the steps that three methods need to its hole."
        lab.save(draw_plateau(steps), "plateaus.png", caption)


if __name__ == "__main__":
    main()
