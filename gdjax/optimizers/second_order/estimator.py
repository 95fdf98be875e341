"""Estimators of the Hessian's diagonal, by which `sophia` divides.

An estimator has the protocol of Optax's gradient transformations, (init, update), and is a node like an optimizer; its
"updates" are the diagonal. It can be used in place of Optax's estimators, and conversely.
"""

from __future__ import annotations

from gdjax.calls import Decorator, Optimizer, decorator, register


class Estimator(Optimizer):
    """A node whose update gives (diagonal, state)."""


register(Estimator)


estimator: Decorator[Estimator] = decorator(
    Estimator, "A factory of estimators of a diagonal from a body that returns (init, update)."
)
