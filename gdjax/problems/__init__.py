"""Test functions for minimization, with the known facts about their minima: `rosenbrock()` is a `Problem`.

one variable      double_well, tilted_well, waves, quartic
bowls             sum_of_squares, bowl, booth, quadratic (of a given spectrum)
valleys           rosenbrock, beale
many minima       himmelblau, rastrigin, ackley, three_hump_camel
no minimum        saddle, monkey_saddle           small gradients         plateau
of data           least_squares, ridge, logistic, hinge, softmax, exponential_decay
"""

from collections.abc import Callable

from gdjax.problems.closed_form import normal_equations
from gdjax.problems.fits import exponential_decay, hinge, least_squares, logistic, ridge, softmax
from gdjax.problems.landscapes import (
    ackley,
    beale,
    booth,
    bowl,
    double_well,
    himmelblau,
    monkey_saddle,
    plateau,
    quadratic,
    quartic,
    rastrigin,
    rosenbrock,
    saddle,
    sum_of_squares,
    three_hump_camel,
    tilted_well,
    waves,
)
from gdjax.problems.problem import Problem

__all__ = [
    "PROBLEMS",
    "Problem",
    "ackley",
    "beale",
    "booth",
    "bowl",
    "double_well",
    "exponential_decay",
    "himmelblau",
    "hinge",
    "least_squares",
    "logistic",
    "monkey_saddle",
    "normal_equations",
    "plateau",
    "quadratic",
    "quartic",
    "rastrigin",
    "ridge",
    "rosenbrock",
    "saddle",
    "softmax",
    "sum_of_squares",
    "three_hump_camel",
    "tilted_well",
    "waves",
]

PROBLEMS: dict[str, Callable[..., Problem]] = {
    factory.__name__: factory
    for factory in (
        double_well,
        tilted_well,
        waves,
        quartic,
        sum_of_squares,
        bowl,
        booth,
        quadratic,
        rosenbrock,
        beale,
        himmelblau,
        rastrigin,
        ackley,
        three_hump_camel,
        saddle,
        monkey_saddle,
        plateau,
        least_squares,
        ridge,
        logistic,
        hinge,
        softmax,
        exponential_decay,
    )
}
