"""NumPy float64 oracles, written from the papers: what each optimizer must equal, in the plainest words there are."""

from gdjax.certify.oracles import adaptive, descent, moments
from gdjax.certify.oracles.lift import Oracle

ORACLES: dict[str, Oracle] = {
    "sgd": descent.sgd,
    "momentum": descent.momentum,
    "adagrad": adaptive.adagrad,
    "rmsprop": adaptive.rmsprop,
    "adadelta": adaptive.adadelta,
    "adam": moments.adam,
    "nadam": moments.nadam,
    "adamw": moments.adamw,
}
