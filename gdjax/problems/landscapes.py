"""Test functions of one, two or n variables. Points are (), or arrays (n,)."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np

from gdjax.problems.problem import Problem


def _double_well(x):
    return (x**2 - 4) ** 2 / 16


def double_well() -> Problem:
    """Two minima alike, at -2 and 2, and a maximum between them.

    f(x) = (x² - 4)² / 16

    >>> print(gd.problems.double_well()(0.0))
    1.0
    """
    return Problem("double_well", _double_well, 0.5, (), (-2.0, 2.0), 0.0, (0.0,), ((-4, 4),))


def _tilted_well(x):
    return x**4 / 4 - x**3 / 3 - 2 * x**2


def tilted_well() -> Problem:
    """A well of two minima, at (1 + √17)/2 the lower, at (1 - √17)/2 one that is not so low.

    f(x) = x⁴/4 - x³/3 - 2x²

    >>> print(gd.problems.tilted_well()(1.0))
    -2.0833
    """
    low, high = (1 + math.sqrt(17)) / 2, (1 - math.sqrt(17)) / 2
    return Problem("tilted_well", _tilted_well, -3.5, (), (low,), _tilted_well(low), (high, 0.0), ((-4, 4),))


def _waves(x):
    return x**2 / 20 - jnp.cos(2 * x)


def waves() -> Problem:
    """Waves on a bowl: the lowest valley at 0, a higher one on either side.

    f(x) = x²/20 - cos 2x

    >>> print(gd.problems.waves()(0.0))
    -1.0
    """
    side = 3.064672786647796
    return Problem("waves", _waves, 3.5, (), (0.0,), -1.0, (side, -side), ((-4, 4),), 4.1)


def _quartic(x):
    return x**4


def quartic() -> Problem:
    """Flat at its minimum, steep far from it, so that the largest rate depends on the start.

    f(x) = x⁴

    >>> print(gd.problems.quartic()(2.0))
    16.0
    """
    return Problem("quartic", _quartic, 2.0, (), (0.0,), 0.0, (), ((-3, 3),))


def _sum_of_squares(x):
    return jnp.sum(x**2)


def sum_of_squares(n: int = 2) -> Problem:
    """The round bowl: the same curvature in every direction.

        f(x) = x_1² + ... + x_n²

    Args:
        n: number of variables, at least 1.

    >>> print(gd.problems.sum_of_squares()(jnp.ones(2)))
    2.0
    """
    zero = np.zeros(n)
    return Problem("sum_of_squares", _sum_of_squares, zero + 2.5, (), (zero,), 0.0, (), ((-3, 3),) * 2, 2.0, 1.0)


def _bowl(x, steepness):
    return steepness * x[0] ** 2 + x[1] ** 2


def bowl(steepness: float = 10.0) -> Problem:
    """The lectures' bowls, at a = 1, 10, 100: the steeper one way, the slower the other.

        f(x, y) = a x² + y²

    Args:
        steepness: a > 0.

    Raises: ValueError outside this range.

    >>> print(gd.problems.bowl()(jnp.ones(2)))
    11.0
    """
    _above("bowl", "steepness", steepness)
    ends = (steepness, 1.0)
    return Problem(
        f"bowl({steepness:g})",
        _bowl,
        np.array([2.0, 2.0]),
        (float(steepness),),
        (np.zeros(2),),
        0.0,
        (),
        ((-3, 3), (-3, 3)),
        2 * max(ends),
        max(ends) / min(ends),
    )


def _rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def rosenbrock(n: int = 2) -> Problem:
    """Rosenbrock's curved valley, whose floor is flat and whose minimum 0 is at ones.

        f(x) = sum_i (100 (x_{i+1} - x_i²)² + (1 - x_i)²)

    Args:
        n: number of variables, at least 2.

    Reference: Rosenbrock 1960, The Computer Journal 3(3).

    >>> print(gd.problems.rosenbrock()(jnp.zeros(2)))
    1.0
    """
    start = np.where(np.arange(n) % 2 == 0, -1.2, 1.0)
    return Problem("rosenbrock", _rosenbrock, start, (), (np.ones(n),), 0.0, (), ((-2, 2), (-1, 3)))


def _beale(p):
    x, y = p
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def beale() -> Problem:
    """Beale's flat valley with steep corners; its minimum 0 is at (3, 1/2).

        f(x, y) = (1.5 - x + x y)² + (2.25 - x + x y²)² + (2.625 - x + x y³)²

    Reference: Beale 1958; Moré, Garbow & Hillstrom 1981, ACM TOMS 7(1), problem 5.

    >>> print(gd.problems.beale()(jnp.zeros(2)))
    14.203
    """
    bounds, best = ((-4.5, 4.5), (-4.5, 4.5)), np.array([3.0, 0.5])
    return Problem("beale", _beale, np.array([1.0, 1.0]), (), (best,), 0.0, (np.array([0.0, 1.0]),), bounds)


def _booth(p):
    x, y = p
    return (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2


def booth() -> Problem:
    """Booth's quadratic, a bowl turned by 45 degrees, of curvatures 2 and 18; its minimum 0 is at (1, 3).

    f(x, y) = (x + 2y - 7)² + (2x + y - 5)²

    >>> print(gd.problems.booth()(jnp.zeros(2)))
    74.0
    """
    bounds = ((-10, 10), (-10, 10))
    return Problem("booth", _booth, np.array([-8.0, 6.0]), (), (np.array([1.0, 3.0]),), 0.0, (), bounds, 18.0, 9.0)


def _himmelblau(p):
    x, y = p
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


def himmelblau() -> Problem:
    """Himmelblau's four minima, all of value 0; one is (3, 2).

        f(x, y) = (x² + y - 11)² + (x + y² - 7)²

    Reference: Himmelblau 1972, Applied Nonlinear Programming.

    >>> print(gd.problems.himmelblau()(jnp.zeros(2)))
    170.0
    """
    minima = (
        (3.0, 2.0),
        (-2.805118086952745, 3.131312518250573),
        (-3.779310253377747, -3.283185991286170),
        (3.584428340330492, -1.848126526964404),
    )
    points = tuple(np.array(point) for point in minima)
    return Problem("himmelblau", _himmelblau, np.array([0.0, 0.0]), (), points, 0.0, (), ((-6, 6), (-6, 6)))


def _rastrigin(x):
    return jnp.sum(x**2 - 10 * jnp.cos(2 * jnp.pi * x) + 10)


def rastrigin(n: int = 2) -> Problem:
    """Rastrigin's egg box: a minimum near every whole number, the lowest at 0.

        f(x) = sum_i (x_i² - 10 cos(2 pi x_i) + 10)

    Args:
        n: number of variables, at least 1.

    Reference: Rastrigin 1974.

    >>> print(gd.problems.rastrigin()(jnp.ones(2)))
    2.0
    """
    bounds, zero, steepest = ((-5.12, 5.12),) * 2, np.zeros(n), 2 + 40 * math.pi**2
    return Problem("rastrigin", _rastrigin, zero + 2.2, (), (zero,), 0.0, (), bounds, steepest)


def _ackley(x):
    square = jnp.mean(x**2)
    # A cone: its gradient at 0 is taken as 0.
    length = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
    return 20 + jnp.e - 20 * jnp.exp(-0.2 * length) - jnp.exp(jnp.mean(jnp.cos(2 * jnp.pi * x)))


def ackley(n: int = 2) -> Problem:
    """Ackley's funnel in a field of dimples; its minimum 0 is the tip of a cone.

        f(x) = 20 + e - 20 exp(-sqrt(mean(x²)) / 5) - exp(mean(cos 2 pi x))

    Args:
        n: number of variables, at least 1.

    Reference: Ackley 1987.

    >>> print(gd.problems.ackley()(jnp.ones(2)))
    3.6254
    """
    zero = np.zeros(n)
    return Problem("ackley", _ackley, zero + 3.3, (), (zero,), 0.0, (), ((-5, 5),) * 2)


def _three_hump_camel(p):
    x, y = p
    return 2 * x**2 - 1.05 * x**4 + x**6 / 6 + x * y + y**2


def three_hump_camel() -> Problem:
    """The three-hump camel: its lowest valley at 0, one on either side.

        f(x, y) = 2x² - 1.05x⁴ + x⁶/6 + x y + y²

    Reference: Branin 1972.

    >>> print(gd.problems.three_hump_camel()(jnp.ones(2)))
    3.1167
    """
    side = np.array([1.7475523458302888, -0.8737761729151444])
    start, zero, bounds = np.array([-2.0, 2.0]), np.zeros(2), ((-2.5, 2.5), (-2.5, 2.5))
    return Problem("three_hump_camel", _three_hump_camel, start, (), (zero,), 0.0, (side, -side), bounds)


def _saddle(p):
    x, y = p
    return x**2 - y**2


def saddle() -> Problem:
    """Down without end to two sides; from y = 0 descent stops at the saddle.

    f(x, y) = x² - y²

    >>> print(gd.problems.saddle()(jnp.array([2.0, 1.0])))
    3.0
    """
    bounds, start = ((-2, 2), (-2, 2)), np.array([1.5, 1e-6])
    return Problem("saddle", _saddle, start, (), (), None, (np.zeros(2),), bounds, 2.0)


def _monkey_saddle(p):
    x, y = p
    return x**3 - 3 * x * y**2


def monkey_saddle() -> Problem:
    """Three ways down; at 0 the curvature too is 0, so that Newton's method has nothing to go by.

    f(x, y) = x³ - 3x y²

    >>> print(gd.problems.monkey_saddle()(jnp.array([2.0, 1.0])))
    2.0
    """
    start, bounds = np.array([1.0, 1e-6]), ((-2, 2), (-2, 2))
    return Problem("monkey_saddle", _monkey_saddle, start, (), (), None, (np.zeros(2),), bounds)


def _plateau(x):
    return 1 - jnp.exp(-jnp.sum(x**2))


def plateau(n: int = 2) -> Problem:
    """A hole in a plain, where far from it the gradient tells next to nothing.

        f(x) = 1 - exp(-|x|²)

    Args:
        n: number of variables, at least 1.

    >>> print(gd.problems.plateau()(jnp.ones(2)))
    0.86466
    """
    zero = np.zeros(n)
    return Problem("plateau", _plateau, zero + 1.5, (), (zero,), 0.0, (), ((-3, 3),) * 2, 2.0)


def _quadratic(x, hessian, center):
    return 0.5 * (x - center) @ hessian @ (x - center)


def quadratic(spectrum: tuple[float, ...] = (1.0, 100.0), seed: int = 0) -> Problem:
    """A quadratic of given curvatures along directions drawn at random.

        f(x) = 1/2 (x - c)' Q diag(spectrum) Q' (x - c),      Q a random rotation, c a random center

    Args:
        spectrum: the curvatures, all > 0.
        seed: of the rotation and the center.

    Raises: ValueError outside this range.

    >>> problem = gd.problems.quadratic((1.0, 100.0))
    >>> print(problem.condition, jnp.linalg.eigvalsh(jax.hessian(problem)(problem.start)))
    100.0 [1. 100.]
    """
    for curvature in spectrum:
        _above("quadratic", "every curvature", curvature)
    rng, n = np.random.default_rng(seed), len(spectrum)
    rotation = np.linalg.qr(rng.normal(size=(n, n)))[0]
    center, hessian = rng.normal(size=n), (rotation * np.array(spectrum)) @ rotation.T
    low, high = min(spectrum), max(spectrum)
    bounds = tuple((c - 3, c + 3) for c in center[:2])
    start = center + rotation.sum(axis=1)  # as far from the center along every axis of the bowl
    return Problem("quadratic", _quadratic, start, (hessian, center), (center,), 0.0, (), bounds, high, high / low)


def _above(who: str, name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{who}: {name} must be above 0, got {value}")
