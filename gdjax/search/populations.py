"""Populations by evosax (the extra `gdjax[populations]`), as methods: genetic algorithm, particle swarm, CMA-ES.

Reference: Lange 2022, "evosax: JAX-based Evolution Strategies", arXiv:2212.04180.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gdjax.search._method import method
from gdjax.vector import flat_dtype, ravel, unravel


class PopulationState(NamedTuple):
    params: Any  # the best so far
    value: jax.Array
    done: jax.Array
    inner: Any  # of evosax
    key: jax.Array  # of the step


def _algorithms() -> Any:
    try:
        from evosax import algorithms
    except ImportError as error:
        raise ImportError("populations need evosax: pip install 'gdjax[populations]'") from error
    return algorithms


def _population(name: str, size: int, sigma: Any, settings: dict[str, Any], by_mean: bool = False, **options: Any):
    """(init, ask, tell) of an algorithm of evosax, which works on the parameters as one vector."""

    def algorithm(params: Any) -> tuple[Any, Any, jax.Array]:
        x = ravel(params, flat_dtype(params))
        made = getattr(_algorithms(), name)(population_size=size, solution=jnp.zeros_like(x), **options)
        return made, made.default_params.replace(**settings), x

    def init(params, value, key, value_fn):
        made, hyper, x = algorithm(params)
        draw_key, init_key = jax.random.split(key)
        if by_mean:
            return PopulationState(params, value, jnp.zeros((), bool), made.init(init_key, x, hyper), key)
        drawn = x + sigma * jax.random.normal(draw_key, (size, x.size), x.dtype)
        population = drawn.at[0].set(x)
        inside, values = value_fn.at(jax.vmap(lambda x: unravel(x, params))(population))
        population = jax.vmap(lambda params: ravel(params, x.dtype))(inside)
        start = PopulationState(params, value, jnp.zeros((), bool), made.init(init_key, population, values, hyper), key)
        return _best(start, population, values)

    def ask(state, key, value_fn):
        made, hyper, _ = algorithm(state.params)
        ask_key, tell_key = jax.random.split(key)
        flat, inner = made.ask(ask_key, state.inner, hyper)
        return jax.vmap(lambda x: unravel(x, state.params))(flat), state._replace(inner=inner, key=tell_key)

    def tell(state, candidates, values):
        made, hyper, x = algorithm(state.params)
        flat = jax.vmap(lambda params: ravel(params, x.dtype))(candidates)
        inner, _ = made.tell(state.key, flat, values, state.inner, hyper)
        return _best(state._replace(inner=inner), flat, values)

    return init, ask, tell


def _best(state: PopulationState, population: jax.Array, values: jax.Array) -> PopulationState:
    best = jnp.argmin(values)
    better = values[best] < state.value
    params = jax.tree.map(lambda a, b: jnp.where(better, a, b), unravel(population[best], state.params), state.params)
    return state._replace(params=params, value=jnp.where(better, values[best], state.value))


@method(static=("population",), bounds={"population": "[2, inf)", "sigma": "(0, inf)"}, ints=("population",))
def genetic(population: int = 64, sigma=0.5, decay=0.98, crossover_rate=0.5):
    """A genetic algorithm: the fittest half are crossed and changed at random, by less as time goes on.

        x <- parent, or by the coordinate the other parent, + sigma decay^step N(0, 1)

    Args:
        population: at least 2.
        sigma: > 0, parameter units; the spread of the first population around the start, and of the first changes.
        decay: in (0, 1], factor of the spread of the changes, per step.
        crossover_rate: in [0, 1]; the chance of a coordinate to come from the other parent.

    Reference: Such et al. 2017, arXiv:1712.06567; evosax's SimpleGA.

    >>> f = lambda x: jnp.sum((x - 1.0) ** 2)
    >>> print(jnp.round(gd.minimize(f, jnp.zeros(2), gd.search.genetic(), max_steps=100).params, 1))
    [1. 1.]
    """
    settings = {"crossover_rate": crossover_rate}
    return _population("SimpleGA", population, sigma, settings, std_schedule=lambda step: sigma * decay**step)


@method(static=("population",), bounds={"population": "[2, inf)", "sigma": "(0, inf)"}, ints=("population",))
def particle_swarm(population: int = 64, sigma=0.5, inertia=0.75, cognitive=1.5, social=2.0):
    """Particle swarm: every particle is drawn to the best place that it has seen, and to the best that any has.

        v <- inertia v + cognitive r1 (own best - x) + social r2 (best of all - x),      x <- x + v

    Args:
        population: at least 2.
        sigma: > 0, parameter units; the spread of the first positions around the start.

    Reference: Kennedy & Eberhart 1995; evosax's PSO.

    >>> f = lambda x: jnp.sum((x - 1.0) ** 2)
    >>> print(jnp.round(gd.minimize(f, jnp.zeros(2), gd.search.particle_swarm(), max_steps=100).params, 1))
    [1. 1.]
    """
    settings = {"inertia_coeff": inertia, "cognitive_coeff": cognitive, "social_coeff": social}
    return _population("PSO", population, sigma, settings)


@method(static=("population",), bounds={"population": "[4, inf)", "sigma": "(0, inf)"}, ints=("population",))
def cma_es(population: int = 16, sigma=0.5):
    """CMA-ES: a normal distribution that learns from its best samples where to lie, how far to reach, in which directions.

    Args:
        population: at least 4; 4 + 3 ln n is usual for n parameters.
        sigma: > 0, parameter units; the first spread.

    Memory: n² for n parameters.
    Reference: Hansen 2016, "The CMA Evolution Strategy: A Tutorial", arXiv:1604.00772; evosax's CMA_ES.

    >>> f = lambda x: jnp.sum((x - 1.0) ** 2)
    >>> print(jnp.round(gd.minimize(f, jnp.zeros(2), gd.search.cma_es(), max_steps=100).params, 1))
    [1. 1.]
    """
    return _population("CMA_ES", population, sigma, {"std_init": sigma}, by_mean=True)
