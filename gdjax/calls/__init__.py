"""Calls as values: nodes, the factories that make them, and their text form; see `gdjax.calls.node`."""

from gdjax.calls.factory import Decorator, check_interval, check_whole, decorator, is_factory
from gdjax.calls.kinds import (
    Condition,
    Model,
    Optimizer,
    Schedule,
    as_optimizer,
    condition,
    from_optax,
    model,
    of_parts,
    optimizer,
    schedule,
    with_state,
)
from gdjax.calls.leaves import Precise, Static, as_key, is_concrete, is_number
from gdjax.calls.node import Node, register
from gdjax.calls.rates import WithRate, inner_state, one_rate, rate_of, rates_of_leaves, scale_rates, spread_rates
from gdjax.calls.spec import SpecError, data_of, is_key, parse

__all__ = [
    "Condition",
    "Decorator",
    "Model",
    "Node",
    "Optimizer",
    "Precise",
    "Schedule",
    "SpecError",
    "Static",
    "WithRate",
    "as_key",
    "as_optimizer",
    "check_interval",
    "check_whole",
    "condition",
    "data_of",
    "decorator",
    "from_optax",
    "inner_state",
    "is_concrete",
    "is_factory",
    "is_key",
    "is_number",
    "model",
    "of_parts",
    "one_rate",
    "optimizer",
    "parse",
    "rate_of",
    "rates_of_leaves",
    "register",
    "scale_rates",
    "schedule",
    "spread_rates",
    "with_state",
]
