"""The oracle of `gdjax.optimizers.wrappers.kahan`: the path that no rounding has touched."""

from gdjax.certify.oracles.wrappers.master_weights import master_weights as kahan

__all__ = ["kahan"]
