"""gdjax: gradient descent in JAX. Write the small thing; lift it.

The face of the house, in reading order. Losses, metrics, models, schedules and stopping conditions are many: they are
reached through their modules (`gdjax.losses.huber`).
"""

# What is written: values that print as the call that made them, and whose numbers are leaves.
from gdjax.calls.node import Model as Model
from gdjax.calls.node import Optimizer as Optimizer
from gdjax.calls.node import Condition as Condition
from gdjax.calls.node import Schedule as Schedule
from gdjax.calls.node import as_optimizer as as_optimizer
from gdjax.calls.node import model as model
from gdjax.calls.node import optimizer as optimizer
from gdjax.calls.node import condition as condition
from gdjax.calls.node import schedule as schedule

# The catalogues.
from gdjax import data as data
from gdjax import losses as losses
from gdjax import metrics as metrics
from gdjax import models as models
from gdjax import problems as problems
from gdjax import projections as projections
from gdjax import schedules as schedules
from gdjax import stopping as stopping
from gdjax.optimizers import OPTIMIZERS as OPTIMIZERS
from gdjax.optimizers import WRAPPERS as WRAPPERS
from gdjax.optimizers import TRANSFORMS as TRANSFORMS
from gdjax.optimizers import adadelta as adadelta
from gdjax.optimizers import adagrad as adagrad
from gdjax.optimizers import adam as adam
from gdjax.optimizers import adamw as adamw
from gdjax.optimizers import nadamw as nadamw
from gdjax.optimizers import adam_atan2 as adam_atan2
from gdjax.optimizers import amsgrad as amsgrad
from gdjax.optimizers import adamax as adamax
from gdjax.optimizers import adamaxw as adamaxw
from gdjax.optimizers import adabelief as adabelief
from gdjax.optimizers import yogi as yogi
from gdjax.optimizers import radam as radam
from gdjax.optimizers import noisy_sgd as noisy_sgd
from gdjax.optimizers import sign_sgd as sign_sgd
from gdjax.optimizers import signum as signum
from gdjax.optimizers import lion as lion
from gdjax.optimizers import rprop as rprop
from gdjax.optimizers import optimistic_gradient_descent as optimistic_gradient_descent
from gdjax.optimizers import optimistic_adam_v2 as optimistic_adam_v2
from gdjax.optimizers import adan as adan
from gdjax.optimizers import ademamix as ademamix
from gdjax.optimizers import simplified_ademamix as simplified_ademamix
from gdjax.optimizers import adopt as adopt
from gdjax.optimizers import acprop as acprop
from gdjax.optimizers import madgrad as madgrad
from gdjax.optimizers import mars as mars
from gdjax.optimizers import lars as lars
from gdjax.optimizers import lamb as lamb
from gdjax.optimizers import fromage as fromage
from gdjax.optimizers import novograd as novograd
from gdjax.optimizers import adam_mini as adam_mini
from gdjax.optimizers import adafactor as adafactor
from gdjax.optimizers import sm3 as sm3
from gdjax.optimizers import polyak_sgd as polyak_sgd
from gdjax.optimizers import momo as momo
from gdjax.optimizers import momo_adam as momo_adam
from gdjax.optimizers import cocob as cocob
from gdjax.optimizers import dog as dog
from gdjax.optimizers import dowg as dowg
from gdjax.optimizers import dadapt_adamw as dadapt_adamw
from gdjax.optimizers import prodigy as prodigy
from gdjax.optimizers import muon as muon
from gdjax.optimizers import normuon as normuon
from gdjax.optimizers import galore as galore
from gdjax.optimizers import shampoo as shampoo
from gdjax.optimizers import soap as soap
from gdjax.optimizers import kron as kron
from gdjax.optimizers import schedule_free_sgd as schedule_free_sgd
from gdjax.optimizers import schedule_free_adamw as schedule_free_adamw
from gdjax.optimizers import asgd as asgd
from gdjax.optimizers import momentum as momentum
from gdjax.optimizers import nadam as nadam
from gdjax.optimizers import rmsprop as rmsprop
from gdjax.optimizers import sgd as sgd
from gdjax.optimizers import sparse_adagrad as sparse_adagrad
from gdjax.optimizers import sparse_adam as sparse_adam
from gdjax.optimizers import Rows as Rows
from gdjax.optimizers import dpsgd as dpsgd
from gdjax.optimizers import sophia as sophia
from gdjax.optimizers import hutchinson as hutchinson
from gdjax.optimizers import gauss_newton_bartlett as gauss_newton_bartlett
from gdjax.optimizers import empirical_fisher as empirical_fisher
from gdjax.optimizers import lbfgs as lbfgs
from gdjax.optimizers import bfgs as bfgs
from gdjax.optimizers import nonlinear_cg as nonlinear_cg
from gdjax.optimizers import newton as newton
from gdjax.optimizers import gauss_newton as gauss_newton
from gdjax.optimizers import levenberg_marquardt as levenberg_marquardt
from gdjax.optimizers import line_search as line_search
from gdjax.optimizers import zoom as zoom
from gdjax.optimizers import backtracking as backtracking
from gdjax.optimizers import chain as chain
from gdjax.optimizers import clip_by_global_norm as clip_by_global_norm
from gdjax.optimizers import decay_weights as decay_weights
from gdjax.optimizers import reduce_on_plateau as reduce_on_plateau
from gdjax.optimizers import average as average
from gdjax.optimizers import tail_average as tail_average
from gdjax.optimizers import lookahead as lookahead
from gdjax.optimizers import mechanize as mechanize
from gdjax.optimizers import schedule_free as schedule_free
from gdjax.optimizers import schedule_free_eval_params as schedule_free_eval_params
from gdjax.optimizers import accumulate as accumulate
from gdjax.optimizers import kahan as kahan
from gdjax.optimizers import master_weights as master_weights
from gdjax.optimizers import stacked as stacked
from gdjax.optimizers import stochastic_rounding as stochastic_rounding
from gdjax.optimizers import adaptive_grad_clip as adaptive_grad_clip
from gdjax.optimizers import add_noise as add_noise
from gdjax.optimizers import cautious as cautious
from gdjax.optimizers import centralize as centralize
from gdjax.optimizers import clip as clip
from gdjax.optimizers import clip_by_block_rms as clip_by_block_rms
from gdjax.optimizers import clip_by_norm as clip_by_norm
from gdjax.optimizers import freeze as freeze
from gdjax.optimizers import gsam as gsam
from gdjax.optimizers import looksam as looksam
from gdjax.optimizers import normalize as normalize
from gdjax.optimizers import orthogonalize as orthogonalize
from gdjax.optimizers import cautious_weight_decay as cautious_weight_decay
from gdjax.optimizers import partition as partition
from gdjax.optimizers import project as project
from gdjax.optimizers import hyperball as hyperball
from gdjax.optimizers import sam as sam
from gdjax.optimizers import skip_non_finite as skip_non_finite
from gdjax.optimizers import stable as stable
from gdjax.optimizers import by_path as by_path
from gdjax.optimizers import Slot as Slot
from gdjax.optimizers import leafwise as leafwise
from gdjax.optimizers import Scalar as Scalar
from gdjax.optimizers import treewise as treewise

# Schedules by the names of Optax.
from gdjax.schedules import constant_schedule as constant_schedule
from gdjax.schedules import linear_schedule as linear_schedule
from gdjax.schedules import polynomial_schedule as polynomial_schedule
from gdjax.schedules import exponential_decay as exponential_decay
from gdjax.schedules import cosine_decay_schedule as cosine_decay_schedule
from gdjax.schedules import warmup_constant_schedule as warmup_constant_schedule
from gdjax.schedules import warmup_cosine_decay_schedule as warmup_cosine_decay_schedule
from gdjax.schedules import warmup_exponential_decay_schedule as warmup_exponential_decay_schedule
from gdjax.schedules import piecewise_constant_schedule as piecewise_constant_schedule
from gdjax.schedules import piecewise_interpolate_schedule as piecewise_interpolate_schedule
from gdjax.schedules import linear_onecycle_schedule as linear_onecycle_schedule
from gdjax.schedules import cosine_onecycle_schedule as cosine_onecycle_schedule
from gdjax.schedules import sgdr_schedule as sgdr_schedule
from gdjax.schedules import join_schedules as join_schedules

# Losses by the names of Optax.
from gdjax.losses import squared_error as squared_error
from gdjax.losses import l2_loss as l2_loss
from gdjax.losses import huber_loss as huber_loss
from gdjax.losses import log_cosh as log_cosh
from gdjax.losses import cosine_similarity as cosine_similarity
from gdjax.losses import cosine_distance as cosine_distance
from gdjax.losses import sigmoid_binary_cross_entropy as sigmoid_binary_cross_entropy
from gdjax.losses import sigmoid_focal_loss as sigmoid_focal_loss
from gdjax.losses import hinge_loss as hinge_loss
from gdjax.losses import softmax_cross_entropy as softmax_cross_entropy
from gdjax.losses import softmax_cross_entropy_with_integer_labels as softmax_cross_entropy_with_integer_labels
from gdjax.losses import safe_softmax_cross_entropy as safe_softmax_cross_entropy
from gdjax.losses import poly_loss_cross_entropy as poly_loss_cross_entropy
from gdjax.losses import smooth_labels as smooth_labels
from gdjax.losses import kl_divergence as kl_divergence
from gdjax.losses import generalized_kl_divergence as generalized_kl_divergence
from gdjax.losses import convex_kl_divergence as convex_kl_divergence
from gdjax.losses import ctc_loss as ctc_loss
from gdjax.losses import ctc_loss_with_forward_probs as ctc_loss_with_forward_probs
from gdjax.losses import ntxent as ntxent

# The lifts of a loss.
from gdjax.losses import per_example as per_example
from gdjax.losses import stateful as stateful
from gdjax.losses import supervised as supervised

# The ladder.
from gdjax.training import make_state as make_state
from gdjax.training import make_step as make_step
from gdjax.training import make_epoch as make_epoch
from gdjax.training import iterate as iterate
from gdjax.training import make_evaluate as make_evaluate
from gdjax.training import make_run as make_run
from gdjax.training import start_run as start_run
from gdjax.training import segments as segments
from gdjax.training import fit as fit
from gdjax.training import Result as Result
from gdjax.training import learning_rate as learning_rate
from gdjax.types import RunState as RunState
from gdjax.types import Stop as Stop
from gdjax.types import TrainState as TrainState
from gdjax.programs import clear_programs as clear_programs

# Any function, from a start to a stop.
from gdjax.solve._minimize import Minimum as Minimum
from gdjax.solve._minimize import minimize as minimize
from gdjax.search import search as search
from gdjax.solve._gradient_flow import gradient_flow as gradient_flow
from gdjax.planes import Plane as Plane
from gdjax.planes import pca_plane as pca_plane
from gdjax.planes import plane_through as plane_through
from gdjax.planes import random_plane as random_plane

# Backpropagation laid open.
from gdjax import backprop as backprop

# Looking.
from gdjax.models import summary as summary
