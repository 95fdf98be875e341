"""What of learning is backpropagation, and what is not?

    python -m experiments.backprop_is_not_learning [--out lab] [--steps 60] [--rate 0.5]

Lecture S4: backpropagation calculates gradients by the chain rule; it is a part of the learning algorithm and not the whole;
it can be calculated with respect to any variable. Here a network 4-3-3 with one hidden layer of tanh learns iris. Its
gradient is calculated in four ways: by backpropagation by hand, by jax.grad, forward (one directional derivative for each of
the 27 parameters), and by differences of the loss. Then one of them is given to four update rules.

Expected: the four gradients give the same path of 60 steps, the first three to 1e-12, differences to 1e-6: backpropagation
can be replaced, at a price, of 27 forward passes. The same gradients under four update rules give four ends: the rule
cannot be replaced. Gradients alone teach nothing: without an update the loss stays what it was. And the derivative by the
inputs is had by the same pass: with the parameters held, a step along it changes the flowers, so that the network takes
almost all of them for another kind. About 8 s.
"""

from __future__ import annotations

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from matplotlib.figure import Figure
from sklearn.datasets import load_iris

import gdjax as gd
from gdjax.backprop import backpropagate, cost_of
from gdjax.plots import style

from .lab import Lab

WAYS = ("backpropagation by hand", "jax.grad", "forward, one parameter at a time", "differences of the loss")


@dataclasses.dataclass(frozen=True)
class Numbers:
    steps: int = 60
    """Steps of each descent."""
    rate: float = 0.5
    """The learning rate of plain descent."""


def flowers():
    data = load_iris()
    x = (data.data - data.data.mean(axis=0)) / data.data.std(axis=0)
    return jnp.asarray(x), jnp.eye(3)[data.target]


def gradients(x, y) -> dict:
    """Four functions from parameters to the gradient of the same cost."""
    cost = lambda p: cost_of(p, x, y)  # noqa: E731

    def forward(params):
        flat, back = ravel_pytree(params)
        return back(jax.vmap(lambda e: jax.jvp(lambda v: cost(back(v)), (flat,), (e,))[1])(jnp.eye(flat.size)))

    def differences(params, h=1e-5):
        flat, back = ravel_pytree(params)
        of = lambda v: cost(back(v))  # noqa: E731
        return back(jax.vmap(lambda e: (of(flat + h * e) - of(flat - h * e)) / (2 * h))(jnp.eye(flat.size)))

    ways = (lambda p: backpropagate(p, x, y).gradients, jax.grad(cost), forward, differences)
    return dict(zip(WAYS, ways, strict=True))


def descend(gradient, optimizer, params, cost, steps: int):
    """The losses (steps + 1,) and the parameters at the end."""

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(gradient(params), state, params)
        return (optax.apply_updates(params, updates), state), cost(params)

    (end, _), losses = jax.jit(lambda: jax.lax.scan(step, (params, optimizer.init(params)), length=steps))()
    return np.append(np.asarray(losses), float(cost(end))), end


def main() -> None:
    with Lab(__doc__, Numbers()) as lab:
        steps, rate = lab.numbers.steps, lab.numbers.rate
        x, y = flowers()
        params = gd.models.mlp((4, 3, 3), "tanh").init(jax.random.key(0))
        size = sum(leaf.size for leaf in jax.tree.leaves(params))
        cost = lambda p: cost_of(p, x, y)  # noqa: E731
        ways = gradients(x, y)
        paths = {name: descend(way, gd.sgd(rate), params, cost, steps) for name, way in ways.items()}
        passes = {WAYS[0]: 3, WAYS[1]: 3, WAYS[2]: 2 * size, WAYS[3]: 2 * size}
        base = paths[WAYS[0]][0]
        apart = {name: float(np.max(np.abs(losses - base))) for name, (losses, _) in paths.items()}
        head = (f"gradient of {size} parameters", "about so many forward passes", "last loss", "largest difference")
        lab.table(head, [(name, passes[name], paths[name][0][-1], apart[name]) for name in WAYS])
        lab.claim("three ways to the gradient give the same losses to 1e-12", max(list(apart.values())[:3]) < 1e-12)
        lab.claim("differences give them to 1e-6", apart[WAYS[3]] < 1e-6)
        rules = compare_rules(lab, ways[WAYS[0]], params, cost, steps, rate)
        move_flowers(lab, paths[WAYS[0]][1], x, y)
        words = "backpropagation is a part of the learning algorithm, not the whole"
        ours = (
            f"{len(paths) - 1} other gradients give the same path, to {max(apart.values()):.0e}; {len(rules) - 1} update "
            f"rules as many ends, at least {closest_ends(rules) - 1:.0%} apart"
        )
        same = max(apart.values()) < 1e-6
        lab.statement("Lecture S4", words, ours=ours, verdict="right", holds=same and closest_ends(rules) > 1.02)
        caption = "Left: one rule, four ways to the gradient. Right: one gradient, five rules."
        lab.save(draw({n: p for n, (p, _) in paths.items()}, rules), "backprop_is_not_learning.png", caption)


def compare_rules(lab: Lab, gradient, params, cost, steps: int, rate: float) -> dict[str, np.ndarray]:
    rules = {
        "no update": gd.sgd(0.0),
        "plain descent": gd.sgd(rate),
        "momentum 0.9": gd.momentum(rate),
        "sign of the gradient": gd.sign_sgd(0.02),
        "Adam": gd.adam(0.05),
    }
    found = {name: descend(gradient, rule, params, cost, steps)[0] for name, rule in rules.items()}
    lab.table(("update rule", "first loss", f"after {steps} steps"), [(n, v[0], v[-1]) for n, v in found.items()])
    lab.claim("four rules, four ends: no two within 2 %", closest_ends(found) > 1.02)
    lab.claim("gradients without an update teach nothing", np.ptp(found["no update"]) == 0)
    return found


def closest_ends(found: dict[str, np.ndarray]) -> float:
    """The least ratio of the last losses of two rules."""
    ends = sorted(losses[-1] for name, losses in found.items() if name != "no update")
    return min(b / a for a, b in itertools.pairwise(ends))


def move_flowers(lab: Lab, params, x, y) -> None:
    """The same pass gives the derivative by the inputs; the parameters stay as they are."""
    model = gd.models.mlp((4, 3, 3), "tanh")
    slope = jax.grad(lambda x: cost_of(params, x, y))(x)
    size = jnp.linalg.norm(slope, axis=1, keepdims=True)
    moved = x + 2.0 * slope / size
    right = [float(jnp.mean(jnp.argmax(model.apply(params, at), axis=1) == jnp.argmax(y, axis=1))) for at in (x, moved)]
    lab.table(("flowers", "taken for their kind"), (("as they are", right[0]), ("two units along dC/dx", right[1])))
    turned = right[0] > 0.9 and right[1] < 0.5
    lab.claim("moved along dC/dx over half of the flowers are taken for another kind", turned)
    words = "it can be calculated with respect to any variable"
    ours = f"by the inputs, too: moved along it {right[1]:.0%} of the flowers keep their kind, {right[0]:.0%} before"
    lab.statement("Lecture S4", words, ours=ours, verdict="right", holds=turned)


def draw(ways: dict[str, np.ndarray], rules: dict[str, np.ndarray]) -> Figure:
    picture = style.figure(4.2, "The way to the gradient does not matter, the update rule does")
    left, right = picture.subplots(1, 2, sharey=True)
    looks = (("-", 5.0), ("-", 3.0), ("--", 1.8), (":", 1.4))
    for (name, losses), (line, width), color in zip(
        ways.items(), looks, ("#b9d7ea", style.SKY, style.BLUE, style.INK), strict=True
    ):
        left.plot(losses, line, linewidth=width, color=color, label=name)
    for (name, losses), color in zip(rules.items(), (style.FAINT, *style.PALETTE), strict=False):
        right.plot(losses, color=color, linewidth=1.8, label=name)
    left.set_title("one rule, four gradients", fontsize=style.NORMAL, loc="left")
    right.set_title("one gradient, five rules", fontsize=style.NORMAL, loc="left")
    for axes in (left, right):
        style.dress(axes)
        style.rule(axes)
        axes.set(ylim=(0, 2.75))
        axes.set_xlabel("step", fontsize=style.NORMAL)
        axes.legend(fontsize=style.SMALL, loc="upper right", frameon=False)
    left.set_ylabel("loss on iris", fontsize=style.NORMAL)
    return picture


if __name__ == "__main__":
    main()
