"""The operations of a program, counted in its jaxpr by formulas.

    products        2 m n k for a matrix product (m, k) (k, n); 2 * (weights of an output) for every output of a convolution
    elementwise     1 for every number that comes out, be it a sum or an exponential
    reductions      1 for every number that goes in

A function that XLA writes out in others counts as they do: a random number as a half of Threefry's 20 rounds, erfc (in the
exact GELU) as its rational approximations.
What only moves numbers (reshapes, slices, padding, look-ups) costs nothing. A scan counts its body as often as it runs, a
while-loop once, and of the branches of a condition the longest counts.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from gdjax.jaxprs import equations_for, inner_jaxprs, open_jaxpr

KINDS = ("products", "elementwise", "reductions")
MOVES = frozenset(
    (
        *("broadcast_in_dim", "concatenate", "convert_element_type", "copy", "dynamic_slice", "gather", "iota"),
        *(
            "dynamic_update_slice",
            "expand_dims",
            "optimization_barrier",
            "pad",
            "platform_index",
            "random_seed",
            "reshape",
        ),
        *("random_unwrap", "random_wrap", "rev", "scatter", "slice", "split", "squeeze", "stop_gradient", "transpose"),
        *("device_put", "reduce_precision", "sharding_constraint", "pvary", "name", "empty"),
    )
)

WRITTEN_OUT = {"erfc": 62, "random_bits": 45, "erf_inv": 39, "logistic": 4, "integer_pow": 2}  # name -> operations


def count_operations(jaxpr: Any) -> Counter[str]:
    """Kind -> operations of what a jaxpr returns; equations that nothing depends on cost nothing."""
    return _count(jaxpr, equations_for(jaxpr, [True] * len(open_jaxpr(jaxpr)[0].outvars)))


def of_equation(equation: Any, live: set[int] | None = None) -> Counter[str]:
    """Kind -> operations of an equation, those inside of it included.

    Args:
        live: identities of the equations that count; None for all.
    """
    name, parameters = equation.primitive.name, equation.params
    inner = [_count(each, live) for each in inner_jaxprs(parameters)]
    if name == "cond":
        return max(inner, key=lambda counted: counted.total())
    if name == "scan":
        return Counter({kind: parameters["length"] * number for kind, number in inner[0].items()})
    if inner and not name.startswith(("scatter", "reduce", "sort")):
        return sum(inner, Counter())
    inputs = [math.prod(v.aval.shape) for v in equation.invars if hasattr(v, "aval") and hasattr(v.aval, "shape")]
    outputs = sum(math.prod(v.aval.shape) for v in equation.outvars if hasattr(v.aval, "shape"))
    if name == "dot_general":
        (left, _), _ = parameters["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return Counter(products=2 * outputs * math.prod(shape[i] for i in left))
    if name == "conv_general_dilated":
        weights = equation.invars[1].aval.shape
        outs = weights[parameters["dimension_numbers"].rhs_spec[0]]
        return Counter(products=2 * outputs * math.prod(weights) // outs)
    if name in MOVES:
        return Counter()
    if name.startswith("scatter"):
        return Counter(reductions=inputs[-1])
    if name.startswith(("reduce_window", "select_and_scatter")):
        windows = outputs if name.startswith("reduce_window") else inputs[0]
        return Counter(reductions=windows * math.prod(parameters["window_dimensions"]))
    if name.startswith(("reduce_", "arg", "cum", "sort")):
        return Counter(reductions=sum(inputs[: max(1, len(equation.outvars))]))
    return Counter(elementwise=WRITTEN_OUT.get(name, 1) * outputs)


def _count(jaxpr: Any, live: set[int] | None) -> Counter[str]:
    equations = open_jaxpr(jaxpr)[0].eqns
    return sum((of_equation(each, live) for each in equations if live is None or id(each) in live), Counter())
