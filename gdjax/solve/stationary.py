"""The kind of a stationary point, from the Hessian's eigenvalues and from values on both sides along its eigenvectors.

Eigenvalues alone do not distinguish x³ from x⁴, and are unreliable near a stationary point. So f is evaluated on both sides,
at several times the distance at which the slope would become zero. If f curves along the direction, the slopes on the two
sides decide, since they are visible however large the value is; otherwise the values decide. A decrease counts only if it
exceeds what the slope at the point explains, which never happens for a convex function.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.programs import compile_once
from gdjax.vector import flat_dtype, ravel, unravel

LARGEST = 10  # maximal number of real variables
BEYOND = 8  # distance of the evaluations, in units of the distance at which the slope becomes zero


def kind_of_point(f: Callable[..., Any], args: tuple[Any, ...], found: Any) -> str:
    """The kind of point: "a minimum", "a saddle point", "a maximum" or "an inflection"; "" if it is undecided.

    Args:
        f: (params, *args) -> ().
        found: a result with the fields params, steps and grad_norm.
    """
    if sum(np.size(x) * (1 + np.iscomplexobj(x)) for x in jax.tree.leaves(found.params)) > LARGEST:
        kind = ""
    else:
        try:
            kind = _kind(*map(np.asarray, compile_once(Sides(f))(found.params, args)))
        except (TypeError, NotImplementedError):  # f can be differentiated only once
            kind = ""
    if found.grad_norm == 0 and found.steps == 0 and kind != "a minimum":
        return f"the gradient is exactly 0 at the start, so that nothing was done{f': {kind}' if kind else ''}"
    return kind and ("a minimum" if kind == "a minimum" else f"this is {kind}")


def _kind(left: np.ndarray, right: np.ndarray) -> str:
    """The kind of point, from the signs (n,) of the change of f on either side along each direction."""
    up, down = (left > 0) & (right > 0), (left < 0) | (right < 0)
    if up.all():
        return "a minimum"
    if not down.any():
        level = int((~up).sum())
        if level == len(up):
            return "level along every direction, as far as can be seen"
        return f"a minimum, level along {level} of {len(up)} directions"
    if ((left < 0) & (right < 0)).all():
        return "a maximum"
    if ((left * right) < 0).any():
        return "an inflection: f falls on one side" if len(up) == 1 else "a saddle point: f falls on one side of it"
    return "a saddle point: f falls along some directions"


@dataclasses.dataclass(frozen=True)
class Sides:
    """(params, args) -> signs of the change of f on either side along each eigenvector, 0 if it is within rounding."""

    f: Callable[..., Any]

    def __call__(self, params: Any, args: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
        dtype = flat_dtype(params)
        x, eps = ravel(params, dtype), jnp.finfo(dtype).eps
        f = lambda x: self.f(unravel(x, params), *args).astype(dtype)  # noqa: E731
        grad = jax.grad(f)
        value, slope, hessian = f(x), grad(x), jax.jacrev(grad)(x)
        curved, ways = jnp.linalg.eigh((hessian + hessian.T) / 2)
        reach = jnp.maximum(jnp.max(jnp.abs(x)), 1) * eps**0.2
        curved = jnp.abs(curved)
        safe = jnp.where(curved > 0, curved, 1)
        least_step = jnp.sqrt(1e3 * eps * jnp.maximum(jnp.abs(value), eps) / safe)  # where the change exceeds rounding
        newton = BEYOND * jnp.abs(ways.T @ slope) / safe
        least = jnp.maximum(eps * reach, jnp.sqrt(eps) * jnp.max(jnp.abs(x)))  # rounding of x
        steps = jnp.where(
            curved > eps * jnp.max(curved), jnp.clip(jnp.maximum(newton, least_step), least, reach), reach
        )
        steps = jnp.where(newton > reach, newton, steps)
        sides = lambda g: jax.vmap(lambda v, h: jnp.stack([g(x - h * v), g(x + h * v)]))(ways.T, steps)  # noqa: E731
        change, along = sides(f) - value, jnp.abs(ways.T @ slope)
        noise = 64 * eps * jnp.maximum(jnp.abs(value), jnp.abs(value + change))
        explained = jnp.where(change < 0, (along * steps)[:, None], 0)
        signs = jnp.where(jnp.abs(change) > noise + explained, jnp.sign(change), 0)
        outward = jnp.einsum("nsi,in->ns", sides(grad), ways) * jnp.array([-1, 1])
        noise = 64 * eps * jnp.max(curved) * jnp.max(jnp.abs(x)) + 2 * along
        curves = (curved > 1e3 * eps * jnp.max(curved))[:, None] & (jnp.abs(outward) > noise[:, None])
        signs = jnp.where(curves, jnp.sign(outward), signs)
        return signs[:, 0], signs[:, 1]
