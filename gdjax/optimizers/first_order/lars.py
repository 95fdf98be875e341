"""A rate for each leaf: steps measured against the size of the parameters they change."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gdjax import tree
from gdjax.calls.node import optimizer
from gdjax.optimizers.first_order.adam import adam_rule
from gdjax.optimizers.leafwise import Slot, leafwise
from gdjax.tree import abs_sq

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)", "weight_decay": "[0, inf)"}
_ADAM = {**_RATE, "b1": "[0, 1)", "b2": "[0, 1)"}


def _trusted(u, p, coefficient=1.0, eps=0.0, least=0.0):
    """coefficient |p| / (|u| + eps) u, each norm at least `least`; u itself where either is 0."""
    length, (size, scale) = jnp.maximum(tree.global_norm(p), least), tree.norm(u)
    size = jnp.maximum(size, least * scale)
    defined = (length != 0) & (size != 0)
    ratio = jnp.where(defined, coefficient * length, 1) / jnp.where(defined, size + eps * scale, 1)
    return ratio * (u * jnp.where(defined, scale, 1))


@optimizer(static=("weight_decay_mask", "trust_ratio_mask", "nesterov"), bounds={**_RATE, "momentum": "[0, 1)"})
def lars(
    learning_rate,
    weight_decay=0.0,
    weight_decay_mask: Any = True,
    trust_coefficient=0.001,
    eps=0.0,
    trust_ratio_mask: Any = True,
    momentum=0.9,
    nesterov=False,
):
    """LARS: momentum descent whose step in each leaf is a fixed fraction of the leaf's own size.

        g <- g + weight_decay p,     r = trust_coefficient |p| / (|g| + eps)          r = 1 where a norm is 0 or masked
        trace <- learning_rate r g + momentum trace,     u = -trace
        u = -(learning_rate r g + momentum trace)  with the new trace                 nesterov

    Args:
        learning_rate: dimensionless; number, array or schedule. It is inside the memory.
        weight_decay: >= 0, coupled: added to the gradient.
        weight_decay_mask: which leaves decay: a tree of bools (or a prefix of one), or params -> such a tree.
        trust_coefficient: the fraction.
        eps: >= 0, gradient units.
        trust_ratio_mask: which leaves are scaled; biases often are not.
        momentum: in [0, 1); memory of about 1/(1 - momentum) steps.
        nesterov: look ahead along the trace.

    Memory: 1 x params.   Raises: ValueError outside these ranges.
    Differs from: the paper in nothing but that momentum comes after the rate, as there, and not before it as in torch.
    Reference: You, Gitman & Ginsburg 2017, Algorithm 1, arXiv:1708.03888.
    """
    return leafwise(
        lars_rule,
        learning_rate,
        slots={"trace": Slot()},
        mask=weight_decay_mask,
        masks={"trust": trust_ratio_mask},
        trust=1.0,
        weight_decay=weight_decay,
        trust_coefficient=trust_coefficient,
        eps=eps,
        momentum=momentum,
        nesterov=nesterov,
    )


def lars_rule(g, p, trace, *, learning_rate, weight_decay, trust_coefficient, eps, trust, momentum, nesterov):
    g = g + weight_decay * p
    step = learning_rate * jnp.where(trust > 0, _trusted(g, p, trust_coefficient, eps), g)
    trace = step + momentum * trace
    return (step + momentum * trace if nesterov else trace), {"trace": trace}


@optimizer(static=("mask",), bounds={**_ADAM, "eps_root": "[0, inf)"})
def lamb(learning_rate, b1=0.9, b2=0.999, eps=1e-6, eps_root=0.0, weight_decay=0.0, mask: Any = None):
    """LAMB: AdamW whose step in each leaf is as long as the leaf itself, times the rate.

        d = mu_hat / (sqrt(nu_hat + eps_root) + eps) + weight_decay p                    mu_hat, nu_hat as `adam`
        u = -learning_rate |p|/|d| d                                                     the ratio is 1 where a norm is 0

    Args: as `adamw`; the learning rate is the fraction of its size by which a leaf moves.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Reference: You et al. 2020, Algorithm 2, arXiv:1904.00962.
    """
    slots: dict[str, Any] = {"mu": Slot(), "nu": Slot(real=True)}
    options: dict[str, Any] = {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root, "weight_decay": weight_decay}
    return leafwise(lamb_rule, learning_rate, slots=slots, mask=mask, **options)


def lamb_rule(g, p, t, mu, nu, *, weight_decay, **options):
    d, new = adam_rule(g, t, mu, nu, nesterov=False, **options)
    d = d + weight_decay * p
    return _trusted(d, p), new


@optimizer(bounds={"learning_rate": "[0, inf)", "min_norm": "[0, inf)"})
def fromage(learning_rate, min_norm=1e-6):
    """Fromage: a step of fixed relative length in each leaf, then back to a size that does not grow.

        m = 1/sqrt(1 + learning_rate²),     u = -m learning_rate |p|/|g| g - (1 - m) p         norms at least min_norm

    Args:
        learning_rate: dimensionless, the relative length; number, array or schedule. 0.01 is a good start.
        min_norm: >= 0.

    Memory: 0 x params.   Raises: ValueError outside these ranges.
    Reference: Bernstein et al. 2020, Algorithm 1, arXiv:2002.03432.
    """
    return leafwise(fromage_rule, learning_rate, min_norm=min_norm)


def fromage_rule(g, p, *, learning_rate, min_norm):
    root = jnp.sqrt(1 + learning_rate**2)
    lost = learning_rate**2 / (root * (1 + root))  # 1 - 1/root, all of its digits
    return learning_rate / root * _trusted(g, p, least=min_norm) + lost * p, {}


@optimizer(bounds={**_ADAM, "eps_root": "[0, inf)"})
def novograd(learning_rate, b1=0.9, b2=0.25, eps=1e-6, eps_root=0.0, weight_decay=0.0):
    """NovoGrad: momentum on gradients that are divided by the running size of their whole leaf.

        nu <- b2 nu + (1 - b2) |g|²   (|g|² at the first step)                           one number per leaf
        mu <- b1 mu + g / (sqrt(nu + eps_root) + eps) + weight_decay p,     u = -learning_rate mu

    The state holds the root of nu, a norm, which no gradient makes overflow.

    Args:
        learning_rate: parameter units per step; number, array or schedule.
        b1: in [0, 1); memory of about 1/(1 - b1) steps. mu is a sum: steps are up to 1/(1 - b1) long.
        b2: in [0, 1), of the squared norms.
        eps: >= 0, gradient units.
        eps_root: >= 0, gradient units squared.
        weight_decay: >= 0; inside the momentum.

    Memory: 1 x params.   Raises: ValueError outside these ranges.
    Reference: Ginsburg et al. 2019, Algorithm 1, arXiv:1905.11286.
    """
    slots: dict[str, Any] = {"mu": Slot(), "root_nu": Slot(lambda p: jnp.zeros(()), real=True)}
    options: dict[str, Any] = {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root, "weight_decay": weight_decay}
    return leafwise(novograd_rule, learning_rate, slots=slots, **options)


def novograd_rule(g, p, t, mu, root_nu, *, b1, b2, eps, eps_root, weight_decay):
    norm = tree.global_norm(g)
    root_nu = jnp.where(t == 1, norm, jnp.hypot(tree.root(b2) * root_nu, tree.root(1 - b2) * norm))
    scale = jnp.hypot(root_nu, tree.root(eps_root)) + eps
    mu = b1 * mu + tree.ratio(g, scale) + weight_decay * p
    return mu, {"mu": mu, "root_nu": root_nu}


@optimizer(static=("by", "mask"), bounds=_ADAM)
def adam_mini(learning_rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=0.0, mask: Any = None, by: Any = "column"):
    """Adam-mini: Adam with one second moment for a whole block, the inputs of one unit, instead of one for each weight.

        mu <- b1 mu + (1 - b1) g        nu <- b2 nu + (1 - b2) mean(g² over the block)
        u = -learning_rate (mu_hat / (sqrt(nu_hat) + eps) + weight_decay p)                    mu_hat, nu_hat as `adam`

    A block is what one output sees, all of a leaf but its last axis; a vector or a number is one block.

    Args: as `adamw`, and
        by: "column", as said, or "leaf": each leaf is one block.

    Memory: 1 x params + one number a block.   Raises: ValueError outside these ranges, or if by is another word.
    Differs from: the paper, which also keeps the heads of attention apart and the embedding as in Adam.
    Reference: Zhang et al. 2024, Algorithm 1, arXiv:2406.16793.
    """
    if by not in ("column", "leaf"):
        raise ValueError(f"adam_mini: by must be 'column' or 'leaf', got {by!r}")
    blocks = (lambda p: p.shape[-1:] if p.ndim > 1 else ()) if by == "column" else (lambda p: ())
    slots: dict[str, Any] = {"mu": Slot(), "nu": Slot(lambda p: jnp.zeros(blocks(p)), real=True)}
    options: dict[str, Any] = {"b1": b1, "b2": b2, "eps": eps, "weight_decay": weight_decay}
    return leafwise(adam_mini_rule, learning_rate, slots=slots, mask=mask, **options)


def adam_mini_rule(g, t, mu, nu, *, b1, b2, eps):
    mu = b1 * mu + (1 - b1) * g
    squares = jnp.sum(abs_sq(g), axis=tuple(range(g.ndim - nu.ndim)))
    nu = b2 * nu + (1 - b2) * squares * nu.size / max(g.size, 1)
    return mu / (1 - b1**t) / (jnp.sqrt(nu / (1 - b2**t)) + eps), {"mu": mu, "nu": nu}
