"""Losses of Optax under its names, for which gdjax has no own implementation, without further checks or limits."""

from optax.losses import (
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

__all__ = [
    "binary_dice_loss",
    "ctc_loss",
    "ctc_loss_with_forward_probs",
    "dice_loss",
    "make_fenchel_young_loss",
    "multiclass_generalized_dice_loss",
    "multiclass_sparsemax_loss",
    "ntxent",
    "ranking_softmax_loss",
    "sparsemax_loss",
    "triplet_margin_loss",
]
