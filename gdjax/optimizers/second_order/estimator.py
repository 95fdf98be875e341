"""The diagonal of the Hessian, estimated: what `sophia` divides by.

An estimator has the protocol of Optax's gradient transformations, (init, update), and is a value like an optimizer; its
"updates" are the diagonal. Optax's own estimators fit where ours do, and ours there.
"""

from __future__ import annotations

from gdjax.calls import Decorator, Optimizer, decorator, register


class Estimator(Optimizer):
    """A node whose update gives (diagonal, state)."""


register(Estimator)


estimator: Decorator[Estimator] = decorator(
    Estimator, "A factory of estimators of a diagonal from a body that returns (init, update)."
)
