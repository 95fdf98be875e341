"""The calls that are certified and put under the laws: for each optimizer its defaults, then its other ways.

An optimizer without an entry is certified at its defaults with a learning rate of 0.01.
"""

# pyright: reportArgumentType=false
# (what a default says is a float may be None or a schedule: that is what is tried here)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from optax.contrib import GaLoreDimensionNumbers, MuonDimensionNumbers

from gdjax import schedules
from gdjax.calls.node import Optimizer
from gdjax.optimizers import (
    OPTIMIZERS,
    acprop,
    adabelief,
    adadelta,
    adafactor,
    adagrad,
    adam,
    adam_atan2,
    adam_mini,
    adamax,
    adamaxw,
    adamw,
    adan,
    ademamix,
    adopt,
    amsgrad,
    asgd,
    bfgs,
    cocob,
    dadapt_adamw,
    dog,
    dowg,
    dpsgd,
    empirical_fisher,
    fromage,
    galore,
    gauss_newton,
    kron,
    lamb,
    lars,
    lbfgs,
    levenberg_marquardt,
    lion,
    madgrad,
    mars,
    momentum,
    momo,
    momo_adam,
    muon,
    nadam,
    nadamw,
    newton,
    noisy_sgd,
    nonlinear_cg,
    novograd,
    optimistic_adam_v2,
    optimistic_gradient_descent,
    polyak_sgd,
    prodigy,
    radam,
    rmsprop,
    rprop,
    schedule_free_adamw,
    schedule_free_sgd,
    sgd,
    shampoo,
    signum,
    simplified_ademamix,
    sm3,
    soap,
    sophia,
    sparse_adagrad,
    sparse_adam,
    yogi,
)


def matrices(params: Any) -> Any:
    """A mask: what has two dimensions or more."""
    return jax.tree.map(lambda p: p.ndim >= 2, params)


MASK = matrices


def filled_matrices(params: Any) -> Any:
    """Dimension numbers of muon and galore: of the leaves of two axes, but for empty ones, which Optax cannot do."""
    return jax.tree.map(lambda p: MuonDimensionNumbers() if p.ndim == 2 and p.size else None, params)


def galore_matrices(params: Any) -> Any:
    return jax.tree.map(lambda p: GaLoreDimensionNumbers() if p.ndim == 2 and p.size else None, params)


def bent(params: Any) -> Any:
    """Residuals of the least-squares methods' examples: 0 at 0 and nowhere linear."""
    return jax.tree.map(lambda p: p + 0.1 * p * p, params)


EXAMPLES: dict[str, Callable[[], list[Optimizer]]] = {
    "schedule_free_sgd": lambda: [
        schedule_free_sgd(0.01),
        schedule_free_sgd(0.01, warmup_steps=50, weight_decay=0.1, weight_lr_power=1.0),
    ],
    "schedule_free_adamw": lambda: [
        schedule_free_adamw(0.01),
        schedule_free_adamw(0.01, warmup_steps=50, b1=0.95, weight_decay=0.1),
    ],
    "asgd": lambda: [asgd(0.01), asgd(0.01, lambd=1e-2, alpha=0.5, t0=100.0, weight_decay=0.1)],
    "muon": lambda: [
        muon(0.01, muon_weight_dimension_numbers=filled_matrices),
        muon(
            schedules.cosine(0.01, 1000),
            ns_coeffs="dion",
            weight_decay=0.1,
            nesterov=False,
            preconditioning="spectral",
            adam_weight_decay=0.2,
            muon_weight_dimension_numbers=filled_matrices,
            consistent_rms=0.2,
        ),
        muon(
            0.01,
            adaptive=True,
            preconditioning="aol",
            adam_learning_rate=0.02,
            muon_weight_dimension_numbers=filled_matrices,
        ),
        muon(0.01, ns_steps=3, preconditioning="schatten", muon_weight_dimension_numbers=filled_matrices),
    ],
    "galore": lambda: [
        galore(0.01, rank=2, update_proj_gap=10, weight_dimension_numbers=galore_matrices),
        galore(
            schedules.cosine(0.01, 1000),
            rank=3,
            scale=0.5,
            weight_decay=0.1,
            mask=MASK,
            weight_dimension_numbers=galore_matrices,
        ),
    ],
    "shampoo": lambda: [
        shampoo(0.01, update_interval=10),
        shampoo(0.01, momentum=0.5, eps=1e-2, update_interval=50, max_dim=30, weight_decay=0.1, mask=MASK),
    ],
    "soap": lambda: [
        soap(0.01, eps=1e-2),
        soap(0.01, b1=0.9, b2=0.98, eps=1e-2, precondition_frequency=50, max_dim=30, mask=MASK),
    ],
    "kron": lambda: [
        kron(0.01, update_interval=10),
        kron(0.01, b1=0.5, precond_lr=0.3, update_interval=7, max_rms=0.5, max_dim=30, weight_decay=0.1, key=5),
    ],
    "lars": lambda: [
        lars(0.01),
        lars(
            schedules.cosine(0.01, 1000),
            weight_decay=0.1,
            weight_decay_mask=MASK,
            eps=1e-3,
            trust_ratio_mask=MASK,
            nesterov=True,
        ),
    ],
    "lamb": lambda: [lamb(0.01), lamb(schedules.cosine(0.01, 1000), eps_root=1e-6, weight_decay=0.1, mask=MASK)],
    "fromage": lambda: [fromage(0.01), fromage(schedules.cosine(0.1, 1000), min_norm=0.1)],
    "novograd": lambda: [novograd(0.01), novograd(schedules.cosine(0.01, 1000), eps_root=1e-6, weight_decay=0.1)],
    "adam_mini": lambda: [adam_mini(0.01), adam_mini(0.01, b1=0.8, weight_decay=0.1, mask=MASK, by="leaf")],
    "adafactor": lambda: [
        adafactor(0.01, min_dim_size_to_factor=4),
        adafactor(0.01, clipping_threshold=0.5, momentum=0.9, dtype_momentum=float, weight_decay_rate=0.01),
        adafactor(min_dim_size_to_factor=4, factored=False, weight_decay_rate=0.01, weight_decay_mask=MASK),
        adafactor(
            schedules.cosine(0.01, 1000),
            min_dim_size_to_factor=4,
            multiply_by_parameter_scale=False,
            clipping_threshold=None,
        ),
        adafactor(0.01, decay_offset=1),
    ],
    "sm3": lambda: [sm3(0.01), sm3(schedules.cosine(0.01, 1000), momentum=0.5)],
    "polyak_sgd": lambda: [
        polyak_sgd(),
        polyak_sgd(scaling=0.5),
        polyak_sgd(0.5, scaling=schedules.cosine(1.0, 1000), f_min=0.1, eps=1e-3, variant="sps+"),
    ],
    "momo": lambda: [momo(0.01), momo(schedules.cosine(1.0, 1000), 0.5, -1.0, 0.1, adapt_lower_bound=True)],
    "momo_adam": lambda: [momo_adam(0.01), momo_adam(0.1, b1=0.5, weight_decay=0.1, adapt_lower_bound=True)],
    "cocob": lambda: [cocob(), cocob(0.5, alpha=10.0, weight_decay=0.1, mask=MASK)],
    "dog": lambda: [
        dog(),
        dog(0.5, ("distance", 0.1), weight_decay=0.1, mask=MASK),
        dog(schedules.cosine(1.0, 1000), ("learning_rate", 0.01)),
    ],
    "dowg": lambda: [dowg(), dowg(0.5, 0.1, weight_decay=0.1, mask=MASK)],
    "dadapt_adamw": lambda: [dadapt_adamw(), dadapt_adamw(0.5, (0.8, 0.99), weight_decay=0.1)],
    "prodigy": lambda: [
        prodigy(),
        prodigy(0.5, (0.8, 0.99), beta3=0.9, estim_lr_coef=2.0, weight_decay=0.1, safeguard_warmup=True),
    ],
    "nadam": lambda: [nadam(0.01), nadam(0.01, nesterov=False)],
    "nadamw": lambda: [nadamw(0.01), nadamw(schedules.cosine(0.01, 1000), weight_decay=0.1, mask=MASK)],
    "adam_atan2": lambda: [adam_atan2(0.01), adam_atan2(0.01, a=1.0, b=2.0, weight_decay=0.1, mask=MASK)],
    "amsgrad": lambda: [
        amsgrad(0.01),
        amsgrad(0.01, eps_root=1e-6, bias_correction_mu=False, bias_correction_nu=False),
    ],
    "adamax": lambda: [adamax(0.01), adamax(schedules.cosine(0.01, 1000), b1=0.8, b2=0.99)],
    "adamaxw": lambda: [adamaxw(0.01), adamaxw(0.01, weight_decay=0.1, mask=MASK)],
    "adabelief": lambda: [adabelief(0.01), adabelief(0.01, eps=1e-8, eps_root=1e-10, nesterov=True)],
    "yogi": lambda: [yogi(0.01), yogi(0.01, b1=0.8, eps=1e-5)],
    "radam": lambda: [radam(0.01), radam(0.01, eps_root=1e-6, threshold=6.0, nesterov=True)],
    "noisy_sgd": lambda: [noisy_sgd(0.01, key=3), noisy_sgd(0.01, eta=1.0, gamma=0.3, seed=5)],
    "signum": lambda: [signum(0.01), signum(schedules.cosine(0.01, 1000), beta=0.5)],
    "lion": lambda: [lion(0.01), lion(schedules.cosine(0.01, 1000), b1=0.8, weight_decay=0.1, mask=MASK)],
    "rprop": lambda: [
        rprop(0.01),
        rprop(0.01, eta_minus=0.6, eta_plus=1.1, min_step_size=1e-3, max_step_size=0.1),
        rprop(0.01, delayed=False),
    ],
    "optimistic_gradient_descent": lambda: [
        optimistic_gradient_descent(0.01),
        optimistic_gradient_descent(0.01, schedules.linear(1.0, 0.5, 1000), beta=0.5),
    ],
    "optimistic_adam_v2": lambda: [
        optimistic_adam_v2(0.01),
        optimistic_adam_v2(0.01, alpha=0.5, beta=0.3, nesterov=False),
    ],
    "adan": lambda: [adan(0.01), adan(0.01, b1=0.9, weight_decay=0.1, mask=MASK)],
    "ademamix": lambda: [
        ademamix(0.01),
        ademamix(0.01, b3=schedules.linear(0.9, 0.999, 500), alpha=schedules.linear(0.0, 5.0, 500), weight_decay=0.1),
        ademamix(schedules.cosine(0.01, 1000), eps_root=1e-6, weight_decay=0.1, mask=MASK),
    ],
    "simplified_ademamix": lambda: [
        simplified_ademamix(0.01),
        simplified_ademamix(0.01, alpha=2.0, weight_decay=0.1, mask=MASK),
    ],
    "adopt": lambda: [
        adopt(0.01),
        adopt(0.01, nesterov=True),
        adopt(schedules.cosine(0.01, 1000), use_clipping=False),
    ],
    "acprop": lambda: [acprop(0.01), acprop(0.01, eps=1e-8, weight_decay=0.1, mask=MASK)],
    "madgrad": lambda: [madgrad(0.01), madgrad(schedules.cosine(0.01, 1000), momentum=0.5, weight_decay=0.1)],
    "mars": lambda: [mars(0.01), mars(0.01, gamma=0.5, max_norm=0.5, weight_decay=0.1, mask=MASK)],
    "sparse_adagrad": lambda: [sparse_adagrad(0.01), sparse_adagrad(0.01, initial_accumulator_value=0.0, eps=1e-5)],
    "sparse_adam": lambda: [sparse_adam(0.01), sparse_adam(schedules.cosine(0.01, 1000), b1=0.8, eps=1e-4)],
    "dpsgd": lambda: [
        dpsgd(0.01, 1.0, 0.0, 3),  # without noise, that the laws about updates hold
        dpsgd(0.01, 0.5, 0.1, 3, momentum=0.9),
        dpsgd(schedules.cosine(0.01, 1000), 2.0, 1.0, 5, momentum=0.9, nesterov=True),
    ],
    "sophia": lambda: [
        sophia(0.01, hessian_diagonal_fn=empirical_fisher()),
        sophia(
            0.01, 0.9, 0.95, gamma=1.0, clip_threshold=None, update_interval=3, hessian_diagonal_fn=empirical_fisher()
        ),
        sophia(
            schedules.cosine(0.01, 1000),
            weight_decay=0.1,
            weight_decay_mask=MASK,
            gamma=0.5,
            clip_threshold=0.3,
            update_interval=1,
            hessian_diagonal_fn=empirical_fisher(),
        ),
    ],
    "lbfgs": lambda: [
        lbfgs(0.01, linesearch=None),
        lbfgs(schedules.cosine(0.5, 1000), memory_size=3, scale_init_precond=False, linesearch=None),
    ],
    "bfgs": lambda: [bfgs(0.01, linesearch=None), bfgs(schedules.cosine(0.5, 1000), linesearch=None)],
    "nonlinear_cg": lambda: [
        nonlinear_cg(0.01, linesearch=None),
        nonlinear_cg(schedules.cosine(0.5, 1000), method="fletcher_reeves", restart=1e6, linesearch=None),
        nonlinear_cg(0.01, method="hestenes_stiefel", restart=0.5, linesearch=None),
        nonlinear_cg(0.01, method="dai_yuan", restart=1e6, linesearch=None),
        nonlinear_cg(0.01, method="hager_zhang", restart=1e6, linesearch=None),
    ],
    "newton": lambda: [newton(), newton(0.5, damping=0.1, solver="dense", linesearch=None), newton(solver="cg")],
    "gauss_newton": lambda: [gauss_newton(bent)],
    "levenberg_marquardt": lambda: [levenberg_marquardt(bent)],
    "sgd": lambda: [
        sgd(0.01),
        sgd(0.01, momentum=0.9),
        sgd(schedules.cosine(0.01, 1000), momentum=0.9, nesterov=True),
    ],
    "momentum": lambda: [momentum(0.01), momentum(schedules.linear(0.1, 0.0, 1000), 0.8, nesterov=True)],
    "adagrad": lambda: [adagrad(0.01), adagrad(0.01, initial_accumulator_value=0.0, eps=1e-5)],
    "rmsprop": lambda: [
        rmsprop(0.01),
        rmsprop(0.01, centered=True, momentum=0.9, initial_scale=1.0),
        rmsprop(0.01, eps_in_sqrt=False, momentum=0.5, nesterov=True, bias_correction=True),
    ],
    "adadelta": lambda: [adadelta(1.0), adadelta(0.5, rho=0.95, weight_decay=0.1, weight_decay_mask=MASK)],
    "adam": lambda: [
        adam(0.01),
        adam(schedules.cosine(0.01, 1000), b1=0.8, eps=1e-4, eps_root=1e-6, nesterov=True),
    ],
    "adamw": lambda: [
        adamw(0.01),
        adamw(0.01, b1=schedules.linear(0.5, 0.9, 500), weight_decay=schedules.constant(0.1), mask=MASK),
    ],
}


def examples(name: str) -> list[Optimizer]:
    """The calls of an optimizer that are certified, its plainest first."""
    return EXAMPLES[name]() if name in EXAMPLES else [OPTIMIZERS[name](0.01)]
