"""Losses: of one example, their lift to sequences (tokens) and to any batch (lifts), and what is added to them (penalties).

A loss is a function (prediction, labels) -> (...). Leading axes are free: one example and a batch both work, elementwise.
Shapes must agree exactly, else ValueError: (n,) against (n, 1) would broadcast to (n, n). What a loss is not defined for (a
class outside [0, C), a label -1 where 0 and 1 are meant, a probability of 1.2) is a ValueError where it is concrete, and in
traced code a NaN in value and gradient. Classes must be integers (TypeError). Values and derivatives, by every argument, are
the limits where there are any: of an infinite logit too.

A loss has the dtype of its arguments and is computed in float32 at least. Where the derivative by a probability is
infinite it is the largest number of the dtype, so that 0 times it is 0.

A name of `optax.losses` takes Optax's arguments (`softmax_cross_entropy(logits, labels, axis, where)` is that of shares,
`softmax_cross_entropy_with_integer_labels` that of class numbers). Behind it stands the loss of gdjax, where there is one;
those of `of_optax` are Optax's own.

Differs from Optax: its hinge_loss, huber_loss, log_cosh and sigmoid_binary_cross_entropy broadcast in silence, a class of -1
reads the last one, shares need not sum to 1, and impossible classes (p = 0, log q = -inf) give NaN.
"""

from gdjax.forms import Stateful
from gdjax.losses.binary import (
    binary_cross_entropy,
    binary_cross_entropy_from_logits,
    focal,
    hinge,
    hinge_loss,
    perceptron,
    perceptron_loss,
    sigmoid_binary_cross_entropy,
    sigmoid_focal_loss,
    squared_hinge,
)
from gdjax.losses.catalogue import (
    LOSSES,
    LossEntry,
)
from gdjax.losses.classes import (
    multiclass_hinge,
    multiclass_hinge_loss,
    multiclass_perceptron_loss,
    negative_log_likelihood,
    poly_loss_cross_entropy,
    safe_softmax_cross_entropy,
    smooth_labels,
    softmax_cross_entropy,
    softmax_cross_entropy_with_integer_labels,
)
from gdjax.losses.distributions import (
    convex_kl_divergence,
    generalized_kl_divergence,
    kl_divergence,
    kl_divergence_with_log_targets,
)
from gdjax.losses.lifts import (
    PerExample,
    Supervised,
    per_example,
    stateful,
    supervised,
)
from gdjax.losses.of_optax import (
    binary_dice_loss,
    ctc_loss,
    ctc_loss_with_forward_probs,
    dice_loss,
    make_fenchel_young_loss,
    multiclass_generalized_dice_loss,
    multiclass_sparsemax_loss,
    ntxent,
    ranking_softmax_loss,
    sparsemax_loss,
    triplet_margin_loss,
)
from gdjax.losses.penalties import (
    Penalty,
    elastic,
    is_weight,
    l1,
    l2,
)
from gdjax.losses.regression import (
    absolute_error,
    cosine_distance,
    cosine_similarity,
    half_squared_error,
    huber,
    huber_loss,
    l2_loss,
    log_cosh,
    squared_error,
)
from gdjax.losses.tokens import PerToken, per_token
from gdjax.losses.windows import over_windows
from gdjax.measures import better_direction, better_directions
from gdjax.programs import bind

__all__ = [
    "LOSSES",
    "LossEntry",
    "Penalty",
    "PerExample",
    "PerToken",
    "Stateful",
    "Supervised",
    "absolute_error",
    "better_direction",
    "better_directions",
    "binary_cross_entropy",
    "binary_cross_entropy_from_logits",
    "binary_dice_loss",
    "bind",
    "convex_kl_divergence",
    "cosine_distance",
    "cosine_similarity",
    "ctc_loss",
    "ctc_loss_with_forward_probs",
    "dice_loss",
    "elastic",
    "focal",
    "generalized_kl_divergence",
    "half_squared_error",
    "hinge",
    "hinge_loss",
    "huber",
    "huber_loss",
    "is_weight",
    "kl_divergence",
    "kl_divergence_with_log_targets",
    "l1",
    "l2",
    "l2_loss",
    "log_cosh",
    "make_fenchel_young_loss",
    "multiclass_generalized_dice_loss",
    "multiclass_hinge",
    "multiclass_hinge_loss",
    "multiclass_perceptron_loss",
    "multiclass_sparsemax_loss",
    "negative_log_likelihood",
    "ntxent",
    "over_windows",
    "per_example",
    "per_token",
    "perceptron",
    "perceptron_loss",
    "poly_loss_cross_entropy",
    "ranking_softmax_loss",
    "safe_softmax_cross_entropy",
    "sigmoid_binary_cross_entropy",
    "sigmoid_focal_loss",
    "smooth_labels",
    "softmax_cross_entropy",
    "softmax_cross_entropy_with_integer_labels",
    "sparsemax_loss",
    "squared_error",
    "squared_hinge",
    "stateful",
    "supervised",
    "triplet_margin_loss",
]
