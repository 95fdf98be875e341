"""The optimizer family: rules for one leaf, lifted by `leafwise`; wrappers; and the tables that name them all.

Adding an optimizer is its rule, its documented factory, and its name in `OPTIMIZERS`. It then gets the laws of the test
suite, a row in the README and in `gdjax optimizers`, and `--optimizer "name(b1=0.95)"`.
"""

from collections.abc import Callable

from gdjax.calls.node import Optimizer
from gdjax.optimizers.first_order.adafactor import adafactor, sm3
from gdjax.optimizers.first_order.adagrad import adadelta, adagrad, rmsprop
from gdjax.optimizers.first_order.adam import adam, adam_atan2, adamw, nadam, nadamw
from gdjax.optimizers.first_order.adan import (
    acprop,
    adan,
    ademamix,
    adopt,
    madgrad,
    mars,
    optimistic_adam_v2,
    optimistic_gradient_descent,
    simplified_ademamix,
)
from gdjax.optimizers.first_order.amsgrad import adabelief, adamax, adamaxw, amsgrad, radam, yogi
from gdjax.optimizers.first_order.asgd import asgd, schedule_free_adamw, schedule_free_sgd
from gdjax.optimizers.first_order.dpsgd import dpsgd
from gdjax.optimizers.first_order.lars import adam_mini, fromage, lamb, lars, novograd
from gdjax.optimizers.first_order.muon import galore, muon
from gdjax.optimizers.first_order.noisy_sgd import noisy_sgd
from gdjax.optimizers.first_order.polyak_sgd import momo, momo_adam, polyak_sgd
from gdjax.optimizers.first_order.prodigy import cocob, dadapt_adamw, dog, dowg, prodigy
from gdjax.optimizers.first_order.sgd import momentum, sgd
from gdjax.optimizers.first_order.shampoo import kron, shampoo, soap
from gdjax.optimizers.first_order.sign_sgd import lion, rprop, sign_sgd, signum
from gdjax.optimizers.first_order.sparse_adam import Rows, sparse_adagrad, sparse_adam
from gdjax.optimizers.leafwise import Slot, leafwise
from gdjax.optimizers.linesearch.line_search import backtracking, line_search, zoom
from gdjax.optimizers.second_order.hutchinson import empirical_fisher, gauss_newton_bartlett, hutchinson
from gdjax.optimizers.second_order.lbfgs import bfgs, lbfgs, nonlinear_cg
from gdjax.optimizers.second_order.newton import gauss_newton, levenberg_marquardt, newton
from gdjax.optimizers.second_order.sophia import sophia
from gdjax.optimizers.wrappers import (
    accumulate,
    adaptive_grad_clip,
    add_noise,
    average,
    by_path,
    cautious,
    centralize,
    chain,
    clip,
    clip_by_block_rms,
    clip_by_global_norm,
    clip_by_norm,
    decay_weights,
    freeze,
    gsam,
    kahan,
    lookahead,
    looksam,
    master_weights,
    mechanize,
    normalize,
    orthogonalize,
    partition,
    project,
    reduce_on_plateau,
    sam,
    schedule_free,
    schedule_free_eval_params,
    skip_non_finite,
    stable,
    stacked,
    stochastic_rounding,
    tail_average,
)

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    factory.__name__: factory
    for factory in (
        sgd,
        momentum,
        adagrad,
        rmsprop,
        adadelta,
        adam,
        nadam,
        adamw,
        nadamw,
        adam_atan2,
        amsgrad,
        adamax,
        adamaxw,
        adabelief,
        yogi,
        radam,
        noisy_sgd,
        sign_sgd,
        signum,
        lion,
        rprop,
        optimistic_gradient_descent,
        optimistic_adam_v2,
        adan,
        ademamix,
        simplified_ademamix,
        adopt,
        acprop,
        madgrad,
        mars,
        lars,
        lamb,
        fromage,
        novograd,
        adam_mini,
        adafactor,
        sm3,
        polyak_sgd,
        momo,
        momo_adam,
        cocob,
        dog,
        dowg,
        dadapt_adamw,
        prodigy,
        muon,
        galore,
        shampoo,
        soap,
        kron,
        schedule_free_sgd,
        schedule_free_adamw,
        asgd,
        sparse_adagrad,
        sparse_adam,
        dpsgd,
        sophia,
        lbfgs,
        bfgs,
        nonlinear_cg,
        newton,
        gauss_newton,
        levenberg_marquardt,
    )
}
WRAPPERS: dict[str, Callable[..., Optimizer]] = {
    factory.__name__: factory
    for factory in (
        chain,
        clip_by_global_norm,
        decay_weights,
        reduce_on_plateau,
        line_search,
        average,
        tail_average,
        lookahead,
        mechanize,
        schedule_free,
        accumulate,
        kahan,
        master_weights,
        stacked,
        stochastic_rounding,
        adaptive_grad_clip,
        add_noise,
        cautious,
        centralize,
        clip,
        clip_by_block_rms,
        clip_by_norm,
        freeze,
        gsam,
        looksam,
        normalize,
        orthogonalize,
        partition,
        project,
        sam,
        skip_non_finite,
        stable,
    )
}
