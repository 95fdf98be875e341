"""Certificates: each optimizer against Optax, its paper's oracle and torch, on the same recorded sequences."""

from gdjax.certify.oracles import ORACLES
