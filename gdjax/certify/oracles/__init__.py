"""NumPy float64 oracles, written from the papers: what each optimizer must equal, in the plainest words there are."""

from gdjax.certify.oracles.first_order import adafactor as factored
from gdjax.certify.oracles.first_order import adagrad as adaptive
from gdjax.certify.oracles.first_order import adam as moments
from gdjax.certify.oracles.first_order import adan as accelerated
from gdjax.certify.oracles.first_order import amsgrad as second_moments
from gdjax.certify.oracles.first_order import asgd as averaged
from gdjax.certify.oracles.first_order import dpsgd as private
from gdjax.certify.oracles.first_order import lars as layerwise
from gdjax.certify.oracles.first_order import muon as matrix
from gdjax.certify.oracles.first_order import noisy_sgd as noisy
from gdjax.certify.oracles.first_order import polyak_sgd as polyak
from gdjax.certify.oracles.first_order import prodigy as parameter_free
from gdjax.certify.oracles.first_order import sgd as descent
from gdjax.certify.oracles.first_order import shampoo as preconditioned
from gdjax.certify.oracles.first_order import sign_sgd as sign
from gdjax.certify.oracles.first_order import sparse_adam as sparse
from gdjax.certify.oracles.lift import Oracle
from gdjax.certify.oracles.second_order import lbfgs as quasi_newton
from gdjax.certify.oracles.second_order import sophia as curvature

ORACLES: dict[str, Oracle] = {
    "sgd": descent.sgd,
    "lbfgs": quasi_newton.lbfgs,
    "bfgs": quasi_newton.bfgs,
    "nonlinear_cg": quasi_newton.nonlinear_cg,
    "momentum": descent.momentum,
    "adagrad": adaptive.adagrad,
    "rmsprop": adaptive.rmsprop,
    "adadelta": adaptive.adadelta,
    "adam": moments.adam,
    "nadam": moments.nadam,
    "adamw": moments.adamw,
    "sparse_adagrad": sparse.sparse_adagrad,
    "sparse_adam": sparse.sparse_adam,
    "dpsgd": private.dpsgd,
    "sophia": curvature.sophia,
    "nadamw": moments.nadamw,
    "adam_atan2": moments.adam_atan2,
    "amsgrad": second_moments.amsgrad,
    "adamax": second_moments.adamax,
    "adamaxw": second_moments.adamaxw,
    "adabelief": second_moments.adabelief,
    "yogi": second_moments.yogi,
    "radam": second_moments.radam,
    "noisy_sgd": noisy.noisy_sgd,
    "sign_sgd": sign.sign_sgd,
    "signum": sign.signum,
    "lion": sign.lion,
    "rprop": sign.rprop,
    "optimistic_gradient_descent": accelerated.optimistic_gradient_descent,
    "optimistic_adam_v2": accelerated.optimistic_adam_v2,
    "adan": accelerated.adan,
    "ademamix": accelerated.ademamix,
    "simplified_ademamix": accelerated.simplified_ademamix,
    "adopt": accelerated.adopt,
    "acprop": accelerated.acprop,
    "madgrad": accelerated.madgrad,
    "mars": accelerated.mars,
    "schedule_free_sgd": averaged.schedule_free_sgd,
    "schedule_free_adamw": averaged.schedule_free_adamw,
    "asgd": averaged.asgd,
    "muon": matrix.muon,
    "galore": matrix.galore,
    "shampoo": preconditioned.shampoo,
    "soap": preconditioned.soap,
    "kron": preconditioned.kron,
    "lars": layerwise.lars,
    "lamb": layerwise.lamb,
    "fromage": layerwise.fromage,
    "novograd": layerwise.novograd,
    "adam_mini": layerwise.adam_mini,
    "adafactor": factored.adafactor,
    "sm3": factored.sm3,
    "polyak_sgd": polyak.polyak_sgd,
    "momo": polyak.momo,
    "momo_adam": polyak.momo_adam,
    "cocob": parameter_free.cocob,
    "dog": parameter_free.dog,
    "dowg": parameter_free.dowg,
    "dadapt_adamw": parameter_free.dadapt_adamw,
    "prodigy": parameter_free.prodigy,
}
