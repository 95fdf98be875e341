"""What does a rate do: 1e-8, 1e-1, a good one, one that is too large? And where does too large begin?

    python -m experiments.step_size [--out pictures]

The lectures call 1e-8 too small (slow) and 1e-1 too big (overshooting), and say that a step too large ends in numeric
overflow. But a rate is large only beside 2/L, L the largest curvature: 1e-1 overshoots a quadratic of curvatures 1 and 100,
where 2/L is 0.02, is the better half of good for a linear regression on made data (2/L = 0.23), and 30,000 times too much
for one on the diabetes table as it was measured (2/L = 3e-6), where even 1e-8 is a three-hundredth of the limit.
Expected: for seven quadratics the limit lies at 2/L, bracketed within 0.2 %; 1 % above it a run is DIVERGED at the step
that arithmetic on the eigenvalues names. About 15 s.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from sklearn.datasets import load_diabetes

import gdjax as gd
from experiments.lab import Lab
from gdjax import problems
from gdjax.plots import style
from gdjax.plots.style import INK, MUTED, NORMAL, PALETTE, SMALL
from gdjax.stopping import gradient_norm
from gdjax.types import Stop

STEPS, EPS = 10_000, 1e-3


def rate_cases():
    """name -> problem: those on which the lectures' two rates are tried."""
    x, y = load_diabetes(return_X_y=True, scaled=False)
    return {
        "quadratic, 1 and 100": problems.quadratic((1.0, 100.0)),
        "regression, made data": problems.least_squares(),
        "regression, diabetes": problems.least_squares(x, y),
    }


def limit_cases():
    x, y = load_diabetes(return_X_y=True, scaled=False)
    return {
        "x² + y²": problems.bowl(1),
        "100x² + y²": problems.bowl(100),
        "booth": problems.booth(),
        "10 curvatures, 1 to 1000": problems.quadratic(tuple(np.geomspace(1, 1000, 10))),
        "ridge": problems.ridge(),
        **{name: case for name, case in rate_cases().items() if name != "regression, diabetes"},
    }, (x, y)


def at_rates(problem, rates, max_steps=STEPS):
    """One run for each rate, in one call."""

    def run(rate):
        return gd.minimize(
            problem.f, problem.start, gd.sgd(rate), stop=gradient_norm(EPS), max_steps=max_steps, args=problem.args
        )

    return jax.device_get(jax.jit(jax.vmap(run))(jnp.asarray(rates)))
