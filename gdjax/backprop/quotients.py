"""A derivative from first principles: difference quotients, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def difference_quotients(f: Callable[..., Any], x: Any, steps: Any = None) -> dict[str, np.ndarray]:
    """The derivative of a function of one number from first principles: where truncation ends and rounding begins.

    Args:
        steps: (n,), h > 0 (default: 1 to 1e-16).

    Returns: "step", "one-sided" (f(x + h) - f(x)) / h, "central" (f(x + h) - f(x - h)) / 2h, and "derivative", by jax.grad.
        Their errors fall as h and h², until rounding, eps |f| / h, takes over near sqrt(eps) and eps^(1/3).

    >>> found = gd.backprop.difference_quotients(lambda x: x**2, 3.0, steps=[1.0, 0.5])
    >>> print(found["one-sided"], found["central"], found["derivative"])
    [7. 6.5] [6. 6.] [6. 6.]
    """
    x, h = jnp.asarray(x, float), jnp.asarray(10.0 ** -np.arange(0.0, 16.5, 0.5) if steps is None else steps, float)
    each = jax.vmap(f)
    one_sided, central = (each(x + h) - f(x)) / h, (each(x + h) - each(x - h)) / (2 * h)
    slope = jnp.full_like(h, jax.grad(f)(x))
    found = {"step": h, "one-sided": one_sided, "central": central, "derivative": slope}
    return {name: np.asarray(values) for name, values in found.items()}
