"""Minimization without gradients, or with only the sign of the derivative: methods (init, ask, tell) for `gdjax.minimize`.

What each evaluates:

random_guessing      random points in a box
fixed_step           both neighbors along each axis, one step away
sign_step            the neighbors along the sign of the derivative
coordinate           both neighbors along one axis after the other, with adaptive steps
nelder_mead          reflections of a simplex
ant_colony           points near those of an archive of good points
genetic, particle_swarm, cma_es     populations, through evosax (the extra `gdjax[populations]`)
"""

from collections.abc import Callable

from gdjax.search._ant_colony import ant_colony
from gdjax.search._method import Method, method
from gdjax.search.guessing import random_guessing
from gdjax.search.neighbors import coordinate, fixed_step, sign_step
from gdjax.search.populations import cma_es, genetic, particle_swarm
from gdjax.search.simplex import nelder_mead

__all__ = [
    "METHODS",
    "Method",
    "ant_colony",
    "cma_es",
    "coordinate",
    "fixed_step",
    "genetic",
    "method",
    "nelder_mead",
    "particle_swarm",
    "random_guessing",
    "sign_step",
]

METHODS: dict[str, Callable[..., Method]] = {
    factory.__name__: factory
    for factory in (
        random_guessing,
        fixed_step,
        sign_step,
        coordinate,
        nelder_mead,
        ant_colony,
        genetic,
        particle_swarm,
        cma_es,
    )
}
