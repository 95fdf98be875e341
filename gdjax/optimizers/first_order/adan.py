"""Moments mixed, looked ahead or decoupled: what came after Adam's two averages."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gdjax import tree
from gdjax.calls.node import optimizer
from gdjax.optimizers.first_order.adam import adam_rule
from gdjax.optimizers.leafwise import Slot, leafwise
from gdjax.tree import abs_sq

_RATE = {"learning_rate": "[0, inf)", "eps": "[0, inf)"}
_MOMENTS = {**_RATE, "b1": "[0, 1)", "b2": "[0, 1)"}
_ROOT = {**_MOMENTS, "eps_root": "[0, inf)"}
_DECAY = {"weight_decay": "[0, inf)"}


@optimizer(bounds={"learning_rate": "[0, inf)"})
def optimistic_gradient_descent(learning_rate, alpha=1.0, beta=1.0):
    """Optimistic descent: the gradient, and once more what it has changed by.

        u = -learning_rate ((alpha + beta) g - beta previous_gradient)              previous_gradient = g at the first step

    It converges where descent-ascent circles, in two-player games.

    Args:
        learning_rate: parameter units per gradient unit; number, array or schedule.
        alpha: the weight of the gradient; number or schedule.
        beta: the weight of its change; number or schedule.

    Memory: 1 x params.   Raises: ValueError if learning_rate is negative.
    Reference: Mokhtari, Ozdaglar & Pattathil 2020, section 3, arXiv:1901.08511.
    """
    slots: dict[str, Any] = {"previous_gradient": Slot()}
    return leafwise(optimistic_gradient_descent_rule, learning_rate, slots=slots, alpha=alpha, beta=beta)


def optimistic_gradient_descent_rule(g, t, previous_gradient, *, alpha, beta):
    before = jnp.where(t == 1, g, previous_gradient)
    return (alpha + beta) * g - beta * before, {"previous_gradient": g}


@optimizer(static=("mu_dtype", "nesterov"), bounds=_ROOT)
def optimistic_adam_v2(
    learning_rate,
    *,
    alpha=1.0,
    beta=1.0,
    b1=0.9,
    b2=0.999,
    eps=1e-8,
    eps_root=0.0,
    mu_dtype: Any = None,
    nesterov=True,
):
    """Optimistic Adam: Adam's direction, and once more what it has changed by.

        d as `nadam` (or `adam`)
        u = -learning_rate ((alpha + beta) d - beta previous_gradient),      previous_gradient <- d

    Args: as `adam`, and
        alpha: the weight of the direction.
        beta: the weight of its change.

    Memory: 3 x params.   Raises: ValueError outside these ranges.
    Reference: Daskalakis et al. 2018, Algorithm 1, arXiv:1711.00141.
    """
    slots: dict[str, Any] = {"mu": Slot(dtype=mu_dtype), "nu": Slot(real=True), "previous_gradient": Slot()}
    options: dict[str, Any] = {"alpha": alpha, "beta": beta, "b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root}
    return leafwise(optimistic_adam_v2_rule, learning_rate, slots=slots, nesterov=nesterov, **options)


def optimistic_adam_v2_rule(g, t, mu, nu, previous_gradient, *, alpha, beta, **options):
    d, new = adam_rule(g, t, mu, nu, **options)
    u, last = optimistic_gradient_descent_rule(d, t, previous_gradient, alpha=alpha, beta=beta)
    return u, {**new, **last}


@optimizer(static=("mask",), bounds={**_ROOT, **_DECAY, "b3": "[0, 1)"})
def adan(learning_rate, b1=0.98, b2=0.92, b3=0.99, eps=1e-8, eps_root=1e-8, weight_decay=0.0, mask: Any = None):
    """Adan: Nesterov's look ahead, made of the running mean of the gradient's differences.

        d = g - g_before (0 at the first step)
        m <- b1 m + (1 - b1) g       v <- b2 v + (1 - b2) d       n <- b3 n + (1 - b3) (g + (1 - b2) d)²
        u = -learning_rate ((m_hat + (1 - b2) v_hat) / (sqrt(n_hat + eps_root) + eps) + weight_decay p)

    Args: `learning_rate`, `eps`, `eps_root`, `weight_decay` and `mask` as `adamw`, and
        b1: in [0, 1), of the mean m of gradients.
        b2: in [0, 1), of the mean v of differences.
        b3: in [0, 1), of the squares n. All are corrected for their start as Adam's.

    Memory: 4 x params.   Raises: ValueError outside these ranges.
    Differs from: the paper, which writes 1 - b for b and decays by division.
    Reference: Xie et al. 2022, Algorithm 1, arXiv:2208.06677.
    """
    slots: dict[str, Any] = {"m": Slot(), "v": Slot(), "n": Slot(real=True), "g_before": Slot()}
    options: dict[str, Any] = {"b1": b1, "b2": b2, "b3": b3, "eps": eps, "eps_root": eps_root}
    return leafwise(adan_rule, learning_rate, slots=slots, weight_decay=weight_decay, mask=mask, **options)


def adan_rule(g, t, m, v, n, g_before, *, b1, b2, b3, eps, eps_root):
    d = jnp.where(t == 1, 0, g - g_before)
    m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * d
    n = b3 * n + (1 - b3) * abs_sq(g + (1 - b2) * d)
    ahead = m / (1 - b1**t) + (1 - b2) * v / (1 - b2**t)
    u = ahead / (jnp.sqrt(n / (1 - b3**t) + eps_root) + eps)
    return u, {"m": m, "v": v, "n": n, "g_before": g}


@optimizer(static=("mu_dtype", "mask"), bounds={**_ROOT, **_DECAY, "b3": "[0, 1)"})
def ademamix(
    learning_rate,
    b1=0.9,
    b2=0.999,
    b3=0.9999,
    alpha=5.0,
    eps=1e-8,
    eps_root=0.0,
    mu_dtype: Any = None,
    weight_decay=0.0,
    mask: Any = None,
):
    """AdEMAMix: Adam with a second, much slower mean of the gradient beside the first.

        m1 <- b1 m1 + (1 - b1) g       m2 <- b3 m2 + (1 - b3) g       nu <- b2 nu + (1 - b2) g²
        u = -learning_rate ((m1_hat + alpha m2) / (sqrt(nu_hat + eps_root) + eps) + weight_decay p)

    m1_hat and nu_hat are without bias as Adam's; m2 is left to fill slowly.

    Args: as `adamw`, and
        b3: in [0, 1), of the slow mean; number or schedule.
        alpha: the weight of the slow mean; number or schedule.

    Memory: 3 x params.   Raises: ValueError outside these ranges.
    Reference: Pagliardini, Ablin & Grangier 2024, Algorithm 1, arXiv:2409.03137.
    """
    slots: dict[str, Any] = {
        "m1": Slot(dtype=mu_dtype),
        "m2": Slot(dtype=mu_dtype),
        "nu": Slot(dtype=mu_dtype, real=True),
    }
    options: dict[str, Any] = {"b1": b1, "b2": b2, "b3": b3, "alpha": alpha, "eps": eps, "eps_root": eps_root}
    return leafwise(ademamix_rule, learning_rate, slots=slots, weight_decay=weight_decay, mask=mask, **options)


def ademamix_rule(g, t, m1, m2, nu, *, b1, b2, b3, alpha, eps, eps_root):
    m1, m2 = b1 * m1 + (1 - b1) * g, b3 * m2 + (1 - b3) * g
    nu = b2 * nu + (1 - b2) * abs_sq(g)
    u = (m1 / (1 - b1**t) + alpha * m2) / (jnp.sqrt(nu / (1 - b2**t) + eps_root) + eps)
    return u, {"m1": m1, "m2": m2, "nu": nu}


@optimizer(static=("mask",), bounds={**_ROOT, **_DECAY})
def simplified_ademamix(
    learning_rate, b1=0.99, b2=0.95, alpha=0.0, eps=1e-8, eps_root=0.0, weight_decay=0.0, mask: Any = None
):
    """Simplified AdEMAMix: one slow sum of gradients, and the gradient beside it.

        m <- b1 m + g       n <- b2 n + (1 - b2) g²
        u = -learning_rate ((m + alpha g) / (sqrt(n_hat + eps_root) + eps) + weight_decay p),   n_hat = n/(1 - b2^t)

    The sum is not a mean: its steps are up to 1/(1 - b1) times Adam's, and the rate should be that much smaller.

    Args: `eps`, `eps_root`, `weight_decay` and `mask` as `adamw`, and
        learning_rate: parameter units per step; number, array or schedule.
        b1: in [0, 1), of the sum m.
        b2: in [0, 1), of the squares n.
        alpha: the weight of the present gradient; number or schedule.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Differs from: Optax at complex parameters, where it averages g² instead of |g|² and is silently wrong.
    Reference: Morwani et al. 2025, section 4, arXiv:2502.02431.
    """
    slots: dict[str, Any] = {"m": Slot(), "n": Slot(real=True)}
    options: dict[str, Any] = {"b1": b1, "b2": b2, "alpha": alpha, "eps": eps, "eps_root": eps_root}
    return leafwise(
        simplified_ademamix_rule, learning_rate, slots=slots, weight_decay=weight_decay, mask=mask, **options
    )


def simplified_ademamix_rule(g, t, m, n, *, b1, b2, alpha, eps, eps_root):
    m, n = b1 * m + g, b2 * n + (1 - b2) * abs_sq(g)
    return (m + alpha * g) / (jnp.sqrt(n / (1 - b2**t) + eps_root) + eps), {"m": m, "n": n}


def fourth_root(x):
    return x**0.25


@optimizer(static=("mu_dtype", "nesterov", "use_clipping", "clip_value_fn"), bounds=_MOMENTS)
def adopt(
    learning_rate,
    b1=0.9,
    b2=0.9999,
    eps=1e-6,
    mu_dtype: Any = None,
    *,
    nesterov=False,
    use_clipping=True,
    clip_value_fn=fourth_root,
):
    """ADOPT: Adam that divides a gradient by the moment of those before it, and so converges for every b2.

        d = clip(g / max(sqrt(nu), eps), clip_value_fn(step))        nu <- b2 nu + (1 - b2) g²   (nu <- g² at step 0)
        mu <- b1 mu + (1 - b1) d  (0 at step 0)                      u = -learning_rate mu
        u = -learning_rate (b1 mu + (1 - b1) d)  with the new mu                                 nesterov

    The first step only fills nu and moves nothing.

    Args:
        learning_rate: parameter units per step; number, array or schedule.
        b1: in [0, 1), of the mean of the directions.
        b2: in [0, 1), of the squares.
        eps: > 0, gradient units.
        mu_dtype: of mu; None is the parameter's.
        nesterov: look one step ahead.
        use_clipping: clip the direction's entries.
        clip_value_fn: step (from 0) -> the largest entry let through.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Differs from: Optax, which has no complex parameters; here their modulus is clipped.
    Reference: Taniguchi et al. 2024, Algorithm 2, arXiv:2411.02853.
    """
    slots: dict[str, Any] = {"mu": Slot(dtype=mu_dtype), "nu": Slot(real=True)}
    static = {"clip_value_fn": clip_value_fn}
    flags: dict[str, Any] = {"nesterov": nesterov, "use_clipping": use_clipping}
    return leafwise(adopt_rule, learning_rate, slots=slots, static=static, b1=b1, b2=b2, eps=eps, **flags)


def adopt_rule(g, t, mu, nu, *, b1, b2, eps, nesterov, use_clipping, clip_value_fn):
    first = t == 1
    d = g / jnp.maximum(jnp.sqrt(nu), eps)
    if use_clipping:
        d = _clip_entries(d, clip_value_fn(t - 1))
    keep = jnp.where(first, 1, b1)
    mu = keep * mu + (1 - keep) * d
    nu = jnp.where(first, abs_sq(g), b2 * nu + (1 - b2) * abs_sq(g))
    return (keep * mu + (1 - keep) * d if nesterov else mu), {"mu": mu, "nu": nu}


def _clip_entries(d, limit):
    return tree.shorten_entries(d, limit) if jnp.iscomplexobj(d) else jnp.clip(d, -limit, limit)


@optimizer(static=("mask",), bounds={**_ROOT, **_DECAY})
def acprop(learning_rate, b1=0.9, b2=0.999, eps=1e-16, eps_root=1e-16, weight_decay=0.0, mask: Any = None):
    """ACProp: the gradient divided by the spread of those before it about their mean.

        u = -learning_rate (g / (sqrt(nu_hat) + eps) + weight_decay p),   nu_hat = nu/(1 - b2^step)  (1 at step 0)
        then  mu_before = mu,  mu <- b1 mu + (1 - b1) g,   nu <- b2 nu + (1 - b2) (g - mu_before)² + eps_root

    Args: as `adamw`; eps_root accumulates in nu as in `adabelief`.

    Memory: 2 x params.   Raises: ValueError outside these ranges.
    Reference: Zhuang et al. 2021, Algorithm 2, arXiv:2110.05454.
    """
    slots: dict[str, Any] = {"mu": Slot(), "nu": Slot(real=True)}
    options: dict[str, Any] = {"b1": b1, "b2": b2, "eps": eps, "eps_root": eps_root}
    return leafwise(acprop_rule, learning_rate, slots=slots, weight_decay=weight_decay, mask=mask, **options)


def acprop_rule(g, t, mu, nu, *, b1, b2, eps, eps_root):
    first = t == 1
    nu_hat = jnp.where(first, 1, nu / (1 - b2 ** jnp.where(first, 1, t - 1)))
    new = {"mu": b1 * mu + (1 - b1) * g, "nu": b2 * nu + (1 - b2) * abs_sq(g - mu) + eps_root}
    return g / (jnp.sqrt(nu_hat) + eps), new


@optimizer(bounds={**_RATE, **_DECAY, "momentum": "[0, 1)"})
def madgrad(learning_rate, momentum=0.9, weight_decay=0.0, eps=1e-6):
    """MADGRAD: dual averaging from the start, scaled by the cube root of the sum of squares.

        g <- g + weight_decay p,      lamb = (learning_rate + eps) sqrt(t)
        grad_sum_sq <- grad_sum_sq + lamb g²      s <- s + lamb g
        z = x0 - s / (cbrt(grad_sum_sq) + eps),   u = (1 - momentum) (z - p)

    Args:
        learning_rate: parameter units per step, about; number, array or schedule.
        momentum: in [0, 1); how far p stays behind z.
        weight_decay: >= 0, coupled: added to the gradient.
        eps: >= 0.

    Memory: 3 x params.   Raises: ValueError outside these ranges.
    Differs from: Optax, which has no complex parameters and takes sqrt(t) in float32 even in double precision.
    Reference: Defazio & Jelassi 2021, Algorithm 1, arXiv:2101.11075.
    """
    slots: dict[str, Any] = {"grad_sum_sq": Slot(real=True), "s": Slot(), "x0": Slot(lambda p: p)}
    options: dict[str, Any] = {"momentum": momentum, "weight_decay": weight_decay, "eps": eps}
    return leafwise(madgrad_rule, learning_rate, slots=slots, **options)


def madgrad_rule(g, p, t, grad_sum_sq, s, x0, *, learning_rate, momentum, weight_decay, eps):
    g = g + weight_decay * p
    lamb = (learning_rate + eps) * jnp.sqrt(t)
    grad_sum_sq, s = grad_sum_sq + lamb * abs_sq(g), s + lamb * g
    scale = jnp.cbrt(grad_sum_sq) + eps
    seen = scale > 0
    z = x0 - jnp.where(seen, s / jnp.where(seen, scale, 1), 0)
    return (1 - momentum) * (p - z), {"grad_sum_sq": grad_sum_sq, "s": s, "x0": x0}


@optimizer(static=("mask",), bounds={**_MOMENTS, **_DECAY, "gamma": "[0, inf)", "max_norm": "[0, inf)"})
def mars(learning_rate, b1=0.95, b2=0.99, eps=1e-8, gamma=0.025, max_norm=1.0, weight_decay=0.0, mask: Any = None):
    """MARS: AdamW on gradients whose variance is reduced by what they have changed since the last step.

        c = g + gamma b1/(1 - b1) (g - previous_gradient)      (c = g at the first step)
        c <- c min(1, max_norm / |c|)                          norm of the leaf
        u = -learning_rate (mu_hat / (sqrt(nu_hat) + eps) + weight_decay p)           moments of c as `adam`

    This is the approximate form: the previous gradient is that of the previous batch, and costs nothing more.

    Args: as `adamw`, and
        gamma: >= 0, the share of the correction; 0 is AdamW with clipped gradients.
        max_norm: of a leaf's corrected gradient, gradient units.

    Memory: 3 x params.   Raises: ValueError outside these ranges.
    Reference: Yuan et al. 2024, Algorithm 2 (MARS-AdamW), arXiv:2411.10438.
    """
    slots: dict[str, Any] = {"mu": Slot(), "nu": Slot(real=True), "previous_gradient": Slot()}
    options: dict[str, Any] = {"b1": b1, "b2": b2, "eps": eps, "gamma": gamma, "max_norm": max_norm}
    return leafwise(mars_rule, learning_rate, slots=slots, weight_decay=weight_decay, mask=mask, **options)


def mars_rule(g, t, mu, nu, previous_gradient, *, b1, b2, eps, gamma, max_norm):
    change = jnp.where(t == 1, 0, g - previous_gradient)
    c = g + gamma * b1 / (1 - b1) * change
    c = tree.shorten(c, max_norm)
    u, new = adam_rule(c, t, mu, nu, b1=b1, b2=b2, eps=eps, eps_root=0.0, nesterov=False)
    return u, {**new, "previous_gradient": g}
