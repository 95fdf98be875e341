"""Sweeps: many training runs as lanes of one program, and what is learned from them."""

from gdjax.sweeps.paths import numbers_of, replace, resolve
from gdjax.sweeps.space import choice, grid, latin_hypercube, log_uniform, parse_axis, random_configurations, uniform

__all__ = [
    "choice",
    "grid",
    "latin_hypercube",
    "log_uniform",
    "numbers_of",
    "parse_axis",
    "random_configurations",
    "replace",
    "resolve",
    "uniform",
]
