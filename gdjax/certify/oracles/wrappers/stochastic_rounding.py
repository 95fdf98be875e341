"""The oracle of `gdjax.optimizers.wrappers.stochastic_rounding`: the path that no rounding has touched."""

from gdjax import optimizers as o
from gdjax.certify.oracles.wrappers.master_weights import master_weights


def stochastic_rounding(params, inner, key):
    yield from master_weights(params, inner)


EXAMPLES = {
    "stochastic_rounding": lambda: [o.stochastic_rounding(o.sgd(0.001), 3)],
}

BY_PARAMETERS = {
    "stochastic_rounding": "its updates are differences of parameters",
}
