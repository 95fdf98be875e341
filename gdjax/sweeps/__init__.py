"""Sweeps: many training runs as lanes of one program, and what is learned from them."""

from gdjax.sweeps._find_learning_rate import RangeTest, find_learning_rate
from gdjax.sweeps._optuna_search import Search, optuna_search
from gdjax.sweeps._sweep import sweep
from gdjax.sweeps._tournament import tournament
from gdjax.sweeps.engine import Progress
from gdjax.sweeps.halving import Halving, Rung, rung_budgets, successive_halving
from gdjax.sweeps.paths import numbers_of, replace, resolve
from gdjax.sweeps.ranking import Comparison, Standing, Tournament
from gdjax.sweeps.space import choice, grid, latin_hypercube, log_uniform, parse_axis, random_configurations, uniform
from gdjax.sweeps.statistics import bootstrap_interval, holm, signed_rank_test
from gdjax.sweeps.table import Summary, SweepTable
from gdjax.sweeps.ways import Way

__all__ = [
    "Comparison",
    "Halving",
    "Progress",
    "RangeTest",
    "Rung",
    "Search",
    "Standing",
    "Summary",
    "SweepTable",
    "Tournament",
    "Way",
    "bootstrap_interval",
    "choice",
    "find_learning_rate",
    "grid",
    "holm",
    "latin_hypercube",
    "log_uniform",
    "numbers_of",
    "optuna_search",
    "parse_axis",
    "random_configurations",
    "replace",
    "resolve",
    "rung_budgets",
    "signed_rank_test",
    "successive_halving",
    "sweep",
    "tournament",
    "uniform",
]
