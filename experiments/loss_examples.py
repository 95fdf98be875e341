"""What are the values of the lectures' losses, example by example, and how strong is their gradient?

    python -m experiments.loss_examples [--out lab]

One lecture gives the cross-entropy -(y log p + (1 - y) log(1 - p)), four pairs (y, p) to think about, and log(0.9) = -0.04,
log(0.5) = -0.3, log(0.001) = -3: these are in base 10 and truncated after two decimals (-0.0458 would be rounded to -0.05).
gdjax, like all libraries that differentiate, uses nats, which are 2.303 times as large; only then is the derivative through
a sigmoid p - y, without a factor. The lecture's example with classes (0.3, 0.2, 0.5), the third being right, is log 2.
Another lecture derives 1/2 (p - y)² and the cross-entropy, and draws the second above the first; its table of the backward
pass lacks the minus sign of J, so that its g_y is minus the derivative. A third counts errors by the zero-one loss and
bounds them by the hinge.

Expected: 0.0458, 0.301, 3 in base 10 and 0.105, 0.693, 6.908 in nats; every derivative as derived, to 1e-12. For a
confidently wrong sigmoid (p = 0.001 where y = 1) the derivative of the cross-entropy is 0.999, that of the quadratic loss
0.001. About 8 s.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from gdjax import losses, metrics
from gdjax.plots import style

from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Numbers:
    chances: tuple[float, ...] = (0.9, 0.5, 0.2, 0.001)
    """Probabilities of the true class, whose losses are told."""


PRINTED = {0.9: -0.04, 0.5: -0.3, 0.001: -3.0}
PAIRS = ((1, 0.9), (0, 0.9), (1, 0.001), (0, 0.001))
CLASSES, RIGHT = np.array([0.3, 0.2, 0.5]), 2
SIGNED = ((2.0, 1), (-2.0, -1), (2.0, -1), (-2.0, 1), (0.5, 1))
P, S = np.linspace(0.001, 0.999, 999), np.linspace(-2.995, 2.995, 600)  # no score stands on a kink
Z = np.log(P / (1 - P))
ENTROPY, LOGISTIC = losses.binary_cross_entropy, losses.binary_cross_entropy_from_logits


def quadratic(p, y):
    return losses.half_squared_error(p, y * jnp.ones_like(p))


def quadratic_of_sigmoid(z, y):
    return quadratic(jax.nn.sigmoid(z), y)


DERIVED = {  # the loss: its derivative by p, z or s in words, where to try it, the labels, and the formula
    "1/2 (p - y)²": (quadratic, "p - y", P, (0, 1), lambda y: P - y),
    "cross-entropy": (ENTROPY, "-(y/p + (1 - y)/(p - 1))", P, (0, 1), lambda y: -(y / P + (1 - y) / (P - 1))),
    "1/2 (sigm(z) - y)²": (quadratic_of_sigmoid, "(p - y) p (1 - p)", Z, (0, 1), lambda y: (P - y) * P * (1 - P)),
    "cross-entropy of sigm(z)": (LOGISTIC, "p - y", Z, (0, 1), lambda y: P - y),
    "hinge": (losses.hinge, "-y where y s < 1, else 0", S, (-1, 1), lambda y: np.where(y * S < 1, -y, 0)),
    "zero-one": (metrics.zero_one, "0", S, (-1, 1), lambda y: 0 * S),
}


def slopes(loss, at, y) -> np.ndarray:
    return np.asarray(jax.jit(jax.vmap(jax.grad(lambda s: loss(s, float(y)))))(at))


def derivatives() -> dict[str, np.ndarray]:
    """Name -> (labels, 2, points), derivatives by formula and by autodiff."""
    return {
        name: np.array([(formula(y), slopes(loss, at, y)) for y in labels])
        for name, (loss, _, at, labels, formula) in DERIVED.items()
    }


def three_ways(y: int, p: float) -> list[float]:
    """The cross-entropy of one pair from the probability, from its log odds, and from the softmax of two scores."""
    odds = np.log(p / (1 - p))
    ways = ENTROPY(p, y), LOGISTIC(odds, y), losses.softmax_cross_entropy_with_integer_labels(np.array([0.0, odds]), y)
    return [float(way) for way in ways]


def example_costs() -> dict[tuple, list[float]]:
    logs = np.log(CLASSES)
    hot = losses.softmax_cross_entropy(logs, np.eye(3)[RIGHT])
    ways = (
        losses.softmax_cross_entropy_with_integer_labels(logs, RIGHT),
        hot,
        losses.negative_log_likelihood(logs, RIGHT),
    )
    return {pair: three_ways(*pair) for pair in PAIRS} | {(RIGHT, "0.3, 0.2, 0.5"): [float(way) for way in ways]}


def hinge_over_errors() -> np.ndarray:
    """The hinge less the zero-one loss, for all scores and both signs."""
    gap = lambda y: jax.vmap(lambda s: losses.hinge(s, y) - metrics.zero_one(s, y))(S)  # noqa: E731
    return np.concatenate([gap(-1), gap(1)])


def draw():
    picture = style.figure(6.0, "Losses that learn pull hardest on what is wrong; the zero-one loss never pulls")
    m = np.linspace(-2, 3, 2000)
    of_p = {
        "cross-entropy, nats": ENTROPY,
        "quadratic": quadratic,
        "zero-one": lambda p, y: metrics.zero_one(p - 0.5, y),
    }
    of_s = {"logistic, nats": LOGISTIC, "hinge": losses.hinge, "zero-one": metrics.zero_one}
    sides = (
        (P, "probability p of the true class", of_p, (-0.2, 4), (-8, 0.4)),
        (m, "margin y s of the score s", of_s, (-0.15, 3), (-1.25, 0.1)),
    )
    for column, (x, label, drawn, *limits) in zip(picture.subplots(2, 2).T, sides, strict=True):
        for (name, loss), color, look in zip(drawn.items(), style.PALETTE, ("-", "-", "--"), strict=False):
            column[0].plot(x, loss(x, np.ones_like(x)), look, color=color, linewidth=2, label=name)
            column[1].plot(x, slopes(loss, x, 1), look, color=color, linewidth=2, label=name)
        for axes, words, ends in zip(column, ("loss", "derivative of the loss"), limits, strict=True):
            style.dress(axes)
            style.rule(axes)
            axes.set(xlabel=label, ylabel=words, ylim=ends)
        style.legend(column[0])
    return picture


def logarithms(lab: Lab) -> None:
    """The lecture's logarithms, and its example with three classes."""
    logs = {p: (np.log(p), np.log10(p), np.trunc(100 * np.log10(p)) / 100) for p in PRINTED}
    lab.table(("p", "ln p", "log10 p", "cut", "lecture"), [(p, *logs[p], said) for p, said in PRINTED.items()])
    costs = example_costs()
    rows = [(f"{y}", f"{p}", ways[0], ways[0] / np.log(10)) for (y, p), ways in costs.items()]
    lab.table(("y", "p", "cross-entropy, nats", "base 10"), rows)
    cut = all(logs[p][2] == said for p, said in PRINTED.items())
    lab.claim("the logarithms are base 10, cut after two decimals", cut)
    lab.claim("none of them is in nats", all(abs(logs[p][0] - said) > 0.06 for p, said in PRINTED.items()))
    nats = -np.log([p if y else 1 - p for y, p in PAIRS] + [CLASSES[RIGHT]])
    alike = np.allclose(np.array(list(costs.values())), nats[:, None], rtol=1e-12, atol=1e-14)
    lab.claim("gdjax's are nats, and three ways to each example agree", alike)
    pull = jax.grad(losses.softmax_cross_entropy_with_integer_labels)(np.log(CLASSES), RIGHT)
    lab.claim("through softmax it is p - y, here (0.3, 0.2, -0.5)", np.allclose(pull, [0.3, 0.2, -0.5], rtol=1e-12))
    nat, ten = (", ".join(f"{each[i]:.3g}" for each in logs.values()) for i in (0, 1))
    rounded = [all(round(logs[p][i], 2) == said for p, said in PRINTED.items()) for i in (0, 1)]
    lab.statement(
        "Lecture S4",
        "log 0.9 = -0.04, log 0.5 = -0.3, log 0.001 = -3",
        ours=f"in base 10, and cut: {ten}; the losses of libraries are in nats, {nat}",
        verdict="imprecise",
        holds=any(rounded),
        partly=cut,
    )


def pulls(lab: Lab) -> None:
    """The derivatives of the losses."""
    found, names = derivatives(), list(DERIVED)
    gap = {name: np.abs(both[:, 0] - both[:, 1]).max() for name, both in found.items()}
    off = {name: gap[name] / max(1, np.abs(found[name]).max()) for name in names}
    rows = [(name, DERIVED[name][1], np.abs(both).max(), gap[name]) for name, both in found.items()]
    lab.table(("loss", "derivative", "largest", "off autodiff's"), rows)
    lab.claim("derivatives are as derived, to 1e-12 of their size", max(off.values()) <= 1e-12)
    printed = np.array([y / P + (1 - y) / (P - 1) for y in (0, 1)])
    lab.claim(
        "the backward table's g_y is minus the loss's derivative",
        np.allclose(printed, -found["cross-entropy"][:, 1]),
    )
    stuck, pulled = (abs(found[name][1, 1, 0]) for name in names[2:4])
    lab.claim("a sigmoid at p = 0.001 is pulled over 900 times as hard by the cross-entropy", pulled > 900 * stuck)
    above = ENTROPY(P, np.ones_like(P)) - quadratic(P, 1)
    lab.claim("the cross-entropy lies above the quadratic loss at every p", above.min() > 0)
    lab.claim(
        "only zero-one has no derivative to follow", [n for n in names if not found[n][:, 1].any()] == ["zero-one"]
    )
    words = "the loss of the forward pass is J = y* log y + (1 - y*) log(1 - y)"
    told = np.allclose([np.log(1 - P), np.log(P)], [ENTROPY(P, y * np.ones_like(P)) for y in (0, 1)])
    ours = "its minus is missing, and so is that of its g_y"
    lab.statement("Lecture S2", words, ours=ours, verdict="wrong", holds=told)
    words, most = (
        "the derivatives y - y* of the quadratic loss, and that of the cross-entropy",
        max(map(off.get, names[:2])),
    )
    ours = f"equal to autodiff's, to {most:.1g} of their size"
    lab.statement("Lecture S2", words, ours=ours, verdict="right", holds=most <= 1e-12)


def hinges(lab: Lab) -> None:
    """The hinge and the errors."""
    bounds = [(s, y, metrics.zero_one(s, y), losses.hinge(s, y)) for s, y in SIGNED]
    lab.table(("score f(x)", "y", "zero-one", "hinge"), bounds)
    lab.claim(
        "the hinge is 3 where the sign is wrong, 0.5 where it is right by 0.5",
        [b[3] for b in bounds] == [0, 0, 3, 3, 0.5],
    )
    words, over = "the hinge bounds the zero-one loss from above", hinge_over_errors()
    ours = f"at all of {over.size:,} scores tried"
    lab.statement("Lecture S1", words, ours=ours, verdict="right", holds=over.min() >= 0)


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        for p in lab.numbers.chances:
            if not 0 < p < 1:
                raise ValueError(f"chances must lie between 0 and 1, got {p:g}")
        logarithms(lab)
        pulls(lab)
        hinges(lab)
        more = [(p, -np.log(p), -np.log10(p), (1 - p) ** 2 / 2, 1 / p, 1 - p) for p in lab.numbers.chances]
        heads = "p of the true class", "cross-entropy, nats", "base 10", "quadratic", "slopes", "of the quadratic"
        lab.table(heads, more)
        lab.save(
            draw(),
            "loss_examples.png",
            "Above, losses by the probability of the true class and by the margin; below, their derivatives.",
        )


if __name__ == "__main__":
    main()
