"""Optimizers: rules lifted by `leafwise` and `treewise`; transforms; wrappers; and the tables of all names.

To add an optimizer, write a file with its rule and its documented factory, named like the factory, a file of the same name
under `gdjax.certify.oracles` with its oracle and its examples, and a line here, in reading order. It is then covered by the
laws of the test suite, a certificate, the table of optimizers, `gdjax optimizers` and `--optimizer "name(b1=0.95)"`.
Variants that differ by an argument of one rule (adam, nadam, adamw, nadamw; adamax, adamaxw) share the file of the first.
"""

from typing import TYPE_CHECKING

from gdjax.first_touch import import_on_first_touch
from gdjax.optimizers.leafwise import Slot, leafwise
from gdjax.optimizers.treewise import Scalar, treewise

if TYPE_CHECKING:
    # Optimizers that need a gradient.
    from gdjax.optimizers.first_order.sgd import sgd
    from gdjax.optimizers.first_order.momentum import momentum
    from gdjax.optimizers.first_order.adagrad import adagrad
    from gdjax.optimizers.first_order.rmsprop import rmsprop
    from gdjax.optimizers.first_order.adadelta import adadelta
    from gdjax.optimizers.first_order.adam import adam, nadam, adamw, nadamw
    from gdjax.optimizers.first_order.adam_atan2 import adam_atan2
    from gdjax.optimizers.first_order.amsgrad import amsgrad
    from gdjax.optimizers.first_order.adamax import adamax, adamaxw
    from gdjax.optimizers.first_order.adabelief import adabelief
    from gdjax.optimizers.first_order.yogi import yogi
    from gdjax.optimizers.first_order.radam import radam
    from gdjax.optimizers.first_order.noisy_sgd import noisy_sgd
    from gdjax.optimizers.first_order.sign_sgd import sign_sgd
    from gdjax.optimizers.first_order.signum import signum
    from gdjax.optimizers.first_order.lion import lion
    from gdjax.optimizers.first_order.rprop import rprop
    from gdjax.optimizers.first_order.optimistic_gradient_descent import optimistic_gradient_descent
    from gdjax.optimizers.first_order.optimistic_adam_v2 import optimistic_adam_v2
    from gdjax.optimizers.first_order.adan import adan
    from gdjax.optimizers.first_order.ademamix import ademamix
    from gdjax.optimizers.first_order.simplified_ademamix import simplified_ademamix
    from gdjax.optimizers.first_order.adopt import adopt
    from gdjax.optimizers.first_order.acprop import acprop
    from gdjax.optimizers.first_order.madgrad import madgrad
    from gdjax.optimizers.first_order.mars import mars
    from gdjax.optimizers.first_order.lars import lars
    from gdjax.optimizers.first_order.lamb import lamb
    from gdjax.optimizers.first_order.fromage import fromage
    from gdjax.optimizers.first_order.novograd import novograd
    from gdjax.optimizers.first_order.adam_mini import adam_mini
    from gdjax.optimizers.first_order.adafactor import adafactor
    from gdjax.optimizers.first_order.sm3 import sm3
    from gdjax.optimizers.first_order.polyak_sgd import polyak_sgd
    from gdjax.optimizers.first_order.momo import momo
    from gdjax.optimizers.first_order.momo_adam import momo_adam
    from gdjax.optimizers.first_order.cocob import cocob
    from gdjax.optimizers.first_order.dog import dog
    from gdjax.optimizers.first_order.dowg import dowg
    from gdjax.optimizers.first_order.dadapt_adamw import dadapt_adamw
    from gdjax.optimizers.first_order.prodigy import prodigy
    from gdjax.optimizers.first_order.muon import muon
    from gdjax.optimizers.first_order.normuon import normuon
    from gdjax.optimizers.first_order.galore import galore
    from gdjax.optimizers.first_order.shampoo import shampoo
    from gdjax.optimizers.first_order.soap import soap
    from gdjax.optimizers.first_order.kron import kron
    from gdjax.optimizers.first_order.schedule_free_sgd import schedule_free_sgd
    from gdjax.optimizers.first_order.schedule_free_adamw import schedule_free_adamw
    from gdjax.optimizers.first_order.asgd import asgd
    from gdjax.optimizers.first_order.sparse_adagrad import sparse_adagrad
    from gdjax.optimizers.first_order.sparse_adam import sparse_adam
    from gdjax.optimizers.first_order.dpsgd import dpsgd
    from gdjax.optimizers.first_order.rows import Rows

    # Optimizers that use curvature, and estimators of the Hessian's diagonal.
    from gdjax.optimizers.second_order.sophia import sophia
    from gdjax.optimizers.second_order.lbfgs import lbfgs
    from gdjax.optimizers.second_order.bfgs import bfgs
    from gdjax.optimizers.second_order.nonlinear_cg import nonlinear_cg
    from gdjax.optimizers.second_order.newton import newton
    from gdjax.optimizers.second_order.gauss_newton import gauss_newton
    from gdjax.optimizers.second_order.levenberg_marquardt import levenberg_marquardt
    from gdjax.optimizers.second_order.hutchinson import hutchinson
    from gdjax.optimizers.second_order.gauss_newton_bartlett import gauss_newton_bartlett
    from gdjax.optimizers.second_order.empirical_fisher import empirical_fisher

    # Rules that need no gradient, but spikes.
    from gdjax.optimizers.plasticity.stdp import Spikes, stdp

    # Line searches.
    from gdjax.optimizers.linesearch.zoom import zoom
    from gdjax.optimizers.linesearch.backtracking import backtracking
    from gdjax.optimizers.linesearch.line_search import line_search

    # Transforms of the gradient.
    from gdjax.optimizers.transforms.clip import clip
    from gdjax.optimizers.transforms.clip_by_norm import clip_by_norm
    from gdjax.optimizers.transforms.clip_by_global_norm import clip_by_global_norm
    from gdjax.optimizers.transforms.clip_by_block_rms import clip_by_block_rms
    from gdjax.optimizers.transforms.adaptive_grad_clip import adaptive_grad_clip
    from gdjax.optimizers.transforms.add_noise import add_noise
    from gdjax.optimizers.transforms.centralize import centralize
    from gdjax.optimizers.transforms.normalize import normalize
    from gdjax.optimizers.transforms.orthogonalize import orthogonalize
    from gdjax.optimizers.transforms.cautious_weight_decay import cautious_weight_decay

    # Wrappers around an optimizer.
    from gdjax.optimizers.wrappers.chain import chain
    from gdjax.optimizers.wrappers.decay_weights import decay_weights
    from gdjax.optimizers.wrappers.reduce_on_plateau import reduce_on_plateau
    from gdjax.optimizers.wrappers.average import average
    from gdjax.optimizers.wrappers.tail_average import tail_average
    from gdjax.optimizers.wrappers.lookahead import lookahead
    from gdjax.optimizers.wrappers.mechanize import mechanize
    from gdjax.optimizers.wrappers.schedule_free import schedule_free, schedule_free_eval_params
    from gdjax.optimizers.wrappers.accumulate import accumulate
    from gdjax.optimizers.wrappers.kahan import kahan
    from gdjax.optimizers.wrappers.master_weights import master_weights
    from gdjax.optimizers.wrappers.stochastic_rounding import stochastic_rounding
    from gdjax.optimizers.wrappers.stacked import stacked
    from gdjax.optimizers.wrappers.cautious import cautious
    from gdjax.optimizers.wrappers.stable import stable
    from gdjax.optimizers.wrappers.freeze import freeze
    from gdjax.optimizers.wrappers.by_path import by_path
    from gdjax.optimizers.wrappers.partition import partition
    from gdjax.optimizers.wrappers.gsam import gsam
    from gdjax.optimizers.wrappers.looksam import looksam
    from gdjax.optimizers.wrappers.sam import sam
    from gdjax.optimizers.wrappers.project import project
    from gdjax.optimizers.wrappers.hyperball import hyperball
    from gdjax.optimizers.wrappers.skip_non_finite import skip_non_finite
    from gdjax.optimizers.wrappers.scale_loss import scale_loss

    # Optax's names for parts of optimizers, and for optimizers of gdjax.
    from gdjax.optimizers.inject import inject_hyperparams
    from gdjax.optimizers.of_optax import (
        MultiSteps,
        add_decayed_weights,
        apply_every,
        apply_if_finite,
        conditionally_mask,
        conditionally_transform,
        differentially_private_aggregate,
        ema,
        flatten,
        hutchinson_estimator_diag_hessian,
        identity,
        keep_params_nonnegative,
        masked,
        monitor,
        multi_transform,
        named_chain,
        normalize_by_update_norm,
        scale,
        scale_by_acprop,
        scale_by_adadelta,
        scale_by_adam,
        scale_by_adamax,
        scale_by_adan,
        scale_by_ademamix,
        scale_by_adopt,
        scale_by_amsgrad,
        scale_by_backtracking_linesearch,
        scale_by_belief,
        scale_by_cocob,
        scale_by_distance_over_gradients,
        scale_by_factored_rms,
        scale_by_galore,
        scale_by_lbfgs,
        scale_by_learning_rate,
        scale_by_lion,
        scale_by_madgrad,
        scale_by_muon,
        scale_by_novograd,
        scale_by_optimistic_gradient,
        scale_by_param_block_norm,
        scale_by_param_block_rms,
        scale_by_polyak,
        scale_by_radam,
        scale_by_rms,
        scale_by_rprop,
        scale_by_rss,
        scale_by_schedule,
        scale_by_sign,
        scale_by_simplified_ademamix,
        scale_by_sm3,
        scale_by_stddev,
        scale_by_trust_ratio,
        scale_by_yogi,
        scale_by_zoom_linesearch,
        selective_transform,
        set_to_zero,
        snapshot,
        split_real_and_imaginary,
        stateless,
        stateless_with_tree_map,
        trace,
        zero_nans,
    )

    # The tables, with which all of the above is imported.
    from gdjax.optimizers.factories import LIFTED, OPTIMIZERS, TRANSFORMS, WRAPPERS

__all__ = [
    "LIFTED",
    "OPTIMIZERS",
    "TRANSFORMS",
    "WRAPPERS",
    "MultiSteps",
    "Rows",
    "Scalar",
    "Slot",
    "Spikes",
    "accumulate",
    "acprop",
    "adabelief",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adam_atan2",
    "adam_mini",
    "adamax",
    "adamaxw",
    "adamw",
    "adan",
    "adaptive_grad_clip",
    "add_decayed_weights",
    "add_noise",
    "ademamix",
    "adopt",
    "amsgrad",
    "apply_every",
    "apply_if_finite",
    "asgd",
    "average",
    "backtracking",
    "bfgs",
    "by_path",
    "cautious",
    "cautious_weight_decay",
    "centralize",
    "chain",
    "clip",
    "clip_by_block_rms",
    "clip_by_global_norm",
    "clip_by_norm",
    "cocob",
    "conditionally_mask",
    "conditionally_transform",
    "dadapt_adamw",
    "decay_weights",
    "differentially_private_aggregate",
    "dog",
    "dowg",
    "dpsgd",
    "ema",
    "empirical_fisher",
    "flatten",
    "freeze",
    "fromage",
    "galore",
    "gauss_newton",
    "gauss_newton_bartlett",
    "gsam",
    "hutchinson",
    "hutchinson_estimator_diag_hessian",
    "hyperball",
    "identity",
    "inject_hyperparams",
    "kahan",
    "keep_params_nonnegative",
    "kron",
    "lamb",
    "lars",
    "lbfgs",
    "leafwise",
    "levenberg_marquardt",
    "line_search",
    "lion",
    "lookahead",
    "looksam",
    "madgrad",
    "mars",
    "masked",
    "master_weights",
    "mechanize",
    "momentum",
    "momo",
    "momo_adam",
    "monitor",
    "multi_transform",
    "muon",
    "nadam",
    "nadamw",
    "named_chain",
    "newton",
    "noisy_sgd",
    "nonlinear_cg",
    "normalize",
    "normalize_by_update_norm",
    "normuon",
    "novograd",
    "optimistic_adam_v2",
    "optimistic_gradient_descent",
    "orthogonalize",
    "partition",
    "polyak_sgd",
    "prodigy",
    "project",
    "radam",
    "reduce_on_plateau",
    "rmsprop",
    "rprop",
    "sam",
    "scale",
    "scale_by_acprop",
    "scale_by_adadelta",
    "scale_by_adam",
    "scale_by_adamax",
    "scale_by_adan",
    "scale_by_ademamix",
    "scale_by_adopt",
    "scale_by_amsgrad",
    "scale_by_backtracking_linesearch",
    "scale_by_belief",
    "scale_by_cocob",
    "scale_by_distance_over_gradients",
    "scale_by_factored_rms",
    "scale_by_galore",
    "scale_by_lbfgs",
    "scale_by_learning_rate",
    "scale_by_lion",
    "scale_by_madgrad",
    "scale_by_muon",
    "scale_by_novograd",
    "scale_by_optimistic_gradient",
    "scale_by_param_block_norm",
    "scale_by_param_block_rms",
    "scale_by_polyak",
    "scale_by_radam",
    "scale_by_rms",
    "scale_by_rprop",
    "scale_by_rss",
    "scale_by_schedule",
    "scale_by_sign",
    "scale_by_simplified_ademamix",
    "scale_by_sm3",
    "scale_by_stddev",
    "scale_by_trust_ratio",
    "scale_by_yogi",
    "scale_by_zoom_linesearch",
    "scale_loss",
    "schedule_free",
    "schedule_free_adamw",
    "schedule_free_eval_params",
    "schedule_free_sgd",
    "selective_transform",
    "set_to_zero",
    "sgd",
    "shampoo",
    "sign_sgd",
    "signum",
    "simplified_ademamix",
    "skip_non_finite",
    "sm3",
    "snapshot",
    "soap",
    "sophia",
    "sparse_adagrad",
    "sparse_adam",
    "split_real_and_imaginary",
    "stable",
    "stacked",
    "stateless",
    "stateless_with_tree_map",
    "stdp",
    "stochastic_rounding",
    "tail_average",
    "trace",
    "treewise",
    "yogi",
    "zero_nans",
    "zoom",
]

ON_FIRST_TOUCH = import_on_first_touch(__name__)
