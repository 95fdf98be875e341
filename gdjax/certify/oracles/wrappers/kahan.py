"""The oracle of `gdjax.optimizers.wrappers.kahan`: the path that no rounding has touched."""

from gdjax import optimizers as o
from gdjax.certify.oracles.wrappers.master_weights import master_weights as kahan

__all__ = ["kahan"]


EXAMPLES = {
    "kahan": lambda: [o.kahan(o.sgd(0.001))],
}

BY_PARAMETERS = {
    "kahan": "its updates are differences of parameters",
}
